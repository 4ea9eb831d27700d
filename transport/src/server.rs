//! The server's side of TLS: version 1.3 only, HTTP/2 only, one certificate, optionally a demand for
//! the clients' own. Must not know sockets, nor what is served.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;

use crate::pem::{self, TlsError};

/// The settings of a server that shows `certificate` and, with `client_ca`, speaks only with
/// clients whose certificate one of those authorities has signed.
///
/// # Errors
/// [`TlsError`] naming the file that is missing, malformed, expired or does not fit the others.
pub fn settings(
    certificate: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    let identity = pem::identity(certificate, key)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(pem::roots(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            let verifier = verifier.map_err(|error| TlsError::Unusable(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut settings = builder.with_single_cert(identity.chain, identity.key).map_err(unusable)?;
    settings.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(settings))
}

/// When a server's certificate ends.
///
/// # Errors
/// [`TlsError`] if the file holds none.
pub fn end(certificate: &Path) -> Result<SystemTime, TlsError> {
    pem::end(certificate)
}
