//! The program: flags, exit codes, signals, the end of its parent.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command as AsyncCommand};

use super::{PATIENCE, SYNTHETIC, assignment, endless, measured, wait_for_goodbye};
use crate::fake_coordinator::FakeCoordinator;

const WORKER: &str = env!("CARGO_BIN_EXE_cambrian-worker");

fn output(arguments: &[&str]) -> Output {
    Command::new(WORKER).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn command(coordinator: &FakeCoordinator, root: &TempDir, more: &[&str]) -> AsyncCommand {
    let mut command = AsyncCommand::new(WORKER);
    command
        .args(["--coordinator", &coordinator.url(), "--evaluator", SYNTHETIC])
        .args(["--evaluator-arg", "--dataset", "--evaluator-arg", "cifar10"])
        .args(["--label", "site=north", "--threads", "1", "--log-format", "json"])
        .arg("--state-dir")
        .arg(root.path())
        .args(more)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn started(command: &mut AsyncCommand) -> Child {
    command.kill_on_drop(true).spawn().unwrap()
}

fn start(coordinator: &FakeCoordinator, root: &TempDir, more: &[&str]) -> Child {
    started(&mut command(coordinator, root, more))
}

fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

async fn end(child: Child) -> Output {
    tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("no end").unwrap()
}

#[tokio::test]
async fn sigterm_finishes_what_runs_and_exits_with_success() {
    let mut coordinator = FakeCoordinator::start().await;
    let root = tempfile::tempdir().unwrap();
    let child = start(&coordinator, &root, &[]);
    let mut stream = coordinator.accept().await;
    let capabilities = stream.register.capabilities.clone().unwrap();
    assert_eq!(capabilities.datasets, ["cifar10"]);
    assert_eq!(capabilities.labels["site"], "north");
    stream.assign(assignment(1, r#"{"seconds": 0.3}"#)).await;
    while stream.heartbeat().await.is_empty() {}
    signal(&child, "-TERM");
    let report = stream.report().await;
    assert_eq!(measured(&report).len(), 2);
    stream.acknowledge(&report).await;
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    let output = end(child).await;
    assert!(output.status.success(), "{}", words(&output));
    for line in words(&output).lines() {
        serde_json::from_str::<serde_json::Value>(line).expect(line);
    }
}

/// Whatever is full holds up whoever writes to it.
#[tokio::test]
async fn nobody_reads_the_log_and_the_worker_works_all_the_same() {
    let mut coordinator = FakeCoordinator::start().await;
    let root = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    let child = started(command(&coordinator, &root, &[]).stderr(writer));
    let mut stream = coordinator.accept().await;
    stream.assign(assignment(1, "{}")).await;
    let report = stream.report().await;
    assert_eq!(measured(&report).len(), 2);
    stream.acknowledge(&report).await;
    signal(&child, "-TERM");
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    assert!(end(child).await.status.success());
    drop(reader);
}

/// Writes to a pipe until it takes no more.
fn fill(pipe: &std::io::PipeWriter) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(pipe).unwrap();
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK).unwrap();
    while rustix::io::write(pipe, &[b'x'; 4_096]).is_ok() {}
    while rustix::io::write(pipe, b"x").is_ok() {}
    fcntl_setfl(pipe, flags).unwrap();
}

/// A pipe that nobody reads takes the place of a disk that does not answer.
#[tokio::test]
async fn a_disk_that_does_not_answer_holds_up_neither_results_nor_the_end() {
    let mut coordinator = FakeCoordinator::start().await;
    let root = tempfile::tempdir().unwrap();
    let child = start(&coordinator, &root, &[]);
    let mut stream = coordinator.accept().await;
    let pipe = root.path().join("outbox/1-1.report.tmp");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    stream.assign(assignment(1, "{}")).await;
    let report = stream.report().await;
    assert_eq!(measured(&report).len(), 2);
    stream.acknowledge(&report).await;
    signal(&child, "-TERM");
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    let output = end(child).await;
    assert!(output.status.success(), "{}", words(&output));
    let expected = root.path().join("outbox");
    let expected = ["the disk does not answer", expected.to_str().unwrap()];
    assert!(expected.iter().all(|word| words(&output).contains(word)), "{}", words(&output));
}

#[tokio::test]
async fn workers_that_are_told_to_share_a_device_share_its_memory() {
    let mut coordinator = FakeCoordinator::start().await;
    let mut announced = Vec::new();
    for more in [&[][..], &["--workers-on-device", "3"]] {
        let root = tempfile::tempdir().unwrap();
        let _child = start(&coordinator, &root, more);
        let stream = coordinator.accept().await;
        announced.push(stream.register.capabilities.clone().unwrap().memory_bytes);
    }
    assert!(announced[0] > 0);
    assert_eq!(announced[1], announced[0] / 3);
}

/// A pipe that nobody writes to takes the place of a file on such a disk.
#[tokio::test]
async fn a_start_that_waits_for_the_disk_says_so_and_ends_when_it_is_told_to() {
    let coordinator = FakeCoordinator::start().await;
    let starts = ["name", "session"].map(|file| {
        let root = tempfile::tempdir().unwrap();
        mkfifoat(CWD, root.path().join(file), Mode::RUSR | Mode::WUSR).unwrap();
        (start(&coordinator, &root, &[]), root)
    });
    for (mut child, root) in starts {
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let silence = async {
            while let Some(line) = log.next_line().await.unwrap() {
                if line.contains("does not answer") && line.contains(root.path().to_str().unwrap())
                {
                    return;
                }
            }
            panic!("it ends without a word");
        };
        tokio::time::timeout(PATIENCE, silence).await.expect("it says nothing");
        signal(&child, "-TERM");
        assert!(end(child).await.status.success());
    }
}

#[tokio::test]
async fn what_a_killed_worker_has_left_behind_is_killed_by_the_next() {
    let coordinator = FakeCoordinator::start().await;
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("sleeper");
    // In a session of its own, as a process that no group holds any more.
    let once = format!(
        "[ -e '{0}' ] || {{ setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >'{0}'; }}; \
         exec {SYNTHETIC} --device cpu",
        file.display()
    );
    let next = || {
        let mut command = AsyncCommand::new(WORKER);
        command.args(["--coordinator", &coordinator.url(), "--evaluator", "sh"]);
        command.args(["--evaluator-arg", "-c", "--evaluator-arg", &once, "--state-dir"]);
        started(command.arg(root.path()).stdin(Stdio::null()).stderr(Stdio::null()))
    };
    let mut first = next();
    let sleeper = async {
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::fs::read_to_string(&file).unwrap()
    };
    let sleeper = tokio::time::timeout(PATIENCE, sleeper).await.expect("it does not start");
    let stat = format!("/proc/{}/stat", sleeper.trim());
    let lives = || std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z "));
    first.kill().await.unwrap();
    assert!(lives(), "it was to outlive its worker");
    let _second = next();
    let gone = async {
        while lives() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it lives on");
}

/// Arguments that name files hold in the folder that the evaluator starts in.
#[test]
fn relative_paths_of_the_evaluator_hold_where_they_are_written() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("configuration");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("look.sh"), "echo it is found >&2; exit 1\n").unwrap();
    let file = folder.join("worker.yaml");
    std::fs::write(&file, "evaluator: {command: [sh, look.sh]}\n").unwrap();
    let written: [&[&str]; 2] = [
        &["--config", "configuration/worker.yaml"],
        &["--evaluator", "sh", "--evaluator-arg", "configuration/look.sh"],
    ];
    for arguments in written {
        let mut command = Command::new(WORKER);
        command.args(arguments).args(["--state-dir", "state"]).current_dir(root.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(words(&output).contains("it is found"), "{}", words(&output));
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut coordinator = FakeCoordinator::start().await;
    let root = tempfile::tempdir().unwrap();
    let child = start(&coordinator, &root, &[]);
    let mut stream = coordinator.accept().await;
    stream.assign(endless(1)).await;
    stream.assign(endless(2)).await;
    while stream.heartbeat().await.len() < 2 {}
    signal(&child, "-INT");
    // The waiting task comes back, so the first signal has been seen.
    assert_eq!(stream.report().await.task, 2);
    signal(&child, "-TERM");
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    let output = end(child).await;
    assert!(output.status.success(), "{}", words(&output));
}

#[tokio::test]
async fn the_end_of_standard_input_drains_if_asked_for() {
    let mut coordinator = FakeCoordinator::start().await;
    let root = tempfile::tempdir().unwrap();
    let mut child = start(&coordinator, &root, &["--until-stdin-ends", "--drain-seconds", "0"]);
    let mut stream = coordinator.accept().await;
    stream.full_credit(2).await;
    drop(child.stdin.take());
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    assert!(end(child).await.status.success());
}

#[test]
fn a_missing_evaluator_is_exit_code_1_with_the_remedy() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().to_str().unwrap();
    let output = output(&["--state-dir", state, "--evaluator", "./there-is-no-such-evaluator"]);
    assert_eq!(output.status.code(), Some(1));
    let words = words(&output);
    assert!(
        words.contains("there-is-no-such-evaluator") && words.contains("--evaluator"),
        "{words}"
    );
}

/// The evaluator is its user's, as root may read everything: where the test is root, both are nobody.
#[test]
fn an_evaluator_reads_no_token_of_its_parent() {
    const NOBODY: u32 = 65_534;
    let root = tempfile::tempdir().unwrap();
    let program = root.path().join("worker");
    std::fs::copy(WORKER, &program).unwrap();
    let token = format!("cmb_0000002a_{}", "5e".repeat(32));
    let look = "tr '\\0' '\\n' </proc/$PPID/environ >&2; head -c 1 /proc/$PPID/mem >&2; \
                echo it has looked >&2; exit 1";
    let mut command = Command::new(program);
    command
        .args(["--evaluator", "sh", "--evaluator-arg", "-c", "--evaluator-arg", look])
        .arg("--state-dir")
        .arg(root.path().join("state"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("CAMBRIAN_TOKEN", &token)
        .current_dir(root.path())
        .stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        chown(root.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let words = words(&output);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("it has looked"), "{words}");
    assert!(words.contains("environ: Permission denied"), "{words}");
    assert!(words.contains("/mem"), "{words}");
    assert!(!words.contains(&token), "{words}");
}

#[test]
fn faulty_configurations_are_exit_code_2_and_name_every_fault() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("worker.yaml");
    std::fs::write(&file, "slots: 0\ndevices: [gpu]\n").unwrap();
    let file = file.to_str().unwrap();
    let missing = root.path().join("missing.yaml");
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--config", file], &["slots", "devices[0]", "gpu"]),
        (&["--config", missing.to_str().unwrap()], &["missing.yaml", "No such file"]),
        (&["--config", root.path().to_str().unwrap()], &["directory"]),
        (&["--coordinator", "localhost:1"], &["coordinators[0]", "http://HOST:PORT"]),
        (&["--label", "site"], &["KEY=VALUE"]),
        (&["--slots", "many"], &["many"]),
    ];
    for (arguments, expected) in cases {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        for part in expected {
            assert!(words(&output).contains(part), "{arguments:?} gave: {}", words(&output));
        }
    }
}

#[test]
fn the_evaluators_life_ends_with_its_standard_input() {
    let mut child =
        Command::new(SYNTHETIC).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_evaluator_refuses_what_is_no_message() {
    use std::io::Write;
    let mut child = Command::new(SYNTHETIC)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(&[0xff; 16]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("varint"), "{}", words(&output));
}
