//! Where a population lies between its best and worst values, estimated as NSGA-III does (Deb and
//! Jain 2014, section IV-C): the ideal point, one extreme point an objective, and the intercepts
//! of the hyperplane through them. It must not know directions or survival.

/// Weight of the other objectives in the achievement function that finds an extreme point.
const OFF_AXIS: f64 = 1e6;
/// Ranges below this share of the largest value are taken for none.
const SMALLEST: f64 = 1e-12;

/// What is remembered from one survival to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Normalization {
    ideal: Vec<f64>,
    extremes: Vec<Vec<f64>>,
}

impl Normalization {
    /// Takes the objectives of all candidates for survival into account, `front` being the
    /// non-dominated ones of them, and returns the ideal point and the range of each objective,
    /// above 0. Both are empty if no candidate has objectives; what was known is kept then.
    pub(super) fn update(&mut self, all: &[&[f64]], front: &[&[f64]]) -> (Vec<f64>, Vec<f64>) {
        let Some(width) = all.first().map(|row| row.len()) else {
            return (Vec::new(), Vec::new());
        };
        self.ideal.resize(width, f64::INFINITY);
        for row in all {
            for (ideal, value) in self.ideal.iter_mut().zip(*row) {
                *ideal = ideal.min(*value);
            }
        }
        let candidates: Vec<Vec<f64>> = front
            .iter()
            .map(|row| row.to_vec())
            .chain(std::mem::take(&mut self.extremes))
            .collect();
        self.extremes = (0..width).filter_map(|axis| self.extreme(axis, &candidates)).collect();
        let range = self.intercepts().unwrap_or_else(|| self.span(front));
        let fallback = self.span(all);
        let sound = |axis: usize| {
            let values = all.iter().map(|row| row[axis].abs());
            let least = SMALLEST * values.fold(self.ideal[axis].abs(), f64::max);
            [range[axis], fallback[axis]].into_iter().find(|range| *range > least).unwrap_or(1.0)
        };
        (self.ideal.clone(), (0..width).map(sound).collect())
    }

    /// The candidate closest to an axis: the least largest weighted gain.
    fn extreme(&self, axis: usize, candidates: &[Vec<f64>]) -> Option<Vec<f64>> {
        let scalar = |row: &[f64]| {
            let weighted =
                row.iter().zip(&self.ideal).enumerate().map(|(objective, (value, ideal))| {
                    (value - ideal) * if objective == axis { 1.0 } else { OFF_AXIS }
                });
            weighted.fold(f64::NEG_INFINITY, f64::max)
        };
        candidates.iter().min_by(|a, b| scalar(a).total_cmp(&scalar(b))).cloned()
    }

    /// The distances from the ideal point at which the hyperplane through the extreme points meets
    /// the axes, `None` if there is no such plane or it meets one on the wrong side.
    fn intercepts(&self) -> Option<Vec<f64>> {
        let width = self.ideal.len();
        let mut rows: Vec<Vec<f64>> = self
            .extremes
            .iter()
            .map(|extreme| {
                let mut row: Vec<f64> =
                    extreme.iter().zip(&self.ideal).map(|(value, ideal)| value - ideal).collect();
                row.push(1.0);
                row
            })
            .collect();
        let plane = (rows.len() == width).then(|| solve(&mut rows)).flatten()?;
        let intercepts: Vec<f64> = plane.into_iter().map(|coefficient| 1.0 / coefficient).collect();
        let worst = self.span(&self.extremes.iter().map(Vec::as_slice).collect::<Vec<_>>());
        // A plane that is almost parallel to an axis meets it far beyond everything found.
        let sound = |(found, worst): (&f64, &f64)| {
            found.is_finite() && *found > 0.0 && found <= &(worst * (1.0 + 1e-9))
        };
        intercepts.iter().zip(&worst).all(sound).then_some(intercepts)
    }

    /// The largest distance from the ideal point in each objective.
    fn span(&self, rows: &[&[f64]]) -> Vec<f64> {
        let mut span = vec![0.0f64; self.ideal.len()];
        for row in rows {
            for ((span, value), ideal) in span.iter_mut().zip(*row).zip(&self.ideal) {
                *span = span.max(value - ideal);
            }
        }
        span
    }
}

