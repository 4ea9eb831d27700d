//! A simulated worker: the real protocol on a connection of its own, evaluations that take no time or
//! only pass it.
//!
//! It keeps to what `WorkerService.Work` asks for: Register first, heartbeats at a quarter of the
//! lease, credit, reports kept until they are acknowledged and sent again after a reconnect. Must
//! not know how a run is steered or shown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cambrian_proto::v1;
use cambrian_proto::v1::coordinator_message::Message as Down;
use cambrian_proto::v1::worker_message::Message as Up;
use cambrian_proto::v1::worker_service_client::WorkerServiceClient;
use cambrian_transport::client::Credentials;
use cambrian_transport::standby::{Addresses, Next, Standby};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::tally::{Resumption, Tally};

/// As real workers do: four heartbeats a lease, and never rarer than every ten seconds.
const HEARTBEATS_PER_LEASE: u32 = 4;
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(10);
const OUTGOING: usize = 4_096;
const GOODBYE: Duration = Duration::from_secs(5);
/// Before a stream is opened again, up to twice that.
const PAUSE: Duration = Duration::from_millis(200);
const CONNECT: Duration = Duration::from_secs(30);
/// Much longer than any run.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What all simulated workers have in common.
#[derive(Debug)]
pub(super) struct Fleet {
    /// Coordinators, of which one leads.
    pub(super) endpoints: Vec<String>,
    pub(super) credentials: Credentials,
    /// Evaluations at once.
    pub(super) slots: u32,
    /// Tasks that wait beyond those.
    pub(super) prefetch: u32,
    /// How long an evaluation takes.
    pub(super) duration: Duration,
    /// Durations are drawn evenly from that times 1 ± this.
    pub(super) jitter: f64,
    pub(super) tally: Tally,
    /// Connections that are being made; too many at once overflow the listener's queue.
    pub(super) dialling: Semaphore,
    pub(super) phase: watch::Receiver<Phase>,
}

/// What workers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Be connected and take nothing.
    Idle,
    /// Work.
    Work,
    /// Say goodbye.
    Leave,
}

/// Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators": a well mixed
/// function of `seed`.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// From 0 to 1, without 1.
fn unit(seed: u64) -> f64 {
    (mixed(seed) >> 11) as f64 / (1u64 << 53) as f64
}

/// How long the evaluation with this seed takes.
fn length(duration: Duration, jitter: f64, seed: u64) -> Duration {
    duration.mul_f64(1.0 + jitter * (2.0 * unit(seed ^ 1) - 1.0))
}

fn capabilities(slots: u32) -> v1::Capabilities {
    let provenance = v1::Provenance { source: "simulated".into(), device_class: String::new() };
    let metrics = ["f1", "f2"].map(|metric| (metric.to_owned(), provenance.clone()));
    let offer = v1::EvaluatorOffer {
        name: "problem".into(),
        version: "1".into(),
        metrics: metrics.into(),
        yields: false,
    };
    v1::Capabilities {
        device_class: "simulated".into(),
        slots,
        evaluators: vec![offer],
        ..Default::default()
    }
}

/// A result that depends on the candidate's seed alone.
pub(super) fn report(assignment: &v1::Assignment, elapsed: Duration) -> v1::Report {
    let measurement = |index: u64| v1::Measurement {
        metric: format!("f{index}"),
        value: unit(assignment.seed.wrapping_add(index)),
        spread: None,
        provenance: Some(v1::Provenance {
            source: "simulated".into(),
            device_class: String::new(),
        }),
    };
    let measured = v1::Measurements { measurements: vec![measurement(1), measurement(2)] };
    v1::Report {
        task: assignment.task,
        attempt: assignment.attempt,
        outcome: Some(v1::Outcome {
            outcome: Some(v1::outcome::Outcome::Measured(measured)),
            elapsed_micros: elapsed.as_micros() as u64,
            ..v1::Outcome::default()
        }),
        ..v1::Report::default()
    }
}

