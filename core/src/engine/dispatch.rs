//! Tasks to workers: which campaign is served next, and breeding on demand.
//!
//! Candidates are proposed only when a worker has room for one, or a slot is taken for one, so that each is
//! bred from all results there are; before that, those that are among the best of a stage are called up to the
//! next, from the highest stage down. Which campaign goes first is in `share`. Must not know what becomes of a
//! task that was given away: `report` does.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cache::MOST_IN_A_STEP;
use super::campaign::{Campaign, FinishReason};
use super::decide::Decision;
use super::effect::{Assignment, Effect};
use super::event::{Event, InfeasibleReason};
use super::failure::{Failure, FailureKind};
use super::state::State;
use super::worker::{Capabilities, Worker};
use crate::algorithm::{FitJob, Origin, Proposal, Suggestion};
use crate::graph::Graph;
use crate::id::{CampaignId, CandidateId, TaskId, WorkerId};
use crate::objective::{METRICS, Measurement, MetricKind, MetricName, Provenance};
use crate::space::{Genotype, SpaceError};
use crate::spec::Stage;

/// After this many proposals in a row that break the analytic constraints, a campaign gives up:
/// the constraints leave (almost) nothing of the space.
const INFEASIBLE_LIMIT: u32 = 1_000;
/// So many proposals are ruled out in one step at most; the next tick goes on. Under constraints that leave
/// little of a space a thousand idle workers would otherwise be one step, and everybody else would wait for it.
const MOST_RULED_OUT_IN_A_STEP: u32 = 2_000;
/// How many candidates of a campaign wait for memory at most before workers with less of it get no
/// new ones.
const HELD_BACK: usize = 16;

impl Campaign {
    /// Why a worker cannot serve a stage of this campaign, `None` if it can.
    #[must_use]
    pub fn unsuited(&self, worker: &Worker, stage: u8) -> Option<String> {
        if let Some(reason) = worker.barred.get(&(self.id, stage)) {
            return Some(format!("it said so: {reason}; restart it once that is mended"));
        }
        self.lacks(&worker.capabilities, self.stages.get(usize::from(stage))?)
    }

    /// Why no worker with these capabilities can serve a stage of this campaign, `None` if they can.
    pub(super) fn lacks(&self, capabilities: &Capabilities, stage: &Stage) -> Option<String> {
        capabilities.lacks(stage).or_else(|| self.pins.differs(stage, capabilities))
    }
}

pub(super) enum Next {
    Task(TaskId),
    /// This worker gets nothing from the campaign.
    NotHere,
    /// Nobody gets anything from the campaign at present.
    Dry,
}

/// What has been found out about campaigns in one step.
#[derive(Default)]
pub(super) struct Asked {
    /// They have nothing for anybody.
    pub(super) dry: BTreeSet<CampaignId>,
    /// They propose nothing at present; what they have queued may still go to somebody.
    pub(super) barren: BTreeSet<CampaignId>,
}

/// What came of a task and a worker with room for it.
pub(super) enum Given {
    /// The worker has it.
    Lease,
    /// The task was answered from what is known; the worker still has room.
    Result,
    /// It will be answered from what is known, but not in this step.
    Later,
    /// The task cannot be evaluated.
    Nothing,
}

