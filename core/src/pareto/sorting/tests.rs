//! Non-dominated sorting against its definition, on every kernel.

use super::*;
use crate::pareto::dominance::{Dominance, constrained_compare};
use crate::pareto::test_points::{
    any_rows, naive_dominates, point_rows, points_of, uniform_stream,
};
use proptest::prelude::*;

/// Peels fronts: a point has rank k when only points of rank below k dominate it.
fn naive_ranks(n: usize, dominates: impl Fn(usize, usize) -> bool) -> Vec<u32> {
    let mut ranks = vec![u32::MAX; n];
    for rank in 0.. {
        let left: Vec<usize> = (0..n).filter(|&i| ranks[i] == u32::MAX).collect();
        if left.is_empty() {
            break;
        }
        for &i in &left {
            if !left.iter().any(|&j| dominates(j, i)) {
                ranks[i] = rank;
            }
        }
    }
    ranks
}

/// Ranks of large sets: one more than the worst dominator, in lexicographic order.
fn quadratic_ranks(rows: &[Vec<f64>]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| rows[a].partial_cmp(&rows[b]).unwrap());
    let mut ranks = vec![0; rows.len()];
    for (at, &i) in order.iter().enumerate() {
        let above = order[..at].iter().filter(|&&j| naive_dominates(&rows[j], &rows[i]));
        ranks[i] = above.map(|&j| ranks[j] + 1).max().unwrap_or(0);
    }
    ranks
}

fn assert_consistent(fronts: &Fronts, ranks: &[u32]) {
    assert_eq!(fronts.ranks(), ranks);
    assert_eq!(fronts.iter().len(), fronts.len());
    for (rank, front) in fronts.iter().enumerate() {
        let expected: Vec<usize> =
            (0..ranks.len()).filter(|&i| ranks[i] as usize == rank).collect();
        assert_eq!(front, expected);
        assert_eq!(front, fronts.front(rank));
    }
    assert_eq!(fronts.iter().map(<[usize]>::len).sum::<usize>(), ranks.len());
    assert!(fronts.front(fronts.len()).is_empty());
}

#[test]
fn a_small_example_by_hand() {
    let rows = [[1.0, 5.0], [2.0, 3.0], [4.0, 1.0], [3.0, 4.0], [5.0, 5.0], [2.0, 3.0]];
    let fronts = non_dominated_sort(&Points::try_from_rows(2, rows).unwrap(), None).unwrap();
    assert_eq!(fronts.iter().collect::<Vec<_>>(), [&[0, 1, 2, 5][..], &[3], &[4]]);
    assert_eq!((fronts.len(), fronts.rank(4)), (3, 2));
}

#[test]
fn no_point_and_one_point() {
    for m in 0..6 {
        let none = non_dominated_sort(&Points::new(m), None).unwrap();
        assert_eq!((none.len(), none.is_empty(), none.iter().len()), (0, true, 0));
        assert!(none.front(0).is_empty());
        assert!(none.front(usize::MAX).is_empty());
    }
    for m in 1..6 {
        let one = non_dominated_sort(&points_of(&[vec![1.0; m]]), None).unwrap();
        assert_consistent(&one, &[0]);
    }
}

#[test]
fn extreme_values_order_as_numbers() {
    let values = [f64::MAX, -f64::MAX, 0.0, -0.0, f64::MIN_POSITIVE, -1e-310, 1e-310];
    let rows: Vec<Vec<f64>> = values.iter().map(|v| vec![*v; 4]).collect();
    let fronts = non_dominated_sort(&points_of(&rows), None).unwrap();
    assert_eq!(fronts.ranks(), [5, 0, 2, 2, 4, 1, 3]);
}

#[test]
fn refuses_bad_violations_and_keeps_the_former_fronts() {
    let points = points_of(&[vec![1.0], vec![0.0]]);
    let mut fronts = non_dominated_sort(&points, None).unwrap();
    let before = fronts.clone();
    let mut sorter = Sorter::new();
    assert_eq!(
        sorter.sort_into(&points, Some(&[0.0]), &mut fronts),
        Err(SortError::ViolationCount { points: 2, violations: 1 })
    );
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let error = sorter.sort_into(&points, Some(&[0.0, bad]), &mut fronts).unwrap_err();
        assert!(matches!(error, SortError::InvalidViolation { index: 1, .. }), "{error}");
    }
    assert_eq!(fronts, before);
}

