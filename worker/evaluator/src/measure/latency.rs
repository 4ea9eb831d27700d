//! Latency: the median time of one inference on a quiet device.
//!
//! Warm-up beside other work, then, alone on the device: a few more calls, then samples of as many
//! calls as a minimal duration takes, with the device synchronised before and after each. The
//! spread is the interquartile range; a measurement with too wide a spread is repeated a few times
//! and the one with the narrowest counts, its spread telling how good it is. It must not know what
//! is called.

use std::fmt;
use std::time::{Duration, Instant};

use cambrian_core::spec::LatencySettings;

use crate::evaluate::Supervision;
use crate::failure::EvaluationError;

/// How long warm-up calls keep others from measuring, at most.
const PIECE: Duration = Duration::from_millis(50);
/// Given to others between two attempts, so that their work gets past the gate.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

/// A monotonic clock that can wait.
pub trait Clock {
    /// The time since some fixed instant.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, duration: Duration);
}

/// The system's monotonic clock.
#[derive(Debug)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// A clock that starts at zero.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A measured latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// The median time of one call, milliseconds.
    pub median_ms: f64,
    /// The interquartile range of the samples, milliseconds.
    pub interquartile_range_ms: f64,
    /// The 95th percentile of the samples, milliseconds.
    pub p95_ms: f64,
    /// The number of samples.
    pub samples: usize,
    /// Calls in each sample.
    pub calls_per_sample: u32,
    /// How often it was measured until the spread was small enough, or retries ran out.
    pub attempts: u32,
}

impl Latency {
    /// The interquartile range as a share of the median; 0 where a clock too coarse saw neither.
    fn relative_spread(&self) -> f64 {
        if self.interquartile_range_ms == 0.0 {
            return 0.0;
        }
        self.interquartile_range_ms / self.median_ms
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median_ms, interquartile_range_ms, p95_ms, .. } = self;
        write!(
            f,
            "median {median_ms:.4} ms, IQR {interquartile_range_ms:.4} ms, p95 {p95_ms:.4} ms over \
             {} samples of {} calls, attempt {}",
            self.samples, self.calls_per_sample, self.attempts
        )
    }
}

/// One inference, asynchronous where the device is.
pub type Inference<'a> = dyn FnMut() -> Result<(), EvaluationError> + 'a;

/// Measures `inference` under `settings`.
///
/// # Errors
/// Those of `inference`, or a stop.
pub fn measure(
    inference: &mut Inference<'_>,
    settings: &LatencySettings,
    clock: &dyn Clock,
    supervision: &Supervision<'_>,
) -> Result<Latency, EvaluationError> {
    warm_up(inference, settings, clock, supervision)?;
    let mut best = attempt_once(inference, settings, clock, supervision)?;
    for attempt in 2..=settings.retries.saturating_add(1) {
        if best.relative_spread() <= settings.max_relative_iqr {
            break;
        }
        clock.sleep(BETWEEN_ATTEMPTS);
        let again = attempt_once(inference, settings, clock, supervision)?;
        if again.relative_spread() < best.relative_spread() {
            best = again;
        }
        best.attempts = attempt;
    }
    Ok(best)
}

fn warm_up(
    inference: &mut Inference<'_>,
    settings: &LatencySettings,
    clock: &dyn Clock,
    supervision: &Supervision<'_>,
) -> Result<(), EvaluationError> {
    let start = clock.now();
    let enough = Duration::from_secs_f64(settings.warmup_seconds);
    let mut calls = 0;
    while clock.now() - start < enough || calls < settings.warmup_calls {
        supervision.share(|| {
            let piece = clock.now();
            loop {
                inference()?;
                (supervision.synchronize)();
                calls = calls.saturating_add(1);
                let now = clock.now();
                let finished = now - start >= enough && calls >= settings.warmup_calls;
                if finished || now - piece >= PIECE {
                    return Ok(());
                }
            }
        })?;
    }
    Ok(())
}

fn attempt_once(
    inference: &mut Inference<'_>,
    settings: &LatencySettings,
    clock: &dyn Clock,
    supervision: &Supervision<'_>,
) -> Result<Latency, EvaluationError> {
    let _quiet = supervision.gate.close(supervision.stopped)?;
    let mut timed = |calls: u32| -> Result<f64, EvaluationError> {
        supervision.check()?;
        (supervision.synchronize)();
        let start = clock.now();
        for _ in 0..calls {
            inference()?;
        }
        (supervision.synchronize)();
        Ok((clock.now() - start).as_secs_f64() * 1e3 / f64::from(calls))
    };
    // The processor was shared a moment ago: these calls bring caches and clock back, and tell how
    // many calls make a sample.
    let mut quickest = timed(1)?;
    for _ in 1..settings.warmup_calls {
        quickest = quickest.min(timed(1)?);
    }
    let calls_per_sample = calls_for(settings.min_sample_ms, quickest);
    let mut samples = Vec::with_capacity(settings.samples as usize);
    for _ in 0..settings.samples.max(1) {
        samples.push(timed(calls_per_sample)?);
    }
    samples.sort_by(f64::total_cmp);
    Ok(Latency {
        median_ms: quantile(&samples, 0.5),
        interquartile_range_ms: quantile(&samples, 0.75) - quantile(&samples, 0.25),
        p95_ms: quantile(&samples, 0.95),
        samples: samples.len(),
        calls_per_sample,
        attempts: 1,
    })
}

/// How many calls of `call_ms` milliseconds make a sample of at least `sample_ms`.
fn calls_for(sample_ms: f64, call_ms: f64) -> u32 {
    // A clock too coarse to see one call says 0.
    let calls = (sample_ms / call_ms.max(1e-6)).ceil();
    calls.clamp(1.0, 1e6) as u32
}

