//! The whole state of a cluster, and the digest by which replays are compared.
//!
//! Written by `apply` alone. Indices (`deadlines`, `ready`, a campaign's `queue` and `leased`) are
//! redundant on purpose, so that no command scans everything; `check` verifies them. Must not know what an
//! event means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::budget::Spent;
use super::cache::KnownResults;
use super::campaign::Campaign;
use super::candidate::{Candidate, CandidateStatus};
use super::command::SubmissionId;
use super::lease_order::LeaseOrder;
use super::policy::FleetPolicy;
use super::ready::{Kinds, Ready};
use super::share::Shares;
use super::task::Task;
use super::worker::Worker;
use crate::id::{CampaignId, CandidateId, Ordinal, TaskId, WorkerId};
use crate::time::{Span, Timestamp};

/// Everything the engine knows.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(super) campaigns: BTreeMap<CampaignId, Campaign>,
    pub(super) submissions: BTreeMap<SubmissionId, CampaignId>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    /// The candidate of every task that ever was; task 1 comes first.
    pub(super) task_candidates: Vec<CandidateId>,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) worker_names: BTreeMap<Arc<str>, WorkerId>,
    /// Campaigns that are not finished.
    pub(super) active: BTreeSet<CampaignId>,
    /// Who is served next.
    pub(super) shares: Shares,
    /// Campaigns with work to give that take slots from lower priorities.
    pub(super) preempting: BTreeSet<CampaignId>,
    /// All leases, in the order in which they end for campaigns that do not wait.
    pub(super) leases: LeaseOrder,
    /// What each user has used.
    pub(super) spent: BTreeMap<Arc<str>, Spent>,
    /// Of each user, whether a budget forbids leases, and whether one forbids proposals.
    pub(super) limits_reached: BTreeMap<Arc<str>, (bool, bool)>,
    /// The operator's rules.
    pub(super) policy: Arc<FleetPolicy>,
    /// The results that campaigns may take instead of evaluating.
    pub(super) results: KnownResults,
    /// When quarantines end.
    pub(super) releases: BTreeSet<(Timestamp, WorkerId)>,
    pub(super) deadlines: BTreeSet<(Timestamp, TaskId)>,
    /// Workers with room that take work.
    pub(super) ready: Ready,
    pub(super) kinds: Kinds,
    pub(super) lease_length: Span,
    pub(super) durable_events: u64,
    pub(super) now: Timestamp,
}

impl State {
    /// All campaigns, ascending.
    pub fn campaigns(&self) -> impl Iterator<Item = &Campaign> {
        self.campaigns.values()
    }

    /// The campaign with this number.
    #[must_use]
    pub fn campaign(&self, id: CampaignId) -> Option<&Campaign> {
        self.campaigns.get(&id)
    }

    /// The campaign that a submission created.
    #[must_use]
    pub fn submitted_as(&self, submission: SubmissionId) -> Option<CampaignId> {
        self.submissions.get(&submission).copied()
    }

    /// All workers that ever registered, ascending.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// The worker with this number.
    #[must_use]
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// The worker called `number_or_name`. Numbers go first, so that no worker can take the place of another
    /// by its name.
    #[must_use]
    pub fn find_worker(&self, number_or_name: &str) -> Option<&Worker> {
        let numbered = number_or_name.parse().ok().and_then(|id| self.workers.get(&id));
        numbered.or_else(|| self.workers.get(self.worker_names.get(number_or_name)?))
    }

