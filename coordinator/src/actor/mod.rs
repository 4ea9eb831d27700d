//! The actor: sole owner of the engine and the store.
//!
//! ```text
//! drain the mailbox -> step each command -> append all events at once -> then, and only then,
//! reply, perform effects, publish the change, answer queries
//! ```
//! If the append fails, the engine's state is thrown away and rebuilt from the journal, as after a
//! restart: callers get an error, workers are cut off and come back with what they hold. A store
//! that keeps failing ends the actor, and one whose leadership is over ends it at once. It must not
//! know transports, nor who leads.

mod batch;
mod replay;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use cambrian_core::engine::{Command, Engine, EngineSettings, FleetPolicy, Inconsistency};
use cambrian_core::time::Span;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::connection::{Closed, Connections};
use crate::fitting::Fitter;
use crate::handle::{Handle, Message};
use crate::store::{Store, StoreError};
use batch::Batch;
pub use replay::{Follower, rebuild};

/// How long messages are gathered at most once the first has come.
const LONGEST_GATHERING: Duration = Duration::from_millis(1);
/// How often it is looked whether they have.
const GATHERING_STEP: Duration = Duration::from_micros(50);

/// How the actor works.
#[derive(Debug, Clone)]
pub struct ActorSettings {
    /// How long a lease lasts without a sign of life of its holder.
    pub lease_length: Span,
    /// The operator's rules for users and workers.
    pub policy: Arc<FleetPolicy>,
    /// How many messages wait at most; more make their senders wait.
    pub mailbox: usize,
    /// How many messages share a transaction at most.
    pub batch: usize,
    /// How often leases and budgets are looked at.
    pub tick: Duration,
    /// How often a store is tried again after a failed append.
    pub store_retries: u32,
    /// How long to wait before the first of them; each next one waits twice as long.
    pub store_retry_delay: Duration,
}

impl Default for ActorSettings {
    fn default() -> Self {
        Self {
            lease_length: Span::from_secs(30),
            policy: Arc::default(),
            mailbox: 4096,
            batch: 512,
            tick: Duration::from_millis(200),
            store_retries: 6,
            store_retry_delay: Duration::from_millis(50),
        }
    }
}

impl ActorSettings {
    /// The engine's part of the settings.
    #[must_use]
    pub fn engine(&self) -> EngineSettings {
        EngineSettings { lease_length: self.lease_length }
    }
}

/// Why the actor could not start, or has ended.
#[derive(Debug, Error)]
pub enum ActorError {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal's replay contradicts itself.
    #[error("the journal does not replay to a sound state ({} contradictions), first: {first}", .more + 1)]
    Inconsistent {
        /// The first contradiction.
        first: Inconsistency,
        /// How many others there are.
        more: usize,
    },
    /// The thread could not be started.
    #[error("the engine's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// A defect: the thread ended without a word.
    #[error("the engine's thread panicked; the journal is sound, start again")]
    Panicked,
}

/// A running actor.
#[derive(Debug)]
pub struct Actor {
    thread: JoinHandle<Result<(), ActorError>>,
}

impl Actor {
    /// Replays the journal, verifies the state, and starts. Blocks while it replays.
    ///
    /// # Errors
    /// [`ActorError`] if the journal cannot be read, is not sound or cannot be written.
    pub fn start(
        store: Box<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: ActorSettings,
    ) -> Result<(Self, Handle), ActorError> {
        Self::resume(store, Follower::new(settings.engine()), clock, settings)
    }

    /// The same with an engine that has followed this journal for a part of the way.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn resume(
        store: Box<dyn Store>,
        follower: Follower,
        clock: Arc<dyn Clock>,
        settings: ActorSettings,
    ) -> Result<(Self, Handle), ActorError> {
        let (run, handle) = prepare(store, follower, clock, settings)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new().name("engine".into());
        let thread = thread.spawn(move || runtime.block_on(run))?;
        Ok((Self { thread }, handle))
    }

    /// Waits until the actor has ended; the store is closed then.
    ///
    /// # Errors
    /// [`ActorError`] if it ended for another reason than being told to.
    pub fn join(self) -> Result<(), ActorError> {
        self.thread.join().unwrap_or(Err(ActorError::Panicked))
    }
}

