//! `cambrian explain`: why something is, or is not, running.

use cambrian_core::id::{CandidateId, TaskId};

use super::Context;
use crate::arguments::{ExplainArguments, SubjectKind};
use crate::client::Subject;
use crate::error::CliError;

fn subject(given: &ExplainArguments) -> Result<Subject, CliError> {
    let usage = |message: String| CliError::Usage {
        message,
        help: "`cambrian explain candidate 3/42`, `task 57`, `campaign 3` or `worker NAME`".into(),
    };
    let text = given.subject.as_str();
    Ok(match given.kind {
        SubjectKind::Candidate => {
            let id: CandidateId = text
                .parse()
                .map_err(|error: cambrian_core::id::ParseIdError| usage(error.to_string()))?;
            Subject::Candidate { campaign: id.campaign.0, ordinal: id.ordinal.0 }
        }
        SubjectKind::Task => {
            let id: TaskId = text
                .parse()
                .map_err(|error: cambrian_core::id::ParseIdError| usage(error.to_string()))?;
            Subject::Task(id.0)
        }
        SubjectKind::Campaign => Subject::Campaign(text.to_owned()),
        SubjectKind::Worker => Subject::Worker(text.to_owned()),
    })
}

/// # Errors
/// When the subject is malformed or unknown, or the coordinator does not answer.
pub(super) async fn run(context: &Context, given: &ExplainArguments) -> Result<(), CliError> {
    let subject = subject(given)?;
    let explanation = context.client().await?.explain(subject).await?;
    let output = context.output;
    if output.json {
        return output.object(&explanation);
    }
    let mut text = format!("{}\n", output.style.strong(&explanation.headline));
    for detail in &explanation.details {
        text += &format!("  {detail}\n");
    }
    output.text(&text)
}
