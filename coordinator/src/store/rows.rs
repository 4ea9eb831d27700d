//! The projections read back, row by row in the order of their keys, for comparison. What a row
//! consists of is the same in every database; how a column is read is not.
//!
//! Must not know any database, nor what a row should hold: `verify` does.

use std::fmt::Debug;

use cambrian_core::spec::CampaignSpec;

use super::StoreError;

/// The columns of a row that a database has returned, by position.
pub trait Columns {
    /// An integer, absent where the column is null.
    ///
    /// # Errors
    /// [`StoreError`] for a value of another type.
    fn integer(&self, column: usize) -> Result<Option<i64>, StoreError>;

    /// A floating-point number, absent where the column is null.
    ///
    /// # Errors
    /// [`StoreError`] for a value of another type.
    fn real(&self, column: usize) -> Result<Option<f64>, StoreError>;

    /// A text, absent where the column is null.
    ///
    /// # Errors
    /// [`StoreError`] for a value of another type.
    fn text(&self, column: usize) -> Result<Option<String>, StoreError>;
}

/// A value that a column can hold.
trait Value: Sized {
    fn read(row: &impl Columns, column: usize) -> Result<Option<Self>, StoreError>;
}

impl Value for f64 {
    fn read(row: &impl Columns, column: usize) -> Result<Option<Self>, StoreError> {
        row.real(column)
    }
}

impl Value for String {
    fn read(row: &impl Columns, column: usize) -> Result<Option<Self>, StoreError> {
        row.text(column)
    }
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Value for $kind {
            fn read(row: &impl Columns, column: usize) -> Result<Option<Self>, StoreError> {
                let found = row.integer(column)?;
                let out_of_range = |value| move |_| {
                    let kind = stringify!($kind);
                    StoreError::Column { column, problem: format!("{value} is no {kind}") }
                };
                found.map(|value| Self::try_from(value).map_err(out_of_range(value))).transpose()
            }
        }
    )*};
}

integers!(u8, u32, u64);

impl Value for bool {
    fn read(row: &impl Columns, column: usize) -> Result<Option<Self>, StoreError> {
        Ok(row.integer(column)?.map(|value| value != 0))
    }
}

fn optional<V: Value>(row: &impl Columns, column: usize) -> Result<Option<V>, StoreError> {
    V::read(row, column)
}

fn value<V: Value>(row: &impl Columns, column: usize) -> Result<V, StoreError> {
    let absent = || StoreError::Column { column, problem: "it is null".into() };
    V::read(row, column)?.ok_or_else(absent)
}

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
    /// [`StoreError`] for a value of the wrong type.
    fn read(row: &impl Columns) -> Result<Self, StoreError>;

    /// The row as this release would have written it, where an earlier one wrote the same in other
    /// words.
    fn in_present_words(self) -> Self {
        self
    }
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

    /// Later releases know more settings, and write their defaults down.
    fn in_present_words(self) -> Self {
        match CampaignSpec::parse_resolved(&self.resolved_yaml) {
            Ok(spec) => Self { resolved_yaml: spec.to_yaml(), ..self },
            Err(_) => self,
        }
    }

    fn read(row: &impl Columns) -> Result<Self, StoreError> {
        Ok(Self {
            id: value(row, 0)?,
            name: value(row, 1)?,
            status: value(row, 2)?,
            reason: value(row, 3)?,
            space: value(row, 4)?,
            algorithm: value(row, 5)?,
            evaluations_budget: value(row, 6)?,
            submitted_at: value(row, 7)?,
            finished_at: optional(row, 8)?,
            resolved_yaml: value(row, 9)?,
            source_yaml: value(row, 10)?,
            owner: value(row, 11)?,
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

    fn read(row: &impl Columns) -> Result<Self, StoreError> {
        Ok(Self {
            campaign: value(row, 0)?,
            ordinal: value(row, 1)?,
            status: value(row, 2)?,
            genotype: value(row, 3)?,
            canonical_hash: value(row, 4)?,
            origin: value(row, 5)?,
            violation: optional(row, 6)?,
            reason: value(row, 7)?,
            proposed_at: value(row, 8)?,
            resolved_at: optional(row, 9)?,
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

    fn read(row: &impl Columns) -> Result<Self, StoreError> {
        Ok(Self {
            campaign: value(row, 0)?,
            ordinal: value(row, 1)?,
            metric: value(row, 2)?,
            value: value(row, 3)?,
            spread: optional(row, 4)?,
            source: value(row, 5)?,
            device_class: value(row, 6)?,
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
    /// The key under which its result is kept for other campaigns, 32 hexadecimal digits.
    pub result_key: Option<String>,
    /// The campaign of the candidate whose result it took.
    pub cached_campaign: Option<u32>,
    /// That candidate's position in it.
    pub cached_ordinal: Option<u32>,
}

impl Row for TaskRow {
    const TABLE: &'static str = "tasks";
    const SELECT: &'static str = "SELECT id, campaign, ordinal, stage, status, attempts, worker, \
        elapsed_micros, result_key, cached_campaign, cached_ordinal FROM tasks ORDER BY id";
    type Key = u64;

    fn key(&self) -> u64 {
        self.id
    }

    fn read(row: &impl Columns) -> Result<Self, StoreError> {
        Ok(Self {
            id: value(row, 0)?,
            campaign: value(row, 1)?,
            ordinal: value(row, 2)?,
            stage: value(row, 3)?,
            status: value(row, 4)?,
            attempts: value(row, 5)?,
            worker: optional(row, 6)?,
            elapsed_micros: value(row, 7)?,
            result_key: optional(row, 8)?,
            cached_campaign: optional(row, 9)?,
            cached_ordinal: optional(row, 10)?,
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

    fn read(row: &impl Columns) -> Result<Self, StoreError> {
        Ok(Self {
            id: value(row, 0)?,
            name: value(row, 1)?,
            connected: value(row, 2)?,
            device_class: value(row, 3)?,
            slots: value(row, 4)?,
            completed: value(row, 5)?,
            failed: value(row, 6)?,
            registered_at: value(row, 7)?,
        })
    }
}
