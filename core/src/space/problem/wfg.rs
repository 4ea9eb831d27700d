//! The problems of Huband, Hingston, Barone and While (2006, "A review of multiobjective test
//! problems and a scalable test problem toolkit"), WFG1 to WFG9: transformations of the
//! variables, then a shape. It must not know genotypes.

use std::f64::consts::{FRAC_PI_2, PI};

/// How a coordinate of a front depends on one position.
type Curve = fn(f64) -> f64;

/// The `objectives` (at least 2) values of problem `number` (1 to 9) at `z`, the variable i
/// (from 1) in [0, 2i]; the first `position` variables, a multiple of `objectives` - 1, say where
/// on the front a point is and the others, an even number, how far from it.
pub(super) fn evaluate(number: u8, objectives: usize, position: usize, z: &[f64]) -> Vec<f64> {
    let mut y: Vec<f64> = z.iter().zip(1..).map(|(z, at)| z / f64::from(2 * at)).collect();
    transform(number, position, &mut y);
    let t = reduce(number, objectives, position, &y);
    let (distance, positions) = t.split_last().expect("there are at least two objectives");
    // The degenerate front of WFG3 varies along its first position alone.
    let varies = |at: usize| if number == 3 && at > 0 { 0.0 } else { 1.0 };
    let x: Vec<f64> = positions
        .iter()
        .enumerate()
        .map(|(at, t)| distance.max(varies(at)) * (t - 0.5) + 0.5)
        .collect();
    (0..objectives)
        .map(|m| distance + 2.0 * (m + 1) as f64 * shape(number, &x, m, objectives))
        .collect()
}

/// The transformations that keep the number of variables.
fn transform(number: u8, k: usize, y: &mut [f64]) {
    match number {
        5 => y.iter_mut().for_each(|y| *y = deceptive(*y, 0.35, 0.001, 0.05)),
        4 => y.iter_mut().for_each(|y| *y = multimodal(*y, 30.0, 10.0, 0.35)),
        7 => {
            for at in 0..k {
                y[at] = dependent(y[at], mean(&y[at + 1..]), 0.98 / 49.98, 0.02, 50.0);
            }
        }
        8 => {
            let before = y.to_vec();
            for at in k..y.len() {
                y[at] = dependent(y[at], mean(&before[..at]), 0.98 / 49.98, 0.02, 50.0);
            }
        }
        9 => {
            for at in 0..y.len() - 1 {
                y[at] = dependent(y[at], mean(&y[at + 1..]), 0.98 / 49.98, 0.02, 50.0);
            }
            y[..k].iter_mut().for_each(|y| *y = deceptive(*y, 0.35, 0.001, 0.05));
            y[k..].iter_mut().for_each(|y| *y = multimodal(*y, 30.0, 95.0, 0.35));
        }
        _ => {}
    }
    if !matches!(number, 4 | 5 | 9) {
        y[k..].iter_mut().for_each(|y| *y = linear_shift(*y, 0.35));
    }
    if number == 1 {
        y[k..].iter_mut().for_each(|y| *y = flat(*y, 0.8, 0.75, 0.85));
        y.iter_mut().for_each(|y| *y = libm::pow(y.max(0.0), 0.02));
    }
    y.iter_mut().for_each(|y| *y = y.clamp(0.0, 1.0));
}

/// From the variables to one position for each objective but the last, and the distance.
fn reduce(number: u8, objectives: usize, k: usize, y: &[f64]) -> Vec<f64> {
    let gap = k / (objectives - 1);
    let pairs: Vec<f64>;
    let (position, distance) = match number {
        2 | 3 => {
            pairs = y[k..].chunks(2).map(|pair| non_separable(pair, 2)).collect();
            (&y[..k], pairs.as_slice())
        }
        _ => y.split_at(k),
    };
    let one = |group: &[f64], first: usize| match number {
        1 => weighted_mean(group, first),
        6 | 9 => non_separable(group, group.len()),
        _ => mean(group),
    };
    let mut reduced: Vec<f64> =
        position.chunks(gap).enumerate().map(|(at, group)| one(group, at * gap)).collect();
    reduced.push(one(distance, k));
    reduced.iter().map(|t| t.clamp(0.0, 1.0)).collect()
}

