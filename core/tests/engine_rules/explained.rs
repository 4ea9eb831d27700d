//! What is said of campaigns that nobody serves, and of work that nobody is given.

use cambrian_core::engine::{FleetPolicy, UserBudget, UserPolicy};

use super::fleet::{large_networks, with_memory};
use super::*;

/// A campaign of two stages, the second for workers with the label `kind: gpu`.
fn staged(pass: &str, evaluations: u32) -> String {
    format!(
        "version: 1\nname: staged\nseed: 5\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
         objectives: [accuracy, latency]\nalgorithm: random\n\
         stages:\n  - {{name: cheap, evaluator: synthetic, measures: [accuracy]{pass}}}\n  \
         - {{name: full, evaluator: synthetic, measures: [latency], labels: {{kind: gpu}}}}\n\
         budget: {{evaluations: {evaluations}, duration: 1h}}\n"
    )
}

fn accuracy(value: f64) -> ReportedOutcome {
    ReportedOutcome::Measured(vec![support::measurement("accuracy", value)])
}

fn explained(cluster: &Cluster, subject: Subject) -> Vec<String> {
    let found = cluster.engine.state().explain(&subject).expect("it exists");
    [vec![found.headline], found.details].concat()
}

fn candidate(ordinal: u32) -> Subject {
    Subject::Candidate(CandidateId::new(FIRST, Ordinal(ordinal)))
}

#[track_caller]
fn told(lines: &[String], line: &str) {
    assert!(lines.iter().any(|found| found == line), "{line}: {lines:#?}");
}

fn govern(cluster: &mut Cluster, others: UserPolicy) {
    cluster.expect(Command::Govern(Arc::new(FleetPolicy { others, ..FleetPolicy::default() })));
}

fn held(cluster: &Cluster) -> Option<String> {
    cluster.engine.state().campaign_view(cluster.campaign()).held
}

fn slot_time(seconds: u64) -> UserPolicy {
    let budget = UserBudget { slot_time: Some(Span::from_secs(seconds)), ..UserBudget::default() };
    UserPolicy { budget, ..UserPolicy::default() }
}

#[test]
fn workers_are_judged_by_the_stage_that_waits() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &staged("", 1));
    let first = cluster.register("a", |_| {});
    cluster.ready(first, 1, 1);
    cluster.report(first, (1, 1), accuracy(80.0));
    cluster.ready(first, 1, 1);
    let lines = explained(&cluster, Subject::Campaign(FIRST));
    told(&lines, "for a worker wait: 1 task for stage full");
    told(&lines, "a cannot: it has no label kind");
    let large = cluster.register("gpu", |offered| {
        offered.labels.insert("kind".into(), "gpu".into());
    });
    told(&explained(&cluster, Subject::Campaign(FIRST)), "gpu could, but is full");
    cluster.ready(large, 1, 1);
    assert_eq!(cluster.campaign().view().running, 1);
}

#[test]
fn workers_are_judged_by_the_stage_that_candidates_may_go_on_to() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &staged(", pass: {top: 1/2, by: [accuracy]}", 2));
    let worker = cluster.register("a", |_| {});
    cluster.ready(worker, 1, 3);
    cluster.report(worker, (1, 1), accuracy(80.0));
    cluster.report(worker, (2, 1), accuracy(90.0));
    let lines = explained(&cluster, Subject::Campaign(FIRST));
    told(&lines, "for a worker wait: candidate 1/2 for stage full");
    told(&lines, "a cannot: it has no label kind");
}

#[test]
fn each_stage_that_waits_is_told_with_what_a_worker_lacks_for_it() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &staged("", 9));
    let worker = cluster.register("a", |_| {});
    cluster.ready(worker, 1, 1);
    cluster.report(worker, (1, 1), accuracy(80.0));
    cluster.register_with("b", 1, &[]);
    cluster.register("c", |offered| offered.evaluators.clear());
    let lines = explained(&cluster, Subject::Campaign(FIRST));
    told(&lines, "for a worker wait: 1 task for stage full; new candidates for stage cheap");
    told(&lines, "a and b could, but are full");
    let lacks = "it does not offer the evaluator synthetic";
    told(&lines, &format!("c cannot: stage cheap: {lacks}; stage full: {lacks}"));
}

#[test]
fn a_campaign_says_which_memory_its_networks_need() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &large_networks());
    let worker = with_memory(&mut cluster, "small", 8);
    for _ in 0..20 {
        cluster.ready(worker, 1, 1);
    }
    let lines = explained(&cluster, Subject::Campaign(FIRST));
    let waiting = "for a worker wait: 17 tasks for stage all (the first 16 are looked at); \
                   new candidates for stage all";
    told(&lines, waiting);
    let reason = "small cannot: the network needs at least";
    assert!(lines.iter().any(|line| line.starts_with(reason)), "{lines:#?}");
}

