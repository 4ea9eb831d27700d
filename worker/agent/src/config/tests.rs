//! Tests of the configuration: defaults, overrides, every fault by name, the shipped example.

use super::*;

fn surroundings() -> Surroundings {
    Surroundings {
        executable: Some(PathBuf::from("/opt/cambrian/bin/cambrian-worker")),
        state_home: None,
        home: Some(PathBuf::from("/h")),
        processors: 8,
        token: None,
        visible_gpus: None,
    }
}

fn resolved(text: &str) -> Result<WorkerConfig, ConfigFaults> {
    resolve(RawConfig::parse(text)?, &surroundings())
}

fn places(text: &str) -> Vec<String> {
    resolved(text).unwrap_err().0.into_iter().map(|fault| fault.place).collect()
}

#[test]
fn an_empty_file_gives_a_worker_on_this_machine() {
    for text in ["", "# nothing\n", "{}"] {
        let config = resolved(text).unwrap();
        let agent = config.agent;
        assert_eq!(agent.coordinators, [DEFAULT_COORDINATOR]);
        assert_eq!(agent.state_dir, Path::new("/h/.local/state/cambrian/worker"));
        assert_eq!(agent.evaluator.program, Path::new("/opt/cambrian/bin/cambrian-evaluator"));
        assert_eq!((agent.slots, agent.threads), (1, 8));
        assert_eq!(agent.devices, [Device::Cpu]);
        assert_eq!((config.log_format, config.log_filter.as_str()), (LogFormat::Text, "info"));
    }
}

#[test]
fn the_shipped_example_is_valid_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/worker.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(resolved(&text).unwrap(), resolved("").unwrap());
    // The examples behind `#=` must be valid too.
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix("#= ").unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = resolved(&uncommented).unwrap();
    assert_ne!(config, resolved("").unwrap());
    for key in [
        "coordinators",
        "name",
        "state_dir",
        "evaluator",
        "command",
        "hello_seconds",
        "stop_grace_seconds",
        "environment",
        "open_files",
        "memory_mib",
        "tls",
        "ca",
        "certificate",
        "key",
        "server_name",
        "token_file",
        "insecure",
        "slots",
        "threads",
        "devices",
        "labels",
        "data",
        "gate_dir",
        "cache_mib",
        "checkpoint_seconds",
        "drain_seconds",
        "log",
        "format",
        "filter",
    ] {
        let named = |line: &str| line.trim_start().starts_with(&format!("{key}:"));
        assert!(uncommented.lines().any(named), "{key} is not documented");
    }
}

#[test]
fn the_command_line_wins_and_labels_are_merged() {
    let file =
        "slots: 2\nlabels: {a: file, b: file}\nevaluator: {command: [x], hello_seconds: 3}\n";
    let flags = RawConfig {
        slots: Some(4),
        labels: Some(BTreeMap::from([("b".to_owned(), "flag".to_owned())])),
        evaluator: Some(RawEvaluator {
            command: Some(vec!["y".to_owned(), "--fast".to_owned()]),
            ..RawEvaluator::default()
        }),
        ..RawConfig::default()
    };
    let raw = RawConfig::parse(file).unwrap().overridden_by(flags);
    let agent = resolve(raw, &surroundings()).unwrap().agent;
    assert_eq!((agent.slots, agent.threads), (4, 2));
    assert_eq!(agent.labels["a"], "file");
    assert_eq!(agent.labels["b"], "flag");
    assert_eq!(agent.evaluator.program, Path::new("y"));
    assert_eq!(agent.evaluator.arguments, ["--fast"]);
    assert_eq!(agent.timing.hello, Duration::from_secs(3));
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    let text = "
coordinators: [localhost:1, 'http://ok:1', 'https://a:1']
name: 'a b'
slots: 0
threads: 100000
devices: [gpu, 'cuda:x', cpu]
labels: {'': x}
checkpoint_seconds: -600
drain_seconds: -1
evaluator: {command: [], hello_seconds: 0, stop_grace_seconds: .inf}
log: {format: xml, filter: 'a=b=c'}
";
    let mut found = places(text);
    found.sort();
    assert_eq!(
        found,
        [
            "checkpoint_seconds",
            "coordinators[0]",
            "coordinators[2]",
            "devices[0]",
            "devices[1]",
            "drain_seconds",
            "evaluator.command",
            "evaluator.hello_seconds",
            "evaluator.stop_grace_seconds",
            "labels.",
            "log.filter",
            "log.format",
            "name",
            "slots",
            "threads",
        ]
    );
}

