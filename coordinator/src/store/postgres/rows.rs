//! The projections read back, in portions, so that a large table needs no memory.
//!
//! Must not know which tables there are, nor what should be in them.

use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::Type;

use super::{PostgresStore, kept};
use crate::store::rows::{Columns, Row};
use crate::store::{StoreError, Tables};

const FETCH: &str = "FETCH FORWARD 4096 FROM portion";

impl PostgresStore {
    fn execute(&self, sql: String) -> Result<(), StoreError> {
        self.call(move |connected| {
            Box::pin(async move { Ok(connected.client.batch_execute(&sql).await?) })
        })
    }
}

impl Tables for PostgresStore {
    fn on_snapshot<R, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&Self) -> Result<R, E>,
    ) -> Result<R, E> {
        // Between two requests of a long reading, the snapshot may be idle for a while.
        self.execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
             SET LOCAL idle_in_transaction_session_timeout = 0"
                .into(),
        )?;
        self.in_snapshot.set(true);
        let result = read(self);
        self.in_snapshot.set(false);
        let ended = self.execute("ROLLBACK".into());
        let result = result?;
        ended?;
        Ok(result)
    }

    fn visit_rows<R: Row>(&self, mut visit: impl FnMut(R)) -> Result<(), StoreError> {
        if !self.in_snapshot.get() {
            return self.on_snapshot(|store| store.visit_rows(visit));
        }
        self.execute(format!("DECLARE portion NO SCROLL CURSOR FOR {}", R::SELECT))?;
        loop {
            let rows = self.call(|connected| {
                Box::pin(async move { Ok(connected.client.query(FETCH, &[]).await?) })
            })?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                visit(R::read(row)?);
            }
        }
        self.execute("CLOSE portion".into())
    }

    fn kept(text: String) -> String {
        kept(text)
    }
}

impl Columns for SqlRow {
    fn integer(&self, column: usize) -> Result<Option<i64>, StoreError> {
        if self.columns().get(column).is_some_and(|found| *found.type_() == Type::BOOL) {
            return Ok(self.try_get::<_, Option<bool>>(column)?.map(i64::from));
        }
        Ok(self.try_get(column)?)
    }

    fn real(&self, column: usize) -> Result<Option<f64>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: usize) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }
}
