//! The whole-state checker: every cross-link and every redundant index, verified.
//!
//! It runs after each step of the simulations and in `cambrian verify`. It recomputes from the primary facts and
//! compares, and must call nothing that changes the state. What it shares with `apply` are small readers: of a
//! worker (`room`, `is_draining`, the search of its kind), of a campaign (`objectives_of`, `unresolved`,
//! `has_promotable`, `is_cohort_complete`) and of what users may spend and have spent.

mod cache;
mod curves;
mod fleet;
mod repeats;
mod rungs;
mod shares;

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::campaign::{Campaign, CampaignStatus};
use super::candidate::CandidateStatus;
use super::queue::Queue;
use super::ready::Ready;
use super::state::State;
use super::task::TaskStatus;
use super::worker::Worker;
use crate::id::{CandidateId, Ordinal, TaskId};
use crate::pareto::dominance::dominates;
use crate::time::{Span, Timestamp};

/// Two parts of the state that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Inconsistency(String);

struct Findings(Vec<Inconsistency>);

impl Findings {
    fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Inconsistency(what()));
        }
    }
}

impl State {
    /// Verifies every cross-link.
    ///
    /// # Errors
    /// All contradictions found.
    pub fn check(&self) -> Result<(), Vec<Inconsistency>> {
        let mut findings = Findings(Vec::new());
        self.check_tasks(&mut findings);
        self.check_workers(&mut findings);
        self.check_shares(&mut findings);
        self.check_fleet(&mut findings);
        self.check_results(&mut findings);
        for campaign in self.campaigns.values() {
            campaign.check(self, &mut findings);
        }
        let active: BTreeSet<_> = self
            .campaigns
            .values()
            .filter(|campaign| !matches!(campaign.status, CampaignStatus::Finished(_)))
            .map(|campaign| campaign.id)
            .collect();
        findings.require(active == self.active, || "the index of active campaigns is wrong".into());
        if findings.0.is_empty() { Ok(()) } else { Err(findings.0) }
    }

    fn check_tasks(&self, findings: &mut Findings) {
        let mut deadlines: BTreeSet<(Timestamp, TaskId)> = BTreeSet::new();
        for (id, task) in &self.tasks {
            findings.require(*id == task.id, || format!("task {id} is filed under another id"));
            findings.require(self.candidate_of_task(*id) == Some(task.candidate), || {
                format!("task {id} is not recorded for candidate {}", task.candidate)
            });
            let candidate = self
                .campaigns
                .get(&task.candidate.campaign)
                .and_then(|campaign| campaign.candidate(task.candidate.ordinal));
            let expected = CandidateStatus::InStage { stage: task.stage, task: *id };
            findings.require(candidate.is_some_and(|found| *found.status() == expected), || {
                format!("candidate {} is not in the stage of its task {id}", task.candidate)
            });
            let left = task.left.is_none_or(|left| (1..=task.attempt.0).contains(&left.attempt.0));
            findings.require(left, || format!("task {id} continues an attempt that never was"));
            findings.require(task.awaited_until.is_none() || task.withdrawn, || {
                format!("task {id} waits for the state of an attempt that may go on")
            });
            let owing = task.owing.iter().all(|(attempt, _)| {
                (1..=task.attempt.0).contains(&attempt.0)
                    && (task.lease().is_none() || *attempt != task.attempt)
            });
            findings.require(owing, || format!("task {id} is owed by attempts that it has not"));
            if let TaskStatus::Leased(lease) = &task.status {
                deadlines.insert((lease.deadline, *id));
                findings
                    .require(task.attempt.0 > 0, || format!("task {id} is leased at attempt 0"));
                findings.require(task.last_worker == Some(lease.worker), || {
                    format!("task {id} is leased to another worker than its last")
                });
                let holder = self.workers.get(&lease.worker);
                findings.require(holder.is_some_and(|found| found.leases.contains(id)), || {
                    format!("task {id} is leased to worker {}, who lacks it", lease.worker)
                });
            }
        }
        findings.require(deadlines == self.deadlines, || "the index of deadlines is wrong".into());
    }

