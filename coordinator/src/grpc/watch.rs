//! The stream of one watcher: the present state at once, then coalesced updates.
//!
//! Must not know who watches, nor by which name the campaign was asked for.

use std::sync::Arc;
use std::time::Duration;

use cambrian_core::engine::CampaignStatus;
use cambrian_core::id::CampaignId;
use cambrian_proto::convert::view;
use cambrian_proto::v1;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::hypervolume::HypervolumeCache;
use super::snapshot::WatchSnapshot;
use super::status::{of_call, of_closed, unknown_campaign};
use crate::connection::Closed;
use crate::handle::Handle;

/// At most ten updates a second.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Feeds one watcher.
pub(super) struct Watcher {
    pub(super) handle: Handle,
    pub(super) cache: Arc<HypervolumeCache>,
    pub(super) campaign: CampaignId,
    pub(super) stop: CancellationToken,
    pub(super) updates: mpsc::Sender<Result<v1::WatchCampaignResponse, Status>>,
}

impl Watcher {
    pub(super) async fn run(self) {
        let mut changes = self.handle.changes();
        let mut shown: Option<(v1::WatchCampaignResponse, u64)> = None;
        loop {
            changes.borrow_and_update();
            let not_before = Instant::now() + MIN_INTERVAL;
            match self.update(&mut shown).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(status) => return self.end(status).await,
            }
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return self.end(of_closed(&Closed::ShuttingDown)).await;
                    }
                }
                () = self.stop.cancelled() => {
                    return self.end(of_closed(&Closed::ShuttingDown)).await;
                }
                () = self.updates.closed() => return,
            }
            tokio::time::sleep_until(not_before).await;
        }
    }

    /// Sends the present state if it differs from what was shown; returns whether to go on.
    async fn update(
        &self,
        shown: &mut Option<(v1::WatchCampaignResponse, u64)>,
    ) -> Result<bool, Status> {
        let id = self.campaign;
        let read = self.handle.query(move |state| {
            state.campaign(id).map(|campaign| WatchSnapshot::of(state, campaign))
        });
        let snapshot = read.await.map_err(|error| of_call(&error))?;
        let snapshot = snapshot.ok_or_else(|| unknown_campaign(&id.to_string()))?;
        let (campaign, hypervolume) = snapshot.campaign.message(&self.cache).await;
        let message = v1::WatchCampaignResponse {
            campaign: Some(campaign),
            front: None,
            in_work: snapshot.in_work.iter().map(Into::into).collect(),
            now_micros: 0,
            workers_connected: u32::try_from(snapshot.workers_connected).unwrap_or(u32::MAX),
        };
        let version = snapshot.campaign.campaign.front_version;
        let finished = matches!(snapshot.campaign.campaign.status, CampaignStatus::Finished(_));
        let before = shown.replace((message.clone(), version));
        if before.as_ref() == shown.as_ref() {
            return Ok(!finished);
        }
        let is_new_front = before.is_none_or(|(_, shown)| shown != version);
        let front = is_new_front.then(|| view::front(&snapshot.campaign.front, hypervolume));
        let update = v1::WatchCampaignResponse { front, now_micros: snapshot.now.0, ..message };
        let sent = self.updates.send(Ok(update)).await;
        Ok(sent.is_ok() && !finished)
    }

    async fn end(&self, status: Status) {
        // A watcher that has gone needs no reason.
        let _ = self.updates.send_timeout(Err(status), Duration::from_secs(1)).await;
    }
}
