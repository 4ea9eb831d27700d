//! Round trips of every durable event, and one bad record for each check.

use super::super::capabilities::tests::any_capabilities;
use super::super::measurement::tests::{any_failure, any_measurements};
use super::super::tests::bad_field;
use super::*;
use cambrian_core::artifact::ArtifactId;
use cambrian_core::engine::{Attached, QuarantineRule, Standing, UserBudget, UserPolicy};
use cambrian_core::time::Span;
use proptest::prelude::*;
use prost::Message as _;

fn any_candidate() -> impl Strategy<Value = CandidateId> {
    (1u32.., 1u32..)
        .prop_map(|(campaign, ordinal)| CandidateId::new(CampaignId(campaign), Ordinal(ordinal)))
}

fn any_origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Sampled),
        Just(Origin::Given),
        (1u32..).prop_map(|parent| Origin::Mutated { parent: Ordinal(parent) }),
        (1u32.., 1u32..).prop_map(|(first, second)| Origin::Crossed {
            first: Ordinal(first),
            second: Ordinal(second)
        }),
    ]
}

fn any_proposed() -> impl Strategy<Value = Event> {
    let genes = proptest::collection::vec(any::<u32>(), 1..20);
    (any_candidate(), genes, any::<[u8; 16]>(), any_origin(), any_measurements()).prop_map(
        |(candidate, genes, hash, origin, analytic)| {
            let (genotype, key) = (Genotype(genes.into()), CanonicalHash::from_bytes(hash));
            let proposal = Arc::new(Proposal { genotype, key, origin });
            Event::CandidateProposed { candidate, proposal, analytic }
        },
    )
}

fn any_finish() -> impl Strategy<Value = FinishReason> {
    proptest::sample::select(vec![
        FinishReason::BudgetSpent,
        FinishReason::TimeUp,
        FinishReason::SlotTimeSpent,
        FinishReason::EnergySpent,
        FinishReason::TargetReached,
        FinishReason::Stagnated,
        FinishReason::SpaceExhausted,
        FinishReason::Cancelled,
        FinishReason::NothingFeasible,
    ])
}

fn any_attached() -> impl Strategy<Value = Attached> {
    (proptest::option::of(any::<[u8; 4]>()), proptest::option::of(".{1,40}")).prop_map(
        |(content, note)| Attached {
            checkpoint: content.map(|content| ArtifactId::of(&content)),
            note: note.map(Into::into),
            step: 0,
        },
    )
}

fn any_lease_end() -> impl Strategy<Value = LeaseEnd> {
    proptest::sample::select(vec![
        LeaseEnd::Expired,
        LeaseEnd::HandedBack,
        LeaseEnd::Forgotten,
        LeaseEnd::Undelivered,
        LeaseEnd::Cancelled,
        LeaseEnd::Preempted { by: CampaignId(3) },
        LeaseEnd::Drained,
    ])
}

fn any_screen_reason() -> impl Strategy<Value = ScreenReason> {
    prop_oneof![
        ".{0,30}".prop_map(|text| ScreenReason::Gate(text.into())),
        ".{0,30}".prop_map(|text| ScreenReason::Curve(text.into())),
        (1u32.., 1u32..).prop_map(|(rank, of)| ScreenReason::Rank { rank, of }),
    ]
}

fn any_result_origin() -> impl Strategy<Value = ResultOrigin> {
    let content = proptest::option::of("[0-9a-f]{1,8}");
    (any_candidate(), any::<u8>(), 1u32.., 1u32.., ".{0,8}", content).prop_map(
        |(candidate, stage, attempt, worker, version, content)| ResultOrigin {
            candidate,
            stage,
            attempt: Attempt(attempt),
            worker: WorkerId(worker),
            version: version.into(),
            content: content.map(Into::into),
        },
    )
}

