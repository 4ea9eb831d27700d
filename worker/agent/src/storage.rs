//! The task that keeps the outbox's slow disk away from the agent's loop.
//!
//! Operations take effect in order; reports that arrive together are synced together. Must not
//! know when a report is sent.

use cambrian_proto::v1::Report;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::{error, warn};

use crate::attempt::AttemptId;
use crate::outbox::Outbox;

/// The most operations that share one sync.
const BATCH: usize = 256;

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
    /// On a thread that may wait for it.
    Apart,
    /// In place, where a simulation decides what happens when.
    Here,
}

/// Applies changes until their sender is gone. Says which reports may be sent: those that are on
/// the disk, and those that the disk refused, since a report in memory is better sent than lost.
pub(crate) async fn run(
    disk: Disk,
    outbox: Outbox,
    mut changes: mpsc::UnboundedReceiver<Change>,
    sendable: mpsc::UnboundedSender<AttemptId>,
) {
    let mut batch = Vec::new();
    while changes.recv_many(&mut batch, BATCH).await > 0 {
        let (outbox, taken) = (outbox.clone(), std::mem::take(&mut batch));
        let applied = match disk {
            Disk::Apart => spawn_blocking(move || apply(&outbox, taken)).await,
            Disk::Here => Ok(apply(&outbox, taken)),
        };
        match applied {
            Ok(stored) => {
                for id in stored {
                    // The agent may have ended; the report is on the disk all the same.
                    let _ = sendable.send(id);
                }
            }
            Err(failure) => error!(%failure, "storing reports failed"),
        }
    }
}

fn apply(outbox: &Outbox, changes: Vec<Change>) -> Vec<AttemptId> {
    let mut stored = Vec::new();
    let mut reports: Vec<Report> = Vec::new();
    for change in changes {
        match change {
            Change::Put(report) => {
                stored.push(AttemptId::from(&*report));
                reports.push(*report);
            }
            Change::PutMeanwhile(report) => reports.push(*report),
            Change::Remove(id) => {
                put(outbox, &mut reports);
                if let Err(error) = outbox.remove(id) {
                    warn!(%id, "an acknowledged report stays on the disk: {error}");
                }
            }
        }
    }
    put(outbox, &mut reports);
    stored
}

fn put(outbox: &Outbox, reports: &mut Vec<Report>) {
    if reports.is_empty() {
        return;
    }
    if let Err(error) = outbox.put(reports) {
        error!(
            reports = reports.len(),
            "finished reports are held in memory only and would not survive a crash: {error}"
        );
    }
    reports.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

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
        run(Disk::Apart, outbox, receiver, sendable).await;
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
        let id = AttemptId::new;
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
        assert_eq!(applied(outbox, changes).await, [AttemptId::new(1, 1)]);
        let left = Outbox::open(root.path()).unwrap().1;
        let energies: Vec<_> = left.into_values().map(|report| report.energy_joules).collect();
        assert_eq!(energies, [Some(2.0), None]);
    }

    #[tokio::test]
    async fn a_report_that_the_disk_refuses_may_be_sent_all_the_same() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("outbox");
        let (outbox, _) = Outbox::open(&directory).unwrap();
        std::fs::remove_dir(&directory).unwrap();
        let ids = applied(outbox, vec![Change::Put(report(1))]).await;
        assert_eq!(ids, [AttemptId::new(1, 1)]);
    }
}
