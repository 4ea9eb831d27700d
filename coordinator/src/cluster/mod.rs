//! Several coordinators on one database: this process stands by and follows the journal until the
//! lease is free, then leads until that is over, and stands by again.
//!
//! ```text
//! stand by --lease won--> lead --deposed, or the database away--> stand by
//!     |                     |
//!     +----- shutdown ------+--> end; the lease is released
//! ```
//! Both roles serve the same address: a standby refuses every call and says who leads. Must not know
//! how a lease is kept.

mod follow;
mod standby;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::server::{Opened, ServeError, Server};
use crate::store::place::Url;
use crate::store::postgres::{Candidate, PostgresStore};
use crate::store::tokens::Register;
use follow::{Following, Promoted};
use standby::StandbyServer;

/// The address, which stays bound while roles change.
struct Seat {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Seat {
    fn new(listener: TcpListener, config: &Config) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address: config.listen, source };
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener: listener.into_std().map_err(failed)?, address })
    }

    fn listener(&self) -> Result<TcpListener, ServeError> {
        let failed = |source| ServeError::Listen { address: self.address, source };
        TcpListener::from_std(self.listener.try_clone().map_err(failed)?).map_err(failed)
    }
}

/// What stays the same while roles change.
struct Member<'a> {
    config: &'a Config,
    url: &'a Url,
    seat: Seat,
    candidate: Candidate,
    register: Register,
}

/// Stands by and leads in turn until `shutdown` completes.
///
/// # Errors
/// [`ServeError`] if it cannot start, or fails in a way that will not pass by itself.
pub(crate) async fn serve(
    config: &Config,
    url: &Url,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    config.check()?;
    let seat = Seat::new(listener, config)?;
    config.check_address(seat.address)?;
    let candidate = config.candidate(seat.address)?;
    let place = url.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let store = PostgresStore::open(&place)?;
        Ok::<_, ServeError>((store.register()?, store))
    });
    // Only at the start is a database that is away an error: the URL may be wrong.
    let (register, store) = opened.await??;
    let mut store = Some(store);
    let member = Member { config, url, seat, candidate, register };
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let Some(promoted) = member.stand_by(store.take(), &mut shutdown).await? else {
            tracing::info!("shutting down");
            return Ok(());
        };
        match member.lead(promoted, &mut shutdown).await {
            Ok(()) => return Ok(()),
            Err(error) if error.may_pass() => {
                tracing::warn!(%error, "no longer the leader; standing by");
            }
            Err(error) => return Err(error),
        }
    }
}

impl Member<'_> {
    /// Follows until the lease is won; `None` if `shutdown` came first.
    async fn stand_by(
        &self,
        store: Option<PostgresStore>,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<Option<Promoted>, ServeError> {
        let (say, leader) = watch::channel(None);
        let standby =
            StandbyServer::start(self.config, self.register.clone(), leader, self.seat.listener()?)
                .await?;
        tracing::info!(address = %self.seat.address, "standing by");
        let stop = CancellationToken::new();
        let following = Following {
            url: self.url.clone(),
            store,
            settings: self.config.actor().engine(),
            candidate: self.candidate.clone(),
            leader: say,
            stop: stop.clone(),
        };
        let mut following = tokio::task::spawn_blocking(move || following.until_promoted());
        let promoted = tokio::select! {
            promoted = &mut following => promoted,
            () = shutdown => {
                stop.cancel();
                // What was won meanwhile is released.
                following.await.map(|done| done.map(|_| None))
            }
        };
        standby.stop().await;
        promoted?
    }

    async fn lead(
        &self,
        promoted: Promoted,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<(), ServeError> {
        let Promoted { store, follower, epoch, now } = promoted;
        let records = follower.sequence();
        tracing::info!(epoch, records, endpoint = self.candidate.endpoint, "leading");
        let opened = Opened {
            store: Box::new(store),
            register: self.register.clone(),
            follower,
            clock: Arc::new(SystemClock::at(now)),
        };
        let server = Server::resume(self.config, opened, self.seat.listener()?).await?;
        let told = server.until(shutdown).await;
        server.stop();
        match server.join().await {
            // It has ended as it was told to, whatever else was going on.
            Err(error) if told && error.may_pass() => Ok(()),
            ended => ended,
        }
    }
}
