//! The program `cambrian-evaluator-synthetic`: an evaluator without libtorch that makes its results
//! up from the network alone. For tests and dry runs; every value is marked `synthetic`.

use std::path::PathBuf;
use std::process::ExitCode;

use cambrian_worker::synthetic::{Options, serve};
use clap::Parser;

/// Speaks the evaluator's pipe protocol on its standard streams; a worker starts it.
#[derive(Debug, Parser)]
#[command(name = "cambrian-evaluator-synthetic", version)]
struct Flags {
    /// Claim to have this data set; may be repeated.
    #[arg(long, value_name = "NAME")]
    dataset: Vec<String>,
    /// Append a line `TASK ATTEMPT DIGEST` to this file for every finished evaluation, on the disk
    /// before the answer is sent.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Accepted, as a worker passes it; nothing is computed on a device.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Accepted, as a worker passes it; one thread is enough.
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// Accepted, as a worker passes it; no data is read.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Accepted, as a worker passes it; nothing is measured.
    #[arg(long, value_name = "DIR")]
    gate_dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let options = Options { datasets: flags.dataset, evidence: flags.evidence };
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cambrian-evaluator-synthetic: {error:#}");
            ExitCode::FAILURE
        }
    }
}
