//! Leadership: a row of the database that says who may append, until when by the database's clock.
//!
//! ```text
//! nobody's, or lapsed --bid--> held, epoch + 1 --renew each second--> held
//!                                |-- released: open to the next bid at once
//!                                |-- not renewed in time: lapsed; once it was seen, for good
//! ```
//! What keeps a stale leader from writing is the epoch, which every append checks within its
//! transaction, with the holder; the lease only decides how soon another may take over. The holder itself stops
//! earlier than the database would let another in: it counts from before it asked for a renewal, by
//! a clock that does not stand still while the process or the machine does.
//!
//! Must not know what is appended, nor what a leader does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cambrian_core::time::Timestamp;
use tokio::time::{sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_util::sync::CancellationToken;

use super::database::{Database, within};
use super::route::Route;
use super::schema::SCHEMA_VERSION;
use super::session::{Connected, Session};
use crate::clock::Moment;
use crate::store::StoreError;

const BID: &str = "\
    UPDATE leader SET epoch = epoch + 1, holder = $1, endpoint = $2, \
    acquired_at = clock_timestamp(), \
    expires_at = clock_timestamp() + $3::BIGINT * INTERVAL '1 microsecond' \
    WHERE (holder = $1 OR expires_at <= clock_timestamp()) \
    AND (SELECT max(version) FROM migrations) <= $4::BIGINT RETURNING epoch";
const VERSION: &str = "SELECT max(version) FROM migrations";
const PRESENT: &str = "\
    SELECT endpoint, epoch, \
    greatest(0, extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::BIGINT, \
    (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT \
    FROM leader WHERE expires_at > '-infinity'";
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT";
const RENEW: &str = "\
    UPDATE leader SET expires_at = clock_timestamp() + $3::BIGINT * INTERVAL '1 microsecond' \
    WHERE epoch = $1 AND holder = $2";
const RELEASE: &str = "\
    UPDATE leader SET expires_at = '-infinity' WHERE epoch = $1 AND holder = $2";

/// Every statement that is prepared for bids.
pub(super) const STATEMENTS: [&str; 4] = [BID, VERSION, PRESENT, NOW];

/// How long a release may take; a lease that is not released lapses.
const RELEASE_PATIENCE: Duration = Duration::from_secs(2);
/// The shortest pause between two attempts to renew.
const RETRY: Duration = Duration::from_millis(100);

/// A coordinator that would lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Tells this process from every other.
    pub holder: String,
    /// Where workers and users reach it.
    pub endpoint: String,
    /// How long a lease lasts without a renewal.
    pub length: Duration,
    /// How often it is renewed.
    pub renewal: Duration,
}

/// The outcome of a bid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bid {
    /// The bidder leads.
    Won {
        /// The epoch that its appends carry.
        epoch: i64,
        /// The database's clock.
        now: Timestamp,
    },
    /// Another one does.
    Held {
        /// Where it is reached.
        endpoint: String,
        /// How long its lease lasts unless it is renewed.
        remaining: Duration,
    },
    /// A later release has changed the schema: only such a one leads from now on.
    Outdated {
        /// Where the leader is reached, if there is one.
        endpoint: String,
        /// The schema's version.
        found: i64,
    },
}

#[derive(Debug)]
struct Standing {
    epoch: i64,
    deposed: AtomicBool,
    term: Mutex<Term>,
}

#[derive(Debug)]
struct Term {
    valid_until: Moment,
    /// Whether somebody was told that it is over, which must not become untrue.
    lapsed: bool,
}

impl Standing {
    fn new(epoch: i64, valid_until: Moment) -> Self {
        let term = Mutex::new(Term { valid_until, lapsed: false });
        Self { epoch, deposed: AtomicBool::new(false), term }
    }

    fn term(&self) -> MutexGuard<'_, Term> {
        self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remaining(&self) -> Duration {
        self.term().valid_until.remaining()
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.deposed.load(Ordering::SeqCst) {
            return Err(StoreError::Deposed { epoch: self.epoch });
        }
        let mut term = self.term();
        term.lapsed |= Moment::now() >= term.valid_until;
        match term.lapsed {
            false => Ok(()),
            true => Err(StoreError::Lapsed { epoch: self.epoch }),
        }
    }

    /// The database has renewed the lease until then: nobody else has led meanwhile, so that it goes on
    /// even if the answer is late.
    fn renewed(&self, until: Moment) -> Result<(), StoreError> {
        let mut term = self.term();
        if term.lapsed {
            return Err(StoreError::Lapsed { epoch: self.epoch });
        }
        term.valid_until = until;
        Ok(())
    }
}

/// A lease that is held; renewed until it is dropped, which releases it.
pub(super) struct Lease {
    database: Database,
    standing: Arc<Standing>,
    holder: String,
    ended: CancellationToken,
}

