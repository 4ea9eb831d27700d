//! The kinds of faults: what each does to a running cluster, how it is healed, and what it may cost.
//!
//! A new kind is one entry of [`KINDS`] and one arm of [`Kind::inject`], or of [`Harm::inflict`] if
//! coordinators and workers can suffer it alike. Must not know how results are checked.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::cluster::{Cluster, LEASE, SLOTS};
use crate::postgres_server::PostgresServer;
use crate::process::{self, Process};
use crate::relay::Conduct;

/// How long a process may take to end when asked to.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the next attempt at an evaluation may take to end.
const RETRIED: Duration = Duration::from_millis(1_500);
/// Where Debian's package `faketime` puts its library.
const CLOCK_LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To the leading coordinator.
    Coordinator(Harm),
    /// To a worker.
    Worker(Harm),
    StrandReports,
    KillEvaluator,
    CutWire,
    SlowWire,
    Partition,
    HalfPartition,
    RestartDatabase,
    CrashDatabase,
    CutDatabase,
    PartitionDatabase,
}

/// What can be done to any process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    Kill,
    Restart,
    Pause,
    FillDisk,
    SkewClock,
}

/// The process that a fault hits.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Coordinator(usize),
    Worker(usize),
}

/// A kind with what is known of it beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Description {
    /// The kind.
    pub(crate) kind: Kind,
    /// Its name on the command line and in reports.
    pub(crate) name: &'static str,
    /// What is done, for people.
    pub(crate) what: &'static str,
    /// How many finished evaluations one such fault may cost, which then are done again. They are
    /// those whose result had not reached a disk, or whose lease ended while nobody could be heard.
    pub(crate) may_repeat: u32,
}

const fn describe(
    kind: Kind,
    name: &'static str,
    what: &'static str,
    may_repeat: u32,
) -> Description {
    Description { kind, name, what, may_repeat }
}

/// Every kind, in the order of reports.
#[rustfmt::skip]
pub(crate) const KINDS: [Description; 20] = [
    describe(Kind::Coordinator(Harm::Kill), "kill_coordinator", "SIGKILL, started again within 0.3 s", 0),
    describe(Kind::Coordinator(Harm::Restart), "restart_coordinator", "SIGTERM, started again when it has ended", 0),
    describe(Kind::Coordinator(Harm::Pause), "pause_coordinator", "SIGSTOP for up to two leases", 0),
    describe(Kind::Coordinator(Harm::FillDisk), "fill_coordinator_disk", "no file of it can grow for up to two leases", 0),
    describe(Kind::Coordinator(Harm::SkewClock), "skew_coordinator_clock", "killed, started again with a clock up to a day off", 0),
    describe(Kind::Worker(Harm::Kill), "kill_worker", "SIGKILL, started again within 0.3 s", SLOTS),
    describe(Kind::Worker(Harm::Restart), "restart_worker", "SIGTERM, started again when it has drained", 0),
    describe(Kind::Worker(Harm::Pause), "pause_worker", "SIGSTOP for up to two leases", SLOTS),
    describe(Kind::Worker(Harm::FillDisk), "fill_worker_disk", "no file of it can grow for up to two leases", 0),
    describe(Kind::Worker(Harm::SkewClock), "skew_worker_clock", "killed, started again with a clock up to a day off", SLOTS),
    describe(Kind::StrandReports, "strand_reports", "a worker that cannot send what it has finished: SIGKILL, started again before it is heard", SLOTS),
    describe(Kind::KillEvaluator, "kill_evaluator", "SIGKILL to the process of one slot", 1),
    describe(Kind::CutWire, "cut_wire", "connections of one worker break, new ones too, for up to a fifth of a lease", 0),
    describe(Kind::SlowWire, "slow_wire", "each message of one worker is up to 0.3 s late, for up to a lease", 0),
    describe(Kind::Partition, "partition", "nothing passes between a worker and the coordinator for up to two leases", 2 * SLOTS),
    describe(Kind::HalfPartition, "half_partition", "nothing reaches a worker, which is heard, for up to two leases", 2 * SLOTS),
    describe(Kind::RestartDatabase, "restart_database", "an orderly restart of PostgreSQL", 0),
    describe(Kind::CrashDatabase, "crash_database", "PostgreSQL ends without a checkpoint and recovers", 0),
    describe(Kind::CutDatabase, "cut_database", "the leader's connections to PostgreSQL break, new ones too, for up to a lease", 0),
    describe(Kind::PartitionDatabase, "partition_database", "nothing passes between the leader and PostgreSQL for up to two leases", 0),
];

impl Description {
    /// Why this kind cannot be injected on this machine, or into a cluster without PostgreSQL;
    /// `None` if it can.
    pub(crate) fn lacks(&self, postgres: bool) -> Option<String> {
        let of_database = matches!(
            self.kind,
            Kind::RestartDatabase
                | Kind::CrashDatabase
                | Kind::CutDatabase
                | Kind::PartitionDatabase
        );
        if of_database && !postgres {
            return Some("there is no PostgreSQL in this cluster; say --postgres".to_owned());
        }
        let clocks =
            matches!(self.kind, Kind::Coordinator(Harm::SkewClock) | Kind::Worker(Harm::SkewClock));
        (clocks && !Path::new(CLOCK_LIBRARY).exists())
            .then(|| format!("{CLOCK_LIBRARY} is missing; install the package faketime"))
    }
}

