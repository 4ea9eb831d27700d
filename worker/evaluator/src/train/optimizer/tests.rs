//! Steps against hand-computed ones.

use tch::{Device, Kind};

use super::*;

/// A weight matrix and a bias with fixed values and gradients.
struct Rig {
    store: VarStore,
    optimizer: Optimizer,
}

const WEIGHT: [f64; 2] = [0.5, -1.5];
const BIAS: f64 = 0.25;

fn rig(settings: &TrainSettings) -> Rig {
    let store = VarStore::new(Device::Cpu);
    let weight = Tensor::from_slice(&WEIGHT).view([1, 2]);
    let _ = store.root().add("weight", weight, true);
    let bias = Tensor::from_slice(&[BIAS]);
    let _ = store.root().set_group(NORM_AND_BIAS).add("bias", bias, true);
    let optimizer = Optimizer::new(&store, settings).unwrap();
    Rig { store, optimizer }
}

impl Rig {
    /// A step with these gradients.
    fn step(&mut self, weight: [f64; 2], bias: f64, rate: f64) {
        self.optimizer.zero_grad();
        let variables = self.store.variables();
        let weighted = &variables["weight"] * Tensor::from_slice(&weight).view([1, 2]);
        let loss = weighted.sum(Kind::Double) + (&variables["bias"] * bias).sum(Kind::Double);
        loss.backward();
        self.optimizer.step(rate).unwrap();
    }

    fn values(&self) -> [f64; 3] {
        let variables = self.store.variables();
        let weight = &variables["weight"];
        [
            weight.double_value(&[0, 0]),
            weight.double_value(&[0, 1]),
            variables["bias"].double_value(&[0]),
        ]
    }
}

fn assert_close(found: [f64; 3], expected: [f64; 3]) {
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    }
}

fn adamw() -> TrainSettings {
    TrainSettings {
        optimizer: OptimizerKind::AdamW,
        betas: [0.8, 0.95],
        epsilon: 1e-6,
        weight_decay: 0.1,
        ..TrainSettings::default()
    }
}

const GRADIENTS: [([f64; 2], f64, f64); 3] =
    [([0.3, -0.2], 1.0, 0.1), ([-0.1, 0.4], -2.0, 0.05), ([0.7, 0.0], 0.5, 0.01)];

/// AdamW as the paper writes it, for one weight.
fn by_hand(start: f64, gradients: [f64; 3], decay: f64) -> f64 {
    let (mut weight, mut first, mut second) = (start, 0.0, 0.0);
    for (at, gradient) in gradients.into_iter().enumerate() {
        let (steps, rate) = (at as i32 + 1, GRADIENTS[at].2);
        first = 0.8 * first + 0.2 * gradient;
        second = 0.95 * second + 0.05 * gradient * gradient;
        let (unbiased, spread) =
            (first / (1.0 - 0.8f64.powi(steps)), second / (1.0 - 0.95f64.powi(steps)));
        weight -= rate * decay * weight;
        weight -= rate * unbiased / (spread.sqrt() + 1e-6);
    }
    weight
}

#[test]
fn adamw_steps_as_the_paper_says() {
    for (settings, bias_decay) in
        [(adamw(), 0.1), (TrainSettings { decay_norm_and_bias: false, ..adamw() }, 0.0)]
    {
        let mut rig = rig(&settings);
        for (weight, bias, rate) in GRADIENTS {
            rig.step(weight, bias, rate);
        }
        let weight = [0, 1].map(|at| by_hand(WEIGHT[at], GRADIENTS.map(|step| step.0[at]), 0.1));
        let bias = by_hand(BIAS, GRADIENTS.map(|step| step.1), bias_decay);
        assert_close(rig.values(), [weight[0], weight[1], bias]);
    }
}

#[test]
fn the_first_step_of_adamw_is_the_learning_rate_against_the_sign() {
    let settings = TrainSettings { weight_decay: 0.0, epsilon: 1e-16, ..adamw() };
    let mut rig = rig(&settings);
    rig.step([3.0, -0.001], 7.0, 0.01);
    assert_close(rig.values(), [WEIGHT[0] - 0.01, WEIGHT[1] + 0.01, BIAS - 0.01]);
}

