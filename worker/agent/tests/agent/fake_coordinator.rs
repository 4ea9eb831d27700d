//! A coordinator whose every message the test writes, on a real socket.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use cambrian_proto::v1::coordinator_message::Message as Down;
use cambrian_proto::v1::worker_message::Message as Up;
use cambrian_proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use cambrian_proto::v1::{
    Acknowledged, Assign, Assignment, CoordinatorMessage, Drain, Register, Registered, Report,
    Stop, StopReason, WorkerMessage,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// How long the test waits for what must come; nothing here takes a tenth of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A listening coordinator.
pub(crate) struct FakeCoordinator {
    pub(crate) address: SocketAddr,
    streams: mpsc::UnboundedReceiver<FakeStream>,
    server: JoinHandle<()>,
}

/// One connection of a worker. Dropping it ends the stream.
pub(crate) struct FakeStream {
    pub(crate) register: Register,
    incoming: Streaming<WorkerMessage>,
    outgoing: mpsc::Sender<Result<CoordinatorMessage, Status>>,
    /// Credit announced and not used.
    credit: i64,
}

struct Service {
    streams: mpsc::UnboundedSender<FakeStream>,
}

#[tonic::async_trait]
impl WorkerService for Service {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

    async fn work(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let (outgoing, receiver) = mpsc::channel(64);
        let streams = self.streams.clone();
        tokio::spawn(async move {
            let mut incoming = request.into_inner();
            if let Ok(Some(WorkerMessage { message: Some(Up::Register(register)) })) =
                incoming.message().await
            {
                let _ = streams.send(FakeStream { register, incoming, outgoing, credit: 0 });
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl FakeCoordinator {
    pub(crate) async fn start() -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap()).await
    }

    async fn listen(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, streams) = mpsc::unbounded_channel();
        let service = WorkerServiceServer::new(Service { streams: sender });
        let server = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, streams, server }
    }

    /// Stops listening and cuts every connection.
    pub(crate) async fn die(self) -> SocketAddr {
        self.server.abort();
        let _ = self.server.await;
        self.address
    }

    /// Listens again on the address of a dead one.
    pub(crate) async fn again(address: SocketAddr) -> Self {
        Self::listen(address).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next stream, before the answer to its registration.
    pub(crate) async fn unanswered(&mut self) -> FakeStream {
        timeout(PATIENCE, self.streams.recv()).await.expect("no worker came").unwrap()
    }

    /// The next stream, registered.
    pub(crate) async fn accept(&mut self) -> FakeStream {
        let stream = self.unanswered().await;
        stream.say(Down::Registered(Registered { worker: 1, lease_micros: 400_000 })).await;
        stream
    }
}

impl FakeStream {
    pub(crate) async fn say(&self, message: Down) {
        self.outgoing.send(Ok(CoordinatorMessage { message: Some(message) })).await.unwrap();
    }

    pub(crate) async fn assign(&mut self, assignment: Assignment) {
        self.credit -= 1;
        self.say(Down::Assign(Assign { assignment: Some(assignment) })).await;
    }

    pub(crate) async fn stop(&self, task: u64, attempt: u32) {
        let reason = StopReason::Cancelled.into();
        self.say(Down::Stop(Stop { task, attempt, reason })).await;
    }

    pub(crate) async fn acknowledge(&self, report: &Report) {
        let Report { task, attempt, .. } = *report;
        self.say(Down::Acknowledged(Acknowledged { task, attempt })).await;
    }

    pub(crate) async fn drain(&self) {
        self.say(Down::Drain(Drain {})).await;
    }

    /// The next message, `None` at the stream's end. Credit is counted on the way.
    pub(crate) async fn next(&mut self) -> Option<Up> {
        let next = timeout(PATIENCE, self.incoming.next()).await.expect("the worker says nothing");
        let message = next?.ok()?.message.expect("an empty message");
        if let Up::Ready(ready) = &message {
            self.credit += i64::from(ready.credit);
        }
        Some(message)
    }

    /// The next message that `pick` takes; others are passed over.
    pub(crate) async fn wait_for<T>(&mut self, mut pick: impl FnMut(Up) -> Option<T>) -> T {
        loop {
            let message = self.next().await.expect("the stream ended");
            if let Some(found) = pick(message) {
                return found;
            }
        }
    }

    pub(crate) async fn report(&mut self) -> Report {
        self.wait_for(|message| match message {
            Up::Report(report) => Some(report),
            _ => None,
        })
        .await
    }

    /// Waits for a heartbeat; the attempts that it holds.
    pub(crate) async fn heartbeat(&mut self) -> Vec<(u64, u32)> {
        self.wait_for(|message| match message {
            Up::Heartbeat(heartbeat) => {
                Some(heartbeat.holding.iter().map(|held| (held.task, held.attempt)).collect())
            }
            _ => None,
        })
        .await
    }

    /// Waits until at least this much credit is open.
    pub(crate) async fn credit_of_at_least(&mut self, wanted: i64) {
        while self.credit < wanted {
            self.next().await.expect("the stream ended");
        }
    }

    /// Waits until this much credit is open, which is all that there ever is.
    pub(crate) async fn full_credit(&mut self, wanted: i64) {
        self.credit_of_at_least(wanted).await;
        assert_eq!(self.credit, wanted);
    }

    /// The attempts that the registration holds.
    pub(crate) fn holding(&self) -> Vec<(u64, u32)> {
        self.register.holding.iter().map(|held| (held.task, held.attempt)).collect()
    }
}
