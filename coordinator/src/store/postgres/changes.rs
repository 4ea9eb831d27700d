//! What a batch of events means for the tables that people query with SQL, as columns of whole
//! statements: one for each kind of change, however many events there are.
//!
//! It works from events alone and shares no code with the engine; `verify` compares both.
//!
//! Must not know connections or transactions.

use std::collections::BTreeMap;

use cambrian_core::algorithm::Proposal;
use cambrian_core::engine::{Event, FinishReason, InfeasibleReason};
use cambrian_core::id::{CampaignId, CandidateId, TaskId, WorkerId};
use cambrian_core::objective::Measurement;
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};
use tokio_postgres::types::ToSql;

use super::kept;
use crate::store::specs::Specs;

/// A statement with its columns, to be executed unless it has no rows.
pub(super) type Change<'a> = (&'static str, Vec<&'a (dyn ToSql + Sync)>);

macro_rules! columns {
    ($name:ident, $sql:literal, { $($field:ident: $kind:ty),* $(,)? }) => {
        #[derive(Debug, Default, PartialEq)]
        pub(super) struct $name { $($field: Vec<$kind>),* }

        impl $name {
            pub(super) const SQL: &'static str = $sql;

            fn push(&mut self, ($($field),*,): ($($kind),*,)) { $(self.$field.push($field);)* }

            fn change(&self) -> Option<Change<'_>> {
                let columns: Vec<&(dyn ToSql + Sync)> = vec![$(&self.$field),*];
                let [rows, ..] = [$(self.$field.len()),*];
                (rows > 0).then_some((Self::SQL, columns))
            }
        }
    };
}