/// Coordinate `m` (from 0) of the front at the positions `x`.
fn shape(number: u8, x: &[f64], m: usize, objectives: usize) -> f64 {
    if m + 1 == objectives && number <= 2 {
        return if number == 1 { mixed(x[0]) } else { disconnected(x[0]) };
    }
    let kept = objectives - 1 - m;
    let (along, across): (Curve, Curve) = match number {
        1 | 2 => (|x| 1.0 - libm::cos(x * FRAC_PI_2), |x| 1.0 - libm::sin(x * FRAC_PI_2)),
        3 => (|x| x, |x| 1.0 - x),
        _ => (|x| libm::sin(x * FRAC_PI_2), |x| libm::cos(x * FRAC_PI_2)),
    };
    let product: f64 = x[..kept].iter().map(|x| along(*x)).product();
    product * x.get(kept).map_or(1.0, |x| across(*x))
}

fn mixed(x: f64) -> f64 {
    let waves = 2.0 * 5.0 * PI;
    1.0 - x - libm::cos(waves * x + FRAC_PI_2) / waves
}

fn disconnected(x: f64) -> f64 {
    let cosine = libm::cos(5.0 * x * PI);
    1.0 - x * cosine * cosine
}

fn flat(y: f64, a: f64, b: f64, c: f64) -> f64 {
    let below = (y - b).floor().min(0.0) * a * (b - y) / b;
    let above = (c - y).floor().min(0.0) * (1.0 - a) * (y - c) / (1.0 - c);
    (a + below - above).clamp(0.0, 1.0)
}

fn dependent(y: f64, u: f64, a: f64, b: f64, c: f64) -> f64 {
    let v = a - (1.0 - 2.0 * u) * ((0.5 - u).floor() + a).abs();
    libm::pow(y.max(0.0), b + (c - b) * v)
}

fn linear_shift(y: f64, a: f64) -> f64 {
    (y - a).abs() / ((a - y).floor() + a).abs()
}

fn deceptive(y: f64, a: f64, b: f64, c: f64) -> f64 {
    let low = (y - a + b).floor() * (1.0 - c + (a - b) / b) / (a - b);
    let high = (a + b - y).floor() * (1.0 - c + (1.0 - a - b) / b) / (1.0 - a - b);
    1.0 + ((y - a).abs() - b) * (low + high + 1.0 / b)
}

fn multimodal(y: f64, a: f64, b: f64, c: f64) -> f64 {
    let offset = (y - c).abs() / (2.0 * ((c - y).floor() + c));
    let wave = libm::cos((4.0 * a + 2.0) * PI * (0.5 - offset));
    (1.0 + wave + 4.0 * b * offset * offset) / (b + 2.0)
}

fn mean(y: &[f64]) -> f64 {
    y.iter().sum::<f64>() / y.len() as f64
}

/// The mean with weights 2, 4, 6, ... counted from the first of all variables.
fn weighted_mean(y: &[f64], first: usize) -> f64 {
    let weight = |at: usize| 2.0 * (first + at + 1) as f64;
    let sum: f64 = y.iter().enumerate().map(|(at, y)| weight(at) * y).sum();
    sum / (0..y.len()).map(weight).sum::<f64>()
}

fn non_separable(y: &[f64], a: usize) -> f64 {
    let n = y.len();
    let neighbours =
        |at: usize| (0..a - 1).map(move |k| (y[at] - y[(at + k + 1) % n]).abs()).sum::<f64>();
    let sum: f64 = (0..n).map(|at| y[at] + neighbours(at)).sum();
    let half = a.div_ceil(2) as f64;
    sum / (n as f64 / a as f64 * half * (1.0 + 2.0 * a as f64 - 2.0 * half))
}
