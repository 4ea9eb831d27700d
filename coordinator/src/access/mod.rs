//! Who may do what: roles, the one table that says what each method takes, and the decision about
//! each call before any service sees it.
//!
//! Must not know what a call does. Ownership of a campaign is looked up by the service that has the
//! campaign; the rule about it is here.

mod layer;
mod methods;
mod rate;
pub(crate) mod role;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cambrian_core::time::Timestamp;
use cambrian_transport::client::BEARER;
use cambrian_transport::token::{Token, TokenId};
use http::HeaderValue;
use tonic::{Code, Status};

use crate::clock::Clock;
use crate::store::tokens::{Claim, Register, TokenRecord};
pub(crate) use layer::AccessLayer;
use methods::{Access, access};
use rate::Rates;
pub(crate) use rate::{LogBound, RateLimit};
pub use role::Role;

/// How often the token of an open stream is looked at again.
pub(crate) const RECHECK: Duration = Duration::from_secs(2);
/// What a caller without a token is told.
const NO_TOKEN: &str = "this coordinator wants a token: set CAMBRIAN_TOKEN_FILE, or ask an \
                        administrator for one (`cambrian token create`)";

/// Who makes a call.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Tokens are off: whoever reaches the coordinator may do anything.
    Anyone,
    /// The method is open to all, and nobody has asked who it is.
    Stranger,
    /// The holder of a token.
    Holder(Arc<Holder>),
}

/// The holder of a token.
#[derive(Debug)]
pub(crate) struct Holder {
    id: TokenId,
    role: Role,
    name: Arc<str>,
}

impl Caller {
    /// The name that campaigns and workers belong to.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        match self {
            Self::Holder(holder) => Some(holder.name.clone()),
            Self::Anyone | Self::Stranger => None,
        }
    }

    /// Refuses to steer a campaign of somebody else.
    ///
    /// # Errors
    /// A status with the code `PermissionDenied`.
    pub(crate) fn may_steer(&self, owner: Option<&str>) -> Result<(), Status> {
        let holder = match self {
            Self::Anyone => return Ok(()),
            Self::Stranger => return Err(Status::unauthenticated(NO_TOKEN)),
            Self::Holder(holder) => holder,
        };
        if holder.role == Role::Admin || owner == Some(&*holder.name) {
            return Ok(());
        }
        let whose = owner.map_or("nobody".to_owned(), |owner| format!("`{owner}`"));
        let text = format!(
            "the campaign belongs to {whose}, and this token to `{}`: its owner or an \
             administrator can do this",
            holder.name
        );
        tracing::warn!(token = %holder.id, name = %holder.name, "refused: {text}");
        Err(Status::permission_denied(text))
    }
}

/// Decides about calls.
pub(crate) struct Policy {
    /// `None` if tokens are off.
    register: Option<Register>,
    clock: Arc<dyn Clock>,
    rates: Rates,
    logged: LogBound,
}

impl Policy {
    pub(crate) fn new(register: Option<Register>, clock: Arc<dyn Clock>, limit: RateLimit) -> Self {
        let logged = LogBound::new(clock.clone());
        Self { register, clock, rates: Rates::new(limit), logged }
    }

    /// Lets a call through or refuses it, and logs the refusal.
    ///
    /// # Errors
    /// `Unimplemented` for a method without a line in the table, `Unauthenticated` without a good
    /// token, `PermissionDenied` for a role that is not enough, `ResourceExhausted` for too many
    /// calls.
    pub(crate) fn admit(
        &self,
        method: &str,
        authorization: Option<&HeaderValue>,
        peer: Option<SocketAddr>,
    ) -> Result<Caller, Status> {
        let (decision, token) = match authorization.map(read_bearer) {
            None => (self.decide(method, None), None),
            Some(Ok(token)) => (self.decide(method, Some(&token)), Some(token.id())),
            Some(Err(status)) if self.register.is_some() => (Err(status), None),
            // A coordinator without tokens takes no notice of what it is shown.
            Some(Err(_)) => (self.decide(method, None), None),
        };
        if let Err(status) = &decision
            && self.logged.allows()
        {
            let peer = peer.map_or("unknown".to_owned(), |peer| peer.to_string());
            let token = token.map_or("none".to_owned(), |id| id.to_string());
            let code = status.code();
            tracing::warn!(%peer, method, %token, ?code, "call refused: {}", status.message());
        }
        decision
    }

