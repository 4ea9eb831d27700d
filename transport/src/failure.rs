//! A failed connection in words: what the other side's certificate lacks, and what to do.
//!
//! Must not know gRPC, nor how a connection is made.

use std::error::Error;
use std::fmt::{Display, Formatter};
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

/// What a failed connection is about, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What the other side does or lacks.
    pub what: String,
    /// What to do, with the option of a command or a worker that it takes.
    pub way_out: String,
}

impl Display for Cause {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.way_out)
    }
}

impl Cause {
    pub(crate) fn new(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { what: what.into(), way_out: way_out.into() }
    }
}

/// What TLS has to say about a failure, with what to do; `None` if it is about something else.
#[must_use]
pub fn of_tls(error: &(dyn Error + 'static)) -> Option<String> {
    cause(error).map(|cause| cause.to_string())
}

/// The same, both apart.
#[must_use]
pub fn cause(error: &(dyn Error + 'static)) -> Option<Cause> {
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

fn words(error: &rustls::Error) -> Cause {
    match error {
        rustls::Error::InvalidCertificate(fault) => of_certificate(fault),
        rustls::Error::AlertReceived(alert) => of_alert(*alert),
        rustls::Error::NoCertificatesPresented => {
            Cause::new("it shows no certificate", "check the port: is it a coordinator?")
        }
        rustls::Error::InvalidMessage(_) => Cause::new(
            "what it sends is no TLS",
            "write http:// if it serves without TLS, or check the port",
        ),
        _ => Cause::new(format!("TLS failed: {error}"), "check the port: is it a coordinator?"),
    }
}

fn of_alert(alert: AlertDescription) -> Cause {
    match alert {
        AlertDescription::CertificateRequired => Cause::new(
            "it wants a client certificate, and none was shown",
            "name yours with `--tls-certificate` and `--tls-key` (`tls.certificate` and `tls.key` in \
             a worker's settings)",
        ),
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::DecryptError => Cause::new(
            "it does not accept this client's certificate",
            "name one that an authority of its `client_ca` has signed with `--tls-certificate` and \
             `--tls-key`",
        ),
        AlertDescription::CertificateExpired => Cause::new(
            "this client's certificate has expired",
            "renew the file that `--tls-certificate` names",
        ),
        AlertDescription::ProtocolVersion => {
            Cause::new("it speaks an older TLS than 1.3", "check the port: is it a coordinator?")
        }
        other => Cause::new(format!("it ended the handshake ({other:?})"), "its log says why"),
    }
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

fn of_certificate(fault: &CertificateError) -> Cause {
    let other_name = "dial that name, or give it with `--tls-server-name` (`tls.server_name` in a \
                      worker's settings)";
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Cause::new(
            "its certificate is signed by no authority that `--tls-ca` names",
            "name the file of its authority (`tls.ca` in a worker's settings), and check that this is \
             the right coordinator",
        ),
        CertificateError::NotValidForName => {
            Cause::new("its certificate is for another name", other_name)
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> = presented.iter().map(|name| plain_name(name)).collect();
            Cause::new(format!("its certificate is for {}", names.join(" and ")), other_name)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Cause::new("its certificate has expired", "renew it at the coordinator")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Cause::new("its certificate is not valid yet", "check both machines' clocks")
        }
        other => Cause::new(
            format!("its certificate cannot be accepted: {other}"),
            "make the coordinator another one",
        ),
    }
}

/// A name of a certificate without its kind: the library writes `DnsName("localhost")`.
fn plain_name(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_certificates_are_shown_as_they_are_dialled() {
        for (written, shown) in [
            ("DnsName(\"localhost\")", "localhost"),
            ("IpAddress(127.0.0.1)", "127.0.0.1"),
            ("host.example", "host.example"),
        ] {
            assert_eq!(plain_name(written), shown);
        }
    }
}
