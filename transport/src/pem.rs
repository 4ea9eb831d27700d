//! Certificates and keys in PEM files, checked before anything is built from them.
//!
//! Must not know who shows a certificate or who demands one.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// The longest certificate or key file that is read, bytes: the bundle of a whole system fits.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A file of the TLS settings that cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not hold what it should.
    #[error(
        "{} holds no {wanted} in PEM form ({reason}); it should have a block that begins with \
         `-----BEGIN {block}-----`", .path.display()
    )]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// The name of its block.
        block: &'static str,
        /// What was found instead.
        reason: String,
    },
    /// A certificate is no X.509 certificate.
    #[error("{}: its certificate cannot be read: {reason}", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key is of a kind that cannot be used.
    #[error(
        "{}: this key cannot be used ({reason}); use an ECDSA (P-256, P-384), Ed25519 or RSA key",
        .path.display()
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Key and certificate are no pair.
    #[error(
        "the key {} does not belong to the certificate {}; name the two files that were made \
         together", .key.display(), .certificate.display()
    )]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate's time is over.
    #[error("the certificate {} expired on {end}; renew it", .path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// Its last instant.
        end: String,
    },
    /// The certificate's time has not begun.
    #[error(
        "the certificate {} is not valid before {start}; check this machine's clock",
        .path.display()
    )]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// Its first instant.
        start: String,
    },
    /// One of two files that belong together is missing.
    #[error("{given} is set and {missing} is not; a certificate and its key belong together")]
    Half {
        /// The setting that is there.
        given: &'static str,
        /// The setting that is not.
        missing: &'static str,
    },
    /// The files are sound and cannot be used together.
    #[error("the TLS settings cannot be used: {0}")]
    Unusable(String),
}

/// A certificate with those that lead to its authority, and its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    /// Both files as they are.
    pub(crate) text: (Vec<u8>, Vec<u8>),
}

/// Reads a file of bounded length.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read;
    let fail = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let reason = format!("it is longer than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(fail(std::io::Error::other(reason)));
    }
    Ok(bytes)
}

fn parse_certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = |reason: String| TlsError::NotPem {
        path: path.to_owned(),
        wanted: "certificate",
        block: "CERTIFICATE",
        reason,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| not_pem(error.to_string()))?;
    if found.is_empty() {
        return Err(not_pem("there is no such block".to_owned()));
    }
    Ok(found)
}

fn x509<'a>(
    path: &Path,
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, TlsError> {
    let parsed = X509Certificate::from_der(certificate);
    parsed
        .map(|(_, parsed)| parsed)
        .map_err(|error| TlsError::Certificate { path: path.to_owned(), reason: error.to_string() })
}

/// Refuses a certificate whose time is over or has not begun.
fn check_time(
    path: &Path,
    certificate: &CertificateDer<'_>,
    now: SystemTime,
) -> Result<(), TlsError> {
    let parsed = x509(path, certificate)?;
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = ASN1Time::from_timestamp(i64::try_from(seconds).unwrap_or(i64::MAX));
    let now = now.map_err(|error| TlsError::Unusable(error.to_string()))?;
    let validity = parsed.validity();
    let path = path.to_owned();
    if validity.not_after < now {
        return Err(TlsError::Expired { path, end: validity.not_after.to_string() });
    }
    if validity.not_before > now {
        return Err(TlsError::NotYetValid { path, start: validity.not_before.to_string() });
    }
    Ok(())
}

/// When the first certificate of a file ends.
pub(crate) fn end(path: &Path) -> Result<SystemTime, TlsError> {
    let certificates = parse_certificates(path, &read(path)?)?;
    let end = x509(path, &certificates[0])?.validity().not_after.timestamp();
    Ok(UNIX_EPOCH + Duration::from_secs(u64::try_from(end).unwrap_or_default()))
}

/// The certificates of authorities in a file, at least one of which is valid now. A bundle may hold
/// expired ones beside it.
pub(crate) fn authorities(
    path: &Path,
) -> Result<(Vec<CertificateDer<'static>>, Vec<u8>), TlsError> {
    let bytes = read(path)?;
    let found = parse_certificates(path, &bytes)?;
    let now = SystemTime::now();
    let mut first_fault = None;
    for certificate in &found {
        match check_time(path, certificate, now) {
            Ok(()) => return Ok((found, bytes)),
            Err(fault) => first_fault = first_fault.or(Some(fault)),
        }
    }
    Err(first_fault.unwrap_or_else(|| TlsError::Unusable("no authority is named".to_owned())))
}

/// The same as a set to verify with.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let (certificates, _) = authorities(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| TlsError::Certificate {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

/// A certificate and its key, which belong together and are valid now.
pub(crate) fn identity(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
    let certificate_bytes = read(certificate)?;
    let chain = parse_certificates(certificate, &certificate_bytes)?;
    let key_bytes = read(key)?;
    let parsed = PrivateKeyDer::from_pem_slice(&key_bytes).map_err(|error| TlsError::NotPem {
        path: key.to_owned(),
        wanted: "private key",
        block: "PRIVATE KEY",
        reason: error.to_string(),
    })?;
    check_time(certificate, &chain[0], SystemTime::now())?;
    let signing = any_supported_type(&parsed)
        .map_err(|error| TlsError::Key { path: key.to_owned(), reason: error.to_string() })?;
    match CertifiedKey::new(chain.clone(), signing).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            let (key, certificate) = (key.to_owned(), certificate.to_owned());
            return Err(TlsError::Mismatch { key, certificate });
        }
        Err(error) => {
            let path = certificate.to_owned();
            return Err(TlsError::Certificate { path, reason: error.to_string() });
        }
    }
    Ok(Identity { chain, key: parsed, text: (certificate_bytes, key_bytes) })
}

/// A certificate and its key, if both are set; a fault if one is.
pub(crate) fn pair<'p>(
    certificate: Option<&'p Path>,
    key: Option<&'p Path>,
) -> Result<Option<(&'p Path, &'p Path)>, TlsError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(TlsError::Half { given: "certificate", missing: "key" }),
        (None, Some(_)) => Err(TlsError::Half { given: "key", missing: "certificate" }),
    }
}
