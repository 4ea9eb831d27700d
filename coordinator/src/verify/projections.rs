//! Every row of the projections against what the replay says it should be. What differs is named by table, key
//! and column.
//!
//! Must not know how the tables are written, nor in which database they are.

use std::collections::BTreeSet;

use cambrian_core::engine::{Campaign, CandidateStatus, CandidateView, State, Worker};
use cambrian_core::id::{Ordinal, TaskId};

use super::Problems;
use super::ledger::{Ledger, TaskAccount, TaskEnd};
use crate::store::rows::{CampaignRow, CandidateRow, MeasurementRow, Row, TaskRow, WorkerRow};
use crate::store::{StoreError, Tables};

/// Tables and what they are compared with.
pub(super) struct Comparison<'a, S> {
    pub(super) store: &'a S,
    pub(super) state: &'a State,
    pub(super) ledger: &'a Ledger,
}

impl<S: Tables> Comparison<'_, S> {
    /// Compares every row of every table; returns how many rows there are.
    pub(super) fn compare(&self, problems: &mut Problems) -> Result<u64, StoreError> {
        let campaigns = self.state.campaigns().map(campaign_row::<S>);
        let candidates = self.views().map(|view| candidate_row::<S>(&view));
        let measurements = self.views().flat_map(|view| measurement_rows::<S>(&view));
        let tasks = self.ledger.tasks.iter().map(|(id, account)| task_row(*id, account));
        let workers = self.state.workers().map(worker_row::<S>);
        Ok(self.table(campaigns, problems)?
            + self.table(candidates, problems)?
            + self.table(measurements, problems)?
            + self.table(tasks, problems)?
            + self.table(workers, problems)?)
    }

    fn views(&self) -> impl Iterator<Item = CandidateView> {
        self.state.campaigns().flat_map(|campaign| {
            let last = campaign.candidates().len() as u32;
            (1..=last).filter_map(|ordinal| campaign.candidate_view(Ordinal(ordinal)))
        })
    }

    /// Walks through both in the order of their keys.
    fn table<R: Row + Worded>(
        &self,
        expected: impl Iterator<Item = R>,
        problems: &mut Problems,
    ) -> Result<u64, StoreError> {
        let mut expected = expected.peekable();
        let mut rows = 0;
        self.store.visit_rows(|row: R| {
            rows += 1;
            while let Some(missing) = expected.next_if(|next| next.key() < row.key()) {
                problems.add(format!("{} is missing", named(&missing)));
            }
            match expected.next_if(|next| next.key() == row.key()) {
                Some(wanted) if wanted == row => {}
                Some(wanted) => {
                    let row = row.in_present_words();
                    problems.require(wanted == row, || difference(&row, &wanted));
                }
                None => problems.add(format!("{} is unexpected", named(&row))),
            }
        })?;
        for missing in expected {
            problems.add(format!("{} is missing", named(&missing)));
        }
        Ok(rows)
    }
}

/// A row in words.
trait Worded {
    /// How many of the columns are the key: the first ones.
    const KEYS: usize;

