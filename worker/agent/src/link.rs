//! The connection to the coordinator: dials, keeps one stream open, and dials again when it ends.
//!
//! Besides `artifacts::transfer` the only module that knows tonic. Must not know tasks or reports, nor
//! decide what is said: it hands each new stream's sending half to the agent and passes on what arrives.
//! Reading happens here and writing in the transport's own task, so that neither waits for the other.

use std::pin::pin;
use std::time::Duration;

use cambrian_proto::v1::worker_service_client::WorkerServiceClient;
use cambrian_proto::v1::{CoordinatorMessage, WorkerMessage, coordinator_message};
use cambrian_transport::client::{Credentials, DialError};
use cambrian_transport::dial::Dialler;
use cambrian_transport::failure;
use cambrian_transport::standby::{Addresses, Next, Standby};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::framing::MAX_MESSAGE_BYTES;

/// Messages on their way to the transport; more waiting than that means a coordinator that does
/// not read.
pub(crate) const OUTGOING_MESSAGES: usize = 4_096;

/// How many pauses between attempts to connect fit into a lease, at least.
const PAUSES_PER_LEASE: u32 = 4;
/// How often the transport asks a silent peer for a sign of life, and how long it waits for one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What fails within this costs nothing to try again.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The longest pause while a coordinator stands by: one of them leads within seconds.
const LONGEST_WHILE_STANDING_BY: Duration = Duration::from_millis(500);
/// Room for one large message in flight; the protocol's default of 64 KiB stalls on each.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// The durations that the connection keeps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LinkTiming {
    /// How long a coordinator may take to accept a connection.
    pub(crate) connect: Duration,
    /// How long it may take to answer the registration.
    pub(crate) registration: Duration,
    /// A stream that lasted this long clears the record of failures.
    pub(crate) settled: Duration,
}

/// What the agent learns from the connection.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A stream opens; the first message has to be put into it at once. Dropping the sender ends
    /// the stream in order.
    Opened(Outgoing),
    /// A message of the coordinator. The first one of a stream is `Registered`.
    Received(Box<coordinator_message::Message>),
    /// The stream ended or could not be opened.
    Closed(Closed),
}

/// The end of a stream, or of the attempt to open one.
#[derive(Debug)]
pub(crate) struct Closed {
    /// The coordinator's address.
    pub(crate) coordinator: String,
    /// Why, for people.
    pub(crate) reason: String,
    /// When the next attempt follows.
    pub(crate) pause: Duration,
}

/// The sending half of a stream.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) messages: mpsc::Sender<WorkerMessage>,
    /// Cuts the stream.
    pub(crate) abandon: oneshot::Sender<Abandoned>,
}

/// Why the worker itself cuts a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// What it says is not read.
    Unread,
    /// It has to register anew.
    Renewed,
}

/// A link over a list of coordinators, tried in turn.
pub(crate) struct Link {
    pub(crate) coordinators: Addresses,
    pub(crate) credentials: Credentials,
    pub(crate) dialler: Dialler,
    pub(crate) timing: LinkTiming,
    pub(crate) backoff: Backoff,
    /// How long leases lasted at the last registration; unknown before the first.
    pub(crate) lease: Option<Duration>,
    pub(crate) events: mpsc::Sender<LinkEvent>,
}

/// The agent has gone, so there is nobody to connect for.
struct NobodyListens;

/// How long a coordinator may be silent before the transport asks it for a sign of life.
fn patience(lease: Option<Duration>) -> Duration {
    lease.map_or(KEEPALIVE_INTERVAL, |lease| KEEPALIVE_INTERVAL.min(lease / 4))
}

/// The endpoint at an address, with the files that it needs read anew: renewed certificates and
/// tokens take effect with the next connection. A coordinator that falls silent is noticed while half of
/// a lease is left to find another.
fn endpoint(
    address: &str,
    credentials: &Credentials,
    lease: Option<Duration>,
) -> Result<Endpoint, DialError> {
    let quarter = lease.map_or(Duration::MAX, |lease| lease / 4);
    Ok(credentials
        .endpoint(address)?
        .http2_keep_alive_interval(patience(lease))
        .keep_alive_timeout(KEEPALIVE_TIMEOUT.min(quarter))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES)
        .tcp_nodelay(true))
}

impl Link {
    /// Keeps a stream open for as long as somebody listens to the events.
    pub(crate) async fn run(mut self) {
        loop {
            let coordinator = self.coordinators.present().to_owned();
            let opened = Instant::now();
            let end = match self.stream(&coordinator).await {
                Ok(end) => end,
                Err(NobodyListens) => return,
            };
            let pause = self.pause(&end, opened.elapsed());
            let closed = Closed { coordinator, reason: end.reason, pause };
            if self.events.send(LinkEvent::Closed(closed)).await.is_err() {
                return;
            }
            tokio::select! {
                biased;
                () = sleep(pause) => {}
                () = self.events.closed() => return,
            }
        }
    }

