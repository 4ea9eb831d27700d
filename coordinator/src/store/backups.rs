//! The ways of backing up that the documentation names: a copy taken while a coordinator writes is a
//! sound journal up to some record, and a coordinator goes on from there.

use std::process::Output;

use cambrian_core::time::Timestamp;

use super::contract::{lead, started};
use super::place::{Place, Url};
use super::postgres::PostgresStore;
use super::postgres_server::PostgresServer;
use super::sqlite::SqliteStore;
use super::{Store, Tables};
use crate::testing::simulated_journal;
use crate::verify::verify;

/// A sound store of so many records, which takes another one.
fn goes_on(mut restored: impl Tables, records: usize) {
    let report = verify(&restored).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.records, records as u64);
    let later = 1 << 50;
    assert_eq!(restored.append(report.records, &[started(later)]).unwrap(), report.records + 1);
}

/// Two parts of about one length, each of whole steps: all events of a step carry one instant and are
/// appended together.
fn halves<E>(journal: &[(Timestamp, E)]) -> [&[(Timestamp, E)]; 2] {
    let begins = |at: &usize| journal[*at - 1].0 != journal[*at].0;
    let middle = (journal.len() / 2..journal.len()).find(begins).unwrap();
    [&journal[..middle], &journal[middle..]]
}

#[test]
fn a_file_is_copied_while_it_is_written() {
    let (journal, _) = simulated_journal(2);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cambrian.db");
    let copy = directory.path().join("copy.db");
    let [before, after] = halves(&journal);
    let mut store = SqliteStore::open(&path).unwrap();
    store.append(0, before).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    store.append(store.sequence(), after).unwrap();
    goes_on(SqliteStore::open(&copy).unwrap(), before.len());
    goes_on(store, journal.len());
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn url(text: &str) -> Url {
    match text.parse().unwrap() {
        Place::Postgres(url) => url,
        Place::File(_) => panic!("{text}"),
    }
}

#[test]
fn a_database_is_dumped_while_it_is_written() {
    let Some(server) = PostgresServer::start() else { return };
    let (journal, _) = simulated_journal(2);
    let [before, after] = halves(&journal);
    let mut store = lead(&url(&server.database("dumped")));
    store.append(0, before).unwrap();
    let (token, _) = store
        .register()
        .unwrap()
        .create(crate::access::Role::View, "ada", None, Timestamp(1))
        .unwrap();
    let dump = server
        .client("pg_dump")
        .args(["--format=custom", "--schema=cambrian", "dumped"])
        .output()
        .unwrap();
    done(&dump);
    store.append(store.sequence(), after).unwrap();
    drop(store);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &dump.stdout).unwrap();
    let restore = |database: &str| {
        let input = std::fs::File::open(file.path()).unwrap();
        let mut command = server.client("pg_restore");
        command.args(["--clean", "--if-exists", "--dbname", database]).stdin(input);
        done(&command.output().unwrap());
    };
    // Over what was written since, and elsewhere.
    restore("dumped");
    goes_on(lead(&url(&server.url("dumped"))), before.len());
    let elsewhere = url(&server.database("elsewhere"));
    restore("elsewhere");
    goes_on(lead(&elsewhere), before.len());
    let register = PostgresStore::open(&elsewhere).unwrap().register().unwrap();
    assert!(register.find(token.id()).unwrap().is_some());
}
