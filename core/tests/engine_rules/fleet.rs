//! Shares, budgets of users, quarantine, drains, preemption, failure rules and the memory gate.

use cambrian_core::energy::Energy;
use cambrian_core::engine::{
    FleetPolicy, InfeasibleReason, QuarantineRule, UserBudget, UserPolicy,
};

use super::*;

fn govern(cluster: &mut Cluster, policy: FleetPolicy) {
    cluster.expect(Command::Govern(Arc::new(policy)));
}

fn submit_for(cluster: &mut Cluster, number: u128, owner: &str, yaml: &str) {
    let (spec, submission) = (support::campaign(yaml), SubmissionId(number));
    let owner = (!owner.is_empty()).then(|| owner.into());
    cluster.expect(Command::SubmitCampaign { submission, spec, source: yaml.into(), owner });
}

fn user(weight: u32, budget: UserBudget) -> UserPolicy {
    UserPolicy { weight, budget, ..UserPolicy::default() }
}

fn in_work(cluster: &Cluster, campaign: u32) -> u32 {
    cluster.engine.state().campaign(CampaignId(campaign)).expect("it exists").view().running
}

fn explained(cluster: &Cluster, subject: Subject) -> String {
    let found = cluster.engine.state().explain(&subject).expect("it exists");
    format!("{}\n{}", found.headline, found.details.join("\n"))
}

fn held(worker: &str, cluster: &Cluster) -> bool {
    let found = cluster.engine.state().find_worker(worker).expect("it has registered");
    found.quarantine().is_some()
}

#[test]
fn slots_follow_priorities_then_users_then_weights() {
    let mut cluster = Cluster::new();
    let users = [("ada", 3), ("bob", 1)];
    let users =
        users.map(|(name, weight)| (Arc::<str>::from(name), user(weight, UserBudget::default())));
    govern(&mut cluster, FleetPolicy { users: users.into(), ..FleetPolicy::default() });
    submit_for(&mut cluster, 1, "ada", &yaml("share: {weight: 2}\n", 90));
    submit_for(&mut cluster, 2, "ada", &yaml("share: {weight: 1}\n", 90));
    submit_for(&mut cluster, 3, "bob", &yaml("", 90));
    submit_for(&mut cluster, 4, "bob", &yaml("share: {priority: 1}\n", 4));
    cluster.worker("a", 40);
    let found: Vec<u32> = (1..=4).map(|id| in_work(&cluster, id)).collect();
    // The urgent one counts for bob: 40 slots, 30 for ada, 10 for bob.
    assert_eq!(found, [20, 10, 6, 4]);
    let why = explained(&cluster, Subject::Campaign(FIRST));
    assert!(why.contains("priority 0, weight 2 among the campaigns of user ada"), "{why}");
}

#[test]
fn an_operator_bounds_priorities() {
    let mut cluster = Cluster::new();
    let others = UserPolicy { max_priority: Some(0), ..UserPolicy::default() };
    govern(&mut cluster, FleetPolicy { others, ..FleetPolicy::default() });
    submit_for(&mut cluster, 1, "ada", &yaml("share: {priority: 50}\n", 90));
    submit_for(&mut cluster, 2, "bob", &yaml("", 90));
    cluster.worker("a", 10);
    assert_eq!((in_work(&cluster, 1), in_work(&cluster, 2)), (5, 5));
    govern(&mut cluster, FleetPolicy::default());
    cluster.ready(WorkerId(1), 1, 10);
    assert_eq!((in_work(&cluster, 1), in_work(&cluster, 2)), (15, 5));
}

#[test]
fn a_users_budget_holds_campaigns_back_until_it_is_raised() {
    let budgets = [
        UserBudget { slot_time: Some(Span::from_secs(14)), ..UserBudget::default() },
        UserBudget { evaluations: Some(3), ..UserBudget::default() },
    ];
    for budget in budgets {
        let mut cluster = Cluster::new();
        let limited = |budget| FleetPolicy {
            users: [(Arc::from("ada"), user(1, budget))].into(),
            ..FleetPolicy::default()
        };
        govern(&mut cluster, limited(budget));
        submit_for(&mut cluster, 1, "ada", &yaml("", 90));
        let worker = cluster.worker("a", 3);
        for task in 1..=3 {
            cluster.report(worker, (task, 1), measured(80.0, 5.0));
        }
        cluster.ready(worker, 1, 3);
        assert_eq!(cluster.campaign().started(), 3, "{budget:?}");
        assert_eq!(cluster.campaign().status(), CampaignStatus::Running);
        let why = explained(&cluster, Subject::Campaign(FIRST));
        assert!(why.contains("gets no more work: the budget of user ada is spent"), "{why}");
        govern(&mut cluster, limited(UserBudget::default()));
        assert_eq!(cluster.campaign().started(), 6);
    }
}

