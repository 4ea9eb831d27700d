//! A cluster of real processes over TLS, with tokens: what each holder may do, and what the command
//! says to those who may not.
//!
//! Needs the programs `cambrian-coordinator`, `cambrian-worker` and `cambrian-evaluator-synthetic`
//! beside `cambrian`; skips visibly where they have not been built.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/certificates.rs"]
mod certificates;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

const CAMPAIGN: &str = "version: 1\nname: guarded\nseed: 11\n\
    space: {kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}\n\
    objectives: [accuracy, latency]\nalgorithm: random\n\
    stages:\n- {evaluator: synthetic, measures: [accuracy, latency], settings: {seconds: 0.01}}\n\
    budget: {evaluations: 6}\n";

fn programs() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_BIN_EXE_cambrian")).parent()?.to_path_buf();
    let needed = ["cambrian-coordinator", "cambrian-worker", "cambrian-evaluator-synthetic"];
    let missing: Vec<_> = needed.iter().filter(|name| !folder.join(name).is_file()).collect();
    if missing.is_empty() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{missing:?} are not built");
    eprintln!("skipped: {missing:?} are not built; run `cargo build --workspace --bins` first");
    None
}

/// A coordinator with a certificate and a demand for tokens; killed with its worker when dropped.
struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    endpoint: String,
    children: Vec<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn without_settings(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CAMBRIAN_") {
            command.env_remove(name);
        }
    }
    command
}

