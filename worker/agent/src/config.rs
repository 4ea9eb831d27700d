//! The worker's configuration: the file as written, what the command line says, and the checked
//! result.
//!
//! `configs/worker.yaml` documents every key. Must not know what a setting does once it is valid.

mod device;
mod fault;
mod raw;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cambrian_proto::convert::capabilities::MAX_SLOTS;
use cambrian_proto::convert::{MAX_NAME_BYTES, MAX_TEXT_BYTES};
use cambrian_transport::client::{Credentials, TokenSource};

use crate::capabilities::SlotMemory;
use crate::queue::SlotIndex;
use crate::slot::confine::Bounds;
use crate::slot::process::Launch;
use crate::state_dir::{self, MAX_NAME};

pub use device::{Device, VisibleGpus};
pub use fault::{ConfigFault, ConfigFaults};
pub use raw::{RawConfig, RawEvaluator, RawLog, RawTls};

/// The longest configuration file that is read, bytes.
pub const MAX_CONFIG_BYTES: usize = 1 << 20;
/// The coordinator that a worker looks for unless told otherwise.
pub const DEFAULT_COORDINATOR: &str = "http://127.0.0.1:7878";
/// The evaluator's name where only its directory is known.
const EVALUATOR: &str = "cambrian-evaluator";
/// The longest time that can be set, seconds: a year.
const LONGEST_SECONDS: f64 = 365.0 * 86_400.0;
/// How much checkpoints may take up on this machine unless told otherwise, MiB.
const DEFAULT_CACHE_MIB: u32 = 4_096;
const MOST_THREADS: u32 = 4_096;
const MOST_OPEN_FILES: u32 = 1 << 20;

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

#[derive(Default)]
struct Check(Vec<ConfigFault>);

impl Check {
    fn fault(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.0.push(ConfigFault { place: place.into(), what: what.into() });
    }

    fn seconds(
        &mut self,
        place: &str,
        value: Option<f64>,
        default: Duration,
        least: f64,
    ) -> Duration {
        match value {
            None => default,
            Some(value) if (least..=LONGEST_SECONDS).contains(&value) => {
                Duration::from_secs_f64(value)
            }
            Some(value) => {
                self.fault(
                    place,
                    format!("{value} s is out of range; write {least} to {LONGEST_SECONDS} s"),
                );
                default
            }
        }
    }

    fn count(&mut self, place: &str, value: Option<u32>, default: u32, most: u32) -> u32 {
        match value {
            None => default,
            Some(value) if (1..=most).contains(&value) => value,
            Some(value) => {
                self.fault(place, format!("{value} is out of range; write 1 to {most}"));
                default
            }
        }
    }
}

/// Checks a configuration and fills in what it leaves open.
///
/// # Errors
/// Every fault at once.
pub fn resolve(raw: RawConfig, surroundings: &Surroundings) -> Result<WorkerConfig, ConfigFaults> {
    let mut check = Check::default();
    let devices = devices(&mut check, raw.devices, surroundings.visible_gpus.as_ref());
    let slots = slots(&mut check, raw.slots, devices.len());
    let share = (surroundings.processors / slots).clamp(1, MOST_THREADS);
    let evaluator = raw.evaluator.unwrap_or_default();
    let log = raw.log.unwrap_or_default();
    let defaults = Timing::default();
    let timing = Timing {
        hello: check.seconds(
            "evaluator.hello_seconds",
            evaluator.hello_seconds,
            defaults.hello,
            0.1,
        ),
        stop_grace: check.seconds(
            "evaluator.stop_grace_seconds",
            evaluator.stop_grace_seconds,
            defaults.stop_grace,
            0.0,
        ),
        drain: check.seconds("drain_seconds", raw.drain_seconds, defaults.drain, 0.0),
        saving: check.seconds("checkpoint_seconds", raw.checkpoint_seconds, defaults.saving, 0.0),
        ..defaults
    };
    let confinement = Confinement {
        environment: environment(&mut check, evaluator.environment.unwrap_or_default()),
        open_files: check.count(
            "evaluator.open_files",
            evaluator.open_files,
            Confinement::default().open_files,
            MOST_OPEN_FILES,
        ),
        memory_bytes: evaluator.memory_mib.map(|mib| {
            let mib = check.count("evaluator.memory_mib", Some(mib), 1, u32::MAX);
            u64::from(mib) << 20
        }),
    };
    let tls = raw.tls.unwrap_or_default();
    let credentials = Credentials {
        ca: tls.ca,
        certificate: tls.certificate,
        key: tls.key,
        server_name: tls.server_name,
        token: token(&mut check, raw.token_file, surroundings),
        insecure: raw.insecure.unwrap_or(false),
    };
    let agent = AgentConfig {
        coordinators: coordinators(&mut check, raw.coordinators, &credentials),
        credentials,
        name: name(&mut check, raw.name),
        state_dir: state_dir(&mut check, raw.state_dir, surroundings),
        evaluator: command(&mut check, evaluator.command, surroundings),
        confinement,
        slots,
        threads: check.count("threads", raw.threads, share, MOST_THREADS),
        devices,
        workers_on_device: 1,
        visible_gpus: surroundings.visible_gpus.clone(),
        labels: labels(&mut check, raw.labels.unwrap_or_default()),
        data: raw.data,
        gate_dir: raw.gate_dir,
        cache_bytes: u64::from(check.count(
            "cache_mib",
            raw.cache_mib,
            DEFAULT_CACHE_MIB,
            u32::MAX,
        )) << 20,
        timing,
    };
    let log_format = match log.format.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            check.fault("log.format", format!("`{other}` is no format; write `text` or `json`"));
            LogFormat::Text
        }
    };
    let log_filter = log.filter.unwrap_or_else(|| "info".to_owned());
    // The parser of filters panics at some characters of several bytes.
    if !log_filter.is_ascii() {
        check.fault("log.filter", format!("`{log_filter}` is no filter; write `info`"));
    } else if let Err(error) = log_filter.parse::<tracing_subscriber::EnvFilter>() {
        check.fault("log.filter", format!("`{log_filter}` is no filter ({error}); write `info`"));
    }
    if check.0.is_empty() {
        Ok(WorkerConfig { agent, log_format, log_filter })
    } else {
        Err(ConfigFaults(check.0))
    }
}

