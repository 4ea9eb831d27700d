//! From a file as written to a campaign that can run, or everything that is wrong with it.
//!
//! Every check records its fault and goes on; the campaign is put together only if there is none.
//! It must not know what an entry of a table does with its parameters.

mod difference;
mod early;
mod metrics;
mod objectives;
mod passes;
mod repeats;
mod resume;
mod stages;
mod start;

use std::sync::Arc;

use serde_json::json;

use self::start::Rewriting;
use super::amount::Amount;
use super::computed::ComputedMetrics;
use super::document::{Document, Limits, Place, shortened};
use super::duration::{self, Duration};
use super::evaluator::{custom_name, dataset_facts};
use super::raw::{Evaluations, MAX_EVALUATIONS, RawBudget, RawCampaign, RawStagnation, RawStop};
use super::section::Item;
use super::start::StartReader;
use super::{
    Budget, CampaignSpec, Fault, Faults, Section, Stage, Stagnation, StopRules, failures, share,
    spelling,
};
use crate::algorithm::{ALGORITHMS, Algorithm, AlgorithmContext, Computed};
use crate::objective::{Constraint, Goal, Metrics, Objective};
use crate::space::{SPACES, SearchSpace};
use crate::time::Span;

/// The version of the format that is read.
pub(super) const FORMAT_VERSION: u32 = 1;
/// The longest name of a campaign or stage, in characters.
const MAX_NAME: usize = 64;

/// Reads and checks a campaign; see [`CampaignSpec::parse_with`]. The text is `None` if it is
/// complete as it is.
pub(super) fn parse(
    text: &str,
    limits: Limits,
    reader: &dyn StartReader,
) -> Result<(CampaignSpec, Option<String>), Faults> {
    let root = Section::within(text, limits)?;
    let checked = campaign(&root, limits, reader);
    root.finish()?;
    let (spec, rewriting) = checked.ok_or_else(refused_without_a_reason)?;
    let written = rewriting.written_out(text, &spec)?;
    Ok((spec, written))
}

/// The campaign and what is to be written into its text; `None` if a part is missing.
fn campaign(
    root: &Section<'_>,
    limits: Limits,
    reader: &dyn StartReader,
) -> Option<(CampaignSpec, Rewriting)> {
    // What a journal keeps was accepted once, and has to be read whatever is demanded since.
    let is_kept = limits == Limits::RESOLVED;
    let raw: RawCampaign = root.read();
    check_version(root, raw.version);
    let name = check_name(root, raw.name, limits == Limits::WRITTEN);
    let seed = raw.seed.unwrap_or(0);
    let space = check_space(root);
    let stop_section = root.contains("stop").then(|| root.child("stop")).flatten();
    let parts = Parts::read(root, stop_section.as_ref());
    parts.check(root, space.as_deref());
    let known = parts.known(root, space.as_deref());
    let (passes, early_stops) = (passes::passes(&known), early::early_stops(&known));
    let budget = check_budget(root);
    let evaluations = budget.as_ref().map(|budget| budget.evaluations);
    let mut warnings =
        difference::warnings(&parts.objectives, &parts.stages, evaluations.unwrap_or(1));
    if let Some(space) = &space {
        parts.stages.iter().for_each(|stage| check_dataset(space.as_ref(), stage));
    }
    let Parts { metrics, objectives, constraints, targets, stages } = parts;
    let (objectives, constraints) = (values(objectives), values(constraints));
    let stages: Vec<Stage> = values(stages);
    if let Some(stop) = stop_section.as_ref().filter(|_| !is_kept) {
        check_volume_is_comparable(stop, &objectives);
    }
    let stop = stop_section.as_ref().map(|stop| check_stop(stop, values(targets)));
    let computed = space.as_ref().and_then(|space| {
        ComputedMetrics::of_campaign(space, &objectives, &constraints, stages.iter())
    });
    let context = algorithm_context(space.clone(), evaluations, seed, &objectives, computed);
    let algorithm = check_algorithm(root, &context);
    if let (Some(algorithm), Some(budget)) = (&algorithm, &budget) {
        check_budget_suffices(root, algorithm.as_ref(), budget, is_kept);
        warnings.extend(remark_on_beginning(root, algorithm.as_ref(), budget));
    }
    let (failures, share) = (failures::check(root), share::check(root));
    let start = space
        .as_ref()
        .map(|space| start::check(root, space.as_ref(), evaluations, reader))
        .unwrap_or_default();
    let spec = CampaignSpec {
        name: name?,
        seed,
        space: space?,
        metrics,
        objectives,
        constraints,
        start: start.architectures,
        algorithm: algorithm?,
        stages,
        passes,
        early_stops,
        budget: budget?,
        stop: stop.unwrap_or_default(),
        failures: failures?,
        share,
        cache: raw.cache.unwrap_or_default(),
        warnings,
    };
    Some((spec, start.rewriting))
}

