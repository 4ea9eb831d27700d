//! The evaluator's side of the pipe: greet, evaluate one assignment at a time, always answer.
//!
//! A thread of its own reads the pipe, so that a stop, or the end of the pipe, reaches an evaluation
//! in work within a step. It must not know how anything is evaluated.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use cambrian_core::engine::{Assignment, Capabilities};
use cambrian_core::objective::Measurement;
use cambrian_proto::convert::measurement::{MAX_NOTE_BYTES, measurement_messages};
use cambrian_proto::v1::{
    self, EvaluationEnded, EvaluationProgress, EvaluatorMessage, Hello, Measurements, Outcome,
    StateWritten, SupervisorMessage, TaskAttempt, evaluator_message, outcome, supervisor_message,
};

use crate::data::{Fingerprints, dataset, names};
use crate::evaluate::{self, Kept, Machine, Supervision};
use crate::failure::EvaluationError;
use crate::measure::gate::Gate;
use crate::pipe::{self, PipeError};

/// The version of the pipe's protocol.
const PROTOCOL: u32 = 1;
/// How long an evaluation in work has to give up once the supervisor's stream has ended.
pub const GRACE: Duration = Duration::from_secs(5);
/// The longest text of a failure, in bytes.
const MAX_TEXT_BYTES: usize = 4096;

/// What this process can do on `machine`. Datasets are checked by their headers and named by their
/// content, which takes as long as reading them where `fingerprints` has nothing of them; why energy is
/// not measured is told as `energy_unmetered`.
#[must_use]
pub fn capabilities(
    machine: &Machine,
    fingerprints: &Fingerprints,
    energy_unmetered: Option<&str>,
) -> Capabilities {
    let mut capabilities = Capabilities {
        device_class: machine.device.class.as_str().into(),
        memory_bytes: machine.device.memory_bytes,
        evaluators: evaluate::offers(machine),
        ..Capabilities::default()
    };
    let directories = machine.library.directories();
    for name in names(directories) {
        let found = dataset(&name, directories).and_then(|entry| {
            entry.check(directories)?;
            fingerprints.of(&entry, directories)
        });
        match found {
            Ok(fingerprint) => {
                capabilities.datasets.insert(name.as_str().into());
                capabilities.fingerprints.insert(name.into(), fingerprint.into());
            }
            Err(error) => {
                capabilities.unavailable.insert(name.into(), error.to_string().into());
            }
        }
    }
    if let Some(reason) = energy_unmetered {
        let text = format!("energy is modelled, not measured: {reason}");
        capabilities.unavailable.insert("energy meter".into(), text.into());
    }
    capabilities
}

/// Serves the supervisor until its stream ends; an evaluation in work is given up then. A dataset of
/// `capabilities` that is gone later is a fault of this node.
///
/// `output` carries messages alone. `overdue` is called in another thread if the evaluation does
/// not give up within [`GRACE`] of the end; it is expected to end the process.
///
/// # Errors
/// [`PipeError`] if a stream breaks or carries what are no messages.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write,
    capabilities: &Capabilities,
    machine: &mut Machine,
    gate: &Gate,
    overdue: impl FnOnce() + Send + 'static,
) -> Result<(), PipeError> {
    machine.library.announce(capabilities.datasets.iter().map(ToString::to_string));
    let output = Mutex::new(output);
    let hello = Hello { protocol: PROTOCOL, capabilities: Some(capabilities.into()) };
    send(&output, evaluator_message::Message::Hello(hello))?;
    let board = Arc::new(Board::default());
    let (sender, receiver) = mpsc::channel();
    let (shared, (fault_sender, fault)) = (Arc::clone(&board), mpsc::channel());
    thread::spawn(move || {
        let result = listen(input, &shared, &sender);
        shared.ended.store(true, Ordering::Release);
        // Whoever served is gone if nobody takes it.
        let _ = fault_sender.send(result);
        drop(sender);
        thread::sleep(GRACE);
        overdue();
    });
    work(&receiver, &output, &board, machine, gate)?;
    fault.recv().unwrap_or(Ok(()))
}

/// Task and attempt.
type Attempt = (u64, u32);

/// What the reading thread tells the evaluating one.
#[derive(Debug, Default)]
struct Board {
    /// The attempts that are queued or in work, and what was asked of each.
    attempts: Mutex<BTreeMap<Attempt, Wish>>,
    /// The attempt whose state is to be written while it goes on, and the file.
    asked: Mutex<Option<(Attempt, PathBuf)>>,
    /// Whether the supervisor's stream has ended.
    ended: AtomicBool,
}

/// What the supervisor wants of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Result,
    /// Its end, and its state for another attempt.
    State,
    End,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Attempt, Wish>> {
        // The map is whole after every operation, so a panic elsewhere does not matter.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn is_stopped(&self, attempt: Attempt) -> bool {
        self.has_ended() || self.lock().get(&attempt).is_some_and(|wish| *wish != Wish::Result)
    }

    fn ask(&self, attempt: Attempt, path: PathBuf) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some((attempt, path));
    }

    /// The file that the state of this attempt is to be written to, once for each time it is asked for.
    fn take_asked(&self, attempt: Attempt) -> Option<PathBuf> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.take_if(|(of, _)| *of == attempt).map(|(_, path)| path)
    }

    fn is_state_wanted(&self, attempt: Attempt) -> bool {
        !self.has_ended() && self.lock().get(&attempt) == Some(&Wish::State)
    }
}

