//! The gRPC services: messages in, commands and queries to the actor, answers out.
//!
//! tonic's types stay in here and in `server`. Nothing here decides: what a command means is the
//! engine's business, what a message says is that of the conversions.

mod campaign;
mod hypervolume;
mod snapshot;
mod status;
mod watch;
mod worker;

pub(crate) use campaign::CampaignServer;
pub(crate) use worker::{WorkerServer, WorkerSettings};
