//! `grasp`: minus the sum over weights of weight times (Hessian times gradient), the change of the
//! gradient's norm if a weight were removed (Wang et al., ICLR 2020; as in zero-cost-nas). Larger is
//! better. Applies to every network.
//!
//! The Hessian is symmetric, so it is taken times the weights: that is the gradient of the loss's growth along the
//! weights, less the gradient, and needs no second derivative of a convolution. Must not know how an operation's
//! growth is found.

use tch::{Kind, Tensor};

use super::Probe;
use crate::failure::EvaluationError;
use crate::network::{Initialization, Mode, Network};
use crate::train::mean_cross_entropy;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let (images, labels) = probe.batch(0)?;
    let check = || probe.check();
    if let Some(score) = by_growth(&probe.network()?, &images, &labels, &check)? {
        return Ok(score);
    }
    // libtorch's second derivatives of convolutions are slower with channels innermost.
    let network = probe.build(probe.graph(), Initialization::Uniform, probe.kind())?;
    by_second_derivatives(&network, &images, &labels, &check)
}

type Check<'a> = dyn Fn() -> Result<(), EvaluationError> + 'a;

/// `None` if the network has an operation whose growth is not written down.
pub(super) fn by_growth(
    network: &Network,
    images: &Tensor,
    labels: &Tensor,
    check: &Check<'_>,
) -> Result<Option<f64>, EvaluationError> {
    let Some((logits, growth)) = network.forward_with_growth(images)? else { return Ok(None) };
    let weights = network.weights();
    let loss = mean_cross_entropy(&logits, labels)?;
    let gradients = Tensor::f_run_backward(&[loss], &weights, true, false)?;
    check()?;
    // The loss grows by (probability - label) times the growth of the logits.
    let expected = logits.f_softmax(1, None)?.f_mul(&growth)?.f_sum(None)?;
    let labelled = growth.f_gather(1, &labels.f_unsqueeze(1)?, false)?.f_sum(None)?;
    let grown = expected.f_sub(&labelled)?.f_div_scalar(images.size()[0])?;
    let grown = Tensor::f_run_backward(&[grown], &weights, false, false)?;
    let mut total = 0.0;
    for (gradient, grown) in gradients.iter().zip(&grown) {
        let product = gradient.f_mul(&grown.f_sub(gradient)?)?;
        total -= product.f_sum(Kind::Double)?.f_double_value(&[])?;
    }
    Ok(Some(total))
}

/// The same for every network.
pub(super) fn by_second_derivatives(
    network: &Network,
    images: &Tensor,
    labels: &Tensor,
    check: &Check<'_>,
) -> Result<f64, EvaluationError> {
    let weights = network.weights();
    let loss = mean_cross_entropy(&network.forward(images, Mode::Train)?, labels)?;
    let gradients = Tensor::f_run_backward(&[loss], &weights, true, true)?;
    check()?;
    // The gradient of <g, grad L> with g held constant is the Hessian times g.
    let mut product = Tensor::f_zeros([], (network.kind(), network.device()))?;
    for gradient in &gradients {
        product = product.f_add(&gradient.f_mul(&gradient.f_detach()?)?.f_sum(None)?)?;
    }
    let curved = Tensor::f_run_backward(&[product], &weights, false, false)?;
    let mut total = 0.0;
    for (weight, curved) in weights.iter().zip(&curved) {
        let product = weight.f_detach()?.f_mul(curved)?;
        total -= product.f_sum(Kind::Double)?.f_double_value(&[])?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use cambrian_core::graph::{Graph, GraphBuilder, Op, Shape, Window};
    use tch::Device;

    use super::*;
    use crate::network::golden::{self, conv};
    use crate::train::Randomness;

    /// Everything whose growth is written down.
    fn zoo(last: Op) -> Graph {
        let mut builder = GraphBuilder::new(Shape::Map { channels: 1, height: 4, width: 4 });
        let input = builder.input();
        let window = Window { kernel: 3, stride: 1, padding: 1 };
        let mut add = |op, inputs: &[_]| builder.add(op, inputs).unwrap();
        let grouped = Op::Conv2d { out_channels: 4, window, dilation: 1, groups: 2, bias: true };
        let stem = add(conv(4), &[input]);
        let stem = add(Op::BatchNorm, &[stem]);
        let active = add(Op::Relu, &[stem]);
        let branch = add(grouped, &[active]);
        let branch = add(Op::BatchNorm, &[branch]);
        let averaged = add(Op::AvgPool(window), &[active]);
        let largest = add(Op::MaxPool(window), &[branch]);
        let zero = add(Op::Zero, &[active]);
        let dead = add(conv(4), &[zero]);
        let dead = add(Op::BatchNorm, &[dead]);
        let sum = add(Op::Add, &[branch, averaged, largest, dead]);
        let stack = add(Op::Concat, &[sum, active]);
        let mean = add(Op::ChannelMean, &[stack]);
        let first = add(Op::FirstChannels { channels: 3 }, &[stack]);
        let filtered = add(Op::FilterBank, &[mean]);
        let stack = add(Op::Concat, &[first, filtered]);
        let stack = add(last, &[stack]);
        let pooled = add(Op::GlobalAvgPool, &[stack]);
        let hidden = add(Op::Linear { out_features: 5, bias: true }, &[pooled]);
        let hidden = add(Op::BatchNorm, &[hidden]);
        let hidden = add(Op::Relu, &[hidden]);
        let output = add(Op::Linear { out_features: 3, bias: false }, &[hidden]);
        builder.finish(output).unwrap()
    }

    fn network(graph: &Graph) -> Network {
        let mut generator = Randomness::Weights.stream(3);
        Network::new(graph, &mut generator, Device::Cpu, Kind::Double).unwrap()
    }

    #[test]
    fn both_ways_give_the_same() {
        let (images, labels) = (golden::images(Kind::Double), golden::labels());
        let network = network(&zoo(Op::Relu));
        let quick = by_growth(&network, &images, &labels, &|| Ok(())).unwrap().unwrap();
        let plain = by_second_derivatives(&network, &images, &labels, &|| Ok(())).unwrap();
        assert!(plain.abs() > 1e-6, "{plain}");
        assert!((quick / plain - 1.0).abs() < 1e-8, "{quick} is not {plain}");
        let golden = golden::network(Kind::Double);
        let plain = by_second_derivatives(&golden, &images, &labels, &|| Ok(())).unwrap();
        golden::assert_close(plain, -1.302_229_896, Kind::Double);
    }

    #[test]
    fn operations_whose_growth_is_not_written_down_take_the_plain_way() {
        let (images, labels) = (golden::images(Kind::Double), golden::labels());
        let graph = zoo(Op::Silu);
        assert_eq!(by_growth(&network(&graph), &images, &labels, &|| Ok(())).unwrap(), None);
        let source = super::super::fixture::Fixture::drawn(graph.clone());
        let plain = by_second_derivatives(&network(&graph), &images, &labels, &|| Ok(())).unwrap();
        assert_eq!(source.score("grasp", 8).unwrap(), plain);
    }
}
