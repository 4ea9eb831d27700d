//! Where artifacts are kept, as the settings say it. Must not know what is kept.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{Config, ConfigError, Range};
use crate::artifacts::{Artifacts, BucketError, Reserve, parse_bucket};
use crate::store::place::Place;

/// Where artifacts are kept, and for how long.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArtifactSettings {
    /// Their folder; without it the store's file with `.artifacts` behind its name, or
    /// `cambrian.artifacts` where the store is a database. Coordinators that share a database share it.
    pub directory: Option<PathBuf>,
    /// A bucket instead, `s3://BUCKET/PREFIX`; credentials come from the usual variables.
    pub url: Option<String>,
    /// Where the bucket's server is, for others than Amazon's.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// The largest artifact, MiB, 1 to 1,048,576.
    pub max_mib: u64,
    /// How much of the folder's file system they leave free, MiB, 0 to 1,073,741,824; without it a hundredth,
    /// and 1,024 MiB at least.
    pub reserve_mib: Option<u64>,
    /// How often those are looked for that nothing needs any more, seconds, 1 to 86,400.
    pub sweep_seconds: f64,
    /// How long each is kept at least, needed or not, seconds, 0 to 31,536,000: an upload comes
    /// before the report that names it.
    pub keep_seconds: f64,
}

impl ArtifactSettings {
    pub(super) fn ranges(&self) -> [Range; 4] {
        [
            ("artifacts.max_mib", self.max_mib as f64, 1.0, f64::from(1 << 20)),
            (
                "artifacts.reserve_mib",
                self.reserve_mib.unwrap_or(0) as f64,
                0.0,
                f64::from(1 << 30),
            ),
            ("artifacts.sweep_seconds", self.sweep_seconds, 1.0, 86_400.0),
            ("artifacts.keep_seconds", self.keep_seconds, 0.0, 365.0 * 86_400.0),
        ]
    }

    /// One place, and settings that belong to it.
    pub(super) fn check_place(&self) -> Result<(), ConfigError> {
        let together = |key, problem| Err(ConfigError::Together { key, problem });
        let Some(url) = &self.url else {
            return match (&self.endpoint, &self.region) {
                (None, None) => Ok(()),
                (Some(_), _) => {
                    together("artifacts.endpoint", "is for a bucket; set artifacts.url too")
                }
                (None, _) => together("artifacts.region", "is for a bucket; set artifacts.url too"),
            };
        };
        parse_bucket(url)?;
        if self.directory.is_some() {
            return together(
                "artifacts.directory",
                "is a second place beside artifacts.url; leave one out",
            );
        }
        let is_web =
            |endpoint: &String| endpoint.starts_with("http://") || endpoint.starts_with("https://");
        if self.endpoint.as_ref().is_some_and(|endpoint| !is_web(endpoint)) {
            return together(
                "artifacts.endpoint",
                "is no address; write http://HOST:PORT or https://HOST",
            );
        }
        Ok(())
    }
}

impl Default for ArtifactSettings {
    fn default() -> Self {
        Self {
            directory: None,
            url: None,
            endpoint: None,
            region: None,
            max_mib: 4096,
            reserve_mib: None,
            sweep_seconds: 600.0,
            keep_seconds: 3600.0,
        }
    }
}

impl Config {
    /// The artifacts in their folder or their bucket.
    ///
    /// # Errors
    /// [`BucketError`] if the bucket's settings make no client.
    pub fn artifacts(&self) -> Result<Artifacts, BucketError> {
        let ArtifactSettings { directory, max_mib, url, endpoint, region, .. } = &self.artifacts;
        if let Some(url) = url {
            let (endpoint, region) = (endpoint.as_deref(), region.as_deref());
            return Artifacts::in_bucket(url, endpoint, region, max_mib << 20);
        }
        let beside = || match &self.database {
            Place::File(path) => path.with_added_extension("artifacts"),
            // Beside the program: a database has no folder.
            Place::Postgres(_) => PathBuf::from("cambrian.artifacts"),
        };
        let reserve =
            self.artifacts.reserve_mib.map_or(Reserve::Usual, |mib| Reserve::Bytes(mib << 20));
        Ok(Artifacts::new(&directory.clone().unwrap_or_else(beside), max_mib << 20, reserve))
    }

    /// How often artifacts are swept, and how long each is kept at least.
    pub(crate) fn sweeping(&self) -> (Duration, Duration) {
        let ArtifactSettings { sweep_seconds, keep_seconds, .. } = self.artifacts;
        (Duration::from_secs_f64(sweep_seconds), Duration::from_secs_f64(keep_seconds))
    }
}
