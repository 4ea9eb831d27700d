//! What a campaign makes of results that are known already: whether it takes them, and whether others
//! may have its own.
//!
//! Must not know how results are kept or found.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which way a campaign uses the results that the coordinator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheUse {
    /// Neither.
    Off,
    /// It takes known results and keeps its own to itself.
    Read,
    /// It evaluates everything anew; its results are there for others. What it does follows from its
    /// seed and the order of arrival alone, so this is the default.
    #[default]
    Write,
    /// Both.
    On,
}

impl CacheUse {
    /// Whether known results are taken.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::On)
    }

    /// Whether results are there for others.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::On)
    }

    /// The value as it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Read => "read",
            Self::Write => "write",
            Self::On => "on",
        }
    }
}

impl fmt::Display for CacheUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
