//! A database's URL, taken apart: what the driver needs, how the connection is encrypted, and where
//! the password comes from.
//!
//! `sslmode`, `sslrootcert`, `sslcert`, `sslkey` (as libpq has them) and `password_file` are read
//! here; the rest is the driver's. No error repeats the URL's password.
//!
//! Must not connect, nor resolve names: `route` does.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cambrian_transport::database::{Trust, settings};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::tls::Encryption;
use crate::store::StoreError;
use crate::store::place::{Place, Url};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sent bytes may stay without an acknowledgement before the connection counts as broken.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
/// The longest password file that is read, bytes.
const MAX_PASSWORD_FILE: u64 = 4096;

/// Whether a connection is going to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    Read,
}

/// Where and how to connect.
pub(super) struct Target {
    config: Config,
    pub(super) encryption: Option<Encryption>,
}

#[derive(Default)]
struct Own {
    mode: Option<String>,
    root: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    password_file: Option<PathBuf>,
}

impl Target {
    /// Reads a URL; a password that it lacks comes from its `password_file`, or from `PGPASSWORD`.
    pub(super) fn parse(url: &Url, purpose: Purpose) -> Result<Self, StoreError> {
        let fault =
            |problem: String| StoreError::Url { place: Place::Postgres(url.clone()), problem };
        let (text, own) = split(url.reveal()).map_err(fault)?;
        let mut config: Config = text.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            fault(cause.unwrap_or_else(|| "it is no URL of a database".into()))
        })?;
        if config.get_hosts().is_empty() {
            return Err(fault("it names no host; write postgresql://USER@HOST/DATABASE".into()));
        }
        let (hosts, ports) = (config.get_hosts().len(), config.get_ports().len());
        if ports > 1 && ports != hosts {
            return Err(fault(format!(
                "it names {hosts} hosts and {ports} ports; write one for each"
            )));
        }
        let addresses = config.get_hostaddrs().len();
        if addresses > 0 && addresses != hosts {
            return Err(fault(format!(
                "it names {hosts} hosts and {addresses} addresses (hostaddr); write one for each"
            )));
        }
        if let Some(path) = &own.password_file {
            config.password(read_password(path).map_err(fault)?);
        } else if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        let encryption = own.encryption(&config, &fault)?;
        config.ssl_mode(if encryption.is_some() { SslMode::Require } else { SslMode::Disable });
        config.application_name("cambrian");
        config.keepalives_idle(KEEPALIVE_IDLE).tcp_user_timeout(UNACKNOWLEDGED);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if purpose == Purpose::Write {
            // Of several hosts, the primary.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(Self { config, encryption })
    }

    /// How long a connection may take until it can be used: for each host what its socket may take, and
    /// as long again for all that is said then.
    pub(super) fn patience(&self) -> Duration {
        let hosts = u32::try_from(self.hosts().len()).unwrap_or(u32::MAX);
        self.timeout().saturating_mul(2).saturating_mul(hosts)
    }

    fn timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT)
    }

    /// The hosts, of which each may be the database.
    pub(super) fn hosts(&self) -> &[Host] {
        self.config.get_hosts()
    }

    /// The address that the URL gives for a host.
    pub(super) fn address(&self, host: usize) -> Option<IpAddr> {
        self.config.get_hostaddrs().get(host).copied()
    }

    /// The settings for one host alone, at this address if it has one, whose socket may take so long.
    pub(super) fn of_one(
        &self,
        host: usize,
        address: Option<IpAddr>,
        patience: Duration,
    ) -> Config {
        let all = &self.config;
        let mut one = Config::new();
        match &self.hosts()[host] {
            Host::Tcp(name) => one.host(name),
            Host::Unix(path) => one.host_path(path),
        };
        address.map(|address| one.hostaddr(address));
        let ports = all.get_ports();
        ports.get(host).or(ports.first()).map(|port| one.port(*port));
        all.get_user().map(|user| one.user(user));
        all.get_password().map(|password| one.password(password));
        all.get_dbname().map(|name| one.dbname(name));
        all.get_options().map(|options| one.options(options));
        all.get_application_name().map(|name| one.application_name(name));
        all.get_tcp_user_timeout().map(|timeout| one.tcp_user_timeout(*timeout));
        all.get_keepalives_interval().map(|interval| one.keepalives_interval(interval));
        all.get_keepalives_retries().map(|retries| one.keepalives_retries(retries));
        one.ssl_mode(all.get_ssl_mode())
            .ssl_negotiation(all.get_ssl_negotiation())
            .connect_timeout(self.timeout().min(patience))
            .keepalives(all.get_keepalives())
            .keepalives_idle(all.get_keepalives_idle())
            .target_session_attrs(all.get_target_session_attrs())
            .channel_binding(all.get_channel_binding())
            .load_balance_hosts(all.get_load_balance_hosts());
        one
    }
}

impl Own {
    fn encryption(
        &self,
        config: &Config,
        fault: &impl Fn(String) -> StoreError,
    ) -> Result<Option<Encryption>, StoreError> {
        // Where an address is given, it is what is connected to, whatever the host is called.
        let near = config.get_hosts().iter().all(is_this_machine)
            && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
        let default = if near { "disable" } else { "verify-full" };
        let trust = match self.mode.as_deref().unwrap_or(default) {
            "disable" => return Ok(None),
            "require" => Trust::Anyone,
            "verify-ca" => Trust::Authority(self.root(fault)?),
            "verify-full" => Trust::AuthorityAndName(self.root(fault)?),
            other => {
                return Err(fault(format!(
                    "sslmode is `{other}`; write disable, require, verify-ca or verify-full"
                )));
            }
        };
        let settings = settings(trust, self.certificate.as_deref(), self.key.as_deref());
        let settings = settings.map_err(|error| fault(error.to_string()))?;
        Ok(Some(Encryption(Arc::new(settings))))
    }

