//! Tests of a slot with small shell scripts in place of an evaluator.

use std::net::TcpListener;
use std::path::Path;

use cambrian_proto::v1::{
    EvaluationProgress, EvaluatorMessage, Hello, Measurements, evaluator_message,
};
use prost::Message;
use tokio::task::JoinHandle;

use super::confine::Bounds;
use super::evaluation::forwarded;
use super::*;
use crate::artifacts::Transfer;
use crate::attempt::attempt_id;
use cambrian_transport::client::Credentials;

struct Rig {
    commands: mpsc::UnboundedSender<SlotCommand>,
    events: mpsc::UnboundedReceiver<SlotEvent>,
    task: JoinHandle<()>,
}

fn rig(program: &str, arguments: &[&str]) -> Rig {
    rig_at(program, arguments, None, Vec::new())
}

/// A slot whose evaluator starts in `folder`, and whose artifacts go to these coordinators.
fn rig_at(
    program: &str,
    arguments: &[&str],
    folder: Option<&Path>,
    coordinators: Vec<String>,
) -> Rig {
    rig_of(program, arguments, folder, coordinators, Killing::REAL)
}

/// A slot whose evaluator outlives its kill, as one does that the kernel holds.
fn rig_of_the_unkillable(body: &str) -> Rig {
    let killing = Killing { signal: |_| Ok(()), patience: Duration::from_millis(50) };
    rig_of("sh", &["-c", body], None, Vec::new(), killing)
}

fn rig_of(
    program: &str,
    arguments: &[&str],
    folder: Option<&Path>,
    coordinators: Vec<String>,
    killing: Killing,
) -> Rig {
    let rests = Backoff::new(Duration::from_millis(1), Duration::from_millis(5), 1);
    rig_that_rests(program, arguments, folder, coordinators, (killing, rests))
}

