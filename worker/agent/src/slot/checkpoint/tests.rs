//! Files of attempts against a coordinator that keeps artifacts in memory, one that refuses them, and
//! none at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cambrian_proto::v1::artifact_service_server::{ArtifactService, ArtifactServiceServer};
use cambrian_proto::v1::put_artifact_request::Part;
use cambrian_proto::v1::{
    ArtifactChunk, Failure, FailureKind, GetArtifactRequest, Measurements, PutArtifactRequest,
    PutArtifactResponse,
};
use cambrian_transport::client::Credentials;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::artifacts::Transfer;

/// Artifacts by name.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

type Chunks = tokio_stream::Iter<std::vec::IntoIter<Result<ArtifactChunk, Status>>>;

#[tonic::async_trait]
impl ArtifactService for Memory {
    async fn put_artifact(
        &self,
        request: Request<Streaming<PutArtifactRequest>>,
    ) -> Result<Response<PutArtifactResponse>, Status> {
        let mut parts = request.into_inner();
        let (mut id, mut content) = (String::new(), Vec::new());
        while let Some(message) = parts.message().await? {
            match message.part {
                Some(Part::Header(header)) if header.size_bytes > 4 << 20 => {
                    return Err(Status::out_of_range("too large"));
                }
                Some(Part::Header(header)) => id = header.id,
                Some(Part::Chunk(chunk)) => content.extend(chunk),
                None => {}
            }
        }
        self.0.lock().unwrap().insert(id, content);
        Ok(Response::new(PutArtifactResponse {}))
    }

    type GetArtifactStream = Chunks;

    async fn get_artifact(
        &self,
        request: Request<GetArtifactRequest>,
    ) -> Result<Response<Chunks>, Status> {
        let found = self.0.lock().unwrap().get(&request.into_inner().id).cloned();
        let content = found.ok_or_else(|| Status::not_found("gone"))?;
        let chunks =
            content.chunks(1 << 20).map(|chunk| Ok(ArtifactChunk { content: chunk.into() }));
        Ok(Response::new(tokio_stream::iter(chunks.collect::<Vec<_>>())))
    }
}

async fn serve(memory: Memory) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = ArtifactServiceServer::new(memory).max_decoding_message_size(2 << 20);
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    format!("http://{address}")
}

/// The artifacts of a worker with its own folder below `root`.
fn artifacts(root: &Path, coordinators: Vec<String>) -> Artifacts {
    let credentials = Credentials::default();
    let transfer = Transfer { coordinators, credentials, connect: Duration::from_secs(5) };
    Artifacts::new(root.join("cache"), 100 << 20, transfer)
}

fn measured() -> Outcome {
    let measured = outcome::Outcome::Measured(Measurements::default());
    Outcome { outcome: Some(measured), ..Outcome::default() }
}

fn keeping(task: u64) -> Assignment {
    Assignment { task, attempt: 1, keep: true, ..Assignment::default() }
}

/// Keeps `content` as the state of task 1; what is reported then.
async fn kept(artifacts: &Artifacts, folder: &Path, content: &[u8]) -> Outcome {
    let mut assignment = keeping(1);
    let mut checkpoints =
        Checkpoints::prepare(artifacts, Some(folder), false, &mut assignment).await;
    std::fs::write(&assignment.checkpoint_path, content).unwrap();
    let mut ended = measured();
    checkpoints.keep(artifacts, false, &mut ended).await;
    checkpoints.annotate(&mut ended);
    ended
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_file())
        .count()
}

#[tokio::test]
async fn the_state_of_one_worker_reaches_another() {
    let memory = Memory::default();
    let url = serve(memory.clone()).await;
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let state: Vec<u8> = (0..2_500_000u32).map(|at| (at % 241) as u8).collect();
    let ended = kept(&artifacts(here.path(), vec![url.clone()]), here.path(), &state).await;
    assert_eq!(ended.note, "");
    assert_eq!(ended.checkpoint, ArtifactId::of(&state).as_bytes());
    assert_eq!(files(here.path()), 0, "the attempt's files are gone");

    let other = artifacts(there.path(), vec![url]);
    for cached in [false, true] {
        if cached {
            memory.0.lock().unwrap().clear();
        }
        let resume = ended.checkpoint.clone();
        let mut next = Assignment { task: 2, attempt: 1, resume, ..Assignment::default() };
        let checkpoints = Checkpoints::prepare(&other, Some(there.path()), false, &mut next).await;
        assert_eq!(std::fs::read(&next.resume_path).unwrap(), state);
        assert_eq!(next.checkpoint_path, "", "nobody continues it");
        drop(checkpoints);
        assert_eq!(files(there.path()), 0);
    }
}

