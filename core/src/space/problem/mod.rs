//! Mathematical test problems of multi-objective optimisation: real variables and closed-form
//! objectives with known fronts, to check algorithms against the literature. They have no network;
//! the evaluator `problem` computes their objectives from the genotype's text, which names the
//! problem, so that nothing has to be said twice.

mod dtlz;
mod wfg;
mod zdt;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::schema::{Gene, GeneKind, Notation};
use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, hash_of_slots};
use crate::graph::CanonicalHash;
use crate::spec::Section;

const NAME: &str = "problem";
/// The most variables of a problem.
const MAX_VARIABLES: u32 = 1_000;
/// The numbers of objectives that a campaign can have.
const SIZES: std::ops::RangeInclusive<u32> = 2..=8;

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "a mathematical test problem with a known front: ZDT1 to 4 and 6, DTLZ1 to 7, WFG1 \
              to 9; its objectives are the metrics f1, f2, ... of the evaluator `problem`",
    build: |section| Some(Arc::new(ProblemSpace::new(read(section)?))),
};

/// Which problem, and of which size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    family: Family,
    number: u8,
    objectives: u32,
    variables: u32,
    /// Position parameters of WFG, 0 elsewhere.
    position: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Zdt,
    Dtlz,
    Wfg,
}

impl Family {
    const ALL: [(Self, &'static str, &'static [u8]); 3] = [
        (Self::Zdt, "zdt", &[1, 2, 3, 4, 6]),
        (Self::Dtlz, "dtlz", &[1, 2, 3, 4, 5, 6, 7]),
        (Self::Wfg, "wfg", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ];

    fn prefix(self) -> &'static str {
        Self::ALL.iter().find(|(family, ..)| *family == self).map_or("", |(_, prefix, _)| prefix)
    }

    fn find(name: &str) -> Option<(Self, u8)> {
        Self::ALL.iter().find_map(|(family, prefix, numbers)| {
            let number = name.strip_prefix(prefix)?.parse().ok()?;
            numbers.contains(&number).then_some((*family, number))
        })
    }
}

/// The names of all problems.
fn names() -> impl Iterator<Item = String> {
    Family::ALL.iter().flat_map(|(_, prefix, numbers)| {
        numbers.iter().map(move |number| format!("{prefix}{number}"))
    })
}

impl fmt::Display for Problem {
    /// The beginning of every genotype of the problem: `zdt1`, `dtlz2/3` (three objectives),
    /// `wfg4/3/4` (three objectives, four position parameters).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.family.prefix(), self.number)?;
        match self.family {
            Family::Zdt => Ok(()),
            Family::Dtlz => write!(f, "/{}", self.objectives),
            Family::Wfg => write!(f, "/{}/{}", self.objectives, self.position),
        }
    }
}

impl Problem {
    /// The number of objectives, 2 to 8.
    #[must_use]
    pub fn objectives(&self) -> usize {
        self.objectives as usize
    }

    /// The minimised objectives at `x`, which has as many values as the problem has variables.
    #[must_use]
    pub fn evaluate(&self, x: &[f64]) -> Vec<f64> {
        let objectives = self.objectives();
        match self.family {
            Family::Zdt => zdt::evaluate(self.number, x),
            Family::Dtlz => dtlz::evaluate(self.number, objectives, x),
            Family::Wfg => wfg::evaluate(self.number, objectives, self.position as usize, x),
        }
    }

    /// The range of variable `at`, counted from 0.
    fn range(&self, at: u32) -> (f64, f64) {
        match (self.family, self.number) {
            (Family::Zdt, 4) if at > 0 => (-5.0, 5.0),
            (Family::Wfg, _) => (0.0, 2.0 * f64::from(at + 1)),
            _ => (0.0, 1.0),
        }
    }

    /// What is wrong with the numbers, by key.
    fn faults(&self) -> Vec<(&'static str, String, String)> {
        let Self { family, objectives, variables, position, .. } = *self;
        let mut faults = Vec::new();
        let name = format!("{}{}", family.prefix(), self.number);
        if family == Family::Zdt && objectives != 2 {
            faults.push(("objectives", format!("`{name}` has 2"), "leave it out".to_owned()));
        } else if !SIZES.contains(&objectives) {
            let help = "write a number from 2 to 8".to_owned();
            faults.push(("objectives", format!("{objectives} is out of range"), help));
            return faults;
        }
        if family == Family::Wfg && (position < 1 || !position.is_multiple_of(objectives - 1)) {
            let multiple = objectives - 1;
            let reason = format!("{position} is not a multiple of {multiple}");
            let help = format!(
                "write {} or another multiple of one less than the objectives",
                2 * multiple
            );
            faults.push(("position", reason, help));
        }
        let least = if family == Family::Wfg { position + 2 } else { objectives };
        if !(least..=MAX_VARIABLES).contains(&variables) {
            let help = format!("write a number from {least} to {MAX_VARIABLES}");
            faults.push(("variables", format!("{variables} is out of range"), help));
        } else if matches!((family, self.number), (Family::Wfg, 2 | 3))
            && !(variables - position).is_multiple_of(2)
        {
            let reason = format!(
                "`{name}` pairs the {} variables after the first {position}",
                variables - position
            );
            faults.push(("variables", reason, "make their number even".to_owned()));
        }
        faults
    }
}

