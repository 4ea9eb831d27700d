//! Who leaves a population next, found again after a change without looking at everybody: a
//! tournament of all slots whose rounds are kept, O(log N) for each member that has changed. It must
//! not know fronts.

use super::table::Table;

const NOBODY: u32 = u32::MAX;

/// A tournament by [`Table::worse`].
#[derive(Debug, Clone, Default)]
pub(super) struct Tournament {
    /// The winner of each node of a binary tree whose root is node 1; the leaves are the slots.
    winners: Vec<u32>,
}

impl Tournament {
    /// Plays all rounds.
    pub(super) fn play(&mut self, table: &Table) {
        // Room for one more, so that a population that grows by one and shrinks again keeps its tree.
        let leaves = (table.len() + 1).next_power_of_two();
        self.winners.clear();
        self.winners.resize(leaves, NOBODY);
        self.winners.extend(0..leaves as u32);
        for node in (1..leaves).rev() {
            self.winners[node] = self.winner(table, node);
        }
    }

    /// Plays again what the member at `slot` takes, or took, part in; false if there is no such slot.
    pub(super) fn replay(&mut self, table: &Table, slot: u32) -> bool {
        let mut node = self.winners.len() / 2 + slot as usize;
        if node >= self.winners.len() {
            return false;
        }
        while node > 1 {
            node /= 2;
            let (before, now) = (self.winners[node], self.winner(table, node));
            self.winners[node] = now;
            // Above, nothing was compared with the member, nor is now.
            if before == now && now != slot {
                break;
            }
        }
        true
    }

    /// The slot of the member that leaves first.
    pub(super) fn first(&self) -> Option<u32> {
        self.winners.get(1).copied()
    }

    fn winner(&self, table: &Table, node: usize) -> u32 {
        let (a, b) = (self.winners[2 * node], self.winners[2 * node + 1]);
        let nobody = |slot: u32| slot as usize >= table.len();
        if nobody(b) || (!nobody(a) && table.worse(a, b).is_le()) { a } else { b }
    }
}
