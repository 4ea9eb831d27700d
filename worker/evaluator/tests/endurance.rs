//! A slot's process lives for thousands of evaluations: it must keep neither memory nor files.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking like the tests")]

#[expect(dead_code, reason = "these tests use a part of it")]
mod support;

use std::fs;

use cambrian_core::graph::{Graph, GraphBuilder, Op, Window};
use cambrian_proto::v1::{Assignment, FailureKind, outcome};
use serde_json::{Value, json};
use support::*;

/// What libtorch's and the C library's allocators may keep for themselves.
const SLACK_KIB: u64 = 16 << 10;

/// Memory in KiB and the number of open files of a process.
fn usage(process: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let memory = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (memory, fs::read_dir(format!("/proc/{process}/fd")).unwrap().count())
}

/// One of six networks of different size.
fn network(number: u64) -> Graph {
    let mut builder = GraphBuilder::new(IMAGE);
    let mut last = builder.input();
    let window = Window { kernel: 3, stride: 4, padding: 1 };
    let channels = 2 + 3 * (number % 6) as u32;
    for op in [
        Op::Conv2d { out_channels: channels, window, dilation: 1, groups: 1, bias: true },
        Op::BatchNorm,
        Op::Relu,
        Op::Flatten,
        Op::Linear { out_features: 10, bias: true },
    ] {
        last = builder.add(op, &[last]).unwrap();
    }
    builder.finish(last).unwrap()
}

/// The evaluation with this number: most train, and of those some keep their state, some go on, some
/// average, some fail; others score.
fn evaluation(number: u64, state: &str) -> Assignment {
    let mut settings = settings();
    settings["batch_size"] = json!(40);
    let mut assignment = match number % 10 {
        0 | 5 => {
            let settings = json!({"dataset": Value::Null});
            let mut scoring = assignment(number, &settings, &["grad_norm", "snip", "synflow"]);
            let stage = scoring.stage.as_mut().unwrap();
            stage.evaluator = "proxies".to_owned();
            stage.dataset.clear();
            scoring
        }
        1 => {
            settings["learning_rate"] = json!(1e30);
            assignment(number, &settings, &["accuracy"])
        }
        2 => {
            settings["optimizer"] = json!("adamw");
            settings["ema_decay"] = json!(0.9);
            settings["clip_norm"] = json!(1.0);
            assignment(number, &settings, &["accuracy", "flatness"])
        }
        3 => {
            let checkpoint_path = state.to_owned();
            Assignment {
                keep: true,
                checkpoint_path,
                ..assignment(number, &settings, &["accuracy"])
            }
        }
        4 => {
            settings["epochs"] = json!(2);
            let resume_path = state.to_owned();
            Assignment { resume_path, ..assignment(number, &settings, &["accuracy"]) }
        }
        _ => assignment(number, &settings, &["accuracy", "flatness", "latency"]),
    };
    // The one that goes on has the network of the one that it continues.
    let (graph, seed) = if number % 10 == 4 { (number - 1, number - 1) } else { (number, number) };
    assignment.graph = Some((&network(graph)).into());
    assignment.seed = seed;
    assignment
}

#[test]
fn a_thousand_evaluations_leave_neither_memory_nor_open_files() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let state = base.path().join("state").to_str().unwrap().to_owned();
    let mut evaluator = Evaluator::start(base.path());
    let process = evaluator.process.id();
    let mut early = None;
    let (mut measured, mut failed) = (0, 0);
    for number in 1..=1_000 {
        evaluator.evaluate(evaluation(number, &state));
        let (ended, steps) = evaluator.ended();
        let ended = ended.outcome.unwrap();
        match ended.outcome.unwrap() {
            outcome::Outcome::Measured(_) => measured += 1,
            outcome::Outcome::Failed(failure) if number % 10 == 1 => {
                assert_eq!(failure.kind(), FailureKind::NonFinite, "{failure:?}");
                failed += 1;
            }
            outcome::Outcome::Failed(failure) => panic!("evaluation {number}: {failure:?}"),
        }
        assert_eq!(ended.note, "", "evaluation {number}");
        if number % 10 == 4 {
            assert_eq!(steps, [2], "it goes on");
        }
        if number == 100 {
            early = Some(usage(process));
        }
    }
    assert_eq!((measured, failed), (900, 100));
    let ((memory_before, files_before), (memory, files)) = (early.unwrap(), usage(process));
    eprintln!(
        "after 100 and 1,000: {memory_before} and {memory} KiB, {files_before} and {files} files"
    );
    assert_eq!(files, files_before);
    assert!(memory <= memory_before + SLACK_KIB, "{memory_before} KiB grew to {memory} KiB");
    assert_eq!(evaluator.close(), Some(0));
}
