//! The projections read back, row by row in the order of their keys, for comparison.

use std::fmt::Debug;

use rusqlite::Row as SqlRow;

use super::SqliteStore;
use crate::store::StoreError;

/// A row of a projection.
pub trait Row: Sized + PartialEq + Debug {
    /// The table's name.
    const TABLE: &'static str;
    /// Reads all rows in the order of their keys.
    const SELECT: &'static str;
    /// What identifies a row; rows come in its order.
    type Key: Ord + Debug;

    /// The row's key.
    fn key(&self) -> Self::Key;

    /// Reads a row of [`Self::SELECT`].
    ///
    /// # Errors
    /// Those of the database, such as a value of the wrong type.
    fn read(row: &SqlRow<'_>) -> Result<Self, rusqlite::Error>;
}

/// A row of `campaigns`.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignRow {
    /// The campaign's number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// `running`, `paused`, `draining` or `finished`.
    pub status: String,
    /// Why it drains or ended.
    pub reason: String,
    /// The space's name.
    pub space: String,
    /// The algorithm's name.
    pub algorithm: String,
    /// The budget of evaluations.
    pub evaluations_budget: u32,
    /// Microseconds since 1970.
    pub submitted_at: u64,
    /// Microseconds since 1970, absent while it is not finished.
    pub finished_at: Option<u64>,
    /// With every default written out.
    pub resolved_yaml: String,
    /// As the user wrote it.
    pub source_yaml: String,
    /// Who submitted it; empty where that was not known.
    pub owner: String,
}

impl Row for CampaignRow {
    const TABLE: &'static str = "campaigns";
    const SELECT: &'static str = "SELECT id, name, status, reason, space, algorithm, \
        evaluations_budget, submitted_at, finished_at, resolved_yaml, source_yaml, owner \
        FROM campaigns ORDER BY id";
    type Key = u32;

    fn key(&self) -> u32 {
        self.id
    }

    fn read(row: &SqlRow<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            status: row.get(2)?,
            reason: row.get(3)?,
            space: row.get(4)?,
            algorithm: row.get(5)?,
            evaluations_budget: row.get(6)?,
            submitted_at: row.get(7)?,
            finished_at: row.get(8)?,
            resolved_yaml: row.get(9)?,
            source_yaml: row.get(10)?,
            owner: row.get(11)?,
        })
    }
}

/// A row of `candidates`.
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateRow {
    /// The campaign.
    pub campaign: u32,
    /// The candidate's position in it, from 1.
    pub ordinal: u32,
    /// `pending`, `scored`, `screened`, `infeasible` or `failed`.
    pub status: String,
    /// In its space's notation.
    pub genotype: String,
    /// 32 hexadecimal digits.
    pub canonical_hash: String,
    /// How it came about.
    pub origin: String,
    /// Summed normalised constraint violation, if it is scored.
    pub violation: Option<f64>,
    /// Why it failed, is infeasible or was screened.
    pub reason: String,
    /// Microseconds since 1970.
    pub proposed_at: u64,
    /// Microseconds since 1970, absent while it is pending.
    pub resolved_at: Option<u64>,
}

impl Row for CandidateRow {
    const TABLE: &'static str = "candidates";
    const SELECT: &'static str = "SELECT campaign, ordinal, status, genotype, canonical_hash, \
        origin, violation, reason, proposed_at, resolved_at FROM candidates \
        ORDER BY campaign, ordinal";
    type Key = (u32, u32);

    fn key(&self) -> (u32, u32) {
        (self.campaign, self.ordinal)
    }

    fn read(row: &SqlRow<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            campaign: row.get(0)?,
            ordinal: row.get(1)?,
            status: row.get(2)?,
            genotype: row.get(3)?,
            canonical_hash: row.get(4)?,
            origin: row.get(5)?,
            violation: row.get(6)?,
            reason: row.get(7)?,
            proposed_at: row.get(8)?,
            resolved_at: row.get(9)?,
        })
    }
}

/// A row of `measurements`.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasurementRow {
    /// The campaign.
    pub campaign: u32,
    /// The candidate's position in it.
    pub ordinal: u32,
    /// The metric.
    pub metric: String,
    /// The value in the metric's unit.
    pub value: f64,
    /// The spread of repeated samples.
    pub spread: Option<f64>,
    /// How it was obtained.
    pub source: String,
    /// The class of device it holds for.
    pub device_class: String,
}

impl Row for MeasurementRow {
    const TABLE: &'static str = "measurements";
    const SELECT: &'static str = "SELECT campaign, ordinal, metric, value, spread, source, \
        device_class FROM measurements ORDER BY campaign, ordinal, metric";
    type Key = (u32, u32, String);

    fn key(&self) -> (u32, u32, String) {
        (self.campaign, self.ordinal, self.metric.clone())
    }

    fn read(row: &SqlRow<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            campaign: row.get(0)?,
            ordinal: row.get(1)?,
            metric: row.get(2)?,
            value: row.get(3)?,
            spread: row.get(4)?,
            source: row.get(5)?,
            device_class: row.get(6)?,
        })
    }
}

/// A row of `tasks`.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// The task's number.
    pub id: u64,
    /// The campaign.
    pub campaign: u32,
    /// The candidate's position in it.
    pub ordinal: u32,
    /// The stage's position, from 0.
    pub stage: u8,
    /// `queued`, `leased`, `done` or `failed`.
    pub status: String,
    /// The number of the latest attempt.
    pub attempts: u32,
    /// The worker of the latest attempt.
    pub worker: Option<u32>,
    /// Slot time of all reported attempts, microseconds.
    pub elapsed_micros: u64,
}

impl Row for TaskRow {
    const TABLE: &'static str = "tasks";
    const SELECT: &'static str = "SELECT id, campaign, ordinal, stage, status, attempts, worker, \
        elapsed_micros FROM tasks ORDER BY id";
    type Key = u64;

    fn key(&self) -> u64 {
        self.id
    }

    fn read(row: &SqlRow<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            id: row.get(0)?,
            campaign: row.get(1)?,
            ordinal: row.get(2)?,
            stage: row.get(3)?,
            status: row.get(4)?,
            attempts: row.get(5)?,
            worker: row.get(6)?,
            elapsed_micros: row.get(7)?,
        })
    }
}

/// A row of `workers`.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRow {
    /// The worker's number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Whether its latest connection is open.
    pub connected: bool,
    /// Its class of device.
    pub device_class: String,
    /// How many evaluations it runs at once.
    pub slots: u32,
    /// How many of its attempts delivered a result.
    pub completed: u64,
    /// How many of its attempts failed.
    pub failed: u64,
    /// When it registered last, microseconds since 1970.
    pub registered_at: u64,
}

impl Row for WorkerRow {
    const TABLE: &'static str = "workers";
    const SELECT: &'static str = "SELECT id, name, connected, device_class, slots, completed, \
        failed, registered_at FROM workers ORDER BY id";
    type Key = u32;

    fn key(&self) -> u32 {
        self.id
    }

    fn read(row: &SqlRow<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            connected: row.get(2)?,
            device_class: row.get(3)?,
            slots: row.get(4)?,
            completed: row.get(5)?,
            failed: row.get(6)?,
            registered_at: row.get(7)?,
        })
    }
}

impl SqliteStore {
    /// Visits every row of a projection in the order of its keys.
    ///
    /// # Errors
    /// Failures of the database.
    pub fn visit_rows<R: Row>(&self, mut visit: impl FnMut(R)) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(R::SELECT)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(R::read(row)?);
        }
        Ok(())
    }
}