    /// Chooses the coordinator to try next, and how long to wait before.
    fn pause(&mut self, end: &End, lasted: Duration) -> Duration {
        if end.lease.is_some() && lasted >= self.timing.settled {
            self.backoff.reset();
        }
        if let Some(lease) = end.lease {
            // A pause must not cost the leases that a returning worker still holds.
            self.lease = Some(lease);
            self.backoff.shorten(lease / PAUSES_PER_LEASE);
            // The coordinator that served last is the most likely one to serve again, unless it has
            // stopped to answer.
            match end.silent {
                true => self.coordinators.fell_silent(),
                false => self.coordinators.served(),
            }
            self.backoff.fail();
            return self.backoff.pause();
        }
        let next = match &end.refusal {
            None if lasted < AT_ONCE => self.coordinators.refused(),
            refusal => self.coordinators.failed(refusal.as_ref()),
        };
        match next {
            Next::AtOnce => Duration::ZERO,
            Next::Pause { soon } => {
                self.backoff.fail();
                let longest = if soon { LONGEST_WHILE_STANDING_BY } else { Duration::MAX };
                self.backoff.pause().min(longest)
            }
        }
    }

    /// Opens a stream and follows it to its end.
    async fn stream(&self, coordinator: &str) -> Result<End, NobodyListens> {
        let prepared = endpoint(coordinator, &self.credentials, self.lease)
            .and_then(|endpoint| Ok((endpoint, self.credentials.bearer()?)));
        let (endpoint, bearer) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Ok(End::before_registration(error.to_string())),
        };
        let dialled = timeout(self.timing.connect, self.dialler.connect(&endpoint)).await;
        let channel = match dialled {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Ok(End::before_registration(chain(&error))),
            Err(_) => return Ok(End::before_registration("no connection in time".to_owned())),
        };
        let mut client = WorkerServiceClient::with_interceptor(channel, bearer)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (messages, outgoing) = mpsc::channel(OUTGOING_MESSAGES);
        let (abandon, abandoned) = oneshot::channel();
        // The registration must be in the stream before the call: the answer may wait for it.
        self.say(LinkEvent::Opened(Outgoing { messages, abandon })).await?;
        let answer = timeout(self.timing.registration, async {
            let mut stream = client.work(ReceiverStream::new(outgoing)).await?.into_inner();
            let first = stream.message().await?;
            Ok::<_, Status>((stream, first))
        })
        .await;
        let (stream, first) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => {
                let refusal = Standby::of(&status);
                return Ok(End { refusal, ..End::before_registration(words(&status)) });
            }
            Err(_) => {
                return Ok(End::before_registration("no answer to the registration".to_owned()));
            }
        };
        let registered = match first.and_then(|first| first.message) {
            Some(coordinator_message::Message::Registered(registered)) => registered,
            Some(_) => {
                let reason = "its first message is not Registered".to_owned();
                return Ok(End::before_registration(reason));
            }
            None => return Ok(End::before_registration("it ended the stream".to_owned())),
        };
        info!(coordinator, "registered with the coordinator");
        let lease = Some(Duration::from_micros(registered.lease_micros));
        let registered = coordinator_message::Message::Registered(registered);
        self.say(LinkEvent::Received(Box::new(registered))).await?;
        let (reason, silent) = self.follow(stream, abandoned).await?;
        Ok(End { lease, reason, refusal: None, silent })
    }

    /// Why it ended, and whether the coordinator had fallen silent.
    async fn follow(
        &self,
        mut stream: Streaming<CoordinatorMessage>,
        abandoned: oneshot::Receiver<Abandoned>,
    ) -> Result<(String, bool), NobodyListens> {
        let mut abandoned = pin!(told(abandoned));
        let mut heard = Instant::now();
        let silent = |heard: Instant| heard.elapsed() >= patience(self.lease);
        loop {
            let received = tokio::select! {
                biased;
                received = stream.message() => received,
                why = &mut abandoned => {
                    // One that had nothing to say to a worker without work is to be asked again.
                    let silent = why != Abandoned::Renewed && silent(heard);
                    return Ok((why.words(), silent));
                }
                () = self.events.closed() => return Err(NobodyListens),
            };
            match received {
                Ok(Some(CoordinatorMessage { message: Some(message) })) => {
                    heard = Instant::now();
                    self.say(LinkEvent::Received(Box::new(message))).await?;
                }
                Ok(Some(CoordinatorMessage { message: None })) => {
                    warn!("the coordinator sent a message that this version does not know");
                }
                Ok(None) => {
                    return Ok(("the coordinator ended the stream".to_owned(), silent(heard)));
                }
                Err(status) => return Ok((words(&status), silent(heard))),
            }
        }
    }

    async fn say(&self, event: LinkEvent) -> Result<(), NobodyListens> {
        self.events.send(event).await.map_err(|_| NobodyListens)
    }
}

impl Abandoned {
    fn words(self) -> String {
        match self {
            Self::Unread => "the coordinator does not read".to_owned(),
            Self::Renewed => "the worker registers anew".to_owned(),
        }
    }
}

/// Waits for the worker to abandon a stream. One that it ends in order is not abandoned.
async fn told(abandoned: oneshot::Receiver<Abandoned>) -> Abandoned {
    match abandoned.await {
        Ok(why) => why,
        Err(_) => std::future::pending().await,
    }
}

/// How a stream ended.
struct End {
    /// How long the coordinator's leases last, if it took the registration.
    lease: Option<Duration>,
    reason: String,
    /// That of a coordinator that stands by.
    refusal: Option<Standby>,
    /// Whether it had not been heard of for a while when it ended.
    silent: bool,
}

impl End {
    fn before_registration(reason: String) -> Self {
        Self { lease: None, reason, refusal: None, silent: false }
    }
}

fn words(status: &Status) -> String {
    if let Some(reason) = failure::of_tls(status) {
        return reason;
    }
    format!("{:?}: {}", status.code(), status.message())
}

/// An error with its causes; the transport's own message is but "transport error".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(reason) = failure::of_tls(error) {
        return reason;
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
