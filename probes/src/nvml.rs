//! The GPUs, as the driver library tells of them (libnvidia-ml, nvml.h of CUDA 13.0).
//!
//! Any driver call can hang, for one GPU or for all, so no thread waits for another's call:
//!
//! ```text
//! run ─── supervisor: opens the library, counts the GPUs, opens it again when the driver has been away
//!   ├──── watchdog: tells which call has not come back; the probe's own state         (makes no driver call)
//!   └──── per GPU:  poller (burst, fast, mid and slow tier, a Draft each) ◄─wake─ listener (the driver's events)
//! ```
//!
//! Each call stands in its thread's [`watch::Watch`] while it lasts. No lock is held over a call.
//!
//! | module | what |
//! |---|---|
//! | [`answer`] | what an answer that is no data means: for a reading, for the driver's state, for a person |
//! | [`watch`] | calls in flight, deadlines, the watchdog |
//! | [`tick`] | one pass over one GPU: readings with their quality, into a Draft |
//! | [`poller`] | one GPU: its identity and its tiers |
//! | [`burst`], [`fast`], [`mid`], [`slow`] | what each tier reads |
//! | [`batch`] | several fields in one call, by a table |
//! | [`links`], [`instances`], [`holders`] | NVLinks, MIG instances, processes |
//! | [`listener`] | the event set as a wake-up |
//! | [`supervisor`] | the library's life |

use std::thread;

use crate::{Node, Outlet};

mod answer;
mod batch;
mod burst;
mod fast;
mod holders;
mod instances;
mod links;
mod listener;
mod mid;
mod poller;
mod slow;
mod supervisor;
mod tick;
mod watch;

/// Runs the probe until it is asked to stop. Returns when every driver call has come back.
pub fn run(node: &Node, outlet: &Outlet) {
    let shared = supervisor::Shared::new(node, outlet);
    thread::scope(|scope| {
        scope.spawn(|| watch::patrol(&shared.watches, &shared.board, outlet));
        supervisor::supervise(scope, &shared);
    });
}
