//! Applies every rule of tidy to the files of this checkout.

use std::path::Path;
use tidy::{
    Violation, document, layout, manifest,
    repository::{TextFile, root, text_files},
    source,
};

fn files() -> Vec<TextFile> {
    let files = text_files(&root()).expect("the checkout can be listed");
    // A listing that misses these would let every rule pass unseen.
    for known in ["Cargo.toml", "core/src/lib.rs", "cli/src/main.rs", "tidy/tests/repository.rs"] {
        assert!(files.iter().any(|file| file.path == known), "{known} is not listed");
    }
    files
}

fn rust_files() -> Vec<TextFile> {
    files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

fn manifests() -> Vec<manifest::Manifest> {
    let workspace = read("Cargo.toml");
    let members = manifest::members(&workspace);
    assert!(members.len() >= 7, "the root manifest lists only {members:?}");
    members
        .iter()
        .map(|member| {
            let path = format!("{member}/Cargo.toml");
            manifest::parse(&path, &read(&path), &workspace)
                .unwrap_or_else(|violation| panic!("{violation}"))
        })
        .collect()
}

#[track_caller]
fn assert_none(violations: impl IntoIterator<Item = Violation>) {
    let found: Vec<String> = violations.into_iter().map(|found| found.to_string()).collect();
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn packages_depend_along_the_arrows() {
    assert_none(manifests().iter().flat_map(manifest::arrows));
}

#[test]
fn the_core_depends_on_nothing_impure() {
    assert_none(manifests().iter().flat_map(manifest::core_dependencies));
}

#[test]
fn only_the_evaluator_knows_libtorch() {
    assert_none(manifests().iter().flat_map(manifest::libtorch));
}

#[test]
fn nothing_forbidden_hides_deeper_in_the_lock_file() {
    assert_none(manifest::below(&read("Cargo.lock")));
}

#[test]
fn every_package_inherits_the_lints() {
    assert_none(manifests().iter().filter_map(manifest::lints));
}

#[test]
fn versions_are_named_once() {
    assert_none(manifests().iter().flat_map(manifest::versions));
}

#[test]
fn every_module_opens_with_its_purpose() {
    assert_none(rust_files().iter().filter_map(|f| layout::module_opening(&f.path, &f.text)));
}

#[test]
fn every_file_is_named_for_what_it_holds() {
    assert_none(files().iter().filter_map(|f| layout::empty_name(&f.path)));
}

#[test]
fn no_rust_file_is_too_long() {
    assert_none(rust_files().iter().filter_map(|f| layout::length(&f.path, &f.text)));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    assert_none(files().iter().flat_map(|f| layout::machine_paths(&f.path, &f.text)));
}

#[test]
fn nothing_is_unfinished_or_silenced() {
    assert_none(rust_files().iter().flat_map(|f| source::unfinished_or_silenced(&f.path, &f.text)));
}

#[test]
fn the_core_touches_no_files_clocks_environment_or_global_randomness() {
    let mut core = rust_files();
    core.retain(|file| file.path.starts_with("core/src/"));
    let of_tests: Vec<String> =
        core.iter().flat_map(|file| source::test_modules(&file.path, &file.text)).collect();
    // A directory below a test module's prefix belongs to it; `core/src/a/tests_of_x` does not.
    let is_test = |path: &str| {
        of_tests.iter().any(|module| {
            path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    };
    core.retain(|file| !is_test(&file.path));
    assert!(core.iter().any(|file| file.path == "core/src/lib.rs"), "the core was not checked");
    assert_none(core.iter().flat_map(|file| source::impure(&file.path, &file.text)));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let root = root();
    let exists = |path: &str| root.join(Path::new(path)).exists();
    let content = |path: &str| {
        path.ends_with(".md").then(|| std::fs::read_to_string(root.join(path)).ok()).flatten()
    };
    assert_none(
        files()
            .iter()
            .filter(|file| file.path.ends_with(".md"))
            .flat_map(|file| document::dead_links(&file.path, &file.text, exists, content)),
    );
}
