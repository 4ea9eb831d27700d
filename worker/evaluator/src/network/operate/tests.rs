//! Every operation against a computation value by value, and through a whole network.

use cambrian_core::graph::{FILTERS, GraphBuilder, NodeId, Op, Shape};
use tch::{Device, Kind, Tensor};

use crate::network::{Mode, Network};
use crate::train::Randomness;

const CHANNELS: usize = 4;
const HEIGHT: usize = 5;
const WIDTH: usize = 6;

/// Feature maps of two samples, as plain numbers.
type Maps = Vec<Vec<Vec<Vec<f64>>>>;

fn maps(channels: usize, seed: u32) -> Maps {
    let value = |n: usize, c: usize, y: usize, x: usize| {
        let k = (((n * channels + c) * HEIGHT + y) * WIDTH + x) as f64;
        3.0 * (0.7 * k + f64::from(seed)).sin() + 0.1 * k % 1.0
    };
    let row = |n, c, y| (0..WIDTH).map(|x| value(n, c, y, x)).collect();
    let map = |n, c| (0..HEIGHT).map(|y| row(n, c, y)).collect();
    (0..2).map(|n| (0..channels).map(|c| map(n, c)).collect()).collect()
}

fn tensor(maps: &Maps) -> Tensor {
    let flat: Vec<f64> = maps.iter().flatten().flatten().flatten().copied().collect();
    let [channels, height, width] = [maps[0].len(), maps[0][0].len(), maps[0][0][0].len()];
    let sides = [maps.len(), channels, height, width].map(|side| side as i64);
    Tensor::from_slice(&flat).view(sides.as_slice())
}

/// What `op` makes of what the operations `before` make of the input, or of the input itself where there
/// are none. A linear layer behind it gives the network a weight.
fn computed(op: Op, before: &[Op], input: &Maps) -> Tensor {
    let [channels, height, width] =
        [input[0].len(), input[0][0].len(), input[0][0][0].len()].map(|side| side as u32);
    let mut builder = GraphBuilder::new(Shape::Map { channels, height, width });
    let source = builder.input();
    let inputs: Vec<NodeId> = match before {
        [] => vec![source],
        before => before
            .iter()
            .map(|op| match op {
                Op::Input => source,
                op => builder.add(*op, &[source]).unwrap(),
            })
            .collect(),
    };
    let node = builder.add(op, &inputs).unwrap();
    let vector = match builder.shape(node) {
        Some(Shape::Map { .. }) => builder.add(Op::Flatten, &[node]).unwrap(),
        _ => node,
    };
    let linear = Op::Linear { out_features: 2, bias: false };
    let output = builder.add(linear, &[vector]).unwrap();
    let graph = builder.finish(output).unwrap();
    let mut weights = Randomness::Weights.stream(1);
    let network = Network::new(&graph, &mut weights, Device::Cpu, Kind::Double).unwrap();
    let mut found = None;
    let _ = network
        .forward_observed(&tensor(input), Mode::Evaluate, &mut |id, _, value| {
            if id == node {
                found = Some(value.copy());
            }
            Ok(())
        })
        .unwrap();
    found.unwrap()
}

fn assert_maps(found: &Tensor, expected: &Maps) {
    let expected = tensor(expected);
    assert_eq!(found.size(), expected.size());
    assert!(found.allclose(&expected, 1e-12, 1e-12, false), "{found:?} is not {expected:?}");
}

fn each(maps: &Maps, function: impl Fn(f64) -> f64) -> Maps {
    let row = |row: &Vec<f64>| row.iter().map(|value| function(*value)).collect();
    let map = |map: &Vec<Vec<f64>>| map.iter().map(row).collect();
    maps.iter().map(|sample| sample.iter().map(map).collect()).collect()
}

#[test]
fn activations_are_functions_of_each_value() {
    let input = each(&maps(CHANNELS, 1), |x| 2.0 * x);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let hard = |x: f64| (x + 3.0).clamp(0.0, 6.0) / 6.0;
    assert_maps(&computed(Op::Sigmoid, &[], &input), &each(&input, sigmoid));
    assert_maps(&computed(Op::HardSigmoid, &[], &input), &each(&input, hard));
    assert_maps(&computed(Op::Silu, &[], &input), &each(&input, |x| x * sigmoid(x)));
    assert_maps(&computed(Op::HardSwish, &[], &input), &each(&input, |x| x * hard(x)));
}

