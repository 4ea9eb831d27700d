//! The worker's stream: what workers say becomes commands, effects become what they are told. Must not know
//! connections, nor what a command leads to.

use std::sync::Arc;

use cambrian_core::energy::Energy;
use cambrian_core::engine::{Capabilities, Command, Effect, StopReason};
use cambrian_core::id::{AttemptId, SessionId, WorkerId};
use prost::Message as _;

use super::artifact::named;
use super::measurement::{outcome, progress_metrics};
use super::{ConvertError, MAX_LIST, Within, list, name, number, positive, required};
use crate::v1;

/// The capabilities of a worker in their encoded form, bytes at most. Forty metrics and a dozen data sets with
/// their fingerprints take about five thousand.
pub const MAX_CAPABILITIES_BYTES: usize = 64 << 10;
/// The metrics of all evaluators of a worker together, its labels, and the evaluators that it says it cannot
/// run, entries of each at most.
const MAX_CAPABILITIES: usize = 1024;
/// The most energy that an attempt can have used, joules: a million kilowatt hours. Who states more has
/// not measured, and its report counts without.
const MOST_JOULES: f64 = 3.6e12;

/// A worker's first message.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The name it keeps for life.
    pub name: Arc<str>,
    /// Larger than that of every earlier connection of this worker.
    pub session: SessionId,
    /// What it can do; at least one slot.
    pub capabilities: Arc<Capabilities>,
    /// The attempts that it works on or holds finished reports of.
    pub holding: Vec<AttemptId>,
}

impl From<&Registration> for v1::Register {
    fn from(registration: &Registration) -> Self {
        Self {
            name: registration.name.to_string(),
            session: registration.session.0,
            capabilities: Some(registration.capabilities.as_ref().into()),
            holding: registration.holding.iter().map(|held| (*held).into()).collect(),
        }
    }
}

impl TryFrom<v1::Register> for Registration {
    type Error = ConvertError;

    fn try_from(message: v1::Register) -> Result<Self, ConvertError> {
        name("name", &message.name)?;
        let session = number("session", positive("session", message.session)?)?;
        let capabilities = required("capabilities", message.capabilities)?;
        is_kept_for_ever(&capabilities).within("capabilities")?;
        let capabilities = Capabilities::try_from(capabilities).within("capabilities")?;
        positive("slots", capabilities.slots).within("capabilities")?;
        Ok(Self {
            name: message.name.into(),
            session: SessionId(session),
            capabilities: Arc::new(capabilities),
            holding: holding(message.holding)?,
        })
    }
}

impl From<Registration> for Command {
    fn from(registration: Registration) -> Self {
        let Registration { name, session, capabilities, holding } = registration;
        Command::RegisterWorker { name, session, capabilities, holding }
    }
}

/// Refuses capabilities that are larger than those of any honest worker: each registration goes into the
/// journal, and the latest of each worker stays in memory.
fn is_kept_for_ever(capabilities: &v1::Capabilities) -> Result<(), ConvertError> {
    let found = capabilities.encoded_len();
    if found > MAX_CAPABILITIES_BYTES {
        let reason = format!("have {found} bytes, at most {MAX_CAPABILITIES_BYTES} are allowed");
        return Err(ConvertError::new("", reason));
    }
    let metrics = capabilities.evaluators.iter().map(|offer| offer.metrics.len()).sum::<usize>();
    list("evaluators.metrics", metrics, MAX_CAPABILITIES)?;
    list("labels", capabilities.labels.len(), MAX_CAPABILITIES)?;
    list("unavailable", capabilities.unavailable.len(), MAX_CAPABILITIES)
}

fn holding(messages: Vec<v1::TaskAttempt>) -> Result<Vec<AttemptId>, ConvertError> {
    list("holding", messages.len(), MAX_LIST)?;
    let read = |(index, message): (usize, v1::TaskAttempt)| {
        message.try_into().within_entry("holding", index)
    };
    messages.into_iter().enumerate().map(read).collect()
}

/// What `worker` says on its connection `session` after it has registered.
///
/// # Errors
/// [`ConvertError`] if the message is malformed, or is another [`v1::Register`].
pub fn command(
    worker: WorkerId,
    session: SessionId,
    message: v1::WorkerMessage,
) -> Result<Command, ConvertError> {
    use v1::worker_message::Message;
    match required("message", message.message)? {
        Message::Register(_) => {
            Err(ConvertError::new("register", "this stream has been registered already"))
        }
        Message::Heartbeat(heartbeat) => {
            let holding = holding(heartbeat.holding).within("heartbeat")?;
            Ok(Command::Heartbeat { worker, session, holding })
        }
        Message::Ready(v1::Ready { credit }) => Ok(Command::Ready { worker, session, credit }),
        Message::Progress(message) => progress(worker, session, message).within("progress"),
        Message::SavedState(message) => saved(worker, session, message).within("saved_state"),
        Message::Report(message) => report(worker, session, message).within("report"),
        Message::Draining(v1::Draining {}) => Ok(Command::WorkerDrains { worker, session }),
        Message::Goodbye(v1::Goodbye {}) => Ok(Command::WorkerGoodbye { worker, session }),
    }
}

