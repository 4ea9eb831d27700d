//! Starting `cambrian run` with made-up evaluations, and asking it questions while it runs.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

/// Longer than anything takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Whether the programs that a run starts are built; says so where they are not.
pub(crate) fn programs_are_built() -> bool {
    let program = Path::new(env!("CARGO_BIN_EXE_cambrian"));
    let missing: Vec<_> = ["cambrian-worker", "cambrian-evaluator-synthetic"]
        .into_iter()
        .filter(|name| !program.with_file_name(name).exists())
        .collect();
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "{missing:?} are not built");
        eprintln!(
            "skipped: {} not built beside {}; `cargo build -p cambrian-worker` builds them",
            missing.join(", "),
            program.display()
        );
    }
    missing.is_empty()
}

/// A directory with a campaign of made-up evaluations.
pub(crate) struct Campaign {
    root: tempfile::TempDir,
}

impl Campaign {
    /// A campaign of `evaluations`, each of about `seconds`, with `extra` settings of its stage.
    pub(crate) fn new(evaluations: u32, seconds: f64, extra: &str) -> Self {
        Self::of(&format!(
            "version: 1\nname: made-up\nseed: 11\n\
             space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
             objectives: [accuracy, latency]\n\
             algorithm: {{kind: nsga2, population: 8}}\n\
             stages:\n- evaluator: synthetic\n  measures: [accuracy, latency]\n\
             \x20 settings: {{seconds: {seconds}, spread: 0.5, steps: 4}}\n{extra}\
             budget: {{evaluations: {evaluations}}}\n"
        ))
    }

    /// A campaign of this text.
    pub(crate) fn of(text: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("campaign.yaml"), text).unwrap();
        Self { root }
    }

    /// The same campaign with another algorithm.
    pub(crate) fn with_algorithm(self, algorithm: &str) -> Self {
        let path = self.root.path().join("campaign.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("{kind: nsga2, population: 8}", algorithm)).unwrap();
        self
    }

    /// The campaign file.
    pub(crate) fn file(&self) -> PathBuf {
        self.root.path().join("campaign.yaml")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.root.path().join("out")
    }

    /// `cambrian run` on it, with two workers, in a process group of its own.
    pub(crate) fn command(&self) -> Command {
        let mut command = cambrian();
        command
            .arg("run")
            .arg(self.file())
            .arg("--output")
            .arg(self.output())
            .args(["--workers", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    pub(crate) fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    pub(crate) fn start(&self) -> Running<'_> {
        // An address of an earlier process must not be taken for that of this one.
        let _ = std::fs::remove_file(self.output().join("state/endpoint"));
        Running { child: Some(self.command().spawn().unwrap()), campaign: self }
    }

    /// A command that reads the journal, offline.
    pub(crate) fn journal(&self, command: &str) -> Output {
        cambrian().arg(command).arg("--output").arg(self.output()).arg("--json").output().unwrap()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.output().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// The program, without the user's settings.
pub(crate) fn cambrian() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian"));
    for name in ["ENDPOINT", "EVALUATOR", "DATA", "LOG", "WORKER_LABELS", "WORKER_NAME"] {
        command.env_remove(format!("CAMBRIAN_{name}"));
    }
    command
}

/// A run in progress; killed when dropped.
pub(crate) struct Running<'a> {
    child: Option<Child>,
    campaign: &'a Campaign,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Running<'_> {
    fn pid(&self) -> Pid {
        let id = self.child.as_ref().unwrap().id();
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    /// Where its coordinator listens.
    pub(crate) fn endpoint(&self) -> String {
        let path = self.campaign.output().join("state/endpoint");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(&path) {
                return text.trim().to_owned();
            }
            assert!(Instant::now() < deadline, "the run has no coordinator");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The answer of another command to its coordinator.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        cambrian().args(arguments).args(["--endpoint", &self.endpoint()]).output().unwrap()
    }

    /// The same as JSON.
    pub(crate) fn ask_json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let output = self.ask(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until so many evaluations are finished.
    pub(crate) fn until_finished(&self, evaluations: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.ask(&["list", "--json"]);
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let done = answer["campaigns"][0]["evaluations_finished"].as_u64();
            if done.is_some_and(|done| done >= evaluations) {
                return;
            }
            assert!(Instant::now() < deadline, "{answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The lines of `watch --json`, handed to `visit` as they come, until it returns `false`.
    pub(crate) fn watch(&self, mut visit: impl FnMut(Value) -> bool) {
        let mut child = cambrian()
            .args(["watch", "made-up", "--json", "--endpoint", &self.endpoint()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if !visit(serde_json::from_str(&line.unwrap()).unwrap()) {
                break;
            }
        }
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// SIGKILL to the whole process group.
    pub(crate) fn kill_group(mut self) {
        kill_process_group(self.pid(), Signal::KILL).unwrap();
        self.child.take().unwrap().wait().unwrap();
    }

    /// SIGINT to the program, as by Ctrl-C.
    pub(crate) fn interrupt(&self) {
        kill_process(self.pid(), Signal::INT).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Output {
        self.child.take().unwrap().wait_with_output().unwrap()
    }
}
