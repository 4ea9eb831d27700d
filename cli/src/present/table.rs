//! Tables for terminals: units in the headings, numbers aligned, sources named.
//!
//! Must not know where the text goes.

use comfy_table::{
    Attribute, Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle,
};

use super::heading;
use super::number::{self, NumberFormat};
use crate::results::{Candidate, Front, Metric};
use crate::terminal::Style;

/// No lines but one between header and rows.
const RULE_BELOW_HEADER: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// How wide a front may be where there is no terminal.
const FILE_WIDTH: u16 = 120;
/// A space on either side of a column, and one to the next.
const AROUND_COLUMN: usize = 3;
/// The heading of the first column of candidates.
const CANDIDATE: &str = "candidate";
/// The room that is left to genotypes.
const GENOTYPE_WIDTH: usize = 40;

/// How wide and how colourful a table may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) style: Style,
    /// Columns of the terminal; `None` where nothing wraps (a file, a pipe).
    pub(crate) width: Option<u16>,
}

impl Look {
    /// Without colours and wrapping.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { style: Style::plain(), width: None }
    }

    pub(super) fn table(self, headings: impl IntoIterator<Item = String>) -> Table {
        let mut table = Table::new();
        table.load_style(RULE_BELOW_HEADER);
        table.set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let bold = self.style.is_colored();
        table.force_no_tty();
        if bold {
            table.enforce_styling();
        }
        let cell = |text: String| {
            let cell = Cell::new(text);
            if bold { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(headings.into_iter().map(cell));
        table
    }
}

pub(super) fn align_right(table: &mut Table, columns: impl IntoIterator<Item = usize>) {
    for at in columns {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

pub(super) fn text(mut table: Table) -> String {
    // Cells end with a space of padding, which is of no use at the end of a line.
    for column in table.column_iter_mut() {
        column.set_padding((1, 1));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    lines.join("\n") + "\n"
}

/// The cells of one metric over all candidates, their numbers aligned whether or not they have a
/// spread; `-` where a value is missing.
fn metric_cells(metric: &Metric, candidates: &[&Candidate]) -> Vec<String> {
    let values: Vec<_> =
        candidates.iter().map(|candidate| candidate.metrics.get(metric.name.raw())).collect();
    let format = NumberFormat::of_column(values.iter().flatten().map(|found| found.value));
    let parts: Vec<_> = values
        .iter()
        .map(|found| match found {
            Some(found) => (format.write(found.value), format.write_spread(found.spread)),
            None => ("-".to_owned(), String::new()),
        })
        .collect();
    let widest = parts.iter().map(|(_, spread)| spread.chars().count()).max().unwrap_or(0);
    // No-break spaces: a cell's own trailing spaces would be trimmed.
    let cell = |(value, spread): &(String, String)| {
        let missing = widest - spread.chars().count();
        format!("{value}{spread}{}", "\u{a0}".repeat(missing))
    };
    parts.iter().map(cell).collect()
}

/// A value of one architecture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ValueRow {
    pub(crate) metric: String,
    pub(crate) value: f64,
    pub(crate) spread: Option<f64>,
    pub(crate) unit: String,
    /// Where it comes from, with the class of device where that matters.
    pub(crate) source: String,
}

/// The values of one architecture, each in its own unit.
pub(crate) fn values(rows: &[ValueRow], look: Look) -> String {
    let mut table = look.table(["metric", "value", "unit", "source"].map(str::to_owned));
    for row in rows {
        let format = NumberFormat::of_column([row.value]);
        let value = format.write(row.value) + &format.write_spread(row.spread);
        table.add_row([row.metric.clone(), value, row.unit.clone(), row.source.clone()]);
    }
    align_right(&mut table, [1]);
    text(table)
}

/// How one score orders rows: their number, Spearman's and Kendall's correlation, NaN where there is
/// none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CorrelationRow {
    pub(crate) score: String,
    /// Over all rows.
    pub(crate) all: [f64; 3],
    /// The 95 % confidence interval of Spearman's over all rows.
    pub(crate) interval: Option<(f64, f64)>,
    /// Over the rows with the best target.
    pub(crate) top: Option<[f64; 3]>,
}

/// Correlations of scores with a target, and those among the best `top` percent.
pub(crate) fn correlations(rows: &[CorrelationRow], top: f64, look: Look) -> String {
    let best = format!("best {} %", number::alone(top));
    let headings = ["score", "rows", "Spearman", "95 %", "Kendall"].map(str::to_owned);
    let of_best = ["rows", "Spearman", "Kendall"].map(|heading| format!("{best}: {heading}"));
    let mut table = look.table(headings.into_iter().chain(of_best));
    let written = |value: f64| match value.is_nan() {
        true => "-".to_owned(),
        false => format!("{value:.3}"),
    };
    for row in rows {
        let [count, spearman, kendall] = row.all;
        let interval = row.interval.map(|(low, high)| format!("{low:.3} to {high:.3}"));
        let mut cells = vec![
            row.score.clone(),
            number::count(count as u64),
            written(spearman),
            interval.unwrap_or_else(|| "-".to_owned()),
            written(kendall),
        ];
        match row.top {
            Some([count, spearman, kendall]) => {
                cells.extend([number::count(count as u64), written(spearman), written(kendall)]);
            }
            None => cells.extend(["-"; 3].map(str::to_owned)),
        }
        table.add_row(cells);
    }
    align_right(&mut table, 1..8);
    text(table)
}

/// Candidates with all metrics, in the order given.
pub(crate) fn candidates(
    metrics: &[Metric],
    candidates: &[&Candidate],
    options: Columns,
    look: Look,
) -> String {
    let mut headings = vec![CANDIDATE.to_owned()];
    if options.status {
        headings.push("status".to_owned());
    }
    let first_metric = headings.len();
    headings.extend(metrics.iter().map(heading::of_column));
    if options.status {
        headings.push("reason".to_owned());
    }
    if options.genotype {
        headings.push("genotype".to_owned());
    }
    let mut table = look.table(headings);
    let columns: Vec<_> = metrics.iter().map(|metric| metric_cells(metric, candidates)).collect();
    for (at, candidate) in candidates.iter().enumerate() {
        let mut row = vec![candidate.id.clone()];
        if options.status {
            row.push(status_words(candidate).to_owned());
        }
        row.extend(columns.iter().map(|cells| cells[at].clone()));
        if options.status {
            row.push(candidate.reason.prose());
        }
        if options.genotype {
            row.push(candidate.genotype.to_string());
        }
        table.add_row(row);
    }
    align_right(&mut table, std::iter::once(0).chain(first_metric..first_metric + metrics.len()));
    text(table)
}

/// Which columns are shown besides the metrics.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Columns {
    /// Status and reason.
    pub(crate) status: bool,
    /// The genotype.
    pub(crate) genotype: bool,
}

fn status_words(candidate: &Candidate) -> &'static str {
    match (candidate.on_front, candidate.is_feasible()) {
        (true, _) => "front",
        (false, false) if candidate.status == crate::results::CandidateStatus::Scored => {
            "scored, breaks constraints"
        }
        _ => candidate.status.name(),
    }
}

