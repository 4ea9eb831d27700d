//! Whether a cluster gets its work done: workers and campaigns in numbers, and what needs a hand.
//!
//! Must not know where the text goes.

use serde::Serialize;

use crate::foreign::Foreign;
use crate::results::{Campaign, CampaignStatus, Worker, WorkerState};
use crate::terminal::Style;

/// A cluster in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    /// Whether nothing needs a hand.
    pub(crate) healthy: bool,
    /// What needs a hand, a sentence each.
    pub(crate) needs: Vec<Foreign>,
    pub(crate) workers: Workers,
    /// Slots of the workers that are connected and get work.
    pub(crate) slots: u32,
    pub(crate) campaigns: Campaigns,
    /// Tasks that workers have.
    pub(crate) tasks_in_flight: usize,
}

/// Workers by their state, each in one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Workers {
    /// Those that get work.
    pub(crate) connected: usize,
    pub(crate) away: usize,
    pub(crate) draining: usize,
    pub(crate) quarantine: usize,
}

/// Campaigns that are not finished, each in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Campaigns {
    /// Those that run, or finish what they have begun.
    pub(crate) running: usize,
    /// Those that would run and get no work.
    pub(crate) held: usize,
    pub(crate) paused: usize,
}

impl Health {
    /// The health of a cluster of these campaigns and workers.
    pub(crate) fn of(campaigns: &[Campaign], workers: &[Worker]) -> Self {
        let in_state =
            |state| workers.iter().filter(move |worker: &&Worker| worker.state() == state);
        let able: Vec<&Worker> = in_state(WorkerState::Connected).collect();
        let active: Vec<&Campaign> = campaigns.iter().filter(|found| is_active(found)).collect();
        let held = active.iter().filter(|campaign| !campaign.held.is_empty()).count();
        let mut health = Self {
            healthy: true,
            needs: Vec::new(),
            workers: Workers {
                connected: able.len(),
                away: in_state(WorkerState::Away).count(),
                draining: in_state(WorkerState::Draining).count(),
                quarantine: in_state(WorkerState::Quarantine).count(),
            },
            slots: able.iter().map(|worker| worker.slots).sum(),
            campaigns: Campaigns {
                running: active.len() - held,
                held,
                paused: campaigns.iter().filter(|c| c.status == CampaignStatus::Paused).count(),
            },
            tasks_in_flight: workers.iter().map(|worker| worker.tasks.len()).sum(),
        };
        health.needs = needs(&active, &able);
        health.healthy = health.needs.is_empty();
        health
    }

    /// What a person wants to know.
    pub(crate) fn text(&self, style: Style) -> String {
        let Self { workers, campaigns, .. } = self;
        let mut text = format!(
            "workers: {} connected (slots: {}), {} away, {} draining, {} in quarantine\n\
             campaigns: {} running, {} held, {} paused\n\
             tasks in flight: {}\n",
            workers.connected,
            self.slots,
            workers.away,
            workers.draining,
            workers.quarantine,
            campaigns.running,
            campaigns.held,
            campaigns.paused,
            self.tasks_in_flight,
        );
        for need in &self.needs {
            text += &format!("{} {need}\n", style.warning("needs a hand:"));
        }
        if self.healthy {
            text += &format!("{}\n", style.good("nothing needs a hand"));
        }
        text
    }
}

/// Whether a campaign means to get work done.
fn is_active(campaign: &Campaign) -> bool {
    matches!(campaign.status, CampaignStatus::Running | CampaignStatus::Draining)
}

