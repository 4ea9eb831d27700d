//! `cambrian validate`: every fault of a campaign file at once, without a coordinator.
//!
//! Must not know what a fault is: `campaign_file` finds them.

use serde_json::json;

use super::Context;
use crate::arguments::ValidateArguments;
use crate::campaign_file;
use crate::error::CliError;
use crate::exit::Exit;
use crate::present::number;

/// # Errors
/// As [`campaign_file::read_for_coordinator`].
pub(super) fn run(context: &Context, given: &ValidateArguments) -> Result<(), CliError> {
    let output = context.output;
    let campaign = match campaign_file::read_for_coordinator(&given.file) {
        Ok(campaign) => campaign,
        Err(CliError::InvalidCampaign { faults, .. }) if output.json => {
            // Neither name nor warnings are known of what could not be read whole.
            output.object(&json!({
                "valid": false,
                "faults": faults,
                "warnings": [],
                "name": null,
            }))?;
            return Err(CliError::Silent(Exit::InvalidCampaign));
        }
        Err(error) => return Err(error),
    };
    let spec = &campaign.spec;
    campaign.warn(&given.file, output);
    if campaign.names_campaigns {
        output.hint("the campaigns that it begins with are looked up when it is submitted");
    }
    if output.json {
        let mut answer = json!({
            "valid": true,
            "faults": [],
            "warnings": campaign.warnings(),
            "name": &*spec.name,
        });
        if given.resolved {
            answer["resolved_yaml"] = json!(spec.to_yaml());
        }
        return output.object(&answer);
    }
    if given.resolved {
        return output.text(&spec.to_yaml());
    }
    if output.quiet {
        return Ok(());
    }
    let objectives: Vec<_> = spec.objectives.iter().map(|found| found.metric.as_str()).collect();
    output.text(&format!(
        "{} {} is a valid campaign: {} in {}, at most {} evaluations, objectives {}\n",
        output.style.good("ok:"),
        given.file.display(),
        spec.algorithm.name(),
        spec.space.name(),
        number::count(spec.budget.evaluations.into()),
        objectives.join(", "),
    ))
}
