//! The owner of the worker's state: reacts to the coordinator, the slots, the disk and the clock.
//!
//! ```text
//! Working --drain--> Draining --idle or out of time--> Settling --acknowledged or out of time--+
//!    |                  |                                 |                                    |
//!    +------leave-------+---------------------------------+--> Leaving (goodbye) --> Done <----+
//! ```
//! Nothing here waits: every reaction is synchronous and leaves through a channel. Must not know
//! processes, transports or file formats.

mod held;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cambrian_core::id::AttemptId;
use cambrian_proto::v1::{
    Assignment, Capabilities, Drain, Draining, Failure, FailureKind, Goodbye, Heartbeat, Outcome,
    Progress, Ready, Register, Registered, Report, SavedState, Stop, StopReason, TaskAttempt,
    WorkerMessage, coordinator_message, outcome, worker_message,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::attempt::{NamesAttempt, attempt_id};
use crate::link::{Abandoned, Closed, LinkEvent, OUTGOING_MESSAGES, Outgoing};
use crate::queue::{SlotHealth, Stopped, Taken, WorkQueue};
use crate::slot::{SlotCommand, SlotEvent};
use crate::state_dir::StateDir;
use crate::storage::Change;
use held::{Held, Standing, bars, summary};

/// How many heartbeats fit into a lease; the protocol asks for at least three.
const HEARTBEATS_PER_LEASE: u32 = 4;
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(20);
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(10);
/// How long the coordinator may take to close a stream after a goodbye.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);

/// The machine's clock, microseconds since 1970.
pub(crate) fn wall() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_micros() as u64
}

/// The durations that the supervisor keeps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SupervisorTiming {
    /// How long running evaluations may go on after a drain by signal.
    pub(crate) drain: Duration,
    /// How long before that they are asked to leave their state, if they can.
    pub(crate) yielding: Duration,
    /// How long the last acknowledgements are waited for.
    pub(crate) acknowledgement: Duration,
}

#[derive(Debug)]
struct Connection {
    outgoing: Outgoing,
    /// The time between heartbeats, once registered.
    heartbeat: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Working,
    /// `yields` is when what still runs is asked for its state.
    Draining {
        until: Option<Instant>,
        yields: Option<Instant>,
    },
    Settling {
        until: Instant,
    },
    Leaving {
        until: Instant,
    },
    Done,
}

/// The worker's state; see the module.
#[derive(Debug)]
pub(crate) struct Supervisor {
    name: String,
    state: StateDir,
    /// Microseconds since 1970.
    wall: fn() -> u64,
    capabilities: Capabilities,
    timing: SupervisorTiming,
    queue: WorkQueue,
    slots: Vec<mpsc::UnboundedSender<SlotCommand>>,
    /// Why the latest slot that went bad did.
    last_fault: String,
    storage: mpsc::UnboundedSender<Change>,
    reports: BTreeMap<AttemptId, Held>,
    /// Whether the coordinator may bar this worker from stages because evaluators do not start.
    barred: bool,
    connection: Option<Connection>,
    next_heartbeat: Option<Instant>,
    phase: Phase,
}

impl Supervisor {
    pub(crate) fn new(
        name: String,
        (state, wall): (StateDir, fn() -> u64),
        capabilities: Capabilities,
        slots: Vec<mpsc::UnboundedSender<SlotCommand>>,
        storage: mpsc::UnboundedSender<Change>,
        reports: BTreeMap<AttemptId, Report>,
        timing: SupervisorTiming,
    ) -> Self {
        let held = |report| Held { report: Box::new(report), standing: Standing::Sendable };
        Self {
            name,
            state,
            wall,
            capabilities,
            timing,
            queue: WorkQueue::new(slots.len() as u32),
            slots,
            last_fault: String::new(),
            storage,
            reports: reports.into_iter().map(|(id, report)| (id, held(report))).collect(),
            barred: false,
            connection: None,
            next_heartbeat: None,
            phase: Phase::Working,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// When the next heartbeat is due, if there is somebody to send it to.
    pub(crate) fn next_heartbeat(&self) -> Option<Instant> {
        self.next_heartbeat
    }

    /// When the present phase ends at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Working | Phase::Done => None,
            Phase::Draining { until, yields } => yields.or(until),
            Phase::Settling { until } | Phase::Leaving { until } => Some(until),
        }
    }