impl Decision<'_> {
    /// Gives work to ready workers, one task each in turn, while there is any.
    pub(super) fn dispatch(&mut self) {
        let (mut asked, mut useless) = (Asked::default(), BTreeSet::new());
        let (mut last, mut assigned) = (None, false);
        // Thousands of workers may be ready while there is nothing to do for them: none is looked at then,
        // and one of each kind if no campaign has a stage for it.
        loop {
            if !self.has_open(&asked.dry) {
                break;
            }
            match self.state.ready.after(last, |kind| !useless.contains(&kind)) {
                Some((worker, kind)) => {
                    let decided = self.decided();
                    assigned |= self.assign_one(worker, &mut asked);
                    if self.decided() > decided {
                        useless.clear();
                    } else if self.is_useless(worker, &asked) {
                        useless.insert(kind);
                    }
                    last = Some(worker);
                }
                // Another round, as long as the one before gave somebody something.
                None if assigned => (last, assigned) = (None, false),
                None => break,
            }
        }
        self.preempt(&mut asked);
    }

    /// Whether a campaign may have something for somebody.
    fn has_open(&self, dry: &BTreeSet<CampaignId>) -> bool {
        self.open_campaigns().any(|id| !dry.contains(&id))
    }

    /// The campaigns that have work to give, in the order of their shares.
    fn open_campaigns(&self) -> impl Iterator<Item = CampaignId> {
        let places = std::iter::successors(self.state.shares.after(None), |place| {
            self.state.shares.after(Some(*place))
        });
        places.map(|place| place.campaign())
    }

    /// Whether no campaign has something at a stage that workers of this one's kind can serve.
    fn is_useless(&self, worker: WorkerId, asked: &Asked) -> bool {
        let capabilities = &self.state.workers[&worker].capabilities;
        self.open_campaigns().filter(|id| !asked.dry.contains(id)).all(|id| {
            let campaign = &self.state.campaigns[&id];
            let proposes = self.state.may_propose(campaign) && !asked.barren.contains(&id);
            !campaign.has_for_kind(capabilities, &campaign.stages_of_work(proposes))
        })
    }

    /// Offers a worker's room to one campaign after the other, in the order of their shares.
    fn assign_one(&mut self, worker: WorkerId, asked: &mut Asked) -> bool {
        let mut place = self.state.shares.after(None);
        while let Some(offered) = place {
            let id = offered.campaign();
            if !asked.dry.contains(&id) {
                match self.next_task(worker, id, asked) {
                    Next::Task(task) => match self.give(task, worker) {
                        Given::Lease => return true,
                        Given::Result => {
                            // What is known now may be what a proposal waited for.
                            asked.barren.remove(&id);
                            continue;
                        }
                        Given::Later => drop(asked.dry.insert(id)),
                        Given::Nothing => {}
                    },
                    Next::NotHere => {}
                    Next::Dry => drop(asked.dry.insert(id)),
                }
            }
            place = self.state.shares.after(Some(offered));
        }
        false
    }

    fn next_task(&mut self, worker: WorkerId, id: CampaignId, asked: &mut Asked) -> Next {
        let campaign = &self.state.campaigns[&id];
        let found = &self.state.workers[&worker];
        if let Some(task) = self.state.queued_for(campaign, found, &BTreeSet::new()) {
            return Next::Task(task);
        }
        self.new_task(worker, id, asked)
    }

    /// What a campaign that has nothing queued for a worker begins for it.
    pub(super) fn new_task(&mut self, worker: WorkerId, id: CampaignId, asked: &mut Asked) -> Next {
        if let Some(task) = self.call_up(worker, id) {
            return Next::Task(task);
        }
        let campaign = &self.state.campaigns[&id];
        let found = &self.state.workers[&worker];
        if !self.state.may_propose(campaign) || asked.barren.contains(&id) {
            return self.nothing_new(id);
        }
        if campaign.unsuited(found, 0).is_some() || self.state.is_flooded(campaign, found) {
            return Next::NotHere;
        }
        // A search that has come to its end just now closes the rungs, which may let someone pass.
        let task = self.propose(id).or_else(|| self.call_up(worker, id));
        let Some(task) = task else {
            asked.barren.insert(id);
            return self.nothing_new(id);
        };
        let (task, found) = (&self.state.tasks[&task], &self.state.workers[&worker]);
        match self.state.kept_from(task, found) {
            None => Next::Task(task.id),
            Some(_) => Next::NotHere,
        }
    }

    /// What a campaign that proposes nothing, and has nothing for one worker, has for the others.
    fn nothing_new(&self, id: CampaignId) -> Next {
        let campaign = &self.state.campaigns[&id];
        let dry = campaign.queue.is_empty() && !campaign.has_promotable();
        if dry { Next::Dry } else { Next::NotHere }
    }

    /// Queues the candidate that goes on to a later stage on this worker, if there is one: the best
    /// of the highest rung whose next stage the worker can serve.
    fn call_up(&mut self, worker: WorkerId, id: CampaignId) -> Option<TaskId> {
        let campaign = &self.state.campaigns[&id];
        if !campaign.has_promotable() {
            return None;
        }
        let (candidate, stage) = campaign.to_call_up(&self.state.workers[&worker])?;
        Some(self.queue_task(candidate, stage))
    }

    /// Breeds until a candidate passes the analytic constraints; returns its task. Nothing is bred by a model
    /// that this process has not fitted: that would take the engine's time.
    fn propose(&mut self, id: CampaignId) -> Option<TaskId> {
        if self.state.campaigns[&id].awaits_model() {
            return None;
        }
        loop {
            let campaign = &self.state.campaigns[&id];
            let candidate = campaign.next_candidate();
            match campaign.suggest(candidate) {
                Suggestion::Wait => return None,
                Suggestion::Exhausted => {
                    self.drain(id, FinishReason::SpaceExhausted);
                    return None;
                }
                Suggestion::Propose(proposal) => {
                    if let Some(task) = self.admit(candidate, Arc::new(proposal)) {
                        return Some(task);
                    }
                }
            }
            if self.state.campaigns[&id].infeasible_in_a_row >= INFEASIBLE_LIMIT {
                self.drain(id, FinishReason::NothingFeasible);
                return None;
            }
            self.ruled_out += 1;
            if self.ruled_out >= MOST_RULED_OUT_IN_A_STEP {
                return None;
            }
        }
    }

    fn drain(&mut self, campaign: CampaignId, reason: FinishReason) {
        self.emit(Event::CampaignDraining { campaign, reason });
        self.settle(campaign);
    }

    /// Records a candidate; its first task, unless analytic metrics rule it out.
    fn admit(&mut self, candidate: CandidateId, proposal: Arc<Proposal>) -> Option<TaskId> {
        let campaign = &self.state.campaigns[&candidate.campaign];
        let network = campaign.analytic_of(&proposal.genotype);
        let analytic = network.as_ref().ok().cloned().unwrap_or_default();
        self.emit(Event::CandidateProposed { candidate, proposal, analytic });
        let campaign = &self.state.campaigns[&candidate.campaign];
        let reason = match network {
            Err(error) => Some(InfeasibleReason::NoNetwork(error.to_string().into())),
            Ok(_) => {
                let (_, broken) = campaign
                    .candidate(candidate.ordinal)
                    .map(|found| campaign.violation_of(found))
                    .unwrap_or_default();
                (!broken.is_empty())
                    .then(|| InfeasibleReason::Constraints(broken.join("; ").into()))
            }
        };
        if let Some(reason) = reason {
            self.emit(Event::CandidateInfeasible { candidate, reason });
            return None;
        }
        let task = self.queue_task(candidate, 0);
        if !self.state.campaigns[&candidate.campaign].has_budget() {
            let reason = FinishReason::BudgetSpent;
            self.emit(Event::CampaignDraining { campaign: candidate.campaign, reason });
        }
        Some(task)
    }

    pub(super) fn queue_task(&mut self, candidate: CandidateId, stage: u8) -> TaskId {
        self.queue_repeat(candidate, stage, 0)
    }

    pub(super) fn queue_repeat(
        &mut self,
        candidate: CandidateId,
        stage: u8,
        repeat: u32,
    ) -> TaskId {
        let task = TaskId(self.state.task_candidates.len() as u64 + 1);
        self.emit(Event::TaskQueued { task, candidate, stage, repeat });
        task
    }

    /// Answers the task with what is known already, if the campaign takes that, else leases it.
    fn give(&mut self, task: TaskId, worker: WorkerId) -> Given {
        if let Some(given) = self.answer(task, worker) {
            return given;
        }
        if self.lease(task, worker) { Given::Lease } else { Given::Nothing }
    }

    /// Answers the task with what is known already, if the campaign takes that.
    pub(super) fn answer(&mut self, task: TaskId, worker: WorkerId) -> Option<Given> {
        let (found, holder) = (&self.state.tasks[&task], &self.state.workers[&worker]);
        let origin = self.state.known_result(found, holder)?;
        if self.taken == MOST_IN_A_STEP {
            return Some(Given::Later);
        }
        self.take_known(task, worker, origin).then(|| {
            self.taken += 1;
            Given::Result
        })
    }

    fn lease(&mut self, task: TaskId, worker: WorkerId) -> bool {
        let (found, holder) = (&self.state.tasks[&task], &self.state.workers[&worker]);
        let (attempt, session) = (found.attempt.next(), holder.session);
        let campaign = &self.state.campaigns[&found.candidate.campaign];
        let (stage, repeat) = (found.stage, found.repeat);
        let left = found.left.map(|left| left.checkpoint);
        let assignment = campaign.assignment(task, attempt, found.candidate, (stage, repeat));
        match assignment {
            Ok(assignment) => {
                let resume = left.or(assignment.resume);
                let assignment = Assignment { resume, ..assignment };
                let deadline = self.deadline();
                self.emit(Event::TaskLeased { task, attempt, worker, session, deadline });
                let assignment = Box::new(assignment);
                self.effect(Effect::Assign { worker, session, assignment });
                true
            }
            Err(message) => {
                self.fail_task(task, Failure { kind: FailureKind::Invalid, message });
                false
            }
        }
    }
}

