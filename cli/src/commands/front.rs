//! `cambrian front`: the front of a campaign as table, JSON, CSV or picture.
//!
//! Must not know how a front is found, nor how it is drawn.

use serde_json::json;

use super::{Context, write_picture};
use crate::arguments::{Format, FrontArguments};
use crate::error::CliError;
use crate::figure;
use crate::present::confidence::Confidence;
use crate::present::{csv, summary, table};

/// # Errors
/// When the coordinator does not answer, knows no such campaign, or a picture cannot be written.
pub(super) async fn run(context: &Context, given: &FrontArguments) -> Result<(), CliError> {
    let name = &given.campaign.campaign;
    let output = context.output;
    let format = output.format(given.format)?;
    let mut client = context.client().await?;
    let campaign = client.campaign(name).await?;
    // By number from here on: a name may pass to a newer campaign between two questions.
    let number = campaign.id.to_string();
    let front = client.front(&number).await?;
    let confidence = Confidence::of_best(&front, campaign.scored);
    match format {
        Format::Json => output.object(&json!({
            "campaign": campaign,
            "front": front,
            "confidence": confidence,
        }))?,
        Format::Csv => output.data(&csv::candidates(&front.metrics, front.best_first())?)?,
        Format::Table => {
            let columns = table::Columns { genotype: given.genotypes, ..Default::default() };
            output.text(&table::front(&front, columns, output.look()))?;
            output.text(&format!("{}\n", summary::hypervolume(&campaign)))?;
            output.text(&confidence.map_or_else(String::new, |found| found.line()))?;
        }
    }
    if given.svg.is_none() && given.png.is_none() {
        return Ok(());
    }
    let (_, candidates) = client.candidates(&number, &[], None).await?;
    let svg = figure::front::svg(&campaign, &candidates);
    write_picture(context, &svg, (given.svg.as_deref(), given.png.as_deref()))
}
