//! The coordinator: sole owner of the engine's state, its journal and its gRPC services.
//!
//! One thread decides ([`actor`]), one store remembers ([`store`]), services translate. As a
//! library it is what `cambrian run` embeds and what `cambrian verify` and `replay` read stores
//! with. It must not know how a network is evaluated, nor anything of worker processes.

pub mod access;
pub mod actor;
pub mod artifacts;
pub mod clock;
mod cluster;
pub mod config;
pub mod connection;
pub mod embedded;
mod expiry;
mod fitting;
mod grpc;
pub mod handle;
mod listener;
pub mod replay;
pub mod server;
pub mod store;
#[cfg(test)]
mod testing;
pub mod verify;
