//! The connection to a coordinator: one method for each question, answers as plain values, errors
//! in words for the user.
//!
//! Besides `bench`, the only module that knows gRPC. Must not print.

mod failure;

use std::time::Duration;

use cambrian_proto::v1;
use cambrian_proto::v1::campaign_service_client::CampaignServiceClient;
use cambrian_proto::v1::fleet_service_client::FleetServiceClient;
use cambrian_proto::v1::token_service_client::TokenServiceClient;
use cambrian_transport::client::{Bearer, Credentials, DialError};
use cambrian_transport::failure::cause;
use cambrian_transport::probe;
use cambrian_transport::standby::{Addresses, Next, Standby};
use tokio::time::{Instant, sleep};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::error::CliError;
use crate::results::accuracy;
use crate::results::token::TokenRecord;
use crate::results::{Campaign, Candidate, Explanation, Front, Metric, Worker};
use crate::snippet::Fault;
use failure::{COORDINATOR, Topic, is_of_connection, of_status, reason, unreachable};

/// Fronts of large campaigns are larger than the usual 4 MiB.
const MAX_MESSAGE: usize = 256 << 20;
const CONNECT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long coordinators of which none leads at present are waited for, and how often they are asked.
const ELECTION: Duration = Duration::from_secs(15);
const ELECTION_PAUSE: Duration = Duration::from_millis(300);
/// Candidates a page.
pub(crate) const PAGE: u32 = 1000;

/// A connected client. Cloning it shares the connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    wires: Wires,
    addresses: Addresses,
    credentials: Credentials,
}

/// A connection to one coordinator.
#[derive(Debug, Clone)]
struct Wires {
    service: CampaignServiceClient<Wire>,
    tokens: TokenServiceClient<Wire>,
    fleet: FleetServiceClient<Wire>,
}

/// A connection that shows the token with every call.
type Wire = InterceptedService<Channel, Bearer>;

/// What to explain.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    Candidate { campaign: u32, ordinal: u32 },
    Task(u64),
    Campaign(String),
    Worker(String),
}

/// Why there is no connection.
enum Undialled {
    /// The address, or what belongs to it, cannot be used.
    Unfit(CliError),
    /// Nobody answers.
    Unanswered(tonic::transport::Error),
}

/// `HOST:PORT` means `http://HOST:PORT`.
fn url(text: &str) -> String {
    match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    }
}

/// The endpoint at an address.
fn endpoint(text: &str, credentials: &Credentials) -> Result<Endpoint, CliError> {
    let endpoint = credentials.endpoint(&url(text)).map_err(|error| undialled(text, &error))?;
    Ok(endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(CONNECT)
        .keep_alive_while_idle(true))
}

/// A connection to the coordinator at an address.
async fn dial(address: &str, credentials: &Credentials) -> Result<Wires, Undialled> {
    let endpoint = endpoint(address, credentials).map_err(Undialled::Unfit)?;
    let bearer = credentials.bearer();
    let bearer = bearer.map_err(|error| Undialled::Unfit(undialled(address, &error)))?;
    let channel = endpoint.connect().await.map_err(Undialled::Unanswered)?;
    let tokens = TokenServiceClient::with_interceptor(channel.clone(), bearer.clone());
    let fleet = FleetServiceClient::with_interceptor(channel.clone(), bearer.clone());
    let service = CampaignServiceClient::with_interceptor(channel, bearer)
        .max_decoding_message_size(MAX_MESSAGE);
    Ok(Wires { service, tokens, fleet })
}

/// That none of several answers, each with its reason.
async fn none_answers(
    silent: Vec<(String, tonic::transport::Error)>,
    credentials: &Credentials,
) -> CliError {
    let (mut endpoints, mut reasons, mut ways_out) = (Vec::new(), Vec::new(), Vec::new());
    for (endpoint, error) in silent {
        let found = match cause(&error) {
            Some(cause) => Some(cause),
            // What a connection without encryption says is all there is.
            None if endpoint.starts_with("https:") => probe::cause(&endpoint, credentials).await,
            None => None,
        };
        match found {
            Some(cause) => {
                reasons.push(cause.what);
                if !ways_out.contains(&cause.way_out) {
                    ways_out.push(cause.way_out);
                }
            }
            None => reasons.push(reason(&error)),
        }
        endpoints.push(endpoint);
    }
    CliError::Unreachable {
        what: COORDINATOR,
        endpoint: endpoints.join(", "),
        reason: reasons.join("; "),
        help: (!ways_out.is_empty()).then(|| ways_out.join("\n")),
    }
}

