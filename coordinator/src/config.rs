//! The coordinator's settings: defaults, then a YAML file, then the environment and the command
//! line, each over the one before.

mod artifacts;
mod fleet;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cambrian_core::engine::FleetPolicy;
use cambrian_core::time::Span;
use cambrian_proto::convert::MAX_NAME_BYTES;
use cambrian_transport::TlsError;
use cambrian_transport::client::Credentials;
use serde::Deserialize;
use thiserror::Error;

use crate::access::{Bounds, LogBound, OpenLimits, RateLimit};
use crate::actor::ActorSettings;
use crate::artifacts::BucketError;
use crate::listener::Gate;
use crate::store::place::Place;
use crate::store::postgres::Candidate;
pub use artifacts::ArtifactSettings;
pub use fleet::{Quarantine, User};

/// The address when none is given.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7878";

/// All settings of a coordinator.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The store: a file of SQLite, or the URL of a database of PostgreSQL.
    pub database: Place,
    /// How long a lease lasts without a sign of life of its worker, seconds, 1 to 86,400.
    pub lease_seconds: f64,
    /// Encryption; without it, what is said can be read on the way.
    pub tls: Option<Tls>,
    /// Whether every call needs a token.
    pub tokens: bool,
    /// Whether an address that other machines can reach may be served without encryption or
    /// tokens.
    pub insecure: bool,
    /// Who leads, where several coordinators share a database of PostgreSQL.
    pub leadership: Leadership,
    /// Checkpoints and other files beside the store.
    pub artifacts: ArtifactSettings,
    /// What users may claim of the workers, by the name of their tokens.
    pub users: BTreeMap<String, User>,
    /// What holds for everyone else.
    pub other_users: User,
    /// When a worker gets no more work because of its failures.
    pub quarantine: Quarantine,
    /// Whether campaigns with `cache: on` or `read` take results of other users' campaigns as well.
    pub shared_results: bool,
    /// Bounds on messages and queues.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
}

/// The files of encryption, all in PEM form.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The coordinator's certificate, with those that lead to its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of clients' certificates. With it, only clients with one are spoken with.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// How one of several coordinators comes to lead.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Leadership {
    /// How long a leader that falls silent keeps the others from taking over, seconds, 1 to 300.
    pub lease_seconds: f64,
    /// How often it says that it lives, seconds, 0.1 to half of that.
    pub renewal_seconds: f64,
    /// Where workers and users reach this coordinator, `http://HOST:PORT` or `https://HOST:PORT`;
    /// by default the address that it listens on.
    pub endpoint: Option<String>,
}

impl Default for Leadership {
    fn default() -> Self {
        Self { lease_seconds: 3.0, renewal_seconds: 1.0, endpoint: None }
    }
}

/// Bounds on messages, queues, connections and calls.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest message received, MiB, 1 to 1024.
    pub message_mib: usize,
    /// How many messages wait for the engine at most, 1 to 1,000,000; more make senders wait.
    pub mailbox: usize,
    /// How many of them share a transaction at most, 1 to 100,000.
    pub batch: usize,
    /// How many messages to one worker wait at most before it is cut off, 16 to 1,000,000.
    pub outbound_queue: usize,
    /// How long a new connection may take until somebody makes a call on it that is let in, and a
    /// worker's stream until it registers, seconds, 1 to 600.
    pub register_seconds: f64,
    /// How long a shutdown waits for open calls, seconds, 0 to 600.
    pub shutdown_seconds: f64,
    /// How many connections are open at most, 1 to 1,000,000; more are refused.
    pub connections: usize,
    /// How many of them may come from one address, 1 to 1,000,000; without it, all.
    pub connections_per_address: Option<usize>,
    /// How many calls and streams are open on one connection at most, 1 to 100,000.
    pub streams: u32,
    /// How many calls a token may make a second in the long run, 0.1 to 1,000,000; one more for each
    /// of its workers.
    pub calls_per_second: f64,
    /// How many calls it may make at once after a rest, 1 to 1,000,000; one more for each of its
    /// workers.
    pub calls_at_once: u32,
    /// How many streams of workers a token has open at most, how many workers the holder of a token has
    /// names for, and how many may register at once, 1 to 1,000,000.
    pub workers: u32,
    /// How many artifacts of a token are on their way in at most, and as many out, 1 to 10,000; others
    /// wait for their turn.
    pub transfers: u32,
    /// How many streams that tell what changes a token has open at most, 1 to 100,000.
    pub watches: u32,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// A filter such as `info` or `info,cambrian_coordinator=debug`.
    pub filter: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7878)),
            database: Place::File("cambrian.db".into()),
            lease_seconds: 30.0,
            tls: None,
            tokens: false,
            insecure: false,
            leadership: Leadership::default(),
            artifacts: ArtifactSettings::default(),
            users: BTreeMap::new(),
            other_users: User::default(),
            quarantine: Quarantine::default(),
            shared_results: false,
            limits: Limits::default(),
            log: Log::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_mib: 16,
            mailbox: 4096,
            batch: 512,
            outbound_queue: 1024,
            register_seconds: 10.0,
            shutdown_seconds: 5.0,
            connections: 4096,
            connections_per_address: None,
            streams: 128,
            calls_per_second: 50.0,
            calls_at_once: 200,
            workers: 20_000,
            transfers: 64,
            watches: 100,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

