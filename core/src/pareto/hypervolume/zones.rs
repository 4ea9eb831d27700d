//! A union of boxes in three objectives, known by the corners of the space that it leaves free, that grows at
//! the cost of what changes there. Points are positive gains; nothing here knows a reference.
//!
//! A free point is longer than one of these corners in every objective: they are what search-region methods
//! call local bounds (Klamroth, Lacour and Vanderpooten 2015, "On the representation of the search region in
//! multi-objective optimization"). A new box reaches into the free space exactly at the corners that it is longer
//! than. Each of them gives way to those of the three corners pushed out to a side of the new box that are still
//! corners; and each stands for a zone of its own, a cuboid, so that what the new box covers of the zones adds
//! up to the growth, without a difference (Lacour, Klamroth and Fonseca 2017, "A box decomposition algorithm to
//! compute the hypervolume indicator"). n boxes leave 2n + 1 corners at most.
//!
//! Corners close to each other are kept in one bucket, under a bound that is nowhere longer than they are, so
//! most of them are passed over unseen. Comparisons run over lanes without a branch, as a processor would guess
//! most of them wrong.
//!
//! Of equal sides that of the earlier box counts as the longer: then no two sides are equal, a new box is longer
//! than a corner only if it is so by number, and volumes are what they are without such an order.

use super::union::Union;

const LANES: usize = 8;
const GROUPS: usize = 4;
/// Corners in a bucket: as many as a word has bits.
const ROOM: usize = LANES * GROUPS;

/// Not a box, but beyond all: bounds zones that no box bounds.
const BEYOND: u32 = 0;

/// Points in three objectives side by side; infinite where there is none.
#[derive(Debug, Clone, Copy)]
struct Lanes([[f64; LANES]; 3]);

/// A corner of the free space.
#[derive(Debug, Clone, Copy)]
struct Corner {
    at: [f64; 3],
    /// For each objective the box whose side the corner is on.
    of: [u32; 3],
}

#[derive(Debug, Clone)]
struct Bucket {
    corners: [Lanes; GROUPS],
    of: [[u32; 3]; ROOM],
    /// Which places are free, as bits.
    free: u32,
    /// Whether its bound is as long as it can be.
    is_tight: bool,
}

/// A union of boxes.
#[derive(Debug, Clone, Default)]
pub(super) struct ZoneUnion {
    boxes: Vec<[f64; 3]>,
    buckets: Vec<Bucket>,
    /// The buckets' bounds, in groups of lanes; infinite behind the last.
    bounds: Vec<Lanes>,
    /// Buckets that may have a corner within the new box.
    reached: Vec<usize>,
    /// Corners that take the place of others.
    new: Vec<Corner>,
    /// All corners of a bucket that has become too small for them.
    moved: Vec<Corner>,
}

impl Union<3> for ZoneUnion {
    fn start(&mut self, _: impl ExactSizeIterator<Item = [f64; 3]>) {
        self.boxes.clear();
        self.boxes.push([f64::INFINITY; 3]);
        self.buckets.clear();
        self.bounds.clear();
        self.new.resize(3 * ROOM, Corner { at: [0.0; 3], of: [BEYOND; 3] });
        let at = self.add_bucket();
        self.fill(at, &[Corner { at: [0.0; 3], of: [BEYOND; 3] }]);
    }

    fn grow(&mut self, end: [f64; 3]) -> f64 {
        self.boxes.push(end);
        for (group, bounds) in self.bounds.iter().enumerate() {
            let reached = bits(bounds.shorter_than(end));
            reached.for_each(|lane| self.reached.push(group * LANES + lane));
        }
        let mut volume = 0.0;
        // From the last on, so that a bucket that takes the place of one without corners has been looked at.
        while let Some(at) = self.reached.pop() {
            volume += self.cover(at, end);
        }
        if end.iter().product::<f64>().is_infinite() { f64::INFINITY } else { volume }
    }
}

