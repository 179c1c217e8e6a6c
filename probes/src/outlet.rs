//! How a probe hands its Drafts on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use model::{Draft, Stamp};

/// A reading that took longer is stamped with its end: with its beginning it would come too late for the rules, and a
/// probe must not go blind just when the node is slow.
const LONGEST_READING_NS: u64 = 1_000_000_000;

/// The one clock, handed in: both clocks of the node, read together.
pub type Clock = fn() -> Stamp;

/// Where a probe's Drafts go. Cheap to clone into each of a probe's threads.
#[derive(Clone, Debug)]
pub struct Outlet {
    probe: &'static str,
    sender: SyncSender<Draft>,
    clock: Clock,
    stop: Arc<AtomicBool>,
}

impl Outlet {
    /// An outlet of the named probe.
    pub fn new(probe: &'static str, sender: SyncSender<Draft>, clock: Clock, stop: Arc<AtomicBool>) -> Self {
        Self { probe, sender, clock, stop }
    }

    /// Now, on both clocks.
    pub fn now(&self) -> Stamp {
        (self.clock)()
    }

    /// An empty Draft of this probe, now.
    pub fn draft(&self) -> Draft {
        Draft::new(self.probe, self.now())
    }

    /// Hands a Draft on, with the time that it took since its instant. False once nobody listens any more: stop.
    pub fn send(&self, mut draft: Draft) -> bool {
        let now = self.now();
        let took_ns = now.mono_ns.unwrap_or(0).saturating_sub(draft.at.mono_ns.unwrap_or(0));
        draft.took_us = took_ns / 1_000;
        if took_ns > LONGEST_READING_NS {
            draft.at = now;
        }
        !self.stopping() && self.sender.send(draft).is_ok()
    }

    /// Whether the probe has been asked to stop.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
