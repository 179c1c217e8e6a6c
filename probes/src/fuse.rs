//! FUSE mounts: whether their daemons answer, how many requests wait for them, and how well their caches do.
//!
//! Whatever touches a path on such a mount can hang for ever, beyond the reach of a signal. So this probe reads the
//! kernel's own account itself (mountinfo and fusectl never ask the daemon), and leaves `statfs` and the daemon's
//! statistics to one thread per mount ([`prober`]), which it watches and never waits for. A call that has not come back
//! after [`DEADLINE`] is told as such: the mount is `hung`, its series are `Stuck`.
//!
//! Facts: `Documentation/filesystems/fuse.rst` (fusectl, "no filesystem activity and waiting non-zero"), proc(5)
//! (mountinfo), JuiceFS' `.stats` ([`juicefs`]). Network file systems (NFS, Lustre, …) are listed with their type only.

pub mod connection;
pub mod juicefs;
pub mod mountinfo;
pub mod prober;
mod watch;
mod watched;

use std::time::Duration;

use crate::{Node, Outlet};
use watch::Watch;

/// A call on a mount that has not come back after this long is stuck.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// How often calls in flight are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a reading waits for the mounts to answer; a healthy daemon takes a few milliseconds.
const SETTLE: Duration = Duration::from_millis(150);
/// Daemons are not asked more often than this, however short the interval.
const LEAST_PERIOD: Duration = Duration::from_secs(1);

/// Runs the probe until it is asked to stop. A thread that is stuck in a call is left behind.
pub fn run(node: &Node, outlet: &Outlet) {
    let period = node.interval.max(LEAST_PERIOD);
    let mut watch = Watch::new(node, outlet);
    let now = || outlet.now().mono_ns.unwrap_or(0);
    while !outlet.stopping() {
        let began = now();
        let mut draft = outlet.draft();
        watch.survey(&mut draft);
        watch.settle(SETTLE);
        watch.tell(&mut draft);
        if !outlet.send(draft) {
            return;
        }
        let next = began.saturating_add(nanoseconds(period));
        while now() < next && !outlet.stopping() {
            watch.collect(Duration::from_nanos(next.saturating_sub(now())).min(LOOK));
            // The late ones are told at once rather than at the next reading.
            if let Some(news) = watch.look()
                && !outlet.send(news)
            {
                return;
            }
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