type Key = (u64, u32);
/// Both halves of a stream.
type Opened = (mpsc::Sender<v1::WorkerMessage>, Streaming<v1::CoordinatorMessage>);

/// One worker.
pub(super) struct Worker {
    fleet: Arc<Fleet>,
    index: u32,
    name: String,
    coordinators: Addresses,
    /// When the present stream was registered, until its first report is acknowledged.
    resuming: Option<Instant>,
    running: BTreeMap<Key, (Box<v1::Assignment>, Instant)>,
    ends: BinaryHeap<Reverse<(Instant, Key)>>,
    waiting: VecDeque<Box<v1::Assignment>>,
    /// Reports that are not acknowledged, with when they were sent.
    unacknowledged: BTreeMap<Key, (v1::Report, Instant)>,
    /// When each announced and unanswered unit of credit was announced; the first ones wait for the
    /// campaign and are not timed.
    credit: VecDeque<Option<Instant>>,
}

/// How a stream ended.
enum End {
    /// By the worker's goodbye.
    Left,
    /// Before the worker was registered, perhaps by a coordinator that stands by.
    Unopened(Option<Standby>),
    /// Before its time.
    Broken,
}

impl Worker {
    pub(super) fn new(fleet: Arc<Fleet>, index: u32) -> Self {
        Self {
            index,
            name: format!("simulated-{index:05}"),
            coordinators: Addresses::new(fleet.endpoints.clone()),
            fleet,
            resuming: None,
            running: BTreeMap::new(),
            ends: BinaryHeap::new(),
            waiting: VecDeque::new(),
            unacknowledged: BTreeMap::new(),
            credit: VecDeque::new(),
        }
    }

    /// Works until it is told to leave.
    pub(super) async fn run(mut self) {
        loop {
            let next = match self.session().await {
                End::Left => return,
                End::Broken => {
                    self.fleet.tally.reconnected.fetch_add(1, Relaxed);
                    self.coordinators.served();
                    Next::Pause { soon: true }
                }
                End::Unopened(refusal) => self.coordinators.failed(refusal.as_ref()),
            };
            if *self.fleet.phase.borrow() == Phase::Leave {
                return;
            }
            if let Next::Pause { .. } = next {
                sleep(PAUSE.mul_f64(1.0 + unit(mixed_name(&self.name)))).await;
            }
        }
    }

    fn holding(&self) -> Vec<v1::TaskAttempt> {
        let waiting = self.waiting.iter().map(|found| (found.task, found.attempt));
        let keys = self.unacknowledged.keys().chain(self.running.keys()).copied().chain(waiting);
        keys.map(|(task, attempt)| v1::TaskAttempt { task, attempt }).collect()
    }

    async fn session(&mut self) -> End {
        let (up, mut down) = match self.open().await {
            Ok(opened) => opened,
            Err(status) => return End::Unopened(status.and_then(|status| Standby::of(&status))),
        };
        let Ok(Ok(Some(v1::CoordinatorMessage { message: Some(Down::Registered(registered)) }))) =
            timeout(CONNECT, down.message()).await
        else {
            return End::Unopened(None);
        };
        self.resuming = Some(Instant::now());
        self.fleet.tally.registered.fetch_add(1, Relaxed);
        let end = self.serve(&up, &mut down, registered.lease_micros).await;
        self.fleet.tally.registered.fetch_sub(1, Relaxed);
        if let End::Left = end {
            say(&up, Up::Goodbye(v1::Goodbye {}));
            drop(up);
            // The coordinator closes the stream; if it has gone itself, that is as good.
            let _ =
                timeout(GOODBYE, async { while let Ok(Some(_)) = down.message().await {} }).await;
        }
        end
    }

