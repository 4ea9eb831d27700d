//! The arguments of `cambrian worker` and `cambrian token`: who works for a coordinator, and who may use it.
//! Must not know how either is asked.

use cambrian_transport::token::Validity;
use clap::{Args, Subcommand, ValueEnum};

/// What to do with workers; a coordinator that wants tokens wants an administrator's for it.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List all workers, as `cambrian workers` does.
    List,
    /// Let workers finish what they run, take nothing more, and leave.
    #[command(override_usage = "cambrian worker drain [OPTIONS] <WORKER>...\n       \
                                cambrian worker drain [OPTIONS] --label <NAME=VALUE>...")]
    Drain(WorkerDrainArguments),
    /// Give workers work again: ends their quarantine and their drain.
    #[command(override_usage = "cambrian worker release [OPTIONS] <WORKER>...\n       \
                                cambrian worker release [OPTIONS] --label <NAME=VALUE>...")]
    Release(WorkerSelection),
}

/// Which workers are meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkerSelection {
    /// Names or numbers.
    #[arg(required_unless_present = "labels", conflicts_with = "labels", value_name = "WORKER")]
    pub(crate) workers: Vec<String>,
    /// Those that carry this label; may be repeated: all of them.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
}

/// Arguments of `worker drain`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkerDrainArguments {
    #[command(flatten)]
    pub(crate) selection: WorkerSelection,
    /// Hand back at once what they run; it begins anew elsewhere and costs no attempt.
    #[arg(long)]
    pub(crate) now: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What to do with tokens; a coordinator that wants tokens wants an administrator's for it.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once: the coordinator keeps only a hash of it.
    Create(TokenCreateArguments),
    /// List all tokens with what they are for; never the tokens themselves.
    List,
    /// Refuse a token from now on, and end what it has open.
    Revoke(TokenRevokeArguments),
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenRole {
    /// The stream of a worker and its artifacts, nothing else.
    Worker,
    /// Everything that changes nothing.
    View,
    /// Submit, and steer the campaigns of the same name's tokens.
    Submit,
    /// Everything.
    Admin,
}

/// Arguments of `token create`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenCreateArguments {
    /// What it is for.
    #[arg(long, value_enum)]
    pub(crate) role: TokenRole,
    /// Whose it is: campaigns and workers belong to this name.
    #[arg(long)]
    pub(crate) name: String,
    /// How long it holds: `30d`, `12h`, `45m` or `never`.
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub(crate) expires: Validity,
}

/// Arguments of `token revoke`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenRevokeArguments {
    /// The eight digits that follow `cmb_` in the token.
    pub(crate) id: String,
}
