//! `cambrian simulate` as its users start it: tables, many seeds, what it writes and refuses.
#![expect(clippy::unwrap_used, reason = "whatever a test cannot do makes it fail")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

const CAMPAIGN: &str = "\
version: 1
name: widths
space:
  kind: declared
  genes:
    - {name: first, int: [1, 9]}
    - {name: second, int: [1, 9]}
    - {name: pool, cat: [none, max, average]}
  notation: 'list :'
metrics:
  loss: {}
  phone_latency: {unit: ms}
objectives: [loss, phone_latency]
algorithm: {kind: nsga2, population: 10}
stages:
  - evaluator: tabular
    measures: [loss, phone_latency]
    settings:
      table: widths.csv
      key: architecture
      columns: {loss: loss, phone_latency: ms}
budget: {evaluations: 80}
";

/// Every architecture: wide ones are good and slow, pooling costs nothing and helps a little.
fn tables(root: &Path) {
    let mut losses = String::from("id,architecture,loss\n");
    let mut latencies = String::from("id,ms\n");
    let mut id = 0;
    for first in 1..=9 {
        for second in 1..=9 {
            for (pool, bonus) in [("none", 0.0), ("max", 0.3), ("average", 0.2)] {
                let loss = 20.0 / f64::from(first) + 10.0 / f64::from(second) - bonus;
                writeln!(losses, "{id},{first}:{second}:{pool},{loss}").unwrap();
                writeln!(latencies, "{id},{}", first * second + first).unwrap();
                id += 1;
            }
        }
    }
    fs::write(root.join("losses.csv"), losses).unwrap();
    fs::write(root.join("latencies.csv"), latencies).unwrap();
    fs::write(root.join("campaign.yaml"), CAMPAIGN).unwrap();
}