    fn check_workers(&self, findings: &mut Findings) {
        let (mut ready, mut kinds) = (Ready::default(), BTreeMap::<_, u32>::new());
        for (id, worker) in &self.workers {
            let trusted = worker.quarantine.is_none() && !worker.is_draining();
            if worker.connected && worker.room() > 0 && trusted {
                ready.insert(*id, worker.kind);
            }
            let workers = kinds.entry(worker.kind).or_default();
            *workers += 1;
            findings.require(self.worker_names.get(&worker.name) == Some(id), || {
                format!("worker {id} cannot be found by its name {}", worker.name)
            });
            for task in &worker.leases {
                let lease = self.tasks.get(task).and_then(|task| task.lease());
                findings.require(
                    lease.is_some_and(|lease| {
                        lease.worker == *id && lease.session == worker.session
                    }),
                    || format!("worker {id} believes to hold task {task} and does not"),
                );
            }
        }
        findings.require(ready == self.ready, || "the index of ready workers is wrong".into());
        let known = |worker: &Worker| {
            let found = self.kinds.find(&worker.capabilities);
            found.is_some_and(|(kind, workers)| {
                kind == worker.kind && kinds.get(&kind) == Some(&workers)
            })
        };
        findings
            .require(self.workers.values().all(known), || "the kinds of workers are wrong".into());
    }
}

impl Campaign {
    fn check(&self, state: &State, findings: &mut Findings) {
        let id = self.id;
        self.check_counts(findings);
        self.check_tasks(state, findings);
        self.check_front(findings);
        self.check_tallies(state, findings);
        self.check_checkpoints(findings);
        self.check_samples(state, findings);
        self.check_curves(state, findings);
        for (stage, rung) in &self.rungs {
            self.check_rung(*stage, rung, findings);
        }
        let keys: BTreeSet<_> =
            self.candidates.iter().map(|candidate| candidate.proposal().key).collect();
        findings.require(keys.len() == self.candidates.len(), || {
            format!("campaign {id} evaluates a network twice")
        });
        findings.require(
            keys.len() == self.known.0.len() && keys.iter().all(|key| self.known.0.contains(key)),
            || format!("campaign {id}: the index of known networks is wrong"),
        );
        let finished = matches!(self.status, CampaignStatus::Finished(_));
        findings.require(finished == self.finished_at.is_some(), || {
            format!("campaign {id} has a wrong end")
        });
        findings.require(!finished || self.unresolved() == 0, || {
            format!("campaign {id} is finished with candidates in flight")
        });
        for ordinal in self.algorithm.population() {
            let is_known = self.candidate(ordinal).is_some_and(|candidate| {
                let broke_early = matches!(candidate.status(), CandidateStatus::Infeasible(_))
                    && candidate.entered > 0;
                broke_early || matches!(candidate.status(), CandidateStatus::Scored { .. })
            });
            findings.require(is_known, || {
                let candidate = CandidateId::new(id, ordinal);
                format!("candidate {candidate} breeds without a score or a known violation")
            });
        }
    }

