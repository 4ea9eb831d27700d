//! The real process over its pipe: it greets, trains, goes on, stops, fails in kind and survives
//! garbage.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking like the tests")]

mod support;

use std::fs;
use std::io::Write;

use cambrian_core::graph::{Graph, GraphBuilder, Op, Shape, Window};
use cambrian_proto::v1::{Assignment, FailureKind, Stage, TaskAttempt, evaluator_message, outcome};
use serde_json::{Value, json};
use support::*;

#[test]
fn it_measures_what_is_asked_for_and_nothing_else() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    assert_eq!(evaluator.hello.protocol, 1);
    let capabilities = evaluator.hello.capabilities.clone().unwrap();
    assert!(capabilities.device_class.starts_with("cpu:"), "{}", capabilities.device_class);
    assert!(capabilities.device_class.ends_with(":1t"), "{}", capabilities.device_class);
    assert_eq!(capabilities.datasets, ["fashion-mnist"]);
    let offer = &capabilities.evaluators[0];
    assert_eq!(offer.name, "train");

    let trained = ["accuracy", "test_accuracy", "introspectability", "flatness", "bn_indicator"];
    let all = [trained.as_slice(), &["latency", "energy"]].concat();
    let three = json!({"epochs": 3});
    let mut trained = settings();
    trained["epochs"] = three["epochs"].clone();
    evaluator.evaluate(assignment(1, &trained, &all));
    let (ended, steps) = evaluator.ended();
    assert_eq!(steps, [1, 2, 3]);
    assert_eq!(ended.attempt, Some(TaskAttempt { task: 1, attempt: 1 }));
    let Some(outcome::Outcome::Measured(measured)) = ended.outcome.unwrap().outcome else {
        panic!("not measured");
    };
    let names: Vec<_> = measured.measurements.iter().map(|m| m.metric.as_str()).collect();
    assert_eq!(names, all);
    for measurement in &measured.measurements {
        assert!(measurement.value.is_finite());
        // What was announced is what is delivered.
        assert_eq!(measurement.provenance.as_ref(), offer.metrics.get(&measurement.metric));
    }
    assert!(measured.measurements[0].value > 25.0, "chance is 10 %: {measured:?}");
    assert!((0.0..=2.0).contains(&measured.measurements[2].value));
    assert!(measured.measurements[3].value > 0.0);
    assert!(measured.measurements[4].value > 0.0);
    assert!(measured.measurements[5].spread.is_some());

    // The process is warm; without an accuracy nothing is trained, so there is no progress.
    evaluator.evaluate(assignment(2, &settings(), &["latency"]));
    let names: Vec<_> = evaluator.measured().into_iter().map(|m| m.metric).collect();
    assert_eq!(names, ["latency"]);
    assert_eq!(evaluator.close(), Some(0));
}

