//! Following a campaign: updates from the coordinator, shown as they come.
//!
//! `follow` reads and reconnects, `board` turns what was read into lines, `display` shows them.
//!
//! Must not steer what it follows: Ctrl-C ends the watch alone.

mod board;
pub(crate) mod display;
pub(crate) mod follow;
mod pace;

use crate::commands::Context;
use crate::error::CliError;
use crate::present::{summary, table};
use crate::results::Front;
use display::{Display, Place};

/// `cambrian watch`: follows a campaign until it is finished, then shows its front.
///
/// # Errors
/// When the coordinator does not answer, knows no such campaign, or the campaign ended without a
/// scored candidate; [`CliError::Interrupted`] on Ctrl-C.
pub(crate) async fn run(context: &Context, campaign: &str) -> Result<(), CliError> {
    let output = context.output;
    let mut client = context.client().await?;
    // By number from here on: a name may pass to a newer campaign.
    let number = client.campaign(campaign).await?.id.to_string();
    let mut display = Display::new(output, Place::Stdout, output.quiet);
    let credentials = context.credentials()?;
    let place = (context.global.endpoint.as_str(), &credentials);
    let last = tokio::select! {
        last = follow::until_finished(place, &number, &mut display) => last?,
        signal = tokio::signal::ctrl_c() => {
            signal.map_err(|error| CliError::Internal(format!("cannot listen for Ctrl-C: {error}")))?;
            display.close();
            let help = format!("the campaign goes on; `cambrian watch {number}` follows it again");
            return Err(CliError::Interrupted { help });
        }
    };
    display.close();
    let front: Front = client_again(context, client).await?.front(&number).await?;
    if output.json {
        // The last line of the updates says it all.
    } else {
        output.text(&format!("{}\n", summary::headline(&last)))?;
        output.text(&table::front(&front, table::Columns::default(), output.look()))?;
        output.text(&format!("{}\n", summary::hypervolume(&last)))?;
    }
    if summary::is_fruitless(&last) {
        return Err(CliError::NoResult {
            message: summary::without_score(&last),
            help: format!("`cambrian candidates {number}` shows why each failed"),
        });
    }
    Ok(())
}

/// A client that works: the coordinator may have been restarted since the last question.
async fn client_again(
    context: &Context,
    mut client: crate::client::Client,
) -> Result<crate::client::Client, CliError> {
    match client.campaigns().await {
        Ok(_) => Ok(client),
        Err(_) => context.client().await,
    }
}
