//! What an attempt ended with: checks an evaluator's answer and classifies its death.
//!
//! Pure: it must not know processes. Whatever it returns can go on the wire: finite values, every
//! measure of the stage exactly once, a kind of failure that a worker may report, a short message.

use cambrian_proto::v1::{
    Failure, FailureKind, Measurement, Measurements, Outcome, Stage, outcome,
};

/// The longest message of a failure, bytes; the end of a longer one is kept, where the cause is.
pub(super) const LONGEST_MESSAGE: usize = 8_192;

/// How an evaluator process came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Death {
    /// What was noticed first, a sentence without its full stop.
    pub(super) reason: String,
    /// The signal that ended it, unless the supervisor sent it.
    pub(super) signal: Option<i32>,
    /// Whether the system killed some process for lack of memory meanwhile.
    pub(super) system_out_of_memory: bool,
    /// The last lines of its standard error.
    pub(super) stderr: String,
}

impl Death {
    /// The whole story in words.
    pub(super) fn words(&self) -> String {
        if self.stderr.is_empty() {
            format!("{}; it wrote nothing to its standard error", self.reason)
        } else {
            format!("{}; its last words:\n{}", self.reason, self.stderr)
        }
    }
}

/// More than any attempt uses: a gigawatt hour.
const MOST_JOULES: f64 = 3.6e12;

const SIGKILL: i32 = 9;

/// What evaluators and their libraries write when memory is short, in lower case.
const OUT_OF_MEMORY_MARKS: [&str; 5] = [
    "out of memory",
    "bad_alloc",
    "cannot allocate memory",
    "can't allocate memory",
    "memory allocation of",
];

/// A failure of `kind`.
pub(super) fn failure(kind: FailureKind, message: impl Into<String>) -> outcome::Outcome {
    let message = bounded(message.into());
    outcome::Outcome::Failed(Failure { kind: kind.into(), message })
}

/// The failure of an attempt whose evaluator died.
pub(super) fn of_death(death: &Death) -> outcome::Outcome {
    let written = death.stderr.to_lowercase();
    let said_so = OUT_OF_MEMORY_MARKS.iter().any(|mark| written.contains(mark));
    let killed_for_memory = death.signal == Some(SIGKILL) && death.system_out_of_memory;
    if killed_for_memory {
        let words = death.words();
        let message = format!("the system killed a process for lack of memory: {words}");
        failure(FailureKind::OutOfMemory, message)
    } else if said_so {
        failure(FailureKind::OutOfMemory, death.words())
    } else {
        broken(death.words())
    }
}

/// The evaluator's own answer, checked against what `stage` asks for.
pub(super) fn of_answer(stage: &Stage, answer: Option<Outcome>) -> outcome::Outcome {
    match answer.and_then(|answer| answer.outcome) {
        None => broken("the evaluator ended without an outcome"),
        Some(outcome::Outcome::Failed(found)) => of_failure(found),
        Some(outcome::Outcome::Measured(found)) => {
            measured(stage, found.measurements).unwrap_or_else(|failed| failed)
        }
    }
}

/// Whether an evaluator says that it crashed in an evaluation. Nobody knows what that has left behind: after a
/// fault of CUDA, for one, everything fails in the same process.
pub(super) fn is_crash(answer: Option<&Outcome>) -> bool {
    let outcome = answer.and_then(|answer| answer.outcome.as_ref());
    matches!(outcome, Some(outcome::Outcome::Failed(failure)) if failure.kind() == FailureKind::Crash)
}

/// The energy that an answer states, if it can be an amount of energy.
pub(super) fn energy(joules: Option<f64>) -> Option<f64> {
    joules.filter(|joules| (0.0..=MOST_JOULES).contains(joules))
}

/// The failure of an evaluator that did not do what it has to.
pub(super) fn broken(message: impl Into<String>) -> outcome::Outcome {
    failure(FailureKind::Crash, message)
}

fn of_failure(found: Failure) -> outcome::Outcome {
    match found.kind() {
        FailureKind::Unspecified | FailureKind::LeaseExpired | FailureKind::Incomparable => {
            let name =
                FailureKind::try_from(found.kind).map_or("unknown", |kind| kind.as_str_name());
            broken(format!(
                "the evaluator failed with the kind {name} ({}), which is not its to report: {}",
                found.kind, found.message
            ))
        }
        kind => failure(kind, found.message),
    }
}

