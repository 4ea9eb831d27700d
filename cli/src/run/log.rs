//! The logs of a run: processes append to them, a worker's is quoted when one dies, and they stay bounded.
//!
//! Must not know workers nor the coordinator.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use crate::error::CliError;

/// How long a log may be, bytes.
pub(super) const MOST: u64 = 100 << 20;
/// How often it is looked how long a log has become.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// How much of its end is kept of a log that is longer.
const KEPT: u64 = 1 << 20;
/// How much is quoted.
const QUOTED_BYTES: u64 = 4_096;
const QUOTED_LINES: usize = 4;

/// The log, opened for appending, and where the new part begins.
///
/// # Errors
/// [`CliError::Io`] if it cannot be opened.
pub(super) fn open(path: &Path) -> Result<(File, u64), CliError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(CliError::io("open", path))?;
    let length = file.metadata().map_err(CliError::io("open", path))?.len();
    Ok((file, length))
}

/// Throws away the beginning of a log of more than `most` bytes, and says so in its first line. Whoever writes to it
/// goes on behind what is kept, since all of them append.
///
/// # Errors
/// When the log cannot be read or written.
pub(super) fn bound(path: &Path, most: u64) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    if length <= most {
        return Ok(());
    }
    let end = bytes_from(path, length - KEPT.min(most / 2))?;
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.set_len(0)?;
    let note = format!("the log had grown to {length} bytes; all but its end is thrown away\n");
    file.write_all(&[note.as_bytes(), &end].concat())
}

/// Keeps a log from growing beyond `most` bytes for long; ends by being dropped.
pub(super) async fn keep_bounded(path: PathBuf, most: u64) {
    loop {
        // A log that cannot be cut must not end the work.
        let _ = bound(&path, most);
        sleep(PAUSE).await;
    }
}

/// The last lines of a log from `start` on, without the colours of the terminal.
pub(super) fn last_lines(path: &Path, start: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let length = fs::metadata(path)?.len();
        // What is shorter than before was cut since, and all of it is new.
        let start = if start > length { 0 } else { start };
        bytes_from(path, start.max(length.saturating_sub(QUOTED_BYTES)))
    };
    // A log that cannot be read has nothing to quote.
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let text = console::strip_ansi_codes(&text);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(QUOTED_LINES);
    lines[first..].iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn bytes_from(path: &Path, start: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    // Somebody may be writing faster than this reads.
    file.take(KEPT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_cut_to_its_end_and_written_on() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("worker-1.log");
        let (mut writer, _) = open(&path).unwrap();
        for line in 0..100 {
            writeln!(writer, "line {line}").unwrap();
        }
        let before = fs::metadata(&path).unwrap().len();
        bound(&path, before).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), before);
        bound(&path, 100).unwrap();
        writeln!(writer, "afterwards").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("the log had grown to {before} bytes")), "{text}");
        assert!(text.ends_with("\nline 98\nline 99\nafterwards\n"), "{text}");
        assert!(text.len() < 200, "{text}");
        assert!(last_lines(&path, before).ends_with("line 99\n    afterwards"));
    }

    #[tokio::test]
    async fn a_log_is_cut_while_somebody_keeps_it_bounded() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("coordinator.log");
        fs::write(&path, "a line\n".repeat(100)).unwrap();
        let kept = tokio::spawn(keep_bounded(path.clone(), 100));
        while !fs::read_to_string(&path).unwrap().starts_with("the log had grown to 700 bytes") {
            tokio::task::yield_now().await;
        }
        kept.abort();
    }
}
