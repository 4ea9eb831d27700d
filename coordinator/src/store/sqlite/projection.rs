//! What each event means for the tables that people query with SQL.
//!
//! Written in the transaction of the journal, so a table never shows what the journal does not
//! hold. It works from events alone, shares no code with the engine, and `verify` compares both.

use std::collections::BTreeMap;
use std::sync::Arc;

use cambrian_core::algorithm::Proposal;
use cambrian_core::engine::{Capabilities, Event, FinishReason, InfeasibleReason};
use cambrian_core::id::{CampaignId, CandidateId, Ordinal, TaskId, WorkerId};
use cambrian_core::objective::Measurement;
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};
use rusqlite::{Connection, Params, params};

use crate::store::StoreError;

/// Writes the projections. It remembers the campaigns it has seen, which the notation of genotypes
/// and the names of stages depend on.
#[derive(Debug, Default)]
pub(super) struct Projector {
    campaigns: BTreeMap<CampaignId, Arc<CampaignSpec>>,
}

impl Projector {
    /// Adds the event's meaning to the tables.
    pub(super) fn project(
        &mut self,
        tables: &Connection,
        at: Timestamp,
        event: &Event,
    ) -> Result<(), StoreError> {
        match event {
            Event::Started { .. } => execute(tables, "UPDATE workers SET connected = 0", []),
            Event::CampaignSubmitted { campaign, spec, source, owner, submission: _ } => {
                self.campaigns.insert(*campaign, spec.clone());
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
                propose(tables, *candidate, proposal, &genotype, at)?;
                analytic.iter().try_for_each(|found| measure(tables, *candidate, found))
            }
            Event::CandidateInfeasible { candidate, reason } => {
                let (InfeasibleReason::Constraints(text)
                | InfeasibleReason::NoNetwork(text)
                | InfeasibleReason::Evaluation(text)) = reason;
                resolve(tables, *candidate, "infeasible", None, text, at)
            }
            Event::CandidateScored { candidate, violation } => {
                resolve(tables, *candidate, "scored", Some(*violation), "", at)
            }
            Event::CandidateScreened { candidate, screening } => {
                let spec = self.spec(tables, candidate.campaign)?;
                let stage = spec.stages.get(usize::from(screening.stage));
                let reason = screening.after(stage.map_or("", |stage| &stage.name));
                resolve(tables, *candidate, "screened", None, &reason, at)
            }
            Event::CandidateFailed { candidate, failure } => {
                resolve(tables, *candidate, "failed", None, &failure.to_string(), at)
            }
            Event::WorkerRegistered { worker, name, capabilities, .. } => {
                register(tables, *worker, name, capabilities, at)
            }
            Event::WorkerLeft { worker, .. } => {
                execute(tables, "UPDATE workers SET connected = 0 WHERE id = ?1", [worker.0])
            }
            task => project_task(tables, task),
        }
    }

    /// The campaign's specification.
    fn spec(
        &mut self,
        tables: &Connection,
        campaign: CampaignId,
    ) -> Result<Arc<CampaignSpec>, StoreError> {
        if let Some(spec) = self.campaigns.get(&campaign) {
            return Ok(spec.clone());
        }
        let select = "SELECT resolved_yaml FROM campaigns WHERE id = ?1";
        let yaml: String =
            tables.prepare_cached(select)?.query_row([campaign.0], |row| row.get(0))?;
        let spec = CampaignSpec::parse(&yaml).map_err(|faults| {
            StoreError::Failed(format!("the stored campaign {campaign} is not valid: {faults}"))
        })?;
        let spec = Arc::new(spec);
        self.campaigns.insert(campaign, spec.clone());
        Ok(spec)
    }
}