/// An actor that is ready to run on whatever runs its future. Appends hold that up, so it is a thread
/// of its own but where a simulation decides what happens when: there, all is one thread.
///
/// # Errors
/// As [`Actor::start`].
pub(crate) fn prepare(
    store: Box<dyn Store>,
    mut follower: Follower,
    clock: Arc<dyn Clock>,
    settings: ActorSettings,
) -> Result<(impl Future<Output = Result<(), ActorError>> + Send + 'static, Handle), ActorError> {
    follower.catch_up(store.as_ref())?;
    let (mailbox, messages) = mpsc::channel(settings.mailbox.max(1));
    let (publish, changes) = watch::channel(0);
    let ended = CancellationToken::new();
    let engine = follower.engine;
    let (connections, fitter) = (Connections::default(), Fitter::new(&mailbox));
    let mut owner = Owner {
        engine,
        store,
        clock,
        settings,
        connections,
        fitter,
        publish,
        handled: 0,
        append_time: Duration::ZERO,
    };
    owner.begin()?;
    let guard = ended.clone().drop_guard();
    let run = async move {
        let _ended_however_it_ends = guard;
        owner.run(messages).await
    };
    Ok((run, Handle { mailbox, changes, ended }))
}

/// What lives on the actor's thread.
struct Owner {
    engine: Engine,
    store: Box<dyn Store>,
    clock: Arc<dyn Clock>,
    settings: ActorSettings,
    connections: Connections,
    fitter: Fitter,
    publish: watch::Sender<u64>,
    /// How many messages were handled together last.
    handled: usize,
    /// What an append takes of late.
    append_time: Duration,
}

