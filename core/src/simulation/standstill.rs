//! Whether the cluster stands still: work waits although a worker that could do it idles.
//!
//! A hang is told by that alone, days of virtual time before the horizon, and with who waits for whom. Must
//! not know in which order work is given: only that it must not wait for ever.

use std::collections::BTreeMap;

use super::ledger::{Breach, require};
use crate::engine::{Campaign, State, TaskStatus, Worker};
use crate::id::{Attempt, CampaignId, TaskId, WorkerId};
use crate::time::{Span, Timestamp};

/// So long may a worker idle beside what it could do. Whoever was lost is back within minutes, and what has
/// failed on the idle worker may wait meanwhile for another one, which is busy.
const PATIENCE: Span = Span::from_secs(3_600);
/// So long may a worker that has asked for work idle beside what nobody has tried yet: from one look to the next.
/// It is not waited for until it connects anew, which would hide that nobody gives it anything.
const NEXT_LOOK: Span = Span(0);

/// Who waits: a queued task of a campaign, or a campaign that has none and is not finished.
type Waiting = (CampaignId, Option<TaskId>);

/// Who waits, the stages that somebody has to serve for it, and whether nobody has tried it.
struct Wanted {
    waiting: Waiting,
    stages: Vec<u8>,
    fresh: bool,
}

/// What waits beside idle workers, and since when.
#[derive(Default)]
pub(super) struct Standstill {
    since: BTreeMap<(Waiting, WorkerId), Timestamp>,
}

impl Standstill {
    /// Looks at the cluster as it is at an instant.
    pub(super) fn look(&mut self, state: &State, now: Timestamp) -> Result<(), Breach> {
        let mut found = BTreeMap::new();
        let idle: Vec<&Worker> = state.workers().filter(|worker| idles(worker)).collect();
        let wanted = if idle.is_empty() { Vec::new() } else { wanted(state) };
        for wanted in wanted {
            for worker in idle.iter().filter(|worker| could_do(state, &wanted, worker)) {
                let pair = (wanted.waiting, worker.id());
                let since = self.since.get(&pair).copied().unwrap_or(now);
                let asks = wanted.fresh && worker.room() > 0;
                let patience = if asks { NEXT_LOOK } else { PATIENCE };
                require(now.since(since) <= patience, || told(pair, now.since(since)))?;
                found.insert(pair, since);
            }
        }
        self.since = found;
        Ok(())
    }
}

fn told(((campaign, task), worker): (Waiting, WorkerId), waited: Span) -> String {
    let what = match task {
        Some(task) => format!("task {task} of campaign {campaign}"),
        None => format!("campaign {campaign}, of which nothing is in work,"),
    };
    format!("{what} waits although worker {worker}, which could serve it, has idled for {waited}")
}

/// Whether a worker is there and holds nothing, whatever it has asked for.
fn idles(worker: &Worker) -> bool {
    let trusted = worker.quarantine().is_none() && !worker.is_draining();
    worker.is_connected() && trusted && worker.leases().is_empty()
}

/// What waits: queued tasks, and campaigns of which no task is queued or leased, whatever stage is next.
fn wanted(state: &State) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let open =
        |campaign: &&Campaign| campaign.status().gets_work() && state.held_back(campaign).is_none();
    for campaign in state.campaigns().filter(open) {
        let id = campaign.id();
        let mut live = state.tasks().filter(|task| task.candidate().campaign == id).peekable();
        if live.peek().is_none() {
            let stages = (0..campaign.spec().stages.len() as u8).collect();
            wanted.push(Wanted { waiting: (id, None), stages, fresh: false });
        }
        let queued = live.filter(|task| *task.status() == TaskStatus::Queued);
        wanted.extend(queued.map(|task| Wanted {
            waiting: (id, Some(task.id())),
            stages: vec![task.stage()],
            fresh: task.attempt() == Attempt(0),
        }));
    }
    wanted
}

/// A worker whose memory is known need not hold every network that is trained.
fn could_do(state: &State, wanted: &Wanted, worker: &Worker) -> bool {
    let Some(campaign) = state.campaign(wanted.waiting.0) else { return false };
    wanted.stages.iter().all(|stage| {
        let trains = campaign.spec().stages[usize::from(*stage)].evaluator.as_ref() == "train";
        let fits = !trains || worker.capabilities().memory_bytes == 0;
        fits && campaign.unsuited(worker, *stage).is_none()
    })
}
