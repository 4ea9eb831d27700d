//! What a request about a campaign reads from the state, in one query.
//!
//! Must not know who asks, nor streams.

use std::sync::Arc;

use cambrian_core::engine::{Campaign, CampaignView, EvaluationProgress, FrontView, State};
use cambrian_core::time::Timestamp;
use cambrian_proto::convert::view;
use cambrian_proto::v1;

use super::hypervolume::HypervolumeCache;

/// A campaign at an instant.
#[derive(Debug)]
pub(super) struct CampaignSnapshot {
    pub(super) campaign: CampaignView,
    pub(super) front: Arc<FrontView>,
}

impl CampaignSnapshot {
    pub(super) fn of(state: &State, campaign: &Campaign) -> Self {
        Self { campaign: state.campaign_view(campaign), front: Arc::new(campaign.front_view()) }
    }

    /// The campaign's message, and its hypervolume.
    pub(super) async fn message(&self, cache: &HypervolumeCache) -> (v1::Campaign, f64) {
        let CampaignView { id, front_version, .. } = self.campaign;
        let hypervolume = cache.of(id, front_version, &self.front).await;
        let reference = self.front.natural_reference();
        (view::campaign(&self.campaign, reference, hypervolume), hypervolume)
    }
}

/// What `watch` shows.
#[derive(Debug)]
pub(super) struct WatchSnapshot {
    pub(super) campaign: CampaignSnapshot,
    pub(super) in_work: Vec<EvaluationProgress>,
    pub(super) workers_connected: usize,
    pub(super) now: Timestamp,
}

impl WatchSnapshot {
    pub(super) fn of(state: &State, campaign: &Campaign) -> Self {
        Self {
            campaign: CampaignSnapshot::of(state, campaign),
            in_work: state.in_work(campaign),
            workers_connected: state.connected_workers(),
            now: state.now(),
        }
    }
}