/// The parts of a campaign that are checked against each other, with their places.
struct Parts<'d> {
    metrics: Metrics,
    objectives: Vec<Placed<'d, Objective>>,
    constraints: Vec<Placed<'d, Constraint>>,
    /// What is reached where the campaign may stop.
    targets: Vec<Placed<'d, Constraint>>,
    stages: Vec<Placed<'d, Stage>>,
}

impl<'d> Parts<'d> {
    fn read(root: &'d Section<'_>, stop: Option<&'d Section<'_>>) -> Self {
        let metrics = metrics::metrics(root);
        let objectives = objectives::objectives(root, &metrics);
        let constraints = objectives::constraints(root, "constraints", &metrics);
        let targets = stop.map(|stop| objectives::constraints(stop, "target", &metrics));
        let targets = targets.unwrap_or_default();
        let stages = stages::stages(root, &metrics);
        Self { metrics, objectives, constraints, targets, stages }
    }

    /// Whatever is read is measured, and every stage evaluates what the space has.
    fn check(&self, root: &Section<'_>, space: Option<&dyn SearchSpace>) {
        let Self { metrics, objectives, constraints, targets, stages } = self;
        let bounds = [constraints.as_slice(), targets.as_slice()];
        objectives::check_measured(root, metrics, has_networks(space), objectives, bounds, stages);
        if let Some(space) = space {
            stages.iter().for_each(|stage| stages::check_fits(stage, space));
        }
    }

    fn known(&self, root: &Section<'_>, space: Option<&dyn SearchSpace>) -> passes::Known<'_, 'd> {
        passes::Known {
            metrics: &self.metrics,
            objectives: &self.objectives,
            stages: &self.stages,
            networks: has_networks(space),
            complete: root.is_clean_at("stages"),
        }
    }
}

/// A space with faults may have any.
fn has_networks(space: Option<&dyn SearchSpace>) -> bool {
    space.is_none_or(|space| space.has_networks())
}

fn values<T>(placed: Vec<Placed<'_, T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}

fn refused_without_a_reason() -> Faults {
    Faults::single(Place { line: 1, column: 1 }.fault(
        "",
        "a part of the campaign was refused without a reason".to_owned(),
        Some("this is a defect of the program; please report it with the file".to_owned()),
    ))
}

/// What a journal keeps of a campaign must be read by every start after it.
pub(super) fn can_be_kept(spec: &CampaignSpec) -> Result<(), Faults> {
    let Err(faults) = Document::parse(&spec.to_yaml(), Limits::RESOLVED) else { return Ok(()) };
    let why = faults.iter().next().map(|fault| fault.message.as_str()).unwrap_or_default();
    Err(Faults::single(Place { line: 1, column: 1 }.fault(
        "",
        format!("with every default and list written out the campaign is too long: {why}"),
        Some("give fewer architectures in `start`, or shorten texts".to_owned()),
    )))
}

/// A checked value and where it was written, for checks across parts of the file.
struct Placed<'d, T> {
    value: T,
    at: Item<'d>,
}

