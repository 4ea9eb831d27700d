//! The program `cambrian-worker`: flags, log, signals. Must not know messages, nor how an
//! evaluation runs: everything else is in the library.
//!
//! Exit codes: 0 after a drain, 1 if the worker cannot work, 2 if its configuration is faulty.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use cambrian_worker::Agent;
use cambrian_worker::config::{
    LogFormat, MAX_CONFIG_BYTES, RawConfig, RawEvaluator, RawLog, RawTls, Surroundings,
    WorkerConfig, resolve,
};
use clap::Parser;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

const WRONG_CONFIGURATION: u8 = 2;
/// How long the end of the process waits for a thread that waits for a disk.
const DISK_PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits for whoever reads the log.
const READER_PATIENCE: Duration = Duration::from_secs(2);
/// Lines of the log that wait for their reader; further ones are lost. Few, as each may be some KiB long.
const WAITING_LINES: usize = 8_192;

/// Evaluates candidates for a Cambrian coordinator: one evaluator process per slot.
///
/// SIGTERM or SIGINT finishes what runs (for at most --drain-seconds), reports it and ends with
/// exit code 0; a second signal hands everything back at once. Exit code 1: the worker cannot work;
/// 2: its configuration is faulty.
#[derive(Debug, Parser)]
#[command(name = "cambrian-worker", version)]
struct Flags {
    /// Configuration file (YAML); flags win over it.
    #[arg(long, value_name = "FILE", env = "CAMBRIAN_WORKER_CONFIG")]
    config: Option<PathBuf>,
    /// Address of a coordinator, http://HOST:PORT or https://HOST:PORT; may be repeated.
    #[arg(long, value_name = "URL", env = "CAMBRIAN_COORDINATORS", value_delimiter = ',')]
    coordinator: Vec<String>,
    /// The authorities of coordinators' certificates (PEM); https needs it.
    #[arg(long, value_name = "FILE", env = "CAMBRIAN_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// This worker's own certificate (PEM), where coordinators demand one.
    #[arg(long, value_name = "FILE", env = "CAMBRIAN_TLS_CERTIFICATE")]
    tls_certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", env = "CAMBRIAN_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// The name that coordinators' certificates are for, where the address has another.
    #[arg(long, value_name = "NAME", env = "CAMBRIAN_TLS_SERVER_NAME")]
    tls_server_name: Option<String>,
    /// A file with this worker's token; the variable CAMBRIAN_TOKEN may hold the token itself.
    #[arg(long, value_name = "FILE", env = "CAMBRIAN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Send the token in clear to another machine.
    #[arg(long)]
    insecure: bool,
    /// The worker's name; without it one is made up and kept.
    #[arg(long, env = "CAMBRIAN_WORKER_NAME")]
    name: Option<String>,
    /// Where name and unsent reports are kept; one directory per worker process.
    #[arg(long, value_name = "DIR", env = "CAMBRIAN_WORKER_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// How many evaluations run at once [default: as many as devices].
    #[arg(long, value_name = "N", env = "CAMBRIAN_WORKER_SLOTS")]
    slots: Option<u32>,
    /// Threads of each evaluation.
    #[arg(long, value_name = "N", env = "CAMBRIAN_WORKER_THREADS")]
    threads: Option<u32>,
    /// Device of a slot, `cpu` or `cuda:N`; may be repeated, slots take them in turn.
    #[arg(long, value_name = "DEVICE", env = "CAMBRIAN_WORKER_DEVICES", value_delimiter = ',')]
    device: Vec<String>,
    /// How many workers of this machine, this one included, have its device; each offers its share of the memory.
    #[arg(long, value_name = "N", hide = true, default_value_t = 1)]
    workers_on_device: u32,
    /// Label for placement, KEY=VALUE; may be repeated.
    #[arg(
        long,
        value_name = "KEY=VALUE",
        env = "CAMBRIAN_WORKER_LABELS",
        value_delimiter = ',',
        value_parser = label
    )]
    label: Vec<(String, String)>,
    /// Directory of data sets.
    #[arg(long, value_name = "DIR", env = "CAMBRIAN_DATA")]
    data: Option<PathBuf>,
    /// Directory where the evaluators of this machine agree on who measures.
    #[arg(long, value_name = "DIR", env = "CAMBRIAN_GATE_DIR")]
    gate_dir: Option<PathBuf>,
    /// The evaluator's program.
    #[arg(long, value_name = "PROGRAM", env = "CAMBRIAN_EVALUATOR")]
    evaluator: Option<String>,
    /// Argument of the evaluator's program; may be repeated. One that names a file, or a folder by a path such as
    /// `./data`, becomes a path from the root, since the program starts in a folder of its own.
    #[arg(long, value_name = "ARGUMENT", requires = "evaluator", allow_hyphen_values = true)]
    evaluator_arg: Vec<String>,
    /// How much the state of trainings that a later stage continues may take up, MiB [default: 4096].
    #[arg(long, value_name = "MIB", env = "CAMBRIAN_WORKER_CACHE_MIB")]
    cache_mib: Option<u32>,
    /// How often the state of a running evaluation is stored, so that another worker can go on if this one is
    /// lost, seconds; 0 for never [default: 600].
    #[arg(long, value_name = "SECONDS", env = "CAMBRIAN_WORKER_CHECKPOINT_SECONDS")]
    checkpoint_seconds: Option<f64>,
    /// How long running evaluations may go on after the first signal, seconds.
    #[arg(long, value_name = "SECONDS", env = "CAMBRIAN_WORKER_DRAIN_SECONDS")]
    drain_seconds: Option<f64>,
    /// Drain when standard input ends, as if by a signal: for a parent that may be killed.
    #[arg(long)]
    until_stdin_ends: bool,
    /// How log lines look: `text` or `json`.
    #[arg(long, value_name = "FORMAT", env = "CAMBRIAN_LOG_FORMAT")]
    log_format: Option<String>,
    /// Which log lines are written, such as `info` or `cambrian_worker=debug,warn`.
    #[arg(long, value_name = "FILTER", env = "CAMBRIAN_LOG")]
    log_filter: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

