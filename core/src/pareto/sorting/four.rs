//! Ranks for many points of four objectives by divide and conquer, O(N log^3 N) (Jensen 2003; Fortin,
//! Grenier and Parizeau 2013), down to sets that are ranked faster by bits. It knows only the
//! objectives after the first of distinct points in lexicographic order.

use super::three::copy_where;
use super::{ascending_key, many};

/// Up to so many points are ranked by sets of dominators.
pub(super) const FEW: usize = 2_048;
/// Up to so many points of both halves are compared in pairs.
const PAIRS: usize = 96;

/// Places of a point among all by its second and its fourth objective, equal values by position: of
/// two points the earlier one is no worse exactly where its place is lower.
#[derive(Debug, Clone, Copy, Default)]
struct Places {
    second: u32,
    fourth: u32,
}

/// Buffers of the recursion.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    keyed: Vec<(u64, u32)>,
    places: Vec<Places>,
    by_second: Vec<u32>,
    by_third: Vec<u32>,
    /// Lowest fourth place by rank: a segment tree whose root is node 1. Every node is [`NONE`]
    /// between sweeps.
    lowest: Vec<u32>,
    /// The columns of a few points.
    part: Vec<f64>,
    many: many::Scratch,
}

/// Above every place.
const NONE: u32 = u32::MAX;

/// Ranks distinct, lexicographically ordered points, given the columns of their second, third and
/// fourth objectives; `ranks` starts at zero.
pub(super) fn rank(columns: &[f64], scratch: &mut Scratch, ranks: &mut [u32]) {
    let n = ranks.len();
    let Scratch { keyed, places, by_second, by_third, lowest, part, many } = scratch;
    places.clear();
    places.resize(n, Places::default());
    for (objective, column) in columns.chunks_exact(n).enumerate() {
        keyed.clear();
        keyed.extend(column.iter().zip(0..).map(|(value, at)| (ascending_key(*value), at)));
        keyed.sort_unstable();
        let order = match objective {
            0 => &mut *by_second,
            1 => &mut *by_third,
            _ => {
                keyed
                    .iter()
                    .zip(0..)
                    .for_each(|(&(_, at), place)| places[at as usize].fourth = place);
                continue;
            }
        };
        order.clear();
        order.extend(keyed.iter().map(|&(_, at)| at));
        // Each level of the recursion needs the order of half the points of the level above.
        order.resize(2 * n, 0);
    }
    by_second[..n].iter().zip(0..).for_each(|(&at, place)| places[at as usize].second = place);
    lowest.clear();
    lowest.resize(2 * n.next_power_of_two(), NONE);
    Divider { columns, places, ranks, lowest, part, many }.solve(0, n, by_second, by_third);
}

struct Divider<'a> {
    columns: &'a [f64],
    places: &'a [Places],
    ranks: &'a mut [u32],
    lowest: &'a mut [u32],
    part: &'a mut Vec<f64>,
    many: &'a mut many::Scratch,
}

