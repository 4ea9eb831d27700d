//! Training on a tiny dataset: it learns, repeats exactly and fails in its own way.

use std::cell::Cell;
use std::path::PathBuf;

use cambrian_core::graph::{Graph, GraphBuilder, Op, Shape};
use cambrian_core::spec::{AugmentSettings, OptimizerKind, TrainedPart};
use tch::{Device, Kind};

use super::*;
use crate::data::tests::{TINY, tiny_library};
use crate::evaluate::Kept;
use crate::measure::gate::Gate;
use crate::network::MapLayout;
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
    let ended = course(settings, seed, &Kept::default(), stopped);
    (ended.reported, ended.result)
}

/// How a training went.
struct Ended {
    /// The epochs that were reported, and the accuracy of each.
    epochs: Vec<u32>,
    reported: Vec<f64>,
    result: Result<Option<Accuracy>, EvaluationError>,
    notes: Vec<String>,
    /// The bits of all weights in the end, by name.
    weights: BTreeMap<String, Vec<f32>>,
}

fn course(settings: &TrainSettings, seed: u64, kept: &Kept, stopped: &dyn Fn() -> bool) -> Ended {
    asked_course(settings, seed, kept, stopped, (&|| None, &mut |_| {}))
}

/// The same, whose state is asked for on the way.
fn asked_course(
    settings: &TrainSettings,
    seed: u64,
    kept: &Kept,
    stopped: &dyn Fn() -> bool,
    (asked, written): (&dyn Fn() -> Option<PathBuf>, &mut dyn FnMut(u32)),
) -> Ended {
    tch::set_num_threads(1);
    let directory = tempfile::tempdir().unwrap();
    let mut library = tiny_library(directory.path());
    let splits = library.splits("fashion-mnist", TINY).unwrap();
    let mut weights = Randomness::Weights.stream(seed);
    let graph = small_graph();
    let network = Network::new(&graph, &mut weights, Device::Cpu, Kind::Float).unwrap();
    network.set_layout(MapLayout::ChannelsLast).unwrap();
    if settings.train_only == TrainedPart::BatchNorm {
        network.freeze_layers().unwrap();
    }
    let gate = Gate::open(&directory.path().join("gate"), "cpu").unwrap();
    let (mut epochs, mut reported) = (Vec::new(), Vec::new());
    let mut report = |step: u32, steps: u32, metrics: &[(&str, f64)]| {
        assert_eq!(steps, settings.epochs);
        let accuracy = metrics.iter().find(|(name, _)| *name == "accuracy").unwrap().1;
        reported.push(accuracy);
        epochs.push(step);
    };
    let mut supervision = Supervision {
        stopped,
        wanted: &|| kept.left.is_some(),
        asked,
        written,
        report: &mut report,
        gate: &gate,
        synchronize: &|| {},
        kept: kept.clone(),
    };
    let files = Files {
        identity: Identity::of(&graph, settings, seed, "1"),
        resume: kept.resume.clone(),
        write: kept.write.clone(),
        left: kept.left.clone(),
    };
    let result = train(&network, &splits, settings, true, &files, &mut supervision);
    let notes = supervision.kept.notes;
    let values = |tensor: &Tensor| Vec::try_from(tensor.flatten(0, -1)).unwrap();
    let variables = network.variables().into_iter();
    let weights = variables.map(|(name, value)| (name, values(&value)));
    Ended { epochs, reported, result, notes, weights: weights.collect() }
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
fn the_standard_error_is_binomial() {
    let accuracy = Accuracy { correct: 900, total: 1000 };
    assert_eq!(accuracy.percent(), 90.0);
    assert!((accuracy.standard_error() - 0.948_683).abs() < 1e-6);
    assert_eq!(Accuracy { correct: 5, total: 5 }.standard_error(), 0.0);
}

/// Recipes that differ in everything that is kept between two parts of a training.
fn recipes() -> [TrainSettings; 6] {
    let base = TrainSettings { epochs: 3, schedule_epochs: Some(3), ..settings() };
    let adam = TrainSettings {
        optimizer: OptimizerKind::AdamW,
        learning_rate: 0.003,
        weight_decay: 0.05,
        ..base.clone()
    };
    [
        base.clone(),
        TrainSettings { train_only: TrainedPart::BatchNorm, ..base.clone() },
        TrainSettings { momentum: 0.0, nesterov: false, ..base.clone() },
        TrainSettings { nesterov: false, decay_norm_and_bias: false, ..base.clone() },
        TrainSettings {
            ema_decay: Some(0.9),
            clip_norm: Some(0.5),
            augment: AugmentSettings { erase: 0.5, ..AugmentSettings::default() },
            ..base
        },
        TrainSettings { decay_norm_and_bias: false, label_smoothing: 0.1, ..adam },
    ]
}

#[test]
fn a_training_in_parts_has_the_bits_of_one_at_a_stretch() {
    for whole in recipes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state");
        let kept = Kept { write: Some(file.clone()), ..Kept::default() };
        let part = TrainSettings { epochs: 1, ..whole.clone() };
        let first = course(&part, 3, &kept, &|| false);
        assert_eq!((first.epochs.as_slice(), &first.notes), ([1].as_slice(), &vec![]));
        let kept = Kept { resume: Some(file), ..Kept::default() };
        let rest = course(&whole, 3, &kept, &|| false);
        assert_eq!((rest.epochs.as_slice(), &rest.notes), ([2, 3].as_slice(), &vec![]));
        let stretch = course(&whole, 3, &Kept::default(), &|| false);
        assert_eq!(stretch.epochs, [1, 2, 3]);
        assert_eq!(first.reported, stretch.reported[..1]);
        assert_eq!(rest.reported, stretch.reported[1..]);
        assert!(rest.weights == stretch.weights, "weights differ: {whole:?}");
        assert!(first.weights != stretch.weights);
    }
}

