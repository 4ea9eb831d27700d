//! `cambrian simulate`: a campaign on the real engine in virtual time, its results looked up in
//! tables; many seeds, as many at once as there are processors.
//!
//! `table` reads files, `source` evaluates, `runs` runs seeds, `scale` compares fronts, `survival` durations,
//! `report` sums up. Must not know how a campaign is searched or how a cluster is simulated: the core does
//! both.

mod report;
mod runs;
mod scale;
mod source;
mod survival;
mod table;

use std::path::PathBuf;

use crate::arguments::SimulateArguments;
use crate::campaign_file;
use crate::commands::Context;
use crate::error::CliError;
use crate::figure::{convergence, png};
use crate::files;
use crate::present::number;
use report::Report;
use source::Source;
pub(crate) use table::Durations;

/// # Errors
/// A campaign or a table with faults, a simulation that breaks an invariant or scores nothing, or files
/// that cannot be written.
pub(crate) fn run(context: &Context, given: &SimulateArguments) -> Result<(), CliError> {
    let campaign = campaign_file::read(&given.file)?;
    refuse_beyond_budget(&given.at, campaign.spec.budget.evaluations)?;
    let source = Source::read(context.output, given, &campaign.spec)?;
    let runs = runs::all(context, given, &campaign.spec, &source)?;
    let report = Report::new(&campaign.spec, given, &source, runs);
    let directory = given
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs").join(format!("{}-simulated", campaign.spec.name)));
    let write = |name: &str, content: &[u8]| files::replace(&directory.join(name), content);
    write("summary.json", (crate::output::json(&report.json())? + "\n").as_bytes())?;
    write("evaluations.csv", report.evaluations_csv()?.as_bytes())?;
    write("hypervolume.csv", report.hypervolume_csv()?.as_bytes())?;
    for (name, curve) in [
        ("hypervolume-over-evaluations", report.over_evaluations()),
        ("hypervolume-over-time", report.over_time()),
    ] {
        let svg = convergence::svg(&curve);
        write(&format!("{name}.png"), &png::render(&svg)?)?;
        write(&format!("{name}.svg"), svg.as_bytes())?;
    }
    if context.output.json {
        context.output.object(&report.json())?;
    } else {
        context.output.text(&report.text(context.output.look()))?;
        context.output.hint(&format!("results in {}", directory.display()));
    }
    report.demand_a_score()
}

fn refuse_beyond_budget(at: &[u32], budget: u32) -> Result<(), CliError> {
    let count = |evaluations: u32| number::count(u64::from(evaluations));
    match at.iter().copied().max().filter(|last| *last > budget) {
        None => Ok(()),
        Some(last) => Err(CliError::Usage {
            message: format!(
                "--at names {} evaluations, and the campaign's budget is {}",
                count(last),
                count(budget)
            ),
            help: "name no more than `budget.evaluations`, or raise it".to_owned(),
        }),
    }
}