    fn root(&self, fault: &impl Fn(String) -> StoreError) -> Result<&Path, StoreError> {
        self.root.as_deref().ok_or_else(|| {
            fault(
                "its certificate could not be verified: add sslrootcert=FILE with the authority's \
                 certificate (for a public one the system's bundle, such as \
                 /etc/ssl/certs/ca-certificates.crt), or choose another sslmode"
                    .into(),
            )
        })
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

/// The URL without our own parameters, and those.
fn split(url: &str) -> Result<(String, Own), String> {
    let mut own = Own::default();
    let Some((before, query)) = url.split_once('?') else { return Ok((url.to_owned(), own)) };
    let mut rest = Vec::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match key {
            "sslmode" => {
                own.mode = Some(decode(value)?);
                continue;
            }
            "sslrootcert" => &mut own.root,
            "sslcert" => &mut own.certificate,
            "sslkey" => &mut own.key,
            "password_file" => &mut own.password_file,
            _ => {
                rest.push(pair);
                continue;
            }
        };
        *place = Some(decode(value)?.into());
    }
    let joined = rest.join("&");
    let separator = if joined.is_empty() { "" } else { "?" };
    Ok((format!("{before}{separator}{joined}"), own))
}

/// A value with its `%XX` turned into bytes.
fn decode(value: &str) -> Result<String, String> {
    let malformed = || "it has a malformed `%`; two hexadecimal digits follow one".to_owned();
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()];
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (Some(high), Some(low)) = (digit(digits[0]), digit(digits[1])) else {
            return Err(malformed());
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

/// The first line of a file.
fn read_password(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let fail = |error: std::io::Error| format!("the password file {}: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(MAX_PASSWORD_FILE).read_to_string(&mut text).map_err(fail)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("the password file {} is empty", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, String> {
        let Place::Postgres(url) = url.parse().unwrap() else { panic!("{url}") };
        Target::parse(&url, Purpose::Write).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_far_is_encrypted_and_verified_unless_told_otherwise() {
        for near in [
            "postgresql://u@127.0.0.1/x",
            "postgresql://u@localhost:5433/x",
            "postgresql://u@%2Frun%2Fpostgresql/x",
            "postgresql://u@/x?host=/run/postgresql",
            "postgresql://u@localhost/x?hostaddr=127.0.0.1",
            "postgresql://u@db/x?sslmode=disable",
        ] {
            assert!(target(near).unwrap().encryption.is_none(), "{near}");
        }
        assert!(target("postgresql://u@db/x?sslmode=require").unwrap().encryption.is_some());
        for far in [
            "postgresql://u@db/x",
            "postgresql://u@localhost/x?hostaddr=10.0.0.1",
            "postgresql://u@localhost,localhost/x?hostaddr=127.0.0.1,10.0.0.1",
            "postgresql://u@db/x?hostaddr=127.0.0.1",
        ] {
            let refused = target(far).err().unwrap();
            assert!(refused.contains("sslrootcert=FILE"), "{far}: {refused}");
        }
        let refused = target("postgresql://u@db/x?sslmode=prefer").err().unwrap();
        assert!(refused.contains("`prefer`"), "{refused}");
        let refused = target("postgresql://u@db/x?sslrootcert=%2Fabsent.pem").err().unwrap();
        assert!(refused.contains("/absent.pem"), "{refused}");
    }

    #[test]
    fn faults_name_the_place_and_never_the_password() {
        for (url, expected) in [
            ("postgresql://u:hush@db:port/x?sslmode=disable", "port"),
            ("postgresql://u:hush@db/x?sslmode=disable&colour=red", "colour"),
            ("postgresql://u:hush@/x", "no host"),
            ("postgresql://u:hush@db/x?sslmode=%zz", "malformed"),
            ("postgresql://u:hush@db/x?sslmode=disable&password_file=/absent", "/absent"),
        ] {
            let error = target(url).err().unwrap();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn each_host_gets_every_setting() {
        let settings = "connect_timeout=3&keepalives_interval=2&keepalives_retries=4&keepalives_idle=9\
                        &tcp_user_timeout=7&options=-c%20a%3Db&application_name=x&channel_binding=disable\
                        &load_balance_hosts=random&sslnegotiation=direct&keepalives=0";
        let url = |hosts| format!("postgresql://u:p@{hosts}/x?{settings}&sslmode=disable");
        let patience = Duration::from_secs(60);
        let both = target(&url("a:1,b:2")).unwrap();
        for (host, alone) in ["a:1", "b:2"].into_iter().enumerate() {
            let alone = target(&url(alone)).unwrap().config;
            assert_eq!(both.of_one(host, None, patience), alone);
        }
        let short = both.of_one(0, None, Duration::from_secs(1));
        assert_eq!(short.get_connect_timeout(), Some(&Duration::from_secs(1)));
        for (hosts, what) in [("a:1,b:2,c/x?hostaddr=::1", "addresses"), ("a/x?port=1,2", "ports")]
        {
            let refused = target(&format!("postgresql://u@{hosts}")).err().unwrap();
            assert!(refused.contains(what), "{refused}");
        }
    }

    #[test]
    fn a_password_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush hush\nsecond line\n").unwrap();
        let url = format!("postgresql://u@127.0.0.1/x?password_file={}", file.path().display());
        let target = target(&url).unwrap();
        assert_eq!(target.config.get_password(), Some(&b"hush hush"[..]));
    }
}
