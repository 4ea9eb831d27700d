//! `repeats`: how often a stage measures each candidate. It must not know which evaluations always measure the
//! same: each evaluator's entry does.

use crate::spec::Section;
use crate::spec::evaluator::{CheckedSettings, EvaluatorEntry};

/// The most repeats.
const MAX_REPEATS: u32 = 100;

/// The number as written, 1 without one; a fault if it is out of range, or if every repeat would measure
/// the same.
pub(super) fn check(
    section: &Section<'_>,
    repeats: Option<u32>,
    entry: Option<&EvaluatorEntry>,
    settings: Option<&CheckedSettings>,
) -> u32 {
    let repeats = repeats.unwrap_or(1);
    section.check_range("repeats", repeats, 1..=MAX_REPEATS);
    if repeats > 1
        && let (Some(entry), Some(checked)) = (entry, settings)
        && let Some(objection) = (entry.repeats)(&checked.settings, repeats)
    {
        section.fault("repeats", objection.message, objection.help);
    }
    repeats
}
