//! The way to a database: its hosts one after the other, within the time of whoever waits.
//!
//! The URL is read anew for each connection, with the files that it names: a password or a certificate
//! that was replaced counts from the next connection on. Must not know what a connection is for.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, NoTls};

use super::database::{PostgresError, silence};
use super::target::{Purpose, Target};
use crate::store::StoreError;
use crate::store::place::Url;

/// What every connection is set to. A transaction that its client has forgotten, being stopped or
/// gone, must not hold up a take-over, and an append has to see what was committed while it waited for
/// the leader's row.
///
/// Every statement finds its rows by their keys, and its plan stays for the connection's life. A plan
/// that was made while the tables were empty would read them whole at each append until they are
/// analysed, so only look-ups are allowed. What has no key, such as the one row of the leader, counts as
/// expensive then, and must not be compiled for that.
const SESSION: &str = "\
    SET search_path = cambrian; \
    SET client_min_messages = warning; \
    SET default_transaction_isolation = 'read committed'; \
    SET idle_in_transaction_session_timeout = '1500ms'; \
    SET plan_cache_mode = force_generic_plan; \
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
    SET jit = off; \
    SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') = 'off'";
const READER: &str = "\
    SET search_path = cambrian; \
    SET client_min_messages = warning; \
    SET default_transaction_isolation = 'read committed'; \
    SET default_transaction_read_only = on";

/// A server: the position of its host in the URL, and its address if it has one.
type Server = (usize, Option<IpAddr>);

/// The way to a database.
pub(super) struct Route {
    pub(super) url: Url,
    purpose: Purpose,
    /// Who answered last, and is asked first.
    answered: Mutex<Option<Server>>,
}

impl Route {
    /// The way that a URL names.
    ///
    /// # Errors
    /// [`StoreError::Url`] if it cannot be used, or a file that it names cannot.
    pub(super) fn new(url: &Url, purpose: Purpose) -> Result<Self, StoreError> {
        Target::parse(url, purpose)?;
        Ok(Self { url: url.clone(), purpose, answered: Mutex::new(None) })
    }

    /// A new connection, which ends when the client is dropped. It takes four fifths of `patience` at
    /// most, so that something is left for what it is wanted for, and each host an equal share of
    /// that: one that is silent must not keep the others from being asked.
    pub(super) async fn connect(&self, patience: Duration) -> Result<Client, StoreError> {
        let target = Target::parse(&self.url, self.purpose).map_err(away)?;
        let end = Instant::now() + (patience - patience / 5).min(target.patience());
        let hosts = self.in_turn(target.hosts().len());
        let mut failures = Vec::new();
        for (at, host) in hosts.iter().enumerate() {
            let until = share(end, hosts.len() - at);
            match self.connect_to(&target, *host, until, &mut failures).await {
                Some(client) => return Ok(client),
                None => continue,
            }
        }
        Err(StoreError::Postgres(PostgresError::of_all(failures)))
    }

    /// The positions of the hosts, the one that answered last first.
    fn in_turn(&self, hosts: usize) -> Vec<usize> {
        let first = self.answered().map(|(host, _)| host);
        let mut order: Vec<usize> = (0..hosts).collect();
        order.sort_by_key(|host| Some(*host) != first);
        order
    }

    fn answered(&self) -> MutexGuard<'_, Option<Server>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries the addresses of one host; nothing if none answers, with a failure of each.
    async fn connect_to(
        &self,
        target: &Target,
        host: usize,
        end: Instant,
        failures: &mut Vec<(String, PostgresError)>,
    ) -> Option<Client> {
        let name = match &target.hosts()[host] {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let mut addresses = match addresses(target, host, end).await {
            Ok(addresses) => addresses,
            Err(error) => {
                failures.push((name, error));
                return None;
            }
        };
        let first = *self.answered();
        addresses.sort_by_key(|address| Some((host, *address)) != first);
        for (at, address) in addresses.iter().enumerate() {
            let patience = share(end, addresses.len() - at).duration_since(Instant::now());
            match timeout(patience, self.open(target, (host, *address), patience)).await {
                Ok(Ok(client)) => {
                    *self.answered() = Some((host, *address));
                    return Some(client);
                }
                Ok(Err(error)) => failures.push((name.clone(), error)),
                // A server that is stopped still takes connections, and the driver bounds nothing that
                // comes after that.
                Err(_) => failures.push((name.clone(), silence(patience))),
            }
        }
        None
    }

    async fn open(
        &self,
        target: &Target,
        (host, address): Server,
        patience: Duration,
    ) -> Result<Client, PostgresError> {
        let config = target.of_one(host, address, patience);
        let client = match &target.encryption {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                client
            }
            Some(encryption) => {
                let (client, connection) = config.connect(encryption.clone()).await?;
                tokio::spawn(connection);
                client
            }
        };
        let settings = if self.purpose == Purpose::Write { SESSION } else { READER };
        client.batch_execute(settings).await?;
        Ok(client)
    }
}

/// What was read when the process started and cannot be now is being replaced, or will be.
fn away(error: StoreError) -> StoreError {
    StoreError::Postgres(PostgresError::outage(error.to_string()))
}

/// When the first of so many has to be done, if all are to have as long until `end`.
fn share(end: Instant, many: usize) -> Instant {
    let now = Instant::now();
    let many = u32::try_from(many).unwrap_or(u32::MAX);
    now + end.saturating_duration_since(now) / many.max(1)
}

/// Where a host is to be connected to.
async fn addresses(
    target: &Target,
    host: usize,
    end: Instant,
) -> Result<Vec<Option<IpAddr>>, PostgresError> {
    let name = match (&target.hosts()[host], target.address(host)) {
        (_, Some(address)) => return Ok(vec![Some(address)]),
        (Host::Unix(_), None) => return Ok(vec![None]),
        (Host::Tcp(name), None) => name.as_str(),
    };
    let patience = end.saturating_duration_since(Instant::now());
    let found = timeout_at(end, lookup_host((name, 0))).await.map_err(|_| silence(patience))?;
    let unknown = |error| PostgresError::outage(format!("its address is not known: {error}"));
    let mut addresses = Vec::new();
    for found in found.map_err(unknown)? {
        if !addresses.contains(&Some(found.ip())) {
            addresses.push(Some(found.ip()));
        }
    }
    Ok(addresses)
}
