//! Who may do what: roles, the one table that says what each method takes, and the decision about
//! each call before any service sees it.
//!
//! Must not know what a call does. Ownership of a campaign is looked up by the service that has the
//! campaign; the rule about it is here.

mod incoming;
mod layer;
mod methods;
mod open;
mod rate;
pub(crate) mod role;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cambrian_core::time::Timestamp;
use cambrian_transport::client::BEARER;
use cambrian_transport::token::{Token, TokenId};
use http::HeaderValue;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::clock::Clock;
use crate::store::tokens::{Claim, Register, TokenError, TokenRecord};
use incoming::Incoming;
pub(crate) use layer::AccessLayer;
use methods::{Access, Kind, Sent, access};
pub(crate) use open::OpenLimits;
use open::{Open, Slot};
use rate::Rates;
pub(crate) use rate::{LogBound, RateLimit};
pub use role::Role;

/// How often the token of an open stream is looked at again.
pub(crate) const RECHECK: Duration = Duration::from_secs(2);
/// How long a token that has registered as many workers as it may at once waits until it may register
/// as many again, seconds.
const REGISTRATIONS_RENEWED: f64 = 900.0;
/// A registration, or a campaign, that is larger counts as several, bytes.
const KEPT_UNIT: f64 = 4096.0;
/// How many of these a token may submit of campaigns at once, and within an hour: 16 MiB.
const SUBMITTED: u32 = 4096;
/// How much is logged of what was said to somebody, characters.
const LONGEST_LINE: usize = 400;
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

    /// Who it is, for a line of the log.
    pub(crate) fn who(&self) -> &str {
        match self {
            Self::Holder(holder) => &holder.name,
            Self::Anyone | Self::Stranger => "anyone",
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
        Err(Status::permission_denied(text))
    }
}

/// What bounds the holders of tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    /// Calls of a token that has no worker.
    pub(crate) calls: RateLimit,
    /// What a token has open, and how many workers the holder of a token's name has names for.
    pub(crate) open: OpenLimits,
    /// The largest message of a worker, bytes.
    pub(crate) message: usize,
}

/// A call that is let through.
struct Admitted {
    caller: Caller,
    kind: Kind,
    sent: Sent,
}

/// Decides about calls.
pub(crate) struct Policy {
    /// `None` if tokens are off.
    register: Option<Register>,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    calls: Rates,
    registrations: Rates,
    submissions: Rates,
    open: Open,
    /// Whether the log says that the tokens cannot be read.
    unreadable: AtomicBool,
    /// Whether it says that names cannot be claimed.
    unclaimable: AtomicBool,
    logged: LogBound,
    /// Strangers must not hide what others do.
    logged_of_strangers: LogBound,
}

impl Policy {
    pub(crate) fn new(register: Option<Register>, clock: Arc<dyn Clock>, bounds: Bounds) -> Self {
        let bound = || LogBound::new(clock.clone());
        let (logged, logged_of_strangers) = (bound(), bound());
        let (calls, registrations) = (Rates::default(), Rates::default());
        let submissions = Rates::default();
        let open = Open::new(bounds.open);
        Self {
            register,
            clock,
            bounds,
            calls,
            registrations,
            submissions,
            open,
            unreadable: AtomicBool::new(false),
            unclaimable: AtomicBool::new(false),
            logged,
            logged_of_strangers,
        }
    }

    /// Lets a call through or refuses it.
    ///
    /// # Errors
    /// `Unimplemented` for a method without a line in the table, `Unauthenticated` without a good
    /// token, `PermissionDenied` for a role that is not enough, `ResourceExhausted` for too many
    /// calls.
    fn admit(&self, method: &str, shown: Shown) -> Result<Admitted, Status> {
        match shown {
            Shown::Nothing => self.decide(method, None),
            Shown::Token(token) => self.decide(method, Some(&token)),
            Shown::Faulty(status) if self.register.is_some() => Err(status),
            // A coordinator without tokens takes no notice of what it is shown.
            Shown::Faulty(_) => self.decide(method, None),
        }
    }

    /// Opens what a call takes up, which counts while the slot lives.
    ///
    /// # Errors
    /// `ResourceExhausted` if the token has enough of it open.
    async fn open(&self, caller: &Caller, kind: Kind) -> Result<Option<Slot>, Status> {
        match caller {
            Caller::Holder(holder) => self.open.take(holder.id, kind).await.map(Some),
            Caller::Anyone | Caller::Stranger => Ok(None),
        }
    }

