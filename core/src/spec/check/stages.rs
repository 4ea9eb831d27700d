//! The stages of an evaluation: known evaluators, metrics that they deliver, each measured once. It must not
//! know what an evaluator's settings mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Placed, checked_name, repeats, resume, written};
use crate::objective::{MetricKind, MetricName, Metrics};
use crate::space::{SearchSpace, problem};
use crate::spec::document::shortened;
use crate::spec::duration::Duration;
use crate::spec::evaluator::{
    CheckedSettings, EVALUATORS, EvaluatorEntry, Needs, custom_name, is_dataset_name,
};
use crate::spec::raw::{RawMeasure, RawStage};
use crate::spec::section::Item;
use crate::spec::{Section, Stage, spelling};
use crate::time::Span;

/// The most stages.
const MAX_STAGES: usize = 16;
/// The most labels of a stage.
const MAX_LABELS: usize = 32;
/// The longest label or value, in bytes.
const MAX_LABEL: usize = 64;
const DEFAULT_TIMEOUT: Span = Span::from_secs(3_600);
const SHORTEST_TIMEOUT: Span = Span::from_millis(100);
const LONGEST_TIMEOUT: Span = Span::from_secs(30 * 86_400);

/// Reads `stages`. A stage with faults is among the result if enough of it is known.
pub(super) fn stages<'d>(root: &'d Section<'_>, metrics: &Metrics) -> Vec<Placed<'d, Stage>> {
    let help = "list how a candidate is evaluated, such as `stages: [{evaluator: train, ...}]`";
    root.missing("stages", help);
    let items = root.items("stages");
    if items.is_empty() && root.item("stages").is_some_and(|item| item.is_empty_list()) {
        root.fault("stages", "the list is empty", help);
    }
    if items.len() > MAX_STAGES {
        root.fault(
            "stages",
            format!("there are {} stages; at most {MAX_STAGES} are possible", items.len()),
            "let one stage measure several metrics",
        );
    }
    let mut stages: Vec<Placed<'d, Stage>> = Vec::new();
    for item in items.into_iter().take(MAX_STAGES) {
        let Some(value) = stage(&item, metrics) else { continue };
        check_unique(&item, &value, &stages);
        stages.push(Placed { value, at: item });
    }
    // A stage with faults is missing among them, and would be missed.
    if root.is_clean_at("stages") {
        for (at, stage) in stages.iter().enumerate() {
            resume::check(&stage.at, &stage.value, &stages[..at]);
        }
    }
    stages
}

/// Names and measured metrics are those of one stage only.
fn check_unique(item: &Item<'_>, stage: &Stage, earlier: &[Placed<'_, Stage>]) {
    let Some(section) = item.section() else { return };
    for other in earlier {
        if other.value.name == stage.name {
            section.fault(
                "name",
                format!("another stage is called `{}` already", stage.name),
                "give each stage a name of its own",
            );
        }
        for measured in section.items("measures") {
            let Some((name, _)) = names(&measured) else { continue };
            if other.value.measures.contains(&name.as_str().into()) {
                measured.fault(
                    format!("stage `{}` measures `{name}` already", other.value.name),
                    "let one of the two measure it, or call it otherwise here: `{metric: NAME, as: OTHER}`",
                );
            }
        }
    }
}

fn stage(item: &Item<'_>, metrics: &Metrics) -> Option<Stage> {
    let section = item.section()?;
    let raw: RawStage = section.read();
    let evaluators = || EVALUATORS.iter().map(|entry| entry.name);
    section.missing("evaluator", spelling::advice("", evaluators()));
    let evaluator = raw.evaluator?;
    let entry = EvaluatorEntry::find(&evaluator);
    if entry.is_none() {
        section.fault(
            "evaluator",
            format!("there is no evaluator called `{}`", shortened(&evaluator)),
            spelling::advice(&evaluator, evaluators()),
        );
    }
    if let Some(own) = custom_name(&evaluator) {
        checked_name(&section, "evaluator", own);
    }
    let name = match raw.name {
        Some(name) => checked_name(&section, "name", &name),
        None => custom_name(&evaluator).unwrap_or(&evaluator).into(),
    };
    let dataset = raw.dataset.and_then(|name| dataset(&section, &evaluator, name));
    let timeout = checked_timeout(&section, raw.timeout);
    let labels = labels(&section);
    let checked = entry.and_then(|entry| settings(&section, entry));
    let delivers = checked.as_ref().and_then(|checked| checked.delivers.as_deref());
    let (measures, called) = measures(&section, metrics, entry, delivers);
    let repeats = repeats::check(&section, raw.repeats, entry, checked.as_ref());
    let checked = checked?;
    Some(Stage {
        name,
        evaluator: evaluator.into(),
        settings: Arc::new(checked.settings),
        measures,
        called,
        repeats,
        resume: raw.resume.map(Arc::from),
        dataset: checked.dataset.or(dataset),
        labels,
        timeout,
    })
}

