//! The read model: what people see of campaigns, candidates and workers, as plain values.
//!
//! Every front end (terminal, files, services) shows these. Building one reads the state and never
//! changes it; whatever costs more than a look (hypervolume) is a method of the value, so that it
//! can run outside the actor. Must not know who looks, nor how a value is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache::ResultOrigin;
use super::campaign::{Campaign, CampaignStatus};
use super::candidate::{Candidate, CandidateStatus};
use super::event::InfeasibleReason;
use super::rung::StageTally;
use super::state::State;
use super::worker::{Capabilities, Quarantine, Worker};
use crate::algorithm::Origin;
use crate::energy::Energy;
use crate::graph::CanonicalHash;
use crate::id::{Attempt, AttemptId, CampaignId, CandidateId, Ordinal, TaskId, WorkerId};
use crate::objective::{Goal, Measurement, MetricName, Provenance};
use crate::pareto::hypervolume::{Part, hypervolume, hypervolume_in_parts};
use crate::pareto::points::Points;
use crate::spec::Share;
use crate::time::{Span, Timestamp};

/// A metric that a campaign's candidates carry.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricView {
    /// Its name.
    pub name: MetricName,
    /// Its unit, empty for a pure number.
    pub unit: Arc<str>,
    /// What is better.
    pub goal: Goal,
    /// Whether it is an objective of the campaign.
    pub objective: bool,
    /// Where the campaign's values come from, once there is one.
    pub provenance: Option<Provenance>,
    /// How often it is measured for each candidate; from 2 on its values are means, with the standard
    /// error of the mean as their spread.
    pub repeats: u32,
}

/// A campaign in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignView {
    /// Its number.
    pub id: CampaignId,
    /// Its name.
    pub name: Arc<str>,
    /// Who submitted it, where that was known.
    pub owner: Option<Arc<str>>,
    /// Where it is in its life.
    pub status: CampaignStatus,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The budget of evaluations.
    pub budget: u32,
    /// Evaluations charged to the budget.
    pub started: u32,
    /// Candidates with a score.
    pub scored: u32,
    /// Candidates that are infeasible, for whatever reason.
    pub infeasible: u32,
    /// Candidates that failed for good.
    pub failed: u32,
    /// Candidates that an early stage found not worth the later ones.
    pub screened: u32,
    /// Candidates that wait for being called up to a later stage.
    pub waiting: u32,
    /// Evaluations in work.
    pub running: u32,
    /// Tasks that wait for a worker.
    pub queued: u32,
    /// Changes whenever the front does.
    pub front_version: u64,
    /// The number of front members.
    pub front_size: u32,
    /// What each stage has done and cost, in order.
    pub stages: Vec<StageView>,
    /// The objectives in order, then the other metrics.
    pub metrics: Vec<MetricView>,
    /// The name of the algorithm.
    pub algorithm: &'static str,
    /// The name of the search space.
    pub space: &'static str,
    /// Its claim on the fleet. As [`State::campaign_view`] tells it, with the priority that it is served by, which
    /// its owner's policy may put below the one that it asks for.
    pub share: Share,
    /// Time in slots of all attempts that have been reported.
    pub slot_time: Span,
    /// Energy of all attempts whose evaluators reported it.
    pub energy: Energy,
    /// Why it gets no more work although it runs.
    pub held: Option<String>,
}

/// What a stage has done and cost.
#[derive(Debug, Clone, PartialEq)]
pub struct StageView {
    /// The stage's name.
    pub name: Arc<str>,
    /// The counts and the time in slots.
    pub tally: StageTally,
    /// Candidates that have finished it and wait for being called up.
    pub waiting: u32,
}

impl std::fmt::Display for StageView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let StageTally { entered, passed, screened, infeasible, failed, slot_time, energy, .. } =
            self.tally;
        write!(
            f,
            "stage {}: {entered} entered, {passed} passed, {} waiting, {screened} screened, \
             {infeasible} infeasible, {failed} failed; {slot_time} in slots",
            self.name, self.waiting
        )?;
        if energy > Energy::default() {
            write!(f, ", {energy}")?;
        }
        match self.tally.taken {
            0 => Ok(()),
            taken => write!(f, "; {taken} from the cache"),
        }
    }
}

/// A known result that a candidate took at a stage instead of being evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenView {
    /// The stage's name.
    pub stage: Arc<str>,
    /// Where the result comes from.
    pub origin: ResultOrigin,
}

/// A member of a front.
pub type FrontMember = CandidateView;

