//! Results that are known already: who takes them, from whom, and what they cost.

use std::collections::BTreeMap;

use cambrian_core::engine::{Capabilities, Explanation, FleetPolicy};

use super::*;

const SECOND: CampaignId = CampaignId(2);

/// A cluster whose first campaign has `count` results, by one worker called `a`.
fn measured_by(yaml: &str, count: u64) -> (Cluster, WorkerId) {
    let mut cluster = Cluster::new();
    cluster.submit(1, yaml);
    let worker = cluster.worker("a", 1);
    for task in 1..=count {
        cluster.report(worker, (task, 1), measured(60.0 + task as f64, 1.0 + task as f64));
        cluster.ready(worker, 1, 1);
    }
    cluster.effects.clear();
    (cluster, worker)
}

fn second(cluster: &Cluster) -> &cambrian_core::engine::Campaign {
    cluster.engine.state().campaign(SECOND).expect("there are two")
}

/// How many results the second campaign took.
fn taken(cluster: &Cluster) -> u32 {
    second(cluster).view().stages.iter().map(|stage| stage.tally.taken).sum()
}

fn explained(cluster: &Cluster, ordinal: u32) -> Explanation {
    let id = CandidateId::new(SECOND, Ordinal(ordinal));
    cluster.engine.state().explain(&Subject::Candidate(id)).expect("it exists")
}

#[test]
fn a_second_campaign_takes_everything_that_the_first_has_measured() {
    let (mut cluster, _) = measured_by(&yaml("", 3), 3);
    cluster.submit(2, &yaml("cache: on\n", 3));
    assert!(cluster.assignments().is_empty());
    let (first, campaign) = (cluster.campaign(), second(&cluster));
    assert_eq!(campaign.status(), CampaignStatus::Finished(FinishReason::BudgetSpent));
    assert_eq!((campaign.started(), campaign.slot_time()), (3, Span(0)));
    for ordinal in (1..=3).map(Ordinal) {
        let views = [first, campaign].map(|found| found.candidate_view(ordinal).unwrap());
        assert_eq!(views[0].measurements, views[1].measurements);
        assert_eq!((views[1].attempts, views[1].taken.len()), (0, 1));
        assert_eq!(views[1].taken[0].origin.candidate, views[0].id);
    }
    let details = explained(&cluster, 2).details.join("\n");
    let expected =
        "stage all: from the cache: campaign 1, candidate 2 (attempt 1 on a, synthetic 1)";
    assert!(details.contains(expected), "{details}");
}

#[test]
fn by_default_a_campaign_evaluates_everything_and_others_may_take_it() {
    let (mut cluster, worker) = measured_by(&yaml("", 3), 3);
    cluster.submit(2, &yaml("", 3));
    assert_eq!((taken(&cluster), cluster.assignments().len()), (0, 1));
    assert_eq!(cluster.engine.state().known_results(), 3);
    cluster.report(worker, (4, 1), measured(1.0, 1.0));
    assert_eq!(cluster.engine.state().known_results(), 4, "those of each campaign");

    for (mode, kept) in [("off", 0), ("read", 0), ("on", 3)] {
        let (cluster, _) = measured_by(&yaml(&format!("cache: {mode}\n"), 3), 3);
        assert_eq!(cluster.engine.state().known_results(), kept, "{mode}");
    }
}

#[test]
fn other_settings_metrics_spaces_and_workers_are_other_results() {
    let base = yaml("cache: on\n", 3);
    let changes = [
        ("timeout: 5m", "timeout: 7m, labels: {a: b}", true),
        ("name: all", "name: every", true),
        ("seed: 5", "seed: 5 ", true),
        ("timeout: 5m", "timeout: 5m, settings: {steps: 3}", false),
        ("[accuracy, latency], timeout", "[latency, accuracy], timeout", true),
        ("[accuracy, latency], timeout", "[accuracy, latency, energy], timeout", false),
        ("channels: 4", "channels: 8", false),
    ];
    for (from, to, hits) in changes {
        let (mut cluster, _) = measured_by(&yaml("", 3), 3);
        let metrics: BTreeMap<_, _> = ["accuracy", "latency", "energy"]
            .map(|metric| (metric.into(), support::provenance()))
            .into();
        let worker = cluster.register("more", |offer| {
            offer.evaluators[0].metrics = metrics;
            offer.labels.insert("a".into(), "b".into());
        });
        cluster.ready(worker, 1, 1);
        assert!(base.contains(from), "{from}");
        cluster.submit(2, &base.replace(from, to));
        assert_eq!(taken(&cluster), if hits { 3 } else { 0 }, "{to}");
    }
    type Change = fn(&mut Capabilities);
    let workers: [(Change, u32); 3] = [
        (|offer| offer.labels = [("rack".into(), "7".into())].into(), 3),
        (|offer| offer.evaluators[0].version = "2".into(), 0),
        (
            |offer| {
                for provenance in offer.evaluators[0].metrics.values_mut() {
                    provenance.device_class = "another".into();
                }
            },
            0,
        ),
    ];
    for (change, hits) in workers {
        let (mut cluster, first) = measured_by(&yaml("", 3), 3);
        cluster.expect(Command::WorkerGoodbye { worker: first, session: SessionId(1) });
        cluster.submit(2, &base);
        let worker = cluster.register("other", change);
        cluster.ready(worker, 1, 1);
        assert_eq!(taken(&cluster), hits);
        let pinned = second(&cluster).view().metrics[1].provenance.clone();
        let offered = &cluster.engine.state().worker(worker).unwrap().capabilities().evaluators[0];
        assert_eq!(pinned.as_ref(), offered.metrics.values().last(), "the worker's, in any case");
    }
}