fn rig_that_rests(
    program: &str,
    arguments: &[&str],
    folder: Option<&Path>,
    coordinators: Vec<String>,
    (killing, backoff): (Killing, Backoff),
) -> Rig {
    let (commands, receiver) = mpsc::unbounded_channel();
    let (sender, events) = mpsc::unbounded_channel();
    let slot = Slot {
        index: SlotIndex(0),
        launch: Launch {
            program: program.into(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: vec![("ADDED".to_owned(), "by the configuration".to_owned())],
            folder: folder.map(|folder| folder.join("slot")),
            bounds: Bounds { open_files: Some(100), memory: None },
        },
        emptying: Emptying::default(),
        killing,
        timing: SlotTiming {
            hello: Duration::from_millis(500),
            stop_grace: Duration::from_millis(100),
            progress_interval: Duration::from_millis(1),
            saving: None,
        },
        backoff,
        offer: Arc::default(),
        artifacts: Artifacts::new(
            folder.map_or_else(|| std::env::temp_dir().join("no-artifacts"), |at| at.join("cache")),
            1 << 20,
            Transfer {
                coordinators,
                credentials: Credentials::default(),
                connect: Duration::from_secs(1),
            },
        ),
        commands: receiver,
        events: sender,
        health: SlotHealth::Restarting,
    };
    Rig { commands, events, task: tokio::spawn(slot.run()) }
}

/// A shell script whose `hello` writes a Hello of this protocol version, whose `ended` a result of the first
/// attempt of task 1, and whose `crashed` a crash of it.
fn script(protocol: u32, body: &str) -> String {
    let capabilities = Some(Capabilities::default());
    let hello = evaluator_message::Message::Hello(Hello { protocol, capabilities });
    let measured = outcome::Outcome::Measured(Measurements::default());
    let crashed = verdict::failure(FailureKind::Crash, "the device is lost");
    let answer = |outcome| {
        evaluator_message::Message::Ended(EvaluationEnded {
            attempt: Some(attempt_id(1, 1).into()),
            outcome: Some(ended(outcome)),
            energy_joules: None,
        })
    };
    let [hello, ended, crashed] = [hello, answer(measured), answer(crashed)].map(|message| {
        let bytes = EvaluatorMessage { message: Some(message) }.encode_length_delimited_to_vec();
        bytes.iter().map(|byte| format!("\\{byte:03o}")).collect::<String>()
    });
    format!(
        "hello() {{ printf '{hello}'; }}\nended() {{ printf '{ended}'; }}\n\
         crashed() {{ printf '{crashed}'; }}\n{body}"
    )
}

impl Rig {
    async fn next(&mut self) -> SlotEvent {
        let next = tokio::time::timeout(Duration::from_secs(30), self.events.recv()).await;
        next.expect("the slot says nothing").unwrap()
    }

    async fn health(&mut self) -> (SlotHealth, String) {
        match self.next().await {
            SlotEvent::Health { health, reason, .. } => (health, reason),
            other => panic!("{other:?}"),
        }
    }

    async fn finished(&mut self) -> (FailureKind, String) {
        match self.next().await {
            SlotEvent::Finished { report, .. } => match report.outcome.unwrap().outcome.unwrap() {
                outcome::Outcome::Failed(failure) => (failure.kind(), failure.message),
                outcome::Outcome::Measured(found) => panic!("{found:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn evaluate(&self, task: u64) {
        self.assign(Assignment { task, ..Assignment::default() });
    }

    fn assign(&self, assignment: Assignment) {
        let stage = Some(Stage { timeout_micros: 60_000_000, ..Stage::default() });
        let assignment = Assignment { attempt: 1, stage, ..assignment };
        self.commands.send(SlotCommand::Evaluate(Box::new(assignment))).unwrap();
    }
}

#[tokio::test]
async fn an_evaluator_gets_few_variables_bounds_and_no_descriptors() {
    const DESCRIPTORS: &str = "ls /proc/self/fd | tr '\\n' ' ' >&2";
    let body = format!(
        "printf '%s|%s|%s|' \"$ADDED\" \"${{CARGO_PKG_NAME-unset}}\" \"${{PATH:+path}}\" >&2; \
         ulimit -c >&2; ulimit -n >&2; {DESCRIPTORS}; exit 1"
    );
    // What this test has inherited itself is passed on; nothing that it has opened is.
    let inherited = std::process::Command::new("sh").args(["-c", DESCRIPTORS]).output().unwrap();
    let inherited = String::from_utf8(inherited.stderr).unwrap();
    let _opened = std::fs::File::open("/proc/self/status").unwrap();
    // The bounds are set just after the start.
    let mut rig = rig("sh", &["-c", &format!("sleep 0.3; {body}")]);
    let (health, reason) = rig.health().await;
    assert_eq!(health, SlotHealth::Bad);
    let squeezed = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = format!("by the configuration|unset|path|0 100 {}", inherited.trim());
    assert!(squeezed.ends_with(&expected), "expected {expected}: {reason}");
}

#[tokio::test]
async fn an_evaluator_that_does_not_start_says_why_and_is_tried_again() {
    let cases = [
        ("exit 3", "exit status 3"),
        ("echo no libtorch here >&2; exit 1", "no libtorch here"),
        ("kill -11 $$", "SIGSEGV"),
        ("exec sleep 600", "evaluator.hello_seconds"),
        ("printf 'hello'; exec sleep 600", "4 of 104 bytes"),
        ("printf '\\377\\377\\377\\377\\017'; exec sleep 600", "exceeds the limit"),
        ("printf '\\003abc'; exec sleep 600", "cannot be decoded"),
        ("printf '\\377'", "inside a message"),
        ("printf '\\000'; exec sleep 600", "empty message"),
    ];
    for (body, expected) in cases {
        let mut rig = rig("sh", &["-c", body]);
        for _ in 0..2 {
            let (health, reason) = rig.health().await;
            assert_eq!(health, SlotHealth::Bad);
            assert!(reason.contains(expected), "{body} gave: {reason}");
        }
        rig.commands.send(SlotCommand::Leave).unwrap();
        rig.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let mut rig = rig("./there-is-no-such-evaluator", &[]);
    let (health, reason) = rig.health().await;
    assert_eq!(health, SlotHealth::Bad);
    assert!(reason.contains("there-is-no-such-evaluator"), "{reason}");
}

#[tokio::test]
async fn another_protocol_version_is_refused() {
    let mut rig = rig("sh", &["-c", &script(2, "hello; exec sleep 600")]);
    let (health, reason) = rig.health().await;
    assert_eq!(health, SlotHealth::Bad);
    assert!(reason.contains("version 2"), "{reason}");
}

#[tokio::test]
async fn an_idle_evaluator_that_ends_is_replaced() {
    let mut rig = rig("sh", &["-c", &script(1, "hello; sleep 0.05")]);
    for _ in 0..3 {
        assert_eq!(rig.health().await.0, SlotHealth::Ready);
        assert_eq!(rig.health().await.0, SlotHealth::Restarting);
    }
    rig.commands.send(SlotCommand::Leave).unwrap();
    rig.task.await.unwrap();
}

#[tokio::test]
async fn an_evaluator_that_ends_during_an_evaluation_costs_one_attempt() {
    let body = "hello; head -c 1 >/dev/null; echo cannot go on >&2; exit 7";
    let mut rig = rig("sh", &["-c", &script(1, body)]);
    for task in 1..=3 {
        assert_eq!(rig.health().await.0, SlotHealth::Ready);
        rig.evaluate(task);
        assert_eq!(rig.health().await.0, SlotHealth::Restarting);
        let (kind, message) = rig.finished().await;
        assert_eq!(kind, FailureKind::Crash);
        assert!(message.contains("exit status 7") && message.contains("cannot go on"), "{message}");
    }
}

#[tokio::test]
async fn an_evaluator_that_answers_with_a_crash_is_replaced_at_once_also_in_a_series() {
    let body = script(1, "hello; head -c 1 >/dev/null; crashed; sleep 600");
    let rests = Backoff::new(Duration::from_secs(3_600), Duration::from_secs(3_600), 1);
    let mut rig = rig_that_rests("sh", &["-c", &body], None, Vec::new(), (Killing::REAL, rests));
    for _ in 0..4 {
        assert_eq!(rig.health().await.0, SlotHealth::Ready);
        rig.evaluate(1);
        assert_eq!(rig.health().await.0, SlotHealth::Restarting);
        let (kind, message) = rig.finished().await;
        assert_eq!((kind, message.as_str()), (FailureKind::Crash, "the device is lost"));
    }
}

#[tokio::test]
async fn stray_words_among_the_messages_are_named_instead_of_a_timeout() {
    // The first letter is read as the length of a message, 104 bytes, into which the answer falls.
    let body = "hello; head -c 1 >/dev/null; printf 'hello\\n'; ended; exec sleep 600";
    let mut rig = rig("sh", &["-c", &script(1, body)]);
    assert_eq!(rig.health().await.0, SlotHealth::Ready);
    let stage = Some(Stage { timeout_micros: 500_000, ..Stage::default() });
    let assignment = Assignment { task: 1, attempt: 1, stage, ..Assignment::default() };
    rig.commands.send(SlotCommand::Evaluate(Box::new(assignment))).unwrap();
    assert_eq!(rig.health().await.0, SlotHealth::Restarting);
    let (kind, message) = rig.finished().await;
    assert_eq!(kind, FailureKind::Crash, "{message}");
    assert!(message.contains("broke its protocol: "), "{message}");
    assert!(message.contains(" of 104 bytes") && message.contains("standard error"), "{message}");
}

#[tokio::test]
async fn an_evaluator_that_closes_its_output_and_lives_is_told_from_one_that_ends() {
    let body = "hello; head -c 1 >/dev/null; exec sleep 600 >&-";
    let mut rig = rig("sh", &["-c", &script(1, body)]);
    assert_eq!(rig.health().await.0, SlotHealth::Ready);
    rig.evaluate(1);
    assert_eq!(rig.health().await.0, SlotHealth::Restarting);
    let (kind, message) = rig.finished().await;
    assert_eq!(kind, FailureKind::Crash);
    assert!(message.contains("closed its standard output in the middle"), "{message}");
}

#[tokio::test]
async fn last_words_about_memory_make_it_out_of_memory() {
    let body = "hello; head -c 1 >/dev/null; echo 'what(): std::bad_alloc' >&2; kill -6 $$";
    let mut rig = rig("sh", &["-c", &script(1, body)]);
    rig.health().await;
    rig.evaluate(1);
    rig.health().await;
    let (kind, message) = rig.finished().await;
    assert_eq!(kind, FailureKind::OutOfMemory);
    assert!(message.contains("SIGABRT"), "{message}");
}

#[tokio::test]
async fn a_kill_from_outside_is_a_crash_that_names_the_signal() {
    let body = "hello; head -c 1 >/dev/null; kill -9 $$";
    let mut rig = rig("sh", &["-c", &script(1, body)]);
    rig.health().await;
    rig.evaluate(1);
    rig.health().await;
    let (kind, message) = rig.finished().await;
    // On a machine that is short of memory at this moment the kernel's counter may move.
    assert!(matches!(kind, FailureKind::Crash | FailureKind::OutOfMemory));
    assert!(message.contains("SIGKILL"), "{message}");
}

/// Waits until a process is gone; one that nobody reaps any more is.
async fn is_gone(number: &str) {
    let gone = async {
        let stat = format!("/proc/{number}/stat");
        while std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), gone).await;
    assert!(waited.is_ok(), "process {number} lives on");
}

#[tokio::test]
async fn what_a_dead_evaluator_has_started_dies_with_it_and_hides_nothing() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("sleeper");
    // The second holds the evaluator's pipes open.
    for sleeper in ["sleep 1000 >/dev/null 2>&1", "sleep 1000"] {
        let started = format!("{sleeper} & echo $! >'{}'", file.display());
        let body = format!("hello; head -c 1 >/dev/null; {started}; kill -9 $$");
        let mut rig = rig("sh", &["-c", &script(1, &body)]);
        rig.health().await;
        rig.evaluate(1);
        assert_eq!(rig.health().await.0, SlotHealth::Restarting);
        let (kind, message) = rig.finished().await;
        assert!(matches!(kind, FailureKind::Crash | FailureKind::OutOfMemory), "{kind:?}");
        assert!(message.contains("SIGKILL"), "{message}");
        is_gone(std::fs::read_to_string(&file).unwrap().trim()).await;
    }
}

#[tokio::test]
async fn what_an_evaluator_says_last_is_heard_though_its_pipe_stays_open() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("sleeper");
    let started = format!("sleep 1000 & echo $! >'{}'", file.display());
    let body = format!("hello; head -c 1 >/dev/null; {started}; ended; exit 0");
    let mut rig = rig("sh", &["-c", &script(1, &body)]);
    rig.health().await;
    rig.evaluate(1);
    let SlotEvent::Finished { report, .. } = rig.next().await else { panic!("not finished") };
    let outcome = report.outcome.unwrap().outcome;
    assert!(matches!(outcome, Some(outcome::Outcome::Measured(_))), "{outcome:?}");
    assert_eq!(rig.health().await.0, SlotHealth::Restarting, "its end is seen");
    is_gone(std::fs::read_to_string(&file).unwrap().trim()).await;
}

#[tokio::test]
async fn an_evaluator_that_leaves_in_order_takes_along_what_it_has_started() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("sleeper");
    let body = format!("sleep 1000 & echo $! >'{}'; hello; cat >/dev/null", file.display());
    let mut rig = rig("sh", &["-c", &script(1, &body)]);
    rig.health().await;
    rig.commands.send(SlotCommand::Leave).unwrap();
    rig.task.await.unwrap();
    is_gone(std::fs::read_to_string(&file).unwrap().trim()).await;
}

#[tokio::test]
async fn a_task_that_waits_for_an_evaluator_which_never_returns_is_handed_back() {
    let marker = tempfile::tempdir().unwrap();
    let once = format!(
        "cd '{}' && mkdir once 2>/dev/null || exit 9\nhello; head -c 1 >/dev/null; exit 1",
        marker.path().display()
    );
    let mut rig = rig("sh", &["-c", &script(1, &once)]);
    assert_eq!(rig.health().await.0, SlotHealth::Ready);
    rig.evaluate(1);
    assert_eq!(rig.health().await.0, SlotHealth::Restarting);
    rig.evaluate(2);
    assert_eq!(rig.finished().await.0, FailureKind::Crash);
    while rig.health().await.0 != SlotHealth::Bad {}
    let (kind, message) = rig.finished().await;
    assert_eq!(kind, FailureKind::BadNode);
    assert!(message.contains("exit status 9"), "{message}");
}

#[tokio::test]
async fn an_assignment_without_a_stage_or_a_timeout_is_invalid() {
    let mut rig = rig("sh", &["-c", &script(1, "hello; exec sleep 600")]);
    rig.health().await;
    for stage in [None, Some(Stage::default())] {
        let assignment = Assignment { task: 1, attempt: 1, stage, ..Assignment::default() };
        rig.commands.send(SlotCommand::Evaluate(Box::new(assignment))).unwrap();
        assert_eq!(rig.finished().await.0, FailureKind::Invalid);
    }
}

#[tokio::test]
async fn an_evaluator_that_ignores_everything_is_stopped_all_the_same() {
    let mut rig = rig("sh", &["-c", &script(1, "hello; exec sleep 600")]);
    rig.health().await;
    rig.evaluate(1);
    rig.commands.send(SlotCommand::Stop(attempt_id(9, 9))).unwrap();
    rig.commands.send(SlotCommand::Stop(attempt_id(1, 1))).unwrap();
    assert_eq!(rig.health().await.0, SlotHealth::Restarting);
    assert_eq!(rig.finished().await.0, FailureKind::Preempted);
    assert_eq!(rig.health().await.0, SlotHealth::Ready);
    rig.commands.send(SlotCommand::Leave).unwrap();
    rig.task.await.unwrap();
}

/// The process that a bad slot's reason names.
fn stuck(reason: &str) -> &str {
    let (_, rest) = reason.split_once("process ").unwrap();
    let (number, rest) = rest.split_once(' ').unwrap();
    assert!(rest.contains("restart the machine"), "it does not say what to do: {reason}");
    number
}

/// What the kernel does at last.
fn let_go(number: &str) {
    let killed = std::process::Command::new("kill").args(["-9", number]).status().unwrap();
    assert!(killed.success());
}

#[tokio::test]
async fn an_evaluator_that_cannot_be_killed_costs_its_attempt_and_its_slot_until_it_ends() {
    let mut rig = rig_of_the_unkillable(&script(1, "hello; exec sleep 600"));
    assert_eq!(rig.health().await.0, SlotHealth::Ready);
    let stage = Some(Stage { timeout_micros: 50_000, ..Stage::default() });
    let assignment = Assignment { task: 1, attempt: 1, stage, ..Assignment::default() };
    rig.commands.send(SlotCommand::Evaluate(Box::new(assignment))).unwrap();
    let (health, reason) = rig.health().await;
    assert_eq!(health, SlotHealth::Bad);
    assert_eq!(rig.finished().await.0, FailureKind::Timeout);
    // Whatever still comes does not wait for the process either.
    rig.evaluate(2);
    let (kind, message) = rig.finished().await;
    assert_eq!(kind, FailureKind::BadNode);
    assert!(message.contains(stuck(&reason)), "{message}");
    let more = tokio::time::timeout(Duration::from_millis(200), rig.events.recv()).await;
    assert!(more.is_err(), "{more:?} while the process lives");
    let_go(stuck(&reason));
    assert_eq!(rig.health().await.0, SlotHealth::Ready);
    let entry = format!("/proc/{}", stuck(&reason));
    assert!(!Path::new(&entry).exists(), "nobody has reaped it");
    rig.commands.send(SlotCommand::Leave).unwrap();
    rig.task.await.unwrap();
}

#[tokio::test]
async fn a_crash_of_an_evaluator_that_cannot_be_killed_is_reported() {
    let body = "hello; head -c 1 >/dev/null; printf '\\000'; exec sleep 600";
    let mut rig = rig_of_the_unkillable(&script(1, body));
    assert_eq!(rig.health().await.0, SlotHealth::Ready);
    rig.evaluate(1);
    let (health, reason) = rig.health().await;
    assert_eq!(health, SlotHealth::Bad);
    let (kind, message) = rig.finished().await;
    assert_eq!(kind, FailureKind::Crash);
    assert!(message.contains("empty message") && message.contains(stuck(&reason)), "{message}");
    // The slot need not work again in order to leave.
    rig.commands.send(SlotCommand::Leave).unwrap();
    tokio::time::timeout(Duration::from_secs(30), rig.task).await.unwrap().unwrap();
    let_go(stuck(&reason));
}

#[tokio::test]
async fn beside_an_evaluator_that_hangs_at_its_start_and_cannot_be_killed_none_is_started() {
    let root = tempfile::tempdir().unwrap();
    let starts = root.path().join("starts");
    let mut rig = rig_of_the_unkillable(&format!("echo >>'{}'; exec sleep 600", starts.display()));
    let (health, reason) = rig.health().await;
    assert_eq!(health, SlotHealth::Bad);
    assert!(reason.contains("said nothing"), "{reason}");
    let more = tokio::time::timeout(Duration::from_secs(1), rig.events.recv()).await;
    assert!(more.is_err(), "{more:?} while the process lives");
    let started = || std::fs::read_to_string(&starts).unwrap().lines().count();
    assert_eq!(started(), 1);
    let_go(stuck(&reason));
    let (health, reason) = rig.health().await;
    assert_eq!((health, started()), (SlotHealth::Bad, 2), "{reason}");
    let_go(stuck(&reason));
}

/// A coordinator that takes connections and never says anything.
fn silent() -> (TcpListener, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, vec![url])
}

