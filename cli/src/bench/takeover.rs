//! Two coordinators on one database, of which the leader is killed again and again while work goes on.
//!
//! Must not know what the workers do.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use super::coordinator::{ANY_PORT, Coordinator, Plan, Until};
use super::tally::{Recovery, Tally};
use super::{LOOK, STALL};
use crate::error::CliError;

/// A leader was killed, and another took over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Takeover {
    /// Evaluations that were durable when it was killed.
    pub(super) after_evaluations: u64,
    /// From the kill until the first result was acknowledged by the other, seconds.
    pub(super) first_result_s: f64,
    /// From the kill until each worker had a result acknowledged by the other, seconds.
    pub(super) all_workers_s: f64,
}

/// When leaders are killed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// How often.
    pub(super) kills: u32,
    /// Evaluations that are durable before the first one.
    pub(super) after: u32,
    /// Evaluations of the whole run.
    pub(super) evaluations: u32,
}

impl Schedule {
    /// The number of durable evaluations at which a leader is killed, `turn` from 0: what is left
    /// after the first ones is cut into equal parts, and one is killed between each two.
    fn due(self, turn: u32) -> u64 {
        let rest = u64::from(self.evaluations.saturating_sub(self.after));
        let parts = u64::from(self.kills) + 1;
        u64::from(self.after) + rest * (u64::from(turn) + 1) / parts
    }
}

/// The coordinators; the first one leads.
pub(super) struct Pair {
    plan: Plan,
    members: VecDeque<Coordinator>,
}

impl Pair {
    /// A leader, and a standby that has followed its journal to the end.
    ///
    /// # Errors
    /// With what they said, if they do not start.
    pub(super) async fn start(plan: &Plan) -> Result<Self, CliError> {
        let leader = Coordinator::start(plan, ANY_PORT, Until::Serving).await?;
        let standby = Coordinator::start(plan, ANY_PORT, Until::Following).await?;
        Ok(Self { plan: plan.clone(), members: [leader, standby].into() })
    }

    /// Where they are reached.
    pub(super) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Coordinator::endpoint).collect()
    }

    /// Kills leaders as planned; each is started again, as the standby of the next, and has caught up
    /// before that is killed.
    ///
    /// # Errors
    /// When no other takes over, or a coordinator does not start.
    pub(super) async fn kill_leaders(
        &mut self,
        schedule: Schedule,
        workers: u32,
        tally: &Tally,
        tell: impl Fn(&Takeover),
    ) -> Result<Vec<Takeover>, CliError> {
        let mut found = Vec::new();
        let mut vacated = None;
        for turn in 0..schedule.kills {
            if let Some(address) = vacated.take() {
                let standby = Coordinator::start(&self.plan, address, Until::Following).await?;
                self.members.push_back(standby);
            }
            while tally.acknowledged.load(Relaxed) < schedule.due(turn) {
                sleep(LOOK).await;
            }
            let after_evaluations = tally.acknowledged.load(Relaxed);
            let killed = Instant::now();
            if let Some(leader) = self.members.pop_front() {
                vacated = Some(leader.address);
                leader.kill().await?;
            }
            let Recovery { first, all } = recovered(tally, workers, killed).await?;
            let takeover = Takeover {
                after_evaluations,
                first_result_s: first.as_secs_f64(),
                all_workers_s: all.as_secs_f64(),
            };
            tell(&takeover);
            found.push(takeover);
        }
        Ok(found)
    }

    /// Ends them in order, those that stand by first.
    ///
    /// # Errors
    /// As [`Coordinator::stop`].
    pub(super) async fn stop(mut self) -> Result<(), CliError> {
        while let Some(member) = self.members.pop_back() {
            member.stop().await?;
        }
        Ok(())
    }
}

/// Waits until every worker has had a result acknowledged on a stream that is younger than the kill.
async fn recovered(tally: &Tally, workers: u32, killed: Instant) -> Result<Recovery, CliError> {
    let waited = timeout(STALL, async {
        loop {
            if let Some(recovery) = tally.recovery(workers, killed) {
                return recovery;
            }
            sleep(LOOK).await;
        }
    });
    waited.await.map_err(|_| {
        CliError::Coordinator(format!(
            "{} s after a leader was killed, not every worker has had a result acknowledged",
            STALL.as_secs()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_spread_over_what_is_left() {
        let schedule = Schedule { kills: 3, after: 200, evaluations: 600 };
        assert_eq!([0, 1, 2].map(|turn| schedule.due(turn)), [300, 400, 500]);
        let all = Schedule { kills: 1, after: 900, evaluations: 600 };
        assert_eq!(all.due(0), 900, "after the end, so never");
    }
}
