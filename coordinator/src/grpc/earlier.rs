//! Earlier campaigns that the `start` of a new one names: looked up in the stored state while the new one
//! is read, so that what is stored of it is complete.
//!
//! Whoever may submit may read every campaign. Must not know what becomes of the architectures.

use std::sync::{Mutex, PoisonError};

use cambrian_core::engine::{Campaign, ScoredPoints, State};
use cambrian_core::id::{CampaignId, Ordinal};
use cambrian_core::spec::{
    NoStartReader, StartCampaign, StartCampaignRows, StartError, StartFile, StartReader, StartRow,
};

use crate::handle::{CallError, Handle};

/// Reads from the actor's state. To be used on a thread that may wait.
pub(super) struct EarlierCampaigns {
    handle: Handle,
    runtime: tokio::runtime::Handle,
    failed: Mutex<Option<CallError>>,
}

impl EarlierCampaigns {
    /// For a thread that `runtime` does not run on.
    pub(super) fn new(handle: Handle, runtime: tokio::runtime::Handle) -> Self {
        Self { handle, runtime, failed: Mutex::default() }
    }

    /// Why the state could not be read, if it was tried in vain: what was found since is no fault of
    /// the campaign.
    pub(super) fn into_failure(self) -> Option<CallError> {
        self.failed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn query<R: Send + 'static>(
        &self,
        read: impl FnOnce(&State) -> R + Send + 'static,
    ) -> Result<R, StartError> {
        self.runtime.block_on(self.handle.query(read)).map_err(|error| {
            let unread = refused(format!("cannot be looked up: {error}"), "try again");
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            unread
        })
    }
}

impl StartReader for EarlierCampaigns {
    fn file(&self, file: &StartFile) -> Result<Vec<StartRow>, StartError> {
        NoStartReader.file(file)
    }

    fn campaign(&self, asked: &StartCampaign) -> Result<StartCampaignRows, StartError> {
        let most = asked.most;
        let asked = asked.clone();
        let (id, points) = self.query(move |state| scored(state, &asked))??;
        // Sorting many candidates takes a while, which the actor does not have.
        let best = points.best_first(most);
        let rows = self.query(move |state| rows(state, id, &best))?;
        Ok(StartCampaignRows::Known(rows))
    }
}

fn refused(message: String, help: &str) -> StartError {
    StartError { message, help: help.to_owned() }
}

/// The candidates that are asked for, in no order.
fn scored(state: &State, asked: &StartCampaign) -> Result<(CampaignId, ScoredPoints), StartError> {
    let campaign = only_one(state, &asked.campaign)?;
    let (id, name) = (campaign.id(), &campaign.spec().name);
    let space = campaign.spec().space.name();
    if space != asked.space {
        return Err(refused(
            format!(
                "campaign {id} ({name}) searches the space {space}, this one the space {}",
                asked.space
            ),
            "name a campaign in the same space",
        ));
    }
    let points = campaign.scored_points(asked.front_only);
    if points.is_empty() {
        return Err(refused(
            format!("campaign {id} ({name}) has no scored candidate"),
            "submit this campaign when the earlier one has results",
        ));
    }
    Ok((id, points))
}

/// The only campaign of this number or name.
fn only_one<'s>(state: &'s State, name: &str) -> Result<&'s Campaign, StartError> {
    let by_number = name.parse::<CampaignId>().ok().and_then(|id| state.campaign(id));
    if let Some(campaign) = by_number {
        return Ok(campaign);
    }
    let called = state.campaigns().filter(|campaign| &*campaign.spec().name == name);
    let called: Vec<&Campaign> = called.collect();
    match called[..] {
        [campaign] => Ok(campaign),
        [] => Err(refused(
            format!("there is no campaign `{name}`"),
            "`cambrian list` shows the numbers and names of all campaigns of this coordinator",
        )),
        _ => {
            let numbers: Vec<_> = called.iter().map(|found| found.id().to_string()).collect();
            Err(refused(
                format!("the campaigns {} are called `{name}`", numbers.join(", ")),
                "name one of them by its number",
            ))
        }
    }
}

/// The architectures of candidates, in their order.
fn rows(state: &State, id: CampaignId, candidates: &[Ordinal]) -> Vec<StartRow> {
    // Campaigns and their candidates are never removed.
    let Some(campaign) = state.campaign(id) else { return Vec::new() };
    let space = &campaign.spec().space;
    let found = candidates.iter().filter_map(|ordinal| {
        let genotype = &campaign.candidate(*ordinal)?.proposal().genotype;
        Some(StartRow { row: ordinal.0.into(), genotype: space.format(genotype) })
    });
    found.collect()
}
