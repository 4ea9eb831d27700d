//! The checkpoints of one attempt: the file that it begins with and the file that it leaves, at its end
//! or half-way.
//!
//! Whatever goes wrong with them costs a training from the start later on, and a note, but never a
//! result. Must not know what the files hold.

use std::path::{Path, PathBuf};

use cambrian_core::artifact::ArtifactId;
use cambrian_core::id::AttemptId;
use cambrian_proto::convert::measurement::MAX_NOTE_BYTES;
use cambrian_proto::v1::{Assignment, Outcome, outcome};
use tokio::fs;
use tracing::warn;

use crate::artifacts::Artifacts;
use crate::attempt::NamesAttempt;

/// See the module. The files go when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    resume: Option<PathBuf>,
    written: Option<PathBuf>,
    left: Option<PathBuf>,
    notes: Vec<String>,
}

impl Checkpoints {
    /// Fetches what the attempt begins with and says in the assignment where the files are.
    pub(super) async fn prepare(
        artifacts: &Artifacts,
        folder: Option<&Path>,
        yields: bool,
        assignment: &mut Assignment,
    ) -> Self {
        let mut checkpoints = Self::default();
        let needs = !assignment.resume.is_empty() || assignment.keep;
        if !needs && !yields {
            return checkpoints;
        }
        let Some(folder) = folder else {
            checkpoints
                .notes
                .extend(needs.then(|| "this worker has no folder for checkpoints".to_owned()));
            return checkpoints;
        };
        let AttemptId { task, attempt } = assignment.attempt_id();
        if let Ok(id) = ArtifactId::try_from(assignment.resume.as_slice()) {
            let path = folder.join(format!("resume-{task}-{attempt}"));
            match artifacts.fetch(id, &path).await {
                Ok(()) => {
                    assignment.resume_path = path.to_string_lossy().into_owned();
                    checkpoints.resume = Some(path);
                }
                Err(error) => checkpoints.notes.push(format!(
                    "it began anew, because the state that it was to go on with could not be had: {error}"
                )),
            }
        }
        if assignment.keep {
            let path = folder.join(format!("checkpoint-{task}-{attempt}"));
            assignment.checkpoint_path = path.to_string_lossy().into_owned();
            checkpoints.written = Some(path);
        }
        if yields {
            let path = folder.join(format!("left-{task}-{attempt}"));
            assignment.yield_path = path.to_string_lossy().into_owned();
            checkpoints.left = Some(path);
        }
        checkpoints
    }

    /// The outcome of a successful attempt whose state is still to be kept, as it is if that comes to no
    /// end; nothing if there is no state to wait for.
    pub(super) fn stateless(&self, ended: &Outcome) -> Option<Outcome> {
        if self.written.is_none() || !is_result(ended) {
            return None;
        }
        let lost = "the worker ended before its state was stored for the stage that continues it";
        let mut ended = ended.clone();
        ended.note = self.noted(&ended.note, Some(lost));
        Some(ended)
    }

    /// Keeps what a successful attempt has left, or one that `yields` to another, and says so in its
    /// outcome.
    pub(super) async fn keep(&mut self, artifacts: &Artifacts, yields: bool, ended: &mut Outcome) {
        if !is_result(ended) {
            if yields {
                self.keep_left(artifacts, ended).await;
            }
            return;
        }
        let Some(path) = &self.written else { return };
        if !fs::try_exists(path).await.unwrap_or(false) {
            self.notes.push("the evaluator left no state for the stage that continues it".into());
            return;
        }
        match artifacts.keep(path).await {
            Ok(id) => ended.checkpoint = id.as_bytes().to_vec(),
            Err(error) => self.notes.push(format!(
                "its state could not be kept for the stage that continues it: {error}"
            )),
        }
    }

    /// Keeps the state of an attempt that was stopped half-way.
    async fn keep_left(&self, artifacts: &Artifacts, ended: &mut Outcome) {
        let Some(path) = &self.left else { return };
        if !fs::try_exists(path).await.unwrap_or(false) {
            return;
        }
        match artifacts.keep(path).await {
            Ok(id) => ended.checkpoint = id.as_bytes().to_vec(),
            Err(error) => warn!("the state of a stopped evaluation could not be kept: {error}"),
        }
    }

    /// Adds what is to be said about the files to the outcome of a successful attempt.
    pub(super) fn annotate(&self, ended: &mut Outcome) {
        let written = std::mem::take(&mut ended.note);
        if is_result(ended) {
            ended.note = self.noted(&written, None);
        }
    }

    /// What the evaluator has `written`, what is to be said about the files, and something `more`.
    fn noted(&self, written: &str, more: Option<&str>) -> String {
        let notes = std::iter::once(written).chain(self.notes.iter().map(String::as_str));
        let notes = notes.chain(more).filter(|note| !note.is_empty());
        let mut note = notes.collect::<Vec<_>>().join("; ");
        note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
        note
    }
}

fn is_result(ended: &Outcome) -> bool {
    matches!(ended.outcome, Some(outcome::Outcome::Measured(_)))
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        for path in [&self.resume, &self.written, &self.left].into_iter().flatten() {
            // Never written, or taken away.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests;
