//! Stages and assignments: what a worker is asked to do. Must not know what an evaluator's settings mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use cambrian_core::engine::Assignment;
use cambrian_core::graph::Graph;
use cambrian_core::id::{Attempt, CandidateId, TaskId};
use cambrian_core::objective::MetricName;
use cambrian_core::spec::Stage;

use super::artifact::{bytes_of, named_or_none};
use super::{
    ConvertError, MAX_NAME_BYTES, Within, list, name, number, positive, required, span, string_map,
    text, text_map,
};
use crate::v1;

/// The longest JSON text of an evaluator's settings, bytes.
pub const MAX_SETTINGS_BYTES: usize = 1 << 20;
/// The longest genotype in its space's notation, bytes.
pub const MAX_GENOTYPE_BYTES: usize = 1 << 20;
/// The largest number of metrics of one stage.
const MAX_MEASURES: usize = 256;

impl From<&Stage> for v1::Stage {
    fn from(stage: &Stage) -> Self {
        Self {
            name: stage.name.to_string(),
            evaluator: stage.evaluator.to_string(),
            settings_json: stage.settings.to_string(),
            measures: stage.measures.iter().map(ToString::to_string).collect(),
            dataset: stage.dataset.as_deref().unwrap_or_default().to_owned(),
            timeout_micros: stage.timeout.0,
            labels: string_map(&stage.labels),
        }
    }
}

impl TryFrom<v1::Stage> for Stage {
    type Error = ConvertError;

    fn try_from(message: v1::Stage) -> Result<Self, ConvertError> {
        name("name", &message.name)?;
        name("evaluator", &message.evaluator)?;
        text("dataset", &message.dataset, MAX_NAME_BYTES)?;
        let dataset = (!message.dataset.is_empty()).then(|| Arc::from(message.dataset));
        Ok(Self {
            name: message.name.into(),
            evaluator: message.evaluator.into(),
            settings: Arc::new(settings(&message.settings_json)?),
            measures: measures(&message.measures)?,
            called: BTreeMap::new(),
            repeats: 1,
            resume: None,
            dataset,
            labels: text_map("labels", message.labels)?,
            timeout: span("timeout_micros", positive("timeout_micros", message.timeout_micros)?)?,
        })
    }
}

fn settings(json: &str) -> Result<serde_json::Value, ConvertError> {
    text("settings_json", json, MAX_SETTINGS_BYTES)?;
    match serde_json::from_str(json) {
        Ok(settings @ serde_json::Value::Object(_)) => Ok(settings),
        Ok(_) => Err(ConvertError::new("settings_json", "is not a JSON object")),
        Err(error) => Err(ConvertError::new("settings_json", format!("is not JSON: {error}"))),
    }
}

fn measures(names: &[String]) -> Result<Vec<MetricName>, ConvertError> {
    positive("measures", names.len())?;
    list("measures", names.len(), MAX_MEASURES)?;
    let read = |(index, metric): (usize, &String)| {
        name("", metric).within_entry("measures", index).map(MetricName::from)
    };
    names.iter().enumerate().map(read).collect()
}

impl From<&Assignment> for v1::Assignment {
    fn from(assignment: &Assignment) -> Self {
        Self {
            task: assignment.task.0,
            attempt: assignment.attempt.0,
            candidate: Some(assignment.candidate.into()),
            graph: assignment.graph.as_deref().map(Into::into),
            genotype: assignment.genotype.to_string(),
            stage: Some(assignment.stage.as_ref().into()),
            seed: assignment.seed,
            resume: bytes_of(assignment.resume),
            keep: assignment.keep,
            resume_path: String::new(),
            checkpoint_path: String::new(),
            yield_path: String::new(),
        }
    }
}

impl TryFrom<v1::Assignment> for Assignment {
    type Error = ConvertError;

