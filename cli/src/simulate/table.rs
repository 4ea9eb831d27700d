//! Tables of known evaluations, checked and turned into rows for the simulation. Must not know
//! campaigns beyond the settings of a tabular stage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use cambrian_core::objective::MetricName;
use cambrian_core::rng::{self, Purpose};
use cambrian_core::simulation::{LookUp, TableRow, drawn_between};
use cambrian_core::spec::{CampaignSpec, TableColumns, TabularSettings};
use cambrian_core::time::Span;

use crate::arguments::SimulateArguments;
use crate::error::CliError;
use crate::output::Output;
use crate::sheet::{Joined, Sheet, join};

/// The longest evaluation, in seconds; virtual time counts microseconds.
const LONGEST: f64 = 1e7;

/// How long evaluations take, as `--duration` says it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Durations {
    /// All as long.
    Constant(Span),
    /// Seconds by a column.
    Column(String),
    /// From 1 second to this many, by the logarithm of a column between its 1 % and 99 % quantiles.
    Spread(String, f64),
    /// At random between two lengths, evenly in the logarithm.
    Drawn(Span, Span),
}

impl FromStr for Durations {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = |text: &str| {
            let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
            let fits = number > 0.0 && number <= LONGEST;
            fits.then_some(number)
                .ok_or(format!("{text} s is not above 0 and at most 10,000,000 s"))
        };
        match text.split(':').collect::<Vec<_>>()[..] {
            ["constant", length] => Ok(Self::Constant(span(seconds(length)?))),
            ["column", name] if !name.is_empty() => Ok(Self::Column(name.to_owned())),
            ["spread", name, factor] if !name.is_empty() => {
                Ok(Self::Spread(name.to_owned(), seconds(factor)?.max(1.0)))
            }
            ["drawn", shortest, longest] => {
                let (shortest, longest) = (seconds(shortest)?, seconds(longest)?);
                let fits = shortest <= longest;
                fits.then_some(Self::Drawn(span(shortest), span(longest)))
                    .ok_or(format!("{shortest} s is longer than {longest} s"))
            }
            _ => Err("write `constant:SECONDS`, `column:NAME` (in seconds), \
                      `spread:NAME:FACTOR` or `drawn:SHORTEST:LONGEST` (in seconds)"
                .to_owned()),
        }
    }
}

fn span(seconds: f64) -> Span {
    Span((seconds * 1e6) as u64)
}

/// Reads the tables of a campaign whose stages all look results up.
///
/// # Errors
/// Files that cannot be read or do not fit the campaign, with row and column.
pub(super) fn read(
    output: Output,
    given: &SimulateArguments,
    spec: &CampaignSpec,
) -> Result<LookUp, CliError> {
    let settings = settings(spec)?;
    let named = if given.tables.is_empty() { beside(&given.file, spec)? } else { Vec::new() };
    let sheets = given.tables.iter().chain(&named).map(|path| filled(path));
    let Joined { sheet, notes } = join(sheets.collect::<Result<_, _>>()?)?;
    notes.iter().for_each(|note| output.hint(note));
    let key = sheet.column(&settings.key, "the stage's `key`")?;
    let metrics = settings
        .columns
        .iter()
        .map(|(metric, TableColumns(columns))| {
            let at = |column: &String| sheet.column(column, &format!("`columns.{metric}`"));
            let at = columns.iter().map(at).collect::<Result<Vec<usize>, CliError>>()?;
            Ok((MetricName::from(metric.as_str()), at))
        })
        .collect::<Result<Vec<_>, CliError>>()?;
    let mut rows = Vec::with_capacity(sheet.rows.len());
    for at in 0..sheet.rows.len() {
        let (mut values, mut repeats) = (BTreeMap::new(), BTreeMap::new());
        for (metric, columns) in &metrics {
            let read = columns.iter().map(|column| sheet.number(at, *column));
            let read = read.collect::<Result<Vec<Option<f64>>, CliError>>()?;
            let Some(found) = read.into_iter().collect::<Option<Vec<f64>>>() else { continue };
            values.insert(metric.clone(), found.iter().sum::<f64>() / found.len() as f64);
            if found.len() > 1 {
                repeats.insert(metric.clone(), found);
            }
        }
        let key = sheet.rows[at][key].to_owned();
        rows.push(TableRow { key, values, repeats, duration: span(1.0) });
    }
    set_durations(&mut rows, &sheet, &given.duration)?;
    let noise = given.duration_noise;
    let table = LookUp::new(spec.space.clone(), rows, noise).map_err(|error| CliError::Usage {
        message: format!("{}: {error}", sheet.path.display()),
        help: format!("keys are in column `{}`, in the notation of the space", settings.key),
    })?;
    Ok(table.with_stage_shares(stage_shares(given, spec)?))
}

