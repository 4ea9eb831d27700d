//! Results that were taken instead of evaluated: each must be what another candidate was measured to have. It
//! must not know how results are found.

use std::collections::BTreeMap;

use cambrian_core::engine::ResultOrigin;
use cambrian_core::id::{Attempt, CampaignId, TaskId, WorkerId};
use cambrian_core::objective::{Measurement, MetricName};

use super::{Ledger, TaskEnd};

/// A result that is kept under a key.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    pub(super) attempt: Attempt,
    pub(super) worker: WorkerId,
    pub(super) measurements: Vec<Measurement>,
}

impl Ledger {
    /// What is taken must have been delivered, on a key, by that attempt of another candidate.
    pub(super) fn take(
        &mut self,
        task: TaskId,
        origin: &ResultOrigin,
        measurements: &[Measurement],
    ) -> Result<(), String> {
        let account = self.live(task)?;
        let was_leased = account.leased;
        (account.end, account.taken_from) = (Some(TaskEnd::Done), Some(origin.candidate));
        let (id, stage) = (account.candidate, usize::from(account.stage));
        if self.finish_stage(id, stage)? != 1 || self.repeats_of(id, stage as u8)? != 1 {
            return Err(format!("task {task} takes a result of a stage that has one already"));
        }
        if was_leased || measurements.is_empty() {
            return Err(format!("task {task} takes a result while leased, or nothing at all"));
        }
        let delivered = self.candidate(origin.candidate)?.delivered.get(&origin.stage).cloned();
        let by =
            |found: &Delivered| (found.attempt, found.worker) == (origin.attempt, origin.worker);
        let Some(Delivered { measurements: there, .. }) = delivered.filter(by) else {
            return Err(format!("task {task} takes what candidate {} has not", origin.candidate));
        };
        let here = self.as_asked(id.campaign, stage, measurements)?;
        let there = self.as_asked(origin.candidate.campaign, usize::from(origin.stage), &there)?;
        match here.iter().find(|(metric, value)| there.get(*metric) != Some(value)) {
            None => Ok(()),
            Some((metric, _)) => Err(format!(
                "task {task} takes another {metric} than candidate {} was measured to have",
                origin.candidate
            )),
        }
    }

    /// The bits of values and spreads by what a stage's evaluator calls the metrics.
    fn as_asked(
        &mut self,
        campaign: CampaignId,
        stage: usize,
        measurements: &[Measurement],
    ) -> Result<BTreeMap<MetricName, (u64, Option<u64>)>, String> {
        let found = self.campaign(campaign)?.stages.get(stage);
        let stage = found.ok_or_else(|| format!("campaign {campaign} has no stage {stage}"))?;
        let bits =
            |found: &Measurement| (found.value().to_bits(), found.spread().map(f64::to_bits));
        let asked = |found: &Measurement| stage.asked(&found.metric).clone();
        Ok(measurements.iter().map(|found| (asked(found), bits(found))).collect())
    }
}
