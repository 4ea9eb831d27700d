//! The process around the actor: services on a listener, start and graceful end.
//!
//! Must not know what a service answers, nor how a leader is chosen.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cambrian_proto::DESCRIPTORS;
use cambrian_proto::v1::artifact_service_server::ArtifactServiceServer;
use cambrian_proto::v1::campaign_service_server::CampaignServiceServer;
use cambrian_proto::v1::fleet_service_server::FleetServiceServer;
use cambrian_proto::v1::token_service_server::TokenServiceServer;
use cambrian_proto::v1::worker_service_server::WorkerServiceServer;
use cambrian_transport::dial::Wire;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, Router};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::layer::util::{Identity, Stack};

use crate::access::{AccessLayer, LogBound, Policy};
use crate::actor::{Actor, ActorError, Follower, Writer, prepare};
use crate::artifacts::{ArtifactError, keep_sweeping};
use crate::clock::{Clock, SystemClock};
use crate::cluster;
use crate::config::{Config, ConfigError, ConfigFaults};
use crate::expiry::keep_warning;
use crate::grpc::{
    ArtifactServer, CampaignServer, FleetServer, TokenServer, WorkerServer, WorkerSettings,
};
use crate::handle::Handle;
use crate::listener::{self, Peer};
use crate::store::place::Place;
use crate::store::sqlite::SqliteStore;
use crate::store::tokens::Register;
use crate::store::{Store, StoreError};

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The headers of a call, bytes: a token and what the transport adds.
const MAX_HEADERS: u32 = 16 << 10;
/// The largest message of a service, bytes: what is in front of it bounds each method by itself.
const UNBOUNDED: usize = usize::MAX;

/// Why a coordinator could not start, or has ended.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings have faults.
    #[error(transparent)]
    Settings(#[from] ConfigFaults),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine cannot start, or has ended.
    #[error(transparent)]
    Actor(#[from] ActorError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The artifacts cannot be used.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The transport failed.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptors for reflection cannot be read.
    #[error("the service descriptors cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A defect: a task of the server panicked.
    #[error("a task of the server panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

impl ServeError {
    /// Whether it may pass by itself where coordinators share a database: another one leads, or the
    /// database is away.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) | Self::Actor(ActorError::Store(error)) => error.may_pass(),
            _ => false,
        }
    }
}

/// What a server is started on.
pub(crate) struct Opened {
    /// The store, which this process may write.
    pub(crate) store: Box<dyn Store>,
    /// The tokens beside it.
    pub(crate) register: Register,
    /// How far its journal has been followed.
    pub(crate) follower: Follower,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// A running coordinator.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    handle: Handle,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    /// Replays the store and serves it on `listener`.
    ///
    /// # Errors
    /// [`ServeError`] if the settings are bad, the address is exposed or the store is not sound.
    pub async fn start(
        config: &Config,
        store: Box<dyn Store>,
        clock: Arc<dyn Clock>,
        listener: TcpListener,
    ) -> Result<Self, ServeError> {
        let register = store.tokens()?;
        let follower = Follower::new(config.actor().engine());
        Self::resume(config, Opened { store, register, follower, clock }, listener).await
    }

