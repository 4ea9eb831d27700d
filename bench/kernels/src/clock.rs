//! How long something takes on a machine that does other things as well. `peers/src/main.rs` includes
//! this file, so that both programs are under the same clock. Must not know what is timed.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Runs something and says for how long its thread was at work: the time that passed, or the
/// processor's time where that is less because the thread had to wait for a processor. The latter alone would
/// not do, as asking for it takes as long as the quickest kernels.
pub(crate) fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let processor = processor_time();
    let start = Instant::now();
    let result = run();
    let passed = start.elapsed();
    (passed.min(processor_time().saturating_sub(processor)), result)
}

/// The time that this thread has spent on a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
