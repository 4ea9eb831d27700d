//! The worker's configuration: the file as written, what the command line says, and the checked
//! result.
//!
//! `configs/worker.yaml` documents every key. Must not know what a setting does once it is valid.

mod device;
mod fault;
mod raw;
mod resolve;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cambrian_transport::client::Credentials;

use crate::capabilities::SlotMemory;
use crate::queue::SlotIndex;
use crate::slot::confine::Bounds;
use crate::slot::process::Launch;

pub use device::{Device, VisibleGpus};
pub use fault::{ConfigFault, ConfigFaults};
pub use raw::{RawConfig, RawEvaluator, RawLog, RawTls};
pub use resolve::resolve;

/// The longest configuration file that is read, bytes.
pub const MAX_CONFIG_BYTES: usize = 1 << 20;
/// The coordinator that a worker looks for unless told otherwise.
pub const DEFAULT_COORDINATOR: &str = "http://127.0.0.1:7878";
/// How much checkpoints may take up on this machine unless told otherwise, MiB.
const DEFAULT_CACHE_MIB: u32 = 4_096;

/// What the evaluator's process gets besides its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Variables besides the few that pass from the agent.
    pub environment: BTreeMap<String, String>,
    /// Files that it may have open.
    pub open_files: u32,
    /// Memory of its own that it may have, bytes; without it as much as there is.
    pub memory_bytes: Option<u64>,
}

impl Default for Confinement {
    fn default() -> Self {
        Self { environment: BTreeMap::new(), open_files: 4_096, memory_bytes: None }
    }
}

/// The evaluator's program and its own arguments; each slot adds its device and threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluatorCommand {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub program: PathBuf,
    /// Its arguments before those of the slot.
    pub arguments: Vec<String>,
}

/// Every duration that an agent keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// How long a new evaluator may take to say hello.
    pub hello: Duration,
    /// How long an evaluation that was asked to stop may take before its process is killed.
    pub stop_grace: Duration,
    /// How long running evaluations may go on after the first signal.
    pub drain: Duration,
    /// How long the last acknowledgements are waited for.
    pub acknowledgement: Duration,
    /// The shortest time between two forwarded messages of progress of one evaluation.
    pub progress_interval: Duration,
    /// How long after its begin, or after the last time, the state of an evaluation is stored; never if it
    /// is zero.
    pub saving: Duration,
    /// How long a coordinator may take to accept a connection.
    pub connect: Duration,
    /// How long a coordinator may take to answer the registration.
    pub registration: Duration,
    /// The first and the longest pause between attempts to connect.
    pub reconnect_first: Duration,
    /// See [`Self::reconnect_first`].
    pub reconnect_longest: Duration,
    /// The first and the longest pause between starts of an evaluator that keeps failing.
    pub restart_first: Duration,
    /// See [`Self::restart_first`].
    pub restart_longest: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(60),
            stop_grace: Duration::from_secs(5),
            drain: Duration::from_secs(30),
            acknowledgement: Duration::from_secs(5),
            progress_interval: Duration::from_millis(250),
            saving: Duration::from_secs(600),
            connect: Duration::from_secs(10),
            registration: Duration::from_secs(30),
            reconnect_first: Duration::from_millis(200),
            reconnect_longest: Duration::from_secs(5),
            restart_first: Duration::from_millis(500),
            restart_longest: Duration::from_secs(60),
        }
    }
}

/// What an agent needs to run. [`crate::agent::Agent`] checks it once more.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentConfig {
    /// Addresses of coordinators, `http://HOST:PORT` or `https://HOST:PORT`, tried in turn; at
    /// least one.
    pub coordinators: Vec<String>,
    /// How the worker makes itself known, and whom it trusts.
    pub credentials: Credentials,
    /// The worker's name; without one it has a name of its own in the state directory.
    pub name: Option<String>,
    /// Where name, session and unsent reports are kept.
    pub state_dir: PathBuf,
    /// How evaluators are started.
    pub evaluator: EvaluatorCommand,
    /// What an evaluator's process gets besides.
    pub confinement: Confinement,
    /// How many evaluations run at once, at least 1.
    pub slots: u32,
    /// Threads of each slot's evaluator, at least 1.
    pub threads: u32,
    /// Slot `i` works on device `i` modulo their number; at least one.
    pub devices: Vec<Device>,
    /// How many workers of this machine, this one included, have these devices: they share the memory.
    pub workers_on_device: u32,
    /// The GPUs that are left to this worker, if that is told.
    pub visible_gpus: Option<VisibleGpus>,
    /// Free labels for placement.
    pub labels: BTreeMap<String, String>,
    /// Where data sets are; without it the evaluator's own default holds.
    pub data: Option<PathBuf>,
    /// Where evaluators of one machine agree on who measures; without it the evaluator's default.
    pub gate_dir: Option<PathBuf>,
    /// How much the checkpoints that are kept on this machine may take up, bytes; a larger one is
    /// kept alone.
    pub cache_bytes: u64,
    /// All durations.
    pub timing: Timing,
}

