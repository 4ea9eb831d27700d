//! Exit codes: one number for each way a command can end, so that scripts can tell them apart.
//!
//! The table is documented in `docs/cli.md`; a test keeps both equal. Must not know why a command
//! ended the way it did.

/// How a command ended, as the number the shell sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Success = 0,
    /// A file, the disk or the coordinator failed in a way that has no number of its own.
    Failure = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// The campaign file has faults.
    InvalidCampaign = 3,
    /// There is no such campaign, candidate, task, worker or file.
    NotFound = 4,
    /// The coordinator does not answer, or says that it cannot at present.
    Unreachable = 5,
    /// The campaign ended without any scored candidate.
    NoResult = 6,
    /// The journal contradicts itself, or its replay differs from what it recorded.
    VerificationFailed = 7,
    /// The request makes no sense in the present state.
    Refused = 8,
    /// No worker can serve the campaign, or none stays alive.
    NoWorker = 9,
    /// The coordinator wants a token, or another one.
    Denied = 10,
    /// Something of the cluster needs a hand.
    Unhealthy = 11,
    /// Ended by Ctrl-C or SIGTERM; what was done so far is kept.
    Interrupted = 130,
}

impl Exit {
    /// Every code with its line of documentation.
    pub(crate) const ALL: [(Exit, &'static str); 13] = [
        (Exit::Success, "done"),
        (Exit::Failure, "a file, the disk or the coordinator failed"),
        (Exit::Usage, "the command line cannot be understood"),
        (Exit::InvalidCampaign, "the campaign file has faults"),
        (Exit::NotFound, "no such campaign, candidate, task, worker or file"),
        (Exit::Unreachable, "the coordinator does not answer, or says that it cannot at present"),
        (Exit::NoResult, "the campaign ended without any scored candidate"),
        (Exit::VerificationFailed, "the journal contradicts itself or its replay"),
        (Exit::Refused, "the request makes no sense in the present state"),
        (Exit::NoWorker, "no worker can serve the campaign, or none stays alive"),
        (Exit::Denied, "the coordinator wants a token, or another one"),
        (Exit::Unhealthy, "`cambrian health` found something that needs a hand"),
        (Exit::Interrupted, "interrupted; what was done so far is kept"),
    ];

    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// A stable word for machines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Exit::Success => "success",
            Exit::Failure => "failure",
            Exit::Usage => "usage",
            Exit::InvalidCampaign => "invalid_campaign",
            Exit::NotFound => "not_found",
            Exit::Unreachable => "unreachable",
            Exit::NoResult => "no_result",
            Exit::VerificationFailed => "verification_failed",
            Exit::Refused => "refused",
            Exit::NoWorker => "no_worker",
            Exit::Denied => "denied",
            Exit::Unhealthy => "unhealthy",
            Exit::Interrupted => "interrupted",
        }
    }

    /// The table as it is shown below `cambrian --help`.
    pub(crate) fn table() -> String {
        let lines = Self::ALL.iter().map(|(exit, text)| format!("  {:>3}  {text}", exit.code()));
        format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_distinct() {
        for (at, (exit, _)) in Exit::ALL.iter().enumerate() {
            for (other, _) in &Exit::ALL[at + 1..] {
                assert_ne!(exit.code(), other.code());
                assert_ne!(exit.name(), other.name());
            }
        }
    }

    #[test]
    fn the_document_lists_every_code() {
        let document = include_str!("../../docs/cli.md");
        for (exit, text) in Exit::ALL {
            let row = format!("| {} | `{}` | {text} |", exit.code(), exit.name());
            assert!(document.contains(&row), "docs/cli.md lacks the row\n{row}");
        }
    }
}
