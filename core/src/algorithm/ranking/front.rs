//! One front: its members in the order of every objective, and their crowding distances. It must not
//! know other fronts.
//!
//! Crowding distances are kept in the table as long as changes concern neighbours only. Once an end of a
//! large front has moved, which concerns all members, they are computed when asked for, one by one or,
//! by [`Front::freshen`], all at once.
//!
//! All members are feasible, or all have the same violation: feasible ones dominate the others, and
//! of these the one with the smaller violation does.

use super::table::Table;
use crate::pareto::sorting::ascending_key;

/// In a front of at most so many members every crowding distance is infinite.
const ENDS: usize = 2;
/// In a front of at most so many members all crowding distances are computed anew when an end moves.
const SMALL: usize = 16;

/// The members' slots, once for each objective, ascending by (value, id).
#[derive(Debug, Clone)]
pub(super) struct Front {
    orders: Vec<Vec<u32>>,
    /// Whether the table has the crowding distances.
    fresh: bool,
}

impl Front {
    /// The front of `members`; writes their crowding distances.
    pub(super) fn of(table: &mut Table, members: impl Iterator<Item = u32>) -> Self {
        let mut keyed = std::mem::take(&mut table.keyed);
        keyed.clear();
        keyed.extend(members.map(u128::from));
        let mut orders = Vec::with_capacity(table.width);
        for objective in 0..table.width {
            // What is sorted here is in the order of the objective before. Of two objectives that is
            // the reverse order, which a sort recognises.
            for key in &mut keyed {
                let slot = *key as u32;
                let (value, id) = (table.value(slot, objective), table.ids[slot as usize].0);
                *key = u128::from(ascending_key(value)) << 64
                    | u128::from(id) << 32
                    | u128::from(slot);
            }
            keyed.sort_unstable();
            orders.push(keyed.iter().map(|key| *key as u32).collect());
        }
        table.keyed = keyed;
        let mut front = Self { orders, fresh: false };
        front.freshen(table);
        front
    }

    /// The front of those members that `name` gives a slot, which is then their new one; writes the
    /// crowding distances.
    pub(super) fn renamed(mut self, table: &mut Table, name: impl Fn(u32) -> Option<u32>) -> Self {
        for order in &mut self.orders {
            let mut kept = 0;
            for at in 0..order.len() {
                if let Some(slot) = name(order[at]) {
                    order[kept] = slot;
                    kept += 1;
                }
            }
            order.truncate(kept);
        }
        self.fresh = false;
        self.freshen(table);
        self
    }

    /// The slots of the members.
    pub(super) fn members(&self) -> &[u32] {
        self.orders.first().map_or(&[], Vec::as_slice)
    }

    fn position(&self, table: &Table, objective: usize, slot: u32) -> usize {
        let (value, id) = (table.value(slot, objective), table.ids[slot as usize]);
        self.orders[objective].partition_point(|&other| {
            let other_value = table.value(other, objective);
            other_value < value || (other_value == value && table.ids[other as usize] < id)
        })
    }

    /// Adds a member.
    pub(super) fn add(&mut self, table: &mut Table, slot: u32) {
        for objective in 0..table.width {
            let before = self.range(table, objective);
            let at = self.position(table, objective, slot);
            self.orders[objective].insert(at, slot);
            self.share_again(table, objective, before, at.saturating_sub(1)..at + 2);
        }
        self.sum_again(table);
    }

    /// Takes out a member.
    pub(super) fn remove(&mut self, table: &mut Table, slot: u32) {
        for objective in 0..table.width {
            let before = self.range(table, objective);
            let at = self.position(table, objective, slot);
            self.orders[objective].remove(at);
            self.share_again(table, objective, before, at.saturating_sub(1)..at + 1);
        }
        self.sum_again(table);
    }

    /// Says that a member will be at another slot.
    pub(super) fn relabel(&mut self, table: &Table, from: u32, to: u32) {
        for objective in 0..table.width {
            let at = self.position(table, objective, from);
            self.orders[objective][at] = to;
        }
    }

    /// Whether a member dominates the one at `slot`, which is in no front or in a later one.
    pub(super) fn beats(&self, table: &Table, slot: u32) -> bool {
        let Some(&first) = self.members().first() else { return false };
        if !(table.is_feasible(first) && table.is_feasible(slot)) {
            return table.dominates(first, slot);
        }
        // Those that dominate it are no worse in each objective, so it suffices to look at those no
        // worse in the one where they are fewest.
        let no_worse = |objective| {
            let bound = table.value(slot, objective);
            let order = &self.orders[objective];
            &order[..order.partition_point(|&other| table.value(other, objective) <= bound)]
        };
        if table.width == 2 {
            // The better a member is in the one objective, the worse in the other.
            let last = no_worse(0).last();
            return last.is_some_and(|&other| table.dominates_feasibly(other, slot));
        }
        let fewest = (0..table.width).map(no_worse).min_by_key(|members| members.len());
        fewest.unwrap_or(&[]).iter().any(|&other| table.dominates_feasibly(other, slot))
    }

