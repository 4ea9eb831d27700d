//! That docs/cli.md names every field of what commands print as JSON.

use cambrian_proto::v1;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::cached::CachedResult;
use super::token::TokenRecord;
use super::worker::Quarantine;
use super::*;
use crate::present::confidence::Confidence;
use crate::present::health::Health;
use crate::present::summary::Totals;
use crate::snippet::Fault;

/// The part of the section about JSON that begins with `start` and ends where the next one begins.
fn part(start: &str) -> &'static str {
    let document = include_str!("../../../docs/cli.md");
    let section = document.split("\n## ").find(|section| section.starts_with("JSON\n"));
    let section = section.expect("docs/cli.md has a section about JSON");
    let at = section.find(start).unwrap_or_else(|| panic!("docs/cli.md has no {start}"));
    let found = &section[at..];
    let ends = ["\n- ", "\n| ", "\n\n"].iter().filter_map(|next| found.find(next));
    &found[..ends.min().unwrap_or(found.len())]
}

#[track_caller]
fn assert_named(start: &str, value: &impl Serialize) {
    let part = part(start);
    let Json::Object(fields) = json!(value) else { panic!("{start} is no object") };
    for name in fields.keys() {
        assert!(part.contains(&format!("`{name}`")), "docs/cli.md lacks `{name}` in: {part}");
    }
}

fn value() -> Value {
    Value {
        value: 1.0,
        spread: Some(0.1),
        interval_95: Some([0.8, 1.2]),
        source: "trained".into(),
        device_class: "cpu".into(),
    }
}

fn cached() -> CachedResult {
    v1::TakenResult::default().into()
}

#[test]
fn a_campaign() {
    assert_named("A **campaign**", &examples::campaign(Vec::new()));
    assert_named("A **stage**", &examples::stage("train", 1));
    assert_named("A **metric**", &examples::metric("accuracy", "%", Goal::Maximize));
    assert_named("The **`totals`**", &Totals::default());
}

#[test]
fn a_candidate() {
    let candidate = Candidate { cached: vec![cached()], ..examples::candidate(1, &[]) };
    assert_named("A **candidate**", &candidate);
    assert_named("A **candidate**", &value());
    assert_named("A **candidate**", &cached());
    assert_named("A **front**", &Front::from(v1::Front::default()));
    let metrics = vec![examples::metric("accuracy", "%", Goal::Maximize)];
    let best = Candidate { metrics: [("accuracy".into(), value())].into(), ..candidate };
    let front = Front { metrics, members: vec![best], ..Front::from(v1::Front::default()) };
    let confidence = Confidence::of_best(&front, 1).expect("the accuracy has a standard error");
    assert_named("**`confidence`**", &confidence);
}

#[test]
fn an_update() {
    let update = Update {
        now: Instant(1),
        workers_connected: 1,
        campaign: examples::campaign(Vec::new()),
        in_work: vec![v1::EvaluationInWork::default().into()],
        front: Some(v1::Front::default().into()),
    };
    assert_named("| `watch` |", &update);
    assert_named("An evaluation **in work**", &update.in_work[0]);
}

#[test]
fn workers_and_their_health() {
    let message = v1::Worker {
        unsuited: vec![v1::UnsuitedStage::default()],
        quarantine: Some(v1::Quarantine::default()),
        ..Default::default()
    };
    let worker = Worker::from(message);
    assert_named("A **worker**", &worker);
    assert_named("A **worker**", &worker.unsuited[0]);
    let quarantine: &Quarantine = worker.quarantine.as_ref().expect("it is in quarantine");
    assert_named("A **worker**", quarantine);
    let health = Health::of(&[], &[worker]);
    assert_named("| `health` |", &health);
    assert_named("| `health` |", &health.workers);
    assert_named("| `health` |", &health.campaigns);
}

#[test]
fn tokens_faults_and_explanations() {
    assert_named("A **token's record**", &TokenRecord::of(v1::TokenRecord::default(), 0));
    let fault =
        Fault { path: String::new(), line: 1, column: 1, message: String::new(), help: None };
    assert_named("A **fault**", &fault);
    assert_named("| `explain` |", &Explanation::from(v1::ExplainResponse::default()));
}
