//! The configuration exactly as written; every key is optional. Must not know defaults, nor which
//! values make sense.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cambrian_core::spec::{Fault, Section};
use serde::Deserialize;

use super::{ConfigFault, ConfigFaults, MAX_CONFIG_BYTES};

/// A configuration file, or what the command line says, before any check.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// Addresses of coordinators.
    pub coordinators: Option<Vec<String>>,
    /// The files of encryption.
    pub tls: Option<RawTls>,
    /// The file with the worker's token.
    pub token_file: Option<PathBuf>,
    /// Whether the token may travel in clear.
    pub insecure: Option<bool>,
    /// The worker's name.
    pub name: Option<String>,
    /// Where the worker keeps its state.
    pub state_dir: Option<PathBuf>,
    /// The evaluator.
    pub evaluator: Option<RawEvaluator>,
    /// How many evaluations run at once.
    pub slots: Option<u32>,
    /// Threads of each evaluation.
    pub threads: Option<u32>,
    /// Devices, one slot after the other.
    pub devices: Option<Vec<String>>,
    /// Labels for placement.
    pub labels: Option<BTreeMap<String, String>>,
    /// Where data sets are.
    pub data: Option<PathBuf>,
    /// Where evaluators of one machine agree on who measures.
    pub gate_dir: Option<PathBuf>,
    /// How much the checkpoints that are kept here may take up, MiB.
    pub cache_mib: Option<u32>,
    /// How long after the last time the state of an evaluation is stored, seconds.
    pub checkpoint_seconds: Option<f64>,
    /// How long running evaluations may go on after the first signal, seconds.
    pub drain_seconds: Option<f64>,
    /// The log.
    pub log: Option<RawLog>,
}

/// The section `evaluator`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEvaluator {
    /// The program and its arguments.
    pub command: Option<Vec<String>>,
    /// Variables of its process.
    pub environment: Option<BTreeMap<String, String>>,
    /// Files that it may have open.
    pub open_files: Option<u32>,
    /// Memory of its own that it may have, MiB.
    pub memory_mib: Option<u32>,
    /// How long it may take to say hello, seconds.
    pub hello_seconds: Option<f64>,
    /// How long it may take to stop when asked, seconds.
    pub stop_grace_seconds: Option<f64>,
}

/// The section `tls`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTls {
    /// The authorities of coordinators' certificates.
    pub ca: Option<PathBuf>,
    /// The worker's own certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name that coordinators' certificates are for.
    pub server_name: Option<String>,
}

/// The section `log`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLog {
    /// `text` or `json`.
    pub format: Option<String>,
    /// Which lines are written.
    pub filter: Option<String>,
}

impl RawConfig {
    /// Reads a configuration file's text; an empty one leaves everything open.
    ///
    /// # Errors
    /// Every key and every type that is wrong, each with its line; a single fault for what is no YAML.
    pub fn parse(text: &str) -> Result<Self, ConfigFaults> {
        if text.len() > MAX_CONFIG_BYTES {
            let what = format!("{} bytes, at most {MAX_CONFIG_BYTES} are read", text.len());
            return Err(of_file(what));
        }
        let parsed: Result<Option<Self>, _> = serde_yaml::from_str(text);
        match parsed {
            Ok(parsed) => Ok(parsed.unwrap_or_default()),
            Err(error) => match placed_faults(text) {
                faults if faults.is_empty() => Err(of_file(error.to_string())),
                faults => Err(ConfigFaults(faults)),
            },
        }
    }

    /// This configuration as it is written in `folder`: of the evaluator's command, what names a file there, or a
    /// folder by a path such as `./data`, becomes a path from the root, since the process starts in a folder of its
    /// own. A plain name of a folder is left alone: it may be a data set's, or a module's.
    #[must_use]
    pub fn seen_from(mut self, folder: &Path) -> Self {
        let command = self.evaluator.as_mut().and_then(|evaluator| evaluator.command.as_mut());
        for (index, word) in command.into_iter().flatten().enumerate() {
            let path = folder.join(&*word);
            let named = match index {
                // A program's name alone is looked up in `PATH`.
                0 => Path::new(word).components().count() > 1 && path.exists(),
                _ if word.starts_with('-') || word.is_empty() => false,
                _ if is_path(word) => path.exists(),
                _ => path.is_file(),
            };
            let whole = std::path::absolute(path).ok().filter(|_| named);
            if let Some(whole) = whole.and_then(|path| path.into_os_string().into_string().ok()) {
                *word = whole;
            }
        }
        self
    }

