//! A coordinator in a process of its own, so that what it uses can be told from what the load
//! generator uses; and a look at both through `/proc`.
//!
//! Must not know what is measured with it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::error::CliError;
use crate::foreign::legible;

/// A journal of millions of events is replayed before the coordinator listens.
const START: Duration = Duration::from_secs(600);
/// What it says about its readiness, and what goes wrong.
const LOG: &str = "warn,cambrian_coordinator::server=info,cambrian_coordinator::cluster=info";
const STOP: Duration = Duration::from_secs(60);
/// Connections beside those of workers.
const SPARE_CONNECTIONS: u32 = 64;

/// Of the loopback interface, whichever is free.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// What a coordinator that is started is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It serves.
    Serving,
    /// Another one leads, and it has followed that one's journal to the end.
    Following,
}

impl Until {
    /// The message of its log that says so.
    fn message(self) -> &'static str {
        match self {
            Self::Serving => "listening",
            Self::Following => "followed the journal to its end",
        }
    }
}

/// How a coordinator is started.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) program: PathBuf,
    /// What its `--database` is given.
    pub(super) store: String,
    /// A folder for its settings.
    pub(super) folder: PathBuf,
    pub(super) workers: u32,
    pub(super) lease: Duration,
}

/// A running coordinator; killed when dropped.
pub(super) struct Coordinator {
    child: Child,
    pub(super) address: SocketAddr,
    pub(super) process: Process,
    /// From starting the program to its readiness.
    pub(super) started_in: Duration,
}

fn failed(what: &str, reason: &str) -> CliError {
    CliError::Coordinator(format!("{what}: {reason}"))
}

impl Coordinator {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// With what it said, if it does not.
    pub(super) async fn start(
        plan: &Plan,
        listen: SocketAddr,
        until: Until,
    ) -> Result<Self, CliError> {
        let settings = plan.folder.join("coordinator.yaml");
        let connections = plan.workers + SPARE_CONNECTIONS;
        let text = format!("limits: {{connections: {connections}}}\n");
        std::fs::write(&settings, text).map_err(CliError::io("write", &settings))?;
        let began = Instant::now();
        let mut child = Command::new(&plan.program)
            .arg("--config")
            .arg(&settings)
            .args(["--listen", &listen.to_string(), "--database", &plan.store])
            .args(["--lease-seconds", &plan.lease.as_secs_f64().to_string()])
            .args(["--log-format", "json", "--log", LOG])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(CliError::io("start", &plan.program))?;
        let stderr = child.stderr.take().ok_or_else(|| failed("the coordinator", "has no log"))?;
        let mut lines = BufReader::new(stderr).lines();
        let address = timeout(START, ready(&mut lines, until)).await;
        let address = address.map_err(|_| failed("the coordinator", "is not ready in time"))??;
        let started_in = began.elapsed();
        tokio::spawn(pass_on(lines));
        let process = Process(child.id().unwrap_or_default());
        Ok(Self { child, address, process, started_in })
    }

    /// Where it is reached.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it without warning and waits for that.
    ///
    /// # Errors
    /// If it has ended by itself.
    pub(super) async fn kill(mut self) -> Result<(), CliError> {
        let killed = self.child.kill().await;
        killed.map_err(|error| failed("the coordinator cannot be killed", &error.to_string()))
    }

    /// Ends it in order and waits for that.
    ///
    /// # Errors
    /// If it ends with a failure or not at all.
    pub(super) async fn stop(mut self) -> Result<(), CliError> {
        let pid = i32::try_from(self.process.0).ok().and_then(Pid::from_raw);
        let told = pid.map(|pid| kill_process(pid, Signal::TERM));
        if !matches!(told, Some(Ok(()))) {
            return Err(failed("the coordinator", "has ended by itself"));
        }
        match timeout(STOP, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed("the coordinator ended", &status.to_string())),
            Ok(Err(error)) => Err(failed("the coordinator", &error.to_string())),
            Err(_) => Err(failed("the coordinator", "does not stop")),
        }
    }
}

/// The address that its log names, once it says that it is ready; what it says last before its end is
/// the reason.
async fn ready(
    lines: &mut Lines<BufReader<ChildStderr>>,
    until: Until,
) -> Result<SocketAddr, CliError> {
    let mut said = String::new();
    let mut address = None;
    while let Ok(Some(line)) = lines.next_line().await {
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        let named = entry["address"].as_str().and_then(|address| address.parse().ok());
        address = named.or(address);
        if entry["message"] == until.message()
            && let Some(address) = address
        {
            return Ok(address);
        }
        said = line;
    }
    Err(failed("the coordinator does not start", &said))
}

/// Warnings are for whoever watches.
async fn pass_on(mut lines: Lines<BufReader<ChildStderr>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        if entry["level"] != "INFO" {
            eprintln!("coordinator: {}", legible(&line));
        }
    }
}

/// What a process uses, as `/proc` shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(u32);

impl Process {
    /// This one.
    pub(super) fn own() -> Self {
        Self(std::process::id())
    }

    fn read(self, name: &str) -> Option<String> {
        std::fs::read_to_string(Path::new("/proc").join(self.0.to_string()).join(name)).ok()
    }

    /// CPU time of all its threads so far; zero where the system does not say.
    pub(super) fn cpu(self) -> Duration {
        self.read("stat").and_then(|text| cpu_of(&text)).unwrap_or_default()
    }

    /// Resident memory, bytes; 0 where the system does not say.
    pub(super) fn resident(self) -> u64 {
        self.read("status").and_then(|text| resident_of(&text)).unwrap_or_default()
    }
}

/// User and system time of a `/proc/PID/stat`, which counts hundredths of a second.
fn cpu_of(stat: &str) -> Option<Duration> {
    // The name may hold anything, also brackets.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let hundredths = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(hundredths * 10))
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The load average over a minute.
pub(super) fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The processor's name and the number of its logical cores.
pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{}, {cores} logical cores", name.map_or("unknown processor", |(_, name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stat = "42 (a (odd) name) S 1 42 42 0 -1 4194560 900 0 0 0 250 31 0 0 20 0 8 0 77 1 2";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(2_810)));
        assert_eq!(cpu_of("42 nonsense"), None);
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmRSS:\t   1200 kB\nThreads:\t3\n";
        assert_eq!(resident_of(status), Some(1_228_800));
        assert_eq!(resident_of("Name:\tx\n"), None);
    }
}