impl Flags {
    fn into_raw(self) -> RawConfig {
        let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let arguments = self.evaluator_arg;
        let command = self.evaluator.map(|program| {
            let mut words = vec![program];
            words.extend(arguments);
            words
        });
        RawConfig {
            coordinators: given(self.coordinator),
            tls: Some(RawTls {
                ca: self.tls_ca,
                certificate: self.tls_certificate,
                key: self.tls_key,
                server_name: self.tls_server_name,
            }),
            token_file: self.token_file,
            insecure: self.insecure.then_some(true),
            name: self.name,
            state_dir: self.state_dir,
            evaluator: Some(RawEvaluator { command, ..RawEvaluator::default() }),
            slots: self.slots,
            threads: self.threads,
            devices: given(self.device),
            labels: Some(self.label.into_iter().collect::<BTreeMap<_, _>>()),
            data: self.data,
            gate_dir: self.gate_dir,
            cache_mib: self.cache_mib,
            checkpoint_seconds: self.checkpoint_seconds,
            drain_seconds: self.drain_seconds,
            log: Some(RawLog { format: self.log_format, filter: self.log_filter }),
        }
    }
}

fn main() -> ExitCode {
    let closed = close_to_others();
    let flags = Flags::parse();
    let until_stdin_ends = flags.until_stdin_ends;
    let config = match configuration(flags) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("cambrian-worker: {error:#}");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let log = Log::start(&config);
    if let Err(error) = closed {
        tracing::warn!(
            "evaluators can read this process's environment, and a token in it: {error}"
        );
    }
    let code = match run(config, until_stdin_ends) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    };
    log.end();
    code
}

