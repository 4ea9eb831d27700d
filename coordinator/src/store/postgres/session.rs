//! One connection with its prepared statements, made anew when it has broken.
//!
//! Must not know what is asked on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::{Client, Statement};

use super::database::{Database, PostgresError, silence};
use super::route::Route;
use crate::store::StoreError;

/// How long a request may take when nothing else bounds it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// An open connection.
pub(super) struct Connected {
    pub(super) client: Client,
    statements: BTreeMap<&'static str, Statement>,
}

impl Connected {
    async fn open(
        route: &Route,
        statements: &[&'static str],
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let client = route.connect(patience).await?;
        let mut prepared = BTreeMap::new();
        for sql in statements {
            prepared.insert(*sql, client.prepare(sql).await?);
        }
        Ok(Self { client, statements: prepared })
    }

    /// A statement that was prepared when the connection was opened.
    pub(super) fn statement(&self, sql: &'static str) -> Result<&Statement, StoreError> {
        let unknown = || StoreError::Failed(format!("a defect: not prepared: {sql}"));
        self.statements.get(sql).ok_or_else(unknown)
    }
}

/// A connection that requests share, one at a time.
#[derive(Clone)]
pub(super) struct Session {
    database: Database,
    statements: &'static [&'static str],
    /// How long a request may take, with its wait for those before it and a new connection.
    patience: Duration,
    slot: Arc<Mutex<Option<Connected>>>,
}

impl Session {
    pub(super) fn new(
        database: &Database,
        statements: &'static [&'static str],
        patience: Duration,
    ) -> Self {
        Self { database: database.clone(), statements, patience, slot: Arc::default() }
    }

    /// Does `work` on the connection and waits, but not beyond `end`, whose error is returned then.
    /// With `fresh` a broken connection is made anew; without it is an error.
    pub(super) fn call<R: Send + 'static>(
        &self,
        fresh: bool,
        end: impl Future<Output = StoreError> + Send + 'static,
        work: impl for<'c> FnOnce(&'c Connected) -> BoxFuture<'c, Result<R, StoreError>>
        + Send
        + 'static,
    ) -> Result<R, StoreError> {
        let Self { statements, patience, .. } = *self;
        let (slot, route) = (self.slot.clone(), self.database.route());
        self.database.wait(async move {
            let over = Instant::now() + patience;
            let done = async {
                let mut slot = slot.lock_owned().await;
                // A request that is given up takes the connection with it: nobody knows its state.
                let present = slot.take().filter(|present| !present.client.is_closed());
                let connected = match present {
                    Some(connected) => connected,
                    None if fresh => {
                        let left = over.saturating_duration_since(Instant::now());
                        Connected::open(&route, statements, left).await?
                    }
                    None => {
                        return Err(StoreError::Postgres(PostgresError::outage(
                            "the connection broke in the middle",
                        )));
                    }
                };
                let result = work(&connected).await;
                *slot = Some(connected);
                result
            };
            tokio::select! {
                done = done => done,
                error = end => Err(error),
                () = sleep_until(over) => Err(StoreError::Postgres(silence(patience))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::place::Place;
    use crate::store::postgres::target::Purpose;

    #[test]
    fn whoever_waits_for_another_request_is_heard_in_time() {
        let Ok(Place::Postgres(url)) = "postgresql://u@127.0.0.1:1/x".parse() else { panic!() };
        let database = Database::new(Route::new(&url, Purpose::Write).unwrap()).unwrap();
        let session = Session::new(&database, &[], PATIENCE);
        let _other = session.slot.blocking_lock();
        let end = std::future::ready(StoreError::Lapsed { epoch: 7 });
        let error = session.call(true, end, |_| Box::pin(async { Ok(()) })).unwrap_err();
        assert!(matches!(error, StoreError::Lapsed { epoch: 7 }), "{error}");
    }
}
