//! TLS towards a database: version 1.3, with as much trust as is asked for. Must not know URLs, SQL or a
//! database's driver.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::pem::{self, TlsError};

/// Which database is spoken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Whoever answers: listeners are kept out, impostors are not.
    Anyone,
    /// One whose certificate an authority in this file has signed, whatever its name.
    Authority(&'a Path),
    /// The same, and the certificate is for the name that was dialled.
    AuthorityAndName(&'a Path),
}

/// The settings of a client, which shows its own certificate where there is one.
///
/// # Errors
/// [`TlsError`] naming the file that cannot be used.
pub fn settings(
    trust: Trust<'_>,
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<ClientConfig, TlsError> {
    let unusable = |error: Error| TlsError::Unusable(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?;
    let builder = match trust {
        Trust::AuthorityAndName(path) => builder.with_root_certificates(pem::roots(path)?),
        Trust::Authority(path) => {
            let roots = Arc::new(pem::roots(path)?);
            let chain = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|error| TlsError::Unusable(error.to_string()))?;
            let verifier = Arc::new(AnyName { chain: Some(chain), provider });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
        Trust::Anyone => {
            let verifier = Arc::new(AnyName { chain: None, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    match pem::pair(certificate, key)? {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let identity = pem::identity(certificate, key)?;
            builder.with_client_auth_cert(identity.chain, identity.key).map_err(unusable)
        }
    }
}

/// Takes a certificate for any name; without `chain`, from anyone.
#[derive(Debug)]
struct AnyName {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last, when the chain has been found good.
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            decided => decided,
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
