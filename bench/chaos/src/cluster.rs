//! A cluster of real processes on loopback: one coordinator on SQLite or two on PostgreSQL, workers
//! with synthetic evaluators, wires between them, and a stream of campaigns so that there is always
//! something to lose.
//!
//! Must not know faults or what is checked afterwards.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cambrian_coordinator::store::place::Place;
use cambrian_proto::v1::campaign_service_client::CampaignServiceClient;
use cambrian_proto::v1::{ListCampaignsRequest, ListWorkersRequest, SubmitCampaignRequest};
use tempfile::TempDir;
use tonic::Code;

use crate::access::{Access, Wire};
use crate::audit::Attempt;
use crate::postgres_server::PostgresServer;
use crate::process::{Process, Program};
use crate::relay::{Conduct, Door, Relay};

/// How long a lease lasts without a sign of life.
pub(crate) const LEASE: Duration = Duration::from_secs(4);
/// Slots of each worker.
pub(crate) const SLOTS: u32 = 2;
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a question to the coordinator may take before it is asked again.
const ANSWER: Duration = Duration::from_secs(5);
const DATABASE: &str = "chaos";

/// What a cluster is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'p> {
    /// The folder of the programs.
    pub(crate) programs: &'p Path,
    /// How many workers.
    pub(crate) workers: usize,
    /// Two coordinators on PostgreSQL instead of one on SQLite.
    pub(crate) postgres: bool,
    /// With a certificate and tokens.
    pub(crate) secure: bool,
    /// Of the campaigns.
    pub(crate) seed: u64,
}

/// What runs.
pub(crate) struct Cluster {
    /// The coordinators.
    pub(crate) coordinators: Vec<Process>,
    /// The workers.
    pub(crate) workers: Vec<Process>,
    /// The database, where there is one besides the file.
    pub(crate) database: Option<PostgresServer>,
    /// The wires of each worker, one to each coordinator.
    wires: Vec<Vec<Relay>>,
    /// By coordinator.
    doors: Vec<Door>,
    /// The wires of the coordinators to the database.
    database_wires: Vec<Relay>,
    addresses: Vec<SocketAddr>,
    access: Access,
    channels: Vec<Wire>,
    /// The coordinator that answered last.
    asked: usize,
    folder: TempDir,
    campaigns: u32,
    promised: BTreeSet<Attempt>,
    victim: usize,
    seed: u64,
}

impl Cluster {
    /// Starts it; `None` if there is no PostgreSQL on this machine.
    ///
    /// # Errors
    /// When a process cannot be started or does not serve in time.
    pub(crate) async fn start(plan: &Plan<'_>) -> anyhow::Result<Option<Self>> {
        let database = if plan.postgres { PostgresServer::start() } else { None };
        if plan.postgres && database.is_none() {
            return Ok(None);
        }
        let mut cluster = Self::at_rest(plan, database)?;
        if let Some(database) = &cluster.database {
            database.database(DATABASE);
        }
        if plan.secure {
            let program = plan.programs.join("cambrian-coordinator");
            cluster.access =
                Access::secured(cluster.folder.path(), &program, &cluster.place_text())?;
        }
        cluster.lay_wires(plan.workers).await?;
        cluster.start_programs(plan).await?;
        cluster.acquaint().await?;
        Ok(Some(cluster))
    }

    /// A cluster in a folder of its own of which nothing runs but the database.
    fn at_rest(plan: &Plan<'_>, database: Option<PostgresServer>) -> anyhow::Result<Self> {
        let count = if plan.postgres { 2 } else { 1 };
        Ok(Self {
            coordinators: Vec::new(),
            workers: Vec::new(),
            database,
            wires: Vec::new(),
            doors: Vec::new(),
            database_wires: Vec::new(),
            addresses: free_addresses(count)?,
            access: Access::default(),
            channels: Vec::new(),
            asked: 0,
            folder: tempfile::tempdir()?,
            campaigns: 0,
            promised: BTreeSet::new(),
            victim: 0,
            seed: plan.seed,
        })
    }

