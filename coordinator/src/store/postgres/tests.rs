//! What only PostgreSQL has: epochs, leases, migrations. The contract that it shares with the other
//! stores is in `store/contract.rs`.

mod hosts;
mod upgrade;

use std::time::{Duration, Instant};

use cambrian_core::engine::EngineSettings;
use cambrian_core::time::Span;

use super::*;
use crate::actor::{Follower, rebuild};
use crate::store::Tables;
use crate::store::contract::{
    PATIENCE, contract, holds_what_is_beyond_its_columns, lead, reads_no_specification_again,
    registered, started, texts,
};
use crate::store::postgres_server::PostgresServer;
use crate::store::rows::WorkerRow;
use crate::store::tokens::{self, Claim};
use crate::testing::{journal_of, journal_with_known_results, repeated, simulated_journal};
use crate::verify::verify;

fn url(text: &str) -> Url {
    match text.parse().unwrap() {
        Place::Postgres(url) => url,
        Place::File(_) => panic!("{text}"),
    }
}

fn candidate(holder: &str) -> Candidate {
    Candidate {
        holder: holder.into(),
        endpoint: format!("http://{holder}:7878"),
        length: Duration::from_secs(3),
        renewal: Duration::from_millis(500),
    }
}

fn epoch(store: &mut PostgresStore, candidate: &Candidate) -> i64 {
    match store.bid(candidate).unwrap() {
        Bid::Won { epoch, .. } => epoch,
        held => panic!("{held:?}"),
    }
}

/// Takes over from a leader that is stopped for longer than its lease: it renews nothing, and the
/// database's clock finds the lease over.
fn take_over(server: &PostgresServer, store: &mut PostgresStore, candidate: &Candidate) -> i64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        server.ask("stale", "UPDATE cambrian.leader SET expires_at = '-infinity'");
        // The test's leader is not stopped and may have renewed its lease meanwhile.
        let bid = store.bid(candidate).unwrap();
        if let Bid::Won { epoch, .. } = bid {
            return epoch;
        }
        assert!(Instant::now() < deadline, "the lease is renewed whenever it is over: {bid:?}");
    }
}

#[test]
fn postgres_keeps_the_contract_and_projects_what_the_engine_decides() {
    let Some(server) = PostgresServer::start() else { return };
    let place = url(&server.database("contract"));
    contract(|| lead(&place));
    tokens::tests::contract(&|| PostgresStore::open(&place).unwrap().register().unwrap());
    half_a_batch_is_none(&url(&server.database("half")));
    let specs = url(&server.database("specs"));
    reads_no_specification_again(
        || lead(&specs),
        || drop(server.ask("specs", "UPDATE cambrian.campaigns SET resolved_yaml = ''")),
    );
    for seed in 0..4 {
        let simulated = match seed {
            0 => simulated_journal(seed),
            1 => journal_of(&repeated(), seed),
            _ => journal_with_known_results(seed),
        };
        let place = url(&server.database(&format!("j{seed}")));
        projections_are_those_of_the_engine(&place, seed, simulated);
    }
    zero_characters_are_kept_out(&url(&server.database("zero")));
    let mut places =
        ["beyond_one", "beyond_all"].map(|name| url(&server.database(name))).into_iter();
    let opened = std::cell::RefCell::new(None);
    let open = || {
        let place = places.next().unwrap();
        let store = lead(&place);
        opened.replace(Some(place));
        store
    };
    holds_what_is_beyond_its_columns([5, 100_000], open, |_| {
        let place = opened.borrow();
        verify(&PostgresStore::open_read_only(place.as_ref().unwrap()).unwrap()).unwrap()
    });
}

fn half_a_batch_is_none(place: &Url) {
    let mut store = lead(place);
    store.append(0, &[registered(1, "gpu")]).unwrap();
    // Two workers of one name break the table's uniqueness, after the first event was written.
    let error = store.append(1, &[started(2), registered(2, "gpu")]).unwrap_err();
    assert!(matches!(&error, StoreError::Postgres(error) if !error.is_outage()), "{error}");
    assert_eq!((store.sequence(), texts(&store).len()), (1, 1));
    let mut connected = Vec::new();
    store.visit_rows(|row: WorkerRow| connected.push(row.connected)).unwrap();
    assert_eq!(connected, [true], "the projection of the refused batch was kept");
    assert_eq!(store.append(1, &[started(3)]).unwrap(), 2);
}

