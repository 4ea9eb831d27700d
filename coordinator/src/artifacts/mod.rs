//! Artifacts: blobs beside the journal, each kept as a whole under the hash of its content, in a folder or in a
//! bucket of S3.
//!
//! What is uploaded is no object yet, or has a temporary name, until its hash has been checked, so no artifact
//! is ever half there. Must not know what an artifact holds, nor who may read or write it.

mod bucket;
mod room;
mod sweep;
#[cfg(test)]
mod tests;

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

use bucket::Bucket;
pub use bucket::BucketError;
pub(crate) use bucket::parse as parse_bucket;
pub use room::Reserve;
pub(crate) use sweep::keep_sweeping;

/// So much is collected before it is written: the parts of object stores are at least 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// An object has so many parts at most.
const MOST_PARTS: u64 = 10_000;

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
    /// The disk would be too full with it.
    #[error(
        "no room for {} MiB of an artifact: {} MiB are free at {}, of which {} MiB stay free \
         (artifacts.reserve_mib); free some, or try again later",
        .bytes.div_ceil(1 << 20), .free >> 20, .path.display(), .reserve.div_ceil(1 << 20)
    )]
    Full {
        /// The folder.
        path: PathBuf,
        /// How much more was to be written.
        bytes: u64,
        /// How much is free.
        free: u64,
        /// How much stays free.
        reserve: u64,
    },
    /// The folder cannot be made.
    #[error("the folder of artifacts {} cannot be used: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder fails.
    #[error("the store of artifacts fails: {0}")]
    Store(#[from] object_store::Error),
    /// The bucket fails, or cannot be used.
    #[error("artifacts cannot be used: {0}")]
    Bucket(#[from] BucketError),
}

impl ArtifactError {
    /// Whether it will be the same until somebody changes something.
    pub(crate) fn stays(&self) -> bool {
        matches!(self, Self::Bucket(error) if error.stays())
    }
}

/// Where artifacts are.
#[derive(Debug, Clone)]
enum Place {
    Folder(Arc<Path>, Reserve),
    Bucket(Bucket),
}

impl Place {
    fn store(&self) -> Result<Arc<dyn ObjectStore>, ArtifactError> {
        Ok(match self {
            Self::Folder(path, _) => {
                Arc::new(LocalFileSystem::new_with_prefix(path)?.with_fsync(true))
            }
            Self::Bucket(bucket) => Arc::clone(&bucket.store),
        })
    }

    /// Whether `bytes` more have room. A bucket has as much as it has.
    async fn check_room(&self, bytes: u64) -> Result<(), ArtifactError> {
        match self {
            Self::Folder(path, reserve) => reserve.check(path, bytes).await,
            Self::Bucket(_) => Ok(()),
        }
    }

    /// What an error of the store means.
    fn explain(&self, error: object_store::Error) -> ArtifactError {
        match self {
            Self::Folder(..) => error.into(),
            Self::Bucket(bucket) => bucket.explain(error).into(),
        }
    }
}

/// The artifacts of a coordinator. Copies are cheap.
#[derive(Debug, Clone)]
pub struct Artifacts {
    place: Place,
    limit: u64,
}

impl Artifacts {
    /// The artifacts in `folder`, each of at most `limit` bytes; they leave room on the disk. The folder is
    /// made when the first one comes.
    #[must_use]
    pub fn new(folder: &Path, limit: u64, reserve: Reserve) -> Self {
        Self { place: Place::Folder(folder.into(), reserve), limit }
    }

    /// The artifacts in a bucket, `s3://BUCKET/PREFIX`, each of at most `limit` bytes. Credentials, and the
    /// endpoint and the region where they are not given, come from the usual variables.
    ///
    /// # Errors
    /// [`BucketError`] if the address is none or the settings make no client. Nothing is asked yet.
    pub fn in_bucket(
        url: &str,
        endpoint: Option<&str>,
        region: Option<&str>,
        limit: u64,
    ) -> Result<Self, BucketError> {
        let bucket = Bucket::open(url, endpoint, region, &|builder| builder)?;
        Ok(Self { place: Place::Bucket(bucket), limit })
    }

    /// Whether they can be used; a folder is made when it is needed.
    ///
    /// # Errors
    /// [`ArtifactError`] of the bucket.
    pub async fn check(&self) -> Result<(), ArtifactError> {
        match &self.place {
            Place::Folder(..) => Ok(()),
            Place::Bucket(bucket) => Ok(bucket.check().await?),
        }
    }

    /// Begins to take an artifact of `size` bytes in; dropping the upload leaves nothing.
    ///
    /// # Errors
    /// [`ArtifactError`] if it is too large or there is no place for it.
    pub async fn begin(&self, id: ArtifactId, size: u64) -> Result<Upload, ArtifactError> {
        if size > self.limit {
            return Err(ArtifactError::TooLarge { found: size, limit: self.limit });
        }
        self.place.check_room(size).await?;
        Ok(Upload {
            id,
            size,
            received: 0,
            hasher: Box::new(blake3::Hasher::new()),
            part: BytesMut::new(),
            place: self.place.clone(),
            store: self.place.store()?,
            parts: None,
        })
    }

    /// Size and content of an artifact. Whoever reads it checks that the content is that of the name.
    ///
    /// # Errors
    /// [`ArtifactError::Absent`], or whatever the store reports.
    pub async fn read(&self, id: ArtifactId) -> Result<(u64, Content), ArtifactError> {
        if self.is_absent() {
            return Err(ArtifactError::Absent(id));
        }
        let place = self.place.clone();
        let found = place.store()?.get(&location(id)).await.map_err(|error| match error {
            error @ object_store::Error::NotFound { .. } if !bucket::is_missing(&error) => {
                ArtifactError::Absent(id)
            }
            error => place.explain(error),
        })?;
        let size = found.meta.size;
        let explain = move |part: Result<Bytes, _>| part.map_err(|error| place.explain(error));
        Ok((size, found.into_stream().map(explain).boxed()))
    }

    /// Whether there is no place for them yet, so that there is none of them.
    fn is_absent(&self) -> bool {
        matches!(&self.place, Place::Folder(path, _) if !path.is_dir())
    }
}

/// The content of an artifact, in parts.
pub type Content = BoxStream<'static, Result<Bytes, ArtifactError>>;

/// An artifact on its way in. What is there of it goes in the background when it is dropped unfinished; what is
/// left of a process that was killed goes with the next sweep, in a bucket by its own rule for unfinished uploads.
#[derive(Debug)]
pub struct Upload {
    id: ArtifactId,
    size: u64,
    received: u64,
    hasher: Box<blake3::Hasher>,
    /// What is collected for the next part.
    part: BytesMut,
    place: Place,
    store: Arc<dyn ObjectStore>,
    /// The parts that are written, once it is more than one.
    parts: Option<Box<dyn MultipartUpload>>,
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
        if self.part.len() >= self.part_bytes() { self.write().await } else { Ok(()) }
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
        if self.parts.is_none() {
            let whole = self.part.split().freeze();
            let put = self.store.put(&location(self.id), whole.into()).await;
            return put.map(drop).map_err(|error| self.place.explain(error));
        }
        if !self.part.is_empty() {
            self.write().await?;
        }
        if let Some(parts) = &mut self.parts {
            parts.complete().await.map_err(|error| self.place.explain(error))?;
        }
        self.parts = None;
        Ok(())
    }

    fn part_bytes(&self) -> usize {
        PART_BYTES.max(usize::try_from(self.size.div_ceil(MOST_PARTS)).unwrap_or(usize::MAX))
    }

    async fn write(&mut self) -> Result<(), ArtifactError> {
        let part = self.part.split().freeze();
        // Others are on their way at the same time.
        self.place.check_room(part.len() as u64).await?;
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let begun = self.store.put_multipart(&location(self.id)).await;
                self.parts.insert(begun.map_err(|error| self.place.explain(error))?)
            }
        };
        parts.put_part(part.into()).await.map_err(|error| self.place.explain(error))
    }

    fn wrong_size(&self) -> ArtifactError {
        ArtifactError::Size { received: self.received, announced: self.size }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = parts.abort().await {
                    tracing::debug!(%error, "an unfinished upload could not be removed");
                }
            });
        }
    }
}

fn location(id: ArtifactId) -> object_store::path::Path {
    object_store::path::Path::from(id.to_string())
}