    /// Lays the wires from here and from so many workers to each coordinator, and the door before each.
    async fn lay_wires(&mut self, workers: usize) -> anyhow::Result<()> {
        let wire = |address: &SocketAddr| self.access.wire(*address, ANSWER);
        self.channels = self.addresses.iter().map(wire).collect::<anyhow::Result<_>>()?;
        for _ in 0..workers {
            let mut wires = Vec::new();
            for address in &self.addresses {
                wires.push(Relay::to(*address).await?);
            }
            self.wires.push(wires);
        }
        for (index, address) in self.addresses.iter().enumerate() {
            let wires = self.wires.iter().map(|wires| &wires[index]);
            self.doors.push(Door::to(*address, wires).await?);
        }
        Ok(())
    }

    async fn start_programs(&mut self, plan: &Plan<'_>) -> anyhow::Result<()> {
        for index in 0..self.addresses.len() {
            let place = self.place_behind_a_wire().await?;
            let program = self.coordinator(plan.programs, index, &place);
            self.coordinators.push(Process::new(program, self.folder.path()));
            self.start_coordinator(index).await?;
        }
        for index in 0..plan.workers {
            let program = self.worker(plan.programs, index);
            let mut process = Process::new(program, self.folder.path());
            process.start()?;
            self.workers.push(process);
        }
        Ok(())
    }

    /// Lets the workers meet the coordinator twice: at the first registration they learn how long
    /// leases last, and with that how soon a silent coordinator has to be noticed.
    async fn acquaint(&mut self) -> anyhow::Result<()> {
        self.until_registered().await?;
        let leader = self.leader();
        self.coordinators[leader].terminate(PATIENCE)?;
        self.start_coordinator(leader).await?;
        self.until_registered().await
    }