#[test]
fn energy_is_counted_where_it_is_reported_and_ends_the_campaign() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &yaml("", 90).replace("90}", "90, energy: 250 J}"));
    let worker = cluster.worker("a", 4);
    for (task, joules) in [(1, Some(200.0)), (2, None), (3, Some(60.0))] {
        cluster.expect(Command::Report {
            worker,
            session: SessionId(1),
            task: TaskId(task),
            attempt: Attempt(1),
            outcome: measured(80.0, 5.0),
            attached: Attached::default(),
            elapsed: Span::from_secs(7),
            energy: joules.and_then(Energy::from_joules),
        });
    }
    assert_eq!(cluster.campaign().energy(), Energy::from_joules(260.0).unwrap());
    let draining = CampaignStatus::Draining(FinishReason::EnergySpent);
    assert_eq!(cluster.campaign().status(), draining);
    cluster.ready(worker, 1, 4);
    assert_eq!(cluster.campaign().started(), 4, "what was in flight, and nothing more");
    cluster.report(worker, (4, 1), measured(80.0, 5.0));
    let finished = CampaignStatus::Finished(FinishReason::EnergySpent);
    assert_eq!(cluster.campaign().status(), finished);
}

/// A cluster whose stage has worked on a sound worker, and another worker with room for five.
fn with_suspect(release_after: Option<Span>) -> (Cluster, WorkerId) {
    let mut cluster = Cluster::with_campaign("", 90);
    let quarantine = QuarantineRule { failures: 3, of_last: 4, release_after };
    govern(&mut cluster, FleetPolicy { quarantine, ..FleetPolicy::default() });
    let sound = cluster.worker("sound", 1);
    cluster.report(sound, (1, 1), measured(80.0, 5.0));
    let suspect = cluster.worker("suspect", 6);
    (cluster, suspect)
}

#[test]
fn a_worker_on_which_different_candidates_fail_is_put_into_quarantine() {
    let (mut cluster, suspect) = with_suspect(None);
    cluster.report(suspect, (2, 1), failed(FailureKind::Crash));
    cluster.report(suspect, (3, 1), measured(80.0, 5.0));
    cluster.report(suspect, (4, 1), failed(FailureKind::Timeout));
    assert!(!held("suspect", &cluster));
    let step = cluster.report(suspect, (5, 1), failed(FailureKind::Crash));
    let quarantined = |event: &Event| matches!(event, Event::WorkerQuarantined { .. });
    assert_eq!(count(&step, quarantined), 1);
    cluster.assignments();
    cluster.ready(suspect, 1, 9);
    assert!(cluster.assignments().is_empty());
    let why = explained(&cluster, Subject::Worker(suspect));
    assert!(why.contains("in quarantine") && why.contains("3 different candidates"), "{why}");
    // A new process does not end it, and what runs still counts.
    cluster.report(suspect, (6, 1), measured(80.0, 5.0));
    cluster.register_with("suspect", 2, &[]);
    cluster.ready(suspect, 2, 1);
    assert!(cluster.assignments().is_empty());
    cluster.expect(Command::ReleaseWorker(suspect));
    assert_eq!(cluster.assignments().len(), 1);
    let again = cluster.try_step(Command::ReleaseWorker(suspect)).unwrap_err();
    assert_eq!(again, Rejected::NotHeld("suspect".into()));
}

#[test]
fn a_quarantine_ends_in_time_if_the_operator_says_so() {
    let (mut cluster, suspect) = with_suspect(Some(Span::from_secs(600)));
    for task in 2..=4 {
        cluster.report(suspect, (task, 1), failed(FailureKind::Crash));
    }
    assert!(held("suspect", &cluster));
    cluster.pass(Span::from_secs(599));
    assert!(held("suspect", &cluster));
    cluster.pass(Span::from_secs(1));
    assert!(!held("suspect", &cluster));
}

#[test]
fn what_is_the_candidates_own_fault_or_fails_everywhere_does_not_speak_against_a_worker() {
    let own = [FailureKind::OutOfMemory, FailureKind::NonFinite, FailureKind::Invalid];
    for kind in own {
        let (mut cluster, suspect) = with_suspect(None);
        for task in 2..=6 {
            cluster.report(suspect, (task, 1), failed(kind));
        }
        assert!(!held("suspect", &cluster), "{kind}");
    }
    let mut cluster = Cluster::with_campaign("", 90);
    let worker = cluster.worker("a", 8);
    for task in 1..=8 {
        cluster.report(worker, (task, 1), failed(FailureKind::Crash));
    }
    assert!(!held("a", &cluster), "the stage has worked nowhere yet");
}

