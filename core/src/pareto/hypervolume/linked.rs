//! A union of boxes in three objectives that grows by one box in a single walk over the boxes so
//! far: O(N), without a search (HV4D+: Guerreiro and Fonseca 2018, "Computing and updating
//! hypervolume contributions in up to four dimensions"). Points are positive gains; nothing here
//! knows a reference.
//!
//! Seen from above, the boxes at least as high as some level make a staircase: corners from the
//! right (wide, deep) to the left (narrow, tall; x and y are width and depth of a base). Every box
//! remembers its two neighbours in the staircase of those at least as high, so walking down the
//! boxes rebuilds each staircase by setting four links a box; whatever lies between two neighbours
//! is passed over.
//!
//! That needs sides that differ. Of equal ones that of the earlier box counts as the longer, in every comparison and
//! in the order by height: a strict order that leaves every volume as it is. Without it a box between
//! equal ones may be passed over in one walk and be a neighbour in the next, and a walk runs in circles.

use super::union::Union;

/// Right of everything: of no depth, and wider than any.
const RIGHT_END: usize = 0;
/// Left of everything: of no width, and deeper than any. Also the end of the list by height.
const LEFT_END: usize = 1;
/// The right edge of the new box: as wide as it, as deep as it is covered there.
const RIGHT_EDGE: usize = 2;
/// The far edge of the new box: as deep as it, as wide as it is covered there.
const LEFT_EDGE: usize = 3;
const FIRST: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Box3 {
    x: f64,
    y: f64,
    z: f64,
    /// Neighbours in the staircase of the boxes at least as high.
    right: u32,
    left: u32,
    /// Neighbours in the staircase of the walk.
    walk_right: u32,
    walk_left: u32,
    /// The next lower and the next higher box.
    lower: u32,
    higher: u32,
}

impl Box3 {
    fn new(x: f64, y: f64, z: f64) -> Self {
        let (right, left) = (RIGHT_END as u32, LEFT_END as u32);
        let (walk_right, walk_left, lower, higher) = (right, left, left, left);
        Self { x, y, z, right, left, walk_right, walk_left, lower, higher }
    }
}

/// Whether a side of a box is longer than one of another, each given with its box: of equal ones that of the
/// earlier box is.
fn longer((side, of): (f64, usize), (other, of_other): (f64, usize)) -> bool {
    side > other || (side == other && of < of_other)
}

/// A union of boxes, none inside another, in a list by height.
#[derive(Debug, Clone, Default)]
pub(super) struct LinkedUnion {
    boxes: Vec<Box3>,
}

impl Union<3> for LinkedUnion {
    fn start(&mut self, _: impl ExactSizeIterator<Item = [f64; 3]>) {
        self.clear();
    }

    fn grow(&mut self, [x, y, z]: [f64; 3]) -> f64 {
        let mut new = Box3::new(x, y, z);
        if !self.find_place(&mut new) {
            return 0.0;
        }
        let at = self.boxes.len();
        let (place, next) = (new.higher as usize, new.lower as usize);
        self.boxes.push(new);
        self.boxes[place].lower = at as u32;
        self.boxes[next].higher = at as u32;
        let area = x * y;
        let outside = area - self.covered_at_top(at);
        let volume = self.sweep_down(at, outside);
        if (area * z).is_infinite() { f64::INFINITY } else { volume.max(0.0) }
    }
}

impl LinkedUnion {
    /// Forgets all boxes and keeps the allocations.
    pub(super) fn clear(&mut self) {
        self.boxes.clear();
        self.boxes.push(Box3::new(f64::INFINITY, 0.0, f64::INFINITY));
        self.boxes.push(Box3::new(0.0, f64::INFINITY, f64::INFINITY));
        self.boxes.resize(FIRST, Box3::new(0.0, 0.0, 0.0));
    }

