//! `cambrian correlate`: how well scores order candidates as a metric does, from files of results.
//!
//! Reads tables, asks the core for the correlations, prints and draws them.
//!
//! Must not know coordinators, nor the formulas.

use cambrian_core::rank_correlation::{kendall, spearman, spearman_interval};
use serde::Serialize;

use super::{Context, write_picture};
use crate::arguments::{CorrelateArguments, Format};
use crate::error::CliError;
use crate::figure::correlation::{self as figure, Panel};
use crate::foreign::legible;
use crate::present::csv;
use crate::present::table::{self, CorrelationRow};
use crate::sheet::{self, Joined, Sheet};

/// The fewest rows that a correlation is computed from.
const FEWEST: usize = 3;

/// How one score orders the rows.
#[derive(Debug, Serialize)]
struct Correlation {
    score: String,
    /// All rows that have both values.
    all: Agreement,
    /// Those whose target is among the best.
    top: Option<Agreement>,
}

/// Correlations over some rows.
#[derive(Debug, Clone, Copy, Serialize)]
struct Agreement {
    rows: usize,
    /// `None` where one of the two does not vary.
    spearman: Option<f64>,
    /// The ends of the 95 % confidence interval of `spearman`.
    spearman_95: Option<(f64, f64)>,
    kendall: Option<f64>,
}

/// # Errors
/// Files that cannot be read or joined, columns that are not there or hold no numbers.
pub(super) fn run(context: &Context, given: &CorrelateArguments) -> Result<(), CliError> {
    let scores = Sheet::read(&given.file)?;
    let names = score_columns(&scores, given)?;
    let sheet = joined(context, scores, given)?;
    let target = sheet.column(&given.target, "--target")?;
    let mut correlations = Vec::new();
    let mut panels = Vec::new();
    for name in &names {
        let pairs = pairs(&sheet, sheet.column(name, "--score")?, target)?;
        if pairs.len() < FEWEST {
            return Err(CliError::Usage {
                message: format!(
                    "{} rows have both `{name}` and `{}`; at least {FEWEST} are needed",
                    pairs.len(),
                    given.target
                ),
                help: "check --match, or leave the score out by naming others with --score"
                    .to_owned(),
            });
        }
        let correlation = correlation(name, &pairs, given);
        panels.push(panel(&correlation, pairs));
        correlations.push(correlation);
    }
    print(context, given, &correlations)?;
    draw(context, given, &panels)
}

/// The columns whose order is compared: those that are named, or every metric of a file of
/// candidates, or every other column of numbers.
fn score_columns(sheet: &Sheet, given: &CorrelateArguments) -> Result<Vec<String>, CliError> {
    if !given.scores.is_empty() {
        return Ok(given.scores.clone());
    }
    let has = |name: &str| sheet.position(name).is_some();
    let metrics: Vec<String> =
        sheet.columns.iter().filter(|name| has(&format!("{name}_spread"))).cloned().collect();
    let candidates = !metrics.is_empty();
    let numbers = |at: usize| {
        let values: Vec<f64> =
            (0..sheet.rows.len()).filter_map(|row| sheet.number(row, at).ok()?).collect();
        let whole = (0..sheet.rows.len()).all(|row| sheet.number(row, at).is_ok());
        whole && values.windows(2).any(|pair| pair[0] != pair[1])
    };
    let found: Vec<String> = (0..sheet.columns.len())
        .map(|at| (at, &sheet.columns[at]))
        .filter(|(_, name)| **name != given.target)
        .filter(|(_, name)| given.matched.as_ref().is_none_or(|(key, _)| key != *name))
        .filter(|(_, name)| !candidates || metrics.contains(name))
        .filter(|(at, _)| numbers(*at))
        .map(|(_, name)| name.clone())
        .collect();
    if found.is_empty() {
        return Err(CliError::Usage {
            message: format!("{} has no column of numbers that vary", given.file.display()),
            help: "name a candidates.csv, or another table of scores".to_owned(),
        });
    }
    Ok(found)
}

