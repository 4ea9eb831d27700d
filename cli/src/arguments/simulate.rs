//! The arguments of `cambrian simulate`. Must not know how anything is simulated.

use std::path::PathBuf;

use clap::Args;

use super::number::{factor, number_within, seconds, share};
use crate::simulate::Durations;

/// Arguments of `simulate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArguments {
    /// The campaign file; all its stages are `tabular` or all are `problem`.
    #[arg(value_name = "CAMPAIGN.yaml")]
    pub(crate) file: PathBuf,
    /// A table of results, CSV or CSV.gz with a header row. Several tables are joined by the one
    /// column that they share [default: what the stages name as `table`, beside the campaign file].
    #[arg(long = "table", value_name = "FILE")]
    pub(crate) tables: Vec<PathBuf>,
    /// Simulated workers, one evaluation each at a time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) workers: u32,
    /// Seeds that are run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) seeds: u32,
    /// The first seed; the others follow.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) first_seed: u64,
    /// How long an evaluation takes: `constant:SECONDS`; `column:NAME` in seconds;
    /// `spread:NAME:FACTOR`, from 1 second to FACTOR seconds by the logarithm of a column; or
    /// `drawn:SHORTEST:LONGEST` in seconds, at random, evenly in the logarithm.
    #[arg(long, value_name = "HOW", default_value = "constant:1")]
    pub(crate) duration: Durations,
    /// Durations are drawn from those times 1 ± this, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(crate) duration_noise: f64,
    /// The share of that length which a stage takes, above 0: `short=0.03`. Stages that are not named
    /// take all of it.
    #[arg(long, value_name = "STAGE=SHARE", value_parser = stage_share)]
    pub(crate) stage_share: Vec<(String, f64)>,
    /// Tasks that a worker asks for beyond the one it works on.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=16))]
    pub(crate) prefetch: u32,
    /// The share of evaluations in which the worker dies, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(crate) crash_rate: f64,
    /// The share of workers that are slower, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(crate) stragglers: f64,
    /// By how much they are slower.
    #[arg(long, value_name = "FACTOR", default_value_t = 5.0, value_parser = factor)]
    pub(crate) straggler_factor: f64,
    /// Seconds over which the workers join.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub(crate) joins_over: f64,
    /// Seconds that fitting a model takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub(crate) fit_seconds: f64,
    /// Numbers of evaluations at which hypervolume is reported, up to the campaign's budget [default:
    /// 10, 20, 50, 100, ...].
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) at: Vec<u32>,
    /// Where results go [default: runs/NAME-simulated, NAME being that of the campaign].
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

fn stage_share(text: &str) -> Result<(String, f64), String> {
    let (stage, share) = text.split_once('=').ok_or("write `STAGE=SHARE`, such as `short=0.03`")?;
    Ok((stage.to_owned(), number_within(share, 1e-9, 1e6)?))
}
