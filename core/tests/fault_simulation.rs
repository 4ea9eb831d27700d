//! The whole engine under seeded faults, without threads, sockets or clocks: whatever is lost,
//! late, repeated or dead, every evaluation counts exactly once and replay is bit for bit.
//!
//! `CAMBRIAN_SIMULATION_SEEDS` sets the number of seeds (default 2,000),
//! `CAMBRIAN_SIMULATION_FIRST_SEED` the first of them (default 0), so that many can be had in parts.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cambrian_core::engine::{
    Assignment, CampaignStatus, Capabilities, Event, Failure, FailureKind, FinishReason,
    FleetPolicy, LeaseEnd, QuarantineRule, ReportedOutcome, ScreenReason,
};
use cambrian_core::id::{Attempt, CampaignId};
use cambrian_core::objective::MetricName;
use cambrian_core::rng::{self, Purpose};
use cambrian_core::simulation::{
    Evaluate, Evaluation, FaultRates, SAVED_AFTER, Simulation, SimulationOutcome,
    SimulationSettings, state_left, state_of, state_saved,
};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::Span;
use rand::RngExt;

const MEASURED: [&str; 4] = ["accuracy", "latency", "short", "long"];

/// Values that follow from the graph, with failures of every kind a worker can report.
struct Flaky {
    failure_rate: f64,
}

impl Evaluate for Flaky {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let attempt = u64::from(assignment.attempt.0);
        let before = assignment.stage.resume.as_deref();
        let state = before.map(|before| state_of(assignment.candidate, before));
        let (candidate, stage) = (assignment.candidate, &assignment.stage.name);
        let mut earlier = (1..assignment.attempt.0).map(Attempt);
        let goes_on = assignment.resume.is_some()
            && earlier.any(|it| {
                let saved = (1..SAVED_AFTER).map(|step| state_saved(candidate, stage, it, step));
                let mut states = saved.chain([state_left(candidate, stage, it)]);
                states.any(|state| Some(state) == assignment.resume)
            });
        assert!(
            goes_on || assignment.resume == state,
            "whatever was lost, it goes on where the stage before, or an attempt, has ended"
        );
        let mut rng = rng::stream(assignment.seed, Purpose::Simulation, attempt);
        let duration = Span::from_millis(rng.random_range(100..60_000));
        if rng.random_bool(self.failure_rate) {
            let kind = FailureKind::ALL[rng.random_range(0..FailureKind::ALL.len())];
            let failure = Failure { kind, message: "simulated".into() };
            return Evaluation { outcome: ReportedOutcome::Failed(failure), duration };
        }
        let graph = assignment.graph.as_ref().expect("the space has networks");
        let params = graph.params() as f64;
        // Repeats differ, by their seeds alone.
        let noise = assignment.seed as f64 / u64::MAX as f64;
        let measured = assignment.stage.measures.iter().map(|metric| match metric.as_str() {
            "accuracy" => support::measurement("accuracy", 100.0 - 1e6 / (params + 1e4) + noise),
            // Estimates of the accuracy that rank candidates nearly as it does.
            "short" => support::measurement("short", (params / 3e3).floor()),
            "long" => support::measurement("long", (params / 1e3).floor()),
            _ => support::measurement("latency", graph.macs() as f64 * 1e-7 + noise),
        });
        Evaluation { outcome: ReportedOutcome::Measured(measured.collect()), duration }
    }

    fn curve(&self, assignment: &Assignment) -> Vec<BTreeMap<MetricName, f64>> {
        let end = (assignment.seed % 1_000) as f64;
        let value = |step| end * f64::from(step) / f64::from(STEPS);
        (1..=STEPS).map(|step| BTreeMap::from([("short".into(), value(step))])).collect()
    }
}

/// What curves rise to by steps, as far from their end as the seed says.
const STEPS: u32 = 6;

/// A gate and two rungs before the full evaluation; the second continues what the first has trained.
const RUNGS: &str = "
  - name: short
    evaluator: custom/trainer
    measures: [short]
    timeout: 5m
    pass: {gates: [{metric: short, at_least: 1}], top: 1/2, by: [short, params]}
  - name: long
    evaluator: custom/trainer
    resume: short
    measures: [long]
    timeout: 5m
    pass: {top: 0.5, by: [long, {metric: params, goal: minimize}], least: 3}
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

