//! `cambrian bench cluster`: a small run of real processes is sound, and its numbers hang together.
//!
//! Needs the program `cambrian-coordinator` beside `cambrian`; skips visibly where it has not been
//! built.

#[path = "../../coordinator/tests/postgres_server/mod.rs"]
#[expect(dead_code, reason = "other users need the rest")]
mod postgres_server;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use postgres_server::PostgresServer;
use serde_json::Value;

/// The program, if what it starts is beside it.
fn program() -> Option<&'static Path> {
    let program = Path::new(env!("CARGO_BIN_EXE_cambrian"));
    let coordinator = program.with_file_name("cambrian-coordinator");
    if !coordinator.exists() {
        eprintln!(
            "skipped: no {}; `cargo build -p cambrian-coordinator` builds it",
            coordinator.display()
        );
        return None;
    }
    Some(program)
}

fn bench(arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program()?);
    command.args(["bench", "cluster", "--no-limits"]).args(arguments).stdin(Stdio::null());
    Some(command.output().expect("the program runs"))
}

/// A small run whose limits are measured by a process that may have so many open files.
fn with_open_files(files: u32, workers: u32) -> Option<Output> {
    let script = format!(
        "ulimit -n {files} && exec '{}' bench cluster --workers {workers} --evaluations 500 \
         --no-restart --json",
        program()?.display()
    );
    let mut command = Command::new("sh");
    Some(command.args(["-c", &script]).stdin(Stdio::null()).output().expect("the program runs"))
}

fn only_run(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    answer["runs"][0].clone()
}

fn run(arguments: &[&str]) -> Option<Value> {
    let output = bench(&[arguments, &["--json"]].concat())?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["runs"].as_array().map(Vec::len), Some(1));
    Some(answer["runs"][0].clone())
}

#[test]
fn every_evaluation_of_a_run_is_counted_once() {
    let arguments = ["--workers", "5", "--evaluations", "700", "--algorithm", "nsga2"];
    let Some(run) = run(&arguments) else { return };
    let verified = &run["verified"];
    assert_eq!(verified["sound"], true);
    assert_eq!(verified["completed"], 700);
    assert_eq!(verified["lost_attempts"], 0);
    assert_eq!(run["acknowledgement"]["count"], 700);
    // Two tasks a worker come unasked at the beginning: one for the slot and one to wait.
    assert_eq!(run["assignment"]["count"], 700 - 2 * 5);
    assert_eq!(run["restart"]["records"], verified["records"]);
    assert!(run["durable_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{run}");
    assert_eq!(run["reconnected"], 0);
}

#[test]
fn timed_evaluations_fill_all_slots() {
    let arguments = ["--workers", "3", "--slots", "2", "--duration", "100ms", "--no-restart"];
    let Some(run) = run(&[&arguments[..], &["--evaluations", "60"]].concat()) else { return };
    assert_eq!(run["verified"]["sound"], true);
    // 60 evaluations of at least 80 ms in 6 slots.
    assert!(run["elapsed_s"].as_f64().is_some_and(|elapsed| elapsed >= 0.8), "{run}");
    let share = run["utilisation"].as_f64().expect("all slots were at work at once");
    assert!(share > 0.0 && share <= 1.0, "{run}");
    assert_eq!(run["restart"], Value::Null);
}

#[test]
fn the_limit_is_measured_with_as_many_streams_as_files_may_be_open() {
    // Enough for a connection of each worker, not for both ends of as many streams.
    let Some(output) = with_open_files(200, 100) else { return };
    let run = only_run(&output);
    let streams = run["limits"]["streams"].as_u64().expect("the limits were measured");
    assert!((8..100).contains(&streams), "{run}");
    assert!(run["limits"]["stream_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{run}");
    assert_eq!(run["limits_failed"], Value::Null);
}

#[test]
fn a_limit_that_cannot_be_measured_does_not_cost_the_run() {
    // Two more than are left for other use, which standard streams alone take up: no stream may be
    // open, however few files this process has open already. The run itself needs about 20.
    let Some(output) = with_open_files(34, 2) else { return };
    let run = only_run(&output);
    assert_eq!(run["verified"]["completed"], 500);
    assert!(run["durable_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{run}");
    assert_eq!(run["limits"], Value::Null);
    let reason = run["limits_failed"].as_str().expect("a reason");
    assert!(reason.contains("34 open files"), "{reason}");
}

#[test]
fn a_store_serves_one_run() {
    let Some(output) = bench(&["--workers", "1,2", "--store", "one.sqlite"]) else { return };
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("one store serves one run"));
}

#[test]
fn a_leader_that_is_killed_loses_nothing_and_its_replacement_is_timed() {
    let Some(server) = PostgresServer::start() else { return };
    let url = server.database("bench");
    let kill = ["--takeovers", "1", "--store", &url, "--no-restart"];
    let load = ["--workers", "20", "--evaluations", "2000", "--duration", "50ms"];
    let Some(run) = run(&[&kill[..], &load].concat()) else { return };
    let verified = &run["verified"];
    assert_eq!(verified["sound"], true, "{run}");
    assert_eq!(verified["completed"], 2000);
    let number = |name: &str| run["takeovers"][0][name].as_f64().expect("a number");
    let (first, all) = (number("first_result_s"), number("all_workers_s"));
    assert!(first > 0.0 && first <= all, "{run}");
    assert!(number("after_evaluations") >= 1000.0, "{run}");
}

#[test]
fn only_leaders_of_a_shared_database_can_be_killed() {
    let Some(output) = bench(&["--workers", "1", "--takeovers", "1", "--store", "one.sqlite"])
    else {
        return;
    };
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("postgresql://"));
}
