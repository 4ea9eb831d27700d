//! What every store must do, run for each of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cambrian_core::engine::{Capabilities, Event, SubmissionId};
use cambrian_core::id::{CampaignId, SessionId, TaskId, WorkerId};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};

use super::memory::MemoryStore;
use super::place::Url;
use super::postgres::{Bid, Candidate, PostgresStore};
use super::rows::{CampaignRow, WorkerRow};
use super::sqlite::{SqliteStore, schema};
use super::{READ_BATCH, Store, StoreError, Tables, for_each};
use crate::testing::{CAMPAIGN, journal_beyond_columns, simulated_journal};
use crate::verify::{Report, verify};

pub(super) fn started(at: u64) -> (Timestamp, Event) {
    (Timestamp(at), Event::Started { lease_length: Span(at) })
}

pub(super) fn registered(id: u32, name: &str) -> (Timestamp, Event) {
    let event = Event::WorkerRegistered {
        worker: WorkerId(id),
        name: name.into(),
        session: SessionId(1),
        capabilities: Arc::new(Capabilities::default()),
    };
    (Timestamp(9), event)
}

pub(super) fn texts(store: &dyn Store) -> Vec<String> {
    let mut texts = Vec::new();
    for_each(store, |stored| {
        texts.push(format!("{} {} {:?}", stored.sequence, stored.at.0, stored.event));
    })
    .unwrap();
    texts
}

/// Runs the contract on stores that `open` opens again and again on the same journal.
pub(super) fn contract<S: Store>(open: impl Fn() -> S) {
    let mut store = open();
    assert_eq!(store.sequence(), 0);
    assert!(texts(&store).is_empty());

    assert_eq!(store.append(0, &[started(1), started(2)]).unwrap(), 2);
    assert_eq!(store.append(2, &[]).unwrap(), 2);
    assert_eq!(store.append(2, &[started(3)]).unwrap(), 3);
    let written = texts(&store);
    assert_eq!(written.len(), 3);
    assert!(written[2].starts_with("3 3 Started"), "{}", written[2]);

    refuses_a_wrong_position(&mut store);
    refuses_half_a_batch(&mut store);
    assert_eq!(texts(&store), written, "a refused batch left something behind");

    let (page, rest) = (store.read_from(1, 1).unwrap(), store.read_from(3, 9).unwrap());
    assert_eq!((page.len(), page[0].sequence, rest.len()), (1, 2, 0));

    drop(store);
    let mut store = open();
    assert_eq!(store.sequence(), 3);
    assert_eq!(texts(&store), written, "reopening changed the journal");

    let many: Vec<_> = (0..READ_BATCH as u64 + 1).map(started).collect();
    store.append(3, &many).unwrap();
    assert_eq!(texts(&store).len(), READ_BATCH + 4);
}

/// What earlier releases have let in is written for the tables as far as these can hold it, in one append
/// or in many, and found there by `verify`.
pub(super) fn holds_what_is_beyond_its_columns<S: Store>(
    portions: [usize; 2],
    mut open: impl FnMut() -> S,
    report: impl Fn(&S) -> Report,
) {
    let journal = journal_beyond_columns(3);
    let mut attempts = BTreeMap::<TaskId, u32>::new();
    for (_, event) in &journal {
        if let Event::AttemptFailed { task, .. } | Event::TaskCompleted { task, .. } = event {
            *attempts.entry(*task).or_default() += 1;
        }
    }
    assert!(attempts.values().any(|reported| *reported > 1), "no sum is beyond a column");
    for length in portions {
        let mut store = open();
        for portion in journal.chunks(length) {
            store.append(store.sequence(), portion).unwrap();
        }
        let report = report(&store);
        assert_eq!(report.problems, Vec::<String>::new());
        assert!(report.rows > 100, "{} rows", report.rows);
    }
}

/// Specifications are read from the tables only if nobody has told them: not after an append that failed,
/// nor by a store that was opened again. `spoil` makes those in the tables unreadable.
pub(super) fn reads_no_specification_again<S: Store>(open: impl Fn() -> S, spoil: impl Fn()) {
    let (journal, engine) = simulated_journal(2);
    let submitted =
        journal.iter().position(|(_, event)| matches!(event, Event::CampaignSubmitted { .. }));
    let (before, after) = journal.split_at(submitted.unwrap() + 1);
    let (middle, end) = after.split_at(after.len() / 2);
    let volatile = (Timestamp(4), Event::WorkerSeen(WorkerId(1)));
    let mut store = open();
    store.append(0, before).unwrap();
    spoil();
    assert!(store.append(store.sequence(), std::slice::from_ref(&volatile)).is_err());
    store.append(store.sequence(), middle).unwrap();
    drop(store);

    let mut store = open();
    for campaign in engine.state().campaigns() {
        store.know(campaign.id(), campaign.spec());
    }
    store.append(store.sequence(), end).unwrap();
    assert_eq!(store.sequence(), journal.len() as u64);
}

