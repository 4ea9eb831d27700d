//! The task that keeps the outbox's slow disk away from the agent's loop.
//!
//! Operations take effect in order; reports that arrive together are synced together. What the disk
//! refuses is tried again until it is taken or forgotten. A disk that does not answer is not waited for: what
//! comes meanwhile is applied once it does. Must not know when a report is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cambrian_core::id::AttemptId;
use cambrian_proto::v1::Report;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, info, warn};

use crate::attempt::NamesAttempt;
use crate::outbox::Outbox;

/// The most operations that share one sync.
const BATCH: usize = 256;
/// How long what the disk refused waits for the next try, at most. Disks stay full for minutes; a try costs a
/// moment.
const RETRY: Duration = Duration::from_secs(10);
/// How long the disk may take over changes before reports are sent without it. A network file system that is
/// gone answers after minutes, or never.
const PATIENCE: Duration = Duration::from_secs(10);

/// A change of the outbox.
#[derive(Debug)]
pub(crate) enum Change {
    /// Keep a report; its id comes back when it may be sent.
    Put(Box<Report>),
    /// Keep a report that another one of the same attempt will replace. Nothing comes back: it is sent only
    /// by the next process, if this one ends before.
    PutMeanwhile(Box<Report>),
    /// Forget a report.
    Remove(AttemptId),
}

/// Where changes are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    /// On a thread that may wait for it, and that is waited for no longer than this.
    Apart { patience: Duration },
    /// In place, where a simulation decides what happens when.
    Here,
}

impl Disk {
    /// The machine's own.
    pub(crate) const REAL: Self = Self::Apart { patience: PATIENCE };
}

/// Applies changes until their sender is gone. Says which reports may be sent: those that are on the disk, and
/// those that the disk refused, or has not answered about in time, since a report in memory is better sent than
/// lost.
pub(crate) async fn run(
    disk: Disk,
    outbox: Outbox,
    mut changes: mpsc::UnboundedReceiver<Change>,
    sendable: mpsc::UnboundedSender<AttemptId>,
) {
    let mut keeper = Keeper { outbox, refused: BTreeMap::new() };
    let mut waiting = Waiting::default();
    let mut open = true;
    while open || !waiting.0.is_empty() {
        let mut batch = waiting.take();
        if batch.is_empty() {
            tokio::select! {
                count = changes.recv_many(&mut batch, BATCH) => open = count > 0,
                () = sleep(RETRY), if !keeper.refused.is_empty() => {}
            }
        }
        if batch.is_empty() && keeper.refused.is_empty() {
            continue;
        }
        let stored: Vec<AttemptId> = batch.iter().filter_map(Change::asks_for).collect();
        let say = |ids: Vec<AttemptId>| {
            for id in ids {
                // The agent may have ended; the report is on the disk all the same.
                let _ = sendable.send(id);
            }
        };
        match disk {
            Disk::Here => {
                keeper = keeper.after(batch);
                say(stored);
            }
            Disk::Apart { patience } => {
                let again = Keeper { outbox: keeper.outbox.clone(), refused: BTreeMap::new() };
                let mut work = Work {
                    task: spawn_blocking(move || keeper.after(batch)),
                    until: Instant::now() + patience,
                    stored,
                    outbox: &again.outbox,
                };
                let done = work.attend(&mut changes, &mut open, &mut waiting, say).await;
                keeper = done.unwrap_or_else(|failure| {
                    error!(%failure, "storing reports failed; they are held in memory only");
                    again
                });
            }
        }
    }
}

/// Changes that came while the disk did not answer; of each attempt the last.
#[derive(Debug, Default)]
struct Waiting(BTreeMap<AttemptId, Change>);

impl Waiting {
    fn push(&mut self, change: Change) {
        self.0.insert(change.attempt(), change);
    }

    fn take(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.0).into_values().collect()
    }
}

/// Changes that a thread is applying.
struct Work<'a> {
    task: JoinHandle<Keeper>,
    /// When the reports may be sent all the same.
    until: Instant,
    stored: Vec<AttemptId>,
    outbox: &'a Outbox,
}

