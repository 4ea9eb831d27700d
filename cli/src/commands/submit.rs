//! `cambrian submit`: a campaign file to a coordinator.
//!
//! Must not look for faults: `campaign_file` and the coordinator do.

use serde_json::json;

use super::Context;
use crate::arguments::SubmitArguments;
use crate::error::CliError;
use crate::{campaign_file, watch};

/// # Errors
/// When the file has faults or the coordinator refuses it.
pub(super) async fn run(context: &Context, given: &SubmitArguments) -> Result<(), CliError> {
    let campaign = campaign_file::read_for_coordinator(&given.file)?;
    campaign.warn(&given.file, context.output);
    let mut client = context.client().await?;
    let submission = *uuid::Uuid::new_v4().as_bytes();
    // The coordinator may be of another version and find faults of its own.
    let submitted = client.submit(&campaign.text, submission).await;
    let number = submitted.map_err(CliError::of_submission)?.map_err(|faults| {
        CliError::InvalidCampaign { file: given.file.clone(), text: campaign.text.clone(), faults }
    })?;
    let output = context.output;
    if output.json {
        output.object(&json!({
            "campaign": number,
            "name": &*campaign.spec.name,
            "warnings": campaign.warnings(),
        }))?;
    } else if output.quiet {
        output.text(&format!("{number}\n"))?;
    } else {
        output.text(&format!("campaign {number} ({}) is submitted\n", campaign.spec.name))?;
    }
    if given.watch {
        return watch::run(context, &number.to_string()).await;
    }
    output.hint(&format!("`cambrian watch {number}` follows it"));
    Ok(())
}