impl ZoneUnion {
    /// Covers what the newest box, which ends at `end`, covers of the zones of a bucket, and returns the volume.
    fn cover(&mut self, at: usize, end: [f64; 3]) -> f64 {
        let bucket = &mut self.buckets[at];
        let hits = bucket.shorter_than(end);
        if hits == 0 {
            self.tighten(at);
            return 0.0;
        }
        bucket.is_tight = false;
        let (volume, count) = replace(bucket, hits, &self.boxes, end, &mut self.new);
        bucket.free |= hits;
        let new = &self.new[..count];
        if count > bucket.free.count_ones() as usize {
            self.moved.clear();
            self.moved.extend(bits(!bucket.free).map(|place| bucket.corner(place)));
            self.moved.extend_from_slice(new);
            self.divide(at);
            return volume;
        }
        for (corner, place) in new.iter().zip(bits(bucket.free)) {
            bucket.put(place, corner);
        }
        bits(bucket.free & hits).for_each(|place| bucket.forget(place));
        if bucket.free == u32::MAX {
            self.remove_bucket(at);
        }
        volume
    }

    /// Makes the bound of a bucket as long as its corners allow.
    fn tighten(&mut self, at: usize) {
        let bucket = &mut self.buckets[at];
        if !bucket.is_tight {
            bucket.is_tight = true;
            self.bounds[at / LANES].put(at % LANES, &bucket.shortest());
        }
    }

    /// Divides the corners that were moved out of a bucket between it and new ones.
    fn divide(&mut self, mut at: usize) {
        let mut moved = std::mem::take(&mut self.moved);
        let mut rest = moved.as_mut_slice();
        let share = rest.len().div_ceil(rest.len().div_ceil(ROOM));
        while rest.len() > share {
            sort_along_widest(rest);
            let (first, others) = rest.split_at_mut(share);
            self.fill(at, first);
            at = self.add_bucket();
            rest = others;
        }
        self.fill(at, rest);
        self.moved = moved;
    }

    /// Fills a bucket, at most [`ROOM`] corners, anew.
    fn fill(&mut self, at: usize, corners: &[Corner]) {
        let bucket = &mut self.buckets[at];
        *bucket = Bucket::new();
        corners.iter().zip(0..).for_each(|(corner, place)| bucket.put(place, corner));
        self.tighten(at);
    }

    fn add_bucket(&mut self) -> usize {
        let at = self.buckets.len();
        self.buckets.push(Bucket::new());
        if at.is_multiple_of(LANES) {
            self.bounds.push(Lanes::NONE);
        }
        at
    }

    fn remove_bucket(&mut self, at: usize) {
        let last = self.buckets.len() - 1;
        let bound = self.bounds[last / LANES].get(last % LANES);
        self.bounds[at / LANES].put(at % LANES, &bound);
        self.bounds[last / LANES].put(last % LANES, &Lanes::NOWHERE);
        self.buckets.swap_remove(at);
        self.bounds.truncate(last.div_ceil(LANES));
    }
}

/// The volume of the zones of some corners of a bucket within the newest box, and how many corners take their
/// place: those first in `new`.
fn replace(
    bucket: &Bucket,
    hits: u32,
    boxes: &[[f64; 3]],
    end: [f64; 3],
    new: &mut [Corner],
) -> (f64, usize) {
    let newest = (boxes.len() - 1) as u32;
    let [right, back, top] = end;
    let (mut volume, mut count) = (0.0, 0);
    for place in bits(hits) {
        let Corner { at: [x, y, z], of: [of_x, of_y, of_z] } = bucket.corner(place);
        let [_, x_back, x_top] = boxes[of_x as usize];
        let [y_right, _, y_top] = boxes[of_y as usize];
        let [z_right, z_back, _] = boxes[of_z as usize];
        let reach = shorter(x_top, y_top);
        volume += (right - x) * (shorter(back, x_back) - y) * (shorter(top, reach) - z);
        // A side bounds the free space as far as its box reaches.
        let corner = |at, of| Corner { at, of };
        new[count] = corner([right, y, z], [newest, of_y, of_z]);
        count += usize::from(right <= shorter(y_right, z_right));
        new[count] = corner([x, back, z], [of_x, newest, of_z]);
        count += usize::from(back <= shorter(x_back, z_back));
        new[count] = corner([x, y, top], [of_x, of_y, newest]);
        count += usize::from(top <= reach);
    }
    (volume, count)
}

