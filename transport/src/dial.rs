//! How connections are made: over the system's network, or over one that a simulation makes up.
//!
//! Must not know what is said on them.

use std::fmt::{Debug, Formatter};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint, Error, Uri};

/// A connection.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection that is being made.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Box<dyn Wire>>> + Send>>;

/// What makes connections.
#[derive(Clone, Default)]
pub enum Dialler {
    /// The system.
    #[default]
    System,
    /// A simulation, by the address of the endpoint.
    Simulated(Arc<dyn Fn(Uri) -> Dialling + Send + Sync>),
}

impl Debug for Dialler {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Simulated(_) => "Simulated",
        })
    }
}

impl Dialler {
    /// Connects to an endpoint. A simulated connection is not encrypted.
    ///
    /// # Errors
    /// As those of the transport.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Channel, Error> {
        let Self::Simulated(dial) = self else { return endpoint.connect().await };
        let dial = dial.clone();
        let connector = tower::service_fn(move |address| {
            let dialling = dial(address);
            async move { Ok::<_, io::Error>(TokioIo::new(dialling.await?)) }
        });
        endpoint.connect_with_connector(connector).await
    }
}
