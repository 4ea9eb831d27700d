//! Checkpoints: who gets which, and when nothing needs one any more.

use cambrian_core::artifact::ArtifactId;

use super::*;

/// Three stages: `short`, `look`, which trains nothing, and `full`, which continues `short`.
fn yaml(pass: &str) -> String {
    format!(
        "version: 1\nname: parts\nseed: 5\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
         metrics: {{early: {{goal: maximize}}}}\n\
         objectives: [accuracy, latency]\nalgorithm: random\n\
         stages:\n  - {{name: short, evaluator: custom/trainer, measures: [early]{pass}}}\n  \
         - {{name: look, evaluator: synthetic, measures: [latency]}}\n  \
         - {{name: full, evaluator: custom/trainer, measures: [accuracy], resume: short}}\n\
         budget: {{evaluations: 2}}\nfailures: {{attempts: 2}}\n"
    )
}

fn cluster(pass: &str) -> (Cluster, WorkerId) {
    let mut cluster = Cluster::new();
    cluster.submit(1, &yaml(pass));
    let metrics = ["accuracy", "latency", "early"];
    let offers = support::capabilities(&["custom/trainer", "synthetic"], &metrics);
    let worker = cluster.connect("a", 1, offers, &[]);
    (cluster, worker)
}

fn next(cluster: &mut Cluster, worker: WorkerId) -> Assignment {
    cluster.ready(worker, 1, 1);
    cluster.assignments().pop().expect("there is work")
}

fn value(metric: &str) -> ReportedOutcome {
    ReportedOutcome::Measured(vec![support::measurement(metric, 50.0)])
}

fn attached(content: &str) -> Attached {
    Attached { checkpoint: Some(ArtifactId::of(content.as_bytes())), ..Attached::default() }
}

fn kept(cluster: &Cluster) -> Vec<ArtifactId> {
    cluster.engine.state().checkpoints().collect()
}

#[test]
fn a_checkpoint_goes_to_the_stage_that_continues_it_and_then_away() {
    let (mut cluster, worker) = cluster("");
    let short = next(&mut cluster, worker);
    assert_eq!((short.stage.name.as_ref(), short.keep, short.resume), ("short", true, None));
    let state = ArtifactId::of(b"state");
    cluster.report_with(worker, (short.task.0, 1), value("early"), attached("state"));
    assert_eq!(kept(&cluster), [state]);

    let look = next(&mut cluster, worker);
    assert_eq!((look.stage.name.as_ref(), look.keep, look.resume), ("look", false, None));
    // What nobody continues is not kept, whatever a worker says.
    cluster.report_with(worker, (look.task.0, 1), value("latency"), attached("stray"));
    assert_eq!(kept(&cluster), [state]);

    let full = next(&mut cluster, worker);
    assert_eq!((full.stage.name.as_ref(), full.keep, full.resume), ("full", false, Some(state)));
    // Another attempt begins where the first one did.
    cluster.report(worker, (full.task.0, 1), failed(FailureKind::Crash));
    let again = next(&mut cluster, worker);
    assert_eq!((again.task, again.attempt.0, again.resume), (full.task, 2, Some(state)));
    cluster.report(worker, (full.task.0, 2), value("accuracy"));
    assert_eq!(kept(&cluster), []);
}

#[test]
fn a_result_without_a_checkpoint_is_as_good() {
    let (mut cluster, worker) = cluster("");
    let short = next(&mut cluster, worker);
    let note = Some("its state could not be kept".into());
    let attached = Attached { note, ..Attached::default() };
    cluster.report_with(worker, (short.task.0, 1), value("early"), attached);
    let look = next(&mut cluster, worker);
    cluster.report(worker, (look.task.0, 1), value("latency"));
    assert_eq!(next(&mut cluster, worker).resume, None);
    let subject = Subject::Candidate(short.candidate);
    let explained = cluster.engine.state().explain(&subject).expect("it exists");
    let said = "stage short: its state could not be kept".to_owned();
    assert!(explained.details.contains(&said), "{explained:?}");
}

#[test]
fn who_is_over_keeps_nothing() {
    let gate = ", pass: {gates: [{metric: early, at_least: 60}]}";
    for pass in [gate, ""] {
        let (mut cluster, worker) = cluster(pass);
        let short = next(&mut cluster, worker);
        cluster.report_with(worker, (short.task.0, 1), value("early"), attached("state"));
        assert_eq!(kept(&cluster).len(), usize::from(pass.is_empty()));
        cluster.expect(Command::CancelCampaign(FIRST));
        assert_eq!(kept(&cluster), []);
    }
}

#[test]
fn the_digest_tells_checkpoints_apart() {
    let digest = |content: &str| {
        let (mut cluster, worker) = cluster("");
        let short = next(&mut cluster, worker);
        cluster.report_with(worker, (short.task.0, 1), value("early"), attached(content));
        cluster.engine.state().digest()
    };
    assert_eq!(digest("one"), digest("one"));
    assert_ne!(digest("one"), digest("other"));
}