impl Cluster {
    fn start(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates::write(folder.path(), "127.0.0.1");
        let mut cluster = Self { programs, folder, endpoint: String::new(), children: Vec::new() };
        let mut child = without_settings(&cluster.programs.join("cambrian-coordinator"))
            .args(["--listen", "127.0.0.1:0", "--tokens", "--log-format", "json"])
            .args(["--tls-certificate", "own.pem", "--tls-key", "own.key"])
            .args(["--database", "cambrian.db"])
            .current_dir(cluster.folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let listening = line["message"] == "listening";
            assert!(!listening || (line["encrypted"] == true && line["tokens"] == true));
            listening.then(|| line["address"].as_str().unwrap().to_owned())
        });
        cluster.children.push(child);
        cluster.endpoint = format!("https://{}", address.expect("it does not listen"));
        // The pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The first administrator's token, made in the store while it is served.
    fn first_token(&self) {
        let output = without_settings(&self.programs.join("cambrian-coordinator"))
            .args(["token", "create", "--role", "admin", "--name", "ada", "--database"])
            .arg(self.path("cambrian.db"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(self.path("ada"), output.stdout).unwrap();
    }

    /// A command with the token in the file of this name.
    fn command(&self, holder: &str, arguments: &[&str]) -> Command {
        let mut command = without_settings(Path::new(env!("CARGO_BIN_EXE_cambrian")));
        command
            .args(arguments)
            .args(["--endpoint", &self.endpoint, "--tls-ca"])
            .arg(self.path("ca.pem"))
            .arg("--token-file")
            .arg(self.path(holder));
        command
    }

    fn ask(&self, holder: &str, arguments: &[&str]) -> Output {
        self.command(holder, arguments).output().unwrap()
    }

    fn json(&self, holder: &str, arguments: &[&str]) -> Value {
        let output = self.command(holder, arguments).arg("--json").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Lets the administrator make a token of this role, into the file of its name.
    fn make(&self, role: &str, name: &str) {
        let output = self.ask("ada", &["token", "create", "--role", role, "--name", name]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(self.path(name), output.stdout).unwrap();
    }

    /// A campaign once it is finished.
    fn finished(&self, id: u64) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let campaigns = self.json("vera", &["list"])["campaigns"].clone();
            let found = campaigns.as_array().unwrap().iter().find(|found| found["id"] == id);
            let campaign = found.unwrap_or_else(|| panic!("no campaign {id}: {campaigns}"));
            if campaign["status"] == "finished" {
                return campaign.clone();
            }
            let log = std::fs::read_to_string(self.path("worker.log")).unwrap();
            assert!(Instant::now() < deadline, "{campaign}\n{log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn start_worker(&mut self, holder: &str) {
        let child = without_settings(&self.programs.join("cambrian-worker"))
            .args(["--coordinator", &self.endpoint, "--threads", "1", "--tls-ca"])
            .arg(self.path("ca.pem"))
            .arg("--token-file")
            .arg(self.path(holder))
            .arg("--state-dir")
            .arg(self.path("worker"))
            .arg("--evaluator")
            .arg(self.programs.join("cambrian-evaluator-synthetic"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(self.path("worker.log")).unwrap())
            .spawn()
            .unwrap();
        self.children.push(child);
    }
}

/// The same campaign again, of its owner and of somebody else, and with other settings.
fn known_results_are_taken_from_campaigns_of_the_same_user(cluster: &Cluster) {
    let second = format!("{}cache: on\n", CAMPAIGN.replace("guarded", "second"));
    std::fs::write(cluster.path("second.yaml"), &second).unwrap();
    let other = second.replace("seconds: 0.01", "seconds: 0.02");
    std::fs::write(cluster.path("other.yaml"), other).unwrap();
    let cases = [("sam", "second.yaml", 6), ("eve", "second.yaml", 0), ("sam", "other.yaml", 0)];
    for ((holder, file, cached), id) in cases.into_iter().zip(2..) {
        let file = cluster.path(file).display().to_string();
        assert_eq!(cluster.json(holder, &["submit", &file])["campaign"], id);
        let campaign = cluster.finished(id);
        assert_eq!(campaign["stages"][0]["cached"], cached, "{campaign}");
        assert_eq!((&campaign["scored"], &campaign["evaluations_started"]), (&6.into(), &6.into()));
        assert_eq!(campaign["slot_seconds"] == 0.0, cached == 6, "{campaign}");
    }
    let candidates = |id: &str| cluster.json("vera", &["candidates", id])["candidates"].clone();
    let (first, second) = (candidates("1"), candidates("2"));
    for (one, other) in first.as_array().unwrap().iter().zip(second.as_array().unwrap()) {
        assert_eq!(one["metrics"], other["metrics"]);
        assert_eq!(other["cached"][0]["from"], one["id"]);
        assert!(one.get("cached").is_none(), "{one}");
    }
    let explained = cluster.ask("vera", &["explain", "candidate", "2/3"]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    let expected = "stage synthetic: from the cache: campaign 1, candidate 3 (attempt 1 on ";
    assert!(explained.contains(expected), "{explained}");
}

/// A watch whose token is rotated as docs/security.md says goes on with the next one; without a next one
/// it ends.
fn a_watch_outlasts_the_rotation_of_its_token(cluster: &Cluster) {
    let id_of = |name: &str| {
        let tokens = cluster.json("ada", &["token", "list"])["tokens"].clone();
        let found = tokens.as_array().unwrap().iter().rfind(|token| token["name"] == name).cloned();
        found.unwrap()["id"].as_str().unwrap().to_owned()
    };
    cluster.make("view", "wanda");
    let old = id_of("wanda");
    let mut watch = cluster
        .command("wanda", &["watch", "1", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut updates = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next =
        || -> Option<Value> { Some(serde_json::from_str(&updates.next()?.unwrap()).unwrap()) };
    assert!(next().is_some(), "it shows nothing");
    cluster.make("view", "wanda");
    let revoke = |id: &str| assert!(cluster.ask("ada", &["token", "revoke", id]).status.success());
    revoke(&old);
    // What the next stream begins with.
    assert!(next().is_some(), "it ended with its first token");
    revoke(&id_of("wanda"));
    while next().is_some() {}
    refused(&watch.wait_with_output().unwrap(), 10, "has been revoked");
}

fn refused(output: &Output, code: i32, words: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(words), "expected {words}: {text}");
}

#[test]
fn a_cluster_over_tls_knows_its_people_and_workers_by_their_tokens() {
    let Some(programs) = programs() else { return };
    let mut cluster = Cluster::start(programs);
    cluster.first_token();
    for (role, name) in [("worker", "site"), ("view", "vera"), ("submit", "sam"), ("submit", "eve")]
    {
        cluster.make(role, name);
    }
    std::fs::write(cluster.path("campaign.yaml"), CAMPAIGN).unwrap();
    let file = cluster.path("campaign.yaml").display().to_string();

    refused(&cluster.ask("vera", &["submit", &file]), 10, "takes submit or admin");
    refused(&cluster.ask("vera", &["token", "list"]), 10, "takes admin");
    refused(&cluster.ask("site", &["list"]), 10, "role worker");
    std::fs::write(cluster.path("mistyped"), "cmb_123").unwrap();
    refused(&cluster.ask("mistyped", &["list"]), 2, "it is no token");
    refused(&cluster.ask("absent", &["list"]), 2, "cannot read the token file");
    let mut plain = without_settings(Path::new(env!("CARGO_BIN_EXE_cambrian")));
    plain
        .args(["list", "--endpoint", &cluster.endpoint])
        .arg("--tls-ca")
        .arg(cluster.path("ca.pem"));
    refused(&plain.output().unwrap(), 10, "wants a token");

    assert_eq!(cluster.json("sam", &["submit", &file])["campaign"], 1);
    refused(&cluster.ask("eve", &["cancel", "1"]), 10, "belongs to `sam`");
    a_watch_outlasts_the_rotation_of_its_token(&cluster);
    cluster.start_worker("site");
    let campaign = cluster.finished(1);
    assert_eq!((&campaign["owner"], &campaign["scored"]), (&"sam".into(), &6.into()));
    known_results_are_taken_from_campaigns_of_the_same_user(&cluster);

    let tokens = cluster.json("ada", &["token", "list"])["tokens"].clone();
    let vera = tokens.as_array().unwrap().iter().find(|token| token["name"] == "vera").unwrap();
    assert_eq!((&vera["role"], &vera["status"]), (&"view".into(), &"good".into()));
    let revoked = cluster.ask("ada", &["token", "revoke", vera["id"].as_str().unwrap()]);
    assert!(revoked.status.success());
    refused(&cluster.ask("vera", &["list"]), 10, "has been revoked");
    let shown = cluster.ask("ada", &["token", "list"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("revoked") && shown.contains("site"), "{shown}");
    let secret = std::fs::read_to_string(cluster.path("ada")).unwrap();
    assert!(!shown.contains(secret.trim()[13..].trim()));
}
