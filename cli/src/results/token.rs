//! What a coordinator says about tokens.
//!
//! Must not know the token itself, which is told apart from its record, and once.

use cambrian_proto::v1;
use serde::Serialize;

use super::Instant;
use crate::foreign::Foreign;

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct TokenRecord {
    pub(crate) id: Foreign,
    /// `worker`, `view`, `submit` or `admin`.
    pub(crate) role: &'static str,
    pub(crate) name: Foreign,
    /// `good`, `expired` or `revoked`.
    pub(crate) status: &'static str,
    pub(crate) created_at: Instant,
    /// `None` if it does not expire.
    pub(crate) expires_at: Option<Instant>,
    pub(crate) revoked_at: Option<Instant>,
}

impl TokenRecord {
    /// The record of a message, `now_micros` being the coordinator's clock.
    pub(crate) fn of(message: v1::TokenRecord, now_micros: u64) -> Self {
        let role = match message.role() {
            v1::TokenRole::Worker => "worker",
            v1::TokenRole::View => "view",
            v1::TokenRole::Submit => "submit",
            v1::TokenRole::Admin => "admin",
            v1::TokenRole::Unspecified => "unknown",
        };
        let revoked_at = Instant::known(message.revoked_at_micros);
        let expires_at = Instant::known(message.expires_at_micros);
        let expired = expires_at.is_some_and(|end| end <= Instant(now_micros));
        let status = match (revoked_at, expired) {
            (Some(_), _) => "revoked",
            (None, true) => "expired",
            (None, false) => "good",
        };
        let created_at = Instant(message.created_at_micros);
        let (id, name) = (message.id.into(), message.name.into());
        Self { id, role, name, status, created_at, expires_at, revoked_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_from_the_instants() {
        let of = |expires_at_micros, revoked_at_micros| {
            let message = v1::TokenRecord {
                expires_at_micros,
                revoked_at_micros,
                ..v1::TokenRecord::default()
            };
            TokenRecord::of(message, 10).status
        };
        assert_eq!(
            [of(0, 0), of(11, 0), of(10, 0), of(5, 7), of(0, 7)],
            ["good", "good", "expired", "revoked", "revoked"]
        );
    }
}
