//! The agent: starts the slots and the connection, and runs them until it is told to leave.
//!
//! Must not decide about messages; the supervisor does.

use std::future::Future;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cambrian_core::id::AttemptId;
use cambrian_proto::v1::Capabilities;
use cambrian_transport::client::DialError;
use cambrian_transport::dial::Dialler;
use cambrian_transport::standby::Addresses;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use crate::artifacts::{Artifacts, Transfer};
use crate::backoff::{Backoff, jitter_seed};
use crate::capabilities;
use crate::config::{AgentConfig, EvaluatorCommand, Timing};
use crate::left_behind;
use crate::link::{Link, LinkEvent, LinkTiming};
use crate::opening::{self, Opened};
use crate::outbox::OutboxError;
use crate::queue::{SlotHealth, SlotIndex};
use crate::simulated::{SimulatedSlot, World};
use crate::slot::emptying::Emptying;
use crate::slot::group::Killing;
use crate::slot::{Slot, SlotCommand, SlotEvent, SlotTiming, memory};
use crate::state_dir::StateError;
use crate::storage::{self, Disk};
use crate::supervisor::{self, Supervisor, SupervisorTiming};

/// How long the slots' processes and the disk may take at the very end.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
const LINK_EVENTS: usize = 256;

/// Why an agent does not run.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The stored reports cannot be reached.
    #[error("the store of finished reports cannot be used: {0}")]
    Outbox(#[from] OutboxError),
    /// No coordinator is given.
    #[error("no coordinator is given; name one with --coordinator http://HOST:PORT")]
    NoCoordinator,
    /// A coordinator's address is malformed, or what is needed to dial it.
    #[error("the coordinator `{address}` cannot be dialled: {reason}")]
    Coordinator {
        /// As given.
        address: String,
        /// What is wrong and what to write.
        reason: DialError,
    },
    /// There are no slots.
    #[error("a worker needs at least one slot; set --slots to 1 or more")]
    NoSlots,
    /// No slot's evaluator starts.
    #[error(
        "the evaluator {} does not start: {reason}\nbuild or install it, or name another with \
         --evaluator or `evaluator.command`; its own messages are in the log above",
        program.display()
    )]
    NoEvaluator {
        /// The program.
        program: PathBuf,
        /// Why the lowest slot's one failed.
        reason: String,
    },
    /// A slot has ended by itself, which is a fault of this program.
    #[error(
        "a slot of this worker has ended by a fault of the worker: {0}\nwhat it had in work was handed \
         back; start the worker again, and report this with the log above"
    )]
    SlotEnded(String),
}

/// A worker agent, ready to run.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    /// In place of the machine.
    world: Option<World>,
}

/// The slots' ends that the agent holds.
struct Slots {
    offer: Arc<OnceLock<Capabilities>>,
    commands: Vec<mpsc::UnboundedSender<SlotCommand>>,
    events: mpsc::UnboundedReceiver<SlotEvent>,
    /// Dropping it kills the processes.
    tasks: JoinSet<()>,
}

/// Why no slot works at first.
enum FirstFault {
    Evaluator(String),
    Slot(String),
}

/// A worker at work: the supervisor, and all that it hears from.
struct Work {
    supervisor: Supervisor,
    link: mpsc::Receiver<LinkEvent>,
    /// Writes the reports to the disk.
    keeper: JoinHandle<()>,
    /// The reports that may be sent.
    stored: mpsc::UnboundedReceiver<AttemptId>,
    slot_events: mpsc::UnboundedReceiver<SlotEvent>,
    /// Dropping it kills the processes.
    slot_tasks: JoinSet<()>,
}

impl Agent {
    /// An agent as configured; nothing happens before it runs.
    #[must_use]
    pub fn new(config: AgentConfig) -> Self {
        Self { config, world: None }
    }

    /// The same in a simulated world. The configured evaluator is not started.
    #[must_use]
    pub fn simulated(config: AgentConfig, world: World) -> Self {
        Self { config, world: Some(world) }
    }

