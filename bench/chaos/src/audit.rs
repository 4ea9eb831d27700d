//! What is checked when everything has stopped: what evaluators say they finished against what the
//! journal counts, the journal against itself, and its replay.
//!
//! Knows the rules of delivery and nothing of the faults but how many evaluations they may have
//! cost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use cambrian_coordinator::replay::replay;
use cambrian_coordinator::store::place::Place;
use cambrian_coordinator::store::postgres::PostgresStore;
use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::{Store, Stored, for_each};
use cambrian_coordinator::verify::{Report, verify};
use cambrian_core::engine::Event;
use cambrian_core::time::Timestamp;
use cambrian_worker::synthetic;
use serde::Serialize;

/// A task with one of its attempts.
pub(crate) type Attempt = (u64, u32);

/// How many tasks that were done again are explained.
const EXPLAINED: usize = 5;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Audit {
    /// Campaigns that were submitted, each of which has finished.
    pub(crate) campaigns: u32,
    /// Evaluations that an evaluator finished.
    pub(crate) finished: usize,
    /// Evaluations that the journal counts.
    pub(crate) counted: usize,
    /// Finished evaluations of attempts that had been given up, whose tasks were done again.
    pub(crate) repeated: usize,
    /// How many repetitions the faults account for.
    pub(crate) may_repeat: usize,
    /// Attempts whose reports lay on the disk of a worker when it was killed, each of which counts.
    pub(crate) promised: usize,
    /// Records of the journal.
    pub(crate) records: u64,
    /// Everything that is not as it must be.
    pub(crate) problems: Vec<String>,
}

/// What the journal says of evaluations.
#[derive(Debug, Default)]
struct Account {
    /// The digest of what was counted.
    counted: BTreeMap<Attempt, String>,
    tasks: BTreeSet<u64>,
    /// Attempts that ended without counting.
    given_up: BTreeSet<Attempt>,
    campaigns: u32,
    problems: Vec<String>,
    /// When the journal begins.
    began: Option<Timestamp>,
    /// When a coordinator began to lead, seconds from there.
    leaders: Vec<f64>,
    /// Who had each task, and how that ended.
    histories: BTreeMap<u64, Vec<String>>,
}

impl Account {
    fn book(&mut self, record: &Stored) {
        let began = *self.began.get_or_insert(record.at);
        self.remember(record.at.since(began).as_secs_f64(), &record.event);
        match &record.event {
            Event::CampaignSubmitted { .. } => self.campaigns += 1,
            Event::TaskCompleted { task, attempt, measurements, .. } => {
                if !self.tasks.insert(task.0) {
                    self.problems.push(format!("task {task} is counted twice"));
                }
                let values = measurements.iter();
                let values = values.map(|found| (found.metric.as_str(), found.value()));
                self.counted.insert((task.0, attempt.0), synthetic::digest(values));
            }
            Event::LeaseEnded { task, attempt, .. }
            | Event::AttemptFailed { task, attempt, .. } => {
                self.given_up.insert((task.0, attempt.0));
            }
            Event::TaskFailed { task, failure } => {
                self.problems.push(format!("task {task} failed for good: {}", failure.message));
            }
            _ => {}
        }
    }
}

impl Account {
    fn remember(&mut self, second: f64, event: &Event) {
        let (task, what) = match event {
            Event::Started { .. } => return self.leaders.push(second),
            Event::TaskLeased { task, attempt, worker, .. } => {
                (task, format!("attempt {attempt} to worker {worker}"))
            }
            Event::LeaseEnded { task, end, .. } => (task, format!("{end:?}")),
            Event::AttemptFailed { task, failure, .. } => (task, failure.message.to_string()),
            Event::TaskCompleted { task, .. } => (task, "counted".to_owned()),
            _ => return,
        };
        self.histories.entry(task.0).or_default().push(format!("{second:.2} s {what}"));
    }

    /// Reports that lay on a disk and did not count.
    fn broken(&self, promised: &BTreeSet<Attempt>) -> Vec<String> {
        let lost = promised.iter().filter(|attempt| !self.counted.contains_key(*attempt));
        lost.map(|attempt| {
            format!("the report of {attempt:?} lay on the disk of a worker that was killed, and does not count")
        })
        .collect()
    }

