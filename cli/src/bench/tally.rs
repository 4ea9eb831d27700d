//! What the simulated workers count together, and what follows from looking at it again and again.
//!
//! Must not know how it is counted or shown.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cambrian_proto::v1;
use tokio::time::Instant;

use super::histogram::Histogram;

/// Counts of all workers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// From announcing room for a task to getting one; the first tasks of a worker are left out.
    pub(super) assignment: Histogram,
    /// From sending a report to its acknowledgement.
    pub(super) acknowledgement: Histogram,
    /// How much later than due heartbeats were sent.
    pub(super) heartbeat_delay: Histogram,
    pub(super) registered: AtomicU64,
    pub(super) assigned: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    /// Slots that work on something at this moment.
    pub(super) busy: AtomicI64,
    /// Streams that ended before their time and were opened again.
    pub(super) reconnected: AtomicU64,
    /// Attempts that the coordinator took back.
    pub(super) stopped: AtomicU64,
    /// The first task.
    pub(super) example: OnceLock<v1::Assignment>,
    /// One for each stream on which something was acknowledged.
    resumptions: Mutex<Vec<Resumption>>,
}

/// A worker's first acknowledged report on a new stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resumption {
    pub(super) worker: u32,
    /// When the stream was registered.
    pub(super) registered: Instant,
    /// When the acknowledgement came.
    pub(super) at: Instant,
}

/// How work went on after the leader was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recovery {
    /// Until the first result was acknowledged by another.
    pub(super) first: Duration,
    /// Until each worker had one acknowledged.
    pub(super) all: Duration,
}

impl Tally {
    /// Notes it.
    pub(super) fn resumed(&self, resumption: Resumption) {
        self.resumptions.lock().unwrap_or_else(PoisonError::into_inner).push(resumption);
    }

    /// How `workers` went on on streams that were registered after an instant; `None` until all of
    /// them have.
    pub(super) fn recovery(&self, workers: u32, since: Instant) -> Option<Recovery> {
        let found = self.resumptions.lock().unwrap_or_else(PoisonError::into_inner);
        recovery(&found, workers, since)
    }
}

fn recovery(found: &[Resumption], workers: u32, since: Instant) -> Option<Recovery> {
    let mut first = BTreeMap::new();
    for Resumption { worker, registered, at } in found {
        if *registered > since {
            // In the order of time, so that a later stream of the same worker is no news.
            first.entry(*worker).or_insert(*at - since);
        }
    }
    let all = first.values().max().filter(|_| first.len() >= workers as usize)?;
    Some(Recovery { first: *first.values().min()?, all: *all })
}

/// A look at a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Since the campaign was submitted.
    pub(super) at: Duration,
    /// Reports acknowledged, which are durable.
    pub(super) durable: u64,
    /// Tasks handed out.
    pub(super) assigned: u64,
    /// Slots at work.
    pub(super) busy: i64,
    /// CPU time of the coordinator since the campaign was submitted.
    pub(super) cpu: Duration,
    /// Resident memory of the coordinator, bytes.
    pub(super) resident: u64,
}

/// What a tenfold of evaluations took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decade {
    /// The last evaluation of it.
    pub(super) to: u64,
    /// Evaluations a second, from the end of the decade before.
    pub(super) rate: f64,
    /// CPU seconds of the coordinator an evaluation.
    pub(super) cpu: f64,
}

/// Rates over 1 to 1,000, to 10,000 and so on, and to the last evaluation.
pub(super) fn decades(samples: &[Sample]) -> Vec<Decade> {
    let Some(last) = samples.last() else { return Vec::new() };
    let mut ends: Vec<u64> = std::iter::successors(Some(1_000u64), |end| end.checked_mul(10))
        .take_while(|end| *end < last.durable)
        .collect();
    ends.push(last.durable);
    let mut from = (0, 0.0, 0.0);
    let mut found = Vec::new();
    for to in ends {
        let (at, cpu) = crossing(samples, to);
        let evaluations = (to - from.0) as f64;
        if evaluations > 0.0 && at > from.1 {
            let (rate, cpu) = (evaluations / (at - from.1), (cpu - from.2) / evaluations);
            found.push(Decade { to, rate, cpu });
        }
        from = (to, at, cpu);
    }
    found
}

/// When so many were durable and what the coordinator had used by then, both in seconds, between
/// the looks before and after.
fn crossing(samples: &[Sample], durable: u64) -> (f64, f64) {
    let after = samples.partition_point(|sample| sample.durable < durable);
    let Some(end) = samples.get(after) else { return (0.0, 0.0) };
    let (end_at, end_cpu) = (end.at.as_secs_f64(), end.cpu.as_secs_f64());
    let Some(start) = after.checked_sub(1).and_then(|before| samples.get(before)) else {
        return (end_at, end_cpu);
    };
    let share = (durable - start.durable) as f64 / (end.durable - start.durable) as f64;
    let between = |from: Duration, to: f64| from.as_secs_f64() * (1.0 - share) + to * share;
    (between(start.at, end_at), between(start.cpu, end_cpu))
}

