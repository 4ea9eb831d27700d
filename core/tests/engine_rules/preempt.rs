//! Slots for campaigns that do not wait: only where they have something for that very worker, and others lose
//! nothing but time.

use cambrian_core::artifact::ArtifactId;
use cambrian_core::engine::FleetPolicy;

use super::fleet::{large_networks, with_memory};
use super::*;

const SECOND: CampaignId = CampaignId(2);
const URGENT: &str = "share: {priority: 1, preempt: true}\n";
const GENERATIONAL: &str = "algorithm: {kind: nsga2, mode: generational, population: 4}";

fn labelled(cluster: &mut Cluster, name: &str, kind: &str) -> WorkerId {
    cluster.register(name, |offered| offered.labels = [("kind".into(), kind.into())].into())
}

fn on(kind: &str, text: &str) -> String {
    text.replace("timeout: 5m", &format!("timeout: 5m, labels: {{kind: {kind}}}"))
}

fn in_work(cluster: &Cluster, campaign: CampaignId) -> u32 {
    cluster.engine.state().campaign(campaign).expect("it exists").view().running
}

/// A campaign in generations of four, whose stages need different workers.
fn in_two(evaluations: u32) -> String {
    "version: 1\nname: two\nseed: 7\n\
     space: {kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}\n\
     objectives: [accuracy, latency]\n"
        .to_owned()
        + GENERATIONAL
        + "\nstages:\n  \
           - {name: cheap, evaluator: synthetic, measures: [accuracy], labels: {kind: cpu}}\n  \
           - {name: full, evaluator: synthetic, measures: [latency], labels: {kind: gpu}}\n"
        + &format!("budget: {{evaluations: {evaluations}}}\n")
}

/// The tasks of a campaign that are leased, with the attempt of each.
fn leased(cluster: &Cluster, campaign: CampaignId) -> Vec<(u64, u32)> {
    let tasks = cluster.engine.state().tasks();
    let of = tasks.filter(|task| task.candidate().campaign == campaign && task.lease().is_some());
    of.map(|task| (task.id().0, task.attempt().0)).collect()
}

#[test]
fn nothing_is_taken_for_a_generation_that_waits_for_its_last() {
    let mut cluster = Cluster::with_campaign("", 30);
    let urgent = yaml(URGENT, 12).replace("algorithm: random", GENERATIONAL);
    let worker = cluster.register("a", |offered| offered.slots = 8);
    cluster.ready(worker, 1, 8);
    cluster.now = cluster.now + Span::from_secs(1);
    cluster.submit(2, &urgent);
    while in_work(&cluster, SECOND) < 4 {
        cluster.ready(worker, 1, 1);
    }
    let taken = cluster.stops().len();
    assert_eq!(taken, 4);
    for (task, attempt) in leased(&cluster, SECOND).into_iter().skip(1) {
        cluster.report(worker, (task, attempt), measured(80.0, 5.0));
        cluster.ready(worker, 1, 1);
    }
    for _ in 0..100 {
        cluster.pass(Span::from_millis(100));
    }
    assert_eq!((in_work(&cluster, FIRST), in_work(&cluster, SECOND)), (7, 1));
    assert_eq!(cluster.stops().len(), taken, "its generation is not complete");
    let (task, attempt) = leased(&cluster, SECOND)[0];
    cluster.report(worker, (task, attempt), measured(80.0, 5.0));
    assert_eq!(
        cluster.stops().len(),
        taken + 1,
        "the next one begins with the free slot or one more"
    );
    assert_eq!(cluster.campaign().failed(), 0);
}

#[test]
fn nothing_is_taken_where_the_networks_do_not_fit() {
    let mut cluster = Cluster::with_campaign("", 30);
    let worker = with_memory(&mut cluster, "small", 8);
    cluster.ready(worker, 1, 4);
    cluster.submit(2, &format!("{}{URGENT}", large_networks()));
    for _ in 0..200 {
        cluster.ready(worker, 1, 1);
        cluster.pass(Span::from_millis(100));
    }
    let started = cluster.engine.state().campaign(SECOND).expect("it exists").started();
    assert_eq!((started, in_work(&cluster, SECOND)), (17, 0));
    assert!(cluster.stops().is_empty());
    assert_eq!(cluster.campaign().failed(), 0);
}

#[test]
fn a_slot_is_found_behind_any_number_of_leases_that_are_of_no_use() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &yaml("", 2_000));
    let suited = labelled(&mut cluster, "suited", "gpu");
    cluster.ready(suited, 1, 1);
    cluster.now = cluster.now + Span::from_secs(1);
    for number in 0..20 {
        let other = labelled(&mut cluster, &format!("other {number}"), "cpu");
        cluster.ready(other, 1, 50);
    }
    assert_eq!(in_work(&cluster, FIRST), 1_001);
    cluster.submit(2, &on("gpu", &yaml(URGENT, 3)));
    let stops: Vec<u64> = cluster.stops().iter().map(|(task, ..)| task.0).collect();
    assert_eq!(stops, [1]);
}

