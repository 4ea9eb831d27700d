//! Calls that failed, in words for the user: what was asked about decides what they can do.
//!
//! Must not know how a call is made.

use cambrian_transport::failure::{self, Cause};
use tonic::{Code, Status};

use crate::error::CliError;

/// Who does not answer.
pub(super) const COORDINATOR: &str = "coordinator";
/// How an answer begins that is no HTTP/2, as from a coordinator with TLS that is asked without.
const NO_HTTP2: &str = "h2 protocol error";

/// How statuses begin that the transport makes up where no coordinator has sent one.
const MADE_UP: [&str; 3] =
    ["grpc-status header missing", "protocol error: missing grpc-status", "Service was not ready"];

/// What a call is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Topic<'a> {
    /// Nothing that has a name.
    Cluster,
    Campaign,
    Candidate,
    Task,
    Worker(&'a str),
    Token,
}

impl Topic<'_> {
    /// What to do if there is no such thing.
    fn where_to_look(self) -> &'static str {
        match self {
            Self::Cluster => "`cambrian list` shows the campaigns, `cambrian workers` the workers",
            Self::Campaign => "`cambrian list` shows the campaigns",
            Self::Candidate => {
                "`cambrian list` shows the campaigns, `cambrian candidates CAMPAIGN` the candidates"
            }
            Self::Task => "`cambrian explain worker NAME` shows the tasks that a worker has",
            Self::Worker(_) => "`cambrian workers` shows the workers",
            Self::Token => "`cambrian token list` shows the tokens",
        }
    }

    /// What to do if it is not in a state for what was asked.
    fn state(self) -> String {
        match self {
            Self::Worker(name) => format!("`cambrian explain worker {name}` shows its present state"),
            Self::Campaign | Self::Candidate | Self::Task => {
                "`cambrian list` shows the campaigns with their numbers, `cambrian explain campaign \
                 NUMBER` the present state of one"
                    .to_owned()
            }
            Self::Cluster | Self::Token => self.where_to_look().to_owned(),
        }
    }
}

/// Why nobody answers, in words.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    failure::of_tls(error).unwrap_or_else(|| failure::innermost(error))
}

/// That the coordinator at `endpoint` cannot be spoken with.
pub(super) fn unreachable(endpoint: &str, cause: Cause) -> CliError {
    let Cause { what: reason, way_out } = cause;
    let (endpoint, help) = (endpoint.to_owned(), Some(way_out));
    CliError::Unreachable { what: COORDINATOR, endpoint, reason, help }
}

/// Whether the connection has failed, and no coordinator has said this.
pub(super) fn is_of_connection(status: &Status) -> bool {
    std::error::Error::source(status).is_some() || status.message().starts_with(NO_HTTP2)
}

/// An answer of the coordinator at `endpoint` that is a refusal, or a connection that broke.
pub(super) fn of_status(status: &Status, topic: Topic<'_>, endpoint: &str) -> CliError {
    let message = status.message().to_owned();
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => CliError::Denied {
            message,
            help: "CAMBRIAN_TOKEN_FILE or --token-file names the file with the token; \
                   `cambrian token list` shows an administrator what each token may do"
                .to_owned(),
        },
        Code::ResourceExhausted => {
            CliError::Refused { message, help: "wait a moment, then try again".to_owned() }
        }
        Code::NotFound => CliError::NotFound { message, help: topic.where_to_look().to_owned() },
        Code::InvalidArgument | Code::OutOfRange => CliError::Usage {
            message,
            help: "`cambrian help COMMAND` shows what the command takes".to_owned(),
        },
        Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => {
            CliError::Refused { message, help: topic.state() }
        }
        Code::Unimplemented => CliError::Coordinator(format!(
            "{endpoint} is no coordinator of this version ({message})"
        )),
        // A connection that breaks in the middle shows as Unknown or Cancelled.
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled => {
            let endpoint = endpoint.to_owned();
            let made_up = MADE_UP.iter().any(|words| message.starts_with(words));
            let reason = match is_of_connection(status) {
                true => reason(status),
                false if made_up => format!("what came is no whole answer of one ({message})"),
                false => return CliError::Unable { endpoint, reason: message },
            };
            CliError::Unreachable { what: COORDINATOR, endpoint, reason, help: None }
        }
        Code::Internal if message.starts_with(NO_HTTP2) => {
            let reason = "what answers there is no coordinator; check the port".to_owned();
            let endpoint = endpoint.to_owned();
            CliError::Unreachable { what: COORDINATOR, endpoint, reason, help: None }
        }
        code => CliError::Coordinator(format!("{message} ({code})")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;

    use super::*;
    use crate::foreign::tests::{HOSTILE, assert_legible};
    use crate::terminal::Style;

    fn help(status: &Status, topic: Topic<'_>) -> String {
        of_status(status, topic, "http://127.0.0.1:1").help().to_owned()
    }

    #[test]
    fn the_way_out_is_about_what_was_asked_for() {
        let refused = Status::failed_precondition("there is nothing to release");
        assert!(help(&refused, Topic::Worker("w1")).contains("explain worker w1"));
        assert!(help(&refused, Topic::Campaign).contains("explain campaign"));
        let absent = Status::not_found("there is none");
        assert!(help(&absent, Topic::Token).contains("token list"));
        assert!(help(&absent, Topic::Worker("w1")).contains("cambrian workers"));
        assert!(help(&absent, Topic::Candidate).contains("cambrian candidates"));
        assert!(!help(&absent, Topic::Campaign).contains("workers"));
    }

    #[test]
    fn a_coordinator_that_says_what_it_lacks_has_answered() {
        let of = |status: &Status| of_status(status, Topic::Cluster, "http://127.0.0.1:1");
        let full = of(&Status::unavailable("the journal could not be written: disk full"));
        let text = full.render(Style::plain());
        assert!(text.contains("answers that it cannot do this now: the journal"), "{text}");
        assert!(!text.contains("does not answer") && !text.contains("start one"), "{text}");
        assert!(full.is_outage());
        let mut broken = Status::unavailable("tcp connect error");
        broken.set_source(Arc::new(std::io::Error::from(ErrorKind::ConnectionRefused)));
        let proxy =
            Status::unavailable("grpc-status header missing, mapped from HTTP status code 503");
        for status in [broken, proxy] {
            let text = of(&status).render(Style::plain());
            assert!(text.contains("does not answer") && text.contains("start one"), "{text}");
        }
    }

    #[test]
    fn what_a_coordinator_says_cannot_command_a_terminal() {
        for code in 1..=16 {
            let status = Status::new(Code::from_i32(code), HOSTILE);
            let error = of_status(&status, Topic::Worker(HOSTILE), "http://127.0.0.1:1");
            assert_legible(&error.render(Style::plain()));
            assert_legible(&error.of_submission().render(Style::plain()));
        }
    }
}
