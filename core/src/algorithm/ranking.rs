//! A population kept in its non-dominated fronts while members come and go, so that a tournament
//! never sorts. It must not know how members are bred, nor when one has to leave.
//!
//! Levels follow Li, Deb, Zhang and Zhang (2017), "Efficient nondomination level update method for
//! steady-state evolutionary multiobjective optimization": a newcomer pushes down only those it
//! beats, they push down only those they beat, and the other way round on removal. Each front
//! keeps its members sorted by every objective, so that a crowding distance needs no sorting
//! either. Domination is constrained domination (Deb et al. 2002, section VI).

use std::cmp::Ordering;

use super::Outcome;
use crate::id::Ordinal;
use crate::pareto::Points;
use crate::pareto::dominance::{Dominance, constrained_compare};
use crate::pareto::sorting::non_dominated_sort;
use crate::space::Genotype;

/// An evaluated candidate: what breeding and survival need of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scored {
    /// Its number.
    pub(super) id: Ordinal,
    /// Its genes.
    pub(super) genotype: Genotype,
    /// Minimised objectives, finite.
    pub(super) objectives: Vec<f64>,
    /// Summed normalised constraint violation, finite; 0 is feasible.
    pub(super) violation: f64,
}

impl Scored {
    /// The candidate with its score, `None` if it is lost or its score is of another length than
    /// `width` or not finite: such a candidate is never a parent.
    pub(super) fn new(
        id: Ordinal,
        genotype: Genotype,
        outcome: Outcome<'_>,
        width: usize,
    ) -> Option<Self> {
        let Outcome::Scored { objectives, violation } = outcome else { return None };
        let sound = objectives.len() == width
            && objectives.iter().all(|value| value.is_finite())
            && violation.is_finite();
        sound.then(|| Self {
            id,
            genotype,
            objectives: objectives.to_vec(),
            violation: violation.max(0.0),
        })
    }
}

/// The members' values by slot. Slots are dense; the last one fills the hole of a removed one.
#[derive(Debug, Clone)]
struct Table {
    width: usize,
    values: Vec<f64>,
    violations: Vec<f64>,
    ids: Vec<Ordinal>,
    genotypes: Vec<Genotype>,
    ranks: Vec<u32>,
}

impl Table {
    fn push(&mut self, member: Scored) -> u32 {
        let slot = self.ids.len() as u32;
        // Adding zero turns a negative zero into the positive one, as the Pareto kernels do.
        self.values.extend(member.objectives.iter().map(|value| value + 0.0));
        self.violations.push(member.violation);
        self.ids.push(member.id);
        self.genotypes.push(member.genotype);
        self.ranks.push(0);
        slot
    }

    fn swap_remove(&mut self, slot: u32) {
        let (hole, last) = (slot as usize, self.ids.len() - 1);
        self.values.copy_within(last * self.width.., hole * self.width);
        self.values.truncate(last * self.width);
        self.violations.swap_remove(hole);
        self.ids.swap_remove(hole);
        self.genotypes.swap_remove(hole);
        self.ranks.swap_remove(hole);
    }

    fn row(&self, slot: u32) -> &[f64] {
        &self.values[slot as usize * self.width..][..self.width]
    }

    fn value(&self, slot: u32, objective: usize) -> f64 {
        self.values[slot as usize * self.width + objective]
    }

    fn dominates(&self, a: u32, b: u32) -> bool {
        let (av, bv) = (self.violations[a as usize], self.violations[b as usize]);
        constrained_compare(self.row(a), av, self.row(b), bv) == Dominance::First
    }

    fn along(&self, objective: usize, a: u32, b: u32) -> Ordering {
        let (x, y) = (self.value(a, objective), self.value(b, objective));
        x.total_cmp(&y).then_with(|| self.ids[a as usize].cmp(&self.ids[b as usize]))
    }
}

/// One front: its members' slots, once for each objective, ascending by (value, id).
#[derive(Debug, Clone)]
struct Front {
    orders: Vec<Vec<u32>>,
}

impl Front {
    fn of(table: &Table, members: &[u32]) -> Self {
        let sorted = |objective| {
            let mut order = members.to_vec();
            order.sort_unstable_by(|&a, &b| table.along(objective, a, b));
            order
        };
        Self { orders: (0..table.width).map(sorted).collect() }
    }

    fn members(&self) -> &[u32] {
        self.orders.first().map_or(&[], Vec::as_slice)
    }

    fn position(&self, table: &Table, objective: usize, slot: u32) -> usize {
        self.orders[objective].partition_point(|&other| table.along(objective, other, slot).is_lt())
    }

    fn add(&mut self, table: &Table, slot: u32) {
        for objective in 0..table.width {
            let at = self.position(table, objective, slot);
            self.orders[objective].insert(at, slot);
        }
    }

    fn remove(&mut self, table: &Table, slot: u32) {
        for objective in 0..table.width {
            let at = self.position(table, objective, slot);
            self.orders[objective].remove(at);
        }
    }

