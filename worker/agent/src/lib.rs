//! The worker agent: holds the stream to a coordinator and supervises one evaluator process per
//! slot.
//!
//! ```text
//! coordinator <--stream--> link <--> supervisor <--> slot <--pipes--> evaluator process
//!                                       |
//!                                    storage --> outbox (disk)
//! ```
//! An evaluator that aborts, hangs or is killed costs one attempt and never the heartbeat; a report
//! is on the disk before it is sent, and stays there until it is acknowledged. The agent must not
//! know libtorch, nor what an evaluation computes, nor what the coordinator decides.
//!
//! [`synthetic`] is a stand-in for a real evaluator, for tests and dry runs.

pub mod agent;
mod artifacts;
pub mod attempt;
pub mod backoff;
mod capabilities;
pub mod config;
mod durable;
pub mod framing;
mod left_behind;
mod link;
mod opening;
pub mod outbox;
pub mod queue;
pub mod simulated;
mod slot;
pub mod state_dir;
mod storage;
mod supervisor;
pub mod synthetic;

pub use agent::{Agent, AgentError};
pub use config::{AgentConfig, EvaluatorCommand, Timing};