fn any_task_event() -> impl Strategy<Value = Event> {
    let task = (1..=super::super::MAX_NUMBER).prop_map(TaskId);
    let attempt = (1u32..).prop_map(Attempt);
    let worker = (1u32..).prop_map(WorkerId);
    let span = (0..=super::super::MAX_NUMBER).prop_map(Span);
    prop_oneof![
        (task.clone(), any_candidate(), any::<u8>(), any::<u32>()).prop_map(
            |(task, candidate, stage, repeat)| Event::TaskQueued { task, candidate, stage, repeat }
        ),
        (
            (task.clone(), attempt.clone()),
            any::<u32>(),
            proptest::num::f64::NORMAL,
            any::<(u32, u32)>()
        )
            .prop_map(|((task, attempt), step, value, (behind, of))| {
                let standing = Standing { step, value, behind, of };
                Event::StopDecided { task, attempt, standing }
            }),
        (
            (task.clone(), attempt.clone()),
            proptest::collection::vec((any::<u32>(), proptest::num::f64::NORMAL), 1..9)
        )
            .prop_map(|((task, attempt), points)| {
                Event::CurveRecorded { task, attempt, points: points.into() }
            }),
        (
            (task.clone(), attempt.clone()),
            1..99u32,
            proptest::option::of(any::<[u8; 4]>()),
            (any::<u32>(), span.clone())
        )
            .prop_map(|((task, attempt), worker, content, (step, elapsed))| {
                let checkpoint = content.map(|content| ArtifactId::of(&content));
                let worker = WorkerId(worker);
                Event::AttemptYielded { task, attempt, worker, checkpoint, step, elapsed }
            }),
        ((task.clone(), attempt.clone()), worker.clone(), any::<[u8; 4]>(), any::<u32>()).prop_map(
            |((task, attempt), worker, content, step)| {
                let checkpoint = ArtifactId::of(&content);
                Event::StateSaved { task, attempt, worker, checkpoint, step }
            }
        ),
        (any_candidate(), any::<u8>(), any_measurements()).prop_map(
            |(candidate, stage, measurements)| Event::RepeatsAveraged {
                candidate,
                stage,
                measurements
            }
        ),
        (task.clone(), attempt.clone(), worker.clone(), 0..1u64 << 60, span.clone()).prop_map(
            |(task, attempt, worker, session, deadline)| Event::TaskLeased {
                task,
                attempt,
                worker,
                session: SessionId(session),
                deadline: Timestamp(deadline.0),
            }
        ),
        (task.clone(), attempt.clone(), any_lease_end())
            .prop_map(|(task, attempt, end)| Event::LeaseEnded { task, attempt, end }),
        (
            (task.clone(), attempt.clone()),
            worker.clone(),
            any_measurements(),
            any_attached(),
            (span.clone(), any::<bool>()),
            proptest::option::of(any::<[u8; 16]>().prop_map(ResultKey::from_bytes)),
        )
            .prop_map(
                |((task, attempt), worker, measurements, attached, (elapsed, repeated), key)| {
                    Event::TaskCompleted {
                        task,
                        attempt,
                        worker,
                        measurements,
                        attached,
                        elapsed,
                        key,
                        repeated,
                    }
                }
            ),
        (task.clone(), any_result_origin(), any_measurements()).prop_map(
            |(task, origin, measurements)| Event::ResultTaken { task, origin, measurements }
        ),
        (task.clone(), attempt, worker, any_failure(), span).prop_map(
            |(task, attempt, worker, failure, elapsed)| Event::AttemptFailed {
                task,
                attempt,
                worker,
                failure,
                elapsed
            }
        ),
        task.clone().prop_map(Event::TaskRequeued),
        (task, any_failure()).prop_map(|(task, failure)| Event::TaskFailed { task, failure }),
    ]
}

fn any_user() -> impl Strategy<Value = UserPolicy> {
    let limit = || proptest::option::of(0..=super::super::MAX_NUMBER);
    (1u32.., proptest::option::of(any::<i32>()), limit(), limit(), limit()).prop_map(
        |(weight, max_priority, evaluations, slots, energy)| UserPolicy {
            weight,
            max_priority,
            budget: UserBudget {
                evaluations,
                slot_time: slots.map(Span),
                energy: energy.map(Energy),
            },
        },
    )
}

