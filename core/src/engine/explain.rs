//! Why something is, or is not, running: the state put into sentences.
//!
//! Reads the state and never changes it. Must not know who asks, nor where the sentences are shown.

mod campaign;
mod fleet;

use std::sync::Arc;

use super::bound::figure;
use super::cache::ResultOrigin;
use super::campaign::{Campaign, CampaignStatus};
use super::candidate::{Candidate, CandidateStatus};
use super::state::State;
use super::task::{Task, TaskStatus};
use super::view::Explanation;
use super::worker::Worker;
use crate::confidence::interval_95;
use crate::id::{CampaignId, CandidateId, TaskId, WorkerId};
use crate::objective::Measurement;
use crate::spec::Stage;

/// What can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A candidate.
    Candidate(CandidateId),
    /// A task.
    Task(TaskId),
    /// A campaign.
    Campaign(CampaignId),
    /// A worker.
    Worker(WorkerId),
}

impl State {
    /// Why `subject` is, or is not, running; `None` if it does not exist.
    #[must_use]
    pub fn explain(&self, subject: &Subject) -> Option<Explanation> {
        match subject {
            Subject::Candidate(id) => self.explain_candidate(*id),
            Subject::Task(id) => self.explain_task(*id),
            Subject::Campaign(id) => Some(self.explain_campaign(self.campaigns.get(id)?)),
            Subject::Worker(id) => Some(self.explain_worker(self.workers.get(id)?)),
        }
    }

    fn explain_candidate(&self, id: CandidateId) -> Option<Explanation> {
        let campaign = self.campaigns.get(&id.campaign)?;
        let candidate = campaign.candidate(id.ordinal)?;
        let mut details = self.history_of(campaign, candidate, id);
        let headline = match candidate.status() {
            CandidateStatus::Proposed => format!("candidate {id} was just proposed"),
            CandidateStatus::InStage { task, .. } => {
                let task = self.tasks.get(task)?;
                details.extend(self.task_details(task));
                format!("candidate {id} {}", self.task_state(campaign, task))
            }
            CandidateStatus::Waiting { stage } => {
                let standstill = self.standstill(campaign);
                let (headline, more) = campaign.explain_waiting(id, *stage, standstill);
                details.extend(more);
                headline
            }
            CandidateStatus::Screened(_) => {
                details.push(campaign.candidate_view(id.ordinal)?.reason());
                format!("candidate {id} was screened: it is not worth its later stages")
            }
            CandidateStatus::Scored { violation } => {
                let (headline, more) = campaign.explain_score(candidate, id, *violation);
                details.extend(more);
                headline
            }
            CandidateStatus::Infeasible(_) => {
                details.push(campaign.candidate_view(id.ordinal)?.reason());
                format!("candidate {id} was rejected as infeasible")
            }
            CandidateStatus::Failed(failure) => {
                details.push(failure.message.to_string());
                format!("candidate {id} failed: {}", failure.kind)
            }
        };
        Some(Explanation { headline, details })
    }

    /// What a candidate is, what it took, and what its stages have brought so far.
    fn history_of(
        &self,
        campaign: &Campaign,
        candidate: &Candidate,
        id: CandidateId,
    ) -> Vec<String> {
        let (space, proposal) = (&campaign.spec.space, candidate.proposal());
        let mut details = vec![format!("network: {}", space.format(&proposal.genotype))];
        let derived = space.schema().derived_values(&proposal.genotype);
        details.extend(derived.into_iter().map(|(name, value)| format!("{name}: {value}")));
        details.push(format!("origin: {}", proposal.origin));
        let (attempts, elapsed) = (candidate.attempts(), candidate.elapsed());
        details.push(format!("leased {attempts} times, {elapsed} in slots"));
        details.extend(campaign.interval_of(candidate));
        details.extend(campaign.means_of(candidate));
        details.extend(campaign.notes_about(id.ordinal));
        details.extend(campaign.taken_by(id.ordinal).map(|(stage, origin)| {
            let name = campaign.stages.get(usize::from(stage)).map_or("?", |stage| &stage.name);
            format!("stage {name}: {}", self.origin_of_result(&campaign.stages, stage, origin))
        }));
        details
    }