/// Settings that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not say what it may say.
    #[error("{}: {source}", .path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_yaml::Error,
    },
    /// A number is out of its range.
    #[error("{key} is {found}, expected {least} to {most}")]
    Range {
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// The smallest allowed value.
        least: f64,
        /// The largest allowed value.
        most: f64,
    },
    /// Rules for a user whom nobody can be.
    #[error(
        "users: `{0}` is the name of no token, which has 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_`, \
         `.` or `@`; what holds for campaigns that no token submitted is in `other_users`"
    )]
    User(String),
    /// Artifacts have no place, or two.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Settings that do not go together.
    #[error("{key} {problem}")]
    Together {
        /// The setting.
        key: &'static str,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// The address can be reached from other machines.
    #[error(
        "{address} can be reached from other machines, and {} not set: set `tls` and `tokens` \
         (docs/security.md shows how), listen on 127.0.0.1, or accept that strangers may read and \
         control this coordinator with --insecure", .missing.words()
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// What it lacks.
        missing: Missing,
    },
    /// Others cannot be told where this coordinator is.
    #[error(
        "leadership.endpoint: {problem}; set it to where workers and users reach this coordinator, \
         such as {scheme}://host.example:{port}"
    )]
    Endpoint {
        /// What is wrong.
        problem: String,
        /// The scheme that it serves.
        scheme: &'static str,
        /// The port that it listens on.
        port: u16,
    },
    /// A TLS file cannot be used.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
}

/// What keeps strangers out and is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Encryption.
    pub tls: bool,
    /// Tokens.
    pub tokens: bool,
}

impl Missing {
    /// With its verb, to be followed by `not set`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match (self.tls, self.tokens) {
            (true, true) => "`tls` and `tokens` are",
            (true, false) => "`tls` is",
            (false, true) => "`tokens` is",
            (false, false) => "nothing is",
        }
    }
}