    /// Runs until `drain` is ready, then finishes what runs (for at most the configured time),
    /// reports it, says goodbye and returns. Dropping the future is as abrupt as a crash: evaluators
    /// are killed, stored reports stay stored.
    ///
    /// # Errors
    /// When the state directory or the configuration cannot be used, or no evaluator starts.
    pub async fn run(self, drain: impl Future<Output = ()>) -> Result<(), AgentError> {
        self.run_until(drain, std::future::pending()).await
    }

    /// [`Self::run`], and when `leave` is ready it hands everything back and returns at once.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_until(
        self,
        drain: impl Future<Output = ()>,
        leave: impl Future<Output = ()>,
    ) -> Result<(), AgentError> {
        let Self { config, world } = self;
        check_coordinators(&config)?;
        if config.slots == 0 {
            return Err(AgentError::NoSlots);
        }
        let disk = if world.is_some() { Disk::Here } else { Disk::REAL };
        let (mut drain, mut leave) = (pin!(drain), pin!(leave));
        let beginning = begin(&config, disk);
        let Some(opened) = unless_told(beginning, &mut drain, &mut leave).await else {
            return Ok(());
        };
        let opened = opened?;
        let mut slots = match &world {
            None => Slots::start(&config, &opened.name, &opened.mark),
            Some(world) => Slots::simulated(&config, world),
        };
        let Some(first) = unless_told(slots.first_health(), &mut drain, &mut leave).await else {
            return Ok(());
        };
        let healths = first.map_err(|fault| match fault {
            FirstFault::Slot(fault) => AgentError::SlotEnded(fault),
            FirstFault::Evaluator(reason) => {
                AgentError::NoEvaluator { program: config.evaluator.program.clone(), reason }
            }
        })?;
        let mut work = Work::start(&config, world, disk, opened, slots);
        work.hear_first(healths);
        let fault = work.until_done(drain, leave).await;
        work.end().await;
        fault.map_or(Ok(()), |fault| Err(AgentError::SlotEnded(fault)))
    }
}

impl Work {
    /// Announces what the slots offer, and connects them with the coordinator and the disk.
    fn start(
        config: &AgentConfig,
        world: Option<World>,
        disk: Disk,
        opened: Opened,
        slots: Slots,
    ) -> Self {
        let capabilities = capabilities::announced(
            slots.offer.get().unwrap_or(&Capabilities::default()),
            config.slots,
            &config.labels,
            config.memory(if world.is_none() { memory::available_bytes() } else { None }),
        );
        let (wall, dialler) = match world {
            None => (supervisor::wall as fn() -> u64, Dialler::System),
            Some(world) => (world.wall, world.dialler),
        };
        let Opened { state, name, mark: _, outbox, reports } = opened;
        let (storage, changes) = mpsc::unbounded_channel();
        let (sendable, stored) = mpsc::unbounded_channel();
        let keeper = tokio::spawn(storage::run(disk, outbox, changes, sendable));
        let (link_events, link) = mpsc::channel(LINK_EVENTS);
        tokio::spawn(dial(config, &name, dialler, link_events).run());
        let supervisor = Supervisor::new(
            name,
            (state, wall),
            capabilities,
            slots.commands,
            storage,
            reports,
            supervisor_timing(&config.timing),
        );
        let (slot_events, slot_tasks) = (slots.events, slots.tasks);
        Self { supervisor, link, keeper, stored, slot_events, slot_tasks }
    }

    /// Tells the supervisor how the first start of each slot went.
    fn hear_first(&mut self, healths: Vec<(SlotHealth, String)>) {
        for (slot, (health, reason)) in healths.into_iter().enumerate() {
            let slot = SlotIndex(slot as u32);
            self.supervisor.on_slot(SlotEvent::Health { slot, health, reason });
        }
    }