#[test]
fn a_training_that_is_stopped_anywhere_goes_on_with_the_same_bits() {
    for whole in recipes() {
        let looks = Cell::new(0);
        let counts = || {
            looks.set(looks.get() + 1);
            false
        };
        let stretch = course(&whole, 3, &Kept::default(), &counts);
        // Each look is between two steps, or two batches of a validation.
        let all = looks.get();
        let directory = tempfile::tempdir().unwrap();
        for stop_at in [0, 1, 2, all / 3, all / 2, all - 2, all - 1] {
            let file = directory.path().join(stop_at.to_string());
            let kept = Kept { left: Some(file.clone()), ..Kept::default() };
            looks.set(0);
            let stops = || {
                looks.set(looks.get() + 1);
                looks.get() > stop_at
            };
            let first = course(&whole, 3, &kept, &stops);
            assert!(matches!(first.result, Err(EvaluationError::Stopped)), "{stop_at} of {all}");
            let kept = Kept { resume: Some(file), ..Kept::default() };
            let rest = course(&whole, 3, &kept, &|| false);
            assert!(rest.notes.is_empty(), "{:?}", rest.notes);
            assert_eq!([first.epochs, rest.epochs].concat(), stretch.epochs, "each epoch once");
            assert_eq!([first.reported, rest.reported].concat(), stretch.reported);
            assert!(rest.weights == stretch.weights, "weights differ at {stop_at}: {whole:?}");
        }
    }
}

/// States that are asked for on the way, of which any may be the last that is left of a training.
#[test]
fn a_training_that_is_lost_goes_on_from_any_state_on_its_way_with_the_same_bits() {
    for whole in recipes() {
        let stretch = course(&whole, 3, &Kept::default(), &|| false);
        let directory = tempfile::tempdir().unwrap();
        let path = |number: usize| directory.path().join(number.to_string());
        let (asked, mut steps) = (Cell::new(0), Vec::new());
        // After each step, which is more often than anybody would.
        let ask = || {
            asked.set(asked.get() + 1);
            Some(path(asked.get()))
        };
        let mut written = |step: u32| steps.push(step);
        let saved = asked_course(&whole, 3, &Kept::default(), &|| false, (&ask, &mut written));
        assert!(saved.weights == stretch.weights && saved.reported == stretch.reported);
        assert_eq!(steps.len(), asked.get());
        assert!(steps.is_sorted() && steps[0] == 0 && *steps.last().unwrap() == whole.epochs - 1);
        for number in [1, steps.len() / 2, steps.len()] {
            let kept = Kept { resume: Some(path(number)), ..Kept::default() };
            let rest = course(&whole, 3, &kept, &|| false);
            assert!(rest.notes.is_empty(), "{:?}", rest.notes);
            assert_eq!(rest.epochs[0], steps[number - 1] + 1, "the epoch that it is in");
            assert!(rest.weights == stretch.weights, "weights differ from {number}: {whole:?}");
        }
    }
}

#[test]
fn a_state_that_cannot_be_written_on_the_way_costs_nothing() {
    let settings = TrainSettings { epochs: 1, ..settings() };
    let plain = course(&settings, 4, &Kept::default(), &|| false);
    let nowhere = || Some(PathBuf::from("/nonexistent/state"));
    let mut written = |step: u32| panic!("{step} steps are in no file");
    let tried = asked_course(&settings, 4, &Kept::default(), &|| false, (&nowhere, &mut written));
    assert!(tried.weights == plain.weights && tried.notes.is_empty());
}

#[test]
fn writing_the_state_changes_nothing() {
    for settings in recipes() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept { write: Some(directory.path().join("state")), ..Kept::default() };
        let settings = TrainSettings { epochs: 1, ..settings };
        let with = course(&settings, 4, &kept, &|| false);
        let without = course(&settings, 4, &Kept::default(), &|| false);
        assert!(with.weights == without.weights && with.reported == without.reported);
    }
}

