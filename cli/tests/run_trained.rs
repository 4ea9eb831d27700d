//! The demo campaign through real processes and real libtorch, shortened to seconds: trained
//! networks, four objectives with their sources, verified and replayed.
//!
//! Skips visibly where the evaluator or the data set is absent: everything but the evaluator is
//! built and tested without libtorch too.
#![expect(clippy::unwrap_used, reason = "whatever a test cannot do makes it fail")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cambrian_core::spec::CampaignSpec;
use serde_json::Value;

const DEMO: &str = include_str!("../../configs/campaigns/fashion-mnist.yaml");
const EVALUATIONS: usize = 4;

fn datasets() -> PathBuf {
    let share = || {
        let home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")))
    };
    let given = std::env::var_os("CAMBRIAN_DATA").map(PathBuf::from);
    given.or_else(|| Some(share()?.join("cambrian/datasets"))).unwrap_or_default()
}

/// The demo with less of everything; each replacement must find what it replaces.
fn shortened() -> String {
    let mut text = DEMO.to_owned();
    for (from, to) in [
        ("train_samples: 2000", "train_samples: 600"),
        ("validation_samples: 1000", "validation_samples: 300"),
        ("test_samples: 1000", "test_samples: 300"),
        ("introspectability: {samples: 1000}", "latency: {warmup_seconds: 0.1}"),
        ("population: 20", "population: 4"),
        ("evaluations: 70", "evaluations: 4"),
    ] {
        assert_eq!(text.matches(from).count(), 1, "`{from}` is not in the demo once");
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

#[test]
fn the_demo_campaign_trains_measures_verifies_and_replays() {
    let text = shortened();
    let evaluator = Path::new(env!("CARGO_BIN_EXE_cambrian")).with_file_name("cambrian-evaluator");
    let images = datasets().join("fashion-mnist/train-images-idx3-ubyte.gz");
    for needed in [&evaluator, &images] {
        if !needed.is_file() {
            eprintln!("skipped: {} is absent; `make setup build` provides it", needed.display());
            return;
        }
    }
    let root = tempfile::tempdir().unwrap();
    let (file, output) = (root.path().join("demo.yaml"), root.path().join("out"));
    std::fs::write(&file, text).unwrap();
    let (file, output) = (file.to_str().unwrap(), output.to_str().unwrap());

    let run = cambrian(&["run", file, "--workers", "2", "--output", output]);
    let messages = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}{messages}", String::from_utf8_lossy(&run.stdout));

    let candidates = std::fs::read_to_string(format!("{output}/candidates.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(candidates.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), EVALUATIONS);
    let field = |row: &csv::StringRecord, name: &str| -> String {
        let at = header.iter().position(|column| column == name);
        row[at.unwrap_or_else(|| panic!("no column {name}"))].to_owned()
    };
    let scored: Vec<_> = rows.iter().filter(|row| field(row, "status") == "scored").collect();
    assert!(!scored.is_empty(), "{candidates}");
    let mut learned = false;
    for row in scored {
        let number = |name: &str| field(row, name).parse::<f64>().unwrap();
        let accuracy = number("accuracy_percent");
        learned |= accuracy > 20.0;
        assert!((0.0..=100.0).contains(&accuracy));
        assert!((0.0..=2.0).contains(&number("introspectability")));
        assert!(number("latency_ms") > 0.0 && number("energy_mJ") > 0.0);
        assert!((0.0..=100.0).contains(&number("test_accuracy_percent")));
        assert_eq!(field(row, "latency_source"), "wall-clock");
        assert!(["modelled", "rapl", "nvml"].contains(&field(row, "energy_source").as_str()));
    }
    assert!(learned, "no network learned anything\n{candidates}");
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
}
