//! The connections that the server takes: counted, encrypted where that is set, and given up on if
//! they do not get ready. A connection that is refused is logged with its reason.
//!
//! Must not know what is said on them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cambrian_transport::dial::Wire;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::access::LogBound;

/// How long a client may take over the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that are ready and wait for the server.
const READY: usize = 64;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) Option<SocketAddr>);

/// A connection that a simulation has made; it comes from nowhere.
pub(crate) struct Simulated(pub(crate) Box<dyn Wire>);

enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// A connection that is ready; while it lives it counts.
pub(crate) struct Accepted {
    stream: Stream,
    peer: SocketAddr,
    _counted: OwnedSemaphorePermit,
}

/// What connections have to meet.
pub(crate) struct Gate {
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) connections: usize,
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
        let (acceptor, ready, logged) = (acceptor.clone(), ready.clone(), logged.clone());
        tokio::spawn(async move {
            match prepare(stream, acceptor).await {
                Ok(stream) => {
                    // A server that has ended needs no connections.
                    let _ = ready.send(Ok(Accepted { stream, peer, _counted: counted })).await;
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
        Peer(Some(self.peer))
    }
}

impl Connected for Simulated {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(None)
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
