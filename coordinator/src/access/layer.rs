//! The decision in front of every service, as a layer of the server.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use tower::{Layer, Service};

use super::Policy;
use crate::listener::Peer;

/// Puts the decision in front of services.
#[derive(Clone)]
pub(crate) struct AccessLayer(pub(crate) Arc<Policy>);

impl<S> Layer<S> for AccessLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, policy: self.0.clone() }
    }
}

/// A service that is reached by admitted calls only; they carry their caller.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    policy: Arc<Policy>,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
        let authorization = request.headers().get(AUTHORIZATION);
        match self.policy.admit(request.uri().path(), authorization, peer) {
            Ok(caller) => {
                request.headers_mut().remove(AUTHORIZATION);
                request.extensions_mut().insert(caller);
                Either::Left(self.inner.call(request))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}