impl State {
    /// The queued task, the first by id, that the worker may get; none of those that are `meant` for others.
    pub(super) fn queued_for(
        &self,
        campaign: &Campaign,
        worker: &Worker,
        meant: &BTreeSet<TaskId>,
    ) -> Option<TaskId> {
        let suited = |task: &&TaskId| {
            let task = self.tasks.get(task).filter(|task| !meant.contains(&task.id));
            task.is_some_and(|task| self.kept_from(task, worker).is_none())
        };
        let served = campaign
            .queue
            .stages()
            .filter(|(stage, _)| campaign.unsuited(worker, *stage).is_none());
        served.filter_map(|(_, tasks)| tasks.iter().find(suited).copied()).min()
    }

    /// Whether so many candidates wait for a device with more memory than this worker's that no
    /// further ones are proposed for it.
    pub(super) fn is_flooded(&self, campaign: &Campaign, worker: &Worker) -> bool {
        let too_large = |task: &&TaskId| {
            self.tasks.get(task).is_some_and(|task| {
                campaign.too_large(task.candidate.ordinal, task.stage, worker).is_some()
            })
        };
        let served = campaign
            .queue
            .stages()
            .filter(|(stage, _)| campaign.unsuited(worker, *stage).is_none());
        let waiting = served.flat_map(|(_, tasks)| tasks);
        worker.capabilities.memory_bytes > 0 && waiting.filter(too_large).nth(HELD_BACK).is_some()
    }
}