#[test]
fn channels_are_reduced_at_each_place() {
    let input = maps(CHANNELS, 2);
    let over = |reduce: &dyn Fn(Vec<f64>) -> f64| -> Maps {
        let row = |sample: &Vec<Vec<Vec<f64>>>, y: usize| -> Vec<f64> {
            (0..WIDTH).map(|x| reduce(sample.iter().map(|map| map[y][x]).collect())).collect()
        };
        input.iter().map(|sample| vec![(0..HEIGHT).map(|y| row(sample, y)).collect()]).collect()
    };
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let most = |values: Vec<f64>| values.into_iter().fold(f64::NEG_INFINITY, f64::max);
    assert_maps(&computed(Op::ChannelMean, &[], &input), &over(&mean));
    assert_maps(&computed(Op::ChannelMax, &[], &input), &over(&most));
}

#[test]
fn crops_leave_out_rows_and_columns_of_each_side() {
    let input = maps(CHANNELS, 3);
    let crop = Op::Crop { top: 2, bottom: 1, left: 0, right: 3 };
    let row = |row: &Vec<f64>| row[..WIDTH - 3].to_vec();
    let map = |map: &Vec<Vec<f64>>| map[2..HEIGHT - 1].iter().map(row).collect();
    let expected = input.iter().map(|sample| sample.iter().map(map).collect()).collect();
    assert_maps(&computed(crop, &[], &input), &expected);
}

#[test]
fn the_first_channels_are_the_first() {
    let input = maps(CHANNELS, 3);
    let expected = input.iter().map(|sample| sample[..2].to_vec()).collect();
    assert_maps(&computed(Op::FirstChannels { channels: 2 }, &[], &input), &expected);
}

#[test]
fn upsampling_is_exact_in_single_precision_at_every_factor() {
    // 41 is among the factors at which interpolation in single precision is not.
    for factor in [2, 41, 47, 82] {
        let row = Tensor::from_slice(&[1.0f32, 2.0, 3.0]).view([1, 1, 1, 3]);
        let found = super::upsampled(&row, factor).unwrap();
        assert_eq!(found.size(), [1, 1, factor, 3 * factor]);
        let values = Vec::<f32>::try_from(found.contiguous().view([-1])).unwrap();
        let expected = |at: usize| (at % (3 * factor as usize) / factor as usize + 1) as f32;
        assert!((0..values.len()).all(|at| values[at] == expected(at)), "{factor}");
    }
}

#[test]
fn upsampling_repeats_each_value() {
    let input = maps(CHANNELS, 4);
    let row = |row: &Vec<f64>| (0..3 * WIDTH).map(|x| row[x / 3]).collect();
    let map = |map: &Vec<Vec<f64>>| (0..3 * HEIGHT).map(|y| row(&map[y / 3])).collect();
    let expected = input.iter().map(|sample| sample.iter().map(map).collect()).collect();
    assert_maps(&computed(Op::Upsample { factor: 3 }, &[], &input), &expected);
}

#[test]
fn the_filter_bank_filters_each_channel_in_turn() {
    let input = maps(CHANNELS, 5);
    let at = |map: &Vec<Vec<f64>>, y: i64, x: i64| {
        let inside = (0..HEIGHT as i64).contains(&y) && (0..WIDTH as i64).contains(&x);
        if inside { map[y as usize][x as usize] } else { 0.0 }
    };
    let filtered = |map: &Vec<Vec<f64>>, filter: &[f32; 9]| {
        let value = |y: usize, x: usize| -> f64 {
            let taps = filter.iter().enumerate().map(|(k, tap)| {
                let (dy, dx) = (k as i64 / 3 - 1, k as i64 % 3 - 1);
                f64::from(*tap) * at(map, y as i64 + dy, x as i64 + dx)
            });
            taps.sum()
        };
        (0..HEIGHT).map(|y| (0..WIDTH).map(|x| value(y, x)).collect()).collect()
    };
    let bank = |map: &Vec<Vec<f64>>| FILTERS.iter().map(|f| filtered(map, f)).collect::<Vec<_>>();
    let expected = input.iter().map(|sample| sample.iter().flat_map(bank).collect()).collect();
    assert_maps(&computed(Op::FilterBank, &[], &input), &expected);
}

