//! `autost` and `spiking_energy`: scores of the network as a spiking one (AutoST, Wang et al., ICASSP 2024,
//! arXiv 2307.00293). Each ReLU is a layer of leaky integrate-and-fire neurons, and the same image is put in
//! at each of a number of time steps.
//!
//! `autost` is the number of multiply-accumulates of all steps in G, whether they are carried out or not, as
//! the published search counts them, plus a weight, 0 unless set, over [`naswot`](super::naswot), which
//! has to be finite then.
//! `spiking_energy` runs one batch through the untrained network, in training mode and step by step, so that a
//! step does not depend on later ones. A layer whose input is all 0 or 1 only adds weights up, for as large a
//! share of its multiply-accumulates as its input has spikes; any other, such as the first, multiplies.
//! Attention multiplies. An addition takes 0.9 pJ and a multiply-accumulate 4.6 pJ (Horowitz 2014: 45 nm).
//!
//! Networks with ReLUs and without other activations alone. Must not know how a neuron's potential goes on.

use std::collections::{BTreeMap, BTreeSet};

use cambrian_core::graph::{ADD_PICOJOULES, Graph, MAC_PICOJOULES, NodeId, Op};
use cambrian_core::spec::SpikingSettings;
use tch::{Kind, Tensor};

use super::neurons::Neurons;
use super::{Probe, naswot};
use crate::failure::EvaluationError;
use crate::network::{Mode, Network};

/// `autost`.
pub(super) fn operations_in_all(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    check(probe.graph(), "autost")?;
    let SpikingSettings { steps, naswot_weight, .. } = probe.spiking();
    let operations = f64::from(steps) * probe.graph().macs() as f64 / 1e9;
    if naswot_weight == 0.0 {
        return Ok(operations);
    }
    let naswot = naswot::score(probe)?;
    if !naswot.is_finite() {
        return Err(EvaluationError::NonFinite(format!(
            "`autost` has no value: with a `naswot_weight` it needs the `naswot` of the network, which \
             is {naswot}"
        )));
    }
    Ok(operations + naswot_weight / naswot)
}

/// `spiking_energy`.
pub(super) fn energy(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    check(probe.graph(), "spiking_energy")?;
    let (images, _) = probe.batch(0)?;
    let network = probe.network()?;
    let run = || probe.check();
    Ok(operations(probe.graph(), &network, &images, probe.spiking(), &run)?.millijoules())
}

/// Only ReLUs have a spiking reading.
fn check(graph: &Graph, metric: &'static str) -> Result<(), EvaluationError> {
    let mut activations = graph.nodes().iter().map(|node| node.op).filter(|op| op.is_activation());
    let reason = match activations.clone().find(|op| *op != Op::Relu) {
        Some(op) => format!("the network has {} in it, and only ReLUs can spike", op.name()),
        None if activations.next().is_none() => {
            "the network has no ReLU that could spike".to_owned()
        }
        None => return Ok(()),
    };
    Err(EvaluationError::NotApplicable { metric, reason })
}

/// What one inference of one image takes, all time steps together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Operations {
    /// Multiply-accumulates.
    pub(super) multiplied: f64,
    /// Additions of weights.
    pub(super) accumulated: f64,
}

impl Operations {
    /// By the 45 nm model.
    pub(super) fn millijoules(self) -> f64 {
        let picojoules = MAC_PICOJOULES * self.multiplied + ADD_PICOJOULES * self.accumulated;
        picojoules * 1e-9
    }
}

/// The operations of `network` on `images`, mean over these.
pub(super) fn operations(
    graph: &Graph,
    network: &Network,
    images: &Tensor,
    settings: SpikingSettings,
    check: &dyn Fn() -> Result<(), EvaluationError>,
) -> Result<Operations, EvaluationError> {
    let _guard = tch::no_grad_guard();
    let layers = graph.nodes().iter().filter(|node| is_layer(node.op));
    let sources: BTreeSet<NodeId> = layers.map(|layer| layer.inputs[0]).collect();
    let mut neurons = Neurons::new(settings);
    let mut total = Operations::default();
    for _ in 0..settings.steps {
        check()?;
        // The rates of spikes among what layers read, where it is binary.
        let mut rates: BTreeMap<NodeId, f64> = BTreeMap::new();
        let _ = network.forward_activated(
            images,
            Mode::Train,
            &mut |node, input| Ok(neurons.step(node, input)?),
            &mut |node, op, output| {
                let count = graph.macs_of(node) as f64;
                let read = graph.node(node).inputs.first().filter(|_| is_layer(op));
                match read.and_then(|read| rates.get(read)) {
                    Some(rate) => total.accumulated += rate * count,
                    None => total.multiplied += count,
                }
                if sources.contains(&node)
                    && let Some(rate) = spike_rate(output)?
                {
                    rates.insert(node, rate);
                }
                Ok(())
            },
        )?;
    }
    Ok(total)
}

/// Whether it multiplies what it reads with weights that do not depend on it.
fn is_layer(op: Op) -> bool {
    matches!(op, Op::Conv2d { .. } | Op::Linear { .. } | Op::FilterBank)
}

/// The share of ones in `values` if all are 0 or 1.
fn spike_rate(values: &Tensor) -> Result<Option<f64>, EvaluationError> {
    let binary = values.f_eq_tensor(&values.f_square()?)?.f_all()?.f_int64_value(&[])? != 0;
    Ok(if binary { Some(values.f_mean(Kind::Double)?.f_double_value(&[])?) } else { None })
}

#[cfg(test)]
mod tests;
