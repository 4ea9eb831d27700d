//! A database that one release has brought up to date while others use it.

use super::{candidate, epoch, started, url};
use crate::store::Store;
use crate::store::postgres::schema::SCHEMA_VERSION;
use crate::store::postgres::{Bid, PostgresStore};
use crate::store::postgres_server::PostgresServer;

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
