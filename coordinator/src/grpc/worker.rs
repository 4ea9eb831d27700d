//! The stream of one worker: Register first, then commands in, read by a task, and effects out, taken
//! from the connection by whoever writes the response; neither side waits for the other.
//!
//! Must not know what a command leads to, nor why an effect goes out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cambrian_core::engine::Command;
use cambrian_core::id::{SessionId, WorkerId};
use cambrian_proto::convert::ConvertError;
use cambrian_proto::convert::worker::{Registration, command};
use cambrian_proto::v1;
use cambrian_proto::v1::worker_service_server::WorkerService;
use futures::{FutureExt, Stream};
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Request, Response, Status, Streaming};

use super::status::{bad_message, of_call, of_closed};
use super::{caller, refused};
use crate::access::{Caller, Policy, RECHECK, Refused};
use crate::connection::{Closed, Line, Outbound, connection};
use crate::handle::Handle;

/// How many messages that have arrived together are handed to the engine together.
const TOGETHER: usize = 64;

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

#[tonic::async_trait]
impl WorkerService for WorkerServer {
    type WorkStream = Outgoing;

    /// Answers with the stream at once: a client that waits for it before it sends would hang.
    async fn work(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let (caller, refused) = (caller(&request)?, refused(&request)?);
        let (opened, opening) = oneshot::channel();
        let over = CancellationToken::new();
        let session = Session {
            handle: self.handle.clone(),
            settings: self.settings,
            policy: self.policy.clone(),
            caller,
            refused,
            messages: request.into_inner(),
            over: over.clone(),
        };
        tokio::spawn(session.serve(opened));
        Ok(Response::new(Outgoing { state: Sending::Opening(opening), _over: over.drop_guard() }))
    }
}

/// What a stream needs once its worker is registered, or why it is not.
type Opening = Result<Sender, Status>;

struct Session {
    handle: Handle,
    settings: WorkerSettings,
    policy: Arc<Policy>,
    caller: Caller,
    refused: Refused,
    messages: Streaming<v1::WorkerMessage>,
    /// Cancelled when nobody writes the response any more.
    over: CancellationToken,
}

impl Session {
    async fn serve(mut self, opened: oneshot::Sender<Opening>) {
        let (registration, worker, line) = match self.open().await {
            Ok(open) => open,
            Err(status) => {
                // Without reader the stream just ends; the worker learns the reason on reconnecting.
                if let Err(Err(status)) = opened.send(Err(status)) {
                    let (code, text) = (status.code(), status.message());
                    self.policy.log(&self.refused, "registration refused", code, text);
                }
                return;
            }
        };
        let Registration { name, session, .. } = registration;
        tracing::info!(%worker, %name, %session, "worker connected");
        let Line { outbound, closed } = line;
        let (end, ending) = oneshot::channel();
        // A response that is not written any more has cancelled `over`.
        drop(opened.send(Ok(Sender { outbound, ending })));
        match self.read(worker, session, closed).await {
            Ok(None) => drop(end),
            Ok(Some(why)) => drop(end.send(of_closed(&why))),
            Err(status) => {
                tracing::warn!(%worker, %session, status = status.message(), "worker cut off");
                drop(end.send(status));
            }
        }
        // A closed stream is no goodbye: the leases run on until they expire.
        let left = Command::WorkerDisconnected { worker, session };
        if self.handle.tell(vec![left]).await.is_ok() {
            tracing::info!(%worker, %name, %session, "worker disconnected");
        }
    }

    async fn open(&mut self) -> Result<(Registration, WorkerId, Line), Status> {
        let (registration, bytes) = self.registration().await?;
        self.policy.claim_worker(&self.caller, &registration.name, bytes).await?;
        let (connection, line) = connection(registration.session, self.settings.outbound_queue);
        let worker = self.handle.register(registration.clone(), connection).await;
        Ok((registration, worker.map_err(|error| of_call(&error))?, line))
    }

    /// What the worker says first, and how long it is.
    async fn registration(&mut self) -> Result<(Registration, usize), Status> {
        let first = tokio::time::timeout(self.settings.register_timeout, self.messages.message());
        let Ok(first) = first.await else {
            let seconds = self.settings.register_timeout.as_secs_f64();
            return Err(Status::deadline_exceeded(format!("no register within {seconds} s")));
        };
        let missing = || ConvertError::new("register", "must be the first message of the stream");
        let message = first?.and_then(|first| first.message);
        match message {
            Some(v1::worker_message::Message::Register(register)) => {
                let bytes = register.capabilities.as_ref().map_or(0, Message::encoded_len);
                let read = Registration::try_from(register).map_err(|error| {
                    let field = format!("register.{}", error.field);
                    bad_message(&ConvertError { field, ..error })
                });
                Ok((read?, bytes))
            }
            _ => Err(bad_message(&missing())),
        }
    }

