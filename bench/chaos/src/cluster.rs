//! A cluster of real processes on loopback: a coordinator, workers with synthetic evaluators, a
//! wire for each worker, and a stream of campaigns so that there is always something to lose.
//!
//! Must not know faults or what is checked afterwards.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cambrian_proto::v1::campaign_service_client::CampaignServiceClient;
use cambrian_proto::v1::{ListCampaignsRequest, SubmitCampaignRequest};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::process::{Process, Program};
use crate::relay::{Conduct, Relay};

/// How long a lease lasts without a sign of life.
pub(crate) const LEASE: Duration = Duration::from_secs(4);
/// Slots of each worker.
pub(crate) const SLOTS: u32 = 2;
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a question to the coordinator may take before it is asked again.
const ANSWER: Duration = Duration::from_secs(5);

/// What runs.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The coordinator.
    pub(crate) coordinator: Process,
    /// The workers.
    pub(crate) workers: Vec<Process>,
    wires: Vec<Relay>,
    address: SocketAddr,
    channel: Channel,
    folder: TempDir,
    campaigns: u32,
    victim: usize,
    seed: u64,
}

impl Cluster {
    /// Starts it from the programs in a folder.
    ///
    /// # Errors
    /// When a process cannot be started or does not serve in time.
    pub(crate) async fn start(programs: &Path, workers: usize, seed: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Taken once so that every restart listens where the workers look for it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(ANSWER)
            .timeout(ANSWER)
            .connect_lazy();
        let coordinator =
            Process::new(coordinator(programs, folder.path(), address), folder.path());
        let mut wires = Vec::new();
        let mut processes = Vec::new();
        for index in 0..workers {
            let wire = Relay::to(address).await?;
            let program = worker(programs, folder.path(), index, wire.address());
            processes.push(Process::new(program, folder.path()));
            wires.push(wire);
        }
        let mut cluster = Self {
            coordinator,
            workers: processes,
            wires,
            address,
            channel,
            folder,
            campaigns: 0,
            victim: 0,
            seed,
        };
        cluster.start_coordinator().await?;
        for worker in &mut cluster.workers {
            worker.start()?;
        }
        Ok(cluster)
    }

    /// The worker that a fault hits: the drawn one, or its neighbour if that was hit last, so that
    /// each fault is one and not the prolongation of another.
    pub(crate) fn next_victim(&mut self, drawn: usize) -> usize {
        let same = drawn == self.victim;
        self.victim = if same { (drawn + 1) % self.workers.len() } else { drawn };
        self.victim
    }

    /// The journal's file.
    #[must_use]
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.sqlite")
    }

    /// Where evaluators note what they have finished.
    #[must_use]
    pub(crate) fn evidence(&self) -> PathBuf {
        self.folder.path().join("evidence")
    }

    /// Starts the coordinator and waits until it listens.
    ///
    /// # Errors
    /// When it ends or does not listen in time.
    pub(crate) async fn start_coordinator(&mut self) -> anyhow::Result<()> {
        self.coordinator.start()?;
        let started = Instant::now();
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.coordinator.ended()? {
                bail!("the coordinator ended: {status}\n{}", self.last_words());
            }
            if started.elapsed() > PATIENCE {
                bail!("the coordinator does not listen\n{}", self.last_words());
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
        if self.coordinator.ended()?.is_some() {
            self.start_coordinator().await?;
        }
        for worker in &mut self.workers {
            if worker.ended()?.is_some() {
                worker.start()?;
            }
        }
        Ok(())
    }

    /// Lets the wire of a worker misbehave for a while.
    ///
    /// # Errors
    /// Never; the form is that of the other faults.
    pub(crate) async fn disturb(
        &mut self,
        worker: usize,
        conduct: Conduct,
        during: Duration,
    ) -> anyhow::Result<()> {
        self.wires[worker].set(conduct);
        tokio::time::sleep(during).await;
        self.wires[worker].set(Conduct::Pass);
        Ok(())
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
        let channel = self.channel.clone();
        let answer = self.asked(|| {
            let (channel, request) = (channel.clone(), request.clone());
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
        let channel = self.channel.clone();
        let list = self.asked(|| {
            let client = CampaignServiceClient::new(channel.clone());
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

    /// Asks until there is an answer, since the coordinator may be away.
    async fn asked<A, F>(&mut self, mut ask: impl FnMut() -> F) -> anyhow::Result<A>
    where
        F: Future<Output = Result<tonic::Response<A>, tonic::Status>>,
    {
        let started = Instant::now();
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if started.elapsed() > PATIENCE => {
                    return Err(status).context(self.last_words());
                }
                Err(_) => {
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
        self.coordinator.kill()?;
        self.workers.iter_mut().try_for_each(Process::kill)
    }

    /// The last lines of every log.
    #[must_use]
    pub(crate) fn last_words(&self) -> String {
        std::iter::once(&self.coordinator).chain(&self.workers).map(Process::last_words).collect()
    }
}

fn coordinator(programs: &Path, folder: &Path, address: SocketAddr) -> Program {
    let arguments = [
        "--listen".to_owned(),
        address.to_string(),
        "--database".to_owned(),
        folder.join("journal.sqlite").display().to_string(),
        "--lease-seconds".to_owned(),
        LEASE.as_secs().to_string(),
    ];
    Program {
        name: "coordinator".to_owned(),
        path: programs.join("cambrian-coordinator"),
        arguments: arguments.to_vec(),
    }
}

fn worker(programs: &Path, folder: &Path, index: usize, wire: SocketAddr) -> Program {
    let name = format!("worker-{index}");
    let option = |option: &str, value: &dyn std::fmt::Display| format!("--{option}={value}");
    let arguments = [
        option("coordinator", &format_args!("http://{wire}")),
        option("name", &name),
        option("state-dir", &folder.join(&name).display()),
        option("slots", &SLOTS),
        option("gate-dir", &folder.display()),
        option("evaluator", &programs.join("cambrian-evaluator-synthetic").display()),
        option("evaluator-arg", &"--evidence"),
        option("evaluator-arg", &folder.join("evidence").display()),
    ];
    Program { name, path: programs.join("cambrian-worker"), arguments: arguments.to_vec() }
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
