//! A page of a campaign's candidates. A page is read on the engine's thread while everybody waits, so
//! what is looked at for one is bounded, and nothing is prepared of a candidate that is not on it. Must
//! not know who asks.

use cambrian_core::engine::{Campaign, Candidate, CandidateStatus, State};
use cambrian_core::id::Ordinal;
use cambrian_proto::convert::view;
use cambrian_proto::v1;

/// How many candidates are looked at for a page at most.
const LOOKED_AT: u32 = 10_000;

/// Which candidates are asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Only those after this ordinal.
    pub(super) after: u32,
    /// How many are on a page at most.
    pub(super) size: usize,
    /// Only those with one of these; all if there are none.
    pub(super) statuses: Vec<v1::CandidateStatus>,
}

/// A page, which says where the next one begins. It may be short or empty and have a next one.
pub(super) fn page(
    state: &State,
    campaign: &Campaign,
    wanted: &Wanted,
) -> v1::ListCandidatesResponse {
    let (ordinals, next_after) = select(state, campaign, wanted, LOOKED_AT);
    let views = ordinals.into_iter().filter_map(|ordinal| campaign.candidate_view(ordinal));
    v1::ListCandidatesResponse {
        candidates: views.map(|view| v1::Candidate::from(&view)).collect(),
        next_after,
        metrics: view::metric_columns(&campaign.metric_views()),
    }
}

/// The candidates of a page, for which at most `most` are looked at, and after which ordinal the next
/// page begins: 0 if there is none.
fn select(state: &State, campaign: &Campaign, wanted: &Wanted, most: u32) -> (Vec<Ordinal>, u32) {
    let last = u32::try_from(campaign.candidates().len()).unwrap_or(u32::MAX);
    let end = last.min(wanted.after.saturating_add(most));
    let mut found = Vec::new();
    for ordinal in wanted.after.saturating_add(1)..=end {
        let ordinal = Ordinal(ordinal);
        let Some(candidate) = campaign.candidate(ordinal) else { break };
        if !wanted.statuses.is_empty() && !wanted.statuses.contains(&status(state, candidate)) {
            continue;
        }
        if found.len() == wanted.size {
            let next_after = found.last().map_or(0, |last: &Ordinal| last.0);
            return (found, next_after);
        }
        found.push(ordinal);
    }
    (found, if end < last { end } else { 0 })
}

fn status(state: &State, candidate: &Candidate) -> v1::CandidateStatus {
    let running = match candidate.status() {
        CandidateStatus::InStage { task, .. } => {
            state.task(*task).is_some_and(|task| task.lease().is_some())
        }
        _ => false,
    };
    view::candidate_status(candidate.status(), running)
}

#[cfg(test)]
mod tests {
    use cambrian_core::engine::{Engine, EngineSettings, Event};
    use cambrian_core::id::{CampaignId, CandidateId};
    use cambrian_core::time::Span;

    use super::*;
    use crate::testing::simulated_journal;

    /// An engine in the middle of a campaign, with candidates in work and others that have ended.
    fn halfway() -> Engine {
        let (journal, _) = simulated_journal(2);
        let mut engine = Engine::new(EngineSettings { lease_length: Span::from_secs(20) });
        journal[..journal.len() * 3 / 4].iter().for_each(|(at, event)| engine.apply(event, *at));
        engine
    }

    /// A campaign with so many candidates, none of which has come further than being proposed.
    fn large(candidates: u32) -> Engine {
        let (journal, _) = simulated_journal(2);
        let mut engine = Engine::new(EngineSettings { lease_length: Span::from_secs(20) });
        for (at, event) in &journal {
            engine.apply(event, *at);
            let Event::CandidateProposed { candidate, proposal, analytic } = event else {
                continue;
            };
            for ordinal in 2..=candidates {
                let candidate = CandidateId::new(candidate.campaign, Ordinal(ordinal));
                let (proposal, analytic) = (proposal.clone(), analytic.clone());
                engine.apply(&Event::CandidateProposed { candidate, proposal, analytic }, *at);
            }
            break;
        }
        engine
    }

    fn wanted(after: u32, size: usize, statuses: &[v1::CandidateStatus]) -> Wanted {
        Wanted { after, size, statuses: statuses.to_vec() }
    }

    #[test]
    fn all_pages_together_are_the_whole_list() {
        use v1::CandidateStatus::{Failed, Infeasible, Queued, Running, Scored};
        let engine = halfway();
        let state = engine.state();
        let campaign = state.campaign(CampaignId(1)).unwrap();
        let all = page(state, campaign, &wanted(0, 1_000, &[])).candidates;
        assert_eq!(all.len(), campaign.candidates().len());
        let filters: [&[_]; 6] =
            [&[], &[Running], &[Scored], &[Failed, Infeasible], &[Queued, Scored], &[Queued]];
        let bounds = [(1, 1), (1, 7), (3, 7), (50, 4), (50, 99)];
        let cases = filters.iter().flat_map(|filter| bounds.map(|bounds| (filter, bounds)));
        for (filter, (size, most)) in cases {
            let expected: Vec<_> = all
                .iter()
                .filter(|one| filter.is_empty() || filter.contains(&one.status()))
                .map(|one| one.id.unwrap().ordinal)
                .collect();
            let (mut after, mut found) = (0, Vec::new());
            loop {
                let (page, next) = select(state, campaign, &wanted(after, size, filter), most);
                assert!(page.len() <= size && page.iter().all(|one| one.0 <= after + most));
                found.extend(page.iter().map(|one| one.0));
                if next == 0 {
                    break;
                }
                assert!(after < next && next <= after + most, "{after} to {next}");
                after = next;
            }
            assert_eq!(found, expected, "{filter:?} in pages of {size}, {most} looked at");
        }
        for some in [Running, Scored, Failed] {
            assert!(all.iter().any(|one| one.status() == some), "{some:?}");
        }
    }

    #[test]
    fn a_status_that_no_candidate_has_is_looked_for_a_part_at_a_time() {
        let engine = large(2 * LOOKED_AT + 500);
        let state = engine.state();
        let campaign = state.campaign(CampaignId(1)).unwrap();
        assert_eq!(campaign.candidates().len(), 20_500);
        let (mut after, mut calls) = (0, Vec::new());
        loop {
            let asked = wanted(after, 100, &[v1::CandidateStatus::Screened]);
            let page = page(state, campaign, &asked);
            assert!(page.candidates.is_empty() && !page.metrics.is_empty());
            calls.push(page.next_after);
            if page.next_after == 0 {
                break;
            }
            after = page.next_after;
        }
        assert_eq!(calls, [LOOKED_AT, 2 * LOOKED_AT, 0]);
    }
}
