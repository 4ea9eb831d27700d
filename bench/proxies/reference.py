"""Zero-cost scores in plain PyTorch, timed: what a reader of the publications would write.

usage: reference.py BATCH THREADS SCORES CELL...    (as proxy-times; one JSON line a score and cell; a score
can have a batch of its own, `zen:16`)

The passes are those of the published programs: two products of activation codes for NASWOT, gradients
of all parameters beside those of the images for jacob_cov, synflow in double precision.
"""

import json
import os
import sys
import time

batch, threads, scores, cells = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
os.environ["OMP_NUM_THREADS"] = str(threads)

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

torch.set_num_threads(threads)


def relu_conv_norm(inward, outward, kernel, stride):
    conv = nn.Conv2d(inward, outward, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(outward))


class Zero(nn.Module):
    def forward(self, x):
        return x * 0.0


def operation(digit, channels):
    return {
        "0": Zero,
        "1": nn.Identity,
        "2": lambda: relu_conv_norm(channels, channels, 1, 1),
        "3": lambda: relu_conv_norm(channels, channels, 3, 1),
        "4": lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    }[digit]()


class Cell(nn.Module):
    def __init__(self, digits, channels):
        super().__init__()
        self.edges = nn.ModuleList(operation(digit, channels) for digit in digits)

    def forward(self, x):
        e = self.edges
        a = e[0](x)
        b = e[1](x) + e[2](a)
        return e[3](x) + e[4](a) + e[5](b)


class Reduction(nn.Module):
    def __init__(self, inward, outward):
        super().__init__()
        first, second = relu_conv_norm(inward, outward, 3, 2), relu_conv_norm(outward, outward, 3, 1)
        self.block = nn.Sequential(first, second)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(inward, outward, 1, bias=False))

    def forward(self, x):
        return self.block(x) + self.shortcut(x)