    fn check_counts(&self, findings: &mut Findings) {
        let count = |wanted: fn(&CandidateStatus) -> bool| {
            self.candidates.iter().filter(|candidate| wanted(candidate.status())).count() as u32
        };
        let id = self.id;
        let scored = count(|status| matches!(status, CandidateStatus::Scored { .. }));
        let infeasible = count(|status| matches!(status, CandidateStatus::Infeasible(_)));
        let failed = count(|status| matches!(status, CandidateStatus::Failed(_)));
        let proposed = count(|status| matches!(status, CandidateStatus::Proposed));
        let screened = count(|status| matches!(status, CandidateStatus::Screened(_)));
        findings.require(
            (scored, infeasible, failed, screened)
                == (self.scored, self.infeasible, self.failed, self.screened),
            || format!("campaign {id} miscounts its candidates"),
        );
        let slot_time = self.candidates.iter().map(|candidate| candidate.elapsed()).sum::<Span>();
        findings.require(slot_time == self.slot_time, || {
            format!("campaign {id} miscounts its time in slots")
        });
        findings.require(proposed == 0, || format!("campaign {id} has undecided candidates"));
        findings.require(self.started <= self.spec.budget.evaluations, || {
            format!("campaign {id} has overspent its budget")
        });
        for (index, candidate) in self.candidates.iter().enumerate() {
            findings.require(candidate.is_resolved() == candidate.resolved_at().is_some(), || {
                format!("candidate {id}/{} has a wrong end", index + 1)
            });
            let complete = self.objectives_of(candidate).is_some();
            let scored = matches!(candidate.status(), CandidateStatus::Scored { .. });
            findings.require(!scored || complete, || {
                format!("candidate {id}/{} is scored without all objectives", index + 1)
            });
        }
    }

    fn check_tasks(&self, state: &State, findings: &mut Findings) {
        let (mut queued, mut leased) = (Queue::default(), BTreeSet::new());
        for task in state.tasks().filter(|task| task.candidate().campaign == self.id) {
            match task.status() {
                TaskStatus::Queued => queued.insert(task.stage(), task.id()),
                TaskStatus::Leased(_) => drop(leased.insert(task.id())),
            }
        }
        findings.require(queued == self.queue, || {
            format!("campaign {}: the index of queued tasks is wrong", self.id)
        });
        findings.require(leased == self.leased, || {
            format!("campaign {}: the index of leased tasks is wrong", self.id)
        });
        let waiting = self
            .candidates
            .iter()
            .filter(|candidate| matches!(candidate.status(), CandidateStatus::Waiting { .. }));
        let live = queued.len() + leased.len();
        findings.require(live + waiting.count() == self.unresolved(), || {
            format!("campaign {} has candidates in flight without a task", self.id)
        });
    }

    /// Checkpoints belong to candidates that may still need them.
    fn check_checkpoints(&self, findings: &mut Findings) {
        let finished = matches!(self.status, CampaignStatus::Finished(_));
        for (ordinal, stage) in self.checkpoints.keys() {
            let name = self.stages.get(usize::from(*stage)).map(|found| &found.name);
            let later = self.stages.iter().skip(usize::from(*stage) + 1);
            let continued = later.into_iter().any(|found| found.resume.as_ref() == name);
            let needed = self.candidate(*ordinal).is_some_and(|candidate| {
                !candidate.is_resolved() && candidate.stages_entered() > *stage
            });
            findings.require(name.is_some() && continued && needed && !finished, || {
                format!("candidate {}/{ordinal} keeps a checkpoint that nothing needs", self.id)
            });
        }
    }

    fn check_front(&self, findings: &mut Findings) {
        let feasible: Vec<(Ordinal, Vec<f64>)> = self
            .candidates
            .iter()
            .enumerate()
            .filter(|(_, candidate)| {
                matches!(candidate.status(), CandidateStatus::Scored { violation } if *violation == 0.0)
            })
            .filter_map(|(index, candidate)| {
                Some((Ordinal(index as u32 + 1), self.objectives_of(candidate)?))
            })
            .collect();
        let members: BTreeSet<Ordinal> = self.front.ids().iter().copied().collect();
        for (ordinal, point) in &feasible {
            let dominated = self.front.iter().any(|(_, other)| dominates(other, point));
            findings.require(dominated != members.contains(ordinal), || {
                format!("candidate {}/{ordinal} is wrongly on or off the front", self.id)
            });
        }
        findings.require(members.iter().all(|id| feasible.iter().any(|(o, _)| o == id)), || {
            format!("campaign {}: its front holds strangers", self.id)
        });
    }
}
