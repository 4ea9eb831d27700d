//! The compiled form of a gene: how many slots it has, how many values, and how values are
//! numbered, checked and drawn. It must not know names, variation or networks.

use num_bigint::BigUint;
use rand::{Rng, RngExt};

use super::dag::DagTable;
use super::ratios::Ratios;
use super::scale;
use crate::rng::Stream;

/// A gene or a group of genes over consecutive slots.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// One slot with a value below `values`.
    Choice { values: u32, ordered: bool },
    /// One slot with the position of a whole number of which ratios count.
    Logarithmic(Ratios),
    /// One slot with any value.
    Real,
    /// One slot whose bits are the items taken.
    Mask { items: u32, at_least: u32, at_most: u32 },
    /// Genes side by side; and the highest value of each slot, if all of them are numbers or choices.
    Group { members: Vec<Node>, slots: usize, highest: Option<Box<[u32]>> },
    /// The arm's position, then the slots of every arm. Arms are numbered by the running sums of their
    /// counts, and drawn by these too unless there are `weights`.
    Switch { arms: Vec<Node>, slots: usize, ends: Vec<BigUint>, weights: Option<Vec<BigUint>> },
    /// The number of copies, then the slots of the largest number of them; numbered and drawn likewise.
    Repeat {
        at_least: u32,
        at_most: u32,
        bodies: u32,
        body: Box<Node>,
        ends: Vec<BigUint>,
        weights: Option<Vec<BigUint>>,
    },
    /// The number of nodes, the adjacency, and an operation for each inner node.
    Dag(DagTable),
}

impl Node {
    /// A group of `members`.
    pub(super) fn group(members: Vec<Node>) -> Self {
        let slots = members.iter().map(Node::slots).sum();
        let highest = members.iter().map(Node::highest).collect();
        Self::Group { members, slots, highest }
    }

    /// A switch between `arms`.
    pub(super) fn switch(arms: Vec<Node>) -> Self {
        let slots = 1 + arms.iter().map(Node::slots).sum::<usize>();
        let ends = running_sums(arms.iter().map(Node::count));
        let weighted = arms.iter().any(Node::has_real);
        let weights = weighted.then(|| running_sums(arms.iter().map(Node::weight)));
        Self::Switch { arms, slots, ends, weights }
    }

    /// Between `at_least` and `at_most` copies of `body`, with values of their own or in common.
    pub(super) fn repeat(at_least: u32, at_most: u32, shared: bool, body: Node) -> Self {
        let bodies = if shared { 1 } else { at_most };
        let lengths = |each: BigUint| {
            let mut next = each.pow(at_least.min(bodies));
            running_sums((at_least..=at_most).map(|copies| {
                let longer = if copies < bodies { &next * &each } else { next.clone() };
                std::mem::replace(&mut next, longer)
            }))
        };
        let ends = lengths(body.count());
        let weights = body.has_real().then(|| lengths(body.weight()));
        Self::Repeat { at_least, at_most, bodies, body: Box::new(body), ends, weights }
    }

    /// Whether a real gene is among what can apply.
    fn has_real(&self) -> bool {
        match self {
            Self::Real => true,
            Self::Group { members: nodes, .. } | Self::Switch { arms: nodes, .. } => {
                nodes.iter().any(Self::has_real)
            }
            Self::Repeat { body, .. } => body.has_real(),
            Self::Choice { .. } | Self::Logarithmic(_) | Self::Mask { .. } | Self::Dag(_) => false,
        }
    }

    /// The number of different structures: of values, but that a number counts once where it varies like
    /// a real one. The grid of real genes is as fine as it is for precision; by its count an arm with a
    /// real gene would be drawn always, and an arm without never.
    fn weight(&self) -> BigUint {
        match self {
            Self::Real => BigUint::from(1u32),
            Self::Choice { values, ordered: true } | Self::Logarithmic(Ratios { values, .. })
                if scale::is_wide(*values) =>
            {
                BigUint::from(1u32)
            }
            Self::Group { members, .. } => members.iter().map(Self::weight).product(),
            Self::Switch { arms, .. } => arms.iter().map(Self::weight).sum(),
            Self::Repeat { at_least, at_most, bodies, body, .. } => {
                let each = body.weight();
                (*at_least..=*at_most).map(|copies| each.pow(copies.min(*bodies))).sum()
            }
            _ => self.count(),
        }
    }