/// Its worker offers something else when it comes back, and keeps what it works on.
#[test]
fn a_lease_is_found_on_what_its_worker_has_become() {
    let mut cluster = Cluster::with_campaign("", 9);
    let worker = labelled(&mut cluster, "a", "cpu");
    cluster.ready(worker, 1, 1);
    let mut capabilities = usual_capabilities();
    Arc::make_mut(&mut capabilities).labels = [("kind".into(), "gpu".into())].into();
    cluster.connect("a", 2, capabilities, &[(1, 1)]);
    cluster.submit(2, &on("gpu", &yaml(URGENT, 3)));
    assert_eq!(cluster.stops().len(), 1);
}

#[test]
fn who_took_a_slot_in_vain_takes_none_for_a_while() {
    let mut cluster = Cluster::with_campaign("", 90);
    let worker = cluster.worker("a", 4);
    cluster.submit(2, &yaml(URGENT, 9));
    assert_eq!(cluster.stops().len(), 1);
    cluster.expect(Command::PauseCampaign(SECOND));
    cluster.ready(worker, 1, 1);
    assert_eq!(in_work(&cluster, FIRST), 4, "the slot went back");
    cluster.expect(Command::ResumeCampaign(SECOND));
    cluster.pass(Span::from_secs(9));
    assert_eq!(cluster.stops().len(), 1);
    cluster.pass(Span::from_secs(2));
    assert_eq!(cluster.stops().len(), 2);
}

#[test]
fn no_candidate_fails_for_being_stopped_for_others_however_often() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 1);
    let worker = cluster.worker("a", 1);
    for number in 2..60 {
        cluster.now = cluster.now + Span::from_secs(1);
        cluster.submit(u128::from(number), &yaml(URGENT, 1));
        cluster.ready(worker, 1, 1);
        let urgent = leased(&cluster, CampaignId(number));
        cluster.report(worker, (urgent[0].0, 1), measured(80.0, 5.0));
        cluster.ready(worker, 1, 1);
    }
    assert_eq!(leased(&cluster, FIRST), [(1, 59)]);
    cluster.report(worker, (1, 59), measured(80.0, 5.0));
    assert_eq!((cluster.campaign().scored(), cluster.campaign().failed()), (1, 0));
}

/// The worker of a spot market always has to go: with its state, or after the last one that it stored on its way,
/// at its second signal. Within a step the content alone tells whether an attempt got on.
#[test]
fn no_candidate_fails_for_being_handed_back_as_long_as_it_gets_on() {
    for at_once in [false, true] {
        for (steps, contents, ends) in [(true, true, 0), (false, true, 0), (false, false, 1)] {
            let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 1);
            for attempt in 1..=30_u32 {
                let worker = yielding(&mut cluster, u64::from(attempt));
                let step = if steps { attempt } else { 1 };
                let content = if contents { attempt } else { 1 };
                let checkpoint = ArtifactId::of(&content.to_le_bytes());
                hand_back(&mut cluster, worker, (attempt, step), (checkpoint, at_once));
            }
            assert_eq!(cluster.campaign().failed(), ends, "at once: {at_once}");
            assert_eq!(cluster.campaign().unresolved() == 0, ends > 0);
        }
    }
}

/// A worker that can leave states, connected anew.
fn yielding(cluster: &mut Cluster, session: u64) -> WorkerId {
    let mut capabilities = usual_capabilities();
    Arc::make_mut(&mut capabilities).evaluators[0].yields = true;
    let worker = cluster.connect("a", session, capabilities, &[]);
    cluster.ready(worker, session, 1);
    worker
}

/// The first task's attempt stores its state on the way, and ends there.
fn hand_back(
    cluster: &mut Cluster,
    worker: WorkerId,
    (attempt, step): (u32, u32),
    (checkpoint, at_once): (ArtifactId, bool),
) {
    let session = cluster.engine.state().worker(worker).expect("it is there").session();
    let key = key(1, attempt);
    cluster.pass(Span::from_secs(2));
    let (task, attempt) = (key.task, key.attempt);
    cluster.expect(Command::SaveState { worker, session, task, attempt, checkpoint, step });
    if at_once {
        cluster.expect(Command::WorkerGoodbye { worker, session });
        return;
    }
    let attached = Attached { checkpoint: Some(checkpoint), step, note: None };
    let preempted = failed(FailureKind::Preempted);
    cluster.report_with(worker, (1, attempt.0), preempted, attached);
    cluster.expect(Command::WorkerGoodbye { worker, session });
}