fn undialled(text: &str, error: &DialError) -> CliError {
    let (message, help) = match error {
        DialError::Address(reason) => (
            format!("`{text}` is no endpoint of a coordinator: {reason}"),
            "write http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:7878",
        ),
        error => (
            format!("the coordinator at {text} cannot be dialled: {error}"),
            "--tls-ca, --tls-certificate, --tls-key, --tls-server-name and --token-file name what \
             is needed; docs/security.md explains them",
        ),
    };
    CliError::Usage { message, help: help.to_owned() }
}

/// The campaign of this number or name.
fn reference(campaign: &str) -> Result<v1::CampaignReference, CliError> {
    if campaign.is_empty() {
        return Err(CliError::Usage {
            message: "the name of the campaign is empty".to_owned(),
            help: "name a campaign by its number or its name; `cambrian list` shows both"
                .to_owned(),
        });
    }
    Ok(v1::CampaignReference { number_or_name: campaign.to_owned() })
}

impl Client {
    /// Connects to the first coordinator that answers of those in `addresses`, which commas separate.
    ///
    /// # Errors
    /// [`CliError::Usage`] for a malformed address, [`CliError::Unreachable`] if nobody answers.
    pub(crate) async fn connect(
        addresses: &str,
        credentials: &Credentials,
    ) -> Result<Self, CliError> {
        let listed: Vec<String> = addresses.split(',').map(|text| text.trim().to_owned()).collect();
        for address in &listed {
            endpoint(address, credentials)?;
        }
        let mut addresses = Addresses::new(listed);
        let mut silent = Vec::new();
        loop {
            match dial(addresses.present(), credentials).await {
                Ok(wires) => {
                    return Ok(Self { wires, addresses, credentials: credentials.clone() });
                }
                Err(Undialled::Unanswered(error)) => {
                    silent.push((addresses.present().to_owned(), error));
                }
                Err(Undialled::Unfit(error)) => return Err(error),
            }
            if matches!(addresses.failed(None), Next::Pause { .. }) {
                return Err(none_answers(silent, credentials).await);
            }
        }
    }

    /// Asks until a coordinator answers that leads. With `repeatable`, a connection that breaks is no
    /// reason to give up either, if there is another coordinator.
    async fn ask<R>(
        &mut self,
        topic: Topic<'_>,
        repeatable: bool,
        mut call: impl AsyncFnMut(&mut Wires) -> Result<tonic::Response<R>, Status>,
    ) -> Result<R, CliError> {
        let give_up = Instant::now() + ELECTION;
        loop {
            let status = match call(&mut self.wires).await {
                Ok(answer) => {
                    self.addresses.served();
                    return Ok(answer.into_inner());
                }
                Err(status) => status,
            };
            let refusal = Standby::of(&status);
            let broken = matches!(status.code(), Code::Unavailable | Code::Unknown);
            if refusal.is_none() && !(repeatable && broken && self.addresses.are_several()) {
                return Err(self.failure(&status, topic).await);
            }
            self.move_on((&status, topic), refusal, give_up).await?;
        }
    }

