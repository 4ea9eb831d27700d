//! Artifacts in a folder: whole or not at all, what their names say, and gone when nothing needs them.

use std::time::Duration;

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
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

#[tokio::test]
async fn what_is_put_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(&root.path().join("deep/artifacts"), 1 << 30);
    let large: Vec<u8> = (0..PART_BYTES + 12_345).map(|at| (at % 251) as u8).collect();
    for content in [b"".as_slice(), b"x", &large] {
        let id = put(&artifacts, content).await.unwrap();
        assert_eq!(get(&artifacts, id).await.unwrap(), content);
        // Once more is no fault.
        put(&artifacts, content).await.unwrap();
    }
    assert_eq!(names(&artifacts.folder).len(), 3);
}

#[tokio::test]
async fn what_is_not_what_it_says_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(root.path(), 100);
    let id = ArtifactId::of(b"right");
    let mut upload = artifacts.begin(id, 5).await.unwrap();
    upload.push(b"wrong").await.unwrap();
    assert!(matches!(upload.finish().await, Err(ArtifactError::Content { .. })));
    let mut upload = artifacts.begin(id, 5).await.unwrap();
    upload.push(b"righ").await.unwrap();
    assert!(matches!(upload.finish().await, Err(ArtifactError::Size { received: 4, .. })));
    let mut upload = artifacts.begin(id, 5).await.unwrap();
    assert!(matches!(upload.push(b"right!").await, Err(ArtifactError::Size { received: 6, .. })));
    drop(upload);
    drop(artifacts.begin(id, 5).await.unwrap());
    let error = artifacts.begin(id, 101).await.unwrap_err();
    assert!(error.to_string().contains("artifacts.max_mib"), "{error}");
    assert!(matches!(artifacts.read(id).await, Err(ArtifactError::Absent(_))));
    // Unfinished uploads are removed in the background.
    for _ in 0..500 {
        if names(root.path()).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left over: {:?}", names(root.path()));
}

#[tokio::test]
async fn a_folder_that_does_not_exist_holds_nothing() {
    let artifacts = Artifacts::new(Path::new("no/such/folder"), 100);
    let id = ArtifactId::of(b"x");
    assert!(matches!(artifacts.read(id).await, Err(ArtifactError::Absent(_))));
    assert_eq!(artifacts.sweep(&[].into(), std::time::SystemTime::now()).await.unwrap(), 0);
}

#[tokio::test]
async fn only_old_artifacts_that_nothing_needs_are_swept() {
    let root = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(root.path(), 100);
    let [needed, other] = [b"needed".as_slice(), b"other"].map(ArtifactId::of);
    put(&artifacts, b"needed").await.unwrap();
    put(&artifacts, b"other").await.unwrap();
    fs::write(root.path().join("notes.txt"), "mine").unwrap();
    fs::write(root.path().join(format!("{other}#1")), "half").unwrap();
    let now = std::time::SystemTime::now();
    let long_ago = now - Duration::from_secs(3_600);
    assert_eq!(artifacts.sweep(&[needed].into(), long_ago).await.unwrap(), 0);
    assert_eq!(names(root.path()).len(), 4);
    let later = now + Duration::from_secs(3_600);
    assert_eq!(artifacts.sweep(&[needed].into(), later).await.unwrap(), 1);
    let mut left = names(root.path());
    left.sort();
    let mut expected = vec![needed.to_string(), "notes.txt".to_owned()];
    expected.sort();
    assert_eq!(left, expected);
    assert!(matches!(artifacts.read(other).await, Err(ArtifactError::Absent(_))));
}
