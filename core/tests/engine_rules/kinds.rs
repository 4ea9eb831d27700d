//! A fleet of several kinds: whom nothing suits costs others nothing and is not forgotten.

use super::*;

/// Registers a worker that offers `metrics`, perhaps again, and asks for one task.
fn of_kind(cluster: &mut Cluster, name: &str, metrics: &[&str]) -> WorkerId {
    let before = cluster.engine.state().find_worker(name);
    let session = before.map_or(1, |worker| worker.session().0 + 1);
    let offers = support::capabilities(&["synthetic"], metrics);
    let worker = cluster.connect(name, session, offers, &[]);
    cluster.ready(worker, session, 1);
    worker
}

fn holders(cluster: &Cluster) -> Vec<&str> {
    let workers = cluster.engine.state().workers();
    workers.filter(|worker| !worker.leases().is_empty()).map(|worker| &**worker.name()).collect()
}

#[test]
fn workers_that_nothing_suits_are_passed_over_and_served_by_the_next_campaign() {
    let mut cluster = Cluster::new();
    for at in 0..4 {
        of_kind(&mut cluster, &format!("blind {at}"), &["accuracy"]);
        of_kind(&mut cluster, &format!("able {at}"), &["accuracy", "latency"]);
    }
    cluster.submit(1, &yaml("", 8));
    assert_eq!(holders(&cluster), ["able 0", "able 1", "able 2", "able 3"]);
    of_kind(&mut cluster, "able 4", &["accuracy", "latency"]);
    of_kind(&mut cluster, "blind 4", &["accuracy"]);
    let one = yaml("", 4).replace("[accuracy, latency]", "[accuracy]");
    cluster.submit(2, &one);
    let blind = cluster.engine.state().campaign(CampaignId(2)).unwrap().view().running;
    assert_eq!((holders(&cluster).len(), blind), (9, 4), "{:?}", holders(&cluster));
}

#[test]
fn a_worker_that_comes_back_as_another_kind_is_served_as_that() {
    let mut cluster = Cluster::with_campaign("", 8);
    of_kind(&mut cluster, "a", &["accuracy"]);
    of_kind(&mut cluster, "b", &["accuracy"]);
    assert_eq!(holders(&cluster), Vec::<&str>::new());
    of_kind(&mut cluster, "b", &["accuracy", "latency"]);
    assert_eq!(holders(&cluster), ["b"]);
}

#[test]
fn one_worker_that_refused_a_stage_speaks_for_itself_alone() {
    let mut cluster = Cluster::with_campaign("", 8);
    let first = of_kind(&mut cluster, "a", &["accuracy", "latency"]);
    cluster.report(first, (1, 1), failed(FailureKind::BadNode));
    cluster.ready(first, 1, 1);
    of_kind(&mut cluster, "b", &["accuracy", "latency"]);
    assert_eq!(holders(&cluster), ["b"]);
}

#[test]
fn work_goes_only_to_workers_that_can_do_it() {
    let mut cluster = Cluster::with_campaign("", 3);
    of_kind(&mut cluster, "blind", &["accuracy"]);
    assert!(cluster.assignments().is_empty());
    let why = cluster.engine.state().explain(&Subject::Campaign(FIRST)).unwrap();
    assert_eq!(why.headline, "campaign 1 is running, but no worker serves it");
    let detail = "blind cannot: it does not offer the metric latency";
    assert!(why.details.iter().any(|line| line == detail), "{why:?}");
}
