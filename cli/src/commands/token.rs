//! `cambrian token`: create, list, revoke.
//!
//! Must not know how tokens are made, kept or checked.

use cambrian_proto::v1;
use serde_json::json;

use super::Context;
use crate::arguments::{TokenCommand, TokenCreateArguments, TokenRole};
use crate::error::CliError;
use crate::present::lists;

/// # Errors
/// When the coordinator does not answer, or the user is no administrator.
pub(super) async fn run(context: &Context, given: &TokenCommand) -> Result<(), CliError> {
    match given {
        TokenCommand::Create(given) => create(context, given).await,
        TokenCommand::List => list(context).await,
        TokenCommand::Revoke(given) => revoke(context, &given.id).await,
    }
}

async fn create(context: &Context, given: &TokenCreateArguments) -> Result<(), CliError> {
    let role = match given.role {
        TokenRole::Worker => v1::TokenRole::Worker,
        TokenRole::View => v1::TokenRole::View,
        TokenRole::Submit => v1::TokenRole::Submit,
        TokenRole::Admin => v1::TokenRole::Admin,
    };
    let valid = given.expires.micros.unwrap_or(0);
    let (token, record) = context.client().await?.create_token(role, &given.name, valid).await?;
    let output = context.output;
    if output.json {
        return output.object(&json!({ "token": token, "record": record }));
    }
    output.data(&format!("{token}\n"))?;
    output.hint("keep it in a file that only its user can read: it cannot be shown again");
    Ok(())
}

async fn list(context: &Context) -> Result<(), CliError> {
    let tokens = context.client().await?.list_tokens().await?;
    let output = context.output;
    if output.json {
        return output.object(&json!({ "tokens": tokens }));
    }
    output.text(&lists::tokens(&tokens, output.look()))
}

async fn revoke(context: &Context, id: &str) -> Result<(), CliError> {
    let record = context.client().await?.revoke_token(id).await?;
    let output = context.output;
    if output.json {
        return output.object(&json!({ "record": record }));
    }
    if output.quiet {
        return Ok(());
    }
    output.text(&format!("the token {} of {} is revoked\n", record.id, record.name))
}