fn simulate(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian"));
    command.current_dir(root).env("NO_COLOR", "1").args(["simulate", "campaign.yaml"]);
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const BOTH: [&str; 4] = ["--table", "losses.csv", "--table", "latencies.csv"];

#[test]
fn the_table_that_the_stages_name_lies_beside_the_campaign() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let refused = simulate(root.path(), &["--json"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    let missing = "there is no file widths.csv, which stage `tabular` names as its `table`";
    assert!(text(&refused.stderr).contains(missing), "{}", text(&refused.stderr));
    let named = simulate(root.path(), &[&BOTH[..], &["--json"]].concat());
    let read = |name| fs::read_to_string(root.path().join(name)).unwrap();
    let (losses, latencies) = (read("losses.csv"), read("latencies.csv"));
    let joined = losses.lines().zip(latencies.lines());
    let joined = joined.map(|(left, right)| format!("{left},{}", right.split_once(',').unwrap().1));
    fs::write(root.path().join("widths.csv"), joined.collect::<Vec<_>>().join("\n")).unwrap();
    let beside = simulate(root.path(), &["--json"]);
    assert!(beside.status.success(), "{}", text(&beside.stderr));
    assert_eq!(text(&beside.stdout), text(&named.stdout));
}

#[test]
fn a_campaign_is_simulated_over_seeds_and_leaves_tables_and_pictures() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let more = ["--seeds", "4", "--workers", "8", "--duration", "spread:ms:20", "--json"];
    let output = simulate(root.path(), &[&BOTH[..], &more[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row =
        include_str!("../../docs/cli.md").lines().find(|line| line.starts_with("| `simulate` |"));
    for name in report.as_object().unwrap().keys() {
        assert!(row.unwrap().contains(&format!("`{name}`")), "docs/cli.md lacks {name}");
    }
    assert_eq!(report["front_of"], "table");
    assert_eq!(report["known_points"], 243);
    assert_eq!(report["seeds"], serde_json::json!([1, 2, 3, 4]));
    let gaps = report["gap_thousandths"].as_array().unwrap();
    let last = gaps.last().unwrap();
    assert_eq!(last["evaluations"], 80);
    let (first, last) = (gaps[0]["mean"].as_f64().unwrap(), last["mean"].as_f64().unwrap());
    assert!(last < 0.3 * first && last > 0.0, "the gap went from {first} to {last}");
    assert!(report["utilisation"]["mean"].as_f64().unwrap() > 0.98);
    let staleness = report["staleness_results"]["mean"].as_f64().unwrap();
    assert!((5.0..7.5).contains(&staleness), "{staleness} results beside one of 8 workers");
    assert!(report["duration_survival_correlation"].is_number());
    let folder = root.path().join("runs/widths-simulated");
    let evaluations = fs::read_to_string(folder.join("evaluations.csv")).unwrap();
    assert_eq!(evaluations.lines().count(), 1 + 4 * 80);
    assert!(evaluations.starts_with("seed,candidate,genotype,outcome,"));
    let gaps = fs::read_to_string(folder.join("hypervolume.csv")).unwrap();
    let (head, rows) = gaps.split_once('\n').unwrap();
    assert_eq!(head, "seed,evaluations,gap_thousandths,virtual_time_s");
    let times = rows.lines().filter(|row| row.starts_with("1,"));
    let times: Vec<f64> =
        times.map(|row| row.rsplit_once(',').unwrap().1.parse().unwrap()).collect();
    assert!(times.len() == 4 && times[0] > 0.0 && times.is_sorted(), "{times:?}");
    for name in ["summary.json", "hypervolume-over-evaluations.svg"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    assert!(fs::metadata(folder.join("hypervolume-over-time.png")).unwrap().len() > 5000);
}

#[test]
fn the_same_seeds_give_the_same_files_however_many_are_run() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let one = ["--first-seed", "2", "--output", "one", "--crash-rate", "0.05"];
    let many = ["--seeds", "3", "--output", "many", "--crash-rate", "0.05"];
    assert!(simulate(root.path(), &[&BOTH[..], &one[..]].concat()).status.success());
    assert!(simulate(root.path(), &[&BOTH[..], &many[..]].concat()).status.success());
    let rows = |folder: &str| {
        let file = root.path().join(folder).join("evaluations.csv");
        let rows = fs::read_to_string(file).unwrap();
        rows.lines().filter(|row| row.starts_with("2,")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rows("one"), rows("many"));
    assert_eq!(rows("one").len(), 80);
}

#[test]
fn tables_that_do_not_fit_are_refused_with_the_way_out() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let refused = |arguments: &[&str], reason: &str| {
        let output = simulate(root.path(), arguments);
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(reason), "{error}");
    };
    refused(&["--table", "losses.csv"], "has no column `ms`, which `columns.phone_latency` names");
    refused(&["--table", "nothing.csv"], "there is no file nothing.csv");
    refused(&["--table", "losses.csv", "--table", "losses.csv"], "shares 3 columns");
    refused(&[&BOTH[..], &["--duration", "soon"]].concat(), "constant:SECONDS");
    fs::write(root.path().join("latencies.csv"), "id,ms\n0,fast\n").unwrap();
    refused(&BOTH, "row 1, column `ms`: `fast` is no finite number");
    fs::write(root.path().join("latencies.csv"), "id,ms\n0,1\n").unwrap();
    fs::write(root.path().join("losses.csv"), "id,architecture,loss\n0,1:10:max,3\n").unwrap();
    refused(
        &BOTH,
        "row 1: the genotype does not belong to declared: `second`: 10 is not from 1 to 9",
    );
    let trained = CAMPAIGN.replace("evaluator: tabular", "evaluator: train");
    fs::write(root.path().join("campaign.yaml"), trained).unwrap();
    refused(&BOTH, "is not a valid campaign");
}

#[test]
fn rows_that_a_join_leaves_out_are_told_and_rows_that_it_would_hide_are_refused() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let path = root.path().join("latencies.csv");
    let latencies = fs::read_to_string(&path).unwrap();
    assert!(!text(&simulate(root.path(), &BOTH).stderr).contains("latencies.csv"));
    fs::write(&path, latencies.replace("\n7,", "\nseven,")).unwrap();
    let output = simulate(root.path(), &BOTH);
    let told = "latencies.csv: 1 of its 243 rows are left out, since no row before has their `id`; \
                1 row of the tables before it has no `id` in it and no values of it";
    assert!(output.status.success() && text(&output.stderr).contains(told));
    fs::write(&path, latencies + "7,1\n").unwrap();
    let refused = simulate(root.path(), &BOTH);
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(
        error.contains("latencies.csv, rows 8 and 244: both have `7` in column `id`"),
        "{error}"
    );
}

#[test]
fn a_test_problem_needs_no_table() {
    let root = tempfile::tempdir().unwrap();
    let problem = include_str!("../../configs/campaigns/dtlz2.yaml");
    fs::write(root.path().join("campaign.yaml"), problem).unwrap();
    let drawn = ["--json", "--workers", "20", "--seeds", "2", "--duration", "drawn:1:20"];
    let output = simulate(root.path(), &drawn);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["front_of"], "results");
    assert_eq!(report["known_points"], 4_000);
    let gaps = report["gap_thousandths"].as_array().unwrap();
    let mean = |at: usize| gaps[at]["mean"].as_f64().unwrap();
    assert!(mean(gaps.len() - 1) < 0.5 * mean(2), "{gaps:?}");
    let utilisation = report["utilisation"]["mean"].as_f64().unwrap();
    assert!(utilisation > 0.99, "{utilisation}");

    for (arguments, expected) in [
        (&["--table", "campaign.yaml"][..], "--table is given"),
        (&["--duration", "column:seconds"], "--duration names a column"),
    ] {
        let output = simulate(root.path(), arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(expected), "{error}");
    }
}

#[test]
fn a_space_under_constraints_is_searched_to_its_last_feasible_architecture() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    // A table has architectures of the space only.
    let product = |architecture: &str| -> u32 {
        architecture.split(':').take(2).map(|width| width.parse::<u32>().unwrap()).product()
    };
    let losses = fs::read_to_string(root.path().join("losses.csv")).unwrap();
    let feasible =
        |line: &&str| line.starts_with("id") || product(line.split(',').nth(1).unwrap()) <= 40;
    let kept: Vec<&str> = losses.lines().filter(feasible).collect();
    fs::write(root.path().join("losses.csv"), kept.join("\n") + "\n").unwrap();
    let campaign = CAMPAIGN
        .replace("  notation:", "  where: [\"first * second <= 40\"]\n  notation:")
        .replace("evaluations: 80", "evaluations: 240");
    for algorithm in ["auto", "nsga2", "{kind: regularized_evolution, population: 20}", "random"] {
        let text = campaign.replace("{kind: nsga2, population: 10}", algorithm);
        fs::write(root.path().join("campaign.yaml"), text).unwrap();
        let both =
            ["--table", "losses.csv", "--table", "latencies.csv", "--output", "out", "--quiet"];
        let output = simulate(root.path(), &both);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let evaluations = fs::read_to_string(root.path().join("out/evaluations.csv")).unwrap();
        assert_eq!(evaluations.lines().count(), 1 + 192, "{algorithm}");
        for line in evaluations.lines().skip(1) {
            assert!(product(line.split(',').nth(2).unwrap()) <= 40, "{algorithm}: {line}");
        }
    }
}

