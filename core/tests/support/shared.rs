//! Where the published data lies that some tests read: beside the repository, never part of it, or where
//! `CAMBRIAN_SHARED` says. Must not know what is in it.

use std::path::{Path, PathBuf};

/// A file or folder of the published data; `None`, and a line that says so, where it is not.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("CAMBRIAN_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared.join("data").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "skipped: {} is not there; CAMBRIAN_SHARED names the folder of `data`",
        path.display()
    );
    None
}
