//! A front put into an order in which every beginning is well spread: the epsilon net of
//! multi-objective successive halving. It must not know ranks or what the order decides.
//!
//! Source: Clarkson, "Nearest-neighbor searching and metric space dimensions" (2005), greedy
//! permutation; its use within fronts is that of MO-ASHA (Schmucker, Donini, Zafar, Salinas and
//! Archambeau 2021, "Multi-objective asynchronous successive halving"). Distances here are between
//! values scaled to the front's own range, so that units do not decide.

use super::Points;

/// So many members are picked one by one; the rest follow by their distance from those.
const PICKS: usize = 128;

/// The members of `front` in an order that begins with the lowest value of the first objective and
/// goes on with the member farthest from all picked before, Euclidean, each objective scaled to its
/// range within the front. Behind the first 128 the others stand by their distance from these. The
/// earlier member of `front` goes first among equals. O(128 F M + F log F).
///
/// # Panics
/// When `front` holds an index that is not in `points`, as slice indexing does.
#[must_use]
pub fn spread_order(points: &Points, front: &[usize]) -> Vec<usize> {
    let scaled = scaled(points, front);
    let row = |at: usize| &scaled[at * points.objectives()..][..points.objectives()];
    let distance = |a: usize, b: usize| -> f64 {
        row(a).iter().zip(row(b)).map(|(x, y)| (x - y) * (x - y)).sum()
    };
    let first = (0..front.len()).min_by(|&a, &b| {
        points.value(front[a], 0).total_cmp(&points.value(front[b], 0)).then(a.cmp(&b))
    });
    let Some(first) = first else { return Vec::new() };
    let mut order = vec![first];
    // The squared distance from the nearest picked member; below any other once picked.
    let mut nearest: Vec<f64> = (0..front.len()).map(|at| distance(at, first)).collect();
    nearest[first] = -1.0;
    while order.len() < front.len().min(PICKS) {
        let farthest = (0..front.len())
            .max_by(|&a, &b| nearest[a].total_cmp(&nearest[b]).then(b.cmp(&a)))
            .expect("a front with a first member");
        order.push(farthest);
        for (at, distance_so_far) in nearest.iter_mut().enumerate() {
            *distance_so_far = distance_so_far.min(distance(at, farthest));
        }
        nearest[farthest] = -1.0;
    }
    let mut rest: Vec<usize> = (0..front.len()).filter(|&at| nearest[at] >= 0.0).collect();
    rest.sort_by(|&a, &b| nearest[b].total_cmp(&nearest[a]).then(a.cmp(&b)));
    order.into_iter().chain(rest).map(|at| front[at]).collect()
}

/// The members' values, row by row, each objective from 0 to 1; 0 where all are equal.
fn scaled(points: &Points, front: &[usize]) -> Vec<f64> {
    let width = points.objectives();
    let mut scaled = vec![0.0; front.len() * width];
    for objective in 0..width {
        let values = front.iter().map(|&index| points.value(index, objective));
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.clone().fold(f64::NEG_INFINITY, f64::max);
        if low >= high {
            continue;
        }
        // Halved where the range itself would overflow, which leaves the quotient the same.
        let scale = if (high - low).is_finite() { 1.0 } else { 0.5 };
        for (at, value) in values.enumerate() {
            scaled[at * width + objective] =
                (value * scale - low * scale) / (high * scale - low * scale);
        }
    }
    scaled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(rows: &[[f64; 2]]) -> Points {
        Points::try_from_rows(2, rows).expect("finite rows")
    }

    #[test]
    fn the_order_goes_from_an_end_to_the_other_and_then_halves() {
        let rows: Vec<[f64; 2]> = (0..5).map(|at| [f64::from(at), f64::from(4 - at)]).collect();
        assert_eq!(spread_order(&points(&rows), &[0, 1, 2, 3, 4]), [0, 4, 2, 1, 3]);
        assert_eq!(spread_order(&points(&rows), &[3, 1]), [1, 3]);
        assert_eq!(spread_order(&points(&rows), &[]), [0usize; 0]);
    }

    #[test]
    fn units_do_not_decide() {
        let rows = [[0.0, 9e9], [1.0, 4e9], [2.0, 1e9], [9.0, 0.0]];
        let small = rows.map(|[x, y]| [x, y * 1e-9]);
        let front = [0, 1, 2, 3];
        assert_eq!(spread_order(&points(&rows), &front), spread_order(&points(&small), &front));
    }

    #[test]
    fn equal_points_keep_their_order_and_extreme_values_are_borne() {
        let same = [[1.0, 1.0]; 4];
        assert_eq!(spread_order(&points(&same), &[2, 0, 3]), [2, 0, 3]);
        let wide = [[-f64::MAX, f64::MAX], [0.0, 0.0], [f64::MAX, -f64::MAX]];
        assert_eq!(spread_order(&points(&wide), &[0, 1, 2]), [0, 2, 1]);
    }

    proptest! {
        #[test]
        fn each_pick_is_the_farthest_from_those_before(
            rows in proptest::collection::vec([0u8..20, 0u8..20], 1..160)
        ) {
            let rows: Vec<[f64; 2]> = rows.iter().map(|row| row.map(f64::from)).collect();
            let points = points(&rows);
            let front: Vec<usize> = (0..rows.len()).collect();
            let order = spread_order(&points, &front);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&sorted, &front);
            let scaled = scaled(&points, &front);
            let gap = |picked: &[usize], at: usize| {
                let distance = |other: &usize| {
                    (0..2).map(|k| (scaled[2 * at + k] - scaled[2 * other + k]).powi(2)).sum()
                };
                picked.iter().map(distance).fold(f64::INFINITY, f64::min)
            };
            for nth in 1..order.len().min(PICKS) {
                let (picked, rest) = order.split_at(nth);
                let best = rest.iter().map(|&at| gap(picked, at)).fold(0.0, f64::max);
                prop_assert!(gap(picked, rest[0]) >= best);
            }
        }
    }
}
