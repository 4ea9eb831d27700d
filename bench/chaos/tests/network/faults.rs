//! Faults of a simulated network, drawn from a seed: when they begin, what they do, how they are healed and
//! what they may cost.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use turmoil::Sim;

use crate::network::{COORDINATOR, LEASE, LONGEST_LATENCY, SLOTS, WORKERS, worker};

/// How many faults a simulation has.
const FAULTS: usize = 10;
/// Between the beginnings of two of them, seconds.
const GAP: std::ops::Range<f64> = 0.5..6.0;
/// Longer than any pause between heartbeats.
const SLOW: Duration = Duration::from_millis(300);

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The coordinator's process is gone.
    CrashCoordinator,
    /// A worker's process is gone.
    CrashWorker(usize),
    /// What a worker and the coordinator send is lost.
    Partition(usize),
    /// What the coordinator sends to a worker is lost.
    HalfPartition(usize),
    /// Nothing arrives between a worker and the coordinator; it does later.
    Stall(usize),
    /// What they send takes up to 0.3 s.
    Slow(usize),
}

/// A fault in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Planned {
    pub(crate) fault: Fault,
    pub(crate) begins: Duration,
    pub(crate) ends: Duration,
}

impl Fault {
    fn draw(draw: &mut ChaCha8Rng) -> Self {
        let worker = draw.random_range(0..WORKERS);
        match draw.random_range(0..6) {
            0 => Self::CrashCoordinator,
            1 => Self::CrashWorker(worker),
            2 => Self::Partition(worker),
            3 => Self::HalfPartition(worker),
            4 => Self::Stall(worker),
            _ => Self::Slow(worker),
        }
    }

    /// How many finished evaluations it may cost: those of a worker's slots that had not reached its
    /// disk, those that a worker holds whose lease ends while nobody can hear it, with what is lost on
    /// the way back.
    pub(crate) fn may_repeat(self) -> usize {
        match self {
            Self::CrashCoordinator | Self::Slow(_) => 0,
            Self::CrashWorker(_) => SLOTS as usize,
            Self::Partition(_) | Self::HalfPartition(_) | Self::Stall(_) => 2 * SLOTS as usize,
        }
    }

    /// The host besides the coordinator that it is about.
    fn about(self) -> Option<usize> {
        match self {
            Self::CrashCoordinator => None,
            Self::CrashWorker(worker)
            | Self::Partition(worker)
            | Self::HalfPartition(worker)
            | Self::Stall(worker)
            | Self::Slow(worker) => Some(worker),
        }
    }

    /// Does it.
    pub(crate) fn inject(self, sim: &mut Sim<'_>) {
        match self {
            Self::CrashCoordinator => sim.crash(COORDINATOR),
            Self::CrashWorker(index) => sim.crash(worker(index)),
            Self::Partition(index) => sim.partition(worker(index), COORDINATOR),
            Self::HalfPartition(index) => sim.partition_oneway(COORDINATOR, worker(index)),
            Self::Stall(index) => sim.hold(worker(index), COORDINATOR),
            Self::Slow(index) => {
                sim.set_link_max_message_latency(worker(index), COORDINATOR, SLOW);
            }
        }
    }

    /// Takes it back.
    pub(crate) fn heal(self, sim: &mut Sim<'_>) {
        match self {
            Self::CrashCoordinator => sim.bounce(COORDINATOR),
            Self::CrashWorker(index) => sim.bounce(worker(index)),
            Self::Partition(index) => sim.repair(worker(index), COORDINATOR),
            Self::HalfPartition(index) => sim.repair_oneway(COORDINATOR, worker(index)),
            Self::Stall(index) => sim.release(worker(index), COORDINATOR),
            Self::Slow(index) => {
                sim.set_link_max_message_latency(worker(index), COORDINATOR, LONGEST_LATENCY);
            }
        }
    }
}

/// The faults of a simulation, by their beginnings. Each host has one at a time, so that each is healed as
/// it began; those of different hosts overlap.
pub(crate) fn plan(draw: &mut ChaCha8Rng) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    let mut begins = Duration::from_secs(1);
    while planned.len() < FAULTS {
        begins += Duration::from_secs_f64(draw.random_range(GAP));
        let fault = Fault::draw(draw);
        let ends = begins + LEASE.mul_f64(draw.random_range(0.05..2.0));
        let busy = |other: &Planned| other.fault.about() == fault.about() && other.ends >= begins;
        if !planned.iter().any(busy) {
            planned.push(Planned { fault, begins, ends });
        }
    }
    planned
}
