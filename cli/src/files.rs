//! Files written whole or not at all.
//!
//! Must not know what is in them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// Replaces the file at `path` by `content` in one step: whoever reads it sees the old or the new
/// file whole, also after a crash. Directories are made where they are missing.
///
/// # Errors
/// [`CliError::Io`] with the path; the old file is then as it was.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), CliError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(CliError::io("create", directory))?;
    let temporary = temporary_beside(path);
    let written = write_through(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(directory)?.sync_all());
    if written.is_err() {
        // It may not even exist; the error that counts is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(CliError::io("write", path))
}

/// Writes `content` to the place that a user has named: a file is replaced as by [`replace`], a link is followed, and
/// what is no file, such as a pipe, is written into.
///
/// # Errors
/// [`CliError::Io`] with the path; an old file is then as it was.
pub(crate) fn write_to(path: &Path, content: &[u8]) -> Result<(), CliError> {
    let target = match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path),
        Ok(_) => return fs::write(path, content).map_err(CliError::io("write", path)),
        Err(_) => Ok(path.to_owned()),
    };
    replace(&target.map_err(CliError::io("find", path))?, content)
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn write_through(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_and_leave_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/front.csv");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(root.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn links_are_followed_and_what_is_no_file_is_written_into() {
        let root = tempfile::tempdir().unwrap();
        let (file, link) = (root.path().join("file"), root.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_to(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        write_to(Path::new("/dev/null"), b"nothing").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_failure_names_the_path_and_leaves_no_trace() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "x").unwrap();
        let error = replace(&path, b"x").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
