//! An agent in a simulated world: connections, the clock on the wall and evaluations are the
//! simulation's; the stream, the supervisor, the queue, the outbox and its files are the real ones. All of
//! it runs as tasks of the runtime that it is started on, without a thread.
//!
//! Must not know what is simulated, nor what an evaluation is worth.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cambrian_proto::v1::{
    Assignment, Capabilities, Failure, FailureKind, Outcome, Report, outcome,
};
use cambrian_transport::dial::Dialler;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::attempt::NamesAttempt;
use crate::queue::{SlotHealth, SlotIndex};
use crate::slot::{SlotCommand, SlotEvent};

/// Evaluations that pass time and have results.
pub trait Evaluations: Send + Sync {
    /// What the worker offers; slots and labels are its own.
    fn offer(&self) -> Capabilities;

    /// How long an attempt takes.
    fn lasts(&self, assignment: &Assignment) -> Duration;

    /// Its result, asked for when that time is over, and only then.
    fn finish(&self, assignment: &Assignment) -> Outcome;
}

/// What takes the place of the machine.
#[derive(Clone)]
pub struct World {
    /// Makes connections.
    pub dialler: Dialler,
    /// The clock on the wall, microseconds since 1970.
    pub wall: fn() -> u64,
    /// Evaluates.
    pub evaluations: Arc<dyn Evaluations>,
}

impl Debug for World {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("dialler", &self.dialler).finish_non_exhaustive()
    }
}

/// A slot without a process.
pub(crate) struct SimulatedSlot {
    pub(crate) index: SlotIndex,
    pub(crate) evaluations: Arc<dyn Evaluations>,
    pub(crate) offer: Arc<OnceLock<Capabilities>>,
    pub(crate) commands: mpsc::UnboundedReceiver<SlotCommand>,
    pub(crate) events: mpsc::UnboundedSender<SlotEvent>,
}

impl SimulatedSlot {
    /// Works until it is told to leave.
    pub(crate) async fn run(mut self) {
        self.offer.get_or_init(|| self.evaluations.offer());
        let (slot, health) = (self.index, SlotHealth::Ready);
        self.say(SlotEvent::Health { slot, health, reason: String::new() });
        while let Some(command) = self.commands.recv().await {
            match command {
                SlotCommand::Evaluate(assignment) => {
                    let Some(outcome) = self.evaluate(&assignment).await else { return };
                    let Assignment { task, attempt, .. } = *assignment;
                    let report =
                        Report { task, attempt, outcome: Some(outcome), ..Report::default() };
                    self.say(SlotEvent::Finished { slot, report: Box::new(report) });
                }
                // It has crossed the end of its attempt.
                SlotCommand::Stop(_) | SlotCommand::Yield(_) => {}
                SlotCommand::Leave => return,
            }
        }
    }

    /// Passes the time of an attempt; nothing if the slot is to leave.
    async fn evaluate(&mut self, assignment: &Assignment) -> Option<Outcome> {
        let end = Instant::now() + self.evaluations.lasts(assignment);
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(SlotCommand::Stop(id) | SlotCommand::Yield(id))
                        if id == assignment.attempt_id() =>
                    {
                        return Some(stopped());
                    }
                    Some(
                        SlotCommand::Stop(_) | SlotCommand::Yield(_) | SlotCommand::Evaluate(_),
                    ) => {}
                    Some(SlotCommand::Leave) | None => return None,
                },
                () = sleep_until(end) => return Some(self.evaluations.finish(assignment)),
            }
        }
    }

    fn say(&self, event: SlotEvent) {
        // As of a real slot: the agent ends when nobody listens.
        let _ = self.events.send(event);
    }
}

fn stopped() -> Outcome {
    let message = "the evaluation was stopped".to_owned();
    let failure = Failure { kind: FailureKind::Preempted.into(), message };
    Outcome { outcome: Some(outcome::Outcome::Failed(failure)), ..Outcome::default() }
}
