//! `min_difference`: whether the validation images of a stage can tell so small a difference at all. It must
//! not know how accuracies are compared: `confidence` does.

use super::Placed;
use crate::confidence::{resolved, samples_to_resolve, samples_to_resolve_near};
use crate::objective::{FoundMetric, Objective};
use crate::spec::{Fault, Section, Stage};

/// An accuracy that is common among good candidates; fewer images do where all reach it.
const COMMON_SHARE: f64 = 0.9;

/// Checks the value as written.
pub(super) fn check(section: &Section<'_>, descriptor: &FoundMetric<'_>, difference: f64) {
    if descriptor.unit != "%" {
        section.fault(
            "min_difference",
            format!("`{}` is no share of images that are right", descriptor.name),
            "leave the key out; it is for `accuracy`, in percentage points",
        );
    } else if !(difference > 0.0 && difference <= 100.0) {
        section.fault(
            "min_difference",
            format!("{difference} is out of range"),
            "write the smallest difference that matters, in percentage points, such as 0.5",
        );
    }
}

/// A warning for each objective whose difference the validation images cannot tell; `evaluations` is the
/// number of candidates that are compared.
pub(super) fn warnings(
    objectives: &[Placed<'_, Objective>],
    stages: &[Placed<'_, Stage>],
    evaluations: u32,
) -> Vec<Fault> {
    let warning = |placed: &Placed<'_, Objective>| {
        let (objective, at) = (&placed.value, placed.at.inner("min_difference")?);
        let difference = objective.min_difference? / 100.0;
        let stage = stages.iter().find(|stage| stage.value.measures.contains(&objective.metric))?;
        let samples = validation_samples(&stage.value, objective)?;
        let needed = samples_to_resolve(evaluations, difference);
        if f64::from(samples) >= needed {
            return None;
        }
        let near = samples_to_resolve_near(evaluations, difference, COMMON_SHARE);
        let message = format!(
            "{samples} validation images tell the `{}` of {evaluations} candidates to {:.2} points \
             only, with 95 % certainty for all of them",
            objective.metric,
            100.0 * resolved(evaluations, samples),
        );
        let help = format!(
            "{needed} images in `validation_samples` tell {} points whatever the accuracies are, \
             {near} if they are about 90 %; repeats do not help, since all of them are measured on \
             the same images",
            100.0 * difference,
        );
        Some(at.remark(message, help))
    };
    objectives.iter().filter_map(warning).collect()
}

/// How many images the stage measures the accuracy on, where that is known beforehand.
fn validation_samples(stage: &Stage, objective: &Objective) -> Option<u32> {
    if stage.evaluator.as_ref() != "train" || stage.asked(&objective.metric).as_str() != "accuracy"
    {
        return None;
    }
    let samples = stage.settings.get("validation_samples")?.as_u64()?;
    u32::try_from(samples).ok()
}

#[cfg(test)]
mod tests {
    use crate::spec::CampaignSpec;

    fn campaign(objective: &str, samples: u32) -> String {
        format!(
            "version: 1\nname: a\nspace: {{kind: nasbench201, input: [1, 28, 28], classes: 10}}\n\
             objectives:\n  - {objective}\nstages:\n  - evaluator: train\n    measures: [accuracy]\n    \
             settings: {{dataset: fashion-mnist, validation_samples: {samples}}}\n\
             algorithm: random\nbudget: {{evaluations: 200}}\n"
        )
    }

    fn read(text: &str) -> CampaignSpec {
        CampaignSpec::parse(text).unwrap_or_else(|faults| panic!("{faults}"))
    }

    #[test]
    fn too_few_images_are_a_warning_with_a_place_and_never_a_fault() {
        let asked = "{metric: accuracy, min_difference: 2}";
        let spec = read(&campaign(asked, 2_000));
        assert_eq!(
            spec.warnings[0].to_string(),
            "5:40: objectives[0].min_difference: 2000 validation images tell the `accuracy` of 200 \
             candidates to 4.74 points only, with 95 % certainty for all of them\n  help: 11234 images \
             in `validation_samples` tell 2 points whatever the accuracies are, 4045 if they are about \
             90 %; repeats do not help, since all of them are measured on the same images"
        );
        assert_eq!(spec.warnings.len(), 1);
        assert!(read(&campaign(asked, 11_233)).warnings.len() == 1);
        assert_eq!(read(&campaign(asked, 11_234)).warnings, []);
        assert_eq!(read(&campaign("accuracy", 2_000)).warnings, []);
    }

    #[test]
    fn the_difference_is_kept_and_has_to_make_sense() {
        let spec = read(&campaign("{metric: accuracy, min_difference: 0.5}", 2_000));
        assert_eq!(spec.objectives[0].min_difference, Some(0.5));
        assert_eq!(read(&spec.to_yaml()).objectives, spec.objectives);
        for (objective, message) in [
            ("{metric: accuracy, min_difference: 0}", "0 is out of range"),
            ("{metric: accuracy, min_difference: .nan}", "NaN is out of range"),
            ("{metric: params, min_difference: 2}", "`params` is no share of images"),
        ] {
            let faults = CampaignSpec::parse(&campaign(objective, 2_000)).unwrap_err().to_string();
            assert!(faults.contains(message), "{faults}");
        }
    }
}