#[test]
fn products_take_maps_of_one_channel_and_vectors() {
    let input = maps(CHANNELS, 6);
    let sources = [Op::GlobalAvgPool, Op::Input, Op::ChannelMax];
    let mean = |map: &Vec<Vec<f64>>| map.iter().flatten().sum::<f64>() / (HEIGHT * WIDTH) as f64;
    let product = |sample: &Vec<Vec<Vec<f64>>>| {
        let value = |map: &Vec<Vec<f64>>, y: usize, x: usize| {
            let most = sample.iter().map(|map| map[y][x]).fold(f64::NEG_INFINITY, f64::max);
            mean(map) * map[y][x] * most
        };
        let map = |map: &Vec<Vec<f64>>| -> Vec<Vec<f64>> {
            (0..HEIGHT).map(|y| (0..WIDTH).map(|x| value(map, y, x)).collect()).collect()
        };
        sample.iter().map(map).collect::<Vec<_>>()
    };
    let expected = input.iter().map(product).collect();
    assert_maps(&computed(Op::Multiply, &sources, &input), &expected);
}

#[test]
fn attention_weighs_every_place_in_each_head() {
    let input = maps(CHANNELS, 7);
    // Queries, keys and values that differ.
    let sources = [Op::Input, Op::Sigmoid, Op::Relu];
    for heads in [1, 2] {
        let depth = CHANNELS / heads;
        let places: Vec<(usize, usize)> =
            (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (y, x))).collect();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let attend = |sample: &Vec<Vec<Vec<f64>>>, channel: usize, (y, x): (usize, usize)| {
            let head = channel / depth * depth..channel / depth * depth + depth;
            let score = |&(v, u): &(usize, usize)| {
                let product: f64 =
                    head.clone().map(|c| sample[c][y][x] * sigmoid(sample[c][v][u])).sum();
                (product / (depth as f64).sqrt()).exp()
            };
            let total: f64 = places.iter().map(score).sum();
            let terms = places.iter().map(|at| score(at) * sample[channel][at.0][at.1].max(0.0));
            terms.sum::<f64>() / total
        };
        let map = |sample: &Vec<Vec<Vec<f64>>>, c: usize| -> Vec<Vec<f64>> {
            let row = |y| (0..WIDTH).map(|x| attend(sample, c, (y, x))).collect();
            (0..HEIGHT).map(row).collect()
        };
        let sample = |sample: &Vec<Vec<Vec<f64>>>| (0..CHANNELS).map(|c| map(sample, c)).collect();
        let expected = input.iter().map(sample).collect();
        let op = Op::Attention { heads: heads as u32 };
        assert_maps(&computed(op, &sources, &input), &expected);
    }
}

#[test]
fn a_product_with_zeros_is_zeros_and_computes_nothing() {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 2, height: 4, width: 4 });
    let input = builder.input();
    let dead = builder.add(Op::Relu, &[input]).unwrap();
    let zero = builder.add(Op::Zero, &[input]).unwrap();
    let product = builder.add(Op::Multiply, &[dead, zero]).unwrap();
    let pooled = builder.add(Op::GlobalAvgPool, &[product]).unwrap();
    let linear = Op::Linear { out_features: 3, bias: true };
    let output = builder.add(linear, &[pooled]).unwrap();
    let graph = builder.finish(output).unwrap();
    let mut weights = Randomness::Weights.stream(1);
    let network = Network::new(&graph, &mut weights, Device::Cpu, Kind::Float).unwrap();
    let images = Tensor::randn([2, 2, 4, 4], (Kind::Float, Device::Cpu));
    let mut executed = Vec::new();
    let logits = network
        .forward_observed(&images, Mode::Evaluate, &mut |node, _, _| {
            executed.push(node);
            Ok(())
        })
        .unwrap();
    assert!(!executed.contains(&dead) && !executed.contains(&zero));
    assert_eq!(logits.get(0), logits.get(1));
}