impl Bucket {
    fn new() -> Self {
        let (corners, of) = ([Lanes::NONE; GROUPS], [[BEYOND; 3]; ROOM]);
        Self { corners, of, free: u32::MAX, is_tight: false }
    }

    /// The corners than which a box is longer in every objective, as bits.
    fn shorter_than(&self, end: [f64; 3]) -> u32 {
        let mut shorter = 0;
        for (corners, group) in self.corners.iter().zip(0..) {
            shorter |= corners.shorter_than(end) << (group * LANES);
        }
        shorter
    }

    fn corner(&self, place: usize) -> Corner {
        Corner { at: self.corners[place / LANES].get(place % LANES), of: self.of[place] }
    }

    fn put(&mut self, place: usize, corner: &Corner) {
        self.corners[place / LANES].put(place % LANES, &corner.at);
        self.of[place] = corner.of;
        self.free &= !(1 << place);
    }

    fn forget(&mut self, place: usize) {
        self.corners[place / LANES].put(place % LANES, &Lanes::NOWHERE);
    }

    /// The longest point that is nowhere longer than a corner.
    fn shortest(&self) -> [f64; 3] {
        std::array::from_fn(|axis| {
            let mut least = self.corners[0].0[axis];
            for group in &self.corners[1..] {
                least
                    .iter_mut()
                    .zip(group.0[axis])
                    .for_each(|(least, side)| *least = shorter(*least, side));
            }
            least.into_iter().fold(f64::INFINITY, shorter)
        })
    }
}

impl Lanes {
    const NOWHERE: [f64; 3] = [f64::INFINITY; 3];
    const NONE: Self = Self([[f64::INFINITY; LANES]; 3]);

    fn get(&self, lane: usize) -> [f64; 3] {
        let [x, y, z] = &self.0;
        [x[lane], y[lane], z[lane]]
    }

    fn put(&mut self, lane: usize, point: &[f64; 3]) {
        self.0.iter_mut().zip(point).for_each(|(sides, side)| sides[lane] = *side);
    }

    /// The points than which a box is longer in every objective, as bits.
    fn shorter_than(&self, [right, back, top]: [f64; 3]) -> u32 {
        let [x, y, z] = &self.0;
        let mut bytes = [0; LANES];
        for (lane, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from((x[lane] < right) & (y[lane] < back) & (z[lane] < top));
        }
        // The lowest bits of eight bytes, gathered in the highest byte.
        (u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    }
}

/// As `f64::min` where no side is NaN, in one instruction.
fn shorter(side: f64, other: f64) -> f64 {
    if side < other { side } else { other }
}

/// The places of the bits that are set, ascending.
fn bits(mut word: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (word != 0).then(|| word.trailing_zeros() as usize % ROOM);
        word &= word.wrapping_sub(1);
        place
    })
}

/// Sorts corners along the objective in which they lie furthest apart. Stable, so that the order of later sums,
/// and so their last bits, rests on no library's way of sorting.
fn sort_along_widest(corners: &mut [Corner]) {
    let extent = |axis: usize| {
        let sides = corners.iter().map(|corner| corner.at[axis]);
        sides.clone().fold(0.0, f64::max) - sides.fold(f64::INFINITY, f64::min)
    };
    let extents = [0, 1, 2].map(extent);
    let widest =
        (1..3).fold(0, |widest, axis| if extents[axis] > extents[widest] { axis } else { widest });
    corners.sort_by(|a, b| a.at[widest].total_cmp(&b.at[widest]));
}

#[cfg(test)]
mod tests {
    use super::super::linked::LinkedUnion;
    use super::*;
    use crate::pareto::test_points::uniform_stream;
    use proptest::prelude::*;

    fn started() -> ZoneUnion {
        let mut union = ZoneUnion::default();
        union.start(std::iter::empty());
        union
    }

