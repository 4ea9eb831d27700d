//! What the log says of decisions that nobody has asked for, for operators who look back: campaigns that
//! end or get no more work, workers in quarantine. Must not know who has asked for the others.

use std::collections::BTreeSet;

use cambrian_core::engine::{Campaign, CampaignStatus, Event, Release, State};
use cambrian_core::id::{CampaignId, WorkerId};
use cambrian_core::time::{Span, Timestamp};

/// How often campaigns are looked at that may be held: each look passes over all.
const INTERVAL: Span = Span::from_secs(5);

/// What the log says by now.
#[derive(Debug, Default)]
pub(super) struct Trail {
    held: BTreeSet<CampaignId>,
    next_look: Timestamp,
}

impl Trail {
    /// Tells events that are stored.
    pub(super) fn tell(state: &State, events: &[(Timestamp, Event)]) {
        for (_, event) in events {
            match event {
                Event::CampaignDraining { campaign, reason } => {
                    tracing::info!(%campaign, %reason, "campaign proposes no more candidates");
                }
                Event::CampaignFinished { campaign, reason } => {
                    tracing::info!(%campaign, %reason, "campaign finished");
                }
                Event::WorkerQuarantined { worker, reason, .. } => {
                    let name = name(state, *worker);
                    tracing::warn!(%worker, name, %reason, "worker put into quarantine");
                }
                Event::WorkerReleased { worker, by: Release::Time } => {
                    let name = name(state, *worker);
                    tracing::info!(%worker, name, "the worker's quarantine is over");
                }
                _ => {}
            }
        }
    }

    /// Tells which campaigns get no more work although they run, and which do again, if it is time.
    pub(super) fn look(&mut self, state: &State, now: Timestamp) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + INTERVAL;
        let open = |campaign: &&Campaign| !matches!(campaign.status(), CampaignStatus::Finished(_));
        let mut held = BTreeSet::new();
        for campaign in state.campaigns().filter(open) {
            let id = campaign.id();
            match state.held_back(campaign) {
                Some(why) => {
                    if !self.held.contains(&id) {
                        tracing::warn!(campaign = %id, "campaign held: {why}");
                    }
                    held.insert(id);
                }
                None if self.held.contains(&id) => {
                    tracing::info!(campaign = %id, "campaign is held no more");
                }
                None => {}
            }
        }
        self.held = held;
    }
}

fn name(state: &State, worker: WorkerId) -> &str {
    state.worker(worker).map_or("", |worker| worker.name())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cambrian_core::engine::{
        Command, Engine, EngineSettings, FleetPolicy, SubmissionId, UserBudget, UserPolicy,
    };
    use cambrian_core::spec::CampaignSpec;

    use super::*;
    use crate::testing::{CAMPAIGN, simulated_journal};

    /// What is logged meanwhile.
    fn logged(work: impl FnOnce()) -> String {
        let log = tempfile::NamedTempFile::new().unwrap();
        let file = Arc::new(log.reopen().unwrap());
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(file).with_target(false);
        tracing::subscriber::with_default(subscriber.finish(), work);
        std::fs::read_to_string(log.path()).unwrap()
    }

    #[test]
    fn ends_of_campaigns_and_quarantines_are_told_with_their_reasons() {
        let (mut journal, engine) = simulated_journal(2);
        let worker = engine.state().workers().next().unwrap();
        let (id, name) = (worker.id(), worker.name().clone());
        let reason = "4 candidates failed here".into();
        let event = Event::WorkerQuarantined { worker: id, reason, until: None };
        journal.push((Timestamp(1), event));
        journal.push((Timestamp(2), Event::WorkerReleased { worker: id, by: Release::Time }));
        let text = logged(|| Trail::tell(engine.state(), &journal));
        for expected in [
            "campaign finished campaign=1 reason=budget spent".to_owned(),
            format!("into quarantine worker={id} name=\"{name}\" reason=4 candidates failed here"),
            format!("quarantine is over worker={id}"),
        ] {
            assert!(text.contains(&expected), "{expected}: {text}");
        }
        assert!(text.lines().count() < 6, "{text}");
    }

    #[test]
    fn a_campaign_that_is_held_is_told_once() {
        let mut engine = Engine::new(EngineSettings { lease_length: Span::from_secs(20) });
        let submit = Command::SubmitCampaign {
            submission: SubmissionId(1),
            spec: Arc::new(CampaignSpec::parse(CAMPAIGN).unwrap()),
            source: CAMPAIGN.into(),
            owner: Some("ada".into()),
        };
        let budget = |evaluations| {
            let budget = UserBudget { evaluations, ..UserBudget::default() };
            let others = UserPolicy { budget, ..UserPolicy::default() };
            Command::Govern(Arc::new(FleetPolicy { others, ..FleetPolicy::default() }))
        };
        for command in [Command::Start, budget(Some(0)), submit] {
            engine.step(command, Timestamp(1)).unwrap();
        }
        let mut trail = Trail::default();
        let mut look = |engine: &Engine, seconds: u64| {
            logged(|| trail.look(engine.state(), Timestamp(seconds * 1_000_000)))
        };
        let text = look(&engine, 10);
        assert!(text.contains("campaign held: the budget of user ada is spent"), "{text}");
        engine.step(budget(None), Timestamp(11_000_000)).unwrap();
        assert_eq!(look(&engine, 14), "", "it is not time");
        let text = look(&engine, 15);
        assert!(text.contains("campaign is held no more campaign=1"), "{text}");
        assert_eq!(look(&engine, 60), "");
    }
}
