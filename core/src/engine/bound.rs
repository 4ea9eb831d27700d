//! Bounds on metrics in words: which one a value breaks, and which ones keep a campaign without a feasible
//! candidate.
//!
//! Must not know what becomes of a candidate that breaks one.

use super::campaign::Campaign;
use super::candidate::{Candidate, CandidateStatus};
use crate::objective::{Bound, Constraint};

/// The fewest significant digits of a figure that is no whole number.
const LEAST_DIGITS: usize = 4;
/// As many as tell any two numbers apart.
const MOST_DIGITS: usize = 17;
/// Whole numbers from here on are not exact.
const WHOLE: f64 = 1e15;

impl Campaign {
    /// That `value` breaks `constraint`, as in `accuracy 43.06 % breaks the bound >= 99 %`.
    pub(super) fn broken_in_words(&self, constraint: &Constraint, value: f64) -> String {
        let unit = self.unit_of(constraint);
        let value = figure(value, |shown| constraint.violation(shown) > 0.0);
        let metric = &constraint.metric;
        format!("{metric} {value}{unit} breaks the bound {}{unit}", limit(constraint))
    }

    /// Why no scored candidate is feasible: for each bound that is broken, by how many. Nothing if one is.
    pub(super) fn infeasible_lines(&self) -> Vec<String> {
        let scored: Vec<&Candidate> = self
            .candidates
            .iter()
            .filter(|candidate| matches!(candidate.status, CandidateStatus::Scored { .. }))
            .collect();
        let feasible = |candidate: &&Candidate| matches!(candidate.status, CandidateStatus::Scored { violation } if violation == 0.0);
        if scored.is_empty() || scored.iter().any(feasible) {
            return Vec::new();
        }
        let mut lines = vec![match scored.len() {
            1 => "the only scored candidate is not feasible".to_owned(),
            all => format!("none of the {all} scored candidates is feasible"),
        }];
        let constraints = self.spec.constraints.iter();
        lines.extend(constraints.filter_map(|constraint| self.broken_line(constraint, &scored)));
        lines
    }

    /// By how many of `scored` a bound is broken, and how near the nearest of them comes.
    fn broken_line(&self, constraint: &Constraint, scored: &[&Candidate]) -> Option<String> {
        let column = self.column(&constraint.metric)?;
        let values = scored.iter().filter_map(|candidate| candidate.value(column));
        let breaking: Vec<f64> =
            values.filter(|value| constraint.violation(*value) > 0.0).collect();
        let nearest = breaking.iter().copied().min_by(|one, other| {
            constraint.violation(*one).total_cmp(&constraint.violation(*other))
        })?;
        let unit = self.unit_of(constraint);
        let nearest = figure(nearest, |shown| constraint.violation(shown) > 0.0);
        Some(format!(
            "{} {}{unit} is broken by {} of them, the nearest has {nearest}{unit}",
            constraint.metric,
            limit(constraint),
            breaking.len(),
        ))
    }

    /// The unit of what is bounded, to be put behind a number.
    fn unit_of(&self, constraint: &Constraint) -> String {
        let unit =
            self.spec.metrics.find(constraint.metric.as_str()).map_or("", |found| found.unit);
        if unit.is_empty() { String::new() } else { format!(" {unit}") }
    }
}

fn limit(constraint: &Constraint) -> String {
    match constraint.bound {
        Bound::AtMost(bound) => format!("<= {bound}"),
        Bound::AtLeast(bound) => format!(">= {bound}"),
    }
}

/// A number with few digits of which `holds` is still true: rounded, a value must not seem to keep the
/// bound that it breaks.
pub(super) fn figure(value: f64, holds: impl Fn(f64) -> bool) -> String {
    if value.fract() == 0.0 && value.abs() < WHOLE {
        return value.to_string();
    }
    let rounded = |digits: usize| format!("{value:.*e}", digits - 1).parse::<f64>().ok();
    let fits = |shown: &f64| shown.is_finite() && holds(*shown);
    let shown = (LEAST_DIGITS..=MOST_DIGITS).filter_map(rounded).find(fits);
    let shown = shown.unwrap_or(value);
    let usual = (1e-4..WHOLE).contains(&shown.abs()) || shown == 0.0;
    if usual { shown.to_string() } else { format!("{shown:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_stay_on_their_side_of_a_bound() {
        let any = |_| true;
        assert_eq!(figure(43.058_831_727_519_29, any), "43.06");
        assert_eq!(figure(0.434_937_694_217, any), "0.4349");
        assert_eq!(figure(1_234_567.0, any), "1234567");
        assert_eq!(figure(-2.5, any), "-2.5");
        assert_eq!(figure(1.234_56e-9, any), "1.235e-9");
        assert_eq!(figure(f64::MAX, any), "1.79769e308");
        assert_eq!(figure(98.999_96, |shown| shown < 99.0), "98.99996");
    }
}
