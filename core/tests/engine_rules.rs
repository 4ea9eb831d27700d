//! The engine's rules one by one: what is counted, what is dropped, what is handed on.

mod support;

#[path = "engine_rules/bounds.rs"]
mod bounds;
#[path = "engine_rules/cache.rs"]
mod cache;
#[path = "engine_rules/campaigns.rs"]
mod campaigns;
#[path = "engine_rules/checkpoints.rs"]
mod checkpoints;
#[path = "engine_rules/cluster.rs"]
mod cluster;
#[path = "engine_rules/cohorts.rs"]
mod cohorts;
#[path = "engine_rules/early.rs"]
mod early;
#[path = "engine_rules/explained.rs"]
mod explained;
#[path = "engine_rules/extremes.rs"]
mod extremes;
#[path = "engine_rules/failures.rs"]
mod failures;
#[path = "engine_rules/fleet.rs"]
mod fleet;
#[path = "engine_rules/kinds.rs"]
mod kinds;
#[path = "engine_rules/limits.rs"]
mod limits;
#[path = "engine_rules/pins.rs"]
mod pins;
#[path = "engine_rules/preempt.rs"]
mod preempt;
#[path = "engine_rules/repeats.rs"]
mod repeats;
#[path = "engine_rules/reports.rs"]
mod reports;
#[path = "engine_rules/rungs.rs"]
mod rungs;
#[path = "engine_rules/sessions.rs"]
mod sessions;
#[path = "engine_rules/silence.rs"]
mod silence;
#[path = "engine_rules/start.rs"]
mod start;
#[path = "engine_rules/stop.rs"]
mod stop;
#[path = "engine_rules/turns.rs"]
mod turns;
#[path = "engine_rules/yields.rs"]
mod yields;

use std::sync::Arc;

use cambrian_core::engine::{
    Assignment, Attached, CampaignStatus, CandidateStatus, Command, Effect, Event, FailureKind,
    FinishReason, LeaseEnd, Rejected, ReportedOutcome, Step, StopReason, Subject, SubmissionId,
};
use cambrian_core::id::{
    Attempt, AttemptId, CampaignId, CandidateId, Ordinal, SessionId, TaskId, WorkerId,
};
use cambrian_core::objective::{Measurement, Provenance};
use cambrian_core::time::{Span, Timestamp};

use cluster::{Cluster, FIRST, LEASE, count, failed, key, measured, usual_capabilities, yaml};

#[test]
fn explanations_follow_a_candidate_through_its_life() {
    let mut cluster = Cluster::with_campaign("", 2);
    let first = Subject::Candidate(CandidateId::new(FIRST, Ordinal(1)));
    assert_eq!(cluster.engine.state().explain(&first), None);
    let worker = cluster.worker("a", 2);
    let headline = |cluster: &Cluster, subject| {
        cluster.engine.state().explain(subject).expect("it exists").headline
    };
    assert_eq!(headline(&cluster, &first), "candidate 1/1 is at stage all on a since 0.0s");
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(headline(&cluster, &first), "candidate 1/1 is scored and on the front");
    cluster.report(worker, (2, 1), measured(90.0, 4.0));
    assert_eq!(headline(&cluster, &first), "candidate 1/1 is scored and dominated");
    let task = Subject::Task(TaskId(1));
    assert_eq!(headline(&cluster, &task), "task 1 is over; candidate 1/1 is scored and dominated");
    let idle = cluster.engine.state().explain(&Subject::Worker(worker)).expect("it exists");
    assert_eq!(idle.headline, "worker a is connected and idle");
    let offer = "offers synthetic, version 1";
    assert!(idle.details.iter().any(|line| line == offer), "{idle:?}");
    let campaign = cluster.engine.state().explain(&Subject::Campaign(FIRST)).expect("it exists");
    let details = campaign.details.join("\n");
    assert!(details.contains("the algorithm keeps no population"), "{details}");
}

#[test]
fn time_never_runs_backwards() {
    let mut cluster = Cluster::with_campaign("", 1);
    cluster.now = cluster.now + Span::from_secs(100);
    cluster.worker("a", 1);
    let step = cluster.engine.step(Command::Tick, Timestamp(5)).unwrap();
    assert_eq!(step.at, cluster.now);
}

#[test]
fn the_checker_sees_through_every_index() {
    // A state that apply never builds: an event that breaks the order of a task's life.
    let mut cluster = Cluster::with_campaign("", 2);
    cluster.worker("a", 1);
    let mut broken = cluster.engine.clone();
    let candidate = CandidateId::new(FIRST, Ordinal(1));
    broken.apply(&Event::CandidateScored { candidate, violation: 0.0 }, cluster.now);
    let findings = broken.state().check().unwrap_err();
    let text = format!("{findings:?}");
    assert!(text.contains("is not in the stage of its task 1"), "{text}");
    assert!(text.contains("scored without all objectives"), "{text}");

    let mut twice = cluster.engine.clone();
    let proposal = cluster.campaign().candidates()[0].proposal().clone();
    let candidate = CandidateId::new(FIRST, Ordinal(2));
    let event =
        Event::CandidateProposed { candidate, proposal: Arc::clone(&proposal), analytic: vec![] };
    twice.apply(&event, cluster.now);
    let text = format!("{:?}", twice.state().check().unwrap_err());
    assert!(text.contains("evaluates a network twice"), "{text}");
}
