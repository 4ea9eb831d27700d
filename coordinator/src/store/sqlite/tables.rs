//! The statements of one append, each prepared at most once for it. Must not know what they mean.

use rusqlite::{CachedStatement, Connection, Params};

use crate::store::StoreError;

/// Executes statements in a transaction. Looking one up in the connection's cache costs as much as
/// executing a small one, so they stay at hand until the end of the append.
pub(super) struct OpenTables<'c> {
    connection: &'c Connection,
    open: Vec<(&'static str, CachedStatement<'c>)>,
}

impl<'c> OpenTables<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, open: Vec::new() }
    }

    /// The statement, prepared.
    ///
    /// # Errors
    /// If the database refuses it.
    pub(super) fn statement(
        &mut self,
        sql: &'static str,
    ) -> Result<&mut CachedStatement<'c>, StoreError> {
        // Every caller passes a constant, whose place tells it apart.
        let at = match self.open.iter().position(|(known, _)| std::ptr::eq(*known, sql)) {
            Some(at) => at,
            None => {
                self.open.push((sql, self.connection.prepare_cached(sql)?));
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[at].1)
    }

    /// Executes the statement.
    ///
    /// # Errors
    /// If the database refuses it.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        values: impl Params,
    ) -> Result<(), StoreError> {
        self.statement(sql)?.execute(values)?;
        Ok(())
    }
}
