//! Asynchronous access to the actor, for as many callers as there are.
//!
//! Must not know gRPC, nor how the actor does what is asked.

use std::sync::Arc;

use cambrian_core::engine::{Command, Rejected, State, SubmissionId};
use cambrian_core::id::{CampaignId, WorkerId};
use cambrian_core::spec::CampaignSpec;
use cambrian_proto::convert::worker::Registration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;

/// Why a call had no effect, or none that is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// The command does not fit the state; nothing has changed.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The journal could not be written. The command has almost certainly had no effect; where
    /// that matters, read the state and repeat.
    #[error("the journal could not be written: {0}")]
    Storage(Arc<str>),
    /// The coordinator stops.
    #[error("the coordinator is shutting down")]
    ShuttingDown,
}

/// What a committed command has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Campaign(CampaignId),
    Worker(WorkerId),
}

pub(crate) type Reply = oneshot::Sender<Result<Answer, CallError>>;
pub(crate) type Query = Box<dyn FnOnce(&State) + Send>;

/// What the actor's mailbox holds.
pub(crate) enum Message {
    /// Handle a command; the reply comes after its events are stored.
    Command(Box<Command>, Reply),
    /// Handle commands of a worker's connection, which is closed if one is rejected.
    Tell(Vec<Command>),
    /// Register a worker and file its connection.
    Register(Registration, Connection, Reply),
    /// Read the stored state.
    Query(Query),
    /// Handle what is waiting and end.
    Shutdown,
}

/// Access to the actor; copies are cheap.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) mailbox: mpsc::Sender<Message>,
    pub(crate) changes: watch::Receiver<u64>,
    pub(crate) ended: CancellationToken,
}

impl Handle {
    /// Creates a campaign, or finds the one that this submission has created before.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn submit(
        &self,
        submission: SubmissionId,
        spec: Arc<CampaignSpec>,
        source: Arc<str>,
        owner: Option<Arc<str>>,
    ) -> Result<CampaignId, CallError> {
        match self.command(Command::SubmitCampaign { submission, spec, source, owner }).await? {
            Answer::Campaign(campaign) => Ok(campaign),
            Answer::Done | Answer::Worker(_) => Err(CallError::ShuttingDown),
        }
    }

    /// Dispatches nothing more of a campaign until it is resumed.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn pause(&self, campaign: CampaignId) -> Result<(), CallError> {
        self.command(Command::PauseCampaign(campaign)).await.map(drop)
    }

    /// Undoes a pause.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn resume(&self, campaign: CampaignId) -> Result<(), CallError> {
        self.command(Command::ResumeCampaign(campaign)).await.map(drop)
    }

    /// Ends a campaign; its running evaluations are stopped.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn cancel(&self, campaign: CampaignId) -> Result<(), CallError> {
        self.command(Command::CancelCampaign(campaign)).await.map(drop)
    }

    /// A worker takes nothing more and leaves when it has finished, or at once.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn drain_worker(&self, worker: WorkerId, at_once: bool) -> Result<(), CallError> {
        self.command(Command::DrainWorker { worker, at_once }).await.map(drop)
    }

    /// A worker gets work again.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn release_worker(&self, worker: WorkerId) -> Result<(), CallError> {
        self.command(Command::ReleaseWorker(worker)).await.map(drop)
    }

    /// Registers a worker; from then on its effects go to `connection`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn register(
        &self,
        registration: Registration,
        connection: Connection,
    ) -> Result<WorkerId, CallError> {
        let (reply, answer) = oneshot::channel();
        match self.send(Message::Register(registration, connection, reply), answer).await? {
            Answer::Worker(worker) => Ok(worker),
            Answer::Done | Answer::Campaign(_) => Err(CallError::ShuttingDown),
        }
    }

    /// Passes on what a worker says, in order. Waits only while the mailbox is full, not for the
    /// outcome: a rejection, or a failure to store it, ends the worker's connection.
    ///
    /// # Errors
    /// [`CallError::ShuttingDown`].
    pub async fn tell(&self, commands: Vec<Command>) -> Result<(), CallError> {
        let message = Message::Tell(commands);
        self.mailbox.send(message).await.map_err(|_| CallError::ShuttingDown)
    }

    /// Reads the stored state: never anything that could still be lost.
    ///
    /// `read` runs on the actor's thread, so it should copy what it needs and compute elsewhere.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn query<R: Send + 'static>(
        &self,
        read: impl FnOnce(&State) -> R + Send + 'static,
    ) -> Result<R, CallError> {
        let (sender, answer) = oneshot::channel();
        let query: Query = Box::new(move |state| {
            // The caller may have lost interest.
            let _ = sender.send(read(state));
        });
        let sent = self.mailbox.send(Message::Query(query)).await;
        sent.map_err(|_| CallError::ShuttingDown)?;
        answer.await.map_err(|_| CallError::ShuttingDown)
    }

    /// A counter that moves after each stored change that people can see.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Lets the actor handle what is waiting, then end.
    pub async fn shutdown(&self) {
        // An actor that has ended needs no telling.
        let _ = self.mailbox.send(Message::Shutdown).await;
    }

    /// Returns once the actor has ended, by request or by failure.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    async fn command(&self, command: Command) -> Result<Answer, CallError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Command(Box::new(command), reply), answer).await
    }

    async fn send(
        &self,
        message: Message,
        answer: oneshot::Receiver<Result<Answer, CallError>>,
    ) -> Result<Answer, CallError> {
        self.mailbox.send(message).await.map_err(|_| CallError::ShuttingDown)?;
        answer.await.unwrap_or(Err(CallError::ShuttingDown))
    }
}
