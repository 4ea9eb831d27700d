//! The program as its users start it, wherever no coordinator is needed: messages, exit codes.
#![expect(clippy::unwrap_used, reason = "whatever a test cannot do makes it fail")]

use std::io::Write as _;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

const DEMO: &str = include_str!("../../configs/campaigns/fashion-mnist.yaml");

fn cambrian() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian"));
    command.env_remove("CAMBRIAN_ENDPOINT").env("NO_COLOR", "1");
    command
}

fn run(arguments: &[&str]) -> Output {
    cambrian().args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn written(root: &Path, text: &str) -> String {
    let path = root.join("campaign.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_valid_campaign_is_said_to_be_valid() {
    let root = tempfile::tempdir().unwrap();
    let file = written(root.path(), DEMO);
    let output = run(&["validate", &file]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        format!(
            "ok: {file} is a valid campaign: nsga2 in nasbench201, at most 70 evaluations, \
             objectives accuracy, latency, energy, introspectability\n"
        )
    );
    let output = run(&["validate", &file, "--json"]);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&json["valid"], &json["name"]), (&Value::Bool(true), &"fashion-mnist".into()));
    assert_eq!(stdout(&run(&["validate", &file, "--quiet"])), "");
}

#[test]
fn too_few_validation_images_are_a_warning_in_its_place() {
    let root = tempfile::tempdir().unwrap();
    let asked = "  - {metric: accuracy, reference: 50, min_difference: 0.5}";
    let plain = "  - {metric: accuracy, reference: 50}";
    let file = written(root.path(), &DEMO.replace(plain, asked));
    let output = run(&["validate", &file]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("is a valid campaign"), "{}", stdout(&output));
    let text = stderr(&output);
    let line = 1 + DEMO.lines().position(|line| line == plain).unwrap();
    let column = 1 + asked.find("0.5").unwrap();
    assert!(text.contains("warning: objectives[0].min_difference: "), "{text}");
    assert!(text.contains(&format!("--> {file}:{line}:{column}\n{line} | {asked}\n")), "{text}");
    assert!(text.contains("validation images tell the `accuracy` of 70 candidates"), "{text}");
    assert_eq!(stderr(&run(&["validate", &file, "--quiet"])), "");

    let output = run(&["validate", &file, "--json"]);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let warning = &json["warnings"][0];
    assert_eq!((&json["valid"], &warning["line"]), (&Value::Bool(true), &line.into()));
    assert_eq!(warning["path"], "objectives[0].min_difference");
}

#[test]
fn a_resolved_campaign_is_a_valid_campaign() {
    let root = tempfile::tempdir().unwrap();
    let file = written(root.path(), DEMO);
    let resolved = stdout(&run(&["validate", &file, "--resolved"]));
    assert!(resolved.contains("learning_rate: 0.1"), "{resolved}");
    let file = written(root.path(), &resolved);
    assert_eq!(code(&run(&["validate", &file])), 0);
}

#[test]
fn every_fault_is_shown_in_its_place() {
    let root = tempfile::tempdir().unwrap();
    let bad = DEMO
        .replace("population: 20", "population: 1")
        .replace("metric: latency", "metric: latnecy");
    let file = written(root.path(), &bad);
    let output = run(&["validate", &file]);
    assert_eq!(code(&output), 3);
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    let place = "17 |   - {metric: latnecy, reference: 2}\n   |              ^\n";
    let expected = format!("--> {file}:17:14\n{place}");
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("|   population: 1\n"), "{text}");
    assert!(text.contains("= help: "), "{text}");
    assert!(text.contains(&format!("error: {file} is not a valid campaign: 2 faults")), "{text}");

    let output = run(&["validate", &file, "--json"]);
    assert_eq!(code(&output), 3);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["valid"], false);
    assert_eq!((&json["name"], &json["warnings"]), (&Value::Null, &Value::Array(vec![])));
    assert_eq!(json["faults"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&json["faults"][0]["line"], &json["faults"][0]["column"]),
        (&17.into(), &14.into())
    );
}

const FRONT: &str = "candidate,genotype\n\
    1/1,|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|\n\
    1/2,|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|\n\
    1/3,|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|\n";

