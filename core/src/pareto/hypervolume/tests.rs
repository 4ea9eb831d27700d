//! Hypervolume against values by hand, closed forms and inclusion-exclusion on a grid of cells.

use super::*;
use crate::pareto::dominance::dominates;
use crate::pareto::front::NonDominatedFront;
use crate::pareto::test_points::{any_rows, points_of, uniform_stream};
use proptest::prelude::*;

/// Sums the cells of the grid that the coordinates span; a cell counts when a point is no worse
/// than its lower corner.
fn naive(rows: &[Vec<f64>], reference: &[f64]) -> f64 {
    let m = reference.len();
    let edges: Vec<Vec<f64>> = (0..m)
        .map(|k| {
            let inside = rows.iter().map(|row| row[k]).filter(|v| *v < reference[k]);
            let mut edges: Vec<f64> = inside.chain([reference[k]]).collect();
            edges.sort_by(|a, b| a.partial_cmp(b).unwrap());
            edges.dedup();
            edges
        })
        .collect();
    let cells: usize = edges.iter().map(|edges| edges.len() - 1).product();
    let mut volume = 0.0;
    for mut cell in 0..cells {
        let (mut corner, mut size) = (Vec::with_capacity(m), 1.0);
        for edges in &edges {
            let at = cell % (edges.len() - 1);
            cell /= edges.len() - 1;
            corner.push(edges[at]);
            size *= edges[at + 1] - edges[at];
        }
        if rows.iter().any(|row| row.iter().zip(&corner).all(|(v, c)| v <= c)) {
            volume += size;
        }
    }
    volume
}

fn assert_close(found: f64, expected: f64, scale: f64) {
    let allowed = 1e-12 * scale.abs().max(expected.abs());
    assert!((found - expected).abs() <= allowed, "{found} instead of {expected}");
}

fn volume(rows: &[Vec<f64>], reference: &[f64]) -> f64 {
    hypervolume(&points_of(rows), reference).unwrap()
}

/// Every contribution is what the volume `all` loses without the point; nothing, to the bit, for a
/// point that another one dominates or repeats.
fn check_contributions(rows: &[Vec<f64>], reference: &[f64], all: f64) {
    let contributions = exclusive_contributions(&points_of(rows), reference).unwrap();
    for (without, contribution) in contributions.iter().enumerate() {
        let mut others = rows.to_vec();
        let row = others.remove(without);
        assert_close(*contribution, all - naive(&others, reference), all);
        let alone = exclusive_contribution(&points_of(rows), without, reference).unwrap();
        assert_close(alone, *contribution, all);
        if others.iter().any(|other| dominates(other, &row) || *other == row) {
            assert_eq!(*contribution, 0.0);
        }
    }
}

