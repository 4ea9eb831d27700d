//! How the database is reached: several hosts of which some are silent, and passwords that change.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{PATIENCE, candidate, epoch, started, until, url};
use crate::access::Role;
use crate::store::Store;
use crate::store::place::Url;
use crate::store::postgres::database::Database;
use crate::store::postgres::route::Route;
use crate::store::postgres::target::Purpose;
use crate::store::postgres::{PostgresStore, Timestamp};
use crate::store::postgres_server::PostgresServer;

/// Hosts that take connections and then say nothing.
struct Silent(Vec<TcpListener>);

impl Silent {
    fn some<const N: usize>() -> Self {
        let listen = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        Self([(); N].map(|()| listen()).into())
    }

    /// The URL of a database behind them.
    fn before(&self, server: &PostgresServer, database: &str, settings: &str) -> Url {
        let ports = self.0.iter().map(|listener| listener.local_addr().unwrap());
        let hosts: Vec<_> = ports.chain([server.address()]).map(|host| host.to_string()).collect();
        url(&format!("postgresql://cambrian@{}/{database}{settings}", hosts.join(",")))
    }

    /// How many have connected since this was asked last.
    fn asked(&self) -> usize {
        let of_one = |listener: &TcpListener| std::iter::from_fn(|| listener.accept().ok()).count();
        self.0.iter().map(of_one).sum()
    }
}

#[test]
fn each_host_is_asked_in_time_and_the_one_that_answered_first_next_time() {
    let Some(server) = PostgresServer::start() else { return };
    server.database("hosts");
    let silent = Silent::some::<2>();
    let route = Route::new(&silent.before(&server, "hosts", ""), Purpose::Write).unwrap();
    let database = Database::new(route).unwrap();
    for expected in [2, 0, 0] {
        let route = database.route();
        // Less than either silent host could take by itself.
        let connected = database.wait(async move {
            route.connect(Duration::from_secs(7)).await.map(|client| client.is_closed())
        });
        assert!(!connected.unwrap());
        assert_eq!(silent.asked(), expected);
    }
}

#[test]
fn a_silent_host_keeps_nobody_from_leading_nor_tokens_from_being_read() {
    let Some(server) = PostgresServer::start() else { return };
    server.database("silent");
    let place = Silent::some::<1>();
    let place = (place.before(&server, "silent", "?connect_timeout=2"), place);
    let mut store = PostgresStore::open(&place.0).unwrap();
    let register = store.register().unwrap();
    let (token, _) = register.create(Role::View, "ada", None, Timestamp(1)).unwrap();
    assert_eq!(epoch(&mut store, &candidate("a")), 1);
    let renewed = "SELECT expires_at > acquired_at + INTERVAL '4 s' FROM cambrian.leader";
    until(|| server.ask("silent", renewed) == "t");
    assert_eq!(store.append(0, &[started(1)]).unwrap(), 1);
    server.ask("silent", "UPDATE cambrian.tokens SET revoked_at = 7");
    until(|| {
        let found = register.find(token.id()).ok().flatten();
        found.is_some_and(|(record, _)| record.revoked_at == Some(Timestamp(7)))
    });
}

#[test]
fn what_none_of_the_hosts_gives_is_said_of_each() {
    let Some(server) = PostgresServer::start() else { return };
    let place = Silent::some::<1>();
    let place = (place.before(&server, "absent", "?connect_timeout=1"), place);
    let error = PostgresStore::open(&place.0).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no answer") && text.contains("\"absent\" does not exist"), "{text}");
    assert!(!error.is_outage(), "the server that answers has no such database");
}

#[test]
fn a_password_that_is_replaced_counts_from_the_next_connection_on() {
    let Some(server) = PostgresServer::start() else { return };
    server.user_with_password("rotated", "first");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first\n").unwrap();
    let place = url(&format!(
        "postgresql://rotated@{}/rotated?password_file={}",
        server.address(),
        file.path().display()
    ));
    let mut store = PostgresStore::open(&place).unwrap();
    let register = store.register().unwrap();
    let (token, _) = register.create(Role::View, "ada", None, Timestamp(1)).unwrap();
    assert_eq!(epoch(&mut store, &candidate("a")), 1);

    server.ask("postgres", "ALTER ROLE rotated PASSWORD 'second'");
    let cut = || {
        let all =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'";
        server.ask("postgres", all);
    };
    cut();
    until(|| matches!(store.register(), Err(error) if error.may_pass() && !error.is_outage()));
    std::fs::remove_file(file.path()).unwrap();
    until(|| matches!(store.register(), Err(error) if error.is_outage()));
    std::fs::write(file.path(), "second\n").unwrap();
    cut();
    server.ask("rotated", "UPDATE cambrian.tokens SET revoked_at = 7");
    until(|| {
        let found = register.find(token.id()).ok().flatten();
        found.is_some_and(|(record, _)| record.revoked_at == Some(Timestamp(7)))
    });
    register.create(Role::View, "eve", None, Timestamp(1)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    // What was cut off in the middle is an error once.
    while store.bid(&candidate("a")).is_err() || store.append(0, &[started(1)]).is_err() {
        assert!(Instant::now() < deadline, "it leads no more");
        std::thread::sleep(Duration::from_millis(50));
    }
}