fn check_version(root: &Section<'_>, version: Option<u32>) {
    root.missing("version", format!("start the file with `version: {FORMAT_VERSION}`"));
    if let Some(version) = version.filter(|version| *version != FORMAT_VERSION) {
        root.fault(
            "version",
            format!("version {version} of the format is not known"),
            format!("this program reads version {FORMAT_VERSION}"),
        );
    }
}

/// The campaign's name. One of digits alone would be taken for a number wherever a campaign is named, so
/// none is `new` with such a name; journals may hold some.
fn check_name(root: &Section<'_>, name: Option<String>, new: bool) -> Option<Arc<str>> {
    root.missing("name", "give the campaign a short name, such as `name: fashion-mnist`");
    let name = name?;
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if new && digits {
        root.fault(
            "name",
            format!("`{}` would be taken for the number of a campaign", shortened(&name)),
            "put a letter into the name, such as `name: run-7`",
        );
    }
    Some(checked_name(root, "name", &name))
}

/// The name at `key`; a fault if it cannot be part of a file name or a command line.
fn checked_name(section: &Section<'_>, key: &str, name: &str) -> Arc<str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let valid = name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed);
    if !valid {
        section.fault(
            key,
            format!("`{}` cannot be a name", shortened(name)),
            format!(
                "use letters, digits, `-`, `_` and `.`, at most {MAX_NAME}, and start with a \
                 letter or digit"
            ),
        );
    }
    name.into()
}

/// An entry of a table with its parameters: written as a mapping with a `kind`, or as a bare name.
struct Choice<'d, E: 'static> {
    entry: &'static E,
    parameters: Section<'d>,
}

/// The entry that is named at `key` of the file.
fn check_choice<'d, E>(
    root: &'d Section<'_>,
    key: &str,
    table: &'static [E],
    name_of: fn(&E) -> &'static str,
) -> Option<Choice<'d, E>> {
    let names = || table.iter().map(name_of);
    let Some(item) = root.item(key) else {
        let list = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        root.missing(key, format!("choose one of {list}, with its parameters beside `kind`"));
        return None;
    };
    let (name, parameters) = match item.text() {
        Some(name) => (name.to_owned(), item.empty_section()),
        None => {
            let section = item.section()?;
            let kind = section.item("kind").map(|kind| kind.text().map(str::to_owned));
            let Some(kind) = kind else {
                section.fault("kind", "is missing", spelling::advice("", names()));
                return None;
            };
            (kind.unwrap_or_default(), section.without("kind"))
        }
    };
    let entry = table.iter().find(|entry| name_of(entry) == name);
    if entry.is_none() {
        let advice = spelling::advice(&name, names());
        let message = format!("there is no {key} called `{}`", shortened(&name));
        if parameters.contains("kind") {
            parameters.fault("kind", message, advice);
        } else {
            item.fault(message, advice);
        }
    }
    entry.map(|entry| Choice { entry, parameters })
}

fn check_space(root: &Section<'_>) -> Option<Arc<dyn SearchSpace>> {
    let choice = check_choice(root, "space", SPACES, |entry| entry.name)?;
    (choice.entry.build)(&choice.parameters)
}

/// What an algorithm is told of its campaign.
fn algorithm_context(
    space: Option<Arc<dyn SearchSpace>>,
    evaluations: Option<u32>,
    seed: u64,
    objectives: &[Objective],
    computed: Option<Arc<dyn Computed>>,
) -> AlgorithmContext {
    AlgorithmContext {
        space,
        evaluations,
        seed,
        objectives: objectives.iter().map(|goal| goal.metric.as_str().into()).collect(),
        maximized: objectives.iter().map(|goal| goal.goal == Goal::Maximize).collect(),
        computed,
    }
}

