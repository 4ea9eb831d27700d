//! Why a campaign is, or is not, served: what of it waits for whom, and what it claims and has used.
//!
//! Looks at a bounded number of tasks, however many wait. Must not know who asks.

use std::collections::{BTreeMap, BTreeSet};

use super::super::campaign::{Campaign, CampaignStatus};
use super::super::state::State;
use super::super::task::Task;
use super::super::view::Explanation;
use super::super::worker::Worker;
use crate::id::CandidateId;

/// So many waiting tasks of a stage are looked at, the first by id.
const LOOKED_AT: usize = 16;
/// A campaign of which more tasks wait does not lack new candidates: these are left out.
const MOST_QUEUED: usize = 256;

impl State {
    pub(super) fn explain_campaign(&self, campaign: &Campaign) -> Explanation {
        let view = campaign.view();
        let mut details = vec![
            format!(
                "{} of {} evaluations started; {} scored, {} failed, {} infeasible, {} screened",
                view.started, view.budget, view.scored, view.failed, view.infeasible, view.screened
            ),
            format!("{} running, {} waiting for a worker", view.running, view.queued),
        ];
        details.extend(view.stages.iter().map(ToString::to_string));
        details.extend(campaign.infeasible_lines());
        let idle = view.running == 0 && view.finished_at.is_none();
        let held = self.held_back(campaign);
        if idle && held.is_none() {
            details.extend(Waiting::of(self, campaign).lines());
        }
        details.push(self.share_of(campaign));
        details.push(campaign.cache_line());
        details.extend(campaign.budget_lines());
        details.extend(campaign.survival_line());
        let headline = match campaign.status {
            CampaignStatus::Paused => {
                format!("campaign {} is paused; `cambrian resume {0}` lets it go on", campaign.id)
            }
            CampaignStatus::Running | CampaignStatus::Draining(_) if held.is_some() => {
                let held = held.unwrap_or_default();
                format!("campaign {} gets no more work: {held}", campaign.id)
            }
            CampaignStatus::Running if idle && view.queued == 0 && campaign.fitting.is_some() => {
                let results = campaign.fitting.unwrap_or_default();
                format!(
                    "campaign {} waits for a model of {results} results to be fitted",
                    campaign.id
                )
            }
            CampaignStatus::Running if idle => {
                format!("campaign {} is running, but no worker serves it", campaign.id)
            }
            status => match status.reason() {
                Some(reason) => format!("campaign {} is {}: {reason}", campaign.id, status.name()),
                None => format!("campaign {} is {}", campaign.id, status.name()),
            },
        };
        Explanation { headline, details }
    }

    /// What a campaign claims and has, in a line.
    fn share_of(&self, campaign: &Campaign) -> String {
        let owner = Self::owner(campaign);
        let (share, policy) = (campaign.spec.share, self.policy.of_user(owner));
        let (served, asked) = (self.priority_of(campaign), share.priority);
        let priority = match served == asked {
            true => format!("priority {served}"),
            false => {
                format!("priority {served} ({asked} is asked for, more than its owner may have)")
            }
        };
        let whose = if owner.is_empty() { "no user".into() } else { format!("user {owner}") };
        let user = self.shares.of_user(owner).map_or(0, |usage| usage.leases);
        format!(
            "share: {priority}, weight {} among the campaigns of {whose}, who has weight {} \
             and {user} evaluations in work",
            share.weight, policy.weight
        )
    }
}

/// What a campaign has for workers, in the order in which dispatch looks for it.
struct Waiting<'a> {
    state: &'a State,
    campaign: &'a Campaign,
    /// By stage, how many tasks are queued, and the first of them.
    queued: Vec<(u8, usize, Vec<&'a Task>)>,
    /// Who may go on, and to which stage.
    next: Vec<(CandidateId, u8)>,
    /// Whether it proposes candidates for workers with room.
    proposes: bool,
}

impl<'a> Waiting<'a> {
    fn of(state: &'a State, campaign: &'a Campaign) -> Self {
        let serves = campaign.status.gets_work();
        let queued = campaign.queue.stages().filter(|_| serves).map(|(stage, tasks)| {
            let first = tasks.iter().take(LOOKED_AT).filter_map(|id| state.tasks.get(id));
            (stage, tasks.len(), first.collect())
        });
        let promotable = campaign.promotable().filter(|_| serves && campaign.has_promotable());
        let proposes = state.may_propose(campaign) && campaign.queue.len() <= MOST_QUEUED;
        Self {
            state,
            campaign,
            queued: queued.collect(),
            next: promotable.map(|(candidate, stage)| (candidate, stage + 1)).collect(),
            proposes,
        }
    }