    /// Passes on what the worker says until it ends, or is ended by the actor with a reason.
    ///
    /// # Errors
    /// What the worker is told that says what cannot be read.
    async fn read(
        &mut self,
        worker: WorkerId,
        session: SessionId,
        mut closed: oneshot::Receiver<Closed>,
    ) -> Result<Option<Closed>, Status> {
        let mut recheck = tokio::time::interval(RECHECK);
        let over = self.over.clone().cancelled_owned();
        tokio::pin!(over);
        loop {
            let message = tokio::select! {
                biased;
                // The actor forgets a worker that said goodbye; it is gone without a reason then.
                why = &mut closed => return Ok(why.ok()),
                () = &mut over => return Ok(None),
                _ = recheck.tick() => {
                    self.policy.still(&self.caller)?;
                    continue;
                }
                message = self.messages.message() => message,
            };
            let (commands, ended) = self.gather(worker, session, message);
            self.pass_on(commands).await?;
            if let Some(ended) = ended {
                return ended.map(|()| None);
            }
        }
    }

    /// The commands of a message and of those that have arrived with it; then how the stream is over, if it
    /// is.
    fn gather(
        &mut self,
        worker: WorkerId,
        session: SessionId,
        first: Received,
    ) -> (Vec<Command>, Option<Result<(), Status>>) {
        let mut commands = Vec::new();
        let mut next = Some(first);
        while let Some(received) = next {
            let message = match message_of(received) {
                Ok(Some(message)) => message,
                Ok(None) => return (commands, Some(Ok(()))),
                Err(status) => return (commands, Some(Err(status))),
            };
            match command(worker, session, message) {
                Ok(command) => commands.push(command),
                Err(error) => return (commands, Some(Err(bad_message(&error)))),
            }
            let more = commands.len() < TOGETHER;
            next = more.then(|| self.messages.message().now_or_never()).flatten();
        }
        (commands, None)
    }

    async fn pass_on(&self, commands: Vec<Command>) -> Result<(), Status> {
        if commands.is_empty() {
            return Ok(());
        }
        self.handle.tell(commands).await.map_err(|error| of_call(&error))
    }
}

/// What comes of waiting for a message; nothing more after `None`.
type Received = Result<Option<v1::WorkerMessage>, Status>;

/// A message that was received; `None` when the stream is over.
///
/// # Errors
/// What the worker is told of a message that could not be received.
fn message_of(received: Received) -> Received {
    match received {
        // Too large, or no message at all: the worker should know.
        Err(status) if matches!(status.code(), Code::OutOfRange | Code::Internal) => {
            Err(Status::invalid_argument(status.message()))
        }
        Err(status) if status.code() == Code::DeadlineExceeded => {
            Err(Status::deadline_exceeded(status.message()))
        }
        // A connection that broke ends like one that was closed.
        Err(_) => Ok(None),
        Ok(received) => Ok(received),
    }
}

/// The sending half of a registered worker's stream.
struct Sender {
    outbound: mpsc::Receiver<Outbound>,
    /// The status that the stream ends with; an error means without one.
    ending: oneshot::Receiver<Status>,
}

enum Sending {
    Opening(oneshot::Receiver<Opening>),
    Open(Sender),
    /// What was handed out before the end goes first: acknowledgements of stored reports spare the
    /// worker a repetition.
    Closing(mpsc::Receiver<Outbound>, Status),
    Ended,
}

/// The response: what the actor hands out until the connection ends. Dropped, it ends the reading.
pub(crate) struct Outgoing {
    state: Sending,
    _over: DropGuard,
}

impl Outgoing {
    fn end(&mut self, status: Status) -> Poll<Option<Result<v1::CoordinatorMessage, Status>>> {
        self.state = Sending::Ended;
        Poll::Ready(Some(Err(status)))
    }
}

