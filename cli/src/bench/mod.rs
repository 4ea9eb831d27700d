//! `cambrian bench cluster`: how fast a coordinator is, by simulated workers on real connections, on a
//! run whose ledger is checked afterwards.
//!
//! `coordinator` starts the process, `takeover` kills leaders of two of them, `worker` is one simulated worker, `tally` what they count,
//! `limits` what the machine allows at most, `report` what is shown. Must not know how a campaign is
//! searched or stored.

mod coordinator;
mod histogram;
mod limits;
mod report;
mod takeover;
mod tally;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cambrian_coordinator::store::place::Place;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::arguments::{BenchAlgorithm, BenchClusterArguments};
use crate::client::Client;
use crate::commands::Context;
use crate::commands::journal::Journal;
use crate::error::CliError;
use crate::present::number;
use crate::results::CampaignStatus;
use crate::run;
use coordinator::{ANY_PORT, Coordinator, Plan, Process, Until};
use report::{Limits, Measured, Restart, Run, Settings, Verified};
use takeover::{Pair, Schedule, Takeover};
use tally::{Sample, Tally};
use worker::{Fleet, Phase, Worker};

/// How often the counters are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How often the resident memory is.
const LOOK_AT_MEMORY: Duration = Duration::from_millis(200);
/// How often the coordinator is asked when it last heard of each worker.
const LOOK_AT_WORKERS: Duration = Duration::from_secs(5);
const TELL: Duration = Duration::from_secs(5);
/// How long nothing may become durable, beyond the length of an evaluation.
const STALL: Duration = Duration::from_secs(60);
const REGISTRATION: Duration = Duration::from_secs(300);
/// Connections that are made at once: fewer than a listener's queue.
const DIALLING: usize = 64;
/// For buffers of a connection to be given back before memory is compared.
const SETTLE: Duration = Duration::from_millis(500);

/// # Errors
/// A cluster that cannot be started or that stands still, or [`CliError::VerificationFailed`] if its
/// ledger is not sound.
pub(crate) async fn cluster(
    context: &Context,
    given: &BenchClusterArguments,
) -> Result<(), CliError> {
    if given.store.is_some() && given.workers.len() > 1 {
        return Err(CliError::Usage {
            message: "one store serves one run".to_owned(),
            help: "give one number of workers with --store, or leave --store out".to_owned(),
        });
    }
    let place: Option<Place> = given.store.clone().map(Place::from);
    if given.takeovers > 0 && !matches!(place, Some(Place::Postgres(_))) {
        return Err(CliError::Usage {
            message: "a leader can be killed where two coordinators share a database".to_owned(),
            help: "give --store postgresql://USER@HOST:PORT/DATABASE".to_owned(),
        });
    }
    let settings = Settings {
        algorithm: given.algorithm.name(),
        evaluations: given.evaluations,
        slots: given.slots,
        prefetch: given.prefetch.unwrap_or(given.slots),
        evaluation_seconds: given.duration.as_secs_f64(),
        jitter: given.jitter,
        machine: coordinator::machine(),
    };
    let mut runs = Vec::new();
    let mut ended = Ok(());
    for workers in &given.workers {
        ended = one(context, given, &settings, *workers, &mut runs).await;
        if ended.is_err() {
            break;
        }
    }
    // What was measured is shown, whatever has failed since.
    if !runs.is_empty() && context.output.json {
        context.output.object(&report::json(&settings, &runs))?;
    } else if !runs.is_empty() {
        context.output.text(&report::text(&settings, &runs, context.output.look()))?;
    }
    ended?;
    let unsound = runs.iter().filter_map(|run| run.verified.as_ref()).find(|found| !found.sound);
    match unsound {
        None => Ok(()),
        Some(found) => Err(CliError::VerificationFailed {
            message: "the run's ledger is not sound".to_owned(),
            help: format!("the first problem: {}", found.problem),
        }),
    }
}

/// A campaign whose candidates cost next to nothing to breed: six real variables, two objectives.
fn campaign(algorithm: BenchAlgorithm, evaluations: u32) -> String {
    let algorithm = match algorithm {
        BenchAlgorithm::Random => "random",
        BenchAlgorithm::Nsga2 => "{kind: nsga2, population: 100}",
    };
    format!(
        "version: 1\nname: bench\nseed: 1\n\
         space: {{kind: problem, name: zdt1, variables: 6}}\n\
         metrics: {{f1: {{}}, f2: {{}}}}\n\
         objectives: [{{metric: f1, reference: 1.1}}, {{metric: f2, reference: 1.1}}]\n\
         algorithm: {algorithm}\n\
         stages: [{{evaluator: problem, measures: [f1, f2], timeout: 1h}}]\n\
         budget: {{evaluations: {evaluations}}}\n"
    )
}

