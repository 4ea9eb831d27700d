//! The tasks of a campaign that wait for a worker, by stage: what a worker lacks, it lacks for all tasks of
//! a stage, so a backlog that only others can work off costs it nothing. Must not know workers.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::TaskId;

/// Queued tasks, by stage and then by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// No set is empty.
    stages: BTreeMap<u8, BTreeSet<TaskId>>,
}

impl Queue {
    pub(super) fn insert(&mut self, stage: u8, task: TaskId) {
        self.stages.entry(stage).or_default().insert(task);
    }

    pub(super) fn remove(&mut self, stage: u8, task: TaskId) {
        if let Some(tasks) = self.stages.get_mut(&stage) {
            tasks.remove(&task);
            if tasks.is_empty() {
                self.stages.remove(&stage);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.stages.values().map(BTreeSet::len).sum()
    }

    /// The stages for which tasks wait, with these, ascending.
    pub(super) fn stages(&self) -> impl Iterator<Item = (u8, &BTreeSet<TaskId>)> {
        self.stages.iter().map(|(stage, tasks)| (*stage, tasks))
    }

    /// Every task, those of earlier stages first.
    pub(super) fn iter(&self) -> impl Iterator<Item = TaskId> {
        self.stages.values().flatten().copied()
    }

    /// Every task by id, whatever its stage.
    pub(super) fn by_id(&self) -> BTreeSet<TaskId> {
        self.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_by_stage_and_by_id() {
        let mut queue = Queue::default();
        for (stage, task) in [(1, 2), (0, 5), (1, 9), (0, 3)] {
            queue.insert(stage, TaskId(task));
        }
        let ids = |tasks: Vec<TaskId>| tasks.into_iter().map(|task| task.0).collect::<Vec<_>>();
        assert_eq!(ids(queue.iter().collect()), [3, 5, 2, 9]);
        assert_eq!(ids(queue.by_id().into_iter().collect()), [2, 3, 5, 9]);
        assert_eq!(queue.len(), 4);
        for (stage, task) in [(0, 3), (0, 5), (0, 9), (2, 2)] {
            queue.remove(stage, TaskId(task));
        }
        assert_eq!(
            queue.stages().map(|(stage, tasks)| (stage, tasks.len())).collect::<Vec<_>>(),
            [(1, 2)]
        );
        queue.remove(1, TaskId(2));
        queue.remove(1, TaskId(9));
        assert!(queue.is_empty());
    }
}
