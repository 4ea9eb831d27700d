//! The room that artifacts leave on the disk: the journal often lies there as well, and a full disk ends it.
//!
//! Must not know which artifacts there are.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::statvfs;
use tokio::task::spawn_blocking;

use super::ArtifactError;

/// The least that is left by default, bytes.
const LEAST: u64 = 1 << 30;
/// The share of a file system that is left by default: one of so many parts.
const SHARE: u64 = 100;

/// How much of the file system artifacts leave free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// So many bytes.
    Bytes(u64),
    /// A hundredth, and 1 GiB at least.
    Usual,
}

impl Reserve {
    /// Of a file system of so many bytes.
    fn of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Usual => LEAST.max(total / SHARE),
        }
    }

    /// Makes `folder` if there is none, and looks whether `bytes` more leave enough.
    pub(super) async fn check(self, folder: &Path, bytes: u64) -> Result<(), ArtifactError> {
        let path = folder.to_owned();
        let found = spawn_blocking(move || {
            fs::create_dir_all(&path)?;
            Ok(statvfs(&path)?)
        });
        let found: io::Result<_> = found.await.map_err(io::Error::other).flatten();
        let refused = |source| ArtifactError::Folder { path: folder.to_owned(), source };
        let found = found.map_err(refused)?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let reserve = self.of(found.f_blocks.saturating_mul(found.f_frsize));
        if free.saturating_sub(bytes) >= reserve {
            return Ok(());
        }
        Err(ArtifactError::Full { path: folder.to_owned(), bytes, free, reserve })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundredth_is_left_and_a_gibibyte_at_least() {
        assert_eq!(Reserve::Usual.of(10 << 30), 1 << 30);
        assert_eq!(Reserve::Usual.of(1000 << 30), 10 << 30);
        assert_eq!(Reserve::Bytes(7).of(1 << 40), 7);
    }
}
