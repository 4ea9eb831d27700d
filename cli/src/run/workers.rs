//! The worker processes of a run: started, restarted when they die, ended.
//!
//! Each has its own process group, so that Ctrl-C reaches this program alone, and a pipe on its
//! standard input whose end tells it to go, also when this program is killed. Must not know the
//! campaign.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::log;

/// A process that lived this long was all right; its end says nothing about the next one.
const SETTLED: Duration = Duration::from_secs(60);
/// How many short lives in a row make a worker hopeless.
const SHORT_LIVES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a worker of an interrupted run may hold its directory: it finishes what it has begun.
const PREDECESSOR: Duration = Duration::from_secs(90);
/// What a worker says whose directory another one holds.
const HELD: &str = "another worker is running on";
/// A worker's exit code for settings it cannot use; trying again would not help.
const FAULTY_SETTINGS: i32 = 2;
/// How long a worker may take to go after the second signal.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

/// How workers are started.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The program `cambrian-worker`.
    pub(super) program: PathBuf,
    /// The evaluator's program.
    pub(super) evaluator: PathBuf,
    /// Its arguments before those of the worker, as they hold in any directory.
    pub(super) evaluator_arguments: Vec<OsString>,
    /// Threads of each evaluation.
    pub(super) threads: u32,
    /// Where data sets are; without it the evaluator's own default holds.
    pub(super) data: Option<PathBuf>,
    /// Devices, which workers take in turn; without any the worker's own default holds.
    pub(super) devices: Vec<String>,
    /// The coordinator.
    pub(super) endpoint: String,
    /// How many.
    pub(super) count: u32,
}

/// What happened to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// It waits for a process of an interrupted run to go.
    Waits { name: String },
    /// It died and will be started again.
    Restarts { name: String, reason: String },
    /// It died too often.
    Hopeless { name: String, reason: String },
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Work,
    /// Finish what runs.
    Drain,
    /// Hand everything back.
    Leave,
}

/// The running workers.
#[derive(Debug)]
pub(super) struct Workers {
    tasks: JoinSet<()>,
    wish: watch::Sender<Wish>,
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    alive: watch::Receiver<BTreeSet<String>>,
}

/// The name of the worker with this index, from 1.
fn name(index: u32) -> String {
    format!("worker-{index}")
}

impl Plan {
    /// The device of the worker with this index, from 1.
    fn device(&self, index: u32) -> Option<String> {
        self.devices.iter().cycle().nth(index as usize - 1).cloned()
    }

    /// How many workers have the device of this one: each offers its share of the memory.
    fn on_device(&self, index: u32) -> usize {
        let device = self.device(index);
        (1..=self.count).filter(|other| self.device(*other) == device).count()
    }

    /// The devices that no worker takes.
    pub(super) fn idle_devices(&self) -> &[String] {
        self.devices.get(self.count as usize..).unwrap_or_default()
    }
}

impl Workers {
    /// Starts them; `place` gives the path of a file or directory of the run's state.
    pub(super) fn start(plan: &Plan, place: impl Fn(&str) -> PathBuf) -> Self {
        let (wish, wishes) = watch::channel(Wish::Work);
        let (sender, events) = mpsc::unbounded_channel();
        let names: BTreeSet<_> = (1..=plan.count).map(name).collect();
        let (hoped_for, alive) = watch::channel(names);
        let mut tasks = JoinSet::new();
        for index in 1..=plan.count {
            let name = name(index);
            let worker = Worker {
                device: plan.device(index),
                on_device: plan.on_device(index),
                log: place(&format!("{name}.log")),
                state: place(&name),
                name,
                plan: plan.clone(),
                wish: wishes.clone(),
                events: sender.clone(),
            };
            let hoped_for = hoped_for.clone();
            tasks.spawn(async move {
                let name = worker.name.clone();
                worker.keep_running().await;
                hoped_for.send_modify(|alive| {
                    alive.remove(&name);
                });
            });
        }
        Self { tasks, wish, events, alive }
    }

    /// The workers that run or will be started again.
    pub(super) fn alive(&self) -> watch::Receiver<BTreeSet<String>> {
        self.alive.clone()
    }

    /// Asks them to finish what runs and go.
    pub(super) fn drain(&self) {
        self.wish.send_if_modified(|wish| raise(wish, Wish::Drain));
    }

    /// Asks them to go at once.
    pub(super) fn leave(&self) {
        self.wish.send_if_modified(|wish| raise(wish, Wish::Leave));
    }

