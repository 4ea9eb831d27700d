//! Mutation and crossover of compiled genes. It must not know names or constraints.
//!
//! A *site* is a place where one edit can be made: a gene, the arm of a switch, the number of
//! copies of a repeat. Sites that do not apply, or have one value only, do not count.

use rand::{Rng, RngExt};

use super::node::Node;
use super::operators::{Crossing, REAL_MAX, binary_crossover, draw_crossing, polynomial};
use super::ratios::Ratios;
use super::scale;
use crate::rng::Stream;

impl Node {
    /// The number of sites that apply.
    pub(super) fn sites(&self, values: &[u32]) -> usize {
        match self {
            Self::Choice { values: limit, .. }
            | Self::Logarithmic(Ratios { values: limit, .. }) => usize::from(*limit > 1),
            Self::Real => 1,
            Self::Mask { items, at_least, at_most } => {
                usize::from(at_least < at_most || (1..*items).contains(at_least))
            }
            Self::Group { .. } => {
                self.parts(values).map(|(node, at)| node.sites(&values[at..])).sum()
            }
            Self::Switch { arms, .. } => {
                let inner = self.parts(values).map(|(node, at)| node.sites(&values[at..]));
                usize::from(arms.len() > 1) + inner.sum::<usize>()
            }
            Self::Repeat { at_least, at_most, .. } => {
                let inner = self.parts(values).map(|(node, at)| node.sites(&values[at..]));
                usize::from(at_least < at_most) + inner.sum::<usize>()
            }
            Self::Dag(graphs) => usize::from(graphs.has_several()),
        }
    }

    /// [`Self::sites`] where they are the same for all values: no gene is in a switch or a repeat.
    pub(super) fn constant_sites(&self) -> Option<usize> {
        match self {
            Self::Group { members, .. } => members.iter().map(Self::constant_sites).sum(),
            Self::Switch { .. } | Self::Repeat { .. } => None,
            leaf => Some(leaf.sites(&[])),
        }
    }

    /// The parts that apply, with the offset of their slots.
    pub(super) fn parts(&self, values: &[u32]) -> impl Iterator<Item = (&Node, usize)> {
        let (members, chosen): (&[Node], Option<usize>) = match self {
            Self::Group { members, .. } => (members, None),
            Self::Switch { arms, .. } => (arms, Some(values[0] as usize)),
            _ => (&[], None),
        };
        let first = usize::from(chosen.is_some());
        let members = members.iter().scan(first, |at, member| {
            let here = *at;
            *at += member.slots();
            Some((member, here))
        });
        let members = members
            .enumerate()
            .filter(move |(at, _)| chosen.is_none_or(|chosen| chosen == *at))
            .map(|(_, part)| part);
        let copies = match self {
            Self::Repeat { bodies, body, .. } => Some((body, values[0].min(*bodies) as usize)),
            _ => None,
        };
        let copies = copies.into_iter().flat_map(|(body, copies)| {
            (0..copies).map(move |copy| (body.as_ref(), 1 + copy * body.slots()))
        });
        members.chain(copies)
    }

    /// Makes one edit at the site with this number.
    pub(super) fn edit(&self, mut site: usize, rng: &mut Stream, values: &mut [u32]) {
        match self {
            Self::Choice { values: limit, ordered: true } if scale::is_wide(*limit) => {
                let moved = polynomial(scale::on_grid(values[0], *limit), rng);
                values[0] = elsewhere(values[0], scale::of_point(moved, *limit), *limit, rng);
            }
            Self::Choice { values: limit, ordered } => {
                values[0] = another(values[0], *limit, *ordered, rng);
            }
            Self::Logarithmic(ratios) => {
                let moved = polynomial(ratios.on_grid(values[0]), rng);
                values[0] = elsewhere(values[0], ratios.of_point(moved), ratios.values, rng);
            }
            Self::Real => values[0] = polynomial(values[0], rng),
            Self::Mask { items, at_least, at_most } => {
                values[0] = another_mask(values[0], *items, *at_least..=*at_most, rng);
            }
            Self::Dag(table) => table.mutate(rng, values),
            Self::Switch { arms, .. } if arms.len() > 1 && site == 0 => {
                let arm = another(values[0], arms.len() as u32, false, rng) as usize;
                values.fill(0);
                values[0] = arm as u32;
                let at = 1 + arms[..arm].iter().map(Node::slots).sum::<usize>();
                arms[arm].sample(rng, &mut values[at..at + arms[arm].slots()]);
            }
            Self::Repeat { at_least, at_most, bodies, body, .. }
                if at_least < at_most && site == 0 =>
            {
                if bodies < at_most {
                    resize_shared(*at_least, *at_most, body, rng, values);
                } else {
                    resize(*at_least, *at_most, body, rng, values);
                }
            }
            Self::Group { .. } | Self::Switch { .. } | Self::Repeat { .. } => {
                site -= self.own_sites();
                let parts: Vec<(&Node, usize)> = self.parts(values).collect();
                for (node, at) in parts {
                    let slots = &mut values[at..at + node.slots()];
                    let sites = node.sites(slots);
                    if site < sites {
                        return node.edit(site, rng, slots);
                    }
                    site -= sites;
                }
            }
        }
    }

