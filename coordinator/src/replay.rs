//! Replay as a proof: the journal leads to the same population and front again, and the search
//! itself proposes the same candidates again, bit for bit, without evaluating anything.
//!
//! Must not know the tables, nor the rules of delivery: `verify` checks both.

use std::collections::BTreeSet;

use cambrian_core::algorithm::{Proposal, Suggestion};
use cambrian_core::engine::{Campaign, Engine, EngineSettings, Event, State};
use cambrian_core::id::{CampaignId, CandidateId, Ordinal};
use cambrian_core::time::Span;

use crate::store::{Store, StoreError, for_each};

/// What a journal leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// How many records were replayed.
    pub records: u64,
    /// A hash over everything durable; equal states have equal digests.
    pub digest: blake3::Hash,
    /// How many proposals were derived again.
    pub proposals: u64,
    /// The first proposal that came out differently; none if the search is reproduced.
    pub mismatch: Option<Mismatch>,
    /// The campaigns that are not reproduced. What follows the first mismatch of a campaign is not derived.
    pub departed: BTreeSet<CampaignId>,
    /// Every campaign, in order.
    pub campaigns: Vec<ReplayedCampaign>,
}

/// A campaign after its replay.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayedCampaign {
    /// Its number.
    pub id: CampaignId,
    /// Its name.
    pub name: String,
    /// The candidates that can be parents, ascending.
    pub population: Vec<Ordinal>,
    /// The front: ids ascending, objectives in their natural signs.
    pub front: Vec<(Ordinal, Vec<f64>)>,
}

/// A proposal that the search would not make again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The journal's record.
    pub record: u64,
    /// The candidate.
    pub candidate: CandidateId,
    /// What the journal says.
    pub stored: String,
    /// What the algorithm suggests on the state before.
    pub derived: String,
}

/// Replays a journal and derives every proposal again.
///
/// # Errors
/// [`StoreError`] if a record is missing, damaged or cannot be understood.
pub fn replay(store: &dyn Store) -> Result<Replayed, StoreError> {
    let mut engine = Engine::new(EngineSettings { lease_length: Span(0) });
    let (mut records, mut proposals, mut mismatch) = (0, 0, None);
    let mut departed = BTreeSet::new();
    for_each(store, |stored| {
        records = stored.sequence;
        if let Event::CandidateProposed { candidate, proposal, .. } = &stored.event {
            proposals += 1;
            if !departed.contains(&candidate.campaign)
                && let Some(found) = derive(engine.state(), stored.sequence, *candidate, proposal)
            {
                departed.insert(candidate.campaign);
                mismatch.get_or_insert(found);
            }
        }
        engine.apply(&stored.event, stored.at);
    })?;
    let state = engine.state();
    let campaigns = state.campaigns().map(replayed).collect();
    Ok(Replayed { records, digest: state.digest(), proposals, mismatch, departed, campaigns })
}

fn derive(
    state: &State,
    record: u64,
    candidate: CandidateId,
    stored: &Proposal,
) -> Option<Mismatch> {
    let derived = match state.campaign(candidate.campaign) {
        Some(campaign) => match campaign.suggest(candidate) {
            Suggestion::Propose(derived) if derived == *stored => return None,
            Suggestion::Propose(derived) => described(campaign, &derived),
            Suggestion::Wait => "nothing until more results arrive".into(),
            Suggestion::Exhausted => "nothing: every network is known".into(),
        },
        None => "nothing: there is no such campaign".into(),
    };
    let stored = match state.campaign(candidate.campaign) {
        Some(campaign) => described(campaign, stored),
        None => format!("{:?}", stored.genotype),
    };
    Some(Mismatch { record, candidate, stored, derived })
}

fn described(campaign: &Campaign, proposal: &Proposal) -> String {
    format!("{}, {}", campaign.spec().space.format(&proposal.genotype), proposal.origin)
}

fn replayed(campaign: &Campaign) -> ReplayedCampaign {
    let goals = || campaign.spec().objectives.iter().map(|objective| objective.goal);
    let natural =
        |values: &[f64]| goals().zip(values).map(|(goal, value)| goal.minimized(*value)).collect();
    ReplayedCampaign {
        id: campaign.id(),
        name: campaign.spec().name.to_string(),
        population: campaign.algorithm().population(),
        front: campaign.front().iter().map(|(id, values)| (id, natural(values))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::testing::simulated_journal;
    use std::sync::Arc;

    #[test]
    fn the_search_is_reproduced() {
        let (journal, engine) = simulated_journal(3);
        let mut store = MemoryStore::default();
        store.append(0, &journal).unwrap();
        let replayed = replay(&store).unwrap();
        assert_eq!(replayed.mismatch, None);
        assert_eq!(replayed.records, journal.len() as u64);
        assert!(replayed.proposals >= 40, "{}", replayed.proposals);
        assert_eq!(replayed.digest, engine.state().digest());
        let campaign = engine.state().campaigns().next().unwrap();
        assert_eq!(replayed.campaigns[0].population, campaign.algorithm().population());
        assert_eq!(replayed.campaigns[0].front.len(), campaign.front().len());
    }

    #[test]
    fn a_changed_proposal_is_found() {
        let (mut journal, _) = simulated_journal(3);
        let proposals: Vec<usize> = (0..journal.len())
            .filter(|at| matches!(journal[*at].1, Event::CandidateProposed { .. }))
            .collect();
        let at = proposals[proposals.len() / 2];
        let Event::CandidateProposed { proposal, .. } = &mut journal[at].1 else { panic!() };
        let mut changed = proposal.as_ref().clone();
        changed.genotype.0[0] = (changed.genotype.0[0] + 1) % 5;
        *proposal = Arc::new(changed);
        let mut store = MemoryStore::default();
        store.append(0, &journal).unwrap();
        let mismatch = replay(&store).unwrap().mismatch.unwrap();
        assert_eq!(mismatch.record, at as u64 + 1);
        assert_ne!(mismatch.stored, mismatch.derived);
    }
}