#[test]
fn architectures_of_an_earlier_front_are_read_beside_the_campaign_file() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("results")).unwrap();
    std::fs::write(root.path().join("results/front.csv"), FRONT).unwrap();
    let text = format!("{DEMO}start:\n  - {{from: results/front.csv}}\n");
    let file = written(root.path(), &text);
    let resolved = run(&["validate", &file, "--resolved"]);
    assert_eq!(code(&resolved), 0, "{}", stderr(&resolved));
    let resolved = stdout(&resolved);
    assert!(!resolved.contains("front.csv"), "{resolved}");
    let starts: Vec<&str> = FRONT.lines().skip(1).take(2).map(|row| &row[4..]).collect();
    let list = format!("start:\n- '{}'\n- '{}'\nstages:", starts[0], starts[1]);
    assert!(resolved.replace('"', "'").contains(&list), "{resolved}");
}

#[test]
fn a_row_that_is_no_architecture_is_shown_at_the_entry_of_its_file() {
    let root = tempfile::tempdir().unwrap();
    let text = format!("{DEMO}start: [{{from: front.csv, column: cell}}]\n");
    let file = written(root.path(), &text);
    let line = DEMO.lines().count() + 1;
    let refused = || {
        let output = run(&["validate", &file]);
        assert_eq!(code(&output), 3);
        assert!(stderr(&output).contains(&format!("--> {file}:{line}:9\n")), "{}", stderr(&output));
        stderr(&output)
    };
    let missing = refused();
    assert!(missing.contains("start[0]: there is no file "), "{missing}");
    let front = root.path().join("front.csv");
    std::fs::write(&front, FRONT).unwrap();
    let other = refused();
    assert!(other.contains("front.csv has no column `cell`"), "{other}");
    std::fs::write(&front, "cell\n|none~0|\n").unwrap();
    let row = refused();
    assert!(row.contains("start[0]: row 1 of front.csv: the genotype does not belong"), "{row}");
    std::fs::write(&front, "").unwrap();
    let empty = refused();
    assert!(empty.contains("front.csv is empty"), "{empty}");
}

