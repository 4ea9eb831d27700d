//! Reading a campaign file: size and encoding first, then every fault at once, those of the files
//! that it names included.
//!
//! Must not know coordinators.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use cambrian_core::spec::{
    CampaignSpec, MAX_SPEC_BYTES, NoStartReader, StartCampaign, StartCampaignRows, StartError,
    StartFile, StartReader, StartRow,
};

use crate::error::CliError;
use crate::output::Output;
use crate::{snippet, start_files};

/// A campaign file that passed every check.
#[derive(Debug, Clone)]
pub(crate) struct CampaignFile {
    /// As written, except that the architectures of files stand in it, so that it is complete.
    pub(crate) text: String,
    /// As written, which the places of warnings are about.
    pub(crate) source: String,
    /// As understood.
    pub(crate) spec: CampaignSpec,
    /// Whether it begins with candidates of a campaign, which stays in the text and gives nothing yet.
    pub(crate) names_campaigns: bool,
}

/// Who can look up earlier campaigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookup {
    Nobody,
    Coordinator,
}

/// What `start` names, seen from the folder of a campaign file.
struct Named<'f> {
    folder: &'f Path,
    lookup: Lookup,
    campaigns: Cell<bool>,
}

impl StartReader for Named<'_> {
    fn file(&self, file: &StartFile) -> Result<Vec<StartRow>, StartError> {
        start_files::read(self.folder, file)
    }

    fn campaign(&self, campaign: &StartCampaign) -> Result<StartCampaignRows, StartError> {
        self.campaigns.set(true);
        match self.lookup {
            Lookup::Nobody => NoStartReader.campaign(campaign),
            Lookup::Coordinator => Ok(StartCampaignRows::Later),
        }
    }
}

/// Reads and checks the file at `path`, which has to be complete but for files.
///
/// # Errors
/// As [`read_for_coordinator`], and if it names earlier campaigns.
pub(crate) fn read(path: &Path) -> Result<CampaignFile, CliError> {
    read_with(path, Lookup::Nobody)
}

/// Reads and checks the file at `path`, except for earlier campaigns that it names: a coordinator looks
/// them up when it is submitted.
///
/// # Errors
/// [`CliError::NotFound`] or [`CliError::Io`] if it cannot be read, [`CliError::InvalidCampaign`]
/// with every fault otherwise.
pub(crate) fn read_for_coordinator(path: &Path) -> Result<CampaignFile, CliError> {
    read_with(path, Lookup::Coordinator)
}

fn read_with(path: &Path, lookup: Lookup) -> Result<CampaignFile, CliError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(CliError::io("read", path))?;
    // One byte more than allowed, so that a longer file is seen to be longer.
    file.take(MAX_SPEC_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(CliError::io("read", path))?;
    let text = String::from_utf8(bytes).map_err(|error| not_text(path, &error))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let named = Named { folder, lookup, campaigns: Cell::new(false) };
    match CampaignSpec::parse_with(&text, &named) {
        Ok((spec, complete)) => Ok(CampaignFile {
            text: complete,
            source: text,
            spec,
            names_campaigns: named.campaigns.get(),
        }),
        Err(faults) => Err(CliError::InvalidCampaign {
            file: path.to_owned(),
            text,
            faults: faults.iter().map(Into::into).collect(),
        }),
    }
}

impl CampaignFile {
    /// What is doubtful about the campaign, each with its place in the file.
    pub(crate) fn warnings(&self) -> Vec<snippet::Fault> {
        self.spec.warnings.iter().map(Into::into).collect()
    }

    /// Shows the warnings to people on standard error; the file was read from `path`.
    pub(crate) fn warn(&self, path: &Path, output: Output) {
        for warning in self.warnings() {
            let style = output.hint_style;
            output.hint(&snippet::render_warning(path, &self.source, &warning, style));
        }
    }
}

fn not_text(path: &Path, error: &std::string::FromUtf8Error) -> CliError {
    let valid = error.utf8_error().valid_up_to();
    let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let fault = snippet::Fault {
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
    fn what_is_submitted_needs_no_file() {
        let root = tempfile::tempdir().unwrap();
        let best = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|";
        let front = root.path().join("front.csv");
        std::fs::write(&front, format!("candidate,genotype\n1/1,{best}\n")).unwrap();
        let demo = include_str!("../../configs/campaigns/fashion-mnist.yaml");
        let path = root.path().join("a.yaml");
        std::fs::write(&path, format!("start:\n  - from: front.csv\n{demo}")).unwrap();
        let campaign = read(&path).unwrap();
        std::fs::remove_file(&front).unwrap();
        let again = CampaignSpec::parse(&campaign.text).unwrap();
        assert_eq!(again.to_yaml(), campaign.spec.to_yaml());
        assert!(campaign.text.ends_with(demo), "{}", campaign.text);
        assert!(campaign.text.contains(best), "{}", campaign.text);
        assert!(matches!(read(&path), Err(CliError::InvalidCampaign { .. })));
    }

    #[test]
    fn an_earlier_campaign_is_left_to_the_coordinator() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.yaml");
        let demo = include_str!("../../configs/campaigns/fashion-mnist.yaml");
        let documents = [
            include_str!("../../docs/cli.md"),
            include_str!("../../configs/campaigns/reference.yaml"),
        ];
        for document in documents {
            let entry = document.lines().find(|line| line.contains("- {from_campaign: first"));
            let entry = entry.unwrap().trim_start_matches(['#', ' ']);
            let text = format!("start:\n{entry}\n{demo}");
            std::fs::write(&path, &text).unwrap();
            let campaign = read_for_coordinator(&path).unwrap();
            assert_eq!(campaign.text, text);
            assert!(campaign.names_campaigns && campaign.spec.start.is_empty());
            let Err(CliError::InvalidCampaign { faults, .. }) = read(&path) else {
                panic!("{entry} is refused")
            };
            assert_eq!((faults[0].line, faults[0].column), (2, 3));
            assert!(faults[0].message.contains("an earlier campaign"), "{:?}", faults[0]);
        }
    }

    #[test]
    fn directories_and_missing_files_are_errors() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path()).unwrap_err().exit(), Exit::Failure);
        assert_eq!(read(&root.path().join("no")).unwrap_err().exit(), Exit::NotFound);
    }
}
