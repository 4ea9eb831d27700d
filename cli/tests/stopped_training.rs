//! A training that does not get to its end, through real processes and real libtorch: another campaign
//! takes its slot, or its worker is killed. The next attempt goes on with the state that was left, or stored
//! last, ends with the bits of a training that nobody stopped, and every moment in a slot counts of which
//! somebody can tell.
//!
//! The images are made up here. Skips visibly where the programs have not been built.

mod built_programs;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::{Stored, for_each};
use cambrian_core::engine::{Event, LeaseEnd};
use cambrian_core::id::{Attempt, CampaignId, TaskId};
use cambrian_core::objective::Measurement;
use cambrian_core::time::Span;
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
const PROGRAMS: [&str; 3] = ["cambrian-coordinator", "cambrian-worker", "cambrian-evaluator"];
const EPOCHS: u32 = 60;

/// Images of 8 x 8 pixels in which one of four quarters is bright, as a data set of one's own.
fn write_images(folder: &Path, name: &str, count: u64) {
    let mut state = count;
    let mut noise = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 58) as u8
    };
    let (mut pixels, mut classes) = (Vec::new(), Vec::new());
    for image in 0..count {
        let class = (image % 4) as u8;
        let quarter = |row: u8, column: u8| 2 * (row / 4) + column / 4;
        for (row, column) in (0..8).flat_map(|row| (0..8).map(move |column| (row, column))) {
            let bright = if quarter(row, column) == class { 90 } else { 60 };
            pixels.push(bright + noise());
        }
        classes.push(class);
    }
    let header = format!(
        "{{\"x\":{{\"dtype\":\"U8\",\"shape\":[{count},8,8],\"data_offsets\":[0,{end}]}},\
         \"y\":{{\"dtype\":\"U8\",\"shape\":[{count}],\"data_offsets\":[{end},{all}]}}}}",
        end = pixels.len(),
        all = pixels.len() + classes.len(),
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(pixels);
    bytes.extend(classes);
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join(format!("{name}.safetensors")), bytes).expect("a file");
}

/// A coordinator, and workers with one slot each.
struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    children: Vec<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

