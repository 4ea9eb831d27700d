//! A union of few boxes in four objectives that grows by what a box covers beyond those so far (after
//! the contributions of HV4D+: Guerreiro and Fonseca 2018). Points are positive gains; nothing here
//! knows a reference.
//!
//! Sets of boxes are bits, so which boxes matter once they are cut to the new one is found without a
//! branch that a processor would guess wrong. Those left are swept along the objective in which most
//! are cut. These reach the whole length of the new box: in three objectives they are met in the order
//! of the third, so that one staircase hands each its neighbours. The shorter ones are then added one after the
//! other, each for its own length.

use super::linked::LinkedUnion;
use super::sweep::{Stairs, descending};
use super::union::Union;

/// The most boxes.
pub(super) const MOST: usize = WORDS * BITS;
const WORDS: usize = 2;
const BITS: usize = u64::BITS as usize;

/// A set of boxes by their numbers.
type Members = [u64; WORDS];

/// For each objective a set of boxes: those of one word.
type Reach = [u64; 4];

/// At most [`MOST`] boxes, which are known before they are added.
#[derive(Debug, Clone, Default)]
pub(super) struct FewBoxes {
    boxes: Vec<[f64; 4]>,
    /// For every box, and each objective, those of all that reach at least as far; word by word.
    as_far: [Vec<Reach>; WORDS],
    /// How many were added, and those of them that another one did not contain.
    added: usize,
    present: Members,
    keyed: Vec<(u64, u8)>,
    /// Those left of the boxes cut to a new one: as high and as long as it, as long, and the rest.
    top: Vec<[f64; 2]>,
    long: Vec<[f64; 3]>,
    rest: Vec<[f64; 4]>,
    stairs: Stairs,
    inside: LinkedUnion,
}

impl FewBoxes {
    /// Forgets all boxes and keeps the allocations; `boxes`, at most [`MOST`], are to be added.
    pub(super) fn start(&mut self, boxes: impl Iterator<Item = [f64; 4]>) {
        self.boxes.clear();
        self.boxes.extend(boxes);
        (self.added, self.present) = (0, [0; WORDS]);
        for as_far in &mut self.as_far {
            as_far.clear();
            as_far.resize(self.boxes.len(), [0; 4]);
        }
        for at in 0..4 {
            self.keyed.clear();
            self.keyed.extend(self.boxes.iter().map(|corner| descending(corner[at])).zip(0..));
            self.keyed.sort_unstable();
            let mut members = [0; WORDS];
            for tied in self.keyed.chunk_by(|a, b| a.0 == b.0) {
                tied.iter().for_each(|&(_, number)| add(&mut members, number.into()));
                for &(_, number) in tied {
                    for (as_far, members) in self.as_far.iter_mut().zip(members) {
                        as_far[usize::from(number)][at] = members;
                    }
                }
            }
        }
    }

    /// Adds the next box and returns the volume by which the union grew; infinite when that of the
    /// box is.
    pub(super) fn grow(&mut self) -> f64 {
        let number = self.added;
        self.added += 1;
        let mut reach = [[0; 4]; WORDS];
        for ((reach, as_far), present) in reach.iter_mut().zip(&self.as_far).zip(self.present) {
            *reach = as_far[number].map(|set| set & present);
        }
        if reach.iter().any(|reach| common(reach) != 0) {
            return 0.0;
        }
        let corner = self.boxes[number];
        let whole: f64 = corner.iter().product();
        let left = self.left(&reach);
        add(&mut self.present, number);
        let covered = self.covered(&corner, &reach, left);
        if whole.is_infinite() { whole } else { (whole - covered).max(0.0) }
    }

    /// The boxes present that, cut to the new one, lie inside no other.
    fn left(&self, reach: &[Reach; WORDS]) -> Members {
        let mut left = self.present;
        let [low, high] = &self.as_far;
        let (low, high) = (&low[..self.added - 1], &high[..self.added - 1]);
        if low.len() <= BITS {
            for (own, bit) in low.iter().zip(0..) {
                let others = around(own, &reach[0]) & !(1 << bit);
                left[0] &= !(u64::from(others & left[0] != 0) << bit);
            }
            return left;
        }
        for (number, (low, high)) in low.iter().zip(high).enumerate() {
            let (word, bit) = (number / BITS, number % BITS);
            let mut others = [around(low, &reach[0]), around(high, &reach[1])];
            others[word] &= !(1 << bit);
            let covered = (others[0] & left[0]) | (others[1] & left[1]) != 0;
            left[word] &= !(u64::from(covered) << bit);
        }
        left
    }