columns!(Journal,
    "INSERT INTO journal (sequence, at_micros, kind, record, checksum) SELECT * FROM UNNEST \
     ($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::BYTEA[], $5::BIGINT[])",
    { sequence: i64, at: i64, kind: &'static str, record: Vec<u8>, checksum: i64 });

columns!(NewCampaigns,
    "INSERT INTO campaigns (id, name, status, space, algorithm, evaluations_budget, submitted_at, \
     resolved_yaml, source_yaml, owner) SELECT u1, u2, 'running', u3, u4, u5, u6, u7, u8, u9 \
     FROM UNNEST ($1::BIGINT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], \
     $7::TEXT[], $8::TEXT[], $9::TEXT[]) AS u (u1, u2, u3, u4, u5, u6, u7, u8, u9)",
    { id: i64, name: String, space: String, algorithm: String, budget: i64, submitted_at: i64,
      resolved_yaml: String, source_yaml: String, owner: String });

columns!(CampaignStates,
    "UPDATE campaigns SET status = u.status, reason = u.reason, finished_at = u.finished_at \
     FROM UNNEST ($1::BIGINT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[]) \
     AS u (id, status, reason, finished_at) WHERE campaigns.id = u.id",
    { id: i64, status: &'static str, reason: String, finished_at: Option<i64> });

columns!(NewCandidates,
    "INSERT INTO candidates (campaign, ordinal, status, genotype, canonical_hash, origin, \
     proposed_at) SELECT u1, u2, 'pending', u3, u4, u5, u6 FROM UNNEST ($1::BIGINT[], \
     $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[]) AS u (u1, u2, u3, u4, u5, u6)",
    { campaign: i64, ordinal: i64, genotype: String, canonical_hash: String, origin: String,
      proposed_at: i64 });

columns!(CandidateEnds,
    "UPDATE candidates SET status = u.status, violation = u.violation, reason = u.reason, \
     resolved_at = u.resolved_at FROM UNNEST ($1::BIGINT[], $2::BIGINT[], $3::TEXT[], \
     $4::DOUBLE PRECISION[], $5::TEXT[], $6::BIGINT[]) \
     AS u (campaign, ordinal, status, violation, reason, resolved_at) \
     WHERE candidates.campaign = u.campaign AND candidates.ordinal = u.ordinal",
    { campaign: i64, ordinal: i64, status: &'static str, violation: Option<f64>, reason: String,
      resolved_at: i64 });

// Values computed from networks, and means of repeats. The first value of a metric stands, as in the
// engine.
columns!(Known,
    "INSERT INTO measurements (campaign, ordinal, metric, value, spread, source, device_class) \
     SELECT u1, u2, u3, u4, u5, u6, u7 FROM UNNEST ($1::BIGINT[], $2::BIGINT[], $3::TEXT[], \
     $4::DOUBLE PRECISION[], $5::DOUBLE PRECISION[], $6::TEXT[], $7::TEXT[]) \
     WITH ORDINALITY AS u (u1, u2, u3, u4, u5, u6, u7, place) ORDER BY place \
     ON CONFLICT DO NOTHING",
    { campaign: i64, ordinal: i64, metric: String, value: f64, spread: Option<f64>,
      source: String, device_class: String });

columns!(Delivered,
    "INSERT INTO measurements (campaign, ordinal, metric, value, spread, source, device_class) \
     SELECT tasks.campaign, tasks.ordinal, u2, u3, u4, u5, u6 FROM UNNEST ($1::BIGINT[], \
     $2::TEXT[], $3::DOUBLE PRECISION[], $4::DOUBLE PRECISION[], $5::TEXT[], $6::TEXT[]) \
     WITH ORDINALITY AS u (task, u2, u3, u4, u5, u6, place) JOIN tasks ON tasks.id = u.task \
     ORDER BY place ON CONFLICT DO NOTHING",
    { task: i64, metric: String, value: f64, spread: Option<f64>, source: String,
      device_class: String });

columns!(NewTasks,
    "INSERT INTO tasks (id, campaign, ordinal, stage, status) SELECT u1, u2, u3, u4, 'queued' \
     FROM UNNEST ($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[]) AS u (u1, u2, u3, u4)",
    { id: i64, campaign: i64, ordinal: i64, stage: i64 });

columns!(TaskStates,
    "UPDATE tasks SET status = coalesce(u.status, tasks.status), \
     attempts = coalesce(u.attempts, tasks.attempts), worker = coalesce(u.worker, tasks.worker), \
     elapsed_micros = least(tasks.elapsed_micros, 9223372036854775807 - u.elapsed) + u.elapsed, \
     result_key = u.result_key, cached_campaign = u.cached_campaign, \
     cached_ordinal = u.cached_ordinal \
     FROM UNNEST ($1::BIGINT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::TEXT[], \
     $7::BIGINT[], $8::BIGINT[]) AS u (id, status, attempts, worker, elapsed, result_key, \
     cached_campaign, cached_ordinal) WHERE tasks.id = u.id",
    { id: i64, status: Option<&'static str>, attempts: Option<i64>, worker: Option<i64>, elapsed: i64,
      result_key: Option<String>, cached_campaign: Option<i64>, cached_ordinal: Option<i64> });

columns!(Registrations,
    "INSERT INTO workers (id, name, connected, device_class, slots, registered_at) \
     SELECT u1, u2, true, u3, u4, u5 FROM UNNEST ($1::BIGINT[], $2::TEXT[], $3::TEXT[], \
     $4::BIGINT[], $5::BIGINT[]) AS u (u1, u2, u3, u4, u5) \
     ON CONFLICT (id) DO UPDATE SET connected = true, device_class = excluded.device_class, \
     slots = excluded.slots, registered_at = excluded.registered_at",
    { id: i64, name: String, device_class: String, slots: i64, registered_at: i64 });

columns!(WorkerStates,
    "UPDATE workers SET connected = coalesce(u.connected, workers.connected), \
     completed = workers.completed + u.completed, failed = workers.failed + u.failed \
     FROM UNNEST ($1::BIGINT[], $2::BOOLEAN[], $3::BIGINT[], $4::BIGINT[]) \
     AS u (id, connected, completed, failed) WHERE workers.id = u.id",
    { id: i64, connected: Option<bool>, completed: i64, failed: i64 });

/// Every worker is gone when a coordinator starts.
pub(super) const ALL_GONE: &str = "UPDATE workers SET connected = false WHERE connected";

/// Every statement of [`Changes`].
pub(super) const STATEMENTS: [&str; 12] = [
    Journal::SQL,
    NewCampaigns::SQL,
    CampaignStates::SQL,
    NewCandidates::SQL,
    CandidateEnds::SQL,
    Known::SQL,
    NewTasks::SQL,
    TaskStates::SQL,
    Delivered::SQL,
    ALL_GONE,
    Registrations::SQL,
    WorkerStates::SQL,
];

#[derive(Debug, Default, PartialEq)]
struct TaskState {
    status: Option<&'static str>,
    attempts: Option<i64>,
    worker: Option<i64>,
    elapsed: i64,
    result_key: Option<String>,
    taken_from: Option<CandidateId>,
}

impl TaskState {
    fn add(&mut self, elapsed: Span) {
        self.elapsed = self.elapsed.saturating_add(big(elapsed.0));
    }
}

#[derive(Debug, Default, PartialEq)]
struct WorkerState {
    connected: Option<bool>,
    completed: i64,
    failed: i64,
}

/// The changes of a batch while its events are walked through.
#[derive(Debug, Default)]
pub(super) struct Fold {
    changes: Changes,
    campaigns: BTreeMap<CampaignId, (&'static str, String, Option<i64>)>,
    tasks: BTreeMap<TaskId, TaskState>,
    registrations: BTreeMap<WorkerId, (String, String, i64, i64)>,
    workers: BTreeMap<WorkerId, WorkerState>,
}

/// The changes of a batch, ready to be written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) journal: Journal,
    new_campaigns: NewCampaigns,
    campaign_states: CampaignStates,
    new_candidates: NewCandidates,
    candidate_ends: CandidateEnds,
    known: Known,
    delivered: Delivered,
    new_tasks: NewTasks,
    task_states: TaskStates,
    all_gone: bool,
    registrations: Registrations,
    worker_states: WorkerStates,
}

/// The largest integer of a column stands for every larger number: a sum of spans may be.
fn big(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Changes {
    /// The statements in the order in which they have to be executed.
    pub(super) fn list(&self) -> Vec<Change<'_>> {
        let gone = self.all_gone.then(|| (ALL_GONE, Vec::new()));
        [
            self.journal.change(),
            self.new_campaigns.change(),
            self.campaign_states.change(),
            self.new_candidates.change(),
            self.candidate_ends.change(),
            self.known.change(),
            self.new_tasks.change(),
            self.task_states.change(),
            self.delivered.change(),
            gone,
            self.registrations.change(),
            self.worker_states.change(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Journal {
    pub(super) fn add(
        &mut self,
        sequence: u64,
        at: Timestamp,
        record: crate::store::record::Record,
    ) {
        self.push((big(sequence), big(at.0), record.kind, record.bytes, record.checksum));
    }
}

impl Fold {
    /// Adds an event's meaning. `specs` knows every campaign that the event speaks of.
    pub(super) fn add(&mut self, specs: &Specs, at: Timestamp, event: &Event) {
        let (changes, at) = (&mut self.changes, big(at.0));
        match event {
            Event::Started { .. } => self.lose_all_workers(),
            Event::CampaignSubmitted { campaign, spec, source, owner, submission: _ } => {
                let texts = (&**source, owner.as_deref().unwrap_or(""));
                changes.new_campaigns.add(*campaign, spec, texts, at);
            }
            Event::CampaignPaused(id) => self.campaign(*id, "paused", None, None),
            Event::CampaignResumed(id) => self.campaign(*id, "running", None, None),
            Event::CampaignDraining { campaign, reason } => {
                self.campaign(*campaign, "draining", Some(*reason), None);
            }
            Event::CampaignFinished { campaign, reason } => {
                self.campaign(*campaign, "finished", Some(*reason), Some(at));
            }
            Event::CandidateProposed { candidate, proposal, analytic } => {
                let spec = specs.get(candidate.campaign);
                let genotype = spec.map(|spec| spec.space.format(&proposal.genotype));
                let genotype = genotype.unwrap_or_default();
                changes.new_candidates.add(*candidate, genotype, proposal, at);
                analytic.iter().for_each(|found| changes.known.add(*candidate, found));
            }
            Event::CandidateInfeasible { candidate, reason } => {
                let (InfeasibleReason::Constraints(text)
                | InfeasibleReason::NoNetwork(text)
                | InfeasibleReason::Evaluation(text)) = reason;
                changes.candidate_ends.add(*candidate, "infeasible", None, text, at);
            }
            Event::CandidateScored { candidate, violation } => {
                changes.candidate_ends.add(*candidate, "scored", Some(*violation), "", at);
            }
            Event::CandidateScreened { candidate, screening } => {
                let stages = specs.get(candidate.campaign).map(|spec| &spec.stages);
                let stage = stages.and_then(|stages| stages.get(usize::from(screening.stage)));
                let reason = screening.after(stage.map_or("", |stage| &stage.name));
                changes.candidate_ends.add(*candidate, "screened", None, &reason, at);
            }
            Event::CandidateFailed { candidate, failure } => {
                let reason = failure.to_string();
                changes.candidate_ends.add(*candidate, "failed", None, &reason, at);
            }
            Event::WorkerRegistered { worker, name, capabilities, .. } => {
                let class = kept(capabilities.device_class.to_string());
                let row = (name.to_string(), class, capabilities.slots.into(), at);
                self.registrations.insert(*worker, row);
                self.worker(*worker).connected = Some(true);
            }
            Event::WorkerLeft { worker, .. } => self.worker(*worker).connected = Some(false),
            task => self.task(task),
        }
    }

    /// A coordinator starts: all workers are gone, those that have registered in this batch as well.
    fn lose_all_workers(&mut self) {
        self.changes.all_gone = true;
        self.workers.values_mut().for_each(|worker| worker.connected = Some(false));
        for id in self.registrations.keys() {
            self.workers.entry(*id).or_default().connected = Some(false);
        }
    }

    fn campaign(
        &mut self,
        id: CampaignId,
        status: &'static str,
        reason: Option<FinishReason>,
        finished: Option<i64>,
    ) {
        let reason = reason.map(|reason| reason.to_string()).unwrap_or_default();
        self.campaigns.insert(id, (status, reason, finished));
    }

    fn task(&mut self, event: &Event) {
        match event {
            Event::TaskQueued { task, candidate, stage, .. } => self.changes.new_tasks.push((
                big(task.0),
                candidate.campaign.0.into(),
                candidate.ordinal.0.into(),
                (*stage).into(),
            )),
            Event::TaskLeased { task, attempt, worker, .. } => {
                let state = self.state(*task, "leased", Span(0));
                state.attempts = Some(attempt.0.into());
                state.worker = Some(worker.0.into());
            }
            Event::LeaseEnded { task, .. } | Event::TaskRequeued(task) => {
                self.state(*task, "queued", Span(0));
            }
            Event::TaskFailed { task, .. } => {
                self.state(*task, "failed", Span(0));
            }
            Event::AttemptFailed { task, worker, elapsed, .. } => {
                self.state(*task, "queued", *elapsed);
                self.worker(*worker).failed += 1;
            }
            Event::AttemptYielded { task, elapsed, .. } => {
                self.tasks.entry(*task).or_default().add(*elapsed);
            }
            Event::TaskCompleted { task, worker, measurements, elapsed, key, repeated, .. } => {
                let state = self.state(*task, "done", *elapsed);
                state.result_key = key.map(|key| key.to_string());
                // One repeat of several is no value of the candidate's yet.
                let values: &[Measurement] = if *repeated { &[] } else { measurements };
                values.iter().for_each(|found| self.changes.delivered.add(*task, found));
                self.worker(*worker).completed += 1;
            }
            Event::ResultTaken { task, origin, measurements } => {
                self.state(*task, "done", Span(0)).taken_from = Some(origin.candidate);
                measurements.iter().for_each(|found| self.changes.delivered.add(*task, found));
            }
            Event::RepeatsAveraged { candidate, measurements, .. } => {
                measurements.iter().for_each(|found| self.changes.known.add(*candidate, found));
            }
            _ => {}
        }
    }

    fn state(&mut self, task: TaskId, status: &'static str, elapsed: Span) -> &mut TaskState {
        let state = self.tasks.entry(task).or_default();
        state.status = Some(status);
        state.add(elapsed);
        state
    }

    fn worker(&mut self, id: WorkerId) -> &mut WorkerState {
        self.workers.entry(id).or_default()
    }

    /// The changes, once every event has been added.
    pub(super) fn finish(self) -> Changes {
        let mut changes = self.changes;
        for (id, (status, reason, finished)) in self.campaigns {
            changes.campaign_states.push((id.0.into(), status, reason, finished));
        }
        for (id, state) in self.tasks {
            let TaskState { status, attempts, worker, elapsed, result_key, taken_from } = state;
            changes.task_states.push((
                big(id.0),
                status,
                attempts,
                worker,
                elapsed,
                result_key,
                taken_from.map(|origin| origin.campaign.0.into()),
                taken_from.map(|origin| origin.ordinal.0.into()),
            ));
        }
        for (id, (name, class, slots, at)) in self.registrations {
            changes.registrations.push((id.0.into(), name, class, slots, at));
        }
        for (id, WorkerState { connected, completed, failed }) in self.workers {
            changes.worker_states.push((id.0.into(), connected, completed, failed));
        }
        changes
    }
}

impl NewCampaigns {
    fn add(&mut self, id: CampaignId, spec: &CampaignSpec, (source, owner): (&str, &str), at: i64) {
        self.push((
            id.0.into(),
            spec.name.to_string(),
            spec.space.name().to_owned(),
            spec.algorithm.name().to_owned(),
            spec.budget.evaluations.into(),
            at,
            kept(spec.to_yaml()),
            kept(source.to_owned()),
            owner.to_owned(),
        ));
    }
}

impl NewCandidates {
    fn add(&mut self, id: CandidateId, genotype: String, proposal: &Proposal, at: i64) {
        let (key, origin) = (proposal.key.to_string(), proposal.origin.to_string());
        self.push((id.campaign.0.into(), id.ordinal.0.into(), kept(genotype), key, origin, at));
    }
}

impl CandidateEnds {
    fn add(
        &mut self,
        id: CandidateId,
        status: &'static str,
        violation: Option<f64>,
        reason: &str,
        at: i64,
    ) {
        let reason = kept(reason.to_owned());
        self.push((id.campaign.0.into(), id.ordinal.0.into(), status, violation, reason, at));
    }
}

impl Known {
    fn add(&mut self, id: CandidateId, found: &Measurement) {
        let (metric, source, class) = names(found);
        let (value, spread) = (found.value(), found.spread());
        let (campaign, ordinal) = (id.campaign.0.into(), id.ordinal.0.into());
        self.push((campaign, ordinal, metric, value, spread, source, class));
    }
}

impl Delivered {
    fn add(&mut self, task: TaskId, found: &Measurement) {
        let (metric, source, class) = names(found);
        self.push((big(task.0), metric, found.value(), found.spread(), source, class));
    }
}

fn names(found: &Measurement) -> (String, String, String) {
    let Measurement { metric, provenance, .. } = found;
    let class = kept(provenance.device_class.to_string());
    (metric.as_str().to_owned(), provenance.source.to_string(), class)
}
