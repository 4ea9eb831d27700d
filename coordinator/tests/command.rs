//! The `cambrian-coordinator` command: where it listens, how it ends, what it refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::sqlite::schema::SCHEMA_VERSION;
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

/// The words of a refusal, which come once and without a backtrace.
fn refused_with(code: i32, directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory).args(arguments).env("RUST_BACKTRACE", "1").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    for word in ["Caused by", "backtrace", "main.rs"] {
        assert!(!text.contains(word), "{arguments:?}: {text}");
    }
    text
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
    let refusal = refused_with(1, directory.path(), &database);
    assert_eq!(refusal.matches("another coordinator").count(), 1, "{refusal}");
    let taken = ["--listen", &address, "--database", "other.db"];
    let refusal = refused_with(1, directory.path(), &taken);
    assert!(refusal.starts_with("cambrian-coordinator: cannot listen on "), "{refusal}");
    assert_eq!(refusal.lines().count(), 1, "{refusal}");
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success() && child.wait().unwrap().success());
    let store = SqliteStore::open_read_only(&directory.path().join("a/b.db")).unwrap();
    let report = verify(&store).unwrap();
    assert!(report.is_sound() && report.records == 1, "{:?}", report.problems);
}

/// A terminal after Ctrl-S, or a pipe that nobody reads, holds up whoever writes to it.
#[test]
fn nobody_reads_the_log_and_it_serves_and_ends_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = free.to_string();
    let (reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    let mut command = command(directory.path());
    let mut child = command.args(["--listen", &address]).stderr(writer).spawn().unwrap();
    let id = child.id().to_string();
    let patiently = |attempt: &mut dyn FnMut() -> bool| {
        (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            attempt()
        })
    };
    let listens = patiently(&mut || std::net::TcpStream::connect(&address).is_ok());
    let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    let ended = patiently(&mut || child.try_wait().unwrap().is_some());
    if !ended {
        child.kill().unwrap();
    }
    assert!(listens && told.success() && ended, "it waits for somebody to read its log");
    assert!(child.wait().unwrap().success());
    drop(reader);
}

/// Writes to a pipe until it takes no more.
fn fill(pipe: &std::io::PipeWriter) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(pipe).unwrap();
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK).unwrap();
    while rustix::io::write(pipe, &[b'x'; 4_096]).is_ok() {}
    while rustix::io::write(pipe, b"x").is_ok() {}
    fcntl_setfl(pipe, flags).unwrap();
}

#[test]
fn it_refuses_bad_settings_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.yaml"), "databse: x\n").unwrap();
    for (code, arguments, reason) in [
        (2, &["--config", "absent.yaml"][..], "absent.yaml"),
        (
            2,
            &["--config", "bad.yaml"],
            "bad.yaml:1:1: databse: unknown key; did you mean `database`?",
        ),
        (2, &["--listen", "0.0.0.0:0"], "--insecure"),
        (2, &["--lease-seconds", "0"], "lease_seconds is 0"),
        (2, &["--log", "a=b=c"], "a=b=c"),
        // The parser of filters panics at this one.
        (2, &["--log", ":,\u{2006}\u{2006}[:ckp{'*'}"], "other characters than ASCII"),
        (2, &["--listen", "somewhere"], "somewhere"),
        (2, &["--tls-certificate", "a.pem"], "`certificate` and `key`"),
        (1, &["--listen", "127.0.0.1:0", "--database", "bad.yaml"], "not a Cambrian store"),
    ] {
        let refusal = refused_with(code, directory.path(), arguments);
        assert!(refusal.contains(reason), "{arguments:?}: {refusal}");
    }
}

