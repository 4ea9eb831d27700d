//! One connection with its prepared statements, made anew when it has broken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio_postgres::{Client, Statement};

use super::database::{Database, PostgresError, silence};
use super::target::Target;
use crate::store::StoreError;

/// How long a request may take when nothing else bounds it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// An open connection.
pub(super) struct Connected {
    pub(super) client: Client,
    statements: BTreeMap<&'static str, Statement>,
}

impl Connected {
    async fn open(target: &Target, statements: &[&'static str]) -> Result<Self, StoreError> {
        let client = target.connect().await?;
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
    slot: Arc<Mutex<Option<Connected>>>,
}

impl Session {
    pub(super) fn new(database: &Database, statements: &'static [&'static str]) -> Self {
        Self { database: database.clone(), statements, slot: Arc::default() }
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
        let (slot, target, statements) =
            (self.slot.clone(), self.database.target(), self.statements);
        self.database.wait(async move {
            let mut slot = slot.lock_owned().await;
            // A request that is given up takes the connection with it: nobody knows its state.
            let present = slot.take().filter(|present| !present.client.is_closed());
            let done = async {
                let connected = match present {
                    Some(connected) => connected,
                    None if fresh => Connected::open(&target, statements).await?,
                    None => {
                        return Err(StoreError::Postgres(PostgresError::outage(
                            "the connection broke in the middle",
                        )));
                    }
                };
                let result = work(&connected).await;
                Ok((connected, result))
            };
            tokio::select! {
                done = done => {
                    let (connected, result) = done?;
                    *slot = Some(connected);
                    result
                }
                error = end => Err(error),
                () = tokio::time::sleep(PATIENCE) => {
                    Err(silence(PATIENCE))
                }
            }
        })
    }
}