impl Cluster {
    fn start(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let images = folder.path().join("data/quarters");
        write_images(&images, "train", 2_000);
        write_images(&images, "test", 40);
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let mut cluster = Self { programs, folder, port, children: Vec::new() };
        let (listen, database) = (format!("127.0.0.1:{port}"), cluster.text("journal.db"));
        let arguments = ["--listen", &listen, "--database", &database, "--lease-seconds", "4"];
        cluster.spawn("cambrian-coordinator", &arguments);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < PATIENCE, "no coordinator: {}", cluster.logs());
            sleep(Duration::from_millis(20));
        }
        cluster
    }

    fn start_worker(&mut self, name: &str) {
        let (endpoint, state) = (self.endpoint(), self.text(name));
        let (data, gate) = (self.text("data"), self.text("gate"));
        let evaluator = self.programs.join("cambrian-evaluator").display().to_string();
        let arguments = [
            ["--coordinator", &endpoint],
            ["--name", name],
            ["--state-dir", &state],
            ["--data", &data],
            ["--gate-dir", &gate],
            ["--slots", "1"],
            ["--threads", "1"],
            ["--checkpoint-seconds", "0.2"],
            ["--evaluator", &evaluator],
        ];
        self.spawn("cambrian-worker", &arguments.concat());
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let log = std::fs::File::options().create(true).append(true).open(self.text("log"));
        let log = log.expect("a log file");
        let child = Command::new(self.programs.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        self.children.push(child);
    }

    fn text(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn logs(&self) -> String {
        std::fs::read_to_string(self.text("log")).unwrap_or_default()
    }

    fn cambrian(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cambrian"))
            .args(arguments)
            .env("CAMBRIAN_ENDPOINT", self.endpoint())
            .output()
            .expect("cambrian runs")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.cambrian(&[&["--json"], arguments].concat());
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {words}\n{}", self.logs());
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Submits a campaign of so many candidates that are trained for so many epochs.
    fn submit(&self, name: &str, (evaluations, epochs): (u32, u32), share: &str) {
        let yaml = format!(
            "version: 1\nname: {name}\nseed: 7\n\
             space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 8, 8], classes: 4}}\n\
             objectives: [accuracy, flatness]\nalgorithm: random\nstages:\n  - evaluator: train\n    \
             measures: [accuracy, flatness]\n    timeout: 5m\n    settings: {{dataset: quarters, \
             train_samples: 1600, validation_samples: 400, batch_size: 32, epochs: {epochs}, \
             deterministic: true}}\n\
             budget: {{evaluations: {evaluations}}}\nshare: {share}\n"
        );
        let file = self.text(&format!("{name}.yaml"));
        std::fs::write(&file, yaml).expect("a file");
        self.json(&["submit", &file]);
    }

    fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "not {what}\n{}", self.logs());
            sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL to a worker; its evaluator ends with it.
    fn kill_last(&mut self) {
        let mut child = self.children.pop().expect("it runs");
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
    }

    /// Waits until the state of the first task's training has been stored so many epochs after its begin.
    fn wait_for_state(&self, least: u32) {
        self.wait_until("stored", |cluster| {
            let text = cluster.cambrian(&["explain", "task", "1"]).stdout;
            let text = String::from_utf8_lossy(&text).into_owned();
            let (_, after) = text.split_once("its state after step ").unwrap_or_default();
            let epoch = after.split_whitespace().next().and_then(|step| step.parse::<u32>().ok());
            epoch.is_some_and(|epoch| epoch >= least)
        });
    }

    /// Waits until the first task's training is in its middle.
    fn wait_for_epoch(&self, least: u32) {
        self.wait_until("in training", |cluster| {
            let text = cluster.cambrian(&["explain", "task", "1"]).stdout;
            let text = String::from_utf8_lossy(&text).into_owned();
            let (before, _) = text.split_once(&format!(" of {EPOCHS}")).unwrap_or_default();
            let epoch = before.split_whitespace().last().and_then(|step| step.parse::<u32>().ok());
            epoch.is_some_and(|epoch| epoch >= least)
        });
    }

    fn wait_for_all(&self) {
        self.wait_until("finished", |cluster| {
            let list = cluster.json(&["list"]);
            let campaigns = list["campaigns"].as_array().expect("campaigns");
            campaigns.iter().all(|campaign| campaign["status"] == "finished")
        });
    }

    fn end(&mut self) {
        for mut child in self.children.drain(..).rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops everything, checks the journal, and reads what it says of the first task.
    fn account(mut self) -> History {
        self.end();
        let database = self.text("journal.db");
        for command in ["verify", "replay"] {
            let output = self.cambrian(&[command, "--database", &database]);
            let words = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&words));
        }
        let store = SqliteStore::open_read_only(Path::new(&database)).expect("a journal");
        let mut history = History::default();
        for_each(&store, |record| history.book(record)).expect("it is readable");
        history
    }
}

/// What the journal says of the first task.
#[derive(Debug, Default)]
struct History {
    leased: Vec<Attempt>,
    ended: Vec<LeaseEnd>,
    /// Attempts that left something, the epochs done in it, and the time that they took.
    left: Vec<(Attempt, bool, u32, Span)>,
    /// Attempts that stored their state on the way, and the epochs done in it.
    saved: Vec<(Attempt, u32)>,
    /// Who delivered, with what, the note about it, and the time that it took.
    delivered: Option<(Attempt, Vec<Measurement>, Option<String>, Span)>,
}

impl History {
    fn book(&mut self, record: Stored) {
        const FIRST: TaskId = TaskId(1);
        match record.event {
            Event::TaskLeased { task: FIRST, attempt, .. } => self.leased.push(attempt),
            Event::LeaseEnded { task: FIRST, end, .. } => self.ended.push(end),
            Event::AttemptYielded { task: FIRST, attempt, checkpoint, step, elapsed, .. } => {
                self.left.push((attempt, checkpoint.is_some(), step, elapsed));
            }
            Event::StateSaved { task: FIRST, attempt, step, .. } => {
                self.saved.push((attempt, step))
            }
            Event::TaskCompleted {
                task: FIRST, attempt, measurements, attached, elapsed, ..
            } => {
                let note = attached.note.map(|note| note.to_string());
                self.delivered = Some((attempt, measurements, note, elapsed));
            }
            _ => {}
        }
    }

