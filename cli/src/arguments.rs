//! The command line: every command with its arguments, as typed.
//!
//! Help texts and shell completions derive from here. Must not do anything.

mod bench;
mod fleet;
mod number;
mod parse;
mod simulate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use cambrian_coordinator::store::place::Place;
use cambrian_transport::client::{Credentials, TokenSource};

use crate::error::CliError;
use crate::terminal::ColorChoice;
pub(crate) use bench::{BenchAlgorithm, BenchClusterArguments, BenchCommand};
pub(crate) use fleet::{
    TokenCommand, TokenCreateArguments, TokenRole, WorkerCommand, WorkerDrainArguments,
    WorkerSelection,
};
use number::percent;
pub(crate) use parse::{parse, usage_error, wants_json};
pub(crate) use simulate::SimulateArguments;

/// Where a coordinator listens unless told otherwise.
pub(crate) const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7878";

/// Distributed multi-objective evolutionary neural-architecture search.
///
/// `cambrian run CAMPAIGN.yaml` does everything on this machine. The other commands talk to a
/// coordinator that runs elsewhere, or read what a run has left.
#[derive(Debug, Parser)]
#[command(name = "cambrian", version, propagate_version = true, after_help = crate::exit::Exit::table())]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Address of the coordinator, http://HOST:PORT or https://HOST:PORT; of several that share a
    /// database, all of them, separated by commas.
    #[arg(long, global = true, env = "CAMBRIAN_ENDPOINT", value_name = "URL", default_value = DEFAULT_ENDPOINT)]
    pub(crate) endpoint: String,
    #[command(flatten, next_help_heading = "Connection")]
    pub(crate) connection: Connection,
    /// Print JSON: one object, or one a line where a command goes on. Errors are JSON too.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results only: no progress, no hints.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to use colours.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) color: ColorChoice,
}

/// How a connection is secured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// The authorities of the coordinator's certificate (PEM); https needs it.
    #[arg(long, global = true, env = "CAMBRIAN_TLS_CA", value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Your own certificate (PEM), where the coordinator demands one.
    #[arg(long, global = true, env = "CAMBRIAN_TLS_CERTIFICATE", value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, global = true, env = "CAMBRIAN_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The name that the coordinator's certificate is for, where the address has another.
    #[arg(long, global = true, env = "CAMBRIAN_TLS_SERVER_NAME", value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// A file with your token; the variable CAMBRIAN_TOKEN may hold the token itself.
    #[arg(long, global = true, env = "CAMBRIAN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Send the token in clear to another machine.
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
}

