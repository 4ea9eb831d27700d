//! A few faults of every kind against real processes; `cambrian-chaos` alone injects hundreds.
//!
//! Skips visibly where the cluster's programs have not been built.

use std::path::Path;
use std::process::Command;

fn chaos(arguments: &[&str]) -> Option<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_cambrian-chaos"));
    let needed = ["cambrian-coordinator", "cambrian-worker", "cambrian-evaluator-synthetic"];
    let missing: Vec<_> =
        needed.iter().filter(|name| !program.with_file_name(name).exists()).collect();
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "{missing:?} are not built");
        eprintln!("skipped: {missing:?} are not built; run `cargo build --workspace --bins` first");
        return None;
    }
    let output = Command::new(program).args(arguments).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    Some(text)
}

#[test]
fn faults_of_all_kinds_neither_lose_nor_repeat_what_is_counted() {
    let Some(table) = chaos(&["--faults", "20", "--kinds", "mixed", "--seed", "7"]) else { return };
    assert!(table.contains("| mixed | 20 |"), "{table}");
}

#[test]
fn a_coordinator_that_stands_still_and_full_disks_cost_nothing() {
    let kinds = "pause_coordinator,fill_coordinator_disk,fill_worker_disk";
    let Some(table) = chaos(&["--faults", "2", "--kinds", kinds]) else { return };
    assert_eq!(table.matches("| 0 of 0 | 0 |").count(), 3, "{table}");
}

/// The table and what `--json` says of each kind.
fn outcomes(arguments: &[&str]) -> Option<(String, serde_json::Value)> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("outcomes.json");
    let json = ["--json", path.to_str().expect("UTF-8")];
    let table = chaos(&[arguments, &json].concat())?;
    let text = std::fs::read_to_string(path).expect("the outcomes");
    Some((table, serde_json::from_str(&text).expect("JSON")))
}

#[test]
fn what_is_encrypted_and_shows_tokens_loses_nothing_either() {
    let kinds = "kill_coordinator,restart_worker,cut_wire";
    let arguments = ["--faults", "3", "--secure", "--kinds", kinds];
    let Some((table, outcomes)) = outcomes(&arguments) else { return };
    assert_eq!(table.matches("| 0 of 0 | 0 |").count(), 3, "{table}");
    let kinds = outcomes.as_array().expect("a list");
    assert!(kinds.iter().all(|kind| kind["secure"] == true), "{outcomes}");
}

#[test]
fn reports_that_a_killed_worker_could_not_send_count() {
    let arguments = ["--faults", "8", "--kinds", "strand_reports"];
    let Some((table, outcomes)) = outcomes(&arguments) else { return };
    let promised = outcomes[0]["audit"]["promised"].as_u64();
    assert!(promised.is_some_and(|promised| promised > 0), "{outcomes}\n{table}");
}

#[test]
fn leaders_on_postgresql_give_way_without_a_loss() {
    let kinds = ["--faults", "3", "--postgres", "--kinds", "kill_coordinator,partition_database"];
    let Some(table) = chaos(&kinds) else { return };
    if table.contains("skipped: PostgreSQL") {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed");
        eprintln!("skipped: PostgreSQL is not installed; `deploy/setup-postgresql` does that");
        return;
    }
    assert_eq!(table.matches("| 0 of 0 | 0 |").count(), 2, "{table}");
}
