//! The arguments of `cambrian bench`.
//!
//! Must not know how anything is measured.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::number::share;

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum BenchCommand {
    /// A coordinator under the load of simulated workers on real connections; its ledger is checked
    /// afterwards. Starts a coordinator of its own, on a temporary store, unless another is named.
    Cluster(BenchClusterArguments),
}

/// How the candidates of a measurement are bred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchAlgorithm {
    /// Random search.
    Random,
    /// NSGA-II with a population of 100.
    Nsga2,
}

impl BenchAlgorithm {
    /// As a campaign names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Nsga2 => "nsga2",
        }
    }
}

/// Arguments of `bench cluster`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchClusterArguments {
    /// Simulated workers, each on a connection of its own; several numbers are measured one after
    /// the other.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "8,64,1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) workers: Vec<u32>,
    /// Evaluations of each measurement.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) evaluations: u32,
    /// How candidates are bred.
    #[arg(long, value_enum, default_value = "random")]
    pub(crate) algorithm: BenchAlgorithm,
    /// Evaluations at once of a worker.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) slots: u32,
    /// Tasks that a worker holds beyond those [default: as many as slots].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub(crate) prefetch: Option<u32>,
    /// How long an evaluation takes, such as `5s` or `20ms`.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = length)]
    pub(crate) duration: Duration,
    /// Durations are drawn evenly from that times 1 ± this, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share)]
    pub(crate) jitter: f64,
    /// The lease of the coordinator that is started.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = length, conflicts_with = "coordinator")]
    pub(crate) lease: Duration,
    /// The store of the coordinator that is started, as its `--database` takes it [default: a file
    /// in a temporary folder].
    #[arg(long, value_name = "STORE", conflicts_with = "coordinator")]
    pub(crate) store: Option<String>,
    /// The address of a coordinator that runs already; its process, ledger and restart are not
    /// looked at.
    #[arg(long, value_name = "URL")]
    pub(crate) coordinator: Option<String>,
    /// Kill the leader of two coordinators so many times while the run goes on, and time how work
    /// goes on; --store has to name a PostgreSQL database.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000), conflicts_with = "coordinator", requires = "store")]
    pub(crate) takeovers: u32,
    /// Evaluations that are durable before the first of them; they are spread over the rest.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "takeovers")]
    pub(crate) takeovers_after: u32,
    /// Do not measure what the transport and the database allow at most.
    #[arg(long)]
    pub(crate) no_limits: bool,
    /// Do not start the coordinator again on the journal.
    #[arg(long)]
    pub(crate) no_restart: bool,
}

/// A length of time: a number with `ms`, `s`, `m` or `h`.
fn length(text: &str) -> Result<Duration, String> {
    let problem = || format!("`{text}` is no length of time; write one such as `5s` or `20ms`");
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(problem)?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(problem()),
    };
    let number: f64 = number.parse().map_err(|_| problem())?;
    if !(0.0..=86_400.0).contains(&(number * seconds)) {
        return Err("write a length of at most 24h".to_owned());
    }
    Ok(Duration::from_secs_f64(number * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units() {
        assert_eq!(length("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(length("1.5ms"), Ok(Duration::from_micros(1_500)));
        assert_eq!(length("2m"), Ok(Duration::from_secs(120)));
        for bad in ["5", "s", "-1s", "5 days", "25h", "NaNs"] {
            assert!(length(bad).is_err(), "{bad}");
        }
    }
}
