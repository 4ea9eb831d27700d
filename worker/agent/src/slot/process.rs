//! One evaluator process: starting it, its first message, its pipes, its end.
//!
//! Pipes are read and written by tasks of their own, so that a child that does not read can never
//! stop the supervisor. Must not know tasks, timeouts or reports.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cambrian_proto::convert::ConvertError;
use cambrian_proto::v1::{
    Capabilities, EvaluatorMessage, SupervisorMessage, evaluator_message, supervisor_message,
};
use thiserror::Error;
use tokio::io::BufReader;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, warn};

use super::confine::{self, Bounds};
use super::emptying::{self, Emptying};
use super::group::{Group, Killing, Remains, Stuck};
use super::memory;
use super::stderr::{self, StderrTail};
use super::verdict::{self, Death};
use crate::framing::{self, FramingError, HalfRead};
use crate::queue::SlotIndex;

/// The version of the pipe protocol that this supervisor speaks.
pub(crate) const PROTOCOL: u32 = 1;

/// How long a process whose output has ended may take to exit.
pub(super) const EXIT_PATIENCE: Duration = Duration::from_secs(2);
/// The same for one that wrote what is no message: it may have died while writing, or go on.
pub(super) const BROKEN_PATIENCE: Duration = Duration::from_millis(200);
/// How long the last output of a process that has ended may take to be read. After that its pipe is taken
/// for closed: those that it has started may hold it open for ever.
const LAST_OUTPUT_PATIENCE: Duration = Duration::from_secs(1);
/// How long the last words of a dead process may take to arrive.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(500);

/// How to start an evaluator for one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The program.
    pub(crate) program: PathBuf,
    /// All its arguments.
    pub(crate) arguments: Vec<String>,
    /// Variables besides the few that pass from the agent.
    pub(crate) environment: Vec<(String, String)>,
    /// The folder that it starts in, which is emptied before; the agent's own if there is none.
    pub(crate) folder: Option<PathBuf>,
    /// How much of the machine it may have.
    pub(crate) bounds: Bounds,
}