impl Connection {
    /// The credentials; `token` is the value of `CAMBRIAN_TOKEN`, which a named file goes over.
    ///
    /// # Errors
    /// [`CliError::Usage`] if that value is no token.
    pub(crate) fn credentials(&self, token: Option<String>) -> Result<Credentials, CliError> {
        let given = match (&self.token_file, token.filter(|token| !token.is_empty())) {
            (Some(file), _) => Some(TokenSource::File(file.clone())),
            (None, Some(text)) => {
                let token = text.trim().parse().map_err(|error| CliError::Usage {
                    message: format!("the variable CAMBRIAN_TOKEN: {error}"),
                    help: "set it to a token, or set CAMBRIAN_TOKEN_FILE to the file of one".into(),
                })?;
                Some(TokenSource::Given(token))
            }
            (None, None) => None,
        };
        Ok(Credentials {
            ca: self.tls_ca.clone(),
            certificate: self.tls_certificate.clone(),
            key: self.tls_key.clone(),
            server_name: self.tls_server_name.clone(),
            token: given,
            insecure: self.insecure,
        })
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a campaign on this machine; the same command again resumes it after any interruption.
    Run(RunArguments),
    /// Evaluate one architecture on this machine by the stages of a campaign.
    Evaluate(EvaluateArguments),
    /// Run a campaign on simulated workers in virtual time, its results looked up in tables. Needs
    /// no coordinator.
    Simulate(SimulateArguments),
    /// Check a campaign file; all faults at once. Needs no coordinator.
    Validate(ValidateArguments),
    /// Submit a campaign to a coordinator.
    Submit(SubmitArguments),
    /// List the campaigns of a coordinator.
    List,
    /// Follow a campaign until it is finished.
    Watch(CampaignArgument),
    /// Show the front of a campaign; draw it.
    Front(FrontArguments),
    /// List the candidates of a campaign.
    Candidates(CandidatesArguments),
    /// Say why something is, or is not, running.
    Explain(ExplainArguments),
    /// Stop dispatching evaluations of a campaign; those in work go on.
    Pause(CampaignArgument),
    /// Let a paused campaign go on.
    Resume(CampaignArgument),
    /// End a campaign for good; what is scored stays.
    Cancel(CampaignArgument),
    /// Prove that a journal counts every finished evaluation exactly once. Needs no coordinator.
    Verify(JournalArguments),
    /// Derive every proposal, population and front again from a journal and compare. Needs no
    /// coordinator.
    Replay(JournalArguments),
    /// Say how well scores order candidates as a metric does, from files of results. Needs no
    /// coordinator.
    Correlate(CorrelateArguments),
    /// List the workers of a coordinator.
    Workers,
    /// Say whether something needs a hand: workers and campaigns in numbers, and an exit code of its own.
    Health,
    /// Measure how fast a cluster is.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Drain workers before maintenance, and release those in quarantine.
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Create, list and revoke the tokens by which a coordinator knows people and workers.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show what a campaign file can name.
    Reference(ReferenceArguments),
    /// Print shell completions.
    Completions(CompletionsArguments),
}

/// A campaign.
#[derive(Debug, Clone, Args)]
pub(crate) struct CampaignArgument {
    /// The campaign's number, or its name: the latest of that name, of those that are yours if you have
    /// a token.
    pub(crate) campaign: String,
}

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArguments {
    /// The campaign file.
    #[arg(value_name = "CAMPAIGN.yaml")]
    pub(crate) file: PathBuf,
    /// Worker processes [default: processors / threads of an evaluation, at least 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) workers: Option<u32>,
    /// Where results and state go [default: runs/NAME, NAME being that of the campaign].
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// The evaluator's program [default: the one beside this program that fits the campaign].
    #[arg(long, value_name = "PROGRAM", env = "CAMBRIAN_EVALUATOR")]
    pub(crate) evaluator: Option<PathBuf>,
    /// Argument of the evaluator's program; may be repeated.
    #[arg(long, value_name = "ARGUMENT", requires = "evaluator", allow_hyphen_values = true)]
    pub(crate) evaluator_arg: Vec<String>,
    /// Threads of each evaluation [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Directory of data sets.
    #[arg(long, value_name = "DIR", env = "CAMBRIAN_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Throw away what the output directory holds of an earlier run, and start anew.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Show no progress.
    #[arg(long)]
    pub(crate) no_progress: bool,
}

/// Arguments of `evaluate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EvaluateArguments {
    /// The campaign file whose space and stages are used; nothing is searched.
    #[arg(value_name = "CAMPAIGN.yaml")]
    pub(crate) file: PathBuf,
    /// The architecture, in the notation of the campaign's space.
    pub(crate) architecture: String,
    /// Only the stage of this name; may be repeated [default: all stages].
    #[arg(long = "stage", value_name = "NAME")]
    pub(crate) stages: Vec<String>,
    /// The evaluator's program [default: the one beside this program that fits the campaign].
    #[arg(long, value_name = "PROGRAM", env = "CAMBRIAN_EVALUATOR")]
    pub(crate) evaluator: Option<PathBuf>,
    /// Argument of the evaluator's program; may be repeated.
    #[arg(long, value_name = "ARGUMENT", requires = "evaluator", allow_hyphen_values = true)]
    pub(crate) evaluator_arg: Vec<String>,
    /// Threads of the evaluation [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Directory of data sets.
    #[arg(long, value_name = "DIR", env = "CAMBRIAN_DATA")]
    pub(crate) data: Option<PathBuf>,
}

/// Arguments of `validate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ValidateArguments {
    /// The campaign file.
    #[arg(value_name = "CAMPAIGN.yaml")]
    pub(crate) file: PathBuf,
    /// Print the campaign with every default written out.
    #[arg(long)]
    pub(crate) resolved: bool,
}

/// Arguments of `submit`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SubmitArguments {
    /// The campaign file.
    #[arg(value_name = "CAMPAIGN.yaml")]
    pub(crate) file: PathBuf,
    /// Follow it until it is finished.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// One header line, one line a row.
    Csv,
}

