//! Campaign specifications: from YAML as written to a checked [`CampaignSpec`], with every fault
//! reported at once, each with its place and the way out.
//!
//! Two steps: `raw` mirrors the file, `check` resolves it. It must not know files (it takes text)
//! nor what a setting does once it is valid.

mod amount;
mod attainable;
mod cache;
mod check;
mod computed;
mod document;
mod duration;
mod early;
mod evaluator;
mod failures;
mod fault;
mod pass;
mod raw;
mod resolve;
mod section;
mod share;
mod single;
mod spelling;
mod start;

pub use cache::CacheUse;
use document::Limits;
pub use early::EarlyStop;
pub use evaluator::{
    ActivationSettings, AugmentSettings, CheckedSettings, Curves, EVALUATORS, EnergySettings,
    EvaluatorEntry, FlatnessNoise, FlatnessSettings, InitialWeights, LatencySettings, Needs,
    Objection, OptimizerKind, PROXIES, Precision, ProblemSettings, ProxyEntry, ProxyPrecision,
    ProxySettings, ProxySizes, Reset, ScheduleKind, SpikingSettings, SyntheticFaults,
    SyntheticSettings, TableColumns, TabularSettings, TrainSettings, TrainedPart, custom_name,
    is_dataset_name,
};
pub use failures::{FailurePolicy, FailureRule};
pub use fault::{Fault, Faults};
pub use pass::{Criterion, Pass, TopShare};
pub(crate) use section::Item;
pub use section::Section;
pub use share::Share;
pub use single::SingleError;
pub use start::{
    NoStartReader, StartCampaign, StartCampaignRows, StartError, StartFile, StartReader, StartRow,
};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::algorithm::Algorithm;
use crate::energy::Energy;
use crate::graph::CanonicalHash;
use crate::objective::{Constraint, MetricName, Metrics, Objective};
use crate::space::{Genotype, SearchSpace};
use crate::time::Span;

/// The longest campaign file that is read, in bytes.
pub const MAX_SPEC_BYTES: usize = 1 << 20;
/// The largest campaign with everything written out, bytes.
pub const MAX_RESOLVED_BYTES: usize = 8 * MAX_SPEC_BYTES;

/// A campaign that passed every check.
#[derive(Debug, Clone)]
pub struct CampaignSpec {
    /// A short name: letters, digits, `-`, `_` and `.`, at most 64 characters; digits alone only in old
    /// journals.
    pub name: Arc<str>,
    /// The seed of every random decision.
    pub seed: u64,
    /// The search space.
    pub space: Arc<dyn SearchSpace>,
    /// The metrics that it can name: the built-in ones and its own.
    pub metrics: Metrics,
    /// At least one objective.
    pub objectives: Vec<Objective>,
    /// Hard constraints, possibly none.
    pub constraints: Vec<Constraint>,
    /// The architectures that are evaluated first, all different, with their canonical hashes.
    pub start: Vec<(Genotype, CanonicalHash)>,
    /// The algorithm in its initial state.
    pub algorithm: Box<dyn Algorithm>,
    /// The stages of an evaluation, at least one, in order.
    pub stages: Vec<Stage>,
    /// What it takes to go on after each stage, one entry a stage; the last one's is open.
    pub passes: Vec<Pass>,
    /// When evaluations of each stage are stopped because they are hopeless, one entry a stage.
    pub early_stops: Vec<Option<EarlyStop>>,
    /// When the campaign ends at the latest.
    pub budget: Budget,
    /// When it ends before its budget is spent.
    pub stop: StopRules,
    /// What happens to failed evaluations.
    pub failures: FailurePolicy,
    /// What it claims of a fleet that it is not alone on.
    pub share: Share,
    /// What it makes of results that are known already.
    pub cache: CacheUse,
    /// What is doubtful about it although it can run, in order of the objectives, with places in the text
    /// that it was read from.
    pub warnings: Vec<Fault>,
}

/// One step of a candidate's evaluation: what is measured, by which evaluator, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// A name for messages, unique within the campaign.
    pub name: Arc<str>,
    /// The evaluator: a name of [`EVALUATORS`], or `custom/` and the name of a user's own.
    pub evaluator: Arc<str>,
    /// The evaluator's settings with every default filled in: a JSON object.
    pub settings: Arc<serde_json::Value>,
    /// The metrics that this stage must deliver, at least one, by the campaign's names.
    pub measures: Vec<MetricName>,
    /// The evaluator's name of each metric of [`Self::measures`] that the campaign calls otherwise.
    pub called: BTreeMap<MetricName, MetricName>,
    /// How often each candidate is measured, 1 to 100, each time under another seed; its values are the
    /// means.
    pub repeats: u32,
    /// The name of the earlier stage whose training this one continues, if any.
    pub resume: Option<Arc<str>>,
    /// The data set that a worker must have, if any.
    pub dataset: Option<Arc<str>>,
    /// Labels that a worker must carry, with their values.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// The longest that one attempt may take.
    pub timeout: Span,
}