/// Why there is no working evaluator.
#[derive(Debug, Error)]
pub(super) enum StartError {
    #[error("cannot start {}: {source}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("its folder {} cannot be emptied: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error(
        "it said nothing within {0:?}; if it reads large data sets before its Hello, give it longer by \
         `evaluator.hello_seconds`"
    )]
    Silent(Duration),
    #[error("it {0}")]
    Half(String),
    #[error("its first message is not Hello but {0}")]
    NoHello(&'static str),
    #[error("it speaks version {0} of the pipe protocol, this worker speaks {PROTOCOL}")]
    Protocol(u32),
    #[error("its Hello carries no capabilities")]
    NoCapabilities,
    #[error("its Hello is malformed: {0}")]
    Malformed(#[from] ConvertError),
    #[error("it offers something else than the worker has announced ({0})")]
    Different(String),
    #[error("{0}")]
    Died(String),
    #[error("{error}; its {}", remains.stuck)]
    Stuck { error: Box<StartError>, remains: Remains },
}

/// What comes out of a process.
#[derive(Debug)]
pub(super) enum Output {
    Message(evaluator_message::Message),
    /// Its output ended.
    Ended,
    /// Its output is no protocol.
    Broken(String),
}

impl Output {
    fn of(received: Option<Result<EvaluatorMessage, FramingError>>) -> Self {
        match received {
            Some(Ok(EvaluatorMessage { message: Some(message) })) => Self::Message(message),
            Some(Ok(EvaluatorMessage { message: None })) => {
                Self::Broken("it sent an empty message".to_owned())
            }
            Some(Err(error)) => Self::Broken(error.to_string()),
            None => Self::Ended,
        }
    }
}

/// A running evaluator. Dropping it kills the process, and those that it has started.
#[derive(Debug)]
pub(super) struct EvaluatorProcess {
    group: Group,
    input: mpsc::UnboundedSender<SupervisorMessage>,
    output: mpsc::Receiver<Result<EvaluatorMessage, FramingError>>,
    /// The message that is coming.
    half: watch::Receiver<Option<HalfRead>>,
    /// When the output of a process that has ended is over.
    closes: Option<Instant>,
    tail: StderrTail,
    last_words: JoinHandle<()>,
    kills_before: u64,
}

impl EvaluatorProcess {
    /// Starts the program and waits for its Hello.
    pub(super) async fn start(
        slot: SlotIndex,
        launch: &Launch,
        emptying: &mut Emptying,
        killing: Killing,
        patience: Duration,
    ) -> Result<(Self, Capabilities), StartError> {
        if let Some(folder) = &launch.folder {
            let path = folder.clone();
            emptying
                .done(emptying::PATIENCE, move || confine::empty_folder(&path))
                .await
                .map_err(|source| StartError::Folder { folder: folder.clone(), source })?;
        }
        let mut process = Self::spawn(slot, launch, killing)?;
        match process.hello(patience).await {
            Ok(capabilities) => Ok((process, capabilities)),
            Err(error) => Err(process.refuse(error).await),
        }
    }

    fn spawn(slot: SlotIndex, launch: &Launch, killing: Killing) -> Result<Self, StartError> {
        let fail = |source| StartError::Spawn { program: launch.program.clone(), source };
        let kills_before = memory::kills();
        let mut command = Command::new(&launch.program);
        if let Some(folder) = &launch.folder {
            command.current_dir(folder);
        }
        command
            .args(&launch.arguments)
            .env_clear()
            .envs(confine::environment())
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own also because an interrupt from the terminal goes to the whole foreground
        // group; the supervisor alone decides what a running evaluation does about it.
        let mut group = Group::start(&mut command, killing).map_err(fail)?;
        let child = group.leader();
        if let Some(id) = child.id() {
            confine::bound(id, launch.bounds);
        }
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(fail(io::Error::other("its standard streams are not connected")));
        };
        let (input, to_child) = mpsc::unbounded_channel();
        let (from_child, output) = mpsc::channel(64);
        tokio::spawn(write_messages(stdin, to_child));
        let (say_half, half) = watch::channel(None);
        tokio::spawn(read_messages(stdout, from_child, say_half));
        let tail = StderrTail::default();
        let last_words = tokio::spawn(stderr::forward(slot, stderr, tail.clone()));
        Ok(Self { group, input, output, half, closes: None, tail, last_words, kills_before })
    }

    async fn hello(&mut self, patience: Duration) -> Result<Capabilities, StartError> {
        let output = match timeout(patience, self.output()).await {
            Ok(output) => output,
            Err(_) => {
                let half = self.half_message().map(StartError::Half);
                return Err(half.unwrap_or(StartError::Silent(patience)));
            }
        };
        let hello = match output {
            Output::Message(evaluator_message::Message::Hello(hello)) => hello,
            Output::Message(evaluator_message::Message::Progress(_)) => {
                return Err(StartError::NoHello("Progress"));
            }
            Output::Message(evaluator_message::Message::Ended(_)) => {
                return Err(StartError::NoHello("Ended"));
            }
            Output::Message(evaluator_message::Message::StateWritten(_)) => {
                return Err(StartError::NoHello("StateWritten"));
            }
            Output::Ended => {
                let death = self.death_after_output("it", "before its Hello").await;
                return Err(StartError::Died(death.words()));
            }
            Output::Broken(reason) => {
                let death = self.death(&reason, BROKEN_PATIENCE).await;
                return Err(StartError::Died(death.words()));
            }
        };
        if hello.protocol != PROTOCOL {
            return Err(StartError::Protocol(hello.protocol));
        }
        let offer = hello.capabilities.ok_or(StartError::NoCapabilities)?;
        // What the coordinator would refuse must not get into the registration.
        cambrian_core::engine::Capabilities::try_from(offer.clone())?;
        Ok(offer)
    }

    /// The next that comes out. Cancel safe.
    pub(super) async fn output(&mut self) -> Output {
        let closes = match self.closes {
            Some(closes) => closes,
            None => tokio::select! {
                biased;
                received = self.output.recv() => return Output::of(received),
                () = self.group.leader_ends() => {
                    *self.closes.insert(Instant::now() + LAST_OUTPUT_PATIENCE)
                }
            },
        };
        if Instant::now() >= closes {
            return Output::Ended;
        }
        timeout_at(closes, self.output.recv()).await.map_or(Output::Ended, Output::of)
    }

    /// What is wrong with one that has begun a message and does not end it, after its name.
    pub(super) fn half_message(&self) -> Option<String> {
        let half = *self.half.borrow();
        half.map(|half| {
            format!(
                "broke its protocol: {half} came and no more; nothing but messages may be written to its \
                 standard output, everything else to standard error"
            )
        })
    }

    /// Sends a message; if the process is gone its output says so.
    pub(super) fn send(&self, message: supervisor_message::Message) {
        // The writing task ends with the pipe, which the reader of the output notices as well.
        let _ = self.input.send(SupervisorMessage { message: Some(message) });
    }

    /// Begins a new record for the next evaluation.
    pub(super) fn begin_evaluation(&mut self) {
        self.tail.clear();
        self.kills_before = memory::kills();
    }

    /// Waits a moment for the process to end by itself, else kills it; says how it ended. `noticed`
    /// is what was seen first.
    pub(super) async fn death(&mut self, noticed: &str, patience: Duration) -> Death {
        let status = timeout(patience, self.group.end()).await;
        let (status, words) = match status {
            Ok(Ok(status)) => (Some(status), describe(status)),
            Ok(Err(_)) => (None, killed_here(None)),
            Err(_) => {
                self.kill().await;
                (None, killed_here(self.stuck()))
            }
        };
        // One that left the group may hold the pipe open for longer than anybody should wait.
        let _ = timeout(LAST_WORDS_PATIENCE, &mut self.last_words).await;
        Death {
            reason: format!("{noticed}, {words}"),
            signal: status.and_then(|status| status.signal()),
            system_out_of_memory: memory::kills() > self.kills_before,
            stderr: self.tail.text(),
        }
    }

    /// The end of one whose output has ended, or of one that has closed it and lives on, which nobody can hear
    /// any more.
    pub(super) async fn death_after_output(&mut self, who: &str, when: &str) -> Death {
        match timeout(EXIT_PATIENCE, self.group.leader_ends()).await {
            Ok(()) => self.death(&format!("{who} ended {when}"), EXIT_PATIENCE).await,
            Err(_) => {
                let noticed = format!(
                    "{who} closed its standard output {when} and lived on (messages go there; leave it open)"
                );
                self.death(&noticed, Duration::ZERO).await
            }
        }
    }

    /// Ends the process at once, if it can be ended.
    pub(super) async fn kill(&mut self) {
        self.group.destroy().await;
    }

    /// Whether it was killed in vain.
    pub(super) fn stuck(&self) -> Option<Stuck> {
        self.group.stuck()
    }

    /// Ends the process for good; what is left of it if it cannot be ended.
    pub(super) async fn discard(self) -> Result<(), Remains> {
        self.group.discard().await
    }

    /// Ends a process that is of no use because of `error`.
    pub(super) async fn refuse(self, error: StartError) -> StartError {
        match self.discard().await {
            Ok(()) => error,
            Err(remains) => StartError::Stuck { error: Box::new(error), remains },
        }
    }

    /// Closes its input, which tells it to end, and kills it if it does not.
    pub(super) async fn close(mut self, patience: Duration) {
        drop(self.input);
        self.output.close();
        if timeout(patience, self.group.end()).await.is_err()
            && let Err(remains) = self.group.discard().await
        {
            warn!("an evaluator is left behind: its {}", remains.stuck);
        }
    }
}