impl Work<'_> {
    /// Waits for its end. From `until` on reports go without the disk, those that come as well.
    async fn attend(
        &mut self,
        changes: &mut mpsc::UnboundedReceiver<Change>,
        open: &mut bool,
        waiting: &mut Waiting,
        say: impl Fn(Vec<AttemptId>),
    ) -> Result<Keeper, JoinError> {
        tokio::select! {
            biased;
            done = &mut self.task => {
                say(std::mem::take(&mut self.stored));
                return done;
            }
            () = sleep_until(self.until) => {}
        }
        warn!(
            directory = %self.outbox.directory().display(), reports = self.stored.len(),
            "the disk does not answer: finished reports are sent from memory and would not survive a crash; \
             look after the disk or the file server behind this directory"
        );
        say(std::mem::take(&mut self.stored));
        let done = loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                done = &mut self.task => break done,
                count = changes.recv_many(&mut batch, BATCH), if *open => *open = count > 0,
            }
            say(batch.iter().filter_map(Change::asks_for).collect());
            batch.into_iter().for_each(|change| waiting.push(change));
        };
        info!("the disk answers again; what it did not take meanwhile follows");
        done
    }
}

impl Change {
    fn attempt(&self) -> AttemptId {
        match self {
            Self::Put(report) | Self::PutMeanwhile(report) => report.attempt_id(),
            Self::Remove(id) => *id,
        }
    }

    /// The report whose id is to come back.
    fn asks_for(&self) -> Option<AttemptId> {
        match self {
            Self::Put(report) => Some(report.attempt_id()),
            Self::PutMeanwhile(_) | Self::Remove(_) => None,
        }
    }
}

/// The outbox, and what it does not hold yet.
#[derive(Debug)]
struct Keeper {
    outbox: Outbox,
    refused: BTreeMap<AttemptId, Report>,
}

impl Keeper {
    /// Applies changes, with what was refused before as the first of them.
    fn after(mut self, changes: Vec<Change>) -> Self {
        let before = self.refused.len();
        let mut reports = std::mem::take(&mut self.refused);
        for change in changes {
            match change {
                Change::Put(report) | Change::PutMeanwhile(report) => {
                    reports.insert(report.attempt_id(), *report);
                }
                Change::Remove(id) => {
                    // What is not on the disk needs not get there first.
                    reports.remove(&id);
                    if let Err(error) = self.outbox.remove(id) {
                        warn!(%id, "an acknowledged report stays on the disk: {error}");
                    }
                }
            }
        }
        self.put(reports, before);
        self
    }

