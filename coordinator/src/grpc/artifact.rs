//! Artifacts in and out, in chunks that fit any message.
//!
//! Must not know what an artifact holds, nor which are needed.

use std::future::ready;
use std::time::Duration;

use cambrian_core::artifact::ArtifactId;
use cambrian_proto::convert::ConvertError;
use cambrian_proto::convert::artifact::{CHUNK_BYTES, artifact_id};
use cambrian_proto::v1;
use cambrian_proto::v1::artifact_service_server::ArtifactService;
use cambrian_proto::v1::put_artifact_request::Part;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::status::bad_message;
use crate::artifacts::{ArtifactError, Artifacts, Content, Upload};

/// How long the other side may be silent in the middle of an artifact.
const PATIENCE: Duration = Duration::from_secs(60);
/// A whole artifact may take as long as it takes at this pace, bytes a second; workers give up then, too.
const SLOWEST: u64 = 256 << 10;
/// How many chunks wait between the store and the network.
const WIRE_QUEUE: usize = 4;

/// Serves `ArtifactService`.
pub(crate) struct ArtifactServer {
    artifacts: Artifacts,
}

impl ArtifactServer {
    pub(crate) fn new(artifacts: Artifacts) -> Self {
        Self { artifacts }
    }
}

#[tonic::async_trait]
impl ArtifactService for ArtifactServer {
    async fn put_artifact(
        &self,
        request: Request<Streaming<v1::PutArtifactRequest>>,
    ) -> Result<Response<v1::PutArtifactResponse>, Status> {
        let mut parts = request.into_inner();
        let Some(Part::Header(header)) = next(&mut parts).await? else {
            return Err(bad_message(&ConvertError::new("header", "must be the first message")));
        };
        let id = artifact_id("header.id", &header.id).map_err(|error| bad_message(&error))?;
        let begun = self.artifacts.begin(id, header.size_bytes).await;
        let mut upload = begun.map_err(|error| of_artifact(&error))?;
        let limit = PATIENCE + Duration::from_secs(header.size_bytes / SLOWEST);
        take(&mut parts, &mut upload, Instant::now() + limit).await?;
        upload.finish().await.map_err(|error| of_artifact(&error))?;
        Ok(Response::new(v1::PutArtifactResponse {}))
    }

    type GetArtifactStream = BoxStream<'static, Result<v1::ArtifactChunk, Status>>;

    async fn get_artifact(
        &self,
        request: Request<v1::GetArtifactRequest>,
    ) -> Result<Response<Self::GetArtifactStream>, Status> {
        let id =
            artifact_id("id", &request.into_inner().id).map_err(|error| bad_message(&error))?;
        let (_, content) = self.artifacts.read(id).await.map_err(|error| of_artifact(&error))?;
        let (wire, chunks) = mpsc::channel(WIRE_QUEUE);
        let (cut_off, reason) = oneshot::channel();
        tokio::spawn(send(id, content, (wire, cut_off), PATIENCE));
        Ok(Response::new(outgoing(chunks, reason)))
    }
}

/// Takes the chunks of an artifact in; all of them have to be there at `end`.
async fn take(parts: &mut Parts<'_>, upload: &mut Upload, end: Instant) -> Result<(), Status> {
    loop {
        let late = |_| Status::deadline_exceeded("the artifact comes too slowly");
        let Some(part) = timeout_at(end, next(parts)).await.map_err(late)?? else { return Ok(()) };
        let Part::Chunk(chunk) = part else {
            return Err(bad_message(&ConvertError::new("header", "comes once, at first")));
        };
        // An empty one would keep an artifact waiting for nothing.
        if chunk.is_empty() || chunk.len() > CHUNK_BYTES {
            let reason = format!("has {} bytes, expected 1 to {CHUNK_BYTES}", chunk.len());
            return Err(bad_message(&ConvertError::new("chunk", reason)));
        }
        upload.push(&chunk).await.map_err(|error| of_artifact(&error))?;
    }
}

/// The messages of an artifact on its way in.
type Parts<'p> = dyn Stream<Item = Result<v1::PutArtifactRequest, Status>> + Send + Unpin + 'p;

async fn next(parts: &mut Parts<'_>) -> Result<Option<Part>, Status> {
    let silent = |_| Status::deadline_exceeded("the artifact stopped in the middle");
    let message = timeout(PATIENCE, parts.next()).await.map_err(silent)?;
    let Some(message) = message.transpose()? else { return Ok(None) };
    let missing = || bad_message(&ConvertError::new("part", "is missing"));
    message.part.map(Some).ok_or_else(missing)
}