/// What keeps campaigns that are active from the workers that get work.
fn needs(active: &[&Campaign], able: &[&Worker]) -> Vec<Foreign> {
    let mut needs = Vec::new();
    if able.is_empty() {
        let waiting = active.iter().filter(|campaign| wants_workers(campaign)).count();
        let campaigns = if waiting == 1 { "campaign waits" } else { "campaigns wait" };
        if waiting > 0 {
            needs.push(format!("no connected worker gets work, and {waiting} {campaigns} for one"));
        }
    }
    for campaign in active {
        let named = format!("campaign {} ({})", campaign.id, campaign.name.raw());
        if !campaign.held.is_empty() {
            needs.push(format!("{named} is held: {}", campaign.held.raw()));
            continue;
        }
        let stages = campaign.stages.iter();
        let wanted =
            stages.filter(|stage| stage.live > 0 || campaign.status == CampaignStatus::Running);
        let before = needs.len();
        for stage in wanted.map(|stage| &stage.name) {
            if let Some((worker, reason)) = unserved(campaign.id, stage, able) {
                let (stage, worker, reason) = (stage.raw(), worker.raw(), reason.raw());
                needs.push(format!(
                    "no connected worker can serve stage {stage} of {named}; {worker}: {reason}"
                ));
            }
        }
        if needs.len() == before && is_passed_over(campaign, able) {
            needs.push(format!(
                "{named} has tasks waiting ({}) and none in work, although workers have room; \
                 `cambrian explain campaign {}` says why",
                campaign.queued, campaign.id
            ));
        }
    }
    needs.into_iter().map(Foreign::from).collect()
}

/// Whether more than what is in work is left to do.
fn wants_workers(campaign: &Campaign) -> bool {
    campaign.status == CampaignStatus::Running || campaign.queued > 0 || campaign.waiting > 0
}

/// Whether all of a campaign waits, and of those who can serve a stage that waits everybody has a free slot: then they
/// do not take what there is. If one of them is busy, the campaign may be waiting for that one.
fn is_passed_over(campaign: &Campaign, able: &[&Worker]) -> bool {
    let passed_over = |stage: &Foreign| {
        let mut suited = able.iter().filter(|worker| lack(campaign.id, stage, worker).is_none());
        let free = |worker: &&Worker| worker.tasks.len() < worker.slots as usize;
        suited.clone().next().is_some() && suited.all(free)
    };
    let waiting = campaign.stages.iter().filter(|stage| stage.live > 0);
    let waits = campaign.queued > 0 && campaign.running == 0;
    waits && waiting.map(|stage| &stage.name).any(passed_over)
}

/// Why a worker cannot serve a stage, if so.
fn lack<'w>(campaign: u32, stage: &Foreign, worker: &'w Worker) -> Option<&'w Foreign> {
    let found =
        worker.unsuited.iter().find(|of| of.campaign == campaign && of.stage == *stage.raw());
    found.map(|unsuited| &unsuited.reason)
}

/// The first of the workers, with what it lacks, if none of them can serve the stage.
fn unserved<'w>(
    campaign: u32,
    stage: &Foreign,
    workers: &[&'w Worker],
) -> Option<(&'w Foreign, &'w Foreign)> {
    let lacks = |worker: &&'w Worker| Some((&worker.name, lack(campaign, stage, worker)?));
    let lacking: Vec<_> = workers.iter().map_while(lacks).collect();
    lacking.first().copied().filter(|_| lacking.len() == workers.len())
}

#[cfg(test)]
mod tests {
    use cambrian_proto::v1;

    use super::*;
    use crate::foreign::tests::{HOSTILE, assert_legible};
    use crate::results::examples;

    fn worker(name: &str, change: fn(&mut v1::Worker)) -> Worker {
        let capabilities = v1::Capabilities { slots: 2, ..Default::default() };
        let mut worker = v1::Worker {
            name: name.into(),
            connected: true,
            capabilities: Some(capabilities),
            leases: vec![v1::TaskAttempt::default()],
            ..Default::default()
        };
        change(&mut worker);
        worker.into()
    }

    fn unsuited(worker: &mut v1::Worker) {
        let (stage, reason) = ("train".into(), "it lacks the data set cifar-10".into());
        worker.unsuited.push(v1::UnsuitedStage { campaign: 1, stage, reason });
    }

    fn campaign(status: CampaignStatus) -> Campaign {
        Campaign { status, ..examples::campaign(Vec::new()) }
    }