/// The solution of a square system, each row its coefficients and the right side, by Gaussian
/// elimination with partial pivoting; `None` if it is singular, which does not depend on the units of the
/// columns.
fn solve(rows: &mut [Vec<f64>]) -> Option<Vec<f64>> {
    let width = rows.len();
    let largest =
        |column: usize| rows.iter().map(|row: &Vec<f64>| row[column].abs()).fold(0.0, f64::max);
    let least: Vec<f64> = (0..width).map(|column| SMALLEST * largest(column)).collect();
    for column in 0..width {
        let pivot = (column..width)
            .max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let (done, below) = rows.split_at_mut(column + 1);
        let top = &done[column];
        if top[column].abs() <= least[column] {
            return None;
        }
        for row in below {
            let factor = row[column] / top[column];
            for (value, above) in row.iter_mut().zip(top).skip(column) {
                *value -= factor * above;
            }
        }
    }
    let mut solution = vec![0.0; width];
    for row in (0..width).rev() {
        let known: f64 = (row + 1..width).map(|column| rows[row][column] * solution[column]).sum();
        solution[row] = (rows[row][width] - known) / rows[row][row];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(normalization: &mut Normalization, rows: &[[f64; 3]]) -> (Vec<f64>, Vec<f64>) {
        let rows: Vec<&[f64]> = rows.iter().map(<[f64; 3]>::as_slice).collect();
        normalization.update(&rows, &rows)
    }

    #[test]
    fn nothing_is_forgotten_where_no_candidate_has_objectives() {
        let mut normalization = Normalization::default();
        let rows = [[3.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 9.0]];
        let known = update(&mut normalization, &rows);
        assert_eq!(update(&mut normalization, &[]), (Vec::new(), Vec::new()));
        assert_eq!(update(&mut normalization, &rows[..1]), known);
    }

    #[test]
    fn a_plane_is_found_again() {
        // The simplex x/2 + y/4 + z/8 = 1 above (1, 1, 1).
        let rows = [[3.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 9.0], [1.8, 2.0, 4.0]];
        let (ideal, range) = update(&mut Normalization::default(), &rows);
        assert_eq!(ideal, [1.0, 1.0, 1.0]);
        for (found, expected) in range.iter().zip([2.0, 4.0, 8.0]) {
            assert!((found - expected).abs() < 1e-9, "{range:?}");
        }
    }

    #[test]
    fn ranges_are_those_of_the_units() {
        let rows = [[3.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 9.0], [1.8, 2.0, 4.0]];
        // A plane that meets the axes, and a front without one.
        for rows in [&rows[..], &[[1.0, 2.0, 3.0], [1.0, 1.0, 4.0]]] {
            let (_, usual) = update(&mut Normalization::default(), rows);
            let small: Vec<[f64; 3]> = rows.iter().map(|row| row.map(|x| 1e-14 * x)).collect();
            let (_, found) = update(&mut Normalization::default(), &small);
            let flat = rows.iter().all(|row| row[0] == rows[0][0]);
            for axis in usize::from(flat)..3 {
                let ratio = found[axis] / usual[axis];
                assert!((ratio / 1e-14 - 1.0).abs() < 1e-9, "{found:?} {usual:?}");
            }
        }
    }

    #[test]
    fn degenerate_fronts_have_a_range_above_zero() {
        for rows in
            [&[[1.0, 2.0, 3.0]][..], &[[1.0, 2.0, 3.0], [1.0, 1.0, 4.0]], &[[0.0; 3], [0.0; 3]]]
        {
            let (_, range) = update(&mut Normalization::default(), rows);
            assert!(range.iter().all(|range| *range > 0.0 && range.is_finite()), "{range:?}");
        }
    }

    #[test]
    fn the_best_values_ever_seen_are_remembered() {
        let mut normalization = Normalization::default();
        update(&mut normalization, &[[0.0, 5.0, 5.0]]);
        let (ideal, _) = update(&mut normalization, &[[1.0, 1.0, 1.0]]);
        assert_eq!(ideal, [0.0, 1.0, 1.0]);
    }
}