    fn decide(&self, method: &str, token: Option<&Token>) -> Result<Caller, Status> {
        let Some(access) = access(method) else {
            return Err(Status::unimplemented(format!("there is no method {method}")));
        };
        let Some(register) = &self.register else { return Ok(Caller::Anyone) };
        let roles = match access {
            Access::Open => return Ok(Caller::Stranger),
            Access::Of(roles) => roles,
        };
        let token = token.ok_or_else(|| Status::unauthenticated(NO_TOKEN))?;
        let record = self.known(register, token)?;
        if !roles.contains(&record.role) {
            return Err(Status::permission_denied(format!(
                "a token of role {} may not call {method}: that takes {}",
                record.role,
                roles.iter().map(Role::to_string).collect::<Vec<_>>().join(" or ")
            )));
        }
        if !self.rates.take(record.id, self.clock.now()) {
            return Err(Status::resource_exhausted(
                "this token makes too many calls; wait a moment (limits.calls_per_second)",
            ));
        }
        let TokenRecord { id, role, name, .. } = record;
        Ok(Caller::Holder(Arc::new(Holder { id, role, name: name.into() })))
    }

    /// The record of a token that is good now.
    fn known(&self, register: &Register, token: &Token) -> Result<TokenRecord, Status> {
        let found = register.find(token.id()).map_err(|error| unreadable(&error))?;
        match found {
            Some((record, hash)) if hash.is_of(token) => {
                still_good(&record, self.clock.now())?;
                Ok(record)
            }
            _ => Err(Status::unauthenticated(format!(
                "this coordinator knows no token {} with this secret",
                token.id()
            ))),
        }
    }

    /// Whether a caller whose stream is open may still speak.
    ///
    /// # Errors
    /// `Unauthenticated` if the token has been revoked or has expired meanwhile.
    pub(crate) fn still(&self, caller: &Caller) -> Result<(), Status> {
        let (Some(register), Caller::Holder(holder)) = (&self.register, caller) else {
            return Ok(());
        };
        let found = register.find(holder.id).map_err(|error| unreadable(&error))?;
        let gone = || Status::unauthenticated(format!("there is no token {} any more", holder.id));
        let (record, _) = found.ok_or_else(gone)?;
        let still = still_good(&record, self.clock.now());
        if let Err(status) = &still {
            tracing::warn!(token = %holder.id, name = %holder.name, "stream ended: {}", status.message());
        }
        still
    }

    /// Lets a caller speak for the worker of this name, or refuses: a name belongs to whoever
    /// registered it first, for as long as they have a good token of a worker.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub(crate) async fn claim_worker(&self, caller: &Caller, worker: &str) -> Result<(), Status> {
        let (Some(register), Caller::Holder(holder)) = (&self.register, caller) else {
            return Ok(());
        };
        let (register, name, now) = (register.clone(), worker.to_owned(), self.clock.now());
        let by = holder.name.to_string();
        let claimed = tokio::task::spawn_blocking(move || register.claim_worker(&name, &by, now));
        let claimed = claimed.await.map_err(|_| Status::internal("the register panicked"))?;
        match claimed.map_err(|error| unreadable(&error))? {
            Claim::Held => Ok(()),
            Claim::Elses(owner) => {
                let text = format!(
                    "the worker `{worker}` belongs to `{owner}`, and this token to `{}`; give the \
                     worker another name, or use a token of that name",
                    holder.name
                );
                tracing::warn!(token = %holder.id, %worker, "registration refused: {text}");
                Err(Status::permission_denied(text))
            }
        }
    }
}

fn unreadable(error: &dyn std::error::Error) -> Status {
    tracing::error!(%error, "the tokens cannot be read");
    Status::new(Code::Unavailable, "the tokens cannot be read; the coordinator's log says why")
}

fn still_good(record: &TokenRecord, now: Timestamp) -> Result<(), Status> {
    let id = record.id;
    if record.revoked_at.is_some() {
        return Err(Status::unauthenticated(format!(
            "the token {id} has been revoked; ask an administrator for another"
        )));
    }
    if record.expires_at.is_some_and(|end| end <= now) {
        return Err(Status::unauthenticated(format!(
            "the token {id} has expired; ask an administrator for another"
        )));
    }
    Ok(())
}

fn read_bearer(value: &HeaderValue) -> Result<Token, Status> {
    let text = value.to_str().ok().and_then(|text| text.strip_prefix(BEARER));
    let text = text.ok_or_else(|| {
        Status::unauthenticated("the header `authorization` is not `Bearer TOKEN`")
    })?;
    text.parse().map_err(|error| Status::unauthenticated(format!("{error}")))
}