/// Three noisy trainings of each architecture: what a search finds by their means is nearer to the true
/// front than what it finds by the first alone, and repeats are refused where they would be the same.
#[test]
fn repeats_read_a_column_each_and_the_gap_is_that_of_the_means() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let losses = fs::read_to_string(root.path().join("losses.csv")).unwrap();
    let noisy = losses.lines().enumerate().map(|(at, line)| {
        let (rest, loss) = line.rsplit_once(',').unwrap();
        let Ok(loss) = loss.parse::<f64>() else { return format!("{rest},s1,s2,s3") };
        // Noise without a mean over the three.
        let noise = 15.0 * ((at * 7919 % 101) as f64 / 101.0 - 0.5);
        format!("{rest},{},{},{}", loss + noise, loss - 3.0 * noise, loss + 2.0 * noise)
    });
    fs::write(root.path().join("losses.csv"), noisy.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let simulated = |stage: &str, columns: &str| {
        let text = CAMPAIGN
            .replace("    settings:", &format!("{stage}    settings:"))
            .replace("{loss: loss,", &format!("{{loss: {columns},"));
        fs::write(root.path().join("campaign.yaml"), text).unwrap();
        simulate(root.path(), &[&BOTH[..], &["--seeds", "6", "--json"]].concat())
    };
    let gap = |output: &Output| {
        let (report, gap) = last_gap(output);
        (gap, report["stages"][0]["slot_seconds"]["mean"].as_f64().unwrap())
    };
    let once = gap(&simulated("", "[s1, s2, s3]"));
    let thrice = gap(&simulated("    repeats: 3\n", "[s1, s2, s3]"));
    assert!(thrice.0 < 0.7 * once.0 && thrice.0 > 0.0, "{once:?}, with repeats {thrice:?}");
    assert_eq!((once.1, thrice.1), (80.0, 240.0));
    let refused = simulated("    repeats: 3\n", "s1");
    let error = text(&refused.stderr);
    assert!(!refused.status.success() && error.contains("would read the same column"), "{error}");
}

