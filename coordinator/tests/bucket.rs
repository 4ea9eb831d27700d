//! The `cambrian-coordinator` command with its artifacts in a bucket: it does not start without the bucket, and
//! what workers put lies there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../src/artifacts/tests/s3_server.rs"]
#[expect(dead_code, reason = "other users need the rest")]
mod s3_server;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cambrian_core::artifact::ArtifactId;
use cambrian_proto::v1;
use cambrian_proto::v1::artifact_service_client::ArtifactServiceClient;
use cambrian_proto::v1::put_artifact_request::Part;
use s3_server::{BUCKET, KEY_ID, S3Server};

const SECRET: &str = "not-to-be-seen";

/// The command with these credentials and settings of artifacts.
fn command(directory: &Path, key_id: &str, artifacts: &str) -> Command {
    std::fs::write(directory.join("settings.yaml"), format!("artifacts: {{{artifacts}}}\n"))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian-coordinator"));
    command
        .current_dir(directory)
        .args(["--config", "settings.yaml", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .env("AWS_ACCESS_KEY_ID", key_id)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env_remove("AWS_SESSION_TOKEN")
        .stderr(Stdio::piped());
    command
}

fn settings(bucket: &str, endpoint: &str) -> String {
    format!("url: 's3://{bucket}/lab', endpoint: '{endpoint}', region: eu-central-1")
}

/// Waits for the line that says where it listens.
fn listening(child: &mut Child) -> String {
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("\"message\":\"listening\"") {
            let address = line.split("\"address\":\"").nth(1).unwrap();
            return address.split('"').next().unwrap().to_owned();
        }
    }
    panic!("it ended before it listened: {:?}", child.wait())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_start_where_it_could_keep_nothing() {
    let (_server, endpoint) = S3Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    for (bucket, key_id, reason) in [
        ("elsewhere", KEY_ID, "there is no bucket for s3://elsewhere/lab"),
        (BUCKET, "AKIDOTHER", "refuses the coordinator's credentials"),
    ] {
        let output =
            command(directory.path(), key_id, &settings(bucket, &endpoint)).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && words.contains(reason), "{words}");
        assert!(!words.contains(SECRET), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_workers_put_lies_in_the_bucket_and_comes_back_from_there() {
    let (server, endpoint) = S3Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let mut child =
        command(directory.path(), KEY_ID, &settings(BUCKET, &endpoint)).spawn().unwrap();
    let address = format!("http://{}", listening(&mut child));
    let mut client = ArtifactServiceClient::connect(address).await.unwrap();
    let content = b"the state of a training";
    let id = ArtifactId::of(content);
    let header = v1::ArtifactHeader { id: id.to_string(), size_bytes: content.len() as u64 };
    let parts = [Part::Header(header), Part::Chunk(content.to_vec())];
    let parts = parts.map(|part| v1::PutArtifactRequest { part: Some(part) });
    client.put_artifact(tokio_stream::iter(parts)).await.unwrap();
    assert_eq!(server.keys(), [format!("lab/{id}")]);
    let request = v1::GetArtifactRequest { id: id.to_string() };
    let mut chunks = client.get_artifact(request).await.unwrap().into_inner();
    assert_eq!(chunks.message().await.unwrap().unwrap().content, content);
    child.kill().unwrap();
    child.wait().unwrap();
    let beside = std::fs::read_dir(directory.path()).unwrap();
    let names = beside.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.ends_with(".artifacts")), "there is no folder");
}