    /// Serves a store that has been followed for a part of the way.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) async fn resume(
        config: &Config,
        opened: Opened,
        listener: TcpListener,
    ) -> Result<Self, ServeError> {
        config.check()?;
        let address = listener
            .local_addr()
            .map_err(|source| ServeError::Listen { address: config.listen, source })?;
        config.check_address(address)?;
        let artifacts = config.artifacts().map_err(ArtifactError::from)?;
        match artifacts.check().await {
            Err(error) if error.stays() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "artifacts are away: trainings begin anew until they are back")
            }
            Ok(()) => {}
        }
        let Opened { store, register, follower, clock } = opened;
        let (access, logged) = Access::new(config, register, clock.clone());
        let gate = config.gate(logged)?;
        let settings = config.actor();
        // The replay of a long journal must not hold up the runtime.
        let started =
            spawn_blocking(move || Actor::resume(store, follower, clock, settings)).await?;
        let (actor, handle) = started?;
        let ended = Box::pin(async move { Ok(spawn_blocking(move || actor.join()).await??) });
        let stop = CancellationToken::new();
        tokio::spawn(keep_sweeping(artifacts, handle.clone(), config.sweeping(), stop.clone()));
        let encrypted = config.tls.is_some();
        let incoming = listener::accept(listener, gate);
        let server = Self::launch(config, address, access, (ended, handle), stop, incoming).await?;
        tracing::info!(%address, encrypted, tokens = config.tokens, "listening");
        if let Some(missing) = config.exposure(address) {
            tracing::warn!(
                %address,
                "insecure: {} not set, so strangers who reach this address may read or control \
                 this coordinator",
                missing.words()
            );
        }
        Ok(server)
    }

    /// The same on connections that a simulation of the network makes, as tasks of the runtime that it
    /// is called on: no thread, so that a simulation decides what happens when. Artifacts are not swept.
    ///
    /// # Errors
    /// [`ServeError`] if the settings are bad or the store is not sound.
    pub async fn simulated(
        config: &Config,
        store: Box<dyn Store>,
        clock: Arc<dyn Clock>,
        address: SocketAddr,
        connections: impl futures::Stream<Item = std::io::Result<Box<dyn Wire>>> + Send + 'static,
    ) -> Result<Self, ServeError> {
        let (access, _) = Access::new(config, store.tokens()?, clock.clone());
        let follower = Follower::new(config.actor().engine());
        let (run, handle) = prepare(store, follower, clock, config.actor(), Writer::Here)?;
        let actor = tokio::spawn(run);
        let ended = Box::pin(async move { Ok(actor.await??) });
        let incoming = connections.map_ok(listener::Simulated);
        let stop = CancellationToken::new();
        Self::launch(config, address, access, (ended, handle), stop, incoming).await
    }

    /// Puts the services around an actor.
    async fn launch<C>(
        config: &Config,
        address: SocketAddr,
        access: Access,
        (actor, handle): (Ended, Handle),
        stop: CancellationToken,
        incoming: impl futures::Stream<Item = std::io::Result<C>> + Send + 'static,
    ) -> Result<Self, ServeError>
    where
        C: AsyncRead + AsyncWrite + Connected<ConnectInfo = Peer> + Send + Unpin + 'static,
    {
        let (health, router) = router(config, &handle, &stop, access).await?;
        let transport =
            router.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        let grace = config.shutdown_grace();
        let run = Run { actor, handle: handle.clone(), health, stop: stop.clone(), grace };
        let task = tokio::spawn(run.until_stopped(transport));
        Ok(Self { address, handle, stop, task })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Access to its engine.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Begins the end: nothing new is accepted, streams end, what is waiting is stored.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for `shutdown`, or for whatever ends the server before; whether it was the former.
    pub(crate) async fn until(&self, shutdown: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = shutdown => {
                tracing::info!("shutting down");
                true
            }
            () = self.handle.ended() => false,
            () = self.stop.cancelled() => false,
        }
    }

    /// Waits for the end, by [`Self::stop`] or by failure; the store is closed then.
    ///
    /// # Errors
    /// [`ServeError`] if it ended for another reason than being told to.
    pub async fn join(self) -> Result<(), ServeError> {
        self.task.await?
    }
}

/// Who may call, and the service that changes it.
struct Access {
    policy: Arc<Policy>,
    tokens: TokenServer,
}

impl Access {
    /// As configured, and the bound of what is logged of those who may not connect.
    fn new(config: &Config, register: Register, clock: Arc<dyn Clock>) -> (Self, LogBound) {
        let tokens = config.tokens.then(|| register.clone());
        let policy = Arc::new(Policy::new(tokens, clock.clone(), config.bounds()));
        let tokens = TokenServer::new(register, clock.clone());
        (Self { policy, tokens }, LogBound::new(clock))
    }
}

/// The transport as it is for every role.
pub(crate) fn builder(config: &Config) -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(MAX_HEADERS)
        .max_concurrent_streams(config.limits.streams)
}

