//! `cambrian-coordinator token`: tokens in the store itself, for whoever may write it.

use cambrian_coordinator::access::Role;
use cambrian_coordinator::clock::{Clock, SystemClock};
use cambrian_coordinator::store::StoreError;
use cambrian_coordinator::store::place::Place;
use cambrian_coordinator::store::postgres::PostgresStore;
use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::tokens::{Register, TokenRecord};
use cambrian_core::time::{Span, Timestamp};
use cambrian_transport::token::{TokenId, Validity};
use clap::Subcommand;

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

pub(crate) fn run(database: &Place, command: &TokenCommand) -> anyhow::Result<()> {
    let register = open(database)?;
    let now = SystemClock::new().now();
    match command {
        TokenCommand::Create { role, name, expires } => {
            let (token, _) = register.create(*role, name, expires.micros.map(Span), now)?;
            println!("{}", token.reveal());
        }
        TokenCommand::List => {
            for record in register.list()? {
                let TokenRecord { id, role, name, .. } = &record;
                println!("{id} {role} {name} {}", status(&record, now));
            }
        }
        TokenCommand::Revoke { id } => {
            let record = register.revoke(*id, now)?;
            println!("the token {id} of {} is revoked", record.name);
        }
    }
    Ok(())
}

/// The tokens of a store, which is created or brought up to date unless a coordinator has it, which
/// has done so.
fn open(database: &Place) -> Result<Register, StoreError> {
    let path = match database {
        Place::File(path) => path,
        Place::Postgres(url) => return PostgresStore::open(url)?.register(),
    };
    match SqliteStore::open(path) {
        Ok(_) | Err(StoreError::Locked(_)) => Register::open(path),
        Err(error) => Err(error),
    }
}

fn status(record: &TokenRecord, now: Timestamp) -> &'static str {
    match (record.revoked_at, record.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        (None, _) => "good",
    }
}