    /// Where a result that was taken comes from, in words.
    fn origin_of_result(&self, stages: &[Arc<Stage>], stage: u8, origin: &ResultOrigin) -> String {
        let ResultOrigin { candidate: CandidateId { campaign, ordinal }, attempt, .. } = origin;
        let evaluator = stages.get(usize::from(stage)).map_or("?", |stage| &stage.evaluator);
        let worker =
            self.workers.get(&origin.worker).map_or("an unknown worker", |found| &found.name);
        let version = &origin.version;
        format!(
            "from the cache: campaign {campaign}, candidate {ordinal} (attempt {attempt} on {worker}, \
             {evaluator} {version})"
        )
    }

    fn explain_task(&self, id: TaskId) -> Option<Explanation> {
        let candidate = self.candidate_of_task(id)?;
        let Some(task) = self.tasks.get(&id) else {
            let mut explanation = self.explain_candidate(candidate)?;
            explanation.headline = format!("task {id} is over; {}", explanation.headline);
            return Some(explanation);
        };
        let campaign = self.campaigns.get(&candidate.campaign)?;
        Some(Explanation {
            headline: format!(
                "task {id} of candidate {candidate} {}",
                self.task_state(campaign, task)
            ),
            details: self.task_details(task),
        })
    }

    fn task_state(&self, campaign: &Campaign, task: &Task) -> String {
        let stage = &campaign.stages[usize::from(task.stage)].name;
        match &task.status {
            TaskStatus::Leased(lease) => {
                let since = self.now.since(lease.since);
                let worker = self
                    .workers
                    .get(&lease.worker)
                    .map_or("an unknown worker", |found| &found.name);
                format!("is at stage {stage} on {worker} since {since}")
            }
            TaskStatus::Queued => match self.standstill(campaign) {
                Some(reason) => format!("waits for stage {stage}: {reason}"),
                None => format!("waits for a worker for stage {stage}"),
            },
        }
    }

    /// Why a campaign gives nothing out, whatever worker has room.
    fn standstill(&self, campaign: &Campaign) -> Option<String> {
        let id = campaign.id;
        match campaign.status {
            CampaignStatus::Paused => {
                Some(format!("its campaign is paused; `cambrian resume {id}` lets it go on"))
            }
            _ => {
                let held = self.held_back(campaign)?;
                Some(format!("its campaign gets no more work: {held}"))
            }
        }
    }

    fn task_details(&self, task: &Task) -> Vec<String> {
        let Some(campaign) = self.campaigns.get(&task.candidate.campaign) else {
            return Vec::new();
        };
        let mut details = vec![format!(
            "attempt {}, {} of {} counted",
            task.attempt, task.counted, campaign.spec.failures.attempts
        )];
        let repeats = campaign.repeats_of(task.stage);
        if repeats > 1 {
            details.push(format!("repeat {} of {repeats}", task.repeat + 1));
        }
        if let Some(standing) = task.hopeless {
            details.push(campaign.words_of(task.stage, standing));
        }
        details.extend(task.left.map(|left| match task.lease() {
            Some(_) if left.attempt == task.attempt => {
                format!("its state after step {} is stored", left.step)
            }
            _ => left.to_string(),
        }));
        match task.lease() {
            Some(lease) => {
                details.push(match &lease.progress {
                    Some(progress) => format!("step {} of {}", progress.step, progress.steps),
                    None if lease.confirmed => "the worker has it and has not begun".into(),
                    None => "the worker has not confirmed it yet".into(),
                });
                details.push(if lease.deadline > self.now {
                    format!("lease runs out in {} unless renewed", lease.deadline.since(self.now))
                } else {
                    let silent = self.now.since(lease.deadline);
                    format!(
                        "lease ran out {silent} ago; its holder is waited for, since nobody else would begin"
                    )
                });
            }
            None if self.standstill(campaign).is_some() => {}
            None => details.extend(self.worker_lines(|worker| self.kept_from(task, worker))),
        }
        details
    }

