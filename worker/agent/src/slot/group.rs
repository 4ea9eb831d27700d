//! A process group: the evaluator's process, which leads it, and those that this one has started.
//!
//! Whatever way the leader ends, the others are killed before it is reaped: until then the number of the
//! group can be nobody else's. Must not know pipes or what they carry.

use std::io;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tracing::debug;

/// See the module. Dropping it kills them all.
#[derive(Debug)]
pub(super) struct Group {
    leader: Child,
    /// Heard whenever a child of this process ends.
    ends: unix::Signal,
}

impl Group {
    /// Starts a program as the leader of a new group.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        // Listens before there is something to hear.
        let ends = unix::signal(SignalKind::child())?;
        let leader = command.process_group(0).kill_on_drop(true).spawn()?;
        Ok(Self { leader, ends })
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
            && let Err(error) = kill_process_group(group, Signal::KILL)
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
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
