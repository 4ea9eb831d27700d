//! The decision in front of every service, as a layer of the server: who may call, how much they have
//! open, whether they still may speak, and a line in the log for everything that is refused.
//!
//! Must not know by which rules `Policy` decides, nor what a message says.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::{Admitted, Caller, Kind, Policy, Refused, Shown, Slot};
use crate::listener::{Peer, Visit};

/// Puts the decision in front of services.
#[derive(Clone)]
pub(crate) struct AccessLayer(pub(crate) Arc<Policy>);

impl<S> Layer<S> for AccessLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, policy: self.0.clone() }
    }
}

/// A service that is reached by admitted calls only; they carry their caller, and a [`Refused`] for
/// what is refused later.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    policy: Arc<Policy>,
}

impl<S, R> Service<Request<tonic::body::Body>> for Guarded<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    R: Default,
{
    type Response = Response<Answer<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Answer<R>>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<tonic::body::Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().cloned();
        let shown = Shown::of(request.headers().get(AUTHORIZATION));
        let refused = Refused {
            method: request.uri().path().into(),
            peer: peer.as_ref().and_then(Peer::address),
            token: shown.token(),
        };
        let admitted = self.policy.admit(&refused.method, shown);
        let line = Line { policy: self.policy.clone(), refused };
        let Admitted { caller, kind, sent } = match admitted {
            Ok(admitted) => admitted,
            Err(status) => return Box::pin(async move { Ok(line.refuse(&status)) }),
        };
        let visit = peer.filter(|_| !matches!(caller, Caller::Stranger)).map(|peer| {
            let (policy, caller) = (self.policy.clone(), caller.clone());
            peer.admit(move || policy.still(&caller).is_ok())
        });
        request.headers_mut().remove(AUTHORIZATION);
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(line.refused.clone());
        let request = request.map(|body| self.policy.incoming(sent, body));
        // What was found ready is what is called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let slot = match line.policy.open(&caller, kind).await {
                Ok(slot) => slot,
                Err(status) => return Ok(line.refuse(&status)),
            };
            let answered = inner.call(request);
            let response = match kind {
                // They are answered when all is there, which can take long.
                Kind::Upload | Kind::Question => tokio::select! {
                    biased;
                    status = line.policy.expelled(&caller) => return Ok(line.cut_off(&status)),
                    response = answered => response?,
                },
                _ => answered.await?,
            };
            line.look_at("call refused", response.headers());
            Ok(response.map(|body| Answer::new(body, line, (kind, caller), (slot, visit))))
        })
    }
}

/// What is logged of a call.
struct Line {
    policy: Arc<Policy>,
    refused: Refused,
}

impl Line {
    fn refuse<R: Default>(&self, status: &Status) -> Response<Answer<R>> {
        self.log("call refused", status);
        status.clone().into_http().map(Answer::whole)
    }

    fn cut_off<R: Default>(&self, status: &Status) -> Response<Answer<R>> {
        self.log("stream ended", status);
        status.clone().into_http().map(Answer::whole)
    }

    /// Logs the status that these headers hold, if they hold one and it is a refusal.
    fn look_at(&self, how: &str, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.log(how, &status);
        }
    }

    fn log(&self, how: &str, status: &Status) {
        match status.code() {
            // What is done, absent, given up by the caller or to be tried elsewhere is not refused.
            Code::Ok | Code::NotFound | Code::Cancelled | Code::Unavailable => {}
            code => self.policy.log(&self.refused, how, code, status.message()),
        }
    }
}

/// The body of an answer: cut off when its caller may not hear it any more.
pub(crate) struct Answer<R> {
    /// Absent when it is over.
    inner: Option<R>,
    line: Option<Line>,
    /// Ready when the caller may not hear it any more.
    expelled: Option<BoxFuture<'static, Status>>,
    _open: Taken,
}

/// What an answer takes up until it is over.
type Taken = (Option<Slot>, Option<Visit>);

impl<R> Answer<R> {
    fn new(inner: R, line: Line, (kind, caller): (Kind, Caller), open: Taken) -> Self {
        // A worker's stream goes both ways: its service looks at the caller for both.
        let watched = !matches!(kind, Kind::Work);
        let policy = line.policy.clone();
        let expelled = async move { policy.expelled(&caller).await };
        let expelled = watched.then(|| expelled.boxed());
        Self { inner: Some(inner), line: Some(line), expelled, _open: open }
    }

    fn whole(inner: R) -> Self {
        Self { inner: Some(inner), line: None, expelled: None, _open: (None, None) }
    }
}

impl<R: Body + Unpin> Body for Answer<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        let this = self.get_mut();
        if let Some(expelled) = &mut this.expelled
            && let Poll::Ready(status) = expelled.poll_unpin(context)
        {
            if let Some(line) = &this.line {
                line.log("stream ended", &status);
            }
            (this.inner, this.expelled) = (None, None);
            let mut trailers = HeaderMap::new();
            // A status of ours is a good header.
            let _ = status.add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(context));
        if let (Some(Ok(frame)), Some(line)) = (&frame, &this.line)
            && let Some(trailers) = frame.trailers_ref()
        {
            line.look_at("stream ended", trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
