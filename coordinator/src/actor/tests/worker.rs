//! Workers without a network: one that a test moves step by step, and a fleet that works by itself
//! and comes back whenever it is cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use cambrian_core::engine::{Assignment, Attached, CampaignView, Command, Effect, ReportedOutcome};
use cambrian_core::id::{AttemptId, CampaignId, SessionId, WorkerId};
use cambrian_core::time::Span;
use cambrian_proto::convert::worker::Registration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::connection::{Line, Outbound, connection};
use crate::handle::{CallError, Handle};
use crate::testing::{capabilities, outcome};

/// A registered worker.
#[derive(Debug)]
pub(super) struct Connected {
    handle: Handle,
    pub(super) worker: WorkerId,
    session: SessionId,
    pub(super) line: Line,
}

impl Connected {
    pub(super) async fn open(
        handle: &Handle,
        name: &str,
        session: u64,
        holding: &[AttemptId],
    ) -> Result<Self, CallError> {
        Self::open_with_queue(handle, name, session, holding, 64).await
    }

    pub(super) async fn open_with_queue(
        handle: &Handle,
        name: &str,
        session: u64,
        holding: &[AttemptId],
        queue: usize,
    ) -> Result<Self, CallError> {
        let session = SessionId(session);
        let registration = Registration {
            name: name.into(),
            session,
            capabilities: capabilities(2),
            holding: holding.to_vec(),
        };
        let (connection, mut line) = connection(session, queue);
        let worker = handle.register(registration, connection).await?;
        let first = line.outbound.recv().await;
        assert!(
            matches!(first, Some(Outbound::Registered { worker: found, .. }) if found == worker)
        );
        Ok(Self { handle: handle.clone(), worker, session, line })
    }

    async fn tell(&self, command: Command) {
        // An actor that has ended tells by closing the line.
        let _ = self.handle.tell(vec![command]).await;
    }

    pub(super) async fn ready(&self, credit: u32) {
        let (worker, session) = (self.worker, self.session);
        self.tell(Command::Ready { worker, session, credit }).await;
    }

    pub(super) async fn heartbeat(&self, holding: &[AttemptId]) {
        let (worker, session) = (self.worker, self.session);
        let holding = holding.to_vec();
        self.tell(Command::Heartbeat { worker, session, holding }).await;
    }

    pub(super) async fn gone(&self) {
        let (worker, session) = (self.worker, self.session);
        self.tell(Command::WorkerDisconnected { worker, session }).await;
    }

    pub(super) async fn report(&self, assignment: &Assignment) {
        self.deliver(assignment.id(), outcome(assignment)).await;
    }

    async fn deliver(&self, id: AttemptId, outcome: ReportedOutcome) {
        let AttemptId { task, attempt } = id;
        let (worker, session, elapsed) = (self.worker, self.session, Span::from_millis(7));
        let (attached, energy) = (Attached::default(), None);
        self.tell(Command::Report {
            worker,
            session,
            task,
            attempt,
            outcome,
            attached,
            elapsed,
            energy,
        })
        .await;
    }

    pub(super) async fn effect(&mut self) -> Effect {
        match self.line.outbound.recv().await {
            Some(Outbound::Effect(effect)) => effect,
            other => panic!("expected an effect, got {other:?}"),
        }
    }

    pub(super) async fn assignment(&mut self) -> Assignment {
        match self.effect().await {
            Effect::Assign { assignment, .. } => *assignment,
            other => panic!("expected an assignment, got {other:?}"),
        }
    }

    pub(super) async fn acknowledgement(&mut self, assignment: &Assignment) {
        loop {
            if let Effect::Acknowledge { task, attempt, .. } = self.effect().await {
                assert_eq!(AttemptId::new(task, attempt), assignment.id());
                return;
            }
        }
    }
}

/// Workers that evaluate whatever they get.
pub(super) struct Fleet {
    handle: Handle,
    stop: CancellationToken,
    workers: Vec<JoinHandle<()>>,
    acknowledged: Arc<Mutex<BTreeSet<AttemptId>>>,
}

impl Fleet {
    pub(super) fn new(handle: &Handle, size: usize) -> Self {
        let (stop, acknowledged) = (CancellationToken::new(), Arc::default());
        let workers = (0..size)
            .map(|index| {
                let member = Member {
                    handle: handle.clone(),
                    name: format!("member-{index}"),
                    outbox: BTreeMap::new(),
                    acknowledged: Arc::clone(&acknowledged),
                };
                tokio::spawn(stop.clone().run_until_cancelled_owned(member.work()))
            })
            .map(|task| tokio::spawn(async move { drop(task.await) }))
            .collect();
        Self { handle: handle.clone(), stop, workers, acknowledged }
    }

    /// Waits until the campaign looks as wanted.
    pub(super) async fn until(&self, id: CampaignId, wanted: impl Fn(&CampaignView) -> bool) {
        let mut changes = self.handle.changes();
        loop {
            changes.borrow_and_update();
            let view =
                self.handle.query(move |state| state.campaign(id).unwrap().view()).await.unwrap();
            if wanted(&view) {
                return;
            }
            changes.changed().await.unwrap();
        }
    }

    /// Ends all workers; returns what was acknowledged to them.
    pub(super) async fn stop(self) -> BTreeSet<AttemptId> {
        self.stop.cancel();
        for worker in self.workers {
            worker.await.unwrap();
        }
        self.acknowledged.lock().unwrap().clone()
    }
}

struct Member {
    handle: Handle,
    name: String,
    outbox: BTreeMap<AttemptId, ReportedOutcome>,
    acknowledged: Arc<Mutex<BTreeSet<AttemptId>>>,
}

impl Member {
    async fn work(mut self) {
        let known = self.handle.query({
            let name = self.name.clone();
            move |state| state.find_worker(&name).map_or(0, |worker| worker.session().0)
        });
        let mut session = known.await.unwrap_or(0);
        loop {
            session += 1;
            let held: Vec<AttemptId> = self.outbox.keys().copied().collect();
            match Connected::open(&self.handle, &self.name, session, &held).await {
                Ok(connected) => self.serve(connected).await,
                Err(CallError::ShuttingDown) => return,
                // A registration whose success was lost has used its session up.
                Err(CallError::Storage(_) | CallError::Rejected(_)) => {}
            }
        }
    }

    async fn serve(&mut self, mut connected: Connected) {
        for (id, outcome) in &self.outbox {
            connected.deliver(*id, outcome.clone()).await;
        }
        connected.ready(2).await;
        while let Some(message) = connected.line.outbound.recv().await {
            let Outbound::Effect(effect) = message else { continue };
            match effect {
                Effect::Assign { assignment, .. } => {
                    self.outbox.insert(assignment.id(), outcome(&assignment));
                    connected.report(&assignment).await;
                    connected.ready(1).await;
                }
                // No test drains this worker.
                Effect::Drain { .. } => {}
                Effect::Stop { task, attempt, .. } => {
                    self.outbox.remove(&AttemptId::new(task, attempt));
                }
                Effect::Acknowledge { task, attempt, .. } => {
                    let id = AttemptId::new(task, attempt);
                    self.outbox.remove(&id);
                    self.acknowledged.lock().unwrap().insert(id);
                }
            }
        }
    }
}
