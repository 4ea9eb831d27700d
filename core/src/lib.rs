//! The pure heart of Cambrian: what a candidate is, which ones to try next, and what happened to
//! each of them.
//!
//! Everything here is a deterministic function of its arguments. This crate must not know of
//! sockets, files, clocks, threads, protobuf or libtorch: time arrives as [`time::Timestamp`]
//! inside commands, randomness comes from [`rng::stream`], and whatever has to happen outside is
//! returned as an [`engine::Effect`].

pub mod algorithm;
pub mod artifact;
pub mod confidence;
pub mod energy;
pub mod engine;
pub mod graph;
pub mod id;
pub mod objective;
pub mod pareto;
pub mod rank_correlation;
pub mod rng;
pub mod simulation;
pub mod space;
pub mod spec;
pub mod time;
