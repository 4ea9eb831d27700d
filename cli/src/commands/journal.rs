//! `cambrian verify` and `cambrian replay`: proofs about a journal, without a coordinator.
//!
//! Must not know what makes a journal sound: the coordinator's library proves it.

use cambrian_coordinator::replay::{Replayed, replay as replay_journal};
use cambrian_coordinator::store::place::Place;
use cambrian_coordinator::store::postgres::PostgresStore;
use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::{StoreError, Tables};
use cambrian_coordinator::verify::{Report, verify as verify_tables};
use serde_json::json;

use super::Context;
use crate::arguments::JournalArguments;
use crate::error::{CliError, count};
use crate::foreign::legible;
use crate::present::number;
use crate::run::directory;

/// A journal that is read, wherever it is.
pub(crate) enum Journal {
    File(SqliteStore),
    Postgres(PostgresStore),
}

impl Journal {
    /// Opens it for reading.
    ///
    /// # Errors
    /// In words for the user.
    pub(crate) fn open(place: &Place) -> Result<Self, CliError> {
        let opened = match place {
            Place::File(path) => SqliteStore::open_read_only(path).map(Self::File),
            Place::Postgres(url) => PostgresStore::open_read_only(url).map(Self::Postgres),
        };
        opened.map_err(|error| unopened(place, error))
    }

    /// Checks its ledger and tables.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn verify(&self) -> Result<Report, CliError> {
        let report = match self {
            Self::File(store) => verify_tables(store),
            Self::Postgres(store) => verify_tables(store),
        };
        report.map_err(|error| unreadable(&self.place(), &error))
    }

    fn replay(&self) -> Result<Replayed, CliError> {
        let replayed = match self {
            Self::File(store) => store.on_snapshot(|store| replay_journal(store)),
            Self::Postgres(store) => store.on_snapshot(|store| replay_journal(store)),
        };
        replayed.map_err(|error| unreadable(&self.place(), &error))
    }

    fn place(&self) -> Place {
        match self {
            Self::File(store) => store.path().into(),
            Self::Postgres(store) => store.place(),
        }
    }
}

/// Why a journal cannot be opened.
fn unopened(place: &Place, error: StoreError) -> CliError {
    match error {
        StoreError::Older { place, found: 0, .. } => CliError::Refused {
            message: format!("there is nothing of Cambrian in {place}"),
            help: "it is another program's database, or an empty one; --database names the \
                   database of a coordinator"
                .into(),
        },
        StoreError::File { path, source } => CliError::io("read", &path)(source),
        error @ StoreError::Url { .. } => CliError::Usage {
            message: error.to_string(),
            help: "docs/storage.md explains URLs of databases".into(),
        },
        error @ (StoreError::Foreign(_) | StoreError::Newer { .. } | StoreError::Older { .. }) => {
            CliError::Refused {
                message: error.to_string(),
                help:
                    "--database names the database of a coordinator, --output the directory of a \
                       `cambrian run`"
                        .into(),
            }
        }
        error if error.is_outage() => CliError::Unreachable {
            what: "database",
            endpoint: place.to_string(),
            reason: error.to_string(),
            help: None,
        },
        error => CliError::VerificationFailed {
            message: format!("{place} cannot be read: {error}"),
            help: "is it the database of a coordinator, or the output of a `cambrian run`?".into(),
        },
    }
}

/// The database that the user named.
fn database(given: &JournalArguments) -> Result<Place, CliError> {
    match (&given.database, &given.output) {
        (Some(database), _) => Ok(database.clone()),
        (None, Some(output)) => Ok(Place::File(directory::journal(output))),
        (None, None) => Err(CliError::Usage {
            message: "no journal is named".into(),
            help: "give --database FILE, --database URL or --output DIR".into(),
        }),
    }
}

fn unreadable(place: &Place, error: &StoreError) -> CliError {
    CliError::VerificationFailed {
        message: format!("{place} cannot be read: {error}"),
        help: "the journal is damaged: restore it from a copy".into(),
    }
}

/// # Errors
/// When the journal cannot be read, or [`CliError::VerificationFailed`] when it is not sound.
pub(super) fn verify(context: &Context, given: &JournalArguments) -> Result<(), CliError> {
    let place = database(given)?;
    let report = Journal::open(&place)?.verify()?;
    let output = context.output;
    if output.json {
        output.object(&verified_json(&report))?;
    } else if !output.quiet {
        output.text(&legible(&verified_text(&report)))?;
    }
    if report.is_sound() {
        return Ok(());
    }
    let problems = report.problems.len() as u64 + report.further_problems;
    Err(CliError::VerificationFailed {
        message: format!("{} found in {place}", count(problems as usize, "problem")),
        help: format!("the first: {}", report.problems.first().map_or("", String::as_str)),
    })
}

