//! Lists with many columns, one thing a line: campaigns, workers, tokens, stages, what a campaign can name. Where a
//! terminal is too narrow, columns are left out, the least important ones first, rather than words broken.
//!
//! Must not know where the text goes.

use comfy_table::{ColumnConstraint, Width};

use super::number;
use super::table::{Look, align_right, text};
use crate::foreign;
use crate::results::token::TokenRecord;
use crate::results::{Campaign, Instant, Stage, Worker};

/// So many of the most important columns are shown however narrow it is.
const KEPT: usize = 2;
/// What a column of prose needs at least, characters, if its words are no longer.
const PROSE: usize = 16;
/// A space on either side of a cell.
const PADDING: usize = 2;

/// How the cells of a column may be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To the right, never broken.
    Number,
    /// To the left, never broken.
    Word,
    /// To the left, broken between words.
    Prose,
}

/// A column of a list.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) heading: &'static str,
    pub(crate) kind: Kind,
    /// From 1 for the most important one.
    pub(crate) rank: usize,
    pub(crate) cells: Vec<String>,
}

impl Column {
    /// The column that `cell` makes of `rows`.
    pub(crate) fn of<T>(
        rows: &[T],
        (rank, kind, heading): (usize, Kind, &'static str),
        cell: fn(&T) -> String,
    ) -> Self {
        Self { heading, kind, rank, cells: rows.iter().map(cell).collect() }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(String::as_str).chain([self.heading])
    }

    /// The characters without which words would be broken.
    fn needed(&self) -> usize {
        let widest = self.texts().map(|text| text.chars().count()).max().unwrap_or(0);
        let words = self.texts().flat_map(str::split_whitespace);
        let word = words.map(|word| word.chars().count()).max().unwrap_or(0);
        match self.kind {
            Kind::Number | Kind::Word => widest,
            Kind::Prose => word.max(widest.min(PROSE)),
        }
    }
}

/// Takes out of `columns` what does not fit `width`, the least important first; returns their headings, and whether
/// the rest fits.
fn leave_out(columns: &mut Vec<Column>, width: usize) -> (Vec<&'static str>, bool) {
    let mut hidden = Vec::new();
    loop {
        // Between two columns there is a space more.
        let needed: usize = columns.iter().map(|column| column.needed() + PADDING + 1).sum();
        if needed <= width + 1 {
            return (hidden, true);
        }
        let last = (0..columns.len()).max_by_key(|at| columns[*at].rank);
        let Some(last) = last.filter(|_| columns.len() > KEPT) else { return (hidden, false) };
        hidden.insert(0, columns.remove(last).heading);
    }
}

/// The list, with a last line that names the columns left out.
pub(crate) fn list(mut columns: Vec<Column>, look: Look) -> String {
    let (hidden, fits) = match look.width {
        Some(width) => leave_out(&mut columns, usize::from(width)),
        None => (Vec::new(), true),
    };
    let mut table = look.table(columns.iter().map(|column| column.heading.to_owned()));
    let rows = columns.first().map_or(0, |column| column.cells.len());
    for row in 0..rows {
        table.add_row(columns.iter().map(|column| column.cells[row].clone()));
    }
    for (at, column) in columns.iter().enumerate() {
        if column.kind == Kind::Number {
            align_right(&mut table, [at]);
        }
        if let Some(laid_out) = table.column_mut(at).filter(|_| fits && look.width.is_some()) {
            let least = (column.needed() + PADDING) as u16;
            laid_out.set_constraint(match column.kind {
                Kind::Prose => ColumnConstraint::LowerBoundary(Width::Fixed(least)),
                Kind::Number | Kind::Word => ColumnConstraint::ContentWidth,
            });
        }
    }
    let mut out = text(table);
    if !hidden.is_empty() {
        let note =
            format!("not shown: {} (--json or a wider terminal has them)", hidden.join(", "));
        out += &format!("{}\n", look.style.dim(&note));
    }
    out
}

/// All campaigns, one a line.
pub(crate) fn campaigns(campaigns: &[Campaign], look: Look) -> String {
    if campaigns.is_empty() {
        return "No campaigns. `cambrian submit CAMPAIGN.yaml` creates one.\n".to_owned();
    }
    let of = |what, cell: fn(&Campaign) -> String| Column::of(campaigns, what, cell);
    let columns = vec![
        of((2, Kind::Number, "id"), |campaign| campaign.id.to_string()),
        of((1, Kind::Word, "name"), |campaign| campaign.name.to_string()),
        of((3, Kind::Prose, "status"), status),
        of((4, Kind::Number, "evaluations"), |campaign| {
            format!("{}/{}", campaign.evaluations_finished, campaign.evaluations_budget)
        }),
        of((7, Kind::Number, "scored"), |campaign| campaign.scored.to_string()),
        of((8, Kind::Number, "failed"), |campaign| campaign.failed.to_string()),
        of((9, Kind::Number, "screened"), |campaign| campaign.screened.to_string()),
        of((6, Kind::Number, "running"), |campaign| campaign.running.to_string()),
        of((5, Kind::Number, "front"), |campaign| campaign.front_size.to_string()),
        of((11, Kind::Word, "space"), |campaign| campaign.space.to_string()),
        of((10, Kind::Word, "algorithm"), |campaign| campaign.algorithm.to_string()),
        of((12, Kind::Word, "submitted"), |campaign| campaign.submitted_at.to_string()),
    ];
    let mut out = list(columns, look);
    for campaign in campaigns.iter().filter(|campaign| !campaign.held.is_empty()) {
        out += &format!("campaign {} is held: {}\n", campaign.id, campaign.held);
    }
    out
}

fn status(campaign: &Campaign) -> String {
    let status = campaign.status.name();
    match (campaign.reason.is_empty(), campaign.held.is_empty()) {
        (true, false) => format!("{status}, held"),
        (true, true) => status.to_owned(),
        (false, _) => format!("{status}: {}", campaign.reason),
    }
}

/// All workers, one a line, and below what they lack.
pub(crate) fn workers(workers: &[Worker], look: Look) -> String {
    if workers.is_empty() {
        return "No worker has ever registered. Start one with `cambrian-worker`.\n".to_owned();
    }
    let of = |what, cell: fn(&Worker) -> String| Column::of(workers, what, cell);
    let columns = vec![
        of((3, Kind::Number, "id"), |worker| worker.id.to_string()),
        of((1, Kind::Word, "name"), |worker| worker.name.to_string()),
        of((2, Kind::Word, "state"), |worker| worker.state().name().to_owned()),
        of((8, Kind::Word, "device class"), |worker| worker.device_class.to_string()),
        of((11, Kind::Number, "memory"), |worker| number::bytes(worker.memory_bytes)),
        of((5, Kind::Number, "slots"), |worker| worker.slots.to_string()),
        of((4, Kind::Prose, "tasks"), |worker| {
            worker.tasks.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
        }),
        of((6, Kind::Number, "completed"), |worker| number::count(worker.completed)),
        of((7, Kind::Number, "failed"), |worker| number::count(worker.failed)),
        of((9, Kind::Prose, "evaluators"), |worker| foreign::words(worker.evaluators.keys())),
        of((10, Kind::Prose, "data sets"), |worker| foreign::words(&worker.datasets)),
    ];
    let mut out = list(columns, look);
    for worker in workers {
        if let Some(quarantine) = &worker.quarantine {
            let (name, reason) = (&worker.name, &quarantine.reason);
            out += &format!("{name} is in quarantine: {reason}\n");
        }
        for (what, why) in &worker.unavailable {
            out += &format!("{} lacks {what}: {why}\n", worker.name);
        }
    }
    out
}

/// The tokens of a coordinator.
pub(crate) fn tokens(tokens: &[TokenRecord], look: Look) -> String {
    if tokens.is_empty() {
        return "no tokens yet; `cambrian token create` makes one\n".to_owned();
    }
    fn instant(at: Option<Instant>, none: &str) -> String {
        at.map_or(none.to_owned(), |at| at.to_string())
    }
    let of = |what, cell: fn(&TokenRecord) -> String| Column::of(tokens, what, cell);
    let columns = vec![
        of((1, Kind::Word, "token"), |token| token.id.to_string()),
        of((3, Kind::Word, "role"), |token| token.role.to_owned()),
        of((2, Kind::Word, "name"), |token| token.name.to_string()),
        of((4, Kind::Word, "status"), |token| token.status.to_owned()),
        of((6, Kind::Word, "created"), |token| token.created_at.to_string()),
        of((5, Kind::Word, "expires"), |token| instant(token.expires_at, "never")),
        of((7, Kind::Word, "revoked"), |token| instant(token.revoked_at, "-")),
    ];
    list(columns, look)
}

/// What each stage has done and cost, one a line.
pub(crate) fn stages(stages: &[Stage], look: Look) -> String {
    let metered = stages.iter().any(|stage| stage.energy_joules > 0.0);
    let of = |what, cell: fn(&Stage) -> String| Column::of(stages, what, cell);
    let mut all = vec![
        of((1, Kind::Word, "stage"), |stage| stage.name.to_string()),
        of((2, Kind::Number, "entered"), |stage| number::count(stage.entered.into())),
        of((3, Kind::Number, "passed"), |stage| number::count(stage.passed.into())),
        of((6, Kind::Number, "waiting"), |stage| number::count(stage.waiting.into())),
        of((4, Kind::Number, "screened"), |stage| number::count(stage.screened.into())),
        of((8, Kind::Number, "infeasible"), |stage| number::count(stage.infeasible.into())),
        of((5, Kind::Number, "failed"), |stage| number::count(stage.failed.into())),
        of((7, Kind::Number, "in slots"), |stage| number::duration(stage.slot_seconds)),
        of((9, Kind::Number, "energy"), |stage| number::energy(stage.energy_joules)),
    ];
    if !metered {
        all.pop();
    }
    list(all, look)
}

#[cfg(test)]
mod tests {
    use cambrian_proto::v1;

