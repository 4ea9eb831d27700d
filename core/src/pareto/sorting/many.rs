//! Ranks for four objectives or more, by sets of dominators held as bits. It knows only the
//! objectives after the first of distinct points in lexicographic order.
//!
//! Bit sets of "no worse in objective k" whose intersection are the dominators are the idea of
//! merge non-dominated sorting (Moreno, Rodriguez, Nebro and Lozano 2020). Here one block of
//! finished points at a time is set against all later ones: an objective costs one look-up of
//! how many members of the block are no worse and one intersection with the set of those, and as
//! bits are numbered by descending rank, the first bit left is the rank to exceed.

use super::ascending_key;

/// Points per block: the most whose number of better members, 0 to 255, fits one byte.
const BLOCK: usize = 255;
const WORDS: usize = 4;

/// A set of members of one block.
type Members = [u64; WORDS];
const NONE: Members = [0; WORDS];
const ALL: Members = [u64::MAX; WORDS];

/// Buffers of the kernel.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    keyed: Vec<(u64, u32)>,
    /// Position of each point's value among the distinct values of an objective; the objectives
    /// of one point are adjacent.
    places: Vec<u32>,
    /// Number of distinct values of each objective.
    distinct: Vec<usize>,
    /// Per objective and place: how many members of the block are no worse.
    counts: Vec<u8>,
    /// Per objective and count: the members that are the so many best.
    best: Vec<[Members; BLOCK + 1]>,
    /// Members of the block by ascending place in one objective.
    order: Vec<(u32, u8)>,
    /// Bit number of each member.
    bits: Vec<u8>,
}

/// Ranks distinct, lexicographically ordered points, given the columns of their objectives from
/// the second on; `ranks` starts at zero.
pub(super) fn rank(columns: &[f64], scratch: &mut Scratch, ranks: &mut [u32]) {
    let n = ranks.len();
    if n == 0 {
        return;
    }
    let width = columns.len() / n;
    scratch.find_places(columns, n, width);
    scratch.counts.clear();
    scratch.counts.resize(n * width, 0);
    scratch.best.clear();
    scratch.best.resize(width, [NONE; BLOCK + 1]);
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        scratch.rank_block(start, end, width, ranks);
        if end < n {
            scratch.raise_later(start, end, width, ranks);
        }
    }
}

impl Scratch {
    fn find_places(&mut self, columns: &[f64], n: usize, width: usize) {
        self.places.clear();
        self.places.resize(n * width, 0);
        self.distinct.clear();
        for (objective, column) in columns.chunks_exact(n).enumerate() {
            self.keyed.clear();
            self.keyed.extend(column.iter().zip(0..).map(|(v, at)| (ascending_key(*v), at)));
            self.keyed.sort_unstable_by_key(|&(key, _)| key);
            let mut place = 0;
            for tied in self.keyed.chunk_by(|a, b| a.0 == b.0) {
                for &(_, at) in tied {
                    self.places[at as usize * width + objective] = place;
                }
                place += 1;
            }
            self.distinct.push(place as usize);
        }
    }

    /// Finishes the ranks of points `start..end`, on which all earlier points have already had
    /// their effect. Bits are numbered by position: earlier ones alone can dominate.
    fn rank_block(&mut self, start: usize, end: usize, width: usize, ranks: &mut [u32]) {
        self.bits.clear();
        self.bits.extend((start..end).map(|at| (at - start) as u8));
        self.tabulate(start, width);
        let mut before = NONE;
        for at in start..end {
            let dominators = intersect(self.dominators(at, width), before);
            let worst = members(dominators).map(|bit| ranks[start + bit] + 1).max();
            ranks[at] = ranks[at].max(worst.unwrap_or(0));
            insert(&mut before, (at - start) as u8);
        }
    }

    /// Raises all points from `end` on above their dominators in `start..end`.
    fn raise_later(&mut self, start: usize, end: usize, width: usize, ranks: &mut [u32]) {
        let (finished, later) = ranks.split_at_mut(end);
        let finished = &finished[start..];
        let mut by_rank = [(0, 0u8); BLOCK];
        let by_rank = &mut by_rank[..finished.len()];
        for (slot, (rank, member)) in by_rank.iter_mut().zip(finished.iter().zip(0..)) {
            *slot = (*rank, member);
        }
        by_rank.sort_unstable_by(|a, b| b.cmp(a));
        for (&(_, member), bit) in by_rank.iter().zip(0..) {
            self.bits[member as usize] = bit;
        }
        self.tabulate(start, width);
        for (at, rank) in (end..).zip(later) {
            if let Some(bit) = first(self.dominators(at, width)) {
                *rank = (*rank).max(by_rank[bit].0 + 1);
            }
        }
    }

    /// Fills `counts` and `best` for the block that begins at `start` and has the `bits` given.
    fn tabulate(&mut self, start: usize, width: usize) {
        let n = self.places.len() / width;
        for objective in 0..width {
            let block = self.places[start * width + objective..].iter().step_by(width);
            self.order.clear();
            self.order.extend(block.zip(&self.bits).map(|(place, bit)| (*place, *bit)));
            self.order.sort_unstable();
            let counts = &mut self.counts[objective * n..][..self.distinct[objective]];
            let best = &mut self.best[objective];
            let (mut set, mut from) = (NONE, 0);
            for (&(place, bit), no_worse) in self.order.iter().zip(0u8..) {
                counts[from..place as usize].fill(no_worse);
                from = place as usize;
                insert(&mut set, bit);
                best[usize::from(no_worse) + 1] = set;
            }
            counts[from..].fill(self.order.len() as u8);
        }
    }

    /// Members of the tabulated block that are no worse than point `at` in any objective from
    /// the second on.
    #[inline]
    fn dominators(&self, at: usize, width: usize) -> Members {
        let places = &self.places[at * width..][..width];
        let n = self.places.len() / width;
        let mut dominators = ALL;
        for ((place, counts), best) in
            places.iter().zip(self.counts.chunks_exact(n)).zip(&self.best)
        {
            let no_worse = counts[*place as usize];
            dominators = intersect(dominators, best[usize::from(no_worse)]);
        }
        dominators
    }
}

fn insert(set: &mut Members, bit: u8) {
    set[usize::from(bit / 64)] |= 1 << (bit % 64);
}

#[inline]
fn intersect(a: Members, b: Members) -> Members {
    std::array::from_fn(|word| a[word] & b[word])
}

/// The smallest bit of the set.
#[inline]
fn first(set: Members) -> Option<usize> {
    let word = set.iter().position(|word| *word != 0)?;
    Some(word * 64 + set[word].trailing_zeros() as usize)
}

/// The bits of the set, ascending.
fn members(set: Members) -> impl Iterator<Item = usize> {
    set.into_iter().enumerate().flat_map(|(word, mut bits)| {
        std::iter::from_fn(move || {
            let bit = (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize);
            bits &= bits.wrapping_sub(1);
            bit
        })
    })
}