#[test]
fn spellings_of_one_network_share_a_result_with_evaluators_that_build_it() {
    let one = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|";
    let other = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|";
    let start = |cell: &str, cache: &str| yaml(&format!("start: [\"{cell}\"]\n{cache}"), 1);
    for (evaluator, hits) in [("synthetic", 1), ("custom/mine", 0)] {
        let with = |text: String| text.replace("synthetic", evaluator);
        let mut cluster = Cluster::new();
        cluster.submit(1, &with(start(one, "")));
        let worker = cluster.register("a", |offer| offer.evaluators[0].name = evaluator.into());
        cluster.ready(worker, 1, 2);
        cluster.report(worker, (1, 1), measured(70.0, 3.0));
        cluster.submit(2, &with(start(other, "cache: read\n")));
        assert_eq!(taken(&cluster), hits, "{evaluator}");
    }
}

#[test]
fn failures_are_not_known() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 2);
    let worker = cluster.worker("a", 2);
    cluster.report(worker, (1, 1), failed(FailureKind::NonFinite));
    cluster.report(worker, (2, 1), failed(FailureKind::OutOfMemory));
    assert_eq!(cluster.engine.state().known_results(), 0);
    cluster.effects.clear();
    cluster.submit(2, &yaml("cache: on\n", 2));
    cluster.ready(worker, 1, 2);
    assert_eq!(cluster.assignments().len(), 2);
}

#[test]
fn results_of_other_users_are_taken_where_the_operator_shares_them() {
    for (owner, shared, hits) in [("ada", false, 3), ("bob", false, 0), ("bob", true, 3)] {
        let mut cluster = Cluster::new();
        let policy = FleetPolicy { shared_results: shared, ..FleetPolicy::default() };
        cluster.expect(Command::Govern(Arc::new(policy)));
        let submit = |cluster: &mut Cluster, submission, owner: &str, text: &str| {
            cluster.expect(Command::SubmitCampaign {
                submission: SubmissionId(submission),
                spec: support::campaign(text),
                source: text.into(),
                owner: Some(owner.into()),
            });
        };
        submit(&mut cluster, 1, "ada", &yaml("", 3));
        let worker = cluster.worker("a", 4);
        for task in 1..=3 {
            cluster.report(worker, (task, 1), measured(70.0, 2.0));
        }
        submit(&mut cluster, 2, owner, &yaml("cache: on\n", 3));
        assert_eq!(taken(&cluster), hits, "{owner}, {shared}");
    }
}

#[test]
fn a_result_on_data_is_known_where_the_worker_says_what_is_in_the_data() {
    let with_data =
        |cache: &str| yaml(cache, 1).replace("synthetic,", "custom/mine, dataset: digits,");
    let announce = |cluster: &mut Cluster, name: &str, fingerprint: Option<&str>| {
        let worker = cluster.register(name, |offer| {
            offer.evaluators[0].name = "custom/mine".into();
            offer.datasets.insert("digits".into());
            if let Some(fingerprint) = fingerprint {
                offer.fingerprints.insert("digits".into(), fingerprint.into());
            }
        });
        cluster.ready(worker, 1, 1);
        worker
    };
    let cases = [(None, None, 0), (Some("x"), Some("x"), 1), (Some("x"), Some("y"), 0)];
    for (before, now, hits) in cases {
        let mut cluster = Cluster::new();
        cluster.submit(1, &with_data(""));
        let worker = announce(&mut cluster, "a", before);
        cluster.report(worker, (1, 1), measured(70.0, 3.0));
        cluster.expect(Command::WorkerGoodbye { worker, session: SessionId(1) });
        cluster.submit(2, &with_data("cache: on\n"));
        announce(&mut cluster, "b", now);
        assert_eq!(taken(&cluster), hits, "{before:?} then {now:?}");
    }
}