/// One number of workers, from the start of its coordinator to the check of its ledger. It is one of
/// `runs` as soon as it is measured.
async fn one(
    context: &Context,
    given: &BenchClusterArguments,
    settings: &Settings,
    workers: u32,
    runs: &mut Vec<Run>,
) -> Result<(), CliError> {
    let folder = tempfile::Builder::new().prefix("cambrian-bench-").tempdir();
    let folder = folder.map_err(CliError::io("create", &std::env::temp_dir()))?;
    let file = folder.path().join("bench.sqlite");
    let plan = Plan {
        program: run::beside("cambrian-coordinator")?,
        store: given.store.clone().unwrap_or_else(|| file.display().to_string()),
        folder: folder.path().to_owned(),
        workers,
        lease: given.lease,
    };
    let mut subject = match &given.coordinator {
        Some(endpoint) => Subject::Foreign(endpoint.clone()),
        None if given.takeovers > 0 => Subject::Pair(Pair::start(&plan).await?),
        None => Subject::Own(Coordinator::start(&plan, ANY_PORT, Until::Serving).await?),
    };
    let (endpoints, observed) = (subject.endpoints(), subject.observed());
    let bench = Bench { context, given, settings, workers, endpoints, observed };
    let pair = match &mut subject {
        Subject::Pair(pair) => Some(pair),
        Subject::Own(_) | Subject::Foreign(_) => None,
    };
    let (measured, takeovers, example) = bench.measure(pair).await?;
    let run = runs.push_mut(Run::new(workers, measured, takeovers));
    if !subject.stop().await? {
        return Ok(());
    }
    let found = run.verified.insert(check(context, plan.store.clone().into()).await?);
    if !given.no_restart {
        run.restart = Some(restarted(&plan, found.records).await?);
    }
    let journal = PathBuf::from(&plan.store);
    if !given.no_limits && journal.is_file() {
        context.output.hint("measuring the limits of the transport and the database");
        let shape = limits::Shape {
            streams: workers as usize,
            in_flight: (settings.slots + settings.prefetch) as usize,
        };
        let written = limits::Journal {
            records: found.records as f64 / found.completed.max(1) as f64,
            path: journal,
            copy: folder.path().join("plain.sqlite"),
        };
        match limits(written, shape, example, run.measured.rate).await {
            Ok(limits) => run.limits = Some(limits),
            // They are not what was to be measured.
            Err(error) => run.limits_failed = Some(error.to_string()),
        }
    }
    Ok(())
}

/// What the machine allows, for a run of this rate and shape.
async fn limits(
    journal: limits::Journal,
    shape: limits::Shape,
    example: Option<cambrian_proto::v1::Assignment>,
    rate: f64,
) -> Result<Limits, CliError> {
    let (pipelined, stream) = match example {
        // Few streams before many: the many leave sockets open for a while, which would count against the few.
        Some(example) => (
            limits::stream(example.clone(), limits::PIPELINED).await?,
            limits::stream(example, shape).await?,
        ),
        None => Default::default(),
    };
    let insert = blocking(move || limits::insert(&journal, shape.streams * shape.in_flight));
    Ok(Limits::new(stream, pipelined, insert.await??, rate))
}

/// What is measured.
enum Subject {
    /// A coordinator that is not ours.
    Foreign(String),
    Own(Coordinator),
    Pair(Pair),
}

impl Subject {
    fn endpoints(&self) -> Vec<String> {
        match self {
            Self::Foreign(endpoint) => vec![endpoint.clone()],
            Self::Own(own) => vec![own.endpoint()],
            Self::Pair(pair) => pair.endpoints(),
        }
    }

    /// The process whose time and memory are looked at.
    fn observed(&self) -> Option<Process> {
        match self {
            Self::Own(own) => Some(own.process),
            Self::Foreign(_) | Self::Pair(_) => None,
        }
    }

    /// Ends what is ours; whether anything was.
    async fn stop(self) -> Result<bool, CliError> {
        match self {
            Self::Foreign(_) => return Ok(false),
            Self::Own(own) => own.stop().await?,
            Self::Pair(pair) => pair.stop().await?,
        }
        Ok(true)
    }
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, CliError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CliError::Internal(format!("a task ended early: {error}")))
}

