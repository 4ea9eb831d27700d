//! The `cambrian-coordinator` command: where it listens, how it ends, what it refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::verify::verify;

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian-coordinator"));
    command.current_dir(directory).stderr(Stdio::piped());
    for (name, _) in std::env::vars() {
        if name.starts_with("CAMBRIAN_COORDINATOR") {
            command.env_remove(name);
        }
    }
    command
}

fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory).args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?} was accepted");
    String::from_utf8(output.stderr).unwrap()
}

/// Starts on a free port and waits for the line that names it.
fn start(directory: &Path) -> (Child, String) {
    let arguments = ["--listen", "127.0.0.1:0", "--database", "a/b.db", "--log-format", "json"];
    let mut child = command(directory).args(arguments).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    for line in lines {
        let line = line.unwrap();
        if line.contains("\"message\":\"listening\"") {
            let address = line.split("\"address\":\"").nth(1).unwrap();
            return (child, address.split('"').next().unwrap().to_owned());
        }
    }
    panic!("it ended before it listened: {:?}", child.wait())
}

#[test]
fn it_says_where_it_listens_and_ends_on_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, address) = start(directory.path());
    std::net::TcpStream::connect(&address).unwrap();
    let database = ["--listen", "127.0.0.1:0", "--database", "a/b.db"];
    let refusal = refused(directory.path(), &database);
    assert!(refusal.contains("another coordinator"), "{refusal}");
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success() && child.wait().unwrap().success());
    let store = SqliteStore::open_read_only(&directory.path().join("a/b.db")).unwrap();
    let report = verify(&store).unwrap();
    assert!(report.is_sound() && report.records == 1, "{:?}", report.problems);
}

#[test]
fn it_refuses_bad_settings_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.yaml"), "databse: x\n").unwrap();
    for (arguments, reason) in [
        (&["--config", "absent.yaml"][..], "absent.yaml"),
        (&["--config", "bad.yaml"], "databse"),
        (&["--listen", "0.0.0.0:0"], "--insecure"),
        (&["--lease-seconds", "0"], "lease_seconds is 0"),
        (&["--log", "a=b=c"], "a=b=c"),
        (&["--listen", "somewhere"], "somewhere"),
        (&["--listen", "127.0.0.1:0", "--database", "bad.yaml"], "not a Cambrian store"),
    ] {
        let refusal = refused(directory.path(), arguments);
        assert!(refusal.contains(reason), "{arguments:?}: {refusal}");
    }
}
