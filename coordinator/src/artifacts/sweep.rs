//! Removal of artifacts that nothing refers to any more.
//!
//! What is referred to is the engine's word. An artifact is uploaded before the report that names it
//! is stored, so a young one stays whatever the engine says. Whoever looks for one that was removed
//! all the same learns that it is gone and does without.
//!
//! Must not know what an artifact is needed for.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cambrian_core::artifact::ArtifactId;
use cambrian_core::engine::State;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use tokio_util::sync::CancellationToken;

use super::{ArtifactError, Artifacts, Place, location};
use crate::handle::Handle;

/// What separates the name of an unfinished upload from its number.
const UNFINISHED: char = '#';

impl Artifacts {
    /// Removes what was written before `before` and is not among `needed`, and uploads that were
    /// never finished; says how many artifacts went.
    ///
    /// # Errors
    /// [`ArtifactError`] if the folder cannot be listed or a file cannot be removed.
    pub async fn sweep(
        &self,
        needed: &BTreeSet<ArtifactId>,
        before: SystemTime,
    ) -> Result<usize, ArtifactError> {
        if self.is_absent() {
            return Ok(0);
        }
        if let Place::Folder(folder, _) = &self.place {
            remove_unfinished(folder, before);
        }
        let (store, explain) = (self.place.store()?, |error| self.place.explain(error));
        let found: Vec<_> = store.list(None).try_collect().await.map_err(explain)?;
        let mut removed = 0;
        for meta in found {
            // What else lies in the folder is not ours to remove.
            let Ok(id) = meta.location.as_ref().parse::<ArtifactId>() else { continue };
            if !needed.contains(&id) && SystemTime::from(meta.last_modified) < before {
                store.delete(&location(id)).await.map_err(explain)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Files of uploads that ended with the process; the store itself does not list them.
fn remove_unfinished(folder: &Path, before: SystemTime) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let unfinished = name.to_str().and_then(|name| name.split_once(UNFINISHED));
        let ours = unfinished.is_some_and(|(id, _)| id.parse::<ArtifactId>().is_ok());
        let written = entry.metadata().and_then(|meta| meta.modified());
        if ours && written.is_ok_and(|written| written < before) {
            // Found again by the next sweep if it cannot be removed now.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Sweeps every `interval` until `stop`; artifacts stay for `keep` at least.
pub(crate) async fn keep_sweeping(
    artifacts: Artifacts,
    handle: Handle,
    (interval, keep): (Duration, Duration),
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let Some(before) = SystemTime::now().checked_sub(keep) else { continue };
        let needed = handle.query(|state: &State| state.checkpoints().collect::<BTreeSet<_>>());
        // Without the engine's word nothing goes.
        let Ok(needed) = needed.await else { return };
        match artifacts.sweep(&needed, before).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "artifacts that nothing needs are removed"),
            Err(error) => tracing::warn!(%error, "artifacts cannot be swept"),
        }
    }
}
