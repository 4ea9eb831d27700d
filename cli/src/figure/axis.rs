//! Axes: the range of the values, round ticks, and the way from a value to a pixel.
//!
//! Must not know what is drawn along them.

use crate::present::number::NumberFormat;

/// Long numbers are written in these units.
const SCALES: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];

/// A linear scale from values to pixels, with its ticks.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// An axis over all `values`, a little wider than they are, with about `wanted` ticks. Values
    /// that are all equal, or none, get a range around them.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, wanted: usize) -> Self {
        let range = values.into_iter().filter(|value| value.is_finite()).fold(
            None,
            |range: Option<(f64, f64)>, value| match range {
                None => Some((value, value)),
                Some((low, high)) => Some((low.min(value), high.max(value))),
            },
        );
        let (low, high) = range.unwrap_or((0.0, 1.0));
        // Halves first: the difference of two huge values may not be a number.
        let half = high / 2.0 - low / 2.0;
        let spread = if half > 0.0 { half * 2.0 } else { (low.abs() * 0.2).max(1.0) };
        let margin = if half > 0.0 { spread * 0.06 } else { spread / 2.0 };
        let (low, high) = if (high + margin).is_finite() && (low - margin).is_finite() {
            (low - margin, high + margin)
        } else {
            (low, high)
        };
        Self { low, high, ticks: ticks(low, high, wanted) }
    }

    /// As [`Self::over`], starting exactly at zero.
    pub(super) fn from_zero(values: impl IntoIterator<Item = f64>, wanted: usize) -> Self {
        let mut axis = Self::over(values.into_iter().chain([0.0]), wanted);
        axis.low = 0.0;
        axis.ticks = ticks(axis.low, axis.high, wanted);
        axis
    }

    /// Where `value` lies, 0 at the low end and 1 at the high end.
    pub(super) fn position(&self, value: f64) -> f64 {
        let span = self.high / 2.0 - self.low / 2.0;
        if span <= 0.0 {
            return 0.5;
        }
        ((value / 2.0 - self.low / 2.0) / span).clamp(0.0, 1.0)
    }

    /// The ticks with their labels, ascending.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let largest = self.ticks.iter().copied().map(f64::abs).fold(0.0, f64::max);
        let (scale, suffix) = SCALES
            .into_iter()
            .find(|(scale, _)| largest >= *scale && (1e5..1e14).contains(&largest))
            .unwrap_or((1.0, ""));
        let scaled: Vec<f64> = self.ticks.iter().map(|tick| tick / scale).collect();
        let format = NumberFormat::of_ticks(&scaled);
        let label = |value: f64| match format.write(value) {
            zero if value == 0.0 => zero,
            text => text + suffix,
        };
        self.ticks.iter().zip(scaled).map(|(tick, value)| (*tick, label(value))).collect()
    }
}

/// Multiples of 1, 2 or 5 times a power of ten within the range, about `wanted` of them.
fn ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high / wanted as f64) - (low / wanted as f64);
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.75)
        .unwrap_or(power * 10.0);
    let first = (low / step).ceil();
    let last = (high / step).floor();
    let count = (last - first).clamp(0.0, 50.0) as usize;
    (0..=count)
        .map(|at| {
            let tick = (first + at as f64) * step;
            // 0.1 + 0.2 style remainders would show in labels of small steps.
            (tick / step).round() * step + 0.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&Axis::over([0.0, 100.0], 5)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(&Axis::over([0.11, 0.42], 5)), ["0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(labels(&Axis::from_zero([37.0], 4)), ["0", "10", "20", "30"]);
        assert_eq!(labels(&Axis::over([1e6, 3e6], 4)), ["1.0M", "1.5M", "2.0M", "2.5M", "3.0M"]);
        assert_eq!(labels(&Axis::from_zero([4e5], 4)), ["0", "100k", "200k", "300k", "400k"]);
    }

    #[test]
    fn equal_missing_and_extreme_values_have_an_axis() {
        for values in [
            vec![],
            vec![0.0],
            vec![5.0, 5.0],
            vec![-3e-7],
            vec![f64::MAX, f64::MIN],
            vec![f64::NAN],
        ] {
            let axis = Axis::over(values.clone(), 5);
            let ticks = axis.ticks();
            assert!(ticks.len() <= 51, "{values:?}");
            for value in values.into_iter().filter(|value| value.is_finite()) {
                let at = axis.position(value);
                assert!((0.0..=1.0).contains(&at), "{at}");
            }
        }
    }

    #[test]
    fn positions_run_from_low_to_high() {
        let axis = Axis::over([10.0, 20.0], 5);
        assert!(axis.position(10.0) > 0.0 && axis.position(20.0) < 1.0);
        assert!((axis.position(15.0) - 0.5).abs() < 1e-12);
    }
}