/// Arguments of `front`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FrontArguments {
    #[command(flatten)]
    pub(crate) campaign: CampaignArgument,
    /// How to write the members [default: table].
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Show genotypes in the table.
    #[arg(long)]
    pub(crate) genotypes: bool,
    /// Draw every pair of objectives into this SVG file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Draw every pair of objectives into this PNG file.
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,
}

/// A status to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFilter {
    /// Waits for a worker.
    Queued,
    /// At work.
    Running,
    /// Has finished a stage and waits for being among the best of those that have.
    Waiting,
    /// Has all its metrics.
    Scored,
    /// Found not worth its later stages.
    Screened,
    /// Breaks a constraint, has no network, or failed in a way that counts so.
    Infeasible,
    /// Failed for good.
    Failed,
}

/// Arguments of `candidates`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CandidatesArguments {
    #[command(flatten)]
    pub(crate) campaign: CampaignArgument,
    /// Only candidates of this status; may be repeated.
    #[arg(long, value_enum)]
    pub(crate) status: Vec<StatusFilter>,
    /// At most so many [default: 50 in a table, all otherwise].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// How to write them [default: table].
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Show genotypes in the table.
    #[arg(long)]
    pub(crate) genotypes: bool,
}

/// What can be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SubjectKind {
    /// A candidate, written CAMPAIGN/NUMBER.
    Candidate,
    /// A task, by number.
    Task,
    /// A campaign, by number or name.
    Campaign,
    /// A worker, by number or name.
    Worker,
}

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArguments {
    /// What it is.
    #[arg(value_enum)]
    pub(crate) kind: SubjectKind,
    /// Which one: 3/42, 57, 3 or a name.
    pub(crate) subject: String,
}

/// Arguments of `verify` and `replay`.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct JournalArguments {
    /// The database of a coordinator: a file of SQLite, or postgresql://USER@HOST/DATABASE.
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) database: Option<Place>,
    /// The output directory of a `cambrian run`.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

/// Arguments of `correlate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CorrelateArguments {
    /// The scores: a candidates.csv, or another CSV or CSV.gz with a header row.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The column that scores are compared with.
    #[arg(long, value_name = "COLUMN", default_value = "accuracy_percent")]
    pub(crate) target: String,
    /// A column to compare; may be repeated [default: all metrics, or all columns of numbers].
    #[arg(long = "score", value_name = "COLUMN")]
    pub(crate) scores: Vec<String>,
    /// A table with more columns, such as the target; several are joined by the one column that they
    /// share.
    #[arg(long = "table", value_name = "FILE")]
    pub(crate) tables: Vec<PathBuf>,
    /// The columns by which rows of FILE and of the tables belong together [default:
    /// genotype=genotype].
    #[arg(long = "match", value_name = "LEFT=RIGHT", value_parser = two_columns)]
    pub(crate) matched: Option<(String, String)>,
    /// The share of rows with the best target that is looked at by itself, percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    pub(crate) top: f64,
    /// Smaller targets are better.
    #[arg(long)]
    pub(crate) lower_is_better: bool,
    /// How to write the correlations [default: table].
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Draw every score against the target into this SVG file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Draw every score against the target into this PNG file.
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,
}

fn two_columns(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            Ok((left.to_owned(), right.to_owned()))
        }
        _ => Err("write two columns, such as `genotype=arch_str`".to_owned()),
    }
}

/// The tables of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReferenceTable {
    /// What can be measured, with units.
    Metrics,
    /// What can be searched.
    Spaces,
    /// How to search.
    Algorithms,
    /// What measures.
    Evaluators,
}

/// Arguments of `reference`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReferenceArguments {
    /// Which table.
    #[arg(value_enum)]
    pub(crate) table: ReferenceTable,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_journal_is_named_in_exactly_one_way() {
        let parse = |words: &[&str]| Arguments::try_parse_from(words);
        assert!(parse(&["cambrian", "verify"]).is_err());
        assert!(parse(&["cambrian", "verify", "--database", "a", "--output", "b"]).is_err());
        assert!(parse(&["cambrian", "verify", "--output", "b"]).is_ok());
    }

    #[test]
    fn the_document_names_every_command() {
        let document = include_str!("../../docs/cli.md");
        for command in Arguments::command().get_subcommands() {
            let name = format!("`cambrian {}", command.get_name());
            assert!(document.contains(&name), "docs/cli.md lacks {name}");
        }
    }
}
