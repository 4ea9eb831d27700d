//! Standard output: one place that prints, so that a closed pipe ends a command quietly.
//!
//! Must not know what is printed.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use crate::arguments::{Format, Global};
use crate::error::CliError;
use crate::exit::Exit;
use crate::foreign::{legible, legible_json};
use crate::present::table::Look;
use crate::terminal::Style;

/// Where a command prints its results and its hints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether results are JSON.
    pub(crate) json: bool,
    /// Whether hints and progress are left out.
    pub(crate) quiet: bool,
    /// Colours of standard output.
    pub(crate) style: Style,
    /// Colours of standard error.
    pub(crate) hint_style: Style,
}

impl Output {
    /// As the user asked for.
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            style: Style::stdout(global.color),
            hint_style: Style::stderr(global.color),
        }
    }

    /// How rows are written: as the user asked for, else as JSON or as a table.
    ///
    /// # Errors
    /// [`CliError::Usage`] if that is JSON and something else.
    pub(crate) fn format(self, asked: Option<Format>) -> Result<Format, CliError> {
        match asked {
            None if self.json => Ok(Format::Json),
            None => Ok(Format::Table),
            Some(Format::Table | Format::Csv) if self.json => Err(CliError::Usage {
                message: "--json and --format say different things".to_owned(),
                help: "leave one of them out".to_owned(),
            }),
            Some(format) => Ok(format),
        }
    }

    /// How tables look on standard output: no wider than the terminal, if it is one.
    pub(crate) fn look(self) -> Look {
        let terminal = console::Term::stdout();
        let width = terminal.size_checked().map(|(_, columns)| columns);
        Look { style: self.style, width: width.filter(|_| io::stdout().is_terminal()) }
    }

    /// Prints a result as it is; it brings its own line ends.
    ///
    /// # Errors
    /// [`CliError::Silent`] if nobody reads any more.
    pub(crate) fn text(self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => CliError::Silent(Exit::Success),
            _ => CliError::Io { action: "write", path: "standard output".into(), source: error },
        })
    }

    /// Prints rows of data, such as CSV: exactly as they are, but to a terminal, which might obey them.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub(crate) fn data(self, text: &str) -> Result<(), CliError> {
        match io::stdout().is_terminal() {
            true => self.text(&legible(text)),
            false => self.text(text),
        }
    }

    /// Prints a result as one line of JSON.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub(crate) fn object(self, value: &impl Serialize) -> Result<(), CliError> {
        self.text(&(json(value)? + "\n"))
    }

    /// Prints a hint for people to standard error, unless they want none.
    pub(crate) fn hint(self, text: &str) {
        if !self.quiet && !self.json {
            eprintln!("{text}");
        }
    }
}

/// A value as one line of JSON.
///
/// # Errors
/// [`CliError::Internal`] if it has no JSON form.
pub(crate) fn json(value: &impl Serialize) -> Result<String, CliError> {
    serde_json::to_string(value)
        .map(|json| legible_json(&json))
        .map_err(|error| CliError::Internal(format!("cannot write JSON: {error}")))
}