/// The token: a file that is named, or a value from the environment.
fn token(
    check: &mut Check,
    file: Option<PathBuf>,
    surroundings: &Surroundings,
) -> Option<TokenSource> {
    match (file, &surroundings.token) {
        (Some(file), _) => Some(TokenSource::File(file)),
        (None, Some(text)) => match text.trim().parse() {
            Ok(token) => Some(TokenSource::Given(token)),
            Err(error) => {
                check.fault("CAMBRIAN_TOKEN", error.to_string());
                None
            }
        },
        (None, None) => None,
    }
}

fn coordinators(
    check: &mut Check,
    given: Option<Vec<String>>,
    credentials: &Credentials,
) -> Vec<String> {
    let coordinators = given.unwrap_or_else(|| vec![DEFAULT_COORDINATOR.to_owned()]);
    if coordinators.is_empty() {
        check.fault("coordinators", "none is given; write at least one http://HOST:PORT");
    }
    for (index, address) in coordinators.iter().enumerate() {
        if let Err(reason) = credentials.check_address(address) {
            check.fault(format!("coordinators[{index}]"), format!("`{address}`: {reason}"));
        }
    }
    coordinators
}

fn name(check: &mut Check, given: Option<String>) -> Option<String> {
    if let Some(name) = &given
        && !state_dir::is_name(name)
    {
        let rule = format!("write 1 to {MAX_NAME} letters, digits, `-`, `_` or `.`");
        check.fault("name", format!("`{name}` cannot name a worker; {rule}"));
    }
    given
}

fn state_dir(check: &mut Check, given: Option<PathBuf>, surroundings: &Surroundings) -> PathBuf {
    let in_home = || surroundings.home.as_ref().map(|home| home.join(".local/state"));
    let default = || surroundings.state_home.clone().or_else(in_home);
    match given.or_else(|| default().map(|state| state.join("cambrian/worker"))) {
        Some(path) => path,
        None => {
            check.fault("state_dir", "no default, since HOME is not set; name a directory");
            PathBuf::new()
        }
    }
}

fn command(
    check: &mut Check,
    given: Option<Vec<String>>,
    surroundings: &Surroundings,
) -> EvaluatorCommand {
    let beside = || {
        let directory = surroundings.executable.as_ref()?.parent()?;
        Some(directory.join(EVALUATOR))
    };
    let Some(words) = given else {
        let program = beside().unwrap_or_else(|| PathBuf::from(EVALUATOR));
        return EvaluatorCommand { program, arguments: Vec::new() };
    };
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    if program.is_empty() {
        check.fault("evaluator.command", "is empty; write the program and its arguments as a list");
    }
    EvaluatorCommand { program: PathBuf::from(program), arguments: words.collect() }
}

fn environment(check: &mut Check, given: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (name, value) in &given {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let rule = "a variable has a name without `=`, and no zero bytes";
            check.fault(format!("evaluator.environment.{name}"), rule);
        }
    }
    given
}

/// One for each device unless told otherwise; a device without a slot would stand idle without a word.
fn slots(check: &mut Check, given: Option<u32>, devices: usize) -> u32 {
    let each = u32::try_from(devices).unwrap_or(u32::MAX).max(1);
    let slots = check.count("slots", given, each.min(MAX_SLOTS), MAX_SLOTS);
    if slots < each && given.is_none_or(|given| given == slots) {
        let what = format!(
            "{slots} slot(s) for {each} devices leave some of them idle; write `slots: {each}` or more, or \
             fewer devices"
        );
        check.fault("slots", what);
    }
    slots
}

fn devices(
    check: &mut Check,
    given: Option<Vec<String>>,
    visible: Option<&VisibleGpus>,
) -> Vec<Device> {
    let Some(texts) = given else { return vec![Device::Cpu] };
    if texts.is_empty() {
        check.fault("devices", "is empty; write `[cpu]` or `[cuda:0, cuda:1]`");
    }
    let mut devices = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let left = |device| visible.map_or(Ok(()), |gpus| gpus.check(device)).map(|()| device);
        match text.parse().and_then(left) {
            Ok(device) => devices.push(device),
            Err(what) => check.fault(format!("devices[{index}]"), what),
        }
    }
    devices
}

fn labels(check: &mut Check, given: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (key, value) in &given {
        let named = (1..=MAX_NAME_BYTES).contains(&key.len()) && !key.chars().any(char::is_control);
        if !named || value.len() > MAX_TEXT_BYTES {
            let rule = format!("a label is `key=value` with a key of 1 to {MAX_NAME_BYTES} bytes");
            check.fault(format!("labels.{key}"), rule);
        }
    }
    given
}

#[cfg(test)]
mod tests;