impl Campaign {
    /// The stages of what waits for workers, and of proposals if there may be any.
    pub(super) fn stages_of_work(&self, proposes: bool) -> BTreeSet<u8> {
        let queued = self.queue.stages().map(|(stage, _)| stage);
        let next = self.promotable().map(|(_, stage)| stage + 1);
        queued.chain(next).chain(proposes.then_some(0)).collect()
    }

    /// Whether workers that offer this can serve one of these stages.
    pub(super) fn has_for_kind(&self, offered: &Capabilities, stages: &BTreeSet<u8>) -> bool {
        let stages = stages.iter().filter_map(|at| self.stages.get(usize::from(*at)));
        stages.into_iter().any(|stage| self.lacks(offered, stage).is_none())
    }

    /// The candidate that may go on to a later stage on this worker, and the stage: the best of the highest
    /// rung whose next stage the worker can serve.
    pub(super) fn to_call_up(&self, worker: &Worker) -> Option<(CandidateId, u8)> {
        let next = self.promotable().map(|(candidate, stage)| (candidate, stage + 1));
        let mut suited = next.filter(|(id, stage)| {
            self.unsuited(worker, *stage).is_none()
                && self.too_large(id.ordinal, *stage, worker).is_none()
        });
        suited.next()
    }

    /// What is proposed as the candidate with this id, given the present state: the architectures
    /// that the campaign names, then what the algorithm wants. Deterministic, so a replay can check
    /// every stored proposal against it.
    #[must_use]
    pub fn suggest(&self, candidate: CandidateId) -> Suggestion {
        // They are all different and come first, so that there is one for each of the first candidates.
        if let Some((genotype, key)) = self.spec.start.get(self.candidates.len()) {
            let (genotype, key) = (genotype.clone(), *key);
            return Suggestion::Propose(Proposal { genotype, key, origin: Origin::Given });
        }
        let mut rng = self.proposals.stream(u64::from(candidate.ordinal.0));
        self.algorithm.suggest(self.spec.space.as_ref(), &self.known, &mut rng)
    }

