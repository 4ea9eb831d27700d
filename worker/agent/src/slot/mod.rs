//! A slot: one warm evaluator process that works on one attempt at a time.
//!
//! The slot starts its process, feeds it, bounds its time, classifies its end and replaces it. It
//! turns every attempt that it was given into exactly one report. It must not know the network,
//! the queue or the outbox.

mod attending;
mod checkpoint;
pub(crate) mod confine;
pub(crate) mod emptying;
mod evaluation;
pub(crate) mod group;
pub(crate) mod memory;
pub(crate) mod process;
mod saving;
mod stderr;
mod throttle;
mod verdict;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cambrian_core::id::AttemptId;
use cambrian_proto::v1::{
    Assignment, Capabilities, EvaluationEnded, FailureKind, Outcome, Progress, Report, SavedState,
    Stage, outcome, supervisor_message,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::artifacts::Artifacts;
use crate::attempt::NamesAttempt;
use crate::backoff::Backoff;
use crate::capabilities::difference;
use crate::queue::{SlotHealth, SlotIndex};
use checkpoint::Checkpoints;
use emptying::Emptying;
use evaluation::{Evaluation, Stopping, deadline, ended, report};
use group::{Killing, Remains, Stuck};
use process::{EvaluatorProcess, Launch, Output, StartError};
use saving::Saving;
use throttle::Throttle;

/// After so many failed starts in a row nothing waits for a slot any more.
const STARTS_BEFORE_BAD: u32 = 3;
/// How long an idle evaluator may take to end when it is told to.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// The durations that a slot keeps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SlotTiming {
    /// How long a new process may take to say hello.
    pub(crate) hello: Duration,
    /// How long an evaluation that was asked to stop may take to do so.
    pub(crate) stop_grace: Duration,
    /// The shortest time between two forwarded messages of progress.
    pub(crate) progress_interval: Duration,
    /// How long after an evaluation's begin, or after the last time, its state is stored; never without.
    pub(crate) saving: Option<Duration>,
}

/// What a slot is told.
#[derive(Debug)]
pub(crate) enum SlotCommand {
    /// Work on this. Sent only to a slot whose last attempt has been reported.
    Evaluate(Box<Assignment>),
    /// End this attempt soon.
    Stop(AttemptId),
    /// End this attempt soon, and keep its state for another one to go on with.
    Yield(AttemptId),
    /// End now, whatever is in work; only a result that is there already is reported.
    Leave,
}

/// What a slot says.
#[derive(Debug)]
pub(crate) enum SlotEvent {
    /// Its process can work, or not, and why.
    Health { slot: SlotIndex, health: SlotHealth, reason: String },
    /// An evaluation has got somewhere.
    Progress(Progress),
    /// The state of an attempt that goes on is at the coordinator.
    Saved(SavedState),
    /// An attempt has a result, and its state is on its way to the coordinator. This report stands if the
    /// worker ends meanwhile; `Finished` replaces it.
    Measured { slot: SlotIndex, report: Box<Report> },
    /// An attempt has ended.
    Finished { slot: SlotIndex, report: Box<Report> },
}

/// One slot with all that it needs.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) index: SlotIndex,
    pub(crate) launch: Launch,
    /// Of the folder that its process starts in.
    pub(crate) emptying: Emptying,
    pub(crate) killing: Killing,
    pub(crate) timing: SlotTiming,
    /// Pauses between failures of its process.
    pub(crate) backoff: Backoff,
    /// What the first evaluator of this worker has offered; all others have to offer the same.
    pub(crate) offer: Arc<OnceLock<Capabilities>>,
    /// Where the state of trainings comes from and goes to.
    pub(crate) artifacts: Artifacts,
    pub(crate) commands: mpsc::UnboundedReceiver<SlotCommand>,
    pub(crate) events: mpsc::UnboundedSender<SlotEvent>,
    /// What was said last.
    pub(crate) health: SlotHealth,
}

