//! Where a simulated campaign gets its results: tables, or a mathematical test problem. Must not
//! know how runs are summed up.

use cambrian_core::engine::Assignment;
use cambrian_core::objective::{Objective, Provenance};
use cambrian_core::simulation::{
    Evaluate, Evaluation, LookUp, ProblemEvaluations, TableRow, problem_provenance,
    table_provenance,
};
use cambrian_core::space::problem;
use cambrian_core::spec::CampaignSpec;

use super::table::{self, Durations};
use crate::arguments::SimulateArguments;
use crate::error::CliError;

/// Evaluates the candidates of a simulated campaign.
#[derive(Debug)]
pub(super) enum Source {
    Table(LookUp),
    Problem(ProblemEvaluations),
}

impl Source {
    /// What the campaign's stages ask for.
    ///
    /// # Errors
    /// Tables that are missing, not wanted, or do not fit the campaign.
    pub(super) fn read(given: &SimulateArguments, spec: &CampaignSpec) -> Result<Self, CliError> {
        if spec.stages.iter().any(|stage| *stage.evaluator != *"problem") {
            return Ok(Self::Table(table::read(given, spec)?));
        }
        let refuse = |message: &str, help: &str| CliError::Usage {
            message: message.to_owned(),
            help: help.to_owned(),
        };
        if !given.tables.is_empty() {
            return Err(refuse(
                "--table is given, but the campaign's stages compute a test problem",
                "leave --table out, or let the stages be `tabular`",
            ));
        }
        if !given.stage_share.is_empty() {
            return Err(refuse(
                "--stage-share is given, but the campaign's stages compute a test problem",
                "leave it out, or let the stages be `tabular`",
            ));
        }
        match given.duration {
            Durations::Constant(length) => {
                Ok(Self::Problem(ProblemEvaluations { shortest: length, longest: length }))
            }
            Durations::Drawn(shortest, longest) => {
                Ok(Self::Problem(ProblemEvaluations { shortest, longest }))
            }
            Durations::Column(_) | Durations::Spread(..) => Err(refuse(
                "--duration names a column, but a test problem has no table",
                "write `constant:SECONDS` or `drawn:SHORTEST:LONGEST`",
            )),
        }
    }

    /// The minimised objectives of everything that is known beforehand.
    pub(super) fn known(&self, spec: &CampaignSpec) -> Option<Vec<Vec<f64>>> {
        let Self::Table(table) = self else { return None };
        Some(table.rows().iter().filter_map(|row| objectives_of(row, spec)).collect())
    }

    /// The minimised objectives of an architecture without the noise of measurements.
    pub(super) fn truth(&self, spec: &CampaignSpec, genotype: &str) -> Option<Vec<f64>> {
        match self {
            Self::Table(table) => objectives_of(table.find(genotype)?, spec),
            Self::Problem(_) => {
                let names = spec.objectives.iter().map(|objective| objective.metric.as_str());
                let values = problem::measure(genotype, names).ok()?;
                let goals = spec.objectives.iter().map(|objective| objective.goal);
                Some(goals.zip(values).map(|(goal, value)| goal.minimized(value)).collect())
            }
        }
    }

    /// The evaluator that simulated workers offer.
    pub(super) fn evaluator(&self) -> &'static str {
        match self {
            Self::Table(_) => "tabular",
            Self::Problem(_) => "problem",
        }
    }

    /// What its values are marked with.
    pub(super) fn provenance(&self) -> Provenance {
        match self {
            Self::Table(_) => table_provenance(),
            Self::Problem(_) => problem_provenance(),
        }
    }
}

/// The minimised objectives of a row.
fn objectives_of(row: &TableRow, spec: &CampaignSpec) -> Option<Vec<f64>> {
    let value = |objective: &Objective| {
        row.values.get(&objective.metric).map(|value| objective.goal.minimized(*value))
    };
    spec.objectives.iter().map(value).collect()
}

impl Evaluate for Source {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        match self {
            Self::Table(table) => table.evaluate(assignment),
            Self::Problem(problem) => problem.evaluate(assignment),
        }
    }
}
