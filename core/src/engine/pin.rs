//! Where the values of a campaign come from: what its first leases and first known results decide, so that
//! values which cannot be compared never meet. Must not know which worker gets work.
//!
//! Reasons: `docs/adr/0004-pinned-provenance.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache::ResultOrigin;
use super::worker::Capabilities;
use crate::objective::{Measurement, MetricName, Provenance};
use crate::spec::Stage;

/// What the values of a campaign come from, as far as that is decided.
#[derive(Debug, Clone, Default)]
pub(super) struct Pins {
    /// Of each metric.
    provenance: BTreeMap<MetricName, Provenance>,
    /// The version of each evaluator.
    versions: BTreeMap<Arc<str>, Arc<str>>,
    /// What names the content of each data set, where workers say.
    contents: BTreeMap<Arc<str>, Arc<str>>,
}

impl Pins {
    /// Where the values of a metric come from.
    pub(super) fn provenance(&self, metric: &MetricName) -> Option<&Provenance> {
        self.provenance.get(metric)
    }

    /// Decides what is open for a stage that somebody with these capabilities evaluates.
    pub(super) fn lease(&mut self, stage: &Stage, capabilities: &Capabilities) {
        let Some(offer) = capabilities.offer(&stage.evaluator) else { return };
        for metric in &stage.measures {
            if let Some(provenance) = offer.metrics.get(stage.asked(metric)) {
                self.provenance.entry(metric.clone()).or_insert_with(|| provenance.clone());
            }
        }
        self.versions.entry(offer.name.clone()).or_insert_with(|| offer.version.clone());
        if let Some(dataset) = &stage.dataset
            && let Some(content) = capabilities.fingerprints.get(dataset)
        {
            self.contents.entry(dataset.clone()).or_insert_with(|| content.clone());
        }
    }

    /// Decides what is open for values that were known and come from there.
    pub(super) fn take(&mut self, stage: &Stage, origin: &ResultOrigin, found: &[Measurement]) {
        for found in found {
            let pinned = self.provenance.entry(found.metric.clone());
            pinned.or_insert_with(|| found.provenance.clone());
        }
        let version = || origin.version.clone();
        self.versions.entry(stage.evaluator.clone()).or_insert_with(version);
        if let (Some(dataset), Some(content)) = (&stage.dataset, &origin.content) {
            self.contents.entry(dataset.clone()).or_insert_with(|| content.clone());
        }
    }

    /// What differs from what is decided, if somebody with these capabilities evaluated the stage.
    pub(super) fn differs(&self, stage: &Stage, capabilities: &Capabilities) -> Option<String> {
        let offer = capabilities.offer(&stage.evaluator)?;
        let of_metric = |metric: &MetricName| {
            let pinned = self.provenance.get(metric)?;
            let offered = offer.metrics.get(stage.asked(metric))?;
            (pinned != offered).then(|| {
                format!(
                    "its {metric} comes from {} on {}, the campaign's from {} on {}",
                    offered.source, offered.device_class, pinned.source, pinned.device_class
                )
            })
        };
        stage.measures.iter().find_map(of_metric).or_else(|| {
            let pinned = self.versions.get(&offer.name)?;
            (*pinned != offer.version).then(|| {
                format!(
                    "its {} has version {}, the campaign's values come from version {pinned}",
                    offer.name, offer.version
                )
            })
        }).or_else(|| {
            let dataset = stage.dataset.as_ref()?;
            let (pinned, found) =
                (self.contents.get(dataset)?, capabilities.fingerprints.get(dataset)?);
            (pinned != found).then(|| {
                format!("its data set {dataset} has another content than the campaign's values come from")
            })
        })
    }
}
