//! A folder of artifacts under their hashes; those used last stay when it gets too large.
//!
//! Every file is checked against its name before it is given away. What evaluators leave may be anything:
//! only ordinary files of a bounded size are taken, and no link is followed. All calls block on the disk,
//! until a deadline at most, and none waits for another's reading. Must not know the network.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use cambrian_core::artifact::ArtifactId;
use rustix::fs::OFlags;

use crate::durable::TEMPORARY;

/// The largest file that is taken.
const MOST_BYTES: u64 = 64 << 30;
/// Read at once; the deadline is looked at in between.
const PART_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    bytes: u64,
    /// Numbers of incoming files.
    next: AtomicU64,
    /// Held while files come or go, and not while one is read.
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

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the file at `path` into the folder, under its hash.
    pub(super) fn take(&self, path: &Path, until: Instant) -> io::Result<(ArtifactId, PathBuf)> {
        check(&fs::symlink_metadata(path)?)?;
        let incoming = self.incoming()?;
        if fs::rename(path, incoming.path()).is_err() {
            // On another file system.
            copy(&open(path)?, &mut File::create_new(incoming.path())?, until)?;
            fs::remove_file(path)?;
        }
        // Under its new name it is what was checked, or is found not to be: a link is moved itself.
        let id = hash(&open(incoming.path())?, until)?;
        let kept = self.folder.join(id.to_string());
        let _turn = self.turn();
        fs::rename(incoming.path(), &kept)?;
        self.make_room(&kept)?;
        Ok((id, kept))
    }

    /// Puts a file of the folder at `target`; `false` if it is not there, or damaged.
    pub(super) fn give(&self, id: ArtifactId, target: &Path, until: Instant) -> io::Result<bool> {
        let kept = self.folder.join(id.to_string());
        let mut file = match open(&kept) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if hash(&file, until)? != id {
            let _turn = self.turn();
            remove(&kept)?;
            return Ok(false);
        }
        file.set_modified(SystemTime::now())?;
        file.rewind()?;
        // A copy, not a link: whoever gets it may write to it. Nor is one followed that lies there.
        remove(target)?;
        copy(&file, &mut File::create_new(target)?, until)?;
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

/// Opens an ordinary file. Neither follows a link nor waits for the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(found: &Metadata) -> io::Result<()> {
    if !found.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    if found.len() > MOST_BYTES { Err(too_large()) } else { Ok(()) }
}

fn too_large() -> io::Error {
    io::Error::other(format!("it is larger than {} GiB", MOST_BYTES >> 30))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn hash(file: &File, until: Instant) -> io::Result<ArtifactId> {
    let mut hasher = blake3::Hasher::new();
    copy(file, &mut hasher, until)?;
    Ok(hasher.finalize().into())
}

/// Copies what is left of a file, which may grow meanwhile.
fn copy(mut from: &File, to: &mut impl Write, until: Instant) -> io::Result<()> {
    let (mut part, mut total) = (vec![0; PART_BYTES], 0);
    loop {
        if Instant::now() > until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "reading it took too long"));
        }
        let bytes = from.read(&mut part)?;
        if bytes == 0 {
            return Ok(());
        }
        total += bytes as u64;
        if total > MOST_BYTES {
            return Err(too_large());
        }
        to.write_all(&part[..bytes])?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    fn file(root: &Path, content: &[u8]) -> PathBuf {
        let path = root.join("written");
        fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn what_is_taken_is_given_unless_it_is_damaged() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("cache"), 1_000);
        let (id, kept) = cache.take(&file(root.path(), b"state"), later()).unwrap();
        assert_eq!(id, ArtifactId::of(b"state"));
        assert!(!root.path().join("written").exists());
        let target = root.path().join("given");
        assert!(cache.give(id, &target, later()).unwrap());
        assert_eq!(fs::read(&target).unwrap(), b"state");
        fs::write(&target, "scribbled on").unwrap();
        assert!(cache.give(id, &target, later()).unwrap(), "a copy was given");
        fs::write(&kept, "stale").unwrap();
        assert!(!cache.give(id, &target, later()).unwrap());
        assert!(!kept.exists(), "the damaged one is gone");
        assert!(!cache.give(ArtifactId::of(b"other"), &target, later()).unwrap());
    }

    #[test]
    fn the_ones_used_last_stay() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("cache"), 10);
        let take = |content: &[u8]| cache.take(&file(root.path(), content), later()).unwrap();
        let age = |path: &Path, seconds: u64| {
            let at = SystemTime::now() - Duration::from_secs(seconds);
            File::options().append(true).open(path).unwrap().set_modified(at).unwrap();
        };
        let (first, first_path) = take(b"1111");
        let (second, second_path) = take(b"2222");
        age(&first_path, 100);
        age(&second_path, 50);
        let target = root.path().join("given");
        assert!(cache.give(first, &target, later()).unwrap());
        let (third, _) = take(b"3333");
        let found = [first, second, third].map(|id| cache.give(id, &target, later()).unwrap());
        assert_eq!(found, [true, false, true]);
        let (large, large_path) = take(b"larger than the whole cache");
        assert!(cache.give(large, &target, later()).unwrap());
        assert_eq!(fs::read_dir(large_path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_ordinary_file_is_neither_read_nor_taken() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("cache"), 1_000);
        let secret = root.path().join("secret");
        fs::write(&secret, "a token").unwrap();
        let at = |name: &str| root.path().join(name);
        symlink(&secret, at("link")).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        fs::create_dir(at("folder")).unwrap();
        File::create(at("large")).unwrap().set_len(MOST_BYTES + 1).unwrap();
        let cases = [
            ("link", "no ordinary file"),
            ("endless", "no ordinary file"),
            ("pipe", "no ordinary file"),
            ("folder", "no ordinary file"),
            ("large", "larger than 64 GiB"),
        ];
        for (name, expected) in cases {
            let error = cache.take(&at(name), later()).unwrap_err();
            assert!(error.to_string().contains(expected), "{name} gave: {error}");
            // As if it had taken the place of a file that had been looked at.
            assert!(open(&at(name)).is_err(), "{name}");
        }
        assert_eq!(fs::read(&secret).unwrap(), b"a token");
        let (id, _) = cache.take(&file(root.path(), b"state"), later()).unwrap();
        // Nor is a link followed where something is to be put.
        assert!(cache.give(id, &at("link"), later()).unwrap());
        assert_eq!(fs::read(&secret).unwrap(), b"a token");
        assert_eq!(fs::read(at("link")).unwrap(), b"state");
    }

    #[test]
    fn reading_ends_at_the_deadline_and_holds_nobody_up() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("cache"), 1_000);
        let (id, _) = cache.take(&file(root.path(), b"state"), later()).unwrap();
        let over = Instant::now() - Duration::from_millis(1);
        let target = root.path().join("given");
        let late = cache.take(&file(root.path(), b"other"), over).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(cache.give(id, &target, over).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(fs::read_dir(root.path().join("cache")).unwrap().count(), 1, "nothing is left");
        let _turn = cache.turn();
        assert!(cache.give(id, &target, later()).unwrap());
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
