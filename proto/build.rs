//! Compiles the `.proto` files without a foreign compiler and keeps their descriptors for server
//! reflection. Decides nothing about messages: the `.proto` files do.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const FILES: [&str; 8] = [
    "cambrian/v1/types.proto",
    "cambrian/v1/worker.proto",
    "cambrian/v1/evaluator.proto",
    "cambrian/v1/campaign.proto",
    "cambrian/v1/journal.proto",
    "cambrian/v1/token.proto",
    "cambrian/v1/artifact.proto",
    "cambrian/v1/fleet.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
