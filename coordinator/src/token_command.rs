//! `cambrian-coordinator token`: tokens in the store itself, for whoever may write it.
//!
//! Must not know how tokens are made or kept: the library does.

use cambrian_coordinator::access::Role;
use cambrian_coordinator::clock::{Clock, SystemClock};
use cambrian_coordinator::store::StoreError;
use cambrian_coordinator::store::place::Place;
use cambrian_coordinator::store::postgres::PostgresStore;
use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::tokens::{Register, TokenError, TokenRecord};
use cambrian_core::time::{Span, Timestamp};
use cambrian_transport::token::{TokenId, Validity};
use clap::Subcommand;
use thiserror::Error;

use crate::start_error::of_store;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once: the store keeps only a hash of it.
    Create {
        /// What it is for: `worker`, `view`, `submit` or `admin`.
        #[arg(long)]
        role: Role,
        /// Whose it is: campaigns and workers belong to this name.
        #[arg(long)]
        name: String,
        /// How long it holds: `30d`, `12h`, `45m` or `never`.
        #[arg(long, value_name = "TIME", default_value = "90d")]
        expires: Validity,
    },
    /// List all tokens, one a line: public part, role, name, status.
    List,
    /// Refuse a token from now on.
    Revoke {
        /// The eight digits that follow `cmb_` in the token.
        id: TokenId,
    },
}

/// Why the tokens of a store cannot be read or changed.
#[derive(Debug, Error)]
pub(crate) enum TokenCommandError {
    /// There is nothing to read or change.
    #[error(
        "there is no store {0}: --database, or `database` in the file of --config, names that of the \
         coordinator; `token create` makes a new one"
    )]
    NoStore(Place),
    /// The store cannot be used.
    #[error("{}", of_store(.source, .place))]
    Store { place: Place, source: StoreError },
    /// The tokens in it cannot.
    #[error("{}", token_words(.source, .place))]
    Token { place: Place, source: TokenError },
}

fn token_words(error: &TokenError, place: &Place) -> String {
    match error {
        TokenError::Store(_) | TokenError::Shared(_) => of_store(error, place),
        TokenError::Random(_) | TokenError::Name(_) | TokenError::Unknown(_) => error.to_string(),
    }
}

pub(crate) fn run(database: &Place, command: &TokenCommand) -> Result<(), TokenCommandError> {
    let failed = |source| TokenCommandError::Token { place: database.clone(), source };
    let now = SystemClock::new().date();
    match command {
        TokenCommand::Create { role, name, expires } => {
            let register = match existing(database)? {
                Some(register) => register,
                None => {
                    let register = new(database)?;
                    eprintln!("cambrian-coordinator: made a new store at {}", whole(database));
                    register
                }
            };
            let made = register.create(*role, name, expires.micros.map(Span), now);
            let (token, _) = made.map_err(failed)?;
            println!("{}", token.reveal());
        }
        TokenCommand::List => {
            for record in present(database)?.list().map_err(failed)? {
                let TokenRecord { id, role, name, .. } = &record;
                println!("{id} {role} {name} {}", status(&record, now));
            }
        }
        TokenCommand::Revoke { id } => {
            let record = present(database)?.revoke(*id, now).map_err(failed)?;
            println!("the token {id} of {} is revoked", record.name);
        }
    }
    Ok(())
}

/// The tokens of a store that exists.
fn present(database: &Place) -> Result<Register, TokenCommandError> {
    existing(database)?.ok_or_else(|| TokenCommandError::NoStore(database.clone()))
}

/// The tokens of a store, if there is one. One of another release is an error and stays as it is: it may
/// have its coordinator.
fn existing(database: &Place) -> Result<Option<Register>, TokenCommandError> {
    let opened = match database {
        Place::File(path) => match std::fs::metadata(path) {
            // One that is empty is taken for a new store.
            Ok(found) if found.len() == 0 => return Ok(None),
            Ok(_) => Register::open(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => Err(StoreError::File { path: path.clone(), source }),
        },
        Place::Postgres(url) => PostgresStore::tokens_of(url),
    };
    match opened {
        Ok(register) => Ok(Some(register)),
        Err(StoreError::Older { found: 0, .. }) => Ok(None),
        Err(source) => Err(TokenCommandError::Store { place: database.clone(), source }),
    }
}

/// The tokens of a store that is made for them, unless a coordinator is making it.
fn new(database: &Place) -> Result<Register, TokenCommandError> {
    let opened = match database {
        Place::File(path) => match SqliteStore::open(path) {
            Ok(_) | Err(StoreError::Locked(_)) => Register::open(path),
            Err(error) => Err(error),
        },
        Place::Postgres(url) => PostgresStore::open(url).and_then(|store| store.register()),
    };
    opened.map_err(|source| TokenCommandError::Store { place: database.clone(), source })
}

/// A place that holds in other directories too.
fn whole(database: &Place) -> String {
    match database {
        Place::File(path) => {
            std::path::absolute(path).as_deref().unwrap_or(path).display().to_string()
        }
        Place::Postgres(url) => url.to_string(),
    }
}

fn status(record: &TokenRecord, now: Timestamp) -> &'static str {
    match (record.revoked_at, record.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        (None, _) => "good",
    }
}
