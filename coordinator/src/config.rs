//! The coordinator's settings: defaults, then a YAML file, then the environment and the command
//! line, each over the one before.
//!
//! The environment and the command line are read by `main`, which lays them over the rest. Each
//! part of the coordinator gets its own settings from here; must not know what it does with them.

mod artifacts;
mod fault;
mod fleet;
mod written;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cambrian_core::engine::FleetPolicy;
use cambrian_core::time::{Span, Timestamp};
use cambrian_transport::client::Credentials;
use serde::Deserialize;

use crate::access::{Bounds, LogBound, OpenLimits, RateLimit};
use crate::actor::ActorSettings;
use crate::clock::stamp;
use crate::listener::Gate;
use crate::store::place::Place;
use crate::store::postgres::Candidate;
pub use artifacts::ArtifactSettings;
pub use fault::{ConfigError, ConfigFaults, Missing, Setting};
pub use fleet::{Quarantine, User};
pub use written::Written;

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
    /// The largest message of a worker, MiB, 1 to 1024. The text of a campaign has 2 MiB at most, other calls
    /// 64 KiB.
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
    /// How long a connection stays on which no call or stream is open, seconds, 1 to 86,400.
    pub idle_seconds: f64,
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
    /// How many other calls of a token are open at most, 1 to 100,000; others wait for their turn.
    pub questions: u32,
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
            message_mib: 4,
            mailbox: 4096,
            batch: 512,
            outbound_queue: 1024,
            register_seconds: 10.0,
            idle_seconds: 300.0,
            shutdown_seconds: 5.0,
            connections: 4096,
            connections_per_address: None,
            streams: 128,
            calls_per_second: 50.0,
            calls_at_once: 200,
            workers: 20_000,
            transfers: 64,
            watches: 100,
            questions: 64,
        }
    }
}

impl Limits {
    fn ranges(&self) -> [Range; 16] {
        [
            ("limits.message_mib", self.message_mib as f64, 1.0, 1024.0),
            ("limits.mailbox", self.mailbox as f64, 1.0, 1e6),
            ("limits.batch", self.batch as f64, 1.0, 1e5),
            ("limits.outbound_queue", self.outbound_queue as f64, 16.0, 1e6),
            ("limits.register_seconds", self.register_seconds, 1.0, 600.0),
            ("limits.idle_seconds", self.idle_seconds, 1.0, 86_400.0),
            ("limits.shutdown_seconds", self.shutdown_seconds, 0.0, 600.0),
            ("limits.connections", self.connections as f64, 1.0, 1e6),
            (
                "limits.connections_per_address",
                self.connections_per_address.unwrap_or(1) as f64,
                1.0,
                1e6,
            ),
            ("limits.streams", f64::from(self.streams), 1.0, 1e5),
            ("limits.calls_per_second", self.calls_per_second, 0.1, 1e6),
            ("limits.calls_at_once", f64::from(self.calls_at_once), 1.0, 1e6),
            ("limits.workers", f64::from(self.workers), 1.0, 1e6),
            ("limits.transfers", f64::from(self.transfers), 1.0, 1e4),
            ("limits.watches", f64::from(self.watches), 1.0, 1e5),
            ("limits.questions", f64::from(self.questions), 1.0, 1e5),
        ]
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

impl Config {
    /// Reads a file; what it leaves out keeps its default.
    ///
    /// # Errors
    /// [`ConfigFaults`] if the file cannot be read or has unknown keys or wrong types.
    pub fn read(path: &Path) -> Result<Self, ConfigFaults> {
        Written::read(path)?.sound()
    }

    /// Checks every range, and that the address is as private as it must be.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<(), ConfigFaults> {
        ConfigFaults::collect(self.faults())
    }

    fn faults(&self) -> Vec<ConfigError> {
        let ranges = self.general_ranges().into_iter().chain(self.limits.ranges());
        let mut faults: Vec<_> =
            ranges.chain(self.artifacts.ranges()).filter_map(of_range).collect();
        faults.extend(self.artifacts.check_place().err());
        faults.extend(fleet::faults(&self.users, &self.other_users, &self.quarantine));
        faults.extend(self.check_address(self.listen).err());
        faults
    }

    fn general_ranges(&self) -> [Range; 3] {
        let Leadership { lease_seconds, renewal_seconds, .. } = self.leadership;
        // A lease that is at fault itself says nothing about renewals.
        let longest = if (1.0..=300.0).contains(&lease_seconds) { lease_seconds } else { 300.0 };
        [
            ("lease_seconds", self.lease_seconds, 1.0, 86_400.0),
            ("leadership.lease_seconds", lease_seconds, 1.0, 300.0),
            ("leadership.renewal_seconds", renewal_seconds, 0.1, longest / 2.0),
        ]
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

    /// The coordinator's own certificate and when it ends; `None` without TLS.
    ///
    /// # Errors
    /// [`ConfigError::Tls`].
    pub(crate) fn certificate_end(&self) -> Result<Option<(&Path, Timestamp)>, ConfigError> {
        let Some(Tls { certificate, .. }) = &self.tls else { return Ok(None) };
        let end = cambrian_transport::server::end(certificate)?;
        Ok(Some((certificate, stamp(end))))
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
        let Limits { workers, transfers, watches, questions, .. } = self.limits;
        let Limits { calls_per_second, calls_at_once, .. } = self.limits;
        Bounds {
            calls: RateLimit { per_second: calls_per_second, at_once: calls_at_once },
            open: OpenLimits { workers, transfers, watches, questions },
            message: self.message_bytes(),
        }
    }

    /// What connections have to meet.
    pub(crate) fn gate(&self, logged: LogBound) -> Result<Gate, ConfigError> {
        let Limits { connections, connections_per_address, .. } = self.limits;
        Ok(Gate {
            tls: self.encryption()?,
            connections,
            of_one_address: connections_per_address,
            first_call: self.register_timeout(),
            idle: Duration::from_secs_f64(self.limits.idle_seconds),
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

/// A setting, its value, and the smallest and the largest that it may have.
type Range = (&'static str, f64, f64, f64);

fn of_range((key, found, least, most): Range) -> Option<ConfigError> {
    in_range(key, found, least, most)
}

/// The fault of a value that is out of its range; NaN always is.
fn in_range(key: impl Into<Setting>, found: f64, least: f64, most: f64) -> Option<ConfigError> {
    let outside = !(least..=most).contains(&found);
    outside.then(|| ConfigError::Range { key: key.into(), found: found.to_string(), least, most })
}

#[cfg(test)]
mod tests;
