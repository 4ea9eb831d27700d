//! `cambrian explain`: why something is, or is not, running.
//!
//! Must not know reasons: the words are the coordinator's.

use cambrian_core::id::{CandidateId, TaskId};

use super::Context;
use crate::arguments::{ExplainArguments, SubjectKind};
use crate::client::Subject;
use crate::error::CliError;
use crate::results::Explanation;
use crate::terminal::Style;

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
    output.text(&text(&explanation, output.style))
}

/// The headline, and below it the details, all of whose lines are set in, so that none passes for another headline.
fn text(explanation: &Explanation, style: Style) -> String {
    let mut text = format!("{}\n", style.strong(&explanation.headline.to_string()));
    for detail in &explanation.details {
        text += &format!("  {}\n", detail.prose().replace('\n', "\n  "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foreign::tests::{HOSTILE, assert_legible};

    #[test]
    fn an_explanation_cannot_command_a_terminal_nor_pass_for_two() {
        let details = vec![HOSTILE.into(), "crash: a\nworker b is gone".into()];
        let explanation = Explanation { headline: HOSTILE.into(), details };
        let text = text(&explanation, Style::plain());
        assert_legible(&text);
        assert!(text.ends_with("\n  crash: a\n  worker b is gone\n"), "{text}");
    }
}
