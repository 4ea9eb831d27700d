//! What users call: submit, steer and read campaigns.
//!
//! Must not know by which rules callers are let in, nor how a search goes on.

use std::sync::Arc;

use cambrian_core::engine::{Campaign, State, Subject};
use cambrian_core::id::{CampaignId, CandidateId, TaskId};
use cambrian_core::spec::{CampaignSpec, Faults};
use cambrian_proto::convert::campaign::{
    campaign_reference, fault_messages, page_size, statuses, submission,
};
use cambrian_proto::convert::{ConvertError, view};
use cambrian_proto::v1;
use cambrian_proto::v1::campaign_service_server::CampaignService;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::candidates;
use super::earlier::EarlierCampaigns;
use super::hypervolume::HypervolumeCache;
use super::named;
use super::snapshot::CampaignSnapshot;
use super::status::{bad_message, of_call};
use super::watch::Watcher;
use super::{caller, refused};
use crate::access::{Caller, Policy};
use crate::handle::Handle;

/// How many updates wait for a slow watcher; it gets the latest state when it has caught up.
const WATCH_QUEUE: usize = 1;
/// How many campaigns are read at once. Some take seconds, and whoever has gone does not end the reading: others
/// wait, rather than everything else that needs a thread.
const READ_AT_ONCE: usize = 4;

/// Serves `CampaignService`.
pub(crate) struct CampaignServer {
    handle: Handle,
    cache: Arc<HypervolumeCache>,
    stop: CancellationToken,
    policy: Arc<Policy>,
    readings: Arc<Semaphore>,
}

impl CampaignServer {
    /// A server whose watchers end when `stop` is cancelled.
    pub(crate) fn new(handle: Handle, stop: CancellationToken, policy: Arc<Policy>) -> Self {
        let readings = Arc::new(Semaphore::new(READ_AT_ONCE));
        Self { handle, cache: Arc::default(), stop, policy, readings }
    }

    /// Reads from the campaign that a caller's request names.
    async fn read<R: Send + 'static>(
        &self,
        caller: &Caller,
        reference: Option<v1::CampaignReference>,
        read: impl FnOnce(&State, &Campaign) -> R + Send + 'static,
    ) -> Result<R, Status> {
        let reference = campaign_reference(reference).map_err(|error| bad_message(&error))?;
        let (name, caller) = (reference.clone(), caller.name());
        let found = self.handle.query(move |state| {
            let found = named::campaign(state, &name, caller.as_deref());
            found.map(|campaign| read(state, campaign))
        });
        let found = found.await.map_err(|error| of_call(&error))?;
        found.map_err(|unfound| unfound.status(&reference))
    }

    async fn resolve(
        &self,
        caller: &Caller,
        reference: Option<v1::CampaignReference>,
    ) -> Result<CampaignId, Status> {
        self.read(caller, reference, |_, campaign| campaign.id()).await
    }

    /// The campaign that a request names, if its caller may steer it.
    async fn steered(
        &self,
        caller: &Caller,
        reference: Option<v1::CampaignReference>,
    ) -> Result<CampaignId, Status> {
        let read = |_: &State, campaign: &Campaign| (campaign.id(), campaign.owner().cloned());
        let (id, owner) = self.read(caller, reference, read).await?;
        caller.may_steer(owner.as_deref())?;
        Ok(id)
    }

    /// Reads a campaign, which may take a while (a large space is enumerated, say). Earlier campaigns
    /// that it names are looked up.
    async fn parse(&self, yaml: String) -> Result<Result<CampaignSpec, Faults>, Status> {
        let earlier = EarlierCampaigns::new(self.handle.clone(), Runtime::current());
        let turn = self.readings.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Status::unavailable("the coordinator ends"))?;
        let parsed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let parsed = CampaignSpec::parse_with(&yaml, &earlier);
            (parsed.map(|(spec, _)| spec), earlier.into_failure())
        });
        match parsed.await {
            Ok((_, Some(failure))) => Err(of_call(&failure)),
            Ok((parsed, None)) => Ok(parsed),
            Err(_) => {
                Err(Status::internal("reading the campaign panicked; please report its text"))
            }
        }
    }

    async fn subject(
        &self,
        caller: &Caller,
        asked: v1::explain_request::Subject,
    ) -> Result<Subject, Status> {
        use v1::explain_request::Subject as Asked;
        match asked {
            Asked::Candidate(id) => {
                let id = CandidateId::try_from(id).map_err(|error| bad_message(&error))?;
                Ok(Subject::Candidate(id))
            }
            Asked::Task(id) => Ok(Subject::Task(TaskId(id))),
            Asked::Campaign(reference) => {
                self.resolve(caller, Some(reference)).await.map(Subject::Campaign)
            }
            Asked::Worker(name) => {
                let found = named::worker(&self.handle, &name).await?;
                let unknown = || Status::not_found(format!("there is no worker `{name}`"));
                found.map(Subject::Worker).ok_or_else(unknown)
            }
        }
    }
}

