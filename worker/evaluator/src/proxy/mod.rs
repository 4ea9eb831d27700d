//! Zero-cost proxies: scores of an untrained network that rank architectures within seconds.
//!
//! A new proxy is one file here, one line in [`PROXIES`], and its line in the core's table of the
//! same name. Definitions are those of the code that published them; each file names its source.
//! Scores are computed from a [`Probe`]; they must not know data sets, repeats or the pipe.

mod fisher;
mod grad_norm;
mod grad_sign;
mod grasp;
mod jacob_cov;
mod jacobian;
mod knas;
mod linear_regions;
mod naswot;
mod neurons;
mod nn_mass;
mod ntk;
mod patterns;
mod plain;
mod probe;
mod snip;
mod spiking;
mod synflow;
mod zen;
mod zico;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use probe::{Gradients, Probe, Source, sample_size};

use crate::failure::EvaluationError;

/// A score by the name of its metric.
#[derive(Debug)]
pub struct Proxy {
    /// The metric.
    pub metric: &'static str,
    /// The score of the probed network; it may be infinite or NaN, which whoever asked refuses.
    pub score: fn(&Probe<'_>) -> Result<f64, EvaluationError>,
}

/// Every proxy.
pub const PROXIES: &[Proxy] = &[
    Proxy { metric: "grad_norm", score: grad_norm::score },
    Proxy { metric: "plain", score: plain::score },
    Proxy { metric: "snip", score: snip::score },
    Proxy { metric: "grasp", score: grasp::score },
    Proxy { metric: "synflow", score: synflow::score },
    Proxy { metric: "fisher", score: fisher::score },
    Proxy { metric: "jacob_cov", score: jacob_cov::score },
    Proxy { metric: "naswot", score: naswot::score },
    Proxy { metric: "linear_regions", score: linear_regions::score },
    Proxy { metric: "ntk_condition", score: ntk::score },
    Proxy { metric: "zen", score: zen::score },
    Proxy { metric: "zico", score: zico::score },
    Proxy { metric: "grad_sign", score: grad_sign::score },
    Proxy { metric: "knas_mgm", score: knas::mean_of_gram },
    Proxy { metric: "knas_mgm_code", score: knas::released_code },
    Proxy { metric: "jacobian_mean_square", score: jacobian::mean_square },
    Proxy { metric: "jacobian_condition", score: jacobian::condition },
    Proxy { metric: "nn_mass", score: nn_mass::score },
    Proxy { metric: "autost", score: spiking::operations_in_all },
    Proxy { metric: "spiking_energy", score: spiking::energy },
];