/// The data set that a worker needs for an evaluator of a user; others have it in their settings.
fn dataset(section: &Section<'_>, evaluator: &str, name: String) -> Option<Arc<str>> {
    if custom_name(evaluator).is_none() {
        section.fault(
            "dataset",
            "is for evaluators of one's own",
            "write it into `settings` if the evaluator reads a data set",
        );
        return None;
    }
    if !is_dataset_name(&name) {
        section.fault(
            "dataset",
            "is not the name of a data set",
            "write lower-case letters, digits and `-`, at most 64, such as `fashion-mnist`",
        );
        return None;
    }
    Some(name.into())
}

fn settings(section: &Section<'_>, entry: &EvaluatorEntry) -> Option<CheckedSettings> {
    (entry.check)(&section.child_or_empty("settings")?)
}

fn checked_timeout(section: &Section<'_>, timeout: Option<Duration>) -> Span {
    let timeout = timeout.map_or(DEFAULT_TIMEOUT, |Duration(span)| span);
    if !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&timeout) {
        section.fault(
            "timeout",
            format!("{} is out of range", written(timeout)),
            format!(
                "write a length of time from {} to {}",
                written(SHORTEST_TIMEOUT),
                written(LONGEST_TIMEOUT)
            ),
        );
    }
    timeout
}

fn labels(section: &Section<'_>) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut labels = BTreeMap::new();
    let Some(written) = section.child("labels") else { return labels };
    if written.keys().count() > MAX_LABELS {
        section.fault(
            "labels",
            format!("there are more than {MAX_LABELS} labels"),
            "keep those that choose the workers",
        );
        return labels;
    }
    for key in written.keys() {
        let fits = |text: &str| {
            !text.is_empty() && text.len() <= MAX_LABEL && !text.chars().any(char::is_control)
        };
        let item = written.item(key);
        match item.as_ref().and_then(Item::text).filter(|text| fits(text) && fits(key)) {
            Some(text) => {
                labels.insert(key.into(), text.into());
            }
            None => written.fault_at_entry(
                key,
                "is not a label",
                format!(
                    "write `name: value`, both texts of at most {MAX_LABEL} bytes, as the workers \
                     were given them"
                ),
            ),
        }
    }
    labels
}

/// Reads `measures`: known metrics that the evaluator delivers, each once, with the evaluator's names
/// of those that the campaign calls otherwise.
fn measures(
    section: &Section<'_>,
    metrics: &Metrics,
    entry: Option<&'static EvaluatorEntry>,
    delivers: Option<&[String]>,
) -> (Vec<MetricName>, BTreeMap<MetricName, MetricName>) {
    section.missing("measures", "list the metrics that the stage delivers, such as `[accuracy]`");
    let items = section.items("measures");
    if items.is_empty() && section.item("measures").is_some_and(|item| item.is_empty_list()) {
        section.fault("measures", "the list is empty", "name at least one metric");
    }
    let (mut measures, mut called) = (Vec::new(), BTreeMap::new());
    for item in items {
        let Some((name, asked)) = names(&item) else {
            item.fault(
                format!("expected the name of a metric, found {}", item.description()),
                "write the name alone, such as `accuracy`, or `{metric: accuracy, as: OTHER}` with a \
                 metric that is declared under `metrics`",
            );
            continue;
        };
        let refused = refusal(&asked, metrics, entry, delivers);
        let renaming = || (name != asked).then(|| renamed(&name, &asked, metrics)).flatten();
        let refused = refused.or_else(renaming);
        let name = MetricName::from(name.as_str());
        match refused {
            Some((message, help)) => item.fault(message, help),
            None if measures.contains(&name) => {
                item.fault(format!("`{name}` is listed already"), "remove one of the two");
            }
            None => {
                if name.as_str() != asked {
                    called.insert(name.clone(), asked.as_str().into());
                }
                measures.push(name);
            }
        }
    }
    (measures, called)
}