    fn relabel(&mut self, table: &Table, from: u32, to: u32) {
        for objective in 0..table.width {
            let at = self.position(table, objective, from);
            self.orders[objective][at] = to;
        }
    }

    /// The lowest and highest value of an objective, `None` if they are the same.
    fn range(&self, table: &Table, objective: usize) -> Option<(f64, f64)> {
        let order = &self.orders[objective];
        let min = table.value(*order.first()?, objective);
        let max = table.value(*order.last()?, objective);
        (min < max).then_some((min, max))
    }

    /// The share of one objective in the crowding distance of the member at `at` of its order.
    fn share(&self, table: &Table, objective: usize, at: usize, (min, max): (f64, f64)) -> f64 {
        let order = &self.orders[objective];
        if at == 0 || at + 1 == order.len() {
            return f64::INFINITY;
        }
        // Halved where the range itself would overflow, which leaves the quotient the same.
        let scale = if (max - min).is_finite() { 1.0 } else { 0.5 };
        let next = table.value(order[at + 1], objective) * scale;
        let previous = table.value(order[at - 1], objective) * scale;
        (next - previous) / (max * scale - min * scale)
    }

    /// The crowding distance of one member (Deb et al. 2002, section III-B).
    fn crowding(&self, table: &Table, slot: u32) -> f64 {
        if self.members().len() <= 2 {
            return f64::INFINITY;
        }
        let share = |objective| {
            let range = self.range(table, objective)?;
            Some(self.share(table, objective, self.position(table, objective, slot), range))
        };
        (0..table.width).filter_map(share).fold(0.0, |sum, share| sum + share)
    }

    /// The crowding distances of all members with their slots, in no particular order.
    fn crowding_of_all(&self, table: &Table) -> Vec<(f64, u32)> {
        let members = self.members();
        if members.len() <= 2 {
            return members.iter().map(|&slot| (f64::INFINITY, slot)).collect();
        }
        let mut sums = vec![0.0; table.ids.len()];
        for objective in 0..table.width {
            let Some(range) = self.range(table, objective) else { continue };
            for (at, &slot) in self.orders[objective].iter().enumerate() {
                sums[slot as usize] += self.share(table, objective, at, range);
            }
        }
        members.iter().map(|&slot| (sums[slot as usize], slot)).collect()
    }
}

/// A population in its non-dominated fronts.
#[derive(Debug, Clone)]
pub(super) struct RankedPopulation {
    table: Table,
    fronts: Vec<Front>,
}

impl RankedPopulation {
    /// An empty population of members with `width` objectives each.
    pub(super) fn new(width: usize) -> Self {
        let table = Table {
            width,
            values: Vec::new(),
            violations: Vec::new(),
            ids: Vec::new(),
            genotypes: Vec::new(),
            ranks: Vec::new(),
        };
        Self { table, fronts: Vec::new() }
    }

    /// The number of objectives of each member.
    pub(super) fn width(&self) -> usize {
        self.table.width
    }

    /// The number of members.
    pub(super) fn len(&self) -> usize {
        self.table.ids.len()
    }

    /// Whether there is no member.
    pub(super) fn is_empty(&self) -> bool {
        self.table.ids.is_empty()
    }

    /// The id of the member at `slot`, which is below [`Self::len`].
    pub(super) fn id(&self, slot: usize) -> Ordinal {
        self.table.ids[slot]
    }

    /// The minimised objectives of the member at `slot`, which is below [`Self::len`].
    pub(super) fn objectives(&self, slot: u32) -> &[f64] {
        self.table.row(slot)
    }

    /// The violation of the member at `slot`, which is below [`Self::len`].
    pub(super) fn violation(&self, slot: usize) -> f64 {
        self.table.violations[slot]
    }

    /// The slots of each front, the best front first.
    pub(super) fn fronts(&self) -> impl DoubleEndedIterator<Item = &[u32]> {
        self.fronts.iter().map(Front::members)
    }

    /// The genotype of the member at `slot`, which is below [`Self::len`].
    pub(super) fn genotype(&self, slot: usize) -> &Genotype {
        &self.table.genotypes[slot]
    }

    /// The members' ids, ascending.
    pub(super) fn ids(&self) -> Vec<Ordinal> {
        let mut ids = self.table.ids.clone();
        ids.sort_unstable();
        ids
    }

    /// Orders two members by (rank, crowding distance, id): the lesser is the better parent.
    pub(super) fn compare(&self, a: usize, b: usize) -> Ordering {
        let ranks = &self.table.ranks;
        ranks[a]
            .cmp(&ranks[b])
            .then_with(|| self.crowding(b).total_cmp(&self.crowding(a)))
            .then_with(|| self.table.ids[a].cmp(&self.table.ids[b]))
    }

    fn crowding(&self, slot: usize) -> f64 {
        self.fronts[self.table.ranks[slot] as usize].crowding(&self.table, slot as u32)
    }