    /// The tasks whose leases have run out, those of the earliest deadline first.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<TaskId> {
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        due.map(|(_, task)| *task).collect()
    }

    /// The live tasks, ascending.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// The live task with this number.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    /// The candidate of a task, live or not.
    #[must_use]
    pub fn candidate_of_task(&self, id: TaskId) -> Option<CandidateId> {
        self.task_candidates.get(usize::try_from(id.0).ok()?.checked_sub(1)?).copied()
    }

    /// How many durable events have been applied.
    #[must_use]
    pub fn durable_events(&self) -> u64 {
        self.durable_events
    }

    /// The instant of the latest event.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A hash over what a search is judged by: tasks, genotypes, values, statuses, populations, fronts, reference
    /// points, results taken and kept, checkpoints and samples. Equal states of a live engine and its replay have
    /// equal digests. Accounts, workers and policy are [`State::check`]'s.
    #[must_use]
    pub fn digest(&self) -> blake3::Hash {
        let mut digest = Digest(blake3::Hasher::new());
        self.tasks.values().for_each(|task| digest.task(task));
        self.campaigns.values().for_each(|campaign| digest.campaign(campaign));
        for ((key, campaign), known) in &self.results {
            digest.bytes(key.as_bytes());
            digest.number(campaign.0);
            digest.place(known.ordinal, known.stage);
        }
        for (ordinal, samples) in self.campaigns.values().flat_map(|found| &found.samples) {
            digest.0.update(&ordinal.0.to_le_bytes());
            for measurement in samples.iter().flatten() {
                digest.number(measurement.value().to_bits());
            }
        }
        digest.0.finalize()
    }
}

/// A hash of numbers, in the order in which they are told.
struct Digest(blake3::Hasher);

impl Digest {
    fn number(&mut self, value: impl Into<u64>) {
        self.0.update(&value.into().to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.number(*byte));
    }

    fn place(&mut self, ordinal: Ordinal, stage: u8) {
        self.number(u64::from(ordinal.0) << 8 | u64::from(stage));
    }

    fn task(&mut self, task: &Task) {
        self.number(task.id.0);
        self.number(task.attempt.0);
        self.number(task.counted);
        if task.repeat > 0 {
            self.number(task.repeat);
        }
        if let Some(standing) = task.hopeless {
            self.number(standing.step);
            self.number(standing.value.to_bits());
        }
        if let Some(left) = task.left {
            self.number(left.attempt.0);
            self.number(left.step);
        }
    }

    fn campaign(&mut self, campaign: &Campaign) {
        self.number(campaign.id.0);
        self.number(campaign.started);
        self.number(status_code(campaign));
        campaign.candidates.iter().for_each(|candidate| self.candidate(candidate));
        for ordinal in campaign.algorithm.population() {
            self.number(ordinal.0);
        }
        for (ordinal, objectives) in campaign.front.iter() {
            self.number(ordinal.0);
            objectives.iter().for_each(|value| self.number(value.to_bits()));
        }
        for value in campaign.reference.iter().flatten() {
            self.number(value.to_bits());
        }
        for ((ordinal, stage), origin) in &campaign.taken {
            self.place(*ordinal, *stage);
            self.number(origin.candidate.campaign.0);
            self.place(origin.candidate.ordinal, origin.stage);
        }
        for ((ordinal, stage), checkpoint) in &campaign.checkpoints {
            self.number(ordinal.0);
            self.number(*stage);
            self.bytes(checkpoint.as_bytes());
        }
    }

    fn candidate(&mut self, candidate: &Candidate) {
        for gene in &candidate.proposal.genotype.0 {
            self.number(*gene);
        }
        self.number(candidate_code(&candidate.status));
        for stored in &candidate.measurements {
            self.number(stored.column);
            self.number(stored.value.to_bits());
            self.number(stored.spread.map_or(0, f64::to_bits));
        }
    }
}

fn status_code(campaign: &Campaign) -> u64 {
    use super::campaign::CampaignStatus::{Draining, Finished, Paused, Running};
    match campaign.status {
        Running => 1,
        Paused => 2,
        Draining(reason) => 16 + reason as u64,
        Finished(reason) => 32 + reason as u64,
    }
}

fn candidate_code(status: &CandidateStatus) -> u64 {
    match status {
        CandidateStatus::Proposed => 1,
        CandidateStatus::InStage { stage, .. } => 16 + u64::from(*stage),
        CandidateStatus::Scored { violation } => violation.to_bits() | 1 << 63,
        CandidateStatus::Waiting { stage } => 512 + u64::from(*stage),
        CandidateStatus::Screened(screening) => 2048 + u64::from(screening.stage),
        CandidateStatus::Infeasible(_) => 2,
        CandidateStatus::Failed(failure) => 1024 + failure.kind as u64,
    }
}