#[tonic::async_trait]
impl CampaignService for CampaignServer {
    async fn validate_campaign(
        &self,
        request: Request<v1::ValidateCampaignRequest>,
    ) -> Result<Response<v1::ValidateCampaignResponse>, Status> {
        let answer = match self.parse(request.into_inner().yaml).await? {
            Ok(spec) => {
                v1::ValidateCampaignResponse { faults: Vec::new(), resolved_yaml: spec.to_yaml() }
            }
            Err(faults) => v1::ValidateCampaignResponse {
                faults: fault_messages(&faults),
                resolved_yaml: String::new(),
            },
        };
        Ok(Response::new(answer))
    }

    async fn submit_campaign(
        &self,
        request: Request<v1::SubmitCampaignRequest>,
    ) -> Result<Response<v1::SubmitCampaignResponse>, Status> {
        let (caller, refused) = (caller(&request)?, refused(&request)?);
        let owner = caller.name();
        let v1::SubmitCampaignRequest { yaml, submission: bytes } = request.into_inner();
        self.policy.take_submission(&caller, yaml.len())?;
        let submission = submission(&bytes).map_err(|error| bad_message(&error))?;
        let source: Arc<str> = yaml.as_str().into();
        let answer = match self.parse(yaml).await? {
            Ok(spec) => {
                let submitted = self.handle.submit(submission, Arc::new(spec), source, owner).await;
                let campaign = submitted.map_err(|error| of_call(&error))?;
                tracing::info!(%campaign, by = caller.who(), "campaign submitted");
                v1::SubmitCampaignResponse { campaign: campaign.0, faults: Vec::new() }
            }
            Err(faults) => {
                // Sent again: what it names may have changed since it was accepted.
                let known = self.handle.query(move |state| state.submitted_as(submission));
                match known.await.map_err(|error| of_call(&error))? {
                    Some(known) => {
                        v1::SubmitCampaignResponse { campaign: known.0, faults: Vec::new() }
                    }
                    None => {
                        let (code, text) = (Code::InvalidArgument, faults.to_string());
                        self.policy.log(&refused, "campaign refused", code, &text);
                        v1::SubmitCampaignResponse { campaign: 0, faults: fault_messages(&faults) }
                    }
                }
            }
        };
        Ok(Response::new(answer))
    }

    async fn list_campaigns(
        &self,
        _request: Request<v1::ListCampaignsRequest>,
    ) -> Result<Response<v1::ListCampaignsResponse>, Status> {
        let read = self.handle.query(|state| {
            let snapshot = |campaign| CampaignSnapshot::of(state, campaign);
            state.campaigns().map(snapshot).collect::<Vec<_>>()
        });
        let snapshots = read.await.map_err(|error| of_call(&error))?;
        let mut campaigns = Vec::with_capacity(snapshots.len());
        for snapshot in snapshots {
            campaigns.push(snapshot.message(&self.cache).await.0);
        }
        Ok(Response::new(v1::ListCampaignsResponse { campaigns }))
    }

    async fn get_campaign(
        &self,
        request: Request<v1::GetCampaignRequest>,
    ) -> Result<Response<v1::GetCampaignResponse>, Status> {
        let caller = caller(&request)?;
        let read = self.read(&caller, request.into_inner().campaign, |state, campaign| {
            let snapshot = CampaignSnapshot::of(state, campaign);
            (snapshot, campaign.spec().clone(), campaign.source().clone())
        });
        let (snapshot, spec, source) = read.await?;
        Ok(Response::new(v1::GetCampaignResponse {
            campaign: Some(snapshot.message(&self.cache).await.0),
            resolved_yaml: spec.to_yaml(),
            source_yaml: source.to_string(),
        }))
    }