/// Longer than a lease takes to be over, or a machine to do anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A store that leads, as soon as whoever led before has gone.
pub(super) fn lead(place: &Url) -> PostgresStore {
    let mut store = PostgresStore::open(place).unwrap();
    let candidate = Candidate {
        holder: uuid::Uuid::new_v4().to_string(),
        endpoint: "http://127.0.0.1:1".into(),
        length: Duration::from_secs(3),
        renewal: Duration::from_secs(1),
    };
    let deadline = Instant::now() + PATIENCE;
    while let Bid::Held { remaining, .. } = store.bid(&candidate).unwrap() {
        assert!(Instant::now() < deadline, "another one still leads, for {remaining:?}");
        std::thread::sleep(remaining.min(Duration::from_millis(100)));
    }
    store
}

fn refuses_a_wrong_position(store: &mut dyn Store) {
    for wrong in [0, 2, 4] {
        let error = store.append(wrong, &[started(7)]).unwrap_err();
        assert!(
            matches!(error, StoreError::Conflict { expected, found: 3 } if expected == wrong),
            "{error}"
        );
        assert_eq!(store.sequence(), 3);
    }
}

fn refuses_half_a_batch(store: &mut dyn Store) {
    let volatile = (Timestamp(4), Event::WorkerSeen(WorkerId(1)));
    let error = store.append(3, &[started(4), volatile]).unwrap_err();
    assert!(matches!(error, StoreError::Volatile(_)), "{error}");
    assert_eq!(store.sequence(), 3);
}

#[test]
fn memory_keeps_the_contract() {
    let store = MemoryStore::default();
    contract(|| store.clone());
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deeper").join("cambrian.db");
    (directory, path)
}

#[test]
fn sqlite_keeps_the_contract() {
    let (_directory, path) = place();
    contract(|| SqliteStore::open(&path).unwrap());
}

#[test]
fn sqlite_holds_what_is_beyond_its_columns() {
    let directory = tempfile::tempdir().unwrap();
    let mut names = 0..;
    let open = || {
        let name = names.next().map(|name| format!("{name}.db")).unwrap();
        SqliteStore::open(&directory.path().join(name)).unwrap()
    };
    holds_what_is_beyond_its_columns([1, 100_000], open, |store| verify(store).unwrap());
}

#[test]
fn sqlite_reads_no_specification_again() {
    let (_directory, path) = place();
    let spoil = || {
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute("UPDATE campaigns SET resolved_yaml = ''", []).unwrap();
    };
    reads_no_specification_again(|| SqliteStore::open(&path).unwrap(), spoil);
}

#[test]
fn a_batch_that_fails_in_a_projection_leaves_nothing() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    store.append(0, &[registered(1, "gpu")]).unwrap();
    // Two workers of one name break the table's uniqueness, after the first event was written.
    let error = store.append(1, &[started(2), registered(2, "gpu")]).unwrap_err();
    assert!(matches!(error, StoreError::Sqlite(_)), "{error}");
    assert_eq!(store.sequence(), 1);
    assert_eq!(texts(&store).len(), 1);
    let mut connected = Vec::new();
    store.visit_rows(|row: WorkerRow| connected.push(row.connected)).unwrap();
    assert_eq!(connected, [true], "the projection of the refused batch was kept");
    assert_eq!(store.append(1, &[started(3)]).unwrap(), 2);
}

#[test]
fn projections_follow_in_the_same_transaction() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let spec = Arc::new(CampaignSpec::parse(CAMPAIGN).unwrap());
    let submitted = Event::CampaignSubmitted {
        campaign: CampaignId(1),
        submission: SubmissionId(5),
        spec: spec.clone(),
        source: CAMPAIGN.into(),
        owner: Some("ada".into()),
    };
    let paused = Event::CampaignPaused(CampaignId(1));
    store.append(0, &[(Timestamp(1), submitted), (Timestamp(2), paused)]).unwrap();
    let reader = SqliteStore::open_read_only(&path).unwrap();
    let mut rows = Vec::new();
    reader.visit_rows(|row: CampaignRow| rows.push(row)).unwrap();
    let [row] = &rows[..] else { panic!("one campaign") };
    assert_eq!((row.name.as_str(), row.status.as_str()), (&*spec.name, "paused"));
    assert_eq!((row.submitted_at, row.finished_at), (1, None));
    assert_eq!((row.source_yaml.as_str(), row.owner.as_str()), (CAMPAIGN, "ada"));
}