    /// Corners are where the free space begins, and are found: below bounds, and infinite where there is none.
    fn check(union: &ZoneUnion) {
        let mut corners = 0;
        for (at, bucket) in union.buckets.iter().enumerate() {
            let bound = union.bounds[at / LANES].get(at % LANES);
            assert_ne!(bucket.free, u32::MAX, "an empty bucket is kept");
            for place in 0..ROOM {
                let Corner { at, of } = bucket.corner(place);
                if bucket.free & (1 << place) != 0 {
                    assert_eq!(at, Lanes::NOWHERE);
                    continue;
                }
                corners += 1;
                for axis in 0..3 {
                    assert!(bound[axis] <= at[axis]);
                    let side = union.boxes[of[axis] as usize][axis];
                    assert_eq!(at[axis], if of[axis] == BEYOND { 0.0 } else { side });
                }
                let covers = |end: &[f64; 3]| end.iter().zip(at).all(|(end, at)| *end > at);
                assert!(!union.boxes[1..].iter().any(covers), "a corner is covered");
            }
        }
        assert!(corners <= 2 * (union.boxes.len() - 1) + 1);
        for at in union.buckets.len()..union.bounds.len() * LANES {
            assert_eq!(union.bounds[at / LANES].get(at % LANES), Lanes::NOWHERE);
        }
    }

    /// The unit cells of a box with whole sides up to 8 that none before it covered.
    fn uncovered(cells: &mut [bool; 512], end: &[u8; 3]) -> usize {
        let mut new = 0;
        for (at, cell) in cells.iter_mut().enumerate() {
            let lower = [at % 8, at / 8 % 8, at / 64];
            if !*cell && lower.iter().zip(end).all(|(lower, end)| *lower < usize::from(*end)) {
                *cell = true;
                new += 1;
            }
        }
        new
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// Few values make boxes that share sides, repeat or lie inside one another; cells are counted, so that
        /// growth is exact.
        #[test]
        fn growth_is_that_of_the_cells(ends in prop::collection::vec([1u8..=8, 1..=8, 1..=8], 1..=120)) {
            let (mut union, mut cells) = (started(), [false; 512]);
            for end in &ends {
                let expected = uncovered(&mut cells, end);
                prop_assert_eq!(union.grow(end.map(f64::from)), expected as f64);
            }
            check(&union);
        }

        /// As above, close to a plane, where hardly a box lies inside another.
        #[test]
        fn growth_of_flat_fronts_is_that_of_the_cells(sides in prop::collection::vec([1u8..=7, 1..=7], 1..=120)) {
            let (mut union, mut cells) = (started(), [false; 512]);
            for [x, y] in sides {
                let end = [x, y, 9u8.saturating_sub((x + y).div_ceil(2)).clamp(1, 8)];
                let expected = uncovered(&mut cells, &end);
                prop_assert_eq!(union.grow(end.map(f64::from)), expected as f64);
            }
            check(&union);
        }
    }

    #[test]
    fn large_unions_grow_as_linked_ones_do() {
        let mut next = uniform_stream(4);
        // Shells that grow, shrink or stay, and boxes anywhere: many corners, or many boxes that vanish.
        for growth in [0.001, -0.0005, 0.0, f64::NAN] {
            let (mut union, mut linked) = (started(), LinkedUnion::default());
            linked.start(std::iter::empty());
            let mut covered = 0.0;
            for at in 0..1_500 {
                let end = std::array::from_fn(|_| next() + 1e-3);
                let length = end.iter().map(|side| side * side).sum::<f64>().sqrt();
                let scale =
                    if growth.is_nan() { 1.0 } else { (1.0 + growth * f64::from(at)) / length };
                let end = end.map(|side| side * scale);
                let (found, expected) = (union.grow(end), linked.grow(end));
                covered += expected;
                assert!(
                    (found - expected).abs() <= 1e-12 * covered,
                    "{found} instead of {expected}"
                );
            }
            check(&union);
            assert!(
                growth.is_nan() || union.buckets.len() > LANES,
                "{} buckets",
                union.buckets.len()
            );
        }
    }

    #[test]
    fn volumes_beyond_the_largest_number_are_infinite() {
        let mut union = started();
        assert!(union.grow([1e100; 3]).is_finite());
        assert_eq!(union.grow([1e200, 1e200, 1e-200]), f64::INFINITY);
        assert!((union.grow([1e300, 1e-300, 1.0]) - 1.0).abs() < 1e-12);
        check(&union);
    }
}