/// A front with all that is needed to show or measure it.
#[derive(Debug, Clone, PartialEq)]
pub struct FrontView {
    /// The objectives in order, then the other metrics.
    pub metrics: Vec<MetricView>,
    /// The members, ascending by id.
    pub members: Vec<FrontMember>,
    /// The reference point, minimised, once fixed.
    pub reference: Option<Box<[f64]>>,
    /// The members' objectives, minimised.
    points: Points,
}

impl FrontView {
    /// The hypervolume that the front dominates, up to the reference point; `None` until that is
    /// fixed, and where the volume is too large for a double.
    #[must_use]
    pub fn hypervolume(&self) -> Option<f64> {
        hypervolume(&self.points, self.reference.as_deref()?).ok()
    }

    /// As [`Self::hypervolume`], in up to `parts` parts that `compute` may compute at the same time.
    #[must_use]
    pub fn hypervolume_in_parts(
        &self,
        parts: usize,
        compute: impl FnOnce(&mut [Part<'_>]),
    ) -> Option<f64> {
        hypervolume_in_parts(&self.points, self.reference.as_deref()?, parts, compute).ok()
    }

    /// The reference point in the metrics' natural signs; empty until fixed.
    #[must_use]
    pub fn natural_reference(&self) -> Vec<f64> {
        let goals = self.metrics.iter().filter(|view| view.objective).map(|view| view.goal);
        let coordinates = self.reference.iter().flat_map(|point| point.iter());
        goals.zip(coordinates).map(|(goal, value)| goal.minimized(*value)).collect()
    }
}

/// A candidate with everything known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateView {
    /// Its id.
    pub id: CandidateId,
    /// Where it is.
    pub status: CandidateStatus,
    /// Whether a worker is at it right now.
    pub running: bool,
    /// The genotype in its space's notation.
    pub genotype: String,
    /// The canonical hash of its network.
    pub canonical_hash: CanonicalHash,
    /// How it came about.
    pub origin: Origin,
    /// Its values.
    pub measurements: Vec<Measurement>,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// When its fate was decided.
    pub resolved_at: Option<Timestamp>,
    /// The stage after which it waits or was screened.
    pub held_after: Option<Arc<str>>,
    /// Slot time over all its attempts.
    pub elapsed: Span,
    /// How often it was leased.
    pub attempts: u32,
    /// How many of these repeated an earlier attempt of the same task.
    pub repeated_attempts: u32,
    /// The stages at which it took a known result instead of being evaluated.
    pub taken: Vec<TakenView>,
    /// Whether it is on the front.
    pub on_front: bool,
}

impl CandidateView {
    /// Summed normalised constraint violation of a scored candidate; 0 of any other.
    #[must_use]
    pub fn violation(&self) -> f64 {
        match self.status {
            CandidateStatus::Scored { violation } => violation,
            _ => 0.0,
        }
    }

    /// Why it failed, is infeasible or was screened; empty otherwise.
    #[must_use]
    pub fn reason(&self) -> String {
        match &self.status {
            CandidateStatus::Failed(failure) => failure.to_string(),
            CandidateStatus::Infeasible(
                InfeasibleReason::Constraints(reason)
                | InfeasibleReason::NoNetwork(reason)
                | InfeasibleReason::Evaluation(reason),
            ) => reason.to_string(),
            CandidateStatus::Screened(screening) => {
                screening.after(self.held_after.as_deref().unwrap_or_default())
            }
            _ => String::new(),
        }
    }

    /// The value of a metric, if known.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        let found = self.measurements.iter().find(|found| found.metric.as_str() == name);
        found.map(Measurement::value)
    }
}

/// How a candidate came about, for people.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Sampled => f.write_str("sampled"),
            Origin::Given => f.write_str("given"),
            Origin::Mutated { parent } => write!(f, "mutated from {parent}"),
            Origin::Crossed { first, second } => write!(f, "crossed from {first} and {second}"),
        }
    }
}

/// An evaluation in work.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationProgress {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// The candidate.
    pub candidate: CandidateId,
    /// The worker's name.
    pub worker: Arc<str>,
    /// The stage's name.
    pub stage: Arc<str>,
    /// Which of the stage's repeats it is, from 1.
    pub repeat: u32,
    /// How many repeats the stage has.
    pub repeats: u32,
    /// Steps done, 0 before the first progress message.
    pub step: u32,
    /// Steps in all, 0 before the first progress message.
    pub steps: u32,
    /// What is known so far.
    pub metrics: BTreeMap<MetricName, f64>,
    /// Since when the lease is held.
    pub since: Timestamp,
}

