//! A coordinator on the loopback interface and a worker that says exactly what a test wants,
//! written against the generated code alone.

#![expect(dead_code, reason = "each test binary uses its part of the script")]

pub(crate) mod log;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cambrian_coordinator::clock::{Clock, SystemClock};
use cambrian_coordinator::config::Config;
use cambrian_coordinator::server::{Server, bind, open_store};
use cambrian_coordinator::store::Store;
use cambrian_coordinator::store::memory::MemoryStore;
use cambrian_proto::v1;
use cambrian_proto::v1::campaign_service_client::CampaignServiceClient;
use cambrian_proto::v1::coordinator_message::Message as Down;
use cambrian_proto::v1::worker_message::Message as Up;
use cambrian_proto::v1::worker_service_client::WorkerServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// A campaign of `evaluations` over two objectives.
pub(crate) fn campaign(evaluations: u32) -> String {
    // A population cannot be larger than the budget.
    let algorithm = if evaluations < 8 { "random" } else { "{kind: nsga2, population: 8}" };
    format!(
        "version: 1\nname: scripted\nseed: 3\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 8, 8], classes: 10}}\n\
         objectives: [accuracy, params]\n\
         algorithm: {algorithm}\n\
         stages:\n  - {{name: try, evaluator: synthetic, measures: [accuracy], timeout: 1m}}\n\
         budget: {{evaluations: {evaluations}}}\nfailures: {{attempts: 3}}\n"
    )
}

pub(crate) fn quick() -> Config {
    let mut config = Config { lease_seconds: 1.0, ..Config::default() };
    config.limits.register_seconds = 1.0;
    config.limits.shutdown_seconds = 1.0;
    // However full the disk of a test is.
    config.artifacts.reserve_mib = Some(0);
    config
}

pub(crate) async fn serve(store: impl Store + 'static) -> Server {
    serve_with(&quick(), Box::new(store), Arc::new(SystemClock::new())).await
}

pub(crate) async fn serve_with(
    config: &Config,
    store: Box<dyn Store>,
    clock: Arc<dyn Clock>,
) -> Server {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    Server::start(config, store, clock, listener).await.unwrap()
}

pub(crate) async fn serve_memory() -> Server {
    serve(MemoryStore::default()).await
}

pub(crate) async fn serve_file(path: &Path) -> Server {
    serve(open_store(path).await.unwrap()).await
}

pub(crate) async fn stop(server: Server) {
    server.stop();
    server.join().await.unwrap();
}

pub(crate) async fn channel(server: &Server) -> Channel {
    let address = format!("http://{}", server.address());
    Channel::from_shared(address).unwrap().connect().await.unwrap()
}

pub(crate) async fn client(server: &Server) -> CampaignServiceClient<Channel> {
    CampaignServiceClient::new(channel(server).await)
}

pub(crate) fn reference(text: &str) -> Option<v1::CampaignReference> {
    Some(v1::CampaignReference { number_or_name: text.into() })
}

pub(crate) async fn submit(server: &Server, yaml: String) -> u32 {
    let submission = blake3::hash(yaml.as_bytes()).as_bytes()[..16].to_vec();
    let request = v1::SubmitCampaignRequest { yaml, submission };
    let answer = client(server).await.submit_campaign(request).await.unwrap().into_inner();
    assert_eq!(answer.faults, []);
    answer.campaign
}

/// What the synthetic worker offers.
pub(crate) fn capabilities() -> v1::Capabilities {
    let provenance = v1::Provenance { source: "synthetic".into(), device_class: "scripted".into() };
    let offer = v1::EvaluatorOffer {
        name: "synthetic".into(),
        version: "1".into(),
        metrics: [("accuracy".into(), provenance)].into(),
        yields: false,
    };
    v1::Capabilities {
        device_class: "scripted".into(),
        slots: 4,
        evaluators: vec![offer],
        ..Default::default()
    }
}

pub(crate) fn register(name: &str, session: u64, holding: Vec<v1::TaskAttempt>) -> v1::Register {
    v1::Register { name: name.into(), session, capabilities: Some(capabilities()), holding }
}

