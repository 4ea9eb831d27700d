//! Campaigns that are valid, for tests to break.

/// One of everything, on lines that tests can name.
pub(in crate::spec) const BASE: &str = "\
version: 1
name: base
space: {kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28], classes: 10}
objectives:
  - accuracy
  - {metric: latency, goal: minimize, reference: 20}
constraints:
  - {metric: params, at_most: 500000}
algorithm: {kind: nsga2, population: 20}
stages:
  - name: train
    evaluator: train
    measures: [accuracy, latency]
    timeout: 5m
    labels: {gpu: a100}
    settings: {dataset: fashion-mnist, epochs: 2}
budget: {evaluations: 64, duration: 8m}
failures: {attempts: 3}
";

/// Only what has no default.
pub(in crate::spec) const MINIMAL: &str = "\
version: 1
name: minimal
space: nasbench201
objectives: [accuracy]
algorithm: nsga2
stages: [{evaluator: synthetic, measures: [accuracy]}]
budget: {evaluations: 100}
";

/// The text of an example of the repository.
pub(in crate::spec) fn file(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/campaigns/");
    std::fs::read_to_string(format!("{folder}{name}")).unwrap_or_else(|error| {
        panic!("configs/campaigns/{name} cannot be read: {error}");
    })
}

/// The reference of the format.
pub(in crate::spec) fn reference() -> String {
    file("reference.yaml")
}
