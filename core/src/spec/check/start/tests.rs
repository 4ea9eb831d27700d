//! Campaigns that begin with rows of files: what is taken, what is refused, what is written out.

use super::super::example;
use super::*;
use crate::spec::{CampaignSpec, StartError};

const FIRST: &str = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|";
const SECOND: &str = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|";
const THIRD: &str = "|avg_pool_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_1x1~2|";

/// The base with `start` before its last line.
fn base(start: &str) -> String {
    let last = "failures: {attempts: 3}";
    assert!(example::BASE.contains(last));
    example::BASE.replace(last, &format!("start:{start}\n{last}"))
}

/// Files of which `front.csv` has three rows, the first twice, and `bad.csv` two that are none; a
/// campaign `first`, and one of another space that nobody has noticed.
struct Results {
    campaigns_later: bool,
}

const RESULTS: Results = Results { campaigns_later: false };

fn rows(genotypes: &[&str]) -> Vec<StartRow> {
    let rows = (1..).zip(genotypes);
    rows.map(|(row, text)| StartRow { row, genotype: (*text).to_owned() }).collect()
}

fn absent<R>(message: String) -> Result<R, StartError> {
    Err(StartError { message, help: "look again".to_owned() })
}

impl StartReader for Results {
    fn file(&self, file: &StartFile) -> Result<Vec<StartRow>, StartError> {
        match (file.from.as_str(), file.column.as_str()) {
            ("front.csv", "genotype") => Ok(rows(&[FIRST, FIRST, SECOND, THIRD])),
            ("bad.csv", "cell") => Ok(rows(&[FIRST, "nonsense", "|none~0|"])),
            _ => absent(format!("no {} of {}", file.column, file.from)),
        }
    }

    fn campaign(&self, asked: &StartCampaign) -> Result<StartCampaignRows, StartError> {
        assert_eq!(asked.space, "nasbench201");
        if self.campaigns_later {
            return Ok(StartCampaignRows::Later);
        }
        let mut found = match asked.campaign.as_str() {
            "first" | "7" => rows(&[THIRD, SECOND, FIRST]),
            "strange" => rows(&[FIRST, "a=1"]),
            other => return absent(format!("no campaign {other}")),
        };
        found.truncate(if asked.front_only { 1 } else { asked.most });
        Ok(StartCampaignRows::Known(found))
    }
}