impl Stage {
    /// What the evaluator calls the campaign's `metric`.
    #[must_use]
    pub fn asked<'a>(&'a self, metric: &'a MetricName) -> &'a MetricName {
        self.called.get(metric).unwrap_or(metric)
    }

    /// The stage as its evaluator sees it: metrics by the evaluator's names.
    #[must_use]
    pub fn for_evaluator(self: &Arc<Self>) -> Arc<Self> {
        if self.called.is_empty() {
            return Arc::clone(self);
        }
        let measures = self.measures.iter().map(|metric| self.asked(metric).clone()).collect();
        Arc::new(Self { measures, called: BTreeMap::new(), ..self.as_ref().clone() })
    }
}

/// When a campaign stops proposing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The number of candidates that enter the first stage, at least 1. Those rejected by analytic
    /// constraints before dispatch do not count; failed and screened ones do. Later stages of the
    /// same candidate cost nothing more.
    pub evaluations: u32,
    /// The longest run time since submission, pauses included, if limited.
    pub duration: Option<Span>,
    /// The time that evaluations may spend in slots in all, failed attempts included, if limited:
    /// GPU hours where a slot is a GPU. What is in work when it is spent is finished.
    pub slot_time: Option<Span>,
    /// The energy that evaluations may use in all, as far as their evaluators report it, failed
    /// attempts included, if limited. What is in work when it is spent is finished.
    pub energy: Option<Energy>,
}

/// When a campaign ends before its budget is spent; any of these suffices.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StopRules {
    /// Bounds that one feasible candidate has to keep all of; none for no such rule.
    pub target: Vec<Constraint>,
    /// The hypervolume that the front has to reach, in the product of the objectives' units.
    pub hypervolume: Option<f64>,
    /// How long the front may stand still.
    pub stagnation: Option<Stagnation>,
}

/// A front that has stopped growing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stagnation {
    /// The number of scored candidates, at least 1, in a row, over which the hypervolume does not
    /// grow by more than [`Self::improvement`].
    pub evaluations: u32,
    /// The growth that counts as progress, relative to the hypervolume, 0 to 1.
    pub improvement: f64,
}

impl CampaignSpec {
    /// Reads and checks a campaign that is complete: one that names files or earlier campaigns is at
    /// fault.
    ///
    /// # Errors
    /// Every fault of the text, ordered by place.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        check::parse(text, Limits::WRITTEN, &NoStartReader).map(|(spec, _)| spec)
    }

    /// Reads what [`Self::to_yaml`] has written, which may be several times longer than what
    /// somebody writes: at most [`MAX_RESOLVED_BYTES`].
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_resolved(text: &str) -> Result<Self, Faults> {
        check::parse(text, Limits::RESOLVED, &NoStartReader).map(|(spec, _)| spec)
    }

    /// Reads and checks a campaign whose `start` may name files and earlier campaigns, which `reader`
    /// reads; with it comes the text that is complete without them, for [`Self::parse`]. It is `text`
    /// itself if none was read. Otherwise the list is written out where it stands, so that the lines
    /// behind it keep their numbers; or, if its layout does not allow that, it is [`Self::to_yaml`].
    /// Campaigns that are read [`StartCampaignRows::Later`] stay in the text and give nothing.
    ///
    /// # Errors
    /// Every fault of the text, ordered by place, those of files and campaigns at the entries that
    /// name them; and that it is too long for [`Self::parse_resolved`] with everything written out.
    pub fn parse_with(text: &str, reader: &dyn StartReader) -> Result<(Self, String), Faults> {
        let (spec, written) = check::parse(text, Limits::WRITTEN, reader)?;
        check::can_be_kept(&spec)?;
        Ok((spec, written.unwrap_or_else(|| text.to_owned())))
    }

    /// The same campaign with another seed.
    ///
    /// # Errors
    /// None that a checked campaign can have; the text of the campaign is read again, since its
    /// algorithm was built for the seed.
    pub fn with_seed(&self, seed: u64) -> Result<Self, Faults> {
        Self::parse_resolved(&Self { seed, ..self.clone() }.to_yaml())
    }

    /// The campaign with every default written out; [`Self::parse_resolved`] reads it back to an equal
    /// campaign, whatever the defaults of a later release are.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        resolve::to_yaml(self)
    }
}
