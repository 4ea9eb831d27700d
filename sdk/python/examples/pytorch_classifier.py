#!/usr/bin/env python3
"""Trains a candidate with PyTorch on made-up images: the campaign says `evaluator: custom/classifier`."""

import torch
from torch.nn.functional import cross_entropy

from cambrian_evaluator import Evaluation, Measured, evaluator, serve


def images(count: int, shape: tuple[int, ...], classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` noisy copies of one picture a class, and their classes."""
    prototypes = torch.randn(classes, *shape, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(classes, (count,))
    return prototypes[labels] + 3 * torch.randn(count, *shape), labels


@evaluator("classifier", version="1", metrics={"accuracy": "trained"})
def classifier(evaluation: Evaluation) -> dict[str, Measured]:
    """The share of correctly classified images, in percent, with its standard error."""
    device, epochs = evaluation.slot.device, int(evaluation.settings.get("epochs", 3))
    model = evaluation.module().to(device)
    shape, (classes,) = evaluation.graph.input_shape, evaluation.graph.output_shape
    (inputs, labels), (unseen, truth) = images(2048, shape, classes), images(1024, shape, classes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=evaluation.settings.get("learning_rate", 1e-3))
    for epoch in range(epochs):
        for batch in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            loss = cross_entropy(model(inputs[batch].to(device)), labels[batch].to(device))
            loss.backward()
            optimizer.step()
            evaluation.check()
        evaluation.progress(epoch + 1, epochs, loss=loss.item())
    with torch.inference_mode():
        found = model.eval()(unseen.to(device)).argmax(1).cpu()
    share = float((found == truth).double().mean())
    return {"accuracy": Measured(100 * share, 100 * (share * (1 - share) / len(truth)) ** 0.5)}


if __name__ == "__main__":
    serve(classifier)
