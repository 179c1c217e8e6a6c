//! What a sample or an event is as a row of a long table: the same words and numbers in every format.

use std::collections::HashMap;

use model::catalogue::{Kind, Metric};
use model::{Event, Frame, KernelRecord, Provenance, Quality, Reading, SeriesId, Stamp, Value};

/// More series than this are not remembered at once; processes that come and go would fill memory.
const MOST_REMEMBERED: usize = 1 << 16;

/// What is made once for each series and used for each of its samples.
#[derive(Debug)]
pub(super) struct PerSeries<T>(HashMap<SeriesId, T>);

impl<T> Default for PerSeries<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> PerSeries<T> {
    /// What is known of a series, made by `make` if it is not there.
    pub(super) fn of(&mut self, id: SeriesId, make: impl FnOnce() -> T) -> &T {
        if self.0.len() >= MOST_REMEMBERED && !self.0.contains_key(&id) {
            self.0.clear();
        }
        self.0.entry(id).or_insert_with(make)
    }
}

/// The word for a metric's kind.
pub(super) fn kind(metric: Option<&Metric>) -> &'static str {
    match metric.map(|metric| metric.kind) {
        Some(Kind::Gauge) => "gauge",
        Some(Kind::Counter { .. }) => "counter",
        Some(Kind::State) => "state",
        Some(Kind::Info) => "info",
        None => "unknown",
    }
}

/// What a reading comes to in columns. Absent is absent, never zero.
#[derive(Debug)]
pub(super) struct Told<'a> {
    /// `good`, `stale`, `unsupported`, `denied`, `stuck`, `lost`.
    pub(super) quality: &'static str,
    /// The value, fresh or stale.
    pub(super) value: Option<&'a Value>,
    /// Of a stale value, nanoseconds.
    pub(super) age_ns: Option<u64>,
    /// Of a stuck call, monotonic nanoseconds.
    pub(super) since_mono_ns: Option<u64>,
    /// The stuck call.
    pub(super) call: Option<&'a str>,
}

/// A reading in columns.
pub(super) fn told(reading: &Reading) -> Told<'_> {
    let quality = quality(&reading.quality());
    let told = Told { quality, value: reading.value(), age_ns: None, since_mono_ns: None, call: None };
    match reading {
        Reading::Stale(_, age) => Told { age_ns: Some(*age), ..told },
        Reading::Stuck(since, call) => Told { since_mono_ns: Some(*since), call: Some(call), ..told },
        _ => told,
    }
}

fn quality(quality: &Quality) -> &'static str {
    match quality {
        Quality::Good => "good",
        Quality::Stale(_) => "stale",
        Quality::Unsupported => "unsupported",
        Quality::Denied => "denied",
        Quality::Stuck { .. } => "stuck",
        Quality::Lost => "lost",
    }
}

/// When an event happened, by its source's account; a clock that its source does not know is filled in from the Frame's.
pub(super) fn happened(event: &Event, frame: &Frame) -> Stamp {
    event.at.align(frame.at)
}

/// Whether user space wrote the line; `None` where the source does not tell.
pub(super) fn injected(record: &KernelRecord) -> Option<bool> {
    match record.provenance() {
        Provenance::Kernel => Some(false),
        Provenance::Injected => Some(true),
        Provenance::Untold => None,
    }
}

/// The wall clock in microseconds since 1970 UTC.
pub(super) fn real_us(at: Stamp) -> Option<i64> {
    at.real_ns.map(|ns| ns.div_euclid(1_000))
}
