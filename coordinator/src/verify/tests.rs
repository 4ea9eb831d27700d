//! Sound journals pass, however much went wrong in the cluster; planted corruption is found.

use std::path::{Path, PathBuf};

use cambrian_core::engine::{Event, FinishReason, ResultOrigin};
use cambrian_core::id::CampaignId;
use cambrian_core::objective::Measurement;
use cambrian_core::time::Timestamp;
use rusqlite::params;

use super::{Report, verify, verify_journal};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::record::encode;
use crate::store::sqlite::SqliteStore;
use crate::testing::{journal_of, journal_with_known_results, repeated, simulated_journal};

struct Written {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn written(journal: &[(Timestamp, Event)]) -> Written {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cambrian.db");
    let mut store = SqliteStore::open(&path).unwrap();
    for part in journal.chunks(1000) {
        store.append(store.sequence(), part).unwrap();
    }
    Written { _directory: directory, path }
}

fn report(path: &Path) -> Report {
    verify(&SqliteStore::open_read_only(path).unwrap()).unwrap()
}

fn after_damage(written: &Written, sql: &str) -> Report {
    let connection = rusqlite::Connection::open(&written.path).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    report(&written.path)
}

#[test]
fn sound_journals_pass_whatever_went_wrong_in_the_cluster() {
    for seed in 0..6 {
        let (journal, engine) = simulated_journal(seed);
        let written = written(&journal);
        let report = report(&written.path);
        assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
        assert!(report.is_sound());
        assert_eq!(report.records, journal.len() as u64);
        assert_eq!(report.digest, engine.state().digest());
        let [campaign] = &report.campaigns[..] else { panic!("one campaign") };
        assert_eq!((campaign.started, campaign.pending), (40, 0));
        assert!(report.completed >= u64::from(campaign.scored) && campaign.scored > 0);
        assert!(report.rows > 300, "{} rows", report.rows);
    }
}

#[test]
fn journals_with_repeats_pass_and_tables_hold_their_means() {
    for seed in 0..4 {
        let (journal, engine) = journal_of(&repeated(), seed);
        let written = written(&journal);
        let report = report(&written.path);
        assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
        assert_eq!(report.digest, engine.state().digest());
        let means =
            journal.iter().filter(|(_, event)| matches!(event, Event::RepeatsAveraged { .. }));
        let connection = rusqlite::Connection::open(&written.path).unwrap();
        let sql = "SELECT count(*) FROM measurements WHERE metric = 'accuracy'";
        let rows: usize = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, means.count(), "seed {seed}");
        assert!(rows > 20, "{rows} means");
    }
}

/// Whatever befalls a repeat or its mean, the ledger sees.
#[test]
fn repeats_that_are_lost_doubled_or_falsified_are_found() {
    let (journal, _) = journal_of(&repeated(), 1);
    let position =
        |wanted: fn(&Event) -> bool| journal.iter().position(|(_, event)| wanted(event)).unwrap();
    let averaged = position(|event| matches!(event, Event::RepeatsAveraged { .. }));
    let repeat = position(|event| matches!(event, Event::TaskCompleted { repeated: true, .. }));
    let queued = position(|event| matches!(event, Event::TaskQueued { repeat: 1, .. }));
    let verified = |journal: &[(Timestamp, Event)]| {
        let mut store = MemoryStore::default();
        store.append(0, journal).unwrap();
        verify_journal(&store).unwrap()
    };
    assert!(verified(&journal).is_sound());
    for at in [averaged, repeat, queued] {
        let mut lost = journal.clone();
        lost.remove(at);
        assert!(!verified(&lost).is_sound(), "{:?} was not missed", journal[at].1);
        let mut doubled = journal.clone();
        doubled.insert(at, journal[at].clone());
        assert!(!verified(&doubled).is_sound(), "{:?} may come twice", journal[at].1);
    }
    let mut falsified = journal.clone();
    let Event::RepeatsAveraged { measurements, .. } = &mut falsified[averaged].1 else {
        panic!("it is one");
    };
    let one = &measurements[0];
    let (value, spread) = (one.value() + 0.001, one.spread());
    measurements[0] =
        Measurement::new(one.metric.clone(), value, spread, one.provenance.clone()).unwrap();
    let report = verified(&falsified);
    assert!(report.problems[0].contains("its repeats say"), "{:?}", report.problems);
}

