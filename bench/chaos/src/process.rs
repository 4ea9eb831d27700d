//! One process of the cluster: started, killed, stopped in its tracks, kept from writing.
//!
//! Must not know what the process does.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

/// How to start it.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// What messages call it, and its log `NAME.log`.
    pub(crate) name: String,
    /// The executable.
    pub(crate) path: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
}

/// A program that runs, or has ended.
#[derive(Debug)]
pub(crate) struct Process {
    program: Program,
    log: PathBuf,
    environment: BTreeMap<String, String>,
    child: Option<Child>,
}

impl Process {
    /// Not yet started; its log goes to `folder`.
    #[must_use]
    pub(crate) fn new(program: Program, folder: &Path) -> Self {
        let log = folder.join(format!("{}.log", program.name));
        Self { program, log, environment: BTreeMap::new(), child: None }
    }

    /// Starts it. A write beyond its file size limit is an error to it, as on a full disk, and not
    /// the signal that would end it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new("env")
            .arg("--ignore-signal=XFSZ")
            .arg(&self.program.path)
            .args(&self.program.arguments)
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.path.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// What the next start adds to its environment, in place of what the last one added.
    pub(crate) fn surround(&mut self, environment: BTreeMap<String, String>) {
        self.environment = environment;
    }

    /// How it ended, if it did; `None` while it runs and when it was not started.
    ///
    /// # Errors
    /// When the system will not say.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub(crate) fn terminate(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let started = Instant::now();
        while self.ended()?.is_none() && self.child.is_some() {
            if started.elapsed() > patience {
                bail!("{} does not end {patience:?} after SIGTERM", self.program.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = None;
        Ok(())
    }

    /// Stops it in its tracks.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn go_on(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Lets no file of it grow any more, as on a full disk.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn fill_disk(&self) -> anyhow::Result<()> {
        self.limit_files(Some(0))
    }

    /// Takes that back.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn free_disk(&self) -> anyhow::Result<()> {
        self.limit_files(getrlimit(Resource::Fsize).current)
    }

    fn limit_files(&self, current: Option<u64>) -> anyhow::Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let maximum = getrlimit(Resource::Fsize).maximum;
        // It may have ended on the full disk.
        ignore_absent(prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum }).map(drop))
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        match self.pid() {
            Some(pid) => ignore_absent(kill_process(pid, signal)),
            None => Ok(()),
        }
    }

    fn pid(&self) -> Option<Pid> {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw)
    }

    /// The processes that it has started and that run, ascending.
    #[must_use]
    pub(crate) fn children(&self) -> Vec<Pid> {
        let Some(pid) = self.pid() else { return Vec::new() };
        let threads = format!("/proc/{}/task", pid.as_raw_nonzero());
        let mut found: Vec<i32> = std::fs::read_dir(threads)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
            .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|word| word.parse().ok())
            .collect();
        found.sort_unstable();
        found.into_iter().filter_map(Pid::from_raw).collect()
    }

    /// Copies its log to `folder`.
    ///
    /// # Errors
    /// When that cannot be done.
    pub(crate) fn keep_log(&self, folder: &Path) -> anyhow::Result<()> {
        let copy = folder.join(format!("{}.log", self.program.name));
        std::fs::copy(&self.log, &copy)
            .with_context(|| format!("cannot copy the log to {}", copy.display()))?;
        Ok(())
    }

    /// The last lines of its log.
    #[must_use]
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(12)..];
        tail.iter().map(|line| format!("{}: {line}\n", self.program.name)).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// SIGKILL to a process that may have ended meanwhile.
///
/// # Errors
/// When the system refuses.
pub(crate) fn kill(pid: Pid) -> anyhow::Result<()> {
    ignore_absent(kill_process(pid, Signal::KILL))
}

fn ignore_absent(result: rustix::io::Result<()>) -> anyhow::Result<()> {
    match result {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
