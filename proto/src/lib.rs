//! The wire: generated messages and services, and the only place where they meet the core.
//!
//! Must not decide anything: conversions inward check every field and name the bad one,
//! conversions outward cannot fail.

/// Generated messages and services of `cambrian.v1`.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes,
    reason = "generated code; the documentation is in the .proto files"
)]
pub mod v1 {
    tonic::include_proto!("cambrian.v1");
}

/// The encoded file descriptors of `cambrian.v1`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub mod convert;