    /// The volume of the new box that those left cover.
    fn covered(&mut self, corner: &[f64; 4], reach: &[Reach; WORDS], left: Members) -> f64 {
        let axes = axes(reach, left);
        let [width, depth, height, length] = axes.map(|axis| corner[axis & 3]);
        self.divide(corner, axes, left);
        let mut covered = self.covered_throughout([width, depth, height]) * length;
        self.rest.sort_unstable_by_key(|row| descending(row[3]));
        for &[x, y, z, length] in &self.rest {
            covered += self.inside.grow([x, y, z]) * length;
        }
        covered
    }

    /// Cuts the boxes left to the new one and divides them by where they reach its end.
    fn divide(&mut self, corner: &[f64; 4], axes: [usize; 4], left: Members) {
        let [width, depth, height, length] = axes.map(|axis| corner[axis & 3]);
        self.top.clear();
        self.long.clear();
        self.rest.clear();
        for other in members(left).map(|number| &self.boxes[number]) {
            let [x, y, z, end] = axes.map(|axis| other[axis & 3]);
            let (x, y) = (x.min(width), y.min(depth));
            if end < length {
                self.rest.push([x, y, z.min(height), end]);
            } else if z < height {
                self.long.push([x, y, z]);
            } else {
                self.top.push([x, y]);
            }
        }
    }

    /// The volume of a base in three objectives that is covered over the whole length, and fills
    /// `inside` with what covers it.
    fn covered_throughout(&mut self, [_, _, height]: [f64; 3]) -> f64 {
        let Self { top, long, stairs, inside, .. } = self;
        inside.clear();
        stairs.clear();
        top.sort_unstable_by_key(|corner| descending(corner[1]));
        let (mut area, mut before) = (0.0, 0.0);
        for &[x, y] in top.iter() {
            area += (x - before) * y;
            before = x;
            stairs.push([x, y], |left| inside.push_lowest([x, y, height], None, left));
        }
        let mut volume = area * height;
        long.sort_unstable_by_key(|corner| descending(corner[2]));
        for &[x, y, z] in long.iter() {
            volume += z * stairs
                .add_lower([x, y], |right, left| inside.push_lowest([x, y, z], right, left));
        }
        volume
    }
}

fn add(members: &mut Members, number: usize) {
    members[number / BITS] |= 1 << (number % BITS);
}

/// The members that a box's four sets share.
fn common(reach: &Reach) -> u64 {
    reach[0] & reach[1] & reach[2] & reach[3]
}

/// The boxes around another once all are cut to a new one. Cut, a box reaches as far as it did or as the new one
/// does, whichever is nearer.
fn around(own: &Reach, new: &Reach) -> u64 {
    common(&std::array::from_fn(|at| own[at] | new[at]))
}

/// The numbers in a set, ascending.
fn members(set: Members) -> impl Iterator<Item = usize> {
    set.into_iter().enumerate().flat_map(|(word, mut bits)| {
        std::iter::from_fn(move || {
            let bit = (bits != 0).then(|| word * BITS + bits.trailing_zeros() as usize);
            bits &= bits.wrapping_sub(1);
            bit
        })
    })
}

/// The objectives by how many of the boxes left reach the new one's end, those of most last: these boxes
/// cost least.
fn axes(reach: &[Reach; WORDS], left: Members) -> [usize; 4] {
    let mut counts = [0; 4];
    for (reach, left) in reach.iter().zip(left) {
        for (count, set) in counts.iter_mut().zip(reach) {
            *count += (set & left).count_ones();
        }
    }
    let mut axes = [0, 1, 2, 3];
    for (a, b) in [(0, 1), (2, 3), (0, 2), (1, 3), (1, 2)] {
        if counts[axes[a]] > counts[axes[b]] {
            axes.swap(a, b);
        }
    }
    axes
}
