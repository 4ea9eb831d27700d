//! What an unfinished attempt leaves, or saves on its way, as the journal has it. Must not know what an
//! artifact holds.

use cambrian_core::artifact::ArtifactId;
use cambrian_core::engine::Event;
use cambrian_core::id::{AttemptId, WorkerId};
use cambrian_core::time::Span;

use super::super::ConvertError;
use super::super::artifact::{bytes_of, named, named_or_none};
use super::{span, task_attempt, worker};
use crate::v1;

pub(super) fn message(
    AttemptId { task, attempt }: AttemptId,
    worker: WorkerId,
    checkpoint: Option<ArtifactId>,
    (step, elapsed): (u32, Span),
) -> v1::AttemptYielded {
    let (checkpoint, elapsed_micros) = (bytes_of(checkpoint), elapsed.0);
    let (task, attempt, worker) = (task.0, attempt.0, worker.0);
    v1::AttemptYielded { task, attempt, worker, checkpoint, step, elapsed_micros }
}

pub(super) fn event(message: v1::AttemptYielded) -> Result<Event, ConvertError> {
    let v1::AttemptYielded { task, attempt, worker: holder, checkpoint, step, elapsed_micros } =
        message;
    let AttemptId { task, attempt } = task_attempt(task, attempt)?;
    let worker = worker(holder)?;
    let checkpoint = named_or_none("checkpoint", &checkpoint)?;
    let elapsed = span("elapsed_micros", elapsed_micros)?;
    Ok(Event::AttemptYielded { task, attempt, worker, checkpoint, step, elapsed })
}

pub(super) fn saved_message(
    AttemptId { task, attempt }: AttemptId,
    worker: WorkerId,
    checkpoint: ArtifactId,
    step: u32,
) -> v1::StateSaved {
    let checkpoint = bytes_of(Some(checkpoint));
    v1::StateSaved { task: task.0, attempt: attempt.0, worker: worker.0, checkpoint, step }
}

pub(super) fn saved_event(message: v1::StateSaved) -> Result<Event, ConvertError> {
    let v1::StateSaved { task, attempt, worker: holder, checkpoint, step } = message;
    let AttemptId { task, attempt } = task_attempt(task, attempt)?;
    let worker = worker(holder)?;
    let checkpoint = named("checkpoint", &checkpoint)?;
    Ok(Event::StateSaved { task, attempt, worker, checkpoint, step })
}
