//! Whether the workers of a run can serve its campaign; if not, why, within seconds.
//!
//! Must not end anything.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::client::Client;
use crate::results::Worker;

const INTERVAL: Duration = Duration::from_millis(500);
/// How often in a row the answer must be no: a worker may be about to offer something else.
const NOES: u32 = 2;

/// Returns once every worker that lives is connected and a stage is served by none of them, with a
/// line for each worker; never if all is well.
pub(super) async fn unserved(
    mut client: Client,
    campaign: u32,
    stages: &[String],
    alive: &watch::Receiver<BTreeSet<String>>,
) -> Vec<String> {
    let mut noes = 0;
    loop {
        sleep(INTERVAL).await;
        // A coordinator that does not answer is the watch's business.
        let Ok(mut workers) = client.workers().await else { continue };
        let alive = alive.borrow().clone();
        workers.retain(|worker| worker.connected && alive.contains(worker.name.raw()));
        if alive.is_empty() || workers.len() < alive.len() {
            continue;
        }
        let reasons = lacks(campaign, stages, &workers);
        noes = if reasons.is_empty() { 0 } else { noes + 1 };
        if noes >= NOES {
            return reasons;
        }
    }
}

/// Why nobody serves some stage; empty if each has a worker.
fn lacks(campaign: u32, stages: &[String], workers: &[Worker]) -> Vec<String> {
    for stage in stages {
        let lack = |worker: &Worker| {
            let unsuited = worker
                .unsuited
                .iter()
                .find(|unsuited| unsuited.campaign == campaign && unsuited.stage == *stage)?;
            Some(format!("{} cannot serve stage {stage}: {}", worker.name, unsuited.reason))
        };
        let lacks: Vec<_> = workers.iter().filter_map(lack).collect();
        if lacks.len() == workers.len() {
            return lacks;
        }
    }
    Vec::new()
}

/// What to do about it.
pub(super) fn remedy(reasons: &[String]) -> String {
    let mentions = |word: &str| reasons.iter().any(|reason| reason.contains(word));
    if mentions("data set fashion-mnist") {
        "`deploy/fetch-fashion-mnist` fetches the data set; --data DIR or CAMBRIAN_DATA says where \
         data sets are"
            .to_owned()
    } else if mentions("data set") {
        "--data DIR or CAMBRIAN_DATA says where data sets are".to_owned()
    } else if mentions("no label") || mentions("its label") {
        "workers of `cambrian run` have the labels of CAMBRIAN_WORKER_LABELS (KEY=VALUE,...)"
            .to_owned()
    } else if mentions("the evaluator tabular") {
        "tables are looked up by `cambrian simulate --table FILE` alone".to_owned()
    } else if mentions("the campaign's from") {
        "resume it with the number of threads and on the kind of machine it was begun on, or begin \
         anew in another directory with --output"
            .to_owned()
    } else if mentions("it said so") {
        "mend what the worker names, then run the same command again: nothing is lost".to_owned()
    } else {
        "choose an evaluator that offers it with --evaluator, or correct the campaign".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::UnsuitedStage;
    use cambrian_proto::v1;

    fn worker(name: &str, unsuited: &[(u32, &str, &str)]) -> Worker {
        let unsuited = unsuited.iter().map(|(campaign, stage, reason)| UnsuitedStage {
            campaign: *campaign,
            stage: (*stage).into(),
            reason: (*reason).into(),
        });
        let unsuited = unsuited.collect();
        let message = v1::Worker { name: name.to_owned(), ..v1::Worker::default() };
        Worker { unsuited, ..message.into() }
    }

    fn stages() -> Vec<String> {
        vec!["train".to_owned(), "measure".to_owned()]
    }

    #[test]
    fn one_worker_that_can_is_enough() {
        let workers = [worker("a", &[(1, "train", "no")]), worker("b", &[(2, "train", "no")])];
        assert_eq!(lacks(1, &stages(), &workers), Vec::<String>::new());
    }

    #[test]
    fn every_stage_needs_a_worker() {
        let workers = [worker("a", &[(1, "measure", "it is busy")])];
        assert_eq!(lacks(1, &stages(), &workers), ["a cannot serve stage measure: it is busy"]);
    }

    #[test]
    fn remedies_follow_the_reason() {
        let remedy_of = |reason: &str| remedy(&[reason.to_owned()]);
        assert!(
            remedy_of("it lacks the data set fashion-mnist: absent")
                .contains("deploy/fetch-fashion-mnist")
        );
        assert!(remedy_of("its latency comes from x, the campaign's from y").contains("--output"));
        assert!(remedy_of("it said so: the dataset is malformed").contains("again"));
    }
}