fn last_gap(output: &Output) -> (Value, f64) {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let gap = report["gap_thousandths"].as_array().unwrap().last().unwrap()["mean"].clone();
    let gap = gap.as_f64().unwrap();
    (report, gap)
}

#[test]
fn what_breaks_a_bound_is_not_on_the_true_front() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let bounded = CAMPAIGN
        .replace("algorithm:", "constraints: [{metric: phone_latency, at_most: 12}]\nalgorithm:");
    fs::write(root.path().join("campaign.yaml"), bounded.replace("80}", "243}")).unwrap();
    let (report, gap) = last_gap(&simulate(root.path(), &[&BOTH[..], &["--json"]].concat()));
    let fast = (1..=9).flat_map(|first| (1..=9).map(move |second| first * second + first));
    assert_eq!(report["known_points"], 3 * fast.filter(|latency| *latency <= 12).count());
    assert!(gap.abs() < 1e-9, "everything was evaluated, and {gap} is missing");
}

#[test]
fn objectives_that_follow_from_networks_have_a_true_front() {
    let root = tempfile::tempdir().unwrap();
    let operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"];
    let mut table = String::from("cell,loss\n");
    let mut start = String::new();
    for (at, first) in operations.iter().enumerate() {
        for (then, last) in operations.iter().enumerate() {
            let cell = format!(
                "|nor_conv_3x3~0|+|{first}~0|none~1|+|nor_conv_1x1~0|{last}~1|skip_connect~2|"
            );
            writeln!(table, "{cell},{}", 10 * then + (at * 7) % 5).unwrap();
            writeln!(start, "  - '{cell}'").unwrap();
        }
    }
    let campaign = format!(
        "\
version: 1
name: costs
space: {{kind: nasbench201}}
metrics:
  loss: {{}}
objectives: [loss, macs]
constraints: [{{metric: params, at_most: 700000}}]
stages:
  - evaluator: tabular
    measures: [loss]
    settings: {{table: cells.csv, key: cell, columns: {{loss: loss}}}}
budget: {{evaluations: 25}}
start:
{start}"
    );
    fs::write(root.path().join("cells.csv"), table).unwrap();
    fs::write(root.path().join("campaign.yaml"), campaign).unwrap();
    let (report, gap) = last_gap(&simulate(root.path(), &["--table", "cells.csv", "--json"]));
    let known = report["known_points"].as_u64().unwrap();
    assert!((2..25).contains(&known), "{known} of 25 keep the bound");
    assert!(gap.abs() < 1e-9, "everything was evaluated, and {gap} is missing");
}