#[test]
fn a_state_that_cannot_be_continued_is_noted_and_trained_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (file, damaged) = (directory.path().join("state"), directory.path().join("damaged"));
    let settings = TrainSettings { epochs: 2, ..settings() };
    let kept = Kept { write: Some(file.clone()), ..Kept::default() };
    course(&TrainSettings { epochs: 1, ..settings.clone() }, 3, &kept, &|| false);
    let whole = std::fs::read(&file).unwrap();
    let anew = course(&settings, 3, &Kept::default(), &|| false);

    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let broken: [(Vec<u8>, &str); 6] = [
        (Vec::new(), "too short"),
        (b"something else entirely, and longer than a checksum".to_vec(), "does not begin"),
        (whole[..whole.len() - 1].to_vec(), "checksum"),
        (flipped(whole.len() / 2), "checksum"),
        (flipped(whole.len() - 1), "checksum"),
        (flipped(30), "checksum"),
    ];
    for (bytes, reason) in broken {
        std::fs::write(&damaged, bytes).unwrap();
        let kept = Kept { resume: Some(damaged.clone()), ..Kept::default() };
        let ended = course(&settings, 3, &kept, &|| false);
        assert_eq!(ended.epochs, [1, 2]);
        assert!(ended.notes.len() == 1 && ended.notes[0].contains(reason), "{:?}", ended.notes);
        assert!(ended.weights == anew.weights, "{reason}");
    }
    let absent = Kept { resume: Some(directory.path().join("absent")), ..Kept::default() };
    assert!(course(&settings, 3, &absent, &|| false).notes[0].contains("cannot be read"));

    let from_file = Kept { resume: Some(file), ..Kept::default() };
    let others = [
        (TrainSettings { epochs: 1, ..settings.clone() }, 3, "1 of 1 epochs"),
        (TrainSettings { batch_size: 8, ..settings.clone() }, 3, "its recipe is different"),
        (settings.clone(), 4, "its seed is different"),
    ];
    for (settings, seed, reason) in others {
        let ended = course(&settings, seed, &from_file, &|| false);
        assert!(ended.notes.len() == 1 && ended.notes[0].contains(reason), "{:?}", ended.notes);
        assert_eq!(ended.epochs.first(), Some(&1));
    }
}

#[test]
fn a_state_that_cannot_be_written_costs_no_result() {
    let kept = Kept { write: Some("/no/such/folder/state".into()), ..Kept::default() };
    let ended = course(&TrainSettings { epochs: 1, ..settings() }, 3, &kept, &|| false);
    assert!(ended.result.unwrap().is_some());
    assert!(ended.notes[0].contains("could not be written"), "{:?}", ended.notes);
}

#[test]
fn the_average_is_what_is_evaluated() {
    // A decay so close to 1 hardly moves, once its warm-up is over; with few steps the warm-up rules.
    let settings = TrainSettings { epochs: 2, ..settings() };
    let plain = course(&settings, 3, &Kept::default(), &|| false);
    let averaged = TrainSettings { ema_decay: Some(0.999), ..settings };
    let averaged = course(&averaged, 3, &Kept::default(), &|| false);
    assert!(plain.weights != averaged.weights);
    assert!(averaged.result.unwrap().unwrap().percent() > 20.0);
}

#[test]
fn smoothed_labels_have_the_loss_of_the_closed_form() {
    let logits = [[1.0f64, -0.5, 0.25], [0.0, 2.0, -1.0]];
    let labels = [2i64, 1];
    let smoothing = 0.1;
    let tensor = Tensor::from_slice2(&logits);
    let found = smoothed_cross_entropy(&tensor, &Tensor::from_slice(&labels), smoothing).unwrap();
    let expected = logits.iter().zip(labels).map(|(row, label)| {
        let sum: f64 = row.iter().map(|value| value.exp()).sum();
        let share = |class: usize| {
            let own = f64::from(u8::from(class as i64 == label));
            (1.0 - smoothing) * own + smoothing / row.len() as f64
        };
        row.iter().enumerate().map(|(class, value)| -share(class) * (value - sum.ln())).sum::<f64>()
    });
    let expected = expected.sum::<f64>() / 2.0;
    assert!((found.double_value(&[]) - expected).abs() < 1e-12);
    let plain = mean_cross_entropy(&tensor, &Tensor::from_slice(&labels)).unwrap();
    assert!((plain.double_value(&[]) - expected).abs() > 1e-3);
}

#[test]
fn only_batch_normalisation_learns_where_asked() {
    let settings = TrainSettings { train_only: TrainedPart::BatchNorm, epochs: 2, ..settings() };
    let ended = course(&settings, 3, &Kept::default(), &|| false);
    ended.result.unwrap();
    let mut weights = Randomness::Weights.stream(3);
    let fresh = Network::new(&small_graph(), &mut weights, Device::Cpu, Kind::Float).unwrap();
    for (name, value) in fresh.variables() {
        let before: Vec<f32> = Vec::try_from(value.flatten(0, -1)).unwrap();
        let kept = name.ends_with("weight") || name.ends_with("bias");
        assert_eq!(ended.weights[&name] == before, kept, "{name}");
    }
}

#[test]
fn a_network_without_batch_normalisation_cannot_train_it_alone() {
    let network = crate::network::golden::network(Kind::Float);
    let error = network.freeze_layers().unwrap_err();
    assert!(matches!(error, EvaluationError::Invalid(_)), "{error}");
    assert!(network.weights().iter().all(Tensor::requires_grad));
}