    /// The members that one of `others` dominates; those are of one front, or one alone.
    pub(super) fn beaten_by(&self, table: &Table, others: &[u32]) -> Vec<u32> {
        let (Some(&first), Some(&other)) = (self.members().first(), others.first()) else {
            return Vec::new();
        };
        if !(table.is_feasible(first) && table.is_feasible(other)) {
            let all = table.dominates(other, first);
            return if all { self.members().to_vec() } else { Vec::new() };
        }
        let best = |objective| {
            let values = others.iter().map(|&other| table.value(other, objective));
            values.fold(f64::INFINITY, f64::min)
        };
        let no_better = |objective| {
            let bound = best(objective);
            let order = &self.orders[objective];
            &order[order.partition_point(|&member| table.value(member, objective) < bound)..]
        };
        let candidates = if table.width == 2 {
            let (members, bound) = (no_better(0), best(1));
            &members[..members.partition_point(|&member| table.value(member, 1) >= bound)]
        } else {
            let fewest = (0..table.width).map(no_better).min_by_key(|members| members.len());
            fewest.unwrap_or(&[])
        };
        let beaten =
            |&&member: &&u32| others.iter().any(|&other| table.dominates_feasibly(other, member));
        candidates.iter().filter(beaten).copied().collect()
    }

    /// The lowest and highest value of an objective, `None` if they are the same.
    fn range(&self, table: &Table, objective: usize) -> Option<(f64, f64)> {
        let order = &self.orders[objective];
        let min = table.value(*order.first()?, objective);
        let max = table.value(*order.last()?, objective);
        (min < max).then_some((min, max))
    }

    /// The share of an objective in the crowding distance of the member at `at` of its order.
    fn share(&self, table: &Table, objective: usize, at: usize, range: Option<(f64, f64)>) -> f64 {
        let Some((min, max)) = range else { return 0.0 };
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

    /// The crowding distance of a member (Deb et al. 2002, section III-B).
    pub(super) fn crowding(&self, table: &Table, slot: u32) -> f64 {
        if self.fresh {
            return table.crowding[slot as usize];
        }
        if self.members().len() <= ENDS {
            return f64::INFINITY;
        }
        let share = |objective| {
            let range = self.range(table, objective)?;
            Some(self.share(table, objective, self.position(table, objective, slot), Some(range)))
        };
        (0..table.width).filter_map(share).fold(0.0, |sum, share| sum + share)
    }

    /// Writes the crowding distances of all members into the table, unless it has them.
    pub(super) fn freshen(&mut self, table: &mut Table) {
        if std::mem::replace(&mut self.fresh, true) {
            return;
        }
        for objective in 0..table.width {
            let range = self.range(table, objective);
            for (at, &slot) in self.orders[objective].iter().enumerate() {
                table.shares[slot as usize * table.width + objective] =
                    self.share(table, objective, at, range);
            }
        }
        for &slot in self.members() {
            if self.members().len() <= ENDS {
                table.set_crowding(slot, f64::INFINITY);
            } else {
                table.sum_shares(slot);
            }
        }
    }

    /// Writes the shares at some places of an order and the sums that they change, unless the range
    /// is another than before.
    fn share_again(
        &mut self,
        table: &mut Table,
        objective: usize,
        before: Option<(f64, f64)>,
        places: std::ops::Range<usize>,
    ) {
        let range = self.range(table, objective);
        self.fresh &= range == before;
        if !self.fresh {
            return;
        }
        for at in places.start..places.end.min(self.orders[objective].len()) {
            let slot = self.orders[objective][at];
            table.shares[slot as usize * table.width + objective] =
                self.share(table, objective, at, range);
            table.sum_shares(slot);
        }
    }

    /// Writes all crowding distances of a front so small that it may have begun or ceased to have
    /// infinite ones only, or that this costs little.
    fn sum_again(&mut self, table: &mut Table) {
        let members = self.members().len();
        if members <= ENDS + 1 || (members <= SMALL && !self.fresh) {
            self.fresh = false;
            self.freshen(table);
        }
    }

    /// Fails unless every order holds the same members and ascends.
    #[cfg(test)]
    pub(super) fn assert_ordered(&self, table: &Table) {
        let sorted = |order: &[u32]| {
            let mut slots = order.to_vec();
            slots.sort_unstable();
            slots
        };
        assert_eq!(self.orders.len(), table.width);
        for (objective, order) in self.orders.iter().enumerate() {
            assert!(order.is_sorted_by(|&a, &b| table.along(objective, a, b).is_lt()));
            assert_eq!(sorted(order), sorted(self.members()));
        }
    }
}
