//! The whole engine under seeded faults, without threads, sockets or clocks: whatever is lost,
//! late, repeated or dead, every evaluation counts exactly once, nothing waits beside an idle worker that could
//! do it, nobody fails because others took its slot, and replay is bit for bit.
//!
//! `CAMBRIAN_SIMULATION_SEEDS` sets the number of seeds (default 2,000),
//! `CAMBRIAN_SIMULATION_FIRST_SEED` the first of them (default 0), so that many can be had in parts.

#[path = "fault_simulation/flaky.rs"]
mod flaky;
#[path = "fault_simulation/scenario.rs"]
mod scenario;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use cambrian_core::engine::{CampaignStatus, Event, FinishReason, LeaseEnd, ScreenReason};
use cambrian_core::id::CampaignId;
use cambrian_core::simulation::{FaultRates, Simulation, SimulationOutcome};
use cambrian_core::time::Span;

use self::flaky::Flaky;

fn simulate(seed: u64, faults: FaultRates) -> SimulationOutcome {
    simulate_within(seed, faults, None)
}

/// With a bound on the time in slots of each campaign, if there is one.
fn simulate_within(seed: u64, faults: FaultRates, slot_time: Option<&str>) -> SimulationOutcome {
    let settings = scenario::settings(seed, faults);
    let evaluator = Flaky { failure_rate: if faults == FaultRates::NONE { 0.0 } else { 0.15 } };
    let fleet = scenario::fleet(seed, &settings);
    Simulation::new(settings, fleet[0].clone(), &evaluator)
        .equipped(&fleet)
        .run_for(&scenario::campaigns(seed, slot_time), scenario::policy())
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
    fitted: usize,
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
            self.fitted += usize::from(matches!(event, Event::ModelAdopted { .. }));
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
        self.fitted += other.fitted;
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
    let Seen { injected, fleet, known, averaged, decided, stopped, fitted } = &seen;
    eprintln!("injected over seeds {:?}: {injected:?}", seeds());
    assert_eq!(injected.len(), 7, "a kind of fault never happened: {injected:?}");
    assert!(*averaged > 0, "nothing was measured repeatedly");
    assert!(*fitted > 0, "no model was fitted");
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
