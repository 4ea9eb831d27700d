//! From a journal to the engine that has lived through it.

use cambrian_core::engine::{Engine, EngineSettings};

use crate::store::{READ_BATCH, Store, StoreError};

/// An engine that follows a journal which somebody else may write.
#[derive(Debug)]
pub struct Follower {
    pub(super) engine: Engine,
    sequence: u64,
}

impl Follower {
    /// An engine at the beginning of every journal.
    #[must_use]
    pub fn new(settings: EngineSettings) -> Self {
        Self { engine: Engine::new(settings), sequence: 0 }
    }

    /// The last record that it has applied; 0 if none.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Applies what the journal holds beyond that.
    ///
    /// # Errors
    /// [`StoreError`] if a record is missing, damaged or cannot be understood.
    pub fn catch_up(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        loop {
            let batch = store.read_from(self.sequence, READ_BATCH)?;
            if batch.is_empty() {
                return Ok(());
            }
            for stored in &batch {
                self.engine.apply(&stored.event, stored.at);
                self.sequence = stored.sequence;
            }
        }
    }
}

/// The engine in the state that the whole journal leads to.
///
/// # Errors
/// [`StoreError`] if a record is missing, damaged or cannot be understood.
pub fn rebuild(store: &dyn Store, settings: EngineSettings) -> Result<Engine, StoreError> {
    let mut follower = Follower::new(settings);
    follower.catch_up(store)?;
    Ok(follower.engine)
}
