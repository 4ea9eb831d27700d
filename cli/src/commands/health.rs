//! `cambrian health`: whether something needs a hand, for people and for what watches a cluster.
//!
//! Must not know what needs a hand: `present::health` does.

use super::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::present::health::Health;

/// # Errors
/// When the coordinator does not answer; [`CliError::Silent`] with [`Exit::Unhealthy`] if something needs a hand.
pub(super) async fn run(context: &Context) -> Result<(), CliError> {
    let mut client = context.client().await?;
    let campaigns = client.campaigns().await?;
    let health = Health::of(&campaigns, &client.workers().await?);
    let output = context.output;
    match output.json {
        true => output.object(&health)?,
        false => output.text(&health.text(output.style))?,
    }
    match health.healthy {
        true => Ok(()),
        false => Err(CliError::Silent(Exit::Unhealthy)),
    }
}
