//! What the command says of coordinators that it cannot speak with, and of what they do not know.
//!
//! The listeners are real ones on loopback, the coordinators run inside the test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/certificates.rs"]
mod certificates;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use cambrian_coordinator::clock::SystemClock;
use cambrian_coordinator::config::{Config, Tls};
use cambrian_coordinator::server::{Server, bind};
use cambrian_coordinator::store::memory::MemoryStore;

/// A coordinator with these files of encryption.
async fn coordinator(tls: Option<Tls>) -> Server {
    let config = Config { tls, ..Config::default() };
    let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let store = Box::new(MemoryStore::default());
    Server::start(&config, store, Arc::new(SystemClock::new()), listener).await.unwrap()
}

fn encrypted(folder: &Path, client_ca: Option<PathBuf>) -> Option<Tls> {
    Some(Tls { certificate: folder.join("own.pem"), key: folder.join("own.key"), client_ca })
}

/// `cambrian` with these arguments, once it has ended.
async fn cambrian(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CAMBRIAN_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).env("NO_COLOR", "1");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The message and the help of a command that fails with this code.
async fn failure(code: i32, arguments: &[&str]) -> (String, String) {
    let output = cambrian(arguments).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    let (message, help) = text.split_once("\n  help: ").unwrap_or((&text, ""));
    (message.to_owned(), help.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tls_lacks_is_named_with_the_option_for_it() {
    let folder = tempfile::tempdir().unwrap();
    certificates::write(folder.path(), "localhost");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ca, own, key) = (path("ca.pem"), path("own.pem"), path("own.key"));

    let strict = coordinator(encrypted(folder.path(), Some(folder.path().join("ca.pem")))).await;
    let endpoint = format!("https://localhost:{}", strict.address().port());
    let (message, help) = failure(5, &["list", "--endpoint", &endpoint, "--tls-ca", &ca]).await;
    assert!(message.contains("wants a client certificate"), "{message}");
    assert!(help.contains("--tls-certificate") && help.contains("--tls-key"), "{help}");
    let shown = [
        "list",
        "--endpoint",
        &endpoint,
        "--tls-ca",
        &ca,
        "--tls-certificate",
        &own,
        "--tls-key",
        &key,
    ];
    assert!(cambrian(&shown).await.status.success());

    let server = coordinator(encrypted(folder.path(), None)).await;
    let port = server.address().port();
    let plain = format!("http://127.0.0.1:{port}");
    let (message, help) = failure(5, &["list", "--endpoint", &plain]).await;
    assert!(message.contains("it speaks TLS"), "{message}");
    assert!(help.contains("https://") && help.contains("--tls-ca"), "{help}");
    let misnamed = format!("https://127.0.0.1:{port}");
    let (message, help) = failure(5, &["list", "--endpoint", &misnamed, "--tls-ca", &ca]).await;
    assert!(message.ends_with("its certificate is for localhost"), "{message}");
    assert!(help.contains("--tls-server-name"), "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_says_nothing_is_said_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let (message, help) = failure(5, &["list", "--endpoint", &endpoint]).await;
    assert!(message.contains("says nothing"), "{message}");
    assert!(help.contains("check the port"), "{help}");
    drop(listener);
    let (message, help) = failure(5, &["list", "--endpoint", &endpoint]).await;
    assert!(message.to_lowercase().contains("refused"), "{message}");
    assert!(help.contains("cambrian-coordinator"), "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_is_about_what_was_asked_for() {
    let server = coordinator(None).await;
    let endpoint = server.address().to_string();
    let about = async |code: i32, arguments: &[&str]| {
        failure(code, &[arguments, &["--endpoint", &endpoint]].concat()).await
    };
    let (message, help) = about(4, &["token", "revoke", "00000000"]).await;
    assert!(message.contains("no token 00000000"), "{message}");
    assert!(help.contains("cambrian token list"), "{help}");
    let (_, help) = about(4, &["worker", "release", "w1"]).await;
    assert!(help.contains("cambrian workers"), "{help}");
    let (_, help) = about(4, &["front", "nothing"]).await;
    assert!(help.contains("cambrian list"), "{help}");
    for command in [&["explain", "campaign", ""][..], &["pause", ""], &["front", ""]] {
        let (message, help) = about(2, command).await;
        assert!(message.ends_with("the name of the campaign is empty"), "{message}");
        assert!(help.contains("cambrian list"), "{help}");
    }
}