/// An attempt of `assignment` that measured `accuracy`.
pub(crate) fn measured(assignment: &v1::Assignment, accuracy: f64) -> v1::Report {
    let provenance = v1::Provenance { source: "synthetic".into(), device_class: "scripted".into() };
    let measurement = v1::Measurement {
        metric: "accuracy".into(),
        value: accuracy,
        spread: None,
        provenance: Some(provenance),
    };
    let measured = v1::Measurements { measurements: vec![measurement] };
    v1::Report {
        task: assignment.task,
        attempt: assignment.attempt,
        outcome: Some(v1::Outcome {
            outcome: Some(v1::outcome::Outcome::Measured(measured)),
            elapsed_micros: 1_000,
            ..v1::Outcome::default()
        }),
        energy_joules: None,
    }
}

pub(crate) fn held(assignment: &v1::Assignment) -> v1::TaskAttempt {
    v1::TaskAttempt { task: assignment.task, attempt: assignment.attempt }
}

/// One stream of a worker.
pub(crate) struct Worker {
    up: mpsc::Sender<v1::WorkerMessage>,
    down: Streaming<v1::CoordinatorMessage>,
}

impl Worker {
    /// Opens a stream and says nothing.
    pub(crate) async fn connect(server: &Server) -> Self {
        let (up, messages) = mpsc::channel(64);
        let mut client = WorkerServiceClient::new(channel(server).await);
        let down = client.work(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { up, down }
    }

    /// Opens a stream and registers.
    pub(crate) async fn registered(server: &Server, name: &str, session: u64) -> Self {
        Self::holding(server, name, session, vec![]).await
    }

    pub(crate) async fn holding(
        server: &Server,
        name: &str,
        session: u64,
        holding: Vec<v1::TaskAttempt>,
    ) -> Self {
        let mut worker = Self::connect(server).await;
        worker.say(Up::Register(register(name, session, holding))).await;
        let Down::Registered(registered) = worker.hear().await else { panic!("not registered") };
        assert!(registered.worker > 0 && registered.lease_micros == 1_000_000);
        worker
    }

    pub(crate) async fn say(&self, message: Up) {
        self.up.send(v1::WorkerMessage { message: Some(message) }).await.unwrap();
    }

    pub(crate) async fn say_nothing_at_all(&self) {
        self.up.send(v1::WorkerMessage { message: None }).await.unwrap();
    }

    pub(crate) async fn ready(&self, credit: u32) {
        self.say(Up::Ready(v1::Ready { credit })).await;
    }

    /// The next message; panics if the stream ends instead.
    pub(crate) async fn hear(&mut self) -> Down {
        let heard = tokio::time::timeout(Duration::from_secs(10), self.down.message()).await;
        heard.expect("silence").unwrap().expect("the stream ended").message.unwrap()
    }

    pub(crate) async fn assignment(&mut self) -> v1::Assignment {
        match self.hear().await {
            Down::Assign(v1::Assign { assignment }) => assignment.unwrap(),
            other => panic!("expected an assignment, heard {other:?}"),
        }
    }

    pub(crate) async fn acknowledged(&mut self) -> (u64, u32) {
        loop {
            if let Down::Acknowledged(done) = self.hear().await {
                return (done.task, done.attempt);
            }
        }
    }

    /// How the stream ends.
    pub(crate) async fn end(mut self) -> Result<(), Status> {
        loop {
            let heard = tokio::time::timeout(Duration::from_secs(10), self.down.message()).await;
            match heard.expect("silence") {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(status) => return Err(status),
            }
        }
    }

    /// Evaluates until the stream ends or falls silent for long.
    pub(crate) async fn evaluate_all(mut self) {
        self.ready(2).await;
        while let Ok(Ok(Some(message))) =
            tokio::time::timeout(Duration::from_secs(5), self.down.message()).await
        {
            if let Some(Down::Assign(v1::Assign { assignment: Some(assignment) })) = message.message
            {
                let accuracy = 50.0 + (assignment.seed % 400) as f64 / 10.0;
                let report = Up::Report(measured(&assignment, accuracy));
                let sent = self.up.send(v1::WorkerMessage { message: Some(report) }).await;
                if sent.is_err() {
                    return;
                }
                self.ready(1).await;
            }
        }
    }
}
