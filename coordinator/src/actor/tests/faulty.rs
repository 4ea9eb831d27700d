//! A store that fails on demand, with or without having written.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use cambrian_core::engine::Event;
use cambrian_core::rng::{Purpose, Stream, stream};
use cambrian_core::time::Timestamp;

use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreError, Stored};

/// What becomes of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Succeed,
    /// Writes nothing.
    Fail,
    /// Writes everything, and says that it failed.
    FailAfterwards,
}

#[derive(Debug)]
struct Plans {
    next: VecDeque<Plan>,
    always: Plan,
    random: Option<(Stream, f64)>,
    appends: u64,
    failures: u64,
}

/// Decides what becomes of the next appends.
#[derive(Debug, Clone)]
pub(super) struct Planner(Arc<Mutex<Plans>>);

impl Planner {
    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.0.lock().unwrap()
    }

    pub(super) fn next(&self, plan: Plan) {
        self.plans().next.push_back(plan);
    }

    pub(super) fn always(&self, plan: Plan) {
        let mut plans = self.plans();
        plans.random = None;
        plans.always = plan;
    }

    pub(super) fn at_random(&self, seed: u64, probability: f64) {
        self.plans().random = Some((stream(seed, Purpose::Simulation, 0), probability));
    }

    pub(super) fn appends(&self) -> u64 {
        self.plans().appends
    }

    pub(super) fn failures(&self) -> u64 {
        self.plans().failures
    }

    fn draw(&self) -> Plan {
        use rand::RngExt;
        let mut plans = self.plans();
        plans.appends += 1;
        let drawn = plans.random.as_mut().map(|(rng, probability)| {
            match (rng.random_bool(*probability), rng.random_bool(0.5)) {
                (false, _) => Plan::Succeed,
                (true, true) => Plan::Fail,
                (true, false) => Plan::FailAfterwards,
            }
        });
        let plan = plans.next.pop_front().or(drawn).unwrap_or(plans.always);
        plans.failures += u64::from(plan != Plan::Succeed);
        plan
    }
}

pub(super) struct FaultyStore {
    inner: MemoryStore,
    planner: Planner,
}

impl FaultyStore {
    pub(super) fn new(inner: MemoryStore) -> (Self, Planner) {
        let plans = Plans {
            next: VecDeque::new(),
            always: Plan::Succeed,
            random: None,
            appends: 0,
            failures: 0,
        };
        let planner = Planner(Arc::new(Mutex::new(plans)));
        (Self { inner, planner: planner.clone() }, planner)
    }
}

impl Store for FaultyStore {
    fn sequence(&self) -> u64 {
        self.inner.sequence()
    }

    fn append(&mut self, expected: u64, batch: &[(Timestamp, Event)]) -> Result<u64, StoreError> {
        let failed = || StoreError::Failed("planned".into());
        match self.planner.draw() {
            Plan::Succeed => self.inner.append(expected, batch),
            Plan::Fail => Err(failed()),
            Plan::FailAfterwards => {
                self.inner.append(expected, batch)?;
                Err(failed())
            }
        }
    }

    fn read_from(&self, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        self.inner.read_from(after, limit)
    }
}
