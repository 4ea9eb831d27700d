//! `cambrian pause`, `resume` and `cancel`.
//!
//! Must not know which campaign can be steered: the coordinator refuses.

use serde_json::json;

use super::Context;
use crate::error::CliError;
use crate::present::summary;

/// # Errors
/// When the coordinator does not answer, knows no such campaign, or it is over.
pub(super) async fn pause(context: &Context, campaign: &str) -> Result<(), CliError> {
    let mut client = context.client().await?;
    client.pause(campaign).await?;
    report(context, client, campaign).await
}

/// # Errors
/// As [`pause`].
pub(super) async fn resume(context: &Context, campaign: &str) -> Result<(), CliError> {
    let mut client = context.client().await?;
    client.resume(campaign).await?;
    report(context, client, campaign).await
}

/// # Errors
/// As [`pause`].
pub(super) async fn cancel(context: &Context, campaign: &str) -> Result<(), CliError> {
    let mut client = context.client().await?;
    client.cancel(campaign).await?;
    report(context, client, campaign).await
}

/// Prints how the campaign stands.
async fn report(
    context: &Context,
    mut client: crate::client::Client,
    campaign: &str,
) -> Result<(), CliError> {
    let campaign = client.campaign(campaign).await?;
    let output = context.output;
    if output.json {
        return output.object(&json!({ "campaign": campaign }));
    }
    if output.quiet {
        return Ok(());
    }
    output.text(&format!("{}\n", summary::headline(&campaign)))
}
