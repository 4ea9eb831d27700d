//! Where a simulated campaign gets its results: tables, or a mathematical test problem. Must not
//! know how runs are summed up.

use std::panic::resume_unwind;

use cambrian_core::engine::Assignment;
use cambrian_core::objective::Provenance;
use cambrian_core::simulation::{
    Evaluate, Evaluation, LookUp, ProblemEvaluations, TableRow, problem_provenance,
    table_provenance,
};
use cambrian_core::space::problem;
use cambrian_core::spec::CampaignSpec;

use super::table::{self, Durations};
use crate::arguments::SimulateArguments;
use crate::error::CliError;
use crate::output::Output;

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
    pub(super) fn read(
        output: Output,
        given: &SimulateArguments,
        spec: &CampaignSpec,
    ) -> Result<Self, CliError> {
        if spec.stages.iter().any(|stage| *stage.evaluator != *"problem") {
            return Ok(Self::Table(table::read(output, given, spec)?));
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

    /// The minimised objectives of everything that is known beforehand and keeps the campaign's bounds.
    pub(super) fn known(&self, spec: &CampaignSpec) -> Option<Vec<Vec<f64>>> {
        let Self::Table(table) = self else { return None };
        // Objectives that follow from networks cost as many networks as there are rows.
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let parts = table.rows().chunks(table.rows().len().div_ceil(threads).max(1));
        Some(std::thread::scope(|scope| {
            let of_part =
                |rows| scope.spawn(move || rows_that_keep_bounds(rows, spec).collect::<Vec<_>>());
            let parts: Vec<_> = parts.map(of_part).collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        }))
    }

    /// The minimised objectives of an architecture without the noise of measurements.
    pub(super) fn truth(&self, spec: &CampaignSpec, genotype: &str) -> Option<Vec<f64>> {
        match self {
            Self::Table(table) => spec.objectives_given(genotype, &table.find(genotype)?.values),
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

/// The minimised objectives of rows.
fn rows_that_keep_bounds(rows: &[TableRow], spec: &CampaignSpec) -> impl Iterator<Item = Vec<f64>> {
    let kept = rows.iter().filter(|row| spec.keeps_bounds(&row.key, &row.values));
    kept.filter_map(|row| spec.objectives_given(&row.key, &row.values))
}

impl Evaluate for Source {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        match self {
            Self::Table(table) => table.evaluate(assignment),
            Self::Problem(problem) => problem.evaluate(assignment),
        }
    }
}
