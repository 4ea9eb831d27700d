//! The operator's rules for the whole fleet: what users may claim, and when a worker is trusted.
//!
//! They come from the coordinator's configuration and are stored when they change, so that a replay
//! knows them. Must not know campaigns.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::energy::Energy;
use crate::time::Span;

/// The rules of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetPolicy {
    /// Users by the name of their tokens.
    pub users: BTreeMap<Arc<str>, UserPolicy>,
    /// What holds for everyone else.
    pub others: UserPolicy,
    /// When a worker gets no more work because of its failures.
    pub quarantine: QuarantineRule,
    /// Whether campaigns take known results of other users' campaigns as well.
    pub shared_results: bool,
}

impl FleetPolicy {
    /// What holds for a user; the name is empty where no tokens are used.
    #[must_use]
    pub fn of_user(&self, name: &str) -> &UserPolicy {
        self.users.get(name).unwrap_or(&self.others)
    }
}

/// What a user may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserPolicy {
    /// Slots are shared between users in proportion to it, at least 1.
    pub weight: u32,
    /// The highest priority that the user's campaigns have, whatever they ask for.
    pub max_priority: Option<i32>,
    /// What the user may use in all.
    pub budget: UserBudget,
}

impl Default for UserPolicy {
    fn default() -> Self {
        Self { weight: 1, max_priority: None, budget: UserBudget::default() }
    }
}

/// What a user may use, over all campaigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserBudget {
    /// Candidates that enter a first stage.
    pub evaluations: Option<u64>,
    /// Time in slots of reported attempts.
    pub slot_time: Option<Span>,
    /// Energy of reported attempts, as far as evaluators report it.
    pub energy: Option<Energy>,
}

/// When a worker gets no more work because of its failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineRule {
    /// So many failures of different candidates ...
    pub failures: u32,
    /// ... among so many of its latest attempts put a worker into quarantine. Failures of candidates'
    /// own making do not count, nor those of a stage that has not succeeded on another worker.
    /// 0 for never, at most [`Self::MOST`].
    pub of_last: u32,
    /// How long a quarantine lasts; `None` until somebody releases the worker.
    pub release_after: Option<Span>,
}

impl QuarantineRule {
    /// The most attempts that are looked at.
    pub const MOST: u32 = 64;
}

impl Default for QuarantineRule {
    /// Five in a row, until released.
    fn default() -> Self {
        Self { failures: 5, of_last: 5, release_after: None }
    }
}
