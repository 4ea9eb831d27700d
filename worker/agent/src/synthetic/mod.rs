//! The evaluators that need no libtorch: one that makes its results up (deterministic values of the
//! network, durations and failures as its settings ask), which stands in for a real one, and one
//! that computes mathematical test problems.
//!
//! Synchronous, with a thread that reads. Must not know the agent: it speaks the pipe protocol.

mod problem;
mod values;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use cambrian_core::graph::Graph;
use cambrian_core::id::AttemptId;
use cambrian_core::rng::{self, Purpose};
use cambrian_core::spec::{SyntheticFaults, SyntheticSettings};
use cambrian_proto::v1::{
    Assignment, Capabilities, EvaluationEnded, EvaluationProgress, EvaluatorMessage,
    EvaluatorOffer, Failure, FailureKind, Hello, Measurement, Measurements, Outcome, Provenance,
    Stage, SupervisorMessage, TaskAttempt, evaluator_message, outcome, supervisor_message,
};
use rand::RngExt;

use crate::attempt::NamesAttempt;
use crate::framing;
pub use values::digest;
use values::{METRICS, value};

/// The name under which stages ask for this evaluator, and what its values are marked with.
pub const NAME: &str = "synthetic";
const VERSION: &str = "1";
const PROTOCOL: u32 = 1;

/// What the program was told.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Data sets that it claims to have.
    pub datasets: Vec<String>,
    /// Where finished evaluations are recorded.
    pub evidence: Option<PathBuf>,
}

/// What goes wrong in an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Crash,
    Hang,
    NonFinite,
    OutOfMemory,
    ProtocolError,
}

/// Serves a supervisor on the standard streams until standard input ends, which ends the process at
/// once, whatever is in work.
///
/// # Errors
/// When a stream or the evidence file fails.
pub fn serve(options: &Options) -> anyhow::Result<()> {
    let mut evaluator = Evaluator { evidence: Evidence::open(options.evidence.as_deref())? };
    send(evaluator_message::Message::Hello(hello(&options.datasets)))?;
    let (sender, receiver) = channel();
    thread::spawn(move || read_supervisor(&sender));
    while let Ok(message) = receiver.recv() {
        match message {
            supervisor_message::Message::Evaluate(assignment) => {
                evaluator.evaluate(&assignment, &receiver)?;
            }
            // It has ended meanwhile; the answer is on its way.
            supervisor_message::Message::Stop(_) => {}
            // It does not yield, so nobody asks.
            supervisor_message::Message::WriteState(_) => {}
        }
    }
    Ok(())
}

/// Passes messages on; ends the process when there are no more, since even an evaluator that hangs
/// must not outlive its supervisor.
fn read_supervisor(messages: &Sender<supervisor_message::Message>) {
    let mut stdin = io::stdin().lock();
    loop {
        match framing::read_blocking::<SupervisorMessage>(&mut stdin) {
            Ok(Some(SupervisorMessage { message: Some(message) })) => {
                if messages.send(message).is_err() {
                    return;
                }
            }
            Ok(Some(SupervisorMessage { message: None })) => {
                eprintln!("the supervisor sent an empty message");
            }
            Ok(None) => std::process::exit(0),
            Err(error) => {
                eprintln!("the supervisor cannot be understood: {error}");
                std::process::exit(1);
            }
        }
    }
}

fn send(message: evaluator_message::Message) -> anyhow::Result<()> {
    let message = EvaluatorMessage { message: Some(message) };
    framing::write_blocking(&mut io::stdout().lock(), &message).context("cannot answer")
}

fn provenance() -> Provenance {
    Provenance { source: NAME.to_owned(), device_class: NAME.to_owned() }
}

fn hello(datasets: &[String]) -> Hello {
    let metrics = METRICS.iter().map(|metric| ((*metric).to_owned(), provenance())).collect();
    let offer = EvaluatorOffer {
        name: NAME.to_owned(),
        version: VERSION.to_owned(),
        metrics,
        yields: false,
    };
    let capabilities = Capabilities {
        device_class: NAME.to_owned(),
        evaluators: vec![offer, problem::offer()],
        datasets: datasets.to_vec(),
        ..Capabilities::default()
    };
    Hello { protocol: PROTOCOL, capabilities: Some(capabilities) }
}

struct Evaluator {
    evidence: Evidence,
}