    /// Waits until all are gone.
    pub(super) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn raise(wish: &mut Wish, to: Wish) -> bool {
    let raised = *wish < to;
    *wish = (*wish).max(to);
    raised
}

/// One worker over all its processes.
struct Worker {
    name: String,
    plan: Plan,
    device: Option<String>,
    on_device: usize,
    state: PathBuf,
    log: PathBuf,
    wish: watch::Receiver<Wish>,
    events: mpsc::UnboundedSender<Event>,
}

/// How one process ended.
enum End {
    /// Because it was asked to.
    Asked,
    /// By itself.
    Died { reason: String, held: bool, hopeless: bool },
}

impl Worker {
    async fn keep_running(mut self) {
        let mut short_lives = 0;
        let mut pause = FIRST_PAUSE;
        let born = Instant::now();
        let mut waits = false;
        loop {
            let started = Instant::now();
            let End::Died { reason, held, hopeless } = self.one_life().await else { return };
            if held && born.elapsed() < PREDECESSOR {
                if !waits {
                    self.tell(Event::Waits { name: self.name.clone() });
                    waits = true;
                }
                if self.asked_to_go_within(FIRST_PAUSE).await {
                    return;
                }
                continue;
            }
            if started.elapsed() >= SETTLED {
                (short_lives, pause) = (0, FIRST_PAUSE);
            }
            short_lives += 1;
            if hopeless || short_lives >= SHORT_LIVES {
                self.tell(Event::Hopeless { name: self.name.clone(), reason });
                return;
            }
            self.tell(Event::Restarts { name: self.name.clone(), reason });
            if self.asked_to_go_within(pause).await {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens once the run ends.
        let _ = self.events.send(event);
    }

    /// Waits for `pause`; whether the wish to go came before its end.
    async fn asked_to_go_within(&mut self, pause: Duration) -> bool {
        let going = self.wish.wait_for(|wish| *wish > Wish::Work);
        tokio::select! {
            _ = going => true,
            () = sleep(pause) => false,
        }
    }

    async fn one_life(&mut self) -> End {
        let died = |reason: String| End::Died { reason, held: false, hopeless: true };
        let (log, quoted_from) = match log::open(&self.log) {
            Ok(opened) => opened,
            Err(error) => return died(error.to_string()),
        };
        let mut child = match self.spawn(log) {
            Ok(child) => child,
            Err(error) => {
                let program = self.plan.program.display();
                return died(format!("cannot start {program}: {error}; is it built?"));
            }
        };
        // Waiting for a child closes its standard input unless somebody else holds it; the worker
        // takes that for the end of this program.
        let lifeline = child.stdin.take();
        let status = self.until_end(&mut child).await;
        drop(lifeline);
        if *self.wish.borrow() > Wish::Work {
            return End::Asked;
        }
        let words = log::last_lines(&self.log, quoted_from);
        let status = match status {
            Ok(status) => status,
            Err(error) => return died(format!("lost sight of it: {error}")),
        };
        End::Died {
            held: words.contains(HELD),
            hopeless: status.code() == Some(FAULTY_SETTINGS),
            reason: if words.is_empty() {
                status.to_string()
            } else {
                format!("{status}\n{words}")
            },
        }
    }

    fn spawn(&self, log: File) -> std::io::Result<Child> {
        let mut command = Command::new(&self.plan.program);
        command
            .arg("--coordinator")
            .arg(&self.plan.endpoint)
            .args(["--name", &self.name, "--slots", "1", "--until-stdin-ends"])
            .args(["--threads", &self.plan.threads.to_string()])
            .args(["--workers-on-device", &self.on_device.to_string()])
            .arg("--state-dir")
            .arg(&self.state)
            .arg("--evaluator")
            .arg(&self.plan.evaluator);
        for argument in &self.plan.evaluator_arguments {
            command.arg("--evaluator-arg").arg(argument);
        }
        if let Some(data) = &self.plan.data {
            command.arg("--data").arg(data);
        }
        if let Some(device) = &self.device {
            command.arg("--device").arg(device);
        }
        command
            // The user's settings for another worker are not meant for these.
            .env_remove("CAMBRIAN_WORKER_CONFIG")
            .env_remove("CAMBRIAN_TOKEN")
            .env_remove("CAMBRIAN_TOKEN_FILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Waits for the end of the process and passes wishes on to it.
    async fn until_end(&mut self, child: &mut Child) -> std::io::Result<ExitStatus> {
        let mut passed = Wish::Work;
        loop {
            let wish = *self.wish.borrow_and_update();
            while passed < wish {
                passed = if passed == Wish::Work { Wish::Drain } else { Wish::Leave };
                terminate(child);
            }
            if passed == Wish::Leave {
                if let Ok(status) = timeout(LAST_PATIENCE, child.wait()).await {
                    return status;
                }
                child.start_kill()?;
                return child.wait().await;
            }
            tokio::select! {
                status = child.wait() => return status,
                () = sleep(log::PAUSE) => {
                    // A log that cannot be cut must not end the work.
                    let _ = log::bound(&self.log, log::MOST);
                }
                changed = self.wish.changed() => {
                    if changed.is_err() {
                        // The run is gone; dropping the process kills it.
                        return child.wait().await;
                    }
                }
            }
        }
    }
}

/// Sends SIGTERM: the first drains a worker, the second makes it leave.
fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It fails only if the process is gone, which is what is wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn script(root: &Path, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = root.join("worker.sh");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn plan(program: PathBuf) -> Plan {
        Plan {
            program,
            evaluator: "unused".into(),
            evaluator_arguments: Vec::new(),
            threads: 1,
            data: None,
            devices: Vec::new(),
            endpoint: "http://127.0.0.1:1".into(),
            count: 1,
        }
    }

    fn start(root: &Path, program: PathBuf) -> Workers {
        Workers::start(&plan(program), |name| root.join(name))
    }

    #[tokio::test]
    async fn workers_take_devices_in_turn_one_each() {
        let root = tempfile::tempdir().unwrap();
        let program = script(root.path(), "echo \"$@\" >&2; exit 2");
        let devices = |count, devices: &[&str]| Plan {
            devices: devices.iter().map(|device| (*device).to_owned()).collect(),
            count,
            ..plan(program.clone())
        };
        let mut workers =
            Workers::start(&devices(3, &["cuda:0", "cuda:4"]), |name| root.path().join(name));
        workers.ended().await;
        for (name, device, sharing) in
            [("1", "cuda:0", "2"), ("2", "cuda:4", "1"), ("3", "cuda:0", "2")]
        {
            let log = root.path().join(format!("worker-{name}.log"));
            let given = std::fs::read_to_string(log).unwrap();
            let (_, after) = given.split_once("--device ").unwrap();
            assert_eq!((after.trim(), given.matches("--device").count()), (device, 1));
            assert!(given.contains(&format!("--workers-on-device {sharing} ")), "{given}");
        }
        assert_eq!((devices(3, &[]).device(1), devices(3, &[]).on_device(1)), (None, 3));
        assert_eq!(devices(1, &["cpu", "cuda:0"]).idle_devices(), ["cuda:0"]);
        assert!(devices(3, &["cpu", "cuda:0"]).idle_devices().is_empty());
    }

    #[tokio::test]
    async fn a_worker_that_dies_is_started_again_and_quoted() {
        let root = tempfile::tempdir().unwrap();
        let program = script(root.path(), "echo why >&2; exit 1");
        let mut workers = start(root.path(), program);
        let Some(Event::Restarts { name, reason }) = workers.events.recv().await else { panic!() };
        assert_eq!(name, "worker-1");
        assert!(reason.contains("exit status: 1") && reason.contains("why"), "{reason}");
        workers.drain();
        workers.ended().await;
        assert!(workers.alive().borrow().is_empty());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_hopeless_at_once() {
        let root = tempfile::tempdir().unwrap();
        let mut workers = start(root.path(), root.path().join("no"));
        let Some(Event::Hopeless { reason, .. }) = workers.events.recv().await else { panic!() };
        assert!(reason.contains("is it built?"), "{reason}");
        workers.ended().await;
    }

    #[tokio::test]
    async fn a_worker_lives_as_long_as_its_standard_input() {
        let root = tempfile::tempdir().unwrap();
        let program = script(root.path(), "cat; exit 1");
        let mut workers = start(root.path(), program);
        let early = timeout(Duration::from_millis(500), workers.events.recv()).await;
        assert!(early.is_err(), "standard input was closed: {early:?}");
        workers.leave();
        workers.ended().await;
    }

    #[tokio::test]
    async fn faulty_settings_are_hopeless_at_once() {
        let root = tempfile::tempdir().unwrap();
        let program = script(root.path(), "exit 2");
        let mut workers = start(root.path(), program);
        assert!(matches!(workers.events.recv().await, Some(Event::Hopeless { .. })));
    }

    #[tokio::test]
    async fn a_worker_that_waits_for_its_predecessor_is_not_counted_as_dead() {
        let root = tempfile::tempdir().unwrap();
        let marker = root.path().join("gone");
        let text = format!(
            "if [ -e {0} ]; then exec sleep 60; fi; echo 'another worker is running on x' >&2; exit 1",
            marker.display()
        );
        let mut workers = start(root.path(), script(root.path(), &text));
        assert!(matches!(workers.events.recv().await, Some(Event::Waits { .. })));
        std::fs::write(marker, "").unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(workers.events.try_recv().is_err());
        workers.drain();
        workers.ended().await;
    }

    #[tokio::test]
    async fn a_worker_that_does_not_leave_is_killed() {
        let root = tempfile::tempdir().unwrap();
        let ready = root.path().join("ready");
        let text =
            format!("trap '' TERM; touch {}; while true; do sleep 0.1; done", ready.display());
        let mut workers = start(root.path(), script(root.path(), &text));
        while !ready.exists() {
            sleep(Duration::from_millis(20)).await;
        }
        workers.leave();
        timeout(LAST_PATIENCE * 5, workers.ended()).await.expect("the worker was not killed");
    }
}