#[test]
fn all_faults_of_the_settings_come_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let text = "lease_seconds: 0\nusers:\n  ada: {slot_hours: -3}\n";
    std::fs::write(directory.path().join("c.yaml"), text).unwrap();
    let refusal =
        refused_with(2, directory.path(), &["--config", "c.yaml", "--listen", "0.0.0.0:0"]);
    for expected in [
        "the settings have 3 faults:",
        "c.yaml:1:16: lease_seconds is 0, expected 1 to 86400",
        "c.yaml:3:21: users.ada.slot_hours is -3",
        "0.0.0.0:0 can be reached from other machines",
    ] {
        assert!(refusal.contains(expected), "{expected} is not in {refusal}");
    }
}

#[test]
fn a_certificate_that_ends_soon_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let left = Duration::from_secs(60 * 3600);
    params.not_after = (std::time::SystemTime::now() + left).into();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(directory.path().join("c.pem"), certificate.pem()).unwrap();
    std::fs::write(directory.path().join("k.pem"), key.serialize_pem()).unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--tls-certificate", "c.pem", "--tls-key", "k.pem"];
    let mut child = command(directory.path()).args(arguments).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.take_while(|line| !line.contains("listening")).last();
    child.kill().unwrap();
    child.wait().unwrap();
    let told = told.expect("it says something before it listens");
    assert!(
        told.contains("certificate ends in 2 days; renew it") && told.contains("c.pem"),
        "{told}"
    );
}

#[test]
fn a_damaged_store_is_named() {
    let directory = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(&directory.path().join("c.db")).unwrap());
    let mut bytes = std::fs::read(directory.path().join("c.db")).unwrap();
    bytes[100..4096].fill(0xee);
    std::fs::write(directory.path().join("c.db"), bytes).unwrap();
    for arguments in [
        &["--listen", "127.0.0.1:0", "--database", "c.db"][..],
        &["token", "list", "--database", "c.db"],
    ] {
        let refusal = refused_with(1, directory.path(), arguments);
        assert!(refusal.contains("the store c.db: the database failed: "), "{refusal}");
    }
}

#[test]
fn tokens_are_read_only_where_there_is_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("empty.db"), "").unwrap();
    for place in ["typo.db", "no/such/x.db", "empty.db"] {
        for arguments in [&["token", "list"][..], &["token", "revoke", "00000000"]] {
            let refusal =
                refused_with(1, directory.path(), &[arguments, &["--database", place]].concat());
            assert!(refusal.contains(&format!("there is no store {place}")), "{refusal}");
        }
    }
    let found: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(std::fs::metadata(path("empty.db")).unwrap().len(), 0);

    let create = ["token", "create", "--role", "admin", "--name", "ada", "--database", "new/c.db"];
    let made = command(directory.path()).args(create).output().unwrap();
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.success(), "{said}");
    let expected = format!("made a new store at {}", path("new/c.db").display());
    assert!(said.contains(&expected), "{said}");
    assert!(made.stdout.starts_with(b"cmb_") && made.stdout.ends_with(b"\n"));
    let again = command(directory.path()).args(create).output().unwrap();
    assert!(again.status.success() && again.stderr.is_empty());
    let list = ["token", "list", "--database", "new/c.db"];
    let listed = command(directory.path()).args(list).output().unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), 2);
}

#[test]
fn tokens_leave_a_store_of_an_earlier_release_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen/schema-3.db.gz");
    let mut frozen = flate2::read::GzDecoder::new(std::fs::File::open(frozen).unwrap());
    let mut bytes = Vec::new();
    frozen.read_to_end(&mut bytes).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    for arguments in [
        &["token", "list"][..],
        &["token", "revoke", "00000000"],
        &["token", "create", "--role", "admin", "--name", "ada"],
    ] {
        let refusal =
            refused_with(1, directory.path(), &[arguments, &["--database", "old.db"]].concat());
        let expected =
            format!("old.db has schema version 3, expected {SCHEMA_VERSION}; use the release");
        assert!(refusal.contains(&expected), "{refusal}");
        assert!(std::fs::read(&path).unwrap() == bytes, "{arguments:?}: it was changed");
    }
}
