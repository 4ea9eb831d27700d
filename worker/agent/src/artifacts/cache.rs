//! A folder of artifacts under their hashes; those used last stay when it gets too large.
//!
//! Every file is checked against its name before it is given away. All calls block on the disk. Must
//! not know the network.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use cambrian_core::artifact::ArtifactId;

use crate::durable::TEMPORARY;

/// See the module.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    bytes: u64,
    /// Numbers of incoming files.
    next: AtomicU64,
    /// Held while files come, go or are given away.
    turn: Mutex<()>,
}

/// The place of a file that is on its way; nothing is left there when it is dropped.
#[derive(Debug)]
pub(super) struct Incoming(PathBuf);

impl Incoming {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Taken into the folder under its name, usually.
        let _ = fs::remove_file(&self.0);
    }
}

impl Cache {
    /// A cache in `folder`; what an earlier process left there unfinished is removed.
    pub(super) fn new(folder: PathBuf, bytes: u64) -> Self {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|ending| ending == TEMPORARY) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Self { folder, bytes, next: AtomicU64::new(0), turn: Mutex::new(()) }
    }

    /// A place in the folder for a file that arrives.
    pub(super) fn incoming(&self) -> io::Result<Incoming> {
        fs::create_dir_all(&self.folder)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(Incoming(self.folder.join(format!("{number}.{TEMPORARY}"))))
    }

    /// Moves the file at `path` into the folder, under its hash.
    pub(super) fn take(&self, path: &Path) -> io::Result<(ArtifactId, PathBuf)> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(&self.folder)?;
        let id = hash(path)?;
        let kept = self.folder.join(id.to_string());
        if fs::rename(path, &kept).is_err() {
            // On another file system.
            let incoming = self.incoming()?;
            fs::copy(path, incoming.path())?;
            fs::rename(incoming.path(), &kept)?;
            fs::remove_file(path)?;
        }
        self.make_room(&kept)?;
        Ok((id, kept))
    }

    /// Puts a file of the folder at `target`; `false` if it is not there, or damaged.
    pub(super) fn give(&self, id: ArtifactId, target: &Path) -> io::Result<bool> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.folder.join(id.to_string());
        match hash(&kept) {
            Ok(found) if found == id => {}
            Ok(_) => {
                fs::remove_file(&kept)?;
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        File::options().append(true).open(&kept)?.set_modified(SystemTime::now())?;
        // A copy, not a link: whoever gets it may write to it.
        fs::copy(&kept, target)?;
        Ok(true)
    }

    /// Removes those that were used longest ago until the rest fits; never `newest`.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let named =
                entry.file_name().to_str().is_some_and(|name| name.parse::<ArtifactId>().is_ok());
            if named {
                let meta = entry.metadata()?;
                files.push((meta.modified()?, entry.path(), meta.len()));
            }
        }
        let mut total: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        files.sort();
        for (_, path, bytes) in files {
            if total <= self.bytes {
                break;
            }
            if path != newest {
                fs::remove_file(&path)?;
                total -= bytes;
            }
        }
        Ok(())
    }
}

fn hash(path: &Path) -> io::Result<ArtifactId> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, content: &[u8]) -> PathBuf {
        let path = root.join("written");
        fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn what_is_taken_is_given_unless_it_is_damaged() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("cache"), 1_000);
        let (id, kept) = cache.take(&file(root.path(), b"state")).unwrap();
        assert_eq!(id, ArtifactId::of(b"state"));
        assert!(!root.path().join("written").exists());
        let target = root.path().join("given");
        assert!(cache.give(id, &target).unwrap());
        assert_eq!(fs::read(&target).unwrap(), b"state");
        fs::write(&target, "scribbled on").unwrap();
        assert!(cache.give(id, &target).unwrap(), "a copy was given");
        fs::write(&kept, "stale").unwrap();
        assert!(!cache.give(id, &target).unwrap());
        assert!(!kept.exists(), "the damaged one is gone");
        assert!(!cache.give(ArtifactId::of(b"other"), &target).unwrap());
    }

    #[test]
    fn the_ones_used_last_stay() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("cache"), 10);
        let take = |content: &[u8]| cache.take(&file(root.path(), content)).unwrap();
        let age = |path: &Path, seconds: u64| {
            let at = SystemTime::now() - std::time::Duration::from_secs(seconds);
            File::options().append(true).open(path).unwrap().set_modified(at).unwrap();
        };
        let (first, first_path) = take(b"1111");
        let (second, second_path) = take(b"2222");
        age(&first_path, 100);
        age(&second_path, 50);
        let target = root.path().join("given");
        assert!(cache.give(first, &target).unwrap());
        let (third, _) = take(b"3333");
        let found = [first, second, third].map(|id| cache.give(id, &target).unwrap());
        assert_eq!(found, [true, false, true]);
        let (large, large_path) = take(b"larger than the whole cache");
        assert!(cache.give(large, &target).unwrap());
        assert_eq!(fs::read_dir(large_path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn unfinished_files_of_an_earlier_process_go() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("7.tmp"), "half").unwrap();
        let cache = Cache::new(root.path().to_owned(), 10);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        let incoming = cache.incoming().unwrap();
        fs::write(incoming.path(), "half").unwrap();
        drop(incoming);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