    /// The values bit for bit.
    fn bits(&self) -> Vec<(String, u64)> {
        let (_, measured, ..) = self.delivered.as_ref().expect("a result");
        measured.iter().map(|it| (it.metric.to_string(), it.value().to_bits())).collect()
    }
}

/// The same training alone.
fn undisturbed(programs: PathBuf) -> History {
    let mut cluster = Cluster::start(programs);
    cluster.start_worker("alone");
    cluster.submit("alone", (1, EPOCHS), "{}");
    cluster.wait_for_all();
    let history = cluster.account();
    assert_eq!(history.leased, [Attempt(1)]);
    history
}

#[test]
fn a_preempted_training_goes_on_and_its_time_counts() {
    let Some(programs) = built_programs::folder(&PROGRAMS) else { return };
    let mut cluster = Cluster::start(programs.clone());
    cluster.start_worker("only");
    cluster.submit("patient", (1, EPOCHS), "{priority: 0}");
    cluster.wait_for_epoch(2);
    // The worker has room for a second task, which would wait there behind what runs.
    cluster.submit("urgent", (1, 1), "{priority: 5, preempt: true}");
    cluster.wait_for_all();
    let slots = |campaign: &str| {
        let list = cluster.json(&["list"]);
        let campaigns = list["campaigns"].as_array().expect("campaigns").clone();
        let found = campaigns.iter().find(|found| found["name"] == campaign).expect("it is listed");
        found["slot_seconds"].as_f64().expect("a time")
    };
    let (patient, urgent) = (slots("patient"), slots("urgent"));
    let history = cluster.account();

    assert_eq!(history.ended, [LeaseEnd::Preempted { by: CampaignId(2) }]);
    assert_eq!(history.leased, [Attempt(1), Attempt(2)]);
    let [(attempt, true, step, elapsed)] = history.left[..] else { panic!("{:?}", history.left) };
    assert!(attempt == Attempt(1) && (2..EPOCHS).contains(&step), "{:?}", history.left);
    let (attempt, _, note, rest) = history.delivered.clone().expect("a result");
    assert_eq!((attempt, note), (Attempt(2), None), "it did not begin anew");

    // What both attempts took is the campaign's, and nobody else's.
    assert!(elapsed > Span(0));
    let both = (elapsed + rest).as_secs_f64();
    assert!((patient - both).abs() < 1e-3, "{patient} s counted, {both} s taken");
    assert!(urgent > 0.0);
    assert_eq!(history.bits(), undisturbed(programs).bits());
}

#[test]
fn a_training_whose_worker_is_killed_goes_on_with_its_last_state() {
    let Some(programs) = built_programs::folder(&PROGRAMS) else { return };
    let mut cluster = Cluster::start(programs.clone());
    cluster.start_worker("doomed");
    cluster.submit("lost", (1, EPOCHS), "{}");
    cluster.wait_for_state(2);
    cluster.kill_last();
    cluster.start_worker("heir");
    cluster.wait_for_all();
    let history = cluster.account();

    assert_eq!(history.ended, [LeaseEnd::Expired]);
    assert_eq!(history.leased, [Attempt(1), Attempt(2)]);
    assert!(history.left.is_empty(), "{:?}", history.left);
    let last_of = |wanted: Attempt| {
        let of = history.saved.iter().filter(|(attempt, _)| *attempt == wanted);
        of.map(|(_, step)| *step).next_back()
    };
    let (first, second) = (last_of(Attempt(1)), last_of(Attempt(2)));
    assert!(first.is_some_and(|step| (2..EPOCHS).contains(&step)), "{:?}", history.saved);
    assert!(second >= first, "it went on from there, and stored its own: {:?}", history.saved);
    let (attempt, _, note, _) = history.delivered.clone().expect("a result");
    assert_eq!((attempt, note), (Attempt(2), None), "it did not begin anew");
    assert_eq!(history.bits(), undisturbed(programs).bits());
}
