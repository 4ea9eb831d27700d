//! What the engine-driven tests share: capabilities, campaigns, evaluators without a network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cambrian_core::engine::{Capabilities, EvaluatorOffer};
use cambrian_core::objective::{Measurement, MetricName, Provenance};
use cambrian_core::spec::CampaignSpec;

/// Where simulated values come from.
pub(crate) fn provenance() -> Provenance {
    Provenance { source: "simulated".into(), device_class: "simulated".into() }
}

/// A worker that offers these evaluators, each with `metrics`.
pub(crate) fn capabilities(evaluators: &[&str], metrics: &[&str]) -> Arc<Capabilities> {
    let metrics: BTreeMap<MetricName, Provenance> =
        metrics.iter().map(|name| (MetricName::from(*name), provenance())).collect();
    let offer = |name: &&str| EvaluatorOffer {
        name: (*name).into(),
        version: "1".into(),
        metrics: metrics.clone(),
        yields: false,
    };
    Arc::new(Capabilities {
        device_class: "simulated".into(),
        memory_bytes: 0,
        slots: 1,
        evaluators: evaluators.iter().map(offer).collect(),
        datasets: BTreeSet::new(),
        fingerprints: BTreeMap::new(),
        unavailable: BTreeMap::new(),
        labels: BTreeMap::new(),
    })
}

/// A finite measurement.
pub(crate) fn measurement(metric: &str, value: f64) -> Measurement {
    Measurement::new(metric.into(), value, None, provenance()).expect("test values are finite")
}

/// A campaign that must parse.
pub(crate) fn campaign(yaml: &str) -> Arc<CampaignSpec> {
    Arc::new(CampaignSpec::parse(yaml).unwrap_or_else(|faults| panic!("{faults}\n{yaml}")))
}
