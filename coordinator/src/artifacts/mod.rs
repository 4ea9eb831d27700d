//! Artifacts: blobs beside the journal, each kept as a whole under the hash of its content.
//!
//! What is uploaded stands under a temporary name until its hash has been checked, so no artifact is
//! ever half there. Must not know what an artifact holds, nor who may read or write it.

mod sweep;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cambrian_core::artifact::ArtifactId;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use thiserror::Error;

pub(crate) use sweep::keep_sweeping;

/// So much is collected before it is written: the parts of object stores are at least 5 MiB.
const PART_BYTES: usize = 8 << 20;

/// Why an artifact cannot be kept or read.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// There is none of this name.
    #[error("there is no artifact {0}; it may have been removed because nothing needed it")]
    Absent(ArtifactId),
    /// It is larger than what is kept.
    #[error("the artifact has {found} bytes; at most {limit} are kept (artifacts.max_mib)")]
    TooLarge {
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Less or more arrived than was announced.
    #[error("{received} bytes arrived of an artifact that was announced with {announced}")]
    Size {
        /// What arrived.
        received: u64,
        /// What was announced.
        announced: u64,
    },
    /// The content is not what its name says.
    #[error("the content that was sent as {announced} is {found}")]
    Content {
        /// The name that was announced.
        announced: ArtifactId,
        /// The content's own name.
        found: ArtifactId,
    },
    /// The folder cannot be made.
    #[error("the folder of artifacts {} cannot be used: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store fails.
    #[error("the store of artifacts fails: {0}")]
    Store(#[from] object_store::Error),
}

/// The artifacts of a coordinator. Copies are cheap.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: Arc<Path>,
    limit: u64,
}

impl Artifacts {
    /// The artifacts in `folder`, each of at most `limit` bytes. The folder is made when the first
    /// one comes.
    #[must_use]
    pub fn new(folder: &Path, limit: u64) -> Self {
        Self { folder: folder.into(), limit }
    }

    /// Begins to take an artifact of `size` bytes in; dropping the upload leaves nothing.
    ///
    /// # Errors
    /// [`ArtifactError`] if it is too large or there is no place for it.
    pub async fn begin(&self, id: ArtifactId, size: u64) -> Result<Upload, ArtifactError> {
        if size > self.limit {
            return Err(ArtifactError::TooLarge { found: size, limit: self.limit });
        }
        fs::create_dir_all(&self.folder)
            .map_err(|source| ArtifactError::Folder { path: self.folder.to_path_buf(), source })?;
        let parts = self.store()?.put_multipart(&location(id)).await?;
        let (hasher, part) = (Box::new(blake3::Hasher::new()), BytesMut::new());
        Ok(Upload { id, size, received: 0, hasher, part, parts })
    }

    /// Size and content of an artifact. Whoever reads it checks that the content is that of the name.
    ///
    /// # Errors
    /// [`ArtifactError::Absent`], or whatever the store reports.
    pub async fn read(&self, id: ArtifactId) -> Result<(u64, Content), ArtifactError> {
        if !self.folder.is_dir() {
            return Err(ArtifactError::Absent(id));
        }
        let found = self.store()?.get(&location(id)).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => ArtifactError::Absent(id),
            error => error.into(),
        })?;
        let size = found.meta.size;
        Ok((size, found.into_stream().map(|part| part.map_err(ArtifactError::from)).boxed()))
    }

    fn store(&self) -> Result<impl ObjectStore, ArtifactError> {
        Ok(LocalFileSystem::new_with_prefix(&self.folder)?.with_fsync(true))
    }
}

/// The content of an artifact, in parts.
pub type Content = BoxStream<'static, Result<Bytes, ArtifactError>>;

/// An artifact on its way in.
#[derive(Debug)]
pub struct Upload {
    id: ArtifactId,
    size: u64,
    received: u64,
    hasher: Box<blake3::Hasher>,
    /// What is collected for the next part.
    part: BytesMut,
    parts: Box<dyn MultipartUpload>,
}

impl Upload {
    /// Takes the next piece of the content.
    ///
    /// # Errors
    /// [`ArtifactError::Size`] if it is more than was announced, or whatever the store reports.
    pub async fn push(&mut self, piece: &[u8]) -> Result<(), ArtifactError> {
        self.received += piece.len() as u64;
        if self.received > self.size {
            return Err(self.wrong_size());
        }
        self.hasher.update(piece);
        self.part.extend_from_slice(piece);
        if self.part.len() >= PART_BYTES { self.write().await } else { Ok(()) }
    }

    /// Checks the content and makes it an artifact; when it returns it survives a power failure.
    ///
    /// # Errors
    /// [`ArtifactError`] if the content is not what was announced, or the store fails; there is no
    /// artifact then.
    pub async fn finish(mut self) -> Result<(), ArtifactError> {
        if self.received != self.size {
            return Err(self.wrong_size());
        }
        let found = ArtifactId::from(self.hasher.finalize());
        if found != self.id {
            return Err(ArtifactError::Content { announced: self.id, found });
        }
        if !self.part.is_empty() {
            self.write().await?;
        }
        self.parts.complete().await?;
        Ok(())
    }

    async fn write(&mut self) -> Result<(), ArtifactError> {
        Ok(self.parts.put_part(self.part.split().freeze().into()).await?)
    }

    fn wrong_size(&self) -> ArtifactError {
        ArtifactError::Size { received: self.received, announced: self.size }
    }
}

fn location(id: ArtifactId) -> object_store::path::Path {
    object_store::path::Path::from(id.to_string())
}