fn any_fleet_event() -> impl Strategy<Value = Event> {
    let worker = || (1u32..).prop_map(WorkerId);
    let span = || proptest::option::of(1..=super::super::MAX_NUMBER);
    let users = proptest::collection::btree_map(".{0,9}", any_user(), 0..4);
    prop_oneof![
        worker().prop_map(Event::WorkerDraining),
        (worker(), ".{0,30}", span()).prop_map(|(worker, reason, until)| {
            let (reason, until) = (reason.into(), until.map(Timestamp));
            Event::WorkerQuarantined { worker, reason, until }
        }),
        (worker(), any::<bool>()).prop_map(|(worker, in_time)| {
            let by = if in_time { Release::Time } else { Release::Operator };
            Event::WorkerReleased { worker, by }
        }),
        (1..=super::super::MAX_NUMBER, 1u32.., any::<u64>()).prop_map(|(task, attempt, energy)| {
            let (task, attempt) = (TaskId(task), Attempt(attempt));
            Event::EnergyUsed { task, attempt, energy: Energy(energy) }
        }),
        (users, any_user(), any::<u32>(), any::<u32>(), span(), any::<bool>()).prop_map(
            |(users, others, failures, of_last, release, shared_results)| {
                let release_after = release.map(Span);
                let quarantine = QuarantineRule { failures, of_last, release_after };
                let users = users.into_iter().map(|(name, user)| (name.into(), user)).collect();
                let policy = FleetPolicy { users, others, quarantine, shared_results };
                Event::PolicySet(Arc::new(policy))
            }
        ),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let campaign = (1u32..).prop_map(CampaignId);
    prop_oneof![
        any_task_event(),
        any_fleet_event(),
        any_proposed(),
        (0..1u64 << 50).prop_map(|micros| Event::Started { lease_length: Span(micros) }),
        campaign.clone().prop_map(Event::CampaignPaused),
        campaign.clone().prop_map(Event::CampaignResumed),
        (campaign.clone(), 1u32..)
            .prop_map(|(campaign, results)| Event::ModelAdopted { campaign, results }),
        (campaign.clone(), any_finish())
            .prop_map(|(campaign, reason)| Event::CampaignDraining { campaign, reason }),
        (campaign, any_finish())
            .prop_map(|(campaign, reason)| Event::CampaignFinished { campaign, reason }),
        (any_candidate(), ".{0,30}", 0..3).prop_map(|(candidate, text, kind)| {
            let reason = match kind {
                0 => InfeasibleReason::NoNetwork(text.into()),
                1 => InfeasibleReason::Evaluation(text.into()),
                _ => InfeasibleReason::Constraints(text.into()),
            };
            Event::CandidateInfeasible { candidate, reason }
        }),
        (any_candidate(), any::<u8>())
            .prop_map(|(candidate, stage)| Event::CandidateWaiting { candidate, stage }),
        (any_candidate(), any::<u8>(), any_screen_reason()).prop_map(
            |(candidate, stage, reason)| Event::CandidateScreened {
                candidate,
                screening: Screening { stage, reason },
            }
        ),
        (any_candidate(), prop_oneof![0.0..1e300f64, Just(f64::MAX), Just(f64::INFINITY)])
            .prop_map(|(candidate, violation)| Event::CandidateScored { candidate, violation }),
        (any_candidate(), any_failure())
            .prop_map(|(candidate, failure)| Event::CandidateFailed { candidate, failure }),
        ((1u32..), "[a-z0-9-]{1,20}", any::<u64>(), any_capabilities()).prop_map(
            |(worker, name, session, capabilities)| Event::WorkerRegistered {
                worker: WorkerId(worker),
                name: name.into(),
                session: SessionId(session),
                capabilities: Arc::new(capabilities),
            }
        ),
        ((1u32..), any::<bool>())
            .prop_map(|(worker, goodbye)| Event::WorkerLeft { worker: WorkerId(worker), goodbye }),
    ]
}

fn read(event: Message) -> Result<(Timestamp, Event), ConvertError> {
    v1::JournalRecord { at_micros: 1, event: Some(event) }.try_into()
}

fn bad(event: Message) -> String {
    bad_field(read(event))
}

proptest! {
    #[test]
    fn events_round_trip_through_bytes(event in any_event(), micros in 0..1u64 << 60) {
        let bytes = record(Timestamp(micros), &event).unwrap().encode_to_vec();
        let message = v1::JournalRecord::decode(&bytes[..]).unwrap();
        let (at, read) = <(Timestamp, Event)>::try_from(message).unwrap();
        prop_assert_eq!(at, Timestamp(micros));
        prop_assert_eq!(format!("{read:?}"), format!("{event:?}"));
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = v1::JournalRecord::decode(&bytes[..]) {
            let _ = <(Timestamp, Event)>::try_from(message);
        }
    }
}

#[test]
fn volatile_events_have_no_record() {
    for event in [
        Event::LeaseRenewed { task: TaskId(1), deadline: Timestamp(1), heard: true },
        Event::WorkerLeaving(WorkerId(1)),
        Event::TimePassed,
        Event::WorkerSeen(WorkerId(1)),
        Event::CreditSet { worker: WorkerId(1), credit: 2 },
        Event::ProgressMade { task: TaskId(1), step: 1, steps: 2, metrics: Default::default() },
    ] {
        assert_eq!(record(Timestamp(1), &event).is_some(), event.is_durable(), "{event:?}");
    }
}

#[test]
fn bad_records_name_their_field() {
    let empty = v1::JournalRecord::default();
    assert_eq!(bad_field(<(Timestamp, Event)>::try_from(empty)), "event");
    let late = v1::JournalRecord { at_micros: u64::MAX, event: None };
    assert_eq!(bad_field(<(Timestamp, Event)>::try_from(late)), "at_micros");
    let started = Message::Started(v1::Started { lease_micros: u64::MAX });
    assert_eq!(bad(started), "started.lease_micros");
    let broken = v1::CampaignSubmitted { resolved_yaml: "name: [".into(), ..Default::default() };
    assert_eq!(bad(Message::CampaignSubmitted(broken)), "campaign_submitted.resolved_yaml");
    assert_eq!(bad(Message::CampaignPaused(Default::default())), "campaign_paused.campaign");
    assert_eq!(bad(Message::CampaignResumed(Default::default())), "campaign_resumed.campaign");
    assert_eq!(bad(Message::ModelAdopted(Default::default())), "model_adopted.campaign");
    let without_results = v1::ModelAdopted { campaign: 1, results: 0 };
    assert_eq!(bad(Message::ModelAdopted(without_results)), "model_adopted.results");
    let draining = v1::CampaignDraining { campaign: 1, reason: 0 };
    assert_eq!(bad(Message::CampaignDraining(draining)), "campaign_draining.reason");
    let finished = v1::CampaignFinished { campaign: 1, reason: 77 };
    assert_eq!(bad(Message::CampaignFinished(finished)), "campaign_finished.reason");
}

#[test]
fn bad_candidates_name_their_field() {
    let id = Some(v1::CandidateId { campaign: 1, ordinal: 1 });
    let proposed = v1::CandidateProposed {
        candidate: id,
        genes: vec![1, 2],
        canonical_hash: vec![0; 16],
        origin: Some(v1::Origin::default()),
        analytic: vec![],
    };
    let bad_proposed = |change: fn(&mut v1::CandidateProposed)| {
        let mut message = proposed.clone();
        change(&mut message);
        bad(Message::CandidateProposed(message))
    };
    assert_eq!(bad_proposed(|m| m.candidate = None), "candidate_proposed.candidate");
    assert_eq!(bad_proposed(|m| m.genes.clear()), "candidate_proposed.genes");
    assert_eq!(bad_proposed(|m| m.canonical_hash.clear()), "candidate_proposed.canonical_hash");
    assert_eq!(bad_proposed(|m| m.origin = None), "candidate_proposed.origin");
    let origin = |parents| Some(v1::Origin { parents, given: false });
    let orphan = v1::CandidateProposed { origin: origin(vec![1, 0]), ..proposed.clone() };
    assert_eq!(bad(Message::CandidateProposed(orphan)), "candidate_proposed.origin.parents[1]");
    let crowd = v1::CandidateProposed { origin: origin(vec![1, 2, 3]), ..proposed.clone() };
    assert_eq!(bad(Message::CandidateProposed(crowd)), "candidate_proposed.origin.parents");
    let infeasible = v1::CandidateInfeasible { candidate: id, reason: None };
    assert_eq!(bad(Message::CandidateInfeasible(infeasible)), "candidate_infeasible.reason");
    for violation in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        let scored = v1::CandidateScored { candidate: id, violation };
        assert_eq!(bad(Message::CandidateScored(scored)), "candidate_scored.violation");
    }
    let waiting = v1::CandidateWaiting { candidate: id, stage: 256 };
    assert_eq!(bad(Message::CandidateWaiting(waiting)), "candidate_waiting.stage");
    let screened = v1::CandidateScreened { candidate: id, stage: 0, reason: None };
    assert_eq!(bad(Message::CandidateScreened(screened.clone())), "candidate_screened.reason");
    let nowhere = v1::Rank { rank: 0, of: 3 };
    let reason = Some(v1::candidate_screened::Reason::Rank(nowhere));
    let screened = v1::CandidateScreened { reason, ..screened };
    assert_eq!(bad(Message::CandidateScreened(screened)), "candidate_screened.rank.rank");
    let failed = v1::CandidateFailed { candidate: id, failure: None };
    assert_eq!(bad(Message::CandidateFailed(failed)), "candidate_failed.failure");
}

