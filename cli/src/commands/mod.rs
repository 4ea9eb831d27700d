//! One file per group of commands: take the arguments, ask the coordinator, print the answer.
//!
//! Must not compute anything that `present` or `figure` could.

mod candidates;
mod correlate;
mod explain;
mod front;
mod health;
pub(crate) mod journal;
mod list;
mod reference;
mod steer;
mod submit;
mod token;
mod validate;
mod worker;

use std::path::Path;

use cambrian_transport::client::Credentials;
use clap::CommandFactory;

use crate::arguments::{Arguments, BenchCommand, Command, CompletionsArguments, Global};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;
use crate::{bench, figure, files, run, simulate, watch};

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
}

impl Context {
    /// How the user is known to the coordinator, and whom they trust.
    ///
    /// # Errors
    /// As [`crate::arguments::Connection::credentials`].
    pub(crate) fn credentials(&self) -> Result<Credentials, CliError> {
        self.global.connection.credentials(std::env::var("CAMBRIAN_TOKEN").ok())
    }

    /// A connection to the coordinator that the user named.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub(crate) async fn client(&self) -> Result<Client, CliError> {
        Client::connect(&self.global.endpoint, &self.credentials()?).await
    }
}

/// Executes the command.
///
/// # Errors
/// Whatever ends it before its end; the error carries the exit code.
pub(crate) async fn execute(arguments: Arguments) -> Result<(), CliError> {
    let output = Output::new(&arguments.global);
    let context = Context { global: arguments.global, output };
    match arguments.command {
        Command::Run(given) => run::run(&context, &given).await,
        Command::Evaluate(given) => run::evaluate::run(&context, &given).await,
        Command::Simulate(given) => simulate::run(&context, &given),
        Command::Validate(given) => validate::run(&context, &given),
        Command::Submit(given) => submit::run(&context, &given).await,
        Command::List => list::campaigns(&context).await,
        Command::Health => health::run(&context).await,
        Command::Watch(given) => watch::run(&context, &given.campaign).await,
        Command::Front(given) => front::run(&context, &given).await,
        Command::Candidates(given) => candidates::run(&context, &given).await,
        Command::Explain(given) => explain::run(&context, &given).await,
        Command::Pause(given) => steer::pause(&context, &given.campaign).await,
        Command::Resume(given) => steer::resume(&context, &given.campaign).await,
        Command::Cancel(given) => steer::cancel(&context, &given.campaign).await,
        Command::Verify(given) => journal::verify(&context, &given),
        Command::Replay(given) => journal::replay(&context, &given),
        Command::Correlate(given) => correlate::run(&context, &given),
        Command::Workers => list::workers(&context).await,
        Command::Bench(BenchCommand::Cluster(given)) => bench::cluster(&context, &given).await,
        Command::Worker(given) => worker::run(&context, &given).await,
        Command::Token(given) => token::run(&context, &given).await,
        Command::Reference(given) => reference::run(&context, given.table),
        Command::Completions(given) => completions(&context, &given),
    }
}

/// Writes a picture, which is SVG text, to the places that the user has named for its two forms.
fn write_picture(
    context: &Context,
    text: &str,
    (svg, png): (Option<&Path>, Option<&Path>),
) -> Result<(), CliError> {
    if let Some(path) = svg {
        files::write_to(path, text.as_bytes())?;
        context.output.hint(&format!("wrote {}", path.display()));
    }
    if let Some(path) = png {
        files::write_to(path, &figure::png::render(text)?)?;
        context.output.hint(&format!("wrote {}", path.display()));
    }
    Ok(())
}

fn completions(context: &Context, given: &CompletionsArguments) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(given.shell, &mut Arguments::command(), "cambrian", &mut script);
    context.output.text(&String::from_utf8_lossy(&script))
}