#[test]
fn a_crashed_task_goes_elsewhere_and_a_poison_candidate_gets_no_third_worker() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 9}\n", 1);
    let first = cluster.worker("first", 9);
    let second = cluster.register_with("second", 1, &[]);
    cluster.report(first, (1, 1), failed(FailureKind::Crash));
    let why = explained(&cluster, Subject::Task(TaskId(1)));
    assert!(why.contains("first cannot: the task failed on it"), "{why}");
    cluster.ready(second, 1, 1);
    let third = cluster.worker("third", 9);
    cluster.report(second, (1, 2), failed(FailureKind::Crash));
    assert_eq!(cluster.campaign().failed(), 1);
    let why = explained(&cluster, Subject::Candidate(CandidateId::new(FIRST, Ordinal(1))));
    assert!(why.contains("it crashed on 2 workers"), "{why}");
    assert!(cluster.engine.state().worker(third).unwrap().leases().is_empty());
}

#[test]
fn without_another_worker_a_crashed_task_is_tried_where_it_crashed() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 3}\n", 1);
    let only = cluster.worker("only", 9);
    cluster.report(only, (1, 1), failed(FailureKind::Crash));
    cluster.report(only, (1, 2), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn rules_of_the_campaign_decide_about_failures() {
    let rules = "failures: {attempts: 9, timeout: {retry: 1}, out_of_memory: fail, crash: infeasible, \
                 non_finite: retry}\n";
    let outcome = |kind, times: u32| {
        let mut cluster = Cluster::with_campaign(rules, 1);
        let worker = cluster.worker("a", 99);
        (1..=times).for_each(|attempt| {
            cluster.report(worker, (1, attempt), failed(kind));
        });
        cluster.campaign().candidate(Ordinal(1)).unwrap().status().clone()
    };
    let is_failed = |status| matches!(status, CandidateStatus::Failed(_));
    let is_open = |status| matches!(status, CandidateStatus::InStage { .. });
    assert!(is_open(outcome(FailureKind::Timeout, 1)));
    assert!(is_failed(outcome(FailureKind::Timeout, 2)));
    assert!(is_failed(outcome(FailureKind::OutOfMemory, 1)));
    assert!(is_open(outcome(FailureKind::NonFinite, 8)));
    assert!(is_failed(outcome(FailureKind::NonFinite, 9)));
    let CandidateStatus::Infeasible(InfeasibleReason::Evaluation(why)) =
        outcome(FailureKind::Crash, 1)
    else {
        panic!("a crash counts as infeasible here")
    };
    assert_eq!(&*why, "crash: as the test says");
}

#[test]
fn a_drained_worker_finishes_and_its_next_process_works_again() {
    let mut cluster = Cluster::with_campaign("", 9);
    let worker = cluster.worker("a", 1);
    cluster.expect(Command::DrainWorker { worker, at_once: false });
    assert!(matches!(cluster.effects.last(), Some(Effect::Drain { .. })));
    cluster.assignments();
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    cluster.ready(worker, 1, 3);
    assert_eq!(cluster.campaign().scored(), 1);
    assert!(cluster.assignments().is_empty());
    // A broken connection is no farewell: it is told again.
    cluster.register_with("a", 2, &[]);
    assert!(cluster.effects.iter().any(|effect| matches!(effect, Effect::Drain { .. })));
    cluster.expect(Command::WorkerGoodbye { worker, session: SessionId(2) });
    cluster.effects.clear();
    cluster.register_with("a", 3, &[]);
    cluster.ready(worker, 3, 1);
    assert_eq!(cluster.assignments().len(), 1);
}

#[test]
fn a_drain_at_once_costs_no_attempt_and_the_holder_cannot_have_it_back() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 1);
    let leaving = cluster.worker("leaving", 1);
    cluster.expect(Command::DrainWorker { worker: leaving, at_once: true });
    assert_eq!(cluster.stops(), [(TaskId(1), Attempt(1), StopReason::Preempted)]);
    // It had not heard of it when it said that it works on the task.
    let holding = vec![key(1, 1)];
    cluster.expect(Command::Heartbeat { worker: leaving, session: SessionId(1), holding });
    assert!(cluster.engine.state().task(TaskId(1)).unwrap().lease().is_none());
    let staying = cluster.worker("staying", 1);
    cluster.report(staying, (1, 2), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn a_worker_that_drains_of_its_own_accord_is_listed_so() {
    let mut cluster = Cluster::with_campaign("", 9);
    let worker = cluster.worker("a", 1);
    cluster.expect(Command::WorkerDrains { worker, session: SessionId(1) });
    cluster.assignments();
    cluster.ready(worker, 1, 1);
    assert!(cluster.assignments().is_empty());
    assert!(cluster.engine.state().worker(worker).unwrap().is_draining());
    // It did not get to say goodbye; its next process was told nothing.
    cluster.expect(Command::WorkerDisconnected { worker, session: SessionId(1) });
    cluster.effects.clear();
    cluster.register_with("a", 2, &[(1, 1)]);
    assert!(!cluster.effects.iter().any(|effect| matches!(effect, Effect::Drain { .. })));
    cluster.ready(worker, 2, 1);
    assert_eq!(cluster.assignments().len(), 1);
}

#[test]
fn a_drain_can_be_taken_back_until_its_worker_knows() {
    let mut cluster = Cluster::with_campaign("", 9);
    let worker = cluster.worker("a", 1);
    cluster.assignments();
    cluster.expect(Command::DrainWorker { worker, at_once: false });
    let refused = cluster.try_step(Command::ReleaseWorker(worker)).unwrap_err();
    assert_eq!(refused, Rejected::Leaves("a".into()));
    assert!(cluster.engine.state().worker(worker).unwrap().is_draining());
    cluster.expect(Command::WorkerDisconnected { worker, session: SessionId(1) });
    let why = explained(&cluster, Subject::Worker(worker));
    assert!(why.contains("`cambrian worker release a` undoes it"), "{why}");
    cluster.expect(Command::ReleaseWorker(worker));
    cluster.effects.clear();
    cluster.register_with("a", 2, &[]);
    cluster.ready(worker, 2, 1);
    assert_eq!(cluster.assignments().len(), 1);
}

#[test]
fn slots_taken_of_a_worker_that_gets_no_more_work_are_taken_elsewhere() {
    for drained in [true, false] {
        let mut cluster = Cluster::with_campaign("", 9);
        govern(
            &mut cluster,
            FleetPolicy {
                quarantine: QuarantineRule { failures: 1, of_last: 1, release_after: None },
                ..FleetPolicy::default()
            },
        );
        let sound = cluster.worker("sound", 2);
        cluster.report(sound, (1, 1), measured(80.0, 5.0));
        cluster.now = cluster.now + Span::from_secs(1);
        let worker = cluster.worker("a", 2);
        cluster.submit(2, &yaml("share: {priority: 1, preempt: true}\n", 1));
        let taken = cluster.stops();
        assert_eq!(taken.len(), 1);
        assert!(taken[0].0 > TaskId(2), "the youngest lease goes, that of the second worker");
        if drained {
            cluster.expect(Command::DrainWorker { worker, at_once: false });
        } else {
            cluster.report(worker, (3, 1), failed(FailureKind::Crash));
        }
        cluster.expect(Command::Tick);
        assert_eq!(cluster.stops().len(), 2, "drained: {drained}");
    }
}

#[test]
fn a_name_that_is_a_number_takes_nobodys_place() {
    let mut cluster = Cluster::new();
    let first = cluster.worker("gpu", 1);
    assert_eq!(first, WorkerId(1));
    cluster.worker("1", 1);
    let state = cluster.engine.state();
    assert_eq!(state.find_worker("1").unwrap().id(), first);
    assert_eq!(&**state.find_worker("2").unwrap().name(), "1");
}

#[test]
fn a_campaign_that_does_not_wait_takes_slots_and_the_others_lose_no_attempt() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 9);
    let worker = with_slots(&mut cluster, 4, 4);
    assert_eq!(in_work(&cluster, 1), 4);
    cluster.now = cluster.now + Span::from_secs(5);
    cluster.submit(2, &yaml("share: {priority: 1, preempt: true}\n", 3));
    // The youngest lease of the lowest priority goes; the campaign gets its slot when it is free.
    assert_eq!(cluster.stops().len(), 1);
    assert_eq!((in_work(&cluster, 1), in_work(&cluster, 2)), (3, 0));
    cluster.expect(Command::Tick);
    assert_eq!(cluster.stops().len(), 1, "nothing more before it has come");
    cluster.ready(worker, 1, 1);
    assert_eq!((in_work(&cluster, 1), in_work(&cluster, 2)), (1, 1));
    cluster.ready(worker, 1, 2);
    assert_eq!((in_work(&cluster, 1), in_work(&cluster, 2)), (1, 3));
    assert_eq!(cluster.stops().len(), 3, "it takes no more than it can use");
    assert!(cluster.stops().iter().all(|(.., reason)| *reason == StopReason::Preempted));
    for task in 5..=7 {
        cluster.report(worker, (task, 1), measured(80.0, 5.0));
    }
    let urgent = cluster.engine.state().campaign(CampaignId(2)).unwrap();
    assert_eq!(urgent.status(), CampaignStatus::Finished(FinishReason::BudgetSpent));
    cluster.ready(worker, 1, 8);
    assert_eq!((in_work(&cluster, 1), cluster.campaign().failed()), (9, 0));
}