fn check_algorithm(root: &Section<'_>, context: &AlgorithmContext) -> Option<Box<dyn Algorithm>> {
    if !root.contains("algorithm") {
        let defaults = root.child_or_empty("algorithm")?;
        return ALGORITHMS.first().and_then(|default| (default.build)(&defaults, context));
    }
    let choice = check_choice(root, "algorithm", ALGORITHMS, |entry| entry.name)?;
    (choice.entry.build)(&choice.parameters, context)
}

fn check_budget(root: &Section<'_>) -> Option<Budget> {
    let help = "say when the campaign ends, such as `budget: {evaluations: 1000, duration: 8h}`";
    root.missing("budget", help);
    let section = root.child("budget")?;
    let raw: RawBudget = section.read();
    section.missing("evaluations", "say how many candidates are evaluated, such as 1000");
    let evaluations = raw.evaluations.map(|Evaluations(number)| number);
    if evaluations.is_some_and(|number| number == 0 || number > MAX_EVALUATIONS) {
        section.fault(
            "evaluations",
            "is out of range",
            format!("write a number from 1 to {MAX_EVALUATIONS}"),
        );
    }
    let limit = |key, written: Option<Duration>| {
        let span = written.map(|Duration(span)| span);
        if span.is_some_and(|span| span < Span::from_secs(1)) {
            section.fault(
                key,
                "is too short for anything to be evaluated",
                "write at least `1s`, or leave the key out for no limit",
            );
        }
        span
    };
    let duration = limit("duration", raw.duration);
    let slot_time = limit("slot_time", raw.slot_time);
    let energy = raw.energy.map(|Amount(energy)| energy);
    if energy.is_some_and(|energy| energy.0 == 0) {
        section.fault("energy", "is nothing", "write at least `1 J`, or leave the key out");
    }
    Some(Budget { evaluations: evaluations?, duration, slot_time, energy })
}

/// Reads `stop`, of which the target is read already.
fn check_stop(section: &Section<'_>, target: Vec<Constraint>) -> StopRules {
    let raw: RawStop = section.read();
    if raw.hypervolume.is_some_and(|volume| !(volume.is_finite() && volume > 0.0)) {
        section.fault(
            "hypervolume",
            "is no hypervolume",
            "write a number above 0, in the product of the objectives' units",
        );
    }
    let stagnation = raw.stagnation.is_some().then(|| section.child("stagnation")).flatten();
    StopRules {
        target,
        hypervolume: raw.hypervolume,
        stagnation: stagnation.and_then(|stagnation| check_stagnation(&stagnation)),
    }
}

/// A hypervolume is a number to reach only from a reference point that is known beforehand; one that is
/// fixed from the first results is another in each campaign.
fn check_volume_is_comparable(section: &Section<'_>, objectives: &[Objective]) {
    let without = objectives.iter().filter(|objective| objective.reference.is_none());
    let without: Vec<String> =
        without.map(|objective| format!("`{}`", objective.metric.as_str())).collect();
    if section.contains("hypervolume") && !without.is_empty() {
        section.fault(
            "hypervolume",
            format!(
                "has no fixed reference point: `reference` is missing for {}",
                without.join(", ")
            ),
            "give each objective a `reference`, such as `{metric: latency, reference: 20}`, or use \
             `target` or `stagnation`",
        );
    }
}

fn check_stagnation(section: &Section<'_>) -> Option<Stagnation> {
    let raw: RawStagnation = section.read();
    section.missing("evaluations", "say after how many results without progress, such as 200");
    let improvement = raw.improvement.unwrap_or(0.0);
    section.check_range("improvement", improvement, 0.0..=1.0);
    if raw.evaluations == Some(0) {
        section.fault("evaluations", "is out of range", "write a number of at least 1");
    }
    Some(Stagnation { evaluations: raw.evaluations?, improvement })
}

/// A population that is never complete would make the algorithm a random search unnoticed.
fn check_population(root: &Section<'_>, algorithm: &dyn Algorithm, budget: &Budget) {
    let parameters = algorithm.parameters();
    let population = parameters.get("population").and_then(serde_json::Value::as_u64);
    if let Some(population) = population.filter(|size| *size > u64::from(budget.evaluations)) {
        root.fault(
            "algorithm.population",
            format!(
                "the population of {population} is larger than the budget of {} evaluations, so \
                 nothing would ever be bred",
                budget.evaluations
            ),
            "lower `algorithm.population`, raise `budget.evaluations`, or choose `random`",
        );
    }
}