    /// Adds a box that no other contains and that is at most as high as any, given its neighbours in
    /// the staircase of all others, and returns its name. Sides of boxes tie as anywhere here.
    pub(super) fn push_lowest(
        &mut self,
        [x, y, z]: [f64; 3],
        right: Option<u32>,
        left: Option<u32>,
    ) -> u32 {
        let at = self.boxes.len() as u32;
        let higher = self.boxes[LEFT_END].higher;
        let new = Box3::new(x, y, z);
        let (right, left) = (right.unwrap_or(new.right), left.unwrap_or(new.left));
        self.boxes.push(Box3 { right, left, higher, ..new });
        self.boxes[higher as usize].lower = at;
        self.boxes[LEFT_END].higher = at;
        at
    }

    /// Walks down to the height of the new box, links the staircase there, and finds the box's
    /// neighbours in it and its place in the list; false if another box contains it.
    fn find_place(&mut self, new: &mut Box3) -> bool {
        let boxes = &mut self.boxes;
        boxes[RIGHT_END].walk_left = LEFT_END as u32;
        boxes[LEFT_END].walk_right = RIGHT_END as u32;
        let (mut depth, mut width) = (0.0, 0.0);
        let (mut above, mut at) = (LEFT_END, boxes[LEFT_END].lower as usize);
        while at != LEFT_END && boxes[at].z >= new.z {
            let Box3 { x, y, right, left, lower, .. } = boxes[at];
            if x >= new.x {
                if y >= new.y {
                    return false;
                }
                if longer((y, at), (depth, new.right as usize)) {
                    (depth, new.right) = (y, at as u32);
                }
            } else if y >= new.y && longer((x, at), (width, new.left as usize)) {
                (width, new.left) = (x, at as u32);
            }
            boxes[at].walk_right = right;
            boxes[at].walk_left = left;
            boxes[left as usize].walk_right = at as u32;
            boxes[right as usize].walk_left = at as u32;
            (above, at) = (at, lower as usize);
        }
        (new.higher, new.lower) = (above as u32, at as u32);
        true
    }

    /// The part of the new box's base that is covered at its own height; links the corners inside
    /// the base between its two edges.
    fn covered_at_top(&mut self, new: usize) -> f64 {
        let boxes = &mut self.boxes;
        let Box3 { x, y, right, left, .. } = boxes[new];
        let (right, left) = (right as usize, left as usize);
        let mut depth = boxes[right].y;
        let mut covered = x * depth;
        boxes[RIGHT_EDGE] = Box3 { right: right as u32, ..Box3::new(x, depth, 0.0) };
        let (mut last, mut at) = (RIGHT_EDGE, boxes[right].walk_left as usize);
        while at != left {
            covered += boxes[at].x * (boxes[at].y - depth);
            depth = boxes[at].y;
            boxes[at].walk_right = last as u32;
            boxes[last].walk_left = at as u32;
            (last, at) = (at, boxes[at].walk_left as usize);
        }
        let width = boxes[left].x;
        covered += width * (y - depth);
        boxes[LEFT_EDGE] = Box3 { left: left as u32, ..Box3::new(width, y, 0.0) };
        boxes[LEFT_EDGE].walk_right = last as u32;
        boxes[last].walk_left = LEFT_EDGE as u32;
        covered
    }

    /// The volume of the new box that no other covers, `outside` being the free part of its base
    /// at its own height. Takes out the boxes inside it, and makes it the neighbour of those below
    /// to which it is closer than their present one.
    fn sweep_down(&mut self, new: usize, mut outside: f64) -> f64 {
        let Box3 { x, y, z, lower, .. } = self.boxes[new];
        let mut volume = outside * z;
        let mut at = lower as usize;
        while at != LEFT_END {
            let other = self.boxes[at];
            let covered = match (other.x >= x, other.y >= y) {
                (true, true) => return volume - outside * other.z,
                (true, false) => {
                    if self.boxes[other.left as usize].x < x {
                        self.boxes[at].left = new as u32;
                    }
                    self.cover_from_right(at)
                }
                (false, true) => {
                    if self.boxes[other.right as usize].y < y {
                        self.boxes[at].right = new as u32;
                    }
                    self.cover_from_left(at)
                }
                (false, false) => {
                    self.boxes[other.higher as usize].lower = other.lower;
                    self.boxes[other.lower as usize].higher = other.higher;
                    self.cover_inside(at, x)
                }
            };
            outside -= covered;
            volume -= covered * other.z;
            at = other.lower as usize;
        }
        volume
    }

