//! Tests of the settings: defaults, every fault by name and place, the shipped example.

use super::*;

fn read(text: &str) -> Result<Config, ConfigFaults> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let written = Written::read(file.path())?;
    written.check(written.config())?;
    written.sound()
}

/// The faults of a text, one a line, without the file's name.
fn faults(text: &str) -> Vec<String> {
    let message = read(text).unwrap_err().to_string();
    let lines = message.lines().filter(|line| !line.starts_with("the settings have"));
    let place = |line: &str| line.split_once(':').map(|(_, rest)| rest.to_owned());
    lines.filter_map(place).collect()
}

#[test]
fn every_fault_is_told_at_once_and_in_its_place() {
    let text = "lisen: 127.0.0.1:1\nlease_seconds: 0\ntokens: maybe\nlimits:\n  batch: 0\n\
                users:\n  ada.l: {slot_hours: -3}\n  bob:\nquarantine: {failures: 9}\n";
    let found = faults(text);
    for (place, words) in [
        ("1:1: lisen: ", "did you mean `listen`?"),
        ("2:16: ", "lease_seconds is 0, expected 1 to 86400"),
        ("3:9: tokens: ", "`true` or `false`"),
        ("5:10: ", "limits.batch is 0"),
        ("7:23: ", "users.ada.l.slot_hours is -3"),
        ("8:3: users.bob: ", "has no rules"),
        ("9:24: ", "quarantine.failures is 9, expected 0 to 5"),
    ] {
        let is_found = |line: &String| line.starts_with(place) && line.contains(words);
        assert!(found.iter().any(is_found), "{place}{words} is not in {found:#?}");
    }
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn what_is_put_over_a_file_is_not_its_fault() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "lease_seconds: 5\nlimits: {batch: 0}\n").unwrap();
    let written = Written::read(file.path()).unwrap();
    let over = Config { lease_seconds: 0.0, ..written.config().clone() };
    let message = written.check(&over).unwrap_err().to_string();
    assert!(message.contains("\n  lease_seconds is 0"), "{message}");
    assert!(message.contains(":2:17: limits.batch is 0"), "{message}");
}

#[test]
fn the_example_states_every_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/coordinator.yaml");
    let config = Config::read(&path).unwrap();
    assert_eq!(config, Config::default());
    config.check().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    for key in [
        "listen",
        "database",
        "lease_seconds",
        "leadership",
        "renewal_seconds",
        "endpoint",
        "insecure",
        "directory",
        "url",
        "region",
        "max_mib",
        "reserve_mib",
        "sweep_seconds",
        "keep_seconds",
        "message_mib",
        "mailbox",
        "batch",
        "outbound_queue",
        "register_seconds",
        "idle_seconds",
        "shutdown_seconds",
        "tls",
        "certificate",
        "key",
        "client_ca",
        "tokens",
        "connections",
        "connections_per_address",
        "streams",
        "calls_per_second",
        "calls_at_once",
        "workers",
        "transfers",
        "watches",
        "questions",
        "users",
        "other_users",
        "weight",
        "max_priority",
        "evaluations",
        "slot_hours",
        "energy_kwh",
        "quarantine",
        "failures",
        "of_last",
        "release_minutes",
        "shared_results",
        "format",
        "filter",
    ] {
        assert!(text.contains(&format!("{key}:")), "{key} is missing from the example");
    }
    assert_eq!(config.listen.to_string(), DEFAULT_LISTEN);
}

#[test]
fn the_example_of_a_bucket_can_be_used() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/coordinator.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("#="));
    let lines: Vec<&str> = lines.collect();
    let config = read(&format!("artifacts:\n{}\n", lines.join("\n"))).unwrap();
    let ArtifactSettings { url, endpoint, region, .. } = &config.artifacts;
    assert!(url.is_some() && endpoint.is_some() && region.is_some());
    assert!(config.artifacts().is_ok());
}

#[test]
fn an_empty_file_keeps_every_default() {
    assert_eq!(read("").unwrap(), Config::default());
    assert_eq!(read("lease_seconds: 5\n").unwrap().actor().lease_length, Span::from_secs(5));
}

