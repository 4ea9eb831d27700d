//! Rank correlations: how far two lists of numbers order the same things alike.
//!
//! Pure functions of finite numbers; must not know what the numbers mean.

/// Spearman's rank correlation of pairs, -1 to 1: the correlation of their ranks, tied values sharing
/// the mean of theirs (Spearman 1904). `None` for fewer than two pairs, or if all first or all second
/// values are equal.
#[must_use]
pub fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    let first = ranks(pairs.iter().map(|pair| pair.0));
    let second = ranks(pairs.iter().map(|pair| pair.1));
    pearson(&first, &second)
}

/// The point-biserial correlation of a number and whether something is so, -1 to 1: that of the number with 0 and 1.
/// `None` for fewer than two pairs, or where one of the two is the same throughout.
#[must_use]
pub fn point_biserial(pairs: &[(f64, bool)]) -> Option<f64> {
    let numbers: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
    let truths: Vec<f64> = pairs.iter().map(|pair| f64::from(u8::from(pair.1))).collect();
    pearson(&numbers, &truths)
}

/// Kendall's rank correlation of pairs, -1 to 1, corrected for ties (tau-b, Kendall 1945): agreeing
/// minus disagreeing pairs of pairs, over the geometric mean of those that are not tied in the first
/// and in the second value. `None` as for [`spearman`]. `O(n log n)` (Knight 1966).
#[must_use]
pub fn kendall(pairs: &[(f64, f64)]) -> Option<f64> {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let tied_first = tied(sorted.chunk_by(|a, b| a.0 == b.0));
    let tied_both = tied(sorted.chunk_by(|a, b| a == b));
    let mut second: Vec<f64> = sorted.iter().map(|pair| pair.1).collect();
    let swaps = inversions(&mut second);
    let tied_second = tied(second.chunk_by(|a, b| a == b));
    let all = choose_two(pairs.len() as u64);
    let (untied_first, untied_second) = (all - tied_first, all - tied_second);
    if untied_first == 0 || untied_second == 0 {
        return None;
    }
    let differing = all as f64 - tied_first as f64 - tied_second as f64 + tied_both as f64;
    let agreement = differing - 2.0 * swaps as f64;
    // One root of the product, which is exact where both are equal.
    let scale = (untied_first as f64 * untied_second as f64).sqrt();
    Some((agreement / scale).clamp(-1.0, 1.0))
}

/// The ends of the 95 % confidence interval of a Spearman correlation over `count` pairs (Bonett & Wright 2000),
/// computed in the scale of Fisher's transformation.
/// `None` for fewer than four pairs.
#[must_use]
pub fn spearman_interval(correlation: f64, count: usize) -> Option<(f64, f64)> {
    if count < 4 {
        return None;
    }
    let deviation = ((1.0 + correlation * correlation / 2.0) / (count as f64 - 3.0)).sqrt();
    // An exact correlation has no transformation.
    let center = libm::atanh(correlation.clamp(-1.0 + 1e-12, 1.0 - 1e-12));
    Some((libm::tanh(center - 1.96 * deviation), libm::tanh(center + 1.96 * deviation)))
}

/// The ranks of values, from 1; equal values share the mean of theirs.
fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = start as f64 + (group.len() + 1) as f64 / 2.0;
        group.iter().for_each(|&position| ranks[position] = mean);
        start += group.len();
    }
    ranks
}

