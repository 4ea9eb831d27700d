//! What can go wrong in a command, in words for its user: what, where, and what to do.
//!
//! Each kind has its exit code. Must not print: `main` does, once.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use thiserror::Error;

use crate::exit::Exit;
use crate::foreign::legible;
use crate::snippet::{self, Fault};
use crate::terminal::Style;

/// Why a command ended without doing what it was asked for.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// Arguments that parse but contradict each other or the world.
    #[error("{message}")]
    Usage { message: String, help: String },
    /// A campaign file with faults.
    #[error("{} is not a valid campaign: {}", file.display(), count(faults.len(), "fault"))]
    InvalidCampaign { file: PathBuf, text: String, faults: Vec<Fault> },
    /// Something that was named is not there.
    #[error("{message}")]
    NotFound { message: String, help: String },
    /// Nobody answers at the endpoint.
    #[error("the {what} at {endpoint} does not answer: {reason}")]
    Unreachable { what: &'static str, endpoint: String, reason: String, help: Option<String> },
    /// A coordinator answers, and says that it cannot do what was asked at present.
    #[error("the coordinator at {endpoint} answers that it cannot do this now: {reason}")]
    Unable { endpoint: String, reason: String },
    /// A request failed that may have been carried out all the same; `doubt` says what is unknown.
    #[error("{source}; {doubt}")]
    Uncertain { source: Box<CliError>, doubt: &'static str, help: String },
    /// The coordinator wants a token, or another one.
    #[error("{message}")]
    Denied { message: String, help: String },
    /// The state does not allow it.
    #[error("{message}")]
    Refused { message: String, help: String },
    /// A campaign without a scored candidate.
    #[error("{message}")]
    NoResult { message: String, help: String },
    /// The journal is not in order.
    #[error("{message}")]
    VerificationFailed { message: String, help: String },
    /// The campaign is not served.
    #[error("{message}")]
    NoWorker { message: String, help: String },
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted { help: String },
    /// A file or directory that cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// The journal of a run has no room left; both paths are from the root.
    #[error("no space left on the disk of {}; the log is {}", journal.display(), log.display())]
    DiskFull { journal: PathBuf, log: PathBuf },
    /// The coordinator answered with an error of its own.
    #[error("the coordinator failed: {0}")]
    Coordinator(String),
    /// One of several requests failed after others were done; `done` says which.
    #[error("{source}; {done}")]
    AfterOthers { source: Box<CliError>, done: String },
    /// Ends the command with this code and without a word: all is said, or nobody listens.
    #[error("done")]
    Silent(Exit),
    /// Anything that should not happen, with its place.
    #[error("{0}")]
    Internal(String),
}

/// `1 fault`, `2 faults`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

impl CliError {
    /// An error about the file or directory `path`; for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound if action == "read" => Self::NotFound {
                message: format!("there is no file {}", path.display()),
                help: "check the path; it is relative to the present directory".to_owned(),
            },
            _ => Self::Io { action, path, source },
        }
    }

    /// This error of a submission, which says how to find out whether the campaign was stored where that is unknown.
    pub(crate) fn of_submission(self) -> Self {
        if !self.is_outage() {
            return self;
        }
        let help = format!(
            "`cambrian list` shows whether it is there; submit it again only if it is not\n{}",
            self.help()
        );
        let doubt = "whether the campaign was submitted is not known";
        Self::Uncertain { source: Box::new(self), doubt, help }
    }

    /// Whether the coordinator may answer, or do what was asked, a while later.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unable { .. })
    }

    /// The code of the exit.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::InvalidCampaign { .. } => Exit::InvalidCampaign,
            Self::NotFound { .. } => Exit::NotFound,
            Self::Unreachable { .. } | Self::Unable { .. } => Exit::Unreachable,
            Self::Denied { .. } => Exit::Denied,
            Self::Refused { .. } => Exit::Refused,
            Self::NoResult { .. } => Exit::NoResult,
            Self::VerificationFailed { .. } => Exit::VerificationFailed,
            Self::NoWorker { .. } => Exit::NoWorker,
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::AfterOthers { source, .. } | Self::Uncertain { source, .. } => source.exit(),
            Self::Silent(exit) => *exit,
            Self::Io { .. } | Self::DiskFull { .. } | Self::Coordinator(_) | Self::Internal(_) => {
                Exit::Failure
            }
        }
    }

    /// What to do about it; empty if the message says it all.
    pub(crate) fn help(&self) -> &str {
        match self {
            Self::Usage { help, .. }
            | Self::NotFound { help, .. }
            | Self::Denied { help, .. }
            | Self::Refused { help, .. }
            | Self::NoResult { help, .. }
            | Self::VerificationFailed { help, .. }
            | Self::NoWorker { help, .. }
            | Self::Uncertain { help, .. }
            | Self::Interrupted { help } => help,
            Self::InvalidCampaign { .. } => {
                "configs/campaigns/reference.yaml explains every key; nothing was stored or started"
            }
            Self::Unreachable { help: Some(help), .. } => help,
            Self::Unreachable { what: "database", .. } => "is it running, and is the URL right?",
            Self::Unreachable { .. } => {
                "start one with `cambrian-coordinator`, or name another with --endpoint or the \
                 variable CAMBRIAN_ENDPOINT; write https:// if it serves TLS; `cambrian run` needs \
                 none"
            }
            Self::Unable { .. } => {
                "try again in a moment; if it stays so, the coordinator's log has the details"
            }
            Self::AfterOthers { source, .. } => source.help(),
            Self::Io { .. } => "check that the path exists, is writable and has room left",
            Self::DiskFull { .. } => {
                "make room there, then run the same command again: what was stored is kept"
            }
            Self::Coordinator(_) => "its log has the details",
            Self::Silent(_) | Self::Internal(_) => "",
        }
    }

    /// The error for a person.
    pub(crate) fn render(&self, style: Style) -> String {
        let mut text = String::new();
        if let Self::InvalidCampaign { file, text: source, faults } = self {
            for fault in faults {
                text += &snippet::render(file, source, fault, style);
                text.push('\n');
            }
        }
        text += &format!("{} {}\n", style.error("error:"), legible(&self.to_string()));
        for line in legible(self.help()).lines() {
            text += &format!("  {} {line}\n", style.help("help:"));
        }
        text
    }

    /// The error for a machine: one JSON object.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut error = json!({
            "kind": self.exit().name(),
            "exit_code": self.exit().code(),
            "message": self.to_string(),
            "help": self.help(),
        });
        if let Self::InvalidCampaign { faults, .. } = self {
            error["faults"] = json!(faults);
        }
        json!({ "error": error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_not_found_and_an_unreadable_one_is_a_failure() {
        let path = Path::new("a.yaml");
        let missing = CliError::io("read", path)(io::ErrorKind::NotFound.into());
        assert_eq!(missing.exit(), Exit::NotFound);
        assert_eq!(missing.to_string(), "there is no file a.yaml");
        let refused = CliError::io("read", path)(io::ErrorKind::PermissionDenied.into());
        assert_eq!(refused.exit(), Exit::Failure);
        assert_eq!(refused.to_string(), "cannot read a.yaml: permission denied");
    }

    #[test]
    fn errors_say_what_and_what_to_do() {
        let error = CliError::Unreachable {
            what: "coordinator",
            endpoint: "http://127.0.0.1:1".into(),
            reason: "connection refused".into(),
            help: None,
        };
        let text = error.render(Style::plain());
        assert!(text.starts_with("error: the coordinator at http://127.0.0.1:1 does not answer"));
        assert!(text.contains("\n  help: start one with `cambrian-coordinator`"), "{text}");
    }

    #[test]
    fn a_submission_of_unknown_outcome_says_how_to_look() {
        let unable =
            CliError::Unable { endpoint: "http://127.0.0.1:1".into(), reason: "full".into() };
        let error = unable.of_submission();
        assert!(error.to_string().ends_with("whether the campaign was submitted is not known"));
        assert!(error.help().starts_with("`cambrian list`"), "{}", error.help());
        assert_eq!(error.exit(), Exit::Unreachable);
        let refused = CliError::Refused { message: "no".into(), help: String::new() };
        assert_eq!(refused.of_submission().to_string(), "no");
    }

    #[test]
    fn machines_get_kind_code_and_faults() {
        let fault = Fault {
            path: "seed".into(),
            line: 1,
            column: 7,
            message: "is a text".into(),
            help: None,
        };
        let error = CliError::InvalidCampaign {
            file: "a.yaml".into(),
            text: "seed: x\n".into(),
            faults: vec![fault],
        };
        let json = error.to_json();
        assert_eq!(json["error"]["kind"], "invalid_campaign");
        assert_eq!(json["error"]["exit_code"], 3);
        assert_eq!(json["error"]["faults"][0]["column"], 7);
    }
}
