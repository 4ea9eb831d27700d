//! What an evaluator writes to its standard error: into the log, as far as there is room for it, and the last
//! lines of it for messages about its end.
//!
//! Must not know why the process ended.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::queue::SlotIndex;

const KEPT_LINES: usize = 20;
/// Longer lines are cut; a progress bar may write megabytes without a line end.
const LONGEST_LINE: u64 = 4_096;
/// What a slot may log in each interval. Whoever writes more writes for nobody to read, and fills the disk.
const LOGGED_LINES: usize = 100;
const LOGGED_BYTES: usize = 64 << 10;
const LOG_INTERVAL: Duration = Duration::from_secs(1);

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

/// What may be logged yet, and how much was left out.
#[derive(Debug)]
struct Budget {
    lines: usize,
    bytes: usize,
    ends: Instant,
    left_out: u64,
}

impl Budget {
    fn new() -> Self {
        let ends = Instant::now() + LOG_INTERVAL;
        Self { lines: LOGGED_LINES, bytes: LOGGED_BYTES, ends, left_out: 0 }
    }

    /// Whether a line may be logged.
    fn admits(&mut self, line: &str) -> bool {
        if self.left_out == 0 && Instant::now() >= self.ends {
            *self = Self::new();
        }
        let admitted = self.lines > 0 && self.bytes >= line.len();
        if admitted {
            self.lines -= 1;
            self.bytes -= line.len();
        } else {
            // No shorter line follows either: what is left out is left out in one piece.
            self.lines = 0;
            self.left_out += 1;
        }
        admitted
    }

    /// Waits until an interval ends in which lines were left out, and says how many. Cancel safe.
    async fn left_out(&mut self) -> u64 {
        match self.left_out {
            0 => std::future::pending().await,
            _ => sleep_until(self.ends).await,
        }
        std::mem::replace(self, Self::new()).left_out
    }
}

fn say_left_out(slot: SlotIndex, lines: u64) {
    warn!(target: "cambrian_worker::evaluator", %slot, "{lines} lines left out");
}

/// Forwards the lines of `stream` to the log and records them, until the stream ends.
pub(super) async fn forward(slot: SlotIndex, stream: impl AsyncRead + Unpin, tail: StderrTail) {
    let mut reader = BufReader::new(stream);
    let mut budget = Budget::new();
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(LONGEST_LINE);
        let mut read = pin!(limited.read_until(b'\n', &mut line));
        let read = loop {
            tokio::select! {
                biased;
                lines = budget.left_out() => say_left_out(slot, lines),
                read = &mut read => break read,
            }
        };
        if let Ok(0) | Err(_) = read {
            break;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if text.is_empty() {
            continue;
        }
        if budget.admits(&text) {
            info!(target: "cambrian_worker::evaluator", %slot, "{text}");
        }
        tail.push(text);
    }
    if budget.left_out > 0 {
        say_left_out(slot, budget.left_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_so_many_lines_and_bytes_are_logged_in_each_interval() {
        let mut budget = Budget::new();
        for _ in 0..2 {
            let admitted = (0..1_000).filter(|_| budget.admits("short")).count();
            assert_eq!(admitted, LOGGED_LINES);
            assert_eq!(budget.left_out().await, 1_000 - LOGGED_LINES as u64);
        }
        let long = "x".repeat(LONGEST_LINE as usize);
        let admitted = (0..50).filter(|_| budget.admits(&long)).count();
        assert_eq!(admitted, LOGGED_BYTES / long.len());
        assert!(!budget.admits(""), "left out in one piece");
        budget.left_out().await;
        assert!(budget.admits("short"));
        let quiet = tokio::time::timeout(10 * LOG_INTERVAL, budget.left_out()).await;
        assert!(quiet.is_err(), "nothing was left out");
        assert_eq!((0..LOGGED_LINES).filter(|_| budget.admits("short")).count(), LOGGED_LINES);
    }

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
