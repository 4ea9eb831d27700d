//! The problems of Deb, Thiele, Laumanns and Zitzler (2005, "Scalable test problems for
//! evolutionary multiobjective optimization"), 1 to 7. It must not know genotypes.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// The `objectives` (at least 2) values of problem `number` (1 to 7) at `x`, all in [0, 1] and no
/// fewer than the objectives.
pub(super) fn evaluate(number: u8, objectives: usize, x: &[f64]) -> Vec<f64> {
    let (position, distance) = x.split_at(objectives - 1);
    match number {
        1 => {
            let g = multimodal(distance);
            simplex(position).into_iter().map(|share| 0.5 * (1.0 + g) * share).collect()
        }
        7 => disconnected(position, distance),
        _ => {
            let g = match number {
                3 => multimodal(distance),
                6 => distance.iter().map(|x| libm::pow(*x, 0.1)).sum(),
                _ => distance.iter().map(|x| (x - 0.5) * (x - 0.5)).sum::<f64>(),
            };
            sphere(&angles(number, g, position))
                .into_iter()
                .map(|share| (1.0 + g) * share)
                .collect()
        }
    }
}

fn multimodal(distance: &[f64]) -> f64 {
    let wave = |x: &f64| (x - 0.5) * (x - 0.5) - libm::cos(20.0 * PI * (x - 0.5));
    100.0 * (distance.len() as f64 + distance.iter().map(wave).sum::<f64>())
}

fn angles(number: u8, g: f64, position: &[f64]) -> Vec<f64> {
    let angle = |(at, x): (usize, &f64)| match number {
        4 => libm::pow(*x, 100.0) * FRAC_PI_2,
        5 | 6 if at > 0 => FRAC_PI_4 / (1.0 + g) * (1.0 + 2.0 * g * x),
        _ => x * FRAC_PI_2,
    };
    position.iter().enumerate().map(angle).collect()
}

/// Coordinates on the unit sphere: cosines of all angles, the last replaced by a sine from the
/// second coordinate on.
fn sphere(angles: &[f64]) -> Vec<f64> {
    let coordinate = |objective: usize| {
        let kept = angles.len() - objective;
        let cosines: f64 = angles[..kept].iter().map(|angle| libm::cos(*angle)).product();
        cosines * angles.get(kept).map_or(1.0, |angle| libm::sin(*angle))
    };
    (0..=angles.len()).map(coordinate).collect()
}

/// Coordinates on the unit simplex.
fn simplex(position: &[f64]) -> Vec<f64> {
    let coordinate = |objective: usize| {
        let kept = position.len() - objective;
        position[..kept].iter().product::<f64>() * position.get(kept).map_or(1.0, |x| 1.0 - x)
    };
    (0..=position.len()).map(coordinate).collect()
}

fn disconnected(position: &[f64], distance: &[f64]) -> Vec<f64> {
    let g = 1.0 + 9.0 * distance.iter().sum::<f64>() / distance.len() as f64;
    let share = |x: &f64| x / (1.0 + g) * (1.0 + libm::sin(3.0 * PI * x));
    let h = (position.len() + 1) as f64 - position.iter().map(share).sum::<f64>();
    position.iter().copied().chain([(1.0 + g) * h]).collect()
}
