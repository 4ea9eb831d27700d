//! Results that are known already: what names a result, which are kept, and whose may be taken.
//!
//! The journal of a coordinator is that of all its campaigns, so the state knows every result that was
//! ever counted; here is the index over them. A result has a key of everything that its values follow
//! from but the seed. A campaign that takes known results is looked up for when a worker would get the
//! task: what that worker would compute is known then, with its evaluator's version, its data and its
//! class of device. Must not know stores.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::campaign::Campaign;
use super::decide::Decision;
use super::event::Event;
use super::state::State;
use super::task::Task;
use super::worker::Worker;
use crate::graph::CanonicalHash;
use crate::id::{Attempt, CampaignId, CandidateId, Ordinal, TaskId, WorkerId};
use crate::objective::Measurement;
use crate::spec::{CampaignSpec, EvaluatorEntry, Needs};

/// So many tasks are answered from known results in one step at most; the next tick goes on. A campaign
/// of which everything is known would otherwise be one step, and everybody else would wait for it.
pub(super) const MOST_IN_A_STEP: u32 = 256;

/// What a result follows from but its seed, as 128 bits: equal where an evaluation would be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResultKey(CanonicalHash);

impl ResultKey {
    /// The key that has these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(CanonicalHash::from_bytes(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ResultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a result that was taken comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultOrigin {
    /// The candidate that was evaluated.
    pub candidate: CandidateId,
    /// The position of the stage in its campaign.
    pub stage: u8,
    /// The attempt that delivered.
    pub attempt: Attempt,
    /// The worker that delivered.
    pub worker: WorkerId,
    /// The version of its evaluator.
    pub version: Arc<str>,
    /// What names the content of the stage's data set, if it has one; older journals do not say.
    pub content: Option<Arc<str>>,
}

/// Where a known result lies: at which candidate of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) ordinal: Ordinal,
    pub(super) stage: u8,
    pub(super) attempt: Attempt,
    pub(super) worker: WorkerId,
}

/// All known results: of each key the first one of each campaign.
pub(super) type KnownResults = BTreeMap<(ResultKey, CampaignId), Known>;

/// What a stage does to a network, without the network and whoever evaluates it. The seed, the name,
/// labels and the time limit do not enter: they do not change what the values mean.
pub(super) fn recipes(spec: &CampaignSpec) -> Box<[CanonicalHash]> {
    let space = format!("{} {}", spec.space.name(), spec.space.parameters());
    let mut recipes: Vec<CanonicalHash> = Vec::with_capacity(spec.stages.len());
    for stage in &spec.stages {
        let before = stage.resume.as_ref().and_then(|before| {
            let at = spec.stages.iter().position(|found| found.name == *before)?;
            recipes.get(at)
        });
        let mut asked: Vec<&str> =
            stage.measures.iter().map(|metric| stage.asked(metric).as_str()).collect();
        asked.sort_unstable();
        let (settings, asked) = (stage.settings.to_string(), asked.join(" "));
        let parts: [&[u8]; 6] = [
            space.as_bytes(),
            stage.evaluator.as_bytes(),
            settings.as_bytes(),
            asked.as_bytes(),
            stage.dataset.as_deref().unwrap_or_default().as_bytes(),
            before.map_or(&[], |before| before.as_bytes()),
        ];
        recipes.push(CanonicalHash::of("cambrian recipe v1", parts));
    }
    recipes.into()
}

impl Campaign {
    /// The key of what `worker` would deliver for a stage of a candidate. `None` where the stage is
    /// measured repeatedly, because then every repeat is wanted, and where the worker does not say what
    /// its values follow from: it does not offer the evaluator, or not what is in the data set.
    pub(super) fn result_key(
        &self,
        id: CandidateId,
        stage: u8,
        worker: &Worker,
    ) -> Option<ResultKey> {
        if self.repeats_of(stage) > 1 {
            return None;
        }
        let recipe = self.recipes.get(usize::from(stage))?;
        let proposal = self.candidate(id.ordinal)?.proposal();
        let stage = self.stages.get(usize::from(stage))?;
        let offer = worker.capabilities.offer(&stage.evaluator)?;
        let data = match &stage.dataset {
            Some(name) => worker.capabilities.fingerprints.get(name)?.as_bytes(),
            None => &[],
        };
        let builds = EvaluatorEntry::find(&stage.evaluator)
            .is_some_and(|entry| entry.needs == Needs::Network);
        // Whoever reads the notation may tell spellings of one network apart.
        let spelling = match builds && self.spec.space.hash_names_network() {
            true => String::new(),
            false => self.spec.space.format(&proposal.genotype),
        };
        let mut sources: Vec<[&str; 3]> = Vec::with_capacity(stage.measures.len());
        for metric in &stage.measures {
            let asked = stage.asked(metric);
            let provenance = offer.metrics.get(asked)?;
            sources.push([asked.as_str(), &provenance.source, &provenance.device_class]);
        }
        sources.sort_unstable();
        let parts: [&[u8]; 5] = [
            recipe.as_bytes(),
            proposal.key.as_bytes(),
            spelling.as_bytes(),
            offer.version.as_bytes(),
            data,
        ];
        let sources = sources.as_flattened().iter().map(|text| text.as_bytes());
        Some(ResultKey(CanonicalHash::of("cambrian result v1", parts.into_iter().chain(sources))))
    }