fn execute(tables: &Connection, sql: &str, values: impl Params) -> Result<(), StoreError> {
    tables.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn submit(
    tables: &Connection,
    campaign: CampaignId,
    spec: &CampaignSpec,
    (source, owner): (&str, &str),
    at: Timestamp,
) -> Result<(), StoreError> {
    execute(
        tables,
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
    tables: &Connection,
    id: CampaignId,
    status: &str,
    reason: Option<FinishReason>,
    finished: Option<Timestamp>,
) -> Result<(), StoreError> {
    let reason = reason.map(|reason| reason.to_string()).unwrap_or_default();
    execute(
        tables,
        "UPDATE campaigns SET status = ?2, reason = ?3, finished_at = ?4 WHERE id = ?1",
        params![id.0, status, reason, finished.map(|at| at.0)],
    )
}

fn propose(
    tables: &Connection,
    id: CandidateId,
    proposal: &Proposal,
    genotype: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    execute(
        tables,
        "INSERT INTO candidates (campaign, ordinal, status, genotype, canonical_hash, origin, \
         proposed_at) VALUES (?1, ?2, 'pending', ?3, ?4, ?5, ?6)",
        params![
            id.campaign.0,
            id.ordinal.0,
            genotype,
            proposal.key.to_string(),
            proposal.origin.to_string(),
            at.0
        ],
    )
}

/// The first value of a metric stands, as in the engine.
fn measure(tables: &Connection, id: CandidateId, found: &Measurement) -> Result<(), StoreError> {
    let Measurement { metric, provenance, .. } = found;
    execute(
        tables,
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

fn resolve(
    tables: &Connection,
    id: CandidateId,
    status: &str,
    violation: Option<f64>,
    reason: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    execute(
        tables,
        "UPDATE candidates SET status = ?3, violation = ?4, reason = ?5, resolved_at = ?6 \
         WHERE campaign = ?1 AND ordinal = ?2",
        params![id.campaign.0, id.ordinal.0, status, violation, reason, at.0],
    )
}

fn register(
    tables: &Connection,
    worker: WorkerId,
    name: &str,
    capabilities: &Capabilities,
    at: Timestamp,
) -> Result<(), StoreError> {
    execute(
        tables,
        "INSERT INTO workers (id, name, connected, device_class, slots, registered_at) \
         VALUES (?1, ?2, 1, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET connected = 1, \
         device_class = excluded.device_class, slots = excluded.slots, \
         registered_at = excluded.registered_at",
        params![worker.0, name, &*capabilities.device_class, capabilities.slots, at.0],
    )
}

fn project_task(tables: &Connection, event: &Event) -> Result<(), StoreError> {
    match event {
        Event::TaskQueued { task, candidate, stage } => execute(
            tables,
            "INSERT INTO tasks (id, campaign, ordinal, stage, status) \
             VALUES (?1, ?2, ?3, ?4, 'queued')",
            params![task.0, candidate.campaign.0, candidate.ordinal.0, stage],
        ),
        Event::TaskLeased { task, attempt, worker, .. } => execute(
            tables,
            "UPDATE tasks SET status = 'leased', attempts = ?2, worker = ?3 WHERE id = ?1",
            params![task.0, attempt.0, worker.0],
        ),
        Event::LeaseEnded { task, .. } | Event::TaskRequeued(task) => {
            execute(tables, "UPDATE tasks SET status = 'queued' WHERE id = ?1", [task.0])
        }
        Event::TaskFailed { task, .. } => {
            execute(tables, "UPDATE tasks SET status = 'failed' WHERE id = ?1", [task.0])
        }
        Event::AttemptFailed { task, worker, elapsed, .. } => {
            charge(tables, *task, "queued", *elapsed)?;
            execute(tables, "UPDATE workers SET failed = failed + 1 WHERE id = ?1", [worker.0])
        }
        Event::TaskCompleted { task, worker, measurements, elapsed, .. } => {
            charge(tables, *task, "done", *elapsed)?;
            deliver(tables, *task, measurements)?;
            execute(
                tables,
                "UPDATE workers SET completed = completed + 1 WHERE id = ?1",
                [worker.0],
            )
        }
        _ => Ok(()),
    }
}

fn charge(
    tables: &Connection,
    task: TaskId,
    status: &str,
    elapsed: Span,
) -> Result<(), StoreError> {
    execute(
        tables,
        "UPDATE tasks SET status = ?2, elapsed_micros = elapsed_micros + ?3 WHERE id = ?1",
        params![task.0, status, elapsed.0],
    )
}

fn deliver(
    tables: &Connection,
    task: TaskId,
    measurements: &[Measurement],
) -> Result<(), StoreError> {
    let select = "SELECT campaign, ordinal FROM tasks WHERE id = ?1";
    let candidate = tables.prepare_cached(select)?.query_row([task.0], |row| {
        Ok(CandidateId::new(CampaignId(row.get(0)?), Ordinal(row.get(1)?)))
    })?;
    measurements.iter().try_for_each(|found| measure(tables, candidate, found))
}