#[test]
fn a_seed_gives_the_same_accuracy_in_every_process() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let run = || {
        let mut evaluator = Evaluator::start(base.path());
        evaluator.evaluate(assignment(1, &settings(), &["accuracy", "introspectability"]));
        evaluator.measured().iter().map(|m| m.value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_training_goes_on_in_another_process() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let with = |epochs: u32| {
        let mut settings = settings();
        settings["epochs"] = json!(epochs);
        settings["schedule_epochs"] = json!(3);
        settings["deterministic"] = json!(true);
        settings
    };
    let measures = ["accuracy", "introspectability", "flatness"];
    let run = |assignment: Assignment| {
        let mut evaluator = Evaluator::start(base.path());
        evaluator.evaluate(assignment);
        let (ended, steps) = evaluator.ended();
        let ended = ended.outcome.unwrap();
        let Some(outcome::Outcome::Measured(measured)) = ended.outcome else { panic!("{ended:?}") };
        let values = measured.measurements.iter().map(|found| found.value.to_bits());
        (steps, values.collect::<Vec<_>>(), ended.note)
    };
    let file = base.path().join("state").to_str().unwrap().to_owned();
    let first = Assignment {
        keep: true,
        checkpoint_path: file.clone(),
        ..assignment(1, &with(1), &measures)
    };
    let (steps, _, note) = run(first);
    assert_eq!((steps, note.as_str()), (vec![1], ""));
    let rest = Assignment { resume_path: file.clone(), ..assignment(2, &with(3), &measures) };
    let (steps, resumed, note) = run(rest.clone());
    assert_eq!((steps, note.as_str()), (vec![2, 3], ""), "only the epochs that are left");
    let (steps, stretch, _) = run(assignment(3, &with(3), &measures));
    assert_eq!(steps, [1, 2, 3]);
    assert_eq!(resumed, stretch, "bit for bit");

    // The state of another candidate, or half a file, is no reason to fail.
    let other = Assignment { seed: 8, ..rest.clone() };
    let (steps, _, note) = run(other);
    assert_eq!(steps, [1, 2, 3]);
    assert!(note.contains("began anew") && note.contains("seed"), "{note}");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let (_, values, note) = run(rest);
    assert!(note.contains("damaged"), "{note}");
    assert_eq!(values, stretch);
}

#[test]
fn a_training_that_yields_goes_on_in_another_process_with_the_same_bits() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut settings = settings();
    settings["epochs"] = json!(400);
    settings["deterministic"] = json!(true);
    let file = base.path().join("left");
    let path = file.to_str().unwrap().to_owned();
    let begun = |task| Assignment {
        yield_path: path.clone(),
        ..assignment(task, &settings, &["accuracy"])
    };
    let mut evaluator = Evaluator::start(base.path());
    let offers = &evaluator.hello.capabilities.as_ref().unwrap().evaluators;
    assert!(offers.iter().all(|offer| offer.yields == (offer.name == "train")));

    // One that is stopped for good leaves nothing.
    evaluator.evaluate(begun(1));
    receive(&mut evaluator.output);
    evaluator.end(TaskAttempt { task: 1, attempt: 1 }, false);
    assert_eq!(evaluator.failure().0, FailureKind::Preempted);
    assert!(!file.exists());

    evaluator.evaluate(begun(2));
    receive(&mut evaluator.output);
    evaluator.end(TaskAttempt { task: 2, attempt: 1 }, true);
    let (ended, steps) = evaluator.ended();
    let ended = ended.outcome.unwrap();
    let last = steps.last().copied().unwrap_or(1);
    assert!(last < 400, "it was stopped half-way");
    assert_eq!(ended.step, last);
    let Some(outcome::Outcome::Failed(failure)) = ended.outcome else { panic!("{ended:?}") };
    assert_eq!(failure.kind(), FailureKind::Preempted);

    let mut other = Evaluator::start(base.path());
    other.evaluate(Assignment { resume_path: path.clone(), ..begun(3) });
    let (ended, steps) = other.ended();
    let resumed = ended.outcome.unwrap();
    assert_eq!(resumed.note, "");
    assert_eq!(steps, (last + 1..=400).collect::<Vec<_>>(), "only what is left");
    evaluator.evaluate(begun(4));
    let stretch = evaluator.ended().0.outcome.unwrap();
    assert_eq!(resumed.outcome, stretch.outcome, "bit for bit");
}

#[test]
fn initial_weights_are_those_of_the_settings() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let mut scores = |init: &str| {
        evaluator.evaluate(scoring(1, &json!({"init": init}), &["snip", "ntk_condition"]));
        let values = evaluator.measured().into_iter().map(|found| (found.metric, found.value));
        values.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (uniform, orthogonal) = (scores("uniform"), scores("delta_orthogonal"));
    assert_ne!(uniform["snip"], orthogonal["snip"]);
    assert_eq!(uniform["ntk_condition"], orthogonal["ntk_condition"], "it has weights of its own");
    let mut trained = |init: &str| {
        let mut settings = settings();
        settings["init"] = json!(init);
        evaluator.evaluate(assignment(1, &settings, &["introspectability"]));
        evaluator.measured()[0].value
    };
    assert_ne!(trained("uniform"), trained("delta_orthogonal"));
}

#[test]
fn what_only_a_gpu_can_do_is_a_bad_node_here() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let mut mixed = settings();
    mixed["precision"] = json!("mixed");
    evaluator.evaluate(assignment(1, &mixed, &["accuracy"]));
    let (kind, message) = evaluator.failure();
    assert_eq!(kind, FailureKind::BadNode);
    assert!(message.contains("precision: mixed"), "{message}");
}

const PROXIES: [&str; 20] = [
    "grad_norm",
    "plain",
    "snip",
    "grasp",
    "synflow",
    "fisher",
    "jacob_cov",
    "naswot",
    "linear_regions",
    "ntk_condition",
    "zen",
    "zico",
    "grad_sign",
    "knas_mgm",
    "knas_mgm_code",
    "jacobian_mean_square",
    "jacobian_condition",
    "nn_mass",
    "autost",
    "spiking_energy",
];

fn scoring(seed: u64, settings: &Value, measures: &[&str]) -> Assignment {
    let mut assignment = Assignment { seed, ..assignment(1, settings, measures) };
    let stage = assignment.stage.as_mut().unwrap();
    stage.evaluator = "proxies".to_owned();
    stage.dataset.clear();
    assignment
}

