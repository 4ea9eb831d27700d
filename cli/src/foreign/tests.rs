//! Messages whose every text tries to command the terminal, through every list and view. What is seen while a campaign
//! is watched, explanations and refusals are tested beside them.

use cambrian_proto::v1;

use super::*;
use crate::error::CliError;
use crate::present::confidence::Confidence;
use crate::present::table::{Columns, Look};
use crate::present::{csv, heading, lists, summary, table};
use crate::results::token::TokenRecord;
use crate::results::{Campaign, Candidate, Front, Worker};
use crate::snippet::Fault;
use crate::terminal::Style;

/// Colours, the window's title, an erased line, a C1 introducer, a right-to-left override, DEL.
pub(crate) const HOSTILE: &str =
    "a\u{1b}[31m\u{1b}]0;owned\u{7}\u{1b}[2K\rb\u{9b}2J\u{202e}c\u{2066}d\u{7f}\u{8}";

/// That nothing in the text commands a terminal, and that the attempt can be seen.
#[track_caller]
pub(crate) fn assert_legible(text: &str) {
    assert!(!text.chars().any(commands), "{text:?}");
    assert!(text.contains("\\u{1b}[31m\\u{1b}]0;owned\\u{7}"), "{text}");
}

fn hostile() -> String {
    HOSTILE.to_owned()
}

fn provenance() -> Option<v1::Provenance> {
    Some(v1::Provenance { source: hostile(), device_class: hostile() })
}

fn metrics() -> Vec<v1::MetricColumn> {
    let metric = |name: &str, source: &str| v1::MetricColumn {
        name: name.to_owned(),
        unit: hostile(),
        objective: true,
        provenance: Some(v1::Provenance { source: source.to_owned(), device_class: hostile() }),
        repeats: 1,
        ..Default::default()
    };
    vec![metric("accuracy", "trained"), metric(HOSTILE, HOSTILE)]
}

fn campaign() -> v1::Campaign {
    v1::Campaign {
        name: hostile(),
        reason: hostile(),
        algorithm: hostile(),
        space: hostile(),
        owner: hostile(),
        held: hostile(),
        metrics: metrics(),
        reference_point: vec![1.0, 2.0],
        stages: vec![v1::StageSummary { name: hostile(), ..Default::default() }; 2],
        ..Default::default()
    }
}

fn candidate(status: v1::CandidateStatus) -> v1::Candidate {
    let measured = |metric: &str, provenance| v1::Measurement {
        metric: metric.to_owned(),
        value: 1.0,
        spread: Some(0.5),
        provenance,
    };
    let trained = v1::Provenance { source: "trained".to_owned(), device_class: hostile() };
    v1::Candidate {
        status: status.into(),
        genotype: hostile(),
        canonical_hash: hostile(),
        origin: hostile(),
        reason: hostile(),
        measurements: vec![measured("accuracy", Some(trained)), measured(HOSTILE, provenance())],
        ..Default::default()
    }
}

fn front() -> v1::Front {
    let members = vec![candidate(v1::CandidateStatus::Scored)];
    v1::Front { metrics: metrics(), members, ..Default::default() }
}

/// An update of a watch.
pub(crate) fn update() -> v1::WatchCampaignResponse {
    let work = v1::EvaluationInWork {
        worker: hostile(),
        stage: hostile(),
        metrics: [(hostile(), 1.0)].into(),
        ..Default::default()
    };
    v1::WatchCampaignResponse {
        campaign: Some(campaign()),
        front: Some(front()),
        in_work: vec![work],
        ..Default::default()
    }
}

fn worker() -> v1::Worker {
    let evaluator = v1::EvaluatorOffer { name: hostile(), ..Default::default() };
    let capabilities = v1::Capabilities {
        device_class: hostile(),
        evaluators: vec![evaluator],
        datasets: vec![hostile()],
        unavailable: [(hostile(), hostile())].into(),
        ..Default::default()
    };
    v1::Worker {
        name: hostile(),
        capabilities: Some(capabilities),
        quarantine: Some(v1::Quarantine { reason: hostile(), ..Default::default() }),
        ..Default::default()
    }
}