/// A worker with everything known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// Its number.
    pub id: WorkerId,
    /// Its name.
    pub name: Arc<str>,
    /// Whether its latest connection is open.
    pub connected: bool,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// What it can do.
    pub capabilities: Arc<Capabilities>,
    /// The attempts it holds leases of.
    pub leases: Vec<AttemptId>,
    /// How many of its attempts delivered a result.
    pub completed: u64,
    /// How many of its attempts failed.
    pub failed: u64,
    /// The stages of unfinished campaigns that it cannot serve.
    pub unsuited: Vec<UnsuitedStage>,
    /// Whether it finishes what it has and leaves.
    pub draining: bool,
    /// Why it gets no work, if it is not trusted.
    pub quarantine: Option<Quarantine>,
}

/// A stage that a worker cannot serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsuitedStage {
    /// The campaign.
    pub campaign: CampaignId,
    /// The stage's name.
    pub stage: Arc<str>,
    /// Why, in words that follow "it cannot: ".
    pub reason: String,
}

/// Why something is, or is not, running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer in a sentence.
    pub headline: String,
    /// What it rests on.
    pub details: Vec<String>,
}

impl Campaign {
    /// The metrics of this campaign: objectives first.
    #[must_use]
    pub fn metric_views(&self) -> Vec<MetricView> {
        let view = |(index, name): (usize, &MetricName)| {
            let descriptor = self.spec.metrics.find(name.as_str());
            let objective = self.spec.objectives.get(index);
            MetricView {
                name: name.clone(),
                unit: descriptor.map_or("", |found| found.unit).into(),
                goal: objective.map_or_else(
                    || descriptor.map_or(Goal::Minimize, |found| found.goal),
                    |objective| objective.goal,
                ),
                objective: objective.is_some(),
                provenance: self.pins.provenance(name).cloned(),
                repeats: self.repeats_of_metric(name),
            }
        };
        self.columns.iter().enumerate().map(view).collect()
    }

    /// The campaign in numbers, as far as it knows them itself.
    #[must_use]
    pub fn view(&self) -> CampaignView {
        CampaignView {
            id: self.id,
            name: self.spec.name.clone(),
            owner: self.owner.clone(),
            status: self.status,
            submitted_at: self.submitted_at,
            finished_at: self.finished_at,
            budget: self.spec.budget.evaluations,
            started: self.started,
            scored: self.scored,
            infeasible: self.infeasible,
            failed: self.failed,
            screened: self.screened,
            waiting: self.waiting() as u32,
            running: self.leased.len() as u32,
            queued: self.queue.len() as u32,
            front_version: self.front_version,
            front_size: self.front.len() as u32,
            stages: self.stage_views(),
            metrics: self.metric_views(),
            algorithm: self.algorithm.name(),
            space: self.spec.space.name(),
            share: self.spec.share,
            slot_time: self.slot_time,
            energy: self.energy,
            held: None,
        }
    }

    fn stage_views(&self) -> Vec<StageView> {
        let stages = (0u8..).zip(self.stages.iter().zip(&self.tallies));
        let view =
            |(at, (stage, tally)): (u8, (&Arc<crate::spec::Stage>, &StageTally))| StageView {
                name: stage.name.clone(),
                tally: *tally,
                waiting: self.waiting_after(at) as u32,
            };
        stages.map(view).collect()
    }

    /// The front with its members.
    #[must_use]
    pub fn front_view(&self) -> FrontView {
        let members =
            self.front.ids().iter().filter_map(|ordinal| self.candidate_view(*ordinal)).collect();
        FrontView {
            metrics: self.metric_views(),
            members,
            reference: self.reference.clone(),
            points: self.front.points().clone(),
        }
    }

    /// One candidate, `None` if there is no such ordinal.
    #[must_use]
    pub fn candidate_view(&self, ordinal: Ordinal) -> Option<CandidateView> {
        let candidate = self.candidate(ordinal)?;
        let running = matches!(
            candidate.status,
            CandidateStatus::InStage { task, .. } if self.leased.contains(&task)
        );
        let held_after = match &candidate.status {
            CandidateStatus::Waiting { stage } => Some(*stage),
            CandidateStatus::Screened(screening) => Some(screening.stage),
            _ => None,
        };
        let held_after = held_after.and_then(|stage| self.stages.get(usize::from(stage)));
        Some(CandidateView {
            id: CandidateId::new(self.id, ordinal),
            status: candidate.status.clone(),
            running,
            genotype: self.spec.space.format(&candidate.proposal.genotype),
            canonical_hash: candidate.proposal.key,
            origin: candidate.proposal.origin,
            measurements: self.measurements_of(candidate),
            proposed_at: candidate.proposed_at,
            resolved_at: candidate.resolved_at,
            held_after: held_after.map(|stage| stage.name.clone()),
            elapsed: candidate.elapsed,
            attempts: candidate.attempts,
            repeated_attempts: candidate.repeated_attempts,
            taken: self.taken_views(ordinal),
            on_front: self.front.contains(ordinal),
        })
    }

