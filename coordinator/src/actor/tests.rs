//! Nothing acknowledged is lost, nothing escapes before it is stored, whatever the store does.

mod faulty;
mod pipeline;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use cambrian_core::engine::{Effect, Event, SubmissionId};
use cambrian_core::id::{AttemptId, CampaignId};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};

use super::{Actor, ActorError, ActorSettings, Follower, Writer, prepare};
use crate::clock::{Clock, ManualClock};
use crate::connection::{Closed, Outbound};
use crate::handle::{CallError, Handle};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::testing::{CAMPAIGN, simulated_journal};
use crate::verify::verify_journal;
use faulty::{FaultyStore, Plan};
use worker::{Connected, Fleet};

const LEASE: Span = Span::from_secs(10);

fn settings() -> ActorSettings {
    ActorSettings {
        lease_length: LEASE,
        tick: Duration::from_millis(5),
        store_retry_delay: Duration::from_millis(1),
        store_retries: 8,
        ..ActorSettings::default()
    }
}

fn start(store: impl Store + 'static) -> (Actor, Handle, ManualClock) {
    start_with(store, settings())
}

fn start_with(
    store: impl Store + 'static,
    settings: ActorSettings,
) -> (Actor, Handle, ManualClock) {
    let clock = ManualClock::default();
    clock.advance(Span::from_secs(1));
    let (actor, handle) = Actor::start(Box::new(store), Arc::new(clock.clone()), settings).unwrap();
    (actor, handle, clock)
}

async fn submit(handle: &Handle, submission: u128) -> Result<CampaignId, CallError> {
    let spec = Arc::new(CampaignSpec::parse(CAMPAIGN).unwrap());
    handle.submit(SubmissionId(submission), spec, CAMPAIGN.into(), None).await
}

async fn campaigns(handle: &Handle) -> usize {
    handle.query(|state| state.campaigns().count()).await.unwrap()
}

async fn stop(actor: Actor, handle: &Handle) -> Result<(), ActorError> {
    handle.shutdown().await;
    tokio::task::spawn_blocking(move || actor.join()).await.unwrap()
}

fn count(store: &MemoryStore, wanted: fn(&Event) -> bool) -> usize {
    let records = store.read_from(0, usize::MAX).unwrap();
    records.iter().filter(|stored| wanted(&stored.event)).count()
}

fn submissions(store: &MemoryStore) -> usize {
    count(store, |event| matches!(event, Event::CampaignSubmitted { .. }))
}

fn completions(store: &MemoryStore) -> usize {
    count(store, |event| matches!(event, Event::TaskCompleted { .. }))
}

#[tokio::test]
async fn a_restart_leads_to_the_same_state() {
    let store = MemoryStore::default();
    let (actor, handle, _clock) = start(store.clone());
    let campaign = submit(&handle, 1).await.unwrap();
    let fleet = Fleet::new(&handle, 2);
    fleet.until(campaign, |view| view.scored >= 15).await;
    fleet.stop().await;
    let before = handle.query(|state| state.digest()).await.unwrap();
    stop(actor, &handle).await.unwrap();

    let (actor, handle, _clock) = start(store.clone());
    assert_eq!(handle.query(|state| state.digest()).await.unwrap(), before);
    assert_eq!(submit(&handle, 1).await.unwrap(), campaign, "a repeated submission");
    let fleet = Fleet::new(&handle, 2);
    fleet.until(campaign, |view| view.finished_at.is_some()).await;
    fleet.stop().await;
    stop(actor, &handle).await.unwrap();
    let report = verify_journal(&store).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.campaigns[0].started, 40);
}

