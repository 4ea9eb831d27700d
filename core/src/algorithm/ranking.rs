//! A population kept in its non-dominated fronts while members come and go, so that a tournament
//! never sorts. It must not know how members are bred, nor when one has to leave.
//!
//! Levels follow Li, Deb, Zhang and Zhang (2017), "Efficient nondomination level update method for
//! steady-state evolutionary multiobjective optimization": a newcomer pushes down only those it
//! beats, they push down only those they beat, and the other way round on removal. Each front
//! keeps its members sorted by every objective, so that only part of them is compared with a
//! newcomer, and every crowding distance is known: a change of a front concerns the neighbours, or
//! all members where it moves an end. Domination is constrained domination (Deb et al. 2002, section
//! VI).
//!
//! Breeding draws slots, so the order of slots is part of what a replay has to find again.

mod front;
mod objectives;
mod table;
mod worst;

use std::cmp::Ordering;

use super::Outcome;
use crate::id::Ordinal;
use crate::pareto::Points;
use crate::pareto::sorting::{Fronts, Sorter};
use crate::space::Genotype;
use front::Front;
pub(super) use objectives::Objectives;
use table::{Places, Table};
use worst::Tournament;

/// An evaluated candidate: what breeding and survival need of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scored {
    /// Its number.
    pub(super) id: Ordinal,
    /// Its genes.
    pub(super) genotype: Genotype,
    /// Minimised objectives, finite.
    pub(super) objectives: Objectives,
    /// Summed normalised constraint violation, finite; 0 is feasible.
    pub(super) violation: f64,
}

impl Scored {
    /// The candidate with its score, `None` if it is lost or its score is of another length than
    /// `width` or not finite: such a candidate is never a parent. One without objectives, since it broke a
    /// constraint early, has [`UNKNOWN`] for each.
    pub(super) fn new(
        id: Ordinal,
        genotype: Genotype,
        outcome: Outcome<'_>,
        width: usize,
    ) -> Option<Self> {
        let (objectives, violation) = match outcome {
            Outcome::Scored { objectives, violation } => (objectives, violation),
            Outcome::Violating { violation } => (&*vec![UNKNOWN; width], violation),
            _ => return None,
        };
        let sound = objectives.len() == width
            && objectives.iter().all(|value| value.is_finite())
            && violation.is_finite();
        sound.then(|| Self {
            id,
            genotype,
            objectives: Objectives::of(objectives),
            violation: violation.max(0.0),
        })
    }
}

/// An objective that nobody has measured: no better than any, and sums of it stay finite. It decides nothing but
/// between members of equal violation.
pub(super) const UNKNOWN: f64 = 1e150;

/// A population in its non-dominated fronts.
#[derive(Debug, Clone)]
pub(super) struct RankedPopulation {
    table: Table,
    fronts: Vec<Front>,
    /// Up to date but for what the table notes as changed; meaningless where it notes nothing.
    worst: Tournament,
    buffers: Buffers,
}

/// What sorting all members takes, kept for the next time.
#[derive(Debug, Clone)]
struct Buffers {
    points: Points,
    sorter: Sorter,
    fronts: Fronts,
}

/// The largest last front that is searched for its worst member one by one.
const SMALL: usize = 64;

impl RankedPopulation {
    /// An empty population of members with `width` objectives each.
    pub(super) fn new(width: usize) -> Self {
        let (points, sorter, fronts) = (Points::new(width), Sorter::new(), Fronts::default());
        Self {
            table: Table::new(width),
            fronts: Vec::new(),
            worst: Tournament::default(),
            buffers: Buffers { points, sorter, fronts },
        }
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
        let fronts = self.sorted_with(members);
        let table = &mut self.table;
        self.fronts = fronts.iter().map(|front| Front::of(table, slots(front))).collect();
        self.buffers.fronts = fronts;
    }

    /// Adds many members at once and drops the worst of all, with the same result as
    /// [`Self::extend`] and [`Self::truncate`].
    pub(super) fn replace(&mut self, members: impl IntoIterator<Item = Scored>, keep: usize) {
        let fronts = self.sorted_with(members);
        let (mut whole, mut room) = (0, keep);
        while whole < fronts.len() && fronts.front(whole).len() <= room {
            room -= fronts.front(whole).len();
            whole += 1;
        }
        let split = (room > 0 && whole < fronts.len()).then(|| {
            let front = Front::of(&mut self.table, slots(fronts.front(whole)));
            let leaving = most_crowded(&self.table, &front, front.members().len() - room);
            (front, leaving)
        });
        let mut places = Places::of(self.len());
        for rank in (whole + split.iter().count()..fronts.len()).rev() {
            places.remove(&mut self.table, slots(fronts.front(rank)));
        }
        if let Some((_, leaving)) = &split {
            places.remove(&mut self.table, leaving.iter().copied());
        }
        let table = &mut self.table;
        let name = |slot| places.now(slot);
        self.fronts = (0..whole)
            .map(|rank| Front::of(table, slots(fronts.front(rank)).filter_map(name)))
            .collect();
        self.fronts.extend(split.map(|(front, _)| front.renamed(&mut self.table, name)));
        self.buffers.fronts = fronts;
    }

