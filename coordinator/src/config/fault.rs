//! What can be wrong with the settings.
//!
//! Must not know how they are read.

use std::fmt::{Display, Formatter};
use std::net::SocketAddr;
use std::path::PathBuf;

use cambrian_core::spec::Fault;
use cambrian_proto::convert::MAX_NAME_BYTES;
use cambrian_transport::TlsError;
use thiserror::Error;

use crate::artifacts::BucketError;

/// A setting by the keys that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting(Vec<String>);

impl Setting {
    /// A setting of the user of this name, which may hold dots.
    pub(super) fn of_user(name: &str, key: Option<&str>) -> Self {
        Self(["users", name].into_iter().chain(key).map(str::to_owned).collect())
    }

    /// The keys, the outermost first.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

impl From<&str> for Setting {
    fn from(path: &str) -> Self {
        Self(path.split('.').map(str::to_owned).collect())
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
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
    #[error("{}:{}", .path.display(), in_one_line(.fault))]
    Written {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        fault: Box<Fault>,
    },
    /// What a file says is well formed and cannot be used.
    #[error("{}:{line}:{column}: {source}", .path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong.
        source: Box<ConfigError>,
    },
    /// A number is out of its range.
    #[error("{key} is {found}, expected {least} to {most}")]
    Range {
        /// The setting.
        key: Setting,
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

impl ConfigError {
    /// The setting that is at fault, as far as it is one.
    pub(super) fn setting(&self) -> Option<Setting> {
        match self {
            Self::Range { key, .. } => Some(key.clone()),
            Self::User(name) => Some(Setting::of_user(name, None)),
            Self::Together { key, .. } => Some((*key).into()),
            Self::Bucket(_) => Some("artifacts.url".into()),
            Self::Exposed { .. } => Some("listen".into()),
            Self::Endpoint { .. } => Some("leadership.endpoint".into()),
            Self::File { .. } | Self::Written { .. } | Self::At { .. } | Self::Tls(_) => None,
        }
    }
}

/// `line:column: key: what is wrong; what to do`.
fn in_one_line(fault: &Fault) -> String {
    fault.to_string().replace("\n  help: ", "; ")
}

/// Everything that is wrong with the settings, at least one fault.
#[derive(Debug, Error)]
pub struct ConfigFaults(Vec<ConfigError>);

impl ConfigFaults {
    /// # Errors
    /// The faults, if there are any.
    pub fn collect(faults: Vec<ConfigError>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }
}

impl From<Vec<ConfigError>> for ConfigFaults {
    /// Of at least one.
    fn from(faults: Vec<ConfigError>) -> Self {
        Self(faults)
    }
}

impl From<ConfigError> for ConfigFaults {
    fn from(fault: ConfigError) -> Self {
        Self(vec![fault])
    }
}

impl Display for ConfigFaults {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        if let [only] = &self.0[..] {
            return only.fmt(f);
        }
        write!(f, "the settings have {} faults:", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}
