//! What an unfinished attempt leaves, as the journal has it. Must not know what an artifact holds.

use cambrian_core::artifact::ArtifactId;
use cambrian_core::engine::Event;
use cambrian_core::id::{Attempt, TaskId, WorkerId};

use super::super::ConvertError;
use super::super::artifact::{bytes_of, named_or_none};
use super::{task_attempt, worker};
use crate::v1;

pub(super) fn message(
    (task, attempt): (TaskId, Attempt),
    worker: WorkerId,
    checkpoint: Option<ArtifactId>,
    step: u32,
) -> v1::AttemptYielded {
    let checkpoint = bytes_of(checkpoint);
    v1::AttemptYielded { task: task.0, attempt: attempt.0, worker: worker.0, checkpoint, step }
}

pub(super) fn event(message: v1::AttemptYielded) -> Result<Event, ConvertError> {
    let v1::AttemptYielded { task, attempt, worker: holder, checkpoint, step } = message;
    let (task, attempt) = task_attempt(task, attempt)?;
    let worker = worker(holder)?;
    let checkpoint = named_or_none("checkpoint", &checkpoint)?;
    Ok(Event::AttemptYielded { task, attempt, worker, checkpoint, step })
}
