//! The test split is locked: what the search may read does not depend on it in a single bit, and nothing
//! about it is said unless `test_accuracy` is asked for, which no search can read.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking like the tests")]

#[expect(dead_code, reason = "these tests use a part of it")]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use cambrian_proto::v1::{Assignment, evaluator_message, outcome};
use serde_json::json;
use support::*;

/// The bits of every value, those on the way included, by metric and step; 0 is the result.
type Values = BTreeMap<(String, u32), u64>;

fn values(base: &Path, assignment: Assignment) -> Values {
    let mut evaluator = Evaluator::start(base);
    evaluator.evaluate(assignment);
    let mut values = Values::new();
    loop {
        match receive(&mut evaluator.output).unwrap() {
            evaluator_message::Message::Progress(progress) => {
                let step = progress.step;
                let reported = progress.metrics.into_iter();
                values.extend(reported.map(|(name, value)| ((name, step), value.to_bits())));
            }
            evaluator_message::Message::Ended(ended) => {
                let ended = ended.outcome.unwrap().outcome.unwrap();
                let outcome::Outcome::Measured(measured) = ended else { panic!("{ended:?}") };
                let results = measured.measurements.into_iter();
                values.extend(results.map(|found| ((found.metric, 0), found.value.to_bits())));
                return values;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Two data sets that differ in their test files alone: in the second every test label is another.
fn twins() -> [tempfile::TempDir; 2] {
    let twins = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (twin, shift) in twins.iter().zip([0, 5]) {
        write_dataset(twin.path());
        write_split(twin.path(), "t10k", 20, shift);
    }
    twins
}

fn tested(values: &Values) -> Vec<&(String, u32)> {
    values.keys().filter(|(name, _)| name.contains("test")).collect()
}

#[test]
fn what_a_search_reads_does_not_depend_on_the_test_split() {
    let twins = twins();
    let mut settings = settings();
    settings["epochs"] = json!(2);
    settings["deterministic"] = json!(true);
    let searched = ["accuracy", "introspectability", "flatness", "bn_indicator"];
    let [one, other] =
        twins.each_ref().map(|twin| values(twin.path(), assignment(1, &settings, &searched)));
    assert_eq!(one, other);
    assert_eq!(tested(&one), Vec::<&(String, u32)>::new());
    assert!(one.contains_key(&("accuracy".to_owned(), 1)), "progress is looked at, too: {one:?}");

    // The same, asked for the test accuracy as well: it alone differs, so the twins are none in name only.
    let all = [searched.as_slice(), &["test_accuracy"]].concat();
    let [mut one, mut other] =
        twins.each_ref().map(|twin| values(twin.path(), assignment(1, &settings, &all)));
    assert_eq!(tested(&one), [&("test_accuracy".to_owned(), 0)], "at the end and not before");
    let sealed = ("test_accuracy".to_owned(), 0);
    assert_ne!(one.remove(&sealed), other.remove(&sealed));
    assert_eq!(one, other);
}

#[test]
fn scores_of_untrained_networks_do_not_depend_on_the_test_split() {
    let settings = json!({"dataset": "fashion-mnist", "sizes": {"naswot": {"batch_size": 16}}});
    let mut scoring = assignment(1, &settings, &["snip", "naswot", "jacob_cov"]);
    scoring.stage.as_mut().unwrap().evaluator = "proxies".to_owned();
    let [one, other] = twins().each_ref().map(|twin| values(twin.path(), scoring.clone()));
    assert_eq!(one, other);
    let scores = one.keys().filter(|(_, step)| *step == 0);
    assert_eq!(scores.count(), 3, "{one:?}");
}