    /// Hands the supervisor what happens, one thing at a time, until it is done; why a slot has ended by
    /// itself, if one has.
    async fn until_done(
        &mut self,
        mut drain: Pin<&mut impl Future<Output = ()>>,
        mut leave: Pin<&mut impl Future<Output = ()>>,
    ) -> Option<String> {
        let Self { supervisor, link, keeper: _, stored, slot_events, slot_tasks } = self;
        let (mut drained, mut left, mut fault) = (false, false, None);
        while !supervisor.is_done() {
            tokio::select! {
                biased;
                () = at(supervisor.next_heartbeat()) => supervisor.on_heartbeat(),
                () = at(supervisor.deadline()) => supervisor.on_deadline(),
                () = &mut leave, if !left => {
                    left = true;
                    supervisor.on_leave();
                }
                () = &mut drain, if !drained => {
                    drained = true;
                    supervisor.on_drain();
                }
                Some(event) = link.recv() => supervisor.on_link(event),
                Some(id) = stored.recv() => supervisor.on_sendable(id),
                Some(event) = slot_events.recv() => supervisor.on_slot(event),
                // Nobody would report what it had in work, and heartbeats would hold it for ever.
                Some(Err(ended)) = slot_tasks.join_next() => {
                    error!("a slot has ended by a fault of this program: {ended}");
                    fault = Some(ended.to_string());
                    supervisor.on_leave();
                }
            }
            supervisor.go_on();
        }
        fault
    }

    /// Waits for the slots and the disk, which have been told to end.
    async fn end(mut self) {
        // A slot may have a result to say before.
        let slots_end = async { while self.slot_tasks.join_next().await.is_some() {} };
        if timeout(LAST_PATIENCE, slots_end).await.is_err() {
            warn!("evaluators that did not end are killed");
        }
        while let Ok(event) = self.slot_events.try_recv() {
            self.supervisor.on_slot(event);
        }
        // Closes the channel to the disk, which ends its task.
        drop(self.supervisor);
        if timeout(LAST_PATIENCE, &mut self.keeper).await.is_err() {
            warn!("the disk did not take the last changes of stored reports");
        }
        info!("worker ends");
    }
}

/// What `work` comes to, unless the worker is told to go before.
async fn unless_told<T>(
    work: impl Future<Output = T>,
    drain: impl Future<Output = ()>,
    leave: impl Future<Output = ()>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = drain => None,
        () = leave => None,
    }
}

