//! The actor: sole owner of the engine and the store.
//!
//! ```text
//! drain the mailbox -> step each command -> append all events at once -> then, and only then,
//! reply, perform effects, publish the change, answer queries
//! ```
//! While one batch is being appended the next is decided on the state that the first leads to; what
//! it decides waits for its own append, which comes after. Queries see stored state alone: nothing
//! is decided between their batch and their answer.
//!
//! If an append fails, the engine's state is thrown away and rebuilt from the journal, as after a
//! restart: callers get an error, workers are cut off and come back with what they hold. A store
//! that keeps failing ends the actor, and one whose leadership is over ends it at once. It must not
//! know transports, nor who leads.

mod batch;
mod replay;
mod trail;
mod writer;

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

use crate::access::LogBound;
use crate::clock::{Clock, EngineClock};
use crate::connection::{Closed, Connections};
use crate::fitting::Fitter;
use crate::handle::{Handle, Message};
use crate::store::{Store, StoreError};
use batch::{Batch, dropped_reports};
pub use replay::{Follower, rebuild};
use trail::Trail;
pub(crate) use writer::Writer;
use writer::{Written, append};

/// How long messages gather while a batch is being appended: what is decided meanwhile waits for that
/// anyway, and one look at many messages costs less than many looks.
const GATHERING: Duration = Duration::from_micros(50);
/// How far a clock may be behind the journal without a word: clocks are corrected by as much all the time.
const TOLERATED_LAG: Span = Span::from_secs(1);

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
    #[error("a thread of the engine could not be started: {0}")]
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
        let (run, handle) = prepare(store, follower, clock, settings, Writer::start()?)?;
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