/// One worker cannot be busier than all the time, whatever waits at it, and is idle while it is away.
#[test]
fn slots_are_busy_while_they_evaluate_alone() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let utilisation = |arguments: &[&str]| {
        let output = simulate(root.path(), &[&BOTH[..], &["--json"], arguments].concat());
        let (report, _) = last_gap(&output);
        report["utilisation"]["mean"].as_f64().unwrap()
    };
    let prefetching = utilisation(&["--workers", "4", "--prefetch", "4", "--joins-over", "20"]);
    assert!((0.4..0.95).contains(&prefetching), "{prefetching}");
    let crashing = utilisation(&["--workers", "4", "--crash-rate", "0.5"]);
    assert!(crashing < 0.9, "{crashing}");
}

/// Every worker gets one evaluation when it joins and is busy with it to the end, which tells nothing of a search.
#[test]
fn how_busy_workers_are_is_not_known_of_one_evaluation_each() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let of = |more: &[&str]| simulate(root.path(), &[&BOTH[..], more].concat());
    let (report, _) = last_gap(&of(&["--workers", "80", "--json"]));
    assert_eq!(report["utilisation"], Value::Null);
    let (report, _) = last_gap(&of(&["--workers", "79", "--json"]));
    assert!(report["utilisation"]["mean"].as_f64().unwrap() > 0.99, "{report}");
    let shown = text(&of(&["--workers", "80"]).stdout);
    assert!(shown.contains("how busy workers were is not known: "), "{shown}");
}

/// A constraint on what an early stage measures: what breaks it is evaluated no further, and is no failure.
#[test]
fn a_broken_constraint_after_an_early_stage_is_learnt_from() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let (head, _) = CAMPAIGN.split_once("algorithm:").unwrap();
    let stage = |metric: &str, column: &str| {
        format!(
            "  - {{name: {metric}, evaluator: tabular, measures: [{metric}], settings: {{table: t.csv, \
             key: architecture, columns: {{{metric}: {column}}}}}}}\n"
        )
    };
    let text = format!(
        "{head}constraints: [{{metric: phone_latency, at_most: 6}}]\nstages:\n{}{}budget: \
         {{evaluations: 60}}\n",
        stage("phone_latency", "ms"),
        stage("loss", "loss"),
    );
    fs::write(root.path().join("campaign.yaml"), text).unwrap();
    let output = simulate(root.path(), &[&BOTH[..], &["--json", "--seeds", "4"]].concat());
    let (report, gap) = last_gap(&output);
    // Of random draws 8 in 60 would keep the bound, and 33 architectures do.
    let passed = report["stages"][0]["passed"]["mean"].as_f64().unwrap();
    assert!(passed >= 15.0 && gap < 20.0, "{passed} of 60 keep the bound, the gap is {gap}");
    let evaluations =
        fs::read_to_string(root.path().join("runs/widths-simulated/evaluations.csv")).unwrap();
    assert!(evaluations.contains(",infeasible,") && !evaluations.contains(",failed,"));
}