#[tokio::test]
async fn commands_that_wait_together_share_a_transaction() {
    let (faulty, plan) = FaultyStore::new(MemoryStore::default());
    let (actor, handle, _clock) = start(faulty);
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocker = tokio::spawn({
        let handle = handle.clone();
        async move { handle.query(move |_| blocked.recv().unwrap()).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let before = plan.appends();
    let calls: Vec<_> = (0..50)
        .map(|submission| {
            let handle = handle.clone();
            tokio::spawn(async move { submit(&handle, submission).await })
        })
        .collect();
    while handle.mailbox.max_capacity() - handle.mailbox.capacity() < 50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    release.send(()).unwrap();
    blocker.await.unwrap().unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(plan.appends() - before, 1);
    assert_eq!(campaigns(&handle).await, 50);
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_failed_append_undoes_its_batch_and_nothing_else() {
    let store = MemoryStore::default();
    let (faulty, plan) = FaultyStore::new(store.clone());
    let (actor, handle, _clock) = start(faulty);
    submit(&handle, 1).await.unwrap();
    plan.next(Plan::Fail);
    assert!(matches!(submit(&handle, 2).await, Err(CallError::Storage(_))));
    assert_eq!(campaigns(&handle).await, 1);
    assert_eq!(submit(&handle, 2).await.unwrap(), CampaignId(2));
    assert_eq!(submissions(&store), 2);
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_write_whose_success_was_lost_is_found_again() {
    let store = MemoryStore::default();
    let (faulty, plan) = FaultyStore::new(store.clone());
    let (actor, handle, _clock) = start(faulty);
    plan.next(Plan::FailAfterwards);
    assert!(matches!(submit(&handle, 1).await, Err(CallError::Storage(_))));
    assert_eq!(campaigns(&handle).await, 1, "the rebuilt state is that of the journal");
    assert_eq!(submit(&handle, 1).await.unwrap(), CampaignId(1));
    assert_eq!(submissions(&store), 1);
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_query_never_shows_what_is_not_stored() {
    let (faulty, plan) = FaultyStore::new(MemoryStore::default());
    let (actor, handle, _clock) = start(faulty);
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocker = handle.query(move |_| blocked.recv().unwrap());
    plan.next(Plan::Fail);
    let batch = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let both = async { tokio::join!(submit(&handle, 1), campaigns(&handle)) };
        let release = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            release.send(()).unwrap();
        };
        tokio::join!(both, release).0
    };
    let (blocked, (submitted, seen)) = tokio::join!(blocker, batch);
    blocked.unwrap();
    assert!(submitted.is_err());
    assert_eq!(seen, 0);
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn no_assignment_escapes_before_it_is_stored() {
    let store = MemoryStore::default();
    let (faulty, plan) = FaultyStore::new(store.clone());
    let (actor, handle, _clock) = start(faulty);
    submit(&handle, 1).await.unwrap();
    let mut connected = Connected::open(&handle, "gpu", 1, &[]).await.unwrap();
    plan.next(Plan::Fail);
    connected.ready(1).await;
    assert_eq!((&mut connected.line.closed).await, Ok(Closed::StorageFailed));
    assert!(connected.line.outbound.try_recv().is_err(), "an assignment escaped");
    assert_eq!(count(&store, |event| matches!(event, Event::TaskLeased { .. })), 0);

    let mut again = Connected::open(&handle, "gpu", 2, &[]).await.unwrap();
    again.ready(1).await;
    assert!(matches!(again.effect().await, Effect::Assign { .. }));
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_report_is_acknowledged_only_when_it_is_stored() {
    for lost in [Plan::Fail, Plan::FailAfterwards] {
        let store = MemoryStore::default();
        let (faulty, plan) = FaultyStore::new(store.clone());
        let (actor, handle, _clock) = start(faulty);
        submit(&handle, 1).await.unwrap();
        let mut connected = Connected::open(&handle, "gpu", 1, &[]).await.unwrap();
        connected.ready(1).await;
        let assignment = connected.assignment().await;
        plan.next(lost);
        connected.report(&assignment).await;
        assert_eq!((&mut connected.line.closed).await, Ok(Closed::StorageFailed));
        assert!(connected.line.outbound.try_recv().is_err(), "an acknowledgement escaped");
        assert_eq!(completions(&store), usize::from(lost == Plan::FailAfterwards));

        let held = [assignment.id()];
        let mut again = Connected::open(&handle, "gpu", 2, &held).await.unwrap();
        again.report(&assignment).await;
        again.acknowledgement(&assignment).await;
        again.report(&assignment).await;
        again.acknowledgement(&assignment).await;
        assert_eq!(completions(&store), 1);
        stop(actor, &handle).await.unwrap();
        let report = verify_journal(&store).unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
    }
}

#[tokio::test]
async fn a_store_that_keeps_failing_ends_the_actor_loudly() {
    let store = MemoryStore::default();
    let (faulty, plan) = FaultyStore::new(store.clone());
    let (actor, handle, _clock) = start(faulty);
    submit(&handle, 1).await.unwrap();
    plan.always(Plan::Fail);
    assert!(matches!(submit(&handle, 2).await, Err(CallError::Storage(_))));
    handle.ended().await;
    assert_eq!(submit(&handle, 3).await, Err(CallError::ShuttingDown));
    let ended = tokio::task::spawn_blocking(move || actor.join()).await.unwrap();
    assert!(matches!(ended, Err(ActorError::Store(_))), "{ended:?}");
    let (actor, handle, _clock) = start(store);
    assert_eq!(campaigns(&handle).await, 1);
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_campaign_survives_a_store_that_fails_at_random() {
    let mut failures = 0;
    for seed in 0..6 {
        let store = MemoryStore::default();
        let (faulty, plan) = FaultyStore::new(store.clone());
        let (actor, handle, clock) = start(faulty);
        plan.at_random(seed, 0.3);
        let campaign = loop {
            match submit(&handle, 1).await {
                Ok(campaign) => break campaign,
                Err(CallError::Storage(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let fleet = Fleet::new(&handle, 3);
        let moving = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                clock.advance(Span::from_secs(1));
            }
        });
        fleet.until(campaign, |view| view.finished_at.is_some()).await;
        moving.abort();
        plan.always(Plan::Succeed);
        let acknowledged = fleet.stop().await;
        stop(actor, &handle).await.unwrap();
        let report = verify_journal(&store).unwrap();
        assert!(report.is_sound(), "seed {seed}: {:?}", report.problems);
        failures += plan.failures();
        for AttemptId { task, attempt } in acknowledged {
            let known = store.read_from(0, usize::MAX).unwrap().iter().any(|stored| {
                matches!(&stored.event,
                    Event::TaskCompleted { task: t, .. } | Event::TaskFailed { task: t, .. }
                        if *t == task)
                    || matches!(&stored.event,
                        Event::AttemptFailed { task: t, attempt: a, .. }
                            if *t == task && *a == attempt)
            });
            assert!(
                known,
                "seed {seed}: attempt {attempt} of task {task} was acknowledged and lost"
            );
        }
    }
    assert!(failures > 10, "only {failures} failures");
}

#[tokio::test]
async fn a_silent_worker_loses_its_task_to_another() {
    let (actor, handle, clock) = start(MemoryStore::default());
    submit(&handle, 1).await.unwrap();
    let mut silent = Connected::open(&handle, "silent", 1, &[]).await.unwrap();
    silent.ready(1).await;
    let first = silent.assignment().await;
    let mut other = Connected::open(&handle, "other", 1, &[]).await.unwrap();
    clock.advance(LEASE + Span::from_secs(1));
    let task = first.task;
    while handle.query(move |state| state.task(task).unwrap().lease().is_some()).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    other.ready(1).await;
    let second = other.assignment().await;
    assert_eq!((second.task, second.attempt), (first.task, first.attempt.next()));
    silent.heartbeat(&[first.id()]).await;
    assert!(matches!(silent.effect().await, Effect::Stop { .. }));
    stop(actor, &handle).await.unwrap();
    assert_eq!((&mut other.line.closed).await, Ok(Closed::ShuttingDown));
}

/// A journal that was written a day ahead of the clock with which [`start`] goes on.
async fn written_a_day_ahead() -> MemoryStore {
    let store = MemoryStore::default();
    let (actor, handle, clock) = start(store.clone());
    clock.advance(Span::from_secs(24 * 3600));
    submit(&handle, 1).await.unwrap();
    stop(actor, &handle).await.unwrap();
    store
}

/// Whether the task of a worker that falls silent becomes another's, as time goes on.
async fn a_lost_worker_is_replaced(handle: &Handle, clock: &ManualClock) {
    let mut lost = Connected::open(handle, "lost", 1, &[]).await.unwrap();
    lost.ready(1).await;
    let first = lost.assignment().await;
    lost.gone().await;
    clock.advance(LEASE + LEASE);
    let mut other = Connected::open(handle, "other", 1, &[]).await.unwrap();
    other.ready(1).await;
    let second = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let Effect::Assign { assignment: next, .. } = other.effect().await else { continue };
            if next.task == first.task {
                return next;
            }
            other.report(&next).await;
            other.ready(1).await;
        }
    });
    let second = second.await.expect("the lease of a lost worker ends");
    assert_eq!(second.attempt, first.attempt.next());
}

#[tokio::test]
async fn leases_end_after_a_start_with_a_clock_behind_the_journal() {
    let (actor, handle, clock) = start(written_a_day_ahead().await);
    a_lost_worker_is_replaced(&handle, &clock).await;
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn leases_end_under_a_new_leader_whose_clock_is_behind_the_journal() {
    let store = written_a_day_ahead().await;
    let mut follower = Follower::new(settings().engine());
    follower.catch_up(&store).unwrap();
    let clock = ManualClock::default();
    let timed = Arc::new(clock.clone());
    let (actor, handle) = Actor::resume(Box::new(store), follower, timed, settings()).unwrap();
    a_lost_worker_is_replaced(&handle, &clock).await;
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn leases_end_after_a_journal_ahead_of_the_clock_was_read_anew() {
    let (faulty, plan) = FaultyStore::new(written_a_day_ahead().await);
    let (actor, handle, clock) = start(faulty);
    plan.next(Plan::FailAfterwards);
    assert!(submit(&handle, 2).await.is_err());
    a_lost_worker_is_replaced(&handle, &clock).await;
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn what_has_arrived_is_heard_before_leases_run_out() {
    let (store, clock) = (MemoryStore::default(), Arc::new(ManualClock::default()));
    let follower = Follower::new(settings().engine());
    let (boxed, timed) = (Box::new(store.clone()), clock.clone());
    let prepared = prepare(boxed, follower, timed, settings(), Writer::Here);
    let (run, handle) = prepared.unwrap();
    let actor = tokio::spawn(run);
    submit(&handle, 1).await.unwrap();
    let mut worker = Connected::open(&handle, "gpu", 1, &[]).await.unwrap();
    worker.ready(1).await;
    let held = worker.assignment().await;
    // The actor shares this thread: when it goes on, a tick is due and the heartbeat is there.
    clock.advance(LEASE);
    std::thread::sleep(settings().tick * 2);
    worker.heartbeat(&[held.id()]).await;
    let task = held.task;
    let held = handle.query(move |state| state.task(task).unwrap().lease().is_some());
    assert!(held.await.unwrap());
    assert_eq!(count(&store, |event| matches!(event, Event::LeaseEnded { .. })), 0);
    handle.shutdown().await;
    actor.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_newer_session_replaces_the_older_one() {
    let (actor, handle, _clock) = start(MemoryStore::default());
    let mut old = Connected::open(&handle, "gpu", 1, &[]).await.unwrap();
    let new = Connected::open(&handle, "gpu", 2, &[]).await.unwrap();
    assert_eq!((&mut old.line.closed).await, Ok(Closed::Replaced));
    assert_eq!(new.worker, old.worker);
    let error = Connected::open(&handle, "gpu", 2, &[]).await.unwrap_err();
    assert!(matches!(error, CallError::Rejected(_)), "{error}");
    old.gone().await;
    let connected = handle.query(|state| state.connected_workers()).await.unwrap();
    assert_eq!(connected, 1, "the end of a replaced connection counted");
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_journal_that_breaks_off_inside_a_step_is_refused() {
    let (journal, _) = simulated_journal(1);
    let proposed =
        |(_, event): &(Timestamp, Event)| matches!(event, Event::CandidateProposed { .. });
    let end = journal.iter().position(proposed).unwrap() + 1;
    let mut store = MemoryStore::default();
    store.append(0, &journal[..end]).unwrap();
    let clock = Arc::new(ManualClock::default());
    let refused = Actor::start(Box::new(store), clock, settings()).unwrap_err();
    assert!(matches!(refused, ActorError::Inconsistent { .. }), "{refused}");
}

#[tokio::test]
async fn rejections_change_nothing_and_say_why() {
    let (actor, handle, _clock) = start(MemoryStore::default());
    assert!(matches!(handle.pause(CampaignId(1)).await, Err(CallError::Rejected(_))));
    let campaign = submit(&handle, 1).await.unwrap();
    handle.pause(campaign).await.unwrap();
    let error = handle.pause(campaign).await.unwrap_err();
    assert_eq!(error.to_string(), "campaign 1 is paused, so it cannot be paused");
    handle.resume(campaign).await.unwrap();
    handle.cancel(campaign).await.unwrap();
    assert!(handle.cancel(campaign).await.is_err());
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_full_outbound_queue_cuts_the_worker_off() {
    let (actor, handle, _clock) = start(MemoryStore::default());
    submit(&handle, 1).await.unwrap();
    let mut connected = Connected::open_with_queue(&handle, "slow", 1, &[], 2).await.unwrap();
    connected.ready(5).await;
    assert_eq!((&mut connected.line.closed).await, Ok(Closed::TooSlow));
    assert!(matches!(connected.line.outbound.try_recv(), Ok(Outbound::Effect(_))));
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_was_suspended_costs_no_lease() {
    let store = MemoryStore::default();
    let (actor, handle, clock) = start(store.clone());
    submit(&handle, 1).await.unwrap();
    let mut worker = Connected::open(&handle, "gpu", 1, &[]).await.unwrap();
    worker.ready(1).await;
    let held = worker.assignment().await;
    let passed = async |span: Span| {
        let now = clock.now();
        let reached = async || handle.query(|state| state.now()).await.unwrap() >= now;
        tokio::time::timeout(Duration::from_secs(20), async {
            while !reached().await {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{span} do not pass"));
        count(&store, |event| matches!(event, Event::LeaseEnded { .. }))
    };
    clock.suspend(LEASE + LEASE);
    assert_eq!(passed(LEASE + LEASE).await, 0);
    assert!(
        handle.query(move |state| state.task(held.task).unwrap().lease().is_some()).await.unwrap()
    );
    // It is no excuse for what comes later.
    clock.advance(LEASE + LEASE);
    assert_eq!(passed(LEASE + LEASE).await, 1);
    stop(actor, &handle).await.unwrap();
}