async fn router(
    config: &Config,
    handle: &Handle,
    stop: &CancellationToken,
    Access { policy, tokens }: Access,
) -> Result<(HealthReporter, Router<Stack<AccessLayer, Identity>>), ServeError> {
    let settings = WorkerSettings {
        register_timeout: config.register_timeout(),
        outbound_queue: config.limits.outbound_queue,
    };
    let workers = WorkerServer::new(handle.clone(), settings, policy.clone());
    let workers = WorkerServiceServer::new(workers).max_decoding_message_size(UNBOUNDED);
    let campaigns = CampaignServer::new(handle.clone(), stop.clone(), policy.clone());
    let campaigns = CampaignServiceServer::new(campaigns).max_decoding_message_size(UNBOUNDED);
    let artifacts = config.artifacts().map_err(ArtifactError::from)?;
    let artifacts = ArtifactServiceServer::new(ArtifactServer::new(artifacts))
        .max_decoding_message_size(UNBOUNDED);
    let tokens = TokenServiceServer::new(tokens);
    let fleet = FleetServiceServer::new(FleetServer::new(handle.clone()));
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<WorkerServiceServer<WorkerServer>>().await;
    health.set_serving::<CampaignServiceServer<CampaignServer>>().await;
    health.set_serving::<ArtifactServiceServer<ArtifactServer>>().await;
    health.set_serving::<TokenServiceServer<TokenServer>>().await;
    health.set_serving::<FleetServiceServer<FleetServer>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let router = builder(config)
        .layer(AccessLayer(policy))
        .add_service(workers)
        .add_service(campaigns)
        .add_service(artifacts)
        .add_service(tokens)
        .add_service(fleet)
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((health, router))
}

/// The end of an actor.
type Ended = BoxFuture<'static, Result<(), ServeError>>;

/// What a running server consists of.
struct Run {
    actor: Ended,
    handle: Handle,
    health: HealthReporter,
    stop: CancellationToken,
    grace: Duration,
}

impl Run {
    async fn until_stopped(
        self,
        transport: impl Future<Output = Result<(), tonic::transport::Error>> + Send + 'static,
    ) -> Result<(), ServeError> {
        let mut transport = tokio::spawn(transport);
        let ended = tokio::select! {
            () = self.stop.cancelled() => None,
            () = self.handle.ended() => None,
            ended = &mut transport => Some(ended),
        };
        self.stop.cancel();
        self.health.set_service_status("", ServingStatus::NotServing).await;
        self.handle.shutdown().await;
        let actor_ended = self.actor.await;
        let transport_ended = match ended {
            Some(ended) => Some(ended),
            // Calls that are still open then are cut off.
            None => tokio::time::timeout(self.grace, &mut transport).await.ok(),
        };
        transport.abort();
        actor_ended?;
        match transport_ended {
            Some(ended) => Ok(ended??),
            None => Ok(()),
        }
    }
}

/// Opens a store in a file.
///
/// # Errors
/// [`ServeError`] if the file cannot be used.
pub async fn open_store(path: &Path) -> Result<SqliteStore, ServeError> {
    let path = path.to_owned();
    Ok(spawn_blocking(move || SqliteStore::open(&path)).await??)
}

/// Binds an address.
///
/// # Errors
/// [`ServeError::Listen`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// Serves the configured store on `listener` until `shutdown` completes.
///
/// # Errors
/// [`ServeError`] if it cannot start, or ends by failure.
pub async fn serve(
    config: &Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let certificate = config.certificate_end()?;
    let warnings = async {
        match certificate {
            Some((path, end)) => keep_warning(path, end).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = serve_place(config, listener, shutdown) => ended,
        never = warnings => match never {},
    }
}

async fn serve_place(
    config: &Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let path = match &config.database {
        Place::File(path) => path,
        Place::Postgres(url) => return cluster::serve(config, url, listener, shutdown).await,
    };
    let store = open_store(path).await?;
    let server =
        Server::start(config, Box::new(store), Arc::new(SystemClock::new()), listener).await?;
    server.until(shutdown).await;
    server.stop();
    server.join().await
}