    async fn pause_campaign(
        &self,
        request: Request<v1::PauseCampaignRequest>,
    ) -> Result<Response<v1::PauseCampaignResponse>, Status> {
        let caller = caller(&request)?;
        let id = self.steered(&caller, request.into_inner().campaign).await?;
        self.handle.pause(id).await.map_err(|error| of_call(&error))?;
        tracing::info!(campaign = %id, by = caller.who(), "campaign paused");
        Ok(Response::new(v1::PauseCampaignResponse {}))
    }

    async fn resume_campaign(
        &self,
        request: Request<v1::ResumeCampaignRequest>,
    ) -> Result<Response<v1::ResumeCampaignResponse>, Status> {
        let caller = caller(&request)?;
        let id = self.steered(&caller, request.into_inner().campaign).await?;
        self.handle.resume(id).await.map_err(|error| of_call(&error))?;
        tracing::info!(campaign = %id, by = caller.who(), "campaign resumed");
        Ok(Response::new(v1::ResumeCampaignResponse {}))
    }

    async fn cancel_campaign(
        &self,
        request: Request<v1::CancelCampaignRequest>,
    ) -> Result<Response<v1::CancelCampaignResponse>, Status> {
        let caller = caller(&request)?;
        let id = self.steered(&caller, request.into_inner().campaign).await?;
        self.handle.cancel(id).await.map_err(|error| of_call(&error))?;
        tracing::info!(campaign = %id, by = caller.who(), "campaign cancelled");
        Ok(Response::new(v1::CancelCampaignResponse {}))
    }

    type WatchCampaignStream = ReceiverStream<Result<v1::WatchCampaignResponse, Status>>;

    async fn watch_campaign(
        &self,
        request: Request<v1::WatchCampaignRequest>,
    ) -> Result<Response<Self::WatchCampaignStream>, Status> {
        let caller = caller(&request)?;
        let campaign = self.resolve(&caller, request.into_inner().campaign).await?;
        let (updates, stream) = mpsc::channel(WATCH_QUEUE);
        let watcher = Watcher {
            handle: self.handle.clone(),
            cache: self.cache.clone(),
            campaign,
            stop: self.stop.clone(),
            updates,
        };
        tokio::spawn(watcher.run());
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn get_front(
        &self,
        request: Request<v1::GetFrontRequest>,
    ) -> Result<Response<v1::GetFrontResponse>, Status> {
        let caller = caller(&request)?;
        let read = self.read(&caller, request.into_inner().campaign, CampaignSnapshot::of);
        let snapshot = read.await?;
        let (_, hypervolume) = snapshot.message(&self.cache).await;
        let front = Some(view::front(&snapshot.front, hypervolume));
        Ok(Response::new(v1::GetFrontResponse { front }))
    }

    async fn list_candidates(
        &self,
        request: Request<v1::ListCandidatesRequest>,
    ) -> Result<Response<v1::ListCandidatesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let size = page_size(request.page_size).map_err(|error| bad_message(&error))?;
        let statuses = statuses(&request.statuses).map_err(|error| bad_message(&error))?;
        let wanted = candidates::Wanted { after: request.after, size, statuses };
        let page = self.read(&caller, request.campaign, move |state, campaign| {
            candidates::page(state, campaign, &wanted)
        });
        Ok(Response::new(page.await?))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let caller = caller(&request)?;
        let missing = || bad_message(&ConvertError::new("subject", "is missing"));
        let asked = request.into_inner().subject.ok_or_else(missing)?;
        let subject = self.subject(&caller, asked).await?;
        let read = self.handle.query(move |state| state.explain(&subject));
        let explanation = read.await.map_err(|error| of_call(&error))?;
        let unknown = || Status::not_found(not_found(subject));
        Ok(Response::new(explanation.ok_or_else(unknown)?.into()))
    }

    async fn list_workers(
        &self,
        _request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let read = self.handle.query(|state| {
            state.workers().map(|worker| state.worker_view(worker)).collect::<Vec<_>>()
        });
        let views = read.await.map_err(|error| of_call(&error))?;
        let workers = views.iter().map(Into::into).collect();
        Ok(Response::new(v1::ListWorkersResponse { workers }))
    }
}

fn not_found(subject: Subject) -> String {
    match subject {
        Subject::Candidate(id) => format!("there is no candidate {id}"),
        Subject::Task(id) => format!("there is no task {id}"),
        Subject::Campaign(id) => format!("there is no campaign {id}"),
        Subject::Worker(id) => format!("there is no worker {id}"),
    }
}
