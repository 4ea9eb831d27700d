//! One fleet for several users and campaigns, simulated: slot time follows the weights, whatever the
//! lengths of evaluations, and budgets are kept.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use cambrian_core::energy::Energy;
use cambrian_core::engine::{
    Assignment, CampaignStatus, Event, FinishReason, FleetPolicy, ReportedOutcome, UserPolicy,
};
use cambrian_core::id::CampaignId;
use cambrian_core::rng::{self, Purpose};
use cambrian_core::simulation::{
    Evaluate, Evaluation, Simulation, SimulationOutcome, SimulationSettings,
};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};
use rand::RngExt;

/// Evaluations of about so many seconds, by the stage's name.
struct Lasting;

impl Evaluate for Lasting {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let seconds: u64 =
            assignment.stage.name.trim_start_matches('s').parse().expect("a number of seconds");
        let mut rng = rng::stream(assignment.seed, Purpose::Simulation, 0);
        let duration = Span::from_millis(rng.random_range(900 * seconds..1_100 * seconds));
        let measured = vec![support::measurement("accuracy", 50.0)];
        Evaluation { outcome: ReportedOutcome::Measured(measured), duration }
    }
}

fn spec(seconds: u64, evaluations: u32, extra: &str) -> Arc<CampaignSpec> {
    support::campaign(&format!(
        "version: 1\nname: c{seconds}\nspace: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
         objectives: [accuracy]\nalgorithm: random\n\
         stages: [{{name: s{seconds}, evaluator: synthetic, measures: [accuracy], timeout: 1h}}]\n\
         budget: {{evaluations: {evaluations}{extra}}}\n"
    ))
}

fn run(
    seed: u64,
    (workers, slots, prefetch): (u32, u32, u32),
    campaigns: &[(&str, Arc<CampaignSpec>)],
    weights: &[(&str, u32)],
) -> SimulationOutcome {
    let settings = SimulationSettings { seed, workers, slots, prefetch, ..Default::default() };
    let capabilities = support::capabilities(&["synthetic"], &["accuracy"]);
    let users = weights.iter().map(|(name, weight)| {
        ((*name).into(), UserPolicy { weight: *weight, ..UserPolicy::default() })
    });
    let policy = FleetPolicy { users: users.collect(), ..FleetPolicy::default() };
    let campaigns: Vec<_> = campaigns
        .iter()
        .map(|(owner, spec)| (Some(Arc::<str>::from(*owner)), spec.clone()))
        .collect();
    Simulation::new(settings, capabilities, &Lasting)
        .run_for(&campaigns, policy)
        .unwrap_or_else(|breach| panic!("{breach}"))
}

/// The share of slot time that each campaign had while all of them had work to give.
fn shares(outcome: &SimulationOutcome) -> BTreeMap<CampaignId, f64> {
    let journal = &outcome.journal;
    let ends = journal.iter().filter(|(_, event)| matches!(event, Event::CampaignDraining { .. }));
    let until: Timestamp = ends.map(|(at, _)| *at).min().expect("campaigns end");
    let mut used: BTreeMap<CampaignId, f64> = BTreeMap::new();
    for (_, event) in journal.iter().take_while(|(at, _)| *at < until) {
        if let Event::TaskCompleted { task, elapsed, .. } = event {
            let candidate = outcome.engine.state().candidate_of_task(*task).expect("a task");
            *used.entry(candidate.campaign).or_default() += elapsed.as_secs_f64();
        }
    }
    let all: f64 = used.values().sum();
    used.into_iter().map(|(campaign, used)| (campaign, used / all)).collect()
}

#[test]
fn two_users_with_evaluations_of_unequal_length_get_their_weights() {
    for (seed, fleet) in [(1, (1, 1, 0)), (2, (2, 2, 1)), (3, (8, 1, 1)), (4, (5, 4, 1))] {
        for (long, short) in [(("ada", 3), ("bob", 1)), (("ada", 1), ("bob", 3))] {
            let slots = f64::from(fleet.0 * fleet.1);
            let parts = (long.1 + short.1) as f64;
            // As many evaluations as make about 120 rounds of each slot by the long ones.
            let count = |weight: u32, times: f64| {
                (120.0 * slots * f64::from(weight) * times / parts) as u32 + 20
            };
            let campaigns = [
                (long.0, spec(100, count(long.1, 1.0), "")),
                (short.0, spec(10, count(short.1, 13.0), "")),
            ];
            let outcome = run(seed, fleet, &campaigns, &[long, short]);
            let found = shares(&outcome);
            for (campaign, weight) in [(1, long.1), (2, short.1)] {
                let of_expected = found[&CampaignId(campaign)] * parts / f64::from(weight);
                assert!(
                    (of_expected - 1.0).abs() <= 0.05,
                    "{fleet:?}, {long:?} and {short:?}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn campaigns_of_a_user_share_what_the_user_gets() {
    let weighted = |seconds, evaluations, weight| {
        let text = spec(seconds, evaluations, "").to_yaml();
        support::campaign(&text.replace("weight: 1", &format!("weight: {weight}")))
    };
    let campaigns = [
        ("ada", weighted(60, 300, 3)),
        ("ada", weighted(20, 900, 1)),
        ("bob", weighted(30, 1_200, 1)),
    ];
    let found = shares(&run(5, (4, 2, 1), &campaigns, &[]));
    let expected = [0.375, 0.125, 0.5];
    for (campaign, expected) in (1..).map(CampaignId).zip(expected) {
        assert!((found[&campaign] / expected - 1.0).abs() <= 0.05, "{campaign}: {found:?}");
    }
}

#[test]
fn budgets_are_exceeded_by_what_was_in_flight_at_most() {
    let (workers, slots, prefetch) = (3, 2, 1);
    let in_flight = u64::from(workers * (slots + prefetch)) * 110;
    let limits = [
        (", slot_time: 4000s", FinishReason::SlotTimeSpent),
        // A hundred watts: as much energy as 4000 s in slots take.
        (", energy: 400 kJ", FinishReason::EnergySpent),
    ];
    for (limit, reason) in limits {
        let campaigns = [("ada", spec(100, 5_000, limit)), ("bob", spec(10, 600, ""))];
        let outcome = run(6, (workers, slots, prefetch), &campaigns, &[]);
        let campaign = outcome.engine.state().campaign(CampaignId(1)).unwrap();
        assert_eq!(campaign.status(), CampaignStatus::Finished(reason));
        let used = campaign.slot_time();
        assert!(
            used >= Span::from_secs(4_000) && used <= Span::from_secs(4_000 + in_flight),
            "{used}"
        );
        assert_eq!(campaign.energy(), Energy(used.0 * 100));
    }
}
