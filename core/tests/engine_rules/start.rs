//! Campaigns that begin with architectures of their own.

use super::*;
use cambrian_core::algorithm::Origin;

const PLAIN: &str = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|";
const SMALL: &str = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|";

fn start(algorithm: &str, extra: &str) -> (Cluster, WorkerId) {
    let mut cluster = Cluster::new();
    let text = yaml(&format!("start: ['{PLAIN}', '{SMALL}']\n{extra}"), 20);
    cluster.submit(1, &text.replace("algorithm: random", algorithm));
    let worker = cluster.worker("a", 10);
    (cluster, worker)
}

#[test]
fn they_are_evaluated_first_and_the_algorithm_goes_on() {
    for algorithm in
        ["algorithm: random", "algorithm: {kind: nsga2, population: 4}", "algorithm: auto"]
    {
        let (mut cluster, worker) = start(algorithm, "");
        let genotypes: Vec<String> = cluster
            .assignments()
            .iter()
            .map(|assignment| assignment.genotype.to_string())
            .collect();
        assert_eq!(genotypes[..2], [PLAIN, SMALL], "{algorithm}");
        cluster.report(worker, (1, 1), measured(90.0, 5.0));
        let campaign = cluster.campaign();
        let origin = |at: usize| campaign.candidates()[at].proposal().origin;
        assert_eq!([origin(0), origin(1)], [Origin::Given; 2]);
        assert!((2..campaign.candidates().len()).all(|at| origin(at) != Origin::Given));
        assert_eq!(campaign.front().ids(), [Ordinal(1)]);
    }
}

#[test]
fn one_that_breaks_an_analytic_constraint_costs_nothing() {
    let (mut cluster, _) =
        start("algorithm: random", "constraints: [{metric: params, at_most: 10000}]\n");
    let campaign = cluster.campaign();
    let reason = campaign.candidate_view(Ordinal(1)).unwrap().reason().to_owned();
    assert!(reason.ends_with(" breaks the bound <= 10000"), "{reason}");
    let started = campaign.started() as usize;
    let assigned = cluster.assignments();
    assert_eq!((assigned[0].genotype.as_ref(), assigned.len()), (SMALL, started));
}
