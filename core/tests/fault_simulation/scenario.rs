//! Who runs what on which workers, all of it by the seed.

use std::sync::Arc;

use cambrian_core::engine::{Capabilities, FleetPolicy, QuarantineRule};
use cambrian_core::rng::{self, Purpose, Stream};
use cambrian_core::simulation::{FaultRates, SimulationSettings};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::Span;
use rand::RngExt;

use crate::support;

const MEASURED: [&str; 4] = ["accuracy", "latency", "short", "long"];

/// The ordinals of the streams that campaigns and workers are drawn from; no attempt has them.
const CAMPAIGNS: u64 = u64::MAX - 1;
const WORKERS: u64 = u64::MAX - 2;

/// How candidates get to their scores.
const ROUTES: [&str; 6] = [AT_ONCE, IN_TWO, RUNGS, REPEATS, EARLY, TRAINED];

const AT_ONCE: &str = "
  - {name: all, evaluator: synthetic, measures: [accuracy, latency], timeout: 5m}
";

const IN_TWO: &str = "
  - {name: train, evaluator: synthetic, measures: [accuracy], timeout: 5m}
  - {name: measure, evaluator: synthetic, measures: [latency], timeout: 5m}
";

/// A gate and two rungs before the full evaluation; the second continues what the first has trained.
const RUNGS: &str = "
  - {name: short, evaluator: custom/trainer, measures: [short], timeout: 5m,
     pass: {gates: [{metric: short, at_least: 1}], top: 1/2, by: [short, params]}}
  - {name: long, evaluator: custom/trainer, resume: short, measures: [long], timeout: 5m,
     pass: {top: 0.5, by: [long, {metric: params, goal: minimize}], least: 3}}
  - {name: full, evaluator: synthetic, measures: [accuracy, latency], timeout: 5m}
";

/// A measurement of three repeats, a rung on their means, and two more repeats in the end.
const REPEATS: &str = "
  - {name: short, evaluator: synthetic, measures: [latency], settings: {noise: 0.1}, repeats: 3,
     timeout: 5m, pass: {top: 1/2, by: [latency, params]}}
  - {name: full, evaluator: custom/trainer, measures: [accuracy], repeats: 2, timeout: 5m}
";

/// A training that is stopped when its curve is hopeless, before a rung.
const EARLY: &str = "
  - {name: short, evaluator: custom/trainer, measures: [short], timeout: 5m,
     stop_early: {metric: short, by: [params], after: 2, least: 4}, pass: {top: 1/2, by: [short]}}
  - {name: full, evaluator: synthetic, measures: [accuracy, latency], timeout: 5m}
";

/// A training whose memory is predicted, so that some workers hold the smaller networks alone.
const TRAINED: &str = "
  - {name: train, evaluator: train, measures: [accuracy], timeout: 5m,
     settings: {dataset: digits, batch_size: 64}}
  - {name: measure, evaluator: synthetic, measures: [latency], timeout: 5m}
";

/// Memory that some 40 in 100 networks fit into when they are trained.
const SMALL_MEMORY: u64 = 3_000_000;

/// What the campaign that does not wait for others is bred by, and how long it is: without pauses, or in
/// generations, whose ends it waits for.
const URGENT: [(&str, u32); 4] = [
    ("random", 5),
    ("{kind: nsga2, mode: generational, population: 2}", 6),
    ("{kind: nsga2, mode: generational, population: 4}", 8),
    ("{kind: sms_emoa, mode: generational, population: 3}", 6),
];
/// By a model, whose fits it waits for. Few seeds have one: every restart of the coordinator fits all anew.
const MODELLED: [(&str, u32); 2] = [("{kind: surrogate, initial: 4}", 7), ("auto", 7)];

/// Who is asked for candidates, and what becomes of them.
struct Search<'a> {
    seed: u64,
    algorithm: &'a str,
    evaluations: u32,
    /// The stages, some of which only labelled workers serve.
    stages: String,
}

impl Search<'_> {
    fn spec(&self, slot_time: Option<&str>, share: &str) -> Arc<CampaignSpec> {
        let Search { seed, algorithm, evaluations, stages } = self;
        let slot_time = slot_time.map(|limit| format!(", slot_time: {limit}")).unwrap_or_default();
        support::campaign(&format!(
            "version: 1\nname: simulated\nseed: {seed}\n\
             space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
             metrics: {{short: {{goal: maximize}}, long: {{goal: maximize}}}}\n\
             objectives: [accuracy, latency]\n\
             constraints:\n  - {{metric: params, at_most: 14000}}\n  - {{metric: accuracy, at_least: 20}}\n\
             algorithm: {algorithm}\n\
             stages:{stages}\
             budget: {{evaluations: {evaluations}{slot_time}}}\n\
             failures: {{attempts: 4}}\nshare: {share}\n"
        ))
    }
}

