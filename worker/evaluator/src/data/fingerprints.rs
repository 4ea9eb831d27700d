//! The names of the content of datasets, kept between processes, so that files that have not changed
//! are not read whole at every start.
//!
//! A name is kept with the state of its files: path, device, inode, size, and the times of the last
//! change of content and of anything else, of which programs cannot set the second. Files that changed
//! so shortly before they were read that a change after it could have the same times are not kept.
//! What is kept can be lost at any time. It must not know what a name is made of.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::format::{FINGERPRINT_DIGITS, FormatError};
use super::{DataError, DatasetEntry};

/// The way in which content is named; another way is another version.
const VERSION: &[u8] = b"1";
/// Longer than the clocks of a file server and of this machine commonly differ, and than the times of
/// files are apart on any file system.
const MARGIN: Duration = Duration::from_secs(60);
/// The size from which reading a dataset whole is worth a line in the log.
const LARGE: u64 = 1 << 30;

/// Where the names of contents are kept.
#[derive(Debug, Clone)]
pub struct Fingerprints {
    /// One small file for each dataset; absent: nothing is kept.
    folder: Option<PathBuf>,
    /// How long files have to have been as they are.
    margin: Duration,
}

impl Fingerprints {
    /// Those in the user's folder for caches.
    #[must_use]
    pub fn of_user() -> Self {
        let variable = |name| std::env::var_os(name).filter(|path| !path.is_empty());
        let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
        let folder = cache.map(|cache| cache.join("cambrian/fingerprints"));
        Self { folder, margin: MARGIN }
    }

    /// Names the content of the files of `entry`. Reads them whole, unless they are as they were when
    /// that was done last.
    ///
    /// # Errors
    /// [`DataError`] if a file cannot be read.
    pub fn of(&self, entry: &DatasetEntry, directories: &[PathBuf]) -> Result<String, DataError> {
        let directory = entry.directory(directories)?;
        let malformed = |source| entry.malformed(source);
        let state = || State::of(&entry.format.files(&directory)?, &directory, self.margin);
        let before = state().map_err(malformed)?;
        let kept = self.folder.as_ref().map(|folder| folder.join(&before.place));
        if let Some(found) = kept.as_ref().and_then(|file| read(file, &before)) {
            return Ok(found);
        }
        if before.bytes >= LARGE {
            let gibibytes = before.bytes as f64 / (1u64 << 30) as f64;
            eprintln!(
                "reading the {gibibytes:.1} GiB of the dataset {} to name their content",
                entry.name
            );
        }
        let found = entry.fingerprint(directories)?;
        let after = state().map_err(malformed)?;
        if let Some(file) = kept
            && before.settled
            && before.stamp == after.stamp
            && let Err(error) = write(&file, &format!("{} {found}\n", before.stamp))
        {
            eprintln!(
                "the name of the content of {} cannot be kept in {} ({error}), so its files are read \
                 at every start; name a folder that can be written to with XDG_CACHE_HOME",
                entry.name,
                file.display()
            );
        }
        Ok(found)
    }
}

/// The state of a dataset's files, by which a change is noticed without reading them.
struct State {
    /// The name of the file that the name of the content is kept in: one for each folder.
    place: String,
    stamp: String,
    bytes: u64,
    /// Whether a later change cannot have the times that there are.
    settled: bool,
}

impl State {
    fn of(files: &[PathBuf], directory: &Path, margin: Duration) -> Result<Self, FormatError> {
        let now = SystemTime::now();
        let unreadable =
            |path: &Path, source| FormatError::Unreadable { path: path.to_owned(), source };
        let whole = fs::canonicalize(directory).map_err(|source| unreadable(directory, source))?;
        let place = blake3::hash(whole.as_os_str().as_encoded_bytes());
        let mut stamp = blake3::Hasher::new();
        stamp.update(VERSION).update(place.as_bytes());
        let (mut bytes, mut settled) = (0, true);
        for path in files {
            let found = fs::metadata(path).map_err(|source| unreadable(path, source))?;
            let name = path.strip_prefix(directory).unwrap_or(path).as_os_str().as_encoded_bytes();
            stamp.update(&(name.len() as u64).to_le_bytes()).update(name);
            for number in numbers(&found) {
                stamp.update(&number.to_le_bytes());
            }
            bytes += found.len();
            settled = settled && is_settled(&found, margin, now);
        }
        let digits = |hash: blake3::Hash| hash.to_hex()[..FINGERPRINT_DIGITS].to_owned();
        Ok(Self { place: digits(place), stamp: digits(stamp.finalize()), bytes, settled })
    }
}

fn numbers(found: &Metadata) -> [i64; 7] {
    [
        found.dev() as i64,
        found.ino() as i64,
        found.size() as i64,
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ]
}

/// Whether the file has not been changed for the `margin` before `now`, and not in the future.
fn is_settled(found: &Metadata, margin: Duration, now: SystemTime) -> bool {
    let latest = u64::try_from(found.ctime().max(found.mtime())).unwrap_or(0);
    let latest = UNIX_EPOCH + Duration::from_secs(latest);
    now.duration_since(latest).is_ok_and(|age| age >= margin)
}

/// The name that is kept in `file`, if the files are still in the `state` that it was found in.
fn read(file: &Path, state: &State) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (stamp, found) = text.strip_suffix('\n')?.split_once(' ')?;
    let is_whole = found.len() == FINGERPRINT_DIGITS
        && found.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (stamp == state.stamp && is_whole).then(|| found.to_owned())
}

/// Whole or not at all, whoever else writes it.
fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let part = file.with_extension(std::process::id().to_string());
    File::create(&part)?.write_all(text.as_bytes())?;
    fs::rename(&part, file)
}

#[cfg(test)]
mod tests;