/// What becomes of a process after an attempt.
enum ProcessFate {
    /// It works on the next one.
    Kept,
    /// It is gone or cannot be trusted, and another one takes its place.
    Replaced,
    /// The slot was told to leave, and it goes with the slot.
    Dismissed,
}

/// Why the slot does not wait any longer for what it waited for.
enum Interrupted {
    /// The attempt was stopped.
    Stopped,
    /// The slot was told to leave.
    Leaving,
}

/// The slot was told to leave.
#[derive(Clone, Copy)]
struct ToldToLeave;

impl Slot {
    /// Works until it is told to leave.
    pub(crate) async fn run(mut self) {
        let mut waiting = None;
        while let Some(mut process) = self.start(&mut waiting).await {
            match self.serve(&mut process, &mut waiting).await {
                ProcessFate::Kept | ProcessFate::Replaced => {
                    if let Err(remains) = process.discard().await
                        && self.outlast(remains, &mut waiting).await.is_none()
                    {
                        return;
                    }
                }
                ProcessFate::Dismissed => {
                    process.close(CLOSE_PATIENCE).await;
                    return;
                }
            }
        }
    }

    fn say(&self, event: SlotEvent) {
        // Nobody listens any more only when the agent ends, which drops this slot as well.
        let _ = self.events.send(event);
    }

    fn say_health(&mut self, health: SlotHealth, reason: &str) {
        self.health = health;
        self.say(SlotEvent::Health { slot: self.index, health, reason: reason.to_owned() });
    }

    fn finish(
        &self,
        id: AttemptId,
        outcome: outcome::Outcome,
        elapsed: Duration,
        energy_joules: Option<f64>,
    ) {
        self.say_finished(report(id, ended(outcome), elapsed, energy_joules));
    }

    fn say_finished(&self, report: Box<Report>) {
        self.say(SlotEvent::Finished { slot: self.index, report });
    }

    /// Starts a process, however often it takes; `None` if the slot was told to leave meanwhile.
    async fn start(&mut self, waiting: &mut Option<Box<Assignment>>) -> Option<EvaluatorProcess> {
        let mut failed_starts = 0;
        loop {
            // One failure may be the candidate's; a series is the evaluator's, which needs a rest.
            if self.backoff.failures() > 1 || failed_starts > 0 {
                let until = Instant::now() + self.backoff.pause();
                self.pause(until, waiting).await?;
            }
            let hello = self.timing.hello;
            let (launch, emptying) = (&self.launch, &mut self.emptying);
            let starting =
                EvaluatorProcess::start(self.index, launch, emptying, self.killing, hello);
            let started = tokio::select! {
                started = starting => started,
                () = leave_or_closed(&mut self.commands, waiting, &self.events, self.index) => return None,
            };
            let accepted = match started {
                Ok((process, offer)) => self.accept(process, offer).await,
                Err(error) => Err(error),
            };
            let error = match accepted {
                Ok(process) => {
                    info!(slot = %self.index, "evaluator ready");
                    self.say_health(SlotHealth::Ready, "");
                    return Some(process);
                }
                Err(error) => error,
            };
            failed_starts += 1;
            self.backoff.fail();
            self.report_failed_start(failed_starts, &error, waiting);
            if let StartError::Stuck { remains, .. } = error {
                self.outlast(remains, waiting).await?;
            }
        }
    }

    async fn accept(
        &self,
        process: EvaluatorProcess,
        offer: Capabilities,
    ) -> Result<EvaluatorProcess, StartError> {
        match difference(self.offer.get_or_init(|| offer.clone()), &offer) {
            None => Ok(process),
            Some(what) => Err(process.refuse(StartError::Different(what)).await),
        }
    }

