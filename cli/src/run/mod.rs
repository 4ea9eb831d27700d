//! `cambrian run`: a coordinator inside this process, worker processes beside it, one campaign.
//!
//! Everything is read through gRPC, as by any other client. Whatever ends this process, also a
//! kill, the same command goes on where it was: journal and workers' state are in the output
//! directory. Must not know how a network is evaluated.

pub(crate) mod directory;
mod embedded;
pub(crate) mod evaluate;
mod log;
mod report;
mod service;
mod workers;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cambrian_core::spec::{Stage, custom_name};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::RunArguments;
use crate::campaign_file::{self, CampaignFile};
use cambrian_transport::client::Credentials;

use crate::client::Client;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::Output;
use crate::results::CampaignStatus;
use crate::watch::display::{Display, Place, Speaker};
use crate::watch::follow;
use directory::Directory;
use embedded::Embedded;
use report::Results;
use workers::{Event, Plan, Workers};

/// The devices of workers; those of a run take them in turn.
const DEVICES: &str = "CAMBRIAN_WORKER_DEVICES";

/// Runs a campaign to its end, from wherever an earlier run has left it.
///
/// # Errors
/// When the campaign is faulty, the output directory belongs to another one, no worker can serve
/// it, it ends without a score, or the user interrupts it.
pub(crate) async fn run(context: &Context, given: &RunArguments) -> Result<(), CliError> {
    let campaign = campaign_file::read(&given.file)?;
    campaign.warn(&given.file, context.output);
    let root = match &given.output {
        Some(root) => root.clone(),
        None => Path::new("runs").join(&*campaign.spec.name),
    };
    let mut stops = Stops::listen()?;
    let directory = Directory::open(&root, &campaign, given.fresh)?;
    let embedded = Embedded::start(&directory).await?;
    let result =
        Run { context, given, campaign: &campaign, directory: &directory, embedded: &embedded }
            .to_its_end(&mut stops)
            .await;
    let stopped = embedded.stop().await;
    // Why the coordinator has ended says more than that it has.
    let ended = stopped.and(result);
    if ended.is_ok() {
        directory.forget_checkpoints();
    }
    ended
}

/// Ctrl-C and SIGTERM.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CliError::Internal(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Why the watching ended.
enum Ended {
    Finished,
    Interrupted,
}

/// One run of one campaign.
struct Run<'a> {
    context: &'a Context,
    given: &'a RunArguments,
    campaign: &'a CampaignFile,
    directory: &'a Directory,
    embedded: &'a Embedded,
}

