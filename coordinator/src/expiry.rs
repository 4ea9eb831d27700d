//! Warnings before the coordinator's own certificate ends: it was read at the start, and a renewed file
//! needs another one.
//!
//! Must not know what the certificate is used for.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use cambrian_core::time::{Span, Timestamp};

use crate::clock::{Clock, SystemClock};

const DAY: Span = Span::from_secs(24 * 3600);
/// How many days before the end it is warned, the last time first; at the end once more.
const WARNINGS: [u64; 4] = [0, 1, 7, 30];

/// The end of a certificate, and how near it was when that was told last.
#[derive(Debug)]
struct Expiry {
    end: Timestamp,
    told: Option<u64>,
}

impl Expiry {
    /// How long the certificate still holds, if it is time to tell.
    fn due(&mut self, now: Timestamp) -> Option<Span> {
        let left = self.end.since(now);
        let days = WARNINGS.into_iter().find(|days| left.0 <= days * DAY.0)?;
        if self.told.is_some_and(|told| told <= days) {
            return None;
        }
        self.told = Some(days);
        Some(left)
    }
}

/// Days where there are several, else hours.
fn words(left: Span) -> String {
    match left.0 / DAY.0 {
        0 | 1 => format!("{} hours", left.0 / Span::from_secs(3600).0),
        days => format!("{days} days"),
    }
}

fn warn(certificate: &Path, left: Span) {
    let certificate = certificate.display();
    match left {
        Span(0) => tracing::error!(
            %certificate,
            "the coordinator's certificate has ended: clients refuse it; renew it and restart"
        ),
        left => tracing::warn!(
            %certificate,
            "the coordinator's certificate ends in {}; renew it and restart", words(left)
        ),
    }
}

/// Warns of the end of a certificate, looking at once and each day.
pub(crate) async fn keep_warning(certificate: &Path, end: Timestamp) -> Infallible {
    let (clock, mut expiry) = (SystemClock::new(), Expiry { end, told: None });
    loop {
        if let Some(left) = expiry.due(clock.date()) {
            warn(certificate, left);
        }
        tokio::time::sleep(Duration::from_micros(DAY.0)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_a_month_a_week_and_a_day_before_and_at_the_end() {
        let mut expiry = Expiry { end: Timestamp(100 * DAY.0 + 5), told: None };
        let mut told = Vec::new();
        for day in 0..104 {
            let left = expiry.due(Timestamp(day * DAY.0));
            told.extend(left.map(|left| (day, words(left))));
        }
        let expected = [(71, "29 days"), (94, "6 days"), (100, "0 hours"), (101, "0 hours")];
        assert_eq!(told, expected.map(|(day, words)| (day, words.to_owned())));
        let mut late = Expiry { end: Timestamp(100 * DAY.0), told: None };
        assert_eq!(late.due(Timestamp(98 * DAY.0)), Some(Span(2 * DAY.0)));
        assert_eq!(late.due(Timestamp(98 * DAY.0)), None);
        assert_eq!(words(Span(2 * DAY.0 - 1)), "47 hours");
    }
}
