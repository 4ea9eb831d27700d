//! The database's version, and the steps that bring an older one up to date.
//!
//! Steps are only ever added; a step that was released is never changed, which its checksum shows.
//!
//! Must not know what the tables are for.

use tokio_postgres::Client;

use crate::store::StoreError;
use crate::store::place::Place;

/// One step per version: step 1 makes an empty schema version 1.
const STEPS: [&str; 3] =
    [include_str!("schema.sql"), include_str!("cache.sql"), include_str!("holders.sql")];

/// The version that this release writes.
pub const SCHEMA_VERSION: i64 = STEPS.len() as i64;

/// "CMBR": of two coordinators that start at once, one prepares the schema and the other waits.
const LOCK: i64 = 0x434d_4252;

const REGISTER: &str = "\
    CREATE TABLE cambrian.migrations ( \
        version BIGINT PRIMARY KEY, checksum TEXT NOT NULL, \
        applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp())";

/// What a step's text hashes to.
fn checksum(step: &str) -> String {
    blake3::hash(step.as_bytes()).to_hex()[..32].to_owned()
}

/// The version of a schema that is ours; 0 if there is none, or an empty one.
///
/// # Errors
/// [`StoreError::Foreign`] for anything else, [`StoreError::Newer`] for a later release's,
/// [`StoreError::Altered`] for one whose steps differ.
pub(super) async fn version(client: &Client, place: &Place) -> Result<i64, StoreError> {
    let row = client
        .query_one(
            "SELECT to_regclass('cambrian.migrations') IS NOT NULL, \
             (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('cambrian'))",
            &[],
        )
        .await?;
    let (ours, relations): (bool, i64) = (row.try_get(0)?, row.try_get(1)?);
    match (ours, relations) {
        (false, 0) => return Ok(0),
        (false, _) => return Err(StoreError::Foreign(place.clone())),
        (true, _) => {}
    }
    let applied =
        client.query("SELECT version, checksum FROM cambrian.migrations ORDER BY 1", &[]).await?;
    let found = applied.len() as i64;
    if found > SCHEMA_VERSION {
        let (place, supported) = (place.clone(), SCHEMA_VERSION);
        return Err(StoreError::Newer { place, found, supported });
    }
    for ((row, step), expected) in applied.iter().zip(STEPS).zip(1i64..) {
        let (version, found): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        if version != expected || found != checksum(step) {
            return Err(StoreError::Altered { place: place.clone(), step: expected });
        }
    }
    Ok(found)
}

/// Brings the schema to [`SCHEMA_VERSION`], all steps or none.
pub(super) async fn migrate(client: &Client, place: &Place) -> Result<(), StoreError> {
    if version(client, place).await? == SCHEMA_VERSION {
        return Ok(());
    }
    client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})")).await?;
    match steps(client, place).await {
        Ok(()) => Ok(client.batch_execute("COMMIT").await?),
        Err(error) => {
            // The first error says more than one of the way back.
            let _ = client.batch_execute("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn steps(client: &Client, place: &Place) -> Result<(), StoreError> {
    // Another coordinator may have been at it while this one waited for the lock.
    let from = version(client, place).await?;
    if from == 0 {
        let absent = "SELECT to_regnamespace('cambrian') IS NULL";
        if client.query_one(absent, &[]).await?.try_get(0)? {
            client.batch_execute("CREATE SCHEMA cambrian").await?;
        }
        client.batch_execute(REGISTER).await?;
    }
    for (step, version) in STEPS.iter().zip(1i64..).skip(usize::try_from(from).unwrap_or(0)) {
        client.batch_execute(step).await?;
        let insert = "INSERT INTO cambrian.migrations (version, checksum) VALUES ($1, $2)";
        client.execute(insert, &[&version, &checksum(step)]).await?;
    }
    Ok(())
}
