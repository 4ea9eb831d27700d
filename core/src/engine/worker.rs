//! A worker as the engine sees it: what it can do, whether it is here, and how much it can take.
//!
//! ```text
//! (unknown) --register--> Connected --disconnect--> Away --register--> Connected
//!                            |  goodbye -> Away            (leases handed back)
//! ```
//! A connected worker gets work unless it drains (it finishes what it has and says goodbye) or is in
//! quarantine (too many failures, until it is released). Both outlive a connection.
//! A worker that reports `bad_node` for a stage is barred from it until it registers anew.
//! Must not know streams or processes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::policy::QuarantineRule;
use super::ready::Kind;
use crate::id::{CampaignId, CandidateId, SessionId, TaskId, WorkerId};
use crate::objective::{MetricName, Provenance};
use crate::spec::Stage;
use crate::time::Timestamp;

/// An evaluator that a worker offers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EvaluatorOffer {
    /// The evaluator's name.
    pub name: Arc<str>,
    /// Its version; results of different versions are different results.
    pub version: Arc<str>,
    /// The metrics that it can deliver here, with where their values come from.
    pub metrics: BTreeMap<MetricName, Provenance>,
    /// Whether an evaluation that is stopped can leave its state for another attempt.
    #[serde(default)]
    pub yields: bool,
}

/// What a worker can do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// The class of device, such as `cpu:Xeon-2.5GHz:1t` or `NVIDIA A100-SXM4-40GB`.
    pub device_class: Arc<str>,
    /// Memory of one slot's device, bytes; 0 if unknown.
    pub memory_bytes: u64,
    /// How many evaluations run at once.
    pub slots: u32,
    /// Evaluators on offer.
    pub evaluators: Vec<EvaluatorOffer>,
    /// Data sets that are present and well formed.
    pub datasets: BTreeSet<Arc<str>>,
    /// Of data sets, what names their content, as far as the evaluators say; without it no result on
    /// them is kept.
    pub fingerprints: BTreeMap<Arc<str>, Arc<str>>,
    /// What the worker lacks and why, for people: name, reason.
    pub unavailable: BTreeMap<Arc<str>, Arc<str>>,
    /// Free labels for placement.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
}

impl Capabilities {
    /// Why `stage` cannot run here, `None` if it can.
    #[must_use]
    pub fn lacks(&self, stage: &Stage) -> Option<String> {
        let Some(offer) = self.offer(&stage.evaluator) else {
            return Some(self.missing("evaluator", &stage.evaluator));
        };
        for metric in stage.measures.iter().map(|metric| stage.asked(metric)) {
            if !offer.metrics.contains_key(metric) {
                return Some(self.missing("metric", metric.as_str()));
            }
        }
        if let Some(dataset) = &stage.dataset
            && !self.datasets.contains(dataset)
        {
            return Some(self.missing("data set", dataset));
        }
        for (label, value) in &stage.labels {
            match self.labels.get(label) {
                Some(found) if found == value => {}
                Some(found) => return Some(format!("its label {label} is {found}, not {value}")),
                None => return Some(format!("it has no label {label}")),
            }
        }
        None
    }

    /// What it offers of an evaluator.
    #[must_use]
    pub fn offer(&self, evaluator: &str) -> Option<&EvaluatorOffer> {
        self.evaluators.iter().find(|offer| *offer.name == *evaluator)
    }

    fn missing(&self, what: &str, name: &str) -> String {
        match self.unavailable.get(name) {
            Some(reason) => format!("it lacks the {what} {name}: {reason}"),
            None => format!("it does not offer the {what} {name}"),
        }
    }
}

/// The most leases of a worker for each of its slots. A slot works on one task and has one waiting; the
/// others leave time for reports of quick evaluations that are still on their way.
const HELD_PER_SLOT: u32 = 16;
/// What a worker may hold however few slots it has.
const HELD_BY_ANYONE: u32 = 64;

/// A registered worker. Fields are written by `apply` alone.
#[derive(Debug, Clone)]
pub struct Worker {
    pub(super) id: WorkerId,
    pub(super) name: Arc<str>,
    pub(super) session: SessionId,
    pub(super) capabilities: Arc<Capabilities>,
    pub(super) kind: Kind,
    pub(super) connected: bool,
    pub(super) last_seen: Timestamp,
    pub(super) credit: u32,
    pub(super) leases: BTreeSet<TaskId>,
    /// The stages that it said it cannot evaluate after all, with its reason; until it registers
    /// anew.
    pub(super) barred: BTreeMap<(CampaignId, u8), Box<str>>,
    pub(super) completed: u64,
    pub(super) failed: u64,
    /// Whether it was told to finish what it has and to leave.
    pub(super) draining: bool,
    /// Whether it says that it does so; until it registers anew.
    pub(super) leaving: bool,
    /// Why it gets no work, if it is not trusted.
    pub(super) quarantine: Option<Quarantine>,
    /// Its latest attempts: the candidate of each that speaks against it, `None` for a success.
    pub(super) record: VecDeque<Option<CandidateId>>,
    /// The campaigns that have taken a slot of it and not got it yet.
    pub(super) vacated: Vec<CampaignId>,
}

