//! The table of evaluators and the settings that reach them.

use super::*;
use crate::objective::{MetricKind, metric};

/// The checked settings that `text` gives for the evaluator called `name`.
fn checked(name: &str, text: &str) -> CheckedSettings {
    let section = Section::from_text(text).unwrap();
    let entry = EvaluatorEntry::find(name).unwrap();
    (entry.check)(&section).unwrap_or_else(|| panic!("{:?}", section.finish()))
}

#[test]
fn every_evaluator_delivers_known_metrics_that_have_to_be_measured() {
    // The objectives of a problem are metrics that its campaign declares.
    for entry in EVALUATORS.iter().filter(|entry| entry.needs != Needs::Problem) {
        assert!(!entry.summary.is_empty());
        for name in entry.metrics {
            let descriptor = metric(name).unwrap();
            assert!(!matches!(descriptor.kind, MetricKind::Analytic(_)), "{name}");
        }
    }
}

#[test]
fn evaluators_have_distinct_names() {
    let names: std::collections::BTreeSet<_> = EVALUATORS.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), EVALUATORS.len());
}

#[test]
fn settings_reach_the_evaluator_as_written_and_with_every_default() {
    let checked = checked(
        "train",
        "{dataset: fashion-mnist, epochs: 3, augment: {cutout: 0}, latency: {samples: 50}}",
    );
    assert_eq!(checked.dataset.as_deref(), Some("fashion-mnist"));
    let settings: TrainSettings = serde_json::from_value(checked.settings).unwrap();
    assert_eq!(
        settings,
        TrainSettings {
            dataset: "fashion-mnist".to_owned(),
            epochs: 3,
            validation_samples: Some(10_000),
            augment: AugmentSettings { cutout: 0, ..AugmentSettings::default() },
            latency: LatencySettings { samples: 50, ..LatencySettings::default() },
            ..TrainSettings::default()
        }
    );
    let recipe = (settings.batch_size, settings.learning_rate, settings.momentum);
    assert_eq!(recipe, (512, 0.1, 0.9));
}

#[test]
fn the_size_of_an_unknown_data_set_is_left_to_the_worker() {
    let checked = checked("train", "{dataset: my-images, train_samples: 1000000}");
    assert_eq!(checked.dataset.as_deref(), Some("my-images"));
    let settings: TrainSettings = serde_json::from_value(checked.settings).unwrap();
    assert_eq!((settings.train_samples, settings.validation_samples), (Some(1_000_000), None));
}

#[test]
fn scores_are_measured_as_published_unless_a_campaign_says_otherwise() {
    let text =
        "{dataset: cifar-10, precision: f64, sizes: {zen: {repeats: 4}, zico: {batch_size: 9}}}";
    let checked = checked("proxies", text);
    assert_eq!(checked.dataset.as_deref(), Some("cifar-10"));
    let settings: ProxySettings = serde_json::from_value(checked.settings).unwrap();
    assert_eq!(settings.precision, ProxyPrecision::F64);
    assert_eq!(settings.sizes.len(), PROXIES.len());
    let sizes = |name: &str| settings.sizes[name];
    let expected =
        |batch_size, repeats| ProxySizes { batch_size: Some(batch_size), repeats: Some(repeats) };
    assert_eq!(sizes("naswot"), expected(128, 1));
    assert_eq!(sizes("zen"), expected(16, 4));
    assert_eq!(sizes("zico"), expected(9, 1));
}

#[test]
fn scores_need_no_data_set() {
    assert_eq!(checked("proxies", "{}").dataset, None);
}

#[test]
fn synthetic_settings_reach_the_evaluator() {
    let checked = checked("synthetic", "{seconds: 0.25, faults: {crash: 0.5, hang: 0.5}}");
    assert_eq!((checked.dataset, checked.delivers), (None, None));
    let settings: SyntheticSettings = serde_json::from_value(checked.settings).unwrap();
    assert_eq!((settings.seconds, settings.spread, settings.steps), (0.25, 0.0, 1));
    assert_eq!((settings.faults.crash, settings.faults.hang), (0.5, 0.5));
}

#[test]
fn a_table_delivers_the_metrics_that_it_has_columns_for() {
    let checked = checked("tabular", "{table: a/b.csv, columns: {latency: ms, accuracy: top1}}");
    assert_eq!(checked.delivers, Some(vec!["accuracy".to_owned(), "latency".to_owned()]));
    let settings: TabularSettings = serde_json::from_value(checked.settings).unwrap();
    assert_eq!((settings.table.as_str(), settings.key.as_str()), ("a/b.csv", "genotype"));
    assert_eq!(settings.columns["latency"], TableColumns(vec!["ms".to_owned()]));
}

#[test]
fn a_table_stays_inside_its_folder() {
    for table in
        ["/etc/passwd", "../x", "a/../../x", "a//b", "C:x", "a\\b", "./a", "''", "\"a\\nb\""]
    {
        let section =
            Section::from_text(&format!("table: {table}\ncolumns: {{accuracy: a}}")).unwrap();
        assert_eq!((tabular::ENTRY.check)(&section), None, "{table}");
    }
}

#[test]
fn settings_of_a_users_evaluator_are_passed_on_as_they_are() {
    let checked = checked(
        "custom/mine",
        "{widths: [8, 16, {x: -1}], rate: 1e-3, big: 18446744073709551615, text: '1', yes: true,
          none: null, list: [null, 1.0], nested: {a.b: ~, 'c d': on}}",
    );
    let expected = serde_json::json!({
        "widths": [8, 16, {"x": -1}], "rate": 0.001, "big": u64::MAX, "text": "1", "yes": true,
        "list": [null, 1.0], "nested": {"c d": "on"},
    });
    assert_eq!(checked.settings, expected);
    assert_eq!((checked.dataset, checked.delivers), (None, None));
}

#[test]
fn settings_of_a_users_evaluator_are_bounded() {
    let check = |text: &str| {
        let section = Section::from_text(text).unwrap();
        (custom::ENTRY.check)(&section).ok_or_else(|| section.finish().unwrap_err().to_string())
    };
    let nested = |depth: usize| format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
    check(&nested(16)).unwrap();
    assert!(check(&nested(17)).unwrap_err().contains("deeper than 16"));
    check(&format!("a: {}", "x".repeat(65_000))).unwrap();
    assert!(check(&format!("a: {}", "x".repeat(66_000))).unwrap_err().contains("at most 65536"));
}

#[test]
fn a_users_evaluator_is_found_by_its_prefix_alone() {
    for name in ["custom/mine", "custom/train", "custom/"] {
        assert_eq!(EvaluatorEntry::find(name).map(|entry| entry.name), Some(custom::ENTRY.name));
    }
    for name in ["custom", "mine", "my/custom/x", ""] {
        assert!(EvaluatorEntry::find(name).is_none(), "{name}");
    }
    // A name of the table must never be taken for a user's.
    let own = |entry: &&EvaluatorEntry| custom_name(entry.name).is_some();
    assert_eq!(EVALUATORS.iter().filter(own).count(), 1);
    assert_eq!(custom_name("custom/mine"), Some("mine"));
}