    /// Covers the whole width as deep as `other`; the area that was free. The edge's `right` is the box
    /// that made it as deep as it is.
    fn cover_from_right(&mut self, other: usize) -> f64 {
        let (depth, edge) = (self.boxes[other].y, self.boxes[RIGHT_EDGE]);
        if !longer((depth, other), (edge.y, edge.right as usize)) {
            return 0.0;
        }
        let (free, stop) = self.free_under(edge.x, (depth, other), RIGHT_EDGE);
        let edge = &mut self.boxes[RIGHT_EDGE];
        (edge.y, edge.right) = (depth, other as u32);
        edge.walk_left = stop as u32;
        self.boxes[stop].walk_right = RIGHT_EDGE as u32;
        free
    }

    /// Covers the whole depth as wide as `other`; the area that was free. The edge's `left` is the box that
    /// made it as wide as it is.
    fn cover_from_left(&mut self, other: usize) -> f64 {
        let boxes = &mut self.boxes;
        let (width, edge) = (boxes[other].x, boxes[LEFT_EDGE]);
        if !longer((width, other), (edge.x, edge.left as usize)) {
            return 0.0;
        }
        let (mut free, mut covered, mut depth) = (0.0, edge.x, edge.y);
        let mut at = edge.walk_right as usize;
        while at != RIGHT_EDGE && !longer((boxes[at].x, at), (width, other)) {
            free += (depth - boxes[at].y) * (width - covered);
            (covered, depth) = (boxes[at].x, boxes[at].y);
            at = boxes[at].walk_right as usize;
        }
        free += (depth - boxes[at].y) * (width - covered);
        (boxes[LEFT_EDGE].x, boxes[LEFT_EDGE].left) = (width, other as u32);
        boxes[LEFT_EDGE].walk_right = at as u32;
        boxes[at].walk_left = LEFT_EDGE as u32;
        free
    }

    /// Makes a box inside the base of width `x` a corner of the staircase; the area that was free.
    fn cover_inside(&mut self, corner: usize, x: f64) -> f64 {
        let Box3 { x: width, y: depth, right, .. } = self.boxes[corner];
        let right = if self.boxes[right as usize].x >= x { RIGHT_EDGE } else { right as usize };
        let (free, stop) = self.free_under(width, (depth, corner), right);
        let boxes = &mut self.boxes;
        boxes[corner].walk_right = right as u32;
        boxes[corner].walk_left = stop as u32;
        boxes[right].walk_left = corner as u32;
        boxes[stop].walk_right = corner as u32;
        free
    }

    /// The free area under a corner, `depth` deep as that of the box `of`, whose right neighbour is
    /// `right`; and its left neighbour: the first deeper corner.
    fn free_under(&self, mut width: f64, (depth, of): (f64, usize), right: usize) -> (f64, usize) {
        let boxes = &self.boxes;
        let mut free = 0.0;
        let mut reached = boxes[right].y;
        let mut at = boxes[right].walk_left as usize;
        while at != LEFT_EDGE && !longer((boxes[at].y, at), (depth, of)) {
            free += (width - boxes[at].x) * (depth - reached);
            (width, reached) = (boxes[at].x, boxes[at].y);
            at = boxes[at].walk_left as usize;
        }
        free += (width - boxes[at].x) * (depth - reached);
        (free, at)
    }
}