#[test]
fn bad_tasks_and_workers_name_their_field() {
    let id = Some(v1::CandidateId { campaign: 1, ordinal: 1 });
    let queued = v1::TaskQueued { task: 1, candidate: id, stage: 256, repeat: 0 };
    assert_eq!(bad(Message::TaskQueued(queued)), "task_queued.stage");
    let averaged = v1::RepeatsAveraged { candidate: id, stage: 256, measurements: vec![] };
    assert_eq!(bad(Message::RepeatsAveraged(averaged)), "repeats_averaged.stage");
    let stopped = v1::StopDecided { task: 1, attempt: 1, value: f64::NAN, ..Default::default() };
    assert_eq!(bad(Message::StopDecided(stopped)), "stop_decided.value");
    let curve = v1::CurveRecorded { task: 1, attempt: 1, steps: vec![], values: vec![] };
    assert_eq!(bad(Message::CurveRecorded(curve.clone())), "curve_recorded.steps");
    let curve = v1::CurveRecorded { steps: vec![1, 2], values: vec![0.5], ..curve };
    assert_eq!(bad(Message::CurveRecorded(curve.clone())), "curve_recorded.values");
    let curve = v1::CurveRecorded { values: vec![0.5, f64::INFINITY], ..curve };
    assert_eq!(bad(Message::CurveRecorded(curve)), "curve_recorded.values[1]");
    let left = v1::AttemptYielded { task: 1, attempt: 1, ..Default::default() };
    assert_eq!(bad(Message::AttemptYielded(left.clone())), "attempt_yielded.worker");
    let broken = v1::AttemptYielded { worker: 1, checkpoint: vec![1], ..left.clone() };
    assert_eq!(bad(Message::AttemptYielded(broken)), "attempt_yielded.checkpoint");
    let endless = v1::AttemptYielded { worker: 1, elapsed_micros: u64::MAX, ..left };
    assert_eq!(bad(Message::AttemptYielded(endless)), "attempt_yielded.elapsed_micros");
    let saved = v1::StateSaved { task: 1, attempt: 1, worker: 1, ..Default::default() };
    assert_eq!(bad(Message::StateSaved(saved)), "state_saved.checkpoint");
    assert_eq!(bad(Message::TaskLeased(Default::default())), "task_leased.task");
    let leased = v1::TaskLeased { task: 1, attempt: 1, ..Default::default() };
    assert_eq!(bad(Message::TaskLeased(leased)), "task_leased.worker");
    let ended = v1::LeaseEnded { task: 1, attempt: 1, ..Default::default() };
    assert_eq!(bad(Message::LeaseEnded(ended)), "lease_ended.end");
    let ended = v1::LeaseEnded { end: v1::LeaseEnd::Preempted.into(), ..ended };
    assert_eq!(bad(Message::LeaseEnded(ended)), "lease_ended.by_campaign");
    assert_eq!(bad(Message::WorkerDraining(Default::default())), "worker_draining.worker");
    assert_eq!(bad(Message::WorkerQuarantined(Default::default())), "worker_quarantined.worker");
    assert_eq!(bad(Message::WorkerReleased(Default::default())), "worker_released.worker");
    assert_eq!(bad(Message::EnergyUsed(Default::default())), "energy_used.task");
    assert_eq!(bad(Message::PolicySet(Default::default())), "policy_set.others");
    let weightless = v1::PolicySet { others: Some(Default::default()), ..Default::default() };
    assert_eq!(bad(Message::PolicySet(weightless)), "policy_set.quarantine");
    let completed = v1::TaskCompleted { task: 1, attempt: 1, worker: 0, ..Default::default() };
    assert_eq!(bad(Message::TaskCompleted(completed.clone())), "task_completed.worker");
    let half = v1::TaskCompleted { worker: 1, result_key: vec![1; 8], ..completed };
    assert_eq!(bad(Message::TaskCompleted(half)), "task_completed.result_key");
    let taken = v1::ResultTaken { task: 1, attempt: 1, ..Default::default() };
    assert_eq!(bad(Message::ResultTaken(taken.clone())), "result_taken.candidate");
    let id = Some(v1::CandidateId { campaign: 1, ordinal: 1 });
    let taken = v1::ResultTaken { candidate: id, ..taken };
    assert_eq!(bad(Message::ResultTaken(taken)), "result_taken.worker");
    let attempt = v1::AttemptFailed { task: 1, attempt: 1, worker: 1, ..Default::default() };
    assert_eq!(bad(Message::AttemptFailed(attempt)), "attempt_failed.failure");
    assert_eq!(bad(Message::TaskRequeued(Default::default())), "task_requeued.task");
    let failed = v1::TaskFailed { task: 1, failure: None };
    assert_eq!(bad(Message::TaskFailed(failed)), "task_failed.failure");
    let nameless = v1::WorkerRegistered { worker: 1, ..Default::default() };
    assert_eq!(bad(Message::WorkerRegistered(nameless)), "worker_registered.capabilities");
    assert_eq!(bad(Message::WorkerLeft(Default::default())), "worker_left.worker");
}
