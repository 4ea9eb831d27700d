//! Names of artifacts: files beside the journal, such as checkpoints, kept under the hash of their
//! content.
//!
//! Must not know what an artifact holds nor where it is kept.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The BLAKE3 hash of an artifact's content, written as 64 lower-case hexadecimal digits. It is the
/// artifact's only name, so whoever has the name can check the content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactId([u8; 32]);

/// A text or byte string that names no artifact.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an artifact is named by its BLAKE3 hash, 64 of the digits 0-9 and a-f, and nothing else")]
pub struct NoArtifactId;

impl ArtifactId {
    /// The name of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        blake3::hash(content).into()
    }

    /// The hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<blake3::Hash> for ArtifactId {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl TryFrom<&[u8]> for ArtifactId {
    type Error = NoArtifactId;

    fn try_from(bytes: &[u8]) -> Result<Self, NoArtifactId> {
        bytes.try_into().map(Self).map_err(|_| NoArtifactId)
    }
}

impl FromStr for ArtifactId {
    type Err = NoArtifactId;

    fn from_str(text: &str) -> Result<Self, NoArtifactId> {
        // A name is also the name of a file: one spelling only.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NoArtifactId);
        }
        blake3::Hash::from_hex(text).map(Self::from).map_err(|_| NoArtifactId)
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_those_of_blake3() {
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        let id = ArtifactId::of(b"");
        assert_eq!(id.to_string(), empty);
        assert_eq!(empty.parse(), Ok(id));
        assert_eq!(ArtifactId::try_from(id.as_bytes().as_slice()), Ok(id));
    }

    #[test]
    fn nothing_else_is_a_name() {
        let id = ArtifactId::of(b"x").to_string();
        let traversal = format!("../{}", &id[3..]);
        let texts = [
            "",
            "..",
            "/etc/passwd",
            &traversal,
            &id[1..],
            &format!("{id}0"),
            &id.to_uppercase(),
            &id.replace(&id[..1], "g"),
            &format!(" {}", &id[1..]),
            &format!("{}\0", &id[1..]),
        ];
        for text in texts {
            assert_eq!(text.parse::<ArtifactId>(), Err(NoArtifactId), "{text:?}");
        }
        assert_eq!(ArtifactId::try_from([0; 31].as_slice()), Err(NoArtifactId));
    }
}