impl Run<'_> {
    fn output(&self) -> Output {
        self.context.output
    }

    async fn to_its_end(&self, stops: &mut Stops) -> Result<(), CliError> {
        let (results, ended) = self.results(stops).await?;
        let files = results.write(self.directory.root())?;
        match ended {
            Ended::Finished => {
                results.print(self.output(), &files)?;
                results.demand_a_score()
            }
            Ended::Interrupted => {
                if results.campaign.status == CampaignStatus::Finished {
                    results.print(self.output(), &files)?;
                }
                Err(CliError::Interrupted { help: self.how_to_resume(&results) })
            }
        }
    }

    /// Submits the campaign and works until it is finished or the user stops it.
    async fn results(&self, stops: &mut Stops) -> Result<(Results, Ended), CliError> {
        let mut client = Client::connect(self.embedded.endpoint(), &Credentials::default()).await?;
        let submitted = client.submit(&self.campaign.text, self.directory.submission()).await?;
        let id = submitted.map_err(|faults| CliError::InvalidCampaign {
            file: self.given.file.clone(),
            text: self.campaign.text.clone(),
            faults,
        })?;
        let number = id.to_string();
        let found = client.campaign(&number).await?;
        let ended = if found.status == CampaignStatus::Finished {
            self.output().hint("the campaign is finished already; --fresh runs it anew");
            Ended::Finished
        } else {
            if found.status == CampaignStatus::Paused {
                client.resume(&number).await?;
            }
            self.work(&client, id, stops).await?
        };
        Ok((Results::read(&mut client, &number).await?, ended))
    }

    fn how_to_resume(&self, results: &Results) -> String {
        format!(
            "{} of {} evaluations are done and kept; the same command resumes:\n\
             cambrian run {} --output {}{}\n\
             the results so far are in {}",
            results.campaign.evaluations_finished,
            results.campaign.evaluations_budget,
            quoted(&self.given.file.display().to_string()),
            quoted(&self.directory.root().display().to_string()),
            self.flags(),
            self.directory.root().display(),
        )
    }

    /// The flags on which evaluations depend, as they are typed into a shell.
    fn flags(&self) -> String {
        let program =
            self.given.evaluator.iter().map(|program| ("evaluator", program.display().to_string()));
        let arguments =
            self.given.evaluator_arg.iter().map(|argument| ("evaluator-arg", argument.clone()));
        let count = |flag, value: Option<u32>| value.map(|value| (flag, value.to_string()));
        let workers = count("workers", self.given.workers);
        let threads = count("threads", self.given.threads);
        let data = self.given.data.iter().map(|data| ("data", data.display().to_string()));
        let flags = workers.into_iter().chain(threads).chain(data).chain(program).chain(arguments);
        flags.map(|(flag, value)| format!(" --{flag}={}", quoted(&value))).collect()
    }

    /// Starts the workers and watches until the campaign is finished or the user stops it.
    async fn work(&self, client: &Client, id: u32, stops: &mut Stops) -> Result<Ended, CliError> {
        let plan = self.plan()?;
        let number = id.to_string();
        let stages: Vec<String> =
            self.campaign.spec.stages.iter().map(|stage| stage.name.to_string()).collect();
        if !self.output().quiet {
            let verb = if self.directory.is_resumed() { "resuming" } else { "running" };
            self.output().hint(&format!(
                "{verb} campaign {} with {} in {}; coordinator at {}",
                self.campaign.spec.name,
                crate::error::count(plan.count as usize, "worker"),
                self.directory.root().display(),
                self.embedded.endpoint(),
            ));
        }
        if let Some(idle) = idle(&plan) {
            self.output().hint(&idle);
        }
        let mut workers = Workers::start(&plan, |name| self.directory.state(name));
        let hidden = self.given.no_progress || self.output().quiet;
        let mut display = Display::new(self.output(), Place::Stderr, hidden);
        let speaker = display.speaker();
        let alive = workers.alive();
        // Its own coordinator is on loopback and wants nothing.
        let credentials = Credentials::default();
        let place = (self.embedded.endpoint(), &credentials);
        let ended = tokio::select! {
            over = follow::until_finished(place, &number, &mut display) => {
                over.map(|_| Ended::Finished)
            }
            reasons = service::unserved(client.clone(), id, &stages, &alive) => {
                Err(unserved(&reasons))
            }
            hopeless = until_hopeless(&mut workers, &speaker) => Err(hopeless),
            reason = self.embedded.ended() => Err(reason),
            () = stops.next() => Ok(Ended::Interrupted),
        };
        match &ended {
            Ok(Ended::Interrupted) => {
                speaker
                    .say("stopping: what runs may finish (for 30 s); Ctrl-C again stops at once");
                workers.drain();
            }
            Ok(Ended::Finished) => workers.drain(),
            Err(_) => workers.leave(),
        }
        loop {
            tokio::select! {
                () = workers.ended() => break,
                () = stops.next() => {
                    speaker.say("stopping at once");
                    workers.leave();
                }
            }
        }
        display.close();
        ended
    }

    /// How the workers are to be started.
    fn plan(&self) -> Result<Plan, CliError> {
        let threads = self.given.threads.unwrap_or(1);
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        let evaluator = match &self.given.evaluator {
            Some(program) => program.clone(),
            None => programs_directory()?.join(self.fitting_evaluator()?),
        };
        Ok(Plan {
            program: beside("cambrian-worker")?,
            evaluator: program(evaluator)?,
            evaluator_arguments: in_any_directory(&self.given.evaluator_arg)?,
            threads,
            data: self.given.data.as_deref().map(absolute).transpose()?,
            devices: devices(std::env::var(DEVICES).ok().as_deref()),
            endpoint: self.embedded.endpoint().to_owned(),
            count: self.given.workers.unwrap_or_else(|| (processors / threads).max(1)),
        })
    }

    /// Made-up results and test problems need no libtorch; a program of the user has to be named.
    fn fitting_evaluator(&self) -> Result<&'static str, CliError> {
        let stages = &self.campaign.spec.stages;
        if let Some(stage) = stages.iter().find(|stage| custom_name(&stage.evaluator).is_some()) {
            return Err(CliError::NoWorker {
                message: format!(
                    "stage {} needs the evaluator {}, and no program is named",
                    stage.name, stage.evaluator
                ),
                help: "name it, such as `--evaluator python3 --evaluator-arg my_evaluator.py`"
                    .to_owned(),
            });
        }
        let light = |stage: &Stage| matches!(&*stage.evaluator, "synthetic" | "problem");
        let all_light = stages.iter().all(light);
        Ok(if all_light { "cambrian-evaluator-synthetic" } else { "cambrian-evaluator" })
    }
}

/// The devices of a list such as `cuda:0,cuda:1`; whether they are any, the workers say.
fn devices(list: Option<&str>) -> Vec<String> {
    let devices = list.filter(|list| !list.is_empty()).map(|list| list.split(','));
    devices.into_iter().flatten().map(str::to_owned).collect()
}

