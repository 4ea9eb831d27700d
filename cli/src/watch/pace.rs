//! How fast a campaign goes, and when it will be done.
//!
//! Works on the coordinator's clock alone. Must not know how it is shown.

use std::collections::VecDeque;

use crate::results::{Campaign, CampaignStatus, Instant};

/// How far back the rate looks, seconds.
const WINDOW: f64 = 300.0;
/// The fewest seconds and evaluations that a rate is worth saying for.
const LEAST_SECONDS: f64 = 2.0;
const LEAST_EVALUATIONS: u32 = 2;

/// The recent past of a campaign's count of finished evaluations.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    samples: VecDeque<(Instant, u32)>,
}

impl Pace {
    /// Takes in how many evaluations had ended at an instant.
    pub(super) fn observe(&mut self, now: Instant, campaign: &Campaign) {
        let done = campaign.evaluations_finished;
        if campaign.status == CampaignStatus::Paused {
            // A pause is not slowness.
            self.samples.clear();
        }
        if self.samples.back().is_some_and(|(_, last)| *last == done) {
            return;
        }
        self.samples.push_back((now, done));
        while self.samples.len() > 2
            && self.samples.front().is_some_and(|(at, _)| now.seconds_since(*at) > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Evaluations per minute, once there is something to tell. It falls while none ends.
    pub(super) fn per_minute(&self, now: Instant) -> Option<f64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let done = last.1.checked_sub(first.1)?;
        let between = last.0.seconds_since(first.0);
        let since = now.seconds_since(last.0);
        if done < LEAST_EVALUATIONS || between < LEAST_SECONDS {
            return None;
        }
        // The usual wait for the next one is part of the rate, a longer one slows it down.
        let usual = between / f64::from(done);
        let seconds = between + (since - usual).max(0.0);
        Some(f64::from(done) / seconds * 60.0)
    }

    /// Seconds until the budget is spent at the present rate.
    pub(super) fn seconds_left(&self, now: Instant, campaign: &Campaign) -> Option<f64> {
        let left = campaign.evaluations_budget.checked_sub(campaign.evaluations_finished)?;
        Some(f64::from(left) / self.per_minute(now)? * 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000)
    }

    fn done(evaluations_finished: u32) -> Campaign {
        Campaign { evaluations_finished, ..examples::campaign(examples::metrics()) }
    }

    #[test]
    fn the_rate_is_that_of_the_samples() {
        let mut pace = Pace::default();
        for second in 0..=10 {
            pace.observe(at(second), &done(second as u32));
        }
        assert!((pace.per_minute(at(10)).unwrap() - 60.0).abs() < 1e-9);
        assert!((pace.seconds_left(at(10), &done(10)).unwrap() - 54.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_said_too_early() {
        let mut pace = Pace::default();
        assert_eq!(pace.per_minute(at(0)), None);
        pace.observe(at(0), &done(0));
        pace.observe(at(1), &done(5));
        assert_eq!(pace.per_minute(at(1)), None);
    }

    #[test]
    fn a_standstill_slows_it_down() {
        let mut pace = Pace::default();
        pace.observe(at(0), &done(0));
        pace.observe(at(10), &done(10));
        assert!(pace.per_minute(at(100)).unwrap() < 10.0);
    }

    #[test]
    fn a_pause_is_forgotten() {
        let mut pace = Pace::default();
        pace.observe(at(0), &done(0));
        pace.observe(at(10), &done(10));
        let paused = Campaign { status: CampaignStatus::Paused, ..done(10) };
        pace.observe(at(11), &paused);
        assert_eq!(pace.per_minute(at(3_600)), None);
    }

    #[test]
    fn a_resumed_campaign_does_not_count_what_was_done_before() {
        let mut pace = Pace::default();
        pace.observe(at(0), &done(500));
        pace.observe(at(30), &done(503));
        assert!((pace.per_minute(at(30)).unwrap() - 6.0).abs() < 1e-9);
    }
}
