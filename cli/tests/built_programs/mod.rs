//! Where the programs are that a test starts as processes.

use std::path::PathBuf;

/// The folder of `cambrian`, if the others are there as well; says so where they are not.
/// Continuous integration must not pass over it.
pub(crate) fn folder(needed: &[&str]) -> Option<PathBuf> {
    let cambrian = PathBuf::from(env!("CARGO_BIN_EXE_cambrian"));
    let folder = cambrian.parent()?.to_path_buf();
    let missing: Vec<_> = needed.iter().filter(|name| !folder.join(name).is_file()).collect();
    if missing.is_empty() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{missing:?} are not built");
    eprintln!("skipped: {missing:?} are not built; run `cargo build --workspace --bins` first");
    None
}
