//! An evaluation attended to its end: what the slot is told meanwhile, what comes out of the process, and the
//! clock.
//!
//! Must not know what is reported of it, nor how a process is started or replaced.

use cambrian_proto::v1::{
    Outcome, StateWritten, StopEvaluation, WriteState, evaluator_message, supervisor_message,
};
use tokio::time::{Instant, sleep_until};

use super::evaluation::{Evaluation, Stopping, ended, forwarded, message_name};
use super::process::{self, EvaluatorProcess, Output};
use super::saving::Due;
use super::{ProcessFate, Slot, SlotCommand, SlotEvent, verdict};

/// A message that does not belong to the attempt.
struct Foreign;

impl Slot {
    /// Follows an evaluation to its end.
    pub(super) async fn attend(
        &mut self,
        process: &mut EvaluatorProcess,
        evaluation: &mut Evaluation<'_>,
    ) -> (Outcome, ProcessFate) {
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(SlotCommand::Stop(id)) if id == evaluation.id => {
                        self.ask_to_stop(process, evaluation, Stopping::Unwanted);
                    }
                    Some(SlotCommand::Yield(id)) if id == evaluation.id => {
                        self.ask_to_stop(process, evaluation, Stopping::Yielding);
                    }
                    Some(
                        SlotCommand::Stop(_) | SlotCommand::Yield(_) | SlotCommand::Evaluate(_),
                    ) => {}
                    Some(SlotCommand::Leave) | None => {
                        process.kill().await;
                        return (ended(evaluation.stopped()), ProcessFate::Dismissed);
                    }
                },
                output = process.output() => {
                    if let Some(end) = self.on_output(process, evaluation, output).await {
                        return end;
                    }
                }
                () = sleep_until(evaluation.deadline) => {
                    if evaluation.stopping == Stopping::No {
                        evaluation.half_message = process.half_message();
                        self.ask_to_stop(process, evaluation, Stopping::TimedOut);
                    } else {
                        process.kill().await;
                        return (ended(evaluation.stopped()), ProcessFate::Replaced);
                    }
                }
                progress = evaluation.progress.due() => self.say(SlotEvent::Progress(progress)),
                due = evaluation.saving.due() => match due {
                    Due::Ask { path } if evaluation.stopping == Stopping::No => {
                        let attempt = Some(evaluation.id.into());
                        let path = path.to_string_lossy().into_owned();
                        let message = WriteState { attempt, path };
                        process.send(supervisor_message::Message::WriteState(message));
                    }
                    Due::Ask { .. } => {}
                    Due::Stored(saved) => self.say(SlotEvent::Saved(saved)),
                },
            }
        }
    }

    fn ask_to_stop(
        &self,
        process: &EvaluatorProcess,
        evaluation: &mut Evaluation<'_>,
        why: Stopping,
    ) {
        if evaluation.stopping != Stopping::No {
            // Nobody goes on with it after all.
            if evaluation.stopping == Stopping::Yielding && why == Stopping::Unwanted {
                evaluation.stopping = why;
            }
            return;
        }
        evaluation.stopping = why;
        evaluation.deadline = Instant::now() + self.timing.stop_grace;
        let attempt = Some(evaluation.id.into());
        process.send(supervisor_message::Message::Stop(StopEvaluation {
            attempt,
            keep_state: why == Stopping::Yielding,
        }));
    }

    /// Handles what came out of the process; the end of the attempt if it was that.
    async fn on_output(
        &mut self,
        process: &mut EvaluatorProcess,
        evaluation: &mut Evaluation<'_>,
        output: Output,
    ) -> Option<(Outcome, ProcessFate)> {
        let death = match output {
            Output::Message(message) => {
                evaluation.half_message = None;
                let name = message_name(&message);
                match self.on_message(evaluation, message) {
                    Ok(end) => return end,
                    Err(Foreign) => {
                        let noticed = format!(
                            "the evaluator sent {name}, which does not belong to this attempt"
                        );
                        process.death(&noticed, process::BROKEN_PATIENCE).await
                    }
                }
            }
            Output::Broken(reason) => {
                let noticed = format!("the evaluator broke its protocol: {reason}");
                process.death(&noticed, process::BROKEN_PATIENCE).await
            }
            Output::Ended => {
                process.death_after_output("the evaluator", "in the middle of the evaluation").await
            }
        };
        self.backoff.fail();
        let outcome = match evaluation.stopping {
            Stopping::No => verdict::of_death(&death),
            Stopping::TimedOut | Stopping::Unwanted | Stopping::Yielding => evaluation.stopped(),
        };
        Some((ended(outcome), ProcessFate::Replaced))
    }

    /// Handles what the evaluator says; the end of the attempt if it was that.
    fn on_message(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        message: evaluator_message::Message,
    ) -> Result<Option<(Outcome, ProcessFate)>, Foreign> {
        match message {
            evaluator_message::Message::Progress(progress)
                if evaluation.is(progress.attempt.as_ref()) =>
            {
                let progress = evaluation.progress.offer(forwarded(evaluation.id, progress));
                if let Some(progress) = progress {
                    self.say(SlotEvent::Progress(progress));
                }
                Ok(None)
            }
            evaluator_message::Message::StateWritten(StateWritten { attempt, step })
                if evaluation.is(attempt.as_ref())
                    && evaluation.saving.written(&self.artifacts, step) =>
            {
                Ok(None)
            }
            evaluator_message::Message::Ended(answer) if evaluation.is(answer.attempt.as_ref()) => {
                Ok(Some(self.on_answer(evaluation, answer)))
            }
            _ => Err(Foreign),
        }
    }
}
