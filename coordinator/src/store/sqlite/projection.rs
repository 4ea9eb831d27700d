//! What each event means for the tables that people query with SQL.
//!
//! Written in the transaction of the journal, so a table never shows what the journal does not
//! hold. Rows that come to be and change in the same append are written once, at its end. It works
//! from events alone, shares no code with the engine, and `verify` compares both.
//!
//! Must not know connections, nor when a transaction ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cambrian_core::algorithm::Proposal;
use cambrian_core::engine::{Capabilities, Event, FinishReason, InfeasibleReason, ResultKey};
use cambrian_core::id::{Attempt, CampaignId, CandidateId, Ordinal, TaskId, WorkerId};
use cambrian_core::objective::Measurement;
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};
use rusqlite::params;

use super::tables::OpenTables;
use crate::store::StoreError;
use crate::store::specs::Specs;

/// Writes the projections.
#[derive(Debug, Default)]
pub(super) struct Projector {
    /// The campaigns it knows, which the notation of genotypes and the names of stages depend on.
    specs: Specs,
    /// The candidates of live tasks, as far as it has seen them queued.
    live: HashMap<TaskId, CandidateId>,
    new_tasks: BTreeMap<TaskId, NewTask>,
    new_candidates: BTreeMap<CandidateId, NewCandidate>,
    /// Attempts that delivered and that failed, not yet added.
    counts: BTreeMap<WorkerId, (u64, u64)>,
}

/// A row of `tasks` that is not written yet.
#[derive(Debug)]
struct NewTask {
    candidate: CandidateId,
    stage: u8,
    status: &'static str,
    attempts: Attempt,
    worker: Option<WorkerId>,
    elapsed: Span,
    key: Option<ResultKey>,
    taken_from: Option<CandidateId>,
}

impl NewTask {
    fn queued(candidate: CandidateId, stage: u8) -> Self {
        Self {
            candidate,
            stage,
            status: "queued",
            attempts: Attempt(0),
            worker: None,
            elapsed: Span(0),
            key: None,
            taken_from: None,
        }
    }
}

/// A row of `candidates` that is not written yet.
#[derive(Debug)]
struct NewCandidate {
    genotype: String,
    proposal: Arc<Proposal>,
    proposed_at: Timestamp,
    end: End,
}

/// How a candidate has ended; it is pending before.
#[derive(Debug)]
struct End {
    status: &'static str,
    violation: Option<f64>,
    reason: Box<str>,
    at: Option<Timestamp>,
}

impl Projector {
    /// Adds the event's meaning; rows may be held back until [`Self::flush`].
    pub(super) fn project(
        &mut self,
        tables: &mut OpenTables<'_>,
        at: Timestamp,
        event: &Event,
    ) -> Result<(), StoreError> {
        match event {
            Event::Started { .. } => tables.execute("UPDATE workers SET connected = 0", []),
            Event::CampaignSubmitted { campaign, spec, source, owner, submission: _ } => {
                self.specs.submit(*campaign, spec);
                submit(tables, *campaign, spec, (source, owner.as_deref().unwrap_or("")), at)
            }
            Event::CampaignPaused(id) => set_campaign(tables, *id, "paused", None, None),
            Event::CampaignResumed(id) => set_campaign(tables, *id, "running", None, None),
            Event::CampaignDraining { campaign, reason } => {
                set_campaign(tables, *campaign, "draining", Some(*reason), None)
            }
            Event::CampaignFinished { campaign, reason } => {
                set_campaign(tables, *campaign, "finished", Some(*reason), Some(at))
            }
            Event::CandidateProposed { candidate, proposal, analytic } => {
                let spec = self.spec(tables, candidate.campaign)?;
                let genotype = spec.space.format(&proposal.genotype);
                let end = End { status: "pending", violation: None, reason: "".into(), at: None };
                let (proposal, proposed_at) = (proposal.clone(), at);
                let new = NewCandidate { genotype, proposal, proposed_at, end };
                self.new_candidates.insert(*candidate, new);
                measure_all(tables, *candidate, analytic)
            }
            Event::CandidateInfeasible { candidate, reason } => {
                let (InfeasibleReason::Constraints(text)
                | InfeasibleReason::NoNetwork(text)
                | InfeasibleReason::Evaluation(text)) = reason;
                self.resolve(tables, *candidate, "infeasible", None, text, at)
            }
            Event::CandidateScored { candidate, violation } => {
                self.resolve(tables, *candidate, "scored", Some(*violation), "", at)
            }
            Event::CandidateScreened { candidate, screening } => {
                let spec = self.spec(tables, candidate.campaign)?;
                let stage = spec.stages.get(usize::from(screening.stage));
                let reason = screening.after(stage.map_or("", |stage| &stage.name));
                self.resolve(tables, *candidate, "screened", None, &reason, at)
            }
            Event::CandidateFailed { candidate, failure } => {
                self.resolve(tables, *candidate, "failed", None, &failure.to_string(), at)
            }
            Event::WorkerRegistered { worker, name, capabilities, .. } => {
                register(tables, *worker, name, capabilities, at)
            }
            Event::WorkerLeft { worker, .. } => {
                tables.execute("UPDATE workers SET connected = 0 WHERE id = ?1", [worker.0])
            }
            task => self.project_task(tables, task),
        }
    }

