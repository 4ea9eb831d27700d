//! The thread that speaks with the database, and the errors of the database in words.
//!
//! The driver is asynchronous, the store is not: requests run on a runtime of their own, and whoever
//! asks waits on a plain channel. That works from any thread, also from one that drives another
//! runtime, as the engine's does.
//!
//! Must not know any statement.

use std::error::Error;
use std::fmt::{Display, Formatter};
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::route::Route;
use crate::store::StoreError;
use crate::store::place::Place;

/// Not the leader; see `schema.sql`.
const DEPOSED: &str = "CB001";
/// The journal ends elsewhere; see `schema.sql`.
const CONFLICT: &str = "CB002";

/// A failure of the database, or of the way to it.
#[derive(Debug)]
pub struct PostgresError {
    text: String,
    /// Whether it may work again without a change by anybody: the database is away or starting.
    is_outage: bool,
    code: Option<SqlState>,
    detail: Option<String>,
}

impl PostgresError {
    /// An outage in these words.
    pub(super) fn outage(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_outage: true, code: None, detail: None }
    }

    /// That none of the hosts could be used: what each one said. Where servers have answered, their
    /// answers decide whether it is an outage.
    pub(super) fn of_all(mut failures: Vec<(String, Self)>) -> Self {
        match failures.len() {
            0 => return Self::outage("it has no address"),
            1 => return failures.remove(0).1,
            _ => {}
        }
        let answers =
            || failures.iter().map(|(_, error)| error).filter(|error| error.code.is_some());
        let decisive: Vec<&Self> = match answers().next() {
            Some(_) => answers().collect(),
            None => failures.iter().map(|(_, error)| error).collect(),
        };
        let is_outage = decisive.iter().any(|error| error.is_outage);
        let code = decisive.iter().find_map(|error| error.code.clone());
        let mut said: Vec<String> =
            failures.iter().map(|(host, error)| format!("{host}: {error}")).collect();
        said.dedup();
        Self { text: said.join("; "), is_outage, code, detail: None }
    }

    /// Whether it may work again by itself.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.is_outage
    }

    /// Whether the database does not let the user in, as while its password is being changed.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.code.as_ref().is_some_and(|code| code.code().starts_with("28"))
    }
}

impl Display for PostgresError {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for PostgresError {}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(found) = error.as_db_error() else {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                let further = error.to_string();
                if !text.contains(&further) {
                    text = format!("{text}: {further}");
                }
                cause = error.source();
            }
            // What the server never saw: a broken connection, or a value that does not fit.
            let is_outage = error.is_closed() || cause_is_io(&error);
            return Self { text, is_outage, code: None, detail: None };
        };
        let (code, class) = (found.code().clone(), &found.code().code()[..2]);
        let detail = found.detail().map(str::to_owned);
        let more = detail.as_ref().map(|detail| format!("; {detail}")).unwrap_or_default();
        let text = format!("{} ({}){more}", found.message(), code.code());
        // Connections, resources, operators and conditions of the system.
        // A database that only reads is a former primary: another one takes the writes.
        let is_outage = ["08", "53", "57", "58"].contains(&class)
            || code == SqlState::T_R_DEADLOCK_DETECTED
            || code == SqlState::READ_ONLY_SQL_TRANSACTION;
        Self { text, is_outage, code: Some(code), detail }
    }
}

fn cause_is_io(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    // The driver's own timeouts have no cause.
    error.to_string().contains("timed out") || error.to_string().contains("connect")
}

/// An error of an append: one that the database raised on purpose, or any other.
pub(super) fn of_append(error: tokio_postgres::Error, epoch: i64, expected: u64) -> StoreError {
    let error = PostgresError::from(error);
    match error.code.as_ref().map(SqlState::code) {
        Some(DEPOSED) => StoreError::Deposed { epoch },
        Some(CONFLICT) => {
            let found = error.detail.as_deref().and_then(|detail| detail.parse().ok());
            StoreError::Conflict { expected, found: found.unwrap_or(0) }
        }
        _ => StoreError::Postgres(error),
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error.into())
    }
}

/// A database and the thread that speaks with it. Copies share both.
#[derive(Clone)]
pub(crate) struct Database(Arc<Inner>);

struct Inner {
    route: Arc<Route>,
    runtime: Option<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed on a thread that drives another runtime.
            runtime.shutdown_background();
        }
    }
}

impl Database {
    pub(super) fn new(route: Route) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("database")
            .enable_all()
            .build()
            .map_err(|error| PostgresError::outage(format!("no thread: {error}")))
            .map_err(StoreError::Postgres)?;
        Ok(Self(Arc::new(Inner { route: Arc::new(route), runtime: Some(runtime) })))
    }

    pub(super) fn route(&self) -> Arc<Route> {
        self.0.route.clone()
    }

    pub(super) fn place(&self) -> Place {
        Place::Postgres(self.0.route.url.clone())
    }

    /// Lets `work` go on by itself. It should not own the database, whose thread it runs on.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0.runtime {
            runtime.spawn(work);
        }
    }

    /// Does `work` on the database's thread and waits for it.
    pub(super) fn wait<R: Send + 'static>(
        &self,
        work: impl Future<Output = Result<R, StoreError>> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.spawn(async move {
            // Whoever asked waits until then.
            let _ = sender.send(work.await);
        });
        let gone = || StoreError::Postgres(PostgresError::outage("its thread has ended"));
        receiver.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// The same, but not for longer than `patience`.
    pub(super) fn wait_within<R: Send + 'static>(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<R, StoreError>> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.wait(async move { within(patience, work).await })
    }
}

/// What comes of `work`, or that nothing was heard for so long.
pub(super) async fn within<R>(
    patience: Duration,
    work: impl Future<Output = Result<R, StoreError>>,
) -> Result<R, StoreError> {
    timeout(patience, work).await.map_err(|_| StoreError::Postgres(silence(patience)))?
}

/// An outage: nothing was heard for so long.
pub(super) fn silence(patience: Duration) -> PostgresError {
    let seconds = (patience.as_secs_f64() * 10.0).round() / 10.0;
    PostgresError::outage(format!("no answer within {seconds} s"))
}
