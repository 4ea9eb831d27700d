//! Hypervolume of one to three objectives by sweeping, and the two-dimensional staircase on
//! which sweeps of three and four objectives rest. Points are positive gains over a reference;
//! nothing here knows the reference.

/// The union of boxes from the origin to (x, y), as its corners: x ascending, y descending.
#[derive(Debug, Clone, Default)]
pub(super) struct Staircase {
    corners: Vec<[f64; 2]>,
    /// The corner of the largest box added. Most boxes of a dense front lie inside it, and are
    /// recognised without a search.
    largest: [f64; 2],
}

impl Staircase {
    pub(super) fn clear(&mut self) {
        self.corners.clear();
        self.largest = [0.0; 2];
    }

    /// Adds the box to (x, y) and returns the area by which the union grew.
    pub(super) fn add(&mut self, [x, y]: [f64; 2]) -> f64 {
        if x <= self.largest[0] && y <= self.largest[1] {
            return 0.0;
        }
        let right = self.corners.partition_point(|corner| corner[0] < x);
        let floor = self.corners.get(right).map_or(0.0, |corner| corner[1]);
        if floor >= y {
            return 0.0;
        }
        if x * y > self.largest[0] * self.largest[1] {
            self.largest = [x, y];
        }
        let mut area = 0.0;
        let (mut edge, mut height, mut left) = (x, floor, right);
        while left > 0 && self.corners[left - 1][1] <= y {
            let covered = self.corners[left - 1];
            area += (edge - covered[0]) * (y - height);
            [edge, height] = covered;
            left -= 1;
        }
        let start = if left > 0 { self.corners[left - 1][0] } else { 0.0 };
        area += (edge - start) * (y - height);
        let same_edge = self.corners.get(right).is_some_and(|corner| corner[0] == x);
        self.replace(left, right + usize::from(same_edge), [x, y]);
        area
    }

    fn replace(&mut self, from: usize, to: usize, corner: [f64; 2]) {
        if from == to {
            self.corners.insert(from, corner);
        } else {
            self.corners[from] = corner;
            self.corners.drain(from + 1..to);
        }
    }
}

/// Length of the union of intervals from the origin.
pub(super) fn length(gains: &[f64]) -> f64 {
    gains.iter().copied().fold(0.0, f64::max)
}

/// A key that descends as a gain, which is above 0, ascends: bits of positive numbers are ordered
/// as the numbers are, and whole numbers sort faster.
pub(super) fn descending(gain: f64) -> u64 {
    !gain.to_bits()
}

/// What each interval from the origin alone covers: something only if it is the one longest.
pub(super) fn exclusive_lengths(gains: &[f64]) -> Vec<f64> {
    let longest = length(gains);
    let second = gains.iter().copied().filter(|gain| *gain < longest).fold(0.0, f64::max);
    let alone = gains.iter().filter(|gain| **gain == longest).count() == 1;
    let covers = |gain: &f64| if alone && *gain == longest { longest - second } else { 0.0 };
    gains.iter().map(covers).collect()
}

/// Area of the union of boxes, which are put into another order.
pub(super) fn area(gains: &mut [f64]) -> f64 {
    let order = gains.as_chunks_mut::<2>().0;
    order.sort_unstable_by_key(|row| descending(row[0]));
    let (mut area, mut height) = (0.0, 0.0);
    for &[x, y] in order.iter() {
        if y > height {
            area += x * (y - height);
            height = y;
        }
    }
    area
}

/// Volume of the union of boxes in three objectives: each box adds the area by which it grows the
/// staircase of those at least as high, over its whole height. The boxes are put into that order.
pub(super) fn volume(gains: &mut [f64]) -> f64 {
    let order = gains.as_chunks_mut::<3>().0;
    let mut staircase = Staircase::default();
    order.sort_unstable_by_key(|row| descending(row[2]));
    order.iter().map(|&[x, y, z]| staircase.add([x, y]) * z).sum()
}

/// For each of the row-major pairs of gains the area that it alone covers, O(N log N): in every
/// strip between two neighbouring edges it is that of the highest box above the second highest.
pub(super) fn exclusive_areas(gains: &[f64]) -> Vec<f64> {
    let boxes = gains.as_chunks::<2>().0;
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_unstable_by(|&a, &b| boxes[b][0].total_cmp(&boxes[a][0]).then(a.cmp(&b)));
    let mut areas = vec![0.0; boxes.len()];
    let (mut highest, mut height, mut second) = (0, 0.0, 0.0);
    for (position, &at) in order.iter().enumerate() {
        let [right, top] = boxes[at];
        if top > height {
            (highest, second, height) = (at, height, top);
        } else if top > second {
            second = top;
        }
        let left = order.get(position + 1).map_or(0.0, |&next| boxes[next][0]);
        areas[highest] += (right - left) * (height - second);
    }
    areas
}

/// A corner of [`Stairs`] and whose it is.
#[derive(Debug, Clone, Copy)]
struct Stair {
    x: f64,
    y: f64,
    of: u32,
}

/// A staircase whose corners belong to boxes, for handing each box its neighbours in the staircase
/// of the boxes before it: x ascending, y descending, of equal sides that of the earlier box the longer.
#[derive(Debug, Clone, Default)]
pub(super) struct Stairs {
    stairs: Vec<Stair>,
}

impl Stairs {
    pub(super) fn clear(&mut self) {
        self.stairs.clear();
    }

    /// Adds a corner to the right of all, of a box that is named by its left neighbour.
    pub(super) fn push(&mut self, [x, y]: [f64; 2], name: impl FnOnce(Option<u32>) -> u32) {
        let of = name(self.stairs.last().map(|stair| stair.of));
        self.stairs.push(Stair { x, y, of });
    }

    /// Adds the box to (x, y), lower than all before it, and returns the area by which the union grew. If it
    /// did, the box is named by its right and left neighbour.
    pub(super) fn add_lower(
        &mut self,
        [x, y]: [f64; 2],
        name: impl FnOnce(Option<u32>, Option<u32>) -> u32,
    ) -> f64 {
        let stairs = &mut self.stairs;
        let right = stairs.partition_point(|stair| stair.x < x);
        let beside = stairs.get(right).map(|stair| stair.of);
        let floor = stairs.get(right).map_or(0.0, |stair| stair.y);
        if floor >= y {
            return 0.0;
        }
        let (left, area) = free_from(stairs, right, floor, [x, y], |other| other < y);
        let of = name(beside, left.checked_sub(1).map(|left| stairs[left].of));
        replace(stairs, left, right, Stair { x, y, of });
        area
    }
}

/// The free area of the box to (x, y), whose right neighbour, as deep as `floor`, is at `right`; and
/// where the corners begin that it covers.
fn free_from(
    stairs: &[Stair],
    right: usize,
    floor: f64,
    [x, y]: [f64; 2],
    covers: impl Fn(f64) -> bool,
) -> (usize, f64) {
    let (mut area, mut edge, mut height, mut left) = (0.0, x, floor, right);
    while left > 0 && covers(stairs[left - 1].y) {
        let covered = stairs[left - 1];
        area += (edge - covered.x) * (y - height);
        (edge, height) = (covered.x, covered.y);
        left -= 1;
    }
    let start = left.checked_sub(1).map_or(0.0, |left| stairs[left].x);
    (left, area + (edge - start) * (y - height))
}

fn replace(stairs: &mut Vec<Stair>, from: usize, to: usize, stair: Stair) {
    if from == to {
        stairs.insert(from, stair);
    } else {
        stairs[from] = stair;
        stairs.drain(from + 1..to);
    }
}