    fn put(&mut self, reports: BTreeMap<AttemptId, Report>, before: usize) {
        if reports.is_empty() {
            return;
        }
        let batch: Vec<Report> = reports.into_values().collect();
        let Err(refused) = self.outbox.put(&batch) else {
            if before > 0 {
                info!("the disk takes finished reports again; none is in memory only any more");
            }
            return;
        };
        let attempts: BTreeSet<AttemptId> = refused.attempts.iter().copied().collect();
        let batch = batch.into_iter().map(|report| (report.attempt_id(), report));
        self.refused = batch.filter(|(id, _)| attempts.contains(id)).collect();
        if self.refused.len() > before {
            error!(
                reports = self.refused.len(),
                "finished reports are held in memory only and would not survive a crash; free some \
                 space or mend the disk: {refused}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;
    use crate::attempt::attempt_id;

    fn report(task: u64) -> Box<Report> {
        Box::new(Report { task, attempt: 1, ..Report::default() })
    }

    async fn applied(outbox: Outbox, changes: Vec<Change>) -> Vec<AttemptId> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (sendable, mut stored) = mpsc::unbounded_channel();
        for change in changes {
            sender.send(change).unwrap();
        }
        drop(sender);
        run(Disk::REAL, outbox, receiver, sendable).await;
        let mut ids = Vec::new();
        while let Some(id) = stored.recv().await {
            ids.push(id);
        }
        ids
    }

    #[tokio::test]
    async fn changes_take_effect_in_order() {
        let root = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(root.path()).unwrap();
        let id = attempt_id;
        let changes = vec![
            Change::Put(report(1)),
            Change::Put(report(2)),
            Change::Remove(id(1, 1)),
            Change::Put(report(3)),
            Change::Remove(id(3, 1)),
        ];
        assert_eq!(applied(outbox, changes).await, [id(1, 1), id(2, 1), id(3, 1)]);
        let left: Vec<_> = Outbox::open(root.path()).unwrap().1.into_keys().collect();
        assert_eq!(left, [id(2, 1)]);
    }

    #[tokio::test]
    async fn what_is_kept_meanwhile_is_replaced_and_not_sent() {
        let root = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(root.path()).unwrap();
        let changes = vec![
            Change::PutMeanwhile(report(1)),
            Change::PutMeanwhile(report(2)),
            Change::Put(Box::new(Report { energy_joules: Some(2.0), ..*report(1) })),
        ];
        assert_eq!(applied(outbox, changes).await, [attempt_id(1, 1)]);
        let left = Outbox::open(root.path()).unwrap().1;
        let energies: Vec<_> = left.into_values().map(|report| report.energy_joules).collect();
        assert_eq!(energies, [Some(2.0), None]);
    }

    /// Keeps reports of which the disk does not take that of task 1 until `mended`.
    struct Rig {
        root: tempfile::TempDir,
        changes: mpsc::UnboundedSender<Change>,
        sendable: mpsc::UnboundedReceiver<AttemptId>,
    }

    impl Rig {
        fn start() -> Self {
            let root = tempfile::tempdir().unwrap();
            let (outbox, _) = Outbox::open(root.path()).unwrap();
            std::fs::create_dir(root.path().join("1-1.report.tmp")).unwrap();
            let (changes, receiver) = mpsc::unbounded_channel();
            let (sender, sendable) = mpsc::unbounded_channel();
            tokio::spawn(run(Disk::Here, outbox, receiver, sender));
            Self { root, changes, sendable }
        }

        fn mended(&self) {
            std::fs::remove_dir(self.root.path().join("1-1.report.tmp")).unwrap();
        }

        /// Puts reports that arrive together.
        async fn put(&mut self, tasks: &[u64]) {
            for &task in tasks {
                self.changes.send(Change::Put(report(task))).unwrap();
            }
            for &task in tasks {
                assert_eq!(self.sendable.recv().await, Some(attempt_id(task, 1)));
            }
        }

        fn stored(&self) -> Vec<u64> {
            let found = Outbox::open(self.root.path()).unwrap().1;
            found.into_keys().map(|id| id.task.0).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_disk_refused_is_stored_with_the_next_reports_and_holds_up_no_other() {
        let mut rig = Rig::start();
        rig.put(&[1, 2]).await;
        assert_eq!(rig.stored(), [2]);
        rig.mended();
        rig.put(&[3]).await;
        assert_eq!(rig.stored(), [1, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_disk_refused_is_tried_again_also_without_others() {
        let mut rig = Rig::start();
        rig.put(&[1]).await;
        sleep(3 * RETRY).await;
        assert_eq!(rig.stored(), Vec::<u64>::new());
        rig.mended();
        sleep(RETRY + Duration::from_millis(1)).await;
        assert_eq!(rig.stored(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_disk_refused_is_forgotten_when_it_is_acknowledged() {
        let mut rig = Rig::start();
        rig.put(&[1]).await;
        rig.changes.send(Change::Remove(attempt_id(1, 1))).unwrap();
        sleep(RETRY).await;
        rig.mended();
        sleep(3 * RETRY).await;
        assert_eq!(rig.stored(), Vec::<u64>::new());
    }

    /// A pipe that nobody reads takes the place of a disk that does not answer: opening it waits.
    #[tokio::test]
    async fn a_disk_that_does_not_answer_holds_no_report_up_and_gets_it_later() {
        let root = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(root.path()).unwrap();
        let pipe = root.path().join("1-1.report.tmp");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        let (changes, receiver) = mpsc::unbounded_channel();
        let (sender, mut sendable) = mpsc::unbounded_channel();
        let disk = Disk::Apart { patience: Duration::from_millis(20) };
        let storage = tokio::spawn(run(disk, outbox, receiver, sender));
        for task in [1, 2, 3] {
            changes.send(Change::Put(report(task))).unwrap();
            let said = tokio::time::timeout(Duration::from_secs(30), sendable.recv()).await;
            assert_eq!(said, Ok(Some(attempt_id(task, 1))));
        }
        changes.send(Change::Remove(attempt_id(2, 1))).unwrap();
        drop(changes);
        // Whoever reads it lets the writer go on, which cannot sync it.
        let reader = std::fs::File::open(&pipe).unwrap();
        std::fs::remove_file(&pipe).unwrap();
        storage.await.unwrap();
        drop(reader);
        let left: Vec<_> = Outbox::open(root.path()).unwrap().1.into_keys().collect();
        assert_eq!(left.last(), Some(&attempt_id(3, 1)), "what came meanwhile is stored");
        assert!(!left.contains(&attempt_id(2, 1)), "what was acknowledged is not");
    }

    #[tokio::test]
    async fn a_report_that_the_disk_refuses_may_be_sent_all_the_same() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("outbox");
        let (outbox, _) = Outbox::open(&directory).unwrap();
        std::fs::remove_dir(&directory).unwrap();
        let ids = applied(outbox, vec![Change::Put(report(1))]).await;
        assert_eq!(ids, [attempt_id(1, 1)]);
    }
}
