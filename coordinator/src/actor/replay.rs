//! From a journal to the engine that has lived through it.

use cambrian_core::engine::{Engine, EngineSettings};

use crate::store::{Store, StoreError, for_each};

/// The engine in the state that the whole journal leads to.
///
/// # Errors
/// [`StoreError`] if a record is missing, damaged or cannot be understood.
pub fn rebuild(store: &dyn Store, settings: EngineSettings) -> Result<Engine, StoreError> {
    let mut engine = Engine::new(settings);
    for_each(store, |stored| engine.apply(&stored.event, stored.at))?;
    Ok(engine)
}