fn progress(
    worker: WorkerId,
    session: SessionId,
    message: v1::Progress,
) -> Result<Command, ConvertError> {
    let v1::Progress { task, attempt, step, steps, metrics } = message;
    let AttemptId { task, attempt } = v1::TaskAttempt { task, attempt }.try_into()?;
    let metrics = progress_metrics(metrics)?;
    Ok(Command::Progress { worker, session, task, attempt, step, steps, metrics })
}

fn saved(
    worker: WorkerId,
    session: SessionId,
    message: v1::SavedState,
) -> Result<Command, ConvertError> {
    let v1::SavedState { task, attempt, checkpoint, step } = message;
    let AttemptId { task, attempt } = v1::TaskAttempt { task, attempt }.try_into()?;
    let checkpoint = named("checkpoint", &checkpoint)?;
    Ok(Command::SaveState { worker, session, task, attempt, checkpoint, step })
}

fn report(
    worker: WorkerId,
    session: SessionId,
    message: v1::Report,
) -> Result<Command, ConvertError> {
    let v1::Report { task, attempt, outcome: ended, energy_joules } = message;
    let AttemptId { task, attempt } = v1::TaskAttempt { task, attempt }.try_into()?;
    let (outcome, attached, elapsed) = outcome(required("outcome", ended)?).within("outcome")?;
    let energy = energy_joules.map(energy).transpose()?.flatten();
    Ok(Command::Report { worker, session, task, attempt, outcome, attached, elapsed, energy })
}

/// `None` if it cannot be an amount of energy.
fn energy(joules: f64) -> Result<Option<Energy>, ConvertError> {
    if !joules.is_finite() || joules < 0.0 {
        let reason = format!("is {joules}, expected a finite number of at least 0");
        return Err(ConvertError::new("energy_joules", reason));
    }
    Ok(Energy::from_joules(joules).filter(|_| joules <= MOST_JOULES))
}

/// Where an effect goes: the worker and the connection that alone may receive it.
#[must_use]
pub fn recipient(effect: &Effect) -> (WorkerId, SessionId) {
    match effect {
        Effect::Assign { worker, session, .. }
        | Effect::Stop { worker, session, .. }
        | Effect::Drain { worker, session }
        | Effect::Acknowledge { worker, session, .. } => (*worker, *session),
    }
}

impl From<StopReason> for v1::StopReason {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::Cancelled => Self::Cancelled,
            StopReason::Superseded => Self::Superseded,
            StopReason::Preempted => Self::Preempted,
            StopReason::Hopeless => Self::Hopeless,
        }
    }
}

