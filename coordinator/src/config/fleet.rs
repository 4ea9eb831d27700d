//! The operator's rules for the fleet, as the configuration has them: what users may claim, and when
//! a worker is no longer trusted.
//!
//! Must not know how slots are shared or failures counted: the engine does both.

use std::collections::BTreeMap;
use std::sync::Arc;

use cambrian_core::energy::Energy;
use cambrian_core::engine::{FleetPolicy, QuarantineRule, UserBudget, UserPolicy};
use cambrian_core::time::Span;
use serde::Deserialize;

use super::{ConfigError, Setting, in_range};
use crate::store::tokens::is_name;

const MICROSECONDS_PER_HOUR: f64 = 3.6e9;
const MICROSECONDS_PER_MINUTE: f64 = 6e7;
const JOULES_PER_KILOWATT_HOUR: f64 = 3.6e6;
/// The largest amounts, in hours and kilowatt hours: more than any fleet has.
const MOST: f64 = 1e8;

/// What a user may claim; what is left out is not limited.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct User {
    /// Slots are shared between users in proportion to it, 1 to 1,000.
    pub weight: u32,
    /// The highest priority that the user's campaigns have, whatever they ask for, -100 to 100.
    pub max_priority: Option<i32>,
    /// Candidates that may be evaluated in all.
    pub evaluations: Option<u64>,
    /// Time in slots that may be used in all, hours.
    pub slot_hours: Option<f64>,
    /// Energy that may be used in all, as far as evaluators report it, kWh.
    pub energy_kwh: Option<f64>,
}

impl Default for User {
    fn default() -> Self {
        Self {
            weight: 1,
            max_priority: None,
            evaluations: None,
            slot_hours: None,
            energy_kwh: None,
        }
    }
}

/// When a worker gets no more work because of its failures.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    /// So many failures of different candidates, 0 for never, at most `of_last`.
    pub failures: u32,
    /// Among so many latest attempts, 1 to 64.
    pub of_last: u32,
    /// How long a quarantine lasts, minutes; until somebody releases the worker if left out.
    pub release_minutes: Option<f64>,
}

impl Default for Quarantine {
    fn default() -> Self {
        let QuarantineRule { failures, of_last, .. } = QuarantineRule::default();
        Self { failures, of_last, release_minutes: None }
    }
}

impl User {
    fn policy(&self) -> UserPolicy {
        let micros = |hours: f64| Span((hours * MICROSECONDS_PER_HOUR) as u64);
        let energy = self.energy_kwh.map(|kwh| kwh * JOULES_PER_KILOWATT_HOUR);
        UserPolicy {
            weight: self.weight,
            max_priority: self.max_priority,
            budget: UserBudget {
                evaluations: self.evaluations,
                slot_time: self.slot_hours.map(micros),
                energy: energy.and_then(Energy::from_joules),
            },
        }
    }

    /// What is out of its range; `setting` is where each key stands.
    fn faults(&self, setting: impl Fn(&str) -> Setting) -> Vec<ConfigError> {
        let ranges = [
            ("weight", f64::from(self.weight), 1.0, 1e3),
            ("max_priority", f64::from(self.max_priority.unwrap_or(0)), -100.0, 100.0),
            ("slot_hours", self.slot_hours.unwrap_or(0.0), 0.0, MOST),
            ("energy_kwh", self.energy_kwh.unwrap_or(0.0), 0.0, MOST),
        ];
        let fault = |(key, found, least, most)| in_range(setting(key), found, least, most);
        ranges.into_iter().filter_map(fault).collect()
    }
}

/// The engine's form of the rules.
pub(super) fn policy(
    users: &BTreeMap<String, User>,
    others: &User,
    quarantine: &Quarantine,
    shared_results: bool,
) -> FleetPolicy {
    let release = |minutes: f64| Span((minutes * MICROSECONDS_PER_MINUTE) as u64);
    let named = users.iter().map(|(name, user)| (Arc::from(name.as_str()), user.policy()));
    FleetPolicy {
        users: named.collect(),
        others: others.policy(),
        quarantine: QuarantineRule {
            failures: quarantine.failures,
            of_last: quarantine.of_last,
            release_after: quarantine.release_minutes.map(release),
        },
        shared_results,
    }
}

/// Every name that is none, and everything that is out of its range.
pub(super) fn faults(
    users: &BTreeMap<String, User>,
    others: &User,
    quarantine: &Quarantine,
) -> Vec<ConfigError> {
    let mut faults = Vec::new();
    for (name, user) in users {
        if !is_name(name) {
            faults.push(ConfigError::User(name.chars().take(80).collect()));
        }
        faults.extend(user.faults(|key| Setting::of_user(name, Some(key))));
    }
    faults.extend(others.faults(|key| format!("other_users.{key}").as_str().into()));
    let Quarantine { failures, of_last, release_minutes } = quarantine;
    let most = f64::from(QuarantineRule::MOST);
    // What is at fault itself bounds nothing.
    let most_failures = f64::from((*of_last).clamp(1, QuarantineRule::MOST));
    faults.extend(in_range("quarantine.of_last", f64::from(*of_last), 1.0, most));
    faults.extend(in_range("quarantine.failures", f64::from(*failures), 0.0, most_failures));
    let minutes = release_minutes.unwrap_or(1.0);
    faults.extend(in_range("quarantine.release_minutes", minutes, 0.01, 1e6));
    faults
}
