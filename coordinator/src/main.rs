//! The `cambrian-coordinator` command: settings, logs, signals.
//!
//! Exit codes: 0 after a signal, 1 if it cannot serve, 2 if its settings are faulty.
//!
//! Must not know how a coordinator serves: the library does.

mod start_error;
mod token_command;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cambrian_coordinator::config::{
    Config, ConfigError, ConfigFaults, Log, LogFormat, Tls, Written,
};
use cambrian_coordinator::server;
use cambrian_coordinator::store::place::Place;
use clap::{Parser, Subcommand};
use start_error::StartError;
use tokio::signal::unix::{SignalKind, signal};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// How long the end of the process waits for whoever reads the log.
const READER_PATIENCE: Duration = Duration::from_secs(2);
/// Lines of the log that wait for their reader; further ones are lost. Few, as each may be some KiB long.
const WAITING_LINES: usize = 8_192;

/// Owns the campaigns of an architecture search: breeds candidates, leases their evaluations to
/// workers, and keeps every result exactly once.
///
/// Ends on SIGTERM and SIGINT after storing what has arrived; a kill loses nothing either. Exit code 1:
/// it cannot serve; 2: its settings are faulty.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// What to do instead of serving.
    #[command(subcommand)]
    command: Option<Command>,
    /// A YAML file of settings; configs/coordinator.yaml explains every one.
    #[arg(long, global = true, env = "CAMBRIAN_COORDINATOR_CONFIG")]
    config: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:7878]; port 0 takes any free one.
    #[arg(long, env = "CAMBRIAN_COORDINATOR_LISTEN")]
    listen: Option<SocketAddr>,
    /// The store: a file, or postgresql://USER@HOST/DATABASE [default: cambrian.db].
    #[arg(long, global = true, value_name = "FILE|URL", env = "CAMBRIAN_COORDINATOR_DATABASE")]
    database: Option<Place>,
    /// How long a lease lasts without a sign of life of its worker, seconds [default: 30].
    #[arg(long, env = "CAMBRIAN_COORDINATOR_LEASE_SECONDS")]
    lease_seconds: Option<f64>,
    /// Where workers and users reach this coordinator, told to them by others that share its
    /// database [default: the address to listen on].
    #[arg(long, value_name = "URL", env = "CAMBRIAN_COORDINATOR_ENDPOINT")]
    endpoint: Option<String>,
    /// The coordinator's certificate (PEM), with those that lead to its authority; serves TLS.
    #[arg(long, value_name = "FILE", env = "CAMBRIAN_COORDINATOR_TLS_CERTIFICATE")]
    tls_certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", env = "CAMBRIAN_COORDINATOR_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// The authorities of clients' certificates (PEM); clients need one then.
    #[arg(long, value_name = "FILE", env = "CAMBRIAN_COORDINATOR_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,
    /// Demand a token with every call; `cambrian-coordinator token create` makes the first.
    #[arg(long)]
    tokens: bool,
    /// Serve an address that other machines can reach without encryption or tokens.
    #[arg(long)]
    insecure: bool,
    /// The form of log lines on standard error [default: text].
    #[arg(long, env = "CAMBRIAN_COORDINATOR_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged, such as `info` or `info,cambrian_coordinator=debug` [default: info].
    #[arg(long, env = "CAMBRIAN_COORDINATOR_LOG")]
    log: Option<String>,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
enum Command {
    /// Create, list and revoke tokens in the store itself, also while a coordinator serves it. The
    /// first administrator's token is made here; `cambrian token` makes the others from afar.
    #[command(subcommand)]
    Token(token_command::TokenCommand),
}

impl Arguments {
    /// The file that is named.
    fn written(&self) -> Result<Option<Written>, ConfigFaults> {
        self.config.as_deref().map(Written::read).transpose()
    }

    /// What the command line says over what the file does.
    fn over(&self, mut config: Config) -> Result<Config, ConfigFaults> {
        config.listen = self.listen.unwrap_or(config.listen);
        if let Some(database) = &self.database {
            config.database.clone_from(database);
        }
        config.lease_seconds = self.lease_seconds.unwrap_or(config.lease_seconds);
        config.leadership.endpoint = self.endpoint.clone().or(config.leadership.endpoint);
        config.insecure |= self.insecure;
        config.log.format = self.log_format.unwrap_or(config.log.format);
        if let Some(filter) = &self.log {
            config.log.filter.clone_from(filter);
        }
        config.tokens |= self.tokens;
        config.tls = self.tls(config.tls)?;
        Ok(config)
    }

    /// The files of the command line over those of the file.
    fn tls(&self, given: Option<Tls>) -> Result<Option<Tls>, ConfigError> {
        let (certificate, key, client_ca) = given.map_or((None, None, None), |tls| {
            (Some(tls.certificate), Some(tls.key), tls.client_ca)
        });
        let certificate = self.tls_certificate.clone().or(certificate);
        let key = self.tls_key.clone().or(key);
        let client_ca = self.tls_client_ca.clone().or(client_ca);
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Tls { certificate, key, client_ca })),
            (None, None) if client_ca.is_none() => Ok(None),
            _ => Err(ConfigError::Together {
                key: "tls",
                problem: "needs `certificate` and `key`, which belong together; set both",
            }),
        }
    }
}

/// The log, which a thread of its own writes: a reader of standard error that stops reading (a terminal after
/// Ctrl-S, a pipe) must not stop the coordinator.
struct LogWriter {
    _thread: WorkerGuard,
}

impl LogWriter {
    fn start(log: &Log) -> Result<Self, StartError> {
        if !log.filter.is_ascii() {
            return Err(StartError::FilterText(log.filter.clone()));
        }
        let filter = EnvFilter::try_new(&log.filter)
            .map_err(|source| StartError::Filter { filter: log.filter.clone(), source })?;
        let (writer, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("log")
            .finish(std::io::stderr());
        // A closed standard error must not end the coordinator.
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(writer)
            .log_internal_errors(false);
        match log.format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().flatten_event(true).init(),
        }
        Ok(Self { _thread: guard })
    }
}

/// Does what writes to standard error, if somebody reads it: else it would never end.
fn while_read(work: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        work();
        let _ = ended.send(());
    });
    let _ = end.recv_timeout(READER_PATIENCE);
}

/// Serves, or does what is asked for instead; `log` is there from the first line on.
async fn run(arguments: &Arguments, log: &mut Option<LogWriter>) -> Result<(), StartError> {
    let written = arguments.written()?;
    let given = written.as_ref().map_or_else(Config::default, |written| written.config().clone());
    let config = arguments.over(given)?;
    if let Some(Command::Token(command)) = &arguments.command {
        written.map(Written::sound).transpose()?;
        return Ok(token_command::run(&config.database, command)?);
    }
    match written {
        Some(written) => written.check(&config)?,
        None => config.check()?,
    }
    *log = Some(LogWriter::start(&config.log)?);
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let failed =
        |source| StartError::Serve { place: config.database.clone(), source: Box::new(source) };
    let listener = server::bind(config.listen).await.map_err(failed)?;
    server::serve(&config, listener, shutdown).await.map_err(failed)?;
    tracing::info!("stopped");
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut log = None;
    let ended = run(&Arguments::parse(), &mut log).await;
    // What waits is written before the reason for the end.
    while_read(move || drop(log));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let exit = error.exit();
            while_read(move || eprintln!("cambrian-coordinator: {error}"));
            exit
        }
    }
}
