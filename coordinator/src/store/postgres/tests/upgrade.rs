//! A database that one release has brought up to date while others use it.

use super::{candidate, epoch, lead, started, url};
use crate::store::postgres::schema::SCHEMA_VERSION;
use crate::store::postgres::{Bid, PostgresStore};
use crate::store::postgres_server::PostgresServer;
use crate::store::{Store, StoreError};

#[test]
fn nobody_takes_over_what_a_later_release_has_changed() {
    let Some(server) = PostgresServer::start() else { return };
    let place = url(&server.database("later"));
    let (mut leader, mut standby) =
        (PostgresStore::open(&place).unwrap(), PostgresStore::open(&place).unwrap());
    epoch(&mut leader, &candidate("a"));
    let later = SCHEMA_VERSION + 1;
    server.ask("later", &format!("INSERT INTO cambrian.migrations VALUES ({later}, 'x')"));
    let outdated = |endpoint: &str| Bid::Outdated { endpoint: endpoint.into(), found: later };
    assert_eq!(standby.bid(&candidate("b")).unwrap(), outdated("http://a:7878"));
    assert_eq!(leader.append(0, &[started(1)]).unwrap(), 1, "it leads until it ends");
    drop(leader);
    assert_eq!(standby.bid(&candidate("b")).unwrap(), outdated(""));
    server.ask("later", &format!("DELETE FROM cambrian.migrations WHERE version = {later}"));
    epoch(&mut standby, &candidate("b"));
}

#[test]
fn a_journal_that_cannot_be_read_is_not_brought_up_to_date() {
    let Some(server) = PostgresServer::start() else { return };
    let place = url(&server.database("older"));
    let mut store = lead(&place);
    store.append(0, &[started(1), started(2)]).unwrap();
    drop(store);
    let version = || server.ask("older", "SELECT max(version) FROM cambrian.migrations");
    server.ask(
        "older",
        "DELETE FROM cambrian.migrations WHERE version = 3; DROP INDEX cambrian.worker_holders_of; \
         DROP FUNCTION cambrian.begin_append(BIGINT, TEXT, BIGINT)",
    );
    let older = (SCHEMA_VERSION - 1).to_string();
    server.ask("older", "UPDATE cambrian.journal SET at_micros = 5 WHERE sequence = 2");
    let error = PostgresStore::open(&place).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { sequence: 2, .. }), "{error}");
    assert_eq!(version(), older);
    server.ask("older", "UPDATE cambrian.journal SET at_micros = 2 WHERE sequence = 2");
    let refused = PostgresStore::tokens_of(&place).map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::Older { found, .. } if found.to_string() == older));
    assert_eq!(version(), older);
    PostgresStore::open(&place).unwrap();
    assert_eq!(version(), SCHEMA_VERSION.to_string());
}
