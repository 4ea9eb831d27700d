//! Artifacts in and out, in chunks that fit any message.

use std::time::Duration;

use cambrian_core::artifact::ArtifactId;
use cambrian_proto::convert::ConvertError;
use cambrian_proto::convert::artifact::{CHUNK_BYTES, artifact_id};
use cambrian_proto::v1;
use cambrian_proto::v1::artifact_service_server::ArtifactService;
use cambrian_proto::v1::put_artifact_request::Part;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::status::bad_message;
use crate::artifacts::{ArtifactError, Artifacts, Content};

/// How long a sender may be silent in the middle of an artifact.
const PATIENCE: Duration = Duration::from_secs(60);
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
        while let Some(part) = next(&mut parts).await? {
            let Part::Chunk(chunk) = part else {
                return Err(bad_message(&ConvertError::new("header", "comes once, at first")));
            };
            if chunk.len() > CHUNK_BYTES {
                let reason = format!("has {} bytes, at most {CHUNK_BYTES}", chunk.len());
                return Err(bad_message(&ConvertError::new("chunk", reason)));
            }
            upload.push(&chunk).await.map_err(|error| of_artifact(&error))?;
        }
        upload.finish().await.map_err(|error| of_artifact(&error))?;
        Ok(Response::new(v1::PutArtifactResponse {}))
    }

    type GetArtifactStream = ReceiverStream<Result<v1::ArtifactChunk, Status>>;

    async fn get_artifact(
        &self,
        request: Request<v1::GetArtifactRequest>,
    ) -> Result<Response<Self::GetArtifactStream>, Status> {
        let id =
            artifact_id("id", &request.into_inner().id).map_err(|error| bad_message(&error))?;
        let (_, content) = self.artifacts.read(id).await.map_err(|error| of_artifact(&error))?;
        let (wire, stream) = mpsc::channel(WIRE_QUEUE);
        tokio::spawn(send(id, content, wire));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn next(parts: &mut Streaming<v1::PutArtifactRequest>) -> Result<Option<Part>, Status> {
    let silent = |_| Status::deadline_exceeded("the artifact stopped in the middle");
    let message = tokio::time::timeout(PATIENCE, parts.message()).await.map_err(silent)??;
    let Some(message) = message else { return Ok(None) };
    let missing = || bad_message(&ConvertError::new("part", "is missing"));
    message.part.map(Some).ok_or_else(missing)
}

/// Sends the content; it ends with an error if it is not that of the name.
async fn send(
    id: ArtifactId,
    mut content: Content,
    wire: mpsc::Sender<Result<v1::ArtifactChunk, Status>>,
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
            if wire.send(Ok(chunk)).await.is_err() {
                return;
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
        ArtifactError::Size { .. } | ArtifactError::Content { .. } => {
            Status::invalid_argument(text)
        }
        ArtifactError::Folder { .. } | ArtifactError::Store(_) | ArtifactError::Bucket(_) => {
            tracing::error!(%error, "artifacts cannot be used");
            Status::unavailable(text)
        }
    }
}
