//! What a campaign can begin with beside architectures written in it: rows of files of results, and
//! candidates of earlier campaigns.
//!
//! Says how either is named, and what whoever reads it has to answer. It must not know how files are
//! read, nor who keeps campaigns.

/// An entry of `start` that names a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFile {
    /// The path as written, relative to the campaign file.
    pub from: String,
    /// The column that holds the genotypes.
    pub column: String,
}

/// An entry of `start` that names an earlier campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartCampaign {
    /// Its number or its name, as written.
    pub campaign: String,
    /// Only members of its front.
    pub front_only: bool,
    /// More candidates than this are not looked at.
    pub most: usize,
    /// The kind of space of the campaign that begins.
    pub space: &'static str,
}

/// One row of a [`StartFile`], or one candidate of a [`StartCampaign`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRow {
    /// The row's number, from 1, without the header; or the candidate's within its campaign.
    pub row: u64,
    /// The architecture in the notation of a space.
    pub genotype: String,
}

/// What an earlier campaign gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartCampaignRows {
    /// Its candidates, best first.
    Known(Vec<StartRow>),
    /// The entry is left in the text for whoever knows the campaign.
    Later,
}

/// Why an entry of `start` gives no rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// What is wrong, in a phrase that starts in lower case.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Reads what `start` names on behalf of [`super::CampaignSpec::parse_with`].
pub trait StartReader {
    /// The rows of a file in their order.
    ///
    /// # Errors
    /// Why there are none.
    fn file(&self, file: &StartFile) -> Result<Vec<StartRow>, StartError>;

    /// The candidates of a campaign, all of different networks, best first.
    ///
    /// # Errors
    /// Why there are none.
    fn campaign(&self, campaign: &StartCampaign) -> Result<StartCampaignRows, StartError>;
}

/// The reader where there is nothing to read: whatever is stored has to be complete.
#[derive(Debug, Clone, Copy)]
pub struct NoStartReader;

impl StartReader for NoStartReader {
    fn file(&self, _: &StartFile) -> Result<Vec<StartRow>, StartError> {
        Err(StartError {
            message: "names a file; files are read by the command line only".to_owned(),
            help:
                "submit the campaign by `cambrian submit`, which writes the architectures of the \
                   file into it, or list them here"
                    .to_owned(),
        })
    }

    fn campaign(&self, _: &StartCampaign) -> Result<StartCampaignRows, StartError> {
        Err(StartError {
            message:
                "names an earlier campaign, which only the coordinator that has it can look up"
                    .to_owned(),
            help:
                "submit the campaign to that coordinator by `cambrian submit`, or name a file of \
                   results by `from`"
                    .to_owned(),
        })
    }
}