    /// Dials the present coordinator and sends the registration.
    ///
    /// # Errors
    /// The status of a coordinator that refuses; nothing if there is no answer.
    async fn open(&self) -> Result<Opened, Option<Status>> {
        let _dialling = self.fleet.dialling.acquire().await.map_err(|_| None)?;
        let endpoint = self.fleet.credentials.endpoint(self.coordinators.present());
        let endpoint = endpoint.map_err(|_| None)?.tcp_nodelay(true);
        let bearer = self.fleet.credentials.bearer().map_err(|_| None)?;
        let channel = timeout(CONNECT, endpoint.connect()).await;
        let channel = channel.map_err(|_| None)?.map_err(|_| None)?;
        let mut client = WorkerServiceClient::with_interceptor(channel, bearer);
        let (up, messages) = mpsc::channel(OUTGOING);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        say(
            &up,
            Up::Register(v1::Register {
                name: self.name.clone(),
                session: now.as_micros() as u64,
                capabilities: Some(capabilities(self.fleet.slots)),
                holding: self.holding(),
            }),
        );
        let answer = timeout(CONNECT, client.work(ReceiverStream::new(messages))).await;
        Ok((up, answer.map_err(|_| None)?.map_err(Some)?.into_inner()))
    }

    async fn serve(
        &mut self,
        up: &mpsc::Sender<v1::WorkerMessage>,
        down: &mut Streaming<v1::CoordinatorMessage>,
        lease_micros: u64,
    ) -> End {
        let fleet = self.fleet.clone();
        let mut phase = fleet.phase.clone();
        let interval =
            (Duration::from_micros(lease_micros) / HEARTBEATS_PER_LEASE).min(LONGEST_HEARTBEAT);
        // Spread, as workers are that were started at different times.
        let mut due = Instant::now() + interval.mul_f64(unit(mixed_name(&self.name)));
        let mut heartbeat = pin!(sleep_until(due));
        let mut finish = pin!(sleep_until(Instant::now() + NEVER));
        for (report, sent) in self.unacknowledged.values_mut() {
            *sent = Instant::now();
            say(up, Up::Report(report.clone()));
        }
        self.credit.clear();
        let mut working = false;
        loop {
            if !working && *phase.borrow_and_update() == Phase::Work {
                working = true;
                let held = (self.running.len() + self.waiting.len()) as u32;
                self.announce(up, (fleet.slots + fleet.prefetch).saturating_sub(held), None);
            }
            // Also of what runs since an earlier stream.
            if let Some(Reverse((end, _))) = self.ends.peek()
                && finish.deadline() != *end
            {
                finish.as_mut().reset(*end);
            } else if self.ends.is_empty() && finish.is_elapsed() {
                finish.as_mut().reset(Instant::now() + NEVER);
            }
            tokio::select! {
                received = down.message() => match received {
                    Ok(Some(v1::CoordinatorMessage { message: Some(message) })) => {
                        self.hear(up, message);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return End::Broken,
                },
                () = &mut finish => self.finish_due(up),
                () = &mut heartbeat => {
                    fleet.tally.heartbeat_delay.add(due.elapsed());
                    say(up, Up::Heartbeat(v1::Heartbeat { holding: self.holding() }));
                    due = Instant::now() + interval;
                    heartbeat.as_mut().reset(due);
                }
                changed = phase.changed() => {
                    if changed.is_err() || *phase.borrow() == Phase::Leave {
                        return End::Left;
                    }
                }
            }
        }
    }

    fn announce(&mut self, up: &mpsc::Sender<v1::WorkerMessage>, credit: u32, at: Option<Instant>) {
        if credit > 0 {
            self.credit.extend((0..credit).map(|_| at));
            say(up, Up::Ready(v1::Ready { credit }));
        }
    }

    fn hear(&mut self, up: &mpsc::Sender<v1::WorkerMessage>, message: Down) {
        let tally = &self.fleet.tally;
        match message {
            Down::Assign(v1::Assign { assignment: Some(assignment) }) => {
                if tally.assigned.fetch_add(1, Relaxed) == 0 {
                    let _first = tally.example.set(assignment.clone());
                }
                if let Some(Some(announced)) = self.credit.pop_front() {
                    tally.assignment.add(announced.elapsed());
                }
                self.waiting.push_back(Box::new(assignment));
                self.begin(up);
            }
            Down::Acknowledged(v1::Acknowledged { task, attempt }) => {
                if let Some(registered) = self.resuming.take() {
                    let at = Instant::now();
                    tally.resumed(Resumption { worker: self.index, registered, at });
                }
                if let Some((_, sent)) = self.unacknowledged.remove(&(task, attempt)) {
                    tally.acknowledgement.add(sent.elapsed());
                    tally.acknowledged.fetch_add(1, Relaxed);
                }
            }
            Down::Stop(v1::Stop { task, attempt, .. }) => {
                tally.stopped.fetch_add(1, Relaxed);
                let held = self.running.remove(&(task, attempt));
                let waited = self.waiting.len();
                self.waiting.retain(|found| (found.task, found.attempt) != (task, attempt));
                if held.is_some() {
                    tally.busy.fetch_sub(1, Relaxed);
                }
                if held.is_some() || self.waiting.len() < waited {
                    self.announce(up, 1, Some(Instant::now()));
                }
                self.begin(up);
            }
            Down::Assign(_) | Down::Registered(_) | Down::Drain(_) => {}
        }
    }

    /// Begins what waits, as far as slots are free.
    fn begin(&mut self, up: &mpsc::Sender<v1::WorkerMessage>) {
        while (self.running.len() as u32) < self.fleet.slots {
            let Some(assignment) = self.waiting.pop_front() else { return };
            let now = Instant::now();
            if self.fleet.duration.is_zero() {
                self.deliver(up, &assignment, now);
                continue;
            }
            let key = (assignment.task, assignment.attempt);
            let end = now + length(self.fleet.duration, self.fleet.jitter, assignment.seed);
            self.ends.push(Reverse((end, key)));
            self.running.insert(key, (assignment, now));
            self.fleet.tally.busy.fetch_add(1, Relaxed);
        }
    }

    fn finish_due(&mut self, up: &mpsc::Sender<v1::WorkerMessage>) {
        while let Some(Reverse((end, key))) = self.ends.peek().copied() {
            if end > Instant::now() {
                break;
            }
            self.ends.pop();
            if let Some((assignment, since)) = self.running.remove(&key) {
                self.fleet.tally.busy.fetch_sub(1, Relaxed);
                self.deliver(up, &assignment, since);
            }
            self.begin(up);
        }
    }

    fn deliver(
        &mut self,
        up: &mpsc::Sender<v1::WorkerMessage>,
        assignment: &v1::Assignment,
        since: Instant,
    ) {
        let now = Instant::now();
        let report = report(assignment, now - since);
        say(up, Up::Report(report.clone()));
        self.unacknowledged.insert((report.task, report.attempt), (report, now));
        self.announce(up, 1, Some(now));
    }
}

fn mixed_name(name: &str) -> u64 {
    name.bytes().fold(0, |sum, byte| mixed(sum ^ u64::from(byte)))
}

/// A queue that is full or closed belongs to a stream that ends; what matters is said again on the
/// next.
fn say(up: &mpsc::Sender<v1::WorkerMessage>, message: Up) {
    let _ = up.try_send(v1::WorkerMessage { message: Some(message) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seeded_and_stay_within_their_jitter() {
        let five = Duration::from_secs(5);
        let lengths: Vec<Duration> = (0..1_000).map(|seed| length(five, 0.2, seed)).collect();
        assert_eq!(lengths, (0..1_000).map(|seed| length(five, 0.2, seed)).collect::<Vec<_>>());
        let (low, high) = (Duration::from_secs(4), Duration::from_secs(6));
        assert!(lengths.iter().all(|found| (low..=high).contains(found)));
        let mean = lengths.iter().sum::<Duration>().as_secs_f64() / 1_000.0;
        assert!((mean - 5.0).abs() < 0.1, "{mean}");
        assert_eq!(length(five, 0.0, 7), five);
    }
}