    use super::*;
    use crate::results::examples;

    fn at(width: u16) -> Look {
        Look { width: Some(width), ..Look::plain() }
    }

    fn example_campaigns() -> Vec<Campaign> {
        let held = Campaign { held: "the budget is spent".into(), ..examples::campaign(vec![]) };
        let long = Campaign {
            id: 12,
            name: "introspectable".into(),
            status: crate::results::CampaignStatus::Finished,
            reason: "no candidate meets the analytic constraints".into(),
            ..examples::campaign(vec![])
        };
        vec![held, long]
    }

    /// No line is too long, and no word of the headings or of `words` is broken.
    fn assert_whole(text: &str, width: usize, words: &[&str]) {
        for line in text.lines().take_while(|line| !line.starts_with("not shown")) {
            assert!(line.chars().count() <= width, "{line:?} of\n{text}");
        }
        for word in words {
            assert!(text.contains(word), "{word} is broken in\n{text}");
        }
    }

    #[test]
    fn narrow_lists_leave_out_the_least_important_columns() {
        insta::assert_snapshot!(campaigns(&example_campaigns(), at(60)));
    }

    #[test]
    fn nothing_is_left_out_where_it_fits_or_there_is_no_terminal() {
        for look in [at(200), Look::plain()] {
            let text = campaigns(&example_campaigns(), look);
            assert!(
                text.contains("2026-11-21T12:00:00.000Z") && !text.contains("not shown"),
                "{text}"
            );
        }
    }