/// What to say where there are more devices than workers.
fn idle(plan: &Plan) -> Option<String> {
    let idle = plan.idle_devices();
    (!idle.is_empty()).then(|| {
        format!(
            "{DEVICES} names {}, and there {}: nothing runs on {}; --workers {} uses all",
            crate::error::count(plan.devices.len(), "device"),
            if plan.count == 1 {
                "is 1 worker".to_owned()
            } else {
                format!("are {} workers", plan.count)
            },
            idle.join(", "),
            plan.devices.len(),
        )
    })
}

/// Where the other programs lie: beside this one.
fn programs_directory() -> Result<PathBuf, CliError> {
    let fail = |reason: String| CliError::Internal(format!("cannot find this program: {reason}"));
    let program = std::env::current_exe().map_err(|error| fail(error.to_string()))?;
    program.parent().map(Path::to_owned).ok_or_else(|| fail("it has no directory".to_owned()))
}

/// The program `name` that belongs beside this one.
///
/// # Errors
/// [`CliError::NotFound`] if it is not there.
pub(crate) fn beside(name: &str) -> Result<PathBuf, CliError> {
    existing(programs_directory()?.join(name), "it belongs beside `cambrian`")
}

fn existing(path: PathBuf, hint: &str) -> Result<PathBuf, CliError> {
    if path.is_file() {
        return Ok(path);
    }
    Err(CliError::NotFound {
        message: format!("there is no program {}", path.display()),
        help: format!("`make build` builds all programs; {hint}"),
    })
}

/// A program by a path that holds in other directories too; a name without a directory is looked up
/// in PATH by whoever starts it.
fn program(path: PathBuf) -> Result<PathBuf, CliError> {
    if path.components().count() < 2 {
        return Ok(path);
    }
    absolute(&existing(path, "--evaluator names another evaluator")?)
}

/// The arguments of the user's program, which runs in a folder of its own: what names a file of the present
/// directory, or a folder by a path such as `./data`, becomes an absolute path. A plain name of a folder is left
/// alone: it may be a data set's, or a module's.
fn in_any_directory(arguments: &[String]) -> Result<Vec<OsString>, CliError> {
    let resolved = arguments.iter().map(|argument| {
        let path = Path::new(argument);
        let is_path = argument.contains('/') || matches!(&**argument, "." | "..");
        let named = if is_path { path.exists() } else { path.is_file() };
        match named && !argument.starts_with('-') {
            true => Ok(absolute(path)?.into_os_string()),
            false => Ok(argument.into()),
        }
    });
    resolved.collect()
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(CliError::io("find", path))
}

fn unserved(reasons: &[String]) -> CliError {
    CliError::NoWorker {
        message: format!("no worker can serve the campaign:\n  {}", reasons.join("\n  ")),
        help: service::remedy(reasons),
    }
}

/// Tells what happens to workers until none is left.
async fn until_hopeless(workers: &mut Workers, speaker: &Speaker) -> CliError {
    let alive = workers.alive();
    while let Some(event) = workers.events.recv().await {
        match event {
            Event::Waits { name } => {
                speaker.say(&format!("{name} waits for its process of the interrupted run to end"));
            }
            Event::Restarts { name, reason } => {
                speaker.say(&format!("{name} died and is started again: {reason}"));
            }
            Event::Hopeless { name, reason } => {
                let others: Vec<_> =
                    alive.borrow().iter().filter(|other| **other != name).cloned().collect();
                if others.is_empty() {
                    return CliError::NoWorker {
                        message: format!("no worker stays alive; the last one, {name}: {reason}"),
                        help: "their logs are state/worker-*.log in the output directory; \
                               `make build` builds all programs"
                            .to_owned(),
                    };
                }
                speaker.say(&format!("{name} died too often and is given up: {reason}"));
            }
        }
    }
    // The workers hold the sending end for as long as one lives.
    CliError::NoWorker { message: "no worker is left".to_owned(), help: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests run in the folder of this package.
    #[test]
    fn arguments_that_name_files_hold_in_any_directory() {
        let given =
            ["-m", "src", "src/main.rs", "./src", "Cargo.toml", "src/no.rs", "", "/dev/null", "."];
        let found = in_any_directory(&given.map(str::to_owned)).unwrap();
        let here = std::env::current_dir().unwrap();
        let mut expected: Vec<OsString> = given.map(OsString::from).to_vec();
        expected[2] = here.join("src/main.rs").into();
        expected[3] = here.join("src").into();
        expected[4] = here.join("Cargo.toml").into();
        expected[8] = here.into();
        assert_eq!(found, expected);
    }

    #[test]
    fn devices_are_a_list_or_none() {
        assert_eq!(devices(Some("cuda:0,cuda:1")), ["cuda:0", "cuda:1"]);
        for none in [None, Some("")] {
            assert!(devices(none).is_empty());
        }
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        for word in ["python3", "./my-evaluator.py", "--size=3"] {
            assert_eq!(quoted(word), word);
        }
        assert_eq!(quoted("my evaluator.py"), "'my evaluator.py'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
