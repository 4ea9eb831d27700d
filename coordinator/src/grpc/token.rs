//! What administrators call: create, list and revoke tokens.
//!
//! Must not know how tokens are made, hashed or stored: the register does.

use std::sync::Arc;

use cambrian_core::time::{Span, Timestamp};
use cambrian_proto::convert::{ConvertError, MAX_NUMBER};
use cambrian_proto::v1;
use cambrian_proto::v1::token_service_server::TokenService;
use tonic::{Request, Response, Status};

use super::status::bad_message;
use crate::access::Role;
use crate::clock::Clock;
use crate::store::tokens::{Register, TokenError, TokenRecord};

/// Serves `TokenService`.
pub(crate) struct TokenServer {
    register: Register,
    clock: Arc<dyn Clock>,
}

impl TokenServer {
    pub(crate) fn new(register: Register, clock: Arc<dyn Clock>) -> Self {
        Self { register, clock }
    }

    /// Works on the tables without holding up the runtime.
    async fn work<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Register) -> Result<R, TokenError> + Send + 'static,
    ) -> Result<R, Status> {
        let register = self.register.clone();
        let done = tokio::task::spawn_blocking(move || work(&register)).await;
        let done = done.map_err(|_| Status::internal("the register panicked; please report it"))?;
        done.map_err(|error| match error {
            TokenError::Unknown(_) => Status::not_found(error.to_string()),
            TokenError::Name(_) => bad_message(&ConvertError::new("name", error.to_string())),
            TokenError::Store(_) | TokenError::Shared(_) | TokenError::Random(_) => {
                tracing::error!(%error, "the tokens cannot be changed");
                Status::unavailable(error.to_string())
            }
        })
    }
}

fn message(record: &TokenRecord) -> v1::TokenRecord {
    let micros = |at: Option<Timestamp>| at.map_or(0, |at| at.0);
    v1::TokenRecord {
        id: record.id.to_string(),
        role: record.role.message().into(),
        name: record.name.clone(),
        created_at_micros: record.created_at.0,
        expires_at_micros: micros(record.expires_at),
        revoked_at_micros: micros(record.revoked_at),
    }
}

#[tonic::async_trait]
impl TokenService for TokenServer {
    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let caller = super::caller(&request)?;
        let request = request.into_inner();
        let role = Role::of(request.role()).ok_or_else(|| {
            bad_message(&ConvertError::new("role", "is missing or not known to this version"))
        })?;
        let now = self.clock.date();
        if request.valid_micros > MAX_NUMBER - now.0.min(MAX_NUMBER) {
            let reason = format!("is {}, which is beyond all time", request.valid_micros);
            return Err(bad_message(&ConvertError::new("valid_micros", reason)));
        }
        let valid = (request.valid_micros > 0).then_some(Span(request.valid_micros));
        let name = request.name;
        let (token, record) =
            self.work(move |register| register.create(role, &name, valid, now)).await?;
        let by = caller.who();
        tracing::info!(token = %record.id, %role, name = record.name, by, "token created");
        let record = Some(message(&record));
        Ok(Response::new(v1::CreateTokenResponse { record, token: token.reveal() }))
    }

    async fn list_tokens(
        &self,
        _request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let records = self.work(Register::list).await?;
        let tokens = records.iter().map(message).collect();
        let now_micros = self.clock.date().0;
        Ok(Response::new(v1::ListTokensResponse { tokens, now_micros }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let caller = super::caller(&request)?;
        let id = request.into_inner().id.parse().map_err(|_| {
            bad_message(&ConvertError::new("id", "is not eight hexadecimal digits"))
        })?;
        let now = self.clock.date();
        let record = self.work(move |register| register.revoke(id, now)).await?;
        tracing::info!(token = %record.id, name = record.name, by = caller.who(), "token revoked");
        Ok(Response::new(v1::RevokeTokenResponse { record: Some(message(&record)) }))
    }
}
