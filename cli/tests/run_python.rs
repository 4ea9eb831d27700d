//! `cambrian run` with an evaluator in Python: from the campaign's text over the worker's offer to a
//! front of its metrics.
//!
//! Skips visibly where protobuf's runtime for Python is absent, except in continuous integration.
#![expect(clippy::unwrap_used, reason = "whatever a test cannot do makes it fail")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const CAMPAIGN: &str = include_str!("../../configs/campaigns/own-evaluator.yaml");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What Python has to find, `None` where protobuf is missing.
fn python_path() -> Option<String> {
    let root = repository();
    let output = Command::new(root.join("deploy/setup-python")).arg("--if-there").output().unwrap();
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        eprintln!("skipped: {}", reason.trim());
        return None;
    }
    let packages = String::from_utf8(output.stdout).unwrap();
    Some(format!("{}:{}", root.join("sdk/python/src").display(), packages.trim()))
}

/// Whether the worker is built; says so where it is not.
fn worker_is_built() -> bool {
    let built =
        Path::new(env!("CARGO_BIN_EXE_cambrian")).with_file_name("cambrian-worker").exists();
    if !built {
        eprintln!(
            "skipped: cambrian-worker is not built; `cargo build -p cambrian-worker` builds it"
        );
    }
    built
}

/// `cambrian run` on a campaign, without the user's settings.
fn command(root: &TempDir, campaign: &str) -> Command {
    let file = root.path().join("campaign.yaml");
    std::fs::write(&file, campaign).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian"));
    for name in ["ENDPOINT", "EVALUATOR", "DATA", "LOG", "WORKER_LABELS", "WORKER_NAME"] {
        command.env_remove(format!("CAMBRIAN_{name}"));
    }
    command.arg("run").arg(file).arg("--output").arg(root.path().join("out"));
    command.args(["--workers", "2"]);
    command
}

/// The run with the example, named as in its own comment, `None` where a part is missing.
fn run(root: &TempDir, campaign: &str) -> Option<Output> {
    if !worker_is_built() {
        return None;
    }
    let python_path = python_path()?;
    let mut command = command(root, campaign);
    command
        .current_dir(repository())
        .env("PYTHONPATH", python_path)
        .args(["--evaluator", "python3"])
        .args(["--evaluator-arg", "sdk/python/examples/plain_perceptron.py"]);
    Some(command.output().unwrap())
}

fn read(root: &TempDir, name: &str) -> String {
    std::fs::read_to_string(root.path().join("out").join(name)).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_campaign_is_evaluated_by_a_program_of_the_users() {
    let root = tempfile::tempdir().unwrap();
    let Some(output) = run(&root, CAMPAIGN) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let front: Value = serde_json::from_str(&read(&root, "front.json")).unwrap();
    assert!(!front["front"]["members"].as_array().unwrap().is_empty());
    let candidates = read(&root, "candidates.csv");
    let (heading, rows) = candidates.split_once('\n').unwrap();
    // From the end, since genotypes hold commas.
    let columns: Vec<&str> = heading.rsplit(',').collect();
    let column = |name: &str| columns.iter().position(|found| *found == name).unwrap();
    let (weights, params) = (column("weights"), column("params"));
    for row in rows.lines() {
        let cells: Vec<&str> = row.rsplit(',').collect();
        let number = |column: usize| cells[column].parse::<f64>().unwrap();
        assert_eq!(number(weights), number(params), "{row}");
    }
    assert_eq!(rows.lines().count(), 30);
    let verify = Command::new(env!("CARGO_BIN_EXE_cambrian"))
        .args(["verify", "--json", "--output"])
        .arg(root.path().join("out"))
        .output()
        .unwrap();
    let verified: Value = serde_json::from_slice(&verify.stdout).unwrap();
    assert_eq!(verified["sound"], true);
}

#[test]
fn a_stage_that_no_program_offers_ends_the_run_with_the_reason() {
    let root = tempfile::tempdir().unwrap();
    let text = CAMPAIGN.replace("custom/perceptron", "custom/another");
    let Some(output) = run(&root, &text) else { return };
    assert_eq!(output.status.code(), Some(9), "{}", stderr(&output));
    let words = stderr(&output);
    assert!(words.contains("does not offer the evaluator custom/another"), "{words}");
}

#[test]
fn a_run_without_the_users_program_says_how_to_name_it() {
    let root = tempfile::tempdir().unwrap();
    let output = command(&root, CAMPAIGN).output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", stderr(&output));
    let words = stderr(&output);
    assert!(words.contains("stage perceptron needs the evaluator custom/perceptron"), "{words}");
    assert!(words.contains("--evaluator-arg"), "{words}");
}