#[test]
fn run_and_submit_refuse_a_faulty_campaign_before_anything_is_made() {
    let root = tempfile::tempdir().unwrap();
    let file = written(root.path(), "version: 1\nname: x\n");
    let output_directory = root.path().join("out");
    let output =
        run(&["run", &file, "--output", output_directory.to_str().unwrap(), "--color", "never"]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(!output_directory.exists());
    assert_eq!(code(&run(&["submit", &file])), 3);
}

#[test]
fn a_missing_file_is_not_found() {
    for arguments in [
        &["validate", "no/such.yaml"][..],
        &["run", "no/such.yaml"],
        &["submit", "no/such.yaml"],
        &["verify", "--database", "no/such.db"],
        &["replay", "--output", "no/such"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 4, "{arguments:?}: {}", stderr(&output));
        assert!(
            stderr(&output).starts_with("error: there is no file no/such"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_file_that_is_no_journal_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let file = written(root.path(), DEMO);
    for command in ["verify", "replay"] {
        let output = run(&[command, "--database", &file]);
        // Not the code of a damaged journal: a slip in a nightly check's path is no alarm.
        assert_eq!(code(&output), 8, "{}", stderr(&output));
        assert!(stderr(&output).contains("is not a Cambrian store"), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), DEMO);
}

#[test]
fn a_coordinator_that_does_not_answer_is_unreachable() {
    for command in [&["list"][..], &["workers"], &["watch", "1"], &["front", "1"], &["pause", "x"]]
    {
        // Port 1 of the loopback interface: nobody listens there.
        let mut arguments = command.to_vec();
        arguments.extend(["--endpoint", "127.0.0.1:1"]);
        let output = run(&arguments);
        assert_eq!(code(&output), 5, "{command:?}: {}", stderr(&output));
        let text = stderr(&output);
        assert!(
            text.starts_with("error: the coordinator at 127.0.0.1:1 does not answer"),
            "{text}"
        );
        assert!(text.contains("help: start one with `cambrian-coordinator`"), "{text}");
    }
}

/// What a web server or a coordinator with TLS says to gRPC in plain text.
#[test]
fn what_does_not_speak_grpc_is_unreachable_and_the_way_out_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let _ = connection.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let output = run(&["list", "--endpoint", &address]);
    assert_eq!(code(&output), 5, "{}", stderr(&output));
    assert!(stderr(&output).contains("https://"), "{}", stderr(&output));
}

#[test]
fn errors_are_json_where_asked_for() {
    let output = run(&["list", "--json", "--endpoint", "127.0.0.1:1"]);
    assert_eq!(stdout(&output), "");
    let json: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(json["error"]["kind"], "unreachable");
    assert_eq!(json["error"]["exit_code"], 5);
}

#[test]
fn the_endpoint_comes_from_the_environment_too() {
    let output = cambrian().arg("list").env("CAMBRIAN_ENDPOINT", "nonsense").output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("`nonsense` is no endpoint"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_understood_is_a_usage_error() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["verify"],
        &["run"],
        &["run", "x.yaml", "--workers", "0"],
        &["candidates", "1", "--status", "odd"],
        &["explain", "candidate", "3-42", "--endpoint", "127.0.0.1:1"],
        &["explain", "task", "x", "--endpoint", "127.0.0.1:1"],
    ] {
        assert_eq!(code(&run(arguments)), 2, "{arguments:?}");
    }
}

#[test]
fn usage_errors_are_json_where_asked_for() {
    for (arguments, message) in [
        (&["front", "--json"][..], "arguments were not provided: <CAMPAIGN>"),
        (&["candidates", "1", "--status", "foo", "--json"], "invalid value 'foo'"),
        (&["frnt", "--json"], "unrecognized subcommand 'frnt'"),
        (&["--json"], "requires a subcommand"),
        (&["--json", "worker"], "no command is given"),
        (&["front", "1", "--json", "--format", "csv"], "--json and --format"),
        (&["candidates", "1", "--json", "--format", "table"], "--json and --format"),
    ] {
        let output = run(arguments);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{arguments:?}");
        let json: Value = serde_json::from_str(&stderr(&output)).unwrap();
        assert_eq!(
            (&json["error"]["kind"], &json["error"]["exit_code"]),
            (&"usage".into(), &2.into())
        );
        let found = json["error"]["message"].as_str().unwrap();
        assert!(found.contains(message), "{arguments:?}: {found}");
    }
    assert!(stdout(&run(&["front", "--help", "--json"])).contains("Usage: cambrian front"));
}

#[test]
fn connection_options_of_the_environment_are_not_listed_as_needed() {
    let mut command = cambrian();
    command.env("CAMBRIAN_TLS_CA", "ca.pem").env("CAMBRIAN_TOKEN_FILE", "token");
    let output = command.args(["worker", "drain"]).output().unwrap();
    let text = stderr(&output);
    assert_eq!(code(&output), 2, "{text}");
    assert!(text.contains("Usage: cambrian worker drain [OPTIONS] <WORKER>...\n"), "{text}");
    assert!(text.contains("--label <NAME=VALUE>") && !text.contains("--tls-ca"), "{text}");
}

#[test]
fn help_lists_the_exit_codes() {
    let text = stdout(&run(&["--help"]));
    assert!(text.contains("Exit codes:\n    0  done\n"), "{text}");
    assert!(text.contains("  130  interrupted"), "{text}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&run(&["completions", shell]));
        assert!(script.contains("candidates"), "{shell}: {script}");
    }
}

#[test]
fn the_reference_lists_what_a_campaign_can_name() {
    for (table, expected) in [
        ("metrics", "accuracy"),
        ("spaces", "nasbench201"),
        ("algorithms", "regularized_evolution"),
        ("evaluators", "synthetic"),
        ("evaluators", "custom/NAME"),
    ] {
        let text = stdout(&run(&["reference", table]));
        assert!(text.contains(expected), "{table}: {text}");
        let json: Value =
            serde_json::from_str(&stdout(&run(&["reference", table, "--json"]))).unwrap();
        let names: Vec<_> =
            json[table].as_array().unwrap().iter().map(|entry| entry["name"].clone()).collect();
        assert!(names.contains(&expected.into()), "{names:?}");
    }
    let metrics = stdout(&run(&["reference", "metrics"]));
    let latency = metrics.lines().find(|line| line.trim_start().starts_with("latency")).unwrap();
    assert!(latency.contains("ms") && latency.contains("minimize"), "{latency}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_cambrian"))
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
