//! Processes that an earlier worker of the same state directory has left behind: what an evaluator has started,
//! and at times the evaluator, outlives a worker that was killed, and holds the memory of a GPU.
//!
//! The environment of each evaluator has the mark of the state directory, and what it starts inherits that.
//! Numbers of processes and groups would not do, since they are given anew; the mark also finds those that
//! have left their group. So it finds them, too, after a worker that has ended in order: what is to outlast its
//! worker has to be started without the mark. Linux only; elsewhere nothing is found. Must not know evaluators.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, warn};

/// The variable that holds the mark.
pub(crate) const VARIABLE: &str = "CAMBRIAN_STATE_MARK";

/// How long killed processes may take to end, and the search for them.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the kernel may take to show the environment of one process.
const ONE_PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);
const PROCESSES: &str = "/proc";

/// Kills all processes with this mark and waits for their end, for a while. Nobody else may start such
/// processes meanwhile: the state directory is to be locked.
pub(crate) async fn end(mark: &str) {
    Search::new(Path::new(PROCESSES), mark).end().await;
}

/// A search for the processes with a mark.
struct Search<'a> {
    /// A folder for each process, called by its number.
    processes: &'a Path,
    /// The variable with the mark, as an environment holds it.
    wanted: Arc<[u8]>,
    /// Those that were killed.
    killed: BTreeSet<i32>,
    /// Those whose environment the kernel does not show; each holds a thread that waits for it.
    silent: BTreeSet<i32>,
    /// Whether it was said that processes cannot be got hold of.
    said: bool,
}

impl<'a> Search<'a> {
    fn new(processes: &'a Path, mark: &str) -> Self {
        Self {
            processes,
            wanted: format!("{VARIABLE}={mark}").into_bytes().into(),
            killed: BTreeSet::new(),
            silent: BTreeSet::new(),
            said: false,
        }
    }

    async fn end(mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let there = match timeout_at(until, self.kill()).await {
                Ok(Ok(there)) => there,
                Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                    debug!(%error, "this system does not show its processes");
                    return;
                }
                Ok(Err(error)) => {
                    warn!(%error, "processes that an earlier worker has left behind cannot be looked for");
                    return;
                }
                Err(_) => {
                    warn!(
                        "looking for processes that an earlier worker has left behind takes longer than \
                         {PATIENCE:?}: some may still hold a device"
                    );
                    return;
                }
            };
            if there.is_empty() {
                return;
            }
            if Instant::now() >= until {
                warn!(
                    processes = ?there,
                    "processes of an earlier worker were killed and do not end: they may hold a device; mend \
                     what they wait for (`cat /proc/PROCESS/stack` says where) or restart the machine"
                );
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Kills each process with the mark as it is found; their numbers.
    async fn kill(&mut self) -> io::Result<Vec<i32>> {
        let processes = self.processes.to_owned();
        let numbers =
            spawn_blocking(move || numbers(&processes)).await.map_err(io::Error::other)??;
        let mut there = Vec::new();
        for number in numbers {
            let Some(process) = Pid::from_raw(number).filter(|process| *process != getpid()) else {
                continue;
            };
            // Opened first: what is read then is of this process, or of one that no signal to it reaches.
            let handle = match pidfd_open(process, PidfdFlags::empty()) {
                Ok(handle) => handle,
                Err(error) => {
                    self.say_out_of_reach(error);
                    continue;
                }
            };
            if !self.has_mark(number).await {
                continue;
            }
            there.push(number);
            if self.killed.insert(number) {
                warn!(
                    process = number,
                    "an earlier worker has left a process behind: it is killed"
                );
            }
            if let Err(error) = pidfd_send_signal(&handle, Signal::KILL) {
                debug!(%error, "a process that was left behind could not be killed");
            }
        }
        Ok(there)
    }

    fn say_out_of_reach(&mut self, error: Errno) {
        // It has ended.
        if error == Errno::SRCH || self.said {
            return;
        }
        self.said = true;
        warn!(
            %error,
            "the system does not let this worker end what an earlier one has left behind (pidfd_open); such \
             processes may still hold a device"
        );
    }

    async fn has_mark(&mut self, number: i32) -> bool {
        if self.silent.contains(&number) {
            return false;
        }
        let path = self.processes.join(number.to_string()).join("environ");
        let wanted = Arc::clone(&self.wanted);
        let looking = spawn_blocking(move || has_variable(&path, &wanted));
        if let Ok(found) = timeout(ONE_PATIENCE, looking).await {
            return found.unwrap_or(false);
        }
        self.silent.insert(number);
        warn!(
            process = number,
            "the kernel does not say whether an earlier worker has left this process behind: it is left alone, \
             and may hold a device (`cat /proc/{number}/stack` says what it waits for)"
        );
        false
    }
}

/// The numbers of all processes.
fn numbers(processes: &Path) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(processes)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(numbers)
}

/// Other users' processes, and those that have ended, have none that can be read.
fn has_variable(environment: &Path, wanted: &[u8]) -> bool {
    let variables = fs::read(environment).unwrap_or_default();
    variables.split(|byte| *byte == 0).any(|variable| variable == wanted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command};

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    fn sleeper(mark: &str) -> Child {
        Command::new("sleep").arg("1000").env(VARIABLE, mark).process_group(0).spawn().unwrap()
    }

    #[tokio::test]
    async fn what_has_the_mark_is_killed_and_nothing_else() {
        let mark = format!("test-{}", std::process::id());
        let mut left = [sleeper(&mark), sleeper(&mark)];
        let mut other = sleeper(&format!("{mark}-of-another"));
        let reaped = end(&mark);
        reaped.await;
        for child in &mut left {
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        assert!(other.try_wait().unwrap().is_none(), "another worker's process is killed");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    /// A pipe that nobody writes to takes the place of an environment that the kernel does not show.
    #[tokio::test]
    async fn a_process_whose_environment_does_not_answer_hides_no_other() {
        let root = tempfile::tempdir().unwrap();
        let [mut silent, mut first, mut second] = ["", "", ""].map(sleeper);
        let of = |child: &Child| root.path().join(child.id().to_string());
        for child in [&silent, &first, &second] {
            fs::create_dir(of(child)).unwrap();
        }
        let pipe = of(&silent).join("environ");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        for child in [&first, &second] {
            fs::write(of(child).join("environ"), format!("A=b\0{VARIABLE}=mark\0")).unwrap();
        }
        let mut search = Search::new(root.path(), "mark");
        let mut there = search.kill().await.unwrap();
        there.sort_unstable();
        let mut expected = [&first, &second].map(|child| child.id() as i32);
        expected.sort_unstable();
        assert_eq!(there, expected);
        for child in [&mut first, &mut second] {
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        // It is not asked again, and those that have ended are nobody's.
        search.end().await;
        // Lets the thread that waits for it go.
        drop(fs::OpenOptions::new().write(true).open(&pipe).unwrap());
        assert!(silent.try_wait().unwrap().is_none());
        silent.kill().unwrap();
        silent.wait().unwrap();
    }
}