/// What a stopped attempt took counts once: for the task, its candidate and its campaign, and in the tables.
#[test]
fn the_time_of_a_stopped_attempt_that_counts_twice_is_found() {
    let counts =
        |event: &Event| matches!(event, Event::AttemptYielded { elapsed, .. } if elapsed.0 > 0);
    let mut found = 0;
    for seed in 0..6 {
        let (journal, _) = simulated_journal(seed);
        let Some(at) = journal.iter().position(|(_, event)| counts(event)) else { continue };
        found += 1;
        assert_eq!(report(&written(&journal).path).problems, Vec::<String>::new(), "seed {seed}");
        let mut doubled = journal.clone();
        doubled.insert(at + 1, journal[at].clone());
        let mut store = MemoryStore::default();
        store.append(0, &doubled).unwrap();
        let report = verify_journal(&store).unwrap();
        assert!(report.problems[0].contains("out of turn"), "{:?}", report.problems);
    }
    assert!(found > 0, "nothing was stopped");
}

/// Rows that are new in an append are written at its end, those of earlier appends at once; a store
/// that was opened anew or whose append failed knows no task.
#[test]
fn tables_do_not_depend_on_which_events_share_an_append() {
    for (seed, together) in [(0, 1), (1, 2), (2, 7), (3, 50), (4, 100_000)] {
        let (journal, _) = simulated_journal(seed);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cambrian.db");
        let mut store = SqliteStore::open(&path).unwrap();
        for (index, part) in journal.chunks(together).enumerate() {
            if index % 5 == 4 {
                drop(store);
                store = SqliteStore::open(&path).unwrap();
            }
            if index % 3 == 2 {
                store.append(store.sequence() + 1, part).unwrap_err();
            }
            store.append(store.sequence(), part).unwrap();
        }
        drop(store);
        let found = report(&path);
        assert_eq!(found.problems, Vec::<String>::new(), "seed {seed}, {together} together");
    }
}

#[test]
fn every_prefix_between_two_instants_is_sound() {
    let (journal, _) = simulated_journal(4);
    let ends = (1..journal.len()).filter(|end| journal[end - 1].0 != journal[*end].0);
    for end in ends.step_by(25) {
        let written = written(&journal[..end]);
        assert_eq!(report(&written.path).problems, Vec::<String>::new(), "first {end} records");
    }
}

#[test]
fn a_deleted_row_is_found() {
    let (journal, _) = simulated_journal(1);
    for (table, sql) in [
        ("candidates", "DELETE FROM candidates WHERE ordinal = 3"),
        ("measurements", "DELETE FROM measurements WHERE ordinal = 2 AND metric = 'params'"),
        ("tasks", "DELETE FROM tasks WHERE id = 5"),
        ("workers", "DELETE FROM workers WHERE id = 1"),
        ("campaigns", "DELETE FROM campaigns"),
    ] {
        let report = after_damage(&written(&journal), sql);
        let [problem] = &report.problems[..] else { panic!("{table}: {:?}", report.problems) };
        assert!(problem.contains(table) && problem.contains("missing"), "{problem}");
    }
}

#[test]
fn a_changed_or_added_row_is_found() {
    let (journal, _) = simulated_journal(1);
    for sql in [
        "UPDATE measurements SET value = value + 0.001 WHERE ordinal = 2 AND metric = 'params'",
        "UPDATE candidates SET status = 'failed' WHERE ordinal = (SELECT min(ordinal) FROM \
         candidates WHERE status = 'scored')",
        "UPDATE tasks SET worker = 99 WHERE id = 1",
        "UPDATE workers SET completed = completed + 1 WHERE id = 1",
        "INSERT INTO tasks (id, campaign, ordinal, stage, status) VALUES (9999, 1, 1, 0, 'done')",
    ] {
        let report = after_damage(&written(&journal), sql);
        assert_eq!(report.problems.len(), 1, "{sql}: {:?}", report.problems);
    }
}