    #[inline]
    pub(super) fn slots(&self) -> usize {
        match self {
            Self::Choice { .. } | Self::Logarithmic(_) | Self::Real | Self::Mask { .. } => 1,
            Self::Group { slots, .. } | Self::Switch { slots, .. } => *slots,
            Self::Repeat { bodies, body, .. } => 1 + *bodies as usize * body.slots(),
            Self::Dag(table) => table.slots(),
        }
    }

    /// The highest value of a number or a choice.
    fn highest(&self) -> Option<u32> {
        match self {
            Self::Choice { values: limit, .. } => Some(limit - 1),
            Self::Real => Some(u32::MAX),
            _ => None,
        }
    }

    /// The number of different values.
    pub(super) fn count(&self) -> BigUint {
        match self {
            Self::Choice { values, .. } | Self::Logarithmic(Ratios { values, .. }) => {
                BigUint::from(*values)
            }
            Self::Real => BigUint::from(super::REAL_VALUES),
            Self::Mask { items, at_least, at_most } => {
                (*at_least..=*at_most).map(|taken| BigUint::from(choose(*items, taken))).sum()
            }
            Self::Group { members, .. } => members.iter().map(Node::count).product(),
            Self::Switch { ends, .. } | Self::Repeat { ends, .. } => {
                ends.last().cloned().unwrap_or_default()
            }
            Self::Dag(table) => table.count(),
        }
    }

    /// Whether the values are those of this gene, unused slots holding 0; else the offset of the
    /// first slot that is not, its value, and what it could be.
    pub(super) fn check(&self, values: &[u32]) -> Result<(), (usize, String)> {
        match self {
            Self::Choice { values: limit, .. }
            | Self::Logarithmic(Ratios { values: limit, .. }) => {
                bounded(values[0], 0, limit - 1).map_err(|reason| (0, reason))
            }
            Self::Real => Ok(()),
            Self::Mask { items, at_least, at_most } => {
                let fits = u64::from(values[0]) < 1 << items
                    && (*at_least..=*at_most).contains(&values[0].count_ones());
                if fits { Ok(()) } else { Err((0, format!("{} is no such subset", values[0]))) }
            }
            Self::Group { highest: Some(highest), .. } if all_at_most(values, highest) => Ok(()),
            Self::Group { members, .. } => {
                let mut at = 0;
                for member in members {
                    let end = at + member.slots();
                    member.check(&values[at..end]).map_err(|(slot, why)| (at + slot, why))?;
                    at = end;
                }
                Ok(())
            }
            Self::Switch { arms, .. } => {
                bounded(values[0], 0, arms.len() as u32 - 1).map_err(|reason| (0, reason))?;
                let mut at = 1;
                for (arm, node) in arms.iter().enumerate() {
                    let end = at + node.slots();
                    let slots = &values[at..end];
                    if arm == values[0] as usize {
                        node.check(slots).map_err(|(slot, why)| (at + slot, why))?;
                    } else {
                        unused(slots).map_err(|(slot, why)| (at + slot, why))?;
                    }
                    at = end;
                }
                Ok(())
            }
            Self::Repeat { at_least, at_most, bodies, body, .. } => {
                bounded(values[0], *at_least, *at_most).map_err(|reason| (0, reason))?;
                let size = body.slots();
                for copy in 0..*bodies as usize {
                    let at = 1 + copy * size;
                    let slots = &values[at..at + size];
                    let checked =
                        if copy < values[0] as usize { body.check(slots) } else { unused(slots) };
                    checked.map_err(|(slot, why)| (at + slot, why))?;
                }
                Ok(())
            }
            Self::Dag(table) => table.check(values),
        }
    }

