//! The connections of workers as the actor sees them: where effects go.
//!
//! A connection belongs to one session of one worker. Nothing here waits: a worker that does not
//! take its messages is cut off, and comes back by itself. Must not know gRPC.

use std::collections::BTreeMap;

use cambrian_core::engine::{Effect, Rejected};
use cambrian_core::id::{SessionId, WorkerId};
use cambrian_core::time::Span;
use cambrian_proto::convert::worker::recipient;
use tokio::sync::{mpsc, oneshot};

/// What a worker is sent.
#[derive(Debug)]
pub enum Outbound {
    /// Its registration is stored.
    Registered {
        /// Its number.
        worker: WorkerId,
        /// How long a lease lasts without a sign of life.
        lease_length: Span,
    },
    /// Something for it to do or to forget.
    Effect(Effect),
}

/// Why the coordinator ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// A newer connection of the same worker has taken over.
    Replaced,
    /// What it said does not fit the state.
    Rejected(Rejected),
    /// It does not take what it is sent.
    TooSlow,
    /// What it said may be lost; the worker has to say it again.
    StorageFailed,
    /// The coordinator stops.
    ShuttingDown,
}

/// The actor's end of a connection.
#[derive(Debug)]
pub struct Connection {
    session: SessionId,
    outbound: mpsc::Sender<Outbound>,
    close: oneshot::Sender<Closed>,
}

/// The transport's end of a connection.
#[derive(Debug)]
pub struct Line {
    /// What to send.
    pub outbound: mpsc::Receiver<Outbound>,
    /// When and why to end; an error means that the actor has ended.
    pub closed: oneshot::Receiver<Closed>,
}

/// Both ends of a connection that buffers `queue` messages.
#[must_use]
pub fn connection(session: SessionId, queue: usize) -> (Connection, Line) {
    let (sender, outbound) = mpsc::channel(queue);
    let (close, closed) = oneshot::channel();
    (Connection { session, outbound: sender, close }, Line { outbound, closed })
}

impl Connection {
    /// Ends a connection that was never filed.
    pub fn refuse(self, why: Closed) {
        // A transport that has gone by itself needs no reason.
        let _ = self.close.send(why);
    }
}

/// The present connection of each worker.
#[derive(Debug, Default)]
pub(crate) struct Connections(BTreeMap<WorkerId, Connection>);

impl Connections {
    /// Files a worker's new connection in place of its old one.
    pub(crate) fn open(&mut self, worker: WorkerId, connection: Connection, lease_length: Span) {
        if let Some(before) = self.0.insert(worker, connection) {
            before.refuse(Closed::Replaced);
        }
        self.send(worker, Outbound::Registered { worker, lease_length });
    }

    /// Sends an effect on the connection that it was decided for; on no other.
    pub(crate) fn perform(&mut self, effect: Effect) {
        let (worker, session) = recipient(&effect);
        match self.0.get(&worker) {
            Some(present) if present.session == session => {
                self.send(worker, Outbound::Effect(effect));
            }
            _ => {}
        }
    }

    /// Ends a connection, if it is the worker's present one.
    pub(crate) fn close(&mut self, worker: WorkerId, session: SessionId, why: Closed) {
        if self.is_present(worker, session)
            && let Some(connection) = self.0.remove(&worker)
        {
            connection.refuse(why);
        }
    }

    /// Forgets a connection that has ended by itself.
    pub(crate) fn forget(&mut self, worker: WorkerId, session: SessionId) {
        if self.is_present(worker, session) {
            self.0.remove(&worker);
        }
    }

    pub(crate) fn close_all(&mut self, why: &Closed) {
        for connection in std::mem::take(&mut self.0).into_values() {
            connection.refuse(why.clone());
        }
    }

    fn is_present(&self, worker: WorkerId, session: SessionId) -> bool {
        self.0.get(&worker).is_some_and(|found| found.session == session)
    }

    fn send(&mut self, worker: WorkerId, message: Outbound) {
        let Some(connection) = self.0.get(&worker) else { return };
        if connection.outbound.try_send(message).is_err()
            && let Some(connection) = self.0.remove(&worker)
        {
            tracing::warn!(%worker, "does not take its messages; its connection is closed");
            connection.refuse(Closed::TooSlow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cambrian_core::id::{Attempt, TaskId};

    fn effect(session: u64) -> Effect {
        Effect::Acknowledge {
            worker: WorkerId(1),
            session: SessionId(session),
            task: TaskId(1),
            attempt: Attempt(1),
        }
    }

    fn open(connections: &mut Connections, session: u64, queue: usize) -> Line {
        let (connection, line) = connection(SessionId(session), queue);
        connections.open(WorkerId(1), connection, Span(1));
        line
    }

    #[test]
    fn effects_reach_their_own_session_only() {
        let mut connections = Connections::default();
        let mut first = open(&mut connections, 1, 9);
        assert!(matches!(first.outbound.try_recv(), Ok(Outbound::Registered { .. })));
        let mut second = open(&mut connections, 2, 9);
        assert_eq!(first.closed.try_recv(), Ok(Closed::Replaced));
        assert!(matches!(second.outbound.try_recv(), Ok(Outbound::Registered { .. })));
        connections.perform(effect(1));
        assert!(first.outbound.try_recv().is_err() && second.outbound.try_recv().is_err());
        connections.perform(effect(2));
        assert!(matches!(second.outbound.try_recv(), Ok(Outbound::Effect(_))));
        connections.close(WorkerId(1), SessionId(1), Closed::TooSlow);
        assert!(second.closed.try_recv().is_err(), "the present connection was closed");
    }

    #[test]
    fn a_worker_that_takes_nothing_is_cut_off() {
        let mut connections = Connections::default();
        let mut line = open(&mut connections, 1, 2);
        connections.perform(effect(1));
        connections.perform(effect(1));
        assert_eq!(line.closed.try_recv(), Ok(Closed::TooSlow));
        connections.perform(effect(1));
    }
}