    /// What follows from any event: work is handed out, credit announced, phases ended.
    pub(crate) fn go_on(&mut self) {
        if !self.queue.is_usable() {
            self.barred = true;
            let reason = format!("no slot of this worker works: {}", self.last_fault);
            self.hand_back_waiting(FailureKind::BadNode, &reason);
        }
        self.lift_bars();
        while let Some((slot, assignment)) = self.queue.dispatch() {
            self.tell(slot.0 as usize, SlotCommand::Evaluate(assignment));
        }
        if self.is_registered() {
            let credit = self.queue.credit_to_announce();
            if credit > 0 {
                self.send(worker_message::Message::Ready(Ready { credit }));
            }
        }
        if matches!(self.phase, Phase::Draining { .. }) && !self.queue.is_busy() {
            self.settle();
        }
        if matches!(self.phase, Phase::Settling { .. }) && self.reports.is_empty() {
            self.say_goodbye();
        }
    }

    /// Registers anew once an evaluator works again: nothing else takes back what a worker was barred from.
    /// What is said after that would bar it anew, so it waits until all such reports are acknowledged.
    fn lift_bars(&mut self) {
        let due = self.barred && self.queue.is_ready() && !self.says_what_bars();
        if due && self.is_registered() && self.phase == Phase::Working {
            info!(
                "an evaluator works again: registering anew, so that the coordinator gives this worker \
                 the stages again that it was barred from meanwhile"
            );
            self.abandon(Abandoned::Renewed);
        }
    }

    fn says_what_bars(&self) -> bool {
        self.reports.values().any(|held| bars(&held.report))
    }

    pub(crate) fn on_heartbeat(&mut self) {
        let holding = self.holding();
        self.send(worker_message::Message::Heartbeat(Heartbeat { holding }));
        let interval = self.connection.as_ref().and_then(|connection| connection.heartbeat);
        self.next_heartbeat = interval.map(|interval| Instant::now() + interval);
    }

    /// The first signal.
    pub(crate) fn on_drain(&mut self) {
        info!(
            limit_s = self.timing.drain.as_secs_f64(),
            "draining: running evaluations may finish"
        );
        self.drain(Some(Instant::now() + self.timing.drain));
    }

    /// The second signal.
    pub(crate) fn on_leave(&mut self) {
        if !matches!(self.phase, Phase::Leaving { .. } | Phase::Done) {
            info!("leaving at once: unfinished evaluations are handed back");
            self.queue.close();
            self.dismiss_slots();
            self.say_goodbye();
        }
    }

    pub(crate) fn on_deadline(&mut self) {
        match self.phase {
            Phase::Working | Phase::Done => {}
            Phase::Draining { until, yields: Some(_) } => {
                self.phase = Phase::Draining { until, yields: None };
                self.yield_all();
            }
            Phase::Draining { .. } => {
                warn!("evaluations that did not finish in time are handed back");
                self.settle();
            }
            Phase::Settling { .. } => {
                warn!(
                    reports = self.reports.len(),
                    "reports without acknowledgement are kept and sent after the next start"
                );
                self.say_goodbye();
            }
            Phase::Leaving { .. } => self.phase = Phase::Done,
        }
    }

    fn drain(&mut self, until: Option<Instant>) {
        let able = self.capabilities.evaluators.iter().any(|offer| offer.yields);
        let yields =
            until.filter(|_| able).and_then(|until| until.checked_sub(self.timing.yielding));
        match self.phase {
            Phase::Working => {}
            // A signal bounds a drain that the coordinator asked for.
            Phase::Draining { until: None, .. } if until.is_some() => {
                self.phase = Phase::Draining { until, yields };
                return;
            }
            _ => return,
        }
        self.queue.close();
        self.phase = Phase::Draining { until, yields };
        self.hand_back_waiting(FailureKind::Preempted, "the worker takes nothing more");
        self.say_draining();
    }