/// The campaign's and the evaluator's name of a metric of `measures`: one text, or a mapping.
fn names(item: &Item<'_>) -> Option<(String, String)> {
    if let Some(name) = item.text() {
        return Some((name.to_owned(), name.to_owned()));
    }
    let raw: RawMeasure = item.is_mapping().then(|| item.section())??.read();
    let metric = raw.metric?;
    Some((raw.called.unwrap_or_else(|| metric.clone()), metric))
}

/// Why the evaluator's metric `asked` cannot be called `name` by the campaign.
fn renamed(name: &str, asked: &str, metrics: &Metrics) -> Option<(String, String)> {
    if metrics.find(asked).is_some_and(|found| matches!(found.kind, MetricKind::Sealed)) {
        return Some((
            format!("`{asked}` is for the record only, and under another name it could be read"),
            "measure it by its own name, in one stage".to_owned(),
        ));
    }
    let declared = metrics.find(name).is_some_and(|found| found.is_declared);
    let known = metrics.declared().iter().map(|declared| declared.name.as_str());
    (!declared).then(|| {
        (
            format!("`{}` is no metric that the campaign declares", shortened(name)),
            match metrics.declared().is_empty() {
                true => "declare it under `metrics`".to_owned(),
                false => {
                    format!("{}; or declare it under `metrics`", spelling::advice(name, known))
                }
            },
        )
    })
}

/// Why a stage cannot measure `name`, and what to do.
fn refusal(
    name: &str,
    metrics: &Metrics,
    entry: Option<&'static EvaluatorEntry>,
    delivers: Option<&[String]>,
) -> Option<(String, String)> {
    let analytic = |kind| matches!(kind, MetricKind::Analytic(_));
    let Some(found) = metrics.find(name) else {
        let known = metrics.iter().filter(|found| !analytic(found.kind)).map(|found| found.name);
        return Some((
            format!("there is no metric called `{}`", shortened(name)),
            format!("{}; or declare it under `metrics`", spelling::advice(name, known)),
        ));
    };
    let entry = entry?;
    if analytic(found.kind) && !entry.delivers_any {
        return Some((
            format!("`{name}` is computed from the network, not measured"),
            "remove it here; objectives and constraints can read it without a stage".to_owned(),
        ));
    }
    if !entry.delivers_any && !entry.metrics.contains(&name) {
        return Some((
            format!("the evaluator `{}` does not deliver `{name}`", entry.name),
            spelling::advice(name, entry.metrics.iter().copied()),
        ));
    }
    delivers.filter(|delivers| !delivers.iter().any(|delivered| delivered == name)).map(
        |delivers| {
            (
                format!("these settings do not deliver `{name}`"),
                spelling::advice(name, delivers.iter().map(String::as_str)),
            )
        },
    )
}

/// A stage evaluates what the candidates of the space have.
pub(super) fn check_fits(stage: &Placed<'_, Stage>, space: &dyn SearchSpace) {
    let name = &stage.value.evaluator;
    let Some(entry) = EvaluatorEntry::find(name) else { return };
    let problem = space.problem();
    match entry.needs {
        Needs::Network if !space.has_networks() => {
            let help = match problem {
                Some(_) => "choose `problem`, or a space of networks",
                None => {
                    "choose `tabular`, or a space of networks; a declared one has them by `network`"
                }
            };
            let reason = format!("`{name}` evaluates networks, and this space has none");
            stage.at.fault_at("evaluator", reason, help);
        }
        Needs::Problem => match problem {
            None => stage.at.fault_at(
                "evaluator",
                format!("`{name}` evaluates mathematical test problems, and this space is none"),
                "choose another evaluator, or `space: {kind: problem, name: zdt1}`",
            ),
            Some(problem) => check_objectives(stage, problem.objectives()),
        },
        Needs::Network | Needs::Text => {}
    }
}

/// A problem delivers as many metrics as it has objectives.
fn check_objectives(stage: &Placed<'_, Stage>, objectives: usize) {
    for name in problem::OBJECTIVES.iter().skip(objectives) {
        if stage.value.measures.contains(&(*name).into()) {
            let reason = format!("the problem has {objectives} objectives and no `{name}`");
            stage.at.fault_at("measures", reason, "give the space more `objectives`");
        }
    }
}
