//! Why the command ended, in words for whoever started it, and its exit code.
//!
//! Must not print.

use std::fmt::Display;
use std::process::ExitCode;

use cambrian_coordinator::actor::ActorError;
use cambrian_coordinator::config::ConfigFaults;
use cambrian_coordinator::server::ServeError;
use cambrian_coordinator::store::place::Place;
use thiserror::Error;
use tracing_subscriber::filter::ParseError;

use crate::token_command::TokenCommandError;

/// The code for faulty settings, as that of a command line that cannot be understood.
const FAULTY_SETTINGS: u8 = 2;

/// Why a coordinator did not start, or has ended.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    /// The settings have faults.
    #[error(transparent)]
    Settings(#[from] ConfigFaults),
    /// The filter of the log has no meaning.
    #[error("`{filter}` is no filter of log lines ({source}); write `info`")]
    Filter { filter: String, source: ParseError },
    /// The filter of the log has characters that its parser panics at.
    #[error("`{0}` is no filter of log lines: it has other characters than ASCII; write `info`")]
    FilterText(String),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(#[from] std::io::Error),
    /// The tokens cannot be read or changed.
    #[error(transparent)]
    Token(#[from] TokenCommandError),
    /// It cannot serve.
    #[error("{}", serve_words(.source, .place))]
    Serve { place: Place, source: Box<ServeError> },
}

impl StartError {
    pub(crate) fn exit(&self) -> ExitCode {
        match self {
            Self::Settings(_) | Self::Filter { .. } | Self::FilterText(_) => {
                ExitCode::from(FAULTY_SETTINGS)
            }
            Self::Serve { source, .. }
                if matches!(**source, ServeError::Settings(_) | ServeError::Config(_)) =>
            {
                ExitCode::from(FAULTY_SETTINGS)
            }
            Self::Signals(_) | Self::Token(_) | Self::Serve { .. } => ExitCode::FAILURE,
        }
    }
}

fn serve_words(error: &ServeError, place: &Place) -> String {
    match error {
        ServeError::Store(source) | ServeError::Actor(ActorError::Store(source)) => {
            of_store(source, place)
        }
        ServeError::Actor(source @ ActorError::Inconsistent { .. }) => of_store(source, place),
        other => other.to_string(),
    }
}

/// What a store says, with its place unless it says that itself.
pub(crate) fn of_store(error: &dyn Display, place: &Place) -> String {
    let (text, place) = (error.to_string(), place.to_string());
    if text.contains(&place) { text } else { format!("the store {place}: {text}") }
}
