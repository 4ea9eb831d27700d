//! Values at the end of what numbers hold: recorded, ranked, added up and replayed like others.

use cambrian_core::energy::Energy;
use cambrian_core::rng::{self, Purpose};
use cambrian_core::simulation::{Evaluate, Evaluation, FaultRates, Simulation, SimulationSettings};
use rand::RngExt;

use super::*;

const CONSTRAINTS: &str =
    "constraints: [{metric: latency, at_most: 0.5}, {metric: accuracy, at_least: 0.01}]\n";

#[test]
fn values_far_beyond_a_bound_have_a_finite_violation() {
    let mut cluster = Cluster::with_campaign(CONSTRAINTS, 3);
    let worker = cluster.worker("a", 3);
    cluster.report(worker, (1, 1), measured(-f64::MAX, f64::MAX));
    cluster.report(worker, (2, 1), measured(80.0, f64::MAX));
    cluster.report(worker, (3, 1), measured(80.0, 0.25));
    let violation =
        |ordinal| cluster.campaign().candidate_view(Ordinal(ordinal)).unwrap().violation();
    assert_eq!([1, 2, 3].map(violation), [f64::MAX, f64::MAX, 0.0]);
    assert_eq!(cluster.campaign().front().ids(), [Ordinal(3)]);
}

#[test]
fn an_infinite_violation_of_an_earlier_journal_is_no_contradiction() {
    let mut cluster = Cluster::with_campaign(CONSTRAINTS, 3);
    let worker = cluster.worker("a", 3);
    let step = cluster.report(worker, (1, 1), measured(80.0, f64::MAX));
    let mut replayed = Cluster::with_campaign(CONSTRAINTS, 3);
    replayed.worker("a", 3);
    for event in &step.events {
        let event = match event {
            Event::CandidateScored { candidate, .. } => {
                &Event::CandidateScored { candidate: *candidate, violation: f64::INFINITY }
            }
            other => other,
        };
        replayed.engine.apply(event, step.at);
    }
    replayed.engine.state().check().unwrap();
    assert_eq!(replayed.campaign().scored(), 1);
    assert_eq!(replayed.campaign().front().len(), 0);
}

/// What earlier releases have let in must not keep a coordinator from starting.
#[test]
fn sums_of_time_and_energy_end_at_the_most_that_can_be_held() {
    let mut cluster = Cluster::with_campaign("", 4);
    cluster.submit(2, &yaml("", 4));
    let worker = cluster.worker("a", 8);
    for task in 1..=8 {
        cluster.expect(Command::Report {
            worker,
            session: SessionId(1),
            task: TaskId(task),
            attempt: Attempt(1),
            outcome: measured(task as f64, 5.0),
            attached: Attached::default(),
            elapsed: Span(i64::MAX as u64),
            energy: Some(Energy(u64::MAX / 2)),
        });
    }
    for campaign in cluster.engine.state().campaigns() {
        assert_eq!(campaign.scored(), 4);
        assert_eq!((campaign.slot_time(), campaign.energy()), (Span(u64::MAX), Energy(u64::MAX)));
    }
}

/// Every few candidates have values that overflow whatever is computed of them.
struct Extreme;

impl Evaluate for Extreme {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let mut rng = rng::stream(assignment.seed, Purpose::Simulation, 0);
        let mut value = |usual: f64| match rng.random_range(0..6) {
            0 => f64::MAX,
            1 => -f64::MAX,
            _ => usual * rng.random_range(0.1..2.0),
        };
        let outcome = measured(value(50.0), value(0.5));
        Evaluation { outcome, duration: Span::from_secs(10) }
    }
}

#[test]
fn every_algorithm_goes_on_with_extreme_values() {
    for algorithm in [
        "random",
        "{kind: nsga2, population: 8}",
        "{kind: nsga3, population: 8}",
        "{kind: sms_emoa, population: 8}",
        "{kind: regularized_evolution, population: 8}",
        "tpe",
        "surrogate",
        "auto",
    ] {
        let yaml =
            yaml(CONSTRAINTS, 30).replace("algorithm: random", &format!("algorithm: {algorithm}"));
        let settings = SimulationSettings {
            workers: 3,
            check_every: 1,
            faults: FaultRates { crash_after_append: 0.02, ..FaultRates::NONE },
            ..SimulationSettings::default()
        };
        let simulation = Simulation::new(settings, usual_capabilities(), &Extreme);
        let outcome = simulation.run(&[support::campaign(&yaml)]);
        let outcome = outcome.unwrap_or_else(|breach| panic!("{algorithm}: {breach}"));
        assert_eq!(outcome.engine.state().campaign(FIRST).unwrap().scored(), 30, "{algorithm}");
    }
}
