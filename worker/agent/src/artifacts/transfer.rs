//! Artifacts to and from a coordinator, over a connection of their own: a large one holds up neither
//! heartbeats nor reports.
//!
//! Besides the link the only module that knows tonic. Must not know where files are kept.

use std::path::Path;
use std::time::Duration;

use cambrian_core::artifact::ArtifactId;
use cambrian_proto::convert::artifact::CHUNK_BYTES;
use cambrian_proto::v1::artifact_service_client::ArtifactServiceClient;
use cambrian_proto::v1::put_artifact_request::Part;
use cambrian_proto::v1::{ArtifactHeader, GetArtifactRequest, PutArtifactRequest};
use cambrian_transport::client::{Bearer, Credentials};
use cambrian_transport::failure;
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tracing::debug;

/// Pauses before the coordinators are tried once more.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
];
/// How long the other side may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// A whole artifact may take as long as it takes at this pace, bytes a second.
const SLOWEST: u64 = 256 << 10;
/// Chunks between the disk and the network.
const WIRE_QUEUE: usize = 4;

/// Why an artifact did not get to the other side.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TransferError {
    #[error("the coordinator has it no more")]
    Absent,
    #[error("the coordinator refuses it: {0}")]
    Refused(String),
    #[error("no coordinator can be reached for it: {0}")]
    Unreachable(String),
    #[error("the file cannot be used: {0}")]
    File(String),
}

type Client = ArtifactServiceClient<InterceptedService<Channel, Bearer>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Get,
    Put,
}

/// The way to the coordinators.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) coordinators: Vec<String>,
    pub(crate) credentials: Credentials,
    /// How long a coordinator may take to accept a connection.
    pub(crate) connect: Duration,
}

impl Transfer {
    /// Writes an artifact to the new file `target`; whether it is the right one is for the caller to
    /// check.
    pub(super) async fn get(&self, id: ArtifactId, target: &Path) -> Result<(), TransferError> {
        self.with_any(Direction::Get, id, target).await
    }

    /// Sends the file `source` as the artifact `id`.
    pub(super) async fn put(&self, id: ArtifactId, source: &Path) -> Result<(), TransferError> {
        self.with_any(Direction::Put, id, source).await
    }

    /// Tries one coordinator after the other until one has done it or it is clear that none will.
    async fn with_any(
        &self,
        direction: Direction,
        id: ArtifactId,
        path: &Path,
    ) -> Result<(), TransferError> {
        let mut last = TransferError::Unreachable("none is given".to_owned());
        for pause in PAUSES.into_iter().map(Some).chain([None]) {
            for address in &self.coordinators {
                let done = match self.client(address).await {
                    Ok(client) if direction == Direction::Get => receive(client, id, path).await,
                    Ok(client) => send(client, id, path).await,
                    Err(error) => Err(error),
                };
                match done {
                    Err(error @ TransferError::Unreachable(_)) => {
                        debug!(address, %error, "an artifact did not get through");
                        last = error;
                    }
                    done => return done,
                }
            }
            if let Some(pause) = pause.filter(|_| !self.coordinators.is_empty()) {
                sleep(pause).await;
            }
        }
        Err(last)
    }

    async fn client(&self, address: &str) -> Result<Client, TransferError> {
        let unreachable = |error: &dyn ToString| TransferError::Unreachable(error.to_string());
        let endpoint = self.credentials.endpoint(address).map_err(|error| unreachable(&error))?;
        let bearer = self.credentials.bearer().map_err(|error| unreachable(&error))?;
        let dialled = timeout(self.connect, endpoint.connect()).await;
        let dialled = dialled.map_err(|_| unreachable(&"no connection in time"))?;
        let channel = dialled.map_err(|error| {
            let reason = failure::of_tls(&error).unwrap_or_else(|| error.to_string());
            TransferError::Unreachable(reason)
        })?;
        let client = ArtifactServiceClient::with_interceptor(channel, bearer);
        Ok(client.max_decoding_message_size(2 * CHUNK_BYTES))
    }
}

async fn receive(mut client: Client, id: ArtifactId, target: &Path) -> Result<(), TransferError> {
    let mut file = File::create(target).await.map_err(of_file)?;
    let request = GetArtifactRequest { id: id.to_string() };
    let answer = in_time(PATIENCE, client.get_artifact(request)).await?;
    let mut chunks = answer.into_inner();
    while let Some(chunk) = in_time(PATIENCE, chunks.message()).await? {
        file.write_all(&chunk.content).await.map_err(of_file)?;
    }
    file.flush().await.map_err(of_file)
}

async fn send(mut client: Client, id: ArtifactId, source: &Path) -> Result<(), TransferError> {
    let file = File::open(source).await.map_err(of_file)?;
    let size_bytes = file.metadata().await.map_err(of_file)?.len();
    let header = ArtifactHeader { id: id.to_string(), size_bytes };
    let (wire, stream) = mpsc::channel(WIRE_QUEUE);
    let reading = tokio::spawn(read(file, header, wire));
    let limit = PATIENCE + Duration::from_secs(size_bytes / SLOWEST);
    let answered = in_time(limit, client.put_artifact(ReceiverStream::new(stream))).await;
    reading.abort();
    answered.map(drop)
}

/// Sends the parts of a file until it ends or nobody takes them any more. A file that cannot be read
/// to its end leaves the artifact short, which the coordinator refuses.
async fn read(mut file: File, header: ArtifactHeader, wire: mpsc::Sender<PutArtifactRequest>) {
    let mut part = Part::Header(header);
    while wire.send(PutArtifactRequest { part: Some(part) }).await.is_ok() {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        match (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(_) => part = Part::Chunk(chunk),
        }
    }
}

async fn in_time<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, TransferError> {
    match timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(of_status(&status)),
        Err(_) => Err(TransferError::Unreachable("it does not answer".to_owned())),
    }
}

fn of_status(status: &Status) -> TransferError {
    let text = status.message().to_owned();
    match status.code() {
        Code::NotFound => TransferError::Absent,
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::DataLoss => TransferError::Refused(text),
        _ => TransferError::Unreachable(text),
    }
}

fn of_file(error: std::io::Error) -> TransferError {
    TransferError::File(error.to_string())
}
