//! What operators call: drain workers and release them.
//!
//! Must not know what becomes of a drained worker's tasks: the engine decides.

use cambrian_core::id::WorkerId;
use cambrian_proto::v1;
use cambrian_proto::v1::fleet_service_server::FleetService;
use tonic::{Request, Response, Status};

use super::status::of_call;
use super::{caller, named};
use crate::handle::Handle;

/// Serves `FleetService`.
pub(crate) struct FleetServer {
    handle: Handle,
}

impl FleetServer {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    async fn named(&self, number_or_name: &str) -> Result<WorkerId, Status> {
        named::worker(&self.handle, number_or_name).await?.ok_or_else(|| {
            Status::not_found(format!(
                "there is no worker `{number_or_name}`; `cambrian workers` shows those that exist"
            ))
        })
    }

    async fn view(&self, id: WorkerId) -> Result<Option<v1::Worker>, Status> {
        let read = self.handle.query(move |state| {
            state.worker(id).map(|worker| v1::Worker::from(&state.worker_view(worker)))
        });
        read.await.map_err(|error| of_call(&error))
    }
}

#[tonic::async_trait]
impl FleetService for FleetServer {
    async fn drain_worker(
        &self,
        request: Request<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::DrainWorkerResponse>, Status> {
        let caller = caller(&request)?;
        let v1::DrainWorkerRequest { worker, at_once } = request.into_inner();
        let id = self.named(&worker).await?;
        self.handle.drain_worker(id, at_once).await.map_err(|error| of_call(&error))?;
        tracing::info!(worker = %id, at_once, by = caller.who(), "worker drains");
        Ok(Response::new(v1::DrainWorkerResponse { worker: self.view(id).await? }))
    }

    async fn release_worker(
        &self,
        request: Request<v1::ReleaseWorkerRequest>,
    ) -> Result<Response<v1::ReleaseWorkerResponse>, Status> {
        let caller = caller(&request)?;
        let id = self.named(&request.into_inner().worker).await?;
        self.handle.release_worker(id).await.map_err(|error| of_call(&error))?;
        tracing::info!(worker = %id, by = caller.who(), "worker released");
        Ok(Response::new(v1::ReleaseWorkerResponse { worker: self.view(id).await? }))
    }
}
