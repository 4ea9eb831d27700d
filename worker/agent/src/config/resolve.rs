//! From the configuration as written to the checked one: every setting within its bounds, what is left open
//! filled in, every fault collected.
//!
//! Reads no file. Must not know what a setting does once it is valid.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use cambrian_proto::convert::capabilities::MAX_SLOTS;
use cambrian_proto::convert::{MAX_NAME_BYTES, MAX_TEXT_BYTES};
use cambrian_transport::client::{Credentials, TokenSource};

use super::{
    AgentConfig, ConfigFault, ConfigFaults, Confinement, DEFAULT_CACHE_MIB, DEFAULT_COORDINATOR,
    Device, EvaluatorCommand, LogFormat, RawConfig, RawEvaluator, Surroundings, Timing,
    VisibleGpus, WorkerConfig,
};
use crate::state_dir::{self, MAX_NAME};

/// The evaluator's name where only its directory is known.
const EVALUATOR: &str = "cambrian-evaluator";
/// The longest time that can be set, seconds: a year.
const LONGEST_SECONDS: f64 = 365.0 * 86_400.0;
const MOST_THREADS: u32 = 4_096;
const MOST_OPEN_FILES: u32 = 1 << 20;

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
    let timing = timing(&mut check, &evaluator, raw.drain_seconds, raw.checkpoint_seconds);
    let confinement = confinement(&mut check, &evaluator);
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
    let log_format = log_format(&mut check, log.format.as_deref());
    let log_filter = log_filter(&mut check, log.filter);
    if check.0.is_empty() {
        Ok(WorkerConfig { agent, log_format, log_filter })
    } else {
        Err(ConfigFaults(check.0))
    }
}

fn timing(
    check: &mut Check,
    evaluator: &RawEvaluator,
    drain_seconds: Option<f64>,
    checkpoint_seconds: Option<f64>,
) -> Timing {
    let defaults = Timing::default();
    Timing {
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
        drain: check.seconds("drain_seconds", drain_seconds, defaults.drain, 0.0),
        saving: check.seconds("checkpoint_seconds", checkpoint_seconds, defaults.saving, 0.0),
        ..defaults
    }
}

fn confinement(check: &mut Check, evaluator: &RawEvaluator) -> Confinement {
    Confinement {
        environment: environment(check, evaluator.environment.clone().unwrap_or_default()),
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

fn log_format(check: &mut Check, given: Option<&str>) -> LogFormat {
    match given {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            check.fault("log.format", format!("`{other}` is no format; write `text` or `json`"));
            LogFormat::Text
        }
    }
}

fn log_filter(check: &mut Check, given: Option<String>) -> String {
    let filter = given.unwrap_or_else(|| "info".to_owned());
    // The parser of filters panics at some characters of several bytes.
    if !filter.is_ascii() {
        check.fault("log.filter", format!("`{filter}` is no filter; write `info`"));
    } else if let Err(error) = filter.parse::<tracing_subscriber::EnvFilter>() {
        check.fault("log.filter", format!("`{filter}` is no filter ({error}); write `info`"));
    }
    filter
}