    /// The fit without which nothing is proposed, or only slowly.
    pub(super) fn missing_fit(&self) -> Option<FitJob> {
        self.algorithm.wanted_fit().or_else(|| self.lost_fit())
    }

    /// Whether the model that proposals rest on went with the coordinator's last process.
    fn awaits_model(&self) -> bool {
        self.lost_fit().is_some()
    }

    fn lost_fit(&self) -> Option<FitJob> {
        self.unfitted.then(|| self.algorithm.adopted_fit()).flatten()
    }

    fn assignment(
        &self,
        task: TaskId,
        attempt: crate::id::Attempt,
        id: CandidateId,
        (stage, repeat): (u8, u32),
    ) -> Result<Assignment, Box<str>> {
        let missing = || Box::<str>::from(format!("candidate {id} has no stage {stage}"));
        let candidate = self.candidate(id.ordinal).ok_or_else(missing)?;
        let at = stage;
        let stage = self.stages.get(usize::from(at)).ok_or_else(missing)?;
        let genotype = &candidate.proposal().genotype;
        let lower = || self.spec.space.lower(genotype).map(Arc::new);
        let graph = self.spec.space.has_networks().then(lower).transpose();
        let graph = graph.map_err(|error| Box::from(error.to_string()))?;
        Ok(Assignment {
            task,
            attempt,
            candidate: id,
            graph,
            genotype: self.spec.space.format(genotype).into(),
            stage: stage.for_evaluator(),
            seed: self.evaluation_seed(id.ordinal, at, repeat),
            repeat,
            resume: self.resumed_from(id.ordinal, at),
            keep: self.is_continued(at),
        })
    }
}

impl Campaign {
    /// The metrics that follow from the network alone, those that a stage measures left out; none
    /// in a space without networks.
    fn analytic_of(&self, genotype: &Genotype) -> Result<Vec<Measurement>, SpaceError> {
        if !self.spec.space.has_networks() {
            return Ok(Vec::new());
        }
        let graph = self.spec.space.lower(genotype)?;
        let mut analytic = analytic_measurements(&graph)
            .map_err(|reason| SpaceError::NoNetwork { space: "this space", reason })?;
        let measured =
            |name: &MetricName| self.stages.iter().any(|stage| stage.measures.contains(name));
        analytic.retain(|measurement| !measured(&measurement.metric));
        Ok(analytic)
    }
}

fn analytic_measurements(graph: &Graph) -> Result<Vec<Measurement>, String> {
    let provenance = Provenance { source: "analytic".into(), device_class: "".into() };
    let formulas = METRICS.iter().filter_map(|descriptor| match descriptor.kind {
        MetricKind::Analytic(formula) => Some((descriptor.name, formula)),
        MetricKind::Measured | MetricKind::Sealed => None,
    });
    formulas
        .map(|(name, formula)| {
            Measurement::new(name.into(), formula(graph), None, provenance.clone())
                .map_err(|error| error.to_string())
        })
        .collect()
}
