//! The connection to a coordinator: one method for each question, answers as plain values, errors
//! in words for the user.
//!
//! The only module that knows the transport. Must not print.

use std::time::Duration;

use cambrian_proto::v1;
use cambrian_proto::v1::campaign_service_client::CampaignServiceClient;
use cambrian_proto::v1::fleet_service_client::FleetServiceClient;
use cambrian_proto::v1::token_service_client::TokenServiceClient;
use cambrian_transport::client::{Bearer, Credentials, DialError};
use cambrian_transport::failure;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::error::CliError;
use crate::results::token::TokenRecord;
use crate::results::{Campaign, Candidate, Explanation, Front, Metric, Worker};
use crate::snippet::Fault;

/// Fronts of large campaigns are larger than the usual 4 MiB.
const MAX_MESSAGE: usize = 256 << 20;
const CONNECT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Candidates a page.
pub(crate) const PAGE: u32 = 1000;

/// A connected client. Cloning it shares the connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    service: CampaignServiceClient<Wire>,
    tokens: TokenServiceClient<Wire>,
    fleet: FleetServiceClient<Wire>,
    endpoint: String,
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

/// The endpoint at an address; `HOST:PORT` becomes `http://HOST:PORT`.
fn endpoint(text: &str, credentials: &Credentials) -> Result<Endpoint, CliError> {
    let url = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let endpoint = credentials.endpoint(&url).map_err(|error| undialled(text, &error))?;
    Ok(endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(CONNECT)
        .keep_alive_while_idle(true))
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

/// Why nobody answers, in words.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    failure::of_tls(error).unwrap_or_else(|| failure::innermost(error))
}

fn reference(campaign: &str) -> Option<v1::CampaignReference> {
    Some(v1::CampaignReference { number_or_name: campaign.to_owned() })
}

impl Client {
    /// Connects to the coordinator at `address`.
    ///
    /// # Errors
    /// [`CliError::Usage`] for a malformed address, [`CliError::Unreachable`] if nobody answers.
    pub(crate) async fn connect(
        address: &str,
        credentials: &Credentials,
    ) -> Result<Self, CliError> {
        let endpoint = endpoint(address, credentials)?;
        let bearer = credentials.bearer().map_err(|error| undialled(address, &error))?;
        let channel = endpoint.connect().await.map_err(|error| CliError::Unreachable {
            endpoint: address.to_owned(),
            reason: reason(&error),
        })?;
        let tokens = TokenServiceClient::with_interceptor(channel.clone(), bearer.clone());
        let fleet = FleetServiceClient::with_interceptor(channel.clone(), bearer.clone());
        let service = CampaignServiceClient::with_interceptor(channel, bearer)
            .max_decoding_message_size(MAX_MESSAGE);
        Ok(Self { service, tokens, fleet, endpoint: address.to_owned() })
    }

