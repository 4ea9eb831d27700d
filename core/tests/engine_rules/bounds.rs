//! What is said of candidates that break a bound on what was measured.

use super::*;

fn explained(cluster: &Cluster, subject: Subject) -> (String, Vec<String>) {
    let found = cluster.engine.state().explain(&subject).expect("it exists");
    (found.headline, found.details)
}

fn line<'l>(details: &'l [String], words: &str) -> Option<&'l str> {
    details.iter().map(String::as_str).find(|line| line.contains(words))
}

#[test]
fn what_was_measured_is_held_against_the_bound_in_its_unit() {
    let mut cluster =
        Cluster::with_campaign("constraints: [{metric: accuracy, at_least: 99}]\n", 2);
    let worker = cluster.worker("a", 2);
    cluster.report(worker, (1, 1), measured(43.058_831_727_519_29, 5.0));
    let (headline, details) =
        explained(&cluster, Subject::Candidate(CandidateId::new(FIRST, Ordinal(1))));
    assert_eq!(
        headline,
        "candidate 1/1 is scored but not feasible: accuracy 43.06 % breaks the bound >= 99 %"
    );
    assert!(line(&details, "beyond its bounds by 0.5651 in all").is_some(), "{details:?}");
}

#[test]
fn a_campaign_without_a_feasible_candidate_says_which_bounds_are_broken() {
    let bounds = "constraints: [{metric: accuracy, at_least: 99}, {metric: latency, at_most: 4}]\n";
    let mut cluster = Cluster::with_campaign(bounds, 3);
    let worker = cluster.worker("a", 3);
    cluster.report(worker, (1, 1), measured(43.058_831, 5.0));
    cluster.report(worker, (2, 1), measured(98.999_96, 3.0));
    let (_, details) = explained(&cluster, Subject::Campaign(FIRST));
    let found = line(&details, "is feasible").expect("it says that there is none");
    assert_eq!(found, "none of the 2 scored candidates is feasible");
    let accuracy = "accuracy >= 99 % is broken by 2 of them, the nearest has 98.99996 %";
    assert!(line(&details, accuracy).is_some(), "{details:?}");
    let latency = "latency <= 4 ms is broken by 1 of them, the nearest has 5 ms";
    assert!(line(&details, latency).is_some(), "{details:?}");
    cluster.report(worker, (3, 1), measured(99.0, 4.0));
    let (_, details) = explained(&cluster, Subject::Campaign(FIRST));
    assert_eq!(line(&details, "is feasible"), None);
    assert_eq!(line(&details, "is broken by"), None);
}