    #[test]
    fn words_are_whole_at_any_width_of_a_terminal() {
        let (name, class) = ("worker-12.rack-3.example.org", "cpu:amd-epyc-7763-64-core:4t");
        let capabilities = v1::Capabilities {
            device_class: class.into(),
            slots: 4,
            datasets: vec!["fashion-mnist".into(), "cifar-10".into()],
            ..Default::default()
        };
        let worker = v1::Worker {
            id: 7,
            name: name.into(),
            connected: true,
            completed: 1_234,
            capabilities: Some(capabilities),
            ..Default::default()
        };
        let worker: Worker = worker.into();
        for width in 45..200 {
            let text = workers(std::slice::from_ref(&worker), at(width));
            assert_whole(&text, width.into(), &[name, "connected"]);
            let shown = !text.lines().last().unwrap_or_default().contains("device class");
            assert_eq!(text.contains(class), shown, "{text}");
            let text = campaigns(&example_campaigns(), at(width));
            let words = ["introspectable", "finished:", "candidate", "constraints"];
            assert_whole(&text, width.into(), &words);
            let text = stages(&[examples::stage("short", 12_345)], at(width));
            assert_whole(&text, width.into(), &["12,345", "12,339", "entered"]);
        }
        assert!(workers(&[worker], at(100)).contains("not shown: "));
    }

    #[test]
    fn even_a_terminal_of_twenty_columns_gets_the_names() {
        let text = campaigns(&example_campaigns(), at(20));
        assert!(text.contains("example") && text.contains("not shown: status"), "{text}");
    }
}