#[test]
fn sgd_steps_with_nesterovs_momentum_and_decay() {
    for (decay_norm_and_bias, bias_decay) in [(true, 0.1), (false, 0.0)] {
        let settings =
            TrainSettings { weight_decay: 0.1, decay_norm_and_bias, ..TrainSettings::default() };
        let mut rig = rig(&settings);
        for (weight, bias, rate) in GRADIENTS {
            rig.step(weight, bias, rate);
        }
        let by_hand = |start: f64, gradients: [f64; 3], decay: f64| {
            let (mut weight, mut momentum) = (start, 0.0);
            for (gradient, (_, _, rate)) in gradients.into_iter().zip(GRADIENTS) {
                let gradient = gradient + decay * weight;
                momentum = 0.9 * momentum + gradient;
                weight -= rate * (gradient + 0.9 * momentum);
            }
            weight
        };
        let weight = [0, 1].map(|at| by_hand(WEIGHT[at], GRADIENTS.map(|step| step.0[at]), 0.1));
        let bias = by_hand(BIAS, GRADIENTS.map(|step| step.1), bias_decay);
        assert_close(rig.values(), [weight[0], weight[1], bias]);
    }
}

#[test]
fn what_is_remembered_comes_back_to_the_bit() {
    for settings in [TrainSettings { weight_decay: 0.1, ..TrainSettings::default() }, adamw()] {
        let mut whole = rig(&settings);
        let mut first = rig(&settings);
        for (weight, bias, rate) in GRADIENTS {
            whole.step(weight, bias, rate);
            first.step(weight, bias, rate);
        }
        let state = first.optimizer.state().unwrap();
        assert_eq!(first.values(), whole.values(), "reading changes nothing");
        let sizes: BTreeMap<_, _> =
            state.iter().map(|(name, value)| (name.clone(), value.size())).collect();
        assert_eq!(sizes, first.optimizer.state_sizes());
        let mut second = rig(&settings);
        {
            let _guard = tch::no_grad_guard();
            restore(
                &second.store.variables().into_iter().collect(),
                &first.store.variables().into_iter().collect(),
            )
            .unwrap();
        }
        second.optimizer.recall(&state, 3).unwrap();
        assert_eq!(second.values(), whole.values(), "recalling changes nothing");
        for (weight, bias, rate) in GRADIENTS {
            for rig in [&mut whole, &mut first, &mut second] {
                rig.step(weight, bias, rate);
            }
        }
        assert_eq!(first.values(), whole.values());
        assert_eq!(second.values(), whole.values());
    }
}

#[test]
fn gradients_are_clipped_by_the_norm_of_all_together() {
    let settings = TrainSettings {
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
        clip_norm: Some(1.0),
        ..TrainSettings::default()
    };
    let mut rig = rig(&settings);
    rig.step([2.0, -1.0], 2.0, 1.0);
    let factor = 1.0 / (3.0 + 1e-6);
    assert_close(rig.values(), [WEIGHT[0] - 2.0 * factor, WEIGHT[1] + factor, BIAS - 2.0 * factor]);
    let before = rig.values();
    rig.step([0.2, -0.1], 0.2, 1.0);
    assert_close(rig.values(), [before[0] - 0.2, before[1] + 0.1, before[2] - 0.2]);
}

#[test]
fn scaled_gradients_are_told_apart_from_those_that_overflowed() {
    let mut rig = rig(&TrainSettings::default());
    let variables = rig.store.variables();
    (&variables["weight"] * 8.0).sum(Kind::Double).backward();
    assert!(rig.optimizer.scale_gradients(0.25).unwrap());
    assert_eq!(variables["weight"].grad().double_value(&[0, 0]), 2.0);
    rig.optimizer.zero_grad();
    (&variables["weight"] * f64::INFINITY).sum(Kind::Double).backward();
    assert!(!rig.optimizer.scale_gradients(0.25).unwrap());
}
