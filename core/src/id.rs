//! Identifiers as types of their own, so that a task can never be passed where a candidate is
//! meant.
//!
//! Ids are small, ordered and assigned in sequence by the engine; ties everywhere break by them. It must not
//! know what is kept of whatever has one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A text that is not an id of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

macro_rules! sequence_id {
    ($(#[$doc:meta])* $name:ident($int:ty), $expected:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse()
                    .map(Self)
                    .map_err(|_| ParseIdError { text: text.to_owned(), expected: $expected })
            }
        }

        impl $name {
            /// The id that follows this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
    };
}

sequence_id!(
    /// A campaign; numbered from 1 in order of submission.
    CampaignId(u32), "a campaign number, such as 3");
sequence_id!(
    /// A unit of leased work; numbered from 1 over all campaigns.
    TaskId(u64), "a task number, such as 57");
sequence_id!(
    /// A worker; numbered from 1 in order of first registration.
    WorkerId(u32), "a worker number, such as 2");
sequence_id!(
    /// How often a task has been leased. Every message about a task carries it, so that a message
    /// from an earlier lease can be told from one of the present lease.
    Attempt(u32), "an attempt number, such as 1");
sequence_id!(
    /// One connection of a worker, chosen by the worker, larger for each later connection.
    SessionId(u64), "a session number");
sequence_id!(
    /// The position of a candidate within its campaign, from 1 in order of proposal.
    Ordinal(u32), "a candidate number, such as 42");

/// One attempt of one task, as every message about it names it: a report of an earlier attempt is never taken
/// for one of a later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// Which of its leases.
    pub attempt: Attempt,
}

impl AttemptId {
    /// The attempt `attempt` of `task`.
    #[must_use]
    pub fn new(task: TaskId, attempt: Attempt) -> Self {
        Self { task, attempt }
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} attempt {}", self.task, self.attempt)
    }
}

/// A candidate: the campaign it belongs to and its ordinal there. Written `3/42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CandidateId {
    /// The campaign that proposed it.
    pub campaign: CampaignId,
    /// Its position in that campaign.
    pub ordinal: Ordinal,
}

impl CandidateId {
    /// The candidate `ordinal` of `campaign`.
    #[must_use]
    pub fn new(campaign: CampaignId, ordinal: Ordinal) -> Self {
        Self { campaign, ordinal }
    }
}

impl fmt::Display for CandidateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.campaign, self.ordinal)
    }
}

impl FromStr for CandidateId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(campaign, ordinal)| {
            Some(Self { campaign: campaign.parse().ok()?, ordinal: ordinal.parse().ok()? })
        });
        parsed.ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            expected: "a candidate written CAMPAIGN/NUMBER, such as 3/42",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidate_ids_round_trip_through_text() {
        let id = CandidateId::new(CampaignId(3), Ordinal(42));
        assert_eq!(id.to_string(), "3/42");
        assert_eq!("3/42".parse(), Ok(id));
    }

    #[test]
    fn malformed_ids_name_what_was_expected() {
        let error = "3-42".parse::<CandidateId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`3-42` is not a candidate written CAMPAIGN/NUMBER, such as 3/42"
        );
        assert!("x".parse::<TaskId>().unwrap_err().to_string().contains("task number"));
    }

    #[test]
    fn candidates_order_by_campaign_then_ordinal() {
        let early = CandidateId::new(CampaignId(1), Ordinal(9));
        let late = CandidateId::new(CampaignId(2), Ordinal(1));
        assert!(early < late);
    }

    #[test]
    fn attempts_are_ordered_by_task_first() {
        let id = |task, attempt| AttemptId::new(TaskId(task), Attempt(attempt));
        assert!(id(1, 9) < id(2, 1) && id(2, 1) < id(2, 3));
    }
}