/// An actor as a future. In production it gets a thread of its own; the network simulation polls it on its only
/// thread, so that the order of everything is determined.
///
/// # Errors
/// As [`Actor::start`].
pub(crate) fn prepare(
    store: Box<dyn Store>,
    mut follower: Follower,
    clock: Arc<dyn Clock>,
    settings: ActorSettings,
    writer: Writer,
) -> Result<(impl Future<Output = Result<(), ActorError>> + Send + 'static, Handle), ActorError> {
    follower.catch_up(store.as_ref())?;
    let (mailbox, messages) = mpsc::channel(settings.mailbox.max(1));
    let (publish, changes) = watch::channel(0);
    let ended = CancellationToken::new();
    let engine = follower.engine;
    let (connections, fitter) = (Connections::default(), Fitter::new(&mailbox)?);
    let logged = LogBound::new(clock.clone());
    let mut owner = Owner {
        logged,
        trail: Trail::default(),
        engine,
        store: Some(store),
        writer,
        asked: false,
        open: Batch::default(),
        clock: EngineClock::new(clock),
        settings,
        connections,
        fitter,
        publish,
        suspended: Span(0),
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
    /// Bounds what is logged of workers that report what others hold.
    logged: LogBound,
    trail: Trail,
    engine: Engine,
    /// Absent while a batch is being appended.
    store: Option<Box<dyn Store>>,
    writer: Writer,
    /// Whether that batch has queries.
    asked: bool,
    /// What was decided since that one.
    open: Batch,
    clock: EngineClock,
    settings: ActorSettings,
    connections: Connections,
    fitter: Fitter,
    publish: watch::Sender<u64>,
    /// How long the machine had been suspended at the last tick.
    suspended: Span,
}

impl Owner {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) -> Result<(), ActorError> {
        let mut waiting = Vec::with_capacity(self.settings.batch);
        let mut next_tick = Instant::now() + self.settings.tick;
        loop {
            let room = self.room();
            let received = tokio::select! {
                biased;
                written = self.writer.written(), if self.is_writing() => {
                    self.settle(written.ok_or(ActorError::Panicked)?).await?;
                    self.write().await?;
                    continue;
                }
                received = timeout_at(next_tick, messages.recv_many(&mut waiting, room)),
                    if room > 0 => received,
            };
            // Nobody is left to ask for a shutdown if the mailbox has no senders.
            let orphaned = received == Ok(0);
            self.gather(&mut messages, &mut waiting, room);
            let told = waiting.iter().any(|message| matches!(message, Message::Shutdown));
            self.decide(&mut waiting, &mut next_tick);
            self.write().await?;
            if told || orphaned {
                return self.finish(messages).await;
            }
        }
    }

    fn is_writing(&self) -> bool {
        self.store.is_none()
    }

    /// How many messages may be handled before the next append. None between a query and its answer.
    fn room(&self) -> usize {
        if self.asked || self.open.has_queries() {
            return 0;
        }
        self.settings.batch.max(1).saturating_sub(self.open.messages())
    }

    /// While a batch is being appended, waits a little for further messages.
    fn gather(
        &self,
        messages: &mut mpsc::Receiver<Message>,
        waiting: &mut Vec<Message>,
        room: usize,
    ) {
        if self.is_writing() {
            // Timers of the runtime are too coarse.
            std::thread::sleep(GATHERING);
            while waiting.len() < room
                && let Ok(message) = messages.try_recv()
            {
                waiting.push(message);
            }
        }
    }

    /// Steps messages, and the timer where it is due.
    fn decide(&mut self, waiting: &mut Vec<Message>, next_tick: &mut Instant) {
        let Self { engine, open, logged, suspended, .. } = self;
        // In this order: standing still between the two looks like standing still before, and
        // what follows is judged by a time that is not after the look.
        let mut now = self.clock.now();
        let slept = self.clock.suspended();
        let looked = Instant::now();
        let due = looked >= *next_tick;
        // How late a tick may be: a lease that its worker renews in time has more than this left.
        let tolerated = Duration::from_micros(self.settings.lease_length.0 / 4);
        // The clock of ticks stands still while the machine is suspended.
        let missed = Duration::from_micros(slept.0.saturating_sub(suspended.0));
        if looked + missed >= *next_tick + tolerated {
            *suspended = slept;
            // A machine that was suspended or starved, a store that hung: what workers have
            // sent meanwhile is not in the mailbox yet, and must not come too late.
            tracing::warn!("the coordinator stood still; leases get a full period of grace");
            now = self.clock.now();
            open.step(engine, now, Command::Stalled);
        }
        for message in waiting.drain(..) {
            for dropped in dropped_reports(engine.state(), &message) {
                if logged.allows() {
                    tracing::warn!("{dropped}");
                }
            }
            open.take(engine, now, message);
        }
        // Last, so that what has arrived in time counts however long it has waited.
        if due {
            *next_tick = looked + self.settings.tick;
            *suspended = slept;
            open.step(engine, now, Command::Tick);
        }
    }

    /// Hands on what was decided, unless a batch is being appended.
    async fn write(&mut self) -> Result<(), ActorError> {
        while !self.open.is_untouched()
            && let Some(store) = self.store.take()
        {
            let batch = std::mem::take(&mut self.open);
            self.asked = batch.has_queries();
            if let Some(written) = self.writer.write(store, batch) {
                self.settle(written).await?;
            }
        }
        Ok(())
    }

    /// Does what waited for a batch, or undoes it and what was decided since.
    async fn settle(&mut self, written: Written) -> Result<(), ActorError> {
        let Written { store, batch, result } = written;
        self.store = Some(store);
        self.asked = false;
        let Err(error) = result else {
            let changed = batch.is_visible();
            Trail::tell(self.engine.state(), batch.events());
            self.trail.look(self.engine.state(), self.clock.now());
            batch.release(
                self.engine.state(),
                &mut self.connections,
                &self.fitter,
                self.settings.lease_length,
            );
            if changed {
                self.publish.send_modify(|version| *version = version.wrapping_add(1));
            }
            return Ok(());
        };
        tracing::error!(%error, "the journal could not be written; the batch is undone");
        let mut queries = batch.fail(&error);
        queries.extend(std::mem::take(&mut self.open).fail(&error));
        self.connections.close_all(&Closed::StorageFailed);
        self.recover(error).await?;
        queries.into_iter().for_each(|query| query(self.engine.state()));
        Ok(())
    }

    /// Waits until nothing is being appended and nothing waits for it.
    async fn drain(&mut self) -> Result<(), ActorError> {
        self.write().await?;
        while self.is_writing() {
            let written = self.writer.written().await;
            self.settle(written.ok_or(ActorError::Panicked)?).await?;
            self.write().await?;
        }
        Ok(())
    }

    /// Handles what still waits, then ends all connections.
    async fn finish(mut self, mut messages: mpsc::Receiver<Message>) -> Result<(), ActorError> {
        messages.close();
        self.drain().await?;
        let now = self.clock.now();
        while let Ok(message) = messages.try_recv() {
            self.open.take(&mut self.engine, now, message);
        }
        self.drain().await?;
        self.connections.close_all(&Closed::ShuttingDown);
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
        let store = self.store.as_deref().ok_or(ActorError::Panicked)?;
        self.engine = rebuild(store, self.settings.engine())?;
        self.begin()
    }

    /// Verifies the state at the journal's end, and goes on from there.
    fn begin(&mut self) -> Result<(), ActorError> {
        self.engine.state().check().map_err(inconsistent)?;
        if let Some(behind) = self.clock.go_on_from(self.engine.state().now())
            && behind >= TOLERATED_LAG
        {
            tracing::warn!(
                %behind,
                "the clock is behind the journal, which was written by one that was ahead: leases, \
                 budgets and whatever else lasts go on from the journal's end, and the instants that \
                 are stored stay ahead of the clock by as much; tokens end by the clock"
            );
        }
        let mut batch = Batch::default();
        batch.step(&mut self.engine, self.clock.now(), Command::Start);
        let policy = Command::Govern(self.settings.policy.clone());
        batch.step(&mut self.engine, self.clock.now(), policy);
        let store = self.store.as_deref_mut().ok_or(ActorError::Panicked)?;
        for campaign in self.engine.state().campaigns() {
            store.know(campaign.id(), campaign.spec());
        }
        append(store, &batch)?;
        Trail::tell(self.engine.state(), batch.events());
        let (state, lease_length) = (self.engine.state(), self.settings.lease_length);
        batch.release(state, &mut self.connections, &self.fitter, lease_length);
        Ok(())
    }
}

fn inconsistent(mut found: Vec<Inconsistency>) -> ActorError {
    let more = found.len().saturating_sub(1);
    ActorError::Inconsistent { first: found.swap_remove(0), more }
}
