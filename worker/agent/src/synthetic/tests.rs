//! Tests of the made-up results: determinism, faults, refusals, evidence.

use cambrian_core::graph::{GraphBuilder, Op, Shape, Window};
use cambrian_proto::v1;

use super::*;
use crate::attempt::attempt_id;

fn graph(width: u32) -> Graph {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 3, height: 32, width: 32 });
    let window = Window { kernel: 3, stride: 1, padding: 1 };
    let conv = Op::Conv2d { out_channels: width, window, dilation: 1, groups: 1, bias: false };
    let input = builder.input();
    let conv = builder.add(conv, &[input]).unwrap();
    let pooled = builder.add(Op::GlobalAvgPool, &[conv]).unwrap();
    let output = builder.add(Op::Linear { out_features: 10, bias: true }, &[pooled]).unwrap();
    builder.finish(output).unwrap()
}

fn assignment(settings: &str) -> Assignment {
    let stage = Stage {
        evaluator: NAME.to_owned(),
        settings_json: settings.to_owned(),
        measures: vec!["accuracy".to_owned(), "latency".to_owned()],
        timeout_micros: 1_000_000,
        ..Stage::default()
    };
    Assignment {
        task: 1,
        attempt: 1,
        graph: Some(v1::Graph::from(&graph(16))),
        stage: Some(stage),
        seed: 7,
        ..Assignment::default()
    }
}

#[test]
fn values_depend_on_the_network_alone_and_are_plausible() {
    for metric in METRICS {
        let (small, large) = (value(&graph(8), metric), value(&graph(256), metric));
        assert_eq!(small.to_bits(), value(&graph(8), metric).to_bits());
        assert_ne!(small, large, "{metric}");
        assert!((0.0..=100.0).contains(&small), "{metric} is {small}");
    }
    assert!(value(&graph(256), "latency") > value(&graph(8), "latency"));
    let descriptors = cambrian_core::objective::METRICS;
    for metric in METRICS {
        assert!(descriptors.iter().any(|descriptor| descriptor.name == metric), "{metric}");
    }
}