    fn try_from(message: v1::Assignment) -> Result<Self, ConvertError> {
        let candidate = required("candidate", message.candidate)?;
        let graph = message.graph.map(Graph::try_from).transpose().within("graph")?;
        let stage = required("stage", message.stage)?;
        text("genotype", &message.genotype, MAX_GENOTYPE_BYTES)?;
        Ok(Self {
            task: TaskId(number("task", positive("task", message.task)?)?),
            attempt: Attempt(positive("attempt", message.attempt)?),
            candidate: CandidateId::try_from(candidate).within("candidate")?,
            graph: graph.map(Arc::new),
            genotype: message.genotype.into(),
            stage: Arc::new(Stage::try_from(stage).within("stage")?),
            seed: message.seed,
            repeat: 0,
            resume: named_or_none("resume", &message.resume)?,
            keep: message.keep,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::any_graph;
    use super::super::tests::bad_field;
    use super::*;
    use cambrian_core::artifact::ArtifactId;
    use cambrian_core::id::{CampaignId, Ordinal};
    use cambrian_core::time::Span;
    use proptest::prelude::*;
    use serde_json::json;
    prop_compose! {
        fn any_stage()(
            name in "[a-z]{1,8}", rate in proptest::num::f64::NORMAL, epochs: u32,
            dataset in proptest::option::of("[a-z-]{1,9}"), timeout in 1..super::super::MAX_NUMBER,
            measures in proptest::collection::vec("[a-z_]{1,9}", 1..4),
            labels in proptest::collection::btree_map("[a-z]{1,5}", ".{0,9}", 0..3),
        ) -> Stage {
            Stage {
                name: name.into(),
                evaluator: "train".into(),
                settings: Arc::new(json!({"rate": rate, "epochs": epochs, "nested": [null, {"a": ""}]})),
                measures: measures.iter().map(|name| name.as_str().into()).collect(),
                called: BTreeMap::new(),
                repeats: 1,
                resume: None,
                dataset: dataset.map(Into::into),
                labels: labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
                timeout: Span(timeout),
            }
        }
    }

    fn stage() -> v1::Stage {
        v1::Stage::from(&Stage {
            name: "train".into(),
            evaluator: "train".into(),
            settings: Arc::new(json!({})),
            measures: vec!["accuracy".into()],
            called: BTreeMap::new(),
            repeats: 1,
            resume: None,
            dataset: None,
            labels: BTreeMap::new(),
            timeout: Span(1),
        })
    }

    fn bad(change: impl FnOnce(&mut v1::Stage)) -> String {
        let mut message = stage();
        change(&mut message);
        bad_field(Stage::try_from(message))
    }

    proptest! {
        #[test]
        fn assignments_round_trip(
            graph in proptest::option::of(any_graph()), stage in any_stage(), seed: u64, genotype in ".{0,20}",
            task in 1u64..1 << 40, attempt in 1u32..9, keep: bool, resumes: bool,
        ) {
            let before = Assignment {
                task: TaskId(task),
                attempt: Attempt(attempt),
                candidate: CandidateId::new(CampaignId(2), Ordinal(7)),
                graph: graph.map(Arc::new),
                genotype: genotype.into(),
                stage: Arc::new(stage),
                seed,
                repeat: 0,
                resume: resumes.then(|| ArtifactId::of(b"a checkpoint")),
                keep,
            };
            let after = Assignment::try_from(v1::Assignment::from(&before)).unwrap();
            prop_assert_eq!(&after.stage, &before.stage);
            prop_assert_eq!(format!("{after:?}"), format!("{before:?}"));
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        assert_eq!(bad(|stage| stage.name.clear()), "name");
        assert_eq!(bad(|stage| stage.evaluator.clear()), "evaluator");
        assert_eq!(bad(|stage| stage.settings_json = "[]".into()), "settings_json");
        assert_eq!(bad(|stage| stage.settings_json = "{".into()), "settings_json");
        assert_eq!(bad(|stage| stage.settings_json = "[".repeat(100_000)), "settings_json");
        let long = "x".repeat(MAX_SETTINGS_BYTES + 1);
        assert_eq!(bad(|stage| stage.settings_json = long), "settings_json");
        assert_eq!(bad(|stage| stage.measures.clear()), "measures");
        assert_eq!(bad(|stage| stage.measures.push(String::new())), "measures[1]");
        assert_eq!(bad(|stage| stage.timeout_micros = 0), "timeout_micros");
        assert_eq!(bad(|stage| stage.timeout_micros = u64::MAX), "timeout_micros");
        assert_eq!(bad(|stage| stage.dataset = "x".repeat(MAX_NAME_BYTES + 1)), "dataset");
        let label = |stage: &mut v1::Stage| {
            stage.labels.insert(String::new(), "x".into());
        };
        assert_eq!(bad(label), "labels.key");
        assert_eq!(bad_field(Assignment::try_from(v1::Assignment::default())), "candidate");
    }
}
