//! Artifacts in a folder and in a bucket: whole or not at all, what their names say, and gone when nothing
//! needs them.

mod s3_server;

use std::fs;
use std::time::Duration;

use super::*;
use s3_server::{BUCKET, KEY_ID, S3Server};

const NO_RESERVE: Reserve = Reserve::Bytes(0);
const PREFIX: &str = "deep/cambrian";

/// Artifacts in one place, with a look behind them.
struct Rig {
    artifacts: Artifacts,
    place: Behind,
}

enum Behind {
    Folder(tempfile::TempDir),
    Bucket(S3Server),
}

impl Rig {
    fn folder(limit: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(&root.path().join("deep/artifacts"), limit, NO_RESERVE);
        Self { artifacts, place: Behind::Folder(root) }
    }

    async fn bucket(limit: u64) -> Self {
        let (server, endpoint) = S3Server::start().await;
        let artifacts = in_bucket(BUCKET, KEY_ID, &endpoint, limit);
        Self { artifacts, place: Behind::Bucket(server) }
    }

    /// Both, which have to behave in the same way.
    async fn all(limit: u64) -> [Self; 2] {
        [Self::folder(limit), Self::bucket(limit).await]
    }

    /// Everything that lies there, unfinished uploads included.
    fn names(&self) -> Vec<String> {
        match &self.place {
            Behind::Folder(root) => {
                let Ok(entries) = fs::read_dir(root.path().join("deep/artifacts")) else {
                    return Vec::new();
                };
                let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
                let mut names: Vec<String> =
                    entries.map(|entry| name(entry).into_string().unwrap()).collect();
                names.sort();
                names
            }
            Behind::Bucket(server) => {
                let below = format!("{PREFIX}/");
                let whole = server.keys().into_iter();
                let whole = whole.map(|key| key.strip_prefix(&below).unwrap_or(&key).to_owned());
                whole.chain((0..server.uploads().0).map(|at| format!("unfinished {at}"))).collect()
            }
        }
    }

    /// Puts something there by another way.
    fn put_beside(&self, name: &str, content: &'static [u8]) {
        match &self.place {
            Behind::Folder(root) => {
                fs::write(root.path().join("deep/artifacts").join(name), content).unwrap();
            }
            Behind::Bucket(server) => server.put(&format!("{PREFIX}/{name}"), content),
        }
    }