#[test]
fn no_list_commands_a_terminal() {
    let campaign = Campaign::from(campaign());
    let token = v1::TokenRecord { id: hostile(), name: hostile(), ..Default::default() };
    for width in [None, Some(400)] {
        let look = Look { width, ..Look::plain() };
        assert_legible(&lists::campaigns(std::slice::from_ref(&campaign), look));
        assert_legible(&lists::workers(&[Worker::from(worker())], look));
        assert_legible(&lists::tokens(&[TokenRecord::of(token.clone(), 0)], look));
        assert_legible(&lists::stages(&campaign.stages, look));
    }
}

#[test]
fn no_table_commands_a_terminal() {
    let front = Front::from(front());
    let failed = Candidate::from(candidate(v1::CandidateStatus::Failed));
    let columns = Columns { status: true, genotype: true };
    let look = Look::plain();
    assert_legible(&table::front(&front, columns, look));
    assert_legible(&table::front(&front, Columns::default(), Look { width: Some(20), ..look }));
    assert_legible(&table::candidates(&front.metrics, &[&failed], columns, look));
    let (text, hidden) =
        table::narrow(&front.metrics, &[&failed], Look { width: Some(20), ..look });
    assert_legible(&(text + &hidden.join(" ")));
}

#[test]
fn no_sentence_commands_a_terminal() {
    let (front, campaign) = (Front::from(front()), Campaign::from(campaign()));
    assert_legible(&summary::headline(&campaign));
    assert_legible(&summary::without_score(&campaign));
    assert_legible(&summary::hypervolume(&campaign));
    assert_legible(&summary::stages(&campaign, Look::plain()));
    assert_legible(&heading::sources(&front.metrics));
    assert_legible(&Confidence::of_best(&front, 2).unwrap().line());
    let failed = [Candidate::from(candidate(v1::CandidateStatus::Failed))];
    assert_legible(&summary::Totals::of(&campaign, &failed).lines());
}

#[test]
fn no_error_commands_a_terminal() {
    let message =
        v1::Fault { path: hostile(), line: 1, column: 2, message: hostile(), help: hostile() };
    let faults: Vec<Fault> = vec![message.into()];
    let invalid = CliError::InvalidCampaign { file: "a.yaml".into(), text: hostile(), faults };
    assert_legible(&invalid.render(Style::plain()));
    let unscored = CliError::NoResult { message: hostile(), help: hostile() };
    assert_legible(&unscored.render(Style::plain()));
    assert!(unscored.render(Style::plain()).ends_with('\n'));
}

#[test]
fn machines_get_what_was_said() {
    let worker = Worker::from(worker());
    let json = crate::output::json(&worker).unwrap();
    assert!(!json.chars().any(|c| commands(c) || c == '\n'), "{json}");
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read["device_class"], HOSTILE);
    assert_eq!(read["unavailable"][HOSTILE], HOSTILE);
    let failed = Candidate::from(candidate(v1::CandidateStatus::Failed));
    let text = csv::candidates(&[], [&failed]).unwrap();
    let mut rows = ::csv::Reader::from_reader(text.as_bytes());
    let row = rows.records().next().unwrap().unwrap();
    assert_eq!(row.iter().filter(|cell| *cell == HOSTILE).count(), 4, "{text:?}");
}

#[test]
fn what_people_write_stays_as_it_is() {
    let text = "größer ≥ 3 ± 1 %·ms ↑, 你好 🙂";
    assert_eq!(Foreign::from(text).to_string(), text);
    assert_eq!(Foreign::from("a\n\tb").to_string(), "a\\n\\tb");
    assert_eq!(Foreign::from("a\n\tb").prose(), "a\n\tb");
    assert_eq!(legible("a\r\n\u{1b}[0m"), "a\\u{d}\n\\u{1b}[0m");
}