/// The scores with the columns of the other tables, which are joined among themselves first.
fn joined(context: &Context, scores: Sheet, given: &CorrelateArguments) -> Result<Sheet, CliError> {
    let mut others = Vec::new();
    for path in &given.tables {
        others.push(Sheet::read(path)?);
    }
    if others.is_empty() {
        return Ok(scores);
    }
    let Joined { sheet: other, notes } = sheet::join(others)?;
    notes.iter().for_each(|note| context.output.hint(note));
    let (left_name, right_name) = match &given.matched {
        Some((left, right)) => (left.as_str(), right.as_str()),
        None => ("genotype", "genotype"),
    };
    let left = scores.column(left_name, "--match")?;
    let right = other.column(right_name, "--match")?;
    let rows = other.rows_by(right)?;
    let mut scores = scores;
    let mut without = 0;
    for row in &mut scores.rows {
        let found = rows.get(row[left].trim()).copied();
        without += usize::from(found.is_none());
        for at in 0..other.columns.len() {
            row.push_field(found.map_or("", |found| &other.rows[found][at]));
        }
    }
    // Rows of the tables without a score are nothing to speak of: there are tables of whole spaces.
    if without > 0 {
        let what = scores.left_out(without, "no row of the tables has", left_name);
        context.output.hint(&format!("{}: {what}", scores.path.display()));
    }
    // A column of the scores hides one of the same name.
    scores.columns.extend(other.columns);
    Ok(scores)
}

/// Score and target of every row that has both.
fn pairs(sheet: &Sheet, score: usize, target: usize) -> Result<Vec<(f64, f64)>, CliError> {
    let mut pairs = Vec::new();
    for row in 0..sheet.rows.len() {
        if let (Some(score), Some(target)) = (sheet.number(row, score)?, sheet.number(row, target)?)
        {
            pairs.push((score, target));
        }
    }
    Ok(pairs)
}

fn correlation(name: &str, pairs: &[(f64, f64)], given: &CorrelateArguments) -> Correlation {
    let mut best = pairs.to_vec();
    let sign = if given.lower_is_better { 1.0 } else { -1.0 };
    best.sort_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)));
    best.truncate((pairs.len() as f64 * given.top / 100.0).ceil() as usize);
    let top = (best.len() >= FEWEST).then(|| agreement(&best));
    Correlation { score: name.to_owned(), all: agreement(pairs), top }
}

fn agreement(pairs: &[(f64, f64)]) -> Agreement {
    let spearman = spearman(pairs);
    Agreement {
        rows: pairs.len(),
        spearman,
        spearman_95: spearman.and_then(|found| spearman_interval(found, pairs.len())),
        kendall: kendall(pairs),
    }
}

fn panel(correlation: &Correlation, pairs: Vec<(f64, f64)>) -> Panel {
    let written = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let Agreement { spearman, kendall, rows, .. } = correlation.all;
    let note = format!("ρ {}, τ {}, {rows} rows", written(spearman), written(kendall));
    Panel { title: correlation.score.clone(), note, pairs }
}

fn print(
    context: &Context,
    given: &CorrelateArguments,
    correlations: &[Correlation],
) -> Result<(), CliError> {
    let output = context.output;
    match output.format(given.format)? {
        Format::Json => output.object(&serde_json::json!({
            "target": given.target,
            "top_percent": given.top,
            "correlations": correlations,
        })),
        Format::Csv => output.data(&csv_text(correlations)?),
        Format::Table => {
            let rows: Vec<CorrelationRow> = correlations.iter().map(row).collect();
            output.text(&table::correlations(&rows, given.top, output.look()))
        }
    }
}

fn row(correlation: &Correlation) -> CorrelationRow {
    let cells = |agreement: &Agreement| {
        [
            agreement.rows as f64,
            agreement.spearman.unwrap_or(f64::NAN),
            agreement.kendall.unwrap_or(f64::NAN),
        ]
    };
    CorrelationRow {
        score: legible(&correlation.score),
        all: cells(&correlation.all),
        interval: correlation.all.spearman_95,
        top: correlation.top.as_ref().map(cells),
    }
}

fn csv_text(correlations: &[Correlation]) -> Result<String, CliError> {
    let header = [
        "score",
        "rows",
        "spearman",
        "spearman_low",
        "spearman_high",
        "kendall",
        "top_rows",
        "top_spearman",
        "top_kendall",
    ];
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let row = |Correlation { score, all, top }: &Correlation| {
        vec![
            score.clone(),
            all.rows.to_string(),
            number(all.spearman),
            number(all.spearman_95.map(|ends| ends.0)),
            number(all.spearman_95.map(|ends| ends.1)),
            number(all.kendall),
            top.map(|top| top.rows.to_string()).unwrap_or_default(),
            number(top.and_then(|top| top.spearman)),
            number(top.and_then(|top| top.kendall)),
        ]
    };
    let header = header.map(str::to_owned).to_vec();
    csv::text(std::iter::once(header).chain(correlations.iter().map(row)))
}

fn draw(context: &Context, given: &CorrelateArguments, panels: &[Panel]) -> Result<(), CliError> {
    if given.svg.is_none() && given.png.is_none() {
        return Ok(());
    }
    let svg = figure::svg(&given.target, panels);
    write_picture(context, &svg, (given.svg.as_deref(), given.png.as_deref()))
}