fn projections_are_those_of_the_engine(
    place: &Url,
    seed: u64,
    (journal, engine): (Vec<(Timestamp, Event)>, cambrian_core::engine::Engine),
) {
    let mut store = lead(place);
    // Portions of every length, so that a life begins and ends in one or in many.
    let (mut rest, mut length) = (&journal[..], 1);
    while !rest.is_empty() {
        let (portion, others) = rest.split_at(length.min(rest.len()));
        store.append(store.sequence(), portion).unwrap();
        (rest, length) = (others, length * 3 % 500 + 1);
    }
    let reader = PostgresStore::open_read_only(place).unwrap();
    let report = verify(&reader).unwrap();
    assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
    assert_eq!(report.digest, engine.state().digest());
    assert!(report.rows > 300, "{} rows", report.rows);
    assert!(store.append(0, &[started(1)]).is_err());
    drop(store);
    let mut again = lead(place);
    // The specification of the campaign has to be read back.
    again.append(again.sequence(), &[]).unwrap();
    let damaged = "UPDATE candidates SET reason = 'other' WHERE campaign = 1 AND ordinal = 3";
    again
        .call(move |connected| {
            Box::pin(async move { Ok(connected.client.batch_execute(damaged).await?) })
        })
        .unwrap();
    let report = verify(&reader).unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
}