    fn needed(campaign: Campaign, workers: &[Worker]) -> Vec<String> {
        let health = Health::of(&[campaign], workers);
        assert_eq!(health.healthy, health.needs.is_empty());
        health.needs.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everybody_is_counted_once() {
        let workers = [
            worker("a", |_| {}),
            worker("b", |worker| worker.connected = false),
            worker("c", |worker| worker.draining = true),
            worker("d", |worker| worker.quarantine = Some(v1::Quarantine::default())),
        ];
        let campaigns = [
            campaign(CampaignStatus::Running),
            campaign(CampaignStatus::Draining),
            campaign(CampaignStatus::Paused),
            campaign(CampaignStatus::Finished),
            Campaign { held: "its budget".into(), ..campaign(CampaignStatus::Running) },
        ];
        let health = Health::of(&campaigns, &workers);
        let counted = Workers { connected: 1, away: 1, draining: 1, quarantine: 1 };
        assert_eq!((&health.workers, health.slots, health.tasks_in_flight), (&counted, 2, 4));
        assert_eq!(health.campaigns, Campaigns { running: 2, held: 1, paused: 1 });
        assert_eq!(health.needs, ["campaign 1 (example) is held: its budget"]);
    }

    #[test]
    fn a_campaign_that_runs_wants_a_worker_that_gets_work() {
        let away = [worker("a", |worker| worker.connected = false)];
        let word = "no connected worker gets work, and 1 campaign waits for one";
        for workers in [&[][..], &away] {
            assert_eq!(needed(campaign(CampaignStatus::Running), workers), [word]);
            for status in [CampaignStatus::Paused, CampaignStatus::Finished] {
                assert!(needed(campaign(status), workers).is_empty());
            }
            // What is left of it is in work already.
            assert!(needed(campaign(CampaignStatus::Draining), workers).is_empty());
        }
        assert!(Health::of(&[], &[]).healthy);
    }

    #[test]
    fn each_stage_wants_a_worker_that_can_serve_it() {
        let lacking = [worker("a", unsuited), worker("b", unsuited)];
        let word = "no connected worker can serve stage train of campaign 1 (example); a: it lacks the data set \
                    cifar-10";
        assert_eq!(needed(campaign(CampaignStatus::Running), &lacking), [word]);
        let one_can = [worker("a", unsuited), worker("b", |_| {})];
        assert!(needed(campaign(CampaignStatus::Running), &one_can).is_empty());
        let other = Campaign { id: 2, ..campaign(CampaignStatus::Running) };
        assert!(needed(other, &lacking).is_empty());
    }

    /// All of it waits: five tasks of its only stage.
    fn waiting() -> Campaign {
        let mut campaign = Campaign { running: 0, queued: 5, ..campaign(CampaignStatus::Running) };
        campaign.stages[0].live = 5;
        campaign
    }

    #[test]
    fn work_that_nobody_takes_although_there_is_room_is_told() {
        let word = "campaign 1 (example) has tasks waiting (5) and none in work, although workers have room; \
                    `cambrian explain campaign 1` says why";
        let free = [worker("a", |_| {}), worker("b", unsuited)];
        assert_eq!(needed(waiting(), &free), [word]);
        let draining = Campaign { status: CampaignStatus::Draining, ..waiting() };
        assert_eq!(needed(draining, &free), [word]);
        // Nobody can serve it at all, and that is said already.
        let lacking = needed(waiting(), &[worker("b", unsuited)]);
        assert!(
            lacking.len() == 1 && lacking[0].contains("b: it lacks the data set"),
            "{lacking:?}"
        );
    }

    #[test]
    fn waiting_for_a_busy_worker_or_for_a_model_is_nobodys_need() {
        fn busy(worker: &mut v1::Worker) {
            worker.leases = vec![v1::TaskAttempt::default(); 2];
        }
        // Whoever is free cannot serve it, and whoever can is busy.
        assert!(needed(waiting(), &[worker("a", busy), worker("b", unsuited)]).is_empty());
        assert!(needed(waiting(), &[worker("a", busy), worker("b", |_| {})]).is_empty());
        let free = [worker("a", |_| {})];
        let fitting = Campaign { running: 0, queued: 0, ..campaign(CampaignStatus::Running) };
        assert!(needed(fitting, &free).is_empty());
        let at_work = Campaign { running: 1, ..waiting() };
        assert!(needed(at_work, &free).is_empty());
        let paused = Campaign { status: CampaignStatus::Paused, ..waiting() };
        assert!(needed(paused, &free).is_empty());
    }

    #[test]
    fn nothing_commands_a_terminal() {
        let named = |held: &str| Campaign {
            name: HOSTILE.into(),
            held: held.into(),
            ..campaign(CampaignStatus::Running)
        };
        let health = Health::of(&[named(HOSTILE), named("")], &[]);
        assert_eq!(health.needs.len(), 2);
        assert_legible(&health.text(Style::plain()));
    }
}
