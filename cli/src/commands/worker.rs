//! `cambrian worker`: drain and release workers, by name or by label.

use serde_json::json;

use super::Context;
use crate::arguments::{WorkerCommand, WorkerDrainArguments, WorkerSelection};
use crate::client::Client;
use crate::error::CliError;
use crate::present::lists;
use crate::results::Worker;

/// # Errors
/// When the coordinator does not answer, the user is no administrator, or no worker is meant.
pub(super) async fn run(context: &Context, given: &WorkerCommand) -> Result<(), CliError> {
    match given {
        WorkerCommand::List => super::list::workers(context).await,
        WorkerCommand::Drain(given) => drain(context, given).await,
        WorkerCommand::Release(given) => release(context, given).await,
    }
}

async fn drain(context: &Context, given: &WorkerDrainArguments) -> Result<(), CliError> {
    let mut client = context.client().await?;
    let mut drained = Vec::new();
    for name in selected(&mut client, &given.selection, |worker| worker.connected).await? {
        drained.push(client.drain_worker(&name, given.now).await?);
    }
    report(context, &drained)
}

async fn release(context: &Context, given: &WorkerSelection) -> Result<(), CliError> {
    let mut client = context.client().await?;
    let held = |worker: &Worker| worker.quarantine.is_some() || worker.draining;
    let mut released = Vec::new();
    for name in selected(&mut client, given, held).await? {
        released.push(client.release_worker(&name).await?);
    }
    report(context, &released)
}

/// The names that were given, or those of all workers with the labels for which `concerns` holds.
async fn selected(
    client: &mut Client,
    given: &WorkerSelection,
    concerns: impl Fn(&Worker) -> bool,
) -> Result<Vec<String>, CliError> {
    if !given.workers.is_empty() {
        return Ok(given.workers.clone());
    }
    let carries = |worker: &Worker| {
        given.labels.iter().all(|(name, value)| worker.labels.get(name) == Some(value))
    };
    let workers = client.workers().await?;
    let chosen = workers.into_iter().filter(|worker| carries(worker) && concerns(worker));
    let names: Vec<String> = chosen.map(|worker| worker.name).collect();
    if names.is_empty() {
        return Err(CliError::NotFound {
            message: "no worker that this concerns carries these labels".to_owned(),
            help: "`cambrian workers --json` shows labels and states".to_owned(),
        });
    }
    Ok(names)
}

fn report(context: &Context, workers: &[Worker]) -> Result<(), CliError> {
    let output = context.output;
    if output.json {
        return output.object(&json!({ "workers": workers }));
    }
    if output.quiet {
        return Ok(());
    }
    output.text(&lists::workers(workers, output.look()))
}
