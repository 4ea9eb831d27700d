//! Processes that an earlier worker of the same state directory has left behind: what an evaluator has started,
//! and at times the evaluator, outlives a worker that was killed, and holds the memory of a GPU.
//!
//! The environment of each evaluator has the mark of the state directory, and what it starts inherits that.
//! Numbers of processes and groups would not do, since they are given anew; the mark also finds those that
//! have left their group. Linux only; elsewhere nothing is found. Must not know evaluators.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

/// The variable that holds the mark.
pub(crate) const VARIABLE: &str = "CAMBRIAN_STATE_MARK";

/// How long killed processes may take to end, and `/proc` to be read.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A process that has the mark.
#[derive(Debug)]
struct Marked {
    number: Pid,
    /// Stands for this process also if its number is given anew.
    process: OwnedFd,
}

/// Kills all processes with this mark and waits for their end, for a while. Nobody else may start such
/// processes meanwhile: the state directory is to be locked.
pub(crate) async fn end(mark: &str) {
    let until = Instant::now() + PATIENCE;
    let mut said = false;
    loop {
        let mark = mark.to_owned();
        let found = match timeout(PATIENCE, spawn_blocking(move || marked(&mark))).await {
            Ok(Ok(Ok(found))) => found,
            failed => {
                debug!(?failed, "processes of an earlier worker cannot be looked for");
                return;
            }
        };
        let numbers: Vec<i32> =
            found.iter().map(|marked| marked.number.as_raw_nonzero().get()).collect();
        if numbers.is_empty() {
            return;
        }
        if !said {
            warn!(processes = ?numbers, "an earlier worker has left processes behind: they are killed");
            said = true;
        }
        for marked in &found {
            if let Err(error) = pidfd_send_signal(&marked.process, Signal::KILL) {
                debug!(%error, "a process that was left behind could not be killed");
            }
        }
        if Instant::now() >= until {
            warn!(
                processes = ?numbers,
                "processes of an earlier worker were killed and do not end: they may hold a device; mend what \
                 they wait for (`cat /proc/PROCESS/stack` says where) or restart the machine"
            );
            return;
        }
        sleep(PAUSE).await;
    }
}

/// All processes with this mark, except this one.
fn marked(mark: &str) -> io::Result<Vec<Marked>> {
    let wanted = format!("{VARIABLE}={mark}");
    let own = rustix::process::getpid();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.and_then(Pid::from_raw).filter(|number| *number != own) else {
            continue;
        };
        // Opened first: what is read then is of this process, or of one that no signal to it reaches.
        let Ok(process) = pidfd_open(number, PidfdFlags::empty()) else { continue };
        if has_variable(&entry.path(), wanted.as_bytes()) {
            found.push(Marked { number, process });
        }
    }
    Ok(found)
}

/// Other users' processes, and those that have ended, have none that can be read.
fn has_variable(process: &Path, wanted: &[u8]) -> bool {
    let variables = fs::read(process.join("environ")).unwrap_or_default();
    variables.split(|byte| *byte == 0).any(|variable| variable == wanted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command};

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
}
