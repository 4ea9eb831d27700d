//! The problems of Zitzler, Deb and Thiele (2000, "Comparison of multiobjective evolutionary
//! algorithms: empirical results") with real variables. It must not know genotypes.

use std::f64::consts::PI;

/// The two objectives of problem `number` (1, 2, 3, 4 or 6) at `x`, at least two variables in
/// their own ranges.
pub(super) fn evaluate(number: u8, x: &[f64]) -> Vec<f64> {
    let rest = (x.len() - 1) as f64;
    let sum: f64 = x[1..].iter().sum();
    let first = if number == 6 {
        1.0 - libm::exp(-4.0 * x[0]) * libm::pow(libm::sin(6.0 * PI * x[0]), 6.0)
    } else {
        x[0]
    };
    let g = match number {
        4 => {
            let wave = |x: &f64| x * x - 10.0 * libm::cos(4.0 * PI * x);
            1.0 + 10.0 * rest + x[1..].iter().map(wave).sum::<f64>()
        }
        6 => 1.0 + 9.0 * libm::pow(sum / rest, 0.25),
        _ => 1.0 + 9.0 * sum / rest,
    };
    let share = first / g;
    let h = match number {
        1 | 4 => 1.0 - share.sqrt(),
        3 => 1.0 - share.sqrt() - share * libm::sin(10.0 * PI * first),
        _ => 1.0 - share * share,
    };
    vec![first, g * h]
}
