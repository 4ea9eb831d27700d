//! A campaign: its specification, its algorithm's state, and the ledger of its candidates.
//!
//! ```text
//! Running <-> Paused
//!    |          |
//!    +--> Draining(why) --> Finished(why)      cancel: straight to Finished
//! ```
//! Must not know workers beyond their ids and the provenance that its values are pinned to.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::cache::{ResultOrigin, recipes};
use super::candidate::{Candidate, CandidateStatus};
use super::command::SubmissionId;
use super::curve::CompletedCurve;
use super::pin::Pins;
use super::queue::Queue;
use super::rung::{Rung, StageTally};
use super::stop::Progress;
use crate::algorithm::{Algorithm, Known};
use crate::artifact::ArtifactId;
use crate::energy::Energy;
use crate::graph::CanonicalHash;
use crate::id::{CampaignId, CandidateId, Ordinal, TaskId, WorkerId};
use crate::objective::{Constraint, Measurement, MetricKind, MetricName, total_violation};
use crate::pareto::front::NonDominatedFront;
use crate::rng::{Purpose, Streams};
use crate::spec::{CampaignSpec, Stage};
use crate::time::{Span, Timestamp};

/// Why a campaign proposes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// All evaluations of the budget were dispatched.
    BudgetSpent,
    /// The budget's duration is over.
    TimeUp,
    /// The budget's time in slots is spent.
    SlotTimeSpent,
    /// The budget's energy is spent.
    EnergySpent,
    /// The target of its stop rules is reached.
    TargetReached,
    /// Its front has stopped growing.
    Stagnated,
    /// Every network of the space is known.
    SpaceExhausted,
    /// A user cancelled it.
    Cancelled,
    /// A long run of proposals all broke the analytic constraints.
    NothingFeasible,
}

impl fmt::Display for FinishReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FinishReason::BudgetSpent => "budget spent",
            FinishReason::TimeUp => "time is up",
            FinishReason::SlotTimeSpent => "time in slots spent",
            FinishReason::EnergySpent => "energy spent",
            FinishReason::TargetReached => "target reached",
            FinishReason::Stagnated => "no more progress",
            FinishReason::SpaceExhausted => "search space exhausted",
            FinishReason::Cancelled => "cancelled",
            FinishReason::NothingFeasible => "no candidate meets the analytic constraints",
        })
    }
}

/// Where a campaign is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CampaignStatus {
    /// Proposes and dispatches.
    Running,
    /// Dispatches nothing until resumed.
    Paused,
    /// Proposes nothing more; waits for what is in flight.
    Draining(FinishReason),
    /// Over.
    Finished(FinishReason),
}

impl CampaignStatus {
    /// The status in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CampaignStatus::Running => "running",
            CampaignStatus::Paused => "paused",
            CampaignStatus::Draining(_) => "draining",
            CampaignStatus::Finished(_) => "finished",
        }
    }

    /// Whether it gets work, if it has some for anybody.
    #[must_use]
    pub fn gets_work(self) -> bool {
        matches!(self, Self::Running | Self::Draining(_))
    }

    /// Whether what is not in work any more is given up: the campaign ends before its evaluations
    /// are spent.
    pub(super) fn ends_early(self) -> bool {
        let Self::Draining(reason) = self else { return false };
        matches!(
            reason,
            FinishReason::TimeUp
                | FinishReason::SlotTimeSpent
                | FinishReason::EnergySpent
                | FinishReason::TargetReached
                | FinishReason::Stagnated
        )
    }

    /// Why it drains or ended.
    #[must_use]
    pub fn reason(self) -> Option<FinishReason> {
        match self {
            CampaignStatus::Running | CampaignStatus::Paused => None,
            CampaignStatus::Draining(reason) | CampaignStatus::Finished(reason) => Some(reason),
        }
    }
}

/// The canonical hashes of all candidates of a campaign.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownNetworks(pub(super) HashSet<CanonicalHash>);

impl Known for KnownNetworks {
    fn contains(&self, key: &CanonicalHash) -> bool {
        self.0.contains(key)
    }
}