    /// Connects to the next coordinator, waiting between rounds.
    async fn move_on(
        &mut self,
        (status, topic): (&Status, Topic<'_>),
        mut refusal: Option<Standby>,
        give_up: Instant,
    ) -> Result<(), CliError> {
        loop {
            if let Next::Pause { .. } = self.addresses.failed(refusal.take().as_ref()) {
                if Instant::now() >= give_up {
                    return Err(self.failure(status, topic).await);
                }
                sleep(ELECTION_PAUSE).await;
            }
            if let Ok(wires) = dial(self.addresses.present(), &self.credentials).await {
                self.wires = wires;
                return Ok(());
            }
        }
    }

    /// A status in words for the user.
    async fn failure(&self, status: &Status, topic: Topic<'_>) -> CliError {
        let endpoint = self.addresses.present();
        if let Some(cause) = cause(status) {
            return unreachable(endpoint, cause);
        }
        if is_of_connection(status)
            && let Some(cause) = probe::cause(&url(endpoint), &self.credentials).await
        {
            return unreachable(endpoint, cause);
        }
        of_status(status, topic, endpoint)
    }

    fn lacking(&self, what: &str) -> CliError {
        CliError::Coordinator(format!("its answer lacks the {what}"))
    }

    /// Submits a campaign; faults are an answer.
    pub(crate) async fn submit(
        &mut self,
        yaml: &str,
        submission: [u8; 16],
    ) -> Result<Result<u32, Vec<Fault>>, CliError> {
        let request =
            v1::SubmitCampaignRequest { yaml: yaml.to_owned(), submission: submission.to_vec() };
        let answer = self
            .ask(Topic::Cluster, true, async |wires| {
                wires.service.submit_campaign(request.clone()).await
            })
            .await?;
        if answer.faults.is_empty() {
            return Ok(Ok(answer.campaign));
        }
        Ok(Err(answer.faults.into_iter().map(Into::into).collect()))
    }

    /// All campaigns.
    pub(crate) async fn campaigns(&mut self) -> Result<Vec<Campaign>, CliError> {
        let request = v1::ListCampaignsRequest {};
        let answer = self
            .ask(Topic::Cluster, true, async |wires| wires.service.list_campaigns(request).await)
            .await?;
        Ok(answer.campaigns.into_iter().map(Into::into).collect())
    }

    /// One campaign, by number or name.
    pub(crate) async fn campaign(&mut self, campaign: &str) -> Result<Campaign, CliError> {
        let request = v1::GetCampaignRequest { campaign: Some(reference(campaign)?) };
        let answer = self
            .ask(Topic::Campaign, true, async |wires| {
                wires.service.get_campaign(request.clone()).await
            })
            .await?;
        answer.campaign.map(Into::into).ok_or_else(|| self.lacking("campaign"))
    }

    /// Pauses a campaign.
    pub(crate) async fn pause(&mut self, campaign: &str) -> Result<(), CliError> {
        let request = v1::PauseCampaignRequest { campaign: Some(reference(campaign)?) };
        self.ask(Topic::Campaign, true, async |wires| {
            wires.service.pause_campaign(request.clone()).await
        })
        .await
        .map(drop)
    }

    /// Lets a paused campaign go on.
    pub(crate) async fn resume(&mut self, campaign: &str) -> Result<(), CliError> {
        let request = v1::ResumeCampaignRequest { campaign: Some(reference(campaign)?) };
        self.ask(Topic::Campaign, true, async |wires| {
            wires.service.resume_campaign(request.clone()).await
        })
        .await
        .map(drop)
    }

    /// Ends a campaign for good.
    pub(crate) async fn cancel(&mut self, campaign: &str) -> Result<(), CliError> {
        let request = v1::CancelCampaignRequest { campaign: Some(reference(campaign)?) };
        self.ask(Topic::Campaign, true, async |wires| {
            wires.service.cancel_campaign(request.clone()).await
        })
        .await
        .map(drop)
    }

    /// The updates of a campaign.
    pub(crate) async fn watch(
        &mut self,
        campaign: &str,
    ) -> Result<Streaming<v1::WatchCampaignResponse>, CliError> {
        let request = v1::WatchCampaignRequest { campaign: Some(reference(campaign)?) };
        self.ask(Topic::Campaign, true, async |wires| {
            wires.service.watch_campaign(request.clone()).await
        })
        .await
    }

    /// The next message of a watch, `None` at its end.
    pub(crate) async fn next_update(
        &self,
        updates: &mut Streaming<v1::WatchCampaignResponse>,
    ) -> Result<Option<v1::WatchCampaignResponse>, CliError> {
        match updates.message().await {
            Ok(update) => Ok(update),
            Err(status) => Err(self.failure(&status, Topic::Campaign).await),
        }
    }

    /// The front of a campaign.
    pub(crate) async fn front(&mut self, campaign: &str) -> Result<Front, CliError> {
        let request = v1::GetFrontRequest { campaign: Some(reference(campaign)?) };
        let answer = self
            .ask(Topic::Campaign, true, async |wires| {
                wires.service.get_front(request.clone()).await
            })
            .await?;
        answer.front.map(Into::into).ok_or_else(|| self.lacking("front"))
    }

    /// Candidates of a campaign in order of proposal, at most `limit`, page by page.
    pub(crate) async fn candidates(
        &mut self,
        campaign: &str,
        statuses: &[v1::CandidateStatus],
        limit: Option<u32>,
    ) -> Result<(Vec<Metric>, Vec<Candidate>), CliError> {
        let (mut after, mut metrics) = (0, Vec::new());
        let mut candidates: Vec<Candidate> = Vec::new();
        loop {
            let wanted = limit.map(|limit| limit.saturating_sub(candidates.len() as u32));
            if wanted == Some(0) && !metrics.is_empty() {
                return Ok((metrics, candidates));
            }
            let request = v1::ListCandidatesRequest {
                campaign: Some(reference(campaign)?),
                after,
                page_size: wanted.unwrap_or(PAGE).clamp(1, PAGE),
                statuses: statuses.iter().map(|status| (*status).into()).collect(),
            };
            let answer = self
                .ask(Topic::Campaign, true, async |wires| {
                    wires.service.list_candidates(request.clone()).await
                })
                .await?;
            metrics = answer.metrics.into_iter().map(Into::into).collect();
            let room = wanted.unwrap_or(PAGE) as usize;
            let page = accuracy::candidates(&metrics, answer.candidates);
            candidates.extend(page.into_iter().take(room));
            if answer.next_after <= after {
                return Ok((metrics, candidates));
            }
            after = answer.next_after;
        }
    }

    /// A new token: the token itself, which nobody can read again, and what is known of it.
    pub(crate) async fn create_token(
        &mut self,
        role: v1::TokenRole,
        name: &str,
        valid_micros: u64,
    ) -> Result<(String, TokenRecord), CliError> {
        let request =
            v1::CreateTokenRequest { role: role.into(), name: name.to_owned(), valid_micros };
        let answer = self
            .ask(Topic::Token, false, async |wires| {
                wires.tokens.create_token(request.clone()).await
            })
            .await?;
        let record = answer.record.ok_or_else(|| self.lacking("token"))?;
        Ok((answer.token, TokenRecord::of(record, 0)))
    }

    /// Every token that ever was, without the tokens themselves.
    pub(crate) async fn list_tokens(&mut self) -> Result<Vec<TokenRecord>, CliError> {
        let request = v1::ListTokensRequest {};
        let answer = self
            .ask(Topic::Token, true, async |wires| wires.tokens.list_tokens(request).await)
            .await?;
        let now = answer.now_micros;
        Ok(answer.tokens.into_iter().map(|record| TokenRecord::of(record, now)).collect())
    }

    /// Refuses a token from now on.
    pub(crate) async fn revoke_token(&mut self, id: &str) -> Result<TokenRecord, CliError> {
        let request = v1::RevokeTokenRequest { id: id.to_owned() };
        let answer = self
            .ask(Topic::Token, true, async |wires| wires.tokens.revoke_token(request.clone()).await)
            .await?;
        let record = answer.record.ok_or_else(|| self.lacking("token"))?;
        Ok(TokenRecord::of(record, 0))
    }

    /// Lets a worker finish and leave; or leave at once.
    pub(crate) async fn drain_worker(
        &mut self,
        worker: &str,
        at_once: bool,
    ) -> Result<Worker, CliError> {
        let request = v1::DrainWorkerRequest { worker: worker.to_owned(), at_once };
        let answer = self
            .ask(Topic::Worker(worker), true, async |wires| {
                wires.fleet.drain_worker(request.clone()).await
            })
            .await?;
        answer.worker.map(Into::into).ok_or_else(|| self.lacking("worker"))
    }

    /// Gives a worker work again.
    pub(crate) async fn release_worker(&mut self, worker: &str) -> Result<Worker, CliError> {
        let request = v1::ReleaseWorkerRequest { worker: worker.to_owned() };
        let answer = self
            .ask(Topic::Worker(worker), true, async |wires| {
                wires.fleet.release_worker(request.clone()).await
            })
            .await?;
        answer.worker.map(Into::into).ok_or_else(|| self.lacking("worker"))
    }

    /// Why something is, or is not, running.
    pub(crate) async fn explain(&mut self, subject: Subject) -> Result<Explanation, CliError> {
        use v1::explain_request::Subject as Wire;
        let (topic, subject) = match &subject {
            &Subject::Candidate { campaign, ordinal } => {
                (Topic::Candidate, Wire::Candidate(v1::CandidateId { campaign, ordinal }))
            }
            &Subject::Task(task) => (Topic::Task, Wire::Task(task)),
            Subject::Campaign(campaign) => (Topic::Campaign, Wire::Campaign(reference(campaign)?)),
            Subject::Worker(worker) => (Topic::Worker(worker), Wire::Worker(worker.clone())),
        };
        let request = v1::ExplainRequest { subject: Some(subject) };
        let answer =
            self.ask(topic, true, async |wires| wires.service.explain(request.clone()).await);
        answer.await.map(Into::into)
    }

    /// All workers that ever registered.
    pub(crate) async fn workers(&mut self) -> Result<Vec<Worker>, CliError> {
        let request = v1::ListWorkersRequest {};
        let answer = self
            .ask(Topic::Cluster, true, async |wires| wires.service.list_workers(request).await)
            .await?;
        Ok(answer.workers.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> Result<Endpoint, CliError> {
        endpoint(text, &Credentials::default())
    }

    #[test]
    fn endpoints_may_leave_out_the_scheme() {
        for text in ["127.0.0.1:7878", "http://host:1", "http://[::1]:7743/", "host:65535"] {
            assert!(good(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn bad_endpoints_are_explained() {
        let cases = [
            ("", "host and a port"),
            ("host", "host and a port"),
            ("host:99999", "host and a port"),
            (":7743", "host and a port"),
            ("ftp://host:1", "`ftp` is neither"),
            ("https://host:1", "https needs `ca`"),
            ("http://host:1/path", "has a path"),
        ];
        for (bad, expected) in cases {
            let error = good(bad).unwrap_err();
            assert!(matches!(error, CliError::Usage { .. }), "{bad}");
            assert!(error.to_string().contains(expected), "{bad}: {error}");
        }
    }
}
