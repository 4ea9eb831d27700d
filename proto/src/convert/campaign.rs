//! What users ask for: references to campaigns, submissions, filters. Must not know which campaigns there are.

use cambrian_core::engine::SubmissionId;
use cambrian_core::spec::{Fault, Faults};

use super::{ConvertError, Within, name, required};
use crate::v1;

/// The largest page of candidates.
pub const MAX_PAGE: u32 = 1000;
/// The page of candidates when none is asked for.
pub const DEFAULT_PAGE: u32 = 100;

/// The number or name by which a request refers to a campaign.
///
/// # Errors
/// [`ConvertError`] within `campaign`.
pub fn campaign_reference(message: Option<v1::CampaignReference>) -> Result<String, ConvertError> {
    let reference = required("campaign", message)?.number_or_name;
    name("number_or_name", &reference).within("campaign")?;
    Ok(reference)
}

/// The 16 bytes of a submission id.
#[must_use]
pub fn submission_bytes(submission: SubmissionId) -> Vec<u8> {
    submission.0.to_be_bytes().to_vec()
}

/// The submission id of exactly 16 bytes.
///
/// # Errors
/// [`ConvertError`] at `submission`.
pub fn submission(bytes: &[u8]) -> Result<SubmissionId, ConvertError> {
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| {
        let reason = format!("has {} bytes, expected 16", bytes.len());
        ConvertError::new("submission", reason)
    })?;
    Ok(SubmissionId(u128::from_be_bytes(bytes)))
}

/// The number of candidates of a page: 0 stands for [`DEFAULT_PAGE`].
///
/// # Errors
/// [`ConvertError`] at `page_size` above [`MAX_PAGE`].
pub fn page_size(asked: u32) -> Result<usize, ConvertError> {
    match asked {
        0 => Ok(DEFAULT_PAGE as usize),
        1..=MAX_PAGE => Ok(asked as usize),
        _ => {
            let reason = format!("is {asked}, at most {MAX_PAGE} are allowed");
            Err(ConvertError::new("page_size", reason))
        }
    }
}

/// The statuses of a filter.
///
/// # Errors
/// [`ConvertError`] within `statuses` if one is unknown.
pub fn statuses(codes: &[i32]) -> Result<Vec<v1::CandidateStatus>, ConvertError> {
    let read = |(index, code): (usize, &i32)| match v1::CandidateStatus::try_from(*code) {
        Ok(v1::CandidateStatus::Unspecified) | Err(_) => {
            Err(ConvertError::new("", format!("{code} is no status of a candidate")))
                .within_entry("statuses", index)
        }
        Ok(status) => Ok(status),
    };
    codes.iter().enumerate().map(read).collect()
}

impl From<&Fault> for v1::Fault {
    fn from(fault: &Fault) -> Self {
        Self {
            path: fault.path.clone(),
            line: u32::try_from(fault.line).unwrap_or(u32::MAX),
            column: u32::try_from(fault.column).unwrap_or(u32::MAX),
            message: fault.message.clone(),
            help: fault.help.clone().unwrap_or_default(),
        }
    }
}

/// The messages of all faults, in order of place.
#[must_use]
pub fn fault_messages(faults: &Faults) -> Vec<v1::Fault> {
    faults.iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::bad_field;
    use super::*;

    #[test]
    fn submissions_round_trip() {
        let id = SubmissionId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(submission(&submission_bytes(id)), Ok(id));
        assert_eq!(bad_field(submission(&[0; 15])), "submission");
        assert_eq!(bad_field(submission(&[])), "submission");
    }

    #[test]
    fn each_bad_field_is_named() {
        assert_eq!(bad_field(campaign_reference(None)), "campaign");
        let blank = Some(v1::CampaignReference::default());
        assert_eq!(bad_field(campaign_reference(blank)), "campaign.number_or_name");
        assert_eq!(bad_field(page_size(MAX_PAGE + 1)), "page_size");
        assert_eq!(page_size(0), Ok(100));
        assert_eq!(bad_field(statuses(&[3, 0])), "statuses[1]");
        assert_eq!(bad_field(statuses(&[99])), "statuses[0]");
        assert_eq!(statuses(&[3]), Ok(vec![v1::CandidateStatus::Scored]));
    }

    #[test]
    fn faults_keep_their_place() {
        let fault = Fault {
            path: "budget".into(),
            line: 3,
            column: 9,
            message: "is missing".into(),
            help: None,
        };
        let [message] = &fault_messages(&Faults::single(fault))[..] else { panic!("one fault") };
        assert_eq!((message.line, message.column, message.path.as_str()), (3, 9, "budget"));
    }
}