/// A table with at least one row.
fn filled(path: &Path) -> Result<Sheet, CliError> {
    let sheet = Sheet::read(path)?;
    if sheet.rows.is_empty() {
        return Err(CliError::Usage {
            message: format!("{} has no rows below its header", path.display()),
            help: "a table has one row an architecture; without any nothing can be scored"
                .to_owned(),
        });
    }
    Ok(sheet)
}

/// The tables that the stages name, which lie beside the campaign's file.
fn beside(campaign: &Path, spec: &CampaignSpec) -> Result<Vec<PathBuf>, CliError> {
    let folder = campaign.parent().unwrap_or(Path::new(""));
    let mut paths: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for stage in &spec.stages {
        if let Some(name) = stage.settings.get("table").and_then(|name| name.as_str()) {
            paths.entry(folder.join(name)).or_insert(&stage.name);
        }
    }
    let missing = paths.iter().filter(|(path, _)| !path.exists()).map(|(path, stage)| {
        format!("there is no file {}, which stage `{stage}` names as its `table`", path.display())
    });
    let missing: Vec<String> = missing.collect();
    if missing.is_empty() {
        return Ok(paths.into_keys().collect());
    }
    Err(CliError::NotFound {
        message: missing.join("; "),
        help:
            "put it beside the campaign file, or name the table with --table FILE, once or several \
               times"
                .to_owned(),
    })
}

fn stage_shares(
    given: &SimulateArguments,
    spec: &CampaignSpec,
) -> Result<BTreeMap<Arc<str>, f64>, CliError> {
    let share = |(name, share): &(String, f64)| {
        let stage = spec.stages.iter().find(|stage| *stage.name == **name);
        let stage = stage.ok_or_else(|| {
            let names: Vec<&str> = spec.stages.iter().map(|stage| &*stage.name).collect();
            CliError::Usage {
                message: format!("--stage-share names `{name}`, which is no stage"),
                help: format!("the campaign's stages are: {}", names.join(", ")),
            }
        })?;
        Ok((stage.name.clone(), *share))
    };
    given.stage_share.iter().map(share).collect()
}

/// The settings that all stages share, with the columns of all of them.
fn settings(spec: &CampaignSpec) -> Result<TabularSettings, CliError> {
    let mut all: Option<TabularSettings> = None;
    for stage in &spec.stages {
        let refuse = |message: String| CliError::Usage {
            message,
            help: "let all stages be `tabular`, with the same `key`, or all be `problem`"
                .to_owned(),
        };
        if *stage.evaluator != *"tabular" {
            return Err(refuse(format!("stage `{}` is not `tabular`", stage.name)));
        }
        let settings: TabularSettings = serde_json::from_value(stage.settings.as_ref().clone())
            .map_err(|error| CliError::Internal(error.to_string()))?;
        match &mut all {
            None => all = Some(settings),
            Some(all) if all.key == settings.key => all.columns.extend(settings.columns),
            Some(_) => return Err(refuse(format!("stage `{}` has another key", stage.name))),
        }
    }
    all.ok_or_else(|| CliError::Internal("a campaign without stages".to_owned()))
}