/// While a generation waits for its last candidates, those that are queued still go to whoever can take them.
#[test]
fn what_is_queued_is_served_by_another_worker_while_nothing_is_proposed() {
    let text = in_two(12);
    let mut cluster = Cluster::new();
    cluster.submit(1, &text);
    let cheap = labelled(&mut cluster, "cpu", "cpu");
    let full = labelled(&mut cluster, "gpu", "gpu");
    // More room than a generation has use of, so that this worker is always asked first.
    cluster.ready(cheap, 1, 40);
    cluster.ready(full, 1, 40);
    for _ in 0..24 {
        let Some(next) = leased(&cluster, FIRST).pop() else { break };
        let at = cluster.engine.state().task(TaskId(next.0)).map(|task| task.stage());
        let (worker, metric) = if at == Some(0) { (cheap, "accuracy") } else { (full, "latency") };
        let value = ReportedOutcome::Measured(vec![support::measurement(metric, next.0 as f64)]);
        cluster.report(worker, next, value);
    }
    let ended = CampaignStatus::Finished(FinishReason::BudgetSpent);
    assert_eq!((cluster.campaign().scored(), cluster.campaign().status()), (12, ended));
}

#[test]
fn a_user_without_priority_takes_nothing() {
    let mut cluster = Cluster::new();
    let others = cambrian_core::engine::UserPolicy { max_priority: Some(0), ..Default::default() };
    let policy = FleetPolicy { others, ..FleetPolicy::default() };
    cluster.expect(Command::Govern(Arc::new(policy)));
    cluster.submit(1, &yaml("", 9));
    cluster.worker("a", 4);
    cluster.submit(2, &yaml(URGENT, 3));
    assert!(cluster.stops().is_empty());
}

/// What is in the way of its waiting task at its worker ends for a slot that is used, whoever gets the room.
#[test]
fn who_makes_way_for_its_own_task_has_not_taken_a_slot_in_vain() {
    let mut cluster = Cluster::with_campaign("", 90);
    let worker = cluster.worker("a", 2);
    cluster.now = cluster.now + Span::from_secs(1);
    cluster.submit(2, &yaml(URGENT, 9));
    assert_eq!(cluster.stops().len(), 1);
    cluster.ready(worker, 1, 1);
    assert_eq!((in_work(&cluster, FIRST), in_work(&cluster, SECOND)), (0, 1));
    assert_eq!(cluster.stops().len(), 2, "it would wait there behind the other");
    cluster.expect(Command::PauseCampaign(SECOND));
    cluster.ready(worker, 1, 1);
    assert_eq!(in_work(&cluster, FIRST), 1);
    cluster.expect(Command::ResumeCampaign(SECOND));
    assert_eq!(cluster.stops().len(), 3, "at once");
}

/// The generation waits; its queued tasks are for another worker than the one whose lease is the youngest.
#[test]
fn a_slot_is_taken_for_what_is_queued_when_nothing_is_proposed() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &yaml("", 90));
    let gpu = labelled(&mut cluster, "gpu", "gpu");
    cluster.ready(gpu, 1, 1);
    cluster.now = cluster.now + Span::from_secs(1);
    let cpu = labelled(&mut cluster, "cpu", "cpu");
    cluster.submit(2, &format!("{}{URGENT}", in_two(12)));
    cluster.ready(cpu, 1, 4);
    assert_eq!(in_work(&cluster, SECOND), 4);
    cluster.expect(Command::PauseCampaign(SECOND));
    cluster.ready(cpu, 1, 1);
    for task in leased(&cluster, SECOND) {
        let value = ReportedOutcome::Measured(vec![support::measurement("accuracy", 1.0)]);
        cluster.report(cpu, task, value);
    }
    assert_eq!(cluster.stops(), []);
    cluster.expect(Command::ResumeCampaign(SECOND));
    let stops: Vec<u64> = cluster.stops().iter().map(|(task, ..)| task.0).collect();
    assert_eq!(stops, [1], "the slot of the one worker that can go on");
}

#[test]
fn no_slot_is_taken_for_what_is_known() {
    let mut cluster = Cluster::with_campaign("", 3);
    let worker = cluster.worker("a", 1);
    for task in 1..=3 {
        cluster.report(worker, (task, 1), measured(80.0, 5.0));
        cluster.ready(worker, 1, 1);
    }
    cluster.submit(2, &yaml("", 9).replace("seed: 5", "seed: 6"));
    assert_eq!(in_work(&cluster, SECOND), 1);
    cluster.submit(3, &yaml(&format!("cache: on\n{URGENT}"), 3));
    assert_eq!(cluster.stops(), []);
    let third = cluster.engine.state().campaign(CampaignId(3)).expect("it exists");
    assert_eq!(third.status(), CampaignStatus::Finished(FinishReason::BudgetSpent));
}

#[test]
fn the_lowest_priority_goes_first_whatever_was_taken_before() {
    let mut cluster = Cluster::with_campaign("", 4);
    let worker = cluster.register("a", |offered| offered.slots = 8);
    cluster.ready(worker, 1, 4);
    cluster.submit(2, &yaml("share: {priority: -5}\n", 2));
    cluster.ready(worker, 1, 2);
    cluster.now = cluster.now + Span::from_secs(1);
    cluster.submit(3, &yaml(URGENT, 6));
    let other = cluster.worker("b", 1);
    assert_eq!(cluster.engine.state().worker(other).expect("it is there").leases().len(), 1);
    let stops: Vec<u64> = cluster.stops().iter().map(|(task, ..)| task.0).collect();
    assert_eq!(stops, [6, 5], "the youngest of the lowest, and the next one of them");
}
