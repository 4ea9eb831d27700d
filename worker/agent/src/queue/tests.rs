//! Tests of the bookkeeping: credit, duplicates, stops.

use super::*;
use crate::attempt::attempt_id;

fn assignment(task: u64, attempt: u32) -> Box<Assignment> {
    Box::new(Assignment { task, attempt, ..Assignment::default() })
}

fn ready(slots: u32) -> WorkQueue {
    let mut queue = WorkQueue::new(slots);
    for slot in 0..slots {
        queue.set_health(SlotIndex(slot), SlotHealth::Ready);
    }
    queue
}

fn held(queue: &WorkQueue) -> Vec<(u64, u32)> {
    queue.holding().map(|id| (id.task.0, id.attempt.0)).collect()
}

#[test]
fn credit_is_two_per_slot_and_announced_once() {
    let mut queue = ready(3);
    assert_eq!(queue.credit_to_announce(), 6);
    assert_eq!(queue.credit_to_announce(), 0);
    for task in 1..=6 {
        assert_eq!(queue.take(assignment(task, 1)), Taken::Queued);
        assert_eq!(queue.credit_to_announce(), 0);
    }
    let (slot, first) = queue.dispatch().unwrap();
    assert_eq!((slot, first.task), (SlotIndex(0), 1));
    assert_eq!(queue.credit_to_announce(), 0, "a started task still counts");
    assert!(queue.finish(slot, first.attempt_id()));
    assert_eq!(queue.credit_to_announce(), 1);
}

#[test]
fn a_new_stream_starts_from_zero_and_counts_what_is_held() {
    let mut queue = ready(2);
    assert_eq!(queue.credit_to_announce(), 4);
    queue.take(assignment(1, 1));
    queue.take(assignment(2, 1));
    queue.dispatch().unwrap();
    queue.forget_credit();
    assert_eq!(queue.credit_to_announce(), 2);
}

#[test]
fn bad_slots_bring_no_credit_and_restarting_ones_do() {
    let mut queue = WorkQueue::new(2);
    queue.set_health(SlotIndex(1), SlotHealth::Bad);
    assert!(queue.is_usable());
    assert_eq!(queue.credit_to_announce(), 2);
    queue.set_health(SlotIndex(0), SlotHealth::Bad);
    assert!(!queue.is_usable());
    queue.take(assignment(1, 1));
    assert_eq!(queue.credit_to_announce(), 0);
    queue.set_health(SlotIndex(0), SlotHealth::Ready);
    queue.set_health(SlotIndex(1), SlotHealth::Ready);
    assert_eq!(queue.credit_to_announce(), 2, "one announced and one held of four");
}

#[test]
fn more_assignments_than_credit_do_not_upset_the_count() {
    let mut queue = ready(1);
    for task in 1..=5 {
        queue.take(assignment(task, 1));
    }
    assert_eq!(queue.credit_to_announce(), 0);
    assert_eq!(queue.take_waiting().len(), 5);
    assert_eq!(queue.credit_to_announce(), 2);
}

#[test]
fn tasks_wait_for_a_ready_slot_in_order() {
    let mut queue = WorkQueue::new(2);
    queue.take(assignment(1, 1));
    queue.take(assignment(2, 1));
    assert!(queue.dispatch().is_none(), "no slot is ready");
    queue.set_health(SlotIndex(1), SlotHealth::Ready);
    let (slot, first) = queue.dispatch().unwrap();
    assert_eq!((slot, first.task), (SlotIndex(1), 1));
    assert!(queue.dispatch().is_none(), "the only ready slot is busy");
    assert!(queue.is_busy());
    assert_eq!(held(&queue), [(1, 1), (2, 1)]);
}

#[test]
fn a_repeated_assignment_is_held_once_and_uses_its_credit() {
    let mut queue = ready(1);
    queue.credit_to_announce();
    queue.take(assignment(1, 1));
    assert_eq!(queue.take(assignment(1, 1)), Taken::Duplicate);
    queue.dispatch().unwrap();
    assert_eq!(queue.take(assignment(1, 1)), Taken::Duplicate);
    assert_eq!(held(&queue), [(1, 1)]);
    assert_eq!(queue.credit_to_announce(), 1);
}

#[test]
fn a_later_attempt_replaces_a_waiting_earlier_one() {
    let mut queue = ready(1);
    queue.take(assignment(1, 1));
    queue.take(assignment(2, 1));
    queue.take(assignment(1, 2));
    assert_eq!(held(&queue), [(2, 1), (1, 2)]);
}

#[test]
fn a_stopped_attempt_is_not_held_but_keeps_its_slot() {
    let mut queue = ready(1);
    queue.take(assignment(1, 1));
    queue.take(assignment(2, 1));
    let (slot, running) = queue.dispatch().unwrap();
    assert_eq!(queue.stop(attempt_id(2, 1)), Stopped::Dropped);
    assert_eq!(queue.stop(attempt_id(1, 1)), Stopped::Running(slot));
    assert_eq!(queue.stop(attempt_id(1, 2)), Stopped::Unknown);
    assert_eq!(held(&queue), []);
    assert!(queue.is_busy());
    assert_eq!(queue.credit_to_announce(), 1);
    assert!(!queue.finish(slot, running.attempt_id()), "the result is not wanted");
    assert_eq!(queue.credit_to_announce(), 1);
}

#[test]
fn a_closed_queue_refuses_and_announces_nothing() {
    let mut queue = ready(1);
    queue.credit_to_announce();
    queue.take(assignment(1, 1));
    queue.dispatch().unwrap();
    queue.close();
    assert_eq!(queue.take(assignment(2, 1)), Taken::Refused(assignment(2, 1)));
    queue.forget_credit();
    assert_eq!(queue.credit_to_announce(), 0);
    assert_eq!(held(&queue), [(1, 1)]);
}

#[test]
fn a_result_of_something_else_frees_no_slot() {
    let mut queue = ready(1);
    queue.take(assignment(1, 1));
    let (slot, _) = queue.dispatch().unwrap();
    assert!(!queue.finish(slot, attempt_id(9, 9)));
    assert!(queue.is_busy());
}

#[test]
fn random_histories_never_promise_more_than_two_tasks_per_slot() {
    use rand::{RngExt, SeedableRng};
    for seed in 0..50 {
        let mut draw = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
        let slots = draw.random_range(1..5);
        let mut queue = ready(slots);
        let (mut outstanding, mut task) = (0_u32, 0);
        let mut running: Vec<(SlotIndex, AttemptId)> = Vec::new();
        for _ in 0..500 {
            match draw.random_range(0..5) {
                0 if outstanding > 0 => {
                    task += 1;
                    outstanding -= 1;
                    assert_eq!(queue.take(assignment(task, 1)), Taken::Queued);
                }
                1 => {
                    if let Some((slot, found)) = queue.dispatch() {
                        running.push((slot, found.attempt_id()));
                    }
                }
                2 if !running.is_empty() => {
                    let (slot, id) = running.remove(draw.random_range(0..running.len()));
                    queue.finish(slot, id);
                }
                3 if task > 0 => {
                    queue.stop(attempt_id(draw.random_range(1..=task), 1));
                }
                4 if draw.random_bool(0.1) => {
                    queue.forget_credit();
                    outstanding = 0;
                }
                _ => outstanding += queue.credit_to_announce(),
            }
            let in_work = running.len() as u32 + queue.waiting.len() as u32;
            assert!(in_work + outstanding <= slots * TASKS_PER_SLOT, "seed {seed}");
        }
    }
}