impl From<&Effect> for v1::CoordinatorMessage {
    fn from(effect: &Effect) -> Self {
        use v1::coordinator_message::Message;
        let message = match effect {
            Effect::Assign { assignment, .. } => {
                Message::Assign(v1::Assign { assignment: Some(assignment.as_ref().into()) })
            }
            Effect::Stop { task, attempt, reason, .. } => Message::Stop(v1::Stop {
                task: task.0,
                attempt: attempt.0,
                reason: v1::StopReason::from(*reason).into(),
            }),
            Effect::Drain { .. } => Message::Drain(v1::Drain {}),
            Effect::Acknowledge { task, attempt, .. } => {
                Message::Acknowledged(v1::Acknowledged { task: task.0, attempt: attempt.0 })
            }
        };
        Self { message: Some(message) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::capabilities::tests::any_capabilities;
    use super::super::measurement::MAX_NOTE_BYTES;
    use super::super::tests::bad_field;
    use super::*;
    use cambrian_core::artifact::ArtifactId;
    use cambrian_core::engine::ReportedOutcome;
    use cambrian_core::id::{Attempt, TaskId};
    use proptest::prelude::*;
    use v1::worker_message::Message;

    fn read(message: Message) -> Result<Command, ConvertError> {
        command(WorkerId(1), SessionId(2), v1::WorkerMessage { message: Some(message) })
    }

    fn registration() -> v1::Register {
        let capabilities = v1::Capabilities { slots: 1, ..Default::default() };
        v1::Register {
            name: "gpu-1".into(),
            session: 7,
            capabilities: Some(capabilities),
            holding: vec![],
        }
    }

    proptest! {
        #[test]
        fn registrations_round_trip(
            capabilities in any_capabilities(), session in 1u64..1 << 60, name in "[a-z0-9.-]{1,20}",
            held in proptest::collection::vec((1u64..99, 1u32..9), 0..4),
        ) {
            let before = Registration {
                name: name.into(),
                session: SessionId(session),
                capabilities: Arc::new(Capabilities { slots: capabilities.slots.max(1), ..capabilities }),
                holding: held.into_iter().map(|(task, attempt)| AttemptId::new(TaskId(task), Attempt(attempt))).collect(),
            };
            prop_assert_eq!(Registration::try_from(v1::Register::from(&before)), Ok(before));
        }
    }

    #[test]
    fn what_many_evaluators_and_data_sets_take_is_far_below_the_bound() {
        let metric = |index| {
            let (source, device_class) = ("trained".to_owned(), "x".repeat(60));
            (format!("a-metric-of-its-own-{index}"), v1::Provenance { source, device_class })
        };
        let offer = |index: u32| v1::EvaluatorOffer {
            name: format!("an-evaluator-{index}"),
            version: "1.2.3".into(),
            metrics: (0..10).map(metric).collect(),
            yields: true,
        };
        let dataset = |index| v1::DatasetOffer {
            name: format!("a-data-set-{index}"),
            fingerprint: "0".repeat(64),
        };
        let capabilities = v1::Capabilities {
            slots: 8,
            evaluators: (0..4).map(offer).collect(),
            datasets: (0..12).map(|index| format!("a-data-set-{index}")).collect(),
            dataset_offers: (0..12).map(dataset).collect(),
            ..v1::Capabilities::default()
        };
        let bytes = capabilities.encoded_len();
        assert!((4_000..6_000).contains(&bytes), "{bytes}");
        assert!(10 * bytes < MAX_CAPABILITIES_BYTES, "{bytes}");
        let honest = v1::Register { capabilities: Some(capabilities), ..registration() };
        assert!(Registration::try_from(honest).is_ok());
    }

    #[test]
    fn each_bad_field_of_a_registration_is_named() {
        let bad = |message| bad_field(Registration::try_from(message));
        assert_eq!(bad(v1::Register { name: String::new(), ..registration() }), "name");
        assert_eq!(bad(v1::Register { session: 0, ..registration() }), "session");
        assert_eq!(bad(v1::Register { capabilities: None, ..registration() }), "capabilities");
        let slotless = Some(v1::Capabilities::default());
        assert_eq!(
            bad(v1::Register { capabilities: slotless, ..registration() }),
            "capabilities.slots"
        );
        let labels = |count: usize, bytes: usize| {
            let label = |index| (format!("label-{index}"), "x".repeat(bytes));
            let labels = (0..count).map(label).collect();
            let capabilities = v1::Capabilities { slots: 1, labels, ..v1::Capabilities::default() };
            v1::Register { capabilities: Some(capabilities), ..registration() }
        };
        assert!(Registration::try_from(labels(60, 1024)).is_ok());
        assert_eq!(bad(labels(64, 1024)), "capabilities");
        assert_eq!(bad(labels(MAX_CAPABILITIES + 1, 0)), "capabilities.labels");
        let metric = |index| (format!("m{index}"), v1::Provenance::default());
        let offer = |index| v1::EvaluatorOffer {
            name: format!("e{index}"),
            metrics: (0..600).map(metric).collect(),
            ..v1::EvaluatorOffer::default()
        };
        let evaluators = (0..2).map(offer).collect();
        let many = v1::Capabilities { slots: 1, evaluators, ..v1::Capabilities::default() };
        let many = v1::Register { capabilities: Some(many), ..registration() };
        assert_eq!(bad(many), "capabilities.evaluators.metrics");
        let held = vec![v1::TaskAttempt { task: 1, attempt: 1 }, v1::TaskAttempt::default()];
        assert_eq!(bad(v1::Register { holding: held, ..registration() }), "holding[1].task");
        let many = vec![v1::TaskAttempt { task: 1, attempt: 1 }; MAX_LIST + 1];
        assert_eq!(bad(v1::Register { holding: many, ..registration() }), "holding");
    }

    #[test]
    fn each_bad_field_of_a_message_is_named() {
        let bad = |message| bad_field(read(message));
        let empty = v1::WorkerMessage { message: None };
        assert_eq!(bad_field(command(WorkerId(1), SessionId(2), empty)), "message");
        assert_eq!(bad(Message::Register(registration())), "register");
        let held = vec![v1::TaskAttempt { task: 1, attempt: 0 }];
        assert_eq!(
            bad(Message::Heartbeat(v1::Heartbeat { holding: held })),
            "heartbeat.holding[0].attempt"
        );
        assert_eq!(bad(Message::Progress(v1::Progress::default())), "progress.task");
        let saved = v1::SavedState { task: 1, attempt: 1, checkpoint: vec![7; 31], step: 3 };
        assert_eq!(bad(Message::SavedState(saved)), "saved_state.checkpoint");
        assert_eq!(bad(Message::Report(v1::Report::default())), "report.task");
        let blank = v1::Report { task: 1, attempt: 1, ..v1::Report::default() };
        assert_eq!(bad(Message::Report(blank)), "report.outcome");
        let outcome = Some(v1::Outcome::default());
        let blank = v1::Report { task: 1, attempt: 1, outcome, ..v1::Report::default() };
        assert_eq!(bad(Message::Report(blank)), "report.outcome.outcome");
        let attached = [
            v1::Outcome { checkpoint: vec![1; 31], ..v1::Outcome::default() },
            v1::Outcome { note: "x".repeat(MAX_NOTE_BYTES + 1), ..v1::Outcome::default() },
        ];
        let fields = attached.map(|outcome| {
            let outcome = Some(outcome);
            bad(Message::Report(v1::Report {
                task: 1,
                attempt: 1,
                outcome,
                ..v1::Report::default()
            }))
        });
        assert_eq!(fields, ["report.outcome.checkpoint", "report.outcome.note"]);
        let failed = v1::Failure { kind: v1::FailureKind::Crash.into(), message: "gone".into() };
        let outcome = v1::Outcome {
            outcome: Some(v1::outcome::Outcome::Failed(failed)),
            elapsed_micros: 9,
            ..v1::Outcome::default()
        };
        for joules in [-1.0, f64::NAN, f64::INFINITY] {
            let (outcome, energy_joules) = (Some(outcome.clone()), Some(joules));
            let report = v1::Report { task: 1, attempt: 1, outcome, energy_joules };
            assert_eq!(bad(Message::Report(report)), "report.energy_joules");
        }
    }

    #[test]
    fn a_report_becomes_a_command() {
        let failed = v1::Failure { kind: v1::FailureKind::Crash.into(), message: "gone".into() };
        let failed = v1::outcome::Outcome::Failed(failed);
        let checkpoint = ArtifactId::of(b"state").as_bytes().to_vec();
        let note = "anew".to_owned();
        let outcome =
            v1::Outcome { outcome: Some(failed), elapsed_micros: 9, checkpoint, note, step: 12 };
        let energy_joules = Some(2.5);
        let report = v1::Report { task: 5, attempt: 2, outcome: Some(outcome), energy_joules };
        let Ok(Command::Report {
            worker,
            session,
            task,
            attempt,
            outcome,
            attached,
            elapsed,
            energy,
        }) = read(Message::Report(report))
        else {
            panic!("no report")
        };
        assert_eq!((worker, session), (WorkerId(1), SessionId(2)));
        assert_eq!((task, attempt, elapsed.0), (TaskId(5), Attempt(2), 9));
        assert_eq!(energy, Energy::from_joules(2.5));
        assert!(matches!(outcome, ReportedOutcome::Failed(failure) if &*failure.message == "gone"));
        assert_eq!(attached.checkpoint, Some(ArtifactId::of(b"state")));
        assert_eq!(attached.note.as_deref(), Some("anew"));
    }

    #[test]
    fn more_energy_than_there_can_be_is_none() {
        let stated = |joules| energy(joules).unwrap();
        assert_eq!(stated(MOST_JOULES), Energy::from_joules(MOST_JOULES));
        for joules in [MOST_JOULES * 1.1, 1e18, f64::MAX] {
            assert_eq!(stated(joules), None, "{joules}");
        }
    }

    #[test]
    fn effects_become_messages() {
        use v1::coordinator_message::Message;
        let (worker, session) = (WorkerId(1), SessionId(2));
        let (task, attempt) = (TaskId(5), Attempt(2));
        let stop = Effect::Stop { worker, session, task, attempt, reason: StopReason::Cancelled };
        assert_eq!(recipient(&stop), (worker, session));
        let Some(Message::Stop(message)) = v1::CoordinatorMessage::from(&stop).message else {
            panic!("no stop")
        };
        assert_eq!(message.reason(), v1::StopReason::Cancelled);
        let done = Effect::Acknowledge { worker, session, task, attempt };
        let Some(Message::Acknowledged(message)) = v1::CoordinatorMessage::from(&done).message
        else {
            panic!("no acknowledgement")
        };
        assert_eq!((message.task, message.attempt), (5, 2));
    }
}