fn spec(
    seed: u64,
    algorithm: &str,
    stages: u32,
    (evaluations, slot_time): (u32, Option<&str>),
    share: &str,
) -> Arc<CampaignSpec> {
    let slot_time = slot_time.map(|limit| format!(", slot_time: {limit}")).unwrap_or_default();
    let stages = match stages {
        1 => "  - {name: all, evaluator: synthetic, measures: [accuracy, latency], timeout: 5m}\n",
        3 => RUNGS,
        4 => REPEATS,
        5 => EARLY,
        _ => {
            "  - {name: train, evaluator: synthetic, measures: [accuracy], timeout: 5m}\n  \
               - {name: measure, evaluator: synthetic, measures: [latency], timeout: 5m}\n"
        }
    };
    support::campaign(&format!(
        "version: 1\nname: simulated\nseed: {seed}\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
         metrics: {{short: {{goal: maximize}}, long: {{goal: maximize}}}}\n\
         objectives: [accuracy, latency]\n\
         constraints:\n  - {{metric: params, at_most: 14000}}\n  - {{metric: accuracy, at_least: 20}}\n\
         algorithm: {algorithm}\n\
         stages:\n{stages}\
         budget: {{evaluations: {evaluations}{slot_time}}}\n\
         failures: {{attempts: 4}}\nshare: {share}\n"
    ))
}

fn simulate(seed: u64, faults: FaultRates) -> SimulationOutcome {
    simulate_within(seed, faults, None)
}

/// With a bound on the time in slots of each campaign, if there is one.
fn simulate_within(seed: u64, faults: FaultRates, slot_time: Option<&str>) -> SimulationOutcome {
    let algorithms = [
        "{kind: nsga2, mode: asynchronous, population: 6}",
        "{kind: nsga2, mode: generational, population: 6}",
        "{kind: regularized_evolution, population: 6, sample: 3}",
        "random",
    ];
    let algorithm = algorithms[seed as usize % algorithms.len()];
    let stages = 1 + (seed / 4 % 5) as u32;
    let urgent = if seed % 2 == 1 { "{priority: 1, preempt: true}" } else { "{weight: 3}" };
    let spec = |seed, algorithm: &str, stages, evaluations, share: &str| {
        spec(seed, algorithm, stages, (evaluations, slot_time), share)
    };
    let campaigns = [
        (Some("ada".into()), spec(seed, algorithm, stages, 24, "{}")),
        (None, spec(seed + 1, "random", 1, 5, urgent)),
        // Begins like the first one and comes after it, so that much of it is known by then.
        (Some("ada".into()), spec(seed, algorithm, stages, 8, "{priority: -1}\ncache: on")),
    ];
    // Workers that never come back would leave tasks without anybody to do them.
    let release_after = Some(Span::from_secs(600));
    let quarantine = QuarantineRule { failures: 2, of_last: 8, release_after };
    let policy = FleetPolicy { quarantine, ..FleetPolicy::default() };
    let settings = SimulationSettings {
        fit_duration: Span(0),
        joins_over: Span(0),
        straggler_share: 0.0,
        straggler_factor: 1.0,
        seed,
        workers: 1 + (seed % 5) as u32,
        slots: 1 + (seed / 3 % 2) as u32,
        prefetch: (seed / 2 % 3) as u32,
        lease_length: Span::from_secs(20),
        faults,
        // A look takes as long as all else. What is wrong mostly stays so: the first seeds, which every run of
        // the tests has, are looked at after each command.
        check_every: if seed < 10_000 { 1 } else { 1 + seed % 16 },
        horizon: Span::from_secs(30 * 24 * 3_600),
    };
    let evaluator = Flaky { failure_rate: if faults == FaultRates::NONE { 0.0 } else { 0.15 } };
    let offered = support::capabilities(&["synthetic", "custom/trainer"], &MEASURED);
    let mut capabilities = Capabilities::clone(&offered);
    // Half of the fleets leave the state of what is stopped.
    for offer in &mut capabilities.evaluators {
        offer.yields = seed % 4 < 2;
    }
    let capabilities = Arc::new(capabilities);
    Simulation::new(settings, capabilities, &evaluator)
        .run_for(&campaigns, policy)
        .unwrap_or_else(|breach| panic!("seed {seed}: {breach}"))
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seeds() -> Range<u64> {
    let first = setting("CAMBRIAN_SIMULATION_FIRST_SEED", 0);
    first..first + setting("CAMBRIAN_SIMULATION_SEEDS", 2_000)
}

/// Everything at once, or a mixture of its own, in turns of as many seeds as there are clusters.
fn faults(seed: u64) -> FaultRates {
    if (seed / 60).is_multiple_of(2) { FaultRates::HARSH } else { FaultRates::HARSH.mixed(seed) }
}

/// What happens to workers and slots beyond faults.
fn fleet_event(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::WorkerDraining(_) => "drained",
        Event::WorkerQuarantined { .. } => "quarantined",
        Event::WorkerReleased { .. } => "released",
        Event::LeaseEnded { end: LeaseEnd::Preempted { .. }, .. } => "preempted",
        Event::LeaseEnded { end: LeaseEnd::Drained, .. } => "left at once",
        Event::AttemptYielded { checkpoint: Some(_), .. } => "left its state",
        Event::AttemptYielded { checkpoint: None, .. } => "left nothing",
        Event::StateSaved { .. } => "saved its state",
        _ => return None,
    })
}