    /// Every column with its value.
    fn columns(&self) -> Vec<(&'static str, String)>;
}

/// A value of a column in words.
trait Word {
    fn word(&self) -> String;
}

macro_rules! words {
    ($($kind:ty),*) => {$(
        impl Word for $kind {
            fn word(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

words!(u8, u32, u64, f64, bool);

impl Word for String {
    fn word(&self) -> String {
        format!("`{self}`")
    }
}

impl<W: Word> Word for Option<W> {
    fn word(&self) -> String {
        self.as_ref().map_or_else(|| "nothing".to_owned(), Word::word)
    }
}

macro_rules! worded {
    ($row:ty, key $keys:literal, $($column:ident),*) => {
        impl Worded for $row {
            const KEYS: usize = $keys;

            fn columns(&self) -> Vec<(&'static str, String)> {
                let Self { $($column),* } = self;
                vec![$((stringify!($column), $column.word())),*]
            }
        }
    };
}

worded!(
    CampaignRow, key 1, id, name, status, reason, space, algorithm, evaluations_budget, submitted_at,
    finished_at, resolved_yaml, source_yaml, owner
);
worded!(
    CandidateRow, key 2, campaign, ordinal, status, genotype, canonical_hash, origin, violation, reason,
    proposed_at, resolved_at
);
worded!(MeasurementRow, key 3, campaign, ordinal, metric, value, spread, source, device_class);
worded!(
    TaskRow, key 1, id, campaign, ordinal, stage, status, attempts, worker, elapsed_micros, result_key,
    cached_campaign, cached_ordinal
);
worded!(
    WorkerRow, key 1, id, name, connected, device_class, slots, completed, failed, registered_at
);

/// A row by its table and key: table measurements, row of campaign 1, ordinal 2, metric `params`.
fn named<R: Row + Worded>(row: &R) -> String {
    let columns = row.columns();
    let key = columns[..R::KEYS].iter().map(|(column, value)| format!("{column} {value}"));
    format!("table {}, row of {}", R::TABLE, key.collect::<Vec<_>>().join(", "))
}

/// Which columns differ, with the value that is there and the one that should be.
fn difference<R: Row + Worded>(row: &R, wanted: &R) -> String {
    let pairs = row.columns().into_iter().zip(wanted.columns());
    let differing = pairs.filter(|((_, found), (_, wanted))| found != wanted).map(
        |((column, found), (_, wanted))| {
            let (found, wanted) = first_difference(&found, &wanted);
            format!("{column} is {found}, should be {wanted}")
        },
    );
    format!("{}: {}", named(row), differing.collect::<Vec<_>>().join("; "))
}

/// Of texts of several lines, such as a campaign's file, the first lines that differ.
fn first_difference(found: &str, wanted: &str) -> (String, String) {
    let lines = found.lines().count().max(wanted.lines().count());
    if lines < 2 {
        return (found.to_owned(), wanted.to_owned());
    }
    let line = |text: &str, at: usize| match text.lines().nth(at) {
        Some(line) => format!("`{}` in line {}", line.trim_matches('`'), at + 1),
        None => format!("nothing in line {}", at + 1),
    };
    let at = (0..lines).find(|at| found.lines().nth(*at) != wanted.lines().nth(*at));
    at.map_or_else(
        || ("other line ends".to_owned(), "these".to_owned()),
        |at| (line(found, at), line(wanted, at)),
    )
}

fn campaign_row<S: Tables>(campaign: &Campaign) -> CampaignRow {
    let view = campaign.view();
    CampaignRow {
        id: view.id.0,
        name: view.name.to_string(),
        status: view.status.name().to_owned(),
        reason: view.status.reason().map(|reason| reason.to_string()).unwrap_or_default(),
        space: view.space.to_owned(),
        algorithm: view.algorithm.to_owned(),
        evaluations_budget: view.budget,
        submitted_at: view.submitted_at.0,
        finished_at: view.finished_at.map(|at| at.0),
        resolved_yaml: S::kept(campaign.spec().to_yaml()),
        source_yaml: S::kept(campaign.source().to_string()),
        owner: campaign.owner().map(|owner| owner.to_string()).unwrap_or_default(),
    }
}

fn candidate_row<S: Tables>(view: &CandidateView) -> CandidateRow {
    let (status, violation) = match view.status {
        CandidateStatus::Proposed
        | CandidateStatus::InStage { .. }
        | CandidateStatus::Waiting { .. } => ("pending", None),
        CandidateStatus::Screened(_) => ("screened", None),
        CandidateStatus::Scored { violation } => ("scored", Some(violation)),
        CandidateStatus::Infeasible(_) => ("infeasible", None),
        CandidateStatus::Failed(_) => ("failed", None),
    };
    CandidateRow {
        campaign: view.id.campaign.0,
        ordinal: view.id.ordinal.0,
        status: status.to_owned(),
        genotype: S::kept(view.genotype.clone()),
        canonical_hash: view.canonical_hash.to_string(),
        origin: view.origin.to_string(),
        violation,
        reason: S::kept(view.reason()),
        proposed_at: view.proposed_at.0,
        resolved_at: view.resolved_at.map(|at| at.0),
    }
}

fn measurement_rows<S: Tables>(view: &CandidateView) -> Vec<MeasurementRow> {
    let mut seen = BTreeSet::new();
    let first = view.measurements.iter().filter(|found| seen.insert(found.metric.clone()));
    let row = |found: &cambrian_core::objective::Measurement| MeasurementRow {
        campaign: view.id.campaign.0,
        ordinal: view.id.ordinal.0,
        metric: found.metric.to_string(),
        value: found.value(),
        spread: found.spread(),
        source: found.provenance.source.to_string(),
        device_class: S::kept(found.provenance.device_class.to_string()),
    };
    let mut rows: Vec<MeasurementRow> = first.map(row).collect();
    rows.sort_by_key(Row::key);
    rows
}

fn task_row(id: TaskId, account: &TaskAccount) -> TaskRow {
    let status = match account.end {
        Some(TaskEnd::Done) => "done",
        Some(TaskEnd::Failed) => "failed",
        None if account.leased => "leased",
        None => "queued",
    };
    TaskRow {
        id: id.0,
        campaign: account.candidate.campaign.0,
        ordinal: account.candidate.ordinal.0,
        stage: account.stage,
        status: status.to_owned(),
        attempts: account.attempt.0,
        worker: account.worker.map(|worker| worker.0),
        // A column's integers end earlier than sums of spans do.
        elapsed_micros: account.elapsed.0.min(i64::MAX as u64),
        result_key: account.key.map(|key| key.to_string()),
        cached_campaign: account.taken_from.map(|origin| origin.campaign.0),
        cached_ordinal: account.taken_from.map(|origin| origin.ordinal.0),
    }
}

/// A replayed worker was last seen when it registered: later signs of life are not stored.
fn worker_row<S: Tables>(worker: &Worker) -> WorkerRow {
    WorkerRow {
        id: worker.id().0,
        name: worker.name().to_string(),
        connected: worker.is_connected(),
        device_class: S::kept(worker.capabilities().device_class.to_string()),
        slots: worker.capabilities().slots,
        completed: worker.completed(),
        failed: worker.failed(),
        registered_at: worker.last_seen().0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_table_key_and_column() {
        let row = |value, spread, source: &str| MeasurementRow {
            campaign: 1,
            ordinal: 2,
            metric: "params".into(),
            value,
            spread,
            source: source.into(),
            device_class: String::new(),
        };
        let wanted = row(3.5, None, "analytic");
        assert_eq!(
            difference(&row(3.501, Some(0.25), "analytic"), &wanted),
            "table measurements, row of campaign 1, ordinal 2, metric `params`: value is 3.501, \
             should be 3.5; spread is 0.25, should be nothing"
        );
        assert!(
            difference(&row(3.5, None, ""), &wanted)
                .ends_with("source is ``, should be `analytic`")
        );
    }

    #[test]
    fn of_long_texts_the_first_line_that_differs_is_shown() {
        let text = |seed: u32| format!("`version: 1\nname: x\nseed: {seed}\nbudget: 3\n`");
        let (found, wanted) = first_difference(&text(7), &text(8));
        assert_eq!(
            (found.as_str(), wanted.as_str()),
            ("`seed: 7` in line 3", "`seed: 8` in line 3")
        );
    }
}