    fn explain_worker(&self, worker: &Worker) -> Explanation {
        let capabilities = &worker.capabilities;
        let mut details = vec![
            format!("device class: {}", capabilities.device_class),
            format!("slots: {}, room for more tasks: {}", capabilities.slots, worker.room()),
            format!("{} attempts completed, {} failed", worker.completed, worker.failed),
        ];
        for offer in &capabilities.evaluators {
            details.push(format!("offers {}, version {}", offer.name, offer.version));
        }
        for (name, reason) in &capabilities.unavailable {
            details.push(format!("lacks {name}: {reason}"));
        }
        for task in &worker.leases {
            details.push(format!("holds task {task}"));
        }
        for unsuited in self.worker_view(worker).unsuited {
            let (campaign, stage) = (unsuited.campaign, unsuited.stage);
            let reason = unsuited.reason;
            details.push(format!("cannot serve stage {stage} of campaign {campaign}: {reason}"));
        }
        if worker.is_draining() {
            details.push(if worker.connected {
                "it drains: it finishes its tasks and leaves; started again, it works".to_owned()
            } else if worker.draining {
                let name = &worker.name;
                format!(
                    "it is to drain when it is back; `cambrian worker release {name}` undoes it"
                )
            } else {
                "it was about to leave when it was last heard of; started again, it works"
                    .to_owned()
            });
        }
        let headline = if let Some(quarantine) = &worker.quarantine {
            let since = self.now.since(quarantine.since);
            details.push(match quarantine.until {
                Some(until) => format!("released in {}", until.since(self.now)),
                None => "it gets no work until it is released".into(),
            });
            details.push(format!("`cambrian worker release {}` releases it at once", worker.name));
            let (name, reason) = (&worker.name, &quarantine.reason);
            format!("worker {name} is in quarantine since {since}: {reason}")
        } else if worker.is_draining() && worker.connected {
            format!("worker {} drains: {} tasks are left", worker.name, worker.leases.len())
        } else if !worker.connected {
            let ago = self.now.since(worker.last_seen);
            format!("worker {} is away, last seen {ago} ago", worker.name)
        } else if worker.leases.is_empty() {
            format!("worker {} is connected and idle", worker.name)
        } else {
            format!("worker {} is at work on {} tasks", worker.name, worker.leases.len())
        };
        Explanation { headline, details }
    }
}

impl Campaign {
    /// The means of a candidate's repeated measurements, in a line each.
    fn means_of(&self, candidate: &Candidate) -> impl Iterator<Item = String> {
        let line = |found: Measurement| {
            let repeats = self.repeats_of_metric(&found.metric);
            let error = found.spread().filter(|_| repeats > 1)?;
            let unit = self.spec.metrics.find(found.metric.as_str()).map_or("", |found| found.unit);
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            Some(format!(
                "{}: {}{unit}, mean of {repeats} repeats with standard deviation {}{unit}, standard \
                 error of the mean {error}{unit}",
                found.metric,
                found.value(),
                error * f64::from(repeats).sqrt(),
            ))
        };
        self.measurements_of(candidate).into_iter().filter_map(line)
    }

    /// How far the candidate's accuracy can be trusted, where its spread is the standard error over the
    /// validation images: where it was measured once.
    fn interval_of(&self, candidate: &Candidate) -> Option<String> {
        let measurements = self.measurements_of(candidate);
        let found = measurements.iter().find(|found| found.metric.as_str() == "accuracy")?;
        let unit = self.spec.metrics.find("accuracy").map_or("", |found| found.unit);
        if self.repeats_of_metric(&found.metric) > 1 || unit != "%" {
            return None;
        }
        interval_by_images(found)
    }

