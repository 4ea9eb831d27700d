//! Values that cannot be compared never meet in one campaign: its first leases decide which versions of the
//! evaluators and which contents of the data sets the others must have.

use cambrian_core::engine::Capabilities;

use super::*;

/// A campaign on the data set `digits`, and a worker that has measured the first of its candidates.
fn begun() -> Cluster {
    let mut cluster = Cluster::new();
    let stage = "measures: [accuracy, latency]";
    let text = yaml("", 8).replace(stage, &format!("{stage}, dataset: digits"));
    let text = text.replace("evaluator: synthetic", "evaluator: custom/mine");
    assert!(text.contains("digits") && text.contains("custom/mine"));
    cluster.submit(1, &text);
    let first = with_digits(&mut cluster, "first", |_| {});
    cluster.ready(first, 1, 1);
    cluster.report(first, (1, 1), measured(60.0, 1.0));
    cluster.assignments();
    cluster
}

fn with_digits(
    cluster: &mut Cluster,
    name: &str,
    change: impl FnOnce(&mut Capabilities),
) -> WorkerId {
    let mut capabilities =
        support::capabilities(&["custom/mine", "synthetic"], &["accuracy", "latency"]);
    let offered = Arc::make_mut(&mut capabilities);
    offered.datasets.insert("digits".into());
    offered.fingerprints.insert("digits".into(), "one content".into());
    change(offered);
    cluster.connect(name, 1, capabilities, &[])
}

/// Whether a worker that differs so gets work, and what is said of it.
fn served(change: impl FnOnce(&mut Capabilities)) -> (bool, String) {
    let mut cluster = begun();
    let worker = with_digits(&mut cluster, "second", change);
    cluster.ready(worker, 1, 1);
    let explained = cluster.engine.state().explain(&Subject::Worker(worker)).expect("it is known");
    (!cluster.assignments().is_empty(), explained.details.join("\n"))
}

#[test]
fn a_worker_like_the_first_is_served() {
    assert!(served(|_| {}).0);
    assert!(served(|offered| offered.fingerprints.clear()).0, "it cannot say what it has");
    assert!(served(|offered| offered.labels = [("rack".into(), "7".into())].into()).0);
}

#[test]
fn another_version_of_an_evaluator_gets_nothing_of_what_one_has_begun() {
    let (served, why) = served(|offered| offered.evaluators[0].version = "2".into());
    assert!(!served);
    let said = "its custom/mine has version 2, the campaign's values come from version 1";
    assert!(why.contains(said), "{why}");
}

#[test]
fn another_content_of_a_data_set_gets_nothing_of_what_one_has_begun() {
    let (served, why) =
        served(|offered| _ = offered.fingerprints.insert("digits".into(), "another".into()));
    assert!(!served);
    assert!(why.contains("its data set digits has another content"), "{why}");
}

#[test]
fn known_results_decide_as_well_which_version_goes_on() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &yaml("", 1));
    let first = cluster.worker("a", 1);
    cluster.report(first, (1, 1), measured(60.0, 1.0));
    cluster.ready(first, 1, 1);
    cluster.submit(2, &yaml("cache: on\n", 2).replace("name: first", "name: second"));
    let taken = cluster.engine.state().campaign(CampaignId(2)).expect("there are two");
    assert_eq!(taken.view().stages[0].tally.taken, 1);
    cluster.expect(Command::WorkerGoodbye { worker: first, session: SessionId(1) });
    let other =
        with_digits(&mut cluster, "b", |offered| offered.evaluators[1].version = "2".into());
    cluster.effects.clear();
    cluster.ready(other, 1, 1);
    assert!(cluster.assignments().is_empty());
}

/// The first stage is known from another campaign, and nobody is there for the second yet.
#[test]
fn known_results_decide_as_well_which_content_goes_on() {
    let text = |objectives: &str, stages: &str| {
        let space = "{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}";
        format!(
            "version: 1\nname: known\nseed: 5\nspace: {space}\nobjectives: [{objectives}]\n\
             algorithm: random\ncache: on\nstages:\n{stages}budget: {{evaluations: 1}}\n"
        )
    };
    let own = "evaluator: custom/mine, dataset: digits, timeout: 5m";
    let short = format!("  - {{name: short, {own}, measures: [accuracy]}}\n");
    let long = format!("  - {{name: long, {own}, measures: [latency], labels: {{kind: gpu}}}}\n");
    let mut cluster = Cluster::new();
    cluster.submit(1, &text("accuracy", &short));
    let first = with_digits(&mut cluster, "first", |_| {});
    cluster.ready(first, 1, 2);
    let value = ReportedOutcome::Measured(vec![support::measurement("accuracy", 60.0)]);
    cluster.report(first, (1, 1), value);
    cluster.submit(2, &text("accuracy, latency", &format!("{short}{long}")));
    let taken = cluster.engine.state().campaign(CampaignId(2)).expect("there are two");
    assert_eq!(taken.view().stages[0].tally.taken, 1);
    cluster.effects.clear();
    for (content, served) in [("another content", false), ("one content", true)] {
        let worker = with_digits(&mut cluster, content, |offered| {
            offered.fingerprints.insert("digits".into(), content.into());
            offered.labels.insert("kind".into(), "gpu".into());
        });
        cluster.ready(worker, 1, 1);
        assert_eq!(!cluster.assignments().is_empty(), served, "{content}");
    }
}
