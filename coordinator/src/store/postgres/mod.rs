//! The journal and its projections in PostgreSQL, where several coordinators can reach them. One of
//! them leads and appends; the others read and wait.
//!
//! Every append names the epoch of its leadership and is refused if that is over, within the same
//! transaction. Must not know what a coordinator does when it leads.

mod changes;
mod database;
mod lease;
mod route;
mod rows;
mod schema;
mod session;
mod target;
mod tls;
mod tokens;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::pending;
use std::sync::Arc;

use cambrian_core::engine::Event;
use cambrian_core::id::CampaignId;
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::Timestamp;
use futures::future::{BoxFuture, try_join_all};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::place::{Place, Url};
use super::record::{decode, encode, kind};
use super::specs::Specs;
use super::tokens::Register;
use super::{READ_BATCH, Store, StoreError, Stored};
use changes::{Changes, Fold};
pub use database::PostgresError;
use database::{Database, of_append, within};
use lease::Lease;
pub use lease::{Bid, Candidate};
use route::Route;
pub use schema::SCHEMA_VERSION;
use session::{Connected, PATIENCE, Session};
use target::{Purpose, Target};

const BEGIN_APPEND: &str = "SELECT begin_append($1, $2, $3)";
const END: &str = "SELECT coalesce(max(sequence), 0) FROM journal";
const READ: &str = "\
    SELECT sequence, record, checksum, at_micros, kind FROM journal WHERE sequence > $1 \
    ORDER BY sequence LIMIT $2";
const SPEC: &str = "SELECT resolved_yaml FROM campaigns WHERE id = $1";

const fn statements() -> [&'static str; 4 + changes::STATEMENTS.len()] {
    let mut all = [BEGIN_APPEND; 4 + changes::STATEMENTS.len()];
    (all[1], all[2], all[3]) = (END, READ, SPEC);
    let mut at = 0;
    while at < changes::STATEMENTS.len() {
        all[4 + at] = changes::STATEMENTS[at];
        at += 1;
    }
    all
}
const STATEMENTS: &[&str] = &statements();

/// A store in a database.
pub struct PostgresStore {
    database: Database,
    session: Session,
    bids: Session,
    lease: Option<Lease>,
    sequence: u64,
    specs: Specs,
    in_snapshot: Cell<bool>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresStore({}, at {})", self.place(), self.sequence)
    }
}

/// A text as the database can hold it: it has no zero characters.
fn kept(text: String) -> String {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    }
}

impl PostgresStore {
    /// Opens the store for following and leading, creating the schema if there is none and bringing
    /// an older one up to date if its journal can be read. It does not lead until [`Self::bid`] is won.
    ///
    /// # Errors
    /// [`StoreError`] if the URL is faulty, the database cannot be reached or says nothing for a minute,
    /// or its schema is not ours or newer.
    pub fn open(url: &Url) -> Result<Self, StoreError> {
        let database = Database::new(Route::new(url, Purpose::Write)?)?;
        let (route, place) = (database.route(), database.place());
        database.wait(async move {
            let found = async {
                let client = route.connect(PATIENCE).await?;
                let version = schema::version(&client, &place).await?;
                Ok((client, version))
            };
            let (client, version) = within(PATIENCE, found).await?;
            // What cannot be led must stay as the release left it that can.
            if (1..SCHEMA_VERSION).contains(&version) {
                read_whole(&client).await?;
            }
            let prepared = async {
                schema::migrate(&client, &place).await?;
                warn_of_settings(&client).await
            };
            within(PATIENCE, prepared).await
        })?;
        Self::on(database)
    }

    /// Reads a URL without connecting; the files that it names are read.
    ///
    /// # Errors
    /// [`StoreError::Url`] with what is wrong.
    pub fn check_url(url: &Url) -> Result<(), StoreError> {
        Target::parse(url, Purpose::Write).map(drop)
    }

    /// Opens the store for reading, also while a coordinator leads.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be reached or is not a store of this version.
    pub fn open_read_only(url: &Url) -> Result<Self, StoreError> {
        Self::on(Self::present(url, Purpose::Read)?)
    }

    /// The tokens of a database that has this release's schema; nothing is prepared in it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be reached or is not a store of this version.
    pub fn tokens_of(url: &Url) -> Result<Register, StoreError> {
        Ok(Register::on(tokens::PostgresTokens::open(&Self::present(url, Purpose::Write)?)?))
    }