    /// What waits, and for whom; nothing where nothing does.
    fn lines(&self) -> Vec<String> {
        let queued = self.queued.iter().map(|(stage, tasks, first)| {
            let (name, told) = (self.name(*stage), first.len());
            let only = match *tasks > told {
                true => format!(" (the first {told} are looked at)"),
                false => String::new(),
            };
            let word = if *tasks == 1 { "task" } else { "tasks" };
            format!("{tasks} {word} for stage {name}{only}")
        });
        let next = self.next.iter().map(|(id, stage)| {
            let name = self.name(*stage);
            format!("candidate {id} for stage {name}")
        });
        let new = self.proposes.then(|| format!("new candidates for stage {}", self.name(0)));
        let waiting: Vec<_> = queued.chain(next).chain(new).collect();
        if waiting.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![format!("for a worker wait: {}", waiting.join("; "))];
        lines.extend(self.state.worker_lines(|worker| self.lack(worker)));
        lines
    }

    fn name(&self, stage: u8) -> &str {
        self.campaign.stages.get(usize::from(stage)).map_or("?", |stage| &stage.name)
    }

    /// Why a worker gets nothing of it, `None` if it may get something: by the rules of dispatch.
    fn lack(&self, worker: &Worker) -> Option<String> {
        let mut reasons = BTreeMap::new();
        for (stage, _, tasks) in &self.queued {
            // What the first one lacks is told for all of its stage.
            let mut kept = tasks.iter().map(|task| self.state.kept_from(task, worker));
            let first = kept.next()??;
            if kept.any(|reason| reason.is_none()) {
                return None;
            }
            reasons.insert(*stage, first);
        }
        for (id, stage) in &self.next {
            let too_large = || self.campaign.too_large(id.ordinal, *stage, worker);
            let reason = self.campaign.unsuited(worker, *stage).or_else(too_large)?;
            reasons.entry(*stage).or_insert(reason);
        }
        if self.proposes {
            let reason = self.campaign.unsuited(worker, 0).or_else(|| self.flooded(worker))?;
            reasons.entry(0).or_insert(reason);
        }
        let several = self.stages() > 1;
        let told = reasons.into_iter().map(|(stage, reason)| match several {
            true => format!("stage {}: {reason}", self.name(stage)),
            false => reason,
        });
        Some(told.collect::<Vec<_>>().join("; "))
    }

    fn flooded(&self, worker: &Worker) -> Option<String> {
        self.state.is_flooded(self.campaign, worker).then(|| {
            "too many candidates wait for a device with more memory; it gets no new ones".into()
        })
    }

    /// For how many stages something waits.
    fn stages(&self) -> usize {
        let queued = self.queued.iter().map(|(stage, ..)| *stage);
        let next = self.next.iter().map(|(_, stage)| *stage);
        let stages = queued.chain(next).chain(self.proposes.then_some(0));
        stages.collect::<BTreeSet<_>>().len()
    }
}

impl Campaign {
    /// What it makes of known results, in a line.
    fn cache_line(&self) -> String {
        let mode = self.spec.cache;
        let takes = match (mode.reads(), self.taken.len()) {
            (false, _) => "it takes no known results".to_owned(),
            (true, taken) => format!("it took {taken} known results"),
        };
        let gives = if mode.writes() { "its own are" } else { "its own are not" };
        format!("cache {mode}: {takes}, and {gives} there for others")
    }

    /// What is used of each budget that is limited.
    fn budget_lines(&self) -> Vec<String> {
        let budget = &self.spec.budget;
        let slots =
            budget.slot_time.map(|limit| format!("{} of {limit} in slots used", self.slot_time));
        let energy = budget.energy.map(|limit| match self.energy.0 {
            0 => format!("no energy of {limit} used, as far as evaluators report it"),
            _ => format!("{} of {limit} used", self.energy),
        });
        slots.into_iter().chain(energy).collect()
    }
}