    fn own_sites(&self) -> usize {
        match self {
            Self::Switch { arms, .. } => usize::from(arms.len() > 1),
            Self::Repeat { at_least, at_most, .. } => usize::from(at_least < at_most),
            _ => 0,
        }
    }

    /// Edits each site with this probability, the sites of what an edit has brought in excepted.
    pub(super) fn edit_each(&self, probability: f64, rng: &mut Stream, values: &mut [u32]) {
        let hit = |rng: &mut Stream| rng.random::<f64>() < probability;
        match self {
            Self::Group { members, highest: Some(highest), .. } => {
                for ((member, highest), value) in members.iter().zip(highest).zip(values) {
                    // One value alone is no site.
                    if *highest > 0 && hit(rng) {
                        member.edit(0, rng, std::slice::from_mut(value));
                    }
                }
            }
            Self::Group { members, .. } => {
                let mut at = 0;
                for member in members {
                    let end = at + member.slots();
                    member.edit_each(probability, rng, &mut values[at..end]);
                    at = end;
                }
            }
            Self::Switch { .. } | Self::Repeat { .. } => {
                if self.own_sites() > 0 && hit(rng) {
                    return self.edit(0, rng, values);
                }
                let parts: Vec<(&Node, usize)> = self.parts(values).collect();
                for (node, at) in parts {
                    node.edit_each(probability, rng, &mut values[at..at + node.slots()]);
                }
            }
            leaf => {
                if leaf.sites(values) > 0 && hit(rng) {
                    leaf.edit(0, rng, values);
                }
            }
        }
    }

    /// Draws numbers of many values anew: see [`super::Schema::drawn_near`].
    pub(super) fn draw_near(
        &self,
        half_width: f64,
        anywhere: f64,
        rng: &mut Stream,
        values: &mut [u32],
    ) {
        let near = |point: u32, rng: &mut Stream| near(point, half_width, anywhere, rng);
        match self {
            Self::Choice { values: limit, ordered: true } if scale::is_wide(*limit) => {
                let point = near(scale::on_grid(values[0], *limit), rng);
                values[0] = scale::of_point(point, *limit);
            }
            Self::Logarithmic(ratios) if scale::is_wide(ratios.values) => {
                values[0] = ratios.of_point(near(ratios.on_grid(values[0]), rng));
            }
            Self::Real => values[0] = near(values[0], rng),
            Self::Group { highest: Some(highest), .. } if scale::are_narrow(highest) => {}
            _ => {
                let parts: Vec<(&Node, usize)> = self.parts(values).collect();
                for (node, at) in parts {
                    let slots = &mut values[at..at + node.slots()];
                    node.draw_near(half_width, anywhere, rng, slots);
                }
            }
        }
    }