    /// This configuration with what `stronger` sets put over it; labels are merged.
    #[must_use]
    pub fn overridden_by(self, stronger: Self) -> Self {
        let mut labels = self.labels.unwrap_or_default();
        labels.extend(stronger.labels.unwrap_or_default());
        let (evaluator, log) = (self.evaluator.unwrap_or_default(), self.log.unwrap_or_default());
        let (tls, tls_over) = (self.tls.unwrap_or_default(), stronger.tls.unwrap_or_default());
        let (evaluator_over, log_over) =
            (stronger.evaluator.unwrap_or_default(), stronger.log.unwrap_or_default());
        Self {
            coordinators: stronger.coordinators.or(self.coordinators),
            tls: Some(RawTls {
                ca: tls_over.ca.or(tls.ca),
                certificate: tls_over.certificate.or(tls.certificate),
                key: tls_over.key.or(tls.key),
                server_name: tls_over.server_name.or(tls.server_name),
            }),
            token_file: stronger.token_file.or(self.token_file),
            insecure: stronger.insecure.or(self.insecure),
            name: stronger.name.or(self.name),
            state_dir: stronger.state_dir.or(self.state_dir),
            evaluator: Some(RawEvaluator {
                command: evaluator_over.command.or(evaluator.command),
                environment: evaluator_over.environment.or(evaluator.environment),
                open_files: evaluator_over.open_files.or(evaluator.open_files),
                memory_mib: evaluator_over.memory_mib.or(evaluator.memory_mib),
                hello_seconds: evaluator_over.hello_seconds.or(evaluator.hello_seconds),
                stop_grace_seconds: evaluator_over
                    .stop_grace_seconds
                    .or(evaluator.stop_grace_seconds),
            }),
            slots: stronger.slots.or(self.slots),
            threads: stronger.threads.or(self.threads),
            devices: stronger.devices.or(self.devices),
            labels: Some(labels),
            data: stronger.data.or(self.data),
            gate_dir: stronger.gate_dir.or(self.gate_dir),
            cache_mib: stronger.cache_mib.or(self.cache_mib),
            checkpoint_seconds: stronger.checkpoint_seconds.or(self.checkpoint_seconds),
            drain_seconds: stronger.drain_seconds.or(self.drain_seconds),
            log: Some(RawLog {
                format: log_over.format.or(log.format),
                filter: log_over.filter.or(log.filter),
            }),
        }
    }
}

/// Whether a word can be nothing but a path.
fn is_path(word: &str) -> bool {
    word.contains('/') || matches!(word, "." | "..")
}

/// The one fault of a file as a whole.
fn of_file(what: String) -> ConfigFaults {
    ConfigFaults(vec![ConfigFault { place: "file".to_owned(), what }])
}

/// What is wrong with a text that does not parse, each in its place.
fn placed_faults(text: &str) -> Vec<ConfigFault> {
    let section = match Section::of_settings(text) {
        Ok(section) => section,
        Err(faults) => return faults.iter().map(placed).collect(),
    };
    // Only the faults are wanted.
    let _: RawConfig = section.read();
    let faults = section.finish().err();
    faults.iter().flatten().filter(|fault| !is_text_all_the_same(fault)).map(placed).collect()
}

/// A number or a truth value where a text belongs is read as it is written, such as a label `rack: 3`.
fn is_text_all_the_same(fault: &Fault) -> bool {
    let read_as_text = ["expected a text, found `", "expected path string, found `"];
    read_as_text.iter().any(|start| fault.message.starts_with(start))
}

fn placed(fault: &Fault) -> ConfigFault {
    let Fault { path, line, column, message, help } = fault;
    let place = match path.is_empty() {
        true => format!("line {line}, column {column}"),
        false => format!("{path} (line {line}, column {column})"),
    };
    let help = help.iter().map(|help| format!("; {help}"));
    ConfigFault { place, what: std::iter::once(message.clone()).chain(help).collect() }
}