/// The database cannot hold them; a journal that has them must not stop the coordinator.
#[test]
fn an_append_reads_no_table_whole() {
    let Some(server) = PostgresServer::start() else { return };
    let place = url(&server.database("plans"));
    let mut store = lead(&place);
    // Longer than the five times after which a plan is kept by default.
    for portion in simulated_journal(1).0.chunks(20) {
        store.append(store.sequence(), portion).unwrap();
    }
    drop(store);
    let tables = "relname IN ('journal', 'campaigns', 'candidates', 'tasks', 'measurements')";
    let sum = |column| {
        let sql = format!(
            "SELECT coalesce(sum({column}), 0) FROM pg_stat_user_tables \
             WHERE schemaname = 'cambrian' AND {tables}"
        );
        server.ask("plans", &sql).parse::<u64>().unwrap()
    };
    // A connection tells what it has done when it ends.
    let deadline = Instant::now() + PATIENCE;
    while sum("idx_scan") == 0 {
        assert!(Instant::now() < deadline, "the connection does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(sum("seq_tup_read"), 0);
}

fn zero_characters_are_kept_out(place: &Url) {
    use cambrian_core::engine::{Failure, FailureKind};
    let has_failed = |(_, event): &(_, Event)| matches!(event, Event::CandidateFailed { .. });
    let simulated = (1..100).map(|seed| simulated_journal(seed).0);
    let mut journal = simulated.into_iter().find(|found| found.iter().any(has_failed)).unwrap();
    let failed = journal.iter_mut().find_map(|(_, event)| match event {
        Event::CandidateFailed { failure, .. } => Some(failure),
        _ => None,
    });
    *failed.unwrap() = Failure { kind: FailureKind::Crash, message: "a\0b".into() };
    let mut store = lead(place);
    store.append(0, &journal).unwrap();
    assert_eq!(texts(&store).len(), journal.len());
    let report = verify(&PostgresStore::open_read_only(place).unwrap()).unwrap();
    assert!(report.rows > 300);
    let about_text = report.problems.iter().filter(|problem| problem.contains("table"));
    assert_eq!(about_text.count(), 0, "{:?}", report.problems);
}

#[test]
fn a_stale_leader_cannot_write() {
    let Some(server) = PostgresServer::start() else { return };
    let place = url(&server.database("stale"));
    let (mut first, mut second) =
        (PostgresStore::open(&place).unwrap(), PostgresStore::open(&place).unwrap());
    let error = first.append(0, &[started(1)]).unwrap_err();
    assert!(matches!(error, StoreError::Deposed { epoch: 0 }), "it never led: {error}");
    assert_eq!(epoch(&mut first, &candidate("a")), 1);
    first.append(0, &[started(1)]).unwrap();
    match second.bid(&candidate("b")).unwrap() {
        Bid::Held { endpoint, remaining } => {
            assert_eq!(endpoint, "http://a:7878");
            assert!(remaining <= Duration::from_secs(3) && remaining > Duration::from_secs(1));
        }
        won => panic!("{won:?}"),
    }

    assert_eq!(take_over(&server, &mut second, &candidate("b")), 2);
    let error = first.append(1, &[started(2)]).unwrap_err();
    assert!(matches!(error, StoreError::Deposed { epoch: 1 }), "{error}");
    assert_eq!(texts(&second).len(), 1, "a stale leader wrote");
    assert_eq!(second.append(1, &[started(3)]).unwrap(), 2);
    // It learns by itself, too, when it next wants to renew.
    let deadline = Instant::now() + PATIENCE;
    while first.standing().is_ok() {
        assert!(Instant::now() < deadline, "a deposed leader believes in itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(first.standing().unwrap_err().is_loss_of_leadership());

    // What is dropped is released, and open to the next one at once; the stale one releases nothing.
    drop(first);
    let mut third = PostgresStore::open(&place).unwrap();
    assert!(matches!(third.bid(&candidate("c")).unwrap(), Bid::Held { .. }));
    drop(second);
    assert_eq!(epoch(&mut third, &candidate("c")), 3);
    assert_eq!((third.sequence(), texts(&third).len()), (2, 2));
    stopped_within_a_transaction(&server, &place, third);
    an_outage_ends_a_leadership(server, &place);
}

/// A leader that is stopped between the check of its epoch and the commit holds the row's lock: the
/// database ends its transaction, and nothing of it remains.
fn stopped_within_a_transaction(server: &PostgresServer, place: &Url, leader: PostgresStore) {
    let route = leader.database.route();
    let stopped = leader.database.wait(async move {
        let client = route.connect(PATIENCE).await?;
        client.batch_execute("BEGIN; SELECT begin_append(3, 'c', 2)").await?;
        let insert = "INSERT INTO journal VALUES (3, 3, 'started', '', 0)";
        client.batch_execute(insert).await?;
        Ok(client)
    });
    let stopped = stopped.unwrap();
    let mut next = PostgresStore::open(place).unwrap();
    assert_eq!(take_over(server, &mut next, &candidate("d")), 4);
    assert_eq!(texts(&next).len(), 2);
    let commit = leader.database.wait(async move { Ok(stopped.batch_execute("COMMIT").await?) });
    assert!(commit.is_err(), "the transaction outlived its leadership");
    assert_eq!(next.append(2, &[started(5)]).unwrap(), 3);
}

fn an_outage_ends_a_leadership(mut server: PostgresServer, place: &Url) {
    let mut store = lead(place);
    server.stop();
    let error = store.append(3, &[started(4)]).unwrap_err();
    assert!(error.is_outage() || error.is_loss_of_leadership(), "{error}");
    let deadline = Instant::now() + PATIENCE;
    while store.standing().is_ok() {
        assert!(Instant::now() < deadline, "a lease outlived its database");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.resume();
    let led = lead(place);
    assert_eq!(texts(&led).len(), 3);
    drop(led);
    let epoch = epoch(&mut store, &candidate("e"));
    assert!(epoch >= 6, "{epoch}");
    assert_eq!(store.append(3, &[started(4)]).unwrap(), 4, "the connection was made anew");
}

/// A copy of the database takes over that has not got the last transactions.
#[test]
fn a_standby_does_not_lead_with_what_the_journal_has_lost() {
    let Some(server) = PostgresServer::start() else { return };
    let place = url(&server.database("lost"));
    let mut leader = lead(&place);
    let (journal, _) = simulated_journal(5);
    leader.append(0, &journal).unwrap();
    let settings = EngineSettings { lease_length: Span::from_secs(20) };
    let mut follower = Follower::new(settings);
    let mut standby = PostgresStore::open(&place).unwrap();
    follower.catch_up(&standby).unwrap();
    assert_eq!(follower.sequence(), journal.len() as u64);
    drop(leader);
    let kept = journal.len() as u64 - 7;
    server.ask("lost", &format!("DELETE FROM cambrian.journal WHERE sequence > {kept}"));
    epoch(&mut standby, &candidate("b"));
    follower.catch_up(&standby).unwrap();
    assert_eq!((follower.sequence(), standby.sequence()), (kept, kept));
    let rebuilt = rebuild(&standby, settings).unwrap();
    assert_eq!(follower.state().digest(), rebuilt.state().digest());
}

#[test]
fn schemas_are_prepared_once_and_strange_ones_refused() {
    let Some(server) = PostgresServer::start() else { return };
    let place = url(&server.database("schemas"));
    let refused = PostgresStore::open_read_only(&place).unwrap_err();
    assert!(matches!(refused, StoreError::Older { found: 0, .. }), "{refused}");
    // Of several that start at once, one prepares the schema.
    let opened: Vec<_> = (0..6)
        .map(|_| {
            let place = place.clone();
            std::thread::spawn(move || PostgresStore::open(&place).map(drop))
        })
        .collect();
    for thread in opened {
        thread.join().unwrap().unwrap();
    }
    let applied = "SELECT string_agg(version::TEXT, ',' ORDER BY version) FROM cambrian.migrations";
    let versions: Vec<_> = (1..=SCHEMA_VERSION).map(|version| version.to_string()).collect();
    assert_eq!(server.ask("schemas", applied), versions.join(","));

    server.ask("schemas", "UPDATE cambrian.migrations SET checksum = 'x' WHERE version = 1");
    let error = PostgresStore::open(&place).unwrap_err();
    assert!(matches!(error, StoreError::Altered { step: 1, .. }), "{error}");
    server.ask("schemas", "INSERT INTO cambrian.migrations VALUES (99, 'x')");
    let newer = SCHEMA_VERSION + 1;
    for open in [PostgresStore::open, PostgresStore::open_read_only] {
        let error = open(&place).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found, .. } if found == newer), "{error}");
        assert!(error.to_string().contains("/schemas"), "{error}");
    }

    let foreign = url(&server.database("foreign_one"));
    server.ask("foreign_one", "CREATE SCHEMA cambrian; CREATE TABLE cambrian.notes (text TEXT)");
    let error = PostgresStore::open(&foreign).unwrap_err();
    assert!(matches!(error, StoreError::Foreign(_)), "{error}");
    let missing = url(&server.url("missing"));
    let error = PostgresStore::open(&missing).unwrap_err();
    assert!(error.to_string().contains("\"missing\" does not exist"), "{error}");
}

/// A copy that lost transactions may have given another leader the same epoch.
#[test]
fn another_leader_of_the_same_epoch_cannot_write() {
    let Some(server) = PostgresServer::start() else { return };
    let mut store = PostgresStore::open(&url(&server.database("copy"))).unwrap();
    // It does not ask by itself whether it still leads.
    let hour = Duration::from_secs(3600);
    let candidate = Candidate { length: 2 * hour, renewal: hour, ..candidate("a") };
    assert_eq!(epoch(&mut store, &candidate), 1);
    store.append(0, &[started(1)]).unwrap();
    server.ask("copy", "UPDATE cambrian.leader SET holder = 'b'");
    let error = store.append(1, &[started(2)]).unwrap_err();
    assert!(matches!(error, StoreError::Deposed { epoch: 1 }), "{error}");
    assert_eq!(texts(&store).len(), 1);
    // An earlier release may lead until it is replaced.
    server.ask("copy", "SELECT cambrian.begin_append(1, 1)");
}

#[test]
fn names_are_claimed_once_and_counted_without_reading_all() {
    let Some(server) = PostgresServer::start() else { return };
    let store = PostgresStore::open(&url(&server.database("names"))).unwrap();
    let register = store.register().unwrap();
    let claim = |worker: &str| register.claim_worker(worker, "site", 3, Timestamp(1)).unwrap();
    let first = ["a", "b", "c", "d"].map(claim);
    assert_eq!(first, [Claim::Held, Claim::Held, Claim::Held, Claim::Full]);
    server.ask(
        "names",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'claimed again'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON cambrian.worker_holders \
         EXECUTE FUNCTION refuse()",
    );
    assert_eq!(["a", "b", "c"].map(claim), [Claim::Held, Claim::Held, Claim::Held]);
    drop(register);
    drop(store);
    let of = |column: &str| {
        let from = "FROM pg_stat_user_tables WHERE relname = 'worker_holders'";
        server.ask("names", &format!("SELECT {column} {from}"))
    };
    // A connection tells what it has done when it ends.
    until(|| of("n_tup_ins") == "3");
    assert_eq!(of("seq_tup_read"), "0");
}

/// Backends that are stopped, until this is dropped: the server could not end with them.
struct Stopped(Vec<rustix::process::Pid>);

impl Stopped {
    /// Stops those of every coordinator.
    fn all(server: &PostgresServer) -> Self {
        let theirs = "SELECT pid FROM pg_stat_activity WHERE application_name = 'cambrian'";
        let ids = server.ask("postgres", theirs);
        let ids =
            ids.lines().map(|id| rustix::process::Pid::from_raw(id.parse().unwrap()).unwrap());
        let stopped = Self(ids.collect());
        stopped.send(rustix::process::Signal::STOP);
        stopped
    }

    fn send(&self, signal: rustix::process::Signal) {
        for id in &self.0 {
            // One may have ended by itself.
            let _ = rustix::process::kill_process(*id, signal);
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.send(rustix::process::Signal::CONT);
    }
}

fn until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !what() {
        assert!(Instant::now() < deadline, "it does not come to that");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn tokens_are_read_on_although_their_connection_answers_no_more() {
    let Some(server) = PostgresServer::start() else { return };
    let store = PostgresStore::open(&url(&server.database("silent"))).unwrap();
    let register = store.register().unwrap();
    let (token, _) = register.create(crate::access::Role::View, "ada", None, Timestamp(1)).unwrap();
    // One reads after each change, the other one each second.
    let readers = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cambrian' \
                   AND query LIKE 'SELECT id, role%'";
    until(|| server.ask("silent", readers) == "2");
    let _stopped = Stopped::all(&server);
    server.ask("silent", "UPDATE cambrian.tokens SET revoked_at = 7");
    until(|| {
        let found = register.find(token.id()).ok().flatten();
        found.is_some_and(|(record, _)| record.revoked_at == Some(Timestamp(7)))
    });
}

#[test]
fn a_server_that_says_nothing_is_an_outage() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for open in [PostgresStore::open, PostgresStore::open_read_only] {
        let place = url(&format!("postgresql://u@{address}/x?connect_timeout=1"));
        let (sender, opened) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(open(&place).map(drop)));
        let error = opened.recv_timeout(PATIENCE).expect("it is given up").unwrap_err();
        assert!(error.is_outage() && error.to_string().contains("2 s"), "{error}");
    }
}

#[test]
fn what_a_transaction_sees_is_not_left_to_the_database() {
    let Some(server) = PostgresServer::start() else { return };
    let place = url(&server.database("strict"));
    let strict = "ALTER DATABASE strict SET default_transaction_isolation = 'serializable'";
    server.ask("strict", strict);
    for open in [PostgresStore::open, PostgresStore::open_read_only] {
        let found = open(&place).unwrap().call(|connected| {
            Box::pin(async move {
                let row = connected.client.query_one("SHOW transaction_isolation", &[]).await?;
                Ok(row.try_get::<_, String>(0)?)
            })
        });
        assert_eq!(found.unwrap(), "read committed");
    }
}

#[test]
fn damage_is_found_at_its_record() {
    let Some(server) = PostgresServer::start() else { return };
    let place = url(&server.database("damage"));
    let mut store = lead(&place);
    store.append(0, &[started(1), started(2), started(3)]).unwrap();
    let damage = |sql: &str| {
        server.ask("damage", sql);
        let reader = PostgresStore::open_read_only(&place).unwrap();
        crate::store::for_each(&reader, |_| {}).unwrap_err()
    };
    let error = damage("UPDATE cambrian.journal SET at_micros = 5 WHERE sequence = 3");
    assert!(matches!(error, StoreError::Damaged { sequence: 3, .. }), "{error}");
    let error = damage("UPDATE cambrian.journal SET record = '\\x00' WHERE sequence = 2");
    assert!(matches!(error, StoreError::Damaged { sequence: 2, .. }), "{error}");
    let error = damage("DELETE FROM cambrian.journal WHERE sequence = 2");
    assert!(matches!(error, StoreError::Gap { expected: 2, found: 3 }), "{error}");
}

#[test]
fn connections_are_encrypted_and_verified_as_the_url_asks() {
    let Some(server) = PostgresServer::start() else { return };
    server.database("encrypted");
    let verified = server.encrypted("encrypted");
    let store = PostgresStore::open(&url(&verified)).unwrap();
    let encrypted = store.call(|connected| {
        Box::pin(async move {
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            Ok(connected.client.query_one(sql, &[]).await?.try_get::<_, bool>(0)?)
        })
    });
    assert!(encrypted.unwrap());
    // The certificate is for localhost alone.
    let other_name = verified.replace("localhost", "127.0.0.1");
    let error = PostgresStore::open(&url(&other_name)).unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("certificate"), "{error}");
    for mode in ["verify-ca", "require"] {
        let lenient = other_name.replace("verify-full", mode);
        assert!(PostgresStore::open(&url(&lenient)).is_ok(), "{mode}");
    }
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), stranger.cert.pem()).unwrap();
    let (before, _) = verified.split_once("sslrootcert=").unwrap();
    for mode in ["verify-full", "verify-ca"] {
        let url_of_stranger = format!("{before}sslrootcert={}", file.path().display());
        let refused = url_of_stranger.replace("verify-full", mode);
        let error = PostgresStore::open(&url(&refused)).unwrap_err();
        assert!(error.to_string().contains("certificate"), "{mode}: {error}");
    }
}
