//! How a network with ReLUs is read as a spiking one: the neurons in their place, and for how long they run. It
//! must not know how a neuron is computed.

use serde::{Deserialize, Serialize};

use crate::spec::Section;

/// The spiking reading of a network: each ReLU is a layer of leaky integrate-and-fire neurons. Defaults are
/// those of SpikingJelly (Fang et al., Science Advances 2023).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpikingSettings {
    /// Time steps, in each of which the image is put in anew, 1 to 1,000.
    pub steps: u32,
    /// The time constant of the membrane in time steps, 1 to 1,000,000.
    pub tau: f64,
    /// The potential from which on a neuron spikes, 1e-6 to 1,000,000; at rest it is 0.
    pub threshold: f64,
    /// What a spike leaves behind.
    pub reset: Reset,
    /// Whether the input is divided by `tau` as well.
    pub decay_input: bool,
    /// What `autost` adds: this over the `naswot` of the network, 0 to 1e12.
    pub naswot_weight: f64,
}

/// What a spike leaves of the membrane's potential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// Nothing: it is 0.
    #[default]
    Hard,
    /// What it had above the threshold.
    Soft,
}

impl Default for SpikingSettings {
    fn default() -> Self {
        Self {
            steps: 4,
            tau: 2.0,
            threshold: 1.0,
            reset: Reset::default(),
            decay_input: true,
            naswot_weight: 0.0,
        }
    }
}

pub(super) fn check(section: &Section<'_>, spiking: &SpikingSettings) {
    section.check_range("spiking.steps", spiking.steps, 1..=1_000);
    section.check_range("spiking.tau", spiking.tau, 1.0..=1e6);
    section.check_range("spiking.threshold", spiking.threshold, 1e-6..=1e6);
    section.check_range("spiking.naswot_weight", spiking.naswot_weight, 0.0..=1e12);
}
