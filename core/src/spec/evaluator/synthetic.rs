//! Settings of `synthetic`: made-up results for dry runs and tests of a cluster.

use serde::{Deserialize, Serialize};

use super::{CheckedSettings, Curves, EvaluatorEntry, Needs, differ_by_noise, to_json};
use crate::spec::Section;

/// The table's line.
pub(super) const ENTRY: EvaluatorEntry = EvaluatorEntry {
    name: "synthetic",
    summary: "makes up every metric from the network alone, for dry runs; can fail on purpose",
    metrics: &["accuracy", "test_accuracy", "introspectability", "latency", "energy"],
    delivers_any: false,
    needs: Needs::Network,
    continues: None,
    repeats: differ_by_noise,
    curves: Curves::Of(&["accuracy"]),
    check,
};

/// Settings of the evaluator `synthetic`. Every metric is a deterministic function of the graph, but for
/// noise by the assignment's seed; durations and failures depend on the seed and the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyntheticSettings {
    /// The mean duration of one evaluation in seconds, 0 to 86,400.
    pub seconds: f64,
    /// The duration is drawn uniformly from `seconds` times 1 ± this, 0 to 1.
    pub spread: f64,
    /// How many steps of progress are reported, 1 to 100,000.
    pub steps: u32,
    /// The standard deviation of the normal noise of each value, relative to the value, 0 to 1; drawn by
    /// the assignment's seed.
    pub noise: f64,
    /// What goes wrong, and how often.
    pub faults: SyntheticFaults,
}

/// The probability of each failure of one attempt, 0 to 1; together at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyntheticFaults {
    /// The process aborts.
    pub crash: f64,
    /// The process goes silent and never ends.
    pub hang: f64,
    /// The loss becomes NaN.
    pub non_finite: f64,
    /// The device's memory does not suffice.
    pub out_of_memory: f64,
    /// The process writes what is no message.
    pub protocol_error: f64,
}

impl Default for SyntheticSettings {
    fn default() -> Self {
        Self { seconds: 0.0, spread: 0.0, steps: 1, noise: 0.0, faults: SyntheticFaults::default() }
    }
}

fn check(section: &Section<'_>) -> Option<CheckedSettings> {
    let settings: SyntheticSettings = section.read();
    section.check_range("seconds", settings.seconds, 0.0..=86_400.0);
    section.check_range("spread", settings.spread, 0.0..=1.0);
    section.check_range("noise", settings.noise, 0.0..=1.0);
    section.check_range("steps", settings.steps, 1..=100_000);
    let SyntheticFaults { crash, hang, non_finite, out_of_memory, protocol_error } =
        settings.faults;
    let probabilities = [
        ("faults.crash", crash),
        ("faults.hang", hang),
        ("faults.non_finite", non_finite),
        ("faults.out_of_memory", out_of_memory),
        ("faults.protocol_error", protocol_error),
    ];
    for (key, probability) in probabilities {
        section.check_range(key, probability, 0.0..=1.0);
    }
    let total: f64 = probabilities.iter().map(|(_, probability)| probability).sum();
    // A little above 1 is the rounding of probabilities that add up to 1.
    if section.is_clean() && total > 1.0 + 1e-9 {
        section.fault(
            "faults",
            format!("the probabilities add up to {total}"),
            "lower them: one attempt fails in one way at most, so their sum cannot exceed 1",
        );
    }
    section.is_clean().then(|| CheckedSettings {
        settings: to_json(&settings),
        dataset: None,
        delivers: None,
    })
}