    /// The number of values that pass [`Self::check`].
    pub(super) fn rank(&self, values: &[u32]) -> BigUint {
        match self {
            Self::Choice { .. } | Self::Logarithmic(_) | Self::Real => BigUint::from(values[0]),
            Self::Mask { items, at_least, .. } => {
                BigUint::from(rank_of_mask(values[0], *items, *at_least))
            }
            Self::Group { members, .. } => {
                let mut at = 0;
                members.iter().fold(BigUint::ZERO, |rank, member| {
                    let slots = &values[at..at + member.slots()];
                    at += member.slots();
                    rank * member.count() + member.rank(slots)
                })
            }
            Self::Switch { arms, ends, .. } => {
                let arm = values[0] as usize;
                let at = 1 + arms[..arm].iter().map(Node::slots).sum::<usize>();
                let inner = arms[arm].rank(&values[at..at + arms[arm].slots()]);
                start(ends, arm) + inner
            }
            Self::Repeat { at_least, bodies, body, ends, .. } => {
                let (each, size) = (body.count(), body.slots());
                let held = values[0].min(*bodies) as usize;
                let copies = values[1..].chunks_exact(size.max(1)).take(held);
                let inner = copies.fold(BigUint::ZERO, |rank, copy| rank * &each + body.rank(copy));
                start(ends, (values[0] - at_least) as usize) + inner
            }
            Self::Dag(table) => table.rank(values),
        }
    }

    /// Writes the values with number `rank`, which is below [`Self::count`], into zeroed slots.
    pub(super) fn unrank(&self, mut rank: BigUint, values: &mut [u32]) {
        let digit = |rank: &BigUint| rank.iter_u32_digits().next().unwrap_or(0);
        match self {
            Self::Choice { .. } | Self::Logarithmic(_) | Self::Real => values[0] = digit(&rank),
            Self::Mask { items, at_least, .. } => {
                values[0] = mask_of_rank(digit(&rank), *items, *at_least);
            }
            Self::Group { members, slots, .. } => {
                let mut end = *slots;
                for member in members.iter().rev() {
                    let (at, count) = (end - member.slots(), member.count());
                    member.unrank(&rank % &count, &mut values[at..end]);
                    rank /= count;
                    end = at;
                }
            }
            Self::Switch { arms, ends, .. } => {
                let arm = ends.partition_point(|end| *end <= rank);
                values[0] = arm as u32;
                let at = 1 + arms[..arm].iter().map(Node::slots).sum::<usize>();
                let slots = &mut values[at..at + arms[arm].slots()];
                arms[arm].unrank(rank - start(ends, arm), slots);
            }
            Self::Repeat { at_least, bodies, body, ends, .. } => {
                let above = ends.partition_point(|end| *end <= rank);
                rank -= start(ends, above);
                values[0] = at_least + above as u32;
                let (each, size) = (body.count(), body.slots());
                for copy in (0..values[0].min(*bodies) as usize).rev() {
                    let at = 1 + copy * size;
                    body.unrank(&rank % &each, &mut values[at..at + size]);
                    rank /= &each;
                }
            }
            Self::Dag(table) => table.unrank(rank, values),
        }
    }

    /// Draws values into zeroed slots: uniformly, but logarithmic numbers by their shares, and arms and
    /// lengths with real genes by their weights.
    pub(super) fn sample(&self, rng: &mut Stream, values: &mut [u32]) {
        match self {
            Self::Choice { values: limit, .. } => values[0] = rng.random_range(0..*limit),
            Self::Logarithmic(ratios) => values[0] = ratios.sample(rng),
            Self::Real => values[0] = rng.next_u32(),
            Self::Mask { items, at_least, .. } => {
                let count = u32::try_from(self.count()).unwrap_or(u32::MAX);
                values[0] = mask_of_rank(rng.random_range(0..count), *items, *at_least);
            }
            Self::Group { members, .. } => {
                let mut at = 0;
                for member in members {
                    let end = at + member.slots();
                    member.sample(rng, &mut values[at..end]);
                    at = end;
                }
            }
            Self::Switch { arms, ends, weights, .. } => {
                let arm = draw(weights.as_ref().unwrap_or(ends), rng);
                values[0] = arm as u32;
                let at = 1 + arms[..arm].iter().map(Node::slots).sum::<usize>();
                arms[arm].sample(rng, &mut values[at..at + arms[arm].slots()]);
            }
            Self::Repeat { at_least, bodies, body, ends, weights, .. } => {
                values[0] = at_least + draw(weights.as_ref().unwrap_or(ends), rng) as u32;
                let size = body.slots();
                for copy in 0..values[0].min(*bodies) as usize {
                    let at = 1 + copy * size;
                    body.sample(rng, &mut values[at..at + size]);
                }
            }
            Self::Dag(table) => table.sample(rng, values),
        }
    }
}