/// A network to which every score applies.
fn deep() -> Graph {
    let mut builder = GraphBuilder::new(IMAGE);
    let mut last = builder.input();
    for stride in [2, 1, 1] {
        let window = Window { kernel: 3, stride, padding: 1 };
        let conv = Op::Conv2d { out_channels: 8, window, dilation: 1, groups: 1, bias: false };
        for op in [conv, Op::BatchNorm, Op::Relu] {
            last = builder.add(op, &[last]).unwrap();
        }
    }
    for op in [Op::Flatten, Op::Linear { out_features: 10, bias: true }] {
        last = builder.add(op, &[last]).unwrap();
    }
    builder.finish(last).unwrap()
}

#[test]
fn proxies_score_a_network_on_images_or_on_noise() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let capabilities = evaluator.hello.capabilities.clone().unwrap();
    let offer = capabilities.evaluators.iter().find(|offer| offer.name == "proxies").unwrap();
    assert_eq!(offer.metrics.len(), PROXIES.len());
    let sizes = json!({
        "zico": {"batch_size": 32}, "ntk_condition": {"batch_size": 8}, "zen": {"repeats": 3},
        "naswot": {"batch_size": 16, "repeats": 2}, "linear_regions": {"batch_size": 100},
    });
    let deep = deep();
    for dataset in [Value::Null, json!("fashion-mnist")] {
        let settings = json!({"dataset": dataset, "sizes": sizes});
        let mut scores = |seed| {
            let assignment = scoring(seed, &settings, &PROXIES);
            evaluator.evaluate(Assignment { graph: Some((&deep).into()), ..assignment });
            let (ended, steps) = evaluator.ended();
            let measured = match ended.outcome.unwrap().outcome.unwrap() {
                outcome::Outcome::Measured(measured) => measured.measurements,
                outcome::Outcome::Failed(failure) => panic!("after {steps:?}: {failure:?}"),
            };
            // One step for each score and repeat.
            assert_eq!(steps, (1..=20 + 2 + 1 + 2 + 2).collect::<Vec<_>>());
            measured
        };
        let first = scores(7);
        let mut names: Vec<_> = first.iter().map(|m| m.metric.as_str()).collect();
        names.sort_unstable();
        let mut expected = PROXIES;
        expected.sort_unstable();
        assert_eq!(names, expected);
        for measurement in &first {
            assert_eq!(measurement.provenance.as_ref(), offer.metrics.get(&measurement.metric));
            let repeated = ["zen", "naswot", "ntk_condition", "linear_regions"];
            let has_spread = repeated.contains(&measurement.metric.as_str());
            assert_eq!(measurement.spread.is_some(), has_spread, "{measurement:?}");
        }
        assert_eq!(scores(7), first);
        assert_ne!(scores(8), first);
    }
}

#[test]
fn scores_that_are_no_numbers_or_have_no_meaning_are_failures_of_their_kind() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let mut linear = GraphBuilder::new(IMAGE);
    let flat = linear.add(Op::Flatten, &[linear.input()]).unwrap();
    let output = linear.add(Op::Linear { out_features: 10, bias: false }, &[flat]).unwrap();
    let linear = linear.finish(output).unwrap();
    let images = |batch_size: u32| json!({"dataset": "fashion-mnist", "sizes": {"naswot": {"batch_size": batch_size}}});
    let mut narrow = GraphBuilder::new(IMAGE);
    let flat = narrow.add(Op::Flatten, &[narrow.input()]).unwrap();
    let hidden = narrow.add(Op::Linear { out_features: 2, bias: false }, &[flat]).unwrap();
    let active = narrow.add(Op::Relu, &[hidden]).unwrap();
    let output = narrow.add(Op::Linear { out_features: 10, bias: false }, &[active]).unwrap();
    let narrow = narrow.finish(output).unwrap();
    use FailureKind::{Invalid, NonFinite};
    let of_graph = |graph: &Graph| Assignment {
        graph: Some(graph.into()),
        ..scoring(1, &images(40), &["naswot"])
    };
    let cases = [
        (of_graph(&linear), Invalid, "no ReLU"),
        // Two units have four patterns, so those of 40 images cannot all differ.
        (of_graph(&narrow), NonFinite, "`naswot` of the network is -inf"),
        (scoring(1, &json!({}), &["nn_mass"]), Invalid, "nothing that a link could skip"),
        (scoring(1, &images(101), &["naswot"]), Invalid, "reads 101 training images"),
        (scoring(1, &json!({"dataset": "imagenet"}), &["snip"]), Invalid, "imagenet"),
        (scoring(1, &json!({"batch": 1}), &["snip"]), Invalid, "batch"),
        (scoring(1, &json!({}), &["accuracy"]), Invalid, "`accuracy`"),
    ];
    for (assignment, kind, text) in cases {
        evaluator.evaluate(assignment);
        let (found, message) = evaluator.failure();
        assert_eq!((found, message.contains(text)), (kind, true), "{text}: {message}");
    }
    evaluator.evaluate(scoring(1, &images(8), &["naswot"]));
    assert_eq!(evaluator.measured().len(), 1);
}