#[test]
fn bad_settings_are_refused_by_name() {
    for (text, expected) in [
        ("lisen: 127.0.0.1:1", "lisen"),
        ("limits: {messages: 3}", "messages"),
        ("listen: localhost", "listen"),
        ("lease_seconds: soon", "lease_seconds"),
        ("lease_seconds: 0", "lease_seconds is 0"),
        ("lease_seconds: .nan", "lease_seconds is NaN"),
        ("leadership: {lease_seconds: 0.5}", "leadership.lease_seconds is 0.5"),
        ("leadership: {renewal_seconds: 2}", "leadership.renewal_seconds is 2"),
        ("leadership: {length: 2}", "length"),
        ("limits: {message_mib: 0}", "limits.message_mib"),
        ("limits: {batch: 1000000}", "limits.batch"),
        ("limits: {connections: 0}", "limits.connections"),
        ("limits: {connections_per_address: 0}", "limits.connections_per_address"),
        ("limits: {idle_seconds: 0}", "limits.idle_seconds"),
        ("limits: {streams: 0}", "limits.streams"),
        ("artifacts: {max_mib: 0}", "artifacts.max_mib"),
        ("artifacts: {reserve_mib: 2000000000}", "artifacts.reserve_mib"),
        ("artifacts: {sweep_seconds: 0}", "artifacts.sweep_seconds"),
        ("artifacts: {keep_seconds: -1}", "artifacts.keep_seconds"),
        ("artifacts: {url: s3}", "artifacts.url"),
        ("artifacts: {url: 's3://states', directory: d}", "artifacts.directory"),
        ("artifacts: {endpoint: 'http://localhost:9000'}", "artifacts.endpoint"),
        ("artifacts: {url: 's3://states', endpoint: localhost}", "artifacts.endpoint"),
        ("artifacts: {region: eu-central-1}", "artifacts.region"),
        ("limits: {calls_per_second: .inf}", "limits.calls_per_second"),
        ("limits: {calls_at_once: 0}", "limits.calls_at_once"),
        ("limits: {workers: 0}", "limits.workers"),
        ("limits: {transfers: 0}", "limits.transfers"),
        ("limits: {watches: 0}", "limits.watches"),
        ("limits: {questions: 0}", "limits.questions"),
        ("users: {ada: {weight: 0}}", "users.ada.weight"),
        ("users: {'': {weight: 2}}", "users: `` is the name of no token"),
        ("users: {\"a\\nb\": {weight: 2}}", "`other_users`"),
        ("users: {ada: {wieght: 1}}", "wieght"),
        ("other_users: {slot_hours: -1}", "slot_hours"),
        ("quarantine: {failures: 6}", "quarantine.failures"),
        ("quarantine: {of_last: 65}", "quarantine.of_last"),
        ("tls: {certificate: a}", "key"),
        ("log: {format: xml}", "xml"),
        ("listen: [", "not YAML"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(Config::read(Path::new("absent.yaml")).unwrap_err().to_string().contains("absent"));
}

#[test]
fn users_and_quarantine_become_rules() {
    let text = "users: {ada: {weight: 3, max_priority: 5, slot_hours: 2, energy_kwh: 0.5}}\n\
                other_users: {evaluations: 10}\n\
                quarantine: {failures: 3, of_last: 10, release_minutes: 30}\nshared_results: true";
    let policy = read(text).unwrap().actor().policy;
    assert!(policy.shared_results && !read("").unwrap().actor().policy.shared_results);
    let ada = policy.of_user("ada");
    assert_eq!((ada.weight, ada.max_priority), (3, Some(5)));
    assert_eq!(ada.budget.slot_time, Some(Span::from_secs(7_200)));
    assert_eq!(ada.budget.energy.unwrap().as_joules(), 1.8e6);
    assert_eq!(policy.of_user("bob").budget.evaluations, Some(10));
    let rule = policy.quarantine;
    assert_eq!((rule.failures, rule.of_last), (3, 10));
    assert_eq!(rule.release_after, Some(Span::from_secs(1_800)));
}

#[test]
fn other_machines_are_let_in_on_demand_only() {
    let error = read("listen: 0.0.0.0:7878").unwrap_err();
    assert!(error.to_string().contains("`tls` and `tokens` are not set"), "{error}");
    assert!(error.to_string().contains("--insecure"), "{error}");
    let error = read("{listen: '0.0.0.0:7878', tokens: true}").unwrap_err();
    assert!(error.to_string().contains("`tls` is not set"), "{error}");
    let tls = "tls: {certificate: a, key: b}";
    let error = read(&format!("{{listen: '0.0.0.0:7878', {tls}}}")).unwrap_err();
    assert!(error.to_string().contains("`tokens` is not set"), "{error}");
    assert!(read(&format!("{{listen: '0.0.0.0:7878', tokens: true, {tls}}}")).is_ok());
    assert!(read("{listen: '0.0.0.0:7878', insecure: true}").is_ok());
    assert!(read("listen: '[::1]:7878'").is_ok());
}

#[test]
fn a_coordinator_says_where_it_is_reached() {
    let endpoint = |text: &str, address: &str| {
        let candidate = read(text).unwrap().candidate(address.parse().unwrap());
        candidate.map(|candidate| candidate.endpoint).map_err(|error| error.to_string())
    };
    assert_eq!(endpoint("", "127.0.0.1:70").unwrap(), "http://127.0.0.1:70");
    let named = "leadership: {endpoint: 'http://a.example:1'}";
    assert_eq!(endpoint(named, "0.0.0.0:70").unwrap(), "http://a.example:1");
    let error = endpoint("", "0.0.0.0:70").unwrap_err();
    assert!(error.contains("nobody can dial") && error.contains("http://host.example:70"));
    for bad in ["https://a:1", "a:1", "http://a"] {
        let text = format!("leadership: {{endpoint: '{bad}'}}");
        let error = endpoint(&text, "127.0.0.1:70").unwrap_err();
        assert!(error.contains(bad), "{error}");
    }
}
