//! `cambrian list` and `cambrian workers`.
//!
//! Must not know columns: `present::lists` does.

use serde_json::json;

use super::Context;
use crate::error::CliError;
use crate::present::lists;

/// # Errors
/// When the coordinator does not answer.
pub(super) async fn campaigns(context: &Context) -> Result<(), CliError> {
    let campaigns = context.client().await?.campaigns().await?;
    let output = context.output;
    if output.json {
        return output.object(&json!({ "campaigns": campaigns }));
    }
    output.text(&lists::campaigns(&campaigns, output.look()))
}

/// # Errors
/// When the coordinator does not answer.
pub(super) async fn workers(context: &Context) -> Result<(), CliError> {
    let workers = context.client().await?.workers().await?;
    let output = context.output;
    if output.json {
        return output.object(&json!({ "workers": workers }));
    }
    output.text(&lists::workers(&workers, output.look()))
}