#[test]
fn one_coordinator_at_a_time_and_readers_always() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    store.append(0, &[started(1)]).unwrap();
    let mut reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(texts(&reader).len(), 1);
    assert!(reader.append(1, &[started(2)]).is_err(), "a reader wrote");
    drop(store);
    assert!(SqliteStore::open(&path).is_ok());
}

#[test]
fn a_link_is_no_second_store() {
    let (directory, path) = place();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for (first, second) in [(&link, &path), (&path, &link)] {
        let mut store = SqliteStore::open(first).unwrap();
        store.append(store.sequence(), &[started(1)]).unwrap();
        let error = SqliteStore::open(second).unwrap_err();
        assert!(matches!(&error, StoreError::Locked(_)), "{error}");
    }
    assert_eq!(texts(&SqliteStore::open(&link).unwrap()).len(), 2);
}

#[test]
fn a_log_that_grew_beside_a_reader_shrinks_again() {
    const MOST: u64 = 100 << 20;
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let log = path.with_extension("db-wal");
    let length = || std::fs::metadata(&log).unwrap().len();
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM journal").unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch(&format!(
            "CREATE TABLE big (content BLOB); INSERT INTO big VALUES (zeroblob({MOST}))"
        ))
        .unwrap();
    store.append(0, &[started(1)]).unwrap();
    assert!(length() > MOST, "{} bytes", length());
    drop(reader);
    // The first one writes the log back, the second one begins it anew.
    store.append(1, &[started(2)]).unwrap();
    store.append(2, &[started(3)]).unwrap();
    assert!(length() < MOST, "{} bytes", length());
}

#[test]
fn foreign_and_newer_files_are_refused_untouched() {
    let (directory, path) = place();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();

    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    drop(foreign);
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Foreign(_)), "{error}");

    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "not a database at all, but long enough to have a header".repeat(9))
        .unwrap();
    let error = SqliteStore::open(&text).unwrap_err();
    assert!(matches!(error, StoreError::Foreign(_)), "{error}");

    let newer = directory.path().join("newer.db");
    drop(SqliteStore::open(&newer).unwrap());
    let connection = rusqlite::Connection::open(&newer).unwrap();
    connection.pragma_update(None, "user_version", schema::SCHEMA_VERSION + 1).unwrap();
    drop(connection);
    let error = SqliteStore::open(&newer).unwrap_err();
    assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    assert!(error.to_string().contains("newer.db"), "{error}");

    let missing = directory.path().join("missing.db");
    assert!(matches!(SqliteStore::open_read_only(&missing), Err(StoreError::File { .. })));
    assert!(!missing.exists());
}

#[test]
fn damage_is_found_at_its_record() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let requeued = (Timestamp(4), Event::TaskRequeued(TaskId(1)));
    store.append(0, &[started(1), requeued, started(3)]).unwrap();
    drop(store);
    let damage = |sql: &str| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        for_each(&SqliteStore::open_read_only(&path).unwrap(), |_| {}).unwrap_err()
    };
    let error = damage("UPDATE journal SET at_micros = 5 WHERE sequence = 3");
    assert!(matches!(error, StoreError::Damaged { sequence: 3, .. }), "{error}");
    let error = damage("UPDATE journal SET record = x'00' WHERE sequence = 2");
    assert!(matches!(error, StoreError::Damaged { sequence: 2, .. }), "{error}");
    let error = damage("DELETE FROM journal WHERE sequence = 2");
    assert!(matches!(error, StoreError::Gap { expected: 2, found: 3 }), "{error}");
}

#[test]
fn a_journal_that_cannot_be_read_is_not_brought_up_to_date() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    store.append(0, &[started(1), started(2)]).unwrap();
    drop(store);
    let change = |sql: &str| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap()
    };
    let older = schema::SCHEMA_VERSION - 1;
    change(&format!("DROP INDEX worker_holders_of; PRAGMA user_version = {older}"));
    change("UPDATE journal SET at_micros = 5 WHERE sequence = 2");
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { sequence: 2, .. }), "{error}");
    assert_eq!(change("UPDATE journal SET at_micros = 2 WHERE sequence = 2"), older);
    SqliteStore::open(&path).unwrap();
    assert_eq!(change(""), schema::SCHEMA_VERSION);
}
