//! Rules about the packages' manifests and the lock file: which package may depend on which, and
//! on what from outside. Reads TOML text; must not read files or run cargo.

use crate::Violation;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// The allowed arrows: each package of the workspace, then the packages of the workspace it may
/// depend on. `docs/architecture.md` explains them.
const ARROWS: [(&str, &[&str]); 11] = [
    ("cambrian-core", &[]),
    ("cambrian-proto", &["cambrian-core"]),
    ("cambrian-transport", &[]),
    ("cambrian-coordinator", &["cambrian-core", "cambrian-proto", "cambrian-transport"]),
    ("cambrian-worker", &["cambrian-core", "cambrian-proto", "cambrian-transport"]),
    ("cambrian-evaluator", &["cambrian-core", "cambrian-proto"]),
    (
        "cambrian",
        &["cambrian-core", "cambrian-proto", "cambrian-transport", "cambrian-coordinator"],
    ),
    ("tidy", &[]),
    ("cambrian-bench", &["cambrian-core"]),
    (
        "cambrian-chaos",
        &[
            "cambrian-core",
            "cambrian-proto",
            "cambrian-transport",
            "cambrian-coordinator",
            "cambrian-worker",
        ],
    ),
    (
        "cambrian-fuzz",
        &[
            "cambrian-core",
            "cambrian-proto",
            "cambrian-transport",
            "cambrian-coordinator",
            "cambrian-worker",
        ],
    ),
];

/// What tests may depend on besides the arrows. The evaluator is not among them: whoever's tests
/// need it would need libtorch.
const TEST_ARROWS: [(&str, &str); 2] =
    [("cambrian-coordinator", "cambrian-worker"), ("cambrian", "cambrian-worker")];

/// All that the core may depend on from outside: computation, hashing and parsing of text that it
/// is given.
const CORE_DEPENDENCIES: [&str; 11] = [
    "blake3",
    "libm",
    "num-bigint",
    "rand",
    "saphyr",
    "saphyr-parser",
    "serde",
    "serde_json",
    "serde_path_to_error",
    "thiserror",
    "yaml_serde",
];

/// What must not even be below the core's dependencies: runtimes, sockets, stores, libtorch.
const BELOW_CORE: [&str; 12] = [
    "async-trait",
    "futures-core",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "prost",
    "rusqlite",
    "socket2",
    "tch",
    "tokio",
    "tonic",
    "torch-sys",
];

/// Bindings to browsers. The lock file lists them for every system that a package could be built for;
/// here nothing is built for browsers, so what lies below them is below nobody.
const BROWSERS: [&str; 2] = ["js-sys", "wasm-bindgen"];

/// The package that alone may know libtorch, and the libraries that are libtorch.
const LIBTORCH_USER: &str = "cambrian-evaluator";
const LIBTORCH: [&str; 2] = ["tch", "torch-sys"];

/// One member's manifest.
#[derive(Debug)]
pub struct Manifest {
    path: String,
    package: String,
    inherits_lints: bool,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    /// The package's own name, whatever it is called in this manifest.
    package: String,
    from_workspace: bool,
    only_in_tests: bool,
}

fn fault(path: &str, what: String, remedy: &'static str) -> Violation {
    Violation { file: path.to_owned(), line: None, what, remedy }
}

/// Parses a member's manifest; `workspace` is the text of the root's, which gives renamed
/// dependencies their packages' names.
///
/// # Errors
/// When either text is no TOML or the manifest has no package name.
pub fn parse(path: &str, text: &str, workspace: &str) -> Result<Manifest, Violation> {
    let read = |text: &str| {
        text.parse::<Table>().map_err(|error| {
            fault(path, format!("not TOML: {error}"), "the manifest cannot be checked until it is")
        })
    };
    let manifest = read(text)?;
    let workspace = read(workspace)?;
    let shared = at(&workspace, &["workspace", "dependencies"]);
    let package = at(&manifest, &["package"])
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str)
        .ok_or_else(|| fault(path, "no `package.name`".to_owned(), "every member is a package"))?;

    let mut dependencies = Vec::new();
    let targets = at(&manifest, &["target"]);
    let of_targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    for table in std::iter::once(&manifest).chain(of_targets) {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (name, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let from_workspace =
                    value.get("workspace").and_then(Value::as_bool).unwrap_or(false);
                let described = if from_workspace {
                    shared.and_then(|shared| shared.get(name))
                } else {
                    Some(value)
                };
                let renamed =
                    described.and_then(|value| value.get("package")).and_then(Value::as_str);
                dependencies.push(Dependency {
                    package: renamed.unwrap_or(name).to_owned(),
                    from_workspace,
                    only_in_tests: kind == "dev-dependencies",
                });
            }
        }
    }
    let inherits_lints =
        at(&manifest, &["lints"]).and_then(|lints| lints.get("workspace")).and_then(Value::as_bool)
            == Some(true);
    Ok(Manifest {
        path: path.to_owned(),
        package: package.to_owned(),
        inherits_lints,
        dependencies,
    })
}

