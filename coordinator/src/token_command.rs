//! `cambrian-coordinator token`: tokens in the store itself, for whoever may write it.

use std::path::Path;

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
            let is_new = !exists(database)?;
            let register = open(database)?;
            if is_new {
                eprintln!("cambrian-coordinator: made a new store at {}", whole(database));
            }
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
    match exists(database)? {
        true => open(database),
        false => Err(TokenCommandError::NoStore(database.clone())),
    }
}

/// Whether there is a store, of whatever version.
fn exists(database: &Place) -> Result<bool, TokenCommandError> {
    let failed = |source| TokenCommandError::Store { place: database.clone(), source };
    match database {
        // One that is empty is taken for a new store.
        Place::File(path) => match std::fs::metadata(path) {
            Ok(found) => Ok(found.len() > 0),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(failed(StoreError::File { path: path.clone(), source })),
        },
        Place::Postgres(url) => match PostgresStore::open_read_only(url) {
            Err(StoreError::Older { found: 0, .. }) => Ok(false),
            Ok(_) | Err(StoreError::Older { .. }) => Ok(true),
            Err(source) => Err(failed(source)),
        },
    }
}

/// The tokens of a store, which is created or brought up to date unless a coordinator has it, which
/// has done so.
fn open(database: &Place) -> Result<Register, TokenCommandError> {
    let opened = match database {
        Place::File(path) => open_file(path),
        Place::Postgres(url) => PostgresStore::open(url).and_then(|store| store.register()),
    };
    opened.map_err(|source| TokenCommandError::Store { place: database.clone(), source })
}

fn open_file(path: &Path) -> Result<Register, StoreError> {
    match SqliteStore::open(path) {
        Ok(_) | Err(StoreError::Locked(_)) => Register::open(path),
        Err(error) => Err(error),
    }
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
