//! A process group: the evaluator's process, which leads it, and those that this one has started.
//!
//! Whatever way the leader ends, the others are killed before it is reaped: until then the number of the
//! group can be nobody else's. A process that the kernel does not let go outlives its kill; nobody waits for
//! it here for longer than a moment. Must not know pipes or what they carry.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

/// How groups are killed. A test has one that does not end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Killing {
    pub(crate) signal: fn(Pid) -> rustix::io::Result<()>,
    /// How long the leader may take to end after it.
    pub(crate) patience: Duration,
}

impl Killing {
    /// The kernel ends a killed process within moments, and within a few seconds if it has much memory to
    /// free. One that takes longer waits for a device or a file server, which may be for ever.
    pub(crate) const REAL: Self = Self {
        signal: |group| kill_process_group(group, Signal::KILL),
        patience: Duration::from_secs(10),
    };
}

/// See the module. Dropping it kills them all.
#[derive(Debug)]
pub(super) struct Group {
    leader: Child,
    /// Heard whenever a child of this process ends.
    ends: unix::Signal,
    killing: Killing,
    /// Until when its end is waited for, since it was killed.
    awaited: Option<Instant>,
}

/// A process that was killed and does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stuck(i32);

impl Display for Stuck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(process) = self;
        write!(
            f,
            "process {process} was killed and does not end: the kernel holds it, as it does while a file \
             server, a disk or a GPU's driver does not answer (`cat /proc/{process}/stack` says where); \
             mend that or restart the machine, the slot works again once the process has ended"
        )
    }
}

/// What is left of a group whose leader is stuck; another task reaps it.
#[derive(Debug)]
pub(super) struct Remains {
    pub(super) stuck: Stuck,
    /// Ready when the process has ended. Dropping it changes nothing.
    pub(super) ended: JoinHandle<()>,
}

impl Group {
    /// Starts a program as the leader of a new group.
    pub(super) fn start(command: &mut Command, killing: Killing) -> io::Result<Self> {
        // Listens before there is something to hear.
        let ends = unix::signal(SignalKind::child())?;
        let leader = command.process_group(0).kill_on_drop(true).spawn()?;
        Ok(Self { leader, ends, killing, awaited: None })
    }

    /// The process that was started, for its pipes.
    pub(super) fn leader(&mut self) -> &mut Child {
        &mut self.leader
    }

    /// The leader's number, and the group's, until it is reaped.
    fn number(&self) -> Option<Pid> {
        self.leader.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    /// Waits for the leader's end, and does not reap it. Cancel safe.
    pub(super) async fn leader_ends(&mut self) {
        while !self.has_no_leader() {
            if self.ends.recv().await.is_none() {
                // The runtime is going, and everything with it.
                std::future::pending::<()>().await;
            }
        }
    }

    fn has_no_leader(&self) -> bool {
        let Some(leader) = self.number() else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::Pid(leader), options), Ok(None))
    }

    /// Kills every process of the group; its leader is to be reaped by [`Self::end`] yet.
    pub(super) fn kill(&mut self) {
        if let Some(group) = self.number()
            && let Err(error) = (self.killing.signal)(group)
        {
            debug!(%error, "an evaluator's group could not be killed");
            // An error means that it is gone already.
            let _ = self.leader.start_kill();
        }
    }

    /// Waits for the leader's end, kills what it leaves behind, and says how it ended.
    pub(super) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.leader_ends().await;
        self.kill();
        self.leader.wait().await
    }

    /// Kills them all and waits for the leader's end, however often it is called for no longer than a
    /// killed process may take.
    pub(super) async fn destroy(&mut self) {
        self.kill();
        let patience = self.killing.patience;
        let awaited = *self.awaited.get_or_insert_with(|| Instant::now() + patience);
        if let Ok(Err(error)) = timeout_at(awaited, self.end()).await {
            debug!(%error, "an evaluator could not be killed");
        }
    }

    /// The leader, if it outlives what it may take to end after a kill.
    pub(super) fn stuck(&self) -> Option<Stuck> {
        let late = self.awaited.is_some_and(|awaited| Instant::now() >= awaited);
        let leader = self.number().filter(|_| late && !self.has_no_leader())?;
        Some(Stuck(leader.as_raw_nonzero().get()))
    }

    /// Kills them all; what does not end in time is left to a task of its own, which reaps it.
    pub(super) async fn discard(mut self) -> Result<(), Remains> {
        self.destroy().await;
        let Some(stuck) = self.stuck() else { return Ok(()) };
        let ended = tokio::spawn(async move {
            if let Err(error) = self.end().await {
                debug!(%error, "an evaluator could not be reaped");
            }
        });
        Err(Remains { stuck, ended })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
