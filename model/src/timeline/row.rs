//! One series over a window, in buckets of equal length, filled from its readings in their order. Holds no more than
//! the buckets, however long the window.

use crate::counter;
use crate::history::Bucket;
use crate::reading::{Quality, Reading, Value, count_as_f64};
use crate::time::{NS_PER_S, Window};
use crate::timeline::{LONGEST_STAND_NS, Pace};

/// Fills the buckets of one series.
///
/// A bucket between two readings that follow each other at the series' usual pace is not empty: of a gauge the earlier
/// one stands there, of a counter the rate over that time. So readings from [`LONGEST_STAND_NS`] before the window to
/// the first behind it have a say.
#[derive(Clone, Debug)]
pub struct StripBuilder {
    window: Window,
    buckets: Vec<Bucket>,
    /// For a counter: its width.
    rate_of: Option<Option<u8>>,
    stand: u64,
    before: Option<Before>,
}

/// What was read last.
#[derive(Clone, Debug)]
struct Before {
    last: u64,
    total: Option<u64>,
    number: Option<f64>,
    quality: Quality,
}

impl StripBuilder {
    /// `count` empty buckets. `rate_of`: the series is a counter of this width, and its rate per second is wanted.
    pub fn new(window: Window, count: usize, rate_of: Option<Option<u8>>, pace: Pace) -> Self {
        let buckets = vec![Bucket::default(); count];
        Self { window, buckets, rate_of, stand: pace.stand(), before: None }
    }

    /// Takes in a reading that stood from `first` to `last`. One that lies before the last is left out.
    pub fn take(&mut self, first: u64, last: u64, reading: &Reading) {
        let since = match &self.before {
            Some(before) if first < before.last => return,
            Some(before) => Some(first - before.last),
            None => None,
        };
        let quality = reading.quality();
        let total = reading.good().and_then(Value::as_count);
        let mut number = match self.rate_of {
            None => reading.good().and_then(Value::as_f64),
            Some(wrap) => self.rate(since, total, wrap),
        };
        if let Some(before) = self.before.take()
            && since.is_some_and(|since| since <= self.stand)
        {
            match self.rate_of {
                None => self.between(before.last, first, before.number, &before.quality),
                Some(_) => self.between(before.last, first, number, &quality),
            }
        }
        self.during(first, number, &quality);
        if last > first {
            if self.rate_of.is_some() {
                // The same total again: nothing was counted since.
                number = total.map(|_| 0.0);
            }
            self.behind(first, last, number, &quality);
        }
        self.before = Some(Before { last, total, number, quality });
    }

    /// The buckets. The last reading stands for a while, unless a `later` one tells that it did not.
    pub fn finish(mut self, later: bool) -> Vec<Bucket> {
        if let Some(before) = self.before.take().filter(|_| !later) {
            let end = before.last.saturating_add(self.stand);
            self.between(before.last, end, before.number, &before.quality);
        }
        self.buckets
    }

    /// Per second, from the last confirmation of one total to the first sight of the next.
    fn rate(&self, since: Option<u64>, total: Option<u64>, wrap: Option<u8>) -> Option<f64> {
        let (earlier, later) = (self.before.as_ref()?.total?, total?);
        // An average over more than that would look like a rate of the moment at which the counter came back.
        let since = since.filter(|since| (1..=LONGEST_STAND_NS).contains(since))?;
        let amount = counter::step(earlier, later, wrap).amount();
        Some(count_as_f64(amount) / (count_as_f64(since) / count_as_f64(NS_PER_S)))
    }

    /// The bucket of an instant, clamped into the window; `None` without buckets.
    fn place(&self, at: u64) -> Option<usize> {
        let last = self.buckets.len().checked_sub(1)?;
        let offset = u128::from(at.clamp(self.window.from, self.window.to.checked_sub(1)?) - self.window.from);
        let count = u128::try_from(self.buckets.len()).ok()?;
        let index = (offset * count).checked_div(u128::from(self.window.length()))?;
        usize::try_from(index).ok().map(|index| index.min(last))
    }

    /// What was read at an instant.
    fn during(&mut self, at: u64, number: Option<f64>, quality: &Quality) {
        if self.window.holds(at)
            && let Some(place) = self.place(at)
        {
            self.fill(place, place + 1, number, quality);
        }
    }

    /// What still stood at `last`, in the buckets behind that of `first`.
    fn behind(&mut self, first: u64, last: u64, number: Option<f64>, quality: &Quality) {
        if last >= self.window.from
            && first < self.window.to
            && let Some(place) = self.place(last)
        {
            self.fill(self.behind_place(first), place + 1, number, quality);
        }
    }

    /// What stood behind `from` and before `to`, in the buckets that hold neither.
    fn between(&mut self, from: u64, to: u64, number: Option<f64>, quality: &Quality) {
        if to > self.window.from
            && from < self.window.to
            && let Some(place) = self.place(to)
        {
            let behind = if to >= self.window.to { self.buckets.len() } else { place };
            self.fill(self.behind_place(from), behind, number, quality);
        }
    }

    fn behind_place(&self, at: u64) -> usize {
        if at < self.window.from { 0 } else { self.place(at).map_or(0, |place| place + 1) }
    }

    fn fill(&mut self, first: usize, behind: usize, number: Option<f64>, quality: &Quality) {
        for bucket in self.buckets.iter_mut().take(behind).skip(first) {
            bucket.take(number, quality);
        }
    }
}

impl Bucket {
    fn take(&mut self, number: Option<f64>, quality: &Quality) {
        if let Some(number) = number {
            self.least = Some(self.least.map_or(number, |least| least.min(number)));
            self.most = Some(self.most.map_or(number, |most| most.max(number)));
            self.last = Some(number);
        }
        if self.worst.as_ref().is_none_or(|worst| badness(quality) > badness(worst)) {
            self.worst = Some(quality.clone());
        }
    }
}

fn badness(quality: &Quality) -> u8 {
    match quality {
        Quality::Good => 0,
        Quality::Stale(_) => 1,
        Quality::Unsupported => 2,
        Quality::Denied => 3,
        Quality::Stuck { .. } => 4,
        Quality::Lost => 5,
    }
}
