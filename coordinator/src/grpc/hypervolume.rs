//! Hypervolumes of present fronts, each computed once and never on the actor's thread: with many
//! objectives it takes longer than everything else together.
//!
//! Must not know the algorithm, which is the core's, nor messages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cambrian_core::engine::FrontView;
use cambrian_core::id::CampaignId;

/// The latest known value of a campaign with the version of its front.
type Slot = Arc<tokio::sync::Mutex<Option<(u64, f64)>>>;

/// What has been computed.
#[derive(Debug, Default)]
pub(super) struct HypervolumeCache {
    slots: Mutex<BTreeMap<CampaignId, Slot>>,
}

impl HypervolumeCache {
    /// The hypervolume of a campaign's front, 0 until its reference point is fixed, infinite where
    /// it exceeds every number. Callers that ask for the same front at once share one computation.
    pub(super) async fn of(
        &self,
        campaign: CampaignId,
        version: u64,
        front: &Arc<FrontView>,
    ) -> f64 {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(campaign).or_default().clone()
        };
        let mut known = slot.lock().await;
        if let Some((_, value)) = known.filter(|(of, _)| *of == version) {
            return value;
        }
        if front.reference.is_none() {
            return 0.0;
        }
        let front = front.clone();
        let computed = tokio::task::spawn_blocking(move || on_all_processors(&front)).await;
        // Without a value it exceeds every number; a panic is reported by the runtime.
        let value = computed.ok().flatten().unwrap_or(f64::INFINITY);
        *known = Some((version, value));
        value
    }
}

/// The hypervolume of a front, large ones in a part for each processor.
fn on_all_processors(front: &FrontView) -> Option<f64> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    front.hypervolume_in_parts(processors, |parts| {
        let Some((own, others)) = parts.split_first_mut() else { return };
        std::thread::scope(|scope| {
            for part in others {
                scope.spawn(move || part.compute());
            }
            own.compute();
        });
    })
}
