//! A cluster of real processes on loopback, killed without warning at random instants: it goes on by
//! itself, every finished evaluation counts exactly once, and the search can be replayed.
//!
//! Evaluations are synthetic, so no libtorch is needed. `CAMBRIAN_KILL_SEED` chooses the instants.
//! Needs the programs `cambrian-coordinator`, `cambrian-worker` and `cambrian-evaluator-synthetic`
//! beside `cambrian`; skips visibly where they have not been built.

mod built_programs;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::{Stored, for_each};
use cambrian_core::engine::Event;
use serde_json::Value;
use tempfile::TempDir;

const KILLS: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(240);
const PROGRAMS: [&str; 3] =
    ["cambrian-coordinator", "cambrian-worker", "cambrian-evaluator-synthetic"];

/// A generator good enough to pick instants; the seed is printed so that a failure can be repeated.
struct Instants(u64);

impl Instants {
    fn new(purpose: &str) -> Self {
        let given = std::env::var("CAMBRIAN_KILL_SEED").ok().and_then(|text| text.parse().ok());
        let seed: u64 = given.unwrap_or(1);
        eprintln!("{purpose}: CAMBRIAN_KILL_SEED={seed}");
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    coordinator: Option<Child>,
    workers: Vec<Option<Child>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let children = self.coordinator.iter_mut().chain(self.workers.iter_mut().flatten());
        for child in children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Cluster {
    fn start(programs: PathBuf, workers: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let mut cluster = Self { programs, folder, port, coordinator: None, workers: Vec::new() };
        cluster.start_coordinator();
        for index in 0..workers {
            cluster.workers.push(None);
            cluster.start_worker(index);
        }
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn spawn(&self, program: &str, arguments: &[String]) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{program}.log")))
            .expect("a log file");
        Command::new(self.programs.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    fn start_coordinator(&mut self) {
        let arguments = [
            "--listen".into(),
            format!("127.0.0.1:{}", self.port),
            "--database".into(),
            self.path("journal.sqlite").display().to_string(),
            "--lease-seconds".into(),
            "4".into(),
        ];
        self.coordinator = Some(self.spawn("cambrian-coordinator", &arguments));
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                started.elapsed() < PATIENCE,
                "the coordinator does not listen: {}",
                self.logs()
            );
            sleep(Duration::from_millis(20));
        }
    }

    fn start_worker(&mut self, index: usize) {
        let evidence = self.path("evidence");
        let argument = |text: &str| format!("--evaluator-arg={text}");
        let arguments = [
            "--coordinator".into(),
            self.endpoint(),
            "--name".into(),
            format!("worker-{index}"),
            "--state-dir".into(),
            self.path(&format!("worker-{index}")).display().to_string(),
            "--slots".into(),
            "2".into(),
            "--evaluator".into(),
            self.programs.join("cambrian-evaluator-synthetic").display().to_string(),
            argument("--evidence"),
            argument(&evidence.display().to_string()),
        ];
        self.workers[index] = Some(self.spawn("cambrian-worker", &arguments));
    }

    fn kill_coordinator(&mut self) {
        let mut child = self.coordinator.take().expect("it runs");
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
    }

    fn kill_worker(&mut self, index: usize) {
        let mut child = self.workers[index].take().expect("it runs");
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
    }

    fn cambrian(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cambrian"))
            .args(arguments)
            .env("CAMBRIAN_ENDPOINT", self.endpoint())
            .output()
            .expect("cambrian runs")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.cambrian(arguments);
        assert!(
            output.status.success(),
            "cambrian {arguments:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.logs()
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn submit(&self, evaluations: u32) {
        let yaml = format!(
            "version: 1\nname: killed\nseed: 3\nspace: nasbench201\n\
             objectives: [accuracy, latency]\nalgorithm: {{kind: nsga2, population: 20}}\n\
             stages:\n  - name: fake\n    evaluator: synthetic\n    measures: [accuracy, latency]\n    \
             timeout: 1m\n    settings: {{seconds: 0.25, spread: 0.5}}\n\
             budget: {{evaluations: {evaluations}}}\nfailures: {{attempts: 20}}\n"
        );
        let file = self.path("campaign.yaml");
        std::fs::write(&file, yaml).expect("a file");
        self.json(&["--json", "submit", &file.display().to_string()]);
    }

    fn status(&self) -> (String, u64) {
        let list = self.json(&["--json", "list"]);
        let campaign = &list["campaigns"][0];
        let status = campaign["status"].as_str().expect("a status").to_owned();
        (status, campaign["scored"].as_u64().expect("a count"))
    }

    fn wait_until_finished(&self) {
        let started = Instant::now();
        loop {
            let (status, scored) = self.status();
            if status == "finished" {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{status} with {scored} scored after {PATIENCE:?}\n{}",
                self.logs()
            );
            sleep(Duration::from_millis(200));
        }
    }

    /// Stops everything and checks the journal; returns finished evaluations by (task, attempt).
    fn account(&mut self, evaluations: u32) -> BTreeSet<(u64, u64)> {
        self.kill_coordinator();
        let database = self.path("journal.sqlite").display().to_string();
        for command in ["verify", "replay"] {
            let output = self.cambrian(&[command, "--database", &database]);
            assert!(
                output.status.success(),
                "{command}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let evidence = finished(&self.path("evidence"));
        let counted = counted(&self.path("journal.sqlite"));
        assert_eq!(counted.len(), evaluations as usize, "every task is counted once");
        for (task, attempt) in &counted {
            assert!(evidence.contains(&(*task, *attempt)), "task {task} was counted, not finished");
        }
        evidence
    }

    fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            lines.into_iter().rev().map(|line| format!("{name}: {line}\n")).collect::<String>()
        };
        tail("cambrian-coordinator.log") + &tail("cambrian-worker.log")
    }
}

/// What the evaluators say they finished: one line `task attempt digest` each.
fn finished(path: &Path) -> BTreeSet<(u64, u64)> {
    let text = std::fs::read_to_string(path).expect("the evidence");
    let pair = |line: &str| {
        let mut words = line.split_whitespace().map(|word| word.parse::<u64>());
        Some((words.next()?.ok()?, words.next()?.ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// What the journal counts: the attempt by which each task was completed.
fn counted(database: &Path) -> BTreeMap<u64, u64> {
    let mut counted = BTreeMap::new();
    let journal = SqliteStore::open_read_only(database).expect("the journal opens");
    let completions = |record: Stored| {
        if let Event::TaskCompleted { task, attempt, .. } = record.event {
            let before = counted.insert(task.0, u64::from(attempt.0));
            assert_eq!(before, None, "task {task} was counted twice");
        }
    };
    for_each(&journal, completions).expect("the journal can be read");
    counted
}

#[test]
fn a_coordinator_killed_twenty_times_wastes_no_evaluation() {
    let Some(programs) = built_programs::folder(&PROGRAMS) else { return };
    let mut instants = Instants::new("coordinator kills");
    let mut cluster = Cluster::start(programs, 3);
    let evaluations = 240;
    cluster.submit(evaluations);
    for _ in 0..KILLS {
        sleep(Duration::from_millis(150 + instants.below(400)));
        cluster.kill_coordinator();
        sleep(Duration::from_millis(instants.below(200)));
        cluster.start_coordinator();
    }
    let (_, scored) = cluster.status();
    eprintln!("{scored} of {evaluations} scored after the last kill");
    cluster.wait_until_finished();
    let finished = cluster.account(evaluations);
    assert_eq!(finished.len(), evaluations as usize, "an evaluation was done again");
}

#[test]
fn workers_killed_twenty_times_lose_only_what_was_in_their_hands() {
    let Some(programs) = built_programs::folder(&PROGRAMS) else { return };
    let mut instants = Instants::new("worker kills");
    let mut cluster = Cluster::start(programs, 3);
    let evaluations = 160;
    cluster.submit(evaluations);
    for kill in 0..KILLS {
        sleep(Duration::from_millis(150 + instants.below(400)));
        let victim = instants.below(3) as usize;
        cluster.kill_worker(victim);
        if kill % 5 == 4 {
            cluster.kill_coordinator();
            cluster.start_coordinator();
        }
        cluster.start_worker(victim);
    }
    cluster.wait_until_finished();
    let finished = cluster.account(evaluations);
    let again = finished.len() - evaluations as usize;
    eprintln!("{again} evaluations were finished and had to be done again after {KILLS} kills");
    // A killed worker had at most two evaluations that it had finished and not yet noted.
    assert!(again <= 2 * KILLS as usize, "{again} evaluations were done again");
}

impl Cluster {
    fn worker_state(&self, name: &str) -> String {
        let workers = self.json(&["--json", "workers"]);
        let found = workers["workers"].as_array().expect("workers").iter().cloned();
        let worker = found.into_iter().find(|worker| worker["name"] == name).expect("it is listed");
        match (worker["draining"].as_bool(), worker["connected"].as_bool()) {
            (Some(true), _) => "draining".into(),
            (_, Some(true)) => "connected".into(),
            _ => "away".into(),
        }
    }

    /// Waits until the process has ended by itself.
    fn wait_for_worker(&mut self, index: usize) {
        let mut child = self.workers[index].take().expect("it runs");
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("its state") {
                assert!(status.success(), "worker {index} ended with {status}\n{}", self.logs());
                return;
            }
            assert!(started.elapsed() < PATIENCE, "worker {index} does not leave\n{}", self.logs());
            sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn workers_are_drained_and_restarted_one_after_the_other_and_nothing_is_done_twice() {
    let Some(programs) = built_programs::folder(&PROGRAMS) else { return };
    let mut cluster = Cluster::start(programs, 3);
    let evaluations = 150;
    cluster.submit(evaluations);
    for index in 0..3 {
        sleep(Duration::from_millis(700));
        let name = format!("worker-{index}");
        let answer = cluster.json(&["--json", "worker", "drain", &name]);
        assert_eq!(answer["workers"][0]["draining"], true);
        cluster.wait_for_worker(index);
        assert_eq!(cluster.worker_state(&name), "away");
        cluster.start_worker(index);
    }
    // At once, by label: none carries it.
    let none = cluster.cambrian(&["worker", "drain", "--label", "rack=3", "--now"]);
    assert!(!none.status.success());
    sleep(Duration::from_millis(500));
    cluster.json(&["--json", "worker", "drain", "worker-0", "--now"]);
    cluster.wait_for_worker(0);
    cluster.start_worker(0);
    cluster.wait_until_finished();
    let finished = cluster.account(evaluations);
    let again = finished.len() - evaluations as usize;
    assert!(again <= 2, "{again} evaluations were done again: only the drain at once may cost any");
}