impl Evaluator {
    fn evaluate(
        &mut self,
        assignment: &Assignment,
        messages: &Receiver<supervisor_message::Message>,
    ) -> anyhow::Result<()> {
        let id = assignment.attempt_id();
        if assignment.stage.as_ref().is_some_and(|stage| stage.evaluator == problem::NAME) {
            return self.end(id, problem::evaluate(assignment));
        }
        let outcome = match Plan::of(assignment) {
            Ok(plan) => plan.carry_out(id, messages)?,
            Err(message) => Some(failed(FailureKind::Invalid, message)),
        };
        match outcome {
            Some(outcome) => self.end(id, outcome),
            None => answer(id, failed(FailureKind::Preempted, "stopped on request".to_owned())),
        }
    }

    fn end(&mut self, id: AttemptId, outcome: outcome::Outcome) -> anyhow::Result<()> {
        self.evidence.append(id, &outcome)?;
        answer(id, outcome)
    }
}

fn answer(id: AttemptId, outcome: outcome::Outcome) -> anyhow::Result<()> {
    let outcome = Some(Outcome { outcome: Some(outcome), elapsed_micros: 0, ..Outcome::default() });
    let attempt = Some(TaskAttempt::from(id));
    let energy_joules = None;
    send(evaluator_message::Message::Ended(EvaluationEnded { attempt, outcome, energy_joules }))
}

/// An evaluation that is decided before it begins.
struct Plan {
    graph: Graph,
    stage: Stage,
    duration: Duration,
    steps: u32,
    fault: Option<Fault>,
    /// The relative noise of each metric of the stage, in its order.
    noise: Vec<f64>,
}

impl Plan {
    fn of(assignment: &Assignment) -> Result<Self, String> {
        let stage = assignment.stage.clone().ok_or("the assignment has no stage")?;
        if stage.evaluator != NAME {
            return Err(format!("this evaluator is `{NAME}`, not `{}`", stage.evaluator));
        }
        let settings: SyntheticSettings = serde_json::from_str(&stage.settings_json)
            .map_err(|error| format!("the settings cannot be read: {error}"))?;
        let graph = assignment.graph.clone().ok_or("the assignment has no graph")?;
        let graph = Graph::try_from(graph).map_err(|error| format!("graph: {error}"))?;
        for metric in &stage.measures {
            if !METRICS.contains(&metric.as_str()) {
                return Err(format!("this evaluator cannot measure {metric}"));
            }
        }
        let mut draw =
            rng::stream(assignment.seed, Purpose::Evaluation, u64::from(assignment.attempt));
        let fault = fault(&settings.faults, draw.random_range(0.0..1.0));
        let stretch = 1.0 + settings.spread * draw.random_range(-1.0..=1.0);
        let duration = Duration::try_from_secs_f64(settings.seconds * stretch)
            .map_err(|error| format!("a duration of {} s: {error}", settings.seconds))?;
        let mut draw = rng::stream(assignment.seed, Purpose::Noise, 0);
        let noise = |_| settings.noise * rng::standard_normal(&mut draw);
        let noise = stage.measures.iter().map(noise).collect();
        Ok(Self { graph, stage, duration, steps: settings.steps.max(1), fault, noise })
    }

    /// Takes the time that it takes; `None` if it was told to stop.
    fn carry_out(
        &self,
        id: AttemptId,
        messages: &Receiver<supervisor_message::Message>,
    ) -> anyhow::Result<Option<outcome::Outcome>> {
        let started = Instant::now();
        let fails_at = self.fault.map(|_| self.steps.div_ceil(2));
        for step in 1..=self.steps {
            let until = started + self.duration.mul_f64(f64::from(step) / f64::from(self.steps));
            if stopped_before(until, id, messages)? {
                return Ok(None);
            }
            if fails_at == Some(step)
                && let Some(fault) = self.fault
            {
                match fault {
                    Fault::NonFinite => break,
                    fault => return fail(fault).map(Some),
                }
            }
            self.report_progress(id, step)?;
        }
        Ok(Some(outcome::Outcome::Measured(Measurements { measurements: self.measurements() })))
    }

    fn report_progress(&self, id: AttemptId, step: u32) -> anyhow::Result<()> {
        // A learning curve that ends at the value itself.
        let done = f64::from(step) / f64::from(self.steps);
        let accuracy = value(&self.graph, "accuracy") * (2.0 - done) * done;
        send(evaluator_message::Message::Progress(EvaluationProgress {
            attempt: Some(id.into()),
            step,
            steps: self.steps,
            metrics: [("accuracy".to_owned(), accuracy)].into(),
        }))
    }