#[test]
fn a_stop_ends_a_training_in_work_and_one_that_waits() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let mut endless = settings();
    endless["epochs"] = json!(100_000);
    evaluator.evaluate(assignment(1, &endless, &["accuracy"]));
    evaluator.evaluate(assignment(2, &endless, &["accuracy"]));
    let first = receive(&mut evaluator.output);
    assert!(matches!(first, Some(evaluator_message::Message::Progress(_))));
    evaluator.stop(TaskAttempt { task: 2, attempt: 1 });
    // A stop for an attempt that is not here is nothing.
    evaluator.stop(TaskAttempt { task: 9, attempt: 9 });
    evaluator.stop(TaskAttempt { task: 1, attempt: 1 });
    assert_eq!(evaluator.failure().0, FailureKind::Preempted);
    assert_eq!(evaluator.failure().0, FailureKind::Preempted);
    evaluator.evaluate(assignment(3, &settings(), &["accuracy"]));
    assert_eq!(evaluator.measured().len(), 1);
}

#[test]
fn each_fault_is_a_failure_of_its_kind_and_the_process_goes_on() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let with = |key: &str, value: Value| {
        let mut settings = settings();
        settings[key] = value;
        assignment(1, &settings, &["accuracy"])
    };
    let of_graph = |graph: Option<Graph>| Assignment {
        graph: graph.as_ref().map(Into::into),
        ..with("epochs", json!(1))
    };
    let in_stage = |change: fn(&mut Stage)| {
        let mut assignment = with("epochs", json!(1));
        change(assignment.stage.as_mut().unwrap());
        assignment
    };
    let wide = Shape::Map { channels: 1, height: 32, width: 32 };
    let mut huge = GraphBuilder::new(IMAGE);
    let flat = huge.add(Op::Flatten, &[huge.input()]).unwrap();
    let hidden = huge.add(Op::Linear { out_features: 1 << 20, bias: false }, &[flat]).unwrap();
    let hidden = huge.add(Op::Linear { out_features: 1 << 20, bias: false }, &[hidden]).unwrap();
    let output = huge.add(Op::Linear { out_features: 10, bias: false }, &[hidden]).unwrap();
    let huge = huge.finish(output).unwrap();
    use FailureKind::{Invalid, NonFinite, OutOfMemory};
    let cases = [
        (with("train_samples", json!(81)), Invalid, "exceed the 120"),
        (with("learning_rate", json!(1e30)), NonFinite, "loss"),
        (with("learning_rate", json!("fast")), Invalid, "settings"),
        (with("learning_rat", json!(0.1)), Invalid, "learning_rat"),
        (with("dataset", json!("imagenet")), Invalid, "no dataset `imagenet`"),
        (of_graph(None), Invalid, "has no network"),
        (of_graph(Some(graph(wide, 10))), Invalid, "1x32x32"),
        (of_graph(Some(graph(IMAGE, 11))), Invalid, "10 classes"),
        (of_graph(Some(huge)), OutOfMemory, "parameters"),
        (Assignment { task: 1, attempt: 1, ..Assignment::default() }, Invalid, "candidate"),
        (in_stage(|stage| stage.settings_json.clear()), Invalid, "settings_json"),
        (in_stage(|stage| stage.evaluator = "oracle".to_owned()), Invalid, "`oracle`"),
        (in_stage(|stage| stage.measures = vec!["beauty".to_owned()]), Invalid, "`beauty`"),
    ];
    for (assignment, kind, text) in cases {
        evaluator.evaluate(assignment);
        let (found, message) = evaluator.failure();
        assert_eq!((found, message.contains(text)), (kind, true), "{text}: {message}");
    }
    evaluator.evaluate(assignment(1, &settings(), &["accuracy"]));
    assert_eq!(evaluator.measured().len(), 1);
}

