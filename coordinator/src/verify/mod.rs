//! The proof that nothing was lost and nothing counted twice.
//!
//! Three accounts of the same journal are compared: the engine's replay, a ledger kept by the rules
//! of delivery alone, and the tables written while the coordinator ran. They share no code. Must
//! not repair anything, nor know which store it reads.

mod ledger;
mod projections;

#[cfg(test)]
mod tests;

use cambrian_core::engine::{Engine, EngineSettings};
use cambrian_core::id::CampaignId;
use cambrian_core::time::{Span, Timestamp};

use crate::store::{READ_BATCH, Store, StoreError, Tables};
use ledger::Ledger;

/// More problems than this are counted, not listed.
pub const MAX_PROBLEMS: usize = 100;
/// How often the whole state is checked on the way.
const INTERIM_CHECKS: u64 = 8;

/// What was verified, and what is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How many records the journal has.
    pub records: u64,
    /// How many rows of projections were compared.
    pub rows: u64,
    /// How many attempts were leased.
    pub leases: u64,
    /// How many evaluations were completed, each counted once.
    pub completed: u64,
    /// How many attempts failed or lost their lease.
    pub lost_attempts: u64,
    /// The ledger of each campaign.
    pub campaigns: Vec<CampaignLedger>,
    /// A hash over everything durable.
    pub digest: blake3::Hash,
    /// The first [`MAX_PROBLEMS`] problems; none if all is well.
    pub problems: Vec<String>,
    /// How many more there are.
    pub further_problems: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The account of one campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CampaignLedger {
    /// The campaign.
    pub id: CampaignId,
    /// The budget of evaluations.
    pub budget: u32,
    /// Evaluations charged to it.
    pub started: u32,
    /// Candidates proposed.
    pub proposed: u32,
    /// Candidates with a score.
    pub scored: u32,
    /// Candidates rejected by constraints.
    pub infeasible: u32,
    /// Candidates that failed for good.
    pub failed: u32,
    /// Candidates that an early stage found not worth the later ones.
    pub screened: u32,
    /// Candidates that are under way.
    pub pending: u32,
}

/// Problems found so far.
#[derive(Debug, Default)]
struct Problems {
    listed: Vec<String>,
    further: u64,
}

impl Problems {
    fn add(&mut self, problem: String) {
        if self.listed.len() < MAX_PROBLEMS {
            self.listed.push(problem);
        } else {
            self.further += 1;
        }
    }

    fn require(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.add(problem());
        }
    }
}

/// Verifies a store: its journal, the ledger, the state and every row of the projections. Reads
/// one snapshot, also while a coordinator writes.
///
/// # Errors
/// [`StoreError`] if the database cannot be read. Damage to the journal is a problem in the
/// report, not an error.
pub fn verify<S: Tables>(store: &S) -> Result<Report, StoreError> {
    store.on_snapshot(|store| {
        let mut pass = Pass::new();
        let whole = pass.walk(store)?;
        let mut rows = 0;
        if whole {
            let tables =
                projections::Comparison { store, state: pass.engine.state(), ledger: &pass.ledger };
            rows = tables.compare(&mut pass.problems)?;
        }
        Ok(pass.report(rows))
    })
}

/// Verifies a journal without projections.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn verify_journal(store: &dyn Store) -> Result<Report, StoreError> {
    let mut pass = Pass::new();
    pass.walk(store)?;
    Ok(pass.report(0))
}

/// One walk through a journal.
struct Pass {
    engine: Engine,
    ledger: Ledger,
    problems: Problems,
    records: u64,
}

impl Pass {
    fn new() -> Self {
        Self {
            engine: Engine::new(EngineSettings { lease_length: Span(0) }),
            ledger: Ledger::default(),
            problems: Problems::default(),
            records: 0,
        }
    }

    /// Keeps both accounts of every record; `false` if the journal breaks off.
    fn walk(&mut self, store: &dyn Store) -> Result<bool, StoreError> {
        let interval = (store.sequence() / INTERIM_CHECKS).max(1);
        let (mut latest, mut checked) = (Timestamp(0), 0);
        loop {
            let batch = match store.read_from(self.records, READ_BATCH) {
                Ok(batch) => batch,
                Err(
                    error @ (StoreError::Gap { .. }
                    | StoreError::Damaged { .. }
                    | StoreError::Later { .. }
                    | StoreError::Unreadable { .. }),
                ) => {
                    self.problems.add(format!("{error}; what follows it was not verified"));
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            if batch.is_empty() {
                break;
            }
            for stored in batch {
                // All events of a step carry one instant, so a new instant begins a new step; in
                // the middle of a step the state may be incomplete.
                if stored.at != latest && self.records >= checked + interval {
                    checked = self.records;
                    self.check_state();
                }
                self.problems.require(stored.at >= latest, || {
                    format!("record {}: the time runs backwards", stored.sequence)
                });
                latest = stored.at;
                self.ledger.record(stored.sequence, &stored.event, &mut self.problems);
                self.engine.apply(&stored.event, stored.at);
                self.records = stored.sequence;
            }
        }
        self.check_state();
        self.ledger.close(self.engine.state(), &mut self.problems);
        Ok(true)
    }

    fn check_state(&mut self) {
        if let Err(found) = self.engine.state().check() {
            for inconsistency in found {
                self.problems.add(format!("after record {}: {inconsistency}", self.records));
            }
        }
    }

    fn report(self, rows: u64) -> Report {
        let Self { engine, ledger, problems, records } = self;
        Report {
            records,
            rows,
            leases: ledger.leases,
            completed: ledger.completed,
            lost_attempts: ledger.lost_attempts,
            campaigns: ledger.campaigns(),
            digest: engine.state().digest(),
            problems: problems.listed,
            further_problems: problems.further,
        }
    }
}
