//! The roles of tokens, with their words and messages.
//!
//! Must not decide what a role may do: `methods` and the policy do.

use std::fmt;
use std::str::FromStr;

use cambrian_proto::v1::TokenRole;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The stream of a worker and its artifacts, nothing else.
    Worker,
    /// Everything that changes nothing.
    View,
    /// Submits, and steers what tokens of its own name have submitted.
    Submit,
    /// Everything.
    Admin,
}

/// Every role with its word and its message.
const ROLES: [(Role, &str, TokenRole); 4] = [
    (Role::Worker, "worker", TokenRole::Worker),
    (Role::View, "view", TokenRole::View),
    (Role::Submit, "submit", TokenRole::Submit),
    (Role::Admin, "admin", TokenRole::Admin),
];

impl Role {
    /// Its word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        ROLES[*self as usize].1
    }

    /// Its message.
    #[must_use]
    pub fn message(&self) -> TokenRole {
        ROLES[*self as usize].2
    }

    /// The role of a message; `None` for one that is unspecified.
    #[must_use]
    pub fn of(message: TokenRole) -> Option<Self> {
        ROLES.iter().find(|(_, _, found)| *found == message).map(|(role, ..)| *role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ROLES.iter().find(|(_, name, _)| *name == text);
        let unknown = || format!("`{text}` is no role; write worker, view, submit or admin");
        found.map(|(role, ..)| *role).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_messages_read_back() {
        for (role, name, message) in ROLES {
            assert_eq!((role.name(), role.message()), (name, message));
            assert_eq!(name.parse(), Ok(role));
            assert_eq!(Role::of(message), Some(role));
        }
        assert_eq!(Role::of(TokenRole::Unspecified), None);
        assert!("root".parse::<Role>().unwrap_err().contains("admin"));
    }
}
