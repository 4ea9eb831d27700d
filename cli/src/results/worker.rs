//! What a coordinator says about workers.
//!
//! Must not know how they are shown.

use std::collections::BTreeMap;

use cambrian_proto::v1;
use serde::Serialize;

use super::Instant;
use super::read::named;
use crate::foreign::{self, Foreign};

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Worker {
    pub(crate) id: u32,
    pub(crate) name: Foreign,
    pub(crate) connected: bool,
    pub(crate) last_seen: Option<Instant>,
    pub(crate) device_class: Foreign,
    pub(crate) memory_bytes: u64,
    pub(crate) slots: u32,
    /// The evaluators with the metrics that each delivers here.
    pub(crate) evaluators: BTreeMap<Foreign, Vec<Foreign>>,
    /// The version of each of them.
    pub(crate) evaluator_versions: BTreeMap<Foreign, Foreign>,
    pub(crate) datasets: Vec<Foreign>,
    /// What is lacking, and why.
    pub(crate) unavailable: BTreeMap<Foreign, Foreign>,
    pub(crate) labels: BTreeMap<Foreign, Foreign>,
    pub(crate) tasks: Vec<u64>,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    /// The stages of unfinished campaigns that it cannot serve.
    pub(crate) unsuited: Vec<UnsuitedStage>,
    /// Whether it finishes what it has and leaves.
    pub(crate) draining: bool,
    /// Why it gets no work, if it is not trusted.
    pub(crate) quarantine: Option<Quarantine>,
}

/// Why a worker is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Quarantine {
    pub(crate) reason: Foreign,
    pub(crate) since: Option<Instant>,
    /// When it ends by itself, if it does.
    pub(crate) until: Option<Instant>,
}

/// What a worker is good for at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerState {
    /// It gets work.
    Connected,
    Draining,
    Away,
    Quarantine,
}

impl WorkerState {
    /// The state in a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Draining => "draining",
            Self::Away => "away",
            Self::Quarantine => "quarantine",
        }
    }
}

impl Worker {
    /// Its state; one in quarantine is that whether or not it is there.
    pub(crate) fn state(&self) -> WorkerState {
        match (&self.quarantine, self.connected) {
            (Some(_), _) => WorkerState::Quarantine,
            (None, false) => WorkerState::Away,
            (None, true) if self.draining => WorkerState::Draining,
            (None, true) => WorkerState::Connected,
        }
    }
}

/// A stage that a worker cannot serve, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct UnsuitedStage {
    pub(crate) campaign: u32,
    pub(crate) stage: Foreign,
    pub(crate) reason: Foreign,
}

impl From<v1::Worker> for Worker {
    fn from(message: v1::Worker) -> Self {
        let capabilities = message.capabilities.unwrap_or_default();
        let version =
            |offer: &v1::EvaluatorOffer| (offer.name.clone().into(), offer.version.clone().into());
        let offer = |offer: v1::EvaluatorOffer| {
            (offer.name.into(), offer.metrics.into_keys().map(Into::into).collect())
        };
        Self {
            id: message.id,
            name: message.name.into(),
            connected: message.connected,
            last_seen: Instant::known(message.last_seen_micros),
            device_class: capabilities.device_class.into(),
            memory_bytes: capabilities.memory_bytes,
            slots: capabilities.slots,
            evaluator_versions: capabilities.evaluators.iter().map(version).collect(),
            evaluators: capabilities.evaluators.into_iter().map(offer).collect(),
            datasets: foreign::all(capabilities.datasets),
            unavailable: named(capabilities.unavailable),
            labels: named(capabilities.labels),
            tasks: message.leases.iter().map(|lease| lease.task).collect(),
            completed: message.completed,
            failed: message.failed,
            unsuited: message.unsuited.into_iter().map(Into::into).collect(),
            draining: message.draining,
            quarantine: message.quarantine.map(|found| Quarantine {
                reason: found.reason.into(),
                since: Instant::known(found.since_micros),
                until: Instant::known(found.until_micros),
            }),
        }
    }
}

impl From<v1::UnsuitedStage> for UnsuitedStage {
    fn from(message: v1::UnsuitedStage) -> Self {
        Self {
            campaign: message.campaign,
            stage: message.stage.into(),
            reason: message.reason.into(),
        }
    }
}
