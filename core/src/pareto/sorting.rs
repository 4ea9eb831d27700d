//! Non-dominated sorting: the front number (rank) of every point, with or without constraints.
//! It must not know crowding, survival or what made a point infeasible.
//!
//! Points are brought into lexicographic order and equal ones merged, after which only an
//! earlier point can dominate a later one, and "no worse in every objective but the first" is all
//! that is left to test. The number of objectives then chooses the kernel:
//! two O(N log N), three O(N log^2 N), four O(N log^3 N) down to some thousand points; these, and
//! more objectives, O(M N^2 / 255) table look-ups.

mod four;
mod many;
mod three;
mod two;

#[cfg(test)]
mod tests;

use super::Points;

/// Why points could not be sorted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SortError {
    /// The violations do not match the points.
    #[error("{points} points came with {violations} violations; give one per point")]
    ViolationCount {
        /// Number of points.
        points: usize,
        /// Number of violations.
        violations: usize,
    },
    /// A violation is negative, NaN or infinite.
    #[error(
        "the violation of point {index} (counted from 0) is {value}; give a finite sum that is \
         0 for a feasible point and positive otherwise"
    )]
    InvalidViolation {
        /// The point.
        index: usize,
        /// Its violation as given.
        value: f64,
    },
    /// The indices of the points do not fit the kernels.
    #[error("{points} points are more than the 2^32 - 2 that one sort takes")]
    TooManyPoints {
        /// Number of points.
        points: usize,
    },
}

/// The partition of points 0..N into fronts; front 0 is the non-dominated one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fronts {
    ranks: Vec<u32>,
    members: Vec<usize>,
    /// Where each front starts in `members`, and N at the end; empty when N = 0.
    starts: Vec<usize>,
}

impl Fronts {
    /// Number of fronts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is no front, that is no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty()
    }

    /// Rank of point `index`, from 0.
    ///
    /// # Panics
    /// When `index` is not below the number of points, as slice indexing does.
    #[must_use]
    pub fn rank(&self, index: usize) -> usize {
        self.ranks[index] as usize
    }

    /// Rank of every point, from 0, in index order.
    #[must_use]
    pub fn ranks(&self) -> &[u32] {
        &self.ranks
    }

    /// Indices of the points of rank `rank`, ascending; empty when there is no such front.
    #[must_use]
    pub fn front(&self, rank: usize) -> &[usize] {
        match self.starts.get(rank..rank.saturating_add(2)) {
            Some(&[start, end]) => &self.members[start..end],
            _ => &[],
        }
    }

    /// The fronts from the best to the worst, indices ascending in each.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[usize]> + Clone {
        self.starts.windows(2).map(|bounds| &self.members[bounds[0]..bounds[1]])
    }

    /// Groups the points by `ranks`, whose values are 0..F without gaps.
    fn group(&mut self) {
        self.starts.clear();
        let Some(worst) = self.ranks.iter().max() else {
            self.members.clear();
            return;
        };
        self.starts.resize(*worst as usize + 2, 0);
        for &rank in &self.ranks {
            self.starts[rank as usize] += 1;
        }
        let mut total = 0;
        for start in &mut self.starts {
            total += std::mem::replace(start, total);
        }
        self.members.clear();
        self.members.resize(self.ranks.len(), 0);
        for (index, &rank) in self.ranks.iter().enumerate() {
            let slot = &mut self.starts[rank as usize];
            self.members[*slot] = index;
            *slot += 1;
        }
        // Each start has moved to the end of its front, which is where the next one starts.
        self.starts.rotate_right(1);
        self.starts[0] = 0;
    }
}

/// Rank of every point by Pareto domination or, with violations, by constrained domination
/// ([`super::dominance::constrained_compare`]; Deb, Pratap, Agarwal and Meyarivan 2002): feasible
/// points first, then the infeasible ones by ascending violation. Equal points share a rank.
///
/// # Errors
/// [`SortError`] when violations do not match the points or are negative or not finite.
pub fn non_dominated_sort(
    points: &Points,
    violations: Option<&[f64]>,
) -> Result<Fronts, SortError> {
    let mut fronts = Fronts::default();
    Sorter::new().sort_into(points, violations, &mut fronts)?;
    Ok(fronts)
}

/// Buffers for repeated sorts, which then allocate only while these grow.
#[derive(Debug, Clone, Default)]
pub struct Sorter {
    /// Ordering key and index of the points being sorted.
    keyed: Vec<(u64, u32)>,
    /// Which distinct point each entry of `keyed` is, in lexicographic order.
    distinct: Vec<u32>,
    /// Objectives 1..M of the distinct points, in lexicographic order, one column after another.
    columns: Vec<f64>,
    ranks: Vec<u32>,
    two: two::Scratch,
    three: three::Scratch,
    four: four::Scratch,
    many: many::Scratch,
}