    /// A status in words for the user.
    fn failure(&self, status: &Status) -> CliError {
        let message = status.message().to_owned();
        if let Some(reason) = failure::of_tls(status) {
            return CliError::Unreachable { endpoint: self.endpoint.clone(), reason };
        }
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => CliError::Denied {
                message,
                help: "CAMBRIAN_TOKEN_FILE or --token-file names the file with the token; \
                       `cambrian token list` shows an administrator what each token may do"
                    .to_owned(),
            },
            Code::ResourceExhausted => {
                CliError::Refused { message, help: "wait a moment, then try again".to_owned() }
            }
            Code::NotFound => CliError::NotFound {
                message,
                help: "`cambrian list` shows the campaigns, `cambrian candidates CAMPAIGN` the \
                       candidates, `cambrian workers` the workers"
                    .to_owned(),
            },
            Code::InvalidArgument | Code::OutOfRange => CliError::Usage {
                message,
                help: "`cambrian help COMMAND` shows what the command takes".to_owned(),
            },
            Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => CliError::Refused {
                message,
                help: "`cambrian explain campaign CAMPAIGN` shows its present state".to_owned(),
            },
            Code::Unavailable | Code::DeadlineExceeded => {
                CliError::Unreachable { endpoint: self.endpoint.clone(), reason: message }
            }
            Code::Unimplemented => CliError::Coordinator(format!(
                "{} is no coordinator of this version ({message})",
                self.endpoint
            )),
            // A connection that breaks in the middle shows as Unknown or Cancelled.
            Code::Unknown | Code::Cancelled => {
                CliError::Unreachable { endpoint: self.endpoint.clone(), reason: message }
            }
            code => CliError::Coordinator(format!("{message} ({code})")),
        }
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
        let answer = self.service.submit_campaign(request).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
        if answer.faults.is_empty() {
            return Ok(Ok(answer.campaign));
        }
        Ok(Err(answer.faults.into_iter().map(Into::into).collect()))
    }

    /// All campaigns.
    pub(crate) async fn campaigns(&mut self) -> Result<Vec<Campaign>, CliError> {
        let answer = self.service.list_campaigns(v1::ListCampaignsRequest {}).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
        Ok(answer.campaigns.into_iter().map(Into::into).collect())
    }

    /// One campaign, by number or name.
    pub(crate) async fn campaign(&mut self, campaign: &str) -> Result<Campaign, CliError> {
        let request = v1::GetCampaignRequest { campaign: reference(campaign) };
        let answer = self.service.get_campaign(request).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
        answer.campaign.map(Into::into).ok_or_else(|| self.lacking("campaign"))
    }

    /// Pauses a campaign.
    pub(crate) async fn pause(&mut self, campaign: &str) -> Result<(), CliError> {
        let request = v1::PauseCampaignRequest { campaign: reference(campaign) };
        let answer = self.service.pause_campaign(request).await;
        answer.map(|_| ()).map_err(|status| self.failure(&status))
    }

    /// Lets a paused campaign go on.
    pub(crate) async fn resume(&mut self, campaign: &str) -> Result<(), CliError> {
        let request = v1::ResumeCampaignRequest { campaign: reference(campaign) };
        let answer = self.service.resume_campaign(request).await;
        answer.map(|_| ()).map_err(|status| self.failure(&status))
    }

    /// Ends a campaign for good.
    pub(crate) async fn cancel(&mut self, campaign: &str) -> Result<(), CliError> {
        let request = v1::CancelCampaignRequest { campaign: reference(campaign) };
        let answer = self.service.cancel_campaign(request).await;
        answer.map(|_| ()).map_err(|status| self.failure(&status))
    }

    /// The updates of a campaign.
    pub(crate) async fn watch(
        &mut self,
        campaign: &str,
    ) -> Result<Streaming<v1::WatchCampaignResponse>, CliError> {
        let request = v1::WatchCampaignRequest { campaign: reference(campaign) };
        let answer = self.service.watch_campaign(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    /// The next message of a watch, `None` at its end.
    pub(crate) async fn next_update(
        &self,
        updates: &mut Streaming<v1::WatchCampaignResponse>,
    ) -> Result<Option<v1::WatchCampaignResponse>, CliError> {
        updates.message().await.map_err(|status| self.failure(&status))
    }

    /// The front of a campaign.
    pub(crate) async fn front(&mut self, campaign: &str) -> Result<Front, CliError> {
        let request = v1::GetFrontRequest { campaign: reference(campaign) };
        let answer = self.service.get_front(request).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
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
                campaign: reference(campaign),
                after,
                page_size: wanted.unwrap_or(PAGE).clamp(1, PAGE),
                statuses: statuses.iter().map(|status| (*status).into()).collect(),
            };
            let answer = self.service.list_candidates(request).await;
            let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
            metrics = answer.metrics.into_iter().map(Into::into).collect();
            let room = wanted.unwrap_or(PAGE) as usize;
            candidates.extend(answer.candidates.into_iter().map(Into::into).take(room));
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
        let answer = self.tokens.create_token(request).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
        let record = answer.record.ok_or_else(|| self.lacking("token"))?;
        Ok((answer.token, TokenRecord::of(record, 0)))
    }

    /// Every token that ever was, without the tokens themselves.
    pub(crate) async fn list_tokens(&mut self) -> Result<Vec<TokenRecord>, CliError> {
        let answer = self.tokens.list_tokens(v1::ListTokensRequest {}).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
        let now = answer.now_micros;
        Ok(answer.tokens.into_iter().map(|record| TokenRecord::of(record, now)).collect())
    }

    /// Refuses a token from now on.
    pub(crate) async fn revoke_token(&mut self, id: &str) -> Result<TokenRecord, CliError> {
        let answer = self.tokens.revoke_token(v1::RevokeTokenRequest { id: id.to_owned() }).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
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
        let answer = self.fleet.drain_worker(request).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
        answer.worker.map(Into::into).ok_or_else(|| self.lacking("worker"))
    }

    /// Gives a worker work again.
    pub(crate) async fn release_worker(&mut self, worker: &str) -> Result<Worker, CliError> {
        let request = v1::ReleaseWorkerRequest { worker: worker.to_owned() };
        let answer = self.fleet.release_worker(request).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
        answer.worker.map(Into::into).ok_or_else(|| self.lacking("worker"))
    }

    /// Why something is, or is not, running.
    pub(crate) async fn explain(&mut self, subject: Subject) -> Result<Explanation, CliError> {
        use v1::explain_request::Subject as Wire;
        let subject = match subject {
            Subject::Candidate { campaign, ordinal } => {
                Wire::Candidate(v1::CandidateId { campaign, ordinal })
            }
            Subject::Task(task) => Wire::Task(task),
            Subject::Campaign(campaign) => {
                Wire::Campaign(v1::CampaignReference { number_or_name: campaign })
            }
            Subject::Worker(worker) => Wire::Worker(worker),
        };
        let answer = self.service.explain(v1::ExplainRequest { subject: Some(subject) }).await;
        answer.map(|found| found.into_inner().into()).map_err(|status| self.failure(&status))
    }

    /// All workers that ever registered.
    pub(crate) async fn workers(&mut self) -> Result<Vec<Worker>, CliError> {
        let answer = self.service.list_workers(v1::ListWorkersRequest {}).await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
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
