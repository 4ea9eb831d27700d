//! Leaky integrate-and-fire neurons in discrete time, as SpikingJelly computes them (Fang et al., Science
//! Advances 2023). They must not know networks.

use std::collections::BTreeMap;

use cambrian_core::graph::NodeId;
use cambrian_core::spec::{Reset, SpikingSettings};
use tch::{TchError, Tensor};

/// All neurons of a network, at rest before the first step.
#[derive(Debug)]
pub(super) struct Neurons {
    settings: SpikingSettings,
    /// The potentials of the neurons in the place of each node.
    potentials: BTreeMap<NodeId, Tensor>,
}

impl Neurons {
    pub(super) fn new(settings: SpikingSettings) -> Self {
        Self { settings, potentials: BTreeMap::new() }
    }

    /// The next time step of the neurons of one node: their spikes, 0 or 1, in the shape of their input.
    ///
    /// The potential `v` decays and takes the input `x` in, `v + (x - v) / tau`, or `v - v / tau + x` where the
    /// input does not decay. A neuron spikes if it has reached the threshold, and is reset.
    pub(super) fn step(&mut self, node: NodeId, input: &Tensor) -> Result<Tensor, TchError> {
        let SpikingSettings { tau, threshold, reset, decay_input, .. } = self.settings;
        let before = match self.potentials.remove(&node) {
            Some(potential) => potential,
            None => input.f_zeros_like()?,
        };
        let potential = match decay_input {
            true => before.f_add(&input.f_sub(&before)?.f_div_scalar(tau)?)?,
            false => before.f_sub(&before.f_div_scalar(tau)?)?.f_add(input)?,
        };
        let spiking = potential.f_ge(threshold)?;
        let spikes = spiking.f_to_kind(input.kind())?;
        let after = match reset {
            Reset::Hard => potential.f_masked_fill(&spiking, 0.0)?,
            Reset::Soft => potential.f_sub(&spikes.f_mul_scalar(threshold)?)?,
        };
        self.potentials.insert(node, after);
        Ok(spikes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spikes and potentials of one neuron with these inputs.
    fn course(settings: SpikingSettings, inputs: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut neurons = Neurons::new(settings);
        let node = NodeId(1);
        let mut step = |input: &f64| {
            let spike = neurons.step(node, &Tensor::from_slice(&[*input])).unwrap();
            (spike.double_value(&[0]), neurons.potentials[&node].double_value(&[0]))
        };
        inputs.iter().map(&mut step).unzip()
    }

    #[test]
    fn the_potential_decays_and_is_reset() {
        let hard = SpikingSettings::default();
        let soft = SpikingSettings { reset: Reset::Soft, ..hard };
        let inputs = [1.5, 1.5, 1.5, 1.5];
        assert_eq!(course(hard, &inputs), (vec![0.0, 1.0, 0.0, 1.0], vec![0.75, 0.0, 0.75, 0.0]));
        let expected = (vec![0.0, 1.0, 0.0, 1.0], vec![0.75, 0.125, 0.8125, 0.15625]);
        assert_eq!(course(soft, &inputs), expected);
    }

    #[test]
    fn an_input_that_does_not_decay_is_taken_in_whole() {
        let settings =
            SpikingSettings { decay_input: false, tau: 4.0, ..SpikingSettings::default() };
        let expected = (vec![0.0, 1.0, 0.0], vec![0.625, 0.0, -0.5]);
        assert_eq!(course(settings, &[0.625, 0.625, -0.5]), expected);
    }

    #[test]
    fn a_neuron_spikes_at_its_threshold_exactly() {
        let settings = SpikingSettings { threshold: 0.5, tau: 1.0, ..SpikingSettings::default() };
        assert_eq!(course(settings, &[0.5, 0.499, 7.0]).0, [1.0, 0.0, 1.0]);
    }

    #[test]
    fn the_neurons_of_two_nodes_have_nothing_in_common() {
        let mut neurons = Neurons::new(SpikingSettings::default());
        let input = Tensor::from_slice(&[1.5]);
        let mut spikes = |node| neurons.step(NodeId(node), &input).unwrap().double_value(&[0]);
        assert_eq!([1, 2, 1, 2].map(&mut spikes), [0.0, 0.0, 1.0, 1.0]);
    }
}