impl Sorter {
    /// A sorter with empty buffers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`non_dominated_sort`], into `fronts`, whose former content is replaced.
    ///
    /// # Errors
    /// As [`non_dominated_sort`]; `fronts` is then as it was.
    pub fn sort_into(
        &mut self,
        points: &Points,
        violations: Option<&[f64]>,
        fronts: &mut Fronts,
    ) -> Result<(), SortError> {
        check(points, violations)?;
        fronts.ranks.clear();
        fronts.ranks.resize(points.len(), 0);
        let feasible = |index: usize| violations.is_none_or(|values| values[index] == 0.0);
        let first = points.rows().enumerate().filter(|(index, _)| feasible(*index));
        self.keyed.clear();
        self.keyed.extend(first.map(|(index, row)| (ascending_key(row[0]), index as u32)));
        let next_rank = self.rank_feasible(points, &mut fronts.ranks);
        if let Some(violations) = violations {
            self.rank_infeasible(violations, next_rank, &mut fronts.ranks);
        }
        fronts.group();
        Ok(())
    }

    /// Ranks the points in `keyed` among themselves; returns the number of fronts.
    fn rank_feasible(&mut self, points: &Points, ranks: &mut [u32]) -> u32 {
        order_lexicographically(points, &mut self.keyed);
        if points.objectives() == 2 {
            let ordered = self
                .keyed
                .iter()
                .map(|&(key, index)| (key, points.row(index as usize)[1], index as usize));
            return two::rank(ordered, &mut self.two, ranks);
        }
        let count = self.merge_equal(points);
        self.ranks.clear();
        self.ranks.resize(count, 0);
        match points.objectives() {
            0 | 1 => self.ranks.iter_mut().zip(0..).for_each(|(rank, at)| *rank = at),
            3 => three::rank(&self.columns, &mut self.three, &mut self.ranks),
            4 if count > four::FEW => four::rank(&self.columns, &mut self.four, &mut self.ranks),
            _ => many::rank(&self.columns, &mut self.many, &mut self.ranks),
        }
        for (&(_, index), &distinct) in self.keyed.iter().zip(&self.distinct) {
            ranks[index as usize] = self.ranks[distinct as usize];
        }
        self.ranks.iter().max().map_or(0, |worst| worst + 1)
    }

    /// Numbers the distinct points of `keyed` and copies their objectives 1..M into columns.
    fn merge_equal(&mut self, points: &Points) -> usize {
        self.distinct.clear();
        let mut count = 0;
        for (at, &(key, index)) in self.keyed.iter().enumerate() {
            let repeats = at > 0 && {
                let (previous_key, previous) = self.keyed[at - 1];
                key == previous_key && points.row(index as usize) == points.row(previous as usize)
            };
            count += u32::from(!repeats);
            self.distinct.push(count - 1);
        }
        let count = count as usize;
        self.columns.clear();
        self.columns.resize(count * points.objectives().saturating_sub(1), 0.0);
        for (&(_, index), &distinct) in self.keyed.iter().zip(&self.distinct) {
            let later = points.row(index as usize).iter().skip(1);
            for (column, value) in later.enumerate() {
                self.columns[column * count + distinct as usize] = *value;
            }
        }
        count
    }

    /// Gives infeasible points one rank per distinct violation, from `next_rank` on.
    fn rank_infeasible(&mut self, violations: &[f64], mut next_rank: u32, ranks: &mut [u32]) {
        let infeasible = violations.iter().enumerate().filter(|(_, value)| **value > 0.0);
        self.keyed.clear();
        self.keyed.extend(infeasible.map(|(index, value)| (ascending_key(*value), index as u32)));
        self.keyed.sort_unstable();
        for group in self.keyed.chunk_by(|a, b| a.0 == b.0) {
            for &(_, index) in group {
                ranks[index as usize] = next_rank;
            }
            next_rank += 1;
        }
    }
}

fn check(points: &Points, violations: Option<&[f64]>) -> Result<(), SortError> {
    let count = points.len();
    if count >= u32::MAX as usize {
        return Err(SortError::TooManyPoints { points: count });
    }
    let Some(violations) = violations else { return Ok(()) };
    if violations.len() != count {
        return Err(SortError::ViolationCount { points: count, violations: violations.len() });
    }
    match violations.iter().position(|value| !(value.is_finite() && *value >= 0.0)) {
        Some(index) => Err(SortError::InvalidViolation { index, value: violations[index] }),
        None => Ok(()),
    }
}

/// A number that orders as the finite, never negative-zero `value` does; integers sort faster.
pub(crate) fn ascending_key(value: f64) -> u64 {
    let bits = value.to_bits();
    let sign = 1 << 63;
    if bits & sign == 0 { bits | sign } else { !bits }
}

/// Sorts by all objectives from the first to the last, then by index. The keys hold the first
/// objective; the rows are read only where it ties.
fn order_lexicographically(points: &Points, keyed: &mut [(u64, u32)]) {
    keyed.sort_unstable_by_key(|&(key, _)| key);
    for tied in keyed.chunk_by_mut(|a, b| a.0 == b.0).filter(|tied| tied.len() > 1) {
        tied.sort_unstable_by(|&(_, a), &(_, b)| {
            let (x, y) = (points.row(a as usize), points.row(b as usize));
            let ordering = x.iter().zip(y).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne());
            ordering.unwrap_or_else(|| a.cmp(&b))
        });
    }
}
