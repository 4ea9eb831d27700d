//! `cambrian evaluate`: one architecture through the stages of a campaign, by the same engine,
//! worker and evaluator as a run; in a directory that is gone afterwards.
//!
//! Must not know how a network is evaluated.

use cambrian_core::objective::{METRICS, MetricKind};
use cambrian_core::spec::{CampaignSpec, SingleError};
use serde::Serialize;

use super::directory::Directory;
use super::embedded::Embedded;
use super::report::Results;
use super::{Ended, Run, Stops};
use crate::arguments::{EvaluateArguments, RunArguments};
use crate::campaign_file::{self, CampaignFile};
use crate::commands::Context;
use crate::error::CliError;
use crate::foreign::Foreign;
use crate::present::number;
use crate::present::table::{self, ValueRow};
use crate::results::{Candidate, CandidateStatus};

/// A value of the architecture.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Measured {
    metric: Foreign,
    value: f64,
    unit: Foreign,
    spread: Option<f64>,
    source: Foreign,
    device_class: Foreign,
}

/// # Errors
/// When the campaign is faulty, the architecture or a stage is not of it, no worker can serve it, or
/// the evaluation fails.
pub(crate) async fn run(context: &Context, given: &EvaluateArguments) -> Result<(), CliError> {
    // What it begins with is not evaluated.
    let campaign = campaign_file::read_for_coordinator(&given.file)?;
    let spec = campaign.spec.of_one(&given.architecture, &given.stages).map_err(usage)?;
    let root = tempfile::tempdir()
        .map_err(CliError::io("create a directory in", &std::env::temp_dir()))?;
    let text = spec.to_yaml();
    let campaign = CampaignFile { source: text.clone(), text, spec, names_campaigns: false };
    let results = results(context, given, &campaign, root.path()).await?;
    let Some(candidate) = results.candidates.first() else {
        return Err(CliError::Internal("the architecture was not evaluated".to_owned()));
    };
    if candidate.status != CandidateStatus::Scored {
        return Err(CliError::NoResult {
            message: format!("the evaluation failed: {}", candidate.reason),
            help: "`cambrian reference evaluators` says what each one needs".to_owned(),
        });
    }
    print(context, candidate, &values(&campaign.spec, &results, candidate))
}

fn usage(error: SingleError) -> CliError {
    let help = match &error {
        SingleError::Architecture(_) => {
            "write it as in the column `genotype` of a candidates.csv of this space, in quotes"
        }
        _ => "`cambrian validate --resolved` shows the campaign with its stages",
    };
    CliError::Usage { message: error.to_string(), help: help.to_owned() }
}

async fn results(
    context: &Context,
    given: &EvaluateArguments,
    campaign: &CampaignFile,
    root: &std::path::Path,
) -> Result<Results, CliError> {
    let run = RunArguments {
        file: given.file.clone(),
        workers: Some(1),
        output: Some(root.to_owned()),
        evaluator: given.evaluator.clone(),
        evaluator_arg: given.evaluator_arg.clone(),
        threads: given.threads,
        data: given.data.clone(),
        fresh: false,
        no_progress: true,
    };
    let mut stops = Stops::listen()?;
    let directory = Directory::open(root, campaign, false)?;
    let embedded = Embedded::start(&directory).await?;
    let output = crate::output::Output { quiet: true, ..context.output };
    let context = Context { global: context.global.clone(), output };
    let (given, directory, embedded_in) = (&run, &directory, &embedded);
    let single = Run { context: &context, given, campaign, directory, embedded: embedded_in };
    let found = single.results(&mut stops).await;
    let stopped = embedded.stop().await;
    let (results, ended) = found?;
    stopped?;
    match ended {
        Ended::Finished => Ok(results),
        Ended::Interrupted => Err(CliError::Interrupted {
            help: "nothing is kept of the evaluation of one architecture".to_owned(),
        }),
    }
}

/// What was measured, and what follows from the network.
fn values(spec: &CampaignSpec, results: &Results, candidate: &Candidate) -> Vec<Measured> {
    let measured = results.metrics.iter().filter_map(|metric| {
        let found = candidate.metrics.get(metric.name.raw())?;
        Some(Measured {
            metric: metric.name.clone(),
            value: found.value,
            unit: metric.unit.clone(),
            spread: found.spread,
            source: found.source.clone(),
            device_class: found.device_class.clone(),
        })
    });
    let mut values: Vec<Measured> = measured.collect();
    let genotype = spec.space.parse(candidate.genotype.raw());
    let Ok(graph) = genotype.and_then(|genotype| spec.space.lower(&genotype)) else {
        return values;
    };
    for metric in METRICS {
        if let MetricKind::Analytic(formula) = metric.kind
            && !values.iter().any(|known| known.metric == metric.name)
        {
            values.push(Measured {
                metric: metric.name.into(),
                value: formula(&graph),
                unit: metric.unit.into(),
                spread: None,
                source: "analytic".into(),
                device_class: Foreign::default(),
            });
        }
    }
    values
}

fn print(context: &Context, candidate: &Candidate, values: &[Measured]) -> Result<(), CliError> {
    let output = context.output;
    if output.json {
        return output.object(&serde_json::json!({
            "genotype": candidate.genotype,
            "canonical_hash": candidate.canonical_hash,
            "elapsed_seconds": candidate.elapsed_seconds,
            "metrics": values,
        }));
    }
    let rows: Vec<ValueRow> = values.iter().map(row).collect();
    let elapsed = number::duration(candidate.elapsed_seconds);
    output.text(&format!("{}\n", output.style.strong(&candidate.genotype.to_string())))?;
    output.text(&table::values(&rows, output.look()))?;
    output.text(&format!("evaluated in {elapsed}\n"))
}

fn row(measured: &Measured) -> ValueRow {
    let source = match measured.device_class.is_empty() {
        true => measured.source.to_string(),
        false => format!("{} on {}", measured.source, measured.device_class),
    };
    ValueRow {
        metric: measured.metric.to_string(),
        value: measured.value,
        spread: measured.spread,
        unit: measured.unit.to_string(),
        source,
    }
}
