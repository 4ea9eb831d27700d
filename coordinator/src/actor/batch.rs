//! The commands that share a transaction, and all that waits for it: replies, effects, queries.
//!
//! Must not know how events are stored, nor when.

use cambrian_core::engine::{Command, Effect, Engine, Event, Fit, State, Step};
use cambrian_core::id::{SessionId, WorkerId};
use cambrian_core::time::{Span, Timestamp};
use cambrian_proto::convert::worker::Registration;

use crate::connection::{Closed, Connection, Connections};
use crate::fitting::Fitter;
use crate::handle::{Answer, CallError, Message, Query, Reply};
use crate::store::StoreError;

/// Something that happens after the events are stored, in the order of the commands.
enum After {
    Reply(Reply, Result<Answer, CallError>),
    Open(WorkerId, Connection),
    Refuse(Connection, Closed),
    Close(WorkerId, SessionId, Closed),
    Forget(WorkerId, SessionId),
    Perform(Effect),
    Fit(Fit),
}

/// Commands that are handled and not yet stored.
#[derive(Default)]
pub(super) struct Batch {
    events: Vec<(Timestamp, Event)>,
    after: Vec<After>,
    queries: Vec<Query>,
    visible: bool,
    messages: usize,
    stepped: bool,
}

impl Batch {
    /// The durable events in order.
    pub(super) fn events(&self) -> &[(Timestamp, Event)] {
        &self.events
    }

    /// Whether people can see a difference; a heartbeat makes none.
    pub(super) fn is_visible(&self) -> bool {
        self.visible
    }

    /// How many messages it holds.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// Whether somebody asks for the state that it leads to.
    pub(super) fn has_queries(&self) -> bool {
        !self.queries.is_empty()
    }

    /// Whether nothing was handled with it, not even the timer.
    pub(super) fn is_untouched(&self) -> bool {
        self.messages == 0 && !self.stepped
    }

    /// Handles a message; what it asks for happens in [`Self::release`].
    pub(super) fn take(&mut self, engine: &mut Engine, now: Timestamp, message: Message) {
        self.messages += 1;
        match message {
            Message::Command(command, reply) => self.command(engine, now, *command, reply),
            Message::Tell(commands) => {
                for command in commands {
                    self.tell(engine, now, command);
                }
            }
            Message::Register(registration, connection, reply) => {
                self.register(engine, now, registration, connection, reply);
            }
            Message::Query(query) => self.queries.push(query),
            Message::Shutdown => {}
        }
    }

    /// Handles a command that nobody waits for.
    pub(super) fn step(&mut self, engine: &mut Engine, now: Timestamp, command: Command) {
        self.stepped = true;
        match engine.step(command, now) {
            Ok(step) => self.keep(step),
            Err(rejected) => tracing::error!(%rejected, "the engine rejected its own timer"),
        }
    }

    fn keep(&mut self, step: Step) {
        let Step { at, events, effects, fits } = step;
        for event in events {
            self.visible |= is_visible(&event);
            if event.is_durable() {
                self.events.push((at, event));
            }
        }
        self.after.extend(effects.into_iter().map(After::Perform));
        self.after.extend(fits.into_iter().map(After::Fit));
    }

    fn command(&mut self, engine: &mut Engine, now: Timestamp, command: Command, reply: Reply) {
        let submission = match &command {
            Command::SubmitCampaign { submission, .. } => Some(*submission),
            _ => None,
        };
        let answer = match engine.step(command, now) {
            Ok(step) => {
                self.keep(step);
                let campaign = submission.and_then(|found| engine.state().submitted_as(found));
                Ok(campaign.map_or(Answer::Done, Answer::Campaign))
            }
            Err(rejected) => Err(rejected.into()),
        };
        self.after.push(After::Reply(reply, answer));
    }

    fn tell(&mut self, engine: &mut Engine, now: Timestamp, command: Command) {
        let sender = sender(&command);
        let leaves =
            matches!(command, Command::WorkerDisconnected { .. } | Command::WorkerGoodbye { .. });
        match (engine.step(command, now), sender) {
            (Ok(step), sender) => {
                self.keep(step);
                if let Some((worker, session)) = sender.filter(|_| leaves) {
                    self.after.push(After::Forget(worker, session));
                }
            }
            (Err(rejected), Some((worker, session))) => {
                self.after.push(After::Close(worker, session, Closed::Rejected(rejected)));
            }
            (Err(rejected), None) => tracing::warn!(%rejected, "a command came to nothing"),
        }
    }

