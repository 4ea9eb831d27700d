//! Checkpoints on this worker: taken from evaluators, sent to the coordinator, fetched from it, and
//! kept in a bounded folder, so that a stage which goes on where it began downloads nothing.
//!
//! Must not know what a checkpoint holds.

mod cache;
mod transfer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cambrian_core::artifact::ArtifactId;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use cache::Cache;
pub(crate) use transfer::{Transfer, TransferError};

/// How long the disk may take over a file. A slot waits for it.
const DISK_PATIENCE: Duration = Duration::from_secs(600);

/// Why a checkpoint could not be fetched or kept.
#[derive(Debug, Error)]
pub(crate) enum ArtifactError {
    #[error("{0}")]
    Transfer(#[from] TransferError),
    #[error("a file of it cannot be used: {0}")]
    File(#[from] io::Error),
    #[error("what arrived is not what was asked for")]
    Content,
}

/// The checkpoints of a worker. Copies are cheap.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    cache: Arc<Cache>,
    transfer: Arc<Transfer>,
}

impl Artifacts {
    /// Those in `folder`, which takes up at most `bytes`, and those of the coordinators.
    pub(crate) fn new(folder: PathBuf, bytes: u64, transfer: Transfer) -> Self {
        Self { cache: Arc::new(Cache::new(folder, bytes)), transfer: Arc::new(transfer) }
    }

    /// Puts an artifact at `target`, where nothing may be: from the folder, else from a coordinator.
    pub(crate) async fn fetch(&self, id: ArtifactId, target: &Path) -> Result<(), ArtifactError> {
        let place = target.to_owned();
        if self.on_disk(move |cache, until| cache.give(id, &place, until)).await? {
            return Ok(());
        }
        let incoming = self.on_disk(|cache, _| cache.incoming()).await?;
        self.transfer.get(id, incoming.path()).await?;
        let place = target.to_owned();
        let given = self.on_disk(move |cache, until| {
            let (found, _) = cache.take(incoming.path(), until)?;
            Ok(found == id && cache.give(id, &place, until)?)
        });
        if given.await? { Ok(()) } else { Err(ArtifactError::Content) }
    }

    /// Takes the file at `path` away, sends it to a coordinator, and says its name.
    pub(crate) async fn keep(&self, path: &Path) -> Result<ArtifactId, ArtifactError> {
        let path = path.to_owned();
        let (id, kept) = self.on_disk(move |cache, until| cache.take(&path, until)).await?;
        self.transfer.put(id, &kept).await?;
        Ok(id)
    }

    /// Works on a thread that may wait for the disk, and is told until when. A disk that does not answer
    /// at all is not waited for either.
    async fn on_disk<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Cache, Instant) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        let (cache, until) = (Arc::clone(&self.cache), Instant::now() + DISK_PATIENCE);
        match timeout(DISK_PATIENCE, spawn_blocking(move || work(&cache, until))).await {
            Ok(done) => done.map_err(io::Error::other)?,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer")),
        }
    }
}
