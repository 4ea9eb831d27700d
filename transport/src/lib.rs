//! TLS and tokens for both ends of a connection: reading certificates and keys, the server's and the
//! clients' TLS settings, the secret that a client shows, and what makes connections.
//!
//! Errors say which file is wrong, how, and what to do. Must not know messages, roles or what a
//! token allows.

pub mod client;
pub mod database;
pub mod dial;
pub mod failure;
mod pem;
pub mod probe;
pub mod server;
pub mod standby;
pub mod token;

pub use pem::TlsError;