#[test]
fn large_sets_agree_with_the_quadratic_definition() {
    let mut sorter = Sorter::new();
    let mut fronts = Fronts::default();
    for m in 1..=6 {
        for (style, seed) in (0..4).zip(10 * m as u64..) {
            let mut next = uniform_stream(seed);
            let rows: Vec<Vec<f64>> = (0..1100)
                .map(|_| (0..m).map(|_| next()).collect())
                .map(|r| shape(style, r))
                .collect();
            sorter.sort_into(&points_of(&rows), None, &mut fronts).unwrap();
            assert_consistent(&fronts, &quadratic_ranks(&rows));
        }
    }
}

#[test]
fn four_objectives_divide() {
    // Style 4: ties in every objective, but too many values for repeated points to leave a few.
    for style in 0..5 {
        let mut next = uniform_stream(style as u64);
        let mut row = || {
            let row = shape(style, (0..4).map(|_| next()).collect());
            row.into_iter().map(|v| if style == 4 { (v * 12.0).floor() } else { v }).collect()
        };
        let rows: Vec<Vec<f64>> = (0..3 * four::FEW).map(|_| row()).collect();
        let fronts = non_dominated_sort(&points_of(&rows), None).unwrap();
        assert_consistent(&fronts, &quadratic_ranks(&rows));
    }
}

/// Uniform, a coarse grid, a sphere (one front) or a noisy chain (hundreds of fronts).
fn shape(style: usize, mut row: Vec<f64>) -> Vec<f64> {
    match style {
        1 => row.iter_mut().for_each(|v| *v = (*v * 6.0).floor()),
        2 => {
            let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            row.iter_mut().for_each(|v| *v /= norm);
        }
        3 => {
            let level = row[0] * 100.0;
            row.iter_mut().for_each(|v| *v += level);
        }
        _ => {}
    }
    row
}

/// Fronts of three objectives with few and with very many corners in the last two, alone and with a
/// dominated point at the end of the order.
#[test]
fn single_fronts_are_told_from_those_with_a_dominated_point() {
    let mut next = uniform_stream(3);
    for steep in [0.0, 1.0] {
        let mut rows: Vec<Vec<f64>> = (0..3_000)
            .map(|_| {
                let (x, y) = (next(), next());
                if steep > 0.0 { vec![x, y, -y] } else { vec![x, y, -x - y] }
            })
            .collect();
        rows.extend_from_within(..10);
        let ranks = |rows: &[Vec<f64>]| {
            non_dominated_sort(&points_of(rows), None).unwrap().ranks().to_vec()
        };
        assert_eq!(ranks(&rows), vec![0; rows.len()]);
        rows.push(rows[0].iter().map(|value| value + 1.0).collect());
        assert_eq!(ranks(&rows), quadratic_ranks(&rows));
    }
}

proptest! {
    #[test]
    fn agrees_with_peeling(rows in any_rows(1..=80)) {
        let fronts = non_dominated_sort(&points_of(&rows), None).unwrap();
        let expected = naive_ranks(rows.len(), |i, j| naive_dominates(&rows[i], &rows[j]));
        assert_consistent(&fronts, &expected);
    }

    #[test]
    fn four_objectives_cross_blocks(rows in point_rows(4, 250..=520)) {
        let fronts = non_dominated_sort(&points_of(&rows), None).unwrap();
        prop_assert_eq!(fronts.ranks(), &quadratic_ranks(&rows)[..]);
    }

    #[test]
    fn three_objectives_divide(rows in point_rows(3, 40..=200)) {
        let fronts = non_dominated_sort(&points_of(&rows), None).unwrap();
        prop_assert_eq!(fronts.ranks(), &quadratic_ranks(&rows)[..]);
    }

    #[test]
    fn constrained_agrees_with_peeling_and_buffers_carry_nothing_over(
        sets in prop::collection::vec(
            any_rows(1..=30).prop_flat_map(|rows| {
                let n = rows.len();
                (Just(rows), prop::collection::vec(0u8..4, n))
            }),
            1..4,
        )
    ) {
        let mut sorter = Sorter::new();
        let mut fronts = Fronts::default();
        for (rows, levels) in sets {
            let violations: Vec<f64> = levels.iter().map(|level| f64::from(*level) * 0.5).collect();
            sorter.sort_into(&points_of(&rows), Some(&violations), &mut fronts).unwrap();
            let expected = naive_ranks(rows.len(), |i, j| {
                constrained_compare(&rows[i], violations[i], &rows[j], violations[j])
                    == Dominance::First
            });
            assert_consistent(&fronts, &expected);
        }
    }
}