    fn taken_views(&self, ordinal: Ordinal) -> Vec<TakenView> {
        let view = |(stage, origin): (u8, &ResultOrigin)| {
            let stage = self.stages.get(usize::from(stage))?.name.clone();
            Some(TakenView { stage, origin: origin.clone() })
        };
        self.taken_by(ordinal).filter_map(view).collect()
    }

    /// A candidate's values with names and provenance.
    #[must_use]
    pub fn measurements_of(&self, candidate: &Candidate) -> Vec<Measurement> {
        let full = |stored: &super::candidate::StoredMeasurement| {
            let name = self.columns.get(usize::from(stored.column))?;
            let provenance = self
                .pins
                .provenance(name)
                .cloned()
                .unwrap_or(Provenance { source: "analytic".into(), device_class: "".into() });
            Measurement::new(name.clone(), stored.value, stored.spread, provenance).ok()
        };
        candidate.measurements.iter().filter_map(full).collect()
    }
}

impl State {
    /// The evaluations of a campaign that are in work, ascending by task.
    #[must_use]
    pub fn in_work(&self, campaign: &Campaign) -> Vec<EvaluationProgress> {
        let view = |id: &TaskId| {
            let task = self.tasks.get(id)?;
            let lease = task.lease()?;
            let worker = self.workers.get(&lease.worker)?;
            let progress = lease.progress.as_ref();
            Some(EvaluationProgress {
                task: task.id,
                attempt: task.attempt,
                candidate: task.candidate,
                worker: worker.name.clone(),
                stage: campaign.stages.get(usize::from(task.stage))?.name.clone(),
                repeat: task.repeat + 1,
                repeats: campaign.repeats_of(task.stage),
                step: progress.map_or(0, |found| found.step),
                steps: progress.map_or(0, |found| found.steps),
                metrics: progress.map(|found| found.metrics.clone()).unwrap_or_default(),
                since: lease.since,
            })
        };
        campaign.leased.iter().filter_map(view).collect()
    }

    /// A campaign in numbers.
    #[must_use]
    pub fn campaign_view(&self, campaign: &Campaign) -> CampaignView {
        let share = Share { priority: self.priority_of(campaign), ..campaign.spec.share };
        CampaignView { share, held: self.held_back(campaign), ..campaign.view() }
    }

    /// The priority that a campaign is served by.
    pub(super) fn priority_of(&self, campaign: &Campaign) -> i32 {
        self.shares.priority(campaign.id).unwrap_or(campaign.spec.share.priority)
    }

    /// How many workers are connected.
    #[must_use]
    pub fn connected_workers(&self) -> usize {
        self.workers.values().filter(|worker| worker.connected).count()
    }

    /// A worker with its leases.
    #[must_use]
    pub fn worker_view(&self, worker: &Worker) -> WorkerView {
        let lease = |id: &TaskId| Some(AttemptId::new(*id, self.tasks.get(id)?.attempt));
        WorkerView {
            id: worker.id,
            name: worker.name.clone(),
            connected: worker.connected,
            last_seen: worker.last_seen,
            capabilities: worker.capabilities.clone(),
            leases: worker.leases.iter().filter_map(lease).collect(),
            completed: worker.completed,
            failed: worker.failed,
            unsuited: self.unsuited_stages(worker),
            draining: worker.is_draining(),
            quarantine: worker.quarantine.clone(),
        }
    }

    fn unsuited_stages(&self, worker: &Worker) -> Vec<UnsuitedStage> {
        let campaigns = self.active.iter().filter_map(|id| self.campaigns.get(id));
        let stages = campaigns.flat_map(|campaign| {
            (0u8..).zip(campaign.stages.iter()).map(move |(at, stage)| (campaign, at, stage))
        });
        let unsuited = stages.filter_map(|(campaign, at, stage)| {
            let reason = campaign.unsuited(worker, at)?;
            Some(UnsuitedStage { campaign: campaign.id, stage: stage.name.clone(), reason })
        });
        unsuited.collect()
    }
}
