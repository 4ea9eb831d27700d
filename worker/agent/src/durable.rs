//! Files that survive a crash: replaced as a whole, and on the disk before anybody relies on them.
//!
//! Must not know what the files hold.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The ending of files that are not complete yet.
pub(crate) const TEMPORARY: &str = "tmp";

/// Writes `content` to `path` and syncs it under a temporary name, then renames. After a crash the
/// file is the old one or the new one; call [`sync_directory`] to know that it is the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension(TEMPORARY);
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Makes renames in `directory` last through a power failure.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
