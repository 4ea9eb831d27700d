//! The client's side: addresses, TLS settings, the token, and the rule that a token does not travel
//! in clear. Must not know how a connection is made, nor which service is called.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::pem::{self, TlsError};
use crate::token::{Token, TokenError};

/// The header that carries the token.
pub const AUTHORIZATION: &str = "authorization";
/// What the header's value begins with.
pub const BEARER: &str = "Bearer ";
/// The longest token file that is read, bytes.
const MAX_TOKEN_FILE: usize = 4096;

/// Where a token comes from; never a command line, which every user of a machine can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// A file that holds nothing else, read at each connection, so that a new one needs no restart.
    File(PathBuf),
    /// A value from the environment.
    Given(Token),
}

/// How a client makes itself known, and whom it trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The authorities of which one must have signed the coordinator's certificate.
    pub ca: Option<PathBuf>,
    /// The client's own certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name that the coordinator's certificate is for, where the address has another.
    pub server_name: Option<String>,
    /// The token.
    pub token: Option<TokenSource>,
    /// Whether the token may travel in clear to another machine.
    pub insecure: bool,
}

/// Why a coordinator cannot be dialled.
#[derive(Debug, Error)]
pub enum DialError {
    /// The address is malformed.
    #[error("write http://HOST:PORT or https://HOST:PORT ({0})")]
    Address(String),
    /// Encrypted, and nobody to trust.
    #[error(
        "https needs `ca`: a file with the certificate of the authority that signed the \
         coordinator's (for a public authority the system's bundle, such as \
         /etc/ssl/certs/ca-certificates.crt)"
    )]
    NoAuthority,
    /// A token would travel in clear.
    #[error(
        "a token is not sent in clear to another machine: use https, or accept that with \
         --insecure on a network that you trust"
    )]
    PlainToken,
    /// A TLS file cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token's file cannot be read.
    #[error("cannot read the token file {}: {source}", .path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token's file holds something else.
    #[error("the token file {}: {source}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TokenError,
    },
    /// The transport refuses the settings.
    #[error("the TLS settings cannot be used: {0}")]
    Transport(String),
}

/// Adds the token to every call.
#[derive(Debug, Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert(AUTHORIZATION, value.clone());
        }
        Ok(request)
    }
}