fn listen(
    mut input: impl Read,
    board: &Board,
    queue: &Sender<v1::Assignment>,
) -> Result<(), PipeError> {
    while let Some(message) = pipe::read::<SupervisorMessage>(&mut input)? {
        match message.message {
            Some(supervisor_message::Message::Evaluate(assignment)) => {
                board.lock().insert((assignment.task, assignment.attempt), Wish::Result);
                if queue.send(assignment).is_err() {
                    return Ok(());
                }
            }
            Some(supervisor_message::Message::Stop(stop)) => {
                let attempt = stop.attempt.unwrap_or_default();
                if let Some(wish) = board.lock().get_mut(&(attempt.task, attempt.attempt)) {
                    *wish = if stop.keep_state { Wish::State } else { Wish::End };
                }
            }
            Some(supervisor_message::Message::WriteState(request)) => {
                let attempt = request.attempt.unwrap_or_default();
                board.ask((attempt.task, attempt.attempt), request.path.into());
            }
            None => eprintln!("ignored a message of a kind that this evaluator does not know"),
        }
    }
    Ok(())
}

fn work<W: Write>(
    queue: &Receiver<v1::Assignment>,
    output: &Mutex<W>,
    board: &Board,
    machine: &mut Machine,
    gate: &Gate,
) -> Result<(), PipeError> {
    for message in queue {
        let address = TaskAttempt { task: message.task, attempt: message.attempt };
        let (result, kept, said) = supervised(message, output, board, machine, gate);
        board.lock().remove(&(address.task, address.attempt));
        if board.has_ended() {
            return Ok(());
        }
        said?;
        let (attempt, outcome) = (Some(address), Some(to_outcome(result, &kept)));
        let ended = EvaluationEnded { attempt, outcome, energy_joules: None };
        send(output, evaluator_message::Message::Ended(ended))?;
    }
    Ok(())
}

/// Evaluates, and says meanwhile how far it is: the result, what is kept of it, and whether all that was to be
/// said could be.
fn supervised<W: Write>(
    message: v1::Assignment,
    output: &Mutex<W>,
    board: &Board,
    machine: &mut Machine,
    gate: &Gate,
) -> (Result<Vec<Measurement>, EvaluationError>, Kept, Result<(), PipeError>) {
    let attempt: Attempt = (message.task, message.attempt);
    let address = TaskAttempt { task: message.task, attempt: message.attempt };
    let said = RefCell::new(Ok(()));
    let say = |message| {
        let sent = send(output, message);
        let mut said = said.borrow_mut();
        if said.is_ok() {
            *said = sent;
        }
    };
    let device = machine.device.clone();
    let mut report = |step: u32, steps: u32, metrics: &[(&str, f64)]| {
        let metrics = metrics.iter().map(|&(name, value)| (name.to_owned(), value));
        let metrics = metrics.collect();
        let progress = EvaluationProgress { attempt: Some(address), step, steps, metrics };
        say(evaluator_message::Message::Progress(progress));
    };
    let mut written = |step: u32| {
        let written = StateWritten { attempt: Some(address), step };
        say(evaluator_message::Message::StateWritten(written));
    };
    let mut supervision = Supervision {
        stopped: &|| board.is_stopped(attempt),
        wanted: &|| board.is_state_wanted(attempt),
        asked: &|| board.take_asked(attempt),
        written: &mut written,
        report: &mut report,
        gate,
        synchronize: &|| device.synchronize(),
        kept: kept(&message),
    };
    let result = guarded(message, machine, &mut supervision);
    let kept = supervision.kept;
    (result, kept, said.into_inner())
}

/// Where the assignment says that the state of trainings is.
fn kept(message: &v1::Assignment) -> Kept {
    let path = |path: &str| (!path.is_empty()).then(|| path.into());
    Kept {
        resume: path(&message.resume_path),
        write: path(&message.checkpoint_path),
        left: path(&message.yield_path),
        step: 0,
        notes: Vec::new(),
    }
}

/// Evaluates; a panic, which is how `tch` reports some faults, becomes an error like any other.
fn guarded(
    message: v1::Assignment,
    machine: &mut Machine,
    supervision: &mut Supervision<'_>,
) -> Result<Vec<Measurement>, EvaluationError> {
    supervision.check()?;
    let assignment = Assignment::try_from(message).map_err(|error| {
        EvaluationError::Invalid(format!("the assignment is malformed: {error}"))
    })?;
    let evaluation = AssertUnwindSafe(|| evaluate::evaluate(&assignment, machine, supervision));
    catch_unwind(evaluation)
        .unwrap_or_else(|panic| Err(EvaluationError::from_text(&panic_text(panic.as_ref()))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the evaluation panicked without a message").to_owned()
}

fn to_outcome(result: Result<Vec<Measurement>, EvaluationError>, kept: &Kept) -> Outcome {
    let mut note = kept.notes.join("; ");
    note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
    let outcome = match result {
        Ok(measurements) => {
            let measurements = measurement_messages(&measurements);
            outcome::Outcome::Measured(Measurements { measurements })
        }
        Err(error) => {
            let mut failure = error.to_failure();
            let end = failure.message.floor_char_boundary(MAX_TEXT_BYTES);
            failure.message.truncate(end);
            eprintln!("failed ({}): {}", failure.kind().as_str_name(), failure.message);
            outcome::Outcome::Failed(failure)
        }
    };
    Outcome { outcome: Some(outcome), note, step: kept.step, ..Outcome::default() }
}

fn send<W: Write>(output: &Mutex<W>, message: evaluator_message::Message) -> Result<(), PipeError> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(pipe::write(&mut *output, &EvaluatorMessage { message: Some(message) })?)
}
