//! `cambrian-evaluator`: started by a worker, one process a slot; speaks on its standard streams.
//!
//! Only reads the command line and puts the parts together. Must not know messages or networks.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process;

use anyhow::{Result, bail};
use cambrian_core::engine::Capabilities;
use cambrian_evaluator::data::{Fingerprints, Library, directories};
use cambrian_evaluator::device::{Choice, Device};
use cambrian_evaluator::evaluate::Machine;
use cambrian_evaluator::measure::energy;
use cambrian_evaluator::measure::gate::Gate;
use cambrian_evaluator::serve::{capabilities, serve};
use clap::Parser;

/// The exit code after a pipe that broke or carried no messages.
const BROKEN_PIPE: i32 = 2;

/// Trains and measures networks for a worker, which starts it and speaks with it over standard
/// input and output; messages for people go to standard error.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The device: `cpu` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    device: Choice,
    /// CPU threads of an evaluation; part of a CPU's device class.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// The directory of all datasets [default: $XDG_DATA_HOME/cambrian/datasets, then
    /// /usr/share/datasets].
    #[arg(long, env = "CAMBRIAN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The directory of the lock files by which all workers of this machine keep measurements
    /// alone on a device [default: cambrian-gate in the directory for temporary files].
    #[arg(long, env = "CAMBRIAN_GATE", value_name = "DIR")]
    gate_dir: Option<PathBuf>,
    /// Print what this machine can do, as text, and exit.
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.check && io::stdin().is_terminal() {
        bail!(
            "this program is started by a cambrian worker, which speaks with it over standard \
             input; to see what this machine can do run `cambrian-evaluator --check`"
        );
    }
    tch::set_num_interop_threads(1);
    tch::set_num_threads(i32::try_from(arguments.threads)?);
    tch::Cuda::cudnn_set_benchmark(true);

    let device = Device::detect(arguments.device, arguments.threads)?;
    let (meter, unmetered) = match energy::meter(&device) {
        Ok(meter) => (Some(meter), None),
        Err(reason) => (None, Some(reason)),
    };
    let library = Library::new(directories(arguments.data), device.torch);
    let mut machine = Machine { device, library, meter };
    let capabilities = capabilities(&machine, &Fingerprints::of_user(), unmetered.as_deref());
    if arguments.check {
        print(&capabilities);
        return Ok(());
    }
    let locks = arguments.gate_dir.unwrap_or_else(|| std::env::temp_dir().join("cambrian-gate"));
    let gate = Gate::open(&locks, &machine.device.gate)?;
    let output = private_stdout()?;
    let input = io::BufReader::new(io::stdin());
    let overdue = || process::exit(BROKEN_PIPE);
    let served = serve(input, output, &capabilities, &mut machine, &gate, overdue);
    if let Err(fault) = served {
        eprintln!("cambrian-evaluator: {fault}");
        process::exit(BROKEN_PIPE);
    }
    Ok(())
}

/// The standard output for messages alone: whatever a library prints there from now on (oneDNN
/// does under ONEDNN_VERBOSE) goes to standard error and does not break the pipe.
fn private_stdout() -> io::Result<File> {
    let messages = rustix::io::dup(io::stdout())?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(messages))
}

fn print(capabilities: &Capabilities) {
    let gibibytes = capabilities.memory_bytes as f64 / f64::from(1 << 30);
    println!("device class  {} ({gibibytes:.1} GiB)", capabilities.device_class);
    for offer in &capabilities.evaluators {
        println!("evaluator     {} (version {})", offer.name, offer.version);
        for (metric, provenance) in &offer.metrics {
            println!("  metric      {metric} ({})", provenance.source);
        }
    }
    for dataset in &capabilities.datasets {
        println!("dataset       {dataset}");
    }
    for (name, reason) in &capabilities.unavailable {
        println!("unavailable   {name}: {reason}");
    }
}
