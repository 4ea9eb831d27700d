//! The members of a population by slot: what is known of each, and what its front says of it. It
//! must not know how fronts are kept.

use std::cmp::Ordering;

use super::Scored;
use crate::id::Ordinal;
use crate::pareto::dominance::{Dominance, constrained_compare};
use crate::space::Genotype;

/// The members' values by slot. Slots are dense; the last one fills the hole of a removed one.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) width: usize,
    pub(super) values: Vec<f64>,
    pub(super) violations: Vec<f64>,
    pub(super) ids: Vec<Ordinal>,
    pub(super) genotypes: Vec<Genotype>,
    pub(super) ranks: Vec<u32>,
    /// The share of each objective in the crowding distance, as the values are laid out.
    pub(super) shares: Vec<f64>,
    /// Crowding distances, of fronts that have written them.
    pub(super) crowding: Vec<f64>,
    /// The slots whose place in the order of [`Table::worse`] may have changed, if anybody asks.
    pub(super) changed: Option<Vec<u32>>,
    /// A buffer for bringing members into an order.
    pub(super) keyed: Vec<u128>,
}

impl Table {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            values: Vec::new(),
            violations: Vec::new(),
            ids: Vec::new(),
            genotypes: Vec::new(),
            ranks: Vec::new(),
            shares: Vec::new(),
            crowding: Vec::new(),
            changed: None,
            keyed: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn push(&mut self, member: Scored) -> u32 {
        let slot = self.ids.len() as u32;
        // Adding zero turns a negative zero into the positive one, as the Pareto kernels do.
        self.values.extend(member.objectives.iter().map(|value| value + 0.0));
        self.violations.push(member.violation);
        self.ids.push(member.id);
        self.genotypes.push(member.genotype);
        self.ranks.push(0);
        self.shares.resize(self.values.len(), 0.0);
        self.crowding.push(0.0);
        slot
    }

    pub(super) fn swap_remove(&mut self, slot: u32) {
        let (hole, last) = (slot as usize, self.ids.len() - 1);
        for rows in [&mut self.values, &mut self.shares] {
            rows.copy_within(last * self.width.., hole * self.width);
            rows.truncate(last * self.width);
        }
        self.violations.swap_remove(hole);
        self.ids.swap_remove(hole);
        self.genotypes.swap_remove(hole);
        self.ranks.swap_remove(hole);
        self.crowding.swap_remove(hole);
        self.note(slot);
        self.note(last as u32);
    }

    #[inline]
    pub(super) fn row(&self, slot: u32) -> &[f64] {
        &self.values[slot as usize * self.width..][..self.width]
    }

    #[inline]
    pub(super) fn value(&self, slot: u32, objective: usize) -> f64 {
        self.values[slot as usize * self.width + objective]
    }

    pub(super) fn is_feasible(&self, slot: u32) -> bool {
        self.violations[slot as usize] == 0.0
    }

    pub(super) fn dominates(&self, a: u32, b: u32) -> bool {
        let (av, bv) = (self.violations[a as usize], self.violations[b as usize]);
        constrained_compare(self.row(a), av, self.row(b), bv) == Dominance::First
    }

    /// As [`Self::dominates`], of two feasible members; without branches, which a processor would
    /// guess wrong.
    #[inline]
    pub(super) fn dominates_feasibly(&self, a: u32, b: u32) -> bool {
        let pairs = self.row(a).iter().zip(self.row(b));
        let (worse, better) = pairs
            .fold((false, false), |(worse, better), (x, y)| (worse | (x > y), better | (x < y)));
        better & !worse
    }

    /// Along an objective, members of equal value by their numbers.
    #[cfg(test)]
    pub(super) fn along(&self, objective: usize, a: u32, b: u32) -> Ordering {
        let (x, y) = (self.value(a, objective), self.value(b, objective));
        x.total_cmp(&y).then_with(|| self.ids[a as usize].cmp(&self.ids[b as usize]))
    }

    /// The order in which members leave, the first one first: the worst rank, the least crowding
    /// distance as written, the youngest.
    pub(super) fn worse(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (a as usize, b as usize);
        self.ranks[b]
            .cmp(&self.ranks[a])
            .then_with(|| self.crowding[a].total_cmp(&self.crowding[b]))
            .then_with(|| self.ids[b].cmp(&self.ids[a]))
    }

    /// Says that the place of a member in the order of [`Self::worse`] may have changed.
    pub(super) fn note(&mut self, slot: u32) {
        // Of more changes than members nobody wants the list.
        self.changed.take_if(|changed| changed.len() > self.ids.len());
        if let Some(changed) = &mut self.changed {
            changed.push(slot);
        }
    }

    /// Makes the crowding distance of a member the sum of its shares.
    pub(super) fn sum_shares(&mut self, slot: u32) {
        let shares = &self.shares[slot as usize * self.width..][..self.width];
        let sum = shares.iter().fold(0.0, |sum, share| sum + share);
        self.set_crowding(slot, sum);
    }

    /// Sets the crowding distance of a member.
    pub(super) fn set_crowding(&mut self, slot: u32, distance: f64) {
        self.crowding[slot as usize] = distance;
        self.note(slot);
    }
}

/// Where members are that were at slots 0, 1, ... before some were removed.
#[derive(Debug)]
pub(super) struct Places {
    now: Vec<u32>,
    was: Vec<u32>,
}

/// In place of the slot of a member that is gone.
const GONE: u32 = u32::MAX;

impl Places {
    /// Everybody where they are.
    pub(super) fn of(members: usize) -> Self {
        let now: Vec<u32> = (0..members as u32).collect();
        Self { was: now.clone(), now }
    }

    /// Where the member is now that was at `slot`; `None` if it is gone.
    pub(super) fn now(&self, slot: u32) -> Option<u32> {
        Some(self.now[slot as usize]).filter(|slot| *slot != GONE)
    }

    /// Takes the members out of the table that were at these slots, all different and present.
    pub(super) fn remove(&mut self, table: &mut Table, members: impl Iterator<Item = u32>) {
        let mut leaving: Vec<u32> = members.map(|slot| self.now[slot as usize]).collect();
        // From the highest slot down, so that no slot yet to come is used to fill a hole.
        leaving.sort_unstable_by(|a, b| b.cmp(a));
        for slot in leaving {
            table.swap_remove(slot);
            let gone = self.was.swap_remove(slot as usize);
            self.now[gone as usize] = GONE;
            if let Some(&moved) = self.was.get(slot as usize) {
                self.now[moved as usize] = slot;
            }
        }
    }
}
