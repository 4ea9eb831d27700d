//! Hypervolume of any number of objectives, by slicing down to the sweeps (WFG: While, Bradstreet
//! and Barone 2012, with slices along the last objective). Points are positive gains over a
//! reference; nothing here knows the reference.

use super::sweep::{self, Staircase};

/// Buffers for one number of objectives, and for one less.
#[derive(Debug, Clone, Default)]
pub(super) struct Slicer {
    /// Last gain and position of each box of the set.
    order: Vec<(f64, u32)>,
    pairs: Vec<[f64; 2]>,
    triples: Vec<[f64; 3]>,
    staircase: Staircase,
    /// Boxes seen so far without their last gain, none inside another.
    seen: Vec<f64>,
    /// `seen` or other boxes, cut to the size of one box.
    cut: Vec<f64>,
    below: Option<Box<Slicer>>,
}

impl Slicer {
    /// Volume of the union of boxes of `m` gains each, row-major.
    pub(super) fn volume(&mut self, m: usize, gains: &[f64]) -> f64 {
        match m {
            0 | 1 => sweep::length(gains),
            2 => sweep::area(gains, &mut self.pairs),
            3 => sweep::volume(gains, &mut self.triples, &mut self.staircase),
            4 => self.volume_of_four(gains),
            _ => self.volume_of_many(m, gains),
        }
    }

    /// What the box `row` adds to the union of the boxes `others`, each as long as `row`.
    ///
    /// Infinite when the volume of the box is, whatever the others cover: overflow must show.
    pub(super) fn exclusive_volume(&mut self, row: &[f64], others: &[f64]) -> f64 {
        let whole: f64 = row.iter().product();
        if whole.is_infinite() {
            return whole;
        }
        let mut cut = std::mem::take(&mut self.cut);
        let outside = if cut_to(row, others, &mut cut) {
            (whole - self.volume(row.len(), &cut)).max(0.0)
        } else {
            0.0
        };
        self.cut = cut;
        outside
    }

    /// Slices four objectives. The boxes of a slice stay sorted by their third gain, and cutting
    /// them to the next box keeps that order, so that no slice sorts.
    fn volume_of_four(&mut self, gains: &[f64]) -> f64 {
        let rows = gains.as_chunks::<4>().0;
        self.order_by_last(4, gains);
        let Self { order, triples: seen, staircase, .. } = self;
        seen.clear();
        let mut volume = 0.0;
        for &(height, at) in order.iter() {
            let [x, y, z, _] = rows[at as usize];
            let base = [x, y, z];
            let Some(outside) = outside_of_sorted(base, seen, staircase) else { continue };
            volume += outside * height;
            seen.retain(|other| !within(other, &base));
            let position = seen.partition_point(|other| other[2] >= z);
            seen.insert(position, base);
        }
        volume
    }

    fn volume_of_many(&mut self, m: usize, gains: &[f64]) -> f64 {
        self.order_by_last(m, gains);
        let Self { order, seen, below, .. } = self;
        let below = below.get_or_insert_default();
        seen.clear();
        let mut volume = 0.0;
        for &(height, at) in order.iter() {
            let base = &gains[at as usize * m..][..m - 1];
            volume += below.exclusive_volume(base, seen) * height;
            add_maximal(base, seen);
        }
        volume
    }

    /// Fills `order` by descending last gain; ties ascend by position.
    fn order_by_last(&mut self, m: usize, gains: &[f64]) {
        self.order.clear();
        self.order.extend(gains.chunks_exact(m).map(|row| row[m - 1]).zip(0..));
        self.order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }
}

/// Volume of the box `base` outside the boxes `seen`, which descend by their third gain; nothing
/// when one of them contains it, infinite when the volume of the box is.
fn outside_of_sorted(base: [f64; 3], seen: &[[f64; 3]], staircase: &mut Staircase) -> Option<f64> {
    let [x, y, z] = base;
    let whole = x * y * z;
    if whole.is_infinite() {
        return Some(whole);
    }
    staircase.clear();
    let mut inside = 0.0;
    for other in seen {
        let corner = [other[0].min(x), other[1].min(y)];
        inside += staircase.add(corner) * other[2].min(z);
        if corner == [x, y] {
            if other[2] >= z {
                return None;
            }
            // The whole base area is covered from here down.
            break;
        }
    }
    Some((whole - inside).max(0.0))
}

/// Fills `cut` with the boxes `others` cut to the size of `row`, those inside another left out;
/// false when one of them contains `row`.
fn cut_to(row: &[f64], others: &[f64], cut: &mut Vec<f64>) -> bool {
    cut.clear();
    let m = row.len();
    let (mut largest, mut volume) = (0, 0.0);
    for (at, other) in others.chunks_exact(m).enumerate() {
        let size: f64 = row.iter().zip(other).map(|(a, b)| a.min(*b)).product();
        if size > volume {
            (largest, volume) = (at, size);
        }
    }
    // The largest goes first: most of the others lie inside it and are dropped at once.
    let (before, rest) = others.split_at(largest * m);
    let (largest, after) = rest.split_at(m.min(rest.len()));
    for other in [largest, before, after].into_iter().flat_map(|boxes| boxes.chunks_exact(m)) {
        if within(row, other) {
            return false;
        }
        let from = cut.len();
        cut.extend(row.iter().zip(other).map(|(a, b)| a.min(*b)));
        settle_last(m, from, cut);
    }
    true
}

/// Adds `row` to boxes none of which is inside another, and keeps them so.
fn add_maximal(row: &[f64], boxes: &mut Vec<f64>) {
    let from = boxes.len();
    boxes.extend_from_slice(row);
    settle_last(row.len(), from, boxes);
}

/// Makes the boxes before `from`, none inside another, and the one at `from` such a set again.
fn settle_last(m: usize, from: usize, boxes: &mut Vec<f64>) {
    let (kept, last) = boxes.split_at(from);
    if kept.chunks_exact(m).any(|other| within(last, other)) {
        boxes.truncate(from);
        return;
    }
    let mut end = 0;
    for at in (0..=from).step_by(m) {
        let (kept, last) = boxes.split_at(from);
        if at == from || !within(&kept[at..at + m], last) {
            boxes.copy_within(at..at + m, end);
            end += m;
        }
    }
    boxes.truncate(end);
}

/// Whether the first box lies inside the second.
fn within(inner: &[f64], outer: &[f64]) -> bool {
    inner.iter().zip(outer).all(|(a, b)| a <= b)
}