/// The share of `slots` at work, from when all were for the first time until the last task was
/// handed out; `None` if they never were all at work, or were for too short a time to tell.
pub(super) fn utilisation(samples: &[Sample], slots: u64) -> Option<f64> {
    let full = samples.iter().position(|sample| sample.busy >= slots as i64)?;
    let last = samples.last()?.assigned;
    let drained = samples.partition_point(|sample| sample.assigned < last);
    let window = samples.get(full..=drained.min(samples.len() - 1))?;
    let (mut busy, mut all) = (0.0, 0.0);
    for pair in window.windows(2) {
        let length = (pair[1].at - pair[0].at).as_secs_f64();
        busy += length * (pair[0].busy + pair[1].busy) as f64 / 2.0;
        all += length * slots as f64;
    }
    (all > 0.0).then(|| busy / all)
}

/// How much the coordinator grew with each evaluation, from a tenth of them on, when buffers have
/// their size; `None` where there were too few to tell.
pub(super) fn bytes_per_candidate(samples: &[Sample]) -> Option<f64> {
    const FEWEST: u64 = 10_000;
    let last = samples.last().filter(|last| last.durable >= FEWEST)?;
    let first = samples.iter().find(|sample| sample.durable >= last.durable / 10)?;
    let grown = last.resident.saturating_sub(first.resident) as f64;
    (last.durable > first.durable).then(|| grown / (last.durable - first.durable) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(millis: u64, durable: u64, busy: i64) -> Sample {
        Sample {
            at: Duration::from_millis(millis),
            durable,
            assigned: durable + 10,
            busy,
            cpu: Duration::from_millis(millis / 2),
            resident: 0,
        }
    }

    #[test]
    fn a_steady_run_has_the_same_rate_in_every_decade() {
        let samples: Vec<Sample> =
            (0..=2_500).map(|step| sample(step * 10, step * 100, 1)).collect();
        let found = decades(&samples);
        let ends: Vec<u64> = found.iter().map(|decade| decade.to).collect();
        assert_eq!(ends, [1_000, 10_000, 100_000, 250_000]);
        for decade in found {
            assert!((decade.rate - 10_000.0).abs() < 1e-6, "{decade:?}");
            assert!((decade.cpu - 50e-6).abs() < 1e-9, "{decade:?}");
        }
    }

    #[test]
    fn a_decade_that_ends_between_two_looks_is_cut_there() {
        let samples = [sample(0, 0, 0), sample(500, 500, 0), sample(1_500, 2_500, 0)];
        let found = decades(&samples);
        assert_eq!(found.len(), 2);
        assert!((found[0].rate - 1_000.0 / 0.75).abs() < 1e-9, "{found:?}");
        assert!((found[1].rate - 1_500.0 / 0.75).abs() < 1e-9, "{found:?}");
        assert_eq!(decades(&[]), []);
        assert_eq!(decades(&[sample(0, 0, 0)]), [], "nothing has happened");
    }

    #[test]
    fn memory_is_what_candidates_add_once_buffers_have_grown() {
        let at = |durable: u64, resident: u64| Sample { resident, ..sample(durable, durable, 0) };
        let samples = [at(0, 5_000_000), at(2_000, 30_000_000), at(20_000, 37_200_000)];
        assert_eq!(bytes_per_candidate(&samples), Some(400.0));
        assert_eq!(bytes_per_candidate(&samples[..2]), None, "too few to tell");
    }

    #[test]
    fn work_has_gone_on_when_each_worker_was_answered_on_a_new_stream() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let at = |worker, registered, at| Resumption {
            worker,
            registered: start + second * registered,
            at: start + second * at,
        };
        // The leader is killed after 10 s; the second worker's new stream breaks once more.
        let mut found = vec![at(1, 1, 2), at(2, 1, 3), at(2, 12, 13)];
        let killed = start + second * 10;
        assert_eq!(recovery(&found, 2, killed), None);
        found.extend([at(2, 15, 16), at(1, 14, 17)]);
        let both = Recovery { first: second * 3, all: second * 7 };
        assert_eq!(recovery(&found, 2, killed), Some(both));
        assert_eq!(recovery(&found, 3, killed), None);
    }

    #[test]
    fn a_run_that_slows_down_shows_it() {
        let fast = (0..=100).map(|step| sample(step, step * 10, 1));
        let slow = (1..=900).map(|step| sample(100 + step * 10, 1_000 + step * 10, 1));
        let samples: Vec<Sample> = fast.chain(slow).collect();
        let rates: Vec<f64> = decades(&samples).iter().map(|decade| decade.rate.round()).collect();
        assert_eq!(rates, [10_000.0, 1_000.0]);
    }

    #[test]
    fn utilisation_counts_from_the_first_full_moment_to_the_last_task() {
        let mut samples = vec![sample(0, 0, 0), sample(1_000, 0, 2), sample(2_000, 0, 4)];
        samples.extend([sample(3_000, 5, 4), sample(4_000, 9, 2), sample(5_000, 9, 0)]);
        // From 2 s to 4 s: full for a second, then falling to half.
        assert_eq!(utilisation(&samples, 4), Some((4.0 + 3.0) / 8.0));
        assert_eq!(utilisation(&samples, 5), None, "never full");
    }
}
