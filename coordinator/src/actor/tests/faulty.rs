//! A store that fails or hangs on demand, with or without having written.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

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
    /// Never comes back.
    Panic,
}

#[derive(Debug)]
struct Plans {
    next: VecDeque<Plan>,
    always: Plan,
    random: Option<(Stream, f64)>,
    appends: u64,
    failures: u64,
    held: bool,
    waiting: bool,
}

/// Decides what becomes of the next appends.
#[derive(Debug, Clone)]
pub(super) struct Planner(Arc<(Mutex<Plans>, Condvar)>);

impl Planner {
    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.0.0.lock().unwrap()
    }

    /// Makes appends hang, as a disk does, until [`Self::let_go`].
    pub(super) fn hold(&self) {
        self.plans().held = true;
    }

    pub(super) fn let_go(&self) {
        self.plans().held = false;
        self.0.1.notify_all();
    }

    /// Waits until an append hangs.
    pub(super) async fn until_held(&self) {
        while !self.plans().waiting {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    fn wait(&self) {
        let mut plans = self.plans();
        while plans.held {
            plans.waiting = true;
            plans = self.0.1.wait(plans).unwrap();
        }
        plans.waiting = false;
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
            held: false,
            waiting: false,
        };
        let planner = Planner(Arc::new((Mutex::new(plans), Condvar::new())));
        (Self { inner, planner: planner.clone() }, planner)
    }
}

impl Store for FaultyStore {
    fn sequence(&self) -> u64 {
        self.inner.sequence()
    }

    fn append(&mut self, expected: u64, batch: &[(Timestamp, Event)]) -> Result<u64, StoreError> {
        let failed = || StoreError::Failed("planned".into());
        self.planner.wait();
        match self.planner.draw() {
            Plan::Succeed => self.inner.append(expected, batch),
            Plan::Fail => Err(failed()),
            Plan::Panic => panic!("planned"),
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
