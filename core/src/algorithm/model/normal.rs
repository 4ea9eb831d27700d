//! The normal distribution: quantiles, draws and tail probabilities. It must not know what is distributed so.

use rand::RngExt;

use crate::rng::Stream;

/// The value below which a share `p` of a standard normal lies (Acklam's rational approximation,
/// relative error below 1.2e-9); `p` is kept off 0 and 1.
pub(in crate::algorithm) fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.38357751867269e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 5] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 4] = [
        7.784695709041462e-03,
        3.224671290700398e-01,
        2.445134137142996e+00,
        3.754408661907416e+00,
    ];
    const TAIL: f64 = 0.02425;
    let polynomial = |coefficients: &[f64], x: f64| {
        coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
    };
    let tail = |q: f64| polynomial(&C, q) / (polynomial(&D, q) * q + 1.0);
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    if p < TAIL {
        tail((-2.0 * libm::log(p)).sqrt())
    } else if p > 1.0 - TAIL {
        -tail((-2.0 * libm::log(1.0 - p)).sqrt())
    } else {
        let (q, r) = (p - 0.5, (p - 0.5) * (p - 0.5));
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

/// The share of a standard normal below `x`.
pub(in crate::algorithm) fn share_below(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// A draw from the standard normal.
pub(in crate::algorithm) fn draw(rng: &mut Stream) -> f64 {
    quantile(rng.random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_undo_shares_and_have_the_tabulated_values() {
        assert_eq!(quantile(0.5), 0.0);
        assert!((quantile(0.975) - 1.959_963_985).abs() < 1e-8);
        assert!((quantile(0.001) + 3.090_232_306).abs() < 1e-8);
        for x in [-3.0, -1.0, 0.2, 2.5] {
            assert!((quantile(share_below(x)) - x).abs() < 1e-7, "{x}");
        }
        assert!(quantile(0.0).is_finite() && quantile(1.0).is_finite());
    }
}