/// A slot that has a result of task 1, and whose state is on a way that takes longer than the test.
async fn keeping(root: &Path, coordinators: Vec<String>) -> (Rig, Outcome) {
    let body = "hello; head -c 1 >/dev/null; echo state >checkpoint-1-1; ended; exec sleep 600";
    let mut rig = rig_at("sh", &["-c", &script(1, body)], Some(root), coordinators);
    assert_eq!(rig.health().await.0, SlotHealth::Ready);
    rig.assign(Assignment { task: 1, keep: true, ..Assignment::default() });
    match rig.next().await {
        SlotEvent::Measured { report, .. } => {
            assert_eq!((report.task, report.attempt), (1, 1));
            (rig, report.outcome.unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_result_whose_state_is_on_its_way_is_said_before_and_when_the_slot_leaves() {
    let root = tempfile::tempdir().unwrap();
    let (_listener, coordinators) = silent();
    let (mut rig, meanwhile) = keeping(root.path(), coordinators).await;
    rig.commands.send(SlotCommand::Leave).unwrap();
    let SlotEvent::Finished { report, .. } = rig.next().await else { panic!("not finished") };
    let finished = report.outcome.unwrap();
    for outcome in [meanwhile, finished] {
        assert!(matches!(outcome.outcome, Some(outcome::Outcome::Measured(_))), "{outcome:?}");
        assert!(outcome.checkpoint.is_empty() && outcome.elapsed_micros > 0);
        assert!(outcome.note.contains("the worker ended before its state"), "{}", outcome.note);
    }
    rig.task.await.unwrap();
}

#[tokio::test]
async fn a_state_that_nobody_wants_any_more_does_not_hold_its_result_up() {
    let root = tempfile::tempdir().unwrap();
    let (_listener, coordinators) = silent();
    let (mut rig, _) = keeping(root.path(), coordinators).await;
    rig.commands.send(SlotCommand::Yield(attempt_id(1, 1))).unwrap();
    rig.commands.send(SlotCommand::Stop(attempt_id(1, 1))).unwrap();
    let SlotEvent::Finished { report, .. } = rig.next().await else { panic!("not finished") };
    let outcome = report.outcome.unwrap();
    assert!(matches!(outcome.outcome, Some(outcome::Outcome::Measured(_))), "{outcome:?}");
    assert_eq!(outcome.note, "");
}

#[test]
fn progress_that_the_coordinator_would_refuse_is_cut() {
    let metrics = [("good", 1.0), ("bad", f64::NAN), ("worse", f64::INFINITY)];
    let metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into();
    let progress = EvaluationProgress { attempt: None, step: 1, steps: 2, metrics };
    let found = forwarded(attempt_id(5, 6), progress);
    assert_eq!((found.task, found.attempt, found.step, found.steps), (5, 6, 1, 2));
    assert_eq!(found.metrics, [("good".to_owned(), 1.0)].into());
    let metrics = [("a\nb".to_owned(), 1.0)].into();
    let progress = EvaluationProgress { metrics, ..EvaluationProgress::default() };
    assert!(forwarded(attempt_id(5, 6), progress).metrics.is_empty());
}
