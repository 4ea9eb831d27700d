//! Ranks for two objectives by one sweep, O(N log N) (Jensen 2003, section III). It knows only
//! the second objective of distinct points in lexicographic order.

/// Best second objective of every front so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    best: Vec<f64>,
}

/// Ranks distinct, lexicographically ordered points by their second objective.
///
/// A front holds a dominator of the next point exactly when its smallest second objective is no
/// larger than the point's. Those minima never descend from one front to the next, because each
/// member of a front is dominated by one of the front before.
pub(super) fn rank(second: &[f64], scratch: &mut Scratch, ranks: &mut [u32]) {
    let best = &mut scratch.best;
    best.clear();
    for (value, rank) in second.iter().zip(ranks) {
        let front = best.partition_point(|smallest| smallest <= value);
        match best.get_mut(front) {
            Some(smallest) => *smallest = *value,
            None => best.push(*value),
        }
        *rank = front as u32;
    }
}
