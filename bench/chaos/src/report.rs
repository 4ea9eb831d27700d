//! What one kind of fault did, as a line for people and as JSON.
//!
//! Must not know clusters, nor how anything was checked.

use serde::Serialize;

use crate::audit::Audit;

/// A kind's part of the whole.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// The kind, or `mixed`.
    pub(crate) kind: String,
    /// What it does.
    pub(crate) what: String,
    /// Why it was not injected here; empty if it was.
    pub(crate) skipped: String,
    /// Whether the coordinator refused a call without a token before the first fault.
    pub(crate) secure: bool,
    /// How many faults were injected.
    pub(crate) injected: u32,
    /// How long it took, seconds.
    pub(crate) seconds: f64,
    /// What was checked afterwards.
    pub(crate) audit: Audit,
}

impl Outcome {
    /// Whether everything is as it must be.
    #[must_use]
    pub(crate) fn is_sound(&self) -> bool {
        self.audit.problems.is_empty()
    }

    /// A row of [`HEADING`]'s table.
    #[must_use]
    pub(crate) fn row(&self) -> String {
        if !self.skipped.is_empty() {
            return format!("| {} | skipped: {} | | | | | |", self.kind, self.skipped);
        }
        format!(
            "| {} | {} | {} | {} | {} of {} | {} | {:.0} s |",
            self.kind,
            self.injected,
            self.audit.finished,
            self.audit.counted,
            self.audit.repeated,
            self.audit.may_repeat,
            self.audit.problems.len(),
            self.seconds
        )
    }
}

/// The head of the table.
pub(crate) const HEADING: &str = "\
| fault | injected | finished | counted | done again (may be) | problems | time |
|---|---|---|---|---|---|---|";
