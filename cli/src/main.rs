//! The `cambrian` command: run, submit, watch and inspect search campaigns.
//!
//! Here: parse, dispatch, print what went wrong, exit with its code. Commands are in `commands`,
//! the embedded cluster of `run` in `run`; what a coordinator says comes through `client`. Must not
//! know what a command does.

mod arguments;
mod bench;
mod campaign_file;
mod client;
mod commands;
mod error;
mod exit;
mod figure;
mod files;
mod foreign;
mod growing_volume;
mod output;
mod present;
mod results;
mod run;
mod sheet;
mod simulate;
mod snippet;
mod start_files;
mod terminal;
mod watch;

use std::process::ExitCode;

use arguments::Global;
use error::CliError;
use exit::Exit;
use foreign::legible_json;
use terminal::Style;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let arguments = match arguments::parse(&words) {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && arguments::wants_json(&words) => {
            let error = arguments::usage_error(&error);
            eprintln!("{}", legible_json(&error.to_json().to_string()));
            return ExitCode::from(error.exit().code());
        }
        // Help and version come this way too; clap knows the stream and the code of each.
        Err(error) => error.exit(),
    };
    let global = arguments.global.clone();
    let result = match runtime() {
        Ok(runtime) => {
            let result = runtime.block_on(commands::execute(arguments));
            // A read of standard input must not keep the process.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error),
    };
    let exit = match result {
        Ok(()) => Exit::Success,
        Err(error) => {
            complain(&error, &global);
            error.exit()
        }
    };
    ExitCode::from(exit.code())
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Internal(format!("cannot start threads: {error}")))
}

fn complain(error: &CliError, global: &Global) {
    if matches!(error, CliError::Silent(_)) {
        return;
    }
    if global.json {
        eprintln!("{}", legible_json(&error.to_json().to_string()));
    } else {
        eprint!("{}", error.render(Style::stderr(global.color)));
    }
}