/// A route of which one stage, in half of the cases, is for labelled workers alone.
fn stages(route: &str, rng: &mut Stream) -> String {
    let places: Vec<usize> = route.match_indices("timeout").map(|(place, _)| place).collect();
    let labelled = rng.random_range(0..2 * places.len());
    let mut stages = route.to_owned();
    if let Some(place) = places.get(labelled) {
        stages.insert_str(*place, "labels: {pool: large}, ");
    }
    stages
}

/// The campaigns of a seed and their owners, with a bound on the time in slots of each if there is one.
pub(crate) fn campaigns(
    seed: u64,
    slot_time: Option<&str>,
) -> [(Option<Arc<str>>, Arc<CampaignSpec>); 3] {
    let algorithms = [
        "{kind: nsga2, mode: asynchronous, population: 6}",
        "{kind: nsga2, mode: generational, population: 6}",
        "{kind: regularized_evolution, population: 6, sample: 3}",
        "random",
    ];
    let algorithm = algorithms[seed as usize % algorithms.len()];
    let mut rng = rng::stream(seed, Purpose::Simulation, CAMPAIGNS);
    let route = match rng.random_range(0..8) {
        0 => TRAINED,
        _ => ROUTES[(seed / 4 % 5) as usize],
    };
    let search = Search { seed, algorithm, evaluations: 20, stages: stages(route, &mut rng) };
    // Begins like the first one and comes after it, so that much of it is known by then.
    let later = Search { evaluations: 8, stages: search.stages.clone(), ..search };
    let bred = if rng.random_bool(0.03) { &MODELLED[..] } else { &URGENT };
    let (algorithm, evaluations) = bred[rng.random_range(0..bred.len())];
    let route = ROUTES[rng.random_range(0..ROUTES.len())];
    let stages = stages(route, &mut rng);
    let other = Search { seed: seed + 1, algorithm, evaluations, stages };
    let urgent = if seed % 2 == 1 { "{priority: 1, preempt: true}" } else { "{weight: 3}" };
    [
        (Some("ada".into()), search.spec(slot_time, "{}")),
        (None, other.spec(slot_time, urgent)),
        (Some("ada".into()), later.spec(slot_time, "{priority: -1}\ncache: on")),
    ]
}

/// What each worker offers. Every stage and every network finds a worker: one is labelled and of unknown
/// memory, which holds whatever it is given.
pub(crate) fn fleet(seed: u64, settings: &SimulationSettings) -> Vec<Arc<Capabilities>> {
    let offered = support::capabilities(&["synthetic", "custom/trainer", "train"], &MEASURED);
    let mut rng = rng::stream(seed, Purpose::Simulation, WORKERS);
    let able = rng.random_range(0..settings.workers);
    let equipped = (0..settings.workers).map(|worker| {
        let mut capabilities = Capabilities::clone(&offered);
        capabilities.slots = settings.slots;
        capabilities.datasets.insert("digits".into());
        // Half of the fleets leave the state of what is stopped.
        for offer in &mut capabilities.evaluators {
            offer.yields = seed % 4 < 2;
        }
        if rng.random_bool(0.4) || worker == able {
            capabilities.labels.insert("pool".into(), "large".into());
        }
        if rng.random_bool(0.5) && worker != able {
            capabilities.memory_bytes = SMALL_MEMORY;
        }
        Arc::new(capabilities)
    });
    equipped.collect()
}

/// How a seed's cluster is simulated.
pub(crate) fn settings(seed: u64, faults: FaultRates) -> SimulationSettings {
    SimulationSettings {
        seed,
        workers: 1 + (seed % 5) as u32,
        slots: 1 + (seed / 3 % 2) as u32,
        prefetch: (seed / 2 % 3) as u32,
        lease_length: Span::from_secs(20),
        fit_duration: Span::from_secs(seed / 7 % 4 * 5),
        faults,
        // A look takes as long as all else. What is wrong mostly stays so: the first seeds, which every run of
        // the tests has, are looked at after each command.
        check_every: if seed < 10_000 { 1 } else { 1 + seed % 16 },
        horizon: Span::from_secs(30 * 24 * 3_600),
        ..SimulationSettings::default()
    }
}

/// The operator's rules: workers that never came back would leave tasks without anybody to do them.
pub(crate) fn policy() -> FleetPolicy {
    let release_after = Some(Span::from_secs(600));
    let quarantine = QuarantineRule { failures: 2, of_last: 8, release_after };
    FleetPolicy { quarantine, ..FleetPolicy::default() }
}