/// What has happened in simulations, so that none of it is proved of nothing.
#[derive(Default)]
struct Seen {
    injected: BTreeMap<&'static str, u64>,
    fleet: BTreeMap<&'static str, u64>,
    /// Of how many metrics the results were that were known.
    known: BTreeSet<usize>,
    averaged: usize,
    decided: usize,
    stopped: usize,
}

impl Seen {
    /// Simulates a seed, and checks what a simulation does not find itself.
    fn simulate(&mut self, seed: u64) {
        let outcome = simulate(seed, faults(seed));
        for campaign in outcome.engine.state().campaigns() {
            let finished = CampaignStatus::Finished(FinishReason::BudgetSpent);
            assert_eq!(campaign.status(), finished, "seed {seed}");
            assert_eq!(campaign.unresolved(), 0, "seed {seed}");
            let entered = campaign.candidates().iter().filter(|found| found.stages_entered() > 0);
            let evaluations = campaign.spec().budget.evaluations as usize;
            assert_eq!(entered.count(), evaluations, "seed {seed}");
        }
        for (_, event) in &outcome.journal {
            if let Some(kind) = fleet_event(event) {
                *self.fleet.entry(kind).or_default() += 1;
            }
            if let Event::ResultTaken { measurements, origin, .. } = event {
                self.known.insert(measurements.len());
                assert_eq!(origin.candidate.campaign, CampaignId(1), "seed {seed}");
            }
            self.averaged += usize::from(matches!(event, Event::RepeatsAveraged { .. }));
            self.decided += usize::from(matches!(event, Event::StopDecided { .. }));
            self.stopped += usize::from(matches!(event, Event::CandidateScreened { screening, .. }
                if matches!(screening.reason, ScreenReason::Curve(_))));
        }
        assert_eq!(outcome.engine.state().checkpoints().count(), 0, "seed {seed}");
        for (fault, times) in outcome.injected {
            *self.injected.entry(fault).or_default() += times;
        }
    }

    fn and(mut self, other: Self) -> Self {
        for (sums, more) in [(&mut self.injected, other.injected), (&mut self.fleet, other.fleet)] {
            more.into_iter().for_each(|(kind, times)| *sums.entry(kind).or_default() += times);
        }
        self.known.extend(other.known);
        self.averaged += other.averaged;
        self.decided += other.decided;
        self.stopped += other.stopped;
        self
    }
}

/// Simulates all seeds on all processors, and says how far it is.
fn simulate_all(seeds: Range<u64>) -> Seen {
    let next = AtomicU64::new(seeds.start);
    let some = || {
        let mut seen = Seen::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return seen;
            }
            seen.simulate(seed);
            let done = seed + 1 - seeds.start;
            if done.is_multiple_of(10_000) {
                eprintln!("{done} of {} seeds", seeds.end - seeds.start);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        let found =
            running.into_iter().map(|thread| thread.join().expect("a seed fails, see above"));
        found.fold(Seen::default(), Seen::and)
    })
}