impl Kind {
    /// Does it to the cluster, and heals it; what happens meanwhile and after is the cluster's own.
    ///
    /// # Errors
    /// When the system refuses, or a process does not end or serve again in time.
    pub(crate) async fn inject(
        self,
        cluster: &mut Cluster,
        draw: &mut ChaCha8Rng,
    ) -> anyhow::Result<()> {
        let worker = cluster.next_victim(draw.random_range(0..cluster.workers.len()));
        let leader = cluster.leader();
        match self {
            Kind::Coordinator(harm) => {
                harm.inflict(Victim::Coordinator(leader), cluster, draw).await?;
            }
            Kind::Worker(harm) => harm.inflict(Victim::Worker(worker), cluster, draw).await?,
            Kind::StrandReports => strand_reports(worker, cluster, draw).await?,
            Kind::KillEvaluator => kill_evaluator(worker, cluster, draw).await?,
            Kind::CutWire => {
                let broken = LEASE.mul_f64(draw.random_range(0.0..0.2));
                cluster.disturb(worker, Conduct::Cut, broken).await;
            }
            Kind::SlowWire => {
                let late = Duration::from_secs_f64(draw.random_range(0.01..0.3));
                let slow = LEASE.mul_f64(draw.random_range(0.2..1.0));
                cluster.disturb(worker, Conduct::Delay(late), slow).await;
            }
            Kind::Partition => cluster.disturb(worker, Conduct::Withhold, long(draw)).await,
            Kind::HalfPartition => {
                cluster.disturb(worker, Conduct::WithholdAnswers, long(draw)).await;
            }
            Kind::RestartDatabase => stop_database(cluster, PostgresServer::stop, draw).await,
            Kind::CrashDatabase => stop_database(cluster, PostgresServer::crash, draw).await,
            Kind::CutDatabase => {
                let broken = LEASE.mul_f64(draw.random_range(0.0..1.0));
                cluster.disturb_database(leader, Conduct::Cut, broken).await;
            }
            Kind::PartitionDatabase => {
                cluster.disturb_database(leader, Conduct::Withhold, long(draw)).await;
            }
        }
        Ok(())
    }
}

impl Harm {
    /// Does it to the process, which is whole again afterwards.
    async fn inflict(
        self,
        victim: Victim,
        cluster: &mut Cluster,
        draw: &mut ChaCha8Rng,
    ) -> anyhow::Result<()> {
        match self {
            Harm::Kill => {
                victim.process(cluster).kill()?;
                rest(draw, 0.3).await;
                victim.start(cluster).await
            }
            Harm::Restart => {
                victim.process(cluster).terminate(PATIENCE)?;
                victim.start(cluster).await
            }
            Harm::Pause => {
                victim.process(cluster).pause()?;
                tokio::time::sleep(long(draw)).await;
                victim.process(cluster).go_on()
            }
            Harm::FillDisk => {
                victim.process(cluster).fill_disk()?;
                tokio::time::sleep(long(draw)).await;
                victim.process(cluster).free_disk()?;
                // It may have given up, after which whoever supervises it starts it again.
                cluster.revive().await
            }
            Harm::SkewClock => {
                victim.process(cluster).kill()?;
                victim.process(cluster).surround(clock(draw));
                victim.start(cluster).await
            }
        }
    }
}

impl Victim {
    fn process(self, cluster: &mut Cluster) -> &mut Process {
        match self {
            Victim::Coordinator(index) => &mut cluster.coordinators[index],
            Victim::Worker(index) => &mut cluster.workers[index],
        }
    }

    async fn start(self, cluster: &mut Cluster) -> anyhow::Result<()> {
        match self {
            Victim::Coordinator(index) => cluster.start_coordinator(index).await,
            Victim::Worker(index) => cluster.workers[index].start(),
        }
    }
}

/// Kills a worker that could not send what it has finished, and lets it be heard again.
async fn strand_reports(
    worker: usize,
    cluster: &mut Cluster,
    draw: &mut ChaCha8Rng,
) -> anyhow::Result<()> {
    // In all well within a lease, of which a third may have passed unheard before.
    cluster.set_wires(worker, Conduct::Cut);
    cluster.await_reports(worker, LEASE / 8).await;
    rest(draw, 0.2).await;
    cluster.workers[worker].kill()?;
    cluster.promise_reports(worker);
    rest(draw, 0.1).await;
    cluster.workers[worker].start()?;
    rest(draw, 0.1).await;
    cluster.set_wires(worker, Conduct::Pass);
    Ok(())
}

/// Kills the process of one slot, if there is one.
async fn kill_evaluator(
    worker: usize,
    cluster: &mut Cluster,
    draw: &mut ChaCha8Rng,
) -> anyhow::Result<()> {
    let evaluators = cluster.workers[worker].children();
    if !evaluators.is_empty() {
        process::kill(evaluators[draw.random_range(0..evaluators.len())])?;
        // A task that is hit again on another worker counts as the cause of both.
        tokio::time::sleep(RETRIED).await;
    }
    Ok(())
}

/// Ends the database in this way, and starts it again.
async fn stop_database(
    cluster: &mut Cluster,
    stop: fn(&mut PostgresServer),
    draw: &mut ChaCha8Rng,
) {
    let Some(database) = &mut cluster.database else { return };
    stop(database);
    rest(draw, 1.0).await;
    database.resume();
}

/// Up to two leases.
fn long(draw: &mut ChaCha8Rng) -> Duration {
    LEASE.mul_f64(draw.random_range(0.1..2.0))
}

async fn rest(draw: &mut ChaCha8Rng, seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(draw.random_range(0.0..seconds))).await;
}

/// A wall clock up to a day off in either direction; the monotonic one is left alone.
fn clock(draw: &mut ChaCha8Rng) -> BTreeMap<String, String> {
    let seconds: i64 = draw.random_range(-86_400..=86_400);
    BTreeMap::from([
        ("LD_PRELOAD".to_owned(), CLOCK_LIBRARY.to_owned()),
        ("FAKETIME".to_owned(), format!("{seconds:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
    ])
}