/// A worker with so many slots that takes so many tasks.
fn with_slots(cluster: &mut Cluster, slots: u32, credit: u32) -> WorkerId {
    let worker = cluster.register("a", |offered| offered.slots = slots);
    cluster.ready(worker, 1, credit);
    worker
}

/// A worker takes more than it has slots for, so there may be room at it and no slot.
#[test]
fn what_does_not_wait_does_not_wait_at_its_worker_either() {
    for (slots, before, credit, stopped) in [
        // One runs; the other would wait behind it.
        (1, 1, 2, vec![1]),
        // Both slots work and a third task waits: it and the younger of the two are in the way.
        (2, 3, 4, vec![3, 2]),
        // There is a slot for it.
        (2, 1, 4, vec![]),
    ] {
        let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", before);
        let worker = with_slots(&mut cluster, slots, 0);
        for _ in 0..before {
            cluster.now = cluster.now + Span::from_secs(1);
            cluster.ready(worker, 1, 1);
        }
        cluster.now = cluster.now + Span::from_secs(1);
        cluster.ready(worker, 1, credit - before);
        cluster.submit(2, &yaml("share: {priority: 1, preempt: true}\n", 1));
        assert_eq!(in_work(&cluster, 2), 1);
        let stops: Vec<u64> = cluster.stops().iter().map(|(task, ..)| task.0).collect();
        assert_eq!(stops, stopped, "{slots} slots, {before} before it");
        cluster.expect(Command::Tick);
        assert_eq!(cluster.stops().len(), stopped.len(), "once");
        assert_eq!(cluster.campaign().failed(), 0);
    }
}

