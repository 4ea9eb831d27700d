//! `cambrian worker`: drain and release workers, by name or by label.
//!
//! Must not know what becomes of a worker's tasks: the coordinator decides.

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
    let names = selected(&mut client, &given.selection, |worker| worker.connected).await?;
    let mut drained = Vec::new();
    for name in names {
        match client.drain_worker(&name, given.now).await {
            Ok(worker) => drained.push(worker),
            Err(error) => return Err(after(&drained, "drained", error)),
        }
    }
    report(context, &drained)
}

async fn release(context: &Context, given: &WorkerSelection) -> Result<(), CliError> {
    let mut client = context.client().await?;
    // One that is connected and drains knows of it, and leaves.
    let held =
        |worker: &Worker| worker.quarantine.is_some() || (worker.draining && !worker.connected);
    let mut released = Vec::new();
    for name in selected(&mut client, given, held).await? {
        match client.release_worker(&name).await {
            Ok(worker) => released.push(worker),
            Err(error) => return Err(after(&released, "released", error)),
        }
    }
    report(context, &released)
}

/// `error`, which came when some workers were `what` already.
fn after(workers: &[Worker], what: &str, error: CliError) -> CliError {
    if workers.is_empty() {
        return error;
    }
    let names: Vec<_> = workers.iter().map(|worker| worker.name.to_string()).collect();
    let done = format!("{what} before that: {}", names.join(", "));
    CliError::AfterOthers { source: Box::new(error), done }
}

/// The numbers of the workers that were given, or of all with the labels for which `concerns` holds, as the
/// coordinator reads them.
async fn selected(
    client: &mut Client,
    given: &WorkerSelection,
    concerns: impl Fn(&Worker) -> bool,
) -> Result<Vec<String>, CliError> {
    let workers = client.workers().await?;
    if !given.workers.is_empty() {
        return named(&workers, &given.workers);
    }
    let carries = |worker: &Worker| {
        given.labels.iter().all(|(name, value)| {
            worker.labels.get(name.as_str()).is_some_and(|carried| carried == value)
        })
    };
    let chosen = workers.into_iter().filter(|worker| carries(worker) && concerns(worker));
    let numbers: Vec<String> = chosen.map(|worker| worker.id.to_string()).collect();
    if numbers.is_empty() {
        return Err(CliError::NotFound {
            message: "no worker that this concerns carries these labels".to_owned(),
            help: "`cambrian workers --json` shows labels and states".to_owned(),
        });
    }
    Ok(numbers)
}

/// The numbers of the workers that are `given` by number or name, each once.
///
/// # Errors
/// [`CliError::NotFound`] with all that nobody has.
fn named(workers: &[Worker], given: &[String]) -> Result<Vec<String>, CliError> {
    let (mut numbers, mut unknown) = (Vec::new(), Vec::new());
    for word in given {
        // As the coordinator reads it: a name cannot take the place of a number.
        let by_number = workers.iter().find(|worker| word.parse() == Ok(worker.id));
        let by_name = || workers.iter().find(|worker| worker.name == *word);
        match by_number.or_else(by_name).map(|worker| worker.id.to_string()) {
            Some(number) if numbers.contains(&number) => {}
            Some(number) => numbers.push(number),
            None => unknown.push(format!("`{word}`")),
        }
    }
    if unknown.is_empty() {
        return Ok(numbers);
    }
    Err(CliError::NotFound {
        message: format!("no worker is called {}; nothing was done", unknown.join(" or ")),
        help: "`cambrian workers` shows names and numbers".to_owned(),
    })
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

#[cfg(test)]
mod tests {
    use cambrian_proto::v1;

    use super::*;
    use crate::exit::Exit;

    fn worker(id: u32, name: &str) -> Worker {
        v1::Worker { id, name: name.to_owned(), ..v1::Worker::default() }.into()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn workers_are_given_by_number_or_name_and_all_that_are_unknown_are_named() {
        let workers = [worker(1, "a"), worker(2, "b"), worker(3, "1")];
        let found = named(&workers, &words(&["b", "1", "2", "3", "b"])).unwrap();
        assert_eq!(found, words(&["2", "1", "3"]));
        let error = named(&workers, &words(&["a", "c", "9"])).unwrap_err();
        assert_eq!(error.exit(), Exit::NotFound);
        assert_eq!(error.to_string(), "no worker is called `c` or `9`; nothing was done");
    }

    #[test]
    fn an_error_after_others_says_what_was_done() {
        let refused = || CliError::Refused { message: "no".into(), help: "wait".into() };
        assert_eq!(after(&[], "drained", refused()).to_string(), "no");
        let error = after(&[worker(1, "a"), worker(2, "b")], "drained", refused());
        assert_eq!(error.to_string(), "no; drained before that: a, b");
        assert_eq!((error.exit(), error.help()), (Exit::Refused, "wait"));
    }
}
