//! The evaluator: scores, trains and measures a network that arrives as a graph.
//!
//! The only package that knows libtorch. It speaks length-delimited protobuf over its standard
//! streams with the worker that started it ([`serve`]); it must not know sockets, the coordinator,
//! campaigns or search spaces. Every source of randomness derives from the assignment's seed.

pub mod bn_indicator;
pub mod data;
pub mod device;
pub mod evaluate;
pub mod failure;
pub mod flatness;
pub mod introspectability;
pub mod measure;
pub mod network;
pub mod pipe;
pub mod proxy;
pub mod serve;
pub mod train;