#[test]
fn a_late_result_is_filed_under_the_version_that_computed_it() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 1);
    let mut newer = usual_capabilities();
    Arc::make_mut(&mut newer).evaluators[0].version = "2".into();
    cluster.connect("a", 2, newer, &[(1, 1)]);
    cluster.report(worker, (1, 1), measured(70.0, 3.0));
    cluster.submit(2, &yaml("cache: on\n", 1));
    cluster.ready(worker, 2, 1);
    assert_eq!(taken(&cluster), 0, "version 2 has not computed it");
    cluster.report(worker, (2, 1), measured(71.0, 3.0));
    let third = yaml("cache: on\n", 1);
    cluster.submit(3, &third);
    cluster.ready(worker, 2, 1);
    let third = cluster.engine.state().campaign(CampaignId(3)).unwrap();
    let origin = &third.candidate_view(Ordinal(1)).unwrap().taken[0].origin;
    assert_eq!((origin.candidate.campaign, &*origin.version), (SECOND, "2"));
}

#[test]
fn a_step_takes_a_bounded_number_and_the_next_tick_goes_on() {
    let (mut cluster, worker) = measured_by(&yaml("", 600), 600);
    cluster.submit(2, &yaml("cache: on\n", 600));
    let first = taken(&cluster);
    assert!((1..600).contains(&first), "{first}");
    let before = cluster.assignments().len();
    while second(&cluster).status() == CampaignStatus::Running
        || matches!(second(&cluster).status(), CampaignStatus::Draining(_))
    {
        let earlier = taken(&cluster);
        cluster.pass(Span::from_millis(200));
        assert!((earlier + 1..=earlier + first).contains(&taken(&cluster)));
        cluster.expect(Command::Heartbeat { worker, session: SessionId(1), holding: vec![] });
    }
    assert_eq!((taken(&cluster), before + cluster.assignments().len()), (600, 0));
}

#[test]
fn a_training_that_goes_on_is_taken_with_all_that_continues_it_or_not_at_all() {
    let parts = |cache: &str| {
        format!(
            "version: 1\nname: parts\nseed: 5\n\
             space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
             metrics: {{early: {{goal: maximize}}}}\n\
             objectives: [accuracy]\nalgorithm: random\n\
             stages:\n  - {{name: short, evaluator: custom/trainer, measures: [early]}}\n  \
             - {{name: full, evaluator: custom/trainer, measures: [accuracy], resume: short}}\n\
             budget: {{evaluations: 1}}\n{cache}"
        )
    };
    for (whole, hits) in [(false, 0), (true, 2)] {
        let mut cluster = Cluster::new();
        cluster.submit(1, &parts(""));
        let offers = support::capabilities(&["custom/trainer"], &["early", "accuracy"]);
        let worker = cluster.connect("a", 1, offers, &[]);
        let value = |name| ReportedOutcome::Measured(vec![support::measurement(name, 50.0)]);
        cluster.ready(worker, 1, 1);
        cluster.report(worker, (1, 1), value("early"));
        cluster.ready(worker, 1, 1);
        if whole {
            cluster.report(worker, (2, 1), value("accuracy"));
        }
        cluster.effects.clear();
        cluster.submit(2, &parts("cache: on\n"));
        cluster.ready(worker, 1, 1);
        assert_eq!(taken(&cluster), hits, "the first one whole: {whole}");
        assert_eq!(cluster.assignments().len(), usize::from(!whole));
    }
}

#[test]
fn results_that_were_taken_say_nothing_of_what_is_evaluated_quickly() {
    let bred = |extra: &str, evaluations| {
        let algorithm = "algorithm: {kind: nsga2, population: 3}";
        yaml(extra, evaluations).replace("algorithm: random", algorithm)
    };
    let (mut cluster, worker) = measured_by(&bred("", 3), 3);
    cluster.submit(2, &bred("cache: on\n", 6));
    for number in [4.0, 5.0, 6.0] {
        let task = cluster.assignments().pop().expect("the others are evaluated").task;
        cluster.report(worker, (task.0, 1), measured(60.0 + number, 1.0 + number));
        cluster.ready(worker, 1, 1);
    }
    assert_eq!((taken(&cluster), second(&cluster).scored()), (3, 6));
    let explained = cluster.engine.state().explain(&Subject::Campaign(SECOND)).unwrap();
    let details = explained.details.join("\n");
    // Each attempt takes seven seconds.
    assert!(details.contains("all 3 evaluations took as long"), "{details}");
}
