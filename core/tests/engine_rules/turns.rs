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
    cluster.expect(Command::RegisterWorker {
        name: "blind".into(),
        session: SessionId(1),
        capabilities: support::capabilities(&["synthetic"], &["accuracy"]),
        holding: vec![],
    });
    cluster.ready(WorkerId(1), 1, 4);
    cluster.worker("a", 1);
    cluster.worker("b", 2);
    assert_eq!(submit(&mut cluster, 1, 9), [2, 3, 3]);
}
