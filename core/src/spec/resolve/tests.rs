//! Campaigns written out read back to themselves.

use proptest::prelude::*;

use crate::spec::CampaignSpec;
use crate::spec::check::example;

/// The resolved text of `text`, which must read back to itself.
fn resolved(text: &str) -> String {
    let spec = CampaignSpec::parse(text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let written = spec.to_yaml();
    let again =
        CampaignSpec::parse(&written).unwrap_or_else(|faults| panic!("{faults}\n{written}"));
    assert_eq!(again.to_yaml(), written);
    assert_eq!(
        (
            &again.name,
            again.seed,
            &again.objectives,
            &again.constraints,
            &again.stages,
            &again.start
        ),
        (&spec.name, spec.seed, &spec.objectives, &spec.constraints, &spec.stages, &spec.start)
    );
    assert_eq!(
        (again.budget, &again.stop, again.failures),
        (spec.budget, &spec.stop, spec.failures)
    );
    assert_eq!(again.space.parameters(), spec.space.parameters());
    assert_eq!(again.algorithm.parameters(), spec.algorithm.parameters());
    written
}

#[test]
fn every_default_is_written_out() {
    let written = resolved(example::MINIMAL);
    for line in [
        "version: 1",
        "seed: 0",
        "  operations:",
        "  goal: maximize",
        "  population: 100",
        "  timeout: 1h",
        "    steps: 1",
        "      crash: 0.0",
        "  attempts: 3",
    ] {
        assert!(written.lines().any(|found| found == line), "no `{line}` in\n{written}");
    }
}

#[test]
fn the_examples_read_back_to_themselves() {
    resolved(example::BASE);
    resolved(&example::reference());
}

#[test]
fn a_stage_of_a_users_evaluator_reads_back_to_itself() {
    let settings = "{a.b: [1, 2.5, '3', null, {x: []}], text: 'null', rate: 1e-9, on: true}";
    let stage = format!(
        "{{evaluator: custom/mine, dataset: my-images, measures: [accuracy], settings: {settings}}}"
    );
    let text = example::MINIMAL.replace("{evaluator: synthetic, measures: [accuracy]}", &stage);
    let written = resolved(&text);
    assert!(written.contains("name: mine") && written.contains("dataset: my-images"), "{written}");
}

#[test]
fn a_label_may_be_called_like_a_merge_key_if_it_is_quoted() {
    let text = |label: &str| {
        format!(
            "{{version: 1, name: a, space: nasbench201, objectives: [accuracy], budget: {{evaluations: \
             9}}, algorithm: random, stages: [{{evaluator: synthetic, measures: [accuracy], labels: \
             {{{label}: x}}}}]}}"
        )
    };
    for quoted in ["'<<'", "\"<<\""] {
        let spec = CampaignSpec::parse(&text(quoted)).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(spec.stages[0].labels.get("<<").map(AsRef::as_ref), Some("x"));
        let again =
            CampaignSpec::parse(&spec.to_yaml()).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(again.stages, spec.stages);
    }
    let faults = CampaignSpec::parse(&text("<<")).unwrap_err().to_string();
    assert!(faults.contains("merge keys"), "{faults}");
}

proptest! {
    #[test]
    fn any_campaign_reads_back_to_itself(
        seed in any::<u64>(),
        name in "[0-9]{0,3}[A-Za-z][A-Za-z0-9._-]{0,37}",
        label in "[^\\p{Cc}]{1,15}",
        value in "[^\\p{Cc}]{1,15}",
        reference in 1e-300..1e300_f64,
        bound in 0.0..100.0_f64,
        timeout in 100_000..2_592_000_000_000_u64,
        learning_rate in 1e-9..10.0_f64,
        evaluations in 20..100_000_000_u32,
    ) {
        let text = serde_json::json!({
            "version": 1,
            "name": name,
            "seed": seed,
            "space": "nasbench201",
            "objectives": [
                {"metric": "accuracy", "reference": bound},
                {"metric": "latency", "reference": reference},
            ],
            "constraints": [{"metric": "accuracy", "at_least": bound, "at_most": bound}],
            "algorithm": {"kind": "nsga2", "population": 20},
            "stages": [{
                "evaluator": "train",
                "measures": ["latency", "accuracy"],
                "timeout": format!("{timeout}us"),
                "labels": {label: value},
                "settings": {"dataset": "my-images", "learning_rate": learning_rate},
            }],
            "budget": {"evaluations": evaluations, "slot_time": format!("{timeout}us")},
            "stop": {
                "target": [{"metric": "accuracy", "at_least": bound}],
                "hypervolume": reference,
                "stagnation": {"evaluations": 7, "improvement": 0.5},
            },
        });
        resolved(&text.to_string());
    }
}