fn at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Table> {
    keys.iter().try_fold(table, |table, key| table.get(*key)?.as_table())
}

/// Directories of the workspace's members as the root manifest lists them; empty when it lists
/// none, which no check can mistake for a pass as every known package is then missing.
pub fn members(workspace: &str) -> Vec<String> {
    let Ok(table) = workspace.parse::<Table>() else { return Vec::new() };
    at(&table, &["workspace"])
        .and_then(|workspace| workspace.get("members"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect()
}

/// Finds dependencies between packages of the workspace against the arrows, and packages without
/// arrows.
pub fn arrows(manifest: &Manifest) -> Vec<Violation> {
    let package = manifest.package.as_str();
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package) else {
        return vec![fault(
            &manifest.path,
            format!("`{package}` has no place in the architecture"),
            "say in docs/architecture.md what it may depend on, then list it in ARROWS of tidy",
        )];
    };
    manifest
        .dependencies
        .iter()
        .filter(|on| ARROWS.iter().any(|(name, _)| *name == on.package))
        .filter(|on| !allowed.contains(&on.package.as_str()))
        .filter(|on| !(on.only_in_tests && TEST_ARROWS.contains(&(package, on.package.as_str()))))
        .map(|on| {
            fault(
                &manifest.path,
                format!("`{package}` depends on `{}`", on.package),
                "the arrows are core <- proto <- {coordinator, worker, evaluator, cli} and cli -> \
                 coordinator: move what is needed to a package both may know, or change \
                 docs/architecture.md first",
            )
        })
        .collect()
}

/// Finds what the core may not depend on.
pub fn core_dependencies(manifest: &Manifest) -> Vec<Violation> {
    if manifest.package != "cambrian-core" {
        return Vec::new();
    }
    manifest
        .dependencies
        .iter()
        .filter(|on| !on.only_in_tests && !CORE_DEPENDENCIES.contains(&on.package.as_str()))
        .map(|on| {
            fault(
                &manifest.path,
                format!("the core depends on `{}`", on.package),
                "the core is pure computation, which is what makes replay and the fault simulation \
                 possible: keep files, clocks, sockets and runtimes in the packages around it; a \
                 pure library may be added to CORE_DEPENDENCIES of tidy",
            )
        })
        .collect()
}

/// Finds libtorch outside the evaluator.
pub fn libtorch(manifest: &Manifest) -> Vec<Violation> {
    manifest
        .dependencies
        .iter()
        .filter(|on| manifest.package != LIBTORCH_USER && LIBTORCH.contains(&on.package.as_str()))
        .map(|on| {
            fault(
                &manifest.path,
                format!("`{}` depends on `{}`", manifest.package, on.package),
                "only the evaluator knows libtorch, so that all else builds without it and outlives \
                 its crashes: speak to the evaluator over its pipe",
            )
        })
        .collect()
}

/// Finds a package that does not inherit the workspace's lints.
pub fn lints(manifest: &Manifest) -> Option<Violation> {
    (!manifest.inherits_lints).then(|| {
        fault(
            &manifest.path,
            format!("`{}` does not inherit the workspace's lints", manifest.package),
            "one set of lints holds for all packages: add `[lints]` with `workspace = true`",
        )
    })
}

/// Finds dependencies whose version is not the workspace's.
pub fn versions(manifest: &Manifest) -> Vec<Violation> {
    manifest
        .dependencies
        .iter()
        .filter(|on| !on.from_workspace)
        .map(|on| {
            fault(
                &manifest.path,
                format!("`{}` names its own version of `{}`", manifest.package, on.package),
                "two packages must not drift apart: put it into [workspace.dependencies] of the \
                 root manifest and write `workspace = true` here",
            )
        })
        .collect()
}

/// Finds in the lock file what lies below a package that may not reach it: runtimes and stores
/// below the core's dependencies, libtorch below everything but the evaluator.
pub fn below(lock: &str) -> Vec<Violation> {
    let Ok(lock) = lock.parse::<Table>() else {
        return vec![fault("Cargo.lock", "not TOML".to_owned(), "run `cargo update --workspace`")];
    };
    let graph = lock_graph(&lock);
    let mut found = Vec::new();
    let mut check = |start: &str, user: &str, forbidden: &[&str]| {
        for reached in reachable(&graph, start) {
            if forbidden.contains(&reached.as_str()) {
                found.push(fault(
                    "Cargo.lock",
                    format!("`{reached}` lies below `{start}`, which `{user}` depends on"),
                    "it brings into the package what the architecture keeps out of it: choose \
                     another dependency, or switch off the feature that needs it",
                ));
            }
        }
    };
    // The lock file does not tell test dependencies apart, so the core's walk starts below it.
    for dependency in CORE_DEPENDENCIES {
        check(dependency, "cambrian-core", &BELOW_CORE);
    }
    for (package, _) in ARROWS.iter().filter(|(package, _)| *package != LIBTORCH_USER) {
        check(package, package, &LIBTORCH);
    }
    found
}

/// Package name to the names of the packages it depends on; versions of one name are merged.
fn lock_graph(lock: &Table) -> BTreeMap<String, BTreeSet<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let packages = lock.get("package").and_then(Value::as_array).into_iter().flatten();
    for package in packages {
        let Some(name) = package.get("name").and_then(Value::as_str) else { continue };
        let depends = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        // An entry is `name`, or `name version` where several versions are in the tree.
        let depends = depends.filter_map(|on| on.as_str()?.split(' ').next().map(str::to_owned));
        let depends = depends.filter(|on| !BROWSERS.contains(&on.as_str()));
        graph.entry(name.to_owned()).or_default().extend(depends);
    }
    graph
}