    /// The coordinator lists it so, and counts on it no more.
    fn say_draining(&mut self) {
        if self.is_registered() && matches!(self.phase, Phase::Draining { .. }) {
            self.send(worker_message::Message::Draining(Draining {}));
        }
    }

    fn settle(&mut self) {
        self.dismiss_slots();
        self.phase = Phase::Settling { until: Instant::now() + self.timing.acknowledgement };
    }

    fn say_goodbye(&mut self) {
        self.send(worker_message::Message::Goodbye(Goodbye {}));
        self.next_heartbeat = None;
        // Dropping the sending half ends the stream in order, after what is in it.
        self.phase = match self.connection.take() {
            Some(_) => Phase::Leaving { until: Instant::now() + GOODBYE_PATIENCE },
            None => Phase::Done,
        };
    }

    fn dismiss_slots(&self) {
        for slot in 0..self.slots.len() {
            self.tell(slot, SlotCommand::Leave);
        }
    }

    fn hand_back_waiting(&mut self, kind: FailureKind, message: &str) {
        for assignment in self.queue.take_waiting() {
            self.hand_back(assignment.attempt_id(), kind, message);
        }
    }

    fn hand_back(&mut self, id: AttemptId, kind: FailureKind, message: &str) {
        let failure = Failure { kind: kind.into(), message: message.to_owned() };
        let outcome =
            Outcome { outcome: Some(outcome::Outcome::Failed(failure)), ..Outcome::default() };
        let (task, attempt) = (id.task.0, id.attempt.0);
        let report = Report { task, attempt, outcome: Some(outcome), energy_joules: None };
        self.keep(Box::new(report));
    }

    /// Takes charge of a report: to the disk first.
    fn keep(&mut self, report: Box<Report>) {
        let id = report.attempt_id();
        self.store(Change::Put(report.clone()));
        self.reports.insert(id, Held { report, standing: Standing::Storing });
    }

    /// Takes charge of a result before its state is kept: it must not be lost with this process.
    fn keep_meanwhile(&mut self, report: Box<Report>) {
        let id = report.attempt_id();
        self.store(Change::PutMeanwhile(report.clone()));
        self.reports.insert(id, Held { report, standing: Standing::Meanwhile });
    }

    fn is_kept_meanwhile(&self, id: AttemptId) -> bool {
        self.reports.get(&id).is_some_and(|held| held.standing == Standing::Meanwhile)
    }

    fn store(&self, change: Change) {
        if self.storage.send(change).is_err() {
            error!("the store of finished reports has ended; reports are in memory only");
        }
    }

    /// The disk has taken a report, or refused it for good.
    pub(crate) fn on_sendable(&mut self, id: AttemptId) {
        if let Some(held) = self.reports.get_mut(&id) {
            held.standing = Standing::Sendable;
            self.send_report(id);
        }
    }

    fn send_report(&mut self, id: AttemptId) {
        if !self.is_registered() {
            return;
        }
        if let Some(Held { report, standing: Standing::Sendable }) = self.reports.get(&id) {
            let report = report.as_ref().clone();
            self.send(worker_message::Message::Report(report));
        }
    }

    pub(crate) fn on_slot(&mut self, event: SlotEvent) {
        match event {
            SlotEvent::Health { slot, health, reason } => {
                if health == SlotHealth::Bad {
                    error!(%slot, "the slot cannot work: {reason}");
                    self.last_fault = reason;
                }
                self.queue.set_health(slot, health);
            }
            SlotEvent::Progress(progress) => self.forward(progress),
            SlotEvent::Saved(saved) => self.say_saved(saved),
            SlotEvent::Measured { slot, report } => {
                let id = report.attempt_id();
                if self.queue.slot_of(id) == Some(slot) {
                    debug!(%slot, %id, outcome = summary(&report), "its state is being kept");
                    self.keep_meanwhile(report);
                }
            }
            SlotEvent::Finished { slot, report } => {
                let id = report.attempt_id();
                if self.queue.finish(slot, id) {
                    // An evaluator that works bars its worker for reasons of its own, which stay.
                    self.barred |= self.queue.health(slot) == SlotHealth::Bad && bars(&report);
                    info!(%slot, %id, outcome = summary(&report), "evaluation finished");
                    self.keep(report);
                } else {
                    debug!(%slot, %id, "the result of a stopped evaluation is dropped");
                }
            }
        }
    }

