//! The state of an evaluation that goes on, stored every so often: if the worker is lost, another attempt
//! goes on with it.
//!
//! The evaluator is asked for a file, which is sent to a coordinator while the evaluation runs; it is asked
//! again only when that is over, so that slow disks and networks make it rarer and pile nothing up.
//! Whatever goes wrong is a warning. Must not know what the file holds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cambrian_core::artifact::ArtifactId;
use cambrian_core::id::AttemptId;
use cambrian_proto::v1::SavedState;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::artifacts::{ArtifactError, Artifacts};

/// What there is to do.
#[derive(Debug, PartialEq)]
pub(super) enum Due {
    /// The evaluator is to write its state to this file.
    Ask { path: PathBuf },
    /// A state is at the coordinator.
    Stored(SavedState),
}

#[derive(Debug)]
enum Phase {
    Never,
    Waits { until: Instant },
    Asked,
    Stores { step: u32, task: JoinHandle<Result<ArtifactId, ArtifactError>> },
}

/// See the module. The file goes when it is dropped.
#[derive(Debug)]
pub(super) struct Saving {
    id: AttemptId,
    every: Duration,
    path: PathBuf,
    phase: Phase,
}

impl Saving {
    /// For the evaluation of this attempt; without an interval, or a folder for the file, it never asks.
    pub(super) fn new(every: Option<Duration>, folder: Option<&Path>, id: AttemptId) -> Self {
        let every = every.filter(|_| folder.is_some());
        let name = format!("saved-{}-{}", id.task, id.attempt);
        let path = folder.unwrap_or(Path::new("")).join(name);
        let phase =
            every.map_or(Phase::Never, |every| Phase::Waits { until: Instant::now() + every });
        Self { id, every: every.unwrap_or_default(), path, phase }
    }

    /// Waits for what there is to do. Cancel safe.
    pub(super) async fn due(&mut self) -> Due {
        loop {
            match &mut self.phase {
                Phase::Never | Phase::Asked => std::future::pending().await,
                Phase::Waits { until } => {
                    sleep_until(*until).await;
                    self.phase = Phase::Asked;
                    return Due::Ask { path: self.path.clone() };
                }
                Phase::Stores { step, task } => {
                    let (step, stored) = (*step, task.await);
                    self.phase = Phase::Waits { until: Instant::now() + self.every };
                    match stored {
                        Ok(Ok(artifact)) => return Due::Stored(self.saved(artifact, step)),
                        Ok(Err(error)) => {
                            warn!(id = %self.id, "the state of an evaluation is not stored: {error}");
                            self.remove();
                        }
                        Err(error) => debug!(id = %self.id, %error, "a state is not stored"),
                    }
                }
            }
        }
    }

    /// The evaluator has written the file; whether it was asked to.
    pub(super) fn written(&mut self, artifacts: &Artifacts, step: u32) -> bool {
        if !matches!(self.phase, Phase::Asked) {
            return false;
        }
        let (artifacts, path) = (artifacts.clone(), self.path.clone());
        let task = tokio::spawn(async move { artifacts.keep(&path).await });
        self.phase = Phase::Stores { step, task };
        true
    }

    fn saved(&self, artifact: ArtifactId, step: u32) -> SavedState {
        let checkpoint = artifact.as_bytes().to_vec();
        SavedState { task: self.id.task.0, attempt: self.id.attempt.0, checkpoint, step }
    }

    fn remove(&self) {
        // Never written, or taken away.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        if let Phase::Stores { task, .. } = &self.phase {
            task.abort();
        }
        if !matches!(self.phase, Phase::Never) {
            self.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use cambrian_transport::client::Credentials;

    use super::*;
    use crate::artifacts::Transfer;
    use crate::attempt::attempt_id;

    /// Without a coordinator nothing can be stored, and everything goes on.
    fn artifacts(folder: &Path) -> Artifacts {
        let transfer = Transfer {
            coordinators: Vec::new(),
            credentials: Credentials::default(),
            connect: Duration::from_secs(1),
        };
        Artifacts::new(folder.join("artifacts"), 1 << 20, transfer)
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_again_after_each_answer_and_never_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let every = Duration::from_secs(600);
        let started = Instant::now();
        let mut saving = Saving::new(Some(every), Some(folder.path()), attempt_id(3, 2));
        let artifacts = artifacts(folder.path());
        assert!(!saving.written(&artifacts, 1), "nobody asked");
        let path = folder.path().join("saved-3-2");
        assert_eq!(saving.due().await, Due::Ask { path: path.clone() });
        assert_eq!(started.elapsed(), every);
        let more = tokio::time::timeout(100 * every, saving.due()).await;
        assert!(more.is_err(), "the evaluator has not answered");
        std::fs::write(&path, "state").unwrap();
        assert!(saving.written(&artifacts, 5));
        assert!(!saving.written(&artifacts, 5), "once for each time");
        // It could not be stored, so the next thing is to ask once more.
        assert_eq!(saving.due().await, Due::Ask { path: path.clone() });
        std::fs::write(&path, "state").unwrap();
        drop(saving);
        assert!(!path.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_interval_or_a_folder_it_never_asks() {
        let folder = Path::new("anywhere");
        for (every, folder) in [(None, Some(folder)), (Some(Duration::from_secs(1)), None)] {
            let mut saving = Saving::new(every, folder, attempt_id(1, 1));
            let waited = tokio::time::timeout(Duration::from_secs(86_400), saving.due()).await;
            assert!(waited.is_err());
        }
    }
}