    /// A database that has this release's schema.
    fn present(url: &Url, purpose: Purpose) -> Result<Database, StoreError> {
        let database = Database::new(Route::new(url, purpose)?)?;
        let (route, place) = (database.route(), database.place());
        database.wait_within(PATIENCE, async move {
            let client = route.connect(PATIENCE).await?;
            let found = schema::version(&client, &place).await?;
            match found == SCHEMA_VERSION {
                true => Ok(()),
                false => Err(StoreError::Older { place, found, expected: SCHEMA_VERSION }),
            }
        })?;
        Ok(database)
    }

    fn on(database: Database) -> Result<Self, StoreError> {
        let session = Session::new(&database, STATEMENTS, PATIENCE);
        let bids = Session::new(&database, &lease::STATEMENTS, PATIENCE);
        let mut store = Self {
            database,
            session,
            bids,
            lease: None,
            sequence: 0,
            specs: Specs::default(),
            in_snapshot: Cell::new(false),
        };
        store.sequence = store.end()?;
        Ok(store)
    }

    /// The database.
    #[must_use]
    pub fn place(&self) -> Place {
        self.database.place()
    }

    /// Tries to become the leader; the lease is renewed from then on, and released when the store is
    /// dropped.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be asked.
    pub fn bid(&mut self, candidate: &Candidate) -> Result<Bid, StoreError> {
        // Its own lease would be released after the next one was won.
        self.lease = None;
        let (bid, lease) = Lease::bid(&self.database, &self.bids, candidate)?;
        if lease.is_some() {
            self.lease = lease;
            self.sequence = self.end()?;
        }
        Ok(bid)
    }

    /// The tokens that are kept beside the journal.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub fn register(&self) -> Result<Register, StoreError> {
        Ok(Register::on(tokens::PostgresTokens::open(&self.database)?))
    }

    fn end(&self) -> Result<u64, StoreError> {
        let end: i64 = self.call(|connected| {
            Box::pin(async move {
                let row = connected.client.query_one(connected.statement(END)?, &[]).await?;
                Ok(row.try_get(0)?)
            })
        })?;
        Ok(end.unsigned_abs())
    }

    /// A request that ends when the leadership does, if there is one.
    fn call<R: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c Connected) -> BoxFuture<'c, Result<R, StoreError>>
        + Send
        + 'static,
    ) -> Result<R, StoreError> {
        let fresh = !self.in_snapshot.get();
        match &self.lease {
            Some(lease) => self.session.call(fresh, lease.lost(), work),
            None => self.session.call(fresh, pending(), work),
        }
    }

    /// Knows the specification of a campaign from now on.
    fn learn(&mut self, campaign: CampaignId) -> Result<(), StoreError> {
        if self.specs.get(campaign).is_some() {
            return Ok(());
        }
        let id = i64::from(campaign.0);
        let yaml: Option<String> = self.call(move |connected| {
            Box::pin(async move {
                let row = connected.client.query_opt(connected.statement(SPEC)?, &[&id]).await?;
                Ok(row.map(|row| row.try_get(0)).transpose()?)
            })
        })?;
        let missing = format!("the stored campaign {campaign} is missing from its table");
        let yaml = yaml.ok_or(StoreError::Failed(missing))?;
        self.specs.read(campaign, &yaml).map(drop)
    }

    fn fold(&mut self, after: u64, batch: &[(Timestamp, Event)]) -> Result<Changes, StoreError> {
        let (mut fold, mut records) = (Fold::default(), changes::Journal::default());
        for ((at, event), sequence) in batch.iter().zip(after + 1..) {
            records.add(sequence, *at, encode(sequence, *at, event)?);
            match event {
                Event::CampaignSubmitted { campaign, spec, .. } => {
                    self.specs.submit(*campaign, spec);
                }
                Event::CandidateProposed { candidate, .. }
                | Event::CandidateScreened { candidate, .. } => self.learn(candidate.campaign)?,
                _ => {}
            }
            fold.add(&self.specs, *at, event);
        }
        let mut changes = fold.finish();
        changes.journal = records;
        Ok(changes)
    }

    fn try_append(
        &mut self,
        expected: u64,
        batch: &[(Timestamp, Event)],
    ) -> Result<u64, StoreError> {
        let Some(lease) = &self.lease else { return Err(StoreError::Deposed { epoch: 0 }) };
        let (epoch, holder) = (lease.epoch(), lease.holder().to_owned());
        let changes = self.fold(expected, batch)?;
        let written = self.call(move |connected| {
            Box::pin(async move { write(connected, (epoch, &holder), expected, &changes).await })
        });
        match written {
            Ok(()) => self.sequence = expected + batch.len() as u64,
            Err(StoreError::Conflict { found, .. }) => self.sequence = found,
            Err(_) => {}
        }
        written.map(|()| self.sequence)
    }
}