fn set_durations(
    rows: &mut [TableRow],
    sheet: &Sheet,
    durations: &Durations,
) -> Result<(), CliError> {
    let (column, factor) = match durations {
        Durations::Constant(length) => {
            rows.iter_mut().for_each(|row| row.duration = *length);
            return Ok(());
        }
        Durations::Drawn(shortest, longest) => {
            for (at, row) in (0..).zip(rows) {
                let mut rng = rng::stream(0, Purpose::Simulation, at);
                row.duration = drawn_between(*shortest, *longest, &mut rng);
            }
            return Ok(());
        }
        Durations::Column(column) => (column, None),
        Durations::Spread(column, factor) => (column, Some(*factor)),
    };
    let at = sheet.column(column, "--duration")?;
    let values = (0..rows.len()).map(|row| sheet.number(row, at)).collect::<Result<Vec<_>, _>>()?;
    if factor.is_none() {
        refuse_too_long(sheet, at, &values)?;
    }
    let mut known: Vec<f64> =
        values.iter().flatten().copied().filter(|value| *value > 0.0).collect();
    known.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| known.get((share * known.len() as f64) as usize).copied();
    let (low, high) = (quantile(0.01).unwrap_or(1.0).ln(), quantile(0.99).unwrap_or(1.0).ln());
    for (row, value) in rows.iter_mut().zip(values) {
        // Without a value an evaluation takes as long as the shortest.
        let seconds = match (factor, value.filter(|value| *value > 0.0)) {
            (Some(factor), Some(value)) if high > low => {
                factor.powf(((value.ln() - low) / (high - low)).clamp(0.0, 1.0))
            }
            (None, Some(value)) => value,
            _ => 1.0,
        };
        row.duration = span(seconds);
    }
    Ok(())
}

/// Refuses seconds that no evaluation takes, such as those of a column that counts something smaller.
fn refuse_too_long(sheet: &Sheet, at: usize, seconds: &[Option<f64>]) -> Result<(), CliError> {
    let long = |value: &Option<f64>| value.filter(|value| *value > LONGEST);
    let first = (1..).zip(seconds).find_map(|(row, value): (usize, _)| Some((row, long(value)?)));
    first.map_or(Ok(()), |(row, value)| {
        Err(CliError::Usage {
            message: format!(
                "{}, row {row}, column `{}`: an evaluation of {value} s is longer than 10,000,000 s",
                sheet.path.display(),
                sheet.columns[at]
            ),
            help: "`--duration column:NAME` takes seconds; `spread:NAME:FACTOR` takes any unit"
                .to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::tests::sheet;

    #[test]
    fn a_column_of_durations_is_bounded() {
        let sheet = sheet("id,time\n1,10000000\n2,\n3,2e7\n");
        let row = || TableRow {
            key: String::new(),
            values: BTreeMap::new(),
            repeats: BTreeMap::new(),
            duration: span(1.0),
        };
        let mut rows = [row(), row(), row()];
        let error = set_durations(&mut rows, &sheet, &Durations::Column("time".to_owned()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "table.csv, row 3, column `time`: an evaluation of 20000000 s is longer than 10,000,000 s"
        );
        set_durations(&mut rows, &sheet, &Durations::Spread("time".to_owned(), 20.0)).unwrap();
        let mut rows = [row(), row()];
        set_durations(&mut rows, &sheet, &Durations::Column("time".to_owned())).unwrap();
        assert_eq!(rows[0].duration, Span(10_000_000_000_000));
    }

    #[test]
    fn durations_are_read_and_refused() {
        assert_eq!("constant:2.5".parse(), Ok(Durations::Constant(Span(2_500_000))));
        assert_eq!("column:s".parse(), Ok(Durations::Column("s".to_owned())));
        assert_eq!("spread:ms:20".parse(), Ok(Durations::Spread("ms".to_owned(), 20.0)));
        let drawn = Durations::Drawn(Span(500_000), Span(10_000_000));
        assert_eq!("drawn:0.5:10".parse(), Ok(drawn));
        for wrong in [
            "drawn:2:1",
            "drawn:1",
            "constant",
            "constant:-1",
            "constant:x",
            "spread:ms",
            "fast",
            "column:",
        ] {
            assert!(wrong.parse::<Durations>().is_err(), "{wrong}");
        }
    }
}