    /// Adds many members at once, with the same result as one [`Self::insert`] each.
    pub(super) fn extend(&mut self, members: impl IntoIterator<Item = Scored>) {
        for member in members {
            self.table.push(member);
        }
        let table = &mut self.table;
        let rows = table.values.chunks_exact(table.width.max(1));
        let points = Points::try_from_rows(table.width, rows)
            .expect("the members' values are finite, as Scored::new ensures");
        let fronts = non_dominated_sort(&points, Some(&table.violations))
            .expect("the members' violations are finite and not negative, as Scored::new ensures");
        table.ranks.copy_from_slice(fronts.ranks());
        let front = |members: &[usize]| {
            let slots: Vec<u32> = members.iter().map(|&slot| slot as u32).collect();
            Front::of(table, &slots)
        };
        self.fronts = fronts.iter().map(front).collect();
    }

    /// Adds a member whose score has [`Self::width`] objectives, as [`Scored::new`] ensures.
    pub(super) fn insert(&mut self, member: Scored) {
        let slot = self.table.push(member);
        let table = &mut self.table;
        // If a member of a front beats the newcomer, then so does one of every earlier front.
        let mut at = self.fronts.partition_point(|front| {
            front.members().iter().any(|&other| table.dominates(other, slot))
        });
        let mut arriving = vec![slot];
        while let Some(front) = self.fronts.get_mut(at) {
            let beaten = |&&other: &&u32| arriving.iter().any(|&new| table.dominates(new, other));
            let leaving: Vec<u32> = front.members().iter().filter(beaten).copied().collect();
            if leaving.len() == front.members().len() {
                break;
            }
            leaving.iter().for_each(|&slot| front.remove(table, slot));
            for slot in arriving {
                front.add(table, slot);
                table.ranks[slot as usize] = at as u32;
            }
            if leaving.is_empty() {
                return;
            }
            arriving = leaving;
            at += 1;
        }
        // Everyone of this front was beaten, hence everyone below moves down by one.
        self.fronts.insert(at, Front::of(&self.table, &arriving));
        self.renumber(at);
    }

    /// Removes the member with this id, if there is one.
    pub(super) fn remove(&mut self, id: Ordinal) {
        if let Some(slot) = self.table.ids.iter().position(|&other| other == id) {
            self.remove_slot(slot as u32);
        }
    }

    /// Drops the worst members until `keep` are left: whole last fronts, then the most crowded of
    /// the front that does not fit (Deb et al. 2002), the larger id first among equals.
    pub(super) fn truncate(&mut self, keep: usize) {
        while self.len() > keep {
            let Some(last) = self.fronts.last() else { return };
            let excess = self.len() - keep;
            let mut leaving = last.crowding_of_all(&self.table);
            if excess < leaving.len() {
                let ids = &self.table.ids;
                leaving.select_nth_unstable_by(excess - 1, |(x, a), (y, b)| {
                    x.total_cmp(y).then_with(|| ids[*b as usize].cmp(&ids[*a as usize]))
                });
                leaving.truncate(excess);
            }
            self.remove_slots(leaving.into_iter().map(|(_, slot)| slot).collect());
        }
    }

    /// Removes the members at these slots, all different and below [`Self::len`].
    pub(super) fn remove_slots(&mut self, mut leaving: Vec<u32>) {
        // From the highest slot down, so that no slot yet to come is used to fill a hole.
        leaving.sort_unstable_by(|a, b| b.cmp(a));
        leaving.into_iter().for_each(|slot| self.remove_slot(slot));
    }

    fn remove_slot(&mut self, slot: u32) {
        self.detach(slot);
        let last = self.len() as u32 - 1;
        if slot != last {
            let front = self.table.ranks[last as usize] as usize;
            self.fronts[front].relabel(&self.table, last, slot);
        }
        self.table.swap_remove(slot);
    }

    /// Takes a member out of the fronts and lets those rise that only it held down.
    fn detach(&mut self, slot: u32) {
        let table = &mut self.table;
        let mut at = table.ranks[slot as usize] as usize;
        self.fronts[at].remove(table, slot);
        let mut gone = vec![slot];
        while !self.fronts[at].members().is_empty() {
            let Some(below) = self.fronts.get(at + 1) else { return };
            let stays = self.fronts[at].members();
            let rises = |&&other: &&u32| {
                gone.iter().any(|&slot| table.dominates(slot, other))
                    && !stays.iter().any(|&slot| table.dominates(slot, other))
            };
            let rising: Vec<u32> = below.members().iter().filter(rises).copied().collect();
            if rising.is_empty() {
                return;
            }
            for &slot in &rising {
                self.fronts[at + 1].remove(table, slot);
                self.fronts[at].add(table, slot);
                table.ranks[slot as usize] = at as u32;
            }
            gone = rising;
            at += 1;
        }
        // Nobody is left in this front, hence everyone below moves up by one.
        self.fronts.remove(at);
        self.renumber(at);
    }

    fn renumber(&mut self, from: usize) {
        for (rank, front) in self.fronts.iter().enumerate().skip(from) {
            for &slot in front.members() {
                self.table.ranks[slot as usize] = rank as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests;
