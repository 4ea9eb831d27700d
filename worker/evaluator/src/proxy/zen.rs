//! `zen`: the Zen-score (Lin et al., ICCV 2021): how much the features before the final pooling move
//! when Gaussian noise moves a little, in a network of standard normal weights, with the scaling of
//! batch normalisation taken out again.
//!
//! `log(mean over samples of sum |f(x) - f(x + 0.01 e)|) + sum over batch normalisations of 0.5
//! log(mean running variance)`, the variances after both passes. Must not know data or gradients.
//! Networks that pool or flatten a map alone.

use std::collections::BTreeMap;

use cambrian_core::graph::{Graph, NodeId, Op};
use tch::{Kind, Tensor};

use super::Probe;
use crate::failure::EvaluationError;
use crate::network::{Initialization, Mode, Network};

const METRIC: &str = "zen";
/// The size of the change relative to the input.
const CHANGE: f64 = 0.01;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let _guard = tch::no_grad_guard();
    let network = probe.network_with(Initialization::StandardNormal)?;
    let shape = probe.graph().input_shape();
    let images = probe.standard_normal(probe.batch_size(), shape, 0)?;
    let change = probe.standard_normal(probe.batch_size(), shape, 1)?;
    sensitivity(probe.graph(), &network, &images, &change)
}

/// The score for `images` and their `change` before scaling, both `[samples, ...]`.
pub(super) fn sensitivity(
    graph: &Graph,
    network: &Network,
    images: &Tensor,
    change: &Tensor,
) -> Result<f64, EvaluationError> {
    let features = features(graph, network, images)?;
    let moved = self::features(graph, network, &images.f_add(&change.f_mul_scalar(CHANGE)?)?)?;
    let distance = features.f_sub(&moved)?.f_abs()?.f_to_kind(Kind::Double)?;
    let mean = distance.f_flatten(1, -1)?.f_sum_dim_intlist([1i64].as_slice(), false, None)?;
    let mut score = mean.f_mean(None)?.f_double_value(&[])?.ln();
    for variance in network.running_variances() {
        score += 0.5 * variance.f_mean(Kind::Double)?.f_double_value(&[])?.ln();
    }
    Ok(score)
}

/// The map that the last pooling or flattening reads: earlier ones are gates of channels.
fn features(graph: &Graph, network: &Network, images: &Tensor) -> Result<Tensor, EvaluationError> {
    let pools = |op: Op| matches!(op, Op::GlobalAvgPool | Op::Flatten);
    let pooled = graph.nodes().iter().filter(|node| pools(node.op));
    let mut maps: BTreeMap<NodeId, Option<Tensor>> =
        pooled.map(|node| (node.inputs[0], None)).collect();
    let mut features = None;
    let _ = network.forward_observed(images, Mode::Train, &mut |node, op, output| {
        if pools(op) {
            let read = maps.get(&graph.node(node).inputs[0]).and_then(Option::as_ref);
            features = read.map(Tensor::shallow_clone);
        }
        if let Some(map) = maps.get_mut(&node) {
            *map = Some(output.shallow_clone());
        }
        Ok(())
    })?;
    features.ok_or_else(|| EvaluationError::NotApplicable {
        metric: METRIC,
        reason: "the network does not end in a map that is pooled or flattened".to_owned(),
    })
}
