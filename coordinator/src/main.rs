//! The `cambrian-coordinator` command: settings, logs, signals.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use cambrian_coordinator::config::{Config, Log, LogFormat};
use cambrian_coordinator::server;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Owns the campaigns of an architecture search: breeds candidates, leases their evaluations to
/// workers, and keeps every result exactly once.
///
/// Ends on SIGTERM and SIGINT after storing what has arrived; a kill loses nothing either.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A YAML file of settings; configs/coordinator.yaml explains every one.
    #[arg(long, env = "CAMBRIAN_COORDINATOR_CONFIG")]
    config: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:7878]; port 0 takes any free one.
    #[arg(long, env = "CAMBRIAN_COORDINATOR_LISTEN")]
    listen: Option<SocketAddr>,
    /// The file of the store [default: cambrian.db].
    #[arg(long, env = "CAMBRIAN_COORDINATOR_DATABASE")]
    database: Option<PathBuf>,
    /// How long a lease lasts without a sign of life of its worker, seconds [default: 30].
    #[arg(long, env = "CAMBRIAN_COORDINATOR_LEASE_SECONDS")]
    lease_seconds: Option<f64>,
    /// Serve an address that other machines can reach without encryption or passwords.
    #[arg(long)]
    insecure: bool,
    /// The form of log lines on standard error [default: text].
    #[arg(long, env = "CAMBRIAN_COORDINATOR_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged, such as `info` or `info,cambrian_coordinator=debug` [default: info].
    #[arg(long, env = "CAMBRIAN_COORDINATOR_LOG")]
    log: Option<String>,
}

impl Arguments {
    fn config(self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        config.listen = self.listen.unwrap_or(config.listen);
        config.database = self.database.unwrap_or(config.database);
        config.lease_seconds = self.lease_seconds.unwrap_or(config.lease_seconds);
        config.insecure |= self.insecure;
        config.log.format = self.log_format.unwrap_or(config.log.format);
        config.log.filter = self.log.unwrap_or(config.log.filter);
        config.check()?;
        Ok(config)
    }
}

fn start_logging(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("`{}` is no filter of log lines", log.filter))?;
    // A closed standard error must not end the coordinator.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Arguments::parse().config()?;
    start_logging(&config.log)?;
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let listener = server::bind(config.listen).await?;
    server::serve(&config, listener, shutdown).await?;
    tracing::info!("stopped");
    Ok(())
}