/// All that comes before the first slot.
async fn begin(config: &AgentConfig, disk: Disk) -> Result<Opened, AgentError> {
    let opened = opening::open(config, disk).await?;
    let (slots, unsent_reports) = (config.slots, opened.reports.len());
    info!(worker = opened.name, slots, unsent_reports, "worker starts");
    if disk != Disk::Here {
        let EvaluatorCommand { program, arguments } = &config.evaluator;
        info!(program = %program.display(), ?arguments, "the command of its evaluators");
        left_behind::end(&opened.mark).await;
    }
    Ok(opened)
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn check_coordinators(config: &AgentConfig) -> Result<(), AgentError> {
    if config.coordinators.is_empty() {
        return Err(AgentError::NoCoordinator);
    }
    let check = |address: &String| {
        config
            .credentials
            .check(address)
            .map_err(|reason| AgentError::Coordinator { address: address.clone(), reason })
    };
    config.coordinators.iter().try_for_each(check)
}

fn supervisor_timing(timing: &Timing) -> SupervisorTiming {
    SupervisorTiming {
        drain: timing.drain,
        // To end, and to send what was left.
        yielding: (2 * timing.stop_grace).min(timing.drain / 2),
        acknowledgement: timing.acknowledgement,
    }
}

fn dial(
    config: &AgentConfig,
    name: &str,
    dialler: Dialler,
    events: mpsc::Sender<LinkEvent>,
) -> Link {
    let timing = &config.timing;
    Link {
        coordinators: Addresses::new(config.coordinators.clone()),
        credentials: config.credentials.clone(),
        dialler,
        timing: LinkTiming {
            connect: timing.connect,
            registration: timing.registration,
            settled: timing.reconnect_longest,
        },
        backoff: Backoff::new(
            timing.reconnect_first,
            timing.reconnect_longest,
            jitter_seed(name, u32::MAX),
        ),
        lease: None,
        events,
    }
}

impl Slots {
    fn start(config: &AgentConfig, name: &str, mark: &str) -> Self {
        let offer = Arc::new(OnceLock::new());
        let (say, events) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut commands = Vec::new();
        let timing = &config.timing;
        let artifacts = Artifacts::new(
            config.state_dir.join("artifacts"),
            config.cache_bytes,
            Transfer {
                coordinators: config.coordinators.clone(),
                credentials: config.credentials.clone(),
                connect: timing.connect,
            },
        );
        for index in 0..config.slots {
            let (sender, receiver) = mpsc::unbounded_channel();
            commands.push(sender);
            let mut launch = config.launch(SlotIndex(index));
            launch.environment.push((left_behind::VARIABLE.to_owned(), mark.to_owned()));
            let slot = Slot {
                index: SlotIndex(index),
                launch,
                emptying: Emptying::default(),
                killing: Killing::REAL,
                timing: SlotTiming {
                    hello: timing.hello,
                    stop_grace: timing.stop_grace,
                    progress_interval: timing.progress_interval,
                    saving: Some(timing.saving).filter(|every| !every.is_zero()),
                },
                backoff: Backoff::new(
                    timing.restart_first,
                    timing.restart_longest,
                    jitter_seed(name, index),
                ),
                offer: Arc::clone(&offer),
                artifacts: artifacts.clone(),
                commands: receiver,
                events: say.clone(),
                health: SlotHealth::Restarting,
            };
            tasks.spawn(slot.run());
        }
        Self { offer, commands, events, tasks }
    }

    /// Slots without processes.
    fn simulated(config: &AgentConfig, world: &World) -> Self {
        let offer = Arc::new(OnceLock::new());
        let (say, events) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut commands = Vec::new();
        for index in 0..config.slots {
            let (sender, receiver) = mpsc::unbounded_channel();
            commands.push(sender);
            let slot = SimulatedSlot {
                index: SlotIndex(index),
                evaluations: world.evaluations.clone(),
                offer: offer.clone(),
                commands: receiver,
                events: say.clone(),
            };
            tasks.spawn(slot.run());
        }
        Self { offer, commands, events, tasks }
    }

    /// Waits until every slot has said how its first start went; the reason of the lowest one if
    /// none works.
    async fn first_health(&mut self) -> Result<Vec<(SlotHealth, String)>, FirstFault> {
        let mut healths: Vec<Option<(SlotHealth, String)>> = vec![None; self.commands.len()];
        while healths.iter().any(Option::is_none) {
            let event = tokio::select! {
                biased;
                event = self.events.recv() => event,
                Some(Err(ended)) = self.tasks.join_next() => {
                    return Err(FirstFault::Slot(ended.to_string()));
                }
            };
            match event {
                Some(SlotEvent::Health { slot, health, reason }) => {
                    healths[slot.0 as usize] = Some((health, reason));
                }
                Some(
                    SlotEvent::Progress(_)
                    | SlotEvent::Saved(_)
                    | SlotEvent::Measured { .. }
                    | SlotEvent::Finished { .. },
                ) => {}
                None => return Err(FirstFault::Slot("it said nothing".to_owned())),
            }
        }
        let healths: Vec<_> = healths.into_iter().flatten().collect();
        if healths.iter().any(|(health, _)| *health == SlotHealth::Ready) {
            return Ok(healths);
        }
        let lowest = healths.into_iter().next();
        Err(FirstFault::Evaluator(lowest.map(|(_, reason)| reason).unwrap_or_default()))
    }
}
