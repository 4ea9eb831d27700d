//! Strangers: no token, a wrong one, a wrong certificate, what is replayed, too large, somebody else's
//! or meant to harm. Each is refused with its status and logged, and changes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod connections;
mod encryption;
mod flood;
mod hostile;
mod place;
#[path = "../scripted/mod.rs"]
mod scripted;
