//! The connections that the server takes: counted, encrypted where that is set, and given up on if
//! they do not get ready, or if nobody makes a call on them that is let in. A connection that is refused
//! is logged with its reason.
//!
//! Must not know what is said on them.

mod addresses;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use cambrian_transport::dial::Wire;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::access::LogBound;
use addresses::{Addresses, Counted};

/// How long a client may take over the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that are ready and wait for the server.
const READY: usize = 64;

/// Where a connection comes from, and whether it is of use; copies speak of the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    address: Option<SocketAddr>,
    admitted: Arc<AtomicBool>,
}

impl Peer {
    fn new(address: Option<SocketAddr>) -> Self {
        Self { address, admitted: Arc::default() }
    }

    /// `None` if it comes from nowhere.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Somebody who may call has called: the connection may stay.
    pub(crate) fn admit(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }

    fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }
}

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
    /// Until when somebody has to make a call that is let in; absent once that has happened.
    first_call: Option<Pin<Box<Sleep>>>,
    logged: Arc<LogBound>,
    _counted: (OwnedSemaphorePermit, Counted),
}

impl Accepted {
    /// Fails when the time for a first call is over.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(first_call) = &mut self.first_call else { return Ok(()) };
        if self.peer.is_admitted() {
            self.first_call = None;
            return Ok(());
        }
        if first_call.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        if self.logged.allows() {
            let peer = self.peer.address.map_or("unknown".to_owned(), |peer| peer.to_string());
            tracing::warn!(%peer, "connection closed: nobody made a call on it that is let in");
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "no call that is let in"))
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
    let first_call = gate.first_call;
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
                    let first_call = Some(Box::pin(sleep(first_call)));
                    let accepted = Accepted { stream, peer, first_call, logged, _counted: counted };
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
        self.check(context)?;
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
