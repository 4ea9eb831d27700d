//! Names of artifacts on the wire. Must not know what an artifact holds, nor where it is kept.

use cambrian_core::artifact::ArtifactId;

use super::ConvertError;

/// The longest chunk of an artifact in one message, bytes.
pub const CHUNK_BYTES: usize = 1 << 20;

/// The artifact named by `text`.
///
/// # Errors
/// [`ConvertError`] at `field` if the text is no hash: a path, say.
pub fn artifact_id(field: &str, text: &str) -> Result<ArtifactId, ConvertError> {
    text.parse::<ArtifactId>().map_err(|error| ConvertError::new(field, error.to_string()))
}

/// The artifact named by `bytes`; `None` if there are none.
///
/// # Errors
/// [`ConvertError`] at `field` if they are not 32.
pub(super) fn named_or_none(field: &str, bytes: &[u8]) -> Result<Option<ArtifactId>, ConvertError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    named(field, bytes).map(Some)
}

/// The artifact named by `bytes`.
///
/// # Errors
/// [`ConvertError`] at `field` if they are not 32.
pub(super) fn named(field: &str, bytes: &[u8]) -> Result<ArtifactId, ConvertError> {
    ArtifactId::try_from(bytes).map_err(|error| ConvertError::new(field, error.to_string()))
}

/// The bytes of a message for `id`, none without it.
pub(super) fn bytes_of(id: Option<ArtifactId>) -> Vec<u8> {
    id.map(|id| id.as_bytes().to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_name() {
        let error = artifact_id("id", "../../etc/passwd").unwrap_err();
        assert_eq!(error.field, "id");
        assert!(error.reason.contains("64"), "{}", error.reason);
        assert_eq!(named_or_none("id", &[]), Ok(None));
        let id = ArtifactId::of(b"x");
        assert_eq!(named_or_none("id", &bytes_of(Some(id))), Ok(Some(id)));
        assert_eq!(named_or_none("id", &[1, 2]).unwrap_err().field, "id");
    }
}
