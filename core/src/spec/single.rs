//! A campaign of one architecture: the stages of another campaign, without a search.
//!
//! Must not know how the campaign is run.

use thiserror::Error;

use super::{CampaignSpec, Faults, Pass, resolve};
use crate::objective::{MetricKind, MetricName};
use crate::space::SpaceError;

/// Why there is no campaign of one architecture.
#[derive(Debug, Error)]
pub enum SingleError {
    /// The text is no architecture of the campaign's space.
    #[error("{0}")]
    Architecture(#[from] SpaceError),
    /// The campaign has no stage of this name.
    #[error("the campaign has no stage `{name}`; its stages are {known}")]
    Stage {
        /// The name asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// The campaign cannot be written as one of a single architecture.
    #[error("{0}")]
    Faults(#[from] Faults),
}

impl CampaignSpec {
    /// The campaign that evaluates the architecture written `genotype` once, in the stages called
    /// `stages` (all if none is named), without constraints: every metric of those stages is
    /// measured, whatever a search would make of it.
    ///
    /// # Errors
    /// [`SingleError`] if the architecture or a stage is not of this campaign.
    pub fn of_one(&self, genotype: &str, stages: &[String]) -> Result<Self, SingleError> {
        let genotype = self.space.format(&self.space.parse(genotype)?);
        for name in stages {
            if !self.stages.iter().any(|stage| *stage.name == **name) {
                let known: Vec<&str> = self.stages.iter().map(|stage| &*stage.name).collect();
                return Err(SingleError::Stage { name: name.clone(), known: known.join(", ") });
            }
        }
        let mut single = self.clone();
        single.start.clear();
        single.constraints.clear();
        single.stop = super::StopRules::default();
        if !stages.is_empty() {
            single.stages.retain(|stage| stages.iter().any(|name| *stage.name == **name));
        }
        // A stage whose beginning is left out begins anew.
        let names: Vec<_> = single.stages.iter().map(|stage| stage.name.clone()).collect();
        for stage in &mut single.stages {
            stage.resume.take_if(|before| !names.contains(before));
        }
        // Whatever the stages ask for, the architecture goes through all of them.
        single.passes = vec![Pass::default(); single.stages.len()];
        single.objectives.retain(|objective| self.is_known(&objective.metric, &single.stages));
        Ok(Self::parse(&resolve::of_one(&single, &genotype))?)
    }

    /// Whether these stages measure the metric or it follows from the network.
    fn is_known(&self, metric: &MetricName, stages: &[super::Stage]) -> bool {
        let found = self.metrics.find(metric.as_str());
        found.is_some_and(|found| matches!(found.kind, MetricKind::Analytic(_)))
            || stages.iter().any(|stage| stage.measures.contains(metric))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::check::example;

    const SKIPS: &str = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|";

    #[test]
    fn one_architecture_goes_through_the_stages_that_are_named() {
        let base = CampaignSpec::parse(example::BASE).unwrap();
        let single = base.of_one(SKIPS, &[]).unwrap();
        assert_eq!((single.budget.evaluations, single.start.len()), (1, 1));
        assert!(single.constraints.is_empty());
        assert_eq!((single.stages, single.seed), (base.stages.clone(), base.seed));

        let scored = example::BASE.replace(
            "stages:",
            "stages:\n  - {evaluator: proxies, measures: [naswot], settings: {}}",
        );
        let scored = CampaignSpec::parse(&scored).unwrap();
        let single = scored.of_one(SKIPS, &["proxies".to_owned()]).unwrap();
        assert_eq!(single.stages.len(), 1);
        // An objective is needed; the first metric is one where none of the campaign's is measured.
        assert_eq!(single.objectives[0].metric.as_str(), "naswot");
    }

    #[test]
    fn what_is_not_of_the_campaign_is_refused() {
        let base = CampaignSpec::parse(example::BASE).unwrap();
        let error = base.of_one("|conv~0|", &[]).unwrap_err();
        assert!(matches!(error, SingleError::Architecture(_)), "{error}");
        let error = base.of_one(SKIPS, &["trian".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "the campaign has no stage `trian`; its stages are train");
    }
}
