//! What a campaign can begin with beside architectures written in it: rows of files of results.
//!
//! Says how a file is named, and what whoever reads it has to answer. It must not know how files
//! are read.

/// An entry of `start` that names a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFile {
    /// The path as written, relative to the campaign file.
    pub from: String,
    /// The column that holds the genotypes.
    pub column: String,
}

/// One row of a [`StartFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRow {
    /// Its number, from 1, without the header.
    pub row: u64,
    /// The architecture in the notation of a space.
    pub genotype: String,
}

/// Why a [`StartFile`] gives no rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StartFileError {
    /// What is wrong, in a phrase that starts in lower case.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Reads files on behalf of [`super::CampaignSpec::parse_with_files`]: the rows in the order of
/// the file.
pub type ReadStartFile<'r> = dyn Fn(&StartFile) -> Result<Vec<StartRow>, StartFileError> + 'r;

/// The reader where there are no files: whatever is stored or sent has to be complete.
pub(super) fn no_files(_: &StartFile) -> Result<Vec<StartRow>, StartFileError> {
    Err(StartFileError {
        message: "names a file; files are read by the command line only".to_owned(),
        help: "submit the campaign by `cambrian submit`, which writes the architectures of the \
               file into it, or list them here"
            .to_owned(),
    })
}
