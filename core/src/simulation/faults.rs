//! What goes wrong in a simulated cluster, and how often.

use crate::time::Span;

/// Probabilities of faults, each in 0..=1.
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
}