    /// Whether the leader refuses whoever shows no token.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(crate) async fn refuses_strangers(&self) -> anyhow::Result<bool> {
        let wire = self.access.stranger(self.addresses[self.leader()], ANSWER)?;
        let answer = CampaignServiceClient::new(wire).list_campaigns(ListCampaignsRequest {}).await;
        match answer {
            Ok(_) => Ok(false),
            Err(status) if status.code() == Code::Unauthenticated => Ok(true),
            Err(status) => Err(status.into()),
        }
    }

    async fn until_registered(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let list = self.asked(|channel| {
                let mut client = CampaignServiceClient::new(channel);
                async move { client.list_workers(ListWorkersRequest {}).await }
            });
            let workers = list.await?.workers;
            if workers.iter().filter(|worker| worker.connected).count() == self.workers.len() {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!("the workers do not register\n{}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where a coordinator finds the store: the file, or the database behind a wire of its own.
    async fn place_behind_a_wire(&mut self) -> anyhow::Result<String> {
        let Some(database) = &self.database else {
            return Ok(self.file().display().to_string());
        };
        let wire = Relay::to(database.address()).await?;
        let place = format!("postgresql://cambrian@{}/{DATABASE}", wire.address());
        self.database_wires.push(wire);
        Ok(place)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("journal.sqlite")
    }

    fn coordinator(&self, programs: &Path, index: usize, place: &str) -> Program {
        let option = |option: &str, value: &dyn std::fmt::Display| format!("--{option}={value}");
        let arguments = [
            option("listen", &self.addresses[index]),
            option("database", &place),
            option("lease-seconds", &LEASE.as_secs()),
            option("endpoint", &self.access.url(self.doors[index].address())),
        ];
        Program {
            name: format!("coordinator-{index}"),
            path: programs.join("cambrian-coordinator"),
            arguments: [&arguments[..], &self.access.of_coordinator()].concat(),
        }
    }

    fn worker(&self, programs: &Path, index: usize) -> Program {
        let folder = self.folder.path();
        let name = worker_name(index);
        let coordinators: Vec<_> =
            self.wires[index].iter().map(|wire| self.access.url(wire.address())).collect();
        let option = |option: &str, value: &dyn std::fmt::Display| format!("--{option}={value}");
        let arguments = [
            option("coordinator", &coordinators.join(",")),
            option("name", &name),
            option("state-dir", &folder.join(&name).display()),
            option("slots", &SLOTS),
            option("gate-dir", &folder.display()),
            option("evaluator", &programs.join("cambrian-evaluator-synthetic").display()),
            option("evaluator-arg", &"--evidence"),
            option("evaluator-arg", &folder.join("evidence").display()),
        ];
        Program {
            name,
            path: programs.join("cambrian-worker"),
            arguments: [&arguments[..], &self.access.of_worker()].concat(),
        }
    }

    /// Where the store is, without a wire.
    pub(crate) fn place(&self) -> Place {
        match &self.database {
            Some(database) => database.url(DATABASE).into(),
            None => self.file().as_path().into(),
        }
    }

    fn place_text(&self) -> String {
        match &self.database {
            Some(database) => database.url(DATABASE),
            None => self.file().display().to_string(),
        }
    }

    /// The coordinator that answered last: the leader, if that has not just changed.
    pub(crate) fn leader(&self) -> usize {
        self.asked
    }

    /// The worker that a fault hits: the drawn one, or its neighbour if that was hit last, so that
    /// each fault is one and not the prolongation of another.
    pub(crate) fn next_victim(&mut self, drawn: usize) -> usize {
        let same = drawn == self.victim;
        self.victim = if same { (drawn + 1) % self.workers.len() } else { drawn };
        self.victim
    }

    /// Where evaluators note what they have finished.
    pub(crate) fn evidence(&self) -> PathBuf {
        self.folder.path().join("evidence")
    }

    /// Starts a coordinator and waits until it listens.
    ///
    /// # Errors
    /// When it ends or does not listen in time.
    pub(crate) async fn start_coordinator(&mut self, index: usize) -> anyhow::Result<()> {
        self.coordinators[index].start()?;
        let started = Instant::now();
        while tokio::net::TcpStream::connect(self.addresses[index]).await.is_err() {
            if let Some(status) = self.coordinators[index].ended()? {
                bail!("a coordinator ended: {status}\n{}", self.last_words());
            }
            if started.elapsed() > PATIENCE {
                bail!("a coordinator does not listen\n{}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Starts again whatever has ended by itself, as a supervisor of services does.
    ///
    /// # Errors
    /// As [`Self::start_coordinator`].
    pub(crate) async fn revive(&mut self) -> anyhow::Result<()> {
        for index in 0..self.coordinators.len() {
            if self.coordinators[index].ended()?.is_some() {
                self.start_coordinator(index).await?;
            }
        }
        for worker in &mut self.workers {
            if worker.ended()?.is_some() {
                worker.start()?;
            }
        }
        Ok(())
    }

    /// Lets the wire between a coordinator and the database misbehave for a while.
    pub(crate) async fn disturb_database(
        &mut self,
        coordinator: usize,
        conduct: Conduct,
        during: Duration,
    ) {
        self.database_wires[coordinator].set(conduct);
        tokio::time::sleep(during).await;
        self.database_wires[coordinator].set(Conduct::Pass);
    }

    /// Lets the wires of a worker misbehave for a while.
    pub(crate) async fn disturb(&mut self, worker: usize, conduct: Conduct, during: Duration) {
        self.set_wires(worker, conduct);
        tokio::time::sleep(during).await;
        self.set_wires(worker, Conduct::Pass);
    }

    /// From now on the wires of a worker do this.
    pub(crate) fn set_wires(&self, worker: usize, conduct: Conduct) {
        self.wires[worker].iter().for_each(|wire| wire.set(conduct));
    }

    /// Waits until a report lies on the disk of a worker, at most so long: it may have no work.
    pub(crate) async fn await_reports(&self, worker: usize, at_most: Duration) {
        let started = Instant::now();
        while self.reports_of(worker).next().is_none() && started.elapsed() < at_most {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Remembers the reports on the disk of a worker that has ended: each has to count.
    pub(crate) fn promise_reports(&mut self, worker: usize) {
        let reports: Vec<Attempt> = self.reports_of(worker).collect();
        self.promised.extend(reports);
    }

    /// Attempts whose reports lay on the disk of a worker when it was killed.
    pub(crate) fn promised(&self) -> &BTreeSet<Attempt> {
        &self.promised
    }

    /// The files of the outbox are called `TASK-ATTEMPT.report`.
    fn reports_of(&self, worker: usize) -> impl Iterator<Item = Attempt> {
        let outbox = self.folder.path().join(worker_name(worker)).join("outbox");
        let files = std::fs::read_dir(outbox).into_iter().flatten().flatten();
        files.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            let (task, attempt) = name.strip_suffix(".report")?.split_once('-')?;
            Some((task.parse().ok()?, attempt.parse().ok()?))
        })
    }

    /// Submits another campaign if every one is finished; asked again until it is there once.
    ///
    /// # Errors
    /// When the coordinator cannot be asked in time or refuses.
    pub(crate) async fn keep_busy(&mut self) -> anyhow::Result<()> {
        if self.unfinished().await? > 0 {
            return Ok(());
        }
        self.campaigns += 1;
        let request = SubmitCampaignRequest {
            yaml: campaign(self.campaigns, self.seed),
            submission: submission(self.seed, self.campaigns),
        };
        let answer = self.asked(|channel| {
            let request = request.clone();
            async move { CampaignServiceClient::new(channel).submit_campaign(request).await }
        });
        let faults = answer.await?.faults;
        if !faults.is_empty() {
            bail!("the campaign was refused: {faults:?}");
        }
        Ok(())
    }

    /// How many campaigns were submitted.
    #[must_use]
    pub(crate) fn campaigns(&self) -> u32 {
        self.campaigns
    }

    /// How many campaigns are not finished.
    async fn unfinished(&mut self) -> anyhow::Result<usize> {
        let list = self.asked(|channel| {
            let client = CampaignServiceClient::new(channel);
            let mut client = client.max_decoding_message_size(64 << 20);
            async move { client.list_campaigns(ListCampaignsRequest {}).await }
        });
        let campaigns = list.await?.campaigns;
        Ok(campaigns.iter().filter(|campaign| campaign.finished_at_micros == 0).count())
    }

    /// Waits until every campaign has finished by itself.
    ///
    /// # Errors
    /// When one does not.
    pub(crate) async fn finish(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.unfinished().await? > 0 {
            if started.elapsed() > PATIENCE {
                bail!("a campaign does not finish by itself\n{}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Asks one coordinator after the other until there is an answer, since they may be away.
    async fn asked<A, F>(&mut self, mut ask: impl FnMut(Wire) -> F) -> anyhow::Result<A>
    where
        F: Future<Output = Result<tonic::Response<A>, tonic::Status>>,
    {
        let started = Instant::now();
        loop {
            match ask(self.channels[self.asked].clone()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if started.elapsed() > PATIENCE => {
                    return Err(status).context(self.last_words());
                }
                Err(_) => {
                    self.asked = (self.asked + 1) % self.channels.len();
                    self.revive().await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Ends every process without warning; what is on the disks is what counts.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.coordinators.iter_mut().chain(&mut self.workers).try_for_each(Process::kill)
    }

    /// Copies every log to a folder, which is made.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub(crate) fn keep_logs(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        self.coordinators
            .iter()
            .chain(&self.workers)
            .try_for_each(|process| process.keep_log(folder))
    }

    /// The last lines of every log.
    #[must_use]
    pub(crate) fn last_words(&self) -> String {
        self.coordinators.iter().chain(&self.workers).map(Process::last_words).collect()
    }
}

/// So many addresses on loopback that nobody listens at, taken once so that every restart listens where the workers
/// look for it.
fn free_addresses(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let free: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    Ok(free.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?)
}

/// Also that of the folder of its state.
fn worker_name(index: usize) -> String {
    format!("worker-{index}")
}

/// Small campaigns in a row, so that beginnings and ends meet faults as well. Attempts are many:
/// bad luck must not fail a candidate.
fn campaign(number: u32, seed: u64) -> String {
    format!(
        "version: 1
name: chaos-{number}
seed: {}
space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}
objectives: [accuracy, latency]
algorithm: {{kind: nsga2, population: 16}}
stages:
  - evaluator: synthetic
    measures: [accuracy, latency]
    timeout: 1m
    settings: {{seconds: 0.2, spread: 0.5}}
budget: {{evaluations: 120}}
failures: {{attempts: 20}}
",
        seed.wrapping_add(u64::from(number)) % 1_000_000
    )
}

/// The same 16 bytes whenever the submission is sent.
fn submission(seed: u64, number: u32) -> Vec<u8> {
    let mut bytes = seed.to_be_bytes().to_vec();
    bytes.extend(u64::from(number).to_be_bytes());
    bytes
}