/// Whether no value is above the highest of its slot; without branches.
fn all_at_most(values: &[u32], highest: &[u32]) -> bool {
    values.iter().zip(highest).fold(true, |all, (value, highest)| all & (value <= highest))
}

fn bounded(value: u32, low: u32, high: u32) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(format!("is {value}, expected {low} to {high}"))
}

fn unused(slots: &[u32]) -> Result<(), (usize, String)> {
    match slots.iter().position(|value| *value != 0) {
        Some(slot) => Err((slot, format!("is {}, but does not apply here", slots[slot]))),
        None => Ok(()),
    }
}

fn running_sums(counts: impl Iterator<Item = BigUint>) -> Vec<BigUint> {
    let sums = counts.scan(BigUint::ZERO, |sum, count| {
        *sum += count;
        Some(sum.clone())
    });
    sums.collect()
}

fn start(ends: &[BigUint], at: usize) -> BigUint {
    at.checked_sub(1).map_or(BigUint::ZERO, |before| ends[before].clone())
}

/// A position drawn with the share that it has of the running sums `ends`.
fn draw(ends: &[BigUint], rng: &mut Stream) -> usize {
    let drawn = ends.last().map(|total| below(total, rng)).unwrap_or_default();
    ends.partition_point(|end| *end <= drawn)
}

/// A number below `limit`, which is not 0, drawn uniformly.
pub(super) fn below(limit: &BigUint, rng: &mut Stream) -> BigUint {
    let bits = limit.bits();
    let top = u32::MAX >> ((32 - bits % 32) % 32);
    loop {
        let mut digits: Vec<u32> = (0..bits.div_ceil(32)).map(|_| rng.next_u32()).collect();
        if let Some(digit) = digits.last_mut() {
            *digit &= top;
        }
        let drawn = BigUint::new(digits);
        if drawn < *limit {
            return drawn;
        }
    }
}

/// The number of ways to take `taken` of `items`, at most [`super::gene::MAX_ITEMS`].
fn choose(items: u32, taken: u32) -> u32 {
    if taken > items {
        return 0;
    }
    let ways = (0..u64::from(taken.min(items - taken)))
        .fold(1, |ways, done| ways * (u64::from(items) - done) / (done + 1));
    ways as u32
}

/// The number of a mask among those of `items` bits with at least `at_least` set, ordered by the
/// number of bits set and then by value.
fn rank_of_mask(mask: u32, items: u32, at_least: u32) -> u32 {
    let taken = mask.count_ones();
    let fewer: u32 = (at_least..taken).map(|taken| choose(items, taken)).sum();
    let bits = (0..items).filter(|bit| mask >> bit & 1 == 1);
    fewer + bits.zip(1..).map(|(bit, nth)| choose(bit, nth)).sum::<u32>()
}

fn mask_of_rank(mut rank: u32, items: u32, at_least: u32) -> u32 {
    let mut taken = at_least;
    while rank >= choose(items, taken) {
        rank -= choose(items, taken);
        taken += 1;
    }
    let mut mask = 0;
    for nth in (1..=taken).rev() {
        let bit = (0..items).rev().find(|bit| choose(*bit, nth) <= rank).unwrap_or(0);
        mask |= 1 << bit;
        rank -= choose(bit, nth);
    }
    mask
}