/// Why a worker is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Since when.
    pub since: Timestamp,
    /// What happened, in words.
    pub reason: Box<str>,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
}

impl Worker {
    /// One that has just connected, under its name and session, with what it offers.
    pub(super) fn new(
        id: WorkerId,
        (name, session): (Arc<str>, SessionId),
        (capabilities, kind): (Arc<Capabilities>, Kind),
        at: Timestamp,
    ) -> Self {
        Self {
            id,
            name,
            session,
            capabilities,
            kind,
            connected: true,
            last_seen: at,
            credit: 0,
            leases: BTreeSet::new(),
            barred: BTreeMap::new(),
            completed: 0,
            failed: 0,
            draining: false,
            leaving: false,
            quarantine: None,
            record: VecDeque::new(),
            vacated: Vec::new(),
        }
    }

    /// Whether it gets work when it has room.
    pub(super) fn takes_work(&self) -> bool {
        self.connected && !self.is_draining() && self.quarantine.is_none()
    }

    /// Notes how an attempt ended.
    pub(super) fn note(&mut self, failed: Option<CandidateId>) {
        if self.record.len() >= QuarantineRule::MOST as usize {
            self.record.pop_front();
        }
        self.record.push_back(failed);
    }

    /// Whether it finishes what it has and leaves.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining || self.leaving
    }

    /// Why it gets no work, if it is not trusted.
    #[must_use]
    pub fn quarantine(&self) -> Option<&Quarantine> {
        self.quarantine.as_ref()
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// The name it keeps for life.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its latest connection.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// What it can do.
    #[must_use]
    pub fn capabilities(&self) -> &Arc<Capabilities> {
        &self.capabilities
    }

    /// Whether its latest connection is open.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// When it was last heard of.
    #[must_use]
    pub fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    /// How many more tasks it has asked for.
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.credit
    }

    /// How many more tasks it gets at most: what it has asked for, as long as it does not hold far more
    /// than its slots can work on. What it asks for beyond that is remembered.
    #[must_use]
    pub fn room(&self) -> u32 {
        let most = self.capabilities.slots.saturating_mul(HELD_PER_SLOT).max(HELD_BY_ANYONE);
        self.credit.min(most.saturating_sub(self.leases.len() as u32))
    }

    /// The tasks it holds leases of.
    #[must_use]
    pub fn leases(&self) -> &BTreeSet<TaskId> {
        &self.leases
    }

    /// How many of its attempts delivered a result.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// How many of its attempts failed, those among them that it handed back unfinished.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::CampaignSpec;

    fn offer(name: &str, metrics: &[&str]) -> EvaluatorOffer {
        let provenance = Provenance { source: "trained".into(), device_class: "".into() };
        let metrics = metrics.iter().map(|metric| ((*metric).into(), provenance.clone()));
        EvaluatorOffer {
            name: name.into(),
            version: "1".into(),
            metrics: metrics.collect(),
            yields: false,
        }
    }

    #[test]
    fn a_stage_of_a_users_evaluator_goes_where_name_metrics_and_data_set_are_offered() {
        let spec = CampaignSpec::parse(
            "{version: 1, name: own, space: nasbench201, metrics: {speed: {}}, objectives: [speed],
              stages: [{evaluator: custom/mine, measures: [speed, accuracy], dataset: digits}],
              budget: {evaluations: 10}}",
        );
        let spec = spec.unwrap_or_else(|faults| panic!("{faults}"));
        let mut worker = Capabilities {
            evaluators: vec![offer("custom/other", &["speed"]), offer("train", &["accuracy"])],
            ..Capabilities::default()
        };
        let lacks = |worker: &Capabilities| worker.lacks(&spec.stages[0]).unwrap_or_default();
        assert_eq!(lacks(&worker), "it does not offer the evaluator custom/mine");
        worker.evaluators.push(offer("custom/mine", &["accuracy"]));
        assert_eq!(lacks(&worker), "it does not offer the metric speed");
        worker.evaluators[2] = offer("custom/mine", &["accuracy", "speed"]);
        assert_eq!(lacks(&worker), "it does not offer the data set digits");
        worker.datasets.insert("digits".into());
        assert_eq!(lacks(&worker), "");
    }
}