#[test]
fn checkpoints_are_sorted_and_end_with_the_budget() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let given = |at: &str| simulate(root.path(), &[&BOTH[..], &["--json", "--at", at]].concat());
    let (report, _) = last_gap(&given("20,10,10"));
    let gaps = report["gap_thousandths"].as_array().unwrap();
    let evaluations: Vec<_> = gaps.iter().map(|gap| gap["evaluations"].as_u64().unwrap()).collect();
    assert_eq!(evaluations, [10, 20]);
    for (beyond, message) in [("10,1000", "the campaign's budget is 80"), ("0", "--at")] {
        let refused = given(beyond);
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stdout));
        assert!(text(&refused.stderr).contains(message), "{}", text(&refused.stderr));
    }
    // The space has 243 architectures.
    let all = CAMPAIGN.replace("80}", "300}");
    fs::write(root.path().join("campaign.yaml"), all).unwrap();
    let output = simulate(root.path(), &[&BOTH[..], &["--at", "50,300"]].concat());
    let shown = text(&output.stdout);
    assert!(shown.contains("left out of --at: 300; no campaign went beyond 243"), "{shown}");
}

#[test]
fn a_single_seed_has_no_deviation() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let shown = text(&simulate(root.path(), &BOTH).stdout);
    assert!(shown.contains(" 80 ") && !shown.contains('±'), "{shown}");
    let (report, _) = last_gap(&simulate(root.path(), &[&BOTH[..], &["--json"]].concat()));
    assert_eq!(report["gap_thousandths"][0]["deviation"], Value::Null);
    assert_eq!(report["elapsed_seconds"]["deviation"], Value::Null);
    let two = text(&simulate(root.path(), &[&BOTH[..], &["--seeds", "2"]].concat()).stdout);
    assert!(two.contains('±'), "{two}");
}

#[test]
fn a_campaign_that_scores_nothing_is_no_success() {
    let root = tempfile::tempdir().unwrap();
    tables(root.path());
    let crashing = simulate(root.path(), &[&BOTH[..], &["--crash-rate", "1"]].concat());
    let (shown, error) = (text(&crashing.stdout), text(&crashing.stderr));
    assert_eq!(crashing.status.code(), Some(6), "{shown}{error}");
    assert!(shown.contains("workers busy 0.00 % of the time (100.00 % idle)"), "{shown}");
    assert!(error.contains("most frequent reasons:\n"), "{error}");

    fs::write(root.path().join("losses.csv"), "id,architecture,loss\n0,1:1:none,\n").unwrap();
    let without = simulate(root.path(), &[&BOTH[..], &["--json", "--seeds", "2"]].concat());
    assert_eq!(without.status.code(), Some(6), "{}", text(&without.stderr));
    let error: Value = serde_json::from_slice(&without.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "no_result");
    assert_eq!(error["error"]["message"], "widths has no scored candidate in 2 seeds");
    assert!(serde_json::from_slice::<Value>(&without.stdout).is_ok());

    fs::write(root.path().join("losses.csv"), "id,architecture,loss\n").unwrap();
    let empty = simulate(root.path(), &BOTH);
    assert_eq!(empty.status.code(), Some(2), "{}", text(&empty.stdout));
    assert!(text(&empty.stderr).contains("losses.csv has no rows below its header"));
}

/// While a candidate waits for being called up to its next stage, the only worker evaluates others.
#[test]
fn nothing_arrives_while_the_only_worker_evaluates() {
    let root = tempfile::tempdir().unwrap();
    let campaign = "version: 1\nname: rungs\nspace: {kind: problem, name: dtlz2, variables: 5}\n\
        metrics: {f1: {}, f2: {}}\nobjectives: [f1, f2]\nalgorithm: {kind: nsga2, population: 10}\n\
        stages:\n\
        - {name: early, evaluator: problem, measures: [f1], pass: {top: 1/3, by: [f1]}}\n\
        - {name: late, evaluator: problem, measures: [f2]}\nbudget: {evaluations: 90}\n";
    fs::write(root.path().join("campaign.yaml"), campaign).unwrap();
    let staleness = |workers: &str| {
        let (report, _) = last_gap(&simulate(root.path(), &["--json", "--workers", workers]));
        report["staleness_results"]["mean"].as_f64().unwrap()
    };
    assert_eq!(staleness("1"), 0.0);
    assert!(staleness("8") > 1.0);
}