    fn decide(&self, method: &str, token: Option<&Token>) -> Result<Admitted, Status> {
        let Some((access, kind, sent)) = access(method) else {
            return Err(Status::unimplemented(format!("there is no method {method}")));
        };
        let admitted = |caller| Admitted { caller, kind, sent };
        let Some(register) = &self.register else { return Ok(admitted(Caller::Anyone)) };
        let roles = match access {
            Access::Open => return Ok(admitted(Caller::Stranger)),
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
        // All workers of a token come at once after an outage; their registrations count instead.
        if kind != Kind::Work
            && !self.calls.take(record.id, self.call_limit(record.id), 1.0, self.clock.now())
        {
            return Err(Status::resource_exhausted(
                "this token makes too many calls; wait a moment (limits.calls_per_second)",
            ));
        }
        let TokenRecord { id, role, name, .. } = record;
        Ok(admitted(Caller::Holder(Arc::new(Holder { id, role, name: name.into() }))))
    }

    /// What comes in with a call, within its bounds.
    fn incoming(&self, sent: Sent, body: Body) -> Body {
        Body::new(Incoming::new(body, sent.most_bytes(self.bounds.message), sent.is_one()))
    }

    /// How often a token may call: each of its workers may put or get an artifact a second.
    fn call_limit(&self, id: TokenId) -> RateLimit {
        let RateLimit { per_second, at_once } = self.bounds.calls;
        let workers = self.open.workers(id);
        RateLimit {
            per_second: per_second + f64::from(workers),
            at_once: at_once.saturating_add(workers),
        }
    }

    /// The record of a token that is good now.
    fn known(&self, register: &Register, token: &Token) -> Result<TokenRecord, Status> {
        let found = self.read(register.find(token.id()))?;
        match found {
            Some((record, hash)) if hash.is_of(token) => {
                still_good(&record, self.clock.date())?;
                Ok(record)
            }
            _ => Err(Status::unauthenticated(format!(
                "this coordinator knows no token {} with this secret",
                token.id()
            ))),
        }
    }

    /// What was read of the tokens. That they cannot be read is logged once, until they can be again:
    /// every call and every stream that is open asks.
    fn read<T>(&self, read: Result<T, TokenError>) -> Result<T, Status> {
        if self.is_news(&self.unreadable, read.is_err()) {
            match &read {
                Ok(_) => tracing::info!("the tokens can be read again"),
                Err(error) => {
                    tracing::error!(%error, "the tokens cannot be read: calls are refused")
                }
            }
        }
        let told = "the tokens cannot be read; the coordinator's log says why";
        read.map_err(|_| Status::unavailable(told))
    }

    /// What has become of a claim on a worker's name. That none succeeds is logged once as well.
    fn claimed(&self, claimed: Result<Claim, TokenError>) -> Result<Claim, Status> {
        if self.is_news(&self.unclaimable, claimed.is_err()) {
            match &claimed {
                Ok(_) => tracing::info!("the names of workers can be claimed again"),
                Err(error) => tracing::error!(
                    %error,
                    "the names of workers cannot be claimed: workers that register are refused"
                ),
            }
        }
        let told = "the worker's name cannot be claimed; the coordinator's log says why";
        claimed.map_err(|_| Status::unavailable(told))
    }

    /// Whether a state differs from what the log says of it, and the log takes a line now, which the
    /// caller writes.
    fn is_news(&self, logged: &AtomicBool, state: bool) -> bool {
        logged.load(Ordering::Relaxed) != state
            && self.logged.allows()
            && logged.swap(state, Ordering::Relaxed) != state
    }

    /// Whether a caller whose stream is open may still speak.
    ///
    /// # Errors
    /// `Unauthenticated` if the token has been revoked or has expired meanwhile.
    pub(crate) fn still(&self, caller: &Caller) -> Result<(), Status> {
        let (Some(register), Caller::Holder(holder)) = (&self.register, caller) else {
            return Ok(());
        };
        let found = self.read(register.find(holder.id))?;
        let gone = || Status::unauthenticated(format!("there is no token {} any more", holder.id));
        let (record, _) = found.ok_or_else(gone)?;
        still_good(&record, self.clock.date())
    }

    /// Waits until a caller whose stream is open may not speak any more.
    async fn expelled(&self, caller: &Caller) -> Status {
        if !matches!(caller, Caller::Holder(_)) {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(RECHECK).await;
            if let Err(status) = self.still(caller) {
                return status;
            }
        }
    }

    /// Logs what was refused, unless there is too much of it. `what` may repeat what the caller said.
    pub(crate) fn log(&self, refused: &Refused, how: &str, code: Code, what: &str) {
        let bound = match code {
            Code::Unauthenticated => &self.logged_of_strangers,
            _ => &self.logged,
        };
        if !bound.allows() {
            return;
        }
        let Refused { method, peer, token } = refused;
        let peer = peer.map_or("unknown".to_owned(), |peer| peer.to_string());
        let token = token.map_or("none".to_owned(), |id| id.to_string());
        tracing::warn!(%peer, %method, %token, ?code, "{how}: {}", legible(what));
    }

    /// Lets a caller speak for the worker of this name, or refuses: a name belongs to whoever
    /// registered it first, for as long as they have a good token of a worker. `bytes` is the length
    /// of the registration, which is kept for ever.
    ///
    /// # Errors
    /// `PermissionDenied`; `ResourceExhausted` for too many registrations or names.
    pub(crate) async fn claim_worker(
        &self,
        caller: &Caller,
        worker: &str,
        bytes: usize,
    ) -> Result<(), Status> {
        let (Some(register), Caller::Holder(holder)) = (&self.register, caller) else {
            return Ok(());
        };
        let most = self.bounds.open.workers;
        // A small site may restart its workers as often as it may call.
        let at_once = most.max(self.bounds.calls.at_once);
        let limit = RateLimit { per_second: f64::from(at_once) / REGISTRATIONS_RENEWED, at_once };
        let cost = (bytes as f64 / KEPT_UNIT).max(1.0);
        if !self.registrations.take(holder.id, limit, cost, self.clock.now()) {
            return Err(Status::resource_exhausted(
                "the workers of this token register too often; wait a moment (limits.workers)",
            ));
        }
        let (register, name, now) = (register.clone(), worker.to_owned(), self.clock.date());
        let by = holder.name.to_string();
        let claimed =
            tokio::task::spawn_blocking(move || register.claim_worker(&name, &by, most, now));
        let claimed = claimed.await.map_err(|_| Status::internal("the register panicked"))?;
        match self.claimed(claimed)? {
            Claim::Held => Ok(()),
            Claim::Full => Err(Status::resource_exhausted(format!(
                "`{}` has names for {most} workers already: let `{worker}` use one of them or a \
                 token of another name, or allow more (limits.workers)",
                holder.name
            ))),
            Claim::Elses(owner) => Err(Status::permission_denied(format!(
                "the worker `{worker}` belongs to `{owner}`, and this token to `{}`; give the worker \
                 another name, or use a token of that name",
                holder.name
            ))),
        }
    }

    /// Lets a caller submit a campaign of so many bytes, or refuses: its text is kept for ever.
    ///
    /// # Errors
    /// `ResourceExhausted`.
    pub(crate) fn take_submission(&self, caller: &Caller, bytes: usize) -> Result<(), Status> {
        let Caller::Holder(holder) = caller else { return Ok(()) };
        let limit = RateLimit { per_second: f64::from(SUBMITTED) / 3600.0, at_once: SUBMITTED };
        let cost = (bytes as f64 / KEPT_UNIT).max(1.0);
        if self.submissions.take(holder.id, limit, cost, self.clock.now()) {
            return Ok(());
        }
        Err(Status::resource_exhausted(
            "this token has submitted 16 MiB of campaigns within an hour, small ones counted as 4 KiB; wait, or \
             let those of one kind share a campaign",
        ))
    }
}

/// Of whom something was refused.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Refused {
    method: Arc<str>,
    peer: Option<SocketAddr>,
    token: Option<TokenId>,
}

/// What a caller shows to say who it is.
enum Shown {
    Nothing,
    Token(Token),
    Faulty(Status),
}

impl Shown {
    fn of(authorization: Option<&HeaderValue>) -> Self {
        match authorization.map(read_bearer) {
            None => Self::Nothing,
            Some(Ok(token)) => Self::Token(token),
            Some(Err(status)) => Self::Faulty(status),
        }
    }

    /// The public part of a token.
    fn token(&self) -> Option<TokenId> {
        match self {
            Self::Token(token) => Some(token.id()),
            Self::Nothing | Self::Faulty(_) => None,
        }
    }
}

/// A text of whoever is refused as one line of a log can hold it.
fn legible(text: &str) -> String {
    let safe = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut line: String = text.chars().take(LONGEST_LINE).map(safe).collect();
    if text.chars().nth(LONGEST_LINE).is_some() {
        line.push('…');
    }
    line
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