impl Config {
    /// Reads a file; what it leaves out keeps its default.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read or has unknown keys or wrong types.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        // An empty document is no mapping, but means that everything keeps its default.
        let parsed: Result<Option<Self>, _> = serde_yaml::from_str(&text);
        parsed
            .map(Option::unwrap_or_default)
            .map_err(|source| ConfigError::Yaml { path: path.to_owned(), source })
    }

    /// Checks every range, and that the address is as private as it must be.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let Limits { message_mib, mailbox, batch, outbound_queue, .. } = self.limits;
        in_range("lease_seconds", self.lease_seconds, 1.0, 86_400.0)?;
        let Leadership { lease_seconds, renewal_seconds, .. } = self.leadership;
        in_range("leadership.lease_seconds", lease_seconds, 1.0, 300.0)?;
        in_range("leadership.renewal_seconds", renewal_seconds, 0.1, lease_seconds / 2.0)?;
        in_range("limits.message_mib", message_mib as f64, 1.0, 1024.0)?;
        in_range("limits.mailbox", mailbox as f64, 1.0, 1e6)?;
        in_range("limits.batch", batch as f64, 1.0, 1e5)?;
        in_range("limits.outbound_queue", outbound_queue as f64, 16.0, 1e6)?;
        in_range("limits.register_seconds", self.limits.register_seconds, 1.0, 600.0)?;
        in_range("limits.shutdown_seconds", self.limits.shutdown_seconds, 0.0, 600.0)?;
        let Limits { connections, streams, calls_per_second, calls_at_once, .. } = self.limits;
        in_range("limits.connections", connections as f64, 1.0, 1e6)?;
        let of_one = self.limits.connections_per_address.unwrap_or(1);
        in_range("limits.connections_per_address", of_one as f64, 1.0, 1e6)?;
        in_range("limits.streams", f64::from(streams), 1.0, 1e5)?;
        in_range("limits.calls_per_second", calls_per_second, 0.1, 1e6)?;
        in_range("limits.calls_at_once", f64::from(calls_at_once), 1.0, 1e6)?;
        let Limits { workers, transfers, watches, .. } = self.limits;
        in_range("limits.workers", f64::from(workers), 1.0, 1e6)?;
        in_range("limits.transfers", f64::from(transfers), 1.0, 1e4)?;
        in_range("limits.watches", f64::from(watches), 1.0, 1e5)?;
        let ArtifactSettings { max_mib, sweep_seconds, keep_seconds, .. } = self.artifacts;
        in_range("artifacts.max_mib", max_mib as f64, 1.0, f64::from(1 << 20))?;
        in_range("artifacts.sweep_seconds", sweep_seconds, 1.0, 86_400.0)?;
        in_range("artifacts.keep_seconds", keep_seconds, 0.0, 365.0 * 86_400.0)?;
        self.artifacts.check_place()?;
        fleet::check(&self.users, &self.other_users, &self.quarantine)?;
        self.check_address(self.listen)
    }

    /// Refuses an address that other machines can reach, unless that is accepted.
    ///
    /// # Errors
    /// [`ConfigError::Exposed`].
    pub fn check_address(&self, address: SocketAddr) -> Result<(), ConfigError> {
        match self.exposure(address) {
            Some(missing) if !self.insecure => Err(ConfigError::Exposed { address, missing }),
            _ => Ok(()),
        }
    }

    /// What an address that other machines can reach lacks; `None` if it lacks nothing.
    #[must_use]
    pub fn exposure(&self, address: SocketAddr) -> Option<Missing> {
        let missing = Missing { tls: self.tls.is_none(), tokens: !self.tokens };
        (!address.ip().is_loopback() && (missing.tls || missing.tokens)).then_some(missing)
    }

    /// The settings of encryption, from the files; `None` without it.
    ///
    /// # Errors
    /// [`ConfigError::Tls`].
    pub(crate) fn encryption(&self) -> Result<Option<Arc<rustls::ServerConfig>>, ConfigError> {
        let Some(Tls { certificate, key, client_ca }) = &self.tls else { return Ok(None) };
        let settings = cambrian_transport::server::settings(certificate, key, client_ca.as_deref());
        Ok(Some(settings?))
    }

    /// This process as a candidate for leading, if it listens on `address`.
    ///
    /// # Errors
    /// [`ConfigError::Endpoint`].
    pub(crate) fn candidate(&self, address: SocketAddr) -> Result<Candidate, ConfigError> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let port = address.port();
        let fault = |problem: String| ConfigError::Endpoint { problem, scheme, port };
        let endpoint = match &self.leadership.endpoint {
            Some(endpoint) if !endpoint.starts_with(&format!("{scheme}://")) => {
                return Err(fault(format!("`{endpoint}` does not begin with {scheme}://")));
            }
            Some(endpoint) => {
                Credentials::check_form(endpoint)
                    .map_err(|error| fault(format!("`{endpoint}` is no endpoint: {error}")))?;
                endpoint.clone()
            }
            None if address.ip().is_unspecified() => {
                return Err(fault(format!("nobody can dial {address}")));
            }
            None => format!("{scheme}://{address}"),
        };
        Ok(Candidate {
            holder: uuid::Uuid::new_v4().to_string(),
            endpoint,
            length: Duration::from_secs_f64(self.leadership.lease_seconds),
            renewal: Duration::from_secs_f64(self.leadership.renewal_seconds),
        })
    }

    /// The actor's part of the settings.
    #[must_use]
    pub fn actor(&self) -> ActorSettings {
        ActorSettings {
            lease_length: Span((self.lease_seconds * 1e6) as u64),
            policy: Arc::new(self.policy()),
            mailbox: self.limits.mailbox,
            batch: self.limits.batch,
            ..ActorSettings::default()
        }
    }

    fn policy(&self) -> FleetPolicy {
        fleet::policy(&self.users, &self.other_users, &self.quarantine, self.shared_results)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let Limits { calls_per_second, calls_at_once, workers, transfers, watches, .. } =
            self.limits;
        let calls = RateLimit { per_second: calls_per_second, at_once: calls_at_once };
        Bounds { calls, open: OpenLimits { workers, transfers, watches } }
    }

    /// What connections have to meet.
    pub(crate) fn gate(&self, logged: LogBound) -> Result<Gate, ConfigError> {
        let Limits { connections, connections_per_address, .. } = self.limits;
        Ok(Gate {
            tls: self.encryption()?,
            connections,
            of_one_address: connections_per_address,
            first_call: self.register_timeout(),
            logged,
        })
    }

    pub(crate) fn message_bytes(&self) -> usize {
        self.limits.message_mib << 20
    }

    pub(crate) fn register_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.limits.register_seconds)
    }

    pub(crate) fn shutdown_grace(&self) -> Duration {
        Duration::from_secs_f64(self.limits.shutdown_seconds)
    }
}