/// A campaign's state. Fields are written by `apply` alone.
#[derive(Debug, Clone)]
pub struct Campaign {
    pub(super) id: CampaignId,
    pub(super) submission: SubmissionId,
    pub(super) spec: Arc<CampaignSpec>,
    pub(super) source: Arc<str>,
    pub(super) owner: Option<Arc<str>>,
    pub(super) stages: Box<[Arc<Stage>]>,
    /// What each stage does, as far as keys of results depend on it.
    pub(super) recipes: Box<[CanonicalHash]>,
    /// The results that candidates took at a stage instead of being evaluated.
    pub(super) taken: BTreeMap<(Ordinal, u8), ResultOrigin>,
    /// The metrics that candidates may carry; stored measurements refer to positions here.
    pub(super) columns: Box<[MetricName]>,
    pub(super) status: CampaignStatus,
    pub(super) submitted_at: Timestamp,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) algorithm: Box<dyn Algorithm>,
    /// What proposals are drawn from, by ordinal.
    pub(super) proposals: Streams,
    /// The number of results of the model that is being fitted; volatile.
    pub(super) fitting: Option<u32>,
    /// Whether nobody has fitted the algorithm's model since the coordinator started.
    pub(super) unfitted: bool,
    pub(super) candidates: Vec<Candidate>,
    pub(super) known: KnownNetworks,
    pub(super) queue: Queue,
    pub(super) leased: BTreeSet<TaskId>,
    pub(super) started: u32,
    pub(super) scored: u32,
    /// Those of them that keep the constraints.
    pub(super) scored_feasible: u32,
    pub(super) infeasible: u32,
    pub(super) infeasible_in_a_row: u32,
    pub(super) failed: u32,
    pub(super) screened: u32,
    pub(super) front: NonDominatedFront<Ordinal>,
    pub(super) front_version: u64,
    pub(super) reference: Option<Box<[f64]>>,
    /// Time in slots of all attempts that have been reported.
    pub(super) slot_time: Span,
    /// Energy of all attempts whose evaluators reported it.
    pub(super) energy: Energy,
    /// Slots that it took from lower priorities and has not got yet; volatile.
    pub(super) claims: u32,
    /// Until when it takes none, since one went back to a lower priority; volatile.
    pub(super) takes_again_at: Timestamp,
    /// The first two workers that completed each stage.
    pub(super) served: Box<[BTreeSet<WorkerId>]>,
    /// What each stage has done and cost.
    pub(super) tallies: Box<[StageTally]>,
    /// The stages of which only the best go on.
    pub(super) rungs: BTreeMap<u8, Rung>,
    /// By candidate and stage: the state of trainings that a later stage continues.
    pub(super) checkpoints: BTreeMap<(Ordinal, u8), ArtifactId>,
    /// By candidate and stage: what was different from what was asked for.
    pub(super) notes: BTreeMap<(Ordinal, u8), Arc<str>>,
    /// What the repeats of the stages that candidates are in have measured so far, in order.
    pub(super) samples: BTreeMap<Ordinal, Vec<Box<[Measurement]>>>,
    /// By stage: the curves of the latest that have completed it, where evaluations are stopped early.
    pub(super) curves: BTreeMap<u8, VecDeque<CompletedCurve>>,
    pub(super) progress: Progress,
    pub(super) pins: Pins,
}