fn parsed(text: &str) -> (CampaignSpec, String) {
    CampaignSpec::parse_with(text, &RESULTS).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn genotypes(spec: &CampaignSpec) -> Vec<String> {
    spec.start.iter().map(|(given, _)| spec.space.format(given)).collect()
}

fn faults(start: &str) -> String {
    CampaignSpec::parse_with(&base(start), &RESULTS).unwrap_err().to_string()
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
fn candidates_of_a_campaign_are_taken_best_first() {
    let cases = [
        (" [{from_campaign: first}]".to_owned(), vec![THIRD, SECOND, FIRST]),
        (" [{from_campaign: 7, at_most: 2}]".to_owned(), vec![THIRD, SECOND]),
        (" [{from_campaign: first, front_only: true}]".to_owned(), vec![THIRD]),
        // Those that are in the list already do not count.
        (format!(" ['{THIRD}', {{from_campaign: first, at_most: 1}}]"), vec![THIRD, SECOND]),
        (
            " [{from: front.csv, at_most: 1}, {from_campaign: first, at_most: 1}]".to_owned(),
            vec![FIRST, THIRD],
        ),
    ];
    for (start, expected) in cases {
        let (spec, written) = parsed(&base(&start));
        assert_eq!(genotypes(&spec), expected, "{start}");
        let again = CampaignSpec::parse(&written).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(again.to_yaml(), spec.to_yaml(), "{written}");
    }
}

#[test]
fn faults_of_campaigns_stand_at_their_entries() {
    let found = faults("\n  - {from_campaign: first}\n  - {from_campaign: second}");
    assert_eq!(found, "20:5: start[1]: no campaign second\n  help: look again");
    let found = faults(" [{from_campaign: strange}]");
    let expected = "18:9: start[0]: candidate 2 of campaign strange: the genotype does not";
    assert!(found.starts_with(expected), "{found}");
    let found = faults(" [{from_campaign: first, from: a.csv, column: x}]");
    for key in ["from", "column"] {
        let expected = format!("start[0].{key}: is a key of a file, not of a campaign");
        assert!(found.contains(&expected), "{found}");
    }
    let found = faults(" [{from: front.csv, front_only: true}]");
    assert!(found.contains("start[0].front_only: is a key of a campaign"), "{found}");
    for nothing in ["''", "[first]", "{name: first}"] {
        let found = faults(&format!(" [{{from_campaign: {nothing}}}]"));
        assert!(found.contains("start[0].from_campaign: expected the number or"), "{found}");
    }
}

#[test]
fn campaigns_that_are_read_later_stay_in_the_text() {
    let text = base(&format!(
        "\n  - {{from: front.csv, at_most: 1}}\n  - {{from_campaign: first, at_most: 1}}\n  \
         - '{SECOND}'\n  - {{from_campaign: 7, front_only: true}}"
    ));
    let reader = Results { campaigns_later: true };
    let (spec, written) = CampaignSpec::parse_with(&text, &reader).unwrap();
    assert_eq!(genotypes(&spec), [FIRST, SECOND]);
    assert!(!written.contains("front.csv"), "{written}");
    let (spec, _) = parsed(&written);
    assert_eq!(genotypes(&spec), [FIRST, THIRD, SECOND]);
    let only = base(" [{from_campaign: first}]");
    assert_eq!(CampaignSpec::parse_with(&only, &reader).unwrap().1, only);
    // The whole list in another layout would lose the campaign.
    let start = "start: [{from: &file front.csv, at_most: 1}, {from_campaign: first}]\n";
    let anchored = format!("{start}{}", example::BASE.replace("gpu: a100", "gpu: *file"));
    let found = CampaignSpec::parse_with(&anchored, &reader).unwrap_err().to_string();
    assert!(found.contains("start: the 1 architectures cannot be written"), "{found}");
}

#[test]
fn without_a_reader_a_campaign_is_a_fault_with_the_way_out() {
    let found = CampaignSpec::parse(&base(" [{from_campaign: first}]")).unwrap_err().to_string();
    assert!(found.starts_with("18:9: start[0]: names an earlier campaign, which only"), "{found}");
    assert!(found.contains("`cambrian submit`"), "{found}");
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
    assert!(found.contains("; another one is refused, too\n"), "{found}");
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
    let found = CampaignSpec::parse_with(&text, &RESULTS).unwrap_err().to_string();
    assert!(
        found.contains("start: there are 3 architectures, and the budget has 2 evaluations"),
        "{found}"
    );
}

#[test]
fn without_a_reader_a_file_is_a_fault_with_the_way_out() {
    let found = CampaignSpec::parse(&base(" [{from: front.csv}]")).unwrap_err().to_string();
    assert!(found.starts_with("18:9: start[0]: names a file; files are read by the command line"));
    assert!(found.contains("`cambrian submit`"), "{found}");
}

/// A file of 30,000 architectures of one number.
struct Numbers;

impl StartReader for Numbers {
    fn file(&self, _: &StartFile) -> Result<Vec<StartRow>, StartError> {
        let row = |row| StartRow { row, genotype: format!("x={row}") };
        Ok((1..=30_000).map(row).collect())
    }

    fn campaign(&self, _: &StartCampaign) -> Result<StartCampaignRows, StartError> {
        absent("no campaign".to_owned())
    }
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
    let found = CampaignSpec::parse_with(text, &Numbers).unwrap_err().to_string();
    assert!(found.starts_with("7:8: start: with the 30000 architectures the"), "{found}");
    let fewer = text.replace("at_most: 30000", "at_most: 15000");
    let (spec, written) = CampaignSpec::parse_with(&fewer, &Numbers).unwrap();
    assert_eq!(spec.start.len(), 15_000);
    assert_eq!(CampaignSpec::parse(&written).unwrap().to_yaml(), spec.to_yaml());
}