fn in_range(key: &'static str, found: f64, least: f64, most: f64) -> Result<(), ConfigError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(ConfigError::Range { key, found: found.to_string(), least, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let config = Config::read(file.path())?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn the_example_states_every_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/coordinator.yaml");
        let config = Config::read(&path).unwrap();
        assert_eq!(config, Config::default());
        config.check().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        for key in [
            "listen",
            "database",
            "lease_seconds",
            "leadership",
            "renewal_seconds",
            "endpoint",
            "insecure",
            "directory",
            "url",
            "region",
            "max_mib",
            "sweep_seconds",
            "keep_seconds",
            "message_mib",
            "mailbox",
            "batch",
            "outbound_queue",
            "register_seconds",
            "shutdown_seconds",
            "tls",
            "certificate",
            "key",
            "client_ca",
            "tokens",
            "connections",
            "connections_per_address",
            "streams",
            "calls_per_second",
            "calls_at_once",
            "workers",
            "transfers",
            "watches",
            "users",
            "other_users",
            "weight",
            "max_priority",
            "evaluations",
            "slot_hours",
            "energy_kwh",
            "quarantine",
            "failures",
            "of_last",
            "release_minutes",
            "shared_results",
            "format",
            "filter",
        ] {
            assert!(text.contains(&format!("{key}:")), "{key} is missing from the example");
        }
        assert_eq!(config.listen.to_string(), DEFAULT_LISTEN);
    }

    #[test]
    fn the_example_of_a_bucket_can_be_used() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/coordinator.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("#="));
        let lines: Vec<&str> = lines.collect();
        let config = read(&format!("artifacts:\n{}\n", lines.join("\n"))).unwrap();
        let ArtifactSettings { url, endpoint, region, .. } = &config.artifacts;
        assert!(url.is_some() && endpoint.is_some() && region.is_some());
        assert!(config.artifacts().is_ok());
    }

    #[test]
    fn an_empty_file_keeps_every_default() {
        assert_eq!(read("").unwrap(), Config::default());
        assert_eq!(read("lease_seconds: 5\n").unwrap().actor().lease_length, Span::from_secs(5));
    }

    #[test]
    fn bad_settings_are_refused_by_name() {
        for (text, expected) in [
            ("lisen: 127.0.0.1:1", "lisen"),
            ("limits: {messages: 3}", "messages"),
            ("listen: localhost", "listen"),
            ("lease_seconds: soon", "lease_seconds"),
            ("lease_seconds: 0", "lease_seconds is 0"),
            ("lease_seconds: .nan", "lease_seconds is NaN"),
            ("leadership: {lease_seconds: 0.5}", "leadership.lease_seconds is 0.5"),
            ("leadership: {renewal_seconds: 2}", "leadership.renewal_seconds is 2"),
            ("leadership: {length: 2}", "length"),
            ("limits: {message_mib: 0}", "limits.message_mib"),
            ("limits: {batch: 1000000}", "limits.batch"),
            ("limits: {connections: 0}", "limits.connections"),
            ("limits: {connections_per_address: 0}", "limits.connections_per_address"),
            ("limits: {streams: 0}", "limits.streams"),
            ("artifacts: {max_mib: 0}", "artifacts.max_mib"),
            ("artifacts: {sweep_seconds: 0}", "artifacts.sweep_seconds"),
            ("artifacts: {keep_seconds: -1}", "artifacts.keep_seconds"),
            ("artifacts: {url: s3}", "artifacts.url"),
            ("artifacts: {url: 's3://states', directory: d}", "artifacts.directory"),
            ("artifacts: {endpoint: 'http://localhost:9000'}", "artifacts.endpoint"),
            ("artifacts: {url: 's3://states', endpoint: localhost}", "artifacts.endpoint"),
            ("artifacts: {region: eu-central-1}", "artifacts.region"),
            ("limits: {calls_per_second: .inf}", "limits.calls_per_second"),
            ("limits: {calls_at_once: 0}", "limits.calls_at_once"),
            ("limits: {workers: 0}", "limits.workers"),
            ("limits: {transfers: 0}", "limits.transfers"),
            ("limits: {watches: 0}", "limits.watches"),
            ("users: {ada: {weight: 0}}", "users: weight"),
            ("users: {'': {weight: 2}}", "users: `` is the name of no token"),
            ("users: {\"a\\nb\": {weight: 2}}", "`other_users`"),
            ("users: {ada: {wieght: 1}}", "wieght"),
            ("other_users: {slot_hours: -1}", "slot_hours"),
            ("quarantine: {failures: 6}", "quarantine.failures"),
            ("quarantine: {of_last: 65}", "quarantine.of_last"),
            ("tls: {certificate: a}", "key"),
            ("log: {format: xml}", "xml"),
            ("listen: [", "line"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Config::read(Path::new("absent.yaml")).unwrap_err().to_string().contains("absent"));
    }

    #[test]
    fn users_and_quarantine_become_rules() {
        let text = "users: {ada: {weight: 3, max_priority: 5, slot_hours: 2, energy_kwh: 0.5}}\n\
                    other_users: {evaluations: 10}\n\
                    quarantine: {failures: 3, of_last: 10, release_minutes: 30}\nshared_results: true";
        let policy = read(text).unwrap().actor().policy;
        assert!(policy.shared_results && !read("").unwrap().actor().policy.shared_results);
        let ada = policy.of_user("ada");
        assert_eq!((ada.weight, ada.max_priority), (3, Some(5)));
        assert_eq!(ada.budget.slot_time, Some(Span::from_secs(7_200)));
        assert_eq!(ada.budget.energy.unwrap().as_joules(), 1.8e6);
        assert_eq!(policy.of_user("bob").budget.evaluations, Some(10));
        let rule = policy.quarantine;
        assert_eq!((rule.failures, rule.of_last), (3, 10));
        assert_eq!(rule.release_after, Some(Span::from_secs(1_800)));
    }

    #[test]
    fn other_machines_are_let_in_on_demand_only() {
        let error = read("listen: 0.0.0.0:7878").unwrap_err();
        assert!(error.to_string().contains("`tls` and `tokens` are not set"), "{error}");
        assert!(error.to_string().contains("--insecure"), "{error}");
        let error = read("{listen: '0.0.0.0:7878', tokens: true}").unwrap_err();
        assert!(error.to_string().contains("`tls` is not set"), "{error}");
        let tls = "tls: {certificate: a, key: b}";
        let error = read(&format!("{{listen: '0.0.0.0:7878', {tls}}}")).unwrap_err();
        assert!(error.to_string().contains("`tokens` is not set"), "{error}");
        assert!(read(&format!("{{listen: '0.0.0.0:7878', tokens: true, {tls}}}")).is_ok());
        assert!(read("{listen: '0.0.0.0:7878', insecure: true}").is_ok());
        assert!(read("listen: '[::1]:7878'").is_ok());
    }

    #[test]
    fn a_coordinator_says_where_it_is_reached() {
        let endpoint = |text: &str, address: &str| {
            let candidate = read(text).unwrap().candidate(address.parse().unwrap());
            candidate.map(|candidate| candidate.endpoint).map_err(|error| error.to_string())
        };
        assert_eq!(endpoint("", "127.0.0.1:70").unwrap(), "http://127.0.0.1:70");
        let named = "leadership: {endpoint: 'http://a.example:1'}";
        assert_eq!(endpoint(named, "0.0.0.0:70").unwrap(), "http://a.example:1");
        let error = endpoint("", "0.0.0.0:70").unwrap_err();
        assert!(error.contains("nobody can dial") && error.contains("http://host.example:70"));
        for bad in ["https://a:1", "a:1", "http://a"] {
            let text = format!("leadership: {{endpoint: '{bad}'}}");
            let error = endpoint(&text, "127.0.0.1:70").unwrap_err();
            assert!(error.contains(bad), "{error}");
        }
    }
}