    /// Mixes `other` into `values`: see [`super::Schema::cross`].
    pub(super) fn cross(&self, other: &[u32], rng: &mut Stream, values: &mut [u32]) {
        match self {
            Self::Choice { values: limit, ordered: true } if scale::is_wide(*limit) => {
                let [one, other] = [values[0], other[0]].map(|at| scale::on_grid(at, *limit));
                values[0] = scale::of_point(binary_crossover(one, other, rng), *limit);
            }
            Self::Choice { .. } | Self::Logarithmic(_) | Self::Mask { .. } => {
                values[0] = either(values[0], other[0], rng);
            }
            Self::Real => values[0] = binary_crossover(values[0], other[0], rng),
            Self::Dag(table) => table.cross(other, rng, values),
            Self::Group { highest: Some(highest), .. } if scale::are_narrow(highest) => {
                for (value, other) in values.iter_mut().zip(other) {
                    *value = either(*value, *other, rng);
                }
            }
            Self::Group { members, highest: Some(_), .. } => {
                let mut crossings = [None; CROSSINGS];
                let own = values.chunks_mut(CROSSINGS).zip(other.chunks(CROSSINGS));
                for (members, (values, other)) in members.chunks(CROSSINGS).zip(own) {
                    cross_leaves(members, other, rng, values, &mut crossings);
                }
            }
            Self::Group { members, .. } => {
                let mut at = 0;
                for member in members {
                    let end = at + member.slots();
                    member.cross(&other[at..end], rng, &mut values[at..end]);
                    at = end;
                }
            }
            Self::Repeat { at_most, bodies, body, .. } if bodies < at_most => {
                cross_shared(body, other, rng, values);
            }
            Self::Switch { .. } | Self::Repeat { .. } if values[0] == other[0] => {
                self.cross_parts(other, rng, values);
            }
            Self::Switch { .. } => {
                if rng.random::<bool>() {
                    values.copy_from_slice(other);
                }
            }
            Self::Repeat { body, .. } => exchange_tails(body.slots(), other, rng, values),
        }
    }

    /// Mixes part by part where the same parts apply in both.
    fn cross_parts(&self, other: &[u32], rng: &mut Stream, values: &mut [u32]) {
        let parts: Vec<(&Node, usize)> = self.parts(values).collect();
        for (node, at) in parts {
            let end = at + node.slots();
            node.cross(&other[at..end], rng, &mut values[at..end]);
        }
    }
}

/// Mixes the one body that all copies share, and takes the number of copies from either.
fn cross_shared(body: &Node, other: &[u32], rng: &mut Stream, values: &mut [u32]) {
    let size = body.slots();
    if values[0] > 0 && other[0] > 0 {
        body.cross(&other[1..1 + size], rng, &mut values[1..1 + size]);
        if rng.random::<bool>() {
            values[0] = other[0];
        }
    } else if rng.random::<bool>() {
        values.copy_from_slice(other);
    }
}

/// Crosses different numbers of copies, of `size` slots each, at one point: the head of the one, the tail
/// and the length of the other.
fn exchange_tails(size: usize, other: &[u32], rng: &mut Stream, values: &mut [u32]) {
    let point = rng.random_range(0..=values[0].min(other[0]) as usize);
    let cut = 1 + point * size;
    if rng.random::<bool>() {
        values[cut..].copy_from_slice(&other[cut..]);
        values[0] = other[0];
    } else {
        values[1..cut].copy_from_slice(&other[1..cut]);
    }
}

/// As many crossings of numbers are drawn before their children are computed.
const CROSSINGS: usize = 32;

/// Mixes numbers and choices, at most [`CROSSINGS`].
fn cross_leaves(
    members: &[Node],
    other: &[u32],
    rng: &mut Stream,
    values: &mut [u32],
    crossings: &mut [Option<(u32, Crossing)>; CROSSINGS],
) {
    let mut drawn = 0;
    for (at, (member, other)) in members.iter().zip(other).enumerate() {
        let value = &mut values[at];
        let crossed = match member {
            Node::Real => draw_crossing(*value, *other, rng),
            Node::Choice { values: limit, ordered: true } if scale::is_wide(*limit) => {
                let [one, other] = [*value, *other].map(|at| scale::on_grid(at, *limit));
                draw_crossing(one, other, rng).map_err(|point| scale::of_point(point, *limit))
            }
            _ => Err(either(*value, *other, rng)),
        };
        match crossed {
            Ok(crossing) => {
                crossings[drawn] = Some((at as u32, crossing));
                drawn += 1;
            }
            Err(uncrossed) => *value = uncrossed,
        }
    }
    for (at, crossing) in crossings[..drawn].iter().flatten() {
        let (at, child) = (*at as usize, crossing.child());
        values[at] = match &members[at] {
            Node::Choice { values: limit, .. } => scale::of_point(child, *limit),
            _ => child,
        };
    }
}