impl Divider<'_> {
    /// Finishes the ranks of points `low..high`, on which all points before `low` have already had
    /// their effect. The orders start with these points by ascending second and third objective, ties
    /// by position, and have as much room again behind.
    fn solve(&mut self, low: usize, high: usize, by_second: &mut [u32], by_third: &mut [u32]) {
        let count = high - low;
        if count <= FEW {
            return self.rank_few(low, high);
        }
        let middle = low + count / 2;
        let (second, second_room) = by_second.split_at_mut(count);
        let (third, third_room) = by_third.split_at_mut(count);
        copy_where(second, second_room, |at| at < middle);
        copy_where(third, third_room, |at| at < middle);
        self.solve(low, middle, second_room, third_room);
        self.raise(middle, second, third, third_room);
        copy_where(second, second_room, |at| at >= middle);
        copy_where(third, third_room, |at| at >= middle);
        self.solve(middle, high, second_room, third_room);
    }

    fn rank_few(&mut self, low: usize, high: usize) {
        self.part.clear();
        for column in self.columns.chunks_exact(self.places.len()) {
            self.part.extend(&column[low..high]);
        }
        many::rank(self.part, self.many, &mut self.ranks[low..high]);
    }

    /// Raises the points from `middle` on above their dominators before it, among the points of the
    /// two orders.
    fn raise(&mut self, middle: usize, by_second: &[u32], by_third: &[u32], room: &mut [u32]) {
        let count = by_second.len();
        let earlier = by_second.iter().filter(|&&at| (at as usize) < middle).count();
        if earlier == 0 || earlier == count {
            return;
        }
        if count <= PAIRS {
            return self.compare_pairs(middle, by_third);
        }
        let (low, high) = by_second.split_at(count / 2);
        let places = self.places;
        let bound = places[high[0] as usize].second;
        self.sweep(middle, bound, by_third);
        for (half, is_low) in [(low, true), (high, false)] {
            copy_where(by_third, room, |at| (places[at].second < bound) == is_low);
            let (third, deeper) = room.split_at_mut(half.len());
            self.raise(middle, half, third, deeper);
        }
    }

    fn compare_pairs(&mut self, middle: usize, by_third: &[u32]) {
        let (mut second, mut fourth, mut rank) = ([0; PAIRS], [0; PAIRS], [0; PAIRS]);
        let mut earlier = 0;
        for &at in by_third {
            let at = at as usize;
            let place = self.places[at];
            if at < middle {
                (second[earlier], fourth[earlier]) = (place.second, place.fourth);
                rank[earlier] = self.ranks[at] + 1;
                earlier += 1;
                continue;
            }
            let others = second[..earlier].iter().zip(&fourth[..earlier]);
            let raised = others.zip(&rank[..earlier]).map(|((second, fourth), rank)| {
                if (*second < place.second) & (*fourth < place.fourth) { *rank } else { 0 }
            });
            self.ranks[at] = raised.fold(self.ranks[at], u32::max);
        }
    }

    /// Raises the points from `middle` on whose second place is at least `bound` above their
    /// dominators before `middle` whose second place is below.
    fn sweep(&mut self, middle: usize, bound: u32, by_third: &[u32]) {
        let (mut best, mut worst) = (u32::MAX, 0);
        for &at in by_third {
            if (at as usize) < middle && self.places[at as usize].second < bound {
                let rank = self.ranks[at as usize];
                (best, worst) = (best.min(rank), worst.max(rank));
            }
        }
        if best > worst {
            return;
        }
        let leaves = ((worst - best) as usize + 1).next_power_of_two();
        for &at in by_third {
            let at = at as usize;
            let place = self.places[at];
            let is_low = place.second < bound;
            if at < middle {
                if is_low {
                    self.lower(leaves + (self.ranks[at] - best) as usize, place.fourth);
                }
            } else if !is_low
                && self.ranks[at] <= worst
                && let Some(leaf) = self.last_below(leaves, place.fourth)
            {
                self.ranks[at] = self.ranks[at].max(best + (leaf - leaves) as u32 + 1);
            }
        }
        for &at in by_third {
            if (at as usize) < middle && self.places[at as usize].second < bound {
                self.clear(leaves + (self.ranks[at as usize] - best) as usize);
            }
        }
    }

    /// Lowers a leaf of the tree, and what lies above it, to `place`.
    fn lower(&mut self, mut node: usize, place: u32) {
        while node > 0 && self.lowest[node] > place {
            self.lowest[node] = place;
            node /= 2;
        }
    }

    /// The last leaf whose place is below `place`.
    fn last_below(&self, leaves: usize, place: u32) -> Option<usize> {
        let mut node = 1;
        if self.lowest[node] >= place {
            return None;
        }
        while node < leaves {
            node = 2 * node + usize::from(self.lowest[2 * node + 1] < place);
        }
        Some(node)
    }

    fn clear(&mut self, mut node: usize) {
        while node > 0 && self.lowest[node] != NONE {
            self.lowest[node] = NONE;
            node /= 2;
        }
    }
}