impl Owner {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) -> Result<(), ActorError> {
        let mut waiting = Vec::with_capacity(self.settings.batch);
        let mut next_tick = Instant::now() + self.settings.tick;
        loop {
            let received =
                timeout_at(next_tick, messages.recv_many(&mut waiting, self.settings.batch));
            // Nobody is left to ask for a shutdown if the mailbox has no senders.
            let orphaned = received.await == Ok(0);
            self.gather(&mut messages, &mut waiting);
            let told = waiting.iter().any(|message| matches!(message, Message::Shutdown));
            let mut batch = Batch::default();
            // In this order: standing still between the two looks like standing still before, and
            // what follows is judged by a time that is not after the look.
            let mut now = self.clock.now();
            let looked = Instant::now();
            if looked >= next_tick + self.tolerated_stall() {
                // A machine that was suspended or starved, a store that hung: what workers have
                // sent meanwhile is not in the mailbox yet, and must not come too late.
                tracing::warn!("the coordinator stood still; leases get a full period of grace");
                now = self.clock.now();
                batch.step(&mut self.engine, now, Command::Stalled);
            }
            for message in waiting.drain(..) {
                batch.take(&mut self.engine, now, message);
            }
            // Last, so that what has arrived in time counts however long it has waited.
            if looked >= next_tick {
                next_tick = looked + self.settings.tick;
                batch.step(&mut self.engine, now, Command::Tick);
            }
            self.commit(batch).await?;
            if told || orphaned {
                return self.finish(messages).await;
            }
        }
    }

    /// How late a tick may be: a lease that its worker renews in time has more than this left.
    fn tolerated_stall(&self) -> Duration {
        Duration::from_micros(self.settings.lease_length.0 / 4)
    }

    /// Waits a little for the others where fewer messages have come than the last time: whoever was
    /// answered together tends to speak again together, and an append costs much the same for one.
    fn gather(&mut self, messages: &mut mpsc::Receiver<Message>, waiting: &mut Vec<Message>) {
        let until = Instant::now() + (self.append_time / 2).min(LONGEST_GATHERING);
        while waiting.len() < self.handled && Instant::now() < until {
            // This thread has nothing else to do, and timers of the runtime are too coarse.
            std::thread::sleep(GATHERING_STEP);
            while waiting.len() < self.settings.batch
                && let Ok(message) = messages.try_recv()
            {
                waiting.push(message);
            }
        }
        self.handled = waiting.len();
    }

    /// Handles what still waits, then ends all connections.
    async fn finish(mut self, mut messages: mpsc::Receiver<Message>) -> Result<(), ActorError> {
        messages.close();
        let (mut batch, now) = (Batch::default(), self.clock.now());
        while let Ok(message) = messages.try_recv() {
            batch.take(&mut self.engine, now, message);
        }
        self.commit(batch).await?;
        self.connections.close_all(&Closed::ShuttingDown);
        Ok(())
    }

    /// Stores what was decided, then does what waited for that.
    async fn commit(&mut self, batch: Batch) -> Result<(), ActorError> {
        match self.append(&batch) {
            Ok(()) => {
                let changed = batch.is_visible();
                batch.release(
                    self.engine.state(),
                    &mut self.connections,
                    &self.fitter,
                    self.settings.lease_length,
                );
                if changed {
                    self.publish.send_modify(|version| *version = version.wrapping_add(1));
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the journal could not be written; the batch is undone");
                let queries = batch.fail(&error);
                self.connections.close_all(&Closed::StorageFailed);
                self.recover(error).await?;
                queries.into_iter().for_each(|query| query(self.engine.state()));
                Ok(())
            }
        }
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.events().is_empty() {
            // Nothing is said, not even an answer to a question, by a store that may be out of date.
            return self.store.standing();
        }
        let began = Instant::now();
        self.store.append(self.store.sequence(), batch.events())?;
        // A moving average over some ten appends.
        self.append_time = (self.append_time * 7 + began.elapsed()) / 8;
        Ok(())
    }

    /// Rebuilds from the journal until that works, or has failed too often.
    async fn recover(&mut self, mut error: StoreError) -> Result<(), ActorError> {
        let mut delay = self.settings.store_retry_delay;
        if error.is_loss_of_leadership() {
            return Err(error.into());
        }
        for attempt in 1..=self.settings.store_retries {
            sleep(delay).await;
            delay *= 2;
            match self.restart() {
                Ok(()) => {
                    tracing::info!(attempt, "rebuilt from the journal; going on");
                    self.publish.send_modify(|version| *version = version.wrapping_add(1));
                    return Ok(());
                }
                Err(ActorError::Store(again)) if !again.is_loss_of_leadership() => {
                    tracing::error!(attempt, error = %again, "the store still fails");
                    error = again;
                }
                Err(other) => return Err(other),
            }
        }
        tracing::error!(%error, "giving up: the store keeps failing");
        Err(error.into())
    }

    /// Brings the engine to the journal's end, as on a start of the process.
    fn restart(&mut self) -> Result<(), ActorError> {
        self.engine = rebuild(self.store.as_ref(), self.settings.engine())?;
        self.begin()
    }

    /// Verifies the state at the journal's end, and goes on from there.
    fn begin(&mut self) -> Result<(), ActorError> {
        self.engine.state().check().map_err(inconsistent)?;
        let mut batch = Batch::default();
        batch.step(&mut self.engine, self.clock.now(), Command::Start);
        let policy = Command::Govern(self.settings.policy.clone());
        batch.step(&mut self.engine, self.clock.now(), policy);
        self.append(&batch)?;
        let (state, lease_length) = (self.engine.state(), self.settings.lease_length);
        batch.release(state, &mut self.connections, &self.fitter, lease_length);
        Ok(())
    }
}

fn inconsistent(mut found: Vec<Inconsistency>) -> ActorError {
    let more = found.len().saturating_sub(1);
    ActorError::Inconsistent { first: found.swap_remove(0), more }
}
