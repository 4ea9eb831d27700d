//! Two coordinators on one PostgreSQL, real processes on loopback: the leader is killed, stopped
//! and told to end while a campaign runs; the other takes over, work goes on, and every finished
//! evaluation counts exactly once.
//!
//! Evaluations are synthetic, so no libtorch is needed. Skips visibly where the programs have not
//! been built or PostgreSQL is not installed.

mod built_programs;
#[path = "../../coordinator/tests/postgres_server/mod.rs"]
#[expect(dead_code, reason = "other users need the rest")]
mod postgres_server;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cambrian_coordinator::store::place::Place;
use cambrian_coordinator::store::postgres::PostgresStore;
use cambrian_coordinator::store::{Stored, for_each};
use cambrian_core::engine::Event;
use postgres_server::PostgresServer;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longer than anything takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
const PROGRAMS: [&str; 3] =
    ["cambrian-coordinator", "cambrian-worker", "cambrian-evaluator-synthetic"];
const DATABASE: &str = "cluster";

struct Cluster {
    programs: PathBuf,
    server: PostgresServer,
    folder: tempfile::TempDir,
    endpoints: Vec<String>,
    coordinators: Vec<Option<Child>>,
    workers: Vec<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.coordinators.iter_mut().flatten().chain(&mut self.workers) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(id, signal).expect("a signal");
}

impl Cluster {
    /// Two coordinators, the first of which leads, and workers that know both.
    fn start(workers: usize) -> Option<Self> {
        let programs = built_programs::folder(&PROGRAMS)?;
        let server = PostgresServer::start()?;
        server.database(DATABASE);
        let free: Vec<_> =
            (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let address = |listener: &TcpListener| listener.local_addr().expect("its address");
        let endpoints = free.iter().map(|free| format!("http://{}", address(free))).collect();
        drop(free);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut cluster = Self {
            programs,
            server,
            folder,
            endpoints,
            coordinators: vec![None, None],
            workers: Vec::new(),
        };
        cluster.start_coordinator(0);
        cluster.until_led_by(0);
        cluster.start_coordinator(1);
        for index in 0..workers {
            let worker = cluster.start_worker(index);
            cluster.workers.push(worker);
        }
        Some(cluster)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spawn(&self, program: &str, log: &str, arguments: &[String]) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.path(log));
        let log = log.expect("a log file");
        Command::new(self.programs.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    fn start_coordinator(&mut self, index: usize) {
        let address = self.endpoints[index].trim_start_matches("http://").to_owned();
        // One of them over TLS.
        let url = match index {
            0 => self.server.encrypted(DATABASE),
            _ => self.server.url(DATABASE),
        };
        let arguments = ["--listen", &address, "--database", &url]
            .map(str::to_owned)
            .into_iter()
            .chain(["--lease-seconds".into(), "30".into()])
            .collect::<Vec<_>>();
        let log = format!("coordinator-{index}.log");
        self.coordinators[index] = Some(self.spawn("cambrian-coordinator", &log, &arguments));
    }

    fn start_worker(&self, index: usize) -> Child {
        let evidence = self.path("evidence").display().to_string();
        let evaluator = self.programs.join("cambrian-evaluator-synthetic").display().to_string();
        let state = self.path(&format!("worker-{index}")).display().to_string();
        let arguments = [
            format!("--coordinator={}", self.endpoints.join(",")),
            format!("--name=worker-{index}"),
            format!("--state-dir={state}"),
            "--slots=2".into(),
            format!("--evaluator={evaluator}"),
            "--evaluator-arg=--evidence".into(),
            format!("--evaluator-arg={evidence}"),
        ];
        self.spawn("cambrian-worker", "workers.log", &arguments)
    }

    /// The coordinator that holds the lease, and its epoch.
    fn leader(&self) -> Option<(usize, u64)> {
        let sql =
            "SELECT endpoint, epoch FROM cambrian.leader WHERE expires_at > clock_timestamp()";
        let output = self.server.psql(DATABASE, sql);
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let (endpoint, epoch) = text.split_once('|')?;
        let index = self.endpoints.iter().position(|known| known == endpoint)?;
        Some((index, epoch.parse().ok()?))
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "never: {what}\n{}", self.logs());
            sleep(Duration::from_millis(20));
        }
    }

    fn until_led_by(&self, index: usize) {
        self.until("the lease is won", |cluster| {
            cluster.leader().is_some_and(|(leader, _)| leader == index)
        });
    }

    /// How many evaluations are stored.
    fn completed(&self) -> u64 {
        let sql = "SELECT count(*) FROM cambrian.journal WHERE kind = 'task_completed'";
        self.server.ask(DATABASE, sql).parse().expect("a number")
    }

    fn cambrian(&self, endpoints: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cambrian"))
            .args(arguments)
            .env("CAMBRIAN_ENDPOINT", endpoints)
            .output()
            .expect("cambrian runs")
    }

