//! The scenario's clock: seconds since its epoch on `CLOCK_MONOTONIC`, and the wall time that NVML stamps samples with.

use rustix::time::{ClockId, clock_gettime};

/// Counts seconds from a fixed instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch_ns: u64,
}

impl Clock {
    /// A clock whose zero is `epoch_ns` on `CLOCK_MONOTONIC`, or now.
    pub(crate) fn new(epoch_ns: Option<u64>) -> Clock {
        Clock { epoch_ns: epoch_ns.unwrap_or_else(|| nanoseconds(ClockId::Monotonic)) }
    }

    /// Seconds of scenario time; zero while the epoch lies ahead.
    pub(crate) fn now(&self) -> f64 {
        nanoseconds(ClockId::Monotonic).saturating_sub(self.epoch_ns) as f64 / 1e9
    }

    /// The wall time in microseconds, as NVML stamps samples.
    pub(crate) fn wall_us() -> u64 {
        nanoseconds(ClockId::Realtime) / 1_000
    }
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let fraction = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(fraction)
}
