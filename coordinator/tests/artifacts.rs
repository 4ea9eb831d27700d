//! Artifacts over real gRPC: what is put comes back, and nothing but its hash names it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scripted;

use std::path::Path;
use std::sync::Arc;

use cambrian_coordinator::clock::SystemClock;
use cambrian_coordinator::config::{ArtifactSettings, Config};
use cambrian_coordinator::server::Server;
use cambrian_coordinator::store::memory::MemoryStore;
use cambrian_core::artifact::ArtifactId;
use cambrian_proto::v1;
use cambrian_proto::v1::artifact_service_client::ArtifactServiceClient;
use cambrian_proto::v1::put_artifact_request::Part;
use scripted::log::{log, logged};
use scripted::*;
use tonic::transport::Channel;
use tonic::{Code, Status};

async fn serve_artifacts(folder: &Path) -> (Server, ArtifactServiceClient<Channel>) {
    serve_leaving(0, folder).await
}

/// Artifacts that leave so much room on the disk, MiB.
async fn serve_leaving(
    reserve_mib: u64,
    folder: &Path,
) -> (Server, ArtifactServiceClient<Channel>) {
    let artifacts = ArtifactSettings {
        directory: Some(folder.to_owned()),
        max_mib: 4,
        reserve_mib: Some(reserve_mib),
        ..ArtifactSettings::default()
    };
    let config = Config { artifacts, ..quick() };
    log();
    let store = Box::new(MemoryStore::default());
    let server = serve_with(&config, store, Arc::new(SystemClock::new())).await;
    let client = ArtifactServiceClient::new(channel(&server).await);
    (server, client.max_decoding_message_size(2 << 20))
}

fn header(id: &str, size_bytes: u64) -> Part {
    Part::Header(v1::ArtifactHeader { id: id.to_owned(), size_bytes })
}

async fn put(
    client: &mut ArtifactServiceClient<Channel>,
    parts: Vec<Option<Part>>,
) -> Result<(), Status> {
    let parts = parts.into_iter().map(|part| v1::PutArtifactRequest { part });
    client.put_artifact(tokio_stream::iter(parts.collect::<Vec<_>>())).await.map(drop)
}

async fn get(client: &mut ArtifactServiceClient<Channel>, id: &str) -> Result<Vec<u8>, Status> {
    let request = v1::GetArtifactRequest { id: id.to_owned() };
    let mut chunks = client.get_artifact(request).await?.into_inner();
    let mut content = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        assert!(chunk.content.len() <= 1 << 20);
        content.extend(chunk.content);
    }
    Ok(content)
}

fn whole(content: &[u8]) -> (String, Vec<Option<Part>>) {
    let id = ArtifactId::of(content).to_string();
    let chunks = content.chunks(1 << 20).map(|chunk| Some(Part::Chunk(chunk.to_vec())));
    let parts = std::iter::once(Some(header(&id, content.len() as u64))).chain(chunks).collect();
    (id, parts)
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn what_is_put_comes_back_also_from_the_next_coordinator() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut client) = serve_artifacts(folder.path()).await;
    let large: Vec<u8> = (0..3_500_000u32).map(|at| (at % 253) as u8).collect();
    let mut ids = Vec::new();
    for content in [b"".as_slice(), b"small", &large] {
        let (id, parts) = whole(content);
        assert_eq!(get(&mut client, &id).await.unwrap_err().code(), Code::NotFound);
        put(&mut client, parts).await.unwrap();
        assert_eq!(get(&mut client, &id).await.unwrap(), content);
        ids.push(id);
    }
    stop(server).await;
    let (server, mut client) = serve_artifacts(folder.path()).await;
    assert_eq!(get(&mut client, &ids[2]).await.unwrap(), large);
    stop(server).await;
}

#[tokio::test]
async fn only_a_hash_is_a_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "do not read").unwrap();
    let inside = folder.path().join("artifacts");
    let (server, mut client) = serve_artifacts(&inside).await;
    let id = ArtifactId::of(b"x").to_string();
    let names = [
        "",
        ".",
        "../secret",
        "/etc/passwd",
        "secret",
        &id.to_uppercase(),
        &id[1..],
        &format!("{id}/x"),
    ];
    for name in names {
        assert_eq!(
            get(&mut client, name).await.unwrap_err().code(),
            Code::InvalidArgument,
            "{name}"
        );
        let parts = vec![Some(header(name, 1)), Some(Part::Chunk(b"x".to_vec()))];
        let status = put(&mut client, parts).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}");
        assert!(status.message().contains("header.id"), "{}", status.message());
    }
    for method in ["GetArtifact", "PutArtifact"] {
        logged(&["call refused", method, "InvalidArgument"]).await;
    }
    assert_eq!(files(folder.path()), 1, "nothing was written");
    stop(server).await;
}

#[tokio::test]
async fn what_is_not_what_it_says_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut client) = serve_artifacts(folder.path()).await;
    let id = ArtifactId::of(b"right").to_string();
    let chunk = |content: &[u8]| Some(Part::Chunk(content.to_vec()));
    let cases = [
        (vec![], Code::InvalidArgument),
        (vec![None], Code::InvalidArgument),
        (vec![chunk(b"right")], Code::InvalidArgument),
        (vec![Some(header(&id, 5)), chunk(b"wrong")], Code::InvalidArgument),
        (vec![Some(header(&id, 5)), chunk(b"righ")], Code::InvalidArgument),
        (vec![Some(header(&id, 5)), chunk(b"right!")], Code::InvalidArgument),
        (vec![Some(header(&id, 5)), Some(header(&id, 5))], Code::InvalidArgument),
        (vec![Some(header(&id, 5)), chunk(b""), chunk(b"right")], Code::InvalidArgument),
        (vec![Some(header(&id, 2 << 20)), chunk(&vec![0; (1 << 20) + 1])], Code::InvalidArgument),
        (vec![Some(header(&id, (4 << 20) + 1))], Code::OutOfRange),
        (vec![Some(header(&id, u64::MAX))], Code::OutOfRange),
    ];
    for (at, (parts, code)) in cases.into_iter().enumerate() {
        assert_eq!(put(&mut client, parts).await.unwrap_err().code(), code, "case {at}");
        assert_eq!(get(&mut client, &id).await.unwrap_err().code(), Code::NotFound, "case {at}");
    }
    logged(&["call refused", "PutArtifact", "OutOfRange", "artifacts.max_mib"]).await;
    let (id, parts) = whole(b"right");
    put(&mut client, parts).await.unwrap();
    std::fs::write(folder.path().join(&id), "stale").unwrap();
    assert_eq!(get(&mut client, &id).await.unwrap_err().code(), Code::DataLoss);
    let (_, parts) = whole(b"right");
    put(&mut client, parts).await.unwrap();
    assert_eq!(get(&mut client, &id).await.unwrap(), b"right", "put again, it is mended");
    stop(server).await;
}

/// Workers try again on this status.
#[tokio::test]
async fn a_full_disk_is_no_place_for_artifacts() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut client) = serve_leaving(1 << 30, folder.path()).await;
    let (_, parts) = whole(b"small");
    let status = put(&mut client, parts).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    logged(&["call refused", "PutArtifact", "artifacts.reserve_mib"]).await;
    assert_eq!(files(folder.path()), 0);
    stop(server).await;
}