    /// What became of some tasks that were done again.
    fn explain(&self, finished: &BTreeMap<Attempt, String>) -> Vec<String> {
        let again = finished.keys().filter(|attempt| !self.counted.contains_key(*attempt));
        let tasks: BTreeSet<u64> = again.map(|(task, _)| *task).collect();
        let explained = tasks.into_iter().take(EXPLAINED);
        let explain = |task: u64| {
            let history = self.histories.get(&task).map(|found| found.join(", "));
            format!("task {task}: {}", history.unwrap_or_default())
        };
        let leaders: Vec<String> = self.leaders.iter().map(|at| format!("{at:.2}")).collect();
        let began = format!("leaders began at {} s", leaders.join(", "));
        explained.map(explain).chain([began]).collect()
    }
}

/// What a journal is held against.
#[derive(Debug)]
pub(crate) struct Expected {
    /// How many campaigns were submitted.
    pub(crate) campaigns: u32,
    /// How many evaluations the faults may have cost.
    pub(crate) may_repeat: usize,
    /// Attempts that have to count, since their reports were on a disk.
    pub(crate) promised: BTreeSet<Attempt>,
}

/// Checks a cluster that has stopped.
///
/// # Errors
/// When a file cannot be read at all.
pub(crate) fn audit(place: &Place, evidence: &Path, expected: &Expected) -> anyhow::Result<Audit> {
    let opened = "the journal cannot be opened";
    match place {
        Place::File(path) => {
            let store = SqliteStore::open_read_only(path).context(opened)?;
            let verified = verify(&store).context("the journal cannot be verified")?;
            examine(&store, &verified, evidence, expected)
        }
        Place::Postgres(url) => {
            let store = PostgresStore::open_read_only(url).context(opened)?;
            let verified = verify(&store).context("the journal cannot be verified")?;
            examine(&store, &verified, evidence, expected)
        }
    }
}

fn examine(
    store: &dyn Store,
    verified: &Report,
    evidence: &Path,
    expected: &Expected,
) -> anyhow::Result<Audit> {
    let mut account = Account::default();
    for_each(store, |record| account.book(&record)).context("the journal cannot be read")?;
    let mut problems = std::mem::take(&mut account.problems);
    let Expected { campaigns, may_repeat, ref promised } = *expected;
    if account.campaigns != campaigns {
        problems.push(format!("{campaigns} campaigns were submitted, {} exist", account.campaigns));
    }
    let evidence = std::fs::read_to_string(evidence).context("the evidence cannot be read")?;
    let finished = finished(&evidence, &mut problems);
    let repeated = compare(&finished, &account, &mut problems);
    let mut unkept = account.broken(promised);
    if repeated > may_repeat {
        unkept.push(format!(
            "{repeated} finished evaluations were done again; the faults account for {may_repeat}"
        ));
    }
    if !unkept.is_empty() {
        problems.append(&mut unkept);
        problems.extend(account.explain(&finished));
    }
    problems.extend(verified.problems.iter().map(|problem| format!("verify: {problem}")));
    let replayed = replay(store).context("the journal cannot be replayed")?;
    if let Some(mismatch) = &replayed.mismatch {
        problems.push(format!("replay: record {}: {mismatch:?}", mismatch.record));
    }
    if replayed.digest != verified.digest {
        problems.push("two replays of one journal differ".to_owned());
    }
    Ok(Audit {
        campaigns,
        finished: finished.len(),
        counted: account.counted.len(),
        repeated,
        may_repeat,
        promised: promised.len(),
        records: store.sequence(),
        problems,
    })
}

