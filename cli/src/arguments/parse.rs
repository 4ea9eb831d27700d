//! Reading the command line, and what is said where it cannot be understood.
//!
//! Must not print: `main` does.

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Parser};

use super::Arguments;
use crate::error::CliError;

/// Reads `words`, the program's name first.
///
/// # Errors
/// What clap says, which is help and the version too; its usage line is that of the help.
pub(crate) fn parse(words: &[OsString]) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(words).map_err(|error| {
        if !error.use_stderr() {
            return error;
        }
        let mut command = Arguments::command();
        command.build();
        let again = with_fixed_usage(command).try_get_matches_from(words);
        again.err().unwrap_or(error)
    })
}

/// In an error's usage line clap would list the options that the environment sets, as if they were needed, and
/// leave alternatives out.
fn with_fixed_usage(mut command: Command) -> Command {
    let usage = command.render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned();
    command.override_usage(usage).mut_subcommands(with_fixed_usage)
}

/// Whether errors are to be JSON, also where the rest cannot be understood.
pub(crate) fn wants_json(words: &[OsString]) -> bool {
    let options = words.iter().take_while(|word| *word != OsStr::new("--"));
    options.into_iter().any(|word| word == OsStr::new("--json"))
}

/// What clap says about a command line, as an error of this program: the first paragraph is what is wrong, then
/// come tips and the usage line.
pub(crate) fn usage_error(error: &clap::Error) -> CliError {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let help = "`cambrian --help` lists the commands".to_owned();
        return CliError::Usage { message: "no command is given".to_owned(), help };
    }
    let text = error.render().to_string();
    let mut paragraphs = text.trim().split("\n\n");
    let lines = |paragraph: &str, by| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(by);
    let first = lines(paragraphs.next().unwrap_or_default(), " ");
    let rest = paragraphs
        .filter(|paragraph| !paragraph.starts_with("For more information"))
        .map(|paragraph| lines(paragraph, "\n"));
    CliError::Usage {
        message: first.strip_prefix("error: ").unwrap_or(&first).to_owned(),
        help: rest.collect::<Vec<_>>().join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn refused(line: &str) -> CliError {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        usage_error(&parse(&words).unwrap_err())
    }

    #[test]
    fn usage_lines_are_those_of_the_help() {
        let front = refused("cambrian front --endpoint http://a:1 --tls-ca ca.pem");
        assert_eq!(front.exit(), Exit::Usage);
        assert_eq!(
            front.to_string(),
            "the following required arguments were not provided: <CAMPAIGN>"
        );
        assert_eq!(front.help(), "Usage: cambrian front [OPTIONS] <CAMPAIGN>");
        for command in ["drain", "release"] {
            let given = format!("cambrian worker {command} --tls-ca ca.pem --token-file token");
            let usage = format!("cambrian worker {command} [OPTIONS]");
            let both = format!("Usage: {usage} <WORKER>...\n{usage} --label <NAME=VALUE>...");
            assert_eq!(refused(&given).help(), both);
        }
    }

    #[test]
    fn values_and_commands_that_do_not_exist_come_with_those_that_do() {
        let status = refused("cambrian candidates 1 --status foo");
        assert!(
            status.to_string().starts_with(
                "invalid value 'foo' for '--status <STATUS>' [possible values: queued, running"
            ),
            "{status}"
        );
        let command = refused("cambrian frnt");
        assert_eq!(command.to_string(), "unrecognized subcommand 'frnt'");
        let usage = "\nUsage: cambrian [OPTIONS] <COMMAND>";
        let help = command.help();
        assert!(help.starts_with("tip: ") && help.contains("'front'") && help.ends_with(usage));
        assert_eq!(refused("cambrian").to_string(), "no command is given");
    }

    #[test]
    fn help_is_no_error_and_stays_as_it_is() {
        let words = ["cambrian", "front", "--help"].map(OsString::from);
        assert_eq!(parse(&words).unwrap_err().kind(), ErrorKind::DisplayHelp);
    }

    #[test]
    fn json_is_asked_for_by_an_option_alone() {
        let wants =
            |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(wants("cambrian frnt --json"));
        assert!(!wants("cambrian evaluate a.yaml -- --json"));
    }
}