    fn measurements(&self) -> Vec<Measurement> {
        let broken = self.fault == Some(Fault::NonFinite);
        let noisy = |metric: &str, noise: f64| match noise {
            0.0 => value(&self.graph, metric),
            _ => value(&self.graph, metric) * (1.0 + noise),
        };
        let measure = |(metric, noise): (&String, &f64)| Measurement {
            metric: metric.clone(),
            value: if broken { f64::NAN } else { noisy(metric, *noise) },
            spread: None,
            provenance: Some(provenance()),
        };
        self.stage.measures.iter().zip(&self.noise).map(measure).collect()
    }
}

fn failed(kind: FailureKind, message: String) -> outcome::Outcome {
    outcome::Outcome::Failed(Failure { kind: kind.into(), message })
}

/// The fault that the draw from 0 to 1 hits, each as wide as its probability.
fn fault(faults: &SyntheticFaults, draw: f64) -> Option<Fault> {
    let table = [
        (Fault::Crash, faults.crash),
        (Fault::Hang, faults.hang),
        (Fault::NonFinite, faults.non_finite),
        (Fault::OutOfMemory, faults.out_of_memory),
        (Fault::ProtocolError, faults.protocol_error),
    ];
    let mut end = 0.0;
    table.into_iter().find_map(|(fault, probability)| {
        end += probability;
        (draw < end).then_some(fault)
    })
}

fn fail(fault: Fault) -> anyhow::Result<outcome::Outcome> {
    match fault {
        Fault::Crash => {
            eprintln!("a synthetic fault: the process aborts");
            std::process::abort();
        }
        Fault::Hang => loop {
            thread::park();
        },
        Fault::OutOfMemory => {
            let message = "a synthetic fault: out of memory".to_owned();
            Ok(failed(FailureKind::OutOfMemory, message))
        }
        Fault::ProtocolError => {
            // A length that no message may have, then the process lives on.
            let mut stdout = io::stdout().lock();
            stdout.write_all(&[0xff; 16])?;
            stdout.flush()?;
            drop(stdout);
            loop {
                thread::park();
            }
        }
        Fault::NonFinite => Ok(failed(FailureKind::NonFinite, "a synthetic fault".to_owned())),
    }
}

/// Waits; whether the attempt was told to stop meanwhile.
fn stopped_before(
    until: Instant,
    id: AttemptId,
    messages: &Receiver<supervisor_message::Message>,
) -> anyhow::Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match messages.recv_timeout(left) {
            Ok(supervisor_message::Message::Stop(stop)) => {
                if stop.attempt.is_some_and(|attempt| attempt.attempt_id() == id) {
                    return Ok(true);
                }
            }
            Ok(supervisor_message::Message::Evaluate(_)) => {
                anyhow::bail!(
                    "the supervisor sent a second evaluation before the end of the first"
                );
            }
            Ok(supervisor_message::Message::WriteState(_)) => {}
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the supervisor is gone"),
        }
    }
}

/// The record of finished evaluations that tests compare a ledger with.
struct Evidence(Option<File>);

impl Evidence {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("cannot open the evidence file {}", path.display()))
        };
        Ok(Self(path.map(open).transpose()?))
    }

    /// One line in one write, so that the lines of several processes do not mix.
    fn append(&mut self, id: AttemptId, outcome: &outcome::Outcome) -> anyhow::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let line = format!("{} {} {}\n", id.task, id.attempt, outcome_digest(outcome));
        file.write_all(line.as_bytes()).context("cannot write the evidence")?;
        file.sync_data().context("cannot sync the evidence")
    }
}

/// What was found, in 16 hexadecimal digits; or `failed:KIND`.
fn outcome_digest(outcome: &outcome::Outcome) -> String {
    let measurements = match outcome {
        outcome::Outcome::Failed(failure) => {
            let name = failure.kind().as_str_name().to_lowercase();
            return format!("failed:{}", name.trim_start_matches("failure_kind_"));
        }
        outcome::Outcome::Measured(Measurements { measurements }) => measurements,
    };
    if measurements.iter().any(|measurement| !measurement.value.is_finite()) {
        return "failed:non_finite".to_owned();
    }
    digest(measurements.iter().map(|found| (found.metric.as_str(), found.value)))
}

#[cfg(test)]
mod tests;
