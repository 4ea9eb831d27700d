//! The tokens in PostgreSQL. Every call of every client looks one up, so they are kept in memory
//! and read anew each second: a token that another process creates or revokes counts within about
//! that time, one that this process changes at once.
//!
//! Must not know a token itself, of which only the hash comes here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cambrian_core::time::Timestamp;
use cambrian_transport::token::{TokenHash, TokenId};
use tokio::time::sleep;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::database::{Database, PostgresError, within};
use super::route::Route;
use super::session::{Connected, Session};
use crate::clock::Moment;
use crate::store::StoreError;
use crate::store::tokens::{Claim, TokenError, TokenRecord, Tokens};

const LIST: &str = "\
    SELECT id, role, name, hash, created_at, expires_at, revoked_at FROM tokens";
const INSERT: &str = "\
    INSERT INTO tokens (id, role, name, hash, created_at, expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
const REVOKE: &str = "\
    UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
// One statement: a name changes hands only if its holder has no good token of a worker, and goes to
// nobody who has enough of them.
const CLAIM: &str = "\
    INSERT INTO worker_holders AS present (worker, holder, claimed_at) \
    SELECT $1::TEXT, $2::TEXT, $3::BIGINT \
    WHERE (SELECT count(*) FROM worker_holders WHERE holder = $2) < $4::BIGINT \
    ON CONFLICT (worker) DO UPDATE SET holder = $2, claimed_at = $3 \
    WHERE present.holder <> $2 AND NOT EXISTS (SELECT 1 FROM tokens \
    WHERE name = present.holder AND role IN ('worker', 'admin') AND revoked_at IS NULL \
    AND (expires_at IS NULL OR expires_at > $3))";
const HOLDER: &str = "SELECT holder FROM worker_holders WHERE worker = $1";

const STATEMENTS: [&str; 5] = [LIST, INSERT, REVOKE, CLAIM, HOLDER];

const REFRESH: Duration = Duration::from_secs(1);
/// What is older than that is not trusted: a revocation might have been missed.
const STALE: Duration = Duration::from_secs(15);
/// How long a reading may take, with its connection. A second one has to be done before what is known is
/// stale, since a connection that answers no more closes the cluster otherwise.
const REFRESH_PATIENCE: Duration = Duration::from_secs(5);
/// How long a change or a claim may take: a person or a worker waits for it.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);

type Known = BTreeMap<TokenId, (TokenRecord, TokenHash)>;

pub(super) struct PostgresTokens {
    session: Session,
    known: Arc<Mutex<(Known, Moment)>>,
}

impl PostgresTokens {
    /// Reads the tokens, and goes on reading them while the register lives.
    pub(super) fn open(database: &Database) -> Result<Self, StoreError> {
        let session = Session::new(database, &STATEMENTS, CHANGE_PATIENCE);
        let known = Arc::new(Mutex::new((Known::new(), Moment::now())));
        let tokens = Self { session, known };
        tokens.refresh()?;
        let (route, watched) = (database.route(), Arc::downgrade(&tokens.known));
        database.spawn(async move {
            let mut client = None;
            loop {
                sleep(REFRESH).await;
                let Some(known) = watched.upgrade() else { return };
                let read = read_anew(&route, &mut client, &known);
                if let Err(error) = within(REFRESH_PATIENCE, read).await {
                    tracing::warn!(%error, "the tokens could not be read anew");
                    client = None;
                }
            }
        });
        Ok(tokens)
    }

    fn call<R: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(
            &'c Connected,
        ) -> futures::future::BoxFuture<'c, Result<R, StoreError>>
        + Send
        + 'static,
    ) -> Result<R, StoreError> {
        self.session.call(true, std::future::pending(), work)
    }

    fn refresh(&self) -> Result<(), StoreError> {
        let known = self.known.clone();
        self.call(move |connected| {
            Box::pin(async move {
                let asked = Moment::now();
                let rows = connected.client.query(connected.statement(LIST)?, &[]).await?;
                keep(&known, &rows, asked)
            })
        })
    }

    fn known<R>(&self, read: impl FnOnce(&Known) -> R) -> Result<R, TokenError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.1.elapsed() > STALE {
            let error = PostgresError::outage("they could not be read for too long");
            return Err(StoreError::Postgres(error).into());
        }
        Ok(read(&known.0))
    }
}

