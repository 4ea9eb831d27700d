//! `cambrian correlate` as its users start it: scores of a campaign, a table beside them, refusals.
#![expect(clippy::unwrap_used, reason = "whatever a test cannot do makes it fail")]

#[path = "../../core/tests/support/shared.rs"]
mod shared;

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

/// Ten candidates whose `naswot` orders them as `accuracy` does but for one swap; two have failed.
const CANDIDATES: &str = "\
candidate,genotype,accuracy_percent,accuracy_percent_spread,naswot,naswot_spread,attempts
1/1,a,10,,100,,1
1/2,b,20,,300,,1
1/3,c,30,,200,,1
1/4,d,40,,400,,1
1/5,e,50,,500,,1
1/6,f,60,,600,,1
1/7,g,70,,700,,1
1/8,h,80,,800,,1
1/9,i,,,,,2
1/10,j,,,900,,3
";

/// The benchmark's numbers: a loss, smaller is better.
const TABLE: &str = "arch,loss\nh,0.1\ng,0.2\nf,0.3\ne,0.4\nd,0.5\nc,0.6\nx,0.7\n";

fn correlate(root: &Path, arguments: &[&str]) -> Output {
    fs::write(root.join("candidates.csv"), CANDIDATES).unwrap();
    fs::write(root.join("table.csv"), TABLE).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian"));
    command.current_dir(root).env("NO_COLOR", "1").args(["correlate", "candidates.csv"]);
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn metrics_of_a_campaign_are_compared_with_its_accuracy() {
    let root = tempfile::tempdir().unwrap();
    let output = correlate(root.path(), &["--json", "--top", "50"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["target"], "accuracy_percent");
    let correlations = found["correlations"].as_array().unwrap();
    assert_eq!(correlations.len(), 1, "spreads, attempts and the target are no scores");
    let (all, top) = (&correlations[0]["all"], &correlations[0]["top"]);
    assert_eq!((&correlations[0]["score"], &all["rows"]), (&"naswot".into(), &8.into()));
    // One swap of neighbours among eight: 1 - 6 * 2 / (8 * 63), and 1 - 2 / 28.
    let close = |value: &Value, expected: f64| {
        assert!((value.as_f64().unwrap() - expected).abs() < 1e-12, "{value}");
    };
    close(&all["spearman"], 1.0 - 12.0 / 504.0);
    close(&all["kendall"], 1.0 - 2.0 / 28.0);
    assert_eq!(top["rows"], 4);
    close(&top["spearman"], 1.0);

    let table = text(&correlate(root.path(), &[]).stdout);
    assert!(table.contains("naswot") && table.contains("0.976"), "{table}");
    let csv = text(&correlate(root.path(), &["--format", "csv"]).stdout);
    assert!(csv.lines().nth(1).unwrap().starts_with("naswot,8,0.976"), "{csv}");
}

#[test]
fn the_target_may_come_from_a_table_and_pictures_are_written() {
    let root = tempfile::tempdir().unwrap();
    let arguments = ["--table", "table.csv", "--match", "genotype=arch", "--target", "loss"];
    let more = ["--lower-is-better", "--top", "50", "--json", "--svg", "a.svg", "--png", "a.png"];
    let output = correlate(root.path(), &[&arguments[..], &more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> =
        found["correlations"].as_array().unwrap().iter().map(|c| c["score"].clone()).collect();
    assert_eq!(names, ["accuracy_percent", "naswot"]);
    let naswot = &found["correlations"][1];
    assert_eq!((&naswot["all"]["rows"], &naswot["all"]["kendall"]), (&6.into(), &(-1.0).into()));
    assert_eq!(naswot["top"]["rows"], 3);
    let svg = fs::read_to_string(root.path().join("a.svg")).unwrap();
    assert!(svg.contains("Scores against loss") && svg.contains(">naswot<"));
    assert!(fs::read(root.path().join("a.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn scores_that_no_table_has_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let matched = ["--table", "table.csv", "--match", "genotype=arch", "--target", "loss"];
    let note = "candidates.csv: 4 of its 10 rows are left out, since no row of the tables has their \
                `genotype`";
    let output = correlate(root.path(), &matched);
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains(note), "{said}");
    let all: String =
        "abcdefghij".chars().map(|arch| format!("{arch},{}\n", arch as u32)).collect();
    fs::write(root.path().join("all.csv"), format!("arch,loss\n{all}other,7\n")).unwrap();
    let output = correlate(root.path(), &[&["--table", "all.csv"], &matched[2..]].concat());
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn refusals_name_the_column_and_what_there_is() {
    let root = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&["--target", "acuracy"], "no column `acuracy`, which --target names"),
        (&["--score", "zen"], "no column `zen`, which --score names"),
        (&["--score", "genotype"], "`a` is no finite number"),
        (&["--table", "table.csv"], "no column `genotype`, which --match names"),
        (
            &["--table", "table.csv", "--match", "candidate=arch", "--target", "loss"],
            "0 rows have both",
        ),
        (&["--table", "none.csv"], "none.csv"),
    ];
    for (arguments, message) in cases {
        let output = correlate(root.path(), arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
}

#[test]
fn a_table_with_two_rows_for_one_candidate_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("twice.csv"), format!("{TABLE}h,0.9\n")).unwrap();
    let arguments = ["--table", "twice.csv", "--match", "genotype=arch", "--target", "loss"];
    let output = correlate(root.path(), &arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("twice.csv, rows 1 and 8: both have `h` in column `arch`"), "{error}");
}

#[test]
fn published_scores_have_their_published_correlation() {
    let Some(tables) = shared::data("nb201") else { return };
    // NAS-Bench-Suite-Zero's scores of the 9,445 cells without dead operations (Krishnakumar et al.
    // 2022) against the 200-epoch accuracies.
    let table = tables.join("accuracy.csv.gz");
    let output = Command::new(env!("CARGO_BIN_EXE_cambrian"))
        .arg("correlate")
        .arg(tables.join("zc_suite_zero.csv.gz"))
        .arg("--table")
        .arg(table)
        .args(["--match", "idx=idx", "--target", "c10_test_200", "--json"])
        .args(["--score", "c10_synflow", "--score", "c10_nwot", "--score", "c10_grad_norm"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let spearman = |at: usize| found["correlations"][at]["all"]["spearman"].as_f64().unwrap();
    for (at, expected) in [(0, 0.78), (1, 0.81), (2, 0.60)] {
        assert!((spearman(at) - expected).abs() < 0.005, "{}", spearman(at));
    }
}