#[test]
fn a_campaign_that_waits_takes_nothing() {
    let mut cluster = Cluster::with_campaign("", 9);
    cluster.worker("a", 4);
    cluster.submit(2, &yaml("share: {priority: 1}\n", 3));
    cluster.submit(3, &yaml("share: {preempt: true}\n", 3));
    assert!(cluster.stops().is_empty());
}

/// A campaign whose networks need hundreds of MiB to be trained.
pub(super) fn large_networks() -> String {
    "version: 1\nname: large\nspace: {kind: nasbench201, channels: 64, cells: 1, \
     input: [1, 28, 28]}\nobjectives: [accuracy]\nalgorithm: random\nstages:\n  \
     - {name: all, evaluator: train, measures: [accuracy], timeout: 5m, \
     settings: {dataset: fashion-mnist, batch_size: 512}}\nbudget: {evaluations: 40}\n"
        .into()
}

/// A worker that lacks nothing for these networks, unless it is memory.
pub(super) fn with_memory(cluster: &mut Cluster, name: &str, mib: u64) -> WorkerId {
    let mut capabilities = support::capabilities(&["synthetic", "train"], &["accuracy", "latency"]);
    let offered = Arc::make_mut(&mut capabilities);
    offered.datasets.insert("fashion-mnist".into());
    offered.memory_bytes = mib << 20;
    cluster.connect(name, 1, capabilities, &[])
}

#[test]
fn a_network_that_cannot_fit_is_not_sent_and_the_reason_is_given() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &large_networks());
    let small = with_memory(&mut cluster, "small", 8);
    for _ in 0..100 {
        cluster.ready(small, 1, 1);
    }
    assert!(cluster.assignments().is_empty());
    assert_eq!(cluster.campaign().started(), 17, "no more are proposed for a worker of this size");
    let why = explained(&cluster, Subject::Task(TaskId(1)));
    assert!(why.contains("small cannot: the network needs at least"), "{why}");
    let large = with_memory(&mut cluster, "large", 1 << 20);
    cluster.ready(large, 1, 1);
    assert_eq!(cluster.assignments().len(), 1);
}