class Network(nn.Module):
    def __init__(self, digits, channels=16, cells=5, classes=10):
        super().__init__()
        layers = [nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        for stage in range(3):
            if stage:
                layers.append(Reduction(channels, 2 * channels))
                channels *= 2
            layers += [Cell(digits, channels) for _ in range(cells)]
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU())
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def weighted(net):
    return [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def gradients(net, images, labels):
    net.zero_grad()
    F.cross_entropy(net(images), labels).backward()
    zeros = torch.zeros(())
    return [(m.weight, zeros if m.weight.grad is None else m.weight.grad) for m in weighted(net)]


def grad_norm(net, images, labels):
    return sum(g.norm().item() for _, g in gradients(net, images, labels))


def snip(net, images, labels):
    return sum((w * g).abs().sum().item() for w, g in gradients(net, images, labels))


def grasp(net, images, labels):
    weights = [m.weight for m in weighted(net)]
    loss = F.cross_entropy(net(images), labels)
    first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
    used = [(w, g) for w, g in zip(weights, first) if g is not None]
    product = sum((g * g.detach()).sum() for _, g in used)
    second = torch.autograd.grad(product, [w for w, _ in used], allow_unused=True)
    pairs = [(w, h) for (w, _), h in zip(used, second) if h is not None]
    return sum((-w * h).sum().item() for w, h in pairs)


def synflow(net, images, labels):
    net = net.double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    skipped = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [m.register_forward_hook(lambda m, inputs, output: inputs[0]) for m in skipped]
    net.eval()
    net.zero_grad()
    net(torch.ones(1, 3, 32, 32, dtype=torch.double)).sum().backward()
    for hook in hooks:
        hook.remove()
    pairs = [(m.weight, m.weight.grad) for m in weighted(net) if m.weight.grad is not None]
    return sum((w * g).abs().sum().item() for w, g in pairs)


def fisher(net, images, labels):
    outputs = []
    hooks = [m.register_forward_hook(lambda m, i, o: outputs.append((m, o))) for m in weighted(net)]
    loss = F.cross_entropy(net(images), labels)
    for hook in hooks:
        hook.remove()
    found = torch.autograd.grad(loss, [o for _, o in outputs], allow_unused=True)
    total = 0.0
    for (module, output), gradient in zip(outputs, found):
        if gradient is not None:
            product = output.detach() * gradient
            product = product.sum((2, 3)) if product.dim() == 4 else product
            filters = module.weight.numel() // module.weight.shape[0]
            total += filters * (0.5 * (product**2).mean(0)).sum().item()
    return total


def jacob_cov(net, images, labels):
    net.zero_grad()
    images = images.clone().requires_grad_(True)
    logits = net(images)
    logits.backward(torch.ones_like(logits))
    correlation = torch.corrcoef(images.grad.flatten(1).double())
    values = torch.linalg.eigvalsh(correlation).clamp(min=0) + 1e-5
    return -(values.log() + 1 / values).sum().item()


def naswot(net, images, labels):
    kernel = torch.zeros(len(images), len(images))

    def hook(module, inputs, output):
        nonlocal kernel
        active = (output > 0).flatten(1).float()
        kernel = kernel + active @ active.t() + (1 - active) @ (1 - active).t()

    hooks = [m.register_forward_hook(hook) for m in net.modules() if isinstance(m, nn.ReLU)]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    return torch.linalg.slogdet(kernel.double())[1].item()


def zico(net, images, labels):
    other = torch.randn_like(images)
    pair = [[g.clone() for _, g in gradients(net, x, labels)] for x in (images, other)]
    total = 0.0
    for first, second in zip(*pair):
        stacked = torch.stack([first, second])
        mean, deviation = stacked.abs().mean(0), stacked.std(0, unbiased=False)
        varying = deviation != 0
        layer = (mean[varying] / deviation[varying]).sum()
        total += layer.log().item() if layer != 0 else 0.0
    return total


def drawn(net, draw):
    for module in weighted(net):
        draw(module.weight)
    return net


def linear_regions(net, images, labels):
    net = drawn(net, lambda w: nn.init.kaiming_normal_(w, mode="fan_in"))
    codes = []
    hooks = [
        m.register_forward_hook(lambda m, i, output: codes.append((output > 0).flatten(1)))
        for m in net.modules()
        if isinstance(m, nn.ReLU)
    ]
    with torch.no_grad():
        net(torch.randn(len(images), 3, 4, 4))
    for hook in hooks:
        hook.remove()
    return len(torch.unique(torch.cat(codes, 1), dim=0))


def ntk_condition(net, images, labels):
    net = drawn(net, lambda w: nn.init.kaiming_normal_(w, mode="fan_out"))
    weights = [p for name, p in net.named_parameters() if name.endswith("weight")]
    logits, rows = net(images), []
    for sample in logits:
        found = torch.autograd.grad(sample.sum(), weights, retain_graph=True, allow_unused=True)
        rows.append(torch.cat([g.flatten() for g in found if g is not None]))
    rows = torch.stack(rows).double()
    values = torch.linalg.eigvalsh(rows @ rows.t())
    return (values[-1] / values[0]).item()


def zen(net, images, labels):
    net = drawn(net, nn.init.normal_)
    with torch.no_grad():
        change = 0.01 * torch.randn_like(images)
        distance = (net.features(images) - net.features(images + change)).abs()
        score = distance.sum((1, 2, 3)).mean().log()
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        return (score + sum(0.5 * m.running_var.mean().log() for m in norms)).item()


def grad_sign(net, images, labels):
    total = None
    for sample in range(len(images)):
        found = gradients(net, images[sample : sample + 1], labels[sample : sample + 1])
        signs = [g.sign() for _, g in found]
        total = signs if total is None else [t + s for t, s in zip(total, signs)]
    return sum(t.abs().sum().item() for t in total)


def knas_mgm(net, images, labels):
    layers = [(g**2).sum().item() for _, g in gradients(net, images, labels)]
    return sum(layers) / len(layers)


def knas_mgm_code(net, images, labels):
    read = [p for p in net.parameters() if p.numel() >= 50][:11]
    rows = []
    for sample in range(len(images)):
        net.zero_grad()
        F.cross_entropy(net(images[sample : sample + 1]), labels[sample : sample + 1]).backward()
        rows.append(torch.cat([p.grad.flatten()[:50] for p in read if p.grad is not None]))
    rows = torch.stack(rows).double()
    half = len(rows) // 2
    early, late = rows[:half], rows[half : 2 * half]
    product = (early - early.mean(0)) * (late - late.mean(0))
    return product.sum().item() / (4 * half * half)


def timed(name, cell, work):
    start = time.perf_counter()
    value = work()
    seconds = time.perf_counter() - start
    print(json.dumps({"score": name, "cell": cell, "seconds": seconds}), flush=True)
    return value


def batch_of(size):
    torch.manual_seed(1)
    return torch.randn(size, 3, 32, 32), torch.randint(0, 10, (size,))


grad_norm(Network(cells[0]), *batch_of(2))
for number, cell in enumerate(cells):
    timed("construction", number, lambda cell=cell: Network(cell))
    for score in scores.split(","):
        score, _, size = score.partition(":")
        images, labels = batch_of(int(size or batch))
        function = globals()[score]
        timed(score, number, lambda cell=cell, f=function: f(Network(cell), images, labels))
