//! The gRPC services: messages in, commands and queries to the actor, answers out.
//!
//! tonic's types stay in here and in what stands in front of the services: `access`, `listener`,
//! `cluster` and `server`. Nothing here decides: what a command means is the engine's business,
//! what a message says is that of the conversions.

mod artifact;
mod campaign;
mod candidates;
mod earlier;
mod fleet;
mod hypervolume;
mod named;
mod snapshot;
mod status;
mod token;
mod watch;
mod worker;

use tonic::{Request, Status};

use crate::access::{Caller, Refused};
pub(crate) use artifact::ArtifactServer;
pub(crate) use campaign::CampaignServer;
pub(crate) use fleet::FleetServer;
pub(crate) use token::TokenServer;
pub(crate) use worker::{WorkerServer, WorkerSettings};

/// Who makes a call, as the layer in front of all services has found.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let missing = || Status::internal("the call has passed no decision about access");
    request.extensions().get::<Caller>().cloned().ok_or_else(missing)
}

/// What a line of the log says of a call when something is refused that its status does not tell.
fn refused<T>(request: &Request<T>) -> Result<Refused, Status> {
    let missing = || Status::internal("the call has passed no decision about access");
    request.extensions().get::<Refused>().cloned().ok_or_else(missing)
}
