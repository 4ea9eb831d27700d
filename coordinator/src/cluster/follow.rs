//! Follows the journal that another coordinator writes, with an engine that is ready to go on from
//! its end, and bids for the lease.
//!
//! Must not know what calls are answered meanwhile, nor what a leader does.

use std::time::Duration;

use cambrian_core::engine::EngineSettings;
use cambrian_core::time::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actor::Follower;
use crate::server::ServeError;
use crate::store::StoreError;
use crate::store::place::Url;
use crate::store::postgres::{Bid, Candidate, PostgresStore, SCHEMA_VERSION};

/// How often the journal and the lease are looked at.
const POLL: Duration = Duration::from_millis(250);
/// How long to wait after a failure of the database.
const RETRY: Duration = Duration::from_millis(500);

/// A standby at work.
pub(super) struct Following {
    pub(super) url: Url,
    /// Opened again where it is missing, as soon as the database is there.
    pub(super) store: Option<PostgresStore>,
    pub(super) settings: EngineSettings,
    pub(super) candidate: Candidate,
    /// Where the leader is reached, as far as is known.
    pub(super) leader: watch::Sender<Option<String>>,
    pub(super) stop: CancellationToken,
}

/// A standby that has become the leader.
pub(super) struct Promoted {
    pub(super) store: PostgresStore,
    pub(super) follower: Follower,
    pub(super) epoch: i64,
    /// The database's clock.
    pub(super) now: Timestamp,
}

/// What the log says by now, each once until it changes.
#[derive(Default)]
struct Told {
    away: bool,
    followed: bool,
    /// The version of a schema that is too new to lead on.
    outdated: Option<i64>,
}

impl Told {
    /// The journal was followed to its end, on a schema of a later release or not.
    fn follows(&mut self, records: u64, outdated: Option<i64>) {
        self.away = false;
        if !std::mem::replace(&mut self.followed, true) {
            tracing::info!(records, "followed the journal to its end");
        }
        if let (None, Some(version)) = (std::mem::replace(&mut self.outdated, outdated), outdated) {
            tracing::warn!(
                version,
                known = SCHEMA_VERSION,
                "standing by for good: a later release has brought the database's schema up to its \
                 own version; let that release take this one's place"
            );
        }
    }
}

impl Following {
    /// Follows until the lease is won, or it is told to stop. An outage of the database is waited
    /// for.
    pub(super) fn until_promoted(mut self) -> Result<Option<Promoted>, ServeError> {
        let mut follower = Follower::new(self.settings);
        let mut told = Told::default();
        while !self.stop.is_cancelled() {
            let pause = match self.step(&mut follower) {
                Ok((store, Bid::Won { epoch, now })) => {
                    return Ok(Some(Promoted { store, follower, epoch, now }));
                }
                Ok((store, Bid::Held { endpoint, remaining })) => {
                    self.store = Some(store);
                    told.follows(follower.sequence(), None);
                    self.name(endpoint);
                    POLL.min(remaining)
                }
                Ok((store, Bid::Outdated { endpoint, found })) => {
                    self.store = Some(store);
                    told.follows(follower.sequence(), Some(found));
                    self.name(endpoint);
                    POLL
                }
                Err(error) if error.may_pass() => {
                    if !std::mem::replace(&mut told.away, true) {
                        tracing::warn!(%error, "the database cannot be used; waiting for it");
                    }
                    self.leader.send_replace(None);
                    RETRY
                }
                Err(error) => return Err(error.into()),
            };
            std::thread::sleep(pause);
        }
        Ok(None)
    }

    /// Says where the leader is.
    fn name(&self, endpoint: String) {
        let known = Some(endpoint).filter(|endpoint| !endpoint.is_empty());
        self.leader.send_if_modified(|present| {
            let changed = *present != known;
            *present = known;
            changed
        });
    }

    fn step(&mut self, follower: &mut Follower) -> Result<(PostgresStore, Bid), StoreError> {
        let mut store = match self.store.take() {
            Some(store) => store,
            None => PostgresStore::open(&self.url)?,
        };
        follower.catch_up(&store)?;
        let bid = store.bid(&self.candidate)?;
        if let Bid::Won { .. } = bid {
            // What the one before wrote last; it can write nothing more.
            follower.catch_up(&store)?;
        }
        Ok((store, bid))
    }
}