    /// Waits until unfinished uploads are removed, which is done in the background.
    async fn until_empty(&self) {
        for _ in 0..500 {
            if self.names().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("left over: {:?}", self.names());
    }
}

fn in_bucket(bucket: &str, key_id: &str, endpoint: &str, limit: u64) -> Artifacts {
    let url = format!("s3://{bucket}/{PREFIX}/");
    let bucket = Bucket::open(&url, Some(endpoint), Some("us-east-1"), &|builder| {
        builder.with_access_key_id(key_id).with_secret_access_key("secret")
    });
    Artifacts { place: Place::Bucket(bucket.unwrap()), limit }
}

async fn put(artifacts: &Artifacts, content: &[u8]) -> Result<ArtifactId, ArtifactError> {
    let id = ArtifactId::of(content);
    let mut upload = artifacts.begin(id, content.len() as u64).await?;
    for piece in content.chunks(1 << 20) {
        upload.push(piece).await?;
    }
    upload.finish().await?;
    Ok(id)
}

async fn get(artifacts: &Artifacts, id: ArtifactId) -> Result<Vec<u8>, ArtifactError> {
    let (size, mut content) = artifacts.read(id).await?;
    let mut read = Vec::new();
    while let Some(part) = content.next().await {
        read.extend_from_slice(&part?);
    }
    assert_eq!(read.len() as u64, size);
    Ok(read)
}

fn large() -> Vec<u8> {
    (0..2 * PART_BYTES + 12_345).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn what_is_put_comes_back() {
    for rig in Rig::all(1 << 30).await {
        rig.artifacts.check().await.unwrap();
        let (artifacts, large) = (&rig.artifacts, large());
        for content in [b"".as_slice(), b"x", &large] {
            let id = put(artifacts, content).await.unwrap();
            assert_eq!(get(artifacts, id).await.unwrap(), content);
            // Once more is no fault.
            put(artifacts, content).await.unwrap();
        }
        assert_eq!(rig.names().len(), 3);
    }
}

#[tokio::test]
async fn what_is_not_what_it_says_leaves_nothing() {
    for rig in Rig::all(100).await {
        let artifacts = &rig.artifacts;
        let id = ArtifactId::of(b"right");
        let mut upload = artifacts.begin(id, 5).await.unwrap();
        upload.push(b"wrong").await.unwrap();
        assert!(matches!(upload.finish().await, Err(ArtifactError::Content { .. })));
        let mut upload = artifacts.begin(id, 5).await.unwrap();
        upload.push(b"righ").await.unwrap();
        assert!(matches!(upload.finish().await, Err(ArtifactError::Size { received: 4, .. })));
        let mut upload = artifacts.begin(id, 5).await.unwrap();
        let pushed = upload.push(b"right!").await;
        assert!(matches!(pushed, Err(ArtifactError::Size { received: 6, .. })));
        drop(upload);
        drop(artifacts.begin(id, 5).await.unwrap());
        let error = artifacts.begin(id, 101).await.unwrap_err();
        assert!(error.to_string().contains("artifacts.max_mib"), "{error}");
        assert!(matches!(artifacts.read(id).await, Err(ArtifactError::Absent(_))));
        rig.until_empty().await;
    }
}

/// Parts are there already when the sender goes away, or turns out to have sent something else.
#[tokio::test]
async fn a_large_upload_that_is_interrupted_or_wrong_leaves_nothing() {
    for rig in Rig::all(1 << 30).await {
        let large = large();
        for id in [ArtifactId::of(&large), ArtifactId::of(b"something else")] {
            let mut upload = rig.artifacts.begin(id, large.len() as u64).await.unwrap();
            upload.push(&large).await.unwrap();
            assert!(!rig.names().is_empty(), "the first parts are there");
            if id == ArtifactId::of(&large) {
                drop(upload);
            } else {
                assert!(matches!(upload.finish().await, Err(ArtifactError::Content { .. })));
            }
            assert!(matches!(rig.artifacts.read(id).await, Err(ArtifactError::Absent(_))));
            rig.until_empty().await;
        }
    }
}

#[tokio::test]
async fn a_folder_that_does_not_exist_holds_nothing() {
    let artifacts = Artifacts::new(Path::new("no/such/folder"), 100, NO_RESERVE);
    let id = ArtifactId::of(b"x");
    assert!(matches!(artifacts.read(id).await, Err(ArtifactError::Absent(_))));
    assert_eq!(artifacts.sweep(&[].into(), std::time::SystemTime::now()).await.unwrap(), 0);
}

#[tokio::test]
async fn only_old_artifacts_that_nothing_needs_are_swept() {
    for rig in Rig::all(100).await {
        let artifacts = &rig.artifacts;
        let [needed, other] = [b"needed".as_slice(), b"other"].map(ArtifactId::of);
        put(artifacts, b"needed").await.unwrap();
        put(artifacts, b"other").await.unwrap();
        rig.put_beside("notes.txt", b"mine");
        let is_folder = matches!(rig.place, Behind::Folder(_));
        if is_folder {
            rig.put_beside(&format!("{other}#1"), b"half");
        }
        let before = std::time::UNIX_EPOCH + Duration::from_secs(900_000_000);
        assert_eq!(artifacts.sweep(&[needed].into(), before).await.unwrap(), 0);
        assert_eq!(rig.names().len(), if is_folder { 4 } else { 3 });
        let later = std::time::SystemTime::now() + Duration::from_secs(3_600);
        assert_eq!(artifacts.sweep(&[needed].into(), later).await.unwrap(), 1);
        let mut expected = vec![needed.to_string(), "notes.txt".to_owned()];
        expected.sort();
        assert_eq!(rig.names(), expected);
        assert!(matches!(artifacts.read(other).await, Err(ArtifactError::Absent(_))));
    }
}

/// A bucket that is not there is not taken for one without artifacts.
#[tokio::test]
async fn a_missing_bucket_is_told_apart_from_a_missing_artifact() {
    let (_server, endpoint) = S3Server::start().await;
    let artifacts = in_bucket("elsewhere", KEY_ID, &endpoint, 100);
    let id = ArtifactId::of(b"x");
    let faults = [
        artifacts.check().await.unwrap_err(),
        artifacts.read(id).await.err().unwrap(),
        put(&artifacts, b"x").await.unwrap_err(),
        put(&Artifacts { limit: 1 << 30, ..artifacts.clone() }, &large()).await.unwrap_err(),
        artifacts.sweep(&[].into(), std::time::SystemTime::now()).await.unwrap_err(),
    ];
    for error in faults {
        let words = error.to_string();
        assert!(matches!(error, ArtifactError::Bucket(BucketError::Missing { .. })), "{words}");
        assert!(words.contains("s3://elsewhere/deep/cambrian") && error.stays(), "{words}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_named_with_where_they_come_from() {
    let (server, endpoint) = S3Server::start().await;
    let artifacts = in_bucket(BUCKET, "AKIDOTHER", &endpoint, 100);
    let id = ArtifactId::of(b"x");
    let faults = [
        artifacts.check().await.unwrap_err(),
        artifacts.read(id).await.err().unwrap(),
        put(&artifacts, b"x").await.unwrap_err(),
    ];
    for error in faults {
        let words = error.to_string();
        assert!(matches!(error, ArtifactError::Bucket(BucketError::Refused { .. })), "{words}");
        assert!(words.contains("AWS_ACCESS_KEY_ID") && !words.contains("secret"), "{words}");
        assert!(error.stays());
    }
    assert!(server.keys().is_empty());
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_and_an_absent_one_is_no_fault_of_the_settings() {
    let rig = Rig::bucket(1 << 30).await;
    let Behind::Bucket(server) = &rig.place else { panic!("it is one") };
    server.fail_next(2);
    let id = put(&rig.artifacts, b"x").await.unwrap();
    assert_eq!(get(&rig.artifacts, id).await.unwrap(), b"x");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let error = in_bucket(BUCKET, KEY_ID, &nobody, 100).check().await.unwrap_err();
    assert!(!error.stays(), "{error}");
    assert!(error.to_string().contains("s3://states"), "{error}");
}

#[tokio::test]
async fn the_disk_is_left_room_also_while_an_artifact_comes() {
    let mut rig = Rig::folder(100 << 20);
    let content = vec![7; 20 << 20];
    let id = ArtifactId::of(&content);
    let mut upload = rig.artifacts.begin(id, content.len() as u64).await.unwrap();
    upload.push(&content[..9 << 20]).await.unwrap();
    assert_eq!(rig.names().len(), 1);
    // As if somebody had filled it meanwhile.
    if let Place::Folder(_, reserve) = &mut upload.place {
        *reserve = Reserve::Bytes(u64::MAX);
    }
    let error = upload.push(&content[9 << 20..]).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Full { .. }), "{error}");
    drop(upload);
    rig.until_empty().await;
    if let Place::Folder(_, reserve) = &mut rig.artifacts.place {
        *reserve = Reserve::Bytes(1 << 60);
    }
    let error = rig.artifacts.begin(id, 3 << 20).await.unwrap_err().to_string();
    assert!(
        error.contains("no room for 3 MiB") && error.contains("artifacts.reserve_mib"),
        "{error}"
    );
}
