//! The scale on which fronts are compared: hypervolume relative to the best front that is known. Must not
//! sum up over seeds.
//!
//! Objectives are scaled so that that front's ideal point is 0 and its nadir 1 (where all of the front have one
//! value, as of a single objective, the worst known value is 1), the reference point is 1.1 in each, and the gap
//! is what of that front's hypervolume is missing, in thousandths.

use cambrian_core::pareto::Points;
use cambrian_core::pareto::front::NonDominatedFront;
use cambrian_core::pareto::hypervolume::hypervolume;
use cambrian_core::spec::CampaignSpec;

use super::runs::{Finished, SeedRun};
use super::source::Source;
use crate::growing_volume::GrowingVolume;

/// The reference point in every scaled objective.
const REFERENCE: f64 = 1.1;

/// The best front that is known, for scaling.
pub(super) struct Scale {
    ideal: Vec<f64>,
    spans: Vec<f64>,
    volume: f64,
    pub(super) front: usize,
    pub(super) rows: usize,
    /// Whether the rows are those of a table, else all that the runs found.
    pub(super) of_table: bool,
}

impl Scale {
    pub(super) fn new(spec: &CampaignSpec, source: &Source, runs: &[SeedRun]) -> Self {
        let known = source.known(spec);
        let of_table = known.is_some();
        let rows: Vec<Vec<f64>> = known.unwrap_or_else(|| {
            let found = runs.iter().flat_map(|run| &run.finished);
            found.filter(|done| done.feasible).filter_map(|done| done.truth.clone()).collect()
        });
        Self::of(spec.objectives.len(), &rows, of_table)
    }

    /// The scale of rows of so many objectives.
    fn of(objectives: usize, rows: &[Vec<f64>], of_table: bool) -> Self {
        let mut front = NonDominatedFront::new(objectives);
        for (at, row) in rows.iter().enumerate() {
            // Rows of the right width and finite, as whoever made them has checked.
            let _ = front.insert(at, row);
        }
        let column = |at: usize| front.iter().map(move |(_, row)| row[at]);
        let ideal: Vec<f64> =
            (0..objectives).map(|at| column(at).fold(f64::INFINITY, f64::min)).collect();
        let spans = ideal.iter().enumerate().map(|(at, low)| {
            let of_front = column(at).fold(f64::NEG_INFINITY, f64::max) - low;
            let of_all = rows.iter().map(|row| row[at]).fold(f64::NEG_INFINITY, f64::max) - low;
            [of_front, of_all].into_iter().find(|span| *span > 0.0).unwrap_or(1.0)
        });
        let mut scale = Self {
            spans: spans.collect(),
            ideal,
            volume: 0.0,
            front: front.len(),
            rows: rows.len(),
            of_table,
        };
        let scaled = front.iter().map(|(_, row)| scale.scaled(row));
        scale.volume = volume(objectives, scaled);
        scale
    }

    fn scaled(&self, row: &[f64]) -> Vec<f64> {
        let parts = row.iter().zip(self.ideal.iter().zip(&self.spans));
        parts.map(|(value, (low, span))| (value - low) / span).collect()
    }
}

/// The hypervolume of scaled points; those beyond the reference add nothing.
fn volume(objectives: usize, rows: impl Iterator<Item = Vec<f64>>) -> f64 {
    let points = Points::try_from_rows(objectives, rows).ok();
    let volume = points.and_then(|points| hypervolume(&points, &vec![REFERENCE; objectives]).ok());
    volume.unwrap_or(0.0)
}

/// The gap after each finished evaluation of a run, in thousandths.
pub(super) fn gaps(run: &SeedRun, scale: &Scale) -> Vec<f64> {
    let mut growing = GrowingVolume::new(vec![REFERENCE; scale.ideal.len()]);
    let mut gap = 1000.0;
    let step = |candidate: &Finished| {
        if let Some(row) = candidate.truth.as_ref().filter(|_| candidate.feasible) {
            let scaled = scale.scaled(row);
            let useful = scale.volume > 0.0 && scaled.iter().all(|value| *value < REFERENCE);
            let grown = useful.then(|| growing.insert(candidate.ordinal, &scaled)).flatten();
            if let Some(volume) = grown {
                // Nothing is better than the best front; a sum may be by its rounding.
                gap = 1000.0 * (1.0 - volume / scale.volume).max(0.0);
            }
        }
        gap
    };
    run.finished.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::run;
    use super::*;

    /// The gaps of a run that finds these values of a single objective, with those of a table.
    fn gaps_of_one(found: &[f64], table: &[f64]) -> Vec<f64> {
        let rows: Vec<Vec<f64>> = table.iter().map(|value| vec![*value]).collect();
        let mut run = run(&vec![(1.0, true); found.len()]);
        for (at, (done, value)) in run.finished.iter_mut().zip(found).enumerate() {
            done.ordinal = at as u32;
            done.truth = Some(vec![*value]);
        }
        gaps(&run, &Scale::of(1, &rows, true))
    }

    #[test]
    fn the_gap_of_a_single_objective_has_no_unit() {
        let (found, table) = ([7.0, 5.0, 4.0, 3.0], [3.0, 4.0, 5.0, 7.0, 13.0]);
        let seconds = gaps_of_one(&found, &table);
        let in_nanoseconds = |values: &[f64]| values.iter().map(|value| value * 1e9).collect();
        let (found, table): (Vec<f64>, Vec<f64>) = (in_nanoseconds(&found), in_nanoseconds(&table));
        for (one, other) in seconds.iter().zip(gaps_of_one(&found, &table)) {
            assert!((one - other).abs() < 1e-6, "{one} is not {other}");
        }
        assert!((seconds[0] - 1_000.0 * 0.4 / 1.1).abs() < 1e-9 && seconds[3].abs() < 1e-9);
        assert!(seconds.is_sorted_by(|a, b| a > b), "{seconds:?}");
        assert_eq!(gaps_of_one(&[5.0], &[5.0, 5.0]), [0.0]);
    }

    #[test]
    fn gaps_fall_to_nothing_on_the_true_front() {
        let scale = Scale {
            ideal: vec![0.0, 0.0],
            spans: vec![1.0, 1.0],
            volume: 0.0,
            front: 2,
            rows: 2,
            of_table: true,
        };
        let volume = volume(2, [vec![0.0, 1.0], vec![1.0, 0.0]].into_iter());
        let scale = Scale { volume, ..scale };
        let mut two = run(&[(1.0, true), (1.0, true), (1.0, true)]);
        two.finished[0].truth = None;
        two.finished[1].truth = Some(vec![0.0, 1.0]);
        two.finished[2].truth = Some(vec![1.0, 0.0]);
        for (at, done) in two.finished.iter_mut().enumerate() {
            done.ordinal = at as u32;
        }
        let gaps = gaps(&two, &scale);
        assert_eq!(gaps[0], 1000.0);
        assert!(
            (gaps[1] - 1000.0 * (1.0 - 0.11 / 0.21)).abs() < 1e-9 && gaps[2].abs() < 1e-9,
            "{gaps:?}"
        );
    }
}
