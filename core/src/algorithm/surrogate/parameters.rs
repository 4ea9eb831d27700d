//! The parameters of model-screened evolution: read from a campaign, checked, and written back. It
//! must not know what they do.

use serde::{Deserialize, Serialize};

use crate::spec::Section;

/// The parameters, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::algorithm) struct Parameters {
    /// Candidates of the initial design, which no model is asked for, 2 to 100,000.
    pub(in crate::algorithm) initial: u32,
    /// Until so many results each proposal is the best that the model finds; from then on it is
    /// the best of few offspring, 0 to 100,000.
    pub(in crate::algorithm) search_until: u32,
    /// The share of later proposals that come from a Parzen estimator, 0 to 1. Before, it is that of the candidates in
    /// flight among these and the results.
    pub(in crate::algorithm) parzen_share: f64,
    /// The most results that a model is fitted on, 20 to 2,000.
    pub(in crate::algorithm) training_results: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { initial: 12, search_until: 50, parzen_share: 0.6, training_results: 400 }
    }
}

impl Parameters {
    /// Reads the parameters; faults go into the section, `None` if there were any.
    pub(in crate::algorithm) fn read(section: &Section<'_>) -> Option<Self> {
        let read: Self = section.read();
        let ranges = [
            ("initial", read.initial, 2..=100_000),
            ("search_until", read.search_until, 0..=100_000),
            ("training_results", read.training_results, 20..=2_000),
        ];
        for (key, value, range) in ranges {
            section.check_range(key, value, range);
        }
        if !(0.0..=1.0).contains(&read.parzen_share) {
            section.fault(
                "parzen_share",
                format!("a share lies between 0 and 1, {} does not", read.parzen_share),
                "0.6 is the default",
            );
        }
        section.is_clean().then_some(read)
    }

    /// The parameters with every default filled in.
    pub(in crate::algorithm) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain numbers under text keys")
    }
}
