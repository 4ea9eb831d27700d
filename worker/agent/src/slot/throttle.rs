//! Bounds how often an evaluation's progress is forwarded.
//!
//! Must not know what the messages say.

use std::time::Duration;

use cambrian_proto::v1::Progress;
use tokio::time::{Instant, sleep_until};

/// Lets a message through at most once per interval; the newest of those held back follows when
/// the interval is over.
#[derive(Debug)]
pub(super) struct Throttle {
    interval: Duration,
    next: Option<Instant>,
    held: Option<Progress>,
}

impl Throttle {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, next: None, held: None }
    }

    /// The message, if it may go now.
    pub(super) fn offer(&mut self, progress: Progress) -> Option<Progress> {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            self.held = Some(progress);
            return None;
        }
        self.held = None;
        self.next = Some(now + self.interval);
        Some(progress)
    }

    /// Waits until a message that was held back may go. Cancel safe.
    pub(super) async fn due(&mut self) -> Progress {
        match (self.held.is_some(), self.next) {
            (true, Some(next)) => sleep_until(next).await,
            _ => std::future::pending().await,
        }
        self.next = Some(Instant::now() + self.interval);
        match self.held.take() {
            Some(progress) => progress,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(step: u32) -> Progress {
        Progress { step, ..Progress::default() }
    }

    #[tokio::test]
    async fn the_first_passes_and_then_the_newest_of_each_interval() {
        let mut throttle = Throttle::new(Duration::from_secs(3_600));
        assert_eq!(throttle.offer(progress(1)), Some(progress(1)));
        assert_eq!(throttle.offer(progress(2)), None);
        assert_eq!(throttle.offer(progress(3)), None);
        throttle.next = Some(Instant::now());
        assert_eq!(throttle.due().await, progress(3));
        assert_eq!(throttle.offer(progress(4)), None, "the interval begins again");
        throttle.next = Some(Instant::now());
        assert_eq!(throttle.offer(progress(5)), Some(progress(5)));
        let nothing = tokio::time::timeout(Duration::from_millis(5), throttle.due()).await;
        assert!(nothing.is_err(), "what was overtaken is not sent");
    }
}