#[test]
fn a_dataset_that_is_absent_or_damaged_is_a_bad_node() {
    let base = tempfile::tempdir().unwrap();
    let mut evaluator = Evaluator::start(base.path());
    let capabilities = evaluator.hello.capabilities.clone().unwrap();
    assert!(capabilities.datasets.is_empty());
    assert!(capabilities.unavailable["fashion-mnist"].contains("is not on this machine"));
    evaluator.evaluate(assignment(1, &settings(), &["accuracy"]));
    let (kind, message) = evaluator.failure();
    assert_eq!(kind, FailureKind::BadNode);
    assert!(message.contains("deploy/fetch-fashion-mnist"), "{message}");
    // It is found as soon as it is there, and read again after a fault.
    write_dataset(base.path());
    let images = base.path().join("fashion-mnist/train-images-idx3-ubyte.gz");
    let whole = fs::read(&images).unwrap();
    fs::write(&images, &whole[..whole.len() / 2]).unwrap();
    evaluator.evaluate(assignment(2, &settings(), &["accuracy"]));
    let (kind, message) = evaluator.failure();
    assert_eq!(kind, FailureKind::BadNode);
    assert!(message.contains("train-images-idx3-ubyte.gz is truncated"), "{message}");
    fs::write(&images, whole).unwrap();
    evaluator.evaluate(assignment(3, &settings(), &["accuracy"]));
    assert_eq!(evaluator.measured().len(), 1);
}

#[test]
fn an_announced_dataset_that_vanishes_is_a_bad_node_until_it_is_back() {
    let base = tempfile::tempdir().unwrap();
    let (folder, away) = (base.path().join("pictures"), base.path().join("away"));
    for part in ["train", "test"] {
        for class in 0..10u8 {
            let class_folder = folder.join(part).join(class.to_string());
            fs::create_dir_all(&class_folder).unwrap();
            let image = image::GrayImage::from_fn(28, 28, |x, y| {
                image::Luma([(x * 7 + y * 3) as u8 ^ (class * 20)])
            });
            image.save(class_folder.join("image.png")).unwrap();
        }
    }
    let mut evaluator = Evaluator::start(base.path());
    assert_eq!(evaluator.hello.capabilities.as_ref().unwrap().datasets, ["pictures"]);
    let snip = scoring(
        1,
        &json!({"dataset": "pictures", "sizes": {"snip": {"batch_size": 8}}}),
        &["snip"],
    );
    fs::rename(&folder, &away).unwrap();
    evaluator.evaluate(snip.clone());
    let (kind, message) = evaluator.failure();
    assert_eq!(kind, FailureKind::BadNode);
    assert!(message.contains("pictures was on this machine"), "{message}");

    fs::rename(&away, &folder).unwrap();
    evaluator.evaluate(snip.clone());
    let first = evaluator.measured();
    // What is in memory needs no folder.
    fs::rename(&folder, &away).unwrap();
    evaluator.evaluate(snip);
    assert_eq!(evaluator.measured(), first);
}

#[test]
fn garbage_ends_the_process_with_a_code() {
    let base = tempfile::tempdir().unwrap();
    for garbage in [&[0xff; 32][..], b"\x03\xff\xff\xff"] {
        let mut evaluator = Evaluator::start(base.path());
        // The process may be gone before all of it is written.
        let _ = evaluator.input.as_mut().unwrap().write_all(garbage);
        assert_eq!(evaluator.close(), Some(2));
    }
}

#[test]
fn the_end_of_the_pipe_ends_a_training_in_work() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let mut endless = settings();
    endless["epochs"] = json!(100_000);
    evaluator.evaluate(assignment(1, &endless, &["accuracy"]));
    let first = receive(&mut evaluator.output);
    assert!(matches!(first, Some(evaluator_message::Message::Progress(_))));
    assert_eq!(evaluator.close(), Some(0));
}

#[test]
fn the_memory_that_is_announced_is_no_more_than_this_process_may_have() {
    let base = tempfile::tempdir().unwrap();
    let evaluator = command(base.path());
    let mut bounded = std::process::Command::new("sh");
    // 2 GiB, in KiB.
    bounded.args(["-c", "ulimit -d 2097152 && exec \"$@\"", "sh"]);
    bounded.arg(evaluator.get_program()).args(evaluator.get_args()).arg("--check");
    bounded.env_remove("LD_LIBRARY_PATH").env("XDG_CACHE_HOME", base.path());
    let output = bounded.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(" (2.0 GiB)"), "{text}");
}

#[test]
fn a_check_prints_what_the_machine_can_do() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let output = command(base.path()).arg("--check").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in ["device class  cpu:", "evaluator     train", "dataset       fashion-mnist"] {
        assert!(text.contains(part), "{text}");
    }
    let refused = command(base.path()).args(["--device", "gpu"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`gpu` is not a device"));
}
