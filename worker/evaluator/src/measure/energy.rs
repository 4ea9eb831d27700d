//! Energy of one inference from a cumulative meter of the device.
//!
//! Alone on the device: synchronise, read, infer repeatedly for a few seconds, synchronise, read.
//! Meters refresh only every 20 to 100 ms, so each repetition starts after a random pause, and the
//! first one is dropped (NVML sampling: arXiv 2312.02741). It must not know which meter it reads;
//! a device without one is not measured at all, its energy is modelled and named so.

use std::time::Duration;

use cambrian_core::rng::Stream;
use cambrian_core::spec::EnergySettings;
use rand::RngExt;

use super::latency::{Clock, Inference};
use super::{nvml, rapl};
use crate::device::Device;
use crate::evaluate::Supervision;
use crate::failure::EvaluationError;

/// The slowest refresh of a meter; pauses are drawn from zero to this.
const REFRESH: Duration = Duration::from_millis(100);
/// How often a meter is read while it runs, so that no wrap of its counter goes unseen.
const POLL: Duration = Duration::from_millis(500);

/// A cumulative energy meter of the whole device.
pub trait EnergyMeter {
    /// The name of the source in every output.
    fn source(&self) -> &'static str;

    /// Energy since some fixed instant, in millijoules; never falls. To be read at least once a
    /// second while a difference is taken.
    ///
    /// # Errors
    /// What the meter says, in words.
    fn read_millijoules(&mut self) -> Result<f64, String>;
}

/// The meter of `device`: NVML for a GPU, RAPL for a CPU where its counter can be read. Otherwise
/// the reason why there is none.
///
/// # Errors
/// The reason, in words.
pub fn meter(device: &Device) -> Result<Box<dyn EnergyMeter>, String> {
    match &device.board {
        Some(board) => Ok(Box::new(nvml::Meter::open(board)?)),
        None => Ok(Box::new(rapl::Meter::open(rapl::POWERCAP.as_ref())?)),
    }
}

/// Measured energy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Energy {
    /// The mean of the repetitions, millijoules a call.
    pub millijoules: f64,
    /// The largest minus the smallest repetition, millijoules a call.
    pub spread_millijoules: f64,
}

/// The energy of one call of `inference`, the whole device's idle power included.
///
/// # Errors
/// Those of `inference`, a stop, or [`EvaluationError::BadNode`] if the meter fails or stands still.
pub fn measure(
    inference: &mut Inference<'_>,
    meter: &mut dyn EnergyMeter,
    settings: &EnergySettings,
    generator: &mut Stream,
    clock: &dyn Clock,
    supervision: &Supervision<'_>,
) -> Result<Energy, EvaluationError> {
    let mut kept = Vec::new();
    for repetition in 0..settings.repeats.max(2) {
        clock.sleep(REFRESH.mul_f64(generator.random::<f64>()));
        let energy = once(inference, meter, settings.seconds, clock, supervision)?;
        if repetition > 0 {
            kept.push(energy);
        }
    }
    let largest = kept.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let smallest = kept.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(Energy {
        millijoules: kept.iter().sum::<f64>() / kept.len() as f64,
        spread_millijoules: largest - smallest,
    })
}

fn once(
    inference: &mut Inference<'_>,
    meter: &mut dyn EnergyMeter,
    seconds: f64,
    clock: &dyn Clock,
    supervision: &Supervision<'_>,
) -> Result<f64, EvaluationError> {
    let source = meter.source();
    let fault = |reason: String| {
        EvaluationError::BadNode(format!("the energy meter {source} failed: {reason}"))
    };
    let _quiet = supervision.gate.close(supervision.stopped)?;
    (supervision.synchronize)();
    let before = meter.read_millijoules().map_err(fault)?;
    let start = clock.now();
    let duration = Duration::from_secs_f64(seconds);
    let (mut calls, mut polled) = (0u64, start);
    while clock.now() - start < duration {
        supervision.check()?;
        inference()?;
        calls += 1;
        if clock.now() - polled >= POLL {
            polled = clock.now();
            meter.read_millijoules().map_err(fault)?;
        }
    }
    (supervision.synchronize)();
    let used = meter.read_millijoules().map_err(fault)? - before;
    if used <= 0.0 {
        return Err(fault(format!("its counter did not move during {seconds} s of inference")));
    }
    Ok(used / calls.max(1) as f64)
}

/// A counter that starts again at zero after its largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrappingCounter {
    range: u64,
    last: u64,
    total: u64,
}

impl WrappingCounter {
    /// A counter that was read as `first` and whose values are at most `range`.
    pub(super) fn new(range: u64, first: u64) -> Self {
        Self { range, last: first, total: 0 }
    }

    /// What it has counted since the first reading, given that it now reads `value` and wrapped at
    /// most once since the last reading.
    pub(super) fn update(&mut self, value: u64) -> u64 {
        let step = match value.checked_sub(self.last) {
            Some(step) => step,
            None => value.saturating_add(self.range.saturating_sub(self.last)),
        };
        self.last = value;
        self.total = self.total.saturating_add(step);
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::super::latency::tests::{Simulated, supervised};
    use super::*;
    use crate::train::Randomness;
    use std::cell::Cell;

    /// A meter of a device that draws constant power, through a counter that wraps.
    struct Constant<'a> {
        clock: &'a Simulated,
        watts: f64,
        counter: WrappingCounter,
        range: u64,
    }

    impl EnergyMeter for Constant<'_> {
        fn source(&self) -> &'static str {
            "fake"
        }

        fn read_millijoules(&mut self) -> Result<f64, String> {
            let microjoules = self.clock.now().as_secs_f64() * self.watts * 1e6;
            let reading = microjoules.round() as u64 % (self.range + 1);
            Ok(self.counter.update(reading) as f64 / 1e3)
        }
    }

    fn measured(watts: f64, range: u64) -> Result<Energy, EvaluationError> {
        let clock = Simulated(Cell::new(Duration::ZERO));
        let mut inference = || {
            clock.advance(Duration::from_millis(4));
            Ok(())
        };
        let counter = WrappingCounter::new(range, 0);
        let mut meter = Constant { clock: &clock, watts, counter, range };
        let settings = EnergySettings { seconds: 2.0, repeats: 4 };
        let mut generator = Randomness::Phases.stream(1);
        supervised(&|| false, |supervision| {
            measure(&mut inference, &mut meter, &settings, &mut generator, &clock, supervision)
        })
    }

    #[test]
    fn power_times_time_of_one_call() {
        // 25 W for 4 ms are 100 mJ.
        let energy = measured(25.0, u64::MAX - 1).unwrap();
        assert!((energy.millijoules - 100.0).abs() < 1e-3, "{energy:?}");
        assert!(energy.spread_millijoules < 1e-3);
    }

    #[test]
    fn wraps_between_and_during_repetitions_do_not_matter() {
        // 25 W wrap a counter of 20 J every 0.8 s.
        let energy = measured(25.0, 20_000_000).unwrap();
        assert!((energy.millijoules - 100.0).abs() < 1e-2, "{energy:?}");
    }

    #[test]
    fn a_meter_that_stands_still_is_a_fault_of_the_node() {
        let error = measured(0.0, 1000).unwrap_err();
        assert!(matches!(&error, EvaluationError::BadNode(text) if text.contains("did not move")));
    }

    #[test]
    fn a_counter_wraps_by_its_range() {
        let mut counter = WrappingCounter::new(100, 90);
        assert_eq!(counter.update(95), 5);
        assert_eq!(counter.update(4), 14);
        assert_eq!(counter.update(4), 14);
    }
}
