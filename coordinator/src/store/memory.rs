//! A journal in memory, for tests and simulations. It keeps bytes, like the one on disk, so that
//! nothing survives in it that would not survive there; it has no projections.

use std::sync::{Arc, Mutex, PoisonError};

use cambrian_core::engine::Event;
use cambrian_core::time::Timestamp;

use super::record::{Record, decode, encode};
use super::{Store, StoreError, Stored};

/// A journal that lives as long as any copy of it: a clone is the same journal opened again.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    records: Arc<Mutex<Vec<Record>>>,
}

impl MemoryStore {
    fn records(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn sequence(&self) -> u64 {
        self.records().len() as u64
    }

    fn append(&mut self, expected: u64, batch: &[(Timestamp, Event)]) -> Result<u64, StoreError> {
        let mut records = self.records();
        let found = records.len() as u64;
        if found != expected {
            return Err(StoreError::Conflict { expected, found });
        }
        let encoded: Result<Vec<Record>, StoreError> = batch
            .iter()
            .zip(expected + 1..)
            .map(|((at, event), sequence)| encode(sequence, *at, event))
            .collect();
        records.extend(encoded?);
        Ok(records.len() as u64)
    }

    fn read_from(&self, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let records = self.records();
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        let wanted = records.iter().zip(1..).skip(skip).take(limit);
        wanted.map(|(record, sequence)| decode(sequence, &record.bytes, record.checksum)).collect()
    }
}
