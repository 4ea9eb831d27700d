//! Where a database may lie, and the lock that keeps a second coordinator away from it.
//!
//! The lock is a file of its own beside the database, so that anyone may read the database with
//! SQL while a coordinator runs. The operating system releases it when the process ends, however
//! it ends. Both go by the path that symbolic links lead to, as SQLite does; a hard link is another
//! name, which is not noticed.
//!
//! Must not open a database, nor know what is in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

const NETWORK_KINDS: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "afs",
    "ceph",
    "lustre",
    "gpfs",
    "beegfs",
    "fuse.sshfs",
];

/// How many symbolic links to files that do not exist are followed, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// The path without symbolic links of a database that may not exist yet, in a folder that does.
pub(super) fn without_links(database: &Path) -> io::Result<PathBuf> {
    let mut path = database.to_owned();
    for _ in 0..MAX_LINKS {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let folder = folder_of(&path).canonicalize()?;
        match (path.read_link(), path.file_name()) {
            (Ok(target), _) => path = folder.join(target),
            (Err(_), Some(name)) => return Ok(folder.join(name)),
            (Err(error), None) => return Err(error),
        }
    }
    Err(io::Error::other("it is a symbolic link to itself"))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// The held lock; dropping it releases it.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Locks a database by its path without symbolic links.
pub(super) fn lock(database: &Path) -> Result<Lock, StoreError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |source: io::Error| StoreError::File { path: path.clone(), source };
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(database.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Whether there is a log beside a database, which holds what is not in the file itself.
pub(super) fn has_log(database: &Path) -> bool {
    let mut log = without_links(database).unwrap_or_else(|_| database.to_owned()).into_os_string();
    log.push("-wal");
    std::fs::symlink_metadata(log).is_ok()
}

/// SQLite's name of a file that nobody changes and nothing belongs to.
pub(super) fn as_it_is(database: &Path) -> PathBuf {
    let database = without_links(database).unwrap_or_else(|_| database.to_owned());
    let mut name = "file:".to_owned();
    for byte in database.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => name.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(*byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    (name + "?immutable=1").into()
}

/// Refuses a path on a network file system. Where the mounts cannot be read, the path passes.
pub(super) fn refuse_network_file_system(database: &Path) -> Result<(), StoreError> {
    let (Ok(directory), Ok(mounts)) =
        (folder_of(database).canonicalize(), std::fs::read_to_string("/proc/self/mounts"))
    else {
        return Ok(());
    };
    match kind_of(&mounts, &directory) {
        Some(kind) if NETWORK_KINDS.contains(&kind) => {
            let (path, kind) = (database.to_owned(), kind.to_owned());
            Err(StoreError::NetworkFileSystem { path, kind })
        }
        _ => Ok(()),
    }
}

/// The kind of the file system of `directory`: that of the longest mount point above it, the last
/// one if several lie over each other. Each line reads `device mountpoint kind options 0 0`.
fn kind_of<'m>(mounts: &'m str, directory: &Path) -> Option<&'m str> {
    let mount = |line: &'m str| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        let point = point.replace("\\040", " ");
        directory.starts_with(&point).then_some((point.len(), kind))
    };
    let found = mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length);
    found.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_decides() {
        let mounts = "overlay / overlay rw 0 0\nnas:/x /data nfs4 rw 0 0\n/dev/a /data/local ext4 rw 0 0\n\
                      nas:/y /my\\040share cifs rw 0 0\n";
        let kind = |path: &str| kind_of(mounts, Path::new(path)).unwrap();
        assert_eq!(kind("/srv"), "overlay");
        assert_eq!(kind("/data/campaigns"), "nfs4");
        assert_eq!(kind("/data/local/x"), "ext4");
        assert_eq!(kind("/database"), "overlay");
        assert_eq!(kind("/my share/x"), "cifs");
    }

    #[test]
    fn links_lead_to_the_database_whether_it_exists_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let (folder, database) = (root.join("data"), root.join("data/cambrian.db"));
        std::fs::create_dir(&folder).unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
            root.join(name)
        };
        let paths = [
            database.clone(),
            root.join("data/../data/cambrian.db"),
            link("data/cambrian.db", "near.db"),
            link("near.db", "far.db"),
            link("data", "folder").join("cambrian.db"),
        ];
        let all_lead_there = || paths.iter().all(|path| without_links(path).unwrap() == database);
        assert!(all_lead_there());
        std::fs::write(&database, "").unwrap();
        assert!(all_lead_there());
        assert!(without_links(&link("circle.db", "circle.db")).is_err());
        assert!(without_links(&root.join("absent/cambrian.db")).is_err());
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("cambrian.db");
        let held = lock(&database).unwrap();
        assert!(matches!(lock(&database), Err(StoreError::Locked(_))));
        drop(held);
        assert!(lock(&database).is_ok());
    }
}