fn measured(
    stage: &Stage,
    mut found: Vec<Measurement>,
) -> Result<outcome::Outcome, outcome::Outcome> {
    let mut measurements = Vec::with_capacity(stage.measures.len());
    for metric in &stage.measures {
        let position = found.iter().position(|measurement| &measurement.metric == metric);
        let Some(position) = position else {
            return Err(broken(missing(&stage.evaluator, metric, &found)));
        };
        let measurement = found.swap_remove(position);
        if found.iter().any(|other| &other.metric == metric) {
            return Err(broken(format!(
                "the evaluator {} delivered {metric} more than once",
                stage.evaluator
            )));
        }
        check(&measurement)?;
        measurements.push(measurement);
    }
    Ok(outcome::Outcome::Measured(Measurements { measurements }))
}

fn check(measurement: &Measurement) -> Result<(), outcome::Outcome> {
    let Measurement { metric, value, spread, provenance: _ } = measurement;
    if !value.is_finite() {
        return Err(failure(FailureKind::NonFinite, format!("{metric} is {value}")));
    }
    if let Some(spread) = spread
        && !spread.is_finite()
    {
        return Err(failure(
            FailureKind::NonFinite,
            format!("the spread of {metric} (value {value}) is {spread}"),
        ));
    }
    match cambrian_core::objective::Measurement::try_from(measurement.clone()) {
        Ok(_) => Ok(()),
        Err(error) => Err(broken(format!("the evaluator's {metric} is malformed: {error}"))),
    }
}

fn missing(evaluator: &str, metric: &str, found: &[Measurement]) -> String {
    let delivered: Vec<&str> = found.iter().map(|found| found.metric.as_str()).collect();
    let delivered =
        if delivered.is_empty() { "nothing else".to_owned() } else { delivered.join(", ") };
    format!("the evaluator {evaluator} did not deliver {metric}; left of its answer: {delivered}")
}

fn bounded(message: String) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message;
    }
    let half = LONGEST_MESSAGE / 2;
    let head = &message[..message.floor_char_boundary(half)];
    let tail = &message[message.ceil_char_boundary(message.len() - half + 8)..];
    format!("{head}\n…\n{tail}")
}