impl Campaign {
    pub(super) fn new(
        id: CampaignId,
        submission: SubmissionId,
        spec: Arc<CampaignSpec>,
        source: Arc<str>,
        at: Timestamp,
    ) -> Self {
        let algorithm = spec.algorithm.clone();
        let proposals = Streams::new(spec.seed, Purpose::Proposal);
        let stages = spec.stages.iter().cloned().map(Arc::new).collect();
        let front = NonDominatedFront::new(spec.objectives.len());
        let (columns, recipes) = (columns(&spec), recipes(&spec));
        let tallies = spec.stages.iter().map(|_| StageTally::default()).collect();
        let served = spec.stages.iter().map(|_| BTreeSet::new()).collect();
        let rungs = (0u8..).zip(&spec.passes).filter(|(_, pass)| pass.top.is_some());
        let rungs = rungs.map(|(stage, _)| (stage, Rung::default())).collect();
        Self {
            id,
            submission,
            spec,
            source,
            owner: None,
            stages,
            recipes,
            taken: BTreeMap::new(),
            columns,
            status: CampaignStatus::Running,
            submitted_at: at,
            finished_at: None,
            algorithm,
            proposals,
            fitting: None,
            unfitted: false,
            candidates: Vec::new(),
            known: KnownNetworks::default(),
            queue: Queue::default(),
            leased: BTreeSet::new(),
            started: 0,
            scored: 0,
            scored_feasible: 0,
            infeasible: 0,
            infeasible_in_a_row: 0,
            failed: 0,
            screened: 0,
            front,
            front_version: 0,
            reference: None,
            slot_time: Span(0),
            energy: Energy(0),
            claims: 0,
            takes_again_at: Timestamp(0),
            served,
            tallies,
            rungs,
            checkpoints: BTreeMap::new(),
            notes: BTreeMap::new(),
            samples: BTreeMap::new(),
            curves: BTreeMap::new(),
            progress: Progress::default(),
            pins: Pins::default(),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> CampaignId {
        self.id
    }

    /// The submission that created it.
    #[must_use]
    pub fn submission(&self) -> SubmissionId {
        self.submission
    }

    /// The checked specification.
    #[must_use]
    pub fn spec(&self) -> &Arc<CampaignSpec> {
        &self.spec
    }

    /// The file as the user wrote it.
    #[must_use]
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// Who submitted it, where that was known.
    #[must_use]
    pub fn owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    /// Where it is in its life.
    #[must_use]
    pub fn status(&self) -> CampaignStatus {
        self.status
    }

    /// When it was submitted.
    #[must_use]
    pub fn submitted_at(&self) -> Timestamp {
        self.submitted_at
    }

    /// The algorithm's state.
    #[must_use]
    pub fn algorithm(&self) -> &dyn Algorithm {
        self.algorithm.as_ref()
    }

    /// All candidates in order of proposal; the first has ordinal 1.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The candidate with this ordinal.
    #[must_use]
    pub fn candidate(&self, ordinal: Ordinal) -> Option<&Candidate> {
        self.candidates.get((ordinal.0 as usize).checked_sub(1)?)
    }

    /// The feasible non-dominated candidates.
    #[must_use]
    pub fn front(&self) -> &NonDominatedFront<Ordinal> {
        &self.front
    }

    /// Counts changes of the front, so that readers can tell whether to look again. A replay ends with the same
    /// number.
    #[must_use]
    pub fn front_version(&self) -> u64 {
        self.front_version
    }

    /// The hypervolume's reference point, minimised, once it is fixed.
    #[must_use]
    pub fn reference_point(&self) -> Option<&[f64]> {
        self.reference.as_deref()
    }

    /// Evaluations charged to the budget.
    #[must_use]
    pub fn started(&self) -> u32 {
        self.started
    }

    /// Candidates with a score.
    #[must_use]
    pub fn scored(&self) -> u32 {
        self.scored
    }

    /// Candidates that failed for good.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Candidates that an early stage found not worth the later ones.
    #[must_use]
    pub fn screened(&self) -> u32 {
        self.screened
    }

    /// Candidates whose fate is not decided.
    #[must_use]
    pub fn unresolved(&self) -> usize {
        let resolved = (self.scored + self.infeasible + self.failed + self.screened) as usize;
        // More are counted than exist only on a corrupt journal, which must stay verifiable.
        self.candidates.len().saturating_sub(resolved)
    }

    /// Time in slots of all attempts that have been reported.
    #[must_use]
    pub fn slot_time(&self) -> Span {
        self.slot_time
    }

    /// Energy of all attempts whose evaluators reported it.
    #[must_use]
    pub fn energy(&self) -> Energy {
        self.energy
    }

    /// Whether a stage is known to work elsewhere than on this worker.
    pub(super) fn works_without(&self, worker: WorkerId, stage: u8) -> bool {
        let served = self.served.get(usize::from(stage));
        served.is_some_and(|served| served.iter().any(|other| *other != worker))
    }

    pub(super) fn next_candidate(&self) -> CandidateId {
        CandidateId::new(self.id, Ordinal(self.candidates.len() as u32 + 1))
    }

    pub(super) fn has_budget(&self) -> bool {
        self.unstarted() > 0
    }

    /// How many evaluations of its budget have not begun.
    pub(super) fn unstarted(&self) -> u32 {
        self.spec.budget.evaluations.saturating_sub(self.started)
    }

    pub(super) fn column(&self, metric: &MetricName) -> Option<u16> {
        self.columns.iter().position(|column| column == metric).map(|at| at as u16)
    }

    /// The minimised objectives of a candidate, `None` while one is missing.
    #[must_use]
    pub fn objectives_of(&self, candidate: &Candidate) -> Option<Vec<f64>> {
        self.spec
            .objectives
            .iter()
            .map(|objective| {
                let column = self.column(&objective.metric)?;
                Some(objective.goal.minimized(candidate.value(column)?))
            })
            .collect()
    }

    /// Summed normalised violation of those constraints whose metric is known, and the broken
    /// ones in words.
    pub(super) fn violation_of(&self, candidate: &Candidate) -> (f64, Vec<String>) {
        self.broken_by(candidate, &self.spec.constraints)
    }

    /// The gates after a stage that a candidate breaks, in words.
    pub(super) fn broken_gates(&self, candidate: &Candidate, stage: u8) -> Vec<String> {
        let pass = self.spec.passes.get(usize::from(stage));
        pass.map(|pass| self.broken_by(candidate, &pass.gates).1).unwrap_or_default()
    }

    fn broken_by(&self, candidate: &Candidate, bounds: &[Constraint]) -> (f64, Vec<String>) {
        let mut broken = Vec::new();
        let mut sum = 0.0;
        for constraint in bounds {
            let value = self.column(&constraint.metric).and_then(|column| candidate.value(column));
            if let Some(value) = value {
                let violation = constraint.violation(value);
                if violation > 0.0 {
                    broken.push(self.broken_in_words(constraint, value));
                }
                sum = total_violation([sum, violation]);
            }
        }
        (sum, broken)
    }

    /// The reference point once it can be fixed: each coordinate as the campaign says, else the
    /// worst value among the feasible candidates scored so far plus a tenth of their range. What breaks
    /// a constraint is never on the front, and far behind it would make all progress look small; it
    /// counts only where nothing keeps them.
    pub(super) fn derive_reference(&self) -> Option<Box<[f64]>> {
        let scored = |feasible_only: bool| -> Vec<Vec<f64>> {
            let counts = |candidate: &&Candidate| match candidate.status {
                CandidateStatus::Scored { violation } => !feasible_only || violation == 0.0,
                _ => false,
            };
            let counted = self.candidates.iter().filter(counts);
            counted.filter_map(|candidate| self.objectives_of(candidate)).collect()
        };
        let mut points = scored(true);
        if points.is_empty() {
            points = scored(false);
        }
        if points.is_empty() {
            return None;
        }
        let coordinate = |(index, objective): (usize, &crate::objective::Objective)| {
            if let Some(reference) = objective.reference {
                return objective.goal.minimized(reference);
            }
            let values = points.iter().map(|point| point[index]);
            let worst = values.clone().fold(f64::NEG_INFINITY, f64::max);
            let best = values.fold(f64::INFINITY, f64::min);
            let margin = if worst > best { 0.1 * (worst - best) } else { worst.abs().max(1.0) };
            worst + margin
        };
        Some(self.spec.objectives.iter().enumerate().map(coordinate).collect())
    }

    /// Whether enough candidates are scored to fix a missing reference coordinate by them: of those that keep
    /// the constraints, or, where few do, of all.
    pub(super) fn may_fix_reference(&self) -> bool {
        const FEASIBLE: u32 = 20;
        const ALL: u32 = 100;
        let budget = self.spec.budget.evaluations;
        self.scored_feasible >= FEASIBLE.min(budget) || self.scored >= ALL.min(budget)
    }
}

fn columns(spec: &CampaignSpec) -> Box<[MetricName]> {
    let mut columns: Vec<MetricName> =
        spec.objectives.iter().map(|objective| objective.metric.clone()).collect();
    let measured = spec.stages.iter().flat_map(|stage| stage.measures.iter().cloned());
    let analytic = crate::objective::METRICS
        .iter()
        .filter(|_| spec.space.has_networks())
        .filter(|descriptor| matches!(descriptor.kind, MetricKind::Analytic(_)))
        .map(|descriptor| MetricName::from(descriptor.name));
    for name in measured.chain(analytic) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    debug_assert!(columns.iter().all(|name| spec.metrics.find(name.as_str()).is_some()));
    columns.into()
}
