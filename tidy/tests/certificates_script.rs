//! What `deploy/make-certificates` leaves behind when it fails, and which names it takes. Skips visibly
//! where OpenSSL is not installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn make(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(tidy::repository::root().join("deploy/make-certificates"))
        .arg(directory)
        .args(arguments)
        .output()
        .expect("the script can be started")
}

fn said(output: &Output) -> String {
    format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))
}

/// Every file of the directory with its content, by name.
fn content(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("the directory is there");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("the directory can be read"))
        .map(|entry| {
            let text = fs::read(entry.path()).expect("what is in the directory is a file");
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_renewal_that_fails_says_why_and_leaves_key_and_certificate_as_they_were() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let made = make(folder.path(), &["coordinator", "localhost", "[::1]", "10.0.0.5"]);
    assert!(made.status.success(), "{}", said(&made));
    let before = content(folder.path());
    let names: Vec<_> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ca.key", "ca.pem", "ca.srl", "coordinator.key", "coordinator.pem"]);

    let failed = make(folder.path(), &["coordinator", "no:address"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(said(&failed).contains("bad ip address"), "{}", said(&failed));
    assert_eq!(content(folder.path()), before);

    let renewed = make(folder.path(), &["coordinator", "localhost"]);
    assert!(renewed.status.success(), "{}", said(&renewed));
    let after = content(folder.path());
    for at in [3, 4] {
        assert_ne!(after[at], before[at], "{} is the old one", after[at].0);
    }
}