/// Says what makes results less safe than they could be.
async fn warn_of_settings(client: &Client) -> Result<(), StoreError> {
    let row = client.query_one("SELECT current_setting('fsync')", &[]).await?;
    if row.try_get::<_, &str>(0)? != "on" {
        tracing::warn!("the database runs with fsync off: a crash of its machine loses results");
    }
    Ok(())
}

/// One transaction: all statements are sent at once, the commit when all have succeeded.
async fn write(
    connected: &Connected,
    (epoch, holder): (i64, &str),
    expected: u64,
    changes: &Changes,
) -> Result<(), StoreError> {
    let client = &connected.client;
    let mut prepared = Vec::new();
    for (sql, columns) in changes.list() {
        prepared.push((connected.statement(sql)?, columns));
    }
    let begin_append = connected.statement(BEGIN_APPEND)?;
    let end = i64::try_from(expected).unwrap_or(i64::MAX);
    let position: [&(dyn ToSql + Sync); 3] = [&epoch, &holder, &end];
    let start = async {
        let begun = client.batch_execute("BEGIN");
        let checked = client.execute(begin_append, &position);
        futures::try_join!(begun, checked).map(drop)
    };
    let written = try_join_all(
        prepared.iter().map(|(statement, columns)| client.execute(*statement, columns)),
    );
    // Requests are sent in the order in which they are first polled, which is that of writing.
    let sent = futures::future::try_join(start, written).await;
    let done = match sent {
        Ok(_) => client.batch_execute("COMMIT").await,
        Err(error) => Err(error),
    };
    let Err(error) = done else { return Ok(()) };
    // The first error says more than one of the way back; a broken connection rolls back by itself.
    let _ = client.batch_execute("ROLLBACK").await;
    Err(of_append(error, epoch, expected))
}

impl Store for PostgresStore {
    fn tokens(&self) -> Result<Register, StoreError> {
        self.register()
    }

    fn standing(&self) -> Result<(), StoreError> {
        self.lease.as_ref().map_or(Ok(()), Lease::check)
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn append(&mut self, expected: u64, batch: &[(Timestamp, Event)]) -> Result<u64, StoreError> {
        let appended = self.try_append(expected, batch);
        match appended {
            Ok(_) => self.specs.keep(),
            Err(_) => self.specs.undo(),
        }
        appended
    }

    fn know(&mut self, campaign: CampaignId, spec: &Arc<CampaignSpec>) {
        self.specs.know(campaign, spec);
    }

    fn read_from(&self, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let (start, limit) = (i64::try_from(after).unwrap_or(i64::MAX), limit as i64);
        let rows = self.call(move |connected| {
            Box::pin(async move {
                let statement = connected.statement(READ)?;
                Ok(connected.client.query(statement, &[&start, &limit]).await?)
            })
        })?;
        stored(&rows, after)
    }
}

/// Records that follow position `after` without a gap.
fn stored(rows: &[Row], after: u64) -> Result<Vec<Stored>, StoreError> {
    let mut records = Vec::with_capacity(rows.len());
    for (row, expected) in rows.iter().zip(after + 1..) {
        let found = row.try_get::<_, i64>(0)?.unsigned_abs();
        if found != expected {
            return Err(StoreError::Gap { expected, found });
        }
        let stored = decode(found, row.try_get(1)?, row.try_get(2)?)?;
        let (at, named): (i64, &str) = (row.try_get(3)?, row.try_get(4)?);
        if at.unsigned_abs() != stored.at.0 || named != kind(&stored.event) {
            let reason = "its columns contradict it".to_owned();
            return Err(StoreError::Damaged { sequence: found, reason });
        }
        records.push(stored);
    }
    Ok(records)
}

/// Whether every record of the journal can be read.
async fn read_whole(client: &Client) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let position = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = READ_BATCH as i64;
        let page = async { Ok(client.query(READ, &[&position, &limit]).await?) };
        match stored(&within(PATIENCE, page).await?, after)?.last() {
            Some(last) => after = last.sequence,
            None => return Ok(()),
        }
    }
}
