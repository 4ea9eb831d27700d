//! What answers at an address, asked after a call has failed: the transport loses the cause where the
//! other side ends a connection that has been made, or says nothing on it.
//!
//! Must not know what is said on connections that work.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::{Credentials, split};
use crate::database::{self, Trust};
use crate::failure::{self, Cause};

/// How long each answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How a client of HTTP/2 begins: the preface, and settings that change nothing.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The kind of the first frame that a server of HTTP/2 sends, behind the three bytes of its length.
const SETTINGS: u8 = 4;
/// What messages of TLS begin with: their kind, and the version's first byte.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const VERSION: u8 = 3;

const CHECK_PORT: &str = "check the port: is it a coordinator?";

/// Why a coordinator at `address` cannot be spoken with; `None` if it answers as one does.
pub async fn cause(address: &str, credentials: &Credentials) -> Option<Cause> {
    let (encrypted, host) = split(address).ok()?;
    let place = address.split_once("://")?.1.trim_end_matches('/');
    match encrypted {
        true => of_encrypted(place, &host, credentials).await,
        false => of_plain(place).await,
    }
}

/// What came back.
enum Answer {
    Silence,
    End,
    Failure(io::Error),
    Bytes(Vec<u8>),
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), said: &[u8]) -> Answer {
    let mut heard = [0; 64];
    let talk = async {
        stream.write_all(said).await?;
        stream.flush().await?;
        stream.read(&mut heard).await
    };
    match timeout(PATIENCE, talk).await {
        Err(_) => Answer::Silence,
        Ok(Ok(0)) => Answer::End,
        Ok(Ok(length)) => Answer::Bytes(heard[..length].to_vec()),
        Ok(Err(error)) => Answer::Failure(error),
    }
}

async fn connect(place: &str) -> Result<TcpStream, Cause> {
    match timeout(PATIENCE, TcpStream::connect(place)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Cause::new(error.to_string(), "check that it runs, and the address")),
        Err(_) => Err(Cause::new(
            format!("no connection within {} s", PATIENCE.as_secs()),
            "check the address, and firewalls on the way",
        )),
    }
}

async fn of_plain(place: &str) -> Option<Cause> {
    let mut stream = match connect(place).await {
        Ok(stream) => stream,
        Err(cause) => return Some(cause),
    };
    match exchange(&mut stream, HTTP2).await {
        Answer::Silence => Some(silent()),
        Answer::Bytes(bytes) if is_http2(&bytes) => None,
        Answer::Bytes(bytes) if is_tls(&bytes) => Some(wants_tls()),
        // So does a web server in front of a coordinator that is asked without TLS.
        Answer::Bytes(_) => Some(Cause::new(
            "what it answers is no HTTP/2",
            "write https:// if it has TLS, or check the port: is it a coordinator?",
        )),
        Answer::End | Answer::Failure(_) => {
            Some(if speaks_tls(place).await { wants_tls() } else { ended() })
        }
    }
}

async fn of_encrypted(place: &str, host: &str, credentials: &Credentials) -> Option<Cause> {
    let Credentials { ca, certificate, key, server_name, .. } = credentials;
    let trust = Trust::AuthorityAndName(ca.as_deref()?);
    let mut settings = database::settings(trust, certificate.as_deref(), key.as_deref()).ok()?;
    settings.alpn_protocols = vec![b"h2".to_vec()];
    let name = server_name.as_deref().unwrap_or_else(|| host.trim_matches(['[', ']']));
    let name = ServerName::try_from(name.to_owned()).ok()?;
    let stream = match connect(place).await {
        Ok(stream) => stream,
        Err(cause) => return Some(cause),
    };
    let handshake = TlsConnector::from(Arc::new(settings)).connect(name, stream);
    let mut stream = match timeout(PATIENCE, handshake).await {
        Err(_) => return Some(silent()),
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Some(failure::cause(&error).unwrap_or_else(ended)),
    };
    // In TLS 1.3 a server refuses a client's certificate after the client's handshake is over.
    match exchange(&mut stream, HTTP2).await {
        Answer::Silence => Some(silent()),
        Answer::End => Some(ended()),
        Answer::Failure(error) => Some(failure::cause(&error).unwrap_or_else(ended)),
        Answer::Bytes(_) => None,
    }
}

/// Whether a first message of TLS is answered by one.
async fn speaks_tls(place: &str) -> bool {
    let (Some(hello), Ok(mut stream)) = (client_hello(), connect(place).await) else {
        return false;
    };
    matches!(exchange(&mut stream, &hello).await, Answer::Bytes(bytes) if is_tls(&bytes))
}

/// The first message of a handshake; whom to trust does not matter for it.
fn client_hello() -> Option<Vec<u8>> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let settings =
        builder.ok()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from("localhost").ok()?;
    let mut client = ClientConnection::new(Arc::new(settings), name).ok()?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello).ok()?;
    Some(hello)
}

fn is_http2(bytes: &[u8]) -> bool {
    bytes.get(3) == Some(&SETTINGS)
}

fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [ALERT | HANDSHAKE, VERSION, ..])
}

fn silent() -> Cause {
    let what = format!("it takes the connection and says nothing for {} s", PATIENCE.as_secs());
    Cause::new(what, CHECK_PORT)
}

fn wants_tls() -> Cause {
    Cause::new("it speaks TLS", "write https://, and name its authority with `--tls-ca`")
}

fn ended() -> Cause {
    Cause::new("it ends the connection at once", "its log says why, if it is a coordinator")
}
