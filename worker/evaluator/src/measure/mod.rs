//! Measuring on the device: time and energy of inference, alone on the device.
//!
//! Must not know networks; what is measured is a closure that runs one inference.

pub mod energy;
pub mod gate;
pub mod latency;
mod nvml;
mod rapl;