/// The chunks as they come, and why there are no more, if there is a reason.
fn outgoing(
    chunks: mpsc::Receiver<Result<v1::ArtifactChunk, Status>>,
    reason: oneshot::Receiver<Status>,
) -> BoxStream<'static, Result<v1::ArtifactChunk, Status>> {
    let reason = stream::once(reason).filter_map(|reason| ready(reason.ok().map(Err)));
    ReceiverStream::new(chunks).chain(reason).boxed()
}

/// Sends the content; it ends with an error if it is not that of the name, and halfway if nobody takes
/// it for as long as `patience`.
async fn send(
    id: ArtifactId,
    mut content: Content,
    (wire, cut_off): (mpsc::Sender<Result<v1::ArtifactChunk, Status>>, oneshot::Sender<Status>),
    patience: Duration,
) {
    let mut hasher = blake3::Hasher::new();
    while let Some(part) = content.next().await {
        let part = match part {
            Ok(part) => part,
            // Whoever does not listen any more needs no reason.
            Err(error) => return drop(wire.send(Err(of_artifact(&error))).await),
        };
        hasher.update(&part);
        for chunk in part.chunks(CHUNK_BYTES) {
            let chunk = v1::ArtifactChunk { content: chunk.to_vec() };
            match wire.send_timeout(Ok(chunk), patience).await {
                Ok(()) => {}
                Err(SendTimeoutError::Closed(_)) => return,
                Err(SendTimeoutError::Timeout(_)) => {
                    tracing::warn!(%id, "an artifact is not taken; giving up");
                    let text = "the artifact was not taken for too long";
                    return drop(cut_off.send(Status::deadline_exceeded(text)));
                }
            }
        }
    }
    if ArtifactId::from(hasher.finalize()) != id {
        tracing::error!(%id, "an artifact is damaged: its content is not that of its name");
        let _ = wire.send(Err(Status::data_loss(format!("the artifact {id} is damaged")))).await;
    }
}

fn of_artifact(error: &ArtifactError) -> Status {
    let text = error.to_string();
    match error {
        ArtifactError::Absent(_) => Status::not_found(text),
        ArtifactError::TooLarge { .. } => Status::out_of_range(text),
        ArtifactError::Full { .. } => Status::resource_exhausted(text),
        ArtifactError::Size { .. } | ArtifactError::Content { .. } => {
            Status::invalid_argument(text)
        }
        ArtifactError::Folder { .. } | ArtifactError::Store(_) | ArtifactError::Bucket(_) => {
            tracing::error!(%error, "artifacts cannot be used");
            Status::unavailable(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::artifacts::Reserve;

    fn chunk(content: &[u8]) -> Result<v1::PutArtifactRequest, Status> {
        Ok(v1::PutArtifactRequest { part: Some(Part::Chunk(content.to_vec())) })
    }

    #[tokio::test]
    async fn an_artifact_that_comes_by_drops_comes_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(folder.path(), 1 << 30, Reserve::Bytes(0));
        let mut upload = artifacts.begin(ArtifactId::of(b"x"), 1 << 30).await.unwrap();
        let drop = |()| async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Some((chunk(b"x"), ()))
        };
        let mut drops = Box::pin(stream::unfold((), drop));
        let end = Instant::now() + Duration::from_millis(50);
        let status = take(&mut drops, &mut upload, end).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn an_artifact_that_nobody_takes_is_given_up() {
        let part = bytes::Bytes::from_static(&[7; 64]);
        let content = stream::repeat_with(move || Ok(part.clone())).boxed();
        let (wire, chunks) = mpsc::channel(WIRE_QUEUE);
        let (cut_off, reason) = oneshot::channel();
        let patience = Duration::from_millis(5);
        send(ArtifactId::of(b"x"), content, (wire, cut_off), patience).await;
        let mut sent: Vec<_> = outgoing(chunks, reason).collect().await;
        let last = sent.pop().unwrap().unwrap_err();
        assert_eq!(last.code(), Code::DeadlineExceeded, "half an artifact looks like a whole one");
        assert_eq!(sent.len(), WIRE_QUEUE);
        assert!(
            sent.iter().all(|chunk| chunk.as_ref().is_ok_and(|chunk| chunk.content.len() == 64))
        );
    }
}