/// Closes this process's memory and environment, which may hold a token, to the other processes of its user:
/// evaluators are among them, and find their parent's under `/proc`. Programs that it starts are as open as any.
fn close_to_others() -> std::io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

fn configuration(flags: Flags) -> anyhow::Result<WorkerConfig> {
    let file = match &flags.config {
        Some(path) => {
            let place = || format!("in {}", path.display());
            let folder = path.parent().unwrap_or(Path::new(""));
            RawConfig::parse(&read(path).with_context(place)?)
                .with_context(place)?
                .seen_from(folder)
        }
        None => RawConfig::default(),
    };
    let workers_on_device = flags.workers_on_device;
    let raw = file.overridden_by(flags.into_raw().seen_from(Path::new("")));
    let mut config = resolve(raw, &Surroundings::of_process())?;
    config.agent.workers_on_device = workers_on_device;
    Ok(config)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).context("cannot open the configuration")?;
    // One byte more than allowed, so that a longer file is seen to be longer.
    file.take(MAX_CONFIG_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .context("cannot read the configuration")?;
    Ok(text)
}

/// The log, which a thread of its own writes: a reader of standard error that stops reading (a terminal after
/// Ctrl-S, a pipe, a stalled connection) must not stop heartbeats.
struct Log {
    writer: WorkerGuard,
    lost: ErrorCounter,
}

impl Log {
    fn start(config: &WorkerConfig) -> Self {
        let filter = EnvFilter::new(&config.log_filter);
        let (lines, writer) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("log")
            .finish(std::io::stderr());
        let lost = lines.error_counter();
        // Standard error may be closed or on a full disk, which must not end the worker.
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(lines)
            .log_internal_errors(false);
        match config.log_format {
            LogFormat::Text => {
                log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init()
            }
            LogFormat::Json => log.json().init(),
        }
        Self { writer, lost }
    }

    /// Writes what waits, if somebody reads it.
    fn end(self) {
        let lines = self.lost.dropped_lines();
        if lines > 0 {
            tracing::warn!("{lines} lines of this log were lost, since nobody read it for a while");
        }
        let (ended, end) = mpsc::channel();
        // The writer's end itself may wait for ever: it says on standard error that nobody reads that.
        thread::spawn(move || {
            drop(self.writer);
            let _ = ended.send(());
        });
        let _ = end.recv_timeout(READER_PATIENCE);
    }
}

fn run(config: WorkerConfig, until_stdin_ends: bool) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of this worker")?;
    let worked = runtime.block_on(work(config, until_stdin_ends));
    // A thread that a disk holds would hold the process as well.
    runtime.shutdown_timeout(DISK_PATIENCE);
    worked
}

async fn work(config: WorkerConfig, until_stdin_ends: bool) -> anyhow::Result<()> {
    let (count, signals) = watch::channel(0_u32);
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let stdin_ends = stdin_end(until_stdin_ends);
    tokio::spawn(async move {
        let mut stdin_ends = std::pin::pin!(stdin_ends);
        let mut ended = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = &mut stdin_ends, if !ended => ended = true,
            }
            count.send_modify(|count| *count += 1);
        }
    });
    let agent = Agent::new(config.agent);
    Ok(agent.run_until(reached(signals.clone(), 1), reached(signals, 2)).await?)
}

async fn reached(mut signals: watch::Receiver<u32>, wanted: u32) {
    if signals.wait_for(|count| *count >= wanted).await.is_err() {
        // No signal can come any more.
        std::future::pending::<()>().await;
    }
}

/// Ready when standard input ends, if that is asked for.
async fn stdin_end(asked: bool) {
    if !asked {
        std::future::pending::<()>().await;
    }
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread of its own: the runtime would wait at its end for a read that it had started.
    thread::spawn(move || {
        let mut buffer = [0; 1_024];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut buffer), Ok(1..)) {}
        // The receiver is gone only if the worker ends already.
        let _ = ended.send(());
    });
    if end.await.is_err() {
        std::future::pending::<()>().await;
    }
}
