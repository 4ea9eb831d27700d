//! Conversions between messages and the core, one file per area.
//!
//! Outward conversions cannot fail. Inward ones check every bound and name the bad field by its
//! path, such as `graph.nodes[3].conv2d.window`. Must not decide anything: whether a well-formed
//! message makes sense at present is the engine's business.

pub mod artifact;
pub mod campaign;
pub mod capabilities;
pub mod graph;
pub mod journal;
pub mod measurement;
mod policy;
pub mod stage;
pub mod view;
pub mod worker;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use cambrian_core::id::{Attempt, AttemptId, CampaignId, CandidateId, Ordinal, TaskId};
use cambrian_core::time::{Span, Timestamp};
use thiserror::Error;

use crate::v1;

/// The longest name (of a worker, a metric, an evaluator, a label), bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest text for people (a failure's message, a reason), bytes; longer ones are refused.
pub const MAX_TEXT_BYTES: usize = 64 << 10;
/// The longest list inside a message (measurements, held attempts, labels), entries.
pub const MAX_LIST: usize = 65_536;
/// The largest instant, span or session: what a signed 64-bit column of a database can hold.
pub const MAX_NUMBER: u64 = i64::MAX as u64;

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {reason}")]
pub struct ConvertError {
    /// The path of the bad field, such as `graph.nodes[3].conv2d.window`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl ConvertError {
    /// `reason` is wrong with `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    fn prefixed(mut self, outer: &dyn Display) -> Self {
        self.field = match self.field.as_str() {
            "" => outer.to_string(),
            inner if inner.starts_with('[') => format!("{outer}{inner}"),
            inner => format!("{outer}.{inner}"),
        };
        self
    }
}

/// Puts the path of the outer field before that of the inner one; the path is only built when
/// something is wrong.
pub(crate) trait Within<T> {
    /// The error's field lies within `outer`.
    fn within(self, outer: &str) -> Result<T, ConvertError>;
    /// The error's field lies within the entry `index` of `outer`.
    fn within_entry(self, outer: &str, index: usize) -> Result<T, ConvertError>;
}

impl<T> Within<T> for Result<T, ConvertError> {
    fn within(self, outer: &str) -> Result<T, ConvertError> {
        self.map_err(|error| error.prefixed(&outer))
    }

    fn within_entry(self, outer: &str, index: usize) -> Result<T, ConvertError> {
        self.map_err(|error| error.prefixed(&format_args!("{outer}[{index}]")))
    }
}

/// The value of a field that must be there.
pub(crate) fn required<T>(field: &str, value: Option<T>) -> Result<T, ConvertError> {
    value.ok_or_else(|| ConvertError::new(field, "is missing"))
}

/// A text of at most `limit` bytes, possibly empty.
pub(crate) fn text<'a>(field: &str, value: &'a str, limit: usize) -> Result<&'a str, ConvertError> {
    if value.len() > limit {
        let reason = format!("has {} bytes, at most {limit} are allowed", value.len());
        return Err(ConvertError::new(field, reason));
    }
    Ok(value)
}

/// A name: 1 to [`MAX_NAME_BYTES`] bytes without control characters.
pub(crate) fn name<'a>(field: &str, value: &'a str) -> Result<&'a str, ConvertError> {
    if value.is_empty() {
        return Err(ConvertError::new(field, "is empty, expected a name"));
    }
    if value.chars().any(char::is_control) {
        return Err(ConvertError::new(field, "contains control characters"));
    }
    text(field, value, MAX_NAME_BYTES)
}

/// Refuses lists of more than `limit` entries.
pub(crate) fn list(field: &str, length: usize, limit: usize) -> Result<(), ConvertError> {
    if length > limit {
        let reason = format!("has {length} entries, at most {limit} are allowed");
        return Err(ConvertError::new(field, reason));
    }
    Ok(())
}

/// A number up to [`MAX_NUMBER`].
pub(crate) fn number(field: &str, value: u64) -> Result<u64, ConvertError> {
    if value > MAX_NUMBER {
        return Err(ConvertError::new(
            field,
            format!("is {value}, at most {MAX_NUMBER} is allowed"),
        ));
    }
    Ok(value)
}

