//! What the end-to-end tests and the fixture maker stand on.
//!
//! * [`Sysroot`]: a node made of files, for `--root`: GPUs, adapters and their bridges in `/sys`, a small `/proc`, and a
//!   `/dev/kmsg` that takes records as the kernel would write them.
//! * [`Deck`]: the built `gpudeck` program, started with a simulated driver and a sysroot.
//! * [`CacheFs`]: a real FUSE file system with JuiceFS-like statistics that can be told to hang.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test bed that cannot be set up must stop the test"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the test bed starts the program under test and reads the clock for its records"
)]

mod cache_fs;
mod program;
mod screen;
mod sysroot;

pub use cache_fs::CacheFs;
pub use program::{Deck, Run, built, driver_library};
pub use screen::Screen;
pub use sysroot::{Adapter, GpuSlot, Sysroot};

use std::time::Duration;

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn mono_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)).expect("the clock is past boot")
}

/// Waits until `holds`, at most `patience`; whether it came to hold.
pub fn wait_until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = mono_ns() + u64::try_from(patience.as_nanos()).expect("patience is short");
    loop {
        if holds() {
            return true;
        }
        if mono_ns() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether the tests run as root; those that need it say that they were skipped otherwise.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
