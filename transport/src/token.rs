//! The secret by which a client is known: 256 random bits with a public name, kept by the server as
//! a hash only.
//!
//! Written `cmb_IDENTIFY_SECRET`: eight hexadecimal digits that may be shown and logged, then
//! sixty-four that may not. The prefix lets scanners of repositories find leaked ones.
//! Must not know what a token allows, nor where it is kept.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// What every token begins with.
pub const PREFIX: &str = "cmb_";
const SECRET_BYTES: usize = 32;

/// The public part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u32);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for TokenId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let digits = text.len() == 8 && text.bytes().all(is_digit);
        let number = digits.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(TokenError)
    }
}

/// A text that is no token; it is not repeated, since it may be a mistyped secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is no token: a token is cmb_, 8 hexadecimal digits, _ and 64 hexadecimal digits")]
pub struct TokenError;

/// A token in clear. Its debug form does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    id: TokenId,
    secret: [u8; SECRET_BYTES],
}

/// What a server keeps of a token: SHA-256 of its secret bytes. Since those are uniformly random, a
/// slow hash or salt would add nothing.
#[derive(Clone, Copy)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Whether this is the hash of that token, in a time that does not depend on the answer.
    #[must_use]
    pub fn is_of(&self, token: &Token) -> bool {
        self.0.ct_eq(&token.hash().0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({PREFIX}{}_..)", self.id)
    }
}

impl Token {
    /// A new token from the system's randomness.
    ///
    /// # Errors
    /// When the system has none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; 4], [0; SECRET_BYTES]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        Ok(Self { id: TokenId(u32::from_be_bytes(id)), secret })
    }

    /// Its public part.
    #[must_use]
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// What a server keeps of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.secret).into())
    }

    /// The token as its holder keeps it. Show it once, to nobody else.
    #[must_use]
    pub fn reveal(&self) -> String {
        let secret: String = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{}_{secret}", self.id)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let (id, digits) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(TokenError)?;
        if digits.len() != 2 * SECRET_BYTES || !digits.bytes().all(is_digit) {
            return Err(TokenError);
        }
        let mut secret = [0; SECRET_BYTES];
        for (byte, pair) in secret.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| TokenError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| TokenError)?;
        }
        Ok(Self { id: id.parse()?, secret })
    }
}

/// How long a token holds, as it is written: `30d`, `12h`, `45m`, or `never` for one that does not
/// expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Microseconds; `None` for ever.
    pub micros: Option<u64>,
}

impl FromStr for Validity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MINUTE: u64 = 60_000_000;
        const LONGEST: u64 = 3_650 * 24 * 60 * MINUTE;
        let help = || {
            format!(
                "`{text}` is no such time; write `30d`, `12h`, `45m` (at most 3650d) or `never`"
            )
        };
        if text == "never" {
            return Ok(Self { micros: None });
        }
        let unit = match text.chars().last() {
            Some('d') => 24 * 60 * MINUTE,
            Some('h') => 60 * MINUTE,
            Some('m') => MINUTE,
            _ => return Err(help()),
        };
        let number: u64 = text[..text.len() - 1].parse().map_err(|_| help())?;
        let micros = number.checked_mul(unit).filter(|micros| (1..=LONGEST).contains(micros));
        micros.map(|micros| Self { micros: Some(micros) }).ok_or_else(help)
    }
}

/// One way to write a token, so that equal texts and equal tokens are the same.
fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_matches_its_own_hash_only() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().parse(), Ok(one.clone()));
        assert_eq!(one.id().to_string().parse(), Ok(one.id()));
        assert!(one.hash().is_of(&one) && !one.hash().is_of(&other));
    }

    #[test]
    fn the_hash_is_sha_256_of_the_secret() {
        let token: Token = format!("cmb_0000002a_{}", "00".repeat(32)).parse().unwrap();
        let hex: String = token.hash().0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_repeated() {
        let good = Token::generate().unwrap().reveal();
        let upper = good.to_uppercase();
        for bad in ["", "cmb_", &good[..good.len() - 1], &good[4..], &upper, &format!("{good} ")] {
            let error = bad.parse::<Token>().unwrap_err().to_string();
            assert!(bad.len() < 5 || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn validities_are_read_within_bounds() {
        let micros = |text: &str| text.parse::<Validity>().map(|validity| validity.micros);
        assert_eq!(micros("30d"), Ok(Some(30 * 86_400_000_000)));
        assert_eq!(micros("1h"), Ok(Some(3_600_000_000)));
        assert_eq!(micros("never"), Ok(None));
        for bad in ["", "d", "0d", "30", "-1d", "1.5h", "3651d", "99999999999999999999d", "1ä"] {
            assert!(micros(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let token = Token::generate().unwrap();
        let secret = token.reveal()[13..].to_owned();
        let shown = format!("{token:?} {:?}", token.hash());
        assert!(shown.contains(&token.id().to_string()) && !shown.contains(&secret), "{shown}");
        let hash: String = token.hash().0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains(&hash));
    }
}
