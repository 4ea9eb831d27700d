//! Which campaign or worker somebody means by a number or a name. Anybody may submit a campaign of any name, so
//! a name must not come to mean somebody else's unasked.

use cambrian_core::engine::{Campaign, State};
use cambrian_core::id::{CampaignId, WorkerId};
use tonic::Status;

use super::status::{of_call, unknown_campaign};
use crate::handle::Handle;

/// Why no campaign is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfound {
    /// There is none.
    Unknown,
    /// Several owners have one of this name, and the caller has none: the latest of each.
    Ambiguous(Vec<CampaignId>),
}

impl Unfound {
    pub(super) fn status(&self, reference: &str) -> Status {
        match self {
            Self::Unknown => unknown_campaign(reference),
            Self::Ambiguous(found) => {
                let numbers: Vec<_> = found.iter().map(ToString::to_string).collect();
                Status::failed_precondition(format!(
                    "campaigns of different owners are called `{reference}`, the latest ones {}: name \
                     one of them by its number",
                    numbers.join(" and ")
                ))
            }
        }
    }
}

/// The worker of this number or name, if there is one.
pub(super) async fn worker(
    handle: &Handle,
    number_or_name: &str,
) -> Result<Option<WorkerId>, Status> {
    let wanted = number_or_name.to_owned();
    let read = handle.query(move |state| state.find_worker(&wanted).map(|worker| worker.id()));
    read.await.map_err(|error| of_call(&error))
}

/// The campaign of this number; else the latest of this name that belongs to `caller`; else the latest of
/// the only owner of such campaigns.
pub(super) fn campaign<'s>(
    state: &'s State,
    number_or_name: &str,
    caller: Option<&str>,
) -> Result<&'s Campaign, Unfound> {
    let by_number = number_or_name.parse::<CampaignId>().ok().and_then(|id| state.campaign(id));
    if let Some(campaign) = by_number {
        return Ok(campaign);
    }
    let mut latest: Vec<&Campaign> = Vec::new();
    for campaign in state.campaigns().filter(|found| &*found.spec().name == number_or_name) {
        latest.retain(|before| before.owner() != campaign.owner());
        latest.push(campaign);
    }
    let own = latest.iter().find(|found| found.owner().map(|owner| &**owner) == caller);
    match (own, &latest[..]) {
        (Some(campaign), _) | (None, [campaign]) => Ok(campaign),
        (None, []) => Err(Unfound::Unknown),
        (None, several) => {
            Err(Unfound::Ambiguous(several.iter().map(|found| found.id()).collect()))
        }
    }
}
