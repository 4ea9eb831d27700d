//! Follows the journal that another coordinator writes, with an engine that is ready to go on from
//! its end, and bids for the lease.

use std::time::Duration;

use cambrian_core::engine::EngineSettings;
use cambrian_core::time::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actor::Follower;
use crate::server::ServeError;
use crate::store::StoreError;
use crate::store::place::Url;
use crate::store::postgres::{Bid, Candidate, PostgresStore};

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

impl Following {
    /// Follows until the lease is won, or it is told to stop. An outage of the database is waited
    /// for.
    pub(super) fn until_promoted(mut self) -> Result<Option<Promoted>, ServeError> {
        let mut follower = Follower::new(self.settings);
        let (mut away, mut told) = (false, false);
        while !self.stop.is_cancelled() {
            let pause = match self.step(&mut follower) {
                Ok((store, Bid::Won { epoch, now })) => {
                    return Ok(Some(Promoted { store, follower, epoch, now }));
                }
                Ok((store, Bid::Held { endpoint, remaining })) => {
                    self.store = Some(store);
                    away = false;
                    if !std::mem::replace(&mut told, true) {
                        let records = follower.sequence();
                        tracing::info!(records, "followed the journal to its end");
                    }
                    let known = Some(endpoint).filter(|endpoint| !endpoint.is_empty());
                    self.leader.send_if_modified(|present| {
                        let changed = *present != known;
                        *present = known;
                        changed
                    });
                    POLL.min(remaining)
                }
                Err(error) if error.is_outage() || error.is_loss_of_leadership() => {
                    if !away {
                        tracing::warn!(%error, "the database cannot be used; waiting for it");
                    }
                    away = true;
                    self.leader.send_replace(None);
                    RETRY
                }
                Err(error) => return Err(error.into()),
            };
            std::thread::sleep(pause);
        }
        Ok(None)
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
