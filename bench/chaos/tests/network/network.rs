//! A simulated cluster: one coordinator on a file of SQLite, workers whose evaluations only pass time, and
//! the network between them.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cambrian_coordinator::clock::Clock;
use cambrian_coordinator::config::Config;
use cambrian_coordinator::server::Server;
use cambrian_coordinator::store::for_each;
use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_core::engine::{CampaignStatus, State, SubmissionId};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::Timestamp;
use cambrian_proto::v1;
use cambrian_transport::dial::{Dialler, Wire};
use cambrian_worker::simulated::{Evaluations, World};
use cambrian_worker::{Agent, AgentConfig, EvaluatorCommand, synthetic};
use futures::stream;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use turmoil::{Builder, Sim};

use crate::audit::{Audit, Expected, audit};
use crate::faults::{Planned, plan};

/// How long a lease lasts without a sign of life.
pub(crate) const LEASE: Duration = Duration::from_secs(4);
/// Workers and the slots of each.
pub(crate) const WORKERS: usize = 3;
pub(crate) const SLOTS: u32 = 2;
/// The coordinator's host.
pub(crate) const COORDINATOR: &str = "coordinator";
/// The longest time that a message takes on a wire without a fault.
pub(crate) const LONGEST_LATENCY: Duration = Duration::from_millis(20);

const PORT: u16 = 7878;
const EVALUATIONS: u32 = 150;
/// How much virtual time passes in a step.
const TICK: Duration = Duration::from_millis(5);
/// A campaign that takes longer does not finish by itself.
const LIMIT: Duration = Duration::from_secs(600);
/// When simulations begin, microseconds since 1970.
const EPOCH: u64 = 1_767_225_600_000_000;
/// Messages that wait in a socket: more than are sent while one is stalled.
const SOCKET: usize = 1 << 16;

/// What a simulation ends with.
pub(crate) struct Outcome {
    pub(crate) audit: Audit,
    /// Of every record of the journal with its time.
    pub(crate) journal: blake3::Hash,
    pub(crate) faults: Vec<Planned>,
    /// In virtual time.
    pub(crate) elapsed: Duration,
}

/// The name of a worker's host.
pub(crate) fn worker(index: usize) -> String {
    format!("worker-{index}")
}

/// The clock on every wall.
fn wall() -> u64 {
    EPOCH + turmoil::sim_elapsed().unwrap_or_default().as_micros() as u64
}

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp(wall())
    }
}

/// Evaluations that take 0.1 to 2 s and note themselves when they are finished.
struct Passing {
    evidence: PathBuf,
}

impl Passing {
    fn values(assignment: &v1::Assignment) -> [(&'static str, f64); 2] {
        let mut draw = ChaCha8Rng::seed_from_u64(assignment.seed);
        [("f1", draw.random()), ("f2", draw.random())]
    }
}

fn provenance() -> v1::Provenance {
    v1::Provenance { source: "simulated".to_owned(), device_class: String::new() }
}

impl Evaluations for Passing {
    fn offer(&self) -> v1::Capabilities {
        let metrics = ["f1", "f2"].map(|metric| (metric.to_owned(), provenance()));
        let offer = v1::EvaluatorOffer {
            name: "problem".to_owned(),
            version: "1".to_owned(),
            metrics: metrics.into(),
            yields: false,
        };
        v1::Capabilities {
            device_class: "simulated".to_owned(),
            evaluators: vec![offer],
            ..v1::Capabilities::default()
        }
    }

    fn lasts(&self, assignment: &v1::Assignment) -> Duration {
        // Another attempt may take another time.
        let seed = assignment.seed ^ u64::from(assignment.attempt) << 32;
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        Duration::from_millis(draw.random_range(100..2_000))
    }

    fn finish(&self, assignment: &v1::Assignment) -> v1::Outcome {
        let values = Self::values(assignment);
        let digest = synthetic::digest(values.into_iter());
        let mut evidence =
            OpenOptions::new().create(true).append(true).open(&self.evidence).expect("a file");
        writeln!(evidence, "{} {} {digest}", assignment.task, assignment.attempt)
            .expect("it can be written");
        let measurements = values.map(|(metric, value)| v1::Measurement {
            metric: metric.to_owned(),
            value,
            spread: None,
            provenance: Some(provenance()),
        });
        let measured = v1::Measurements { measurements: measurements.into() };
        v1::Outcome {
            outcome: Some(v1::outcome::Outcome::Measured(measured)),
            elapsed_micros: self.lasts(assignment).as_micros() as u64,
            ..v1::Outcome::default()
        }
    }
}

fn campaign(seed: u64) -> String {
    format!(
        "version: 1\nname: simulated\nseed: {}\n\
         space: {{kind: problem, name: zdt1, variables: 6}}\n\
         metrics: {{f1: {{}}, f2: {{}}}}\n\
         objectives: [{{metric: f1, reference: 1.1}}, {{metric: f2, reference: 1.1}}]\n\
         algorithm: {{kind: nsga2, population: 16}}\n\
         stages: [{{evaluator: problem, measures: [f1, f2], timeout: 1m}}]\n\
         budget: {{evaluations: {EVALUATIONS}}}\nfailures: {{attempts: 30}}\n",
        seed % 1_000_000
    )
}

/// A folder in memory where the system has one: what a crash of a process leaves is the same there.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    folder.expect("a temporary folder")
}