#[test]
fn workers_of_whom_the_same_is_true_are_told_in_one_line() {
    let mut cluster = Cluster::new();
    for number in 1..=12 {
        cluster.register(&format!("w{number}"), |offered| offered.evaluators.clear());
    }
    for number in 1..=30 {
        cluster.register(&format!("rack{number}"), |offered| {
            offered.evaluators.clear();
            let reason = format!("broken in rack {number}");
            offered.unavailable.insert("synthetic".into(), reason.into());
        });
    }
    cluster.submit(1, &yaml("", 3));
    let lines = explained(&cluster, Subject::Campaign(FIRST));
    told(&lines, "w1, w2, w3 and 9 more cannot: it does not offer the evaluator synthetic");
    told(&lines, "11 workers more get nothing, for other reasons");
    assert!(lines.len() < 35, "{lines:#?}");
}

#[test]
fn a_candidate_that_waits_says_that_its_campaign_stands_still() {
    // A task that waits for a worker.
    let mut cluster = Cluster::with_campaign("", 9);
    let worker = cluster.worker("a", 2);
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    cluster.pass(LEASE);
    cluster.expect(Command::WorkerGoodbye { worker, session: SessionId(1) });
    assert!(explained(&cluster, candidate(2))[0].contains("waits for a worker for stage all"));
    govern(&mut cluster, slot_time(7));
    let lines = explained(&cluster, candidate(2));
    let held = "candidate 1/2 waits for stage all: its campaign gets no more work: the budget of \
                users without a token is spent: 7.0s of 7.0s in slots are used; an administrator can raise it";
    assert_eq!(lines[0], held);
    assert!(!lines.iter().any(|line| line.contains("is away")), "nobody is waited for: {lines:#?}");
    cluster.expect(Command::PauseCampaign(FIRST));
    let paused = "its campaign is paused; `cambrian resume 1` lets it go on";
    let lines = explained(&cluster, candidate(2));
    assert_eq!(lines[0], format!("candidate 1/2 waits for stage all: {paused}"));

    // One that may go on to the next stage.
    let mut cluster = Cluster::new();
    cluster.submit(1, &staged(", pass: {top: 1/2, by: [accuracy]}", 9));
    let worker = cluster.register("a", |_| {});
    cluster.ready(worker, 1, 2);
    cluster.report(worker, (1, 1), accuracy(80.0));
    cluster.report(worker, (2, 1), accuracy(90.0));
    let soon = "it goes on as soon as a worker for the next stage has room";
    told(&explained(&cluster, candidate(2)), soon);
    cluster.expect(Command::PauseCampaign(FIRST));
    let lines = explained(&cluster, candidate(2));
    let headline = "candidate 1/2 waits after stage cheap, rank 1 of 2 there";
    assert_eq!(lines[0], format!("{headline}: {paused}"));
    told(&lines, "it goes on once its campaign does");
    cluster.expect(Command::ResumeCampaign(FIRST));
    govern(&mut cluster, slot_time(1));
    let lines = explained(&cluster, candidate(2));
    assert!(lines[0].contains("its campaign gets no more work: the budget of"), "{lines:#?}");
}

#[test]
fn only_a_campaign_that_would_be_served_is_held() {
    let mut cluster = Cluster::with_campaign("", 2);
    govern(&mut cluster, slot_time(7));
    let worker = cluster.worker("a", 2);
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(held(&cluster), None, "it needs nothing but the end of what is in work");
    cluster.expect(Command::WorkerGoodbye { worker, session: SessionId(1) });
    assert!(held(&cluster).is_some(), "its last task is queued again");

    let mut cluster = Cluster::with_campaign("", 9);
    govern(&mut cluster, slot_time(7));
    let worker = cluster.worker("a", 2);
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert!(held(&cluster).is_some());
    cluster.expect(Command::PauseCampaign(FIRST));
    assert_eq!(held(&cluster), None);
    let headline = "campaign 1 is paused; `cambrian resume 1` lets it go on";
    assert_eq!(explained(&cluster, Subject::Campaign(FIRST))[0], headline);
}

#[test]
fn a_worker_that_went_away_while_it_left_of_its_own_accord_works_when_it_is_back() {
    for ordered in [false, true] {
        let mut cluster = Cluster::with_campaign("", 9);
        let (worker, session) = (cluster.worker("a", 1), SessionId(1));
        if ordered {
            cluster.expect(Command::DrainWorker { worker, at_once: false });
        }
        cluster.expect(Command::WorkerDrains { worker, session });
        cluster.expect(Command::WorkerDisconnected { worker, session });
        let lines = explained(&cluster, Subject::Worker(worker));
        told(
            &lines,
            match ordered {
                true => "it is to drain when it is back; `cambrian worker release a` undoes it",
                false => "it was about to leave when it was last heard of; started again, it works",
            },
        );
    }
}

#[test]
fn the_priority_that_is_shown_is_the_one_a_campaign_is_served_by() {
    let mut cluster = Cluster::with_campaign("share: {priority: 50}\n", 9);
    let shown =
        |cluster: &Cluster| cluster.engine.state().campaign_view(cluster.campaign()).share.priority;
    assert_eq!(shown(&cluster), 50);
    govern(&mut cluster, UserPolicy { max_priority: Some(3), ..UserPolicy::default() });
    assert_eq!(shown(&cluster), 3);
    let lines = explained(&cluster, Subject::Campaign(FIRST));
    let share = "share: priority 3 (50 is asked for, more than its owner may have), weight 1";
    assert!(lines.iter().any(|line| line.starts_with(share)), "{lines:#?}");
}