/// One of two values with equal chance; both are at hand, so that nothing has to be guessed.
fn either(first: u32, second: u32, rng: &mut Stream) -> u32 {
    let keeps = u32::from(rng.random::<bool>()).wrapping_neg();
    (first & keeps) | (second & !keeps)
}

/// Inserts a copy (a fresh one or a duplicate) anywhere, or deletes one.
fn resize(at_least: u32, at_most: u32, body: &Node, rng: &mut Stream, values: &mut [u32]) {
    let (copies, size) = (values[0], body.slots());
    let grows = copies < at_most && (copies == at_least || rng.random::<bool>());
    let slots = &mut values[1..];
    if grows {
        let at = rng.random_range(0..=copies as usize) * size;
        slots.copy_within(at..copies as usize * size, at + size);
        let fresh = copies == 0 || rng.random::<bool>();
        if fresh {
            slots[at..at + size].fill(0);
            body.sample(rng, &mut slots[at..at + size]);
        } else if at == copies as usize * size {
            // Behind the last copy there is nothing to move, so the duplicate is made here.
            slots.copy_within(at - size..at, at);
        }
        values[0] = copies + 1;
    } else {
        let at = rng.random_range(0..copies as usize) * size;
        slots.copy_within(at + size..copies as usize * size, at);
        slots[(copies as usize - 1) * size..copies as usize * size].fill(0);
        values[0] = copies - 1;
    }
}

/// One copy more or fewer of those that have one body in common, which is drawn with the first of them.
fn resize_shared(at_least: u32, at_most: u32, body: &Node, rng: &mut Stream, values: &mut [u32]) {
    let copies = values[0];
    if copies < at_most && (copies == at_least || rng.random::<bool>()) {
        if copies == 0 {
            body.sample(rng, &mut values[1..=body.slots()]);
        }
        values[0] = copies + 1;
    } else {
        if copies == 1 {
            values.fill(0);
        }
        values[0] = copies - 1;
    }
}

/// Another value below `limit`, which is above 1: any with equal chance, or where values are
/// ordered most often a neighbour, a step of k values being half as likely as one of k - 1.
fn another(value: u32, limit: u32, ordered: bool, rng: &mut Stream) -> u32 {
    if !ordered {
        let drawn = rng.random_range(0..limit - 1);
        return drawn + u32::from(drawn >= value);
    }
    let (below, above) = (value, limit - 1 - value);
    let up = above > 0 && (below == 0 || rng.random::<bool>());
    let room = if up { above } else { below };
    let step = (rng.next_u32().trailing_ones() + 1).min(room);
    if up { value + step } else { value - step }
}

/// `moved`, or another value close by if that is where `value` is.
fn elsewhere(value: u32, moved: u32, limit: u32, rng: &mut Stream) -> u32 {
    if moved == value { another(value, limit, true, rng) } else { moved }
}

/// A point of the grid: any with the probability `anywhere`, else one at most this share of the range away,
/// the density falling linearly. What would lie beyond an end is reflected there.
fn near(point: u32, half_width: f64, anywhere: f64, rng: &mut Stream) -> u32 {
    if rng.random::<f64>() < anywhere {
        return rng.next_u32();
    }
    let moved = half_width * (rng.random::<f64>() - rng.random::<f64>());
    let inside = (f64::from(point) + moved * REAL_MAX).abs();
    inside.min(2.0 * REAL_MAX - inside).max(0.0) as u32
}

fn another_mask(
    mask: u32,
    items: u32,
    sizes: std::ops::RangeInclusive<u32>,
    rng: &mut Stream,
) -> u32 {
    let flipped = |mask: u32, bit: u32| mask ^ (1 << bit);
    let one = flipped(mask, rng.random_range(0..items));
    if sizes.contains(&one.count_ones()) {
        return one;
    }
    let pick = |set: u32, rng: &mut Stream| {
        let nth = rng.random_range(0..set.count_ones() as usize);
        (0..items).filter(|bit| set >> bit & 1 == 1).nth(nth).unwrap_or(0)
    };
    let absent = !mask & (((1u64 << items) - 1) as u32);
    if mask == 0 || absent == 0 {
        return flipped(mask, rng.random_range(0..items));
    }
    let (out, into) = (pick(mask, rng), pick(absent, rng));
    flipped(flipped(mask, out), into)
}
