//! What the worker has in work: prefetched tasks, busy slots, and the credit that follows.
//!
//! Pure bookkeeping: it must not know processes, streams or clocks. The invariant is
//! `announced credit + queued + occupied slots <= 2 * usable slots` at the moment of announcing:
//! each usable slot works on one task and has one waiting.

use std::collections::VecDeque;
use std::fmt;

use cambrian_core::id::AttemptId;
use cambrian_proto::v1::Assignment;

use crate::attempt::NamesAttempt;

/// How many tasks a usable slot holds: one in work and one prefetched.
pub const TASKS_PER_SLOT: u32 = 2;

/// The position of a slot, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotIndex(pub u32);

impl fmt::Display for SlotIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a slot's evaluator can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotHealth {
    /// It has said hello and waits.
    Ready,
    /// It is starting again; tasks wait for it.
    Restarting,
    /// It fails to start again and again; nothing waits for it.
    Bad,
}

#[derive(Debug)]
struct Slot {
    health: SlotHealth,
    occupant: Option<Occupant>,
}

#[derive(Debug)]
struct Occupant {
    id: AttemptId,
    wanted: bool,
}

/// What became of an assignment.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// It waits for a slot.
    Queued,
    /// The attempt is here already.
    Duplicate,
    /// The worker takes nothing more; it has to hand it back.
    Refused(Box<Assignment>),
}

/// What a stop request hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The attempt was waiting and is gone.
    Dropped,
    /// It occupies this slot; its result is not wanted any more.
    Running(SlotIndex),
    /// It is not in work here.
    Unknown,
}

/// The tasks in work and the credit announced for more.
#[derive(Debug)]
pub struct WorkQueue {
    slots: Vec<Slot>,
    waiting: VecDeque<Box<Assignment>>,
    announced: u32,
    open: bool,
}

impl WorkQueue {
    /// An empty queue before `slots` slots that are still starting.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        let slot = |_| Slot { health: SlotHealth::Restarting, occupant: None };
        Self {
            slots: (0..slots).map(slot).collect(),
            waiting: VecDeque::new(),
            announced: 0,
            open: true,
        }
    }

    /// Takes an assignment, which uses one unit of credit. Waiting older attempts of the same task
    /// are dropped: the coordinator has given up on them.
    pub fn take(&mut self, assignment: Box<Assignment>) -> Taken {
        self.use_credit();
        let id = assignment.attempt_id();
        if self.holding().any(|held| held == id) {
            return Taken::Duplicate;
        }
        if !self.open {
            return Taken::Refused(assignment);
        }
        self.waiting
            .retain(|other| other.task != assignment.task || other.attempt > assignment.attempt);
        self.waiting.push_back(assignment);
        Taken::Queued
    }

    /// Counts an assignment that needs no work.
    pub fn use_credit(&mut self) {
        self.announced = self.announced.saturating_sub(1);
    }

    /// The next assignment for a slot that is ready and free, oldest first, lowest slot first. The
    /// slot is occupied from now on.
    pub fn dispatch(&mut self) -> Option<(SlotIndex, Box<Assignment>)> {
        let free = |slot: &Slot| slot.health == SlotHealth::Ready && slot.occupant.is_none();
        let position = self.slots.iter().position(free)?;
        let assignment = self.waiting.pop_front()?;
        let occupant = Occupant { id: assignment.attempt_id(), wanted: true };
        self.slots[position].occupant = Some(occupant);
        Some((SlotIndex(position as u32), assignment))
    }

    /// Frees a slot; whether the result of its attempt is wanted.
    pub fn finish(&mut self, slot: SlotIndex, id: AttemptId) -> bool {
        match self.slots[slot.0 as usize].occupant.take() {
            Some(occupant) if occupant.id == id => occupant.wanted,
            other => {
                self.slots[slot.0 as usize].occupant = other;
                false
            }
        }
    }

    /// Forgets an attempt; a running one keeps its slot until [`Self::finish`].
    pub fn stop(&mut self, id: AttemptId) -> Stopped {
        if let Some(position) = self.waiting.iter().position(|held| held.attempt_id() == id) {
            self.waiting.remove(position);
            return Stopped::Dropped;
        }
        for (position, slot) in self.slots.iter_mut().enumerate() {
            if let Some(occupant) = &mut slot.occupant
                && occupant.id == id
            {
                occupant.wanted = false;
                return Stopped::Running(SlotIndex(position as u32));
            }
        }
        Stopped::Unknown
    }

    /// The slot that works on an attempt whose result is wanted.
    #[must_use]
    pub fn slot_of(&self, id: AttemptId) -> Option<SlotIndex> {
        let works = |slot: &Slot| {
            slot.occupant.as_ref().is_some_and(|occupant| occupant.id == id && occupant.wanted)
        };
        self.slots.iter().position(works).map(|position| SlotIndex(position as u32))
    }

    /// The attempts that slots work on and whose results are wanted.
    pub fn running(&self) -> impl Iterator<Item = (SlotIndex, AttemptId)> {
        (0u32..).zip(&self.slots).filter_map(|(at, slot)| {
            let occupant = slot.occupant.as_ref().filter(|occupant| occupant.wanted)?;
            Some((SlotIndex(at), occupant.id))
        })
    }

    /// Records how a slot fares.
    pub fn set_health(&mut self, slot: SlotIndex, health: SlotHealth) {
        self.slots[slot.0 as usize].health = health;
    }

    /// Whether any slot can be expected to work.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.slots.iter().any(|slot| slot.health != SlotHealth::Bad)
    }

    /// Whether any slot's evaluator works.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.slots.iter().any(|slot| slot.health == SlotHealth::Ready)
    }

    /// How a slot fares.
    #[must_use]
    pub fn health(&self, slot: SlotIndex) -> SlotHealth {
        self.slots[slot.0 as usize].health
    }

    /// Whether a slot works on something.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.slots.iter().any(|slot| slot.occupant.is_some())
    }

    /// Removes all waiting assignments.
    pub fn take_waiting(&mut self) -> Vec<Box<Assignment>> {
        self.waiting.drain(..).collect()
    }

    /// Takes nothing more from here on.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Starts the credit of a new stream from zero.
    pub fn forget_credit(&mut self) {
        self.announced = 0;
    }

    /// The credit to announce besides what has been announced on this stream, which it joins.
    pub fn credit_to_announce(&mut self) -> u32 {
        if !self.open {
            return 0;
        }
        let usable = self.slots.iter().filter(|slot| slot.health != SlotHealth::Bad).count() as u32;
        let occupied = self.slots.iter().filter(|slot| slot.occupant.is_some()).count() as u32;
        let held = occupied + self.waiting.len() as u32 + self.announced;
        let more = (usable * TASKS_PER_SLOT).saturating_sub(held);
        self.announced += more;
        more
    }

    /// The attempts in work whose results are wanted: running ones, then waiting ones.
    pub fn holding(&self) -> impl Iterator<Item = AttemptId> {
        let running = self.slots.iter().filter_map(|slot| slot.occupant.as_ref());
        let wanted = running.filter(|occupant| occupant.wanted).map(|occupant| occupant.id);
        wanted.chain(self.waiting.iter().map(|assignment| assignment.attempt_id()))
    }
}

#[cfg(test)]
mod tests;