#[test]
fn each_attempt_draws_its_own_fate_and_always_the_same() {
    let settings = r#"{"seconds": 10.0, "spread": 0.5, "faults": {"crash": 0.3, "hang": 0.3}}"#;
    let fates = |seed| {
        (1..60)
            .map(|attempt| {
                let plan = Plan::of(&Assignment { attempt, seed, ..assignment(settings) }).unwrap();
                assert!((5.0..=15.0).contains(&plan.duration.as_secs_f64()));
                (plan.fault, plan.duration)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(fates(7), fates(7));
    assert_ne!(fates(7), fates(8));
    for expected in [None, Some(Fault::Crash), Some(Fault::Hang)] {
        assert!(fates(7).iter().any(|(fault, _)| *fault == expected), "{expected:?} never came");
    }
}

#[test]
fn noise_follows_the_seed_and_not_the_attempt() {
    let measured = |seed, attempt| {
        let asked = Assignment { seed, attempt, ..assignment(r#"{"noise": 0.1}"#) };
        let measured = Plan::of(&asked).unwrap().measurements();
        measured.iter().map(|found| found.value).collect::<Vec<_>>()
    };
    let plain: Vec<f64> =
        ["accuracy", "latency"].iter().map(|metric| value(&graph(16), metric)).collect();
    assert_eq!(measured(7, 1), measured(7, 2));
    assert_ne!(measured(7, 1), measured(8, 1));
    let shares = measured(7, 1).into_iter().zip(&plain).map(|(noisy, plain)| noisy / plain - 1.0);
    let shares: Vec<f64> = shares.collect();
    assert!(shares[0] != shares[1] && shares.iter().all(|share| share.abs() < 0.5), "{shares:?}");
    let quiet = Plan::of(&assignment("{}")).unwrap().measurements();
    assert_eq!(quiet.iter().map(|found| found.value).collect::<Vec<_>>(), plain);
}

#[test]
fn each_fault_is_as_wide_as_its_probability() {
    let faults = SyntheticFaults {
        crash: 0.1,
        hang: 0.2,
        non_finite: 0.3,
        out_of_memory: 0.1,
        protocol_error: 0.1,
    };
    let cases = [
        (0.0, Some(Fault::Crash)),
        (0.15, Some(Fault::Hang)),
        (0.5, Some(Fault::NonFinite)),
        (0.65, Some(Fault::OutOfMemory)),
        (0.75, Some(Fault::ProtocolError)),
        (0.85, None),
    ];
    for (draw, expected) in cases {
        assert_eq!(fault(&faults, draw), expected, "at {draw}");
    }
    assert_eq!(fault(&SyntheticFaults::default(), 0.0), None);
    assert_eq!(
        fault(&SyntheticFaults { hang: 1.0, ..SyntheticFaults::default() }, 0.999),
        Some(Fault::Hang)
    );
}

#[test]
fn what_it_cannot_evaluate_is_refused_with_the_reason() {
    let stage = |change: fn(&mut Stage)| {
        let mut assignment = assignment("{}");
        change(assignment.stage.as_mut().unwrap());
        assignment
    };
    let cases = [
        (Assignment { stage: None, ..assignment("{}") }, "no stage"),
        (Assignment { graph: None, ..assignment("{}") }, "no graph"),
        (Assignment { graph: Some(v1::Graph::default()), ..assignment("{}") }, "graph"),
        (stage(|stage| stage.evaluator = "train".to_owned()), "`train`"),
        (stage(|stage| stage.settings_json = "{\"second\": 1}".to_owned()), "settings"),
        (stage(|stage| stage.settings_json = "{\"seconds\": -1.0}".to_owned()), "duration"),
        (stage(|stage| stage.settings_json = String::new()), "settings"),
        (stage(|stage| stage.measures.push("params".to_owned())), "params"),
    ];
    for (assignment, expected) in cases {
        let reason = Plan::of(&assignment).map(|_| ()).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }
    assert!(Plan::of(&assignment("{}")).is_ok());
}

#[test]
fn the_hello_is_what_a_coordinator_accepts() {
    let hello = hello(&["fashion-mnist".to_owned()]);
    let read = cambrian_core::engine::Capabilities::try_from(hello.capabilities.unwrap()).unwrap();
    assert_eq!(read.evaluators[0].metrics.len(), METRICS.len());
    assert!(read.datasets.contains("fashion-mnist"));
}

#[test]
fn evidence_has_one_line_for_each_finished_evaluation() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("evidence");
    let measured = |value| {
        let plan = Plan::of(&assignment("{}")).unwrap();
        let mut measurements = plan.measurements();
        measurements[0].value = value;
        outcome::Outcome::Measured(Measurements { measurements })
    };
    for _ in 0..2 {
        let mut evidence = Evidence::open(Some(&path)).unwrap();
        evidence.append(attempt_id(3, 1), &measured(1.0)).unwrap();
        evidence.append(attempt_id(3, 2), &measured(2.0)).unwrap();
        evidence.append(attempt_id(4, 1), &measured(f64::NAN)).unwrap();
        let failed = failed(FailureKind::OutOfMemory, String::new());
        evidence.append(attempt_id(5, 1), &failed).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(lines[..4], lines[4..]);
    assert_eq!(lines[0][..2], ["3", "1"]);
    assert_eq!(lines[0][2].len(), 16);
    assert_ne!(lines[0][2], lines[1][2]);
    assert_eq!(lines[2], ["4", "1", "failed:non_finite"]);
    assert_eq!(lines[3], ["5", "1", "failed:out_of_memory"]);
    assert!(Evidence::open(Some(root.path())).is_err());
}

#[test]
fn the_digest_does_not_depend_on_the_order() {
    let digest = |values: &[(&'static str, f64)]| digest(values.iter().copied());
    assert_eq!(digest(&[("a", 1.0), ("b", 2.0)]), digest(&[("b", 2.0), ("a", 1.0)]));
    assert_ne!(digest(&[("a", 1.0), ("b", 2.0)]), digest(&[("a", 2.0), ("b", 1.0)]));
}

#[test]
fn a_problem_delivers_the_objectives_that_are_asked_for_by_their_names() {
    let asked = |measures: [&str; 2]| {
        let stage = Stage {
            evaluator: problem::NAME.to_owned(),
            settings_json: "{}".to_owned(),
            measures: measures.map(str::to_owned).to_vec(),
            ..Stage::default()
        };
        let genotype = "zdt1(0.25 0 0)".to_owned();
        problem::evaluate(&Assignment { genotype, stage: Some(stage), ..Assignment::default() })
    };
    let outcome::Outcome::Measured(found) = asked(["f2", "f1"]) else { panic!("it fails") };
    let found: Vec<_> =
        found.measurements.iter().map(|one| (one.metric.as_str(), one.value)).collect();
    assert_eq!(found, [("f2", 0.5), ("f1", 0.25)]);
    let outcome::Outcome::Failed(failure) = asked(["f1", "f3"]) else { panic!("there is no f3") };
    assert_eq!(failure.kind(), FailureKind::Invalid);
    assert!(failure.message.contains("no f3"), "{}", failure.message);
}
