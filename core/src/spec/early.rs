//! When a running evaluation is stopped because its curve is hopeless. It must not know how curves are
//! compared; the engine does that.

use super::pass::Criterion;

/// The rule of one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStop {
    /// The metric whose curve the evaluator reports, by the campaign's name; the stage measures it.
    pub curve: Criterion,
    /// What else candidates are compared by, all known before the stage; possibly nothing.
    pub by: Vec<Criterion>,
    /// The first step at which an evaluation can be stopped, at least 1.
    pub after: u32,
    /// How many evaluations must have been completed before the first is stopped, 1 to 500.
    pub least: u32,
}
