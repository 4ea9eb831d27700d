//! Which worker a task may go to, beyond what its stage asks for: memory, and where it has failed.
//!
//! Reads the state and never changes it. Must not know whose turn it is, nor which task goes first.

use super::campaign::Campaign;
use super::state::State;
use super::task::Task;
use super::worker::Worker;
use crate::id::Ordinal;
use crate::spec::{FailureRule, Stage};

/// Copies of the parameters in 32 bits that training holds at least: weights, gradients, momentum.
const TRAINED_COPIES: f64 = 3.0;
const BYTES_PER_VALUE: f64 = 4.0;

/// The least memory that a stage can need of a device: a batch of the inference's largest feature
/// maps, and the parameters; more for training. `None` for evaluators that need not build the network.
fn least_bytes(stage: &Stage, params: f64, activations: f64) -> Option<u64> {
    let batch = |settings: &serde_json::Value| settings.get("batch_size")?.as_f64();
    let (batch, copies, width) = match &*stage.evaluator {
        "train" => {
            let half = stage.settings.get("precision").is_some_and(|found| *found != "f32");
            (batch(&stage.settings)?, TRAINED_COPIES, if half { 0.5 } else { 1.0 })
        }
        "proxies" => (1.0, 1.0, 1.0),
        _ => return None,
    };
    let bytes = copies * BYTES_PER_VALUE * params + width * batch * activations;
    Some(bytes as u64)
}

impl Campaign {
    /// The least memory that a candidate needs at a stage, in bytes, as far as it can be predicted.
    pub(super) fn predicted_bytes(&self, ordinal: Ordinal, stage: u8) -> Option<u64> {
        let candidate = self.candidate(ordinal)?;
        let value = |name: &str| candidate.value(self.column(&name.into())?);
        let (params, activations) = (value("params")?, value("peak_activation_memory")?);
        least_bytes(self.stages.get(usize::from(stage))?, params, activations)
    }

    /// Why a candidate's network does not fit into a worker's memory at a stage.
    pub(super) fn too_large(&self, ordinal: Ordinal, stage: u8, worker: &Worker) -> Option<String> {
        let offered = worker.capabilities.memory_bytes;
        let needed = self.predicted_bytes(ordinal, stage).filter(|_| offered > 0)?;
        (needed > offered).then(|| {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let (needed, offered) = (mib(needed), mib(offered));
            format!("the network needs at least {needed:.0} MiB, its device has {offered:.0} MiB")
        })
    }
}

impl State {
    /// Why a task is not given to a worker, `None` if it may be.
    pub(super) fn kept_from(&self, task: &Task, worker: &Worker) -> Option<String> {
        let campaign = self.campaigns.get(&task.candidate.campaign)?;
        self.state_to_come(task)
            .or_else(|| campaign.unsuited(worker, task.stage))
            .or_else(|| campaign.too_large(task.candidate.ordinal, task.stage, worker))
            .or_else(|| self.better_elsewhere(campaign, task, worker))
    }

    /// Why a task that has failed on a worker goes to another one, while there is one.
    fn better_elsewhere(
        &self,
        campaign: &Campaign,
        task: &Task,
        worker: &Worker,
    ) -> Option<String> {
        let policy = &campaign.spec.failures;
        let elsewhere = |kind| matches!(policy.rule(kind), Some(FailureRule::RetryElsewhere(_)));
        let failed_on = |worker: &Worker| {
            task.failures.iter().any(|(kind, on)| *on == worker.id && elsewhere(*kind))
        };
        if !failed_on(worker) {
            return None;
        }
        let other = self.workers.values().find(|other| {
            other.takes_work()
                && !failed_on(other)
                && campaign.unsuited(other, task.stage).is_none()
                && campaign.too_large(task.candidate.ordinal, task.stage, other).is_none()
        })?;
        Some(format!("the task failed on it and goes to another worker, such as {}", other.name))
    }
}
