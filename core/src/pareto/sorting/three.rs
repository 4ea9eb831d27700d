//! Ranks for three objectives by divide and conquer, O(N log^2 N) (Jensen 2003; Fortin, Grenier
//! and Parizeau 2013), but for a single front, which a sweep finds (Kung, Luccio and Preparata 1975). It knows only the second and third objectives of distinct points in
//! lexicographic order.

use super::ascending_key;

/// Below this many points, comparing all pairs beats dividing.
const SMALL: usize = 48;

/// Buffers of the recursion.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    /// Second and third objectives that no point before is below in both: ascending and descending.
    stairs: Vec<[f64; 2]>,
    keyed: Vec<(u64, u32)>,
    by_second: Vec<u32>,
    /// Smallest third objective by rank: a segment tree whose root is node 1. Every node is
    /// infinite between sweeps.
    smallest: Vec<f64>,
}

/// Ranks distinct, lexicographically ordered points, given their second objectives followed by
/// their third ones; `ranks` starts at zero.
pub(super) fn rank(columns: &[f64], scratch: &mut Scratch, ranks: &mut [u32]) {
    let n = ranks.len();
    let (second, third) = columns.split_at(n);
    let Scratch { stairs, keyed, by_second, smallest } = scratch;
    if is_one_front(second, third, stairs) {
        return;
    }
    keyed.clear();
    keyed.extend(second.iter().zip(0..).map(|(value, at)| (ascending_key(*value), at)));
    keyed.sort_unstable();
    by_second.clear();
    by_second.extend(keyed.iter().map(|&(_, at)| at));
    // Each level of the recursion needs the order of half the points of the level above.
    by_second.resize(2 * n, 0);
    smallest.clear();
    smallest.resize(2 * n.next_power_of_two(), f64::INFINITY);
    Divider { second, third, ranks, smallest }.solve(0, n, by_second);
}

/// With more stairs than this, finding out whether there is one front would cost more than dividing.
const STAIRS: usize = 2_048;

/// Whether no point dominates another, if that is cheaply found. Most sets of several fronts are known by their first points.
fn is_one_front(second: &[f64], third: &[f64], stairs: &mut Vec<[f64; 2]>) -> bool {
    stairs.clear();
    for (&y, &z) in second.iter().zip(third) {
        let at = stairs.partition_point(|stair| stair[0] <= y);
        if (at > 0 && stairs[at - 1][1] <= z) || stairs.len() > STAIRS {
            return false;
        }
        let hidden = stairs[at..].iter().take_while(|stair| stair[1] >= z).count();
        if hidden == 0 {
            stairs.insert(at, [y, z]);
        } else {
            stairs[at] = [y, z];
            stairs.drain(at + 1..at + hidden);
        }
    }
    true
}

struct Divider<'a> {
    second: &'a [f64],
    third: &'a [f64],
    ranks: &'a mut [u32],
    smallest: &'a mut [f64],
}

impl Divider<'_> {
    /// Finishes the ranks of points `low..high`, on which all points before `low` have already
    /// had their effect. `orders` starts with these points by ascending second objective, ties
    /// by position, and has as much room again behind.
    fn solve(&mut self, low: usize, high: usize, orders: &mut [u32]) {
        let count = high - low;
        if count <= SMALL {
            return self.compare_pairs(low, high);
        }
        let middle = low + count / 2;
        let (order, rest) = orders.split_at_mut(count);
        copy_where(order, rest, |at| at < middle);
        self.solve(low, middle, rest);
        self.sweep(low, middle, order);
        copy_where(order, rest, |at| at >= middle);
        self.solve(middle, high, rest);
    }

    fn compare_pairs(&mut self, low: usize, high: usize) {
        for later in low + 1..high {
            let (y, z) = (self.second[later], self.third[later]);
            let earlier = self.second[low..later].iter().zip(&self.third[low..later]);
            let mut rank = self.ranks[later];
            for ((second, third), dominator) in earlier.zip(&self.ranks[low..later]) {
                let dominates = (*second <= y) & (*third <= z);
                rank = rank.max(if dominates { dominator + 1 } else { 0 });
            }
            self.ranks[later] = rank;
        }
    }

    /// Raises the points from `middle` on above their dominators in `low..middle`, all of which
    /// come first among equal second objectives.
    fn sweep(&mut self, low: usize, middle: usize, order: &[u32]) {
        let finished = &self.ranks[low..middle];
        let best = finished.iter().min().copied().unwrap_or(0);
        let worst = finished.iter().max().copied().unwrap_or(0);
        let leaves = ((worst - best) as usize + 1).next_power_of_two();
        for &at in order {
            let at = at as usize;
            if at < middle {
                self.lower(leaves + (self.ranks[at] - best) as usize, self.third[at]);
            } else if let Some(leaf) = self.last_no_larger(leaves, self.third[at]) {
                self.ranks[at] = self.ranks[at].max(best + (leaf - leaves) as u32 + 1);
            }
        }
        for at in low..middle {
            self.clear(leaves + (self.ranks[at] - best) as usize);
        }
    }

    /// Lowers a leaf of the tree, and what lies above it, to `value`.
    fn lower(&mut self, mut node: usize, value: f64) {
        while node > 0 && self.smallest[node] > value {
            self.smallest[node] = value;
            node /= 2;
        }
    }

    /// The last leaf whose value is at most `value`.
    fn last_no_larger(&self, leaves: usize, value: f64) -> Option<usize> {
        let mut node = 1;
        if self.smallest[node] > value {
            return None;
        }
        while node < leaves {
            node = 2 * node + usize::from(self.smallest[2 * node + 1] <= value);
        }
        Some(node)
    }

    fn clear(&mut self, mut node: usize) {
        while node > 0 && self.smallest[node] < f64::INFINITY {
            self.smallest[node] = f64::INFINITY;
            node /= 2;
        }
    }
}

/// Copies the positions that satisfy `wanted`, in order, to the start of `to`, which is at least
/// one longer than their number.
pub(super) fn copy_where(from: &[u32], to: &mut [u32], wanted: impl Fn(usize) -> bool) {
    let mut filled = 0;
    for &at in from {
        // Written always and kept only if wanted: no branch to mispredict.
        to[filled] = at;
        filled += usize::from(wanted(at as usize));
    }
}