    fn project_task(
        &mut self,
        tables: &mut OpenTables<'_>,
        event: &Event,
    ) -> Result<(), StoreError> {
        match event {
            Event::TaskQueued { task, candidate, stage, .. } => {
                self.live.insert(*task, *candidate);
                self.new_tasks.insert(*task, NewTask::queued(*candidate, *stage));
                Ok(())
            }
            Event::TaskLeased { task, attempt, worker, .. } => {
                self.lease(tables, *task, *attempt, *worker)
            }
            Event::LeaseEnded { task, .. } | Event::TaskRequeued(task) => {
                self.set_task(tables, *task, "queued", Span(0))
            }
            Event::TaskFailed { task, .. } => {
                self.live.remove(task);
                self.set_task(tables, *task, "failed", Span(0))
            }
            Event::AttemptFailed { task, worker, elapsed, .. } => {
                self.counts.entry(*worker).or_default().1 += 1;
                self.set_task(tables, *task, "queued", *elapsed)
            }
            Event::AttemptYielded { task, elapsed, .. } => self.add_time(tables, *task, *elapsed),
            Event::TaskCompleted { task, worker, measurements, elapsed, key, repeated, .. } => {
                self.counts.entry(*worker).or_default().0 += 1;
                // One repeat of several is no value of the candidate's yet.
                let values: &[Measurement] = if *repeated { &[] } else { measurements };
                self.complete(tables, *task, values, *elapsed)?;
                key.map_or(Ok(()), |key| self.set_key(tables, *task, key))
            }
            Event::ResultTaken { task, origin, measurements } => {
                self.complete(tables, *task, measurements, Span(0))?;
                self.set_origin(tables, *task, origin.candidate)
            }
            Event::RepeatsAveraged { candidate, measurements, .. } => {
                measure_all(tables, *candidate, measurements)
            }
            _ => Ok(()),
        }
    }

    fn lease(
        &mut self,
        tables: &mut OpenTables<'_>,
        task: TaskId,
        attempt: Attempt,
        worker: WorkerId,
    ) -> Result<(), StoreError> {
        if let Some(new) = self.new_tasks.get_mut(&task) {
            (new.status, new.attempts, new.worker) = ("leased", attempt, Some(worker));
            return Ok(());
        }
        tables.execute(
            "UPDATE tasks SET status = 'leased', attempts = ?2, worker = ?3 WHERE id = ?1",
            params![task.0, attempt.0, worker.0],
        )
    }

    /// A task is over, and these are values of its candidate.
    fn complete(
        &mut self,
        tables: &mut OpenTables<'_>,
        task: TaskId,
        values: &[Measurement],
        elapsed: Span,
    ) -> Result<(), StoreError> {
        let candidate = self.end(tables, task)?;
        self.set_task(tables, task, "done", elapsed)?;
        measure_all(tables, candidate, values)
    }

    /// The candidate of a task that is over.
    fn end(
        &mut self,
        tables: &mut OpenTables<'_>,
        task: TaskId,
    ) -> Result<CandidateId, StoreError> {
        self.live.remove(&task).map_or_else(|| candidate_of(tables, task), Ok)
    }

    fn set_key(
        &mut self,
        tables: &mut OpenTables<'_>,
        task: TaskId,
        key: ResultKey,
    ) -> Result<(), StoreError> {
        if let Some(new) = self.new_tasks.get_mut(&task) {
            new.key = Some(key);
            return Ok(());
        }
        let update = "UPDATE tasks SET result_key = ?2 WHERE id = ?1";
        tables.execute(update, params![task.0, key.to_string()])
    }