#[test]
fn keys_and_types_that_are_wrong_are_all_told_with_their_lines() {
    let text =
        "coordinator: [http://a:1]\nlabels: {rack: 3}\nslots: many\nevaluator:\n  program: x\n";
    let found: Vec<String> =
        RawConfig::parse(text).unwrap_err().0.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    let expected = [
        ("coordinator (line 1, column 1): unknown key", "`coordinators`"),
        ("slots (line 3, column 8): expected a whole number", "\"many\""),
        ("evaluator.program (line 5, column 3): unknown key", "`command`"),
    ];
    for (found, (start, word)) in found.iter().zip(expected) {
        assert!(found.starts_with(start) && found.contains(word), "{found}");
    }
    assert!(RawConfig::parse("labels: {rack: 3}").is_ok());
}

#[test]
fn what_does_not_parse_is_one_fault_with_its_line() {
    for (text, expected) in [
        ("slot: 1", "slot"),
        ("slots: many", "slots"),
        ("slots: -1", "slots"),
        ("slots: 1\nslots: 2", "slots"),
        ("evaluator: {program: x}", "program"),
        ("labels: [a]", "labels"),
        ("devices: cpu", "devices"),
        ("slots: [", "line"),
        ("drain_seconds: 5 s", "drain_seconds"),
        ("- slots", "expected a mapping"),
    ] {
        let faults = RawConfig::parse(text).unwrap_err();
        assert_eq!(faults.0.len(), 1);
        let message = faults.to_string();
        assert!(message.contains(expected), "{text:?} gave: {message}");
    }
    let long = "#".repeat(MAX_CONFIG_BYTES + 1);
    assert!(RawConfig::parse(&long).unwrap_err().to_string().contains("bytes"));
}

#[test]
fn empty_lists_are_faults() {
    assert_eq!(places("coordinators: []"), ["coordinators"]);
    assert_eq!(places("devices: []"), ["devices"]);
}

#[test]
fn nan_is_no_duration() {
    assert_eq!(places("drain_seconds: .nan"), ["drain_seconds"]);
}

#[test]
fn without_a_home_the_state_needs_a_place() {
    let nowhere = Surroundings::default();
    let faults = resolve(RawConfig::default(), &nowhere).unwrap_err();
    assert_eq!(faults.0[0].place, "state_dir");
    let raw = RawConfig { state_dir: Some(PathBuf::from("s")), ..RawConfig::default() };
    let agent = resolve(raw, &nowhere).unwrap().agent;
    assert_eq!(agent.threads, 1);
    assert_eq!(agent.evaluator.program, Path::new("cambrian-evaluator"));
    let xdg = Surroundings { state_home: Some(PathBuf::from("/x")), ..surroundings() };
    let agent = resolve(RawConfig::default(), &xdg).unwrap().agent;
    assert_eq!(agent.state_dir, Path::new("/x/cambrian/worker"));
}

#[test]
fn slots_take_devices_in_turn_and_each_process_sees_its_own() {
    let text =
        "devices: [cpu, 'cuda:3']\nthreads: 2\ndata: d\ngate_dir: g\nevaluator: {command: [e, -v]}";
    let agent = resolved(text).unwrap().agent;
    let first = agent.launch(SlotIndex(2));
    // Paths are from the root, since a process starts in a folder of its own.
    let [data, gate] = ["d", "g"].map(|path| absolute(Path::new(path)).display().to_string());
    let common = ["--threads", "2", "--data", &data, "--gate-dir", &gate];
    assert_eq!(first.arguments[..3], ["-v", "--device", "cpu"]);
    assert_eq!(first.arguments[3..], common);
    assert_eq!(first.environment, []);
    assert_eq!(first.folder, Some(PathBuf::from("/h/.local/state/cambrian/worker/slots/2")));
    assert_eq!(first.program, Path::new("e"), "a bare name is looked up in PATH");
    let second = agent.launch(SlotIndex(1));
    assert_eq!(second.arguments[..3], ["-v", "--device", "cuda:0"]);
    assert_eq!(second.environment, gpu("3"));
}

