//! Injects faults into clusters of real processes and proves that no finished evaluation is lost and
//! none counted twice; `docs/chaos.md` says what is injected and what is checked.
//!
//! One cluster for each kind of fault, so that a cost has one cause, then one with all kinds mixed. Must
//! not know how a fault is injected, nor how a journal is read.

mod access;
mod audit;
mod cluster;
mod fault;
#[path = "../../../coordinator/tests/postgres_server/mod.rs"]
#[expect(dead_code, reason = "other users need the rest")]
mod postgres_server;
mod process;
mod relay;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use audit::{Audit, Expected, audit};
use cluster::{Cluster, Plan};
use fault::{Description, KINDS};
use report::{HEADING, Outcome};

/// Programs that a cluster is made of.
const PROGRAMS: [&str; 3] =
    ["cambrian-coordinator", "cambrian-worker", "cambrian-evaluator-synthetic"];

/// Kills, pauses, partitions and starves a cluster of real processes on loopback, then proves that
/// every finished evaluation counts exactly once. Exit code 1: it does not.
#[derive(Debug, Parser)]
#[command(name = "cambrian-chaos", version)]
struct Arguments {
    /// How many faults of each kind.
    #[arg(long, default_value_t = 100)]
    faults: u32,
    /// Only these kinds, or `mixed`; may be repeated.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<String>,
    /// The seed of instants and victims.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Workers of each cluster.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Two coordinators on a PostgreSQL of their own instead of one on SQLite.
    #[arg(long)]
    postgres: bool,
    /// TLS and tokens between all processes.
    #[arg(long)]
    secure: bool,
    /// Where the cluster's programs are [default: beside this one].
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Copy the logs of a cluster that shows a problem to this folder.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Write everything to this file as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List the kinds of faults and end.
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        for kind in KINDS {
            println!("{:<24} {}", kind.name, kind.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let programs = programs(arguments.programs.clone())?;
    let mut outcomes = Vec::new();
    println!("{HEADING}");
    for (name, kinds) in chosen(&arguments.kinds)? {
        let outcome = round(&programs, &name, &kinds, &arguments).await?;
        println!("{}", outcome.row());
        for problem in &outcome.audit.problems {
            println!("  {name}: {problem}");
        }
        outcomes.push(outcome);
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&outcomes)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let sound = outcomes.iter().all(Outcome::is_sound);
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn programs(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = given.or_else(|| own.parent().map(PathBuf::from)).unwrap_or_default();
    for name in PROGRAMS {
        if !folder.join(name).is_file() {
            bail!(
                "{} is missing; `cargo build --workspace --bins` builds it",
                folder.join(name).display()
            );
        }
    }
    Ok(folder)
}

/// The rounds: a name with the kinds that are drawn from.
fn chosen(names: &[String]) -> anyhow::Result<Vec<(String, Vec<Description>)>> {
    let mixed = || ("mixed".to_owned(), KINDS.to_vec());
    if names.is_empty() {
        let single = KINDS.iter().map(|kind| (kind.name.to_owned(), vec![*kind]));
        return Ok(single.chain([mixed()]).collect());
    }
    let round = |name: &String| {
        if name == "mixed" {
            return Ok(mixed());
        }
        let kind = KINDS.iter().find(|kind| kind.name == name);
        let kind = kind.with_context(|| format!("there is no fault `{name}`; --list shows all"))?;
        Ok((name.clone(), vec![*kind]))
    };
    names.iter().map(round).collect()
}

/// One cluster, its faults, and what is checked afterwards.
async fn round(
    programs: &std::path::Path,
    name: &str,
    kinds: &[Description],
    arguments: &Arguments,
) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let lacks: Vec<String> =
        kinds.iter().filter_map(|kind| kind.lacks(arguments.postgres)).collect();
    let kinds: Vec<Description> =
        kinds.iter().filter(|kind| kind.lacks(arguments.postgres).is_none()).copied().collect();
    let mut outcome = before_any_fault(name, &kinds);
    if kinds.is_empty() {
        outcome.skipped = lacks.concat();
        return Ok(outcome);
    }
    let plan = Plan {
        programs,
        workers: arguments.workers as usize,
        postgres: arguments.postgres,
        secure: arguments.secure,
        seed: arguments.seed,
    };
    let Some(mut cluster) = Cluster::start(&plan).await? else {
        outcome.skipped = "PostgreSQL is not installed".to_owned();
        return Ok(outcome);
    };
    outcome.secure = cluster.refuses_strangers().await?;
    if outcome.secure != arguments.secure {
        bail!("tokens are demanded: {}, asked for: {}", outcome.secure, arguments.secure);
    }
    let stuck = disturb(&mut cluster, &kinds, arguments, &mut outcome).await.err();
    cluster.stop()?;
    outcome.audit = audited(&cluster, outcome.audit.may_repeat).await?;
    if let Some(error) = stuck {
        // The logs, which it comes with, follow below.
        let what = format!("{error:#}");
        outcome.audit.problems.push(what.lines().next().unwrap_or_default().to_owned());
    }
    if !outcome.is_sound() {
        outcome.audit.problems.push(format!("the logs end with\n{}", cluster.last_words()));
        if let Some(folder) = &arguments.logs {
            cluster.keep_logs(&folder.join(name))?;
        }
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}

/// The outcome of a round that has only begun.
fn before_any_fault(name: &str, kinds: &[Description]) -> Outcome {
    let what = match kinds {
        [kind] => kind.what.to_owned(),
        _ => "all kinds in random order".to_owned(),
    };
    Outcome {
        kind: name.to_owned(),
        what,
        skipped: String::new(),
        secure: false,
        injected: 0,
        seconds: 0.0,
        audit: Audit::default(),
    }
}

/// What is checked of a cluster that has stopped, whose faults may have cost so many evaluations.
async fn audited(cluster: &Cluster, may_repeat: usize) -> anyhow::Result<Audit> {
    let (place, evidence) = (cluster.place(), cluster.evidence());
    let (campaigns, promised) = (cluster.campaigns(), cluster.promised().clone());
    let expected = Expected { campaigns, may_repeat, promised };
    // The store has a runtime of its own, which may not be started within another.
    let checked = tokio::task::spawn_blocking(move || audit(&place, &evidence, &expected));
    // A journal that cannot be checked is a problem of its own.
    let unread =
        |error: anyhow::Error| Audit { problems: vec![format!("{error:#}")], ..Audit::default() };
    Ok(checked.await?.unwrap_or_else(unread))
}

/// Injects the faults, and lets the cluster finish by itself.
///
/// # Errors
/// When it does not go on after a fault, or not to the end. What is stored can be checked all the same.
async fn disturb(
    cluster: &mut Cluster,
    kinds: &[Description],
    arguments: &Arguments,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let mut draw = ChaCha8Rng::seed_from_u64(arguments.seed);
    let bar = ProgressBar::new(u64::from(arguments.faults)).with_prefix(outcome.kind.clone());
    bar.set_style(ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} faults {elapsed}")?);
    for _ in 0..arguments.faults {
        cluster.keep_busy().await?;
        tokio::time::sleep(Duration::from_secs_f64(draw.random_range(0.1..0.6))).await;
        let kind = kinds[draw.random_range(0..kinds.len())];
        let injected = kind.kind.inject(cluster, &mut draw).await;
        injected.with_context(|| format!("{}, fault {}", kind.name, outcome.injected + 1))?;
        outcome.audit.may_repeat += kind.may_repeat as usize;
        outcome.injected += 1;
        bar.inc(1);
    }
    cluster.finish().await?;
    bar.finish_and_clear();
    Ok(())
}
