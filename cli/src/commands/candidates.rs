//! `cambrian candidates`: the candidates of a campaign, filtered, as a table, JSON or CSV.
//!
//! Must not know pages, which `client` turns, nor how a candidate is written.

use cambrian_proto::v1;
use serde_json::json;

use super::Context;
use crate::arguments::{CandidatesArguments, Format, StatusFilter};
use crate::error::CliError;
use crate::present::{csv, table};

/// The most rows of a table unless told otherwise.
const TABLE_ROWS: u32 = 50;

fn wire(status: StatusFilter) -> v1::CandidateStatus {
    match status {
        StatusFilter::Queued => v1::CandidateStatus::Queued,
        StatusFilter::Running => v1::CandidateStatus::Running,
        StatusFilter::Waiting => v1::CandidateStatus::Waiting,
        StatusFilter::Scored => v1::CandidateStatus::Scored,
        StatusFilter::Screened => v1::CandidateStatus::Screened,
        StatusFilter::Infeasible => v1::CandidateStatus::Infeasible,
        StatusFilter::Failed => v1::CandidateStatus::Failed,
    }
}

/// # Errors
/// When the coordinator does not answer or knows no such campaign.
pub(super) async fn run(context: &Context, given: &CandidatesArguments) -> Result<(), CliError> {
    let output = context.output;
    let format = output.format(given.format)?;
    let limit = given.limit.or((format == Format::Table).then_some(TABLE_ROWS));
    let statuses: Vec<_> = given.status.iter().copied().map(wire).collect();
    let mut client = context.client().await?;
    // One more than is shown tells whether there are more.
    let wanted = limit.map(|limit| limit.saturating_add(1));
    let (metrics, mut candidates) =
        client.candidates(&given.campaign.campaign, &statuses, wanted).await?;
    let more = limit.is_some_and(|limit| candidates.len() > limit as usize);
    if let Some(limit) = limit {
        candidates.truncate(limit as usize);
    }
    match format {
        Format::Json => output.object(&json!({
            "metrics": metrics,
            "candidates": candidates,
            "more": more,
        })),
        Format::Csv => output.data(&csv::candidates(&metrics, &candidates)?),
        Format::Table if candidates.is_empty() => output.text("No such candidates.\n"),
        Format::Table => {
            let columns = table::Columns { status: true, genotype: given.genotypes };
            let rows: Vec<_> = candidates.iter().collect();
            output.text(&table::candidates(&metrics, &rows, columns, output.look()))?;
            if more {
                output.hint("there are more; --limit N shows so many, --format csv all of them");
            }
            Ok(())
        }
    }
}
