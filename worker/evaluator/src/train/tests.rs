//! Training on a tiny dataset: it learns, repeats exactly and fails in its own way.

use std::cell::Cell;

use cambrian_core::graph::{Graph, GraphBuilder, Op, Shape};
use tch::{Device, Kind};

use super::*;
use crate::data::tests::{TINY, tiny_library};
use crate::measure::gate::Gate;
use crate::network::golden::conv;

pub(crate) fn small_graph() -> Graph {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 1, height: 28, width: 28 });
    let mut last = builder.input();
    for op in [
        conv(6),
        Op::BatchNorm,
        Op::Relu,
        Op::MaxPool(cambrian_core::graph::Window { kernel: 4, stride: 4, padding: 0 }),
        Op::Flatten,
        Op::Linear { out_features: 10, bias: true },
    ] {
        last = builder.add(op, &[last]).unwrap();
    }
    builder.finish(last).unwrap()
}

fn settings() -> TrainSettings {
    TrainSettings {
        dataset: "fashion-mnist".to_owned(),
        epochs: 4,
        batch_size: 16,
        learning_rate: 0.05,
        ..TrainSettings::default()
    }
}

/// The accuracy of each epoch, and the result of the training.
fn run(
    settings: &TrainSettings,
    seed: u64,
    stopped: &dyn Fn() -> bool,
) -> (Vec<f64>, Result<Option<Accuracy>, EvaluationError>) {
    tch::set_num_threads(1);
    let directory = tempfile::tempdir().unwrap();
    let mut library = tiny_library(directory.path());
    let splits = library.splits("fashion-mnist", TINY).unwrap();
    let mut weights = Randomness::Weights.stream(seed);
    let network = Network::new(&small_graph(), &mut weights, Device::Cpu, Kind::Float).unwrap();
    let gate = Gate::open(&directory.path().join("gate"), "cpu").unwrap();
    let mut reported = Vec::new();
    let mut report = |step: u32, steps: u32, metrics: &[(&str, f64)]| {
        assert_eq!(steps, settings.epochs);
        let accuracy = metrics.iter().find(|(name, _)| *name == "accuracy").unwrap().1;
        reported.push(accuracy);
        assert_eq!(step as usize, reported.len());
    };
    let mut supervision =
        Supervision { stopped, report: &mut report, gate: &gate, synchronize: &|| {} };
    let result = train(&network, &splits, settings, seed, true, &mut supervision);
    (reported, result)
}

#[test]
fn it_learns_and_reports_each_epoch() {
    let (reported, result) = run(&settings(), 1, &|| false);
    let accuracy = result.unwrap().unwrap();
    assert_eq!(reported.len(), 4);
    assert_eq!(reported.last(), Some(&accuracy.percent()));
    assert_eq!(accuracy.total, 40);
    assert!(accuracy.percent() > 40.0, "chance is 10 %, reached {reported:?}");
}

#[test]
fn a_seed_repeats_exactly_on_one_thread() {
    let settings = TrainSettings { epochs: 2, ..settings() };
    let (first, _) = run(&settings, 5, &|| false);
    let (second, _) = run(&settings, 5, &|| false);
    assert_eq!(first, second);
}

#[test]
fn a_loss_that_explodes_is_a_failure_at_once() {
    let settings =
        TrainSettings { learning_rate: 1e25, warmup_epochs: 0.0, weight_decay: 0.0, ..settings() };
    let (reported, result) = run(&settings, 1, &|| false);
    let Err(EvaluationError::NonFinite(reason)) = result else { panic!("{result:?}") };
    assert!(reason.contains("training loss") && reason.contains("epoch 1"), "{reason}");
    assert!(reported.is_empty());
}

#[test]
fn a_stop_ends_it_between_two_steps() {
    let polls = Cell::new(0);
    let stopped = || {
        polls.set(polls.get() + 1);
        polls.get() > 8
    };
    let (reported, result) = run(&settings(), 1, &stopped);
    assert!(matches!(result, Err(EvaluationError::Stopped)));
    assert!(reported.is_empty());
}

#[test]
fn the_rate_rises_and_falls_to_zero() {
    let schedule = Schedule::new(0.4, 0.5, 4, 8);
    assert_eq!(schedule.rate(0), 0.1);
    assert_eq!(schedule.rate(3), 0.4);
    assert_eq!(schedule.rate(4), 0.4);
    assert!((schedule.rate(18) - 0.2).abs() < 1e-12);
    assert!(schedule.rate(31) < 0.002 && schedule.rate(31) > 0.0);
    for step in 4..31 {
        assert!(schedule.rate(step + 1) < schedule.rate(step));
    }
    // A warm-up as long as the training, or none at all, is fine.
    assert_eq!(Schedule::new(0.4, 4.0, 4, 8).rate(31), 0.4);
    assert_eq!(Schedule::new(0.4, 0.0, 1, 1).rate(0), 0.4);
}

#[test]
fn the_standard_error_is_binomial() {
    let accuracy = Accuracy { correct: 900, total: 1000 };
    assert_eq!(accuracy.percent(), 90.0);
    assert!((accuracy.standard_error() - 0.948_683).abs() < 1e-6);
    assert_eq!(Accuracy { correct: 5, total: 5 }.standard_error(), 0.0);
}