impl Lease {
    /// Bids for the lease.
    pub(super) fn bid(
        database: &Database,
        session: &Session,
        candidate: &Candidate,
    ) -> Result<(Bid, Option<Self>), StoreError> {
        let given = candidate.clone();
        let (bid, asked) = session.call(true, std::future::pending(), move |connected| {
            Box::pin(async move {
                let micros = micros(given.length);
                let statement = connected.statement(BID)?;
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&given.holder, &given.endpoint, &micros, &SCHEMA_VERSION];
                // A connection that was made for it has taken its time before.
                let asked = Moment::now();
                let won = connected.client.query_opt(statement, &parameters).await?;
                let Some(row) = won else { return Ok((refused(connected).await?, asked)) };
                let now = connected.client.query_one(connected.statement(NOW)?, &[]).await?;
                let now = Timestamp(now.try_get::<_, i64>(0)?.unsigned_abs());
                Ok((Bid::Won { epoch: row.try_get(0)?, now }, asked))
            })
        })?;
        let Bid::Won { epoch, .. } = bid else { return Ok((bid, None)) };
        let standing = Arc::new(Standing::new(epoch, asked.after(candidate.length)));
        let ended = CancellationToken::new();
        let keeper = Keeper {
            route: database.route(),
            standing: standing.clone(),
            candidate: candidate.clone(),
        };
        let until = ended.clone();
        database.spawn(async move {
            tokio::select! {
                () = keeper.run() => {}
                () = until.cancelled() => {}
            }
        });
        let (database, holder) = (database.clone(), candidate.holder.clone());
        Ok((bid, Some(Self { database, standing, holder, ended })))
    }

    pub(super) fn epoch(&self) -> i64 {
        self.standing.epoch
    }

    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// Whether the lease is still good, as far as is known here.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.standing.check()
    }

    /// Waits until it is not.
    pub(super) fn lost(&self) -> impl Future<Output = StoreError> + Send + 'static {
        let standing = self.standing.clone();
        async move {
            loop {
                if let Err(error) = standing.check() {
                    return error;
                }
                sleep(standing.remaining().min(RETRY)).await;
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ended.cancel();
        if self.check().is_err() {
            return;
        }
        let (route, epoch, holder) =
            (self.database.route(), self.standing.epoch, self.holder.clone());
        let released = self.database.wait(async move {
            let work = async {
                let client = route.connect(RELEASE_PATIENCE).await?;
                client.execute(RELEASE, &[&epoch, &holder]).await?;
                Ok::<_, StoreError>(())
            };
            // One that cannot be released lapses by itself.
            Ok(timeout(RELEASE_PATIENCE, work).await.is_ok_and(|done| done.is_ok()))
        });
        tracing::info!(epoch, released = released.unwrap_or(false), "leadership given up");
    }
}

/// Why a bid was not won.
async fn refused(connected: &Connected) -> Result<Bid, StoreError> {
    let present = connected.client.query_opt(connected.statement(PRESENT)?, &[]).await?;
    let (endpoint, remaining) = match present {
        Some(row) => (row.try_get(0)?, row.try_get::<_, i64>(2)?.unsigned_abs()),
        // Released just now: the next bid decides.
        None => (String::new(), 0),
    };
    let version = connected.client.query_one(connected.statement(VERSION)?, &[]).await?;
    Ok(match version.try_get(0)? {
        found if found > SCHEMA_VERSION => Bid::Outdated { endpoint, found },
        _ => Bid::Held { endpoint, remaining: Duration::from_micros(remaining) },
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Renews a lease on a connection of its own, so that no append holds it up.
struct Keeper {
    route: Arc<Route>,
    standing: Arc<Standing>,
    candidate: Candidate,
}

impl Keeper {
    async fn run(self) {
        let mut client = None;
        loop {
            sleep(self.candidate.renewal).await;
            while let Err(error) = self.renew(&mut client).await {
                if self.standing.check().is_err() {
                    tracing::warn!(%error, "the lease could not be renewed in time");
                    return;
                }
                tracing::warn!(%error, "the lease could not be renewed; trying again");
                client = None;
                sleep(RETRY).await;
            }
            if self.standing.deposed.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    async fn renew(&self, client: &mut Option<tokio_postgres::Client>) -> Result<(), StoreError> {
        let Candidate { holder, length, renewal, .. } = &self.candidate;
        let connected = match client {
            Some(connected) => connected,
            // As long as the lease lasts; until then nobody else can lead.
            None => client.insert(self.route.connect(self.standing.remaining()).await?),
        };
        let asked = Moment::now();
        let work = async {
            let parameters: [&(dyn ToSql + Sync); 3] =
                [&self.standing.epoch, holder, &micros(*length)];
            Ok::<_, StoreError>(connected.execute(RENEW, &parameters).await?)
        };
        match within((*renewal).max(RETRY), work).await? {
            0 => self.standing.deposed.store(true, Ordering::SeqCst),
            _ => self.standing.renewed(asked.after(*length))?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_was_seen_to_be_over_is_never_renewed() {
        let now = Moment::now();
        let later = now.after(Duration::from_secs(600));
        for until in [now, now.after(Duration::from_secs(60))] {
            let unseen = Standing::new(7, until);
            unseen.renewed(later).unwrap();
            assert_eq!(unseen.term().valid_until, later);
            assert!(unseen.check().is_ok());
        }
        let seen = Standing::new(7, now);
        for found in [seen.check(), seen.renewed(later), seen.check()] {
            assert!(matches!(found, Err(StoreError::Lapsed { epoch: 7 })), "{found:?}");
        }
    }
}