    /// The stages that continue the training of `stage`.
    fn continued_by(&self, stage: u8) -> impl Iterator<Item = u8> + '_ {
        let name = self.stages.get(usize::from(stage)).map(|found| &found.name);
        let stages = (0u8..).zip(self.stages.iter());
        stages.filter(move |(_, found)| found.resume.as_ref() == name).map(|(at, _)| at)
    }

    /// The results that candidates took instead of being evaluated: stage and origin, by candidate.
    pub(super) fn taken_by(&self, ordinal: Ordinal) -> impl Iterator<Item = (u8, &ResultOrigin)> {
        let of_candidate = (ordinal, 0)..=(ordinal, u8::MAX);
        self.taken.range(of_candidate).map(|((_, stage), origin)| (*stage, origin))
    }
}

impl State {
    /// How many results are kept for campaigns that take known ones.
    #[must_use]
    pub fn known_results(&self) -> usize {
        self.results.len()
    }

    /// The known result of a stage of a candidate that `worker` would only repeat, if the campaign
    /// takes such. One of a training that later stages continue is taken only if theirs are known as
    /// well, since the training's state is not kept with it.
    pub(super) fn known_result(&self, task: &Task, worker: &Worker) -> Option<ResultOrigin> {
        let campaign = self.campaigns.get(&task.candidate.campaign)?;
        if !campaign.spec.cache.reads() {
            return None;
        }
        self.known_for(campaign, task.candidate, task.stage, worker)
    }

    fn known_for(
        &self,
        campaign: &Campaign,
        id: CandidateId,
        stage: u8,
        worker: &Worker,
    ) -> Option<ResultOrigin> {
        let key = campaign.result_key(id, stage, worker)?;
        let of_key = (key, CampaignId(0))..=(key, CampaignId(u32::MAX));
        let mut usable = self.results.range(of_key).filter(|((_, of), _)| {
            let owner = self.campaigns.get(of).map(|found| &found.owner);
            self.policy.shared_results || owner == Some(&campaign.owner)
        });
        let ((_, of), known) = usable.next()?;
        let mut continued = campaign.continued_by(stage);
        if !continued.all(|later| self.known_for(campaign, id, later, worker).is_some()) {
            return None;
        }
        let (at, capabilities) = (campaign.stages.get(usize::from(stage))?, &worker.capabilities);
        let version = capabilities.offer(&at.evaluator)?.version.clone();
        let content = at.dataset.as_ref().and_then(|data| capabilities.fingerprints.get(data));
        let content = content.cloned();
        let Known { ordinal, stage, attempt, worker } = *known;
        let candidate = CandidateId::new(*of, ordinal);
        Some(ResultOrigin { candidate, stage, attempt, worker, version, content })
    }

    /// The values at `origin` by the names of the stage of `task`, with where `worker` would say that
    /// they come from.
    fn values_at(
        &self,
        origin: &ResultOrigin,
        task: &Task,
        worker: &Worker,
    ) -> Option<Vec<Measurement>> {
        let from = self.campaigns.get(&origin.candidate.campaign)?;
        let source = from.candidate(origin.candidate.ordinal)?;
        let measured = from.stages.get(usize::from(origin.stage))?;
        let campaign = self.campaigns.get(&task.candidate.campaign)?;
        let stage = campaign.stages.get(usize::from(task.stage))?;
        let offer = worker.capabilities.offer(&stage.evaluator)?;
        let value = |metric| {
            let asked = stage.asked(metric);
            let there = measured.measures.iter().find(|there| measured.asked(there) == asked)?;
            let column = from.column(there)?;
            let stored = source.measurements().iter().find(|found| found.column == column)?;
            let provenance = offer.metrics.get(asked)?.clone();
            Measurement::new(metric.clone(), stored.value, stored.spread, provenance).ok()
        };
        stage.measures.iter().map(value).collect()
    }

    /// The key under which a result of the attempt that is leased now will be kept, if it will.
    pub(super) fn key_to_keep(&self, id: TaskId, worker: WorkerId) -> Option<ResultKey> {
        let (task, worker) = (self.tasks.get(&id)?, self.workers.get(&worker)?);
        let campaign = self.campaigns.get(&task.candidate.campaign)?;
        let kept = campaign.spec.cache.writes();
        kept.then(|| campaign.result_key(task.candidate, task.stage, worker)).flatten()
    }
}

impl Decision<'_> {
    /// Answers a task with what is known already; says whether it did.
    pub(super) fn take_known(
        &mut self,
        task: TaskId,
        worker: WorkerId,
        origin: ResultOrigin,
    ) -> bool {
        let (found, holder) = (&self.state.tasks[&task], &self.state.workers[&worker]);
        let (candidate, stage) = (found.candidate, found.stage);
        let Some(measurements) = self.state.values_at(&origin, found, holder) else { return false };
        self.emit(Event::ResultTaken { task, origin, measurements });
        self.after_result(candidate, stage);
        true
    }
}