    fn json(&self, endpoints: &str, arguments: &[&str]) -> Value {
        let output = self.cambrian(endpoints, arguments);
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
            "version: 1\nname: moved\nseed: 3\nspace: nasbench201\n\
             objectives: [accuracy, latency]\nalgorithm: {{kind: nsga2, population: 20}}\n\
             stages:\n  - name: fake\n    evaluator: synthetic\n    measures: [accuracy, latency]\n    \
             timeout: 1m\n    settings: {{seconds: 0.25, spread: 0.5}}\n\
             budget: {{evaluations: {evaluations}}}\nfailures: {{attempts: 20}}\n"
        );
        let file = self.path("campaign.yaml");
        std::fs::write(&file, yaml).expect("a file");
        let file = file.display().to_string();
        self.json(&self.endpoints.join(","), &["--json", "submit", &file]);
    }

    fn is_finished(&self) -> bool {
        let list = self.json(&self.endpoints.join(","), &["--json", "list"]);
        list["campaigns"][0]["status"] == "finished"
    }

    /// Stops everything and checks the journal: each evaluation was finished once and counted once.
    fn account(&mut self, evaluations: u32) {
        for child in self.coordinators.iter_mut().flatten().chain(&mut self.workers) {
            child.kill().expect("SIGKILL");
            child.wait().expect("its end");
        }
        let url = self.server.url(DATABASE);
        for command in ["verify", "replay"] {
            let output = self.cambrian("http://127.0.0.1:1", &[command, "--database", &url]);
            assert!(
                output.status.success(),
                "{command}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let text = std::fs::read_to_string(self.path("evidence")).expect("the evidence");
        let finished: BTreeSet<(u64, u64)> = text.lines().filter_map(pair).collect();
        let counted = counted(&url);
        assert_eq!(counted.len(), evaluations as usize, "every task is counted once");
        assert_eq!(finished.len(), evaluations as usize, "an evaluation was done again");
        for (task, attempt) in counted {
            assert!(finished.contains(&(task, attempt)), "task {task} was counted, not finished");
        }
    }

    fn logs(&self) -> String {
        ["coordinator-0.log", "coordinator-1.log", "workers.log"]
            .map(|name| {
                let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().rev().take(15).collect();
                lines.into_iter().rev().map(|line| format!("{name}: {line}\n")).collect::<String>()
            })
            .concat()
    }
}

/// A line `task attempt digest` of the evaluators' evidence.
fn pair(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace().map(|word| word.parse::<u64>());
    Some((words.next()?.ok()?, words.next()?.ok()?))
}

/// What the journal counts: the attempt by which each task was completed.
fn counted(url: &str) -> BTreeMap<u64, u64> {
    let Ok(Place::Postgres(url)) = url.parse() else { panic!("{url}") };
    let journal = PostgresStore::open_read_only(&url).expect("the journal opens");
    let mut counted = BTreeMap::new();
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
fn a_killed_leader_is_replaced_and_nothing_is_lost() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let evaluations = 200;
    cluster.submit(evaluations);
    for kill in 1..=3 {
        let (before, (victim, epoch)) = (cluster.completed(), cluster.leader().expect("a leader"));
        cluster.until("work goes on", |cluster| cluster.completed() > before + 5);
        let mut child = cluster.coordinators[victim].take().expect("it runs");
        let killed = Instant::now();
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
        // What it had sent may still be committed.
        sleep(Duration::from_millis(100));
        let before = cluster.completed();
        cluster.until("another stores results", |cluster| cluster.completed() > before);
        eprintln!("kill {kill}: results are stored again after {:.1?}", killed.elapsed());
        let (leader, next) = cluster.leader().expect("a leader");
        assert_eq!((leader, next), (1 - victim, epoch + 1));
        cluster.start_coordinator(victim);
    }
    cluster.until("the campaign is finished", Cluster::is_finished);
    cluster.account(evaluations);
}

#[test]
fn a_leader_that_is_stopped_or_told_to_end_gives_way() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    let evaluations = 120;
    cluster.submit(evaluations);
    cluster.until("work goes on", |cluster| cluster.completed() > 5);

    // Stopped for longer than its lease, it wakes up as a leader that is none any more.
    signal(cluster.coordinators[0].as_ref().expect("it runs"), Signal::STOP);
    cluster.until_led_by(1);
    let before = cluster.completed();
    cluster.until("another stores results", |cluster| cluster.completed() > before + 5);
    signal(cluster.coordinators[0].as_ref().expect("it runs"), Signal::CONT);
    let log = cluster.path("coordinator-0.log");
    cluster.until("it stands by", |_| {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("no longer the leader") && text.matches("standing by").count() >= 3
    });
    assert_eq!(cluster.leader().map(|(leader, _)| leader), Some(1));
    // Whoever asks it is led on to the other.
    cluster.json(&cluster.endpoints[0], &["--json", "list"]);

    // Told to end, it releases the lease at once.
    let mut child = cluster.coordinators[1].take().expect("it runs");
    let told = Instant::now();
    signal(&child, Signal::TERM);
    cluster.until_led_by(0);
    eprintln!("after an orderly end the other leads after {:.1?}", told.elapsed());
    assert!(child.wait().expect("its end").success(), "{}", cluster.logs());
    cluster.until("the campaign is finished", Cluster::is_finished);
    cluster.account(evaluations);
}