    fn set_origin(
        &mut self,
        tables: &mut OpenTables<'_>,
        task: TaskId,
        origin: CandidateId,
    ) -> Result<(), StoreError> {
        if let Some(new) = self.new_tasks.get_mut(&task) {
            new.taken_from = Some(origin);
            return Ok(());
        }
        tables.execute(
            "UPDATE tasks SET cached_campaign = ?2, cached_ordinal = ?3 WHERE id = ?1",
            params![task.0, origin.campaign.0, origin.ordinal.0],
        )
    }

    fn set_task(
        &mut self,
        tables: &mut OpenTables<'_>,
        task: TaskId,
        status: &'static str,
        elapsed: Span,
    ) -> Result<(), StoreError> {
        if let Some(new) = self.new_tasks.get_mut(&task) {
            (new.status, new.elapsed) = (status, new.elapsed + elapsed);
            return Ok(());
        }
        tables.execute(
            "UPDATE tasks SET status = ?2, \
             elapsed_micros = min(elapsed_micros, 9223372036854775807 - ?3) + ?3 WHERE id = ?1",
            params![task.0, status, integer(elapsed)],
        )
    }

    /// Time in slots of an attempt that is not the task's end, nor the end of its lease.
    fn add_time(
        &mut self,
        tables: &mut OpenTables<'_>,
        task: TaskId,
        elapsed: Span,
    ) -> Result<(), StoreError> {
        if let Some(new) = self.new_tasks.get_mut(&task) {
            new.elapsed = new.elapsed + elapsed;
            return Ok(());
        }
        let update = "UPDATE tasks SET \
             elapsed_micros = min(elapsed_micros, 9223372036854775807 - ?2) + ?2 WHERE id = ?1";
        tables.execute(update, params![task.0, integer(elapsed)])
    }

    fn resolve(
        &mut self,
        tables: &mut OpenTables<'_>,
        id: CandidateId,
        status: &'static str,
        violation: Option<f64>,
        reason: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(new) = self.new_candidates.get_mut(&id) {
            new.end = End { status, violation, reason: reason.into(), at: Some(at) };
            return Ok(());
        }
        tables.execute(
            "UPDATE candidates SET status = ?3, violation = ?4, reason = ?5, resolved_at = ?6 \
             WHERE campaign = ?1 AND ordinal = ?2",
            params![id.campaign.0, id.ordinal.0, status, violation, reason, at.0],
        )
    }

    /// Writes what was held back.
    pub(super) fn flush(&mut self, tables: &mut OpenTables<'_>) -> Result<(), StoreError> {
        while let Some((id, new)) = self.new_candidates.pop_first() {
            propose(tables, id, &new)?;
        }
        while let Some((id, new)) = self.new_tasks.pop_first() {
            tables.execute(
                "INSERT INTO tasks (id, campaign, ordinal, stage, status, attempts, worker, \
                 elapsed_micros, result_key, cached_campaign, cached_ordinal) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    id.0,
                    new.candidate.campaign.0,
                    new.candidate.ordinal.0,
                    new.stage,
                    new.status,
                    new.attempts.0,
                    new.worker.map(|worker| worker.0),
                    integer(new.elapsed),
                    new.key.map(|key| key.to_string()),
                    new.taken_from.map(|origin| origin.campaign.0),
                    new.taken_from.map(|origin| origin.ordinal.0)
                ],
            )?;
        }
        while let Some((worker, (completed, failed))) = self.counts.pop_first() {
            tables.execute(
                "UPDATE workers SET completed = completed + ?2, failed = failed + ?3 WHERE id = ?1",
                params![worker.0, completed, failed],
            )?;
        }
        Ok(())
    }

    /// Knows a campaign of the journal.
    pub(super) fn know(&mut self, campaign: CampaignId, spec: &Arc<CampaignSpec>) {
        self.specs.know(campaign, spec);
    }

    /// The append is stored.
    pub(super) fn keep(&mut self) {
        self.specs.keep();
    }

    /// Forgets what it knows of an append that came to nothing.
    pub(super) fn undo(&mut self) {
        let mut specs = std::mem::take(&mut self.specs);
        specs.undo();
        *self = Self { specs, ..Self::default() };
    }

    /// The campaign's specification.
    fn spec(
        &mut self,
        tables: &mut OpenTables<'_>,
        campaign: CampaignId,
    ) -> Result<Arc<CampaignSpec>, StoreError> {
        if let Some(spec) = self.specs.get(campaign) {
            return Ok(spec.clone());
        }
        let select = "SELECT resolved_yaml FROM campaigns WHERE id = ?1";
        let yaml: String = tables.statement(select)?.query_row([campaign.0], |row| row.get(0))?;
        self.specs.read(campaign, &yaml).cloned()
    }
}

