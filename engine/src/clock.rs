//! The one clock. Everything else takes time from Frames.

use model::Stamp;
use rustix::time::{ClockId, clock_gettime};

/// Both clocks, read together: `CLOCK_MONOTONIC` (what the kernel log's times run by) and `CLOCK_REALTIME`.
pub fn now() -> Stamp {
    let mono = clock_gettime(ClockId::Monotonic);
    let real = clock_gettime(ClockId::Realtime);
    Stamp {
        mono_ns: u64::try_from(i128::from(mono.tv_sec) * 1_000_000_000 + i128::from(mono.tv_nsec)).ok(),
        real_ns: i64::try_from(i128::from(real.tv_sec) * 1_000_000_000 + i128::from(real.tv_nsec)).ok(),
    }
}

/// Seconds as nanoseconds, for deadlines on the time axis.
pub const fn seconds(count: u64) -> u64 {
    count * 1_000_000_000
}