/// The objectives of a genotype's text, as [`SearchSpace::format`] of this space writes it.
///
/// # Errors
/// What is wrong with the text.
pub fn evaluate(genotype: &str) -> Result<Vec<f64>, String> {
    let (name, values) =
        genotype.strip_suffix(')').and_then(|rest| rest.split_once('(')).ok_or_else(|| {
            "expected a problem and its variables, such as `zdt1(0.5 0.25)`".to_owned()
        })?;
    let values: Vec<f64> = values
        .split(' ')
        .map(|text| text.parse().map_err(|_| format!("`{text}` is not a number")))
        .collect::<Result<_, _>>()?;
    let mut parts = name.split('/');
    let unknown = || format!("there is no problem called `{name}`");
    let (family, number) = parts.next().and_then(Family::find).ok_or_else(unknown)?;
    let mut part =
        |default: u32| parts.next().map_or(Ok(default), |text| text.parse().map_err(|_| unknown()));
    let (objectives, position) = (part(2)?, part(0)?);
    let problem = Problem { family, number, objectives, variables: values.len() as u32, position };
    if let Some((key, reason, _)) = problem.faults().first() {
        return Err(format!("{key}: {reason}"));
    }
    for (at, value) in (0..).zip(&values) {
        let (low, high) = problem.range(at);
        if !(low..=high).contains(value) {
            return Err(format!("variable {} is {value}, outside {low} to {high}", at + 1));
        }
    }
    Ok(problem.evaluate(&values))
}

/// The metrics that a problem's objectives are called, in order.
pub const OBJECTIVES: &[&str] = &["f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8"];

/// The objectives that `metrics` name, of [`OBJECTIVES`], for a genotype's text.
///
/// # Errors
/// What is wrong with the text, or the metric that the problem does not have.
pub fn measure<'m>(
    genotype: &str,
    metrics: impl IntoIterator<Item = &'m str>,
) -> Result<Vec<f64>, String> {
    let values = evaluate(genotype)?;
    let measured = metrics.into_iter().map(|metric| {
        let at = OBJECTIVES.iter().position(|name| *name == metric);
        at.and_then(|at| values.get(at))
            .copied()
            .ok_or_else(|| format!("the problem has {} objectives and no {metric}", values.len()))
    });
    measured.collect()
}

/// The parameters as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    name: Option<String>,
    objectives: Option<u32>,
    variables: Option<u32>,
    position: Option<u32>,
}

fn read(section: &Section<'_>) -> Option<Problem> {
    let raw: Raw = section.read();
    let all: Vec<String> = names().collect();
    section.missing("name", format!("write one of: {}", all.join(", ")));
    let name = raw.name?;
    let Some((family, number)) = Family::find(&name) else {
        let help = format!("write one of: {}", all.join(", "));
        section.fault(
            "name",
            format!("there is no problem called `{}`", name.escape_debug()),
            help,
        );
        return None;
    };
    let objectives = raw.objectives.unwrap_or(2);
    let position = match family {
        Family::Wfg => raw.position.unwrap_or(if objectives == 2 {
            4
        } else {
            2 * objectives.saturating_sub(1)
        }),
        _ => 0,
    };
    if family != Family::Wfg && raw.position.is_some() {
        section.fault("position", format!("`{name}` has no such parameter"), "leave it out");
    }
    // The sizes of the publications.
    let variables = raw.variables.unwrap_or(match (family, number) {
        (Family::Zdt, 1..=3) => 30,
        (Family::Zdt, _) => 10,
        (Family::Dtlz, 1) => objectives + 4,
        (Family::Dtlz, 7) => objectives + 19,
        (Family::Dtlz, _) => objectives + 9,
        (Family::Wfg, _) => position + 20,
    });
    let problem = Problem { family, number, objectives, variables, position };
    for (key, reason, help) in problem.faults() {
        section.fault(key, reason, help);
    }
    section.is_clean().then_some(problem)
}

/// The variables of a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemSpace {
    problem: Problem,
    schema: Schema,
}

impl ProblemSpace {
    fn new(problem: Problem) -> Self {
        let gene = |at| {
            let (low, high) = problem.range(at);
            Gene::new(format!("x{}", at + 1), GeneKind::Real { low, high, log: false })
        };
        let schema = Schema::new((0..problem.variables).map(gene).collect())
            .and_then(|schema| schema.with_notation(Notation::List(' ')))
            .expect("ranges are finite and numbers are written in lists");
        Self { problem, schema }
    }

    fn foreign(&self, reason: String) -> SpaceError {
        SpaceError::Foreign { space: NAME, reason }
    }
}

impl SearchSpace for ProblemSpace {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        let Problem { family, number, objectives, variables, position } = self.problem;
        let mut parameters = serde_json::json!({
            "name": format!("{}{number}", family.prefix()),
            "objectives": objectives,
            "variables": variables,
        });
        if family == Family::Wfg {
            parameters["position"] = position.into();
        }
        parameters
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.schema.check(genotype).map_err(|reason| self.foreign(reason))?;
        Ok(hash_of_slots("cambrian test problem v1", genotype))
    }

    fn has_networks(&self) -> bool {
        false
    }

    fn problem(&self) -> Option<Problem> {
        Some(self.problem)
    }

    fn format(&self, genotype: &Genotype) -> String {
        format!("{}({})", self.problem, self.schema.format(genotype))
    }

    fn parse(&self, text: &str) -> Result<Genotype, SpaceError> {
        let values = text
            .strip_prefix(&self.problem.to_string())
            .and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'))
            .ok_or_else(|| self.foreign(format!("expected `{}(...)`", self.problem)))?;
        self.schema.parse(values).map_err(|reason| self.foreign(reason))
    }
}