    fn register(
        &mut self,
        engine: &mut Engine,
        now: Timestamp,
        registration: Registration,
        connection: Connection,
        reply: Reply,
    ) {
        match engine.step(registration.into(), now) {
            Ok(step) => {
                let registered = step.events.iter().find_map(|event| match event {
                    Event::WorkerRegistered { worker, .. } => Some(*worker),
                    _ => None,
                });
                let answer = registered.map_or(Answer::Done, Answer::Worker);
                if let Some(worker) = registered {
                    // Before the effects of the registration, which go to this connection.
                    self.after.push(After::Open(worker, connection));
                }
                self.keep(step);
                self.after.push(After::Reply(reply, Ok(answer)));
            }
            Err(rejected) => {
                let why = Closed::Rejected(rejected.clone());
                self.after.push(After::Refuse(connection, why));
                self.after.push(After::Reply(reply, Err(rejected.into())));
            }
        }
    }

    /// The events are stored: does all that waited for that.
    pub(super) fn release(
        self,
        state: &State,
        connections: &mut Connections,
        fitter: &Fitter,
        lease_length: Span,
    ) {
        for after in self.after {
            match after {
                // Whoever has stopped waiting does not need the answer.
                After::Reply(reply, answer) => drop(reply.send(answer)),
                After::Open(worker, connection) => {
                    connections.open(worker, connection, lease_length);
                }
                After::Refuse(connection, why) => connection.refuse(why),
                After::Close(worker, session, why) => connections.close(worker, session, why),
                After::Forget(worker, session) => connections.forget(worker, session),
                After::Perform(effect) => connections.perform(effect),
                After::Fit(fit) => fitter.start(fit),
            }
        }
        for query in self.queries {
            query(state);
        }
    }

    /// The events are not stored: nothing that rests on them happens. Returns the queries, for the
    /// state that is rebuilt.
    pub(super) fn fail(self, error: &StoreError) -> Vec<Query> {
        let text: std::sync::Arc<str> = error.to_string().into();
        for after in self.after {
            match after {
                After::Reply(reply, _) => drop(reply.send(Err(CallError::Storage(text.clone())))),
                After::Open(_, connection) | After::Refuse(connection, _) => {
                    connection.refuse(Closed::StorageFailed);
                }
                After::Close(..) | After::Forget(..) | After::Perform(_) | After::Fit(_) => {}
            }
        }
        self.queries
    }
}

fn is_visible(event: &Event) -> bool {
    !matches!(
        event,
        Event::LeaseRenewed { .. }
            | Event::TimePassed
            | Event::WorkerSeen(_)
            | Event::CreditSet { .. }
            | Event::FitStarted { .. }
            | Event::ModelAdopted { .. }
    )
}

/// Those reports of a message that come to nothing because the task is another worker's, in words. The
/// engine acknowledges them all the same, so that whoever lost a lease says it once.
pub(super) fn dropped_reports(state: &State, message: &Message) -> Vec<String> {
    let Message::Tell(commands) = message else { return Vec::new() };
    let dropped = commands.iter().filter_map(|command| {
        let Command::Report { worker, task, attempt, .. } = command else { return None };
        let holder = state.task(*task)?.last_worker().filter(|holder| holder != worker)?;
        Some(format!(
            "report dropped: worker {worker} reports attempt {attempt} of task {task}, which worker \
             {holder} has"
        ))
    });
    dropped.collect()
}

/// The connection that a worker's command came on.
fn sender(command: &Command) -> Option<(WorkerId, SessionId)> {
    match command {
        Command::WorkerDisconnected { worker, session }
        | Command::WorkerGoodbye { worker, session }
        | Command::WorkerDrains { worker, session }
        | Command::Heartbeat { worker, session, .. }
        | Command::Ready { worker, session, .. }
        | Command::Progress { worker, session, .. }
        | Command::SaveState { worker, session, .. }
        | Command::Report { worker, session, .. } => Some((*worker, *session)),
        Command::Start
        | Command::Stalled
        | Command::SubmitCampaign { .. }
        | Command::PauseCampaign(_)
        | Command::ResumeCampaign(_)
        | Command::CancelCampaign(_)
        | Command::RegisterWorker { .. }
        | Command::ModelFitted { .. }
        | Command::DrainWorker { .. }
        | Command::ReleaseWorker(_)
        | Command::Govern(_)
        | Command::Tick => None,
    }
}