fn pearson(first: &[f64], second: &[f64]) -> Option<f64> {
    let count = first.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (first_mean, second_mean) = (mean(first), mean(second));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in first.iter().zip(second) {
        let (x, y) = (x - first_mean, y - second_mean);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

fn choose_two(count: u64) -> u64 {
    count * count.saturating_sub(1) / 2
}

/// Pairs within groups of equal values.
fn tied<'a, T: 'a>(groups: impl Iterator<Item = &'a [T]>) -> u64 {
    groups.map(|group| choose_two(group.len() as u64)).sum()
}

/// Sorts `values`; the number of pairs that stood in the wrong order.
fn inversions(values: &mut [f64]) -> u64 {
    let half = values.len() / 2;
    if half == 0 {
        return 0;
    }
    let (left, right) = values.split_at_mut(half);
    let mut count = inversions(left) + inversions(right);
    let mut merged = Vec::with_capacity(values.len());
    let (mut i, mut j) = (0, half);
    while i < half && j < values.len() {
        if values[j] < values[i] {
            count += (half - i) as u64;
            merged.push(values[j]);
            j += 1;
        } else {
            merged.push(values[i]);
            i += 1;
        }
    }
    merged.extend_from_slice(&values[i..half]);
    merged.extend_from_slice(&values[j..]);
    values.copy_from_slice(&merged);
    count
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_so_correlates_as_zero_and_one_do() {
        use super::point_biserial;
        let pairs = [(1.0, false), (2.0, false), (3.0, true), (6.0, true)];
        // Of (1, 0), (2, 0), (3, 1), (6, 1): 3 / sqrt(14 * 1).
        let found = point_biserial(&pairs).unwrap();
        assert!((found - 3.0 / 14f64.sqrt()).abs() < 1e-12, "{found}");
        assert_eq!(point_biserial(&[(1.0, true), (2.0, true)]), None);
        assert_eq!(point_biserial(&[(1.0, true), (1.0, false)]), None);
        assert_eq!(point_biserial(&[]), None);
    }

    use proptest::prelude::*;

    use super::*;

    /// Tau-b by looking at every pair of pairs.
    fn kendall_naively(pairs: &[(f64, f64)]) -> Option<f64> {
        let (mut agreement, mut first, mut second) = (0i64, 0u64, 0u64);
        for (i, a) in pairs.iter().enumerate() {
            for b in &pairs[..i] {
                let (x, y) = (a.0.total_cmp(&b.0) as i64, a.1.total_cmp(&b.1) as i64);
                agreement += x * y;
                first += x.unsigned_abs();
                second += y.unsigned_abs();
            }
        }
        let scale = (first as f64 * second as f64).sqrt();
        (scale > 0.0).then(|| agreement as f64 / scale)
    }

    /// Spearman's by counting, for each value, how many are smaller and how many equal.
    fn spearman_naively(pairs: &[(f64, f64)]) -> Option<f64> {
        let rank = |of: &dyn Fn(&(f64, f64)) -> f64| -> Vec<f64> {
            pairs
                .iter()
                .map(|pair| {
                    let smaller = pairs.iter().filter(|other| of(other) < of(pair)).count();
                    let equal = pairs.iter().filter(|other| of(other) == of(pair)).count();
                    smaller as f64 + (equal as f64 + 1.0) / 2.0
                })
                .collect()
        };
        pearson(&rank(&|pair| pair.0), &rank(&|pair| pair.1))
    }

    proptest! {
        #[test]
        fn correlations_are_those_of_the_definition(
            pairs in proptest::collection::vec((0..8i32, 0..8i32), 0..40)
        ) {
            let pairs: Vec<_> =
                pairs.into_iter().map(|(a, b)| (f64::from(a), f64::from(b))).collect();
            for (found, expected) in [
                (kendall(&pairs), kendall_naively(&pairs)),
                (spearman(&pairs), spearman_naively(&pairs)),
            ] {
                prop_assert_eq!(found.is_some(), expected.is_some());
                if let (Some(found), Some(expected)) = (found, expected) {
                    prop_assert!((found - expected).abs() < 1e-12, "{} {}", found, expected);
                    prop_assert!((-1.0..=1.0).contains(&found));
                }
            }
        }
    }

    #[test]
    fn known_values() {
        let line = |sign: f64| (0..10).map(|x| (f64::from(x), sign * f64::from(x * x))).collect();
        let (up, down): (Vec<_>, Vec<_>) = (line(1.0), line(-1.0));
        assert_eq!((spearman(&up), kendall(&up)), (Some(1.0), Some(1.0)));
        assert_eq!((spearman(&down), kendall(&down)), (Some(-1.0), Some(-1.0)));
        // Kendall 1938, the order of ten by two examiners.
        let other = [2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 8.0, 7.0, 10.0, 9.0];
        let pairs: Vec<_> = (1..=10).map(f64::from).zip(other).collect();
        assert!((kendall(&pairs).unwrap() - 35.0 / 45.0).abs() < 1e-12);
        assert!((spearman(&pairs).unwrap() - (1.0 - 6.0 * 10.0 / 990.0)).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        for pairs in [&[][..], &[(1.0, 2.0)], &[(1.0, 2.0), (1.0, 3.0)], &[(2.0, 1.0), (3.0, 1.0)]]
        {
            assert_eq!((spearman(pairs), kendall(pairs)), (None, None), "{pairs:?}");
        }
    }

    #[test]
    fn intervals_hold_the_correlation_and_narrow_with_more_pairs() {
        let width = |count| {
            let (low, high) = spearman_interval(0.8, count).unwrap();
            assert!(low < 0.8 && 0.8 < high && high < 1.0);
            high - low
        };
        assert!(width(20) > width(200));
        assert_eq!(spearman_interval(0.8, 3), None);
        assert!(spearman_interval(1.0, 10).unwrap().1 <= 1.0);
    }
}
