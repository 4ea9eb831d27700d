//! What the set-up scripts refuse and what they leave alone, run on a copy of `deploy/` with a home
//! of its own. Nothing here fetches: every case ends before a download would begin.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// A directory with a copy of the scripts, as if it were the repository, and an apt-get that fails.
fn copy_of_the_scripts() -> TempDir {
    // In cargo's build directory: the scripts ask for more room than a small /tmp has.
    let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("a temporary directory can be made");
    let apt_get = copy.path().join("bin/apt-get");
    fs::create_dir(copy.path().join("bin")).expect("the directory is new");
    fs::write(&apt_get, "#!/bin/sh\nexit 1\n").expect("the file can be written");
    fs::set_permissions(&apt_get, fs::Permissions::from_mode(0o755)).expect("the file is there");
    let deploy = copy.path().join("deploy");
    fs::create_dir(&deploy).expect("the directory is new");
    for script in ["setup-libtorch", "fetch-wheels", "fetch-fashion-mnist", "debian-package"] {
        fs::copy(tidy::repository::root().join("deploy").join(script), deploy.join(script))
            .unwrap_or_else(|fault| panic!("deploy/{script}: {fault}"));
    }
    copy
}

/// A directory that looks like an unpacked libtorch of that version.
fn libtorch_of(version: &str, at: &Path) {
    fs::create_dir_all(at.join("lib")).expect("the directory can be made");
    fs::create_dir_all(at.join("include/torch")).expect("the directory can be made");
    fs::write(at.join("lib/libtorch_cpu.so"), "").expect("the file can be written");
    fs::write(at.join("build-version"), version).expect("the file can be written");
}

/// Runs a script of the copy with the given variables; pip and apt find no index there.
fn run(copy: &Path, script: &str, arguments: &[&str], variables: &[(&str, &Path)]) -> Output {
    let path = format!("{}:{}", copy.join("bin").display(), env::var("PATH").unwrap_or_default());
    Command::new(copy.join("deploy").join(script))
        .env("PATH", path)
        .args(arguments)
        .env_remove("LIBTORCH")
        .env_remove("CAMBRIAN_DATA")
        .env("HOME", copy)
        .env("XDG_CACHE_HOME", copy.join("cache"))
        .env("XDG_DATA_HOME", copy.join("data"))
        .env("PIP_NO_INDEX", "1")
        .env_remove("PIP_FIND_LINKS")
        .envs(variables.iter().copied())
        .current_dir(copy)
        .output()
        .expect("the script can be started")
}

#[track_caller]
fn assert_refused(output: &Output, reason: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success(),
        "accepted; stdout: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(message.contains(reason), "{message:?} does not say {reason:?}");
}

fn record(copy: &Path) -> Option<String> {
    fs::read_to_string(copy.join(".cargo/local.toml")).ok()
}

#[test]
fn an_unusable_libtorch_of_the_shell_is_refused_with_the_reason() {
    let copy = copy_of_the_scripts();
    let own = copy.path().join("own libtorch");
    let with_own = |reason: &str| {
        let output = run(copy.path(), "setup-libtorch", &[], &[("LIBTORCH", &own)]);
        assert_refused(&output, reason);
        assert_eq!(record(copy.path()), None);
    };
    with_own("there is no such directory");
    fs::create_dir(&own).expect("the directory is new");
    with_own("it has no lib/libtorch_cpu.so or no include/torch");
    libtorch_of("2.12.1+cpu", &own);
    with_own("it is version 2.12.1 and tch needs 2.13.0");
    fs::remove_file(own.join("build-version")).expect("the file was written");
    with_own("it is version unknown and tch needs 2.13.0");
}

#[test]
fn a_usable_libtorch_of_the_shell_is_left_as_it_is() {
    let copy = copy_of_the_scripts();
    let own = copy.path().join("own libtorch");
    libtorch_of("2.13.0+cu130\n", &own);
    let output = run(copy.path(), "setup-libtorch", &[], &[("LIBTORCH", &own)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(record(copy.path()), None, "the shell's LIBTORCH was recorded");
    assert!(!copy.path().join("cache").exists(), "the cache was touched");
}

#[test]
fn a_recorded_libtorch_is_kept() {
    let copy = copy_of_the_scripts();
    let own = copy.path().join("own \"libtorch\\");
    libtorch_of("2.13.0", &own);
    let escaped = own.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let recorded = format!("[env]\nLIBTORCH = \"{escaped}\"\n");
    fs::create_dir(copy.path().join(".cargo")).expect("the directory is new");
    fs::write(copy.path().join(".cargo/local.toml"), &recorded).expect("the file can be written");
    let output = run(copy.path(), "setup-libtorch", &[], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(record(copy.path()), Some(recorded));
}

#[test]
fn a_path_must_lead_to_a_libtorch_that_works() {
    let copy = copy_of_the_scripts();
    let refused = |argument: &str, reason: &str| {
        assert_refused(&run(copy.path(), "setup-libtorch", &[argument], &[]), reason);
        assert_eq!(record(copy.path()), None);
    };
    refused("absent", "there is no such directory");
    refused("--gpu", "");
    libtorch_of("1.0.0", &copy.path().join("old"));
    refused("old", "it is version 1.0.0");
    libtorch_of("2.13.0", &copy.path().join("empty"));
    refused("empty", "does not build or run");
}

#[test]
fn a_failed_download_leaves_nothing_behind() {
    let copy = copy_of_the_scripts();
    let output = run(copy.path(), "setup-libtorch", &[], &[]);
    assert_refused(&output, "run: deploy/setup-libtorch PATH");
    assert_eq!(record(copy.path()), None);
    let left: Vec<_> = fs::read_dir(copy.path().join("cache/cambrian"))
        .expect("the cache directory was made")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "libtorch.lock")
        .collect();
    assert!(left.is_empty(), "left in the cache: {left:?}");
}

#[test]
fn the_dataset_script_takes_no_arguments() {
    let copy = copy_of_the_scripts();
    assert_refused(&run(copy.path(), "fetch-fashion-mnist", &["mnist"], &[]), "takes no arguments");
    assert!(!copy.path().join("data").exists());
}