#[tokio::test]
async fn what_is_gone_or_damaged_is_noted_and_costs_nothing_else() {
    let memory = Memory::default();
    let root = tempfile::tempdir().unwrap();
    let artifacts = artifacts(root.path(), vec![serve(memory.clone()).await]);
    let [gone, damaged] = [b"gone".as_slice(), b"damaged"].map(ArtifactId::of);
    memory.0.lock().unwrap().insert(damaged.to_string(), b"something else".to_vec());
    for (id, reason) in [(gone, "has it no more"), (damaged, "not what was asked for")] {
        let resume = id.as_bytes().to_vec();
        let mut next = Assignment { task: 2, attempt: 1, resume, ..Assignment::default() };
        let mut checkpoints =
            Checkpoints::prepare(&artifacts, Some(root.path()), false, &mut next).await;
        assert_eq!(next.resume_path, "");
        let mut ended = Outcome { note: "said by the evaluator".to_owned(), ..measured() };
        checkpoints.keep(&artifacts, false, &mut ended).await;
        checkpoints.annotate(&mut ended);
        assert!(ended.note.starts_with("said by the evaluator; it began anew"), "{}", ended.note);
        assert!(ended.note.contains(reason), "{}", ended.note);
        // A failure says what it is itself.
        let mut failed = Outcome { outcome: None, note: "x".to_owned(), ..Outcome::default() };
        checkpoints.annotate(&mut failed);
        assert_eq!(failed.note, "");
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_kept_costs_no_result() {
    let root = tempfile::tempdir().unwrap();
    let refusing = artifacts(root.path(), vec![serve(Memory::default()).await]);
    let ended = kept(&refusing, root.path(), &vec![1; 5 << 20]).await;
    assert!(ended.checkpoint.is_empty() && ended.outcome.is_some());
    assert!(ended.note.contains("refuses it: too large"), "{}", ended.note);

    let alone = artifacts(root.path(), Vec::new());
    let ended = kept(&alone, root.path(), b"state").await;
    assert!(ended.note.contains("no coordinator can be reached"), "{}", ended.note);

    let mut nothing = keeping(3);
    let mut checkpoints =
        Checkpoints::prepare(&alone, Some(root.path()), false, &mut nothing).await;
    let mut ended = measured();
    checkpoints.keep(&alone, false, &mut ended).await;
    checkpoints.annotate(&mut ended);
    assert!(ended.note.contains("left no state"), "{}", ended.note);
}

/// What an evaluator leaves may be anything: it costs neither its result nor other slots anything.
#[tokio::test]
async fn a_state_that_is_no_file_is_noted_and_others_are_kept() {
    let memory = Memory::default();
    let root = tempfile::tempdir().unwrap();
    let artifacts = artifacts(root.path(), vec![serve(memory.clone()).await]);
    let secret = root.path().join("token");
    std::fs::write(&secret, "a token").unwrap();
    let pipe = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    };
    let token = |path: &Path| std::os::unix::fs::symlink(&secret, path).unwrap();
    let endless = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
    let leaves: [&dyn Fn(&Path); 3] = [&pipe, &token, &endless];
    for leave in leaves {
        let mut assignment = keeping(1);
        let mut checkpoints =
            Checkpoints::prepare(&artifacts, Some(root.path()), false, &mut assignment).await;
        leave(Path::new(&assignment.checkpoint_path));
        let mut ended = measured();
        checkpoints.keep(&artifacts, false, &mut ended).await;
        checkpoints.annotate(&mut ended);
        assert!(ended.checkpoint.is_empty());
        assert!(ended.note.contains("no ordinary file"), "{}", ended.note);
        drop(checkpoints);
        assert_eq!(files(root.path()), 1, "only the token is left");
    }
    assert!(memory.0.lock().unwrap().is_empty());
    assert!(secret.exists());
    assert!(!kept(&artifacts, root.path(), b"state").await.checkpoint.is_empty());
}

#[tokio::test]
async fn what_a_stopped_attempt_leaves_is_kept_if_somebody_goes_on_with_it() {
    let memory = Memory::default();
    let url = serve(memory.clone()).await;
    let root = tempfile::tempdir().unwrap();
    let artifacts = artifacts(root.path(), vec![url]);
    let failure = Failure { kind: FailureKind::Preempted.into(), message: String::new() };
    let stopped = outcome::Outcome::Failed(failure);
    for (wanted, writes) in [(true, true), (true, false), (false, true)] {
        let mut assignment = Assignment { task: 1, attempt: 1, ..Assignment::default() };
        let mut checkpoints =
            Checkpoints::prepare(&artifacts, Some(root.path()), true, &mut assignment).await;
        assert_eq!(assignment.checkpoint_path, "", "no stage continues it");
        if writes {
            std::fs::write(&assignment.yield_path, b"half of it").unwrap();
        }
        let mut ended = Outcome { outcome: Some(stopped.clone()), step: 3, ..Outcome::default() };
        checkpoints.keep(&artifacts, wanted, &mut ended).await;
        let id = ArtifactId::of(b"half of it");
        let expected = if wanted && writes { id.as_bytes().to_vec() } else { Vec::new() };
        assert_eq!(ended.checkpoint, expected);
        drop(checkpoints);
        assert_eq!(files(root.path()), 0, "the attempt's files are gone");
    }
}
