//! What a campaign claims of a fleet that it is not alone on.
//!
//! Must not know how claims are served.

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use super::Section;

/// The largest distance of a priority from 0.
const MAX_PRIORITY: i32 = 100;
/// The largest weight.
const MAX_WEIGHT: u32 = 1_000;

/// A campaign's claim on the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// -100 to 100: whoever has the higher one is served first.
    pub priority: i32,
    /// 1 to 1000: among the campaigns of a user that have the same priority, slots are shared in
    /// proportion to it.
    pub weight: u32,
    /// Whether it takes slots away from campaigns of a lower priority, instead of waiting until
    /// their evaluations end.
    pub preempt: bool,
}

impl Default for Share {
    fn default() -> Self {
        Self { priority: 0, weight: 1, preempt: false }
    }
}

impl Share {
    /// The claim as it is written.
    pub(super) fn to_yaml(self) -> Value {
        let mut written = Mapping::new();
        written.insert("priority".into(), self.priority.into());
        written.insert("weight".into(), self.weight.into());
        written.insert("preempt".into(), self.preempt.into());
        written.into()
    }
}

/// The keys of `share`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawShare {
    priority: Option<i32>,
    weight: Option<u32>,
    preempt: Option<bool>,
}

/// Reads `share` of the file.
pub(super) fn check(root: &Section<'_>) -> Share {
    let section = root.contains("share").then(|| root.child("share")).flatten();
    let Some(section) = section else { return Share::default() };
    let raw: RawShare = section.read();
    let default = Share::default();
    let share = Share {
        priority: raw.priority.unwrap_or(default.priority),
        weight: raw.weight.unwrap_or(default.weight),
        preempt: raw.preempt.unwrap_or(default.preempt),
    };
    section.check_range("priority", share.priority, -MAX_PRIORITY..=MAX_PRIORITY);
    section.check_range("weight", share.weight, 1..=MAX_WEIGHT);
    share
}
