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

/// A campaign that is followed, over as many streams as it takes.
struct Watch<'a> {
    endpoint: &'a str,
    credentials: &'a Credentials,
    campaign: &'a str,
    /// When the coordinator last sent something.
    silent_since: Instant,
    /// Whether the present stream, or the last one, was let in.
    let_in: bool,
}

/// Hands every update to `viewer` until one shows the campaign finished, and returns that.
///
/// # Errors
/// When the campaign is unknown, the viewer fails, the token does not open a stream, or the coordinator
/// stays away for two minutes.
pub(crate) async fn until_finished(
    (endpoint, credentials): (&str, &Credentials),
    campaign: &str,
    viewer: &mut impl Viewer,
) -> Result<Campaign, CliError> {
    let mut watch =
        Watch { endpoint, credentials, campaign, silent_since: Instant::now(), let_in: false };
    let mut pause = FIRST_PAUSE;
    loop {
        let ended = match watch.stream(viewer).await {
            Ok(Some(campaign)) => return Ok(campaign),
            Ok(None) => None,
            Err(error) if error.is_outage() => Some(error),
            // The token of an open stream was revoked: its file may hold the next one by now.
            Err(CliError::Denied { .. }) if watch.let_in => None,
            Err(error) => return Err(error),
        };
        if watch.silent_since.elapsed() < LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        if let Some(error) = ended {
            if watch.silent_since.elapsed() > PATIENCE {
                return Err(error);
            }
            viewer.away(&error.to_string());
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Watch<'_> {
    /// One stream to its end; the finished campaign, or `None` if it ended before. The token's file is
    /// read anew.
    async fn stream(&mut self, viewer: &mut impl Viewer) -> Result<Option<Campaign>, CliError> {
        self.let_in = false;
        let mut client = Client::connect(self.endpoint, self.credentials).await?;
        let mut updates = client.watch(self.campaign).await?;
        while let Some(message) = client.next_update(&mut updates).await? {
            self.let_in = true;
            self.silent_since = Instant::now();
            let Some(update) = Update::read(message) else { continue };
            let over = (update.campaign.status == CampaignStatus::Finished)
                .then(|| update.campaign.clone());
            viewer.update(update)?;
            if over.is_some() {
                return Ok(over);
            }
        }
        Ok(None)
    }
}
