//! Ranks for two objectives by one sweep, O(N log N) (Jensen 2003, section III). It knows only
//! the points in lexicographic order.

/// Best second objective of every front so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    best: Vec<f64>,
}

/// Ranks lexicographically ordered points, given as (first objective's key, second objective,
/// index), and returns the number of fronts; equal points share a rank.
///
/// A front holds a dominator of the next point exactly when its smallest second objective is no
/// larger than the point's. Those minima never descend from one front to the next, because each
/// member of a front is dominated by one of the front before.
pub(super) fn rank(
    points: impl Iterator<Item = (u64, f64, usize)>,
    scratch: &mut Scratch,
    ranks: &mut [u32],
) -> u32 {
    let best = &mut scratch.best;
    best.clear();
    let (mut latest, mut front) = ((0, f64::NAN), 0);
    for (key, value, index) in points {
        if latest != (key, value) {
            latest = (key, value);
            front = best.partition_point(|smallest| *smallest <= value);
            match best.get_mut(front) {
                Some(smallest) => *smallest = value,
                None => best.push(value),
            }
        }
        ranks[index] = front as u32;
    }
    best.len() as u32
}
