//! Gathers events into Drafts: the first one of a quiet time at once, then no more than five Drafts a second however
//! fast the kernel logs; and a sign of life at each interval.

use std::thread;
use std::time::Duration;

use model::{Entity, Event, ProbeFault, catalogue as metrics};

use crate::Outlet;
use crate::worker::STOP_POLL;

/// The most events in one Draft.
const MOST_EVENTS: usize = 500;
/// How long an event may wait for others to go with it, nanoseconds.
const FLUSH_NS: u64 = 200_000_000;

/// Events on their way out.
#[derive(Debug)]
pub struct Batch<'a> {
    outlet: &'a Outlet,
    events: Vec<Event>,
    flushed_ns: u64,
    beat_ns: u64,
    interval_ns: u64,
    lost: u64,
    state: &'static str,
    fault: Option<ProbeFault>,
    passing: Option<ProbeFault>,
}

impl<'a> Batch<'a> {
    /// An empty batch with a sign of life at each `interval`.
    pub fn new(outlet: &'a Outlet, interval: Duration) -> Self {
        Self {
            outlet,
            events: Vec::new(),
            flushed_ns: 0,
            beat_ns: 0,
            interval_ns: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1),
            lost: 0,
            state: "ok",
            fault: None,
            passing: None,
        }
    }

    /// From now on the probe is in this state (`probe.state`), because of this fault. Told at the next turn.
    pub fn say(&mut self, state: &'static str, fault: Option<ProbeFault>) {
        (self.state, self.fault) = (state, fault);
        self.beat_ns = 0;
    }

    /// Something could not be done just now; told once.
    pub fn mention(&mut self, call: &str, why: &str) {
        let (call, why) = (call.to_owned(), why.into());
        self.passing = Some(ProbeFault { call, entity: None, why, advice: None });
    }

    /// Adds an event. False once nobody listens any more: stop.
    pub fn push(&mut self, event: Event) -> bool {
        self.events.push(event);
        self.turn()
    }

    /// Counts records that were overwritten before they could be read.
    pub fn count_lost(&mut self, records: u64) {
        self.lost = self.lost.saturating_add(records);
    }

    /// Hands on what is due. False once nobody listens any more: stop.
    pub fn turn(&mut self) -> bool {
        let now = self.now();
        let ripe = now.saturating_sub(self.flushed_ns) >= FLUSH_NS || self.events.len() >= MOST_EVENTS;
        let beat = now >= self.beat_ns;
        if !beat && (self.events.is_empty() || !ripe) {
            return !self.outlet.stopping();
        }
        self.flushed_ns = now;
        let mut draft = self.outlet.draft();
        draft.events = std::mem::take(&mut self.events);
        draft.faults.extend(self.passing.take());
        if beat {
            self.beat_ns = now.saturating_add(self.interval_ns);
            draft.faults.extend(self.fault.clone());
            let probe = Entity::Probe("kernel_log".to_owned());
            draft.read(&probe, metrics::PROBE_STATE, self.state);
            draft.read(&probe, metrics::PROBE_LOST_RECORDS, self.lost);
            let faults = u32::try_from(draft.faults.len()).unwrap_or(u32::MAX);
            draft.read(&probe, metrics::PROBE_FAULTS, f64::from(faults));
        }
        self.outlet.send(draft)
    }

    /// How long its owner may sleep until something is due.
    pub fn patience(&self) -> Duration {
        let flush = if self.events.is_empty() { u64::MAX } else { self.flushed_ns.saturating_add(FLUSH_NS) };
        let due = flush.min(self.beat_ns);
        Duration::from_nanos(due.saturating_sub(self.now())).clamp(Duration::from_millis(1), STOP_POLL)
    }

    /// Gives signs of life until the instant (monotonic nanoseconds). False once nobody listens any more: stop.
    pub fn idle_until(&mut self, until_ns: u64) -> bool {
        while self.now() < until_ns {
            if !self.turn() {
                return false;
            }
            thread::sleep(self.patience());
        }
        self.turn()
    }

    fn now(&self) -> u64 {
        self.outlet.now().mono_ns.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc;

    use model::{Stamp, event};

    use super::*;

    static NOW: AtomicU64 = AtomicU64::new(0);

    fn clock() -> Stamp {
        Stamp { mono_ns: Some(NOW.load(Ordering::Relaxed)), real_ns: None }
    }

    #[test]
    fn a_storm_goes_out_in_few_drafts_and_a_single_line_at_once() {
        let (sender, drafts) = mpsc::sync_channel(64);
        let outlet = Outlet::new("kernel_log", sender, clock, Arc::new(AtomicBool::new(false)));
        let mut batch = Batch::new(&outlet, Duration::from_secs(10));
        let at = |ms: u64| NOW.store(ms * 1_000_000, Ordering::Relaxed);
        let line = || Event::new(Stamp::default(), event::KERNEL_LINE);
        at(1_000);
        assert!(batch.turn());
        assert_eq!(drafts.recv().unwrap().samples.len(), 3, "the sign of life");
        at(2_000);
        assert!(batch.push(line()));
        assert_eq!(drafts.recv().unwrap().events.len(), 1, "alone: at once");
        for _ in 0..MOST_EVENTS {
            assert!(batch.push(line()));
        }
        assert_eq!(drafts.recv().unwrap().events.len(), MOST_EVENTS, "full");
        assert!(batch.push(line()));
        assert!(drafts.try_recv().is_err(), "the next one waits for company");
        assert!(batch.patience() <= Duration::from_nanos(FLUSH_NS));
        at(2_300);
        assert!(batch.turn());
        let last = drafts.recv().unwrap();
        assert_eq!((last.events.len(), last.samples.len()), (1, 0));
        drop(drafts);
        at(20_000);
        assert!(!batch.turn(), "nobody listens");
    }
}
