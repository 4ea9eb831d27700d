//! What is decided while an append is under way waits for its own.

use super::*;
use std::future::Future;

/// Longer than anything takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the actor has taken everything out of its mailbox, while an append hangs.
async fn until_decided(handle: &Handle) {
    let waits = async {
        while handle.mailbox.capacity() < handle.mailbox.max_capacity() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("the actor takes what comes");
    // What it has taken it decides without waiting for anything.
    tokio::time::sleep(Duration::from_millis(20)).await;
}

fn spawn_submissions(
    handle: &Handle,
    which: std::ops::Range<u128>,
) -> Vec<tokio::task::JoinHandle<Result<CampaignId, CallError>>> {
    which
        .map(|submission| {
            let handle = handle.clone();
            tokio::spawn(async move { submit(&handle, submission).await })
        })
        .collect()
}

/// An actor whose first submission hangs in the store.
async fn held() -> (MemoryStore, Planned, impl Future<Output = Result<CampaignId, CallError>>) {
    let store = MemoryStore::default();
    let (faulty, plan) = FaultyStore::new(store.clone());
    let (actor, handle, _clock) = start(faulty);
    plan.hold();
    let first = spawn_submissions(&handle, 1..2).pop().unwrap();
    tokio::time::timeout(PATIENCE, plan.until_held()).await.expect("an append hangs");
    (store, Planned { actor, handle, plan }, async move { first.await.unwrap() })
}

struct Planned {
    actor: Actor,
    handle: Handle,
    plan: faulty::Planner,
}

#[tokio::test]
async fn what_comes_during_an_append_shares_the_next() {
    let (store, Planned { actor, handle, plan }, first) = held().await;
    let before = plan.appends();
    let others = spawn_submissions(&handle, 2..40);
    until_decided(&handle).await;
    assert!(others.iter().all(|other| !other.is_finished()), "an answer escaped");
    assert_eq!(submissions(&store), 0);
    plan.let_go();
    assert_eq!(first.await.unwrap(), CampaignId(1));
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(plan.appends() - before, 2, "the one that hung, and one for all others");
    assert_eq!(submissions(&store), 39);
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_failed_append_undoes_what_was_decided_on_top_of_it() {
    for lost in [Plan::Fail, Plan::FailAfterwards] {
        let (store, Planned { actor, handle, plan }, first) = held().await;
        plan.next(lost);
        let others = spawn_submissions(&handle, 2..5);
        until_decided(&handle).await;
        plan.let_go();
        assert!(matches!(first.await, Err(CallError::Storage(_))));
        for other in others {
            assert!(matches!(other.await.unwrap(), Err(CallError::Storage(_))));
        }
        let kept = usize::from(lost == Plan::FailAfterwards);
        assert_eq!(submissions(&store), kept);
        assert_eq!(campaigns(&handle).await, kept);
        submit(&handle, 2).await.unwrap();
        assert_eq!(submissions(&store), kept + 1);
        stop(actor, &handle).await.unwrap();
        assert!(verify_journal(&store).unwrap().is_sound());
    }
}

#[tokio::test]
async fn a_question_asked_during_an_append_sees_stored_state_alone() {
    let (_, Planned { actor, handle, plan }, first) = held().await;
    let others = spawn_submissions(&handle, 2..5);
    until_decided(&handle).await;
    let asked = tokio::spawn({
        let handle = handle.clone();
        async move { campaigns(&handle).await }
    });
    until_decided(&handle).await;
    // Comes after the question: it must neither be seen nor be held up for good.
    let later = spawn_submissions(&handle, 5..6);
    // The first append succeeds; that of the others, and with them the question, fails.
    plan.next(Plan::Succeed);
    plan.next(Plan::Fail);
    assert!(!asked.is_finished(), "an answer escaped");
    plan.let_go();
    first.await.unwrap();
    for other in others {
        assert!(matches!(other.await.unwrap(), Err(CallError::Storage(_))));
    }
    assert_eq!(asked.await.unwrap(), 1);
    for later in later {
        later.await.unwrap().unwrap();
    }
    assert_eq!(campaigns(&handle).await, 2);
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn workers_are_heard_while_an_append_hangs() {
    let store = MemoryStore::default();
    let (faulty, plan) = FaultyStore::new(store.clone());
    let (actor, handle, clock) = start(faulty);
    submit(&handle, 1).await.unwrap();
    let mut worker = Connected::open(&handle, "gpu", 1, &[]).await.unwrap();
    worker.ready(1).await;
    let held = worker.assignment().await;
    plan.hold();
    let hanging = spawn_submissions(&handle, 2..3);
    tokio::time::timeout(PATIENCE, plan.until_held()).await.expect("an append hangs");
    // Two leases pass, and the worker speaks in each; ticks look at leases meanwhile.
    for _ in 0..4 {
        clock.advance(Span(LEASE.0 / 2));
        worker.heartbeat(&[held.id()]).await;
        until_decided(&handle).await;
    }
    plan.let_go();
    for hanging in hanging {
        hanging.await.unwrap().unwrap();
    }
    let task = held.task;
    assert!(handle.query(move |state| state.task(task).unwrap().lease().is_some()).await.unwrap());
    assert_eq!(count(&store, |event| matches!(event, Event::LeaseEnded { .. })), 0);
    worker.report(&held).await;
    worker.acknowledgement(&held).await;
    stop(actor, &handle).await.unwrap();
}

#[tokio::test]
async fn a_store_that_hangs_until_the_batch_is_full_costs_no_lease() {
    let (batch, lease_length) = (4, Span::from_millis(400));
    let settings = ActorSettings { batch, lease_length, ..settings() };
    let store = MemoryStore::default();
    let (faulty, plan) = FaultyStore::new(store.clone());
    let (actor, handle, clock) = start_with(faulty, settings);
    submit(&handle, 1).await.unwrap();
    let mut worker = Connected::open(&handle, "gpu", 1, &[]).await.unwrap();
    worker.ready(1).await;
    let held = worker.assignment().await;
    plan.hold();
    let others = spawn_submissions(&handle, 2..20);
    tokio::time::timeout(PATIENCE, plan.until_held()).await.expect("an append hangs");
    // Neither ticks nor heartbeats are seen from here on, for two leases by either clock.
    for _ in 0..4 {
        clock.advance(Span(lease_length.0 / 2));
        tokio::time::sleep(Duration::from_micros(lease_length.0 / 2)).await;
        worker.heartbeat(&[held.id()]).await;
    }
    assert!(others.iter().all(|other| !other.is_finished()), "an answer escaped");
    // One batch is being appended, one is decided; what waits is bounded by the mailbox alone.
    let waiting = handle.mailbox.max_capacity() - handle.mailbox.capacity();
    assert!(waiting >= others.len() + 4 - 2 * batch, "{waiting} messages wait");
    assert_eq!(submissions(&store), 1);
    plan.let_go();
    for other in others {
        other.await.unwrap().unwrap();
    }
    let task = held.task;
    assert!(handle.query(move |state| state.task(task).unwrap().lease().is_some()).await.unwrap());
    assert_eq!(count(&store, |event| matches!(event, Event::LeaseEnded { .. })), 0);
    worker.report(&held).await;
    worker.acknowledgement(&held).await;
    stop(actor, &handle).await.unwrap();
    assert_eq!((submissions(&store), completions(&store)), (19, 1));
    assert!(verify_journal(&store).unwrap().is_sound());
}

#[tokio::test]
async fn an_actor_that_is_told_to_end_stores_what_it_has_decided() {
    let (store, Planned { actor, handle, plan }, first) = held().await;
    let others = spawn_submissions(&handle, 2..5);
    until_decided(&handle).await;
    handle.shutdown().await;
    until_decided(&handle).await;
    plan.let_go();
    first.await.unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    tokio::task::spawn_blocking(move || actor.join()).await.unwrap().unwrap();
    assert_eq!(submissions(&store), 4);
}

#[tokio::test]
async fn a_store_that_panics_ends_the_actor_loudly() {
    let (_, Planned { actor, plan, .. }, first) = held().await;
    plan.next(Plan::Panic);
    plan.let_go();
    assert_eq!(first.await, Err(CallError::ShuttingDown));
    let ended = tokio::task::spawn_blocking(move || actor.join()).await.unwrap();
    assert!(matches!(ended, Err(ActorError::Panicked)), "{ended:?}");
}