impl Stream for Outgoing {
    type Item = Result<v1::CoordinatorMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                Sending::Opening(opening) => match std::task::ready!(opening.poll_unpin(context)) {
                    Ok(Ok(sender)) => self.state = Sending::Open(sender),
                    Ok(Err(status)) => return self.end(status),
                    Err(_) => self.state = Sending::Ended,
                },
                Sending::Open(sender) => match sender.ending.poll_unpin(context) {
                    Poll::Ready(Ok(status)) => {
                        let Sending::Open(sender) =
                            std::mem::replace(&mut self.state, Sending::Ended)
                        else {
                            return Poll::Ready(None);
                        };
                        self.state = Sending::Closing(sender.outbound, status);
                    }
                    Poll::Ready(Err(_)) => self.state = Sending::Ended,
                    Poll::Pending => {
                        // The actor drops its end with a reason, which comes by `ending`.
                        let message = std::task::ready!(sender.outbound.poll_recv(context));
                        let Some(message) = message else { return Poll::Pending };
                        return Poll::Ready(Some(Ok(to_message(message))));
                    }
                },
                Sending::Closing(outbound, status) => match outbound.try_recv() {
                    Ok(message) => return Poll::Ready(Some(Ok(to_message(message)))),
                    Err(_) => {
                        let status = status.clone();
                        return self.end(status);
                    }
                },
                Sending::Ended => return Poll::Ready(None),
            }
        }
    }
}

fn to_message(message: Outbound) -> v1::CoordinatorMessage {
    match message {
        Outbound::Registered { worker, lease_length } => {
            let registered = v1::Registered { worker: worker.0, lease_micros: lease_length.0 };
            let message = v1::coordinator_message::Message::Registered(registered);
            v1::CoordinatorMessage { message: Some(message) }
        }
        Outbound::Effect(effect) => (&effect).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use cambrian_proto::v1::worker_service_server::WorkerServiceServer;
    use futures::stream::{self, StreamExt};
    use http_body::Frame;
    use tonic::body::Body;
    use tower::Service;

    use super::*;
    use crate::actor::{Actor, ActorSettings};
    use crate::clock::ManualClock;
    use crate::config::Config;
    use crate::store::memory::MemoryStore;

    /// A request that ends in the middle with a status, as the bounds on what comes in end one.
    struct Cut(Vec<Result<Bytes, Status>>);

    impl http_body::Body for Cut {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop().map(|next| next.map(Frame::data)))
        }
    }

    fn register() -> Bytes {
        let register = v1::Register {
            name: "gpu".into(),
            session: 1,
            capabilities: Some(v1::Capabilities { slots: 1, ..v1::Capabilities::default() }),
            ..v1::Register::default()
        };
        let message = Some(v1::worker_message::Message::Register(register));
        let content = v1::WorkerMessage { message }.encode_to_vec();
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &content].concat().into()
    }

    /// The code and the words that the stream of a worker ends with whose second message breaks off.
    async fn told(end: Status) -> Result<(String, String), Infallible> {
        let clock = Arc::new(ManualClock::default());
        let store = Box::new(MemoryStore::default());
        let (actor, handle) = Actor::start(store, clock.clone(), ActorSettings::default()).unwrap();
        let policy = Arc::new(Policy::new(None, clock, Config::default().bounds()));
        let register_timeout = Duration::from_secs(60);
        let settings = WorkerSettings { register_timeout, outbound_queue: 8 };
        let server = WorkerServer::new(handle.clone(), settings, policy);
        let mut request = http::Request::post("/cambrian.v1.WorkerService/Work")
            .body(Body::new(Cut(vec![Err(end), Ok(register())])))
            .unwrap();
        request.extensions_mut().insert(Caller::Anyone);
        request.extensions_mut().insert(Refused::default());
        let answer = WorkerServiceServer::new(server).call(request).await?;
        let mut body = Box::pin(answer.into_body());
        let frames = stream::poll_fn(|context| http_body::Body::poll_frame(body.as_mut(), context));
        let frames: Vec<_> = frames.map(Result::unwrap).collect().await;
        let trailers = frames.into_iter().find_map(|frame| frame.into_trailers().ok()).unwrap();
        handle.shutdown().await;
        tokio::task::spawn_blocking(move || actor.join()).await.unwrap().unwrap();
        let text = |name| String::from_utf8_lossy(trailers[name].as_bytes()).into_owned();
        Ok((text("grpc-status"), text("grpc-message")))
    }

    #[tokio::test]
    async fn whose_message_is_cut_off_is_told_why() {
        for (end, code) in [
            (Status::deadline_exceeded("late"), Code::DeadlineExceeded),
            (Status::out_of_range("large"), Code::InvalidArgument),
        ] {
            let words = end.message().to_owned();
            let expected = ((code as i32).to_string(), words);
            assert_eq!(told(end).await.unwrap(), expected);
        }
    }
}