/// The largest integer of a column stands for every longer span: a sum of spans may be.
fn integer(span: Span) -> i64 {
    i64::try_from(span.0).unwrap_or(i64::MAX)
}

fn submit(
    tables: &mut OpenTables<'_>,
    campaign: CampaignId,
    spec: &CampaignSpec,
    (source, owner): (&str, &str),
    at: Timestamp,
) -> Result<(), StoreError> {
    tables.execute(
        "INSERT INTO campaigns (id, name, status, space, algorithm, evaluations_budget, \
         submitted_at, resolved_yaml, source_yaml, owner) \
         VALUES (?1, ?2, 'running', ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            campaign.0,
            &*spec.name,
            spec.space.name(),
            spec.algorithm.name(),
            spec.budget.evaluations,
            at.0,
            spec.to_yaml(),
            source,
            owner
        ],
    )
}

fn set_campaign(
    tables: &mut OpenTables<'_>,
    id: CampaignId,
    status: &str,
    reason: Option<FinishReason>,
    finished: Option<Timestamp>,
) -> Result<(), StoreError> {
    let reason = reason.map(|reason| reason.to_string()).unwrap_or_default();
    tables.execute(
        "UPDATE campaigns SET status = ?2, reason = ?3, finished_at = ?4 WHERE id = ?1",
        params![id.0, status, reason, finished.map(|at| at.0)],
    )
}

fn propose(
    tables: &mut OpenTables<'_>,
    id: CandidateId,
    new: &NewCandidate,
) -> Result<(), StoreError> {
    let NewCandidate { genotype, proposal, proposed_at, end } = new;
    tables.execute(
        "INSERT INTO candidates (campaign, ordinal, status, genotype, canonical_hash, origin, \
         violation, reason, proposed_at, resolved_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            id.campaign.0,
            id.ordinal.0,
            end.status,
            genotype,
            proposal.key.to_string(),
            proposal.origin.to_string(),
            end.violation,
            end.reason,
            proposed_at.0,
            end.at.map(|at| at.0)
        ],
    )
}

fn measure_all(
    tables: &mut OpenTables<'_>,
    id: CandidateId,
    values: &[Measurement],
) -> Result<(), StoreError> {
    values.iter().try_for_each(|found| measure(tables, id, found))
}

/// The first value of a metric stands, as in the engine.
fn measure(
    tables: &mut OpenTables<'_>,
    id: CandidateId,
    found: &Measurement,
) -> Result<(), StoreError> {
    let Measurement { metric, provenance, .. } = found;
    tables.execute(
        "INSERT OR IGNORE INTO measurements VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            id.campaign.0,
            id.ordinal.0,
            metric.as_str(),
            found.value(),
            found.spread(),
            &*provenance.source,
            &*provenance.device_class
        ],
    )
}

fn register(
    tables: &mut OpenTables<'_>,
    worker: WorkerId,
    name: &str,
    capabilities: &Capabilities,
    at: Timestamp,
) -> Result<(), StoreError> {
    tables.execute(
        "INSERT INTO workers (id, name, connected, device_class, slots, registered_at) \
         VALUES (?1, ?2, 1, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET connected = 1, \
         device_class = excluded.device_class, slots = excluded.slots, \
         registered_at = excluded.registered_at",
        params![worker.0, name, &*capabilities.device_class, capabilities.slots, at.0],
    )
}

/// The candidate of a task that was queued before this process began.
fn candidate_of(tables: &mut OpenTables<'_>, task: TaskId) -> Result<CandidateId, StoreError> {
    let select = "SELECT campaign, ordinal FROM tasks WHERE id = ?1";
    Ok(tables.statement(select)?.query_row([task.0], |row| {
        Ok(CandidateId::new(CampaignId(row.get(0)?), Ordinal(row.get(1)?)))
    })?)
}
