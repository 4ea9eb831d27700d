//! What becomes of candidates: proposed in order, held after stages that they have finished, resolved once
//! and with all that it takes. Must not know workers or leases.

use cambrian_core::engine::{ScreenReason, Screening};
use cambrian_core::id::CandidateId;
use cambrian_core::objective::Measurement;

use super::{CandidateAccount, Fate, Ledger, Sample};

impl Ledger {
    pub(super) fn propose(&mut self, id: CandidateId) -> Result<(), String> {
        let campaign = self.campaign(id.campaign)?;
        let next = campaign.candidates.len() as u32 + 1;
        if id.ordinal.0 != next {
            return Err(format!("candidate {id} is proposed, but the next one is {next}"));
        }
        campaign.candidates.push(CandidateAccount::default());
        Ok(())
    }

    pub(super) fn resolve(&mut self, id: CandidateId, fate: Fate) -> Result<(), String> {
        let repeats = self.campaign(id.campaign)?.repeats.clone();
        let candidate = self.candidate(id)?;
        if let Some(before) = candidate.fate.replace(fate) {
            return Err(format!("candidate {id} is resolved twice: {before:?}, then {fate:?}"));
        }
        if let Some(task) = candidate.live_task {
            return Err(format!("candidate {id} is resolved while its task {task} is under way"));
        }
        let averaged = repeats.last().is_none_or(|last| *last == 1) || candidate.averaged;
        if fate == Fate::Scored && (candidate.completions != repeats || !averaged) {
            return Err(format!(
                "candidate {id} is scored with completions {:?} of its stages, expected {repeats:?}, \
                 and their means",
                candidate.completions
            ));
        }
        Ok(())
    }

    /// The means of a stage are those of all its repeats, once.
    pub(super) fn average(
        &mut self,
        id: CandidateId,
        stage: u8,
        means: &[Measurement],
    ) -> Result<(), String> {
        let repeats = self.repeats_of(id, stage)?;
        let candidate = self.candidate(id)?;
        let twice = std::mem::replace(&mut candidate.averaged, true);
        let samples = std::mem::take(&mut candidate.samples);
        let present = candidate.completions.len() == usize::from(stage) + 1;
        if twice || !present || repeats < 2 || samples.len() != repeats as usize {
            return Err(format!(
                "candidate {id} is averaged at stage {stage} over {} of {repeats} repeats",
                samples.len()
            ));
        }
        means.iter().try_for_each(|mean| require_mean(id, mean, &samples))
    }

    /// A candidate that waits, or is screened, has finished that stage and no later one.
    fn require_finished(&mut self, id: CandidateId, stage: u8) -> Result<(), String> {
        let repeats = self.repeats_of(id, stage)?;
        let CandidateAccount { completions, averaged, .. } = self.candidate(id)?;
        let finished = completions.last() == Some(&repeats) && (repeats == 1 || *averaged);
        if completions.len() == usize::from(stage) + 1 && finished {
            return Ok(());
        }
        Err(format!("candidate {id} is held after stage {stage} with completions {completions:?}"))
    }

    pub(super) fn screen(&mut self, id: CandidateId, screening: &Screening) -> Result<(), String> {
        let stage = screening.stage;
        if !matches!(screening.reason, ScreenReason::Curve(_)) {
            self.require_finished(id, stage)?;
        } else if self.candidate(id)?.stopped != Some(stage) {
            return Err(format!(
                "candidate {id} is screened as stopped in stage {stage}, and was not"
            ));
        }
        self.resolve(id, Fate::Screened)
    }

    pub(super) fn wait(&mut self, id: CandidateId, stage: u8) -> Result<(), String> {
        self.require_finished(id, stage)?;
        let candidate = self.candidate(id)?;
        match (candidate.fate, candidate.live_task) {
            (None, None) => Ok(()),
            (fate, task) => {
                Err(format!("candidate {id} waits, and its fate is {fate:?}, its task {task:?}"))
            }
        }
    }
}

/// A mean is that of every repeat's value, and its spread their standard error.
fn require_mean(id: CandidateId, mean: &Measurement, samples: &[Sample]) -> Result<(), String> {
    let found: Vec<f64> =
        samples.iter().filter_map(|sample| sample.get(mean.metric.as_str()).copied()).collect();
    let count = found.len() as f64;
    let expected = found.iter().sum::<f64>() / count;
    let squares: f64 = found.iter().map(|value| (value - expected).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    // Relative to the largest value, of which rounding is a part.
    let scale = found.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
    let close = |one: f64, other: f64| (one - other).abs() <= 1e-9 * scale || !other.is_finite();
    let spread = mean.spread().is_some_and(|spread| close(spread, error));
    if found.len() == samples.len() && close(mean.value(), expected) && spread {
        return Ok(());
    }
    Err(format!(
        "{} of candidate {id} is {} ± {:?}, its repeats say {expected} ± {error}",
        mean.metric,
        mean.value(),
        mean.spread()
    ))
}
