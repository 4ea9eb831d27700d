//! Unions of boxes that grow box by box, in three to seven objectives. Summed over points in the
//! order of one more objective, the growth makes the hypervolume: each point adds what it covers
//! beyond those at least as high, over its whole height. In three objectives `linked` finds the
//! growth for few boxes or cut ones, `zones` for many, in four for few boxes `few`; else the boxes so far
//! are cut to the new one, and what they cover of it is a hypervolume in turn (WFG: While, Bradstreet and
//! Barone 2012). Points are positive gains; nothing here knows a reference.

use super::few::{self, FewBoxes};
use super::linked::LinkedUnion;
use super::sweep::{Staircase, descending};
use super::zones::ZoneUnion;

/// A union of boxes of M gains each.
pub(super) trait Union<const M: usize> {
    /// Forgets all boxes and keeps the allocations; `corners` are those of the boxes to be added, in
    /// this order.
    fn start(&mut self, corners: impl ExactSizeIterator<Item = [f64; M]>);

    /// Adds a box and returns the volume by which the union grew; infinite when that of the box
    /// is, whatever the others cover.
    fn grow(&mut self, corner: [f64; M]) -> f64;
}

impl Union<2> for Staircase {
    fn start(&mut self, _: impl ExactSizeIterator<Item = [f64; 2]>) {
        self.clear();
    }

    fn grow(&mut self, corner: [f64; 2]) -> f64 {
        self.add(corner)
    }
}

/// A union in M objectives upon one in L = M - 1.
#[derive(Debug, Clone, Default)]
pub(super) struct CutUnion<const M: usize, const L: usize, B> {
    /// None inside another, by descending volume: when they are cut, those first are likely to
    /// contain the later ones.
    boxes: Vec<(f64, [f64; M])>,
    /// The boxes cut to a new one, without those inside another.
    cut: Vec<[f64; M]>,
    base: B,
}

pub(super) type Union3 = LinkedUnion;
pub(super) type Union4 = FourUnion;
pub(super) type Union5 = CutUnion<5, 4, Union4>;
pub(super) type Union6 = CutUnion<6, 5, Union5>;
pub(super) type Union7 = CutUnion<7, 6, Union6>;

/// Unions that cut sets of every size. Exclusive volumes decide which candidate leaves a population, so they
/// have to come out of the same sums, to the last bit, in every release.
pub(super) type Cut4 = CutUnion<4, 3, Union3>;
pub(super) type Cut5 = CutUnion<5, 4, Cut4>;
pub(super) type Cut6 = CutUnion<6, 5, Cut5>;
pub(super) type Cut7 = CutUnion<7, 6, Cut6>;

/// A union in three objectives: few boxes are walked over, more are zones.
#[derive(Debug, Clone, Default)]
pub(super) struct ThreeUnion {
    few: LinkedUnion,
    many: ZoneUnion,
    is_large: bool,
}

impl Union<3> for ThreeUnion {
    fn start(&mut self, corners: impl ExactSizeIterator<Item = [f64; 3]>) {
        self.is_large = corners.len() > few::MOST;
        if self.is_large { self.many.start(corners) } else { self.few.start(corners) }
    }

    fn grow(&mut self, corner: [f64; 3]) -> f64 {
        if self.is_large { self.many.grow(corner) } else { self.few.grow(corner) }
    }
}

/// A union in four objectives: few boxes are sets of bits, more are cut.
#[derive(Debug, Clone, Default)]
pub(super) struct FourUnion {
    few: FewBoxes,
    many: Cut4,
    is_large: bool,
}

impl Union<4> for FourUnion {
    fn start(&mut self, corners: impl ExactSizeIterator<Item = [f64; 4]>) {
        self.is_large = corners.len() > few::MOST;
        if self.is_large { self.many.start(corners) } else { self.few.start(corners) }
    }

    fn grow(&mut self, corner: [f64; 4]) -> f64 {
        if self.is_large { self.many.grow(corner) } else { self.few.grow() }
    }
}

/// Puts boxes into the order in which they are swept: by descending last gain.
pub(super) fn order<const M: usize>(rows: &mut [[f64; M]]) {
    rows.sort_unstable_by_key(|row| descending(row[M - 1]));
}

/// By how much each of some boxes, in their order, grows the union of those before it, times its last gain: of
/// the boxes `number`, `number + parts` and so on. L = M - 1, K = L - 1.
pub(super) fn terms<const M: usize, const L: usize, const K: usize, B: Union<K> + Default>(
    gains: &[f64],
    number: usize,
    parts: usize,
) -> Vec<f64> {
    let mut union = CutUnion::<L, K, B>::default();
    let rows = gains.as_chunks::<M>().0.iter().enumerate();
    let term = |(at, row): (usize, &[f64; M])| {
        let corner = std::array::from_fn(|at| row[at]);
        if at % parts == number {
            return Some(union.grow(corner) * row[L]);
        }
        union.add(corner);
        None
    };
    rows.filter_map(term).collect()
}