#[test]
fn two_objectives_by_hand() {
    // Columns of width 1, 2 and 2 under the reference (5, 5) with heights 1, 3 and 4.
    let mut rows = vec![vec![0.0, 4.0], vec![1.0, 2.0], vec![3.0, 1.0]];
    assert_eq!(volume(&rows, &[5.0, 5.0]), 1.0 + 2.0 * 3.0 + 2.0 * 4.0);
    let contributions = exclusive_contributions(&points_of(&rows), &[5.0, 5.0]).unwrap();
    assert_eq!(contributions, [1.0, 4.0, 2.0]);
    // Dominated, repeated, on the bound and beyond it: nothing changes.
    rows.extend([vec![4.0, 4.0], vec![0.0, 4.0], vec![-9.0, 5.0], vec![6.0, -9.0]]);
    assert_eq!(volume(&rows, &[5.0, 5.0]), 15.0);
    let contributions = exclusive_contributions(&points_of(&rows), &[5.0, 5.0]).unwrap();
    assert_eq!(contributions, [0.0, 4.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn three_objectives_by_hand() {
    let rows = [vec![0.0, 1.0, 1.0], vec![1.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]];
    // Three boxes of volume 2 that share the unit cube at the reference.
    assert_eq!(volume(&rows, &[2.0; 3]), 4.0);
    assert_eq!(exclusive_contributions(&points_of(&rows), &[2.0; 3]).unwrap(), [1.0; 3]);
}

#[test]
fn unit_boxes_at_the_corners_in_one_to_eight_objectives() {
    // Point k has gain 2 in objective k and 1 elsewhere: M boxes that share one unit cube.
    for m in 1..=8 {
        let rows: Vec<Vec<f64>> =
            (0..m).map(|k| (0..m).map(|j| if j == k { -2.0 } else { -1.0 }).collect()).collect();
        assert_eq!(volume(&rows, &vec![0.0; m]), 1.0 + m as f64);
        let contributions = exclusive_contributions(&points_of(&rows), &vec![0.0; m]).unwrap();
        assert_eq!(contributions, vec![if m == 1 { 2.0 } else { 1.0 }; m]);
    }
}

#[test]
fn zdt_fronts_reach_the_integral() {
    // Zitzler, Deb and Thiele 2000: f2 = 1 - sqrt(f1) (ZDT1) and f2 = 1 - f1^2 (ZDT2). With the
    // reference (1.1, 1.1) the whole curves dominate 1.1^2 - 1/3 and 1.1^2 - 2/3.
    let n = 20_000;
    for (curve, area) in
        [(f64::sqrt as fn(f64) -> f64, 1.21 - 1.0 / 3.0), (|f1| f1 * f1, 1.21 - 2.0 / 3.0)]
    {
        let rows: Vec<Vec<f64>> = (0..=n)
            .map(|i| f64::from(i) / f64::from(n))
            .map(|f1| vec![f1, 1.0 - curve(f1)])
            .collect();
        let found = volume(&rows, &[1.1, 1.1]);
        // A staircase below the curve misses at most one cell per step.
        assert!(found < area && area - found < 1.0 / f64::from(n), "{found} against {area}");
    }
}

#[test]
fn order_of_points_does_not_matter_for_large_fronts() {
    for m in 2..=5 {
        let mut next = uniform_stream(m as u64);
        let sphere = |row: Vec<f64>| {
            let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            row.iter().map(|v| v / norm).collect::<Vec<f64>>()
        };
        let mut rows: Vec<Vec<f64>> =
            (0..150).map(|_| sphere((0..m).map(|_| next() + 1e-3).collect())).collect();
        let reference = vec![1.1; m];
        let forward = volume(&rows, &reference);
        rows.reverse();
        rows.iter_mut().for_each(|row| row.reverse());
        assert_close(volume(&rows, &reference), forward, forward);
        let contributions = exclusive_contributions(&points_of(&rows), &reference).unwrap();
        for (without, contribution) in contributions.iter().enumerate().step_by(29) {
            let others = [&rows[..without], &rows[without + 1..]].concat();
            assert_close(*contribution, forward - volume(&others, &reference), forward);
        }
    }
}

#[test]
fn parts_make_the_same_bits_wherever_they_are_computed() {
    let mut next = uniform_stream(11);
    for m in 2..=6 {
        // Dominated points and repeated ones among them.
        let mut rows: Vec<Vec<f64>> = (0..700)
            .map(|_| (0..m).map(|_| (next() * 50.0).round() + next().round() / 8.0).collect())
            .collect();
        rows[699] = rows[0].clone();
        let (points, reference) = (points_of(&rows), vec![48.0; m]);
        let expected = hypervolume(&points, &reference).unwrap();
        for count in [1, 2, 3] {
            let mut computed = 0;
            let found = hypervolume_in_parts(&points, &reference, count, |parts| {
                computed = parts.len();
                // The last is left to be computed when it is needed.
                parts.iter_mut().rev().skip(1).for_each(Part::compute);
            });
            assert_eq!(found.map(f64::to_bits), Ok(expected.to_bits()));
            assert_eq!(computed, if m >= 5 && count > 1 { count } else { 0 });
        }
    }
    let error = hypervolume_in_parts(&points_of(&vec![vec![0.0; 5]; 600]), &[1.0], 2, |_| ());
    assert!(matches!(error, Err(HypervolumeError::ReferenceLength { .. })));
}

#[test]
fn nothing_inside_the_reference_is_zero() {
    for m in 1..=6 {
        assert_eq!(hypervolume(&Points::new(m), &vec![1.0; m]), Ok(0.0));
        assert_eq!(volume(&[vec![1.0; m], vec![2.0; m]], &vec![1.0; m]), 0.0);
        let none = exclusive_contributions(&points_of(&[vec![1.0; m]]), &vec![1.0; m]);
        assert_eq!(none, Ok(vec![0.0]));
    }
    assert_eq!(hypervolume(&Points::new(0), &[]), Ok(0.0));
}

#[test]
fn more_than_eight_objectives_are_estimated_not_computed() {
    let points = points_of(&[vec![0.0; 9]]);
    let error = hypervolume(&points, &[1.0; 9]).unwrap_err();
    assert_eq!(error, HypervolumeError::TooMany { found: 9 });
    assert!(exclusive_contributions(&points, &[1.0; 9]).is_err());
}

#[test]
fn refuses_bad_references_and_overflow() {
    let points = points_of(&[vec![0.0, 0.0]]);
    assert_eq!(
        hypervolume(&points, &[1.0]),
        Err(HypervolumeError::ReferenceLength { expected: 2, found: 1 })
    );
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = exclusive_contributions(&points, &[1.0, bad]).unwrap_err();
        assert!(
            matches!(error, HypervolumeError::NonFiniteReference { objective: 1, .. }),
            "{error}"
        );
    }
    let far = points_of(&[vec![-1e200; 2]]);
    assert_eq!(hypervolume(&far, &[0.0, 0.0]), Err(HypervolumeError::Overflow));
    assert_eq!(exclusive_contributions(&far, &[0.0, 0.0]), Err(HypervolumeError::Overflow));
    for m in 2..=6 {
        let two = points_of(&[vec![-1e200; m], vec![-2e200; m]]);
        assert_eq!(hypervolume(&two, &vec![0.0; m]), Err(HypervolumeError::Overflow));
        let contributions = exclusive_contributions(&two, &vec![0.0; m]);
        assert_eq!(contributions, Err(HypervolumeError::Overflow));
    }
    let farther = points_of(&[vec![-f64::MAX]]);
    assert_eq!(hypervolume(&farther, &[f64::MAX]), Err(HypervolumeError::Overflow));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Few values make boxes that share sides, whose neighbours are told apart by ties alone.
    #[test]
    fn ties_in_every_objective_are_borne(
        m in 3usize..=5,
        values in prop::collection::vec(0u8..4, 30..=90),
    ) {
        let rows: Vec<Vec<f64>> =
            values.chunks_exact(m).map(|row| row.iter().map(|value| f64::from(*value)).collect()).collect();
        let reference = vec![4.0; m];
        let expected = naive(&rows, &reference);
        assert_close(volume(&rows, &reference), expected, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Five objectives are few boxes in a word, in two, or so many that they are cut; few values make
    /// boxes that share sides, repeat or lie inside one another.
    #[test]
    fn sets_of_every_size_agree_with_the_grid_of_cells(
        values in prop::collection::vec(0u8..5, 5 * 40..=5 * 150),
    ) {
        let rows: Vec<Vec<f64>> =
            values.chunks_exact(5).map(|row| row.iter().map(|value| f64::from(*value)).collect()).collect();
        let expected = naive(&rows, &[5.0; 5]);
        assert_close(volume(&rows, &[5.0; 5]), expected, expected);
    }

    /// As above with four objectives: few boxes are walked over, many are zones.
    #[test]
    fn four_objectives_of_every_size_agree_with_the_grid_of_cells(
        values in prop::collection::vec(0u8..6, 4 * 100..=4 * 260),
        is_flat in any::<bool>(),
    ) {
        let row = |row: &[u8]| {
            let last = if is_flat { 16u8.saturating_sub(row[..3].iter().sum()) / 2 } else { row[3] };
            row[..3].iter().chain([&last]).map(|value| f64::from(*value)).collect()
        };
        let rows: Vec<Vec<f64>> = values.chunks_exact(4).map(row).collect();
        let expected = naive(&rows, &[9.0; 4]);
        assert_close(volume(&rows, &[9.0; 4]), expected, expected);
    }

    /// As above, but close to a plane, where hardly a box lies inside another.
    #[test]
    fn large_fronts_with_ties_agree_with_the_grid_of_cells(
        values in prop::collection::vec(prop::collection::vec(0u8..7, 4), 40..=150),
    ) {
        let row = |row: &Vec<u8>| {
            let sum: u8 = row.iter().sum();
            row.iter().copied().chain([20u8.saturating_sub(sum) / 3]).map(f64::from).collect()
        };
        let rows: Vec<Vec<f64>> = values.iter().map(row).collect();
        let expected = naive(&rows, &[8.0; 5]);
        assert_close(volume(&rows, &[8.0; 5]), expected, expected);
    }
}

proptest! {
    #[test]
    fn agrees_with_the_grid_of_cells(rows in any_rows(1..=7), bound in -1.0f64..10.0) {
        let reference = vec![bound; rows[0].len()];
        let expected = naive(&rows, &reference);
        assert_close(volume(&rows, &reference), expected, expected);
        check_contributions(&rows, &reference, expected);
    }

    #[test]
    fn agrees_with_the_grid_of_cells_in_few_objectives(
        rows in (1usize..=4).prop_flat_map(|m| crate::pareto::test_points::point_rows(m, 8..=18)),
    ) {
        let reference = vec![3.0; rows[0].len()];
        let expected = naive(&rows, &reference);
        assert_close(volume(&rows, &reference), expected, expected);
    }

    #[test]
    fn agrees_with_the_grid_of_cells_in_many_objectives(
        rows in (7usize..=8).prop_flat_map(|m| crate::pareto::test_points::point_rows(m, 1..=4)),
    ) {
        let reference = vec![3.0; rows[0].len()];
        let expected = naive(&rows, &reference);
        assert_close(volume(&rows, &reference), expected, expected);
        check_contributions(&rows, &reference, expected);
    }

    #[test]
    fn dominated_points_add_nothing(rows in any_rows(1..=20)) {
        let reference = vec![5.0; rows[0].len()];
        let mut front = NonDominatedFront::new(rows[0].len());
        for (id, row) in rows.iter().enumerate() {
            front.insert(id, row).unwrap();
        }
        let all = volume(&rows, &reference);
        assert_close(hypervolume(front.points(), &reference).unwrap(), all, all);
    }
}
