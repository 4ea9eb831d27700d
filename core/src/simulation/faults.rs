//! What goes wrong in a simulated cluster, and how often. It must not know what a fault does to whomever it
//! meets.

use rand::RngExt;

use crate::rng::{self, Purpose};
use crate::time::Span;

/// How often each fault happens, 0 to 1, and how late messages are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaultRates {
    /// A message never arrives.
    pub lose: f64,
    /// A message arrives twice.
    pub repeat: f64,
    /// Messages arrive after a delay drawn uniformly from zero to this; unequal delays reorder.
    pub delay: Span,
    /// A worker dies when an evaluation ends, just before it notes the result.
    pub worker_crash: f64,
    /// A worker loses its connection at a heartbeat.
    pub disconnect: f64,
    /// An operator drains a worker, in half of the cases at once, or releases one, at each tick.
    pub operator: f64,
    /// A user cancels a campaign, at each tick.
    pub cancel: f64,
    /// The coordinator dies after deciding and before storing, at each command.
    pub crash_before_append: f64,
    /// The coordinator dies after storing and before sending, at each command.
    pub crash_after_append: f64,
}

impl FaultRates {
    /// Nothing goes wrong; messages take no time.
    pub const NONE: FaultRates = FaultRates {
        lose: 0.0,
        repeat: 0.0,
        delay: Span(0),
        worker_crash: 0.0,
        disconnect: 0.0,
        operator: 0.0,
        cancel: 0.0,
        crash_before_append: 0.0,
        crash_after_append: 0.0,
    };

    /// Everything goes wrong, all the time; but campaigns come to their ends.
    pub const HARSH: FaultRates = FaultRates {
        lose: 0.05,
        repeat: 0.1,
        delay: Span::from_millis(4_000),
        worker_crash: 0.08,
        disconnect: 0.05,
        operator: 0.05,
        cancel: 0.0,
        crash_before_append: 0.01,
        crash_after_append: 0.01,
    };

    /// A mixture of its own for each seed: every fault of these is absent, rare, as often, or twice as often,
    /// and delays are up to twice as long; but messages are repeated no more often, since what answers each
    /// copy would multiply. Where everything fails all the time, long undisturbed stretches
    /// never happen, and faults hide each other (Groce et al. 2012, swarm testing).
    #[must_use]
    pub fn mixed(self, seed: u64) -> FaultRates {
        let mut rng = rng::stream(seed, Purpose::Simulation, MIXTURE);
        let mut drawn = |rate: f64| {
            let factor = [0.0, 0.2, 1.0, 2.0][rng.random_range(0..4)];
            (rate * factor).min(1.0)
        };
        let mut mixture = FaultRates {
            lose: drawn(self.lose),
            repeat: drawn(self.repeat).min(self.repeat),
            delay: self.delay,
            worker_crash: drawn(self.worker_crash),
            disconnect: drawn(self.disconnect),
            operator: drawn(self.operator),
            cancel: drawn(self.cancel),
            crash_before_append: drawn(self.crash_before_append),
            crash_after_append: drawn(self.crash_after_append),
        };
        let exponent = rng.random_range(0..=4);
        mixture.delay = Span((self.delay.0 << exponent) >> 3);
        mixture
    }
}

/// The ordinal of the stream that mixtures are drawn from; no attempt has it.
const MIXTURE: u64 = u64::MAX;