impl AgentConfig {
    /// A worker with one slot and one thread on the processor, and everything else by default.
    #[must_use]
    pub fn new(coordinator: &str, state_dir: &Path, evaluator: EvaluatorCommand) -> Self {
        Self {
            coordinators: vec![coordinator.to_owned()],
            credentials: Credentials::default(),
            name: None,
            state_dir: state_dir.to_owned(),
            evaluator,
            confinement: Confinement::default(),
            slots: 1,
            threads: 1,
            devices: vec![Device::Cpu],
            workers_on_device: 1,
            visible_gpus: None,
            labels: BTreeMap::new(),
            data: None,
            gate_dir: None,
            cache_bytes: u64::from(DEFAULT_CACHE_MIB) << 20,
            timing: Timing::default(),
        }
    }

    fn device(&self, slot: u32) -> Device {
        match self.devices.as_slice() {
            [] => Device::Cpu,
            devices => devices[slot as usize % devices.len()],
        }
    }

    /// What the slots have of the memory of a machine with so many bytes.
    pub(crate) fn memory(&self, available: Option<u64>) -> SlotMemory {
        let devices: Vec<Device> = (0..self.slots).map(|slot| self.device(slot)).collect();
        let on = |device| devices.iter().filter(|other| **other == device).count();
        let sharing = devices.iter().map(|device| on(*device)).max().unwrap_or(1);
        SlotMemory {
            available,
            most: self.confinement.memory_bytes,
            sharing: sharing as u64 * u64::from(self.workers_on_device),
            on_gpu: devices.iter().any(|device| matches!(device, Device::Cuda(_))),
        }
    }

    /// How the evaluator of a slot is started.
    pub(crate) fn launch(&self, slot: SlotIndex) -> Launch {
        let device = self.device(slot.0);
        let given = &self.confinement;
        let mut environment: Vec<_> =
            given.environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let visible = match device {
            Device::Cpu => device,
            // The process sees its own device only, and sees it as the first.
            Device::Cuda(number) => {
                environment.extend(device::variables(number, self.visible_gpus.as_ref()));
                Device::Cuda(0)
            }
        };
        let mut arguments = self.evaluator.arguments.clone();
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
        add("--device", visible.to_string());
        add("--threads", self.threads.to_string());
        for (flag, path) in [("--data", &self.data), ("--gate-dir", &self.gate_dir)] {
            if let Some(path) = path {
                add(flag, absolute(path).to_string_lossy().into_owned());
            }
        }
        // A name without a directory is looked up in `PATH`.
        let program = match self.evaluator.program.components().count() {
            0 | 1 => self.evaluator.program.clone(),
            _ => absolute(&self.evaluator.program),
        };
        let folder = Some(absolute(&self.state_dir).join("slots").join(slot.0.to_string()));
        let bounds =
            Bounds { open_files: Some(u64::from(given.open_files)), memory: given.memory_bytes };
        Launch { program, arguments, environment, folder, bounds }
    }
}

/// The path from the root: a slot's process starts in a folder of its own.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The checked configuration of the program.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerConfig {
    /// What the agent needs.
    pub agent: AgentConfig,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written, in `tracing`'s notation, such as `info`.
    pub log_filter: String,
}

/// What the machine and the user's environment say where the configuration does not.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The agent's own executable; the evaluator lies beside it.
    pub executable: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub state_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// The number of processors, 0 if unknown.
    pub processors: u32,
    /// `CAMBRIAN_TOKEN`.
    pub token: Option<String>,
    /// `CUDA_VISIBLE_DEVICES`.
    pub visible_gpus: Option<VisibleGpus>,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let directory = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        Self {
            executable: std::env::current_exe().ok(),
            state_home: directory("XDG_STATE_HOME").map(PathBuf::from),
            home: directory("HOME").map(PathBuf::from),
            processors: u32::try_from(processors).unwrap_or(u32::MAX),
            token: std::env::var("CAMBRIAN_TOKEN").ok().filter(|token| !token.is_empty()),
            visible_gpus: std::env::var("CUDA_VISIBLE_DEVICES")
                .ok()
                .map(|list| VisibleGpus::of(&list)),
        }
    }
}

#[cfg(test)]
mod tests;
