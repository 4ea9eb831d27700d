//! The database's identity, its version, and the steps that bring an older one up to date.
//!
//! Steps are only ever added; a step that was released is never changed.
//!
//! Must not know what the tables are for.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// "CMBR": marks the file as ours.
pub(super) const APPLICATION_ID: i64 = 0x434d_4252;

/// One step per version: step 1 makes an empty database version 1.
const STEPS: [&str; 4] = [
    include_str!("schema.sql"),
    include_str!("access.sql"),
    include_str!("cache.sql"),
    include_str!("holders.sql"),
];

/// The version that this release writes.
pub const SCHEMA_VERSION: i64 = STEPS.len() as i64;

fn number(connection: &Connection, pragma: &str) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

/// The version of a database that is ours or empty; 0 for an empty one.
///
/// # Errors
/// [`StoreError::Foreign`] for anything else, [`StoreError::Newer`] for a later release's.
pub(in crate::store) fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let foreign = || StoreError::Foreign(path.into());
    let application =
        number(connection, "application_id").map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => foreign(),
            _ => error.into(),
        })?;
    let version = number(connection, "user_version")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, found, _) if found > SCHEMA_VERSION => {
            Err(StoreError::Newer { place: path.into(), found, supported: SCHEMA_VERSION })
        }
        (APPLICATION_ID, found, _) if found >= 1 => Ok(found),
        _ => Err(foreign()),
    }
}

/// Brings the database to [`SCHEMA_VERSION`], each step in a transaction of its own.
pub(in crate::store) fn migrate(connection: &mut Connection, from: i64) -> Result<(), StoreError> {
    for (step, version) in STEPS.iter().zip(1i64..).skip(usize::try_from(from).unwrap_or(0)) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_version_1_gets_the_later_tables_and_keeps_its_rows() {
        let place = Path::new("cambrian.db");
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let insert = "INSERT INTO campaigns (id, name, status, space, algorithm, \
            evaluations_budget, submitted_at, resolved_yaml, source_yaml) \
            VALUES (7, 'old', 'running', 's', 'a', 1, 1, '', '')";
        connection.execute(insert, []).unwrap();
        let found = version(&connection, place).unwrap();
        assert_eq!(found, 1);
        migrate(&mut connection, found).unwrap();
        assert_eq!(version(&connection, place).unwrap(), SCHEMA_VERSION);
        let row = connection.query_row("SELECT id, owner FROM campaigns", [], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?))
        });
        assert_eq!(row.unwrap(), (7, String::new()), "it belongs to nobody");
        let tokens: u32 =
            connection.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0)).unwrap();
        assert_eq!(tokens, 0);
    }
}