fn verified_json(report: &Report) -> serde_json::Value {
    let campaigns: Vec<_> = report
        .campaigns
        .iter()
        .map(|ledger| {
            json!({
                "id": ledger.id.0,
                "evaluations_budget": ledger.budget,
                "evaluations_started": ledger.started,
                "proposed": ledger.proposed,
                "scored": ledger.scored,
                "infeasible": ledger.infeasible,
                "failed": ledger.failed,
                "screened": ledger.screened,
                "pending": ledger.pending,
            })
        })
        .collect();
    json!({
        "sound": report.is_sound(),
        "records": report.records,
        "projection_rows": report.rows,
        "leases": report.leases,
        "completed": report.completed,
        "lost_attempts": report.lost_attempts,
        "campaigns": campaigns,
        "digest": report.digest.to_hex().as_str(),
        "problems": report.problems,
        "further_problems": report.further_problems,
    })
}

fn verified_text(report: &Report) -> String {
    let mut text = format!(
        "{} records, {} rows of results, {} leases: {} evaluations completed, each counted once; \
         {} attempts failed or lost\n",
        number::count(report.records),
        number::count(report.rows),
        number::count(report.leases),
        number::count(report.completed),
        number::count(report.lost_attempts),
    );
    if !report.is_sound() {
        text = text.replace(", each counted once", "");
    }
    for ledger in &report.campaigns {
        text += &format!(
            "campaign {}: {} of {} evaluations, {} proposed = {} scored + {} infeasible + {} failed + {} screened + {} pending\n",
            ledger.id,
            ledger.started,
            ledger.budget,
            ledger.proposed,
            ledger.scored,
            ledger.infeasible,
            ledger.failed,
            ledger.screened,
            ledger.pending,
        );
    }
    for problem in &report.problems {
        text += &format!("problem: {problem}\n");
    }
    if report.further_problems > 0 {
        text += &format!("and {} more problems\n", report.further_problems);
    }
    text += &format!("digest {}\n", report.digest.to_hex());
    text + if report.is_sound() { "sound\n" } else { "NOT sound\n" }
}

/// # Errors
/// When the journal cannot be read, or [`CliError::VerificationFailed`] when the search does not
/// come out as recorded.
pub(super) fn replay(context: &Context, given: &JournalArguments) -> Result<(), CliError> {
    let replayed = Journal::open(&database(given)?)?.replay()?;
    let output = context.output;
    if output.json {
        output.object(&replayed_json(&replayed))?;
    } else if !output.quiet {
        output.text(&legible(&replayed_text(&replayed)))?;
    }
    match &replayed.mismatch {
        None => Ok(()),
        Some(mismatch) => Err(CliError::VerificationFailed {
            message: format!(
                "record {}: the journal proposes {} as candidate {}, the search derives {}",
                mismatch.record, mismatch.stored, mismatch.candidate, mismatch.derived
            ),
            help: "the journal was changed, or written by a release whose search differs".into(),
        }),
    }
}

fn replayed_json(replayed: &Replayed) -> serde_json::Value {
    let campaigns: Vec<_> = replayed
        .campaigns
        .iter()
        .map(|campaign| {
            let front: Vec<_> = campaign
                .front
                .iter()
                .map(|(ordinal, objectives)| json!({ "ordinal": ordinal.0, "objectives": objectives }))
                .collect();
            let population: Vec<_> = campaign.population.iter().map(|ordinal| ordinal.0).collect();
            json!({
                "id": campaign.id.0,
                "name": campaign.name,
                "population": population,
                "front": front,
            })
        })
        .collect();
    json!({
        "reproduced": replayed.mismatch.is_none(),
        "records": replayed.records,
        "proposals": replayed.proposals,
        "campaigns": campaigns,
        "digest": replayed.digest.to_hex().as_str(),
    })
}

fn replayed_text(replayed: &Replayed) -> String {
    let mut text = format!(
        "{} records, {} proposals derived again\n",
        number::count(replayed.records),
        number::count(replayed.proposals)
    );
    for campaign in &replayed.campaigns {
        let front: Vec<_> = campaign.front.iter().map(|(ordinal, _)| ordinal.to_string()).collect();
        text += &format!(
            "campaign {} ({}): population of {}, front of {}: {}\n",
            campaign.id,
            campaign.name,
            campaign.population.len(),
            campaign.front.len(),
            front.join(" "),
        );
    }
    text += &format!("digest {}\n", replayed.digest.to_hex());
    text + if replayed.mismatch.is_none() { "reproduced bit for bit\n" } else { "NOT reproduced\n" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_database_of_another_program_is_not_taken_for_an_older_one() {
        let place: Place = "postgresql://ada@db/shop".to_owned().into();
        let older = |found| StoreError::Older { place: place.clone(), found, expected: 2 };
        let error = unopened(&place, older(0));
        assert_eq!(error.exit(), Exit::Refused);
        assert!(error.to_string().contains("nothing of Cambrian in postgresql://ada@db/shop"));
        assert!(error.help().contains("another program's database"), "{}", error.help());
        let error = unopened(&place, older(1)).to_string();
        assert!(error.contains("which brings it up to date"), "{error}");
    }

    #[test]
    fn a_damaged_journal_is_named() {
        let gap = StoreError::Gap { expected: 2, found: 3 };
        let error = unreadable(&Place::File("a/c.db".into()), &gap).to_string();
        assert!(error.starts_with("a/c.db cannot be read: record 2"), "{error}");
    }
}
