//! How the processes of a cluster know each other: not at all, or by a certificate and tokens, as those
//! of a fleet do.
//!
//! Must not know what they say to each other.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use cambrian_transport::client::{Bearer, Credentials, TokenSource};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// A connection to a coordinator, with the token of an administrator if there are tokens.
pub(crate) type Wire = InterceptedService<Channel, Bearer>;

/// What the cluster's processes show each other; the default is nothing.
#[derive(Debug, Default)]
pub(crate) struct Access(Option<Secrets>);

#[derive(Debug)]
struct Secrets {
    certificate: PathBuf,
    key: PathBuf,
    worker_token: PathBuf,
    administrator: Credentials,
}

impl Access {
    /// A certificate for 127.0.0.1, and tokens in a store (a file or a URL) that nobody serves yet.
    ///
    /// # Errors
    /// When a file cannot be written, or the coordinator's program makes no token.
    pub(crate) fn secured(folder: &Path, coordinator: &Path, place: &str) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::Ok(path)
        };
        let certificate = write("certificate.pem", made.cert.pem())?;
        let key = write("key.pem", made.signing_key.serialize_pem())?;
        let token =
            |role: &str| write(&format!("{role}.token"), create_token(coordinator, place, role)?);
        let administrator = Credentials {
            ca: Some(certificate.clone()),
            token: Some(TokenSource::File(token("admin")?)),
            ..Credentials::default()
        };
        let worker_token = token("worker")?;
        Ok(Self(Some(Secrets { certificate, key, worker_token, administrator })))
    }

    fn scheme(&self) -> &'static str {
        if self.0.is_some() { "https" } else { "http" }
    }

    /// Where a coordinator, or a wire to it, is.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        format!("{}://{address}", self.scheme())
    }

    /// Further arguments of every coordinator.
    pub(crate) fn of_coordinator(&self) -> Vec<String> {
        let Some(secrets) = &self.0 else { return Vec::new() };
        vec![
            "--tokens".to_owned(),
            format!("--tls-certificate={}", secrets.certificate.display()),
            format!("--tls-key={}", secrets.key.display()),
        ]
    }

    /// Further arguments of every worker.
    pub(crate) fn of_worker(&self) -> Vec<String> {
        let Some(secrets) = &self.0 else { return Vec::new() };
        vec![
            format!("--tls-ca={}", secrets.certificate.display()),
            format!("--token-file={}", secrets.worker_token.display()),
        ]
    }

    /// A connection for questions, made when it is first needed; each answer may take so long.
    ///
    /// # Errors
    /// When the secrets cannot be read.
    pub(crate) fn wire(&self, address: SocketAddr, answer: Duration) -> anyhow::Result<Wire> {
        self.dial(&self.credentials(), address, answer)
    }

    /// The same for somebody without a token.
    ///
    /// # Errors
    /// As [`Self::wire`].
    pub(crate) fn stranger(&self, address: SocketAddr, answer: Duration) -> anyhow::Result<Wire> {
        self.dial(&Credentials { token: None, ..self.credentials() }, address, answer)
    }

    fn credentials(&self) -> Credentials {
        self.0.as_ref().map(|secrets| secrets.administrator.clone()).unwrap_or_default()
    }

    fn dial(
        &self,
        credentials: &Credentials,
        address: SocketAddr,
        answer: Duration,
    ) -> anyhow::Result<Wire> {
        let endpoint = credentials.endpoint(&self.url(address))?;
        let channel = endpoint.connect_timeout(answer).timeout(answer).connect_lazy();
        Ok(InterceptedService::new(channel, credentials.bearer()?))
    }
}

fn create_token(coordinator: &Path, place: &str, role: &str) -> anyhow::Result<String> {
    let made = Command::new(coordinator)
        .args(["token", "create", "--role", role, "--name", "chaos", "--expires", "never"])
        .args(["--database", place])
        .output()
        .with_context(|| format!("cannot start {}", coordinator.display()))?;
    if !made.status.success() {
        bail!("no token was made: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(String::from_utf8(made.stdout)?)
}
