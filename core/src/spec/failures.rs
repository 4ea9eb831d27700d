//! What a campaign does about each kind of failure: the closed table of rules, and how it is written.
//!
//! Must not know how a rule is carried out.

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use super::{Section, spelling};
use crate::engine::FailureKind;

/// What follows from a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureRule {
    /// The candidate has failed.
    Fail,
    /// The candidate is infeasible: as if it broke a constraint.
    Infeasible,
    /// Another attempt, at most this often after failures of the kind.
    Retry(u32),
    /// The same, but on a worker that it has not failed on, while there is one.
    RetryElsewhere(u32),
}

impl FailureRule {
    /// How many further attempts it allows.
    #[must_use]
    pub fn retries(self) -> u32 {
        match self {
            Self::Fail | Self::Infeasible => 0,
            Self::Retry(times) | Self::RetryElsewhere(times) => times,
        }
    }
}

/// How the rule of a kind is made from the number of retries that `attempts` leaves.
type Default = fn(u32) -> FailureRule;

/// The kinds that have a rule of the campaign, each with its default. The others are the fleet's
/// fault: their attempts do not count and are always repeated.
const KINDS: [(FailureKind, Default); 7] = [
    (FailureKind::OutOfMemory, |_| FailureRule::Infeasible),
    (FailureKind::NonFinite, |_| FailureRule::Fail),
    (FailureKind::Timeout, FailureRule::Retry),
    (FailureKind::Crash, FailureRule::RetryElsewhere),
    (FailureKind::Invalid, |_| FailureRule::Fail),
    (FailureKind::Incomparable, FailureRule::RetryElsewhere),
    (FailureKind::LeaseExpired, FailureRule::Retry),
];

/// The names of rules.
const RULES: [&str; 4] = ["fail", "infeasible", "retry", "retry_elsewhere"];

/// What happens to failed evaluations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailurePolicy {
    /// How often one task is leased at most, at least 1; attempts that end by the fleet's fault do
    /// not count.
    pub attempts: u32,
    /// The rules in the order of the table.
    rules: [FailureRule; KINDS.len()],
}

impl FailurePolicy {
    /// The default rules with so many attempts, at least 1.
    #[must_use]
    pub fn of_attempts(attempts: u32) -> Self {
        let retries = attempts.saturating_sub(1);
        Self { attempts, rules: KINDS.map(|(_, default)| default(retries)) }
    }

    /// The rule for a kind; `None` if it is the fleet's fault.
    #[must_use]
    pub fn rule(&self, kind: FailureKind) -> Option<FailureRule> {
        let at = KINDS.iter().position(|(known, _)| *known == kind)?;
        Some(self.rules[at])
    }

    /// The policy as it is written.
    pub(super) fn to_yaml(self) -> Value {
        let mut written = Mapping::new();
        written.insert("attempts".into(), self.attempts.into());
        for ((kind, _), rule) in KINDS.iter().zip(self.rules) {
            let counted = |name: &str, times: u32| {
                Value::Mapping([(Value::from(name), Value::from(times))].into_iter().collect())
            };
            let rule = match rule {
                FailureRule::Fail => "fail".into(),
                FailureRule::Infeasible => "infeasible".into(),
                FailureRule::Retry(times) => counted("retry", times),
                FailureRule::RetryElsewhere(times) => counted("retry_elsewhere", times),
            };
            written.insert(kind.name().into(), rule);
        }
        written.into()
    }
}

/// The most leases of one task.
const MAX_ATTEMPTS: u32 = 100;
const DEFAULT_ATTEMPTS: u32 = 3;

/// The keys of `failures`; the rules are read one by one.
#[derive(Debug, std::default::Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFailures {
    attempts: Option<u32>,
    #[serde(rename = "out_of_memory")]
    _out_of_memory: Option<serde::de::IgnoredAny>,
    #[serde(rename = "non_finite")]
    _non_finite: Option<serde::de::IgnoredAny>,
    #[serde(rename = "timeout")]
    _timeout: Option<serde::de::IgnoredAny>,
    #[serde(rename = "crash")]
    _crash: Option<serde::de::IgnoredAny>,
    #[serde(rename = "invalid")]
    _invalid: Option<serde::de::IgnoredAny>,
    #[serde(rename = "incomparable")]
    _incomparable: Option<serde::de::IgnoredAny>,
    #[serde(rename = "lease_expired")]
    _lease_expired: Option<serde::de::IgnoredAny>,
}

/// Reads `failures` of the file.
pub(super) fn check(root: &Section<'_>) -> Option<FailurePolicy> {
    if !root.contains("failures") {
        return Some(FailurePolicy::of_attempts(DEFAULT_ATTEMPTS));
    }
    let section = root.child("failures")?;
    let raw: RawFailures = section.read();
    let attempts = raw.attempts.unwrap_or(DEFAULT_ATTEMPTS);
    if !(1..=MAX_ATTEMPTS).contains(&attempts) {
        section.fault(
            "attempts",
            format!("{attempts} is out of range"),
            format!("write a number from 1 (never try again) to {MAX_ATTEMPTS}"),
        );
    }
    let mut policy = FailurePolicy::of_attempts(attempts);
    for ((kind, _), rule) in KINDS.iter().zip(&mut policy.rules) {
        if let Some(written) = check_rule(&section, kind.name(), attempts) {
            *rule = written;
        }
    }
    Some(policy)
}

fn check_rule(section: &Section<'_>, kind: &str, attempts: u32) -> Option<FailureRule> {
    let item = section.item(kind)?;
    let named = item.text().map(str::to_owned);
    let (name, times) = match named {
        Some(name) => (name, None),
        None => {
            let entries = item.entries()?;
            let [(name, times)] = entries.as_slice() else {
                item.fault("is not one rule", "write `retry`, or `{retry: 2}` with a number");
                return None;
            };
            let written = times.text().and_then(|text| text.parse::<u32>().ok());
            let Some(written) = written.filter(|times| (1..=MAX_ATTEMPTS).contains(times)) else {
                let most = MAX_ATTEMPTS;
                times.fault("is no number of retries", format!("write a number from 1 to {most}"));
                return None;
            };
            if written >= attempts {
                times.fault(
                    format!("{written} retries are more than {attempts} attempts allow"),
                    format!("write `attempts: {}` in `failures`, or fewer retries", written + 1),
                );
            }
            (name.clone(), Some(written))
        }
    };
    let retries = times.unwrap_or(attempts.saturating_sub(1));
    match (name.as_str(), times) {
        ("fail", None) => Some(FailureRule::Fail),
        ("infeasible", None) => Some(FailureRule::Infeasible),
        ("retry", _) => Some(FailureRule::Retry(retries)),
        ("retry_elsewhere", _) => Some(FailureRule::RetryElsewhere(retries)),
        ("fail" | "infeasible", Some(_)) => {
            item.fault(format!("`{name}` takes no number"), format!("write `{kind}: {name}`"));
            None
        }
        _ => {
            let shortened = super::document::shortened(&name);
            item.fault(format!("there is no rule `{shortened}`"), spelling::advice(&name, RULES));
            None
        }
    }
}
