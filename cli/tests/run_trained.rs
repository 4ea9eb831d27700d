//! Example campaigns through real processes and real libtorch, shortened to seconds: trained
//! networks of a built-in and of a declared space, their objectives with their sources, verified and
//! replayed.
//!
//! Skips visibly where the evaluator or the data set is absent: everything but the evaluator is
//! built and tested without libtorch too.
#![expect(clippy::unwrap_used, reason = "whatever a test cannot do makes it fail")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::{Stored, for_each};
use cambrian_core::engine::Event;
use cambrian_core::spec::CampaignSpec;
use serde_json::Value;

const DEMO: &str = include_str!("../../configs/campaigns/fashion-mnist.yaml");
const BLOCKS: &str = include_str!("../../configs/campaigns/blocks.yaml");
const SCREENED: &str = include_str!("../../configs/campaigns/screened.yaml");
const EVALUATIONS: usize = 4;

fn datasets() -> PathBuf {
    let share = || {
        let home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")))
    };
    let given = std::env::var_os("CAMBRIAN_DATA").map(PathBuf::from);
    given.or_else(|| Some(share()?.join("cambrian/datasets"))).unwrap_or_default()
}

/// A campaign with less of everything; each replacement must find what it replaces.
fn shortened(campaign: &str, more: &[(&str, &str)]) -> String {
    let mut text = campaign.to_owned();
    let common = [
        ("train_samples: 2000", "train_samples: 600"),
        ("validation_samples: 1000", "validation_samples: 300"),
        ("test_samples: 1000", "test_samples: 300"),
    ];
    for (from, to) in common.iter().chain(more) {
        assert_eq!(text.matches(from).count(), 1, "`{from}` is not in the campaign once");
        text = text.replace(from, to);
    }
    CampaignSpec::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    text
}

fn cambrian(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian"));
    command.args(arguments).env_remove("CAMBRIAN_EVALUATOR").stdin(Stdio::null());
    command.output().unwrap()
}

/// Runs the campaign and returns the header and the rows of its candidates; `None` if something that
/// it needs is absent.
fn run(text: &str) -> Option<(csv::StringRecord, Vec<csv::StringRecord>)> {
    run_in(text, tempfile::tempdir().unwrap().path())
}