fn killed_here(stuck: Option<Stuck>) -> String {
    match stuck {
        None => "and had to be killed".to_owned(),
        Some(stuck) => format!("and its {stuck}"),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let core = if status.core_dumped() { ", core dumped" } else { "" };
            format!("killed by {}{core}", verdict::signal_name(signal))
        }
        (None, None) => "in an unknown way".to_owned(),
    }
}

async fn write_messages(
    mut pipe: ChildStdin,
    mut messages: mpsc::UnboundedReceiver<SupervisorMessage>,
) {
    while let Some(message) = messages.recv().await {
        if let Err(error) = framing::write(&mut pipe, &message).await {
            debug!(%error, "an evaluator does not take messages any more");
            return;
        }
    }
}

async fn read_messages(
    pipe: ChildStdout,
    messages: mpsc::Sender<Result<EvaluatorMessage, FramingError>>,
    half: watch::Sender<Option<HalfRead>>,
) {
    let mut pipe = BufReader::new(pipe);
    loop {
        let say = |read| {
            half.send_replace(read);
        };
        let (message, last) = match framing::read_watched(&mut pipe, say).await {
            Ok(Some(message)) => (Ok(message), false),
            Ok(None) => return,
            Err(error) => (Err(error), true),
        };
        if messages.send(message).await.is_err() || last {
            return;
        }
    }
}
