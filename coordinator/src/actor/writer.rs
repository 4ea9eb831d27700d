//! The store at work: one batch at a time is appended while the engine decides the next.
//!
//! The store travels with the batch and comes back with the outcome, so that it has one owner at every
//! moment. It must not know what a batch is about.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::batch::Batch;
use crate::store::{Store, StoreError};

/// What has become of a batch.
pub(crate) struct Written {
    /// The store, for the next one.
    pub(super) store: Box<dyn Store>,
    /// The batch.
    pub(super) batch: Batch,
    /// Whether it is on the disk.
    pub(super) result: Result<(), StoreError>,
}

impl Written {
    fn by(mut store: Box<dyn Store>, batch: Batch) -> Self {
        let result = append(store.as_mut(), &batch);
        Self { store, batch, result }
    }
}

/// Appends a batch here and now.
pub(super) fn append(store: &mut dyn Store, batch: &Batch) -> Result<(), StoreError> {
    if batch.events().is_empty() {
        // Nothing is said, not even an answer to a question, by a store that may be out of date.
        return store.standing();
    }
    store.append(store.sequence(), batch.events()).map(drop)
}

/// Where batches are appended.
pub(crate) enum Writer {
    /// Where they are handed over, which waits for it: a simulation decides what happens when.
    Here,
    /// On a thread that does nothing else.
    Thread(Thread),
}

/// A thread that appends; it ends with this.
pub(crate) struct Thread {
    batches: Option<Sender<(Box<dyn Store>, Batch)>>,
    written: UnboundedReceiver<Written>,
    running: Option<JoinHandle<()>>,
}

impl Writer {
    /// A thread that waits for batches.
    ///
    /// # Errors
    /// What the system says if it has no thread to give.
    pub(super) fn start() -> std::io::Result<Self> {
        let (batches, waiting) = channel();
        let (finished, written) = unbounded_channel();
        let thread = std::thread::Builder::new().name("journal".into());
        let running = thread.spawn(move || append_all(&waiting, &finished))?;
        Ok(Self::Thread(Thread { batches: Some(batches), written, running: Some(running) }))
    }

    /// Appends a batch. The outcome comes at once, or by [`Self::written`].
    pub(super) fn write(&mut self, store: Box<dyn Store>, batch: Batch) -> Option<Written> {
        match self {
            Self::Thread(thread) if !batch.events().is_empty() => {
                if let Some(batches) = &thread.batches {
                    // A thread that has panicked is found out by whoever waits for the outcome.
                    let _ = batches.send((store, batch));
                }
                None
            }
            Self::Thread(_) | Self::Here => Some(Written::by(store, batch)),
        }
    }

    /// The outcome of the batch that is being appended; `None` if the thread has panicked. Only to be
    /// asked while there is one. May be cancelled.
    pub(super) async fn written(&mut self) -> Option<Written> {
        match self {
            Self::Thread(thread) => thread.written.recv().await,
            Self::Here => None,
        }
    }
}

fn append_all(waiting: &Receiver<(Box<dyn Store>, Batch)>, finished: &UnboundedSender<Written>) {
    while let Ok((store, batch)) = waiting.recv() {
        // An actor that has ended wants no outcome; the store is closed here then.
        let _ = finished.send(Written::by(store, batch));
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(running) = self.running.take() {
            // Its panic has been told where its outcome was waited for.
            let _ = running.join();
        }
    }
}