#[test]
fn results_that_were_taken_are_accounted_for() {
    let (journal, engine) = journal_with_known_results(3);
    let is_taken = |event: &Event| matches!(event, Event::ResultTaken { .. });
    assert!(journal.iter().filter(|(_, event)| is_taken(event)).count() > 0);
    let report = report(&written(&journal).path);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.digest, engine.state().digest());
    for sql in [
        "UPDATE tasks SET cached_ordinal = cached_ordinal + 1 WHERE id = \
         (SELECT max(id) FROM tasks WHERE cached_campaign IS NOT NULL)",
        "UPDATE tasks SET result_key = NULL WHERE id = \
         (SELECT max(id) FROM tasks WHERE result_key IS NOT NULL)",
    ] {
        let report = after_damage(&written(&journal), sql);
        assert_eq!(report.problems.len(), 1, "{sql}: {:?}", report.problems);
    }
    // A value that was measured nowhere.
    let mut falsified = journal.clone();
    let taken = falsified.iter_mut().find(|(_, event)| is_taken(event)).map(|(_, event)| event);
    let Some(Event::ResultTaken { measurements, .. }) = taken else { panic!("one is taken") };
    let found = &measurements[0];
    let (metric, value) = (found.metric.clone(), found.value() + 1.0);
    measurements[0] =
        Measurement::new(metric, value, found.spread(), found.provenance.clone()).unwrap();
    let mut store = MemoryStore::default();
    store.append(0, &falsified).unwrap();
    let report = verify_journal(&store).unwrap();
    assert!(report.problems.iter().any(|found| found.contains("takes another")), "{report:?}");
    // One that nobody delivered, and one that came from elsewhere.
    let at = journal.iter().position(|(_, event)| is_taken(event)).unwrap();
    type Change = fn(&mut ResultOrigin);
    let changed = |change: Change| {
        let mut journal = journal.clone();
        if let Event::ResultTaken { origin, .. } = &mut journal[at].1 {
            change(origin);
        }
        let mut store = MemoryStore::default();
        store.append(0, &journal).unwrap();
        verify_journal(&store).unwrap()
    };
    assert!(changed(|_| {}).is_sound());
    let changes: [Change; 3] = [
        |origin| origin.attempt = origin.attempt.next(),
        |origin| origin.candidate.ordinal.0 += 1_000,
        |origin| origin.stage += 1,
    ];
    for change in changes {
        let report = changed(change);
        assert!(!report.is_sound(), "{:?}", report.problems);
    }
}

#[test]
fn a_record_counted_twice_is_found() {
    let (journal, _) = simulated_journal(2);
    for wanted in [
        |event: &Event| matches!(event, Event::TaskCompleted { .. }),
        |event: &Event| matches!(event, Event::CandidateScored { .. }),
        |event: &Event| matches!(event, Event::CampaignSubmitted { .. }),
        |event: &Event| matches!(event, Event::CampaignFinished { .. }),
    ] {
        let (_, event) = journal.iter().find(|(_, event)| wanted(event)).unwrap();
        let written = written(&journal);
        let (sequence, at) = (journal.len() as u64 + 1, journal.last().unwrap().0);
        let record = encode(sequence, at, event).unwrap();
        let connection = rusqlite::Connection::open(&written.path).unwrap();
        let values = params![sequence, at.0, record.kind, record.bytes, record.checksum];
        connection.execute("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5)", values).unwrap();
        drop(connection);
        let report = report(&written.path);
        let named = report
            .problems
            .iter()
            .any(|problem| problem.starts_with(&format!("record {sequence}:")));
        assert!(named, "{}: {:?}", record.kind, report.problems);
    }
}

#[test]
fn a_second_end_is_found_but_for_a_cancellation_of_what_drained() {
    let (mut journal, _) = simulated_journal(2);
    let end = |reason| Event::CampaignFinished { campaign: CampaignId(1), reason };
    let (at, _) = *journal.last().unwrap();
    for (reason, problems) in [(FinishReason::Cancelled, 0), (FinishReason::BudgetSpent, 1)] {
        journal.push((at, end(reason)));
        let report = report(&written(&journal).path);
        let twice = |problem: &&String| problem.contains("finishes twice");
        assert_eq!(report.problems.iter().filter(twice).count(), problems, "{:?}", report.problems);
        assert_eq!(report.problems.len(), problems, "{:?}", report.problems);
    }
}

#[test]
fn a_missing_record_is_found() {
    let (journal, _) = simulated_journal(2);
    let at = journal.len() / 2;
    let report =
        after_damage(&written(&journal), &format!("DELETE FROM journal WHERE sequence = {at}"));
    let [problem] = &report.problems[..] else { panic!("{:?}", report.problems) };
    assert!(problem.contains(&format!("record {at} of the journal is missing")), "{problem}");

    let last = format!("DELETE FROM journal WHERE sequence = {}", journal.len());
    assert!(!after_damage(&written(&journal), &last).is_sound(), "the lost end was not noticed");
}

/// A journal whose numbering is sound although an event is missing.
#[test]
fn a_left_out_event_is_found() {
    let (journal, _) = simulated_journal(2);
    for wanted in [
        |event: &Event| matches!(event, Event::TaskCompleted { .. }),
        |event: &Event| matches!(event, Event::TaskLeased { .. }),
        |event: &Event| matches!(event, Event::TaskQueued { .. }),
        |event: &Event| matches!(event, Event::CandidateProposed { .. }),
        |event: &Event| matches!(event, Event::CandidateScored { .. }),
    ] {
        let mut journal = journal.clone();
        let at = journal.iter().position(|(_, event)| wanted(event)).unwrap();
        let (_, event) = journal.remove(at);
        let mut store = MemoryStore::default();
        store.append(0, &journal).unwrap();
        let report = verify_journal(&store).unwrap();
        assert!(!report.is_sound(), "{event:?} was not missed");
    }
}