/// Reads the tokens on `client`, which is connected first if it is not.
async fn read_anew(
    route: &Route,
    client: &mut Option<Client>,
    known: &Mutex<(Known, Moment)>,
) -> Result<(), StoreError> {
    let connected = match client {
        Some(connected) => connected,
        None => client.insert(route.connect(REFRESH_PATIENCE).await?),
    };
    let asked = Moment::now();
    let rows = connected.query(LIST, &[]).await?;
    keep(known, &rows, asked)
}

async fn holder_of(connected: &Connected, worker: &str) -> Result<Option<String>, StoreError> {
    let row = connected.client.query_opt(connected.statement(HOLDER)?, &[&worker]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Replaces what is known by what was read, unless something newer is known already.
fn keep(known: &Mutex<(Known, Moment)>, rows: &[Row], asked: Moment) -> Result<(), StoreError> {
    let read = rows.iter().map(read).collect::<Result<Known, StoreError>>()?;
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.1 <= asked {
        *known = (read, asked);
    }
    Ok(())
}

fn read(row: &Row) -> Result<(TokenId, (TokenRecord, TokenHash)), StoreError> {
    let fault = |column, problem: &str| StoreError::Column { column, problem: problem.to_owned() };
    let instant = |value: i64| Timestamp(value.unsigned_abs());
    let id = u32::try_from(row.try_get::<_, i64>(0)?).map_err(|_| fault(0, "it is no token"))?;
    let role: &str = row.try_get(1)?;
    let hash: &[u8] = row.try_get(3)?;
    let record = TokenRecord {
        id: TokenId(id),
        role: role.parse().map_err(|problem: String| fault(1, &problem))?,
        name: row.try_get(2)?,
        created_at: instant(row.try_get(4)?),
        expires_at: row.try_get::<_, Option<i64>>(5)?.map(instant),
        revoked_at: row.try_get::<_, Option<i64>>(6)?.map(instant),
    };
    let hash = hash.try_into().map_err(|_| fault(3, "it is no hash"))?;
    Ok((record.id, (record, TokenHash(hash))))
}

fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

impl Tokens for PostgresTokens {
    fn insert(&self, record: &TokenRecord, hash: &TokenHash) -> Result<bool, TokenError> {
        let (record, hash) = (record.clone(), *hash);
        let inserted = self.call(move |connected| {
            Box::pin(async move {
                let expires = record.expires_at.map(micros);
                let parameters: [&(dyn ToSql + Sync); 6] = [
                    &i64::from(record.id.0),
                    &record.role.name(),
                    &record.name,
                    &&hash.0[..],
                    &micros(record.created_at),
                    &expires,
                ];
                Ok(connected.client.execute(connected.statement(INSERT)?, &parameters).await?)
            })
        })?;
        self.refresh()?;
        Ok(inserted == 1)
    }

    fn list(&self) -> Result<Vec<TokenRecord>, TokenError> {
        self.refresh()?;
        let mut records: Vec<_> =
            self.known(|known| known.values().map(|(record, _)| record.clone()).collect())?;
        records.sort_by_key(|record: &TokenRecord| (record.created_at, record.id));
        Ok(records)
    }

    fn find(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenHash)>, TokenError> {
        self.known(|known| known.get(&id).cloned())
    }

    fn revoke(&self, id: TokenId, now: Timestamp) -> Result<Option<TokenRecord>, TokenError> {
        self.call(move |connected| {
            Box::pin(async move {
                let parameters: [&(dyn ToSql + Sync); 2] = [&i64::from(id.0), &micros(now)];
                Ok(connected.client.execute(connected.statement(REVOKE)?, &parameters).await?)
            })
        })?;
        self.refresh()?;
        Ok(self.find(id)?.map(|(record, _)| record))
    }

    fn claim_worker(
        &self,
        worker: &str,
        holder: &str,
        most: u32,
        now: Timestamp,
    ) -> Result<Claim, TokenError> {
        let (worker, claimant) = (worker.to_owned(), holder.to_owned());
        let present = self.call(move |connected| {
            Box::pin(async move {
                // Workers that come back all at once claim nothing.
                let present = holder_of(connected, &worker).await?;
                if present.as_deref() == Some(&claimant) {
                    return Ok(present);
                }
                let (now, most) = (micros(now), i64::from(most));
                let parameters: [&(dyn ToSql + Sync); 4] = [&worker, &claimant, &now, &most];
                connected.client.execute(connected.statement(CLAIM)?, &parameters).await?;
                holder_of(connected, &worker).await
            })
        })?;
        Ok(match present {
            Some(present) if present == holder => Claim::Held,
            Some(present) => Claim::Elses(present),
            None => Claim::Full,
        })
    }
}
