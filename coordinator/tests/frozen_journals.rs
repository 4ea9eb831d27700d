//! Stores that earlier formats wrote still mean the same; `frozen/README.md` lists them.

#[expect(dead_code, reason = "other users need the rest")]
mod postgres_server;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cambrian_coordinator::replay::replay;
use cambrian_coordinator::store::place::Place;
use cambrian_coordinator::store::postgres::{Bid, Candidate, PostgresStore};
use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::{Store, Stored, for_each, record};
use cambrian_coordinator::verify::verify;
use flate2::read::GzDecoder;
use postgres_server::PostgresServer;

struct Frozen {
    file: &'static str,
    records: u64,
    proposals: u64,
    completed: u64,
    /// Name, scored, infeasible, screened, failed, and the ordinals of the front.
    campaigns: &'static [(&'static str, [u32; 4], &'static [u32])],
    /// Campaigns whose algorithm proposes otherwise by now.
    departed: &'static [u32],
}

const FROZEN: [Frozen; 3] = [SCHEMA_2, SCHEMA_3, EVERY_KIND];

const SCHEMA_2: Frozen = Frozen {
    file: "schema-2.db.gz",
    records: 1_871,
    proposals: 343,
    completed: 351,
    campaigns: &[
        ("frozen-rungs", [20, 3, 19, 1], &[7, 22, 23, 24, 26, 28, 31]),
        ("frozen-models", [40, 0, 0, 0], &[6, 10, 18, 27, 32]),
        ("frozen-cancelled", [252, 0, 0, 8], &[14, 35, 92, 239]),
    ],
    departed: &[2],
};

const SCHEMA_3: Frozen = Frozen {
    file: "schema-3.db.gz",
    records: 1_600,
    proposals: 260,
    completed: 298,
    campaigns: &[
        ("frozen-first", [60, 0, 0, 0], &[1, 9, 14, 24, 36, 43, 45, 47, 52]),
        ("frozen-repeats", [30, 0, 0, 0], &[1, 22, 26]),
        ("frozen-curves", [52, 0, 4, 4], &[3, 4, 10, 11, 16, 27, 46, 47, 48, 50, 52]),
        ("frozen-cached", [80, 0, 0, 0], &[19, 29, 30, 39, 55, 60, 71, 76, 79]),
        ("frozen-again", [30, 0, 0, 0], &[1, 9, 12, 13, 15, 29]),
    ],
    departed: &[],
};

const EVERY_KIND: Frozen = Frozen {
    file: "schema-3-every-kind.db.gz",
    records: 4_762,
    proposals: 113,
    completed: 206,
    campaigns: &[
        ("frozen-rungs", [12, 1, 26, 1], &[15, 24, 25]),
        ("frozen-early", [14, 5, 15, 0], &[12, 28, 34]),
        ("frozen-repeats", [6, 2, 7, 2], &[9, 10]),
        ("frozen-cached", [6, 3, 12, 1], &[2, 3, 10, 12]),
    ],
    departed: &[1],
};

fn unpack(file: &str, path: &Path) {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen").join(file);
    let mut bytes = Vec::new();
    let compressed = std::fs::File::open(frozen).expect("it is in the repository");
    GzDecoder::new(compressed).read_to_end(&mut bytes).expect("it is whole");
    std::fs::write(path, bytes).expect("a file");
}

fn thawed(file: &str, folder: &Path) -> SqliteStore {
    let path = folder.join("store.db");
    unpack(file, &path);
    SqliteStore::open(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn journals_of_earlier_formats_mean_what_they_meant() {
    for frozen in FROZEN {
        let folder = tempfile::tempdir().unwrap();
        let store = thawed(frozen.file, folder.path());
        assert_eq!(store.sequence(), frozen.records, "{}", frozen.file);

        let verified = verify(&store).unwrap();
        assert!(verified.is_sound(), "{}: {:#?}", frozen.file, verified.problems);
        assert_eq!(verified.completed, frozen.completed);
        let ledger: Vec<_> = verified
            .campaigns
            .iter()
            .map(|ledger| [ledger.scored, ledger.infeasible, ledger.screened, ledger.failed])
            .collect();
        let expected: Vec<_> = frozen.campaigns.iter().map(|campaign| campaign.1).collect();
        assert_eq!(ledger, expected, "{}", frozen.file);

        let replayed = replay(&store).unwrap();
        let departed: Vec<u32> = replayed.departed.iter().map(|campaign| campaign.0).collect();
        assert_eq!(departed, frozen.departed, "{}: {:?}", frozen.file, replayed.mismatch);
        assert_eq!(replayed.proposals, frozen.proposals);
        assert_eq!(replayed.digest, verified.digest);
        for (campaign, (name, _, front)) in replayed.campaigns.iter().zip(frozen.campaigns) {
            assert_eq!(campaign.name, *name);
            let found: Vec<u32> = campaign.front.iter().map(|(ordinal, _)| ordinal.0).collect();
            assert_eq!(found, *front, "{name}");
        }
    }
}

/// A dump of the journal of every kind, as `pg_dump` has written it from a database.
#[test]
fn a_database_of_an_earlier_format_means_what_it_meant() {
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump.sql");
    unpack("postgresql-schema-2.sql.gz", &dump);
    let Place::Postgres(url) = server.database("thawed").parse().unwrap() else { return };
    let options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "thawed", "-f"];
    let restored = server.client("psql").args(options).arg(&dump).stdout(Stdio::null()).status();
    assert!(restored.is_ok_and(|status| status.success()));

    let mut store = PostgresStore::open(&url).unwrap();
    let verified = verify(&store).unwrap();
    assert!(verified.is_sound(), "{:#?}", verified.problems);
    let of_file = verify(&thawed(EVERY_KIND.file, folder.path())).unwrap();
    assert_eq!((store.sequence(), verified.digest), (EVERY_KIND.records, of_file.digest));

    // Its last leader is long gone; the next one has a later epoch.
    let candidate = Candidate {
        holder: "successor".into(),
        endpoint: "http://successor:7878".into(),
        length: Duration::from_secs(3),
        renewal: Duration::from_millis(500),
    };
    let bid = store.bid(&candidate).unwrap();
    assert!(matches!(bid, Bid::Won { epoch: 2, .. }), "{bid:?}");
}

/// A kind that no frozen journal has could change its meaning unseen.
#[test]
fn every_kind_of_record_is_frozen_somewhere() {
    let mut frozen = BTreeSet::new();
    for Frozen { file, .. } in FROZEN {
        let folder = tempfile::tempdir().unwrap();
        let store = thawed(file, folder.path());
        let note = |stored: Stored| {
            frozen.insert(record::kind(&stored.event));
        };
        for_each(&store, note).unwrap();
    }
    let definition = include_str!("../../proto/proto/cambrian/v1/journal.proto");
    let (_, kinds) = definition.split_once("oneof event {").expect("a record is one of several");
    let (kinds, _) = kinds.split_once('}').expect("it ends");
    let known: BTreeSet<&str> =
        kinds.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert!(known.len() > 30, "{known:?}");
    assert_eq!(frozen, known);
}