/// Runs a campaign under the faults of a seed to its end, and checks what it left.
pub(crate) fn simulate(seed: u64) -> Outcome {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let faults = plan(&mut draw);
    let folder = folder();
    let journal = folder.path().join("journal.sqlite");
    let evidence = folder.path().join("evidence");
    let finished = Arc::new(AtomicBool::new(false));
    let mut sim = Builder::new()
        .rng_seed(draw.random())
        .tick_duration(TICK)
        .simulation_duration(2 * LIMIT)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(LONGEST_LATENCY)
        .tcp_capacity(SOCKET)
        .build();
    host_coordinator(&mut sim, seed, &journal, &finished);
    for index in 0..WORKERS {
        host_worker(&mut sim, index, folder.path(), &evidence);
    }
    let done = run(&mut sim, &faults, &finished);
    let elapsed = sim.elapsed();
    // Whatever still runs ends as if killed.
    drop(sim);
    let may_repeat = faults.iter().map(|planned| planned.fault.may_repeat()).sum();
    let expected = Expected { campaigns: 1, may_repeat, promised: BTreeSet::new() };
    let mut audit = audit(&journal.as_path().into(), &evidence, &expected).expect("files");
    if !done {
        audit.problems.push("the campaign does not finish by itself".to_owned());
    }
    Outcome { audit, journal: digest(&journal), faults, elapsed }
}

/// Steps until the campaign has finished and every fault is healed; whether that happened in time.
fn run(sim: &mut Sim<'_>, faults: &[Planned], finished: &AtomicBool) -> bool {
    // By time; what ends at the moment at which something else begins ends first.
    let ends = faults.iter().map(|planned| (planned.ends, false, planned.fault));
    let begins = faults.iter().map(|planned| (planned.begins, true, planned.fault));
    let mut due: Vec<_> = begins.chain(ends).collect();
    due.sort_by_key(|(at, begins, _)| (*at, *begins));
    let mut due = due.into_iter().peekable();
    while sim.elapsed() < LIMIT {
        while let Some((_, begins, fault)) = due.next_if(|(at, ..)| *at <= sim.elapsed()) {
            match begins {
                true => fault.inject(sim),
                false => fault.heal(sim),
            }
        }
        if due.peek().is_none() && finished.load(Ordering::SeqCst) {
            return true;
        }
        sim.step().expect("no host fails");
    }
    false
}

fn host_coordinator(sim: &mut Sim<'_>, seed: u64, journal: &Path, finished: &Arc<AtomicBool>) {
    let (journal, finished) = (journal.to_owned(), finished.clone());
    sim.host(COORDINATOR, move || {
        let (journal, finished) = (journal.clone(), finished.clone());
        async move {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
            let listener = turmoil::net::TcpListener::bind(address).await?;
            let connections = stream::unfold(listener, |listener| async move {
                let accepted = listener.accept().await;
                Some((accepted.map(|(wire, _)| Box::new(wire) as Box<dyn Wire>), listener))
            });
            let store = Box::new(SqliteStore::open(&journal)?);
            let config = Config { lease_seconds: LEASE.as_secs_f64(), ..Config::default() };
            let server =
                Server::simulated(&config, store, Arc::new(WallClock), address, connections)
                    .await?;
            let yaml = campaign(seed);
            let spec = CampaignSpec::parse(&yaml).expect("a valid campaign");
            let submission = SubmissionId(u128::from(seed));
            let (handle, source) = (server.handle().clone(), yaml.as_str().into());
            handle.submit(submission, Arc::new(spec), source, None).await?;
            let mut changes = handle.changes();
            let over = |state: &State| {
                let mut campaigns = state.campaigns();
                campaigns.all(|found| matches!(found.status(), CampaignStatus::Finished(_)))
            };
            while !handle.query(over).await? {
                changes.changed().await?;
            }
            finished.store(true, Ordering::SeqCst);
            server.join().await?;
            Ok(())
        }
    });
}

fn host_worker(sim: &mut Sim<'_>, index: usize, folder: &Path, evidence: &Path) {
    let nothing = EvaluatorCommand { program: PathBuf::new(), arguments: Vec::new() };
    let coordinator = format!("http://{COORDINATOR}:{PORT}");
    let config = AgentConfig {
        name: Some(worker(index)),
        slots: SLOTS,
        ..AgentConfig::new(&coordinator, &folder.join(worker(index)), nothing)
    };
    let world = World {
        dialler: Dialler::Simulated(Arc::new(|address| {
            Box::pin(async move {
                let host = address.host().unwrap_or_default().to_owned();
                let wire = turmoil::net::TcpStream::connect((host, PORT)).await?;
                Ok(Box::new(wire) as Box<dyn Wire>)
            })
        })),
        wall,
        evaluations: Arc::new(Passing { evidence: evidence.to_owned() }),
    };
    sim.host(worker(index), move || {
        let agent = Agent::simulated(config.clone(), world.clone());
        async move {
            agent.run(std::future::pending()).await?;
            Ok(())
        }
    });
}

/// Of every record of a journal with its time.
fn digest(journal: &Path) -> blake3::Hash {
    let store = SqliteStore::open_read_only(journal).expect("a journal");
    let mut hasher = blake3::Hasher::new();
    for_each(&store, |record| {
        hasher.update(format!("{record:?}").as_bytes());
    })
    .expect("it can be read");
    hasher.finalize()
}
