//! Which of several ready workers gets the next task.

use super::*;

/// The holders of the leases that a step has given, in order.
fn holders(step: &Step) -> Vec<u32> {
    let holder = |event: &Event| match event {
        Event::TaskLeased { worker, .. } => Some(worker.0),
        _ => None,
    };
    step.events.iter().filter_map(holder).collect()
}

fn submit(cluster: &mut Cluster, submission: u128, evaluations: u32) -> Vec<u32> {
    let yaml = yaml("", evaluations);
    let (spec, submission) = (support::campaign(&yaml), SubmissionId(submission));
    let source = yaml.as_str().into();
    holders(&cluster.expect(Command::SubmitCampaign { submission, spec, source, owner: None }))
}

#[test]
fn ready_workers_get_one_task_each_in_turn_until_the_work_is_out() {
    let mut cluster = Cluster::new();
    for (name, credit) in [("a", 2), ("b", 1), ("c", 3)] {
        cluster.worker(name, credit);
    }
    assert_eq!(submit(&mut cluster, 1, 5), [1, 2, 3, 1, 3]);
    // One unit of room is left.
    assert_eq!(submit(&mut cluster, 2, 5), [3]);
}

#[test]
fn a_worker_that_cannot_serve_is_passed_over_and_holds_up_nobody() {
    let mut cluster = Cluster::new();
    let offers = support::capabilities(&["synthetic"], &["accuracy"]);
    let blind = cluster.connect("blind", 1, offers, &[]);
    cluster.ready(blind, 1, 4);
    cluster.worker("a", 1);
    cluster.worker("b", 2);
    assert_eq!(submit(&mut cluster, 1, 9), [2, 3, 3]);
}

#[test]
fn whoever_asks_for_everything_gets_what_it_can_work_on_and_a_few_more() {
    const MOST: usize = 64;
    let mut cluster = Cluster::with_campaign("", 400);
    let worker = cluster.worker("a", u32::MAX);
    let held =
        |cluster: &Cluster| cluster.engine.state().worker(WorkerId(1)).unwrap().leases().len();
    assert_eq!(held(&cluster), MOST);
    cluster.ready(worker, 1, u32::MAX);
    assert_eq!(held(&cluster), MOST);
    // What it has asked for is not forgotten.
    let step = cluster.report(worker, (3, 1), measured(80.0, 5.0));
    assert_eq!(holders(&step), [1]);
    // Nor does it get more by coming back.
    let tasks: Vec<u64> =
        cluster.engine.state().worker(worker).unwrap().leases().iter().map(|task| task.0).collect();
    let holding: Vec<(u64, u32)> = tasks.iter().map(|task| (*task, 1)).collect();
    cluster.register_with("a", 2, &holding);
    cluster.ready(worker, 2, u32::MAX);
    assert_eq!(held(&cluster), MOST);
    cluster.register_with("a", 3, &holding[..40]);
    cluster.ready(worker, 3, 7);
    assert_eq!(held(&cluster), 47);
}

#[test]
fn a_worker_of_many_slots_gets_all_it_can_use() {
    let mut cluster = Cluster::with_campaign("", 400);
    let worker = cluster.register("a", |offered| offered.slots = 10);
    cluster.ready(worker, 1, 300);
    assert_eq!(cluster.assignments().len(), 160);
}
