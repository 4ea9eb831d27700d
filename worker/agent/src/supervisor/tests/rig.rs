//! A supervisor of which the test holds every other end: slots, storage, and the stream to the coordinator.

use cambrian_proto::v1::{Acknowledged, Assign, StopReason};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::super::*;
use crate::queue::SlotIndex;

/// A supervisor with every channel that it has to others.
pub(super) struct Rig {
    pub(super) supervisor: Supervisor,
    commands: Vec<mpsc::UnboundedReceiver<SlotCommand>>,
    changes: mpsc::UnboundedReceiver<Change>,
    pub(super) root: TempDir,
}

/// A stream's other end.
pub(super) struct Peer {
    messages: mpsc::Receiver<WorkerMessage>,
    abandoned: oneshot::Receiver<Abandoned>,
}

impl Peer {
    /// What the worker has said since the last look.
    pub(super) fn heard(&mut self) -> Vec<worker_message::Message> {
        let mut heard = Vec::new();
        while let Ok(message) = self.messages.try_recv() {
            heard.push(message.message.unwrap());
        }
        heard
    }

    pub(super) fn abandoned(&mut self) -> Option<Abandoned> {
        self.abandoned.try_recv().ok()
    }

    pub(super) fn is_closed(&mut self) -> bool {
        matches!(self.messages.try_recv(), Err(mpsc::error::TryRecvError::Disconnected))
    }
}

pub(super) fn report(task: u64) -> Report {
    let outcome = Outcome { outcome: None, elapsed_micros: 7, ..Outcome::default() };
    Report { task, attempt: 1, outcome: Some(outcome), energy_joules: None }
}

/// What is kept of it while its state is on its way.
pub(super) fn meanwhile(task: u64) -> Report {
    Report { energy_joules: Some(1.0), ..report(task) }
}

/// The report of a task that is handed back because an evaluator does not start.
pub(super) fn bad_node(task: u64) -> Report {
    let failure = Failure { kind: FailureKind::BadNode.into(), message: "a reason".to_owned() };
    let outcome = Some(outcome::Outcome::Failed(failure));
    Report { outcome: Some(Outcome { outcome, ..Outcome::default() }), ..report(task) }
}

pub(super) fn rig_with(slots: usize, stored: &[u64]) -> Rig {
    let root = tempfile::tempdir().unwrap();
    let (storage, changes) = mpsc::unbounded_channel();
    let (senders, commands) = (0..slots).map(|_| mpsc::unbounded_channel()).unzip();
    let supervisor = Supervisor::new(
        "worker".to_owned(),
        (StateDir::open(root.path()).unwrap(), wall),
        Capabilities { slots: slots as u32, ..Capabilities::default() },
        senders,
        storage,
        stored.iter().map(|&task| (attempt_id(task, 1), report(task))).collect(),
        SupervisorTiming {
            yielding: Duration::from_secs(1),
            drain: Duration::from_secs(1_000),
            acknowledgement: Duration::from_secs(1_000),
        },
    );
    Rig { supervisor, commands, changes, root }
}

pub(super) fn rig(slots: usize) -> Rig {
    let mut rig = rig_with(slots, &[]);
    for slot in 0..slots {
        rig.health(slot, SlotHealth::Ready);
    }
    rig
}

impl Rig {
    pub(super) fn health(&mut self, slot: usize, health: SlotHealth) {
        let reason = "a reason".to_owned();
        self.supervisor.on_slot(SlotEvent::Health { slot: SlotIndex(slot as u32), health, reason });
        self.supervisor.go_on();
    }

    pub(super) fn open(&mut self) -> Peer {
        let (sender, messages) = mpsc::channel(OUTGOING_MESSAGES);
        let (abandon, abandoned) = oneshot::channel();
        let outgoing = Outgoing { messages: sender, abandon };
        self.supervisor.on_link(LinkEvent::Opened(outgoing));
        self.supervisor.go_on();
        Peer { messages, abandoned }
    }

    pub(super) fn close(&mut self) {
        let (coordinator, reason) = ("http://a:1".to_owned(), "a reason".to_owned());
        let closed = Closed { coordinator, reason, pause: Duration::ZERO };
        self.supervisor.on_link(LinkEvent::Closed(closed));
    }

    pub(super) fn receive(&mut self, message: coordinator_message::Message) {
        self.supervisor.on_link(LinkEvent::Received(Box::new(message)));
        self.supervisor.go_on();
    }

    /// Opens a stream and registers.
    pub(super) fn connect(&mut self) -> Peer {
        let mut peer = self.open();
        peer.heard();
        self.registered();
        peer
    }

    pub(super) fn registered(&mut self) {
        let registered = Registered { worker: 1, lease_micros: 20_000_000 };
        self.receive(coordinator_message::Message::Registered(registered));
    }

    pub(super) fn assign(&mut self, task: u64) {
        let assignment = Some(Assignment { task, attempt: 1, ..Assignment::default() });
        self.receive(coordinator_message::Message::Assign(Assign { assignment }));
    }

    pub(super) fn stop(&mut self, task: u64) {
        self.stop_for(task, StopReason::Cancelled);
    }

    pub(super) fn stop_for(&mut self, task: u64, reason: StopReason) {
        let reason = reason.into();
        self.receive(coordinator_message::Message::Stop(Stop { task, attempt: 1, reason }));
    }

    pub(super) fn acknowledge(&mut self, task: u64) {
        let acknowledged = Acknowledged { task, attempt: 1 };
        self.receive(coordinator_message::Message::Acknowledged(acknowledged));
    }

    pub(super) fn measure(&mut self, slot: u32, task: u64) {
        let report = Box::new(meanwhile(task));
        self.supervisor.on_slot(SlotEvent::Measured { slot: SlotIndex(slot), report });
        self.supervisor.go_on();
    }

    pub(super) fn finish(&mut self, slot: u32, task: u64) {
        self.finish_with(slot, report(task));
    }

    pub(super) fn finish_with(&mut self, slot: u32, report: Report) {
        let report = Box::new(report);
        self.supervisor.on_slot(SlotEvent::Finished { slot: SlotIndex(slot), report });
        self.supervisor.go_on();
    }

    pub(super) fn sendable(&mut self, task: u64) {
        self.supervisor.on_sendable(attempt_id(task, 1));
        self.supervisor.go_on();
    }

    /// What the slots were told since the last look.
    pub(super) fn told(&mut self, slot: usize) -> Vec<SlotCommand> {
        std::iter::from_fn(|| self.commands[slot].try_recv().ok()).collect()
    }

    pub(super) fn changes(&mut self) -> Vec<Change> {
        std::iter::from_fn(|| self.changes.try_recv().ok()).collect()
    }

    pub(super) fn holding(&self) -> Vec<(u64, u32)> {
        self.supervisor.holding().iter().map(|held| (held.task, held.attempt)).collect()
    }
}