/// The ledger of a stopped coordinator.
async fn check(context: &Context, place: Place) -> Result<Verified, CliError> {
    context.output.hint("checking the ledger");
    let began = Instant::now();
    let report = blocking(move || Journal::open(&place)?.verify()).await??;
    Ok(Verified {
        sound: report.is_sound(),
        problem: report.problems.first().cloned().unwrap_or_default(),
        records: report.records,
        completed: report.completed,
        lost_attempts: report.lost_attempts,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// How long the coordinator takes to serve again on the run's journal.
async fn restarted(plan: &Plan, records: u64) -> Result<Restart, CliError> {
    let again = Coordinator::start(plan, ANY_PORT, Until::Serving).await?;
    let seconds = again.started_in.as_secs_f64();
    again.stop().await?;
    Ok(Restart { records, seconds })
}

/// What a run yields: numbers, take-overs, and an assignment as it came.
type Found = (Measured, Vec<Takeover>, Option<cambrian_proto::v1::Assignment>);

/// A run in progress.
struct Bench<'a> {
    context: &'a Context,
    given: &'a BenchClusterArguments,
    settings: &'a Settings,
    workers: u32,
    endpoints: Vec<String>,
    /// The coordinator's process, where it is ours.
    observed: Option<Process>,
}

/// What was seen between the campaign's start and its end.
struct Seen {
    samples: Vec<Sample>,
    generator: Duration,
    /// The longest time that the coordinator had not heard of a worker.
    silence: Duration,
}

impl Bench<'_> {
    async fn measure(&self, pair: Option<&mut Pair>) -> Result<Found, CliError> {
        let (steer, phase) = watch::channel(Phase::Idle);
        let fleet = Arc::new(Fleet {
            endpoints: self.endpoints.clone(),
            credentials: self.context.credentials()?,
            slots: self.settings.slots,
            prefetch: self.settings.prefetch,
            duration: self.given.duration,
            jitter: self.settings.jitter,
            tally: Tally::default(),
            dialling: Semaphore::new(DIALLING),
            phase,
        });
        let mut client = Client::connect(&self.endpoints.join(","), &fleet.credentials).await?;
        let without = self.resident().await;
        let mut tasks = JoinSet::new();
        for index in 1..=self.workers {
            tasks.spawn(Worker::new(fleet.clone(), index).run());
        }
        self.connected(&fleet.tally).await?;
        let idle = self.resident().await;
        let load = coordinator::load_average();
        let yaml = campaign(self.given.algorithm, self.settings.evaluations);
        let submission = *uuid::Uuid::now_v7().as_bytes();
        let campaign = client.submit(&yaml, submission).await?.map_err(|faults| {
            CliError::Internal(format!("the coordinator refuses the campaign: {faults:?}"))
        })?;
        let began = Instant::now();
        steer.send_replace(Phase::Work);
        let (seen, takeovers) = tokio::try_join!(
            self.watch(&mut client, campaign, &fleet.tally, began),
            self.kill_leaders(pair, &fleet.tally),
        )?;
        steer.send_replace(Phase::Leave);
        let left = timeout(STALL, async { while tasks.join_next().await.is_some() {} }).await;
        if left.is_err() {
            self.context.output.hint("some workers did not leave in time");
        }
        let slots = u64::from(self.workers) * u64::from(self.settings.slots);
        let memory = self.observed.map(|_| (without, idle));
        let measured = Measured::new(&fleet.tally, &seen, (self.workers, slots), memory, load);
        Ok((measured, takeovers, fleet.tally.example.get().cloned()))
    }

    /// Kills the leaders of a pair.
    async fn kill_leaders(
        &self,
        pair: Option<&mut Pair>,
        tally: &Tally,
    ) -> Result<Vec<Takeover>, CliError> {
        let Some(pair) = pair else { return Ok(Vec::new()) };
        let schedule = Schedule {
            kills: self.given.takeovers,
            after: self.given.takeovers_after,
            evaluations: self.settings.evaluations,
        };
        let kills = pair.kill_leaders(schedule, self.workers, tally, |found| {
            self.context.output.hint(&format!(
                "leader killed after {} evaluations: the next result was durable {} later, one of \
                 each worker {}",
                number::count(found.after_evaluations),
                number::duration(found.first_result_s),
                number::duration(found.all_workers_s),
            ));
        });
        let all = u64::from(self.settings.evaluations);
        let over = async {
            while tally.acknowledged.load(Relaxed) < all {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            takeovers = kills => takeovers,
            () = over => Err(CliError::Usage {
                message: format!(
                    "the run was over before {} leaders were killed and replaced",
                    self.given.takeovers
                ),
                help: "give it more --evaluations, or a longer --duration".to_owned(),
            }),
        }
    }

    async fn resident(&self) -> u64 {
        sleep(SETTLE).await;
        self.observed.map_or(0, Process::resident)
    }

    async fn connected(&self, tally: &Tally) -> Result<(), CliError> {
        self.context.output.hint(&format!("connecting {} workers", self.workers));
        let all = u64::from(self.workers);
        let waited = timeout(REGISTRATION, async {
            while tally.registered.load(Relaxed) < all {
                sleep(LOOK).await;
            }
        });
        waited.await.map_err(|_| CliError::NoWorker {
            message: format!(
                "only {} of {all} simulated workers are connected",
                tally.registered.load(Relaxed)
            ),
            help: "each needs two open files: `ulimit -n` shows how many a process may have; a \
                   coordinator of your own needs `limits.connections` above the number of workers"
                .to_owned(),
        })
    }

    /// Looks on until the campaign is finished.
    async fn watch(
        &self,
        client: &mut Client,
        campaign: u32,
        tally: &Tally,
        began: Instant,
    ) -> Result<Seen, CliError> {
        let campaign = campaign.to_string();
        let cpu = |process: Option<Process>| process.map_or(Duration::ZERO, Process::cpu);
        let (cpu_before, own_before) = (cpu(self.observed), Process::own().cpu());
        let mut seen =
            Seen { samples: Vec::new(), generator: Duration::ZERO, silence: Duration::ZERO };
        let (mut resident, mut looked_at_memory) = (0, None::<Instant>);
        let (mut told, mut asked, mut moved) = (began, began, (0, began));
        loop {
            let now = Instant::now();
            if looked_at_memory.is_none_or(|at| now - at >= LOOK_AT_MEMORY) {
                resident = self.observed.map_or(0, Process::resident);
                looked_at_memory = Some(now);
            }
            let sample = Sample {
                at: now - began,
                durable: tally.acknowledged.load(Relaxed),
                assigned: tally.assigned.load(Relaxed),
                busy: tally.busy.load(Relaxed),
                cpu: cpu(self.observed).saturating_sub(cpu_before),
                resident,
            };
            seen.samples.push(sample);
            seen.generator = Process::own().cpu().saturating_sub(own_before);
            if sample.durable > moved.0 {
                moved = (sample.durable, now);
            }
            let all = sample.durable >= u64::from(self.settings.evaluations);
            if all && client.campaign(&campaign).await?.status == CampaignStatus::Finished {
                return Ok(seen);
            }
            if now - moved.1 > STALL + 2 * self.given.duration {
                return Err(CliError::Coordinator(format!(
                    "nothing has become durable for {} after {} of {} evaluations",
                    number::duration((now - moved.1).as_secs_f64()),
                    number::count(sample.durable),
                    number::count(u64::from(self.settings.evaluations)),
                )));
            }
            if now - told >= TELL {
                told = now;
                self.tell(&sample);
            }
            if now - asked >= LOOK_AT_WORKERS && !all {
                asked = now;
                seen.silence = seen.silence.max(silence(client).await?);
            }
            sleep(LOOK).await;
        }
    }

    fn tell(&self, sample: &Sample) {
        self.context.output.hint(&format!(
            "{} workers, {}: {} of {} evaluations durable, {} a second",
            number::count(u64::from(self.workers)),
            number::duration(sample.at.as_secs_f64().round()),
            number::count(sample.durable),
            number::count(u64::from(self.settings.evaluations)),
            number::count((sample.durable as f64 / sample.at.as_secs_f64()) as u64),
        ));
    }
}

/// The longest time since the coordinator heard of a connected worker.
async fn silence(client: &mut Client) -> Result<Duration, CliError> {
    let workers = client.workers().await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seen =
        workers.iter().filter(|worker| worker.connected).filter_map(|worker| worker.last_seen);
    let since = seen.map(|at| now.saturating_sub(Duration::from_micros(at.0)));
    Ok(since.max().unwrap_or_default())
}
