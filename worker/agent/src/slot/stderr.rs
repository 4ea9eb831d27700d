//! The last lines that an evaluator wrote to its standard error, for messages about its end.
//!
//! Must not know why the process ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tracing::info;

use crate::queue::SlotIndex;

const KEPT_LINES: usize = 20;
/// Longer lines are cut; a progress bar may write megabytes without a line end.
const LONGEST_LINE: u64 = 4_096;

/// A bounded, shared record of the newest lines.
#[derive(Debug, Clone, Default)]
pub(super) struct StderrTail(Arc<Mutex<VecDeque<String>>>);

impl StderrTail {
    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        // Pushing and clearing cannot leave the lines in a bad state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: String) {
        let mut lines = self.lines();
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Forgets what was written: a new evaluation begins.
    pub(super) fn clear(&self) {
        self.lines().clear();
    }

    /// The lines, oldest first.
    pub(super) fn text(&self) -> String {
        self.lines().iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Forwards every line of `stream` to the log and records it, until the stream ends.
pub(super) async fn forward(slot: SlotIndex, stream: impl AsyncRead + Unpin, tail: StderrTail) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if text.is_empty() {
            continue;
        }
        info!(target: "cambrian_worker::evaluator", %slot, "{text}");
        tail.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_lines_are_kept_and_long_ones_cut() {
        let mut written = String::new();
        for number in 0..50 {
            written += &format!("line {number}\n\n");
        }
        let tail = StderrTail::default();
        forward(SlotIndex(0), written.as_bytes(), tail.clone()).await;
        let text = tail.text();
        assert_eq!(text.lines().count(), KEPT_LINES);
        assert!(text.starts_with("line 30\n") && text.ends_with("line 49"), "{text}");
        tail.clear();
        assert_eq!(tail.text(), "");
        forward(SlotIndex(0), "x".repeat(1 << 20).as_bytes(), tail.clone()).await;
        assert_eq!(tail.text().len(), KEPT_LINES * (LONGEST_LINE as usize + 1) - 1);
        forward(SlotIndex(0), [0xff, b'\n'].as_slice(), tail.clone()).await;
        assert!(tail.text().ends_with('\u{fffd}'));
    }
}
