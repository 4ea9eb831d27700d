//! Golden values of the score and its invariants.

use tch::{Device, Kind, Tensor};

use super::*;
use crate::network::golden::{self, assert_close};

const PAIRS: [f64; 3] = [0.894_558_8, 0.507_920_8, 1.463_814_2];

/// The observed outputs of the golden network and the classes that it predicts.
fn outputs(kind: Kind, observed: fn(Op) -> bool) -> (Vec<Tensor>, Tensor) {
    let network = golden::network(kind);
    let mut outputs = Vec::new();
    let logits = network
        .forward_observed(&golden::images(kind), Mode::Evaluate, &mut |_, op, output| {
            if observed(op) {
                outputs.push(output.shallow_clone());
            }
            Ok(())
        })
        .unwrap();
    (outputs, logits.argmax(1, false))
}

fn activations(outputs: &[Tensor], classes: &Tensor) -> ClassActivations {
    let mut activations = ClassActivations::new(3);
    activations.add(outputs, classes).unwrap();
    activations
}

#[test]
fn golden_pairs_and_score() {
    for kind in [Kind::Double, Kind::Float] {
        let (outputs, predicted) = outputs(kind, is_observed);
        assert_eq!(outputs.len(), 4);
        let activations = activations(&outputs, &predicted);
        let pairs = activations.pair_distances().unwrap();
        let places: Vec<_> = pairs.iter().map(|(pair, _)| *pair).collect();
        assert_eq!(places, [(0, 1), (0, 2), (1, 2)]);
        for ((_, found), expected) in pairs.iter().zip(PAIRS) {
            assert_close(*found, expected, kind);
        }
        assert_close(activations.score().unwrap(), 0.955_431_2, kind);
    }
}

#[test]
fn golden_score_of_activation_layers_alone() {
    let (outputs, predicted) = outputs(Kind::Double, |op| op == Op::Relu);
    let score = activations(&outputs, &predicted).score().unwrap();
    assert_close(score, 0.558_699_7, Kind::Double);
}

#[test]
fn grouping_by_label_would_give_another_score() {
    let (outputs, predicted) = outputs(Kind::Double, is_observed);
    let by_label = activations(&outputs, &golden::labels()).score().unwrap();
    assert_close(by_label, 1.042_040_5, Kind::Double);
    let score = activations(&outputs, &predicted).score().unwrap();
    assert!((score - by_label).abs() > 0.08);
}

#[test]
fn the_network_is_scored_by_what_it_predicts() {
    // The whole path over a split, with an identity normalisation: bytes 0 and 2 have mean 1 and
    // deviation 1.
    let network = golden::network(Kind::Double);
    let bytes: Vec<u8> = (0..8 * 16).map(|k| if (k * k / 7) % 3 == 0 { 2 } else { 0 }).collect();
    let images = Tensor::from_slice(&bytes).view([8, 1, 4, 4]);
    let constant = Tensor::from_slice(&[0u8, 2]).view([2, 1, 1, 1]);
    let normalization = Normalization::of(&constant).unwrap();
    let samples = Samples { images, labels: golden::labels() };
    let input = normalization.apply(&samples.images, Kind::Double).unwrap();
    let mut outputs = Vec::new();
    let logits = network
        .forward_observed(&input, Mode::Evaluate, &mut |_, op, output| {
            if is_observed(op) {
                outputs.push(output.shallow_clone());
            }
            Ok(())
        })
        .unwrap();
    let expected = activations(&outputs, &logits.argmax(1, false)).score();
    let directory = tempfile::tempdir().unwrap();
    let gate = crate::measure::gate::Gate::open(directory.path(), "test").unwrap();
    let mut report = |_: u32, _: u32, _: &[(&str, f64)]| {};
    let mut supervision = Supervision {
        wanted: &|| false,
        asked: &|| None,
        written: &mut |_| {},
        stopped: &|| false,
        report: &mut report,
        gate: &gate,
        synchronize: &|| {},
        kept: crate::evaluate::Kept::default(),
    };
    let found = introspectability(&network, &samples, &normalization, 3, 100, &mut supervision);
    assert!((found.unwrap() - expected.unwrap()).abs() < 1e-12);
}

/// One layer whose class means are the rows of `means`.
fn of_means(means: &[[f64; 2]]) -> ClassActivations {
    let values: Vec<f64> = means.concat();
    let classes: Vec<i64> = (0..means.len() as i64).collect();
    let mut activations = ClassActivations::new(means.len());
    let output = Tensor::from_slice(&values).view([-1, 2]);
    activations.add(&[output], &Tensor::from_slice(&classes)).unwrap();
    activations
}

#[test]
fn identical_orthogonal_and_opposite_class_means() {
    for (means, expected) in [
        ([[1.0, 2.0], [1.0, 2.0]], 0.0),
        ([[1.0, 2.0], [3.0, 6.0]], 0.0),
        ([[1.0, 2.0], [-2.0, 1.0]], 1.0),
        ([[1.0, 2.0], [-1.0, -2.0]], 2.0),
    ] {
        let score = of_means(&means).score().unwrap();
        assert!((score - expected).abs() < 1e-12, "{means:?}: {score}");
    }
}

#[test]
fn pairs_without_a_direction_are_left_out() {
    let activations = of_means(&[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]);
    assert_eq!(activations.pair_distances().unwrap(), [((0, 2), 1.0)]);
    assert_eq!(activations.score().unwrap(), 1.0);
}

#[test]
fn splitting_into_batches_does_not_matter() {
    let (outputs, predicted) = outputs(Kind::Double, is_observed);
    let whole = activations(&outputs, &predicted).score().unwrap();
    for sizes in [vec![1; 8], vec![3, 5], vec![7, 1]] {
        let mut activations = ClassActivations::new(3);
        let mut start = 0;
        for size in sizes {
            let part: Vec<Tensor> =
                outputs.iter().map(|output| output.narrow(0, start, size)).collect();
            activations.add(&part, &predicted.narrow(0, start, size)).unwrap();
            start += size;
        }
        assert!((activations.score().unwrap() - whole).abs() < 1e-9);
    }
}

#[test]
fn undefined_scores_are_failures_with_a_reason() {
    let reason = |activations: &ClassActivations| match activations.score() {
        Err(EvaluationError::NonFinite(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let (outputs, predicted) = outputs(Kind::Double, is_observed);
    let same = predicted.zeros_like() + 2;
    assert!(reason(&activations(&outputs, &same)).contains("predicts class 2"));
    assert!(reason(&ClassActivations::new(3)).contains("no sample"));
    assert!(reason(&of_means(&[[0.0, 0.0], [0.0, 0.0]])).contains("fewer than two"));
    assert!(reason(&of_means(&[[0.0, 1.0], [f64::NAN, 0.0]])).contains("NaN or infinite"));
    assert!(reason(&of_means(&[[0.0, 1.0], [f64::INFINITY, 0.0]])).contains("NaN or infinite"));
}

#[test]
fn a_network_without_observed_layers_scores_zero() {
    let predicted = Tensor::zeros([4], (Kind::Int64, Device::Cpu));
    assert_eq!(activations(&[], &predicted).score().unwrap(), 0.0);
}