/// Volume of the union of boxes of M gains each by sweeping along the last one, L = M - 1; the
/// boxes are put into that order.
fn swept<const M: usize, const L: usize>(rows: &mut [[f64; M]], union: &mut impl Union<L>) -> f64 {
    order(rows);
    let corner = |row: &[f64; M]| std::array::from_fn(|at| row[at]);
    union.start(rows.iter().map(corner));
    rows.iter().map(|row| union.grow(corner(row)) * row[L]).sum()
}

impl<const M: usize, const L: usize, B: Union<L>> CutUnion<M, L, B> {
    /// Puts a box that no other contains at its place and takes out those inside it, which are
    /// smaller.
    fn insert(&mut self, size: f64, corner: [f64; M]) {
        let boxes = &mut self.boxes;
        let place = boxes.partition_point(|(other, _)| *other >= size);
        let mut end = place;
        let mut carried = (size, corner);
        for at in place..boxes.len() {
            let other = boxes[at];
            if !within(&other.1, &corner) {
                boxes[end] = carried;
                carried = other;
                end += 1;
            }
        }
        boxes.truncate(end);
        boxes.push(carried);
    }

    /// Adds a box as [`Union::grow`] does, without asking by how much the union grows.
    fn add(&mut self, corner: [f64; M]) {
        if !self.boxes.iter().any(|(_, other)| within(&corner, other)) {
            self.insert(corner.iter().product(), corner);
        }
    }

    /// The volume of a box outside all of `others`, of which those first should be the largest;
    /// infinite if that of the box is, `None` if one of them contains it.
    fn outside<'o>(
        &mut self,
        corner: &[f64; M],
        others: impl Iterator<Item = &'o [f64; M]>,
    ) -> Option<f64> {
        let whole: f64 = corner.iter().product();
        if !cut_to(corner, others, &mut self.cut) {
            return None;
        }
        let covered = swept(&mut self.cut, &mut self.base);
        Some(if whole.is_infinite() { whole } else { (whole - covered).max(0.0) })
    }

    /// For each box the volume that it alone covers.
    pub(super) fn exclusive_volumes(&mut self, boxes: &[[f64; M]]) -> Vec<f64> {
        let mut order: Vec<usize> = (0..boxes.len()).collect();
        let size = |at: &usize| descending(boxes[*at].iter().product());
        order.sort_by_cached_key(size);
        let mut volumes = vec![0.0; boxes.len()];
        for (at, corner) in boxes.iter().enumerate() {
            let others = order.iter().filter(|other| **other != at).map(|other| &boxes[*other]);
            volumes[at] = self.outside(corner, others).unwrap_or(0.0);
        }
        volumes
    }
}

/// Fills `cut` with the boxes cut to one of them, without those inside another; false if one of
/// them contains it.
fn cut_to<'o, const M: usize>(
    corner: &[f64; M],
    others: impl Iterator<Item = &'o [f64; M]>,
    cut: &mut Vec<[f64; M]>,
) -> bool {
    cut.clear();
    for other in others {
        let row = std::array::from_fn(|at| corner[at].min(other[at]));
        // Whichever contains this one moves forward: it is likely to contain the next ones.
        if let Some(at) = cut.iter().position(|kept| within(&row, kept)) {
            cut.swap(at, at / 2);
        } else if row == *corner {
            return false;
        } else {
            cut.retain(|kept| !within(kept, &row));
            cut.push(row);
        }
    }
    true
}

impl<const M: usize, const L: usize, B: Union<L>> Union<M> for CutUnion<M, L, B> {
    fn start(&mut self, _: impl ExactSizeIterator<Item = [f64; M]>) {
        self.boxes.clear();
    }

    fn grow(&mut self, corner: [f64; M]) -> f64 {
        let boxes = std::mem::take(&mut self.boxes);
        let outside = self.outside(&corner, boxes.iter().map(|(_, other)| other));
        self.boxes = boxes;
        if outside.is_some() {
            self.insert(corner.iter().product(), corner);
        }
        outside.unwrap_or(0.0)
    }
}

/// Whether the first box lies inside the second; without branches, which a processor would guess
/// wrong half of the time.
fn within<const M: usize>(inner: &[f64; M], outer: &[f64; M]) -> bool {
    inner.iter().zip(outer).fold(true, |inside, (inner, outer)| inside & (inner <= outer))
}

/// Volume of the union of boxes of M gains each.
pub(super) fn volume<const M: usize, const L: usize>(
    rows: &[[f64; M]],
    union: &mut impl Union<L>,
) -> f64 {
    swept(&mut rows.to_vec(), union)
}