/// The same in this directory, whose `out` holds the results.
fn run_in(text: &str, root: &Path) -> Option<(csv::StringRecord, Vec<csv::StringRecord>)> {
    let evaluator = Path::new(env!("CARGO_BIN_EXE_cambrian")).with_file_name("cambrian-evaluator");
    let images = datasets().join("fashion-mnist/train-images-idx3-ubyte.gz");
    for needed in [&evaluator, &images] {
        if !needed.is_file() {
            // What proves that the others need no libtorch runs where there is none.
            let without = std::env::var_os("LIBTORCH").is_some_and(|it| it == "/nonexistent");
            assert!(without || std::env::var_os("CI").is_none(), "{} is absent", needed.display());
            eprintln!("skipped: {} is absent; `make setup build` provides it", needed.display());
            return None;
        }
    }
    let (file, output) = (root.join("campaign.yaml"), root.join("out"));
    std::fs::write(&file, text).unwrap();
    let (file, output) = (file.to_str().unwrap(), output.to_str().unwrap());

    let run = cambrian(&["run", file, "--workers", "2", "--output", output]);
    let messages = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}{messages}", String::from_utf8_lossy(&run.stdout));

    let candidates = std::fs::read_to_string(format!("{output}/candidates.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(candidates.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    // What a constraint on a computed metric rejects has a row, but is no evaluation.
    assert!(rows.len() >= EVALUATIONS);
    for picture in ["front.png", "hypervolume.png"] {
        let bytes = std::fs::read(format!("{output}/{picture}")).unwrap();
        assert_eq!(&bytes[..4], b"\x89PNG");
    }
    for command in ["verify", "replay"] {
        let checked = cambrian(&[command, "--output", output, "--json"]);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let answer: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert!(answer["sound"] == true || answer["reproduced"] == true, "{answer}");
    }
    Some((header, rows))
}

/// The scored candidates as a way to read a column of each.
fn learned(
    header: &csv::StringRecord,
    rows: &[csv::StringRecord],
    check: impl Fn(&dyn Fn(&str) -> String),
) {
    let mut scored = 0;
    let mut learned = false;
    for row in rows {
        let field = |name: &str| {
            let at = header.iter().position(|column| column == name);
            row[at.unwrap_or_else(|| panic!("no column {name}"))].to_owned()
        };
        if field("status") != "scored" {
            continue;
        }
        scored += 1;
        for name in ["accuracy_percent", "test_accuracy_percent"] {
            assert!((0.0..=100.0).contains(&field(name).parse::<f64>().unwrap()));
        }
        learned |= field("accuracy_percent").parse::<f64>().unwrap() > 20.0;
        assert!(field("latency_ms").parse::<f64>().unwrap() > 0.0);
        assert_eq!(field("latency_source"), "wall-clock");
        check(&field);
    }
    assert!(scored > 0 && learned, "{scored} scored, and no network learned anything\n{rows:?}");
}

#[test]
fn the_demo_campaign_trains_measures_verifies_and_replays() {
    let text = shortened(
        DEMO,
        &[
            ("introspectability: {samples: 1000}", "latency: {warmup_seconds: 0.1}"),
            ("population: 20", "population: 4"),
            ("evaluations: 70", "evaluations: 4"),
        ],
    );
    let Some((header, rows)) = run(&text) else { return };
    learned(&header, &rows, |field| {
        assert!((0.0..=2.0).contains(&field("introspectability").parse::<f64>().unwrap()));
        assert!(field("energy_mJ").parse::<f64>().unwrap() > 0.0);
        assert!(["modelled", "rapl", "nvml"].contains(&field("energy_source").as_str()));
    });
}

#[test]
fn networks_of_a_declared_space_train_as_well() {
    let text = shortened(
        BLOCKS,
        &[
            ("batch_size: 64", "batch_size: 32\n      latency: {warmup_seconds: 0.1}"),
            ("evaluations: 60", "evaluations: 4"),
        ],
    );
    let Some((header, rows)) = run(&text) else { return };
    learned(&header, &rows, |field| {
        assert!(field("genotype").starts_with("stem="));
        assert!(field("params").parse::<f64>().unwrap() <= 200_000.0);
    });
}

#[test]
fn scores_and_a_short_training_decide_what_is_trained_to_the_end() {
    let text = shortened(
        SCREENED,
        &[
            ("epochs: 3", "epochs: 2\n      latency: {warmup_seconds: 0.1}"),
            ("population: 20", "population: 4"),
            ("least: 9", "least: 3"),
            ("evaluations: 180", "evaluations: 18"),
        ],
    );
    let Some((header, rows)) = run(&text) else { return };
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let has = |row: &csv::StringRecord, name: &str| !row[column(name)].is_empty();
    let with = |name: &str| rows.iter().filter(|row| has(row, name)).count();
    let (scored, early, full) =
        (with("naswot"), with("early_accuracy_percent"), with("accuracy_percent"));
    assert!(scored > early && early > full && full > 0, "{scored}, {early}, {full}");
    let of_status = |name: &str| rows.iter().filter(|row| &row[column("status")] == name).count();
    assert_eq!(of_status("scored"), full);
    assert!(of_status("screened") >= scored - early);
    // Every value keeps where it came from.
    let full = rows.iter().find(|row| has(row, "accuracy_percent")).unwrap();
    assert_eq!(&full[column("naswot_source")], "zero-cost");
    assert_eq!(&full[column("early_accuracy_source")], "trained");
}

/// A campaign that trains for two epochs, in these stages.
fn trained_in(stages: &str) -> String {
    let settings = |epochs: u32| {
        format!(
            "{{dataset: fashion-mnist, train_samples: 600, validation_samples: 300, batch_size: 32, \
             epochs: {epochs}, schedule_epochs: 2, deterministic: true}}"
        )
    };
    let stages = stages.replace("ONE", &settings(1)).replace("TWO", &settings(2));
    let text = format!(
        "version: 1\nname: parts\nseed: 5\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28], classes: 10}}\n\
         metrics: {{early: {{unit: \"%\", goal: maximize}}}}\n\
         objectives: [accuracy, params]\nalgorithm: random\nstages:\n{stages}\
         budget: {{evaluations: {EVALUATIONS}}}\n"
    );
    CampaignSpec::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    text
}

#[test]
fn a_training_in_parts_ends_with_the_bits_of_one_at_a_stretch() {
    const FULL: &str = "  - {name: full, evaluator: train, measures: [accuracy], settings: TWO}\n";
    let short = "  - {name: short, evaluator: train, settings: ONE, \
                 measures: [{metric: accuracy, as: early}]}\n";
    let parts = format!("{short}{}", FULL.replace("settings", "resume: short, settings"));
    let root = tempfile::tempdir().unwrap();
    let Some((header, rows)) = run_in(&trained_in(&parts), root.path()) else { return };
    let Some((plain_header, plain_rows)) = run(&trained_in(FULL)) else { return };
    let accuracies = |header: &csv::StringRecord, rows: &[csv::StringRecord]| {
        let at = |name: &str| header.iter().position(|column| column == name).unwrap();
        let (genotype, accuracy) = (at("genotype"), at("accuracy_percent"));
        let values = rows.iter().map(|row| (row[genotype].to_owned(), row[accuracy].to_owned()));
        values.collect::<std::collections::BTreeMap<_, _>>()
    };
    let found = accuracies(&header, &rows);
    assert_eq!(found.len(), EVALUATIONS);
    assert_eq!(found, accuracies(&plain_header, &plain_rows));

    // Each candidate's state was kept once, none of them began anew, and nothing of it is left.
    let state = root.path().join("out/state");
    let journal = SqliteStore::open_read_only(&state.join("journal.db")).unwrap();
    let (mut kept, mut notes) = (0, Vec::new());
    let count = |record: Stored| {
        if let Event::TaskCompleted { attached, .. } = record.event {
            kept += usize::from(attached.checkpoint.is_some());
            notes.extend(attached.note);
        }
    };
    for_each(&journal, count).unwrap();
    assert_eq!((kept, notes), (EVALUATIONS, Vec::new()));
    for folder in ["journal.db.artifacts", "worker-1/artifacts", "worker-2/artifacts"] {
        assert!(!state.join(folder).exists(), "{folder}");
    }
}
