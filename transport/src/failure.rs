//! A failed connection in words: what the other side's certificate lacks, and what to do.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// The innermost cause of an error, which is the one that says something.
#[must_use]
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What TLS has to say about a failure, with what to do; `None` if it is about something else.
#[must_use]
pub fn of_tls(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(words(found));
        }
        // An input error hides what it wraps from the chain of sources.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(words(found));
        }
        cause = error.source();
    }
    None
}

fn words(error: &rustls::Error) -> String {
    let what_to_do = match error {
        rustls::Error::InvalidCertificate(fault) => return of_certificate(fault),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "it wants a client certificate; set `certificate` and `key`"
            }
            AlertDescription::UnknownCA | AlertDescription::BadCertificate => {
                "it does not accept this client's certificate; use one that its `client_ca` signed"
            }
            AlertDescription::CertificateExpired => {
                "this client's certificate has expired; renew it"
            }
            AlertDescription::ProtocolVersion => "it speaks an older TLS than 1.3",
            _ => "it ended the handshake; its log says why",
        },
        rustls::Error::NoCertificatesPresented => "no certificate was shown",
        rustls::Error::InvalidMessage(_) => {
            "what it sent is no TLS: it may serve plain http, or be something else"
        }
        _ => return format!("TLS failed: {error}"),
    };
    format!("{what_to_do} ({error})")
}

/// A handshake that failed on the server's side, in words for its log.
#[must_use]
pub fn of_client(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        None => format!("the TLS handshake broke off ({error})"),
        Some(rustls::Error::NoCertificatesPresented) => {
            "it shows no client certificate, and `client_ca` demands one".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "its client certificate is signed by no authority of `client_ca`".to_owned(),
        Some(rustls::Error::InvalidCertificate(fault)) => {
            format!("its client certificate cannot be accepted: {fault}")
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "it speaks no TLS; clients have to use https://".to_owned()
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("it does not accept this coordinator's certificate ({alert:?})")
        }
        Some(other) => format!("the TLS handshake failed: {other}"),
    }
}

fn of_certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is signed by no authority that `ca` names; check `ca`, and that this \
             is the right coordinator"
                .to_owned()
        }
        CertificateError::NotValidForName => {
            "its certificate is for another name; dial that name or set `server_name`".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "its certificate is for {}; dial that name or set `server_name`",
            presented.join(", ")
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; renew it".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; check both machines' clocks".to_owned()
        }
        other => format!("its certificate cannot be accepted: {other}"),
    }
}