    fn report_failed_start(
        &mut self,
        failed_starts: u32,
        error: &StartError,
        waiting: &mut Option<Box<Assignment>>,
    ) {
        warn!(
            slot = %self.index, program = %self.launch.program.display(), failed_starts,
            "the evaluator does not start: {error}"
        );
        // Before any evaluator has worked, the agent decides on the first failure; a slot that was bad is
        // so until one works.
        let bad = failed_starts >= STARTS_BEFORE_BAD
            || self.offer.get().is_none()
            || self.health == SlotHealth::Bad
            || matches!(error, StartError::Stuck { .. });
        let health = if bad { SlotHealth::Bad } else { SlotHealth::Restarting };
        self.say_health(health, &error.to_string());
        if bad && let Some(assignment) = waiting.take() {
            self.hand_back(&assignment, &format!("does not start: {error}"));
        }
    }

    fn hand_back(&self, assignment: &Assignment, why: &str) {
        let message = format!("the evaluator of this worker {why}");
        let outcome = verdict::failure(FailureKind::BadNode, message);
        self.finish(assignment.attempt_id(), outcome, Duration::ZERO, None);
    }

    fn say_stuck(&mut self, stuck: Stuck) {
        self.say_health(SlotHealth::Bad, &format!("its evaluator's {stuck}"));
    }

    /// Waits for the end of a process that was killed in vain: until then it may hold the slot's device, and
    /// another one would get stuck beside it. `None` if the slot was told to leave.
    async fn outlast(
        &mut self,
        remains: Remains,
        waiting: &mut Option<Box<Assignment>>,
    ) -> Option<()> {
        let Remains { stuck, mut ended } = remains;
        if self.health != SlotHealth::Bad {
            self.say_stuck(stuck);
        }
        let why = format!("cannot be replaced: its {stuck}");
        if let Some(assignment) = waiting.take() {
            self.hand_back(&assignment, &why);
        }
        loop {
            tokio::select! {
                _ = &mut ended => {
                    info!(slot = %self.index, "the process that was killed before has ended");
                    return Some(());
                }
                command = self.commands.recv() => match command {
                    Some(SlotCommand::Evaluate(assignment)) => self.hand_back(&assignment, &why),
                    Some(SlotCommand::Stop(_) | SlotCommand::Yield(_)) => {}
                    Some(SlotCommand::Leave) | None => return None,
                },
            }
        }
    }

    /// Waits until `until`, listening; `None` if the slot was told to leave.
    async fn pause(&mut self, until: Instant, waiting: &mut Option<Box<Assignment>>) -> Option<()> {
        tokio::select! {
            () = sleep_until(until) => Some(()),
            () = leave_or_closed(&mut self.commands, waiting, &self.events, self.index) => None,
        }
    }

    /// Works with one process until it is lost or the slot is told to leave.
    async fn serve(
        &mut self,
        process: &mut EvaluatorProcess,
        waiting: &mut Option<Box<Assignment>>,
    ) -> ProcessFate {
        loop {
            let assignment = match waiting.take() {
                Some(assignment) => assignment,
                None => match self.next_assignment(process).await {
                    Ok(assignment) => assignment,
                    Err(fate) => return fate,
                },
            };
            match self.evaluate(process, assignment).await {
                ProcessFate::Kept => {}
                fate => return fate,
            }
        }
    }

