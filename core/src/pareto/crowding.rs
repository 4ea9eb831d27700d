//! Crowding distance within one front: how much room a point has to its neighbours. It must not
//! know ranks, nor how a caller turns distances into survival.

use super::Points;

/// Buffers that repeated calls of [`crowding_distance_into`] share.
#[derive(Debug, Clone, Default)]
pub struct CrowdingScratch {
    order: Vec<u32>,
    column: Vec<f64>,
}

/// Crowding distance of each member of `front` (Deb, Pratap, Agarwal and Meyarivan 2002, section
/// III-B), in the order of `front`: the sum over objectives of (next - previous) / (max - min)
/// among the members, dimensionless, in [0, +infinity].
///
/// The two ends of every objective get +infinity; ties are ordered by point index, so exactly one
/// member is the lower and one the upper end. An objective without range has no ends and
/// contributes nothing. Fronts of one or two members are all ends.
///
/// # Panics
/// When `front` holds an index that is not in `points`, as slice indexing does.
#[must_use]
pub fn crowding_distance(points: &Points, front: &[usize]) -> Vec<f64> {
    let mut distances = Vec::new();
    crowding_distance_into(points, front, &mut CrowdingScratch::default(), &mut distances);
    distances
}

/// As [`crowding_distance`], into `distances` (cleared first) and without allocating once the
/// buffers have grown.
///
/// # Panics
/// When `front` holds an index that is not in `points`, as slice indexing does.
pub fn crowding_distance_into(
    points: &Points,
    front: &[usize],
    scratch: &mut CrowdingScratch,
    distances: &mut Vec<f64>,
) {
    distances.clear();
    if front.len() <= 2 {
        distances.resize(front.len(), f64::INFINITY);
        return;
    }
    distances.resize(front.len(), 0.0);
    let CrowdingScratch { order, column } = scratch;
    for objective in 0..points.objectives() {
        column.clear();
        column.extend(front.iter().map(|&index| points.value(index, objective)));
        order.clear();
        order.extend(0..front.len() as u32);
        order.sort_unstable_by(|&a, &b| {
            let (a, b) = (a as usize, b as usize);
            column[a].total_cmp(&column[b]).then(front[a].cmp(&front[b]))
        });
        add_objective(order, column, distances);
    }
}

/// Adds the share of one objective, whose values ascend along `order`.
fn add_objective(order: &[u32], column: &[f64], distances: &mut [f64]) {
    let (first, last) = (order[0] as usize, order[order.len() - 1] as usize);
    let (min, max) = (column[first], column[last]);
    if min == max {
        return;
    }
    distances[first] = f64::INFINITY;
    distances[last] = f64::INFINITY;
    // A range above the largest float is halved on both sides of the quotient, which leaves the
    // quotient the same and finite.
    let scale = if (max - min).is_finite() { 1.0 } else { 0.5 };
    let range = max * scale - min * scale;
    for neighbours in order.windows(3) {
        let [previous, member, next] = [0, 1, 2].map(|at| neighbours[at] as usize);
        distances[member] += (column[next] * scale - column[previous] * scale) / range;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pareto::test_points::{any_rows, points_of};
    use proptest::prelude::*;

    const INF: f64 = f64::INFINITY;

    /// The published pseudo-code, one objective after the other, on a plain stable sort.
    fn naive(points: &Points, front: &[usize]) -> Vec<f64> {
        let n = front.len();
        if n <= 2 {
            return vec![INF; n];
        }
        let mut distances = vec![0.0; n];
        for m in 0..points.objectives() {
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by_key(|&at| front[at]);
            order.sort_by(|&a, &b| {
                points.value(front[a], m).partial_cmp(&points.value(front[b], m)).unwrap()
            });
            let value = |at: usize| points.value(front[order[at]], m);
            let range = value(n - 1) - value(0);
            if range == 0.0 {
                continue;
            }
            distances[order[0]] = INF;
            distances[order[n - 1]] = INF;
            for at in 1..n - 1 {
                distances[order[at]] += (value(at + 1) - value(at - 1)) / range;
            }
        }
        distances
    }

    #[test]
    fn by_hand_in_two_objectives() {
        let rows = vec![vec![0.0, 4.0], vec![1.0, 2.0], vec![3.0, 1.0], vec![4.0, 0.0]];
        let points = points_of(&rows);
        let distances = crowding_distance(&points, &[3, 2, 1, 0]);
        assert_eq!(distances, [INF, 3.0 / 4.0 + 2.0 / 4.0, 3.0 / 4.0 + 3.0 / 4.0, INF]);
    }

    #[test]
    fn ties_break_by_index_whatever_the_order_given() {
        let rows = vec![vec![0.0, 1.0], vec![0.0, 1.0], vec![1.0, 0.0], vec![1.0, 0.0]];
        let points = points_of(&rows);
        assert_eq!(crowding_distance(&points, &[0, 1, 2, 3]), [INF, INF, INF, INF]);
        let rows = [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]].map(Vec::from);
        let points = points_of(&rows);
        let forward = crowding_distance(&points, &[0, 1, 2, 3, 4]);
        let mut backward = crowding_distance(&points, &[4, 3, 2, 1, 0]);
        backward.reverse();
        assert_eq!(forward, backward);
        assert!(forward[1].is_finite());
    }

    #[test]
    fn degenerate_fronts() {
        let points = points_of(&vec![vec![1.0, 2.0]; 4]);
        assert!(crowding_distance(&points, &[]).is_empty());
        assert_eq!(crowding_distance(&points, &[2]), [INF]);
        assert_eq!(crowding_distance(&points, &[2, 3]), [INF, INF]);
        assert_eq!(crowding_distance(&points, &[0, 1, 2, 3]), [0.0; 4]);
        let huge = points_of(&[vec![-1.5e308], vec![0.0], vec![1.5e308]]);
        assert_eq!(crowding_distance(&huge, &[0, 1, 2]), [INF, 1.0, INF]);
    }

    proptest! {
        #[test]
        fn agrees_with_the_published_pseudo_code(rows in any_rows(1..=40), every in 1usize..4) {
            let points = points_of(&rows);
            let front: Vec<usize> = (0..rows.len()).rev().step_by(every).collect();
            let mut scratch = CrowdingScratch::default();
            let mut distances = vec![7.0; 3];
            for _ in 0..2 {
                crowding_distance_into(&points, &front, &mut scratch, &mut distances);
                prop_assert_eq!(&distances, &naive(&points, &front));
            }
        }
    }
}