impl Bearer {
    fn of(token: &Token) -> Result<Self, DialError> {
        let value = format!("{BEARER}{}", token.reveal());
        let mut value: MetadataValue<Ascii> =
            value.parse().map_err(|_| DialError::Transport("the token is no header".to_owned()))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Credentials {
    /// Checks an address, that nothing secret would travel in clear, and every file.
    ///
    /// # Errors
    /// [`DialError`].
    pub fn check(&self, address: &str) -> Result<(), DialError> {
        self.endpoint(address)?;
        self.bearer().map(drop)
    }

    /// Checks an address, and that nothing secret would travel in clear; reads no file.
    ///
    /// # Errors
    /// [`DialError`].
    pub fn check_address(&self, address: &str) -> Result<(), DialError> {
        self.plan(address).map(drop)
    }

    /// Checks the form of an address alone.
    ///
    /// # Errors
    /// [`DialError::Address`].
    pub fn check_form(address: &str) -> Result<(), DialError> {
        split(address).map(drop)
    }

    /// The endpoint without encryption, and whether it is to be encrypted.
    fn plan(&self, address: &str) -> Result<(Endpoint, bool), DialError> {
        let (encrypted, host) = split(address)?;
        if self.token.is_some() && !encrypted && !self.insecure && !is_this_machine(&host) {
            return Err(DialError::PlainToken);
        }
        if encrypted && self.ca.is_none() {
            return Err(DialError::NoAuthority);
        }
        let malformed =
            |error: tonic::transport::Error| DialError::Address(crate::failure::innermost(&error));
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(malformed)?;
        Ok((endpoint, encrypted))
    }

    /// The endpoint at `address`, `http://HOST:PORT` or `https://HOST:PORT`. Files are read anew.
    ///
    /// # Errors
    /// [`DialError`].
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, DialError> {
        let (endpoint, encrypted) = self.plan(address)?;
        if !encrypted {
            return Ok(endpoint);
        }
        let tls = self.tls()?;
        endpoint
            .tls_config(tls)
            .map_err(|error| DialError::Transport(crate::failure::innermost(&error)))
    }

    fn tls(&self) -> Result<ClientTlsConfig, DialError> {
        let ca = self.ca.as_deref().ok_or(DialError::NoAuthority)?;
        let (_, text) = pem::authorities(ca)?;
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(text));
        if let Some((certificate, key)) =
            pem::pair(self.certificate.as_deref(), self.key.as_deref())?
        {
            let (certificate, key) = pem::identity(certificate, key)?.text;
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        Ok(tls)
    }

    /// What adds the token to calls; nothing if there is none. A token's file is read anew.
    ///
    /// # Errors
    /// [`DialError`] if the token's file cannot be used.
    pub fn bearer(&self) -> Result<Bearer, DialError> {
        match &self.token {
            None => Ok(Bearer::default()),
            Some(TokenSource::Given(token)) => Bearer::of(token),
            Some(TokenSource::File(path)) => Bearer::of(&read_token(path)?),
        }
    }
}

fn read_token(path: &Path) -> Result<Token, DialError> {
    let text = std::fs::read(path)
        .map_err(|source| DialError::TokenFile { path: path.to_owned(), source })?;
    let text = text.get(..text.len().min(MAX_TOKEN_FILE)).unwrap_or_default();
    let text = std::str::from_utf8(text).unwrap_or_default().trim();
    text.parse().map_err(|source| DialError::Token { path: path.to_owned(), source })
}

/// Whether an address is encrypted, and its host.
pub(crate) fn split(address: &str) -> Result<(bool, String), DialError> {
    let fail = |what: &str| DialError::Address(what.to_owned());
    let (encrypted, rest) = match address.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some((scheme, _)) => return Err(fail(&format!("`{scheme}` is neither"))),
        None => return Err(fail("it has no scheme")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('/') {
        return Err(fail("it has a path"));
    }
    if authority.contains('@') {
        return Err(fail("it names a user"));
    }
    let (host, port) =
        authority.rsplit_once(':').ok_or_else(|| fail("it needs a host and a port"))?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(fail("it needs a host and a port"));
    }
    Ok((encrypted, host.to_owned()))
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_token() -> Credentials {
        let token = Some(TokenSource::Given(Token::generate().unwrap()));
        Credentials { token, ..Credentials::default() }
    }

    #[test]
    fn addresses_are_checked() {
        let credentials = Credentials::default();
        for good in ["http://127.0.0.1:7878", "http://[::1]:80/", "http://host.example:65535"] {
            assert!(credentials.check(good).is_ok(), "{good} was refused");
        }
        for bad in [
            "",
            "localhost:7878",
            "ftp://host:1",
            "http://",
            "http://:70",
            "http://a b:1",
            "http://host",
            "http://host:99999",
            "http://host:1/path",
            "http://user:secret@host:1",
        ] {
            let error = credentials.check(bad).unwrap_err();
            assert!(matches!(error, DialError::Address(_)), "{bad}: {error}");
        }
    }

    #[test]
    fn a_token_does_not_travel_in_clear() {
        let mut credentials = with_token();
        for near in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert!(credentials.check(near).is_ok(), "{near}");
        }
        for far in ["http://10.0.0.1:1", "http://host:1", "http://localhost.example:1"] {
            let error = credentials.check(far).unwrap_err();
            assert!(matches!(error, DialError::PlainToken), "{far}: {error}");
        }
        credentials.insecure = true;
        assert!(credentials.check("http://10.0.0.1:1").is_ok());
    }

    #[test]
    fn encryption_needs_somebody_to_trust() {
        let error = Credentials::default().check("https://host:1").unwrap_err();
        assert!(matches!(error, DialError::NoAuthority), "{error}");
        let ca = Some(PathBuf::from("absent.pem"));
        let error = Credentials { ca, ..Credentials::default() }.check("https://host:1");
        assert!(error.unwrap_err().to_string().contains("absent.pem"));
    }

    #[test]
    fn token_files_are_read_and_their_faults_explained() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let token = Some(TokenSource::File(path.clone()));
        let credentials = Credentials { token, ..Credentials::default() };
        assert!(matches!(credentials.bearer(), Err(DialError::TokenFile { .. })));
        std::fs::write(&path, "cmb_mistyped").unwrap();
        let error = credentials.bearer().unwrap_err().to_string();
        assert!(!error.contains("mistyped") && error.contains("token"), "{error}");
        std::fs::write(&path, format!("{}\n", Token::generate().unwrap().reveal())).unwrap();
        assert!(credentials.bearer().unwrap().0.is_some());
    }
}
