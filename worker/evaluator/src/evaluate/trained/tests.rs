//! What an evaluation of the whole evaluator does around its training and its measurements.

use std::cell::RefCell;

use cambrian_proto::v1;
use serde_json::json;

use super::*;
use crate::data::tests::tiny_library;
use crate::device;
use crate::evaluate::Kept;
use crate::measure::gate::Gate;
use crate::train::tests::small_graph;

fn assignment(settings: &serde_json::Value, measures: &[&str]) -> Assignment {
    let stage = v1::Stage {
        name: "training".to_owned(),
        evaluator: "train".to_owned(),
        settings_json: settings.to_string(),
        measures: measures.iter().map(|&metric| metric.to_owned()).collect(),
        dataset: "fashion-mnist".to_owned(),
        timeout_micros: 1_000_000,
        ..v1::Stage::default()
    };
    let message = v1::Assignment {
        task: 1,
        attempt: 1,
        candidate: Some(v1::CandidateId { campaign: 1, ordinal: 1 }),
        graph: Some((&small_graph()).into()),
        genotype: "test".to_owned(),
        stage: Some(stage),
        seed: 7,
        ..v1::Assignment::default()
    };
    Assignment::try_from(message).unwrap()
}

#[test]
fn a_deterministic_training_is_measured_on_the_threads_of_its_class() {
    let base = tempfile::tempdir().unwrap();
    let device = device::Device::detect(device::Choice::Cpu, 2).unwrap();
    assert!(device.class.ends_with(":2t"), "{}", device.class);
    let library = tiny_library(base.path());
    let mut machine = Machine { device, library, meter: None };
    let settings = json!({
        "dataset": "fashion-mnist", "train_samples": 160, "validation_samples": 40, "epochs": 1,
        "batch_size": 16, "deterministic": true,
        "latency": {"warmup_seconds": 0.0, "samples": 3, "min_sample_ms": 0.0, "retries": 0},
    });
    let assignment = assignment(&settings, &["accuracy", "latency"]);
    tch::set_num_threads(2);
    let gate = Gate::open(&base.path().join("gate"), "cpu").unwrap();
    // Every piece of work asks for it: those of the training first.
    let threads = RefCell::new(Vec::new());
    let mut supervision = Supervision {
        stopped: &|| false,
        wanted: &|| false,
        asked: &|| None,
        written: &mut |_| {},
        report: &mut |_, _, _| {},
        gate: &gate,
        synchronize: &|| threads.borrow_mut().push(tch::get_num_threads()),
        kept: Kept::default(),
    };
    let measured = Trained.evaluate(&assignment, &mut machine, &mut supervision).unwrap();
    assert_eq!(measured.len(), 2);
    let mut threads = threads.into_inner();
    threads.dedup();
    assert_eq!(threads, [1, 2]);
    assert_eq!(tch::get_num_threads(), 2);
}
