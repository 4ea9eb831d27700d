//! The stream of updates, resumed when the coordinator goes away for a while.
//!
//! Must not know how updates are shown.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use cambrian_transport::client::Credentials;

use crate::client::Client;
use crate::error::CliError;
use crate::results::{Campaign, CampaignStatus, Update};

/// How long a coordinator may be away before the watch gives up.
const PATIENCE: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Whoever shows the updates.
pub(crate) trait Viewer {
    /// A new update.
    fn update(&mut self, update: Update) -> Result<(), CliError>;
    /// The coordinator does not answer at present; the reason.
    fn away(&mut self, reason: &str);
}

/// Hands every update to `viewer` until one shows the campaign finished, and returns that.
///
/// # Errors
/// When the campaign is unknown, the viewer fails, or the coordinator stays away for two minutes.
pub(crate) async fn until_finished(
    (endpoint, credentials): (&str, &Credentials),
    campaign: &str,
    viewer: &mut impl Viewer,
) -> Result<Campaign, CliError> {
    let mut pause = FIRST_PAUSE;
    let mut silent_since = Instant::now();
    loop {
        let ended = match stream((endpoint, credentials), campaign, viewer, &mut silent_since).await
        {
            Ok(Some(campaign)) => return Ok(campaign),
            Ok(None) => None,
            Err(error) if error.is_outage() => Some(error),
            Err(error) => return Err(error),
        };
        if silent_since.elapsed() < LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        if let Some(error) = ended {
            if silent_since.elapsed() > PATIENCE {
                return Err(error);
            }
            viewer.away(&error.to_string());
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One stream to its end; the finished campaign, or `None` if it ended before.
async fn stream(
    (endpoint, credentials): (&str, &Credentials),
    campaign: &str,
    viewer: &mut impl Viewer,
    silent_since: &mut Instant,
) -> Result<Option<Campaign>, CliError> {
    let mut client = Client::connect(endpoint, credentials).await?;
    let mut updates = client.watch(campaign).await?;
    while let Some(message) = client.next_update(&mut updates).await? {
        *silent_since = Instant::now();
        let Some(update) = Update::read(message) else { continue };
        let over =
            (update.campaign.status == CampaignStatus::Finished).then(|| update.campaign.clone());
        viewer.update(update)?;
        if over.is_some() {
            return Ok(over);
        }
    }
    Ok(None)
}