/// As many of `metrics` as fit into `room` characters, in their order, and those that are needed in any case; then
/// the names of those left out.
fn fitting(
    metrics: &[Metric],
    candidates: &[&Candidate],
    mut room: usize,
    needed: impl Fn(&Metric) -> bool,
) -> (Vec<Metric>, Vec<String>) {
    let (mut shown, mut hidden) = (Vec::new(), Vec::new());
    for metric in metrics {
        let cells = metric_cells(metric, candidates);
        let cells = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let width = cells.max(width_of(&heading::of_column(metric))) + AROUND_COLUMN;
        if needed(metric) || (width <= room && hidden.is_empty()) {
            room = room.saturating_sub(width);
            shown.push(metric.clone());
        } else {
            hidden.push(metric.name.to_string());
        }
    }
    (shown, hidden)
}

/// The widest line of a text, characters.
fn width_of(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Candidates with as many of the metrics as fit the width, at least the first, none of them wrapped; then the names
/// of the metrics left out.
pub(crate) fn narrow(metrics: &[Metric], rows: &[&Candidate], look: Look) -> (String, Vec<String>) {
    let ids = rows.iter().map(|candidate| candidate.id.chars().count()).max().unwrap_or(0);
    let room = look.width.map_or(usize::MAX, usize::from);
    // The last column has nothing to its right.
    let room = room.saturating_sub(ids.max(CANDIDATE.len()) + 2);
    let first = |metric: &Metric| metrics.first().is_some_and(|first| first.name == metric.name);
    let (shown, hidden) = fitting(metrics, rows, room, first);
    let whole = Look { width: None, ..look };
    (candidates(&shown, rows, Columns::default(), whole), hidden)
}

/// The front, best first in the first objective, with the sources below.
pub(crate) fn front(front: &Front, columns: Columns, look: Look) -> String {
    if front.members.is_empty() {
        return "The front is empty: no feasible candidate is scored yet.\n".to_owned();
    }
    let members = front.best_first();
    let genotype = if columns.genotype { GENOTYPE_WIDTH } else { 0 };
    let width = usize::from(look.width.unwrap_or(FILE_WIDTH));
    let room = width.saturating_sub(CANDIDATE.len() + AROUND_COLUMN + genotype);
    let (metrics, hidden) = fitting(&front.metrics, &members, room, |metric| metric.objective);
    let mut text = candidates(&metrics, &members, columns, look);
    let sources = heading::sources(&front.metrics);
    if !sources.is_empty() {
        text += &format!("{}\n", look.style.dim(&format!("sources: {sources}")));
    }
    if !hidden.is_empty() {
        let note = format!("not shown: {} (CSV and JSON have everything)", hidden.join(", "));
        text += &format!("{}\n", look.style.dim(&note));
    }
    text
}

/// A table of texts whose columns after the first hold numbers.
pub(crate) fn numbers(
    headings: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    look: Look,
) -> String {
    let mut table = filled(headings, rows, look);
    align_right(&mut table, 1..headings.len());
    text(table)
}

/// A plain table of texts.
pub(crate) fn texts(
    headings: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    look: Look,
) -> String {
    text(filled(headings, rows, look))
}

fn filled(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>, look: Look) -> Table {
    let mut table = look.table(headings.iter().map(|heading| (*heading).to_owned()));
    for row in rows {
        table.add_row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;
    use crate::results::{CandidateStatus, Value};

    fn example_front() -> Front {
        let metrics = examples::metrics();
        let mut first = examples::candidate(
            12,
            &[
                ("accuracy", 81.52),
                ("latency", 1.2345),
                ("energy", 0.09),
                ("introspectability", 0.5),
            ],
        );
        if let Some(value) = first.metrics.get_mut("accuracy") {
            *value = Value { spread: Some(0.549), ..value.clone() };
        }
        let second = examples::candidate(
            7,
            &[("accuracy", 84.0), ("latency", 12.5), ("energy", 0.21), ("introspectability", 0.4)],
        );
        Front { metrics, reference_point: vec![], hypervolume: None, members: vec![second, first] }
    }

    #[test]
    fn a_front_is_aligned_and_names_units_and_sources() {
        insta::assert_snapshot!(front(&example_front(), Columns::default(), Look::plain()));
    }

    #[test]
    fn an_empty_front_says_so() {
        let empty = Front { members: vec![], ..example_front() };
        assert!(front(&empty, Columns::default(), Look::plain()).contains("empty"));
    }

    #[test]
    fn candidates_show_status_and_reason() {
        let failed = Candidate {
            status: CandidateStatus::Failed,
            reason: "timeout: took longer than 5m".into(),
            ..examples::candidate(8, &[])
        };
        let broken = Candidate { violation: 0.5, ..examples::candidate(9, &[("accuracy", 3.0)]) };
        let columns = Columns { status: true, genotype: false };
        let metrics = examples::metrics();
        insta::assert_snapshot!(candidates(
            &metrics[..2],
            &[&failed, &broken],
            columns,
            Look::plain()
        ));
    }

    #[test]
    fn narrow_terminals_wrap_instead_of_breaking_the_table() {
        let look = Look { width: Some(60), ..Look::plain() };
        let table = front(&example_front(), Columns { status: false, genotype: true }, look);
        for line in
            table.lines().filter(|line| !line.starts_with("sources") && !line.starts_with("not"))
        {
            assert!(line.chars().count() <= 60, "{line}");
        }
    }
}