/// The name of a signal on Linux and macOS, where common ones have the same numbers.
pub(super) fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        SIGKILL => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use cambrian_proto::v1::Provenance;

    use super::*;

    fn stage() -> Stage {
        Stage {
            evaluator: "train".to_owned(),
            measures: vec!["accuracy".to_owned(), "latency".to_owned()],
            ..Stage::default()
        }
    }

    fn measurement(metric: &str, value: f64) -> Measurement {
        let provenance =
            Some(Provenance { source: "measured".to_owned(), device_class: "cpu".to_owned() });
        Measurement { metric: metric.to_owned(), value, spread: Some(0.5), provenance }
    }

    fn answer(measurements: Vec<Measurement>) -> outcome::Outcome {
        let measured = outcome::Outcome::Measured(Measurements { measurements });
        of_answer(
            &stage(),
            Some(Outcome { outcome: Some(measured), elapsed_micros: 0, ..Outcome::default() }),
        )
    }

    fn failed(outcome: &outcome::Outcome) -> (FailureKind, &str) {
        match outcome {
            outcome::Outcome::Failed(failure) => (failure.kind(), &failure.message),
            outcome::Outcome::Measured(found) => panic!("measured {found:?}"),
        }
    }

    #[test]
    fn only_possible_energies_are_passed_on() {
        assert_eq!(energy(None), None);
        assert_eq!(energy(Some(0.0)), Some(0.0));
        assert_eq!(energy(Some(812.5)), Some(812.5));
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e20] {
            assert_eq!(energy(Some(bad)), None, "{bad}");
        }
    }

    #[test]
    fn what_the_stage_measures_is_passed_on_in_its_order() {
        let extra = measurement("energy", f64::NAN);
        let found = answer(vec![extra, measurement("latency", 2.0), measurement("accuracy", 1.0)]);
        let expected = vec![measurement("accuracy", 1.0), measurement("latency", 2.0)];
        assert_eq!(found, outcome::Outcome::Measured(Measurements { measurements: expected }));
    }

    #[test]
    fn missing_and_repeated_measures_are_crashes_that_name_them() {
        let found = answer(vec![measurement("accuracy", 1.0), measurement("depth", 1.0)]);
        let (kind, message) = failed(&found);
        assert_eq!(kind, FailureKind::Crash);
        assert!(message.contains("latency") && message.contains("depth"), "{message}");
        let twice = vec![measurement("accuracy", 1.0), measurement("accuracy", 2.0)];
        let found = answer(twice);
        assert_eq!(failed(&found).0, FailureKind::Crash);
        assert!(failed(&found).1.contains("more than once"));
    }

    #[test]
    fn nothing_that_is_not_finite_gets_through() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let found = answer(vec![measurement("accuracy", value), measurement("latency", 1.0)]);
            assert_eq!(failed(&found).0, FailureKind::NonFinite);
            assert!(failed(&found).1.contains("accuracy is"));
            let spread = Measurement { spread: Some(value), ..measurement("latency", 1.0) };
            let found = answer(vec![measurement("accuracy", 1.0), spread]);
            assert_eq!(failed(&found).0, FailureKind::NonFinite);
        }
    }

    #[test]
    fn what_the_coordinator_would_refuse_is_a_crash() {
        let nowhere = Some(Provenance::default());
        let endless = Some(Provenance { source: "x".repeat(100_000), device_class: String::new() });
        for bad in [
            Measurement { provenance: None, ..measurement("latency", 1.0) },
            Measurement { provenance: nowhere, ..measurement("latency", 1.0) },
            Measurement { provenance: endless, ..measurement("latency", 1.0) },
        ] {
            let found = answer(vec![measurement("accuracy", 1.0), bad]);
            assert_eq!(failed(&found).0, FailureKind::Crash);
            assert!(failed(&found).1.contains("latency"));
        }
    }

    #[test]
    fn kinds_that_are_not_the_evaluators_to_report_become_crashes() {
        for kind in 0..=20 {
            let failure = Failure { kind, message: "because".to_owned() };
            let given = Outcome {
                outcome: Some(outcome::Outcome::Failed(failure)),
                elapsed_micros: 0,
                ..Outcome::default()
            };
            let found = of_answer(&stage(), Some(given));
            let allowed = matches!(kind, 1..=7);
            let expected = if allowed { kind } else { FailureKind::Crash.into() };
            assert_eq!(i32::from(failed(&found).0), expected);
            assert!(failed(&found).1.contains("because"));
        }
        assert_eq!(failed(&of_answer(&stage(), None)).0, FailureKind::Crash);
        assert_eq!(failed(&of_answer(&stage(), Some(Outcome::default()))).0, FailureKind::Crash);
    }

    fn death(signal: Option<i32>, system_out_of_memory: bool, stderr: &str) -> Death {
        let reason = "the evaluator ended".to_owned();
        Death { reason, signal, system_out_of_memory, stderr: stderr.to_owned() }
    }

    #[test]
    fn deaths_are_out_of_memory_only_on_evidence() {
        let cases = [
            (death(Some(9), true, ""), FailureKind::OutOfMemory),
            (death(Some(9), false, ""), FailureKind::Crash),
            (death(Some(11), true, ""), FailureKind::Crash),
            (death(None, true, ""), FailureKind::Crash),
            (death(Some(6), false, "CUDA error: Out Of Memory"), FailureKind::OutOfMemory),
            (death(Some(6), false, "terminate: std::bad_alloc"), FailureKind::OutOfMemory),
            (death(None, false, "index out of range"), FailureKind::Crash),
        ];
        for (death, expected) in cases {
            let found = of_death(&death);
            assert_eq!(failed(&found).0, expected, "{death:?}");
            assert!(failed(&found).1.contains(&death.stderr));
        }
    }

    #[test]
    fn long_messages_lose_their_middle() {
        let message = format!("begin{}end", "ü".repeat(LONGEST_MESSAGE));
        let cut = bounded(message);
        assert!(cut.len() <= LONGEST_MESSAGE && cut.len() > LONGEST_MESSAGE - 16, "{}", cut.len());
        assert!(cut.starts_with("begin") && cut.ends_with("end"));
        assert_eq!(bounded("short".to_owned()), "short");
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(11), "SIGSEGV");
        assert_eq!(signal_name(64), "signal 64");
    }
}
