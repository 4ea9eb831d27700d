//! Coordinators on one PostgreSQL over real gRPC: what the one that stands by says, to whom, and
//! what becomes of it when the leader ends or the database goes away. Skips visibly without
//! PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other users need the rest")]
mod postgres_server;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cambrian_coordinator::access::Role;
use cambrian_coordinator::config::Config;
use cambrian_coordinator::server::{ServeError, bind, serve};
use cambrian_coordinator::store::place::Place;
use cambrian_coordinator::store::postgres::PostgresStore;
use cambrian_core::time::Timestamp;
use cambrian_proto::v1;
use cambrian_proto::v1::campaign_service_client::CampaignServiceClient;
use cambrian_transport::client::{Credentials, TokenSource};
use cambrian_transport::standby::Standby;
use cambrian_transport::token::Token;
use postgres_server::PostgresServer;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const PATIENCE: Duration = Duration::from_secs(120);

/// A running coordinator.
struct Coordinator {
    address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Coordinator {
    async fn start(config: &Config) -> Self {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, told) = oneshot::channel();
        let config = config.clone();
        let task = tokio::spawn(async move {
            let told = async {
                // A test that ends ends its coordinators.
                let _ = told.await;
            };
            serve(&config, listener, told).await
        });
        Self { address, shutdown, task }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn list(&self, token: Option<&Token>) -> Result<usize, Status> {
        let token = token.cloned().map(TokenSource::Given);
        let credentials = Credentials { token, ..Credentials::default() };
        let unreachable = |error: tonic::transport::Error| Status::unknown(error.to_string());
        let endpoint = credentials.endpoint(&self.endpoint()).unwrap();
        let channel = endpoint.connect().await.map_err(unreachable)?;
        let bearer = credentials.bearer().unwrap();
        let mut client = CampaignServiceClient::with_interceptor(channel, bearer);
        let answer = client.list_campaigns(v1::ListCampaignsRequest {}).await?;
        Ok(answer.into_inner().campaigns.len())
    }

    async fn health(&self, service: &str) -> Option<ServingStatus> {
        let channel = tonic::transport::Channel::from_shared(self.endpoint())
            .unwrap()
            .connect()
            .await
            .ok()?;
        let request = HealthCheckRequest { service: service.to_owned() };
        Some(HealthClient::new(channel).check(request).await.ok()?.into_inner().status())
    }

    async fn until(&self, wanted: ServingStatus) {
        let started = Instant::now();
        while self.health("").await != Some(wanted) {
            assert!(started.elapsed() < PATIENCE, "{} is never {wanted:?}", self.address);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The refusal that says where the leader is, which a standby learns within moments.
    async fn until_it_names(&self, leader: &Self, token: &Token) -> Status {
        let wanted = Some(Standby { leader: Some(leader.endpoint()) });
        let started = Instant::now();
        loop {
            let refused = self.list(Some(token)).await.unwrap_err();
            if Standby::of(&refused) == wanted {
                return refused;
            }
            assert!(started.elapsed() < PATIENCE, "it never names the leader: {refused}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) {
        // It may have ended by itself.
        let _ = self.shutdown.send(());
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_names_the_leader_until_it_leads() {
    let Some(mut server) = PostgresServer::start() else { return };
    server.database("standby");
    let place: Place = server.encrypted("standby").parse().unwrap();
    let config = Config { database: place.clone(), tokens: true, ..Config::default() };
    let token = tokio::task::spawn_blocking(move || {
        let Place::Postgres(url) = place else { panic!("a URL") };
        let register = PostgresStore::open(&url).unwrap().register().unwrap();
        register.create(Role::View, "ada", None, Timestamp(0)).unwrap().0
    });
    let token = token.await.unwrap();

    let first = Coordinator::start(&config).await;
    first.until(ServingStatus::Serving).await;
    assert_eq!(first.list(Some(&token)).await.unwrap(), 0);
    let second = Coordinator::start(&config).await;
    for service in ["", "cambrian.v1.WorkerService", "cambrian.v1.CampaignService"] {
        second.until(ServingStatus::NotServing).await;
        assert_eq!(second.health(service).await, Some(ServingStatus::NotServing), "{service}");
    }
    let refused = second.until_it_names(&first, &token).await;
    assert!(refused.message().contains(&first.endpoint()), "{refused}");
    let stranger = second.list(None).await.unwrap_err();
    assert_eq!((stranger.code(), Standby::of(&stranger)), (Code::Unauthenticated, None));

    first.end().await;
    second.until(ServingStatus::Serving).await;
    assert_eq!(second.list(Some(&token)).await.unwrap(), 0);
    assert_eq!(server.ask("standby", "SELECT epoch FROM cambrian.leader"), "2");

    // While the database is away nobody leads; when it is back, somebody does.
    server.stop();
    second.until(ServingStatus::NotServing).await;
    let refused = second.list(Some(&token)).await.unwrap_err();
    assert_eq!(Standby::of(&refused), Some(Standby { leader: None }));
    server.resume();
    second.until(ServingStatus::Serving).await;
    assert_eq!(second.list(Some(&token)).await.unwrap(), 0);
    server.stop();
    second.until(ServingStatus::NotServing).await;
    // It can be told to end meanwhile.
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_at_the_start_is_an_error() {
    let database = "postgresql://ada:hush@127.0.0.1:1/x".parse().unwrap();
    let config = Config { database, ..Config::default() };
    let refused = Coordinator::start(&config).await.task.await.unwrap().unwrap_err();
    assert!(matches!(&refused, ServeError::Store(error) if error.is_outage()), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("hush"), "{refused:?}");
}
