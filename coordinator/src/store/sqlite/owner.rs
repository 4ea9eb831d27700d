//! Whose a database is, in the words of an error: a copy that was put back by root is root's, which
//! neither the system nor SQLite says.
//!
//! Must not open a database, nor know what is in it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::store::{AnothersFile, StoreError};

/// What lies beside a database and belongs to it.
const PARTS: [&str; 4] = ["", ".lock", "-wal", "-shm"];

/// Whether an error may be that the process lacks a right.
pub(super) fn is_refusal(error: &StoreError) -> bool {
    match error {
        StoreError::Sqlite(error) => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
        ),
        StoreError::File { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
        _ => false,
    }
}

/// The error of opening a database, with the owner of what is another user's.
pub(in crate::store) fn named(database: &Path, error: StoreError) -> StoreError {
    let user = rustix::process::geteuid().as_raw();
    let Some((found, owner)) = is_refusal(&error).then(|| of_another(database, user)).flatten()
    else {
        return error;
    };
    let (path, problem) = match error {
        StoreError::File { path, source } => (path, source.to_string()),
        other => (database.to_owned(), other.to_string()),
    };
    let (owner, user) = (name(owner), name(user));
    StoreError::Owner(Box::new(AnothersFile { path, problem, found, owner, user }))
}

/// What of a database, or its folder, is not this user's, and whose it is.
fn of_another(database: &Path, user: u32) -> Option<(PathBuf, u32)> {
    let parts = PARTS.iter().map(|part| {
        let mut path = database.as_os_str().to_owned();
        path.push(part);
        PathBuf::from(path)
    });
    let folder = database.parent().map(|folder| match folder.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => folder.to_owned(),
    });
    parts.chain(folder).find_map(|path| {
        let owner = std::fs::metadata(&path).ok()?.uid();
        (owner != user).then_some((path, owner))
    })
}

/// A user's name where the system has a list, with the number.
fn name(user: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(user)).then(|| format!("`{name}` (user {user})"))
    });
    found.unwrap_or_else(|| format!("user {user}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use rustix::process::{Uid, geteuid};
    use rustix::thread::set_thread_res_uid;

    use super::*;
    use crate::store::Store;
    use crate::store::sqlite::SqliteStore;
    use crate::store::tokens::Register;

    const NOBODY: u32 = 65_534;

    /// A closed store in a folder that nobody may write.
    fn closed() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a copy?100%.db");
        drop(SqliteStore::open(&path).unwrap());
        std::fs::remove_file(directory.path().join("a copy?100%.db.lock")).unwrap();
        set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        set_permissions(directory.path(), Permissions::from_mode(0o555)).unwrap();
        (directory, path)
    }

    /// Does something on a thread that has no rights of root.
    fn without_rights<R: Send>(work: impl FnOnce() -> R + Send) -> R {
        let plain = move || {
            if geteuid().is_root() {
                let nobody = Uid::from_raw(NOBODY);
                set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            work()
        };
        std::thread::scope(|scope| scope.spawn(plain).join().unwrap())
    }

    #[test]
    fn a_copy_is_read_in_a_folder_that_may_not_be_written() {
        let (directory, path) = closed();
        without_rights(|| {
            let store = SqliteStore::open_read_only(&path).unwrap();
            assert_eq!(store.sequence(), 0);
            assert!(store.read_from(0, 9).unwrap().is_empty());
        });
        // With a log, what is in the file is not all.
        set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::write(directory.path().join("a copy?100%.db-wal"), "x").unwrap();
        set_permissions(directory.path(), Permissions::from_mode(0o555)).unwrap();
        assert!(without_rights(|| SqliteStore::open_read_only(&path).is_err()));
    }

    #[test]
    fn whose_a_database_is_is_said_to_whoever_may_not_write_it() {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can make what is another user's");
            return;
        }
        let (_directory, path) = closed();
        without_rights(|| {
            let refusals = [
                SqliteStore::open(&path).map(drop).unwrap_err(),
                Register::open(&path).map(drop).unwrap_err(),
            ];
            for error in refusals {
                let text = error.to_string();
                assert!(matches!(error, StoreError::Owner(_)), "{text}");
                assert!(text.contains("belongs to `root` (user 0), and this process"), "{text}");
                assert!(text.contains("(user 65534)"), "{text}");
            }
        });
    }
}