/// The variables of a process that sees this GPU alone, as its first.
fn gpu(entry: &str) -> [(String, String); 2] {
    [("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("CUDA_VISIBLE_DEVICES", entry)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

#[test]
fn devices_are_places_in_the_list_of_the_workers_own_gpus() {
    let slurm =
        |list: &str| Surroundings { visible_gpus: Some(VisibleGpus::of(list)), ..surroundings() };
    let raw = || RawConfig::parse("devices: ['cuda:0', 'cuda:1']").unwrap();
    for (list, expected) in [("5, 2", ["5", "2"]), ("GPU-a,MIG-b,7", ["GPU-a", "MIG-b"])] {
        let agent = resolve(raw(), &slurm(list)).unwrap().agent;
        let found = [0, 1].map(|slot| agent.launch(SlotIndex(slot)).environment);
        assert_eq!(found, expected.map(gpu));
        assert_eq!(agent.launch(SlotIndex(1)).arguments[..2], ["--device", "cuda:0"]);
    }
    for (list, place, expected) in [
        ("5", "devices[1]", "1 GPU(s), 5"),
        // CUDA reads to the first entry that is no GPU.
        ("5,-1,2", "devices[1]", "1 GPU(s), 5"),
        ("", "devices[0]", "no GPU"),
        ("NoDevFiles", "devices[0]", "no GPU"),
    ] {
        let fault = resolve(raw(), &slurm(list)).unwrap_err().0.remove(0);
        assert_eq!(fault.place, place);
        assert!(fault.what.contains(expected), "{fault}");
        assert!(fault.what.contains("CUDA_VISIBLE_DEVICES"), "{fault}");
    }
    let cpu = RawConfig::parse("devices: [cpu]").unwrap();
    assert!(resolve(cpu, &slurm("")).is_ok());
}

#[test]
fn every_device_has_a_slot() {
    let devices = "devices: ['cuda:0', 'cuda:1', 'cuda:2']";
    assert_eq!(resolved(devices).unwrap().agent.slots, 3);
    assert_eq!(resolved(&format!("{devices}\nslots: 5")).unwrap().agent.slots, 5);
    let faults = resolved(&format!("{devices}\nslots: 2")).unwrap_err();
    assert_eq!(faults.0.len(), 1, "{faults}");
    assert_eq!(faults.0[0].place, "slots");
    assert!(faults.0[0].what.contains("`slots: 3` or more"), "{faults}");
}

#[test]
fn slots_of_one_device_share_its_memory() {
    let fullest = |text: &str| {
        let memory = resolved(text).unwrap().agent.memory(Some(1));
        (memory.sharing, memory.on_gpu)
    };
    let mut of_several = resolved("slots: 3").unwrap().agent;
    of_several.workers_on_device = 2;
    assert_eq!(of_several.memory(Some(1)).sharing, 6);
    assert_eq!(fullest(""), (1, false));
    assert_eq!(fullest("slots: 3"), (3, false));
    assert_eq!(fullest("devices: ['cuda:0', 'cuda:1']"), (1, true));
    assert_eq!(fullest("devices: ['cuda:0', 'cuda:1']\nslots: 3"), (2, true));
}

#[test]
fn arguments_that_name_files_are_seen_from_where_they_are_written() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("package")).unwrap();
    std::fs::write(root.path().join("train.py"), "").unwrap();
    let command =
        ["python3", "train.py", "./package", ".", "--dataset", "package", "-x", "absent.py", ""];
    let given = RawConfig {
        evaluator: Some(RawEvaluator {
            command: Some(command.map(str::to_owned).into()),
            ..RawEvaluator::default()
        }),
        ..RawConfig::default()
    };
    let seen = given.seen_from(root.path()).evaluator.unwrap().command.unwrap();
    let at = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let (script, package) = (at("train.py"), at("package"));
    let here = root.path().to_str().unwrap();
    assert_eq!(seen[..4], ["python3", &script, &package, here]);
    // A folder's plain name may be a data set's, or that of a module for Python.
    assert_eq!(seen[4..], command[4..]);
    let program = "evaluator: {command: [./train.py]}";
    let seen = RawConfig::parse(program).unwrap().seen_from(root.path());
    assert_eq!(seen.evaluator.unwrap().command.unwrap(), [script]);
}

/// The parser of filters panics at this one.
#[test]
fn a_filter_with_other_characters_than_ascii_is_a_fault() {
    let filter = ":,\u{2006}\u{2006}[:ckp{'*'}";
    assert_eq!(places(&format!("log: {{filter: \"{filter}\"}}")), ["log.filter"]);
}