#[test]
fn every_evaluation_counts_exactly_once_under_harsh_faults() {
    let seen = simulate_all(seeds());
    let Seen { injected, fleet, known, averaged, decided, stopped } = &seen;
    eprintln!("injected over seeds {:?}: {injected:?}", seeds());
    assert_eq!(injected.len(), 7, "a kind of fault never happened: {injected:?}");
    assert!(*averaged > 0, "nothing was measured repeatedly");
    eprintln!("{decided} evaluations were told to stop, {stopped} ended without a result");
    assert!(decided > stopped && *stopped > 0, "{decided} and {stopped}");
    eprintln!("in the fleet: {fleet:?}");
    assert_eq!(fleet.len(), 8, "something never happened in the fleet: {fleet:?}");
    assert_eq!(*known, BTreeSet::from([1, 2]), "stages of one metric and of two were known");
}

/// The simulation books every attempt's time by itself and finds no lease on a spent budget: what was
/// stopped counts, whether it leaves its state or not, and nothing counts twice.
#[test]
fn budgets_of_slot_time_hold_whatever_is_stopped_or_lost() {
    let (mut charged, mut spent) = (0, 0);
    for seed in seeds().take(400) {
        let outcome = simulate_within(seed, faults(seed), Some("4m"));
        for campaign in outcome.engine.state().campaigns() {
            let reached = campaign.slot_time() >= Span::from_secs(240);
            let ended = CampaignStatus::Finished(FinishReason::SlotTimeSpent);
            let unspent = CampaignStatus::Finished(FinishReason::BudgetSpent);
            assert!(
                campaign.status() == ended && reached || campaign.status() == unspent,
                "seed {seed}: {:?} after {}",
                campaign.status(),
                campaign.slot_time()
            );
            spent += usize::from(campaign.status() == ended);
        }
        charged += outcome.journal.iter().filter(|(_, event)| counts_stopped(event)).count();
    }
    assert!(charged > 0 && spent > 0, "{charged} and {spent}");
}

/// The simulation finds each campaign finished once, and nobody left under way.
#[test]
fn campaigns_can_be_cancelled_at_any_moment() {
    let mut ends: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in seeds().take(400) {
        let outcome = simulate(seed, FaultRates { cancel: 0.02, ..faults(seed) });
        for campaign in outcome.engine.state().campaigns() {
            assert_eq!(campaign.unresolved(), 0, "seed {seed}");
            *ends
                .entry(match campaign.status() {
                    CampaignStatus::Finished(FinishReason::Cancelled) => "cancelled",
                    CampaignStatus::Finished(FinishReason::BudgetSpent) => "budget spent",
                    other => panic!("seed {seed}: {other:?}"),
                })
                .or_default() += 1;
        }
        assert_eq!(outcome.engine.state().checkpoints().count(), 0, "seed {seed}");
    }
    assert!(ends.values().all(|times| *times > 10) && ends.len() == 2, "{ends:?}");
}

fn counts_stopped(event: &Event) -> bool {
    matches!(event, Event::AttemptYielded { elapsed, .. } if *elapsed > Span(0))
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 4, 5, 6] {
        let (first, second) =
            (simulate(seed, FaultRates::HARSH), simulate(seed, FaultRates::HARSH));
        assert_eq!(first.engine.state().digest(), second.engine.state().digest());
        assert_eq!(first.elapsed, second.elapsed);
    }
}

#[test]
fn without_faults_nothing_fails_and_no_slot_idles() {
    let mut known = 0;
    for seed in 0..40 {
        let outcome = simulate(seed, FaultRates::NONE);
        assert!(outcome.injected.is_empty());
        let mut counted = Span(0);
        for campaign in outcome.engine.state().campaigns() {
            assert_eq!(campaign.failed(), 0, "seed {seed}");
            counted = counted + campaign.slot_time();
            let taken = campaign.view().stages.iter().map(|stage| stage.tally.taken).sum::<u32>();
            assert!(taken == 0 || campaign.id() == CampaignId(3), "seed {seed}");
            known += taken;
        }
        assert_eq!(counted, outcome.busy, "seed {seed}: somebody pays for every moment");
    }
    assert!(known > 0, "nothing was known");
}