    /// Waits for work; the fate of the process if none comes to it any more.
    async fn next_assignment(
        &mut self,
        process: &mut EvaluatorProcess,
    ) -> Result<Box<Assignment>, ProcessFate> {
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(SlotCommand::Evaluate(assignment)) => return Ok(assignment),
                    Some(SlotCommand::Stop(id) | SlotCommand::Yield(id)) => debug!(slot = %self.index, %id, "nothing to stop"),
                    Some(SlotCommand::Leave) | None => return Err(ProcessFate::Dismissed),
                },
                output = process.output() => {
                    let words = match output {
                        Output::Ended => process.death_after_output("it", "while idle").await.words(),
                        Output::Broken(reason) => reason,
                        Output::Message(_) => "it sent a message while idle".to_owned(),
                    };
                    warn!(slot = %self.index, "the evaluator is replaced: {words}");
                    self.lose("the evaluator ended while idle");
                    return Err(ProcessFate::Replaced);
                }
            }
        }
    }

    fn lose(&mut self, reason: &str) {
        self.backoff.fail();
        self.say_health(SlotHealth::Restarting, reason);
    }

    /// Works on one attempt and reports it.
    async fn evaluate(
        &mut self,
        process: &mut EvaluatorProcess,
        mut assignment: Box<Assignment>,
    ) -> ProcessFate {
        let id = assignment.attempt_id();
        let started = Instant::now();
        let stage = assignment.stage.clone().filter(|stage| stage.timeout_micros > 0);
        let Some(stage) = stage else {
            let message = "the assignment has no stage or a stage without a timeout";
            let outcome = verdict::failure(FailureKind::Invalid, message);
            self.finish(id, outcome, started.elapsed(), None);
            return ProcessFate::Kept;
        };
        let (artifacts, folder) = (self.artifacts.clone(), self.launch.folder.clone());
        let yields = self.yields(&stage.evaluator);
        let preparing =
            Checkpoints::prepare(&artifacts, folder.as_deref(), yields, &mut assignment);
        let mut checkpoints = match self.unless_stopped(id, true, preparing).await {
            Ok(checkpoints) => checkpoints,
            Err(Interrupted::Leaving) => return ProcessFate::Dismissed,
            Err(Interrupted::Stopped) => {
                let outcome = verdict::failure(FailureKind::Preempted, "stopped on request");
                self.finish(id, outcome, started.elapsed(), None);
                return ProcessFate::Kept;
            }
        };
        debug!(slot = %self.index, %id, "evaluation begins");
        process.begin_evaluation();
        process.send(supervisor_message::Message::Evaluate(*assignment));
        let mut evaluation = self.begun(id, &stage, yields);
        let (outcome, fate) = self.attend(process, &mut evaluation).await;
        match fate {
            ProcessFate::Kept => {}
            // The health goes first: the next task must not be sent to a process that is gone.
            ProcessFate::Replaced => match process.stuck() {
                None => self.say_health(SlotHealth::Restarting, "its evaluator is replaced"),
                Some(stuck) => self.say_stuck(stuck),
            },
            ProcessFate::Dismissed => return ProcessFate::Dismissed,
        }
        match self.conclude(&evaluation, &mut checkpoints, outcome, started).await {
            Ok(()) => fate,
            Err(ToldToLeave) => ProcessFate::Dismissed,
        }
    }

    /// An evaluation that begins now.
    fn begun<'s>(&self, id: AttemptId, stage: &'s Stage, yields: bool) -> Evaluation<'s> {
        let saving = self.timing.saving.filter(|_| yields);
        Evaluation {
            id,
            stage,
            stopping: Stopping::No,
            deadline: deadline(Instant::now(), stage.timeout_micros),
            progress: Throttle::new(self.timing.progress_interval),
            saving: Saving::new(saving, self.launch.folder.as_deref(), id),
            half_message: None,
            energy_joules: None,
        }
    }

    /// Keeps the state that an attempt has left, and reports it.
    async fn conclude(
        &mut self,
        evaluation: &Evaluation<'_>,
        checkpoints: &mut Checkpoints,
        mut outcome: Outcome,
        started: Instant,
    ) -> Result<(), ToldToLeave> {
        let Evaluation { id, stopping, energy_joules, .. } = *evaluation;
        let stateless = checkpoints.stateless(&outcome);
        if let Some(outcome) = stateless.clone() {
            let report = report(id, outcome, started.elapsed(), energy_joules);
            self.say(SlotEvent::Measured { slot: self.index, report });
        }
        let artifacts = self.artifacts.clone();
        let keeping = checkpoints.keep(&artifacts, stopping == Stopping::Yielding, &mut outcome);
        let kept = match self.unless_stopped(id, false, keeping).await {
            // An attempt that nobody wants anything of needs no checkpoint.
            Ok(()) | Err(Interrupted::Stopped) => Ok(()),
            Err(Interrupted::Leaving) => Err(ToldToLeave),
        };
        match (kept, stateless) {
            (Ok(()), _) => checkpoints.annotate(&mut outcome),
            (Err(ToldToLeave), Some(stateless)) => outcome = stateless,
            (Err(ToldToLeave), None) => return Err(ToldToLeave),
        }
        if !outcome.note.is_empty() {
            warn!(slot = %self.index, %id, "{}", outcome.note);
        }
        self.say_finished(report(id, outcome, started.elapsed(), energy_joules));
        kept
    }

    /// Whether the evaluator of this name can leave the state of what is stopped.
    fn yields(&self, evaluator: &str) -> bool {
        let offers = self.offer.get().map(|offer| offer.evaluators.as_slice()).unwrap_or_default();
        offers.iter().any(|offer| offer.name == evaluator && offer.yields)
    }

    /// Waits for `work` and listens meanwhile. Whoever wants the state of the attempt stops it as well, while it
    /// is `stateless`.
    async fn unless_stopped<T>(
        &mut self,
        id: AttemptId,
        stateless: bool,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                command = self.commands.recv() => match command {
                    Some(SlotCommand::Stop(stopped)) if stopped == id => {
                        return Err(Interrupted::Stopped);
                    }
                    Some(SlotCommand::Yield(stopped)) if stopped == id && stateless => {
                        return Err(Interrupted::Stopped);
                    }
                    Some(
                        SlotCommand::Stop(_) | SlotCommand::Yield(_) | SlotCommand::Evaluate(_),
                    ) => {}
                    Some(SlotCommand::Leave) | None => return Err(Interrupted::Leaving),
                },
            }
        }
    }

    /// The end of an attempt that the evaluator has answered.
    fn on_answer(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        answer: EvaluationEnded,
    ) -> (Outcome, ProcessFate) {
        let EvaluationEnded { attempt: _, outcome, energy_joules } = answer;
        evaluation.energy_joules = verdict::energy(energy_joules);
        if evaluation.energy_joules != energy_joules {
            warn!(?energy_joules, "the evaluator states no possible energy: not counted");
        }
        // One that answers works, whatever becomes of the candidate: nothing needs a rest.
        self.backoff.reset();
        let fate = match verdict::is_crash(outcome.as_ref()) {
            false => ProcessFate::Kept,
            true => ProcessFate::Replaced,
        };
        (evaluation.answered(outcome), fate)
    }
}

/// Listens while there is no process: keeps what comes, ends when told to leave.
async fn leave_or_closed(
    commands: &mut mpsc::UnboundedReceiver<SlotCommand>,
    waiting: &mut Option<Box<Assignment>>,
    events: &mpsc::UnboundedSender<SlotEvent>,
    slot: SlotIndex,
) {
    loop {
        match commands.recv().await {
            Some(SlotCommand::Evaluate(assignment)) => *waiting = Some(assignment),
            Some(SlotCommand::Stop(id) | SlotCommand::Yield(id)) => {
                if let Some(assignment) = waiting.take_if(|held| held.attempt_id() == id) {
                    let outcome = verdict::failure(FailureKind::Preempted, "stopped on request");
                    let outcome = Some(ended(outcome));
                    let Assignment { task, attempt, .. } = *assignment;
                    let report = Report { task, attempt, outcome, energy_joules: None };
                    let report = Box::new(report);
                    let _ = events.send(SlotEvent::Finished { slot, report });
                }
            }
            Some(SlotCommand::Leave) | None => return,
        }
    }
}

#[cfg(test)]
mod tests;
