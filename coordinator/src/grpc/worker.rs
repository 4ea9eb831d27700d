//! The stream of one worker: Register first, then commands in and effects out, each in a task of
//! its own, so that neither side waits for the other.

use std::sync::Arc;
use std::time::Duration;

use cambrian_core::engine::Command;
use cambrian_core::id::{SessionId, WorkerId};
use cambrian_proto::convert::ConvertError;
use cambrian_proto::convert::worker::{Registration, command};
use cambrian_proto::v1;
use cambrian_proto::v1::worker_service_server::WorkerService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};

use super::caller;
use super::status::{bad_message, of_call, of_closed};
use crate::access::{Caller, Policy, RECHECK};
use crate::connection::{Closed, Line, Outbound, connection};
use crate::handle::Handle;

/// How many messages wait between the writing task and the network.
const WIRE_QUEUE: usize = 16;

/// What bounds a worker's stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerSettings {
    /// How long a new stream may take to register.
    pub(crate) register_timeout: Duration,
    /// How many messages to one worker wait at most before it is cut off.
    pub(crate) outbound_queue: usize,
}

/// Serves `WorkerService`.
pub(crate) struct WorkerServer {
    handle: Handle,
    settings: WorkerSettings,
    policy: Arc<Policy>,
}

impl WorkerServer {
    pub(crate) fn new(handle: Handle, settings: WorkerSettings, policy: Arc<Policy>) -> Self {
        Self { handle, settings, policy }
    }
}

type Wire = mpsc::Sender<Result<v1::CoordinatorMessage, Status>>;

#[tonic::async_trait]
impl WorkerService for WorkerServer {
    type WorkStream = ReceiverStream<Result<v1::CoordinatorMessage, Status>>;

    /// Answers with the stream at once: a client that waits for it before it sends would hang.
    async fn work(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let caller = caller(&request)?;
        let (wire, stream) = mpsc::channel(WIRE_QUEUE);
        let session = Session {
            handle: self.handle.clone(),
            settings: self.settings,
            policy: self.policy.clone(),
            caller,
            messages: request.into_inner(),
            wire,
        };
        tokio::spawn(session.serve());
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

struct Session {
    handle: Handle,
    settings: WorkerSettings,
    policy: Arc<Policy>,
    caller: Caller,
    messages: Streaming<v1::WorkerMessage>,
    wire: Wire,
}

impl Session {
    async fn serve(mut self) {
        let registration = match self.registration().await {
            Ok(registration) => registration,
            Err(status) => return end(&self.wire, status).await,
        };
        let (name, session) = (registration.name.clone(), registration.session);
        if let Err(status) = self.policy.claim_worker(&self.caller, &name).await {
            return end(&self.wire, status).await;
        }
        let (connection, line) = connection(session, self.settings.outbound_queue);
        let worker = match self.handle.register(registration, connection).await {
            Ok(worker) => worker,
            Err(error) => return end(&self.wire, of_call(&error)).await,
        };
        tracing::info!(%worker, %name, %session, "worker connected");
        let over = CancellationToken::new();
        let writer = tokio::spawn(write(line, self.wire.clone(), over.clone()));
        if let Err(status) = self.read(worker, session, &over).await {
            tracing::warn!(%worker, %session, status = status.message(), "worker cut off");
            end(&self.wire, status).await;
        }
        // A closed stream is no goodbye: the leases run on until they expire.
        let left = Command::WorkerDisconnected { worker, session };
        if self.handle.tell(left).await.is_ok() {
            tracing::info!(%worker, %name, %session, "worker disconnected");
        }
        over.cancel();
        // A writer that panicked has nothing more to say.
        let _ = writer.await;
    }

    async fn registration(&mut self) -> Result<Registration, Status> {
        let first = tokio::time::timeout(self.settings.register_timeout, self.messages.message());
        let Ok(first) = first.await else {
            let seconds = self.settings.register_timeout.as_secs_f64();
            return Err(Status::deadline_exceeded(format!("no register within {seconds} s")));
        };
        let missing = || ConvertError::new("register", "must be the first message of the stream");
        let message = first?.and_then(|first| first.message);
        match message {
            Some(v1::worker_message::Message::Register(register)) => {
                Registration::try_from(register).map_err(|error| {
                    let field = format!("register.{}", error.field);
                    bad_message(&ConvertError { field, ..error })
                })
            }
            _ => Err(bad_message(&missing())),
        }
    }

    /// Passes on what the worker says until it ends, is ended, or says what cannot be read.
    async fn read(
        &mut self,
        worker: WorkerId,
        session: SessionId,
        over: &CancellationToken,
    ) -> Result<(), Status> {
        let mut recheck = tokio::time::interval(RECHECK);
        loop {
            let message = tokio::select! {
                () = over.cancelled() => return Ok(()),
                _ = recheck.tick() => {
                    self.policy.still(&self.caller)?;
                    continue;
                }
                message = self.messages.message() => message,
            };
            let message = match message {
                Ok(Some(message)) => message,
                // Too large, or no message at all: the worker should know.
                Err(status) if matches!(status.code(), Code::OutOfRange | Code::Internal) => {
                    return Err(Status::invalid_argument(status.message()));
                }
                // A connection that broke ends like one that was closed.
                Ok(None) | Err(_) => return Ok(()),
            };
            let command = command(worker, session, message).map_err(|error| bad_message(&error))?;
            self.handle.tell(command).await.map_err(|error| of_call(&error))?;
        }
    }
}

/// Sends what the actor hands out until the connection ends; then cancels `over`.
async fn write(line: Line, wire: Wire, over: CancellationToken) {
    let Line { mut outbound, mut closed } = line;
    let _ended = over.clone().drop_guard();
    loop {
        let message = tokio::select! {
            biased;
            why = &mut closed => return end_closed(&mut outbound, &wire, why.ok()).await,
            () = over.cancelled() => return,
            message = outbound.recv() => message,
        };
        let Some(message) = message else { return };
        tokio::select! {
            sent = wire.send(Ok(to_message(message))) => {
                if sent.is_err() {
                    return;
                }
            }
            why = &mut closed => return end_closed(&mut outbound, &wire, why.ok()).await,
        }
    }
}

/// The connection's end, by the actor's wish. What was handed out before goes first, as far as
/// there is room: acknowledgements of stored reports spare the worker a repetition.
async fn end_closed(outbound: &mut mpsc::Receiver<Outbound>, wire: &Wire, why: Option<Closed>) {
    while let Ok(message) = outbound.try_recv() {
        if wire.try_send(Ok(to_message(message))).is_err() {
            break;
        }
    }
    // The actor forgets a worker that said goodbye; it is gone without a reason otherwise.
    if let Some(why) = why {
        end(wire, of_closed(&why)).await;
    }
}

/// Ends the stream with a status, unless the peer has stopped reading.
async fn end(wire: &Wire, status: Status) {
    const PATIENCE: Duration = Duration::from_secs(1);
    // Without room or reader the stream just ends; the worker learns the reason on reconnecting.
    let _ = wire.send_timeout(Err(status), PATIENCE).await;
}

fn to_message(message: Outbound) -> v1::CoordinatorMessage {
    match message {
        Outbound::Registered { worker, lease_length } => {
            let registered = v1::Registered { worker: worker.0, lease_micros: lease_length.0 };
            let message = v1::coordinator_message::Message::Registered(registered);
            v1::CoordinatorMessage { message: Some(message) }
        }
        Outbound::Effect(effect) => effect.as_ref().into(),
    }
}