/// The quantile of ascending `samples`, interpolated linearly.
fn quantile(samples: &[f64], share: f64) -> f64 {
    let place = share * (samples.len() - 1) as f64;
    let (low, high) = (samples[place.floor() as usize], samples[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::measure::gate::Gate;
    use std::cell::Cell;

    /// A clock that moves when it is told to.
    pub(in crate::measure) struct Simulated(pub(in crate::measure) Cell<Duration>);

    impl Clock for Simulated {
        fn now(&self) -> Duration {
            self.0.get()
        }

        fn sleep(&self, duration: Duration) {
            self.advance(duration);
        }
    }

    impl Simulated {
        pub(in crate::measure) fn advance(&self, duration: Duration) {
            self.0.set(self.0.get() + duration);
        }
    }

    pub(in crate::measure) fn supervised<T>(
        stopped: &dyn Fn() -> bool,
        run: impl FnOnce(&Supervision<'_>) -> T,
    ) -> T {
        let directory = tempfile::tempdir().unwrap();
        let gate = Gate::open(directory.path(), "test").unwrap();
        let mut report = |_: u32, _: u32, _: &[(&str, f64)]| {};
        run(&Supervision {
            wanted: &|| false,
            asked: &|| None,
            written: &mut |_| {},
            stopped,
            report: &mut report,
            gate: &gate,
            synchronize: &|| {},
            kept: crate::evaluate::Kept::default(),
        })
    }

    /// Runs calls whose durations in microseconds are those of `duration`, by call number.
    fn run(settings: &LatencySettings, duration: impl Fn(u64) -> u64) -> (Latency, u64, Duration) {
        let clock = Simulated(Cell::new(Duration::ZERO));
        let mut calls = 0;
        let mut inference = || {
            clock.advance(Duration::from_micros(duration(calls)));
            calls += 1;
            Ok(())
        };
        let latency = supervised(&|| false, |supervision| {
            measure(&mut inference, settings, &clock, supervision)
        });
        (latency.unwrap(), calls, clock.now())
    }

    #[test]
    fn median_and_range_of_known_durations() {
        let settings = LatencySettings {
            warmup_seconds: 0.0,
            warmup_calls: 1,
            samples: 101,
            min_sample_ms: 0.0,
            max_relative_iqr: 10.0,
            ..LatencySettings::default()
        };
        // One call warms up, one calibrates; then 1000, 1010, ... 2000 microseconds.
        let (latency, calls, _) = run(&settings, |call| 1000 + 10 * call.saturating_sub(2));
        assert_eq!(calls, 103);
        assert!((latency.median_ms - 1.5).abs() < 1e-9, "{latency}");
        assert!((latency.interquartile_range_ms - 0.5).abs() < 1e-9, "{latency}");
        assert!((latency.p95_ms - 1.95).abs() < 1e-9, "{latency}");
    }

    #[test]
    fn warm_up_lasts_as_long_and_as_many_calls_as_asked() {
        let base =
            LatencySettings { samples: 10, min_sample_ms: 0.0, ..LatencySettings::default() };
        let long = LatencySettings { warmup_seconds: 3.0, warmup_calls: 20, ..base };
        let (_, calls, _) = run(&long, |_| 10_000);
        assert_eq!(calls, 300 + 20 + 10);
        let many = LatencySettings { warmup_seconds: 0.1, warmup_calls: 50, ..base };
        let (_, calls, _) = run(&many, |_| 10_000);
        assert_eq!(calls, 50 + 50 + 10);
    }

    #[test]
    fn short_calls_are_bundled_into_samples() {
        let settings = LatencySettings {
            warmup_seconds: 0.0,
            warmup_calls: 1,
            samples: 100,
            min_sample_ms: 1.0,
            ..LatencySettings::default()
        };
        let (latency, calls, _) = run(&settings, |_| 300);
        assert_eq!(latency.calls_per_sample, 4);
        assert_eq!(calls, 2 + 400);
        assert!((latency.median_ms - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_wide_spread_is_measured_again_and_then_reported() {
        let settings = LatencySettings {
            warmup_seconds: 0.0,
            warmup_calls: 1,
            samples: 10,
            min_sample_ms: 0.0,
            max_relative_iqr: 0.1,
            retries: 2,
            ..LatencySettings::default()
        };
        let (latency, ..) = run(&settings, |call| if call % 2 == 0 { 1000 } else { 3000 });
        assert_eq!(latency.attempts, 3);
        assert!(latency.interquartile_range_ms > 0.1 * latency.median_ms);
        // Steady from the second attempt on.
        let (latency, ..) = run(&settings, |call| if call < 13 { 1000 + 500 * call } else { 1000 });
        assert_eq!((latency.attempts, latency.interquartile_range_ms), (2, 0.0));
    }

    #[test]
    fn a_stop_ends_the_measurement() {
        let polls = Cell::new(0);
        let stopped = || {
            polls.set(polls.get() + 1);
            polls.get() > 40
        };
        let clock = Simulated(Cell::new(Duration::ZERO));
        let mut inference = || {
            clock.advance(Duration::from_millis(100));
            Ok(())
        };
        let result = supervised(&stopped, |supervision| {
            measure(&mut inference, &LatencySettings::default(), &clock, supervision)
        });
        assert!(matches!(result, Err(EvaluationError::Stopped)));
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0], 0.25), 1.25);
        assert_eq!(quantile(&[7.0], 0.95), 7.0);
    }
}