    fn forward(&mut self, progress: Progress) {
        let id = attempt_id(progress.task, progress.attempt);
        let roomy = self.connection.as_ref().is_some_and(|connection| {
            connection.outgoing.messages.capacity() > OUTGOING_MESSAGES / 2
        });
        // Progress is for the eye; reports and heartbeats must not wait behind it.
        if roomy && self.is_registered() && self.queue.holding().any(|held| held == id) {
            self.send(worker_message::Message::Progress(progress));
        }
    }

    /// Not said without a connection: the next one will do.
    fn say_saved(&mut self, saved: SavedState) {
        let id = attempt_id(saved.task, saved.attempt);
        if self.is_registered() && self.queue.holding().any(|held| held == id) {
            debug!(%id, step = saved.step, "the state of an evaluation is stored");
            self.send(worker_message::Message::SavedState(saved));
        }
    }

    pub(crate) fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Opened(outgoing) => self.on_opened(outgoing),
            LinkEvent::Closed(closed) => self.on_closed(&closed),
            LinkEvent::Received(_) if self.connection.is_none() => {}
            LinkEvent::Received(message) => self.on_message(*message),
        }
    }

    fn on_closed(&mut self, closed: &Closed) {
        self.connection = None;
        self.next_heartbeat = None;
        if matches!(self.phase, Phase::Leaving { .. }) {
            self.phase = Phase::Done;
            return;
        }
        warn!(
            coordinator = closed.coordinator,
            reason = closed.reason,
            retry_after_ms = closed.pause.as_millis() as u64,
            "not connected to the coordinator"
        );
    }

    fn on_opened(&mut self, outgoing: Outgoing) {
        if matches!(self.phase, Phase::Leaving { .. } | Phase::Done) {
            return;
        }
        let session = self.state.next_session((self.wall)());
        self.queue.forget_credit();
        self.barred = self.says_what_bars();
        self.connection = Some(Connection { outgoing, heartbeat: None });
        self.send(worker_message::Message::Register(Register {
            name: self.name.clone(),
            session,
            capabilities: Some(self.capabilities.clone()),
            holding: self.holding(),
        }));
    }

    fn on_message(&mut self, message: coordinator_message::Message) {
        match message {
            coordinator_message::Message::Registered(registered) => self.on_registered(registered),
            coordinator_message::Message::Assign(assign) => match assign.assignment {
                Some(assignment) => self.on_assignment(Box::new(assignment)),
                None => warn!("the coordinator sent an empty assignment: ignored"),
            },
            coordinator_message::Message::Stop(stop) => self.on_stop(stop),
            coordinator_message::Message::Acknowledged(acknowledged) => {
                let id = attempt_id(acknowledged.task, acknowledged.attempt);
                // What has not been sent is not what was acknowledged.
                if !self.is_kept_meanwhile(id) && self.reports.remove(&id).is_some() {
                    self.store(Change::Remove(id));
                }
            }
            coordinator_message::Message::Drain(Drain {}) => {
                info!("the coordinator asks to drain: running evaluations finish");
                self.drain(None);
            }
        }
    }

    fn on_registered(&mut self, registered: Registered) {
        let Registered { worker, lease_micros } = registered;
        let interval = (Duration::from_micros(lease_micros) / HEARTBEATS_PER_LEASE)
            .clamp(SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT);
        info!(worker, lease_s = lease_micros as f64 / 1e6, "the coordinator knows this worker");
        if let Some(connection) = &mut self.connection {
            connection.heartbeat = Some(interval);
            self.next_heartbeat = Some(Instant::now() + interval);
        }
        self.say_draining();
        let unacknowledged: Vec<AttemptId> = self.reports.keys().copied().collect();
        for id in unacknowledged {
            self.send_report(id);
        }
    }

    fn on_assignment(&mut self, assignment: Box<Assignment>) {
        let id = assignment.attempt_id();
        if self.reports.contains_key(&id) {
            self.queue.use_credit();
            self.send_report(id);
            return;
        }
        match self.queue.take(assignment) {
            Taken::Queued => debug!(%id, "assigned"),
            Taken::Duplicate => debug!(%id, "assigned once more"),
            Taken::Refused(_) => {
                let message = "the worker takes nothing more";
                self.hand_back(id, FailureKind::Preempted, message);
            }
        }
    }

    fn on_stop(&mut self, stop: Stop) {
        let id = attempt_id(stop.task, stop.attempt);
        if stop.reason() == StopReason::Hopeless {
            return self.cut_short(id);
        }
        if stop.reason() == StopReason::Preempted {
            return self.yield_attempt(id);
        }
        // Somebody else has the task by now; what the attempt took counts all the same.
        if stop.reason() == StopReason::Superseded && self.queue.slot_of(id).is_some() {
            return self.cut_short(id);
        }
        // Nobody goes on with its state; the result is there.
        if self.is_kept_meanwhile(id) {
            return self.cut_short(id);
        }
        // A finished report stays until it is acknowledged: that may have crossed the request.
        match self.queue.stop(id) {
            Stopped::Dropped => info!(%id, reason = ?stop.reason(), "a waiting task is dropped"),
            Stopped::Running(slot) => {
                info!(%id, reason = ?stop.reason(), %slot, "a running evaluation is stopped");
                self.tell(slot.0 as usize, SlotCommand::Stop(id));
            }
            Stopped::Unknown => debug!(%id, "nothing to stop"),
        }
    }

    /// Ends an evaluation that another attempt goes on with: its end is reported all the same, with its
    /// state, if it can leave one.
    fn yield_attempt(&mut self, id: AttemptId) {
        if let Some(slot) = self.queue.slot_of(id) {
            info!(%id, %slot, "a running evaluation yields its slot");
            self.tell(slot.0 as usize, SlotCommand::Yield(id));
        } else if !self.reports.contains_key(&id)
            && !matches!(self.queue.stop(id), Stopped::Running(_))
        {
            self.hand_back(id, FailureKind::Preempted, "it had not begun");
        }
    }

    fn yield_all(&self) {
        for (slot, id) in self.queue.running() {
            info!(%id, %slot, "the worker has to go: an evaluation leaves its state");
            self.tell(slot.0 as usize, SlotCommand::Yield(id));
        }
    }

    /// Ends an evaluation whose end is reported all the same.
    fn cut_short(&self, id: AttemptId) {
        match self.queue.slot_of(id) {
            Some(slot) => {
                info!(%id, %slot, "a running evaluation is cut short");
                self.tell(slot.0 as usize, SlotCommand::Stop(id));
            }
            None => debug!(%id, "nothing to stop"),
        }
    }

    fn is_registered(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.heartbeat.is_some())
    }

    fn holding(&self) -> Vec<TaskAttempt> {
        let finished = self.reports.keys().copied();
        // Both have what is measured and waits for its state.
        let in_work = self.queue.holding().filter(|id| !self.reports.contains_key(id));
        finished.chain(in_work).map(TaskAttempt::from).collect()
    }

    fn tell(&self, slot: usize, command: SlotCommand) {
        // A slot that is gone has been told to leave.
        let _ = self.slots[slot].send(command);
    }

    fn send(&mut self, message: worker_message::Message) {
        let Some(connection) = &self.connection else { return };
        let message = WorkerMessage { message: Some(message) };
        match connection.outgoing.messages.try_send(message) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.abandon(Abandoned::Unread),
            // The link says why in a moment.
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.connection = None;
                self.next_heartbeat = None;
            }
        }
    }

    /// Cuts the stream; the link opens another.
    fn abandon(&mut self, why: Abandoned) {
        self.next_heartbeat = None;
        if let Some(connection) = self.connection.take() {
            // A link that is gone has cut it.
            let _ = connection.outgoing.abandon.send(why);
        }
    }
}

#[cfg(test)]
mod tests;
