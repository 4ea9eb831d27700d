//! Evaluators: what each one can measure here and how an assignment becomes measurements.
//!
//! A new evaluator is one file and one line in [`EVALUATORS`]. It must not know the pipe; stops
//! arrive and progress leaves through [`Supervision`].

mod assigned;
mod proxies;
mod trained;

use std::collections::BTreeMap;
use std::path::PathBuf;

use cambrian_core::engine::{Assignment, EvaluatorOffer};
use cambrian_core::objective::{Measurement, MetricName, Provenance};

use crate::data::Library;
use crate::device::Device;
use crate::failure::EvaluationError;
use crate::measure::energy::EnergyMeter;
use crate::measure::gate::Gate;

/// A way to evaluate candidates.
pub trait Evaluator: Sync {
    /// The name that stages use.
    fn name(&self) -> &'static str;

    /// Its version; results of different versions are different results.
    fn version(&self) -> &'static str;

    /// The metrics that it can deliver on `machine`, with where their values come from.
    fn metrics(&self, machine: &Machine) -> BTreeMap<MetricName, Provenance>;

    /// Whether it writes its state where [`Kept::left`] says when it is stopped for another attempt to go
    /// on with.
    fn yields(&self) -> bool {
        false
    }

    /// Measures what the assignment's stage asks for, and nothing else.
    ///
    /// # Errors
    /// [`EvaluationError`] of the kind that fits; no partial results.
    fn evaluate(
        &self,
        assignment: &Assignment,
        machine: &mut Machine,
        supervision: &mut Supervision<'_>,
    ) -> Result<Vec<Measurement>, EvaluationError>;
}

/// Every evaluator of this process.
pub const EVALUATORS: &[&dyn Evaluator] = &[&trained::Trained, &proxies::Proxies];

/// What evaluations run on; kept warm between assignments.
pub struct Machine {
    /// The device.
    pub device: Device,
    /// Datasets in memory.
    pub library: Library,
    /// The device's energy meter, if it has one.
    pub meter: Option<Box<dyn EnergyMeter>>,
}

/// Takes step, number of steps and metrics.
pub type Report<'a> = dyn FnMut(u32, u32, &[(&str, f64)]) + 'a;

/// The strings by which an evaluation hangs: stops, progress and the turn on the device.
pub struct Supervision<'a> {
    /// Whether the evaluation was asked to end.
    pub stopped: &'a dyn Fn() -> bool,
    /// Whether another attempt is to go on with the state of one that was asked to end.
    pub wanted: &'a dyn Fn() -> bool,
    /// The file that the state is to be written to while the evaluation goes on; each request once.
    pub asked: &'a dyn Fn() -> Option<PathBuf>,
    /// Takes the number of steps that are done in a state that was asked for and is written.
    pub written: &'a mut dyn FnMut(u32),
    /// Takes progress.
    pub report: &'a mut Report<'a>,
    /// Keeps measurements and other work on the device apart.
    pub gate: &'a Gate,
    /// Waits until the device has done all work in its queue.
    pub synchronize: &'a dyn Fn(),
    /// The state of an earlier training and of this one.
    pub kept: Kept,
}

/// Where the state of trainings is, and what is to be said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The file with the state of the training that this one continues.
    pub resume: Option<PathBuf>,
    /// The file that the state at the end belongs into, if a later stage continues this one.
    pub write: Option<PathBuf>,
    /// The file that the state belongs into if the evaluation is stopped and its state is wanted.
    pub left: Option<PathBuf>,
    /// The steps that are done in the state of a stopped evaluation, as progress counts them.
    pub step: u32,
    /// What was different from what was asked for and does not change what the values are.
    pub notes: Vec<String>,
}

impl Supervision<'_> {
    /// # Errors
    /// [`EvaluationError::Stopped`] if the evaluation was asked to end.
    pub fn check(&self) -> Result<(), EvaluationError> {
        if (self.stopped)() { Err(EvaluationError::Stopped) } else { Ok(()) }
    }

    /// Adds a note for people to the result.
    pub fn note(&mut self, note: String) {
        eprintln!("note: {note}");
        self.kept.notes.push(note);
    }

    /// Reports progress; values that are not finite are left out.
    pub fn progress(&mut self, step: u32, steps: u32, metrics: &[(&str, f64)]) {
        let finite: Vec<_> =
            metrics.iter().copied().filter(|(_, value)| value.is_finite()).collect();
        (self.report)(step, steps, &finite);
    }

    /// Does a short piece of `work` (a training step, an inference batch) while no measurement runs
    /// on the device, beside the work of other processes.
    ///
    /// # Errors
    /// [`EvaluationError::Stopped`] if a stop came before its turn; those of `work`.
    pub fn share<T>(
        &self,
        work: impl FnOnce() -> Result<T, EvaluationError>,
    ) -> Result<T, EvaluationError> {
        let _passage = self.gate.pass(self.stopped)?;
        let result = work();
        (self.synchronize)();
        result
    }
}

/// The evaluators on offer on `machine`.
#[must_use]
pub fn offers(machine: &Machine) -> Vec<EvaluatorOffer> {
    let offer = |evaluator: &&dyn Evaluator| EvaluatorOffer {
        name: evaluator.name().into(),
        version: evaluator.version().into(),
        metrics: evaluator.metrics(machine),
        yields: evaluator.yields(),
    };
    EVALUATORS.iter().map(offer).collect()
}

/// Evaluates with the evaluator that the stage names.
///
/// # Errors
/// [`EvaluationError::Invalid`] if there is none of that name or it cannot deliver what the stage
/// measures; those of the evaluator.
pub fn evaluate(
    assignment: &Assignment,
    machine: &mut Machine,
    supervision: &mut Supervision<'_>,
) -> Result<Vec<Measurement>, EvaluationError> {
    let stage = &assignment.stage;
    let Some(evaluator) = EVALUATORS.iter().find(|entry| *entry.name() == *stage.evaluator) else {
        let known: Vec<_> = EVALUATORS.iter().map(|evaluator| evaluator.name()).collect();
        return Err(EvaluationError::Invalid(format!(
            "there is no evaluator `{}` in this process; it has {}",
            stage.evaluator,
            known.join(", ")
        )));
    };
    let delivered = evaluator.metrics(machine);
    for metric in &stage.measures {
        if !delivered.contains_key(metric) {
            return Err(EvaluationError::Invalid(format!(
                "the evaluator `{}` does not measure `{metric}`",
                evaluator.name()
            )));
        }
    }
    evaluator.evaluate(assignment, machine, supervision)
}