/// What an algorithm begins with fits into the budget. Campaigns that are kept already go on as they are.
fn check_budget_suffices(
    root: &Section<'_>,
    algorithm: &dyn Algorithm,
    budget: &Budget,
    is_kept: bool,
) {
    if !root.is_clean_at("budget") {
        return;
    }
    check_population(root, algorithm, budget);
    let written = root.item("algorithm").filter(Item::is_mapping);
    let section = written.as_ref().and_then(Item::section);
    if !is_kept && section.is_some_and(|found| found.contains("initial")) {
        check_initial(root, algorithm, budget);
    }
}

/// Whoever begins with as many candidates as there are evaluations chooses none of them.
fn remark_on_beginning(
    root: &Section<'_>,
    algorithm: &dyn Algorithm,
    budget: &Budget,
) -> Option<Fault> {
    let section = root.item("algorithm").filter(Item::is_mapping)?.section()?;
    let parameters = algorithm.parameters();
    let whole = |key: &&str| {
        let begins_with = parameters.get(*key).and_then(serde_json::Value::as_u64);
        section.contains(key) && begins_with == Some(u64::from(budget.evaluations))
    };
    let key = ["population", "initial"].into_iter().find(whole)?;
    Some(section.item(key)?.remark(
        format!(
            "the {} evaluations of the budget are all used to begin with: each candidate is drawn at random",
            budget.evaluations
        ),
        format!("lower `algorithm.{key}`, raise `budget.evaluations`, or choose `random`"),
    ))
}

/// A model that is never asked is as unnoticed.
fn check_initial(root: &Section<'_>, algorithm: &dyn Algorithm, budget: &Budget) {
    let parameters = algorithm.parameters();
    let initial = parameters.get("initial").and_then(serde_json::Value::as_u64);
    if let Some(initial) = initial.filter(|number| *number > u64::from(budget.evaluations)) {
        root.fault(
            "algorithm.initial",
            format!(
                "the first {initial} candidates are drawn without a model, more than the budget of {} \
                 evaluations",
                budget.evaluations
            ),
            "lower `algorithm.initial`, raise `budget.evaluations`, or choose `random`",
        );
    }
}

/// Compares what is known of a stage's data set with what the space's networks take and give, by the
/// names that spaces have for it; an evaluator of a user may do anything with the images.
fn check_dataset(space: &dyn SearchSpace, stage: &Placed<'_, Stage>) {
    if custom_name(&stage.value.evaluator).is_some() {
        return;
    }
    let Some(facts) = stage.value.dataset.as_deref().and_then(dataset_facts) else { return };
    let parameters = space.parameters();
    let (name, classes) = (facts.name, facts.classes);
    let [channels, height, width] = facts.input;
    let size = format!(
        "the images of {name} have {channels} x {height} x {width} values, the space's networks take \
         another size"
    );
    let number = format!("{name} has {classes} classes, the space's networks another number");
    let expected = [
        ("input", json!(facts.input), format!("[{channels}, {height}, {width}]"), &size),
        ("resolutions", json!([height]), format!("[{height}]"), &size),
        ("image_channels", json!(channels), channels.to_string(), &size),
        ("classes", json!(classes), classes.to_string(), &number),
    ];
    for (key, value, written, reason) in expected {
        if parameters.get(key).is_some_and(|found| *found != value) {
            let help = format!("write `{key}: {written}` in `space`");
            stage.at.fault_at("settings.dataset", reason.clone(), help);
        }
    }
}

/// The text of a length of time, for messages.
fn written(span: Span) -> String {
    duration::format(span)
}

#[cfg(test)]
pub(super) mod example;
#[cfg(test)]
mod tests;