    /// Why a candidate waits after a stage: a sentence, and what it rests on; `standstill` is why its campaign
    /// gives nothing out, if so.
    fn explain_waiting(
        &self,
        id: CandidateId,
        stage: u8,
        standstill: Option<String>,
    ) -> (String, Vec<String>) {
        let name = self.stages.get(usize::from(stage)).map_or("?", |stage| &*stage.name);
        let ranking = self.ranking(stage);
        let place = ranking.iter().position(|other| *other == id.ordinal);
        let rank = place.map_or_else(String::new, |place| {
            format!(", rank {} of {} there", place + 1, ranking.len())
        });
        let because = standstill.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let headline = format!("candidate {id} waits after stage {name}{rank}{because}");
        let pass = self.spec.passes.get(usize::from(stage));
        let Some(top) = pass.and_then(|pass| pass.top.as_ref()) else {
            return (headline, Vec::new());
        };
        let by: Vec<&str> = top.by.iter().map(|criterion| criterion.metric.as_str()).collect();
        let rung = self.rungs.get(&stage);
        let next = rung.is_some_and(|rung| rung.places.contains_key(&id.ordinal));
        let whom = match top.of_first {
            Some(first) => format!("of the first {first} candidates"),
            None => "of all that finish the stage".to_owned(),
        };
        let rule = format!(
            "the best {} {whom} go on, by {}; at present {} of {}",
            top.share,
            by.join(", "),
            top.of(ranking.len()),
            ranking.len()
        );
        let outlook = match next {
            true if standstill.is_some() => "it goes on once its campaign does",
            true => "it goes on as soon as a worker for the next stage has room",
            false if rung.is_some_and(|rung| rung.closed) => {
                "nobody else comes, so it stays behind"
            }
            false => "it goes on once enough others rank behind it",
        };
        (headline, vec![rule, outlook.to_owned()])
    }

    /// Where a candidate stands by its score: a sentence, and what it rests on.
    fn explain_score(
        &self,
        candidate: &Candidate,
        id: CandidateId,
        violation: f64,
    ) -> (String, Option<String>) {
        if violation > 0.0 {
            let broken = self.violation_of(candidate).1.join("; ");
            let beyond = figure(violation, |shown| shown > 0.0);
            let detail =
                format!("beyond its bounds by {beyond} in all, each relative to the bound");
            return (format!("candidate {id} is scored but not feasible: {broken}"), Some(detail));
        }
        if self.front.contains(id.ordinal) {
            return (format!("candidate {id} is scored and on the front"), None);
        }
        let by = self.dominator_of(candidate).map(|by| format!("dominated by {by}"));
        (format!("candidate {id} is scored and dominated"), by)
    }

    fn dominator_of(&self, candidate: &Candidate) -> Option<CandidateId> {
        let point = self.objectives_of(candidate)?;
        let mut front = self.front.iter();
        let by = front.find(|(_, other)| crate::pareto::dominance::dominates(other, &point))?;
        Some(CandidateId::new(self.id, by.0))
    }
}

/// The interval of an accuracy in percent, in words. What the spread of another evaluator's accuracy means is its own
/// affair; only a training says how many images it looked at.
fn interval_by_images(accuracy: &Measurement) -> Option<String> {
    let trained = &*accuracy.provenance.source == "trained";
    let error = accuracy.spread().filter(|spread| trained && *spread > 0.0)?;
    let value = accuracy.value();
    let [low, high] = interval_95(value, error, 0.0, 100.0);
    Some(format!(
        "accuracy: {value:.2} %, 95 % interval {low:.2} to {high:.2} % by its validation images"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Provenance;

    #[test]
    fn only_a_trained_accuracy_has_an_interval_by_its_images() {
        let line = |source: &str, spread| {
            let provenance = Provenance { source: source.into(), device_class: "".into() };
            let accuracy = Measurement::new("accuracy".into(), 90.0, Some(spread), provenance);
            interval_by_images(&accuracy.unwrap())
        };
        let expected = "accuracy: 90.00 %, 95 % interval 88.04 to 91.96 % by its validation images";
        assert_eq!(line("trained", 1.0).as_deref(), Some(expected));
        assert_eq!(line("custom", 1.0), None);
        assert_eq!(line("trained", -1.0), None);
    }
}
