//! Reading a campaign file: size and encoding first, then every fault at once.
//!
//! Must not know coordinators.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use cambrian_core::spec::{CampaignSpec, MAX_SPEC_BYTES};

use crate::error::CliError;

/// A campaign file that passed every check.
#[derive(Debug, Clone)]
pub(crate) struct CampaignFile {
    /// As written.
    pub(crate) text: String,
    /// As understood.
    pub(crate) spec: CampaignSpec,
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// [`CliError::NotFound`] or [`CliError::Io`] if it cannot be read, [`CliError::InvalidCampaign`]
/// with every fault otherwise.
pub(crate) fn read(path: &Path) -> Result<CampaignFile, CliError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(CliError::io("read", path))?;
    // One byte more than allowed, so that a longer file is seen to be longer.
    file.take(MAX_SPEC_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(CliError::io("read", path))?;
    let text = String::from_utf8(bytes).map_err(|error| not_text(path, &error))?;
    match CampaignSpec::parse(&text) {
        Ok(spec) => Ok(CampaignFile { text, spec }),
        Err(faults) => Err(CliError::InvalidCampaign {
            file: path.to_owned(),
            text,
            faults: faults.iter().map(Into::into).collect(),
        }),
    }
}

fn not_text(path: &Path, error: &std::string::FromUtf8Error) -> CliError {
    let valid = error.utf8_error().valid_up_to();
    let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let fault = crate::snippet::Fault {
        path: String::new(),
        line,
        column,
        message: "the file is not UTF-8 text".to_owned(),
        help: Some("save it as UTF-8; a campaign is a YAML text file".to_owned()),
    };
    CliError::InvalidCampaign { file: path.to_owned(), text: before, faults: vec![fault] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn bytes_that_are_no_text_are_a_fault_with_a_place() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.yaml");
        std::fs::write(&path, b"version: 1\nname: \xff\xfe\n").unwrap();
        let error = read(&path).unwrap_err();
        let CliError::InvalidCampaign { faults, .. } = &error else { panic!("{error}") };
        assert_eq!((faults[0].line, faults[0].column), (2, 7));
    }

    #[test]
    fn directories_and_missing_files_are_errors() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path()).unwrap_err().exit(), Exit::Failure);
        assert_eq!(read(&root.path().join("no")).unwrap_err().exit(), Exit::NotFound);
    }
}
