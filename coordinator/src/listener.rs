//! The connections that the server takes: counted, encrypted where that is set, and given up on if
//! they do not get ready, if nobody makes a call on them that is let in, or if nothing is open on them for
//! long. A connection that is refused is logged with its reason.
//!
//! Must not know what is said on them.

mod addresses;
mod peer;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cambrian_transport::dial::Wire;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::access::LogBound;
use addresses::{Addresses, Counted};
use peer::Standing;
pub(crate) use peer::{Peer, Visit};

/// How long a client may take over the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long those who may not speak any more have to hear why.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that are ready and wait for the server.
const READY: usize = 64;

/// A connection that a simulation has made; it comes from nowhere.
pub(crate) struct Simulated(pub(crate) Box<dyn Wire>);

enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// A connection that is ready; while it lives it counts.
pub(crate) struct Accepted {
    stream: Stream,
    peer: Peer,
    /// When its standing is looked at next.
    look: Pin<Box<Sleep>>,
    /// How long it may be quiet.
    idle: Duration,
    /// Whether those who call may not speak any more.
    expelled: bool,
    /// Whether it is over.
    closed: bool,
    logged: Arc<LogBound>,
    _counted: (OwnedSemaphorePermit, Counted),
}

impl Accepted {
    /// Looks at the standing when it is time; whether the connection has to end because it is quiet.
    /// Fails where it is not worth a proper end.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        while !self.closed && self.look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            match self.peer.standing() {
                Standing::New => return Err(self.refuse("nobody made a call on it that is let in")),
                Standing::Expelled if self.expelled => {
                    return Err(self.refuse("nobody on it may speak any more"));
                }
                Standing::Expelled => {
                    self.expelled = true;
                    self.look.as_mut().reset(now + LAST_WORDS);
                }
                Standing::Busy => {
                    self.expelled = false;
                    self.look.as_mut().reset(now + self.idle);
                }
                Standing::Quiet(since) if since + self.idle > now => {
                    self.look.as_mut().reset(since + self.idle);
                }
                Standing::Quiet(_) => self.closed = true,
            }
        }
        Ok(self.closed)
    }

    fn refuse(&self, why: &'static str) -> io::Error {
        if self.logged.allows() {
            let peer = self.peer.address().map_or("unknown".to_owned(), |peer| peer.to_string());
            tracing::warn!(%peer, "connection closed: {why}");
        }
        io::Error::new(io::ErrorKind::TimedOut, why)
    }
}

/// What connections have to meet.
pub(crate) struct Gate {
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) connections: usize,
    /// Of one address; `None` for no bound.
    pub(crate) of_one_address: Option<usize>,
    /// How long a connection may take until somebody makes a call on it that is let in.
    pub(crate) first_call: Duration,
    /// How long nothing may be open on it.
    pub(crate) idle: Duration,
    pub(crate) logged: LogBound,
}

/// Takes connections for as long as the stream is read.
pub(crate) fn accept(listener: TcpListener, gate: Gate) -> ReceiverStream<io::Result<Accepted>> {
    let (sender, ready) = mpsc::channel(READY);
    tokio::spawn(run(listener, gate, sender));
    ReceiverStream::new(ready)
}

async fn run(listener: TcpListener, gate: Gate, ready: mpsc::Sender<io::Result<Accepted>>) {
    let logged = Arc::new(gate.logged);
    let acceptor = gate.tls.map(TlsAcceptor::from);
    let free = Arc::new(Semaphore::new(gate.connections));
    let addresses = Arc::new(Addresses::new(gate.of_one_address));
    let (first_call, idle) = (gate.first_call, gate.idle);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(counted) = free.clone().try_acquire_owned() else {
            if logged.allows() {
                let limit = gate.connections;
                tracing::warn!(%peer, limit, "connection refused: too many are open");
            }
            continue;
        };
        let Some(of_address) = addresses.count(peer.ip()) else {
            if logged.allows() {
                tracing::warn!(%peer, "connection refused: too many of its address are open");
            }
            continue;
        };
        let counted = (counted, of_address);
        let (acceptor, ready, logged) = (acceptor.clone(), ready.clone(), logged.clone());
        tokio::spawn(async move {
            match prepare(stream, acceptor).await {
                Ok(stream) => {
                    let peer = Peer::new(Some(peer));
                    let look = Box::pin(sleep(first_call));
                    let accepted = Accepted {
                        stream,
                        peer,
                        look,
                        idle,
                        expelled: false,
                        closed: false,
                        logged,
                        _counted: counted,
                    };
                    // A server that has ended needs no connections.
                    let _ = ready.send(Ok(accepted)).await;
                }
                Err(reason) if logged.allows() => {
                    tracing::warn!(%peer, "connection refused: {reason}");
                }
                Err(_) => {}
            }
        });
    }
}

async fn prepare(stream: TcpStream, acceptor: Option<TlsAcceptor>) -> Result<Stream, String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let Some(acceptor) = acceptor else { return Ok(Stream::Plain(stream)) };
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Ok(Stream::Encrypted(Box::new(stream))),
        Ok(Err(error)) => Err(cambrian_transport::failure::of_client(&error)),
        Err(_) => Err(format!("no TLS handshake within {} s", HANDSHAKE.as_secs())),
    }
}

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl Connected for Simulated {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer::new(None)
    }
}

impl AsyncRead for Simulated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Simulated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.check(context)? {
            // As if the other side had ended it: nothing is open, so nothing is lost.
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
