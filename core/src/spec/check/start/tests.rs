//! Campaigns that begin with rows of files: what is taken, what is refused, what is written out.

use super::super::example;
use super::*;
use crate::spec::{StartFileError, StartRow};

const FIRST: &str = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|";
const SECOND: &str = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|";
const THIRD: &str = "|avg_pool_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_1x1~2|";

/// The base with `start` before its last line.
fn base(start: &str) -> String {
    let last = "failures: {attempts: 3}";
    assert!(example::BASE.contains(last));
    example::BASE.replace(last, &format!("start:{start}\n{last}"))
}

/// Files of which `front.csv` has three rows, the first twice, and `bad.csv` two that are none.
fn files(file: &StartFile) -> Result<Vec<StartRow>, StartFileError> {
    let genotypes = match (file.from.as_str(), file.column.as_str()) {
        ("front.csv", "genotype") => vec![FIRST, FIRST, SECOND, THIRD],
        ("bad.csv", "cell") => vec![FIRST, "nonsense", "|none~0|"],
        _ => {
            let message = format!("no {} of {}", file.column, file.from);
            return Err(StartFileError { message, help: "look again".to_owned() });
        }
    };
    let rows = (1..).zip(genotypes);
    Ok(rows.map(|(row, text)| StartRow { row, genotype: text.to_owned() }).collect())
}

fn parsed(text: &str) -> (CampaignSpec, String) {
    CampaignSpec::parse_with_files(text, &files).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn genotypes(spec: &CampaignSpec) -> Vec<String> {
    spec.start.iter().map(|(given, _)| spec.space.format(given)).collect()
}

fn faults(start: &str) -> String {
    CampaignSpec::parse_with_files(&base(start), &files).unwrap_err().to_string()
}

#[test]
fn networks_of_a_file_are_taken_once_and_up_to_at_most() {
    let cases = [
        (" [{from: front.csv}]".to_owned(), vec![FIRST, SECOND, THIRD]),
        (" [{from: front.csv, at_most: 2}]".to_owned(), vec![FIRST, SECOND]),
        (format!(" ['{SECOND}', {{from: front.csv, at_most: 2}}]"), vec![SECOND, FIRST, THIRD]),
        (" [{from: front.csv}, {from: front.csv}]".to_owned(), vec![FIRST, SECOND, THIRD]),
        // What comes behind those taken is not looked at.
        (" [{from: bad.csv, column: cell, at_most: 1}]".to_owned(), vec![FIRST]),
    ];
    for (start, expected) in cases {
        assert_eq!(genotypes(&parsed(&base(&start)).0), expected, "{start}");
    }
}

#[test]
fn the_written_text_is_the_same_campaign_and_keeps_the_lines_behind() {
    let layouts = [
        " [{from: front.csv, at_most: 2}]  # the best",
        "\n- {from: front.csv}\n# between\n- {from: front.csv, at_most: 1}",
        "\n  - from: front.csv\n    at_most: 2 # few\n",
        "\n  - \"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\"\n\n  - at_most: 1\n    from: 'front.csv'",
        "\n  [\n    {from: front.csv,\n     at_most: 2},\n  ]",
    ];
    for layout in layouts {
        let text = base(layout);
        let (spec, written) = parsed(&text);
        let again = CampaignSpec::parse(&written).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(again.to_yaml(), spec.to_yaml(), "{layout}");
        let numbered = |text: &str| text.lines().position(|line| line.starts_with("failures:"));
        assert_eq!(numbered(&written), numbered(&text), "{written}");
        assert!(written.contains("name: base"), "{written}");
    }
}

#[test]
fn a_layout_that_cannot_be_kept_is_written_with_every_default() {
    // An anchor in the list is gone when the list is written out, and its alias points nowhere.
    let start = "start: [{from: &file front.csv, at_most: 1}]\n";
    let text = format!("{start}{}", example::BASE.replace("gpu: a100", "gpu: *file"));
    let (spec, written) = parsed(&text);
    assert_eq!(written, spec.to_yaml());
    assert_eq!(genotypes(&spec), [FIRST]);
}

#[test]
fn a_campaign_without_files_keeps_its_text() {
    let text = base(&format!(" ['{FIRST}']  # mine"));
    assert_eq!(parsed(&text).1, text);
    assert_eq!(parsed(example::BASE).1, example::BASE);
}

#[test]
fn faults_of_files_stand_at_their_entries() {
    let found = faults("\n  - {from: front.csv}\n  - {from: bad.csv, column: cell}");
    assert!(
        found.starts_with("20:5: start[1]: row 2 of bad.csv: the genotype does not"),
        "{found}"
    );
    assert!(found.contains("; another row is refused, too\n"), "{found}");
    let found = faults(" [{from: none.csv}]");
    assert_eq!(found, "18:9: start[0]: no genotype of none.csv\n  help: look again");
    let found = faults(&format!(" [{{from: front.csv}}, '{THIRD}']"));
    assert!(found.contains("start[1]: is the same network as number 1 of the list"), "{found}");
    let found = faults(" [{column: genotype, at_most: 0, form: x}]");
    let expected = ["start[0].from: is missing", "start[0].at_most: 0 is out", "start[0].form: "];
    assert!(expected.iter().all(|part| found.contains(part)), "{found}");
    let found = faults(" [[front.csv]]");
    assert!(found.starts_with("18:9: start[0]: expected an architecture, found a list"), "{found}");
}

#[test]
fn more_networks_than_evaluations_are_a_fault() {
    let start = " [{from: front.csv}]";
    let text = base(start)
        .replace("evaluations: 64", "evaluations: 2")
        .replace("population: 20", "population: 2");
    let found = CampaignSpec::parse_with_files(&text, &files).unwrap_err().to_string();
    assert!(found.contains("start: there are 3 architectures, more than evaluations"), "{found}");
}

#[test]
fn without_a_reader_a_file_is_a_fault_with_the_way_out() {
    let found = CampaignSpec::parse(&base(" [{from: front.csv}]")).unwrap_err().to_string();
    assert!(found.starts_with("18:9: start[0]: names a file; files are read by the command line"));
    assert!(found.contains("`cambrian submit`"), "{found}");
}

#[test]
fn a_list_that_makes_the_campaign_too_long_is_a_fault() {
    let text = "\
version: 1
name: long
space: {kind: declared, genes: [{name: x, int: [1, 30000]}]}
objectives: [accuracy]
stages: [{evaluator: tabular, measures: [accuracy], settings: {table: t.csv, columns: {accuracy: a}}}]
budget: {evaluations: 100000}
start: [{from: numbers.csv, at_most: 30000}]
";
    let numbers = |_: &StartFile| {
        Ok((1..=30_000).map(|row| StartRow { row, genotype: format!("x={row}") }).collect())
    };
    let found = CampaignSpec::parse_with_files(text, &numbers).unwrap_err().to_string();
    assert!(found.starts_with("7:8: start: with the 30000 architectures the"), "{found}");
    let fewer = text.replace("at_most: 30000", "at_most: 15000");
    let (spec, written) = CampaignSpec::parse_with_files(&fewer, &numbers).unwrap();
    assert_eq!(spec.start.len(), 15_000);
    assert_eq!(CampaignSpec::parse(&written).unwrap().to_yaml(), spec.to_yaml());
}