    /// Adds members to the table alone; the fronts of all, of which the ranks are noted.
    fn sorted_with(&mut self, members: impl IntoIterator<Item = Scored>) -> Fronts {
        for member in members {
            self.table.push(member);
        }
        let table = &mut self.table;
        table.changed = None;
        let Buffers { points, sorter, fronts } = &mut self.buffers;
        let mut fronts = std::mem::take(fronts);
        points.clear();
        for row in table.values.chunks_exact(table.width.max(1)) {
            points.push(row).expect("the members' values are finite, as Scored::new ensures");
        }
        sorter
            .sort_into(points, Some(&table.violations), &mut fronts)
            .expect("the members' violations are finite and not negative, as Scored::new ensures");
        table.ranks.copy_from_slice(fronts.ranks());
        fronts
    }

    /// Adds a member whose score has [`Self::width`] objectives, as [`Scored::new`] ensures.
    pub(super) fn insert(&mut self, member: Scored) {
        let slot = self.table.push(member);
        let table = &mut self.table;
        // If a member of a front beats the newcomer, then so does one of every earlier front.
        let mut at = self.fronts.partition_point(|front| front.beats(table, slot));
        let mut arriving = vec![slot];
        while let Some(front) = self.fronts.get_mut(at) {
            let leaving = front.beaten_by(table, &arriving);
            if leaving.len() == front.members().len() {
                break;
            }
            leaving.iter().for_each(|&slot| front.remove(table, slot));
            for slot in arriving {
                table.ranks[slot as usize] = at as u32;
                front.add(table, slot);
            }
            if leaving.is_empty() {
                return;
            }
            arriving = leaving;
            at += 1;
        }
        // Everyone of this front was beaten, hence everyone below moves down by one.
        let front = Front::of(table, arriving.into_iter());
        self.fronts.insert(at, front);
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
            let excess = self.len() - keep;
            let Some(last) = self.fronts.last_mut() else { return };
            if excess >= last.members().len() {
                let leaving = last.members().to_vec();
                self.remove_slots(leaving);
                continue;
            }
            last.freshen(&mut self.table);
            if excess == 1 {
                let worst = self.worst();
                self.remove_slot(worst);
            } else {
                let leaving = most_crowded(&self.table, last, excess);
                self.remove_slots(leaving);
            }
        }
    }

    /// The slot of the most crowded member of the last front, which is not empty and fresh.
    fn worst(&mut self) -> u32 {
        let (table, worst) = (&mut self.table, &mut self.worst);
        let last = self.fronts.last().map_or(&[][..], Front::members);
        if last.len() <= SMALL {
            let first = last.iter().copied().min_by(|&a, &b| table.worse(a, b));
            return first.expect("the last front has members");
        }
        let mut changed = table.changed.take().unwrap_or_default();
        // One change of a front notes its neighbours once for each objective.
        changed.sort_unstable();
        changed.dedup();
        let few = !changed.is_empty() && 16 * changed.len() < table.len();
        if !(few && changed.iter().all(|&slot| worst.replay(table, slot))) {
            worst.play(table);
        }
        changed.clear();
        table.changed = Some(changed);
        worst.first().expect("a tournament of members")
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
            let stays = &self.fronts[at];
            let mut rising = below.beaten_by(table, &gone);
            rising.retain(|&other| !stays.beats(table, other));
            if rising.is_empty() {
                return;
            }
            for &slot in &rising {
                self.fronts[at + 1].remove(table, slot);
                table.ranks[slot as usize] = at as u32;
                self.fronts[at].add(table, slot);
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

/// The `excess` most crowded members of a front that has more and is fresh.
fn most_crowded(table: &Table, front: &Front, excess: usize) -> Vec<u32> {
    let mut leaving = front.members().to_vec();
    if excess > 0 {
        leaving.select_nth_unstable_by(excess - 1, |&a, &b| table.worse(a, b));
    }
    leaving.truncate(excess);
    leaving
}

fn slots(members: &[usize]) -> impl Iterator<Item = u32> {
    members.iter().map(|&slot| slot as u32)
}

#[cfg(test)]
mod tests;