/// Compares the two accounts; returns how many finished evaluations were done again.
fn compare(
    finished: &BTreeMap<Attempt, String>,
    account: &Account,
    problems: &mut Vec<String>,
) -> usize {
    for (attempt, digest) in &account.counted {
        match finished.get(attempt) {
            None => problems.push(format!("{attempt:?} is counted, nobody finished it")),
            Some(found) if found != digest => {
                problems.push(format!("{attempt:?} found {found}, the journal has {digest}"));
            }
            Some(_) => {}
        }
    }
    let mut repeated = 0;
    for attempt in finished.keys().filter(|attempt| !account.counted.contains_key(*attempt)) {
        if !account.tasks.contains(&attempt.0) {
            problems.push(format!("{attempt:?} was finished and its task counts nothing: lost"));
        } else if account.given_up.contains(attempt) {
            repeated += 1;
        } else {
            problems.push(format!("{attempt:?} was finished, never given up, and is not counted"));
        }
    }
    repeated
}

/// What the evaluators say they finished: one line `TASK ATTEMPT DIGEST` each. No attempt is evaluated twice,
/// whatever dies: the next one has another number.
fn finished(text: &str, problems: &mut Vec<String>) -> BTreeMap<Attempt, String> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let task = words.next()?.parse().ok()?;
        Some(((task, words.next()?.parse().ok()?), words.next()?.to_owned()))
    };
    // A process that was killed in its write leaves half a line, of an evaluation that was not finished.
    let mut found = BTreeMap::new();
    for (attempt, digest) in text.lines().filter_map(entry) {
        if found.insert(attempt, digest).is_some() {
            problems.push(format!("{attempt:?} was evaluated twice"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(entries: &[(u64, u32, &str)]) -> BTreeMap<Attempt, String> {
        entries
            .iter()
            .map(|(task, attempt, digest)| ((*task, *attempt), (*digest).into()))
            .collect()
    }

    fn account(counted: &[(u64, u32, &str)], given_up: &[Attempt]) -> Account {
        Account {
            counted: evidence(counted),
            tasks: counted.iter().map(|entry| entry.0).collect(),
            given_up: given_up.iter().copied().collect(),
            ..Account::default()
        }
    }

    fn compared(finished: &[(u64, u32, &str)], account: &Account) -> (usize, Vec<String>) {
        let mut problems = Vec::new();
        let repeated = compare(&evidence(finished), account, &mut problems);
        (repeated, problems)
    }

    #[test]
    fn an_attempt_that_is_evaluated_twice_is_found() {
        let mut problems = Vec::new();
        let text = "1 1 a\n2 1 b\n1 1 a\n2 2 c\n3 1";
        let found = finished(text, &mut problems);
        assert_eq!(found, evidence(&[(1, 1, "a"), (2, 1, "b"), (2, 2, "c")]));
        assert!(problems.len() == 1 && problems[0].contains("twice"), "{problems:?}");
    }

    #[test]
    fn a_report_on_a_disk_that_does_not_count_is_found() {
        let account = account(&[(1, 1, "a"), (2, 2, "b")], &[(2, 1)]);
        assert_eq!(account.broken(&BTreeSet::from([(1, 1)])), Vec::<String>::new());
        let broken = account.broken(&BTreeSet::from([(1, 1), (2, 1)]));
        assert!(broken.len() == 1 && broken[0].contains("(2, 1)"), "{broken:?}");
    }

    #[test]
    fn every_kind_of_wrong_count_is_found() {
        let sound = account(&[(1, 1, "a"), (2, 2, "b")], &[(2, 1)]);
        let all = [(1, 1, "a"), (2, 1, "b"), (2, 2, "b")];
        assert_eq!(compared(&all, &sound), (1, vec![]));
        let (_, lost) = compared(&[(1, 1, "a"), (2, 2, "b"), (3, 1, "c")], &sound);
        assert!(lost[0].ends_with("lost"), "{lost:?}");
        let (_, dropped) = compared(&[(1, 1, "a"), (1, 2, "a"), (2, 2, "b")], &sound);
        assert!(dropped[0].contains("never given up"), "{dropped:?}");
        let (_, made_up) = compared(&[(1, 1, "a")], &sound);
        assert!(made_up[0].contains("nobody finished"), "{made_up:?}");
        let (_, changed) = compared(&[(1, 1, "x"), (2, 2, "b")], &sound);
        assert!(changed[0].contains("found x"), "{changed:?}");
    }
}