/// A number that counts from 1.
pub(crate) fn positive<N: Copy + Default + PartialEq>(
    field: &str,
    value: N,
) -> Result<N, ConvertError> {
    if value == N::default() {
        return Err(ConvertError::new(field, "is 0 or missing, expected at least 1"));
    }
    Ok(value)
}

pub(crate) fn instant(field: &str, micros: u64) -> Result<Timestamp, ConvertError> {
    number(field, micros).map(Timestamp)
}

pub(crate) fn span(field: &str, micros: u64) -> Result<Span, ConvertError> {
    number(field, micros).map(Span)
}

/// Free labels: names to texts of at most [`MAX_TEXT_BYTES`].
pub(crate) fn text_map(
    field: &str,
    map: BTreeMap<String, String>,
) -> Result<BTreeMap<Arc<str>, Arc<str>>, ConvertError> {
    list(field, map.len(), MAX_LIST)?;
    map.into_iter()
        .map(|(key, value)| {
            name("key", &key).within(field)?;
            text(&key, &value, MAX_TEXT_BYTES).within(field)?;
            Ok((key.into(), value.into()))
        })
        .collect()
}

pub(crate) fn string_map(map: &BTreeMap<Arc<str>, Arc<str>>) -> BTreeMap<String, String> {
    map.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

impl From<CandidateId> for v1::CandidateId {
    fn from(id: CandidateId) -> Self {
        Self { campaign: id.campaign.0, ordinal: id.ordinal.0 }
    }
}

impl TryFrom<v1::CandidateId> for CandidateId {
    type Error = ConvertError;

    fn try_from(message: v1::CandidateId) -> Result<Self, ConvertError> {
        let campaign = CampaignId(positive("campaign", message.campaign)?);
        let ordinal = Ordinal(positive("ordinal", message.ordinal)?);
        Ok(CandidateId::new(campaign, ordinal))
    }
}

impl From<AttemptId> for v1::TaskAttempt {
    fn from(id: AttemptId) -> Self {
        Self { task: id.task.0, attempt: id.attempt.0 }
    }
}

impl TryFrom<v1::TaskAttempt> for AttemptId {
    type Error = ConvertError;

    fn try_from(message: v1::TaskAttempt) -> Result<Self, ConvertError> {
        let task = TaskId(number("task", positive("task", message.task)?)?);
        Ok(AttemptId::new(task, Attempt(positive("attempt", message.attempt)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field that an inward conversion complains about.
    pub(crate) fn bad_field<T>(result: Result<T, ConvertError>) -> String {
        match result {
            Ok(_) => panic!("the message was accepted"),
            Err(error) => error.field,
        }
    }

    #[test]
    fn paths_grow_outwards() {
        let inner: Result<(), _> = Err(ConvertError::new("window", "is missing"));
        let error = inner.within("conv2d").within_entry("nodes", 3).within("graph").unwrap_err();
        assert_eq!(error.to_string(), "graph.nodes[3].conv2d.window: is missing");
    }

    #[test]
    fn ids_count_from_one() {
        let id = CandidateId::new(CampaignId(3), Ordinal(42));
        assert_eq!(CandidateId::try_from(v1::CandidateId::from(id)), Ok(id));
        let missing = v1::CandidateId { campaign: 3, ordinal: 0 };
        assert_eq!(bad_field(CandidateId::try_from(missing)), "ordinal");
        let missing = v1::TaskAttempt { task: 0, attempt: 1 };
        assert_eq!(bad_field(AttemptId::try_from(missing)), "task");
        let huge = v1::TaskAttempt { task: u64::MAX, attempt: 1 };
        assert_eq!(bad_field(AttemptId::try_from(huge)), "task");
    }

    #[test]
    fn texts_and_names_are_bounded() {
        assert_eq!(bad_field(name("name", "")), "name");
        assert_eq!(bad_field(name("name", "a\nb")), "name");
        assert_eq!(bad_field(name("name", &"x".repeat(MAX_NAME_BYTES + 1))), "name");
        assert_eq!(bad_field(text("reason", "12345", 4)), "reason");
        let labels = BTreeMap::from([(String::new(), "x".to_owned())]);
        assert_eq!(bad_field(text_map("labels", labels)), "labels.key");
    }
}