/// Everything below `start`, without itself.
fn reachable(graph: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(package) = open.pop() {
        for below in graph.get(package).into_iter().flatten() {
            if reached.insert(below.clone()) {
                open.push(below);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = r#"
[workspace]
members = ["core", "worker/agent"]
[workspace.dependencies]
cambrian-core = { path = "core" }
serde_yaml = { package = "yaml_serde", version = "0.10" }
torch = { package = "tch", version = "0.26" }
rand = "0.10"
"#;

    fn manifest(package: &str, rest: &str) -> Manifest {
        let text = format!("[package]\nname = \"{package}\"\n{rest}");
        parse("x/Cargo.toml", &text, WORKSPACE).expect("the test's manifest is well formed")
    }

    fn on(package: &str, dependency: &str) -> Manifest {
        manifest(package, &format!("[dependencies]\n{dependency}.workspace = true\n"))
    }

    #[test]
    fn arrows_run_one_way() {
        for (package, dependency) in [
            ("cambrian-proto", "cambrian-core"),
            ("cambrian-evaluator", "cambrian-proto"),
            ("cambrian", "cambrian-coordinator"),
            ("cambrian-core", "serde"),
        ] {
            assert_eq!(arrows(&on(package, dependency)), []);
        }
        for (package, dependency) in [
            ("cambrian-core", "cambrian-proto"),
            ("cambrian-proto", "cambrian-coordinator"),
            ("cambrian-coordinator", "cambrian"),
            ("cambrian-coordinator", "cambrian-worker"),
            ("cambrian-worker", "cambrian-evaluator"),
            ("cambrian-evaluator", "cambrian-worker"),
            ("cambrian", "cambrian-worker"),
            ("tidy", "cambrian-core"),
        ] {
            assert_eq!(
                arrows(&on(package, dependency)).len(),
                1,
                "{package} -> {dependency} passed"
            );
        }
        assert_eq!(arrows(&on("cambrian-new", "serde")).len(), 1, "an unknown package passed");
    }

    #[test]
    fn tests_may_start_workers_but_not_link_libtorch() {
        let dev = |package: &str, dependency: &str| {
            manifest(package, &format!("[dev-dependencies]\n{dependency}.workspace = true\n"))
        };
        assert_eq!(arrows(&dev("cambrian", "cambrian-worker")), []);
        assert_eq!(arrows(&dev("cambrian", "cambrian-evaluator")).len(), 1);
        assert_eq!(arrows(&dev("cambrian-core", "cambrian-proto")).len(), 1);
    }

    #[test]
    fn arrows_hold_in_every_dependency_table() {
        for table in ["build-dependencies", "target.'cfg(unix)'.dependencies", "dev-dependencies"] {
            let hidden =
                format!("[{table}]\nharmless = {{ package = \"cambrian\", path = \"..\" }}\n");
            assert_eq!(arrows(&manifest("cambrian-core", &hidden)).len(), 1, "{table} passed");
        }
    }

    #[test]
    fn the_core_depends_on_listed_libraries_alone() {
        for good in ["rand", "serde_yaml"] {
            assert_eq!(core_dependencies(&on("cambrian-core", good)), []);
        }
        for bad in ["tokio", "tonic", "prost", "rusqlite", "torch", "unheard_of"] {
            assert_eq!(core_dependencies(&on("cambrian-core", bad)).len(), 1, "{bad} passed");
        }
        let in_tests = manifest("cambrian-core", "[dev-dependencies]\nproptest.workspace = true\n");
        assert_eq!(core_dependencies(&in_tests), []);
        assert_eq!(core_dependencies(&on("cambrian-proto", "prost")), []);
    }

    #[test]
    fn libtorch_stays_in_the_evaluator() {
        assert_eq!(libtorch(&on("cambrian-evaluator", "tch")), []);
        for bad in ["tch", "torch-sys", "torch"] {
            assert_eq!(libtorch(&on("cambrian-worker", bad)).len(), 1, "{bad} passed");
        }
    }

    #[test]
    fn lints_are_inherited() {
        assert_eq!(lints(&manifest("tidy", "[lints]\nworkspace = true\n")), None);
        for bad in ["", "[lints]\nworkspace = false\n", "[lints.rust]\nunsafe_code = \"deny\"\n"] {
            assert!(lints(&manifest("tidy", bad)).is_some(), "{bad:?} passed");
        }
    }

    #[test]
    fn versions_come_from_the_workspace() {
        assert_eq!(versions(&on("cambrian-core", "rand")), []);
        let own = manifest("cambrian-core", "[dependencies]\nrand = \"0.9\"\n");
        assert_eq!(versions(&own).len(), 1);
    }

    #[test]
    fn members_are_read_from_the_root() {
        assert_eq!(members(WORKSPACE), ["core", "worker/agent"]);
        assert!(members("[package]").is_empty());
    }

    #[test]
    fn broken_manifests_are_reported() {
        assert!(parse("x/Cargo.toml", "[package", WORKSPACE).is_err());
        assert!(parse("x/Cargo.toml", "[package]\n", WORKSPACE).is_err());
    }

    #[test]
    fn the_lock_file_is_walked_to_the_bottom() {
        let lock = |middle: &str| {
            format!(
                "[[package]]\nname = \"cambrian-core\"\ndependencies = [\"proptest\", \"saphyr\"]\n\
                 [[package]]\nname = \"saphyr\"\ndependencies = [\"middle 1.0.0\"]\n\
                 [[package]]\nname = \"middle\"\ndependencies = [\"{middle}\"]\n\
                 [[package]]\nname = \"proptest\"\ndependencies = [\"tokio\"]\n\
                 [[package]]\nname = \"cambrian-worker\"\ndependencies = [\"last\"]\n\
                 [[package]]\nname = \"last\"\ndependencies = [\"middle\"]\n"
            )
        };
        assert_eq!(below(&lock("memchr")), []);
        assert_eq!(below(&lock("mio")).len(), 1);
        // Below the core's dependency, below the core itself and below the worker.
        assert_eq!(below(&lock("torch-sys")).len(), 3);
        assert_eq!(below("not [ toml").len(), 1);
    }
}
