//! The probes: one module per source on the node, each a *pure parser* plus a thin *reader*.
//!
//! A probe runs in a worker process of its own (`gpudeck probe NAME`, see [`worker`]), so that whatever hangs hangs
//! there. It changes nothing on the node. A polled probe implements [`Polled`] and is read once per period; a probe
//! that must keep several calls in flight (NVML: one poller per GPU; FUSE: one per mount) or that blocks on its source
//! (the kernel log) drives itself through an [`Outlet`].
//!
//! | module | source |
//! |---|---|
//! | [`nvml`] | libnvidia-ml through nvml-wrapper and `nvml-raw` |
//! | [`kernel_log`] | `/dev/kmsg` and its fallbacks; raw records, decoded by `decode` |
//! | [`pcie`] | `/sys/bus/pci/devices`: inventory, links, AER counters, topology |
//! | [`rdma`] | `/sys/class/infiniband` |
//! | [`fuse`] | mountinfo, fusectl, and the cache statistics of FUSE daemons |
//! | [`host`] | `/proc` and `/dev/shm` |
//! | [`process`] | the processes on the GPUs: command, user, container, job |

pub mod fuse;
pub mod host;
pub mod kernel_log;
pub mod node;
pub mod nvml;
pub mod outlet;
pub mod pcie;
pub mod process;
pub mod rdma;
mod tree;
pub mod worker;

pub use node::Node;
pub use outlet::{Clock, Outlet};

use std::time::Duration;

use model::Draft;

/// A probe that is read once per period, from one thread.
pub trait Polled: Send {
    /// How long between two readings.
    fn period(&self) -> Duration;

    /// Reads the source into a Draft whose instant is set. What fails goes into the Draft's faults or qualities; a
    /// reading never fails as a whole.
    fn read(&mut self, draft: &mut Draft);
}
