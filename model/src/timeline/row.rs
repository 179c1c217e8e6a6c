//! A window in buckets of equal length.

use crate::history::Bucket;
use crate::reading::Quality;
use crate::time::Window;

/// A row of buckets being filled.
pub(super) struct Row {
    pub(super) window: Window,
    pub(super) buckets: Vec<Bucket>,
}

impl Row {
    /// The bucket of an instant inside the window.
    fn place(&self, at: u64) -> usize {
        let offset = u128::from(at.clamp(self.window.from, self.window.to - 1) - self.window.from);
        let count = u128::try_from(self.buckets.len()).unwrap_or(u128::MAX);
        let index = offset * count / u128::from(self.window.length());
        usize::try_from(index).unwrap_or(usize::MAX).min(self.buckets.len() - 1)
    }

    /// What was read from `first` to `last`.
    pub(super) fn during(&mut self, first: u64, last: u64, number: Option<f64>, quality: &Quality) {
        if last < self.window.from || first >= self.window.to {
            return;
        }
        let places = self.place(first)..=self.place(last);
        for bucket in &mut self.buckets[places] {
            bucket.take(number, quality);
        }
    }

    /// What still stood at `last`, in the buckets behind that of `first`.
    pub(super) fn behind(&mut self, first: u64, last: u64, number: Option<f64>, quality: &Quality) {
        if last < self.window.from || first >= self.window.to {
            return;
        }
        let from = if first < self.window.from { 0 } else { self.place(first) + 1 };
        let behind = self.place(last) + 1;
        for bucket in self.buckets.iter_mut().take(behind).skip(from) {
            bucket.take(number, quality);
        }
    }

    /// What stood behind `from` and before `to`, in the buckets that hold neither.
    pub(super) fn between(&mut self, from: u64, to: u64, number: Option<f64>, quality: &Quality) {
        if to <= self.window.from || from >= self.window.to {
            return;
        }
        let first = if from < self.window.from { 0 } else { self.place(from) + 1 };
        let behind = if to >= self.window.to { self.buckets.len() } else { self.place(to) };
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
