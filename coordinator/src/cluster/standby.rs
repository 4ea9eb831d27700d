//! What a coordinator that stands by serves: refusals that say who leads, and health checks that say
//! that it does not.
//!
//! Must not know the journal, nor how it is decided who leads.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cambrian_proto::v1::campaign_service_server::SERVICE_NAME as CAMPAIGNS;
use cambrian_proto::v1::token_service_server::SERVICE_NAME as TOKENS;
use cambrian_proto::v1::worker_service_server::SERVICE_NAME as WORKERS;
use cambrian_transport::standby::Standby;
use futures::future::Either;
use http::{Request, Response};
use std::future::{Ready, ready};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tower::{Layer, Service};

use crate::access::{AccessLayer, LogBound, Policy};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::listener;
use crate::server::{ServeError, builder};
use crate::store::tokens::Register;

/// How long open health checks may hold up a change of role.
const PATIENCE: Duration = Duration::from_millis(200);
const HEALTH: &str = "/grpc.health.v1.Health/";

/// A running standby.
pub(super) struct StandbyServer {
    stop: CancellationToken,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl StandbyServer {
    /// Refuses calls on `listener`; `leader` says where the leader is.
    pub(super) async fn start(
        config: &Config,
        register: Register,
        leader: watch::Receiver<Option<String>>,
        listener: TcpListener,
    ) -> Result<Self, ServeError> {
        let clock = Arc::new(SystemClock::new());
        let tokens = config.tokens.then_some(register);
        let policy = Arc::new(Policy::new(tokens, clock.clone(), config.bounds()));
        let (health, service) = tonic_health::server::health_reporter();
        for name in ["", WORKERS, CAMPAIGNS, TOKENS] {
            health.set_service_status(name, ServingStatus::NotServing).await;
        }
        let gate = config.gate(LogBound::new(clock))?;
        let stop = CancellationToken::new();
        let server = builder(config)
            .layer(AccessLayer(policy))
            .layer(RefusalLayer(leader))
            .add_service(service)
            .serve_with_incoming_shutdown(
                listener::accept(listener, gate),
                stop.clone().cancelled_owned(),
            );
        Ok(Self { stop, task: tokio::spawn(server) })
    }

    /// Ends it; what it listened on is free for another then.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Refuses every call but health checks.
#[derive(Clone)]
struct RefusalLayer(watch::Receiver<Option<String>>);

impl<S> Layer<S> for RefusalLayer {
    type Service = Refusing<S>;

    fn layer(&self, inner: S) -> Refusing<S> {
        Refusing { inner, leader: self.0.clone() }
    }
}

#[derive(Clone)]
struct Refusing<S> {
    inner: S,
    leader: watch::Receiver<Option<String>>,
}

impl<S, B, R> Service<Request<B>> for Refusing<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<R>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.uri().path().starts_with(HEALTH) {
            return Either::Left(self.inner.call(request));
        }
        let refusal = Standby { leader: self.leader.borrow().clone() };
        Either::Right(ready(Ok(refusal.status().into_http())))
    }
}
