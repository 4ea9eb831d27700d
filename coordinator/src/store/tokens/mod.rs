//! The tokens that a coordinator knows, and whose the names of workers are: two tables beside the
//! journal, on connections of their own.
//!
//! They are no part of the journal: a replay needs to know what was decided, not who was let in.
//! Must not know what a role allows.

mod claims;
mod sqlite;

#[cfg(test)]
pub(super) mod tests;

use std::path::Path;
use std::sync::Arc;

use cambrian_core::time::{Span, Timestamp};
use cambrian_proto::convert::MAX_NAME_BYTES;
use cambrian_transport::token::{Token, TokenHash, TokenId};
use thiserror::Error;

use crate::access::Role;
use crate::store::StoreError;
use crate::store::sqlite::turns::Turns;
use sqlite::SqliteTokens;

/// Why the tokens cannot be read or changed.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The database refused.
    #[error("the tokens cannot be read or written: {0}")]
    Store(#[from] StoreError),
    /// The database refused the transaction that several claims shared.
    #[error("the tokens cannot be read or written: {0}")]
    Shared(#[source] Arc<StoreError>),
    /// The system has no randomness.
    #[error("the system has no random numbers for a token: {0}")]
    Random(String),
    /// The holder's name cannot be one.
    #[error("`{0}` is no name: write 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_`, `.` or `@`")]
    Name(String),
    /// There is no such token.
    #[error("there is no token {0}")]
    Unknown(TokenId),
}

impl From<rusqlite::Error> for TokenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What is known of a token; never the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its public part.
    pub id: TokenId,
    /// What it is for.
    pub role: Role,
    /// Whose it is; campaigns and workers belong to this name, so a second token of the same name
    /// takes over from the first.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// The outcome of a claim on a worker's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The name is the claimant's.
    Held,
    /// The name belongs to this holder.
    Elses(String),
    /// The claimant has as many names as it may have.
    Full,
}

/// The two tables in one kind of database.
pub(crate) trait Tokens: Send + Sync {
    /// Adds a token; `false` if its public part is taken.
    fn insert(&self, record: &TokenRecord, hash: &TokenHash) -> Result<bool, TokenError>;
    /// Every token, in order of creation.
    fn list(&self) -> Result<Vec<TokenRecord>, TokenError>;
    /// A token with its hash. Called for every call of every client, so it must not wait long.
    fn find(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenHash)>, TokenError>;
    /// Marks a token as revoked unless it is already, and returns it.
    fn revoke(&self, id: TokenId, now: Timestamp) -> Result<Option<TokenRecord>, TokenError>;
    /// As [`Register::claim_worker`].
    fn claim_worker(
        &self,
        worker: &str,
        holder: &str,
        most: u32,
        now: Timestamp,
    ) -> Result<Claim, TokenError>;
}

/// The tables; copies share them.
#[derive(Clone)]
pub struct Register(Arc<dyn Tokens>);

impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Register")
    }
}

impl Register {
    /// The tables in the file of SQLite at `path`, which has to exist and be of this version.
    ///
    /// # Errors
    /// [`StoreError`] if it does not, or is not.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_in_turns(path, Arc::default())
    }

    /// The same beside another writer of this process.
    pub(in crate::store) fn open_in_turns(
        path: &Path,
        turns: Arc<Turns>,
    ) -> Result<Self, StoreError> {
        Ok(Self::on(SqliteTokens::open(path, turns)?))
    }

    /// Empty tables that end with the process.
    ///
    /// # Errors
    /// [`StoreError`] if the database has no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        Ok(Self::on(SqliteTokens::in_memory()?))
    }

    /// The tables of a database.
    pub(crate) fn on(tokens: impl Tokens + 'static) -> Self {
        Self(Arc::new(tokens))
    }

    /// Makes a token for `name`; without `valid` it holds until it is revoked. What is returned is
    /// the only copy.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn create(
        &self,
        role: Role,
        name: &str,
        valid: Option<Span>,
        now: Timestamp,
    ) -> Result<(Token, TokenRecord), TokenError> {
        if !is_name(name) {
            return Err(TokenError::Name(name.chars().take(80).collect()));
        }
        loop {
            let token = Token::generate().map_err(|error| TokenError::Random(error.to_string()))?;
            let record = TokenRecord {
                id: token.id(),
                role,
                name: name.to_owned(),
                created_at: now,
                expires_at: valid.map(|valid| now + valid),
                revoked_at: None,
            };
            // Public parts are drawn at random; a taken one is drawn again.
            if self.0.insert(&record, &token.hash())? {
                return Ok((token, record));
            }
        }
    }

    /// Every token, in order of creation.
    ///
    /// # Errors
    /// [`TokenError::Store`].
    pub fn list(&self) -> Result<Vec<TokenRecord>, TokenError> {
        self.0.list()
    }

    /// A token with its hash.
    ///
    /// # Errors
    /// [`TokenError::Store`].
    pub fn find(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenHash)>, TokenError> {
        self.0.find(id)
    }

    /// Refuses a token from now on. One that is revoked stays as it is.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn revoke(&self, id: TokenId, now: Timestamp) -> Result<TokenRecord, TokenError> {
        self.0.revoke(id, now)?.ok_or(TokenError::Unknown(id))
    }

    /// Gives a worker's name to `holder`, unless it belongs to somebody else who has a token of a
    /// worker (or an administrator) that is good now, or `holder` has `most` names already. Claims at
    /// the same moment may exceed that by a few.
    ///
    /// # Errors
    /// [`TokenError::Store`].
    pub fn claim_worker(
        &self,
        worker: &str,
        holder: &str,
        most: u32,
        now: Timestamp,
    ) -> Result<Claim, TokenError> {
        self.0.claim_worker(worker, holder, most, now)
    }
}

/// Whether a token can have this name.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.chars().all(allowed)
}
