//! Whole campaigns: valid ones, each fault with its place and words, and hostile text.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;
use serde_yaml::Value;

use super::example;
use crate::objective::{Bound, Goal};
use crate::spec::{CampaignSpec, Faults, MAX_SPEC_BYTES, NoStartReader};
use crate::time::Span;

fn faults(text: &str) -> Faults {
    CampaignSpec::parse(text).expect_err(text)
}

/// The messages of all faults of `text`.
fn messages(text: &str) -> Vec<String> {
    faults(text).iter().map(|fault| fault.message.clone()).collect()
}

#[test]
fn a_campaign_is_read() {
    let spec = CampaignSpec::parse(example::BASE).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((spec.name.as_ref(), spec.seed), ("base", 0));
    assert_eq!((spec.space.name(), spec.algorithm.name()), ("nasbench201", "nsga2"));
    assert_eq!(spec.space.parameters()["channels"], 4);
    assert_eq!(spec.algorithm.parameters()["population"], 20);
    let objectives: Vec<_> = spec
        .objectives
        .iter()
        .map(|objective| (objective.metric.as_str(), objective.goal, objective.reference))
        .collect();
    assert_eq!(
        objectives,
        [("accuracy", Goal::Maximize, None), ("latency", Goal::Minimize, Some(20.0))]
    );
    assert_eq!(spec.constraints.len(), 1);
    assert_eq!(spec.constraints[0].bound, Bound::AtMost(500_000.0));
    let stage = &spec.stages[0];
    assert_eq!((stage.name.as_ref(), stage.evaluator.as_ref()), ("train", "train"));
    assert_eq!(stage.dataset.as_deref(), Some("fashion-mnist"));
    assert_eq!(stage.timeout, Span::from_secs(300));
    assert_eq!(stage.labels.get("gpu").map(AsRef::as_ref), Some("a100"));
    assert_eq!(stage.settings["epochs"], 2);
    assert_eq!(spec.budget.evaluations, 64);
    assert_eq!(spec.budget.duration, Some(Span::from_secs(480)));
    assert_eq!(spec.failures.attempts, 3);
}

#[test]
fn a_beginning_as_long_as_the_budget_is_remarked_on() {
    let warnings = |population: u32| {
        let text = example::BASE.replace("population: 20", &format!("population: {population}"));
        let spec = CampaignSpec::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
        spec.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(warnings(63), Vec::<String>::new());
    let found = warnings(64);
    let said = "algorithm.population: the 64 evaluations of the budget are all used to begin with";
    assert!(found.len() == 1 && found[0].contains(said), "{found:?}");
}

#[test]
fn names_stand_for_their_defaults() {
    let spec = CampaignSpec::parse(example::MINIMAL).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(spec.space.parameters()["channels"], 16);
    assert_eq!(spec.algorithm.parameters()["population"], 100);
    assert_eq!(spec.stages[0].name.as_ref(), "synthetic");
    assert_eq!((spec.budget.duration, spec.failures.attempts), (None, 3));
    assert!(spec.constraints.is_empty() && spec.stages[0].labels.is_empty());
}

#[test]
fn a_journal_may_hold_a_name_of_digits() {
    let text = example::BASE.replace("name: base", "name: '7'");
    assert!(CampaignSpec::parse(&text).is_err());
    let spec = CampaignSpec::parse_resolved(&text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(CampaignSpec::parse_resolved(&spec.to_yaml()).unwrap().name.as_ref(), "7");
}

#[test]
fn a_tab_is_found_where_it_stands() {
    for (text, place) in [
        ("name: base\n\tseed: 7\n", (2, 1)),
        ("version: 1\nname: base\n\tseed: 7\n", (3, 1)),
        ("version: 1\nspace:\n  kind: a\n \t cells: 1\n", (4, 2)),
    ] {
        let found = faults(text);
        let fault = found.iter().next().unwrap();
        assert_eq!((fault.line, fault.column), place, "{text:?}: {found}");
        assert!(fault.help.as_deref().unwrap().contains("spaces"), "{found}");
    }
}

/// Cases of `faults.txt`: what is replaced in [`example::BASE`], by what, and all faults of the
/// result as they are shown. `\n` stands for a new line, `(nothing)`
/// for a removal.
fn fault_cases() -> Vec<(String, String, String)> {
    let unescaped = |text: &str| text.replace("\\n", "\n").replace("(nothing)", "");
    let cases = include_str!("faults.txt").split("\n\n").filter(|case| !case.trim().is_empty());
    cases
        .map(|case| {
            let (edit, expected) = case.trim().split_once('\n').expect("an edit and its faults");
            let edit = edit.strip_prefix("# ").expect("a case starts with `# `");
            let (from, to) = edit.split_once(" => ").expect("`from => to`");
            (unescaped(from), unescaped(to), expected.to_owned())
        })
        .collect()
}

#[test]
fn every_fault_names_its_place_and_the_way_out() {
    let cases = fault_cases();
    assert!(cases.len() >= 100, "only {} cases were read", cases.len());
    let mut failed = Vec::new();
    for (from, to, expected) in cases {
        assert_eq!(example::BASE.matches(&from).count().min(1), 1, "`{from}` is not in the base");
        let found = faults(&example::BASE.replacen(&from, &to, 1));
        assert!(found.iter().all(|fault| fault.help.is_some()), "no help in\n{found}");
        if found.to_string() != expected {
            failed.push(format!("# {from} => {to}\n{found}\n--- expected\n{expected}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn all_faults_of_a_file_come_in_one_go_ordered_by_place() {
    let text = example::BASE
        .replace("name: base", "name: my base")
        .replace("channels: 4", "channels: 0")
        .replace("- accuracy", "- acuracy")
        .replace("at_most: 500000", "at_most: -5")
        .replace("population: 20", "population: none")
        .replace("timeout: 5m", "timeout: 5")
        .replace("epochs: 2", "epochs: 0, epohcs: 3")
        .replace("duration: 8m", "duration: soon")
        .replace("attempts: 3", "attempts: 0");
    let lines: Vec<_> = faults(&text).iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 3, 5, 8, 9, 14, 16, 16, 17, 18]);
}

#[test]
fn training_needs_a_space_whose_genes_build_networks() {
    let blocks = example::file("blocks.yaml");
    CampaignSpec::parse(&blocks).unwrap_or_else(|faults| panic!("{faults}"));
    let (genes, rest) = blocks.split_once("  network:\n").unwrap();
    let (_, rest) = rest.split_once("\nobjectives:").unwrap();
    let found = messages(&format!("{genes}\nobjectives:{rest}"));
    let expected = "`train` evaluates networks, and this space has none";
    assert!(found.iter().any(|message| message.contains(expected)), "{found:?}");
}

#[test]
fn what_is_no_campaign_is_refused() {
    for text in ["", "\n\n", "# only a comment\n", "---\n...\n"] {
        assert_eq!(messages(text).len(), 1, "{text:?}");
    }
    for text in ["5", "[1, 2]", "just text", "null", "\u{0}", "\u{feff}", "%YAML 9.9\n---\na: 1"] {
        assert!(!messages(text).is_empty(), "{text:?}");
    }
}

#[test]
fn line_ends_and_marks_of_other_systems_do_not_matter() {
    for text in [example::BASE.replace('\n', "\r\n"), format!("\u{feff}{}", example::BASE)] {
        CampaignSpec::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    }
}

#[test]
fn aliases_repeat_values_and_report_faults_where_they_are_written() {
    let text = example::BASE
        .replace("{gpu: a100}", "&where {gpu: a100}")
        .replace("failures:", "  # a comment\nfailures:")
        .replace("measures: [accuracy, latency]", "measures: &all [accuracy, latency]");
    CampaignSpec::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let text = example::BASE.replace("[1, 28, 28]", "&size [1, 28, 28]").replace("4", "*size");
    assert!(!messages(&text).is_empty());
}

#[test]
fn oversized_and_nested_input_is_refused_within_bounds() {
    let cases = [
        ("a campaign".repeat(MAX_SPEC_BYTES / 8), "bytes; at most"),
        ("[".repeat(100_000), "nesting is deeper"),
        ("{a: ".repeat(100_000), "nesting is deeper"),
        (
            (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
            "nesting is deeper",
        ),
        ("- ".repeat(100_000), "nesting is deeper"),
        ((0..50_000).map(|index| format!("k{index}: 1\n")).collect(), "more than 20000 values"),
        (alias_bomb(), "more than 20000 values"),
        (format!("a: &a {}\nb: [{}]", "x".repeat(500_000), "*a, ".repeat(5)), "1048576 bytes"),
        ("a: &a [*a]".to_owned(), "inside the value that it repeats"),
    ];
    for (text, expected) in cases {
        let found = faults(&text);
        assert!(found.to_string().contains(expected), "{expected}: {found}");
    }
}

#[test]
fn what_is_read_can_be_read_again_with_everything_written_out() {
    // A text in single quotes has each of them twice.
    let text = format!(": {}", "'".repeat(50_000));
    let measured = (0..12).map(|at| format!("m{at}: {{}}")).collect::<Vec<_>>().join(", ");
    let stage = |at| {
        format!(
            "{{name: s{at}, evaluator: custom/mine, measures: [m{at}], settings: {{note: \"{text}\"}}}}"
        )
    };
    let stages = (0..12).map(stage).collect::<Vec<_>>().join(", ");
    let text = example::MINIMAL
        .replace("objectives: [accuracy]", &format!("metrics: {{{measured}}}\nobjectives: [m0]"))
        .replace("{evaluator: synthetic, measures: [accuracy]}", &stages);
    let (spec, _) =
        CampaignSpec::parse_with(&text, &NoStartReader).unwrap_or_else(|faults| panic!("{faults}"));
    let kept = spec.to_yaml();
    assert!(kept.len() > MAX_SPEC_BYTES);
    assert_eq!(CampaignSpec::parse_resolved(&kept).unwrap().to_yaml(), kept);
}

#[test]
fn a_kept_campaign_is_read_although_its_hypervolume_has_no_fixed_reference_point() {
    let text = format!("{}stop: {{hypervolume: 5}}\n", example::MINIMAL);
    assert!(faults(&text).to_string().contains("`reference` is missing for `accuracy`"));
    let kept = CampaignSpec::parse_resolved(&text).unwrap();
    assert_eq!(kept.stop.hypervolume, Some(5.0));
    let fixed = text.replace("[accuracy]\nalg", "[{metric: accuracy, reference: 50}]\nalg");
    assert_eq!(CampaignSpec::parse(&fixed).unwrap().stop, kept.stop);
}

#[test]
fn a_campaign_that_no_journal_can_keep_is_refused() {
    let mut spec = CampaignSpec::parse(example::MINIMAL).unwrap();
    assert_eq!(super::can_be_kept(&spec), Ok(()));
    spec.stages[0].settings = json!({"note": "x".repeat(9 << 20)}).into();
    let faults = super::can_be_kept(&spec).unwrap_err().to_string();
    assert!(faults.contains("written out the campaign is too long"), "{faults}");
}

/// Nine levels of lists, each of which repeats the one before nine times.
fn alias_bomb() -> String {
    let levels = (1..9).map(|level| {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        format!("a{level}: &a{level} [{aliases}]\n")
    });
    std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned()).chain(levels).collect()
}

#[test]
fn the_number_of_faults_is_bounded() {
    let stages = "  - {evaluator: nothing, measures: [nothing]}\n".repeat(5_000);
    let text = example::BASE.replace("stages:\n", &format!("stages:\n{stages}"));
    assert!(faults(&text).iter().count() <= 100);
}

#[test]
fn the_examples_of_the_repository_are_valid() {
    let reference = CampaignSpec::parse(&example::reference());
    let reference = reference.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(reference.objectives.len(), 4);
    let problem = CampaignSpec::parse(&example::file("dtlz2.yaml"));
    assert_eq!(problem.unwrap_or_else(|faults| panic!("{faults}")).objectives.len(), 3);
    let own = CampaignSpec::parse(&example::file("own-evaluator.yaml"));
    let own = own.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(own.stages[0].evaluator.as_ref(), "custom/perceptron");
    let demo = CampaignSpec::parse(&example::file("fashion-mnist.yaml"));
    let demo = demo.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(demo.stages[0].dataset.as_deref(), Some("fashion-mnist"));
    let axes = CampaignSpec::parse(&example::file("seven-axes.yaml"));
    assert_eq!(axes.unwrap_or_else(|faults| panic!("{faults}")).objectives.len(), 3);
    let mut found = 0;
    for folder in ["configs/campaigns", "bench/rungs"] {
        let folder = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../{}"), folder);
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let spec = CampaignSpec::parse(&std::fs::read_to_string(&path).unwrap());
                spec.unwrap_or_else(|faults| panic!("{}:\n{faults}", path.display()));
                found += 1;
            }
        }
    }
    assert!(found >= 12, "only {found} examples found");
}

/// The blocks of lines that start with `#|`, each a mapping with one key.
fn alternatives(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match (line.strip_prefix("#|"), blocks.last_mut()) {
            (Some(line), Some(block)) => {
                block.push_str(line.strip_prefix(' ').unwrap_or(line));
                block.push('\n');
            }
            _ => blocks.push(String::new()),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

#[test]
fn the_alternatives_in_the_reference_are_valid() {
    let reference = example::reference();
    let alternatives = alternatives(&reference);
    assert_eq!(alternatives.len(), 21);
    for alternative in alternatives {
        let mut campaign: serde_yaml::Mapping = serde_yaml::from_str(&reference).unwrap();
        campaign.extend(serde_yaml::from_str::<serde_yaml::Mapping>(&alternative).unwrap());
        let text = serde_yaml::to_string(&campaign).unwrap();
        CampaignSpec::parse(&text).unwrap_or_else(|faults| panic!("{faults}\n{alternative}"));
    }
}

/// Every key of every mapping in `value`.
fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                found.extend(key.as_str().map(str::to_owned));
                keys(value, found);
            }
        }
        Value::Sequence(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn the_reference_names_every_key() {
    let reference = example::reference();
    let mut texts = vec![reference.clone()];
    for alternative in alternatives(&reference) {
        let mut campaign: serde_yaml::Mapping = serde_yaml::from_str(&reference).unwrap();
        campaign.extend(serde_yaml::from_str::<serde_yaml::Mapping>(&alternative).unwrap());
        texts.push(serde_yaml::to_string(&campaign).unwrap());
    }
    let mut found = Vec::new();
    for text in texts {
        let spec = CampaignSpec::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
        keys(&serde_yaml::from_str(&spec.to_yaml()).unwrap(), &mut found);
    }
    assert!(found.len() > 60);
    for key in found {
        assert!(reference.contains(&format!("{key}:")), "`{key}` is not in reference.yaml");
    }
}

static REFERENCE: LazyLock<String> = LazyLock::new(example::reference);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damaged_text_never_panics(
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..40_usize, "[ -~\n\t\u{e9}]{0,6}|[\\[\\]{}:,&*!|>'\"%@`#?-]{1,4}"),
            1..12,
        ),
    ) {
        let mut characters: Vec<char> = REFERENCE.chars().collect();
        for (index, removed, inserted) in edits {
            let start = index.index(characters.len());
            let end = (start + removed).min(characters.len());
            characters.splice(start..end, inserted.chars());
        }
        let text: String = characters.into_iter().collect();
        if let Err(faults) = CampaignSpec::parse(&text) {
            let lines = text.lines().count() + 1;
            prop_assert!(faults.iter().count() <= 101);
            for fault in &faults {
                prop_assert!((1..=lines).contains(&fault.line), "{fault}");
                prop_assert!(fault.column >= 1);
            }
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}|[ -~\n\t]{0,400}|[\\[\\]{}:,&*!|>'\"%?\n -]{0,200}") {
        let _ = CampaignSpec::parse(&text);
    }
}
