//! The past of a session in memory: one column of runs per series.
//!
//! A run is a reading with the instant it was first seen and the one it was last confirmed, so that "the same again"
//! and "no sample" differ: between two runs that do not touch nothing was recorded.

use std::collections::{BTreeMap, VecDeque};

use crate::counter;
use crate::entity::Inventory;
use crate::event::Event;
use crate::frame::Frame;
use crate::history::{Bucket, History, HistoryError, Strip};
use crate::reading::{Quality, Reading, Value, count_as_f64};
use crate::series::{Dictionary, SeriesKey};
use crate::state::{Latest, NodeState};
use crate::time::{NS_PER_S, Stamp, Window};

/// A reading that stood from `first` to `last`.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What was read.
    pub reading: Reading,
    /// First seen, on the time axis.
    pub first: u64,
    /// Last confirmed.
    pub last: u64,
}

/// The runs of one series, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Column {
    runs: VecDeque<Run>,
}

impl Column {
    /// Adds a reading. One that lies before the last is left out: time on this axis does not go back.
    pub fn push(&mut self, at: u64, reading: &Reading, gap: u64) {
        match self.runs.back_mut() {
            Some(run) if at < run.last => {}
            Some(run) if run.reading == *reading && at - run.last <= gap => run.last = at,
            _ => self.runs.push_back(Run { reading: reading.clone(), first: at, last: at }),
        }
    }

    /// The run in force at an instant: the last that began at or before it and was confirmed no longer than `gap` ago.
    pub fn at(&self, at: u64, gap: u64) -> Option<&Run> {
        let behind = self.runs.partition_point(|run| run.first <= at);
        let run = self.runs.get(behind.checked_sub(1)?)?;
        (at.saturating_sub(run.last) <= gap).then_some(run)
    }

    /// The runs that touch a window.
    pub fn within(&self, window: Window) -> impl Iterator<Item = &Run> {
        let from = self.runs.partition_point(|run| run.last < window.from);
        self.runs.range(from..).take_while(move |run| run.first < window.to)
    }

    /// What a counter counted inside a window, wraps and resets handled; `None` with fewer than two totals in it.
    pub fn counted(&self, window: Window, wrap: Option<u8>) -> Option<u64> {
        let mut totals = self.within(window).filter_map(|run| run.reading.good()?.as_count());
        let mut before = totals.next()?;
        let (mut counted, mut steps) = (0u64, 0u32);
        for total in totals {
            counted = counted.saturating_add(counter::step(before, total, wrap).amount());
            before = total;
            steps += 1;
        }
        let confirmed = self.within(window).any(|run| run.last > run.first);
        (steps > 0 || confirmed).then_some(counted)
    }

    /// A window in `count` buckets: extremes of a gauge, or the rate per second of a counter.
    pub fn buckets(&self, window: Window, count: usize, rate_of: Option<Option<u8>>) -> Vec<Bucket> {
        let mut buckets = vec![Bucket::default(); count];
        let length = window.length();
        if count == 0 || length == 0 {
            return buckets;
        }
        let place = |at: u64| {
            let offset = u128::from(at.clamp(window.from, window.to - 1) - window.from);
            let index = offset * u128::try_from(count).unwrap_or(u128::MAX) / u128::from(length);
            usize::try_from(index).unwrap_or(usize::MAX).min(count - 1)
        };
        let mut before: Option<&Run> = None;
        for run in self.within(window) {
            let number = match rate_of {
                None => run.reading.good().and_then(Value::as_f64),
                Some(wrap) => before.and_then(|before| rate(before, run, wrap)),
            };
            for bucket in &mut buckets[place(run.first)..=place(run.last)] {
                bucket.take(number, &run.reading.quality());
            }
            before = Some(run);
        }
        buckets
    }

    fn forget_before(&mut self, at: u64) {
        while self.runs.front().is_some_and(|run| run.last < at) {
            self.runs.pop_front();
        }
    }
}

/// Per second, from the last confirmation of one total to the first sight of the next.
fn rate(before: &Run, after: &Run, wrap: Option<u8>) -> Option<f64> {
    let (earlier, later) = (before.reading.good()?.as_count()?, after.reading.good()?.as_count()?);
    let seconds = count_as_f64(after.first.checked_sub(before.last)?) / count_as_f64(NS_PER_S);
    (seconds > 0.0).then(|| count_as_f64(counter::step(earlier, later, wrap).amount()) / seconds)
}

/// The past of a running session, bounded in time and in events.
#[derive(Clone, Debug)]
pub struct Timeline {
    columns: BTreeMap<SeriesKey, Column>,
    inventory: Inventory,
    events: VecDeque<Event>,
    end: Stamp,
    keep_ns: u64,
    gap_ns: u64,
    most_events: usize,
}

impl Timeline {
    /// A timeline that keeps `keep_ns` of samples and `most_events` events; a run that is not confirmed for `gap_ns`
    /// has ended.
    pub fn new(keep_ns: u64, gap_ns: u64, most_events: usize) -> Self {
        Self {
            columns: BTreeMap::new(),
            inventory: Inventory::default(),
            events: VecDeque::new(),
            end: Stamp::default(),
            keep_ns,
            gap_ns,
            most_events,
        }
    }

    /// Takes in a Frame.
    pub fn apply(&mut self, frame: &Frame, dictionary: &Dictionary) {
        let at = frame.at.axis_ns();
        for info in &frame.entities {
            self.inventory.learn(info);
        }
        for (id, reading) in &frame.samples {
            if let Some(key) = dictionary.key(*id) {
                match self.columns.get_mut(key) {
                    Some(column) => column.push(at, reading, self.gap_ns),
                    None => {
                        let mut column = Column::default();
                        column.push(at, reading, self.gap_ns);
                        self.columns.insert(key.clone(), column);
                    }
                }
            }
        }
        self.events.extend(frame.events.iter().map(|event| {
            let aligned = event.at.align(frame.at);
            Event { at: if aligned == Stamp::default() { frame.at } else { aligned }, ..event.clone() }
        }));
        while self.events.len() > self.most_events {
            self.events.pop_front();
        }
        if at >= self.end.axis_ns() {
            self.end = frame.at;
        }
        if frame.probe == "host" {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let oldest = self.end.axis_ns().saturating_sub(self.keep_ns);
        self.columns.retain(|_, column| {
            column.forget_before(oldest);
            !column.runs.is_empty()
        });
    }

    /// The column of one series.
    pub fn column(&self, key: &SeriesKey) -> Option<&Column> {
        self.columns.get(key)
    }
}

impl History for Timeline {
    fn span(&self) -> Result<Option<(Stamp, Stamp)>, HistoryError> {
        let first = self.columns.values().filter_map(|column| column.runs.front()).map(|run| run.first).min();
        Ok(first.map(|first| (Stamp { mono_ns: Some(first), real_ns: None }.align(self.end), self.end)))
    }

    fn state_at(&self, at: u64) -> Result<NodeState, HistoryError> {
        let mut state = NodeState::default();
        state.at = Stamp { mono_ns: Some(at), real_ns: None }.align(self.end);
        state.inventory = self.inventory.clone();
        for (key, column) in &self.columns {
            if let Some(run) = column.at(at, self.gap_ns.max(60 * NS_PER_S)) {
                let read = Stamp { mono_ns: Some(run.last.min(at)), real_ns: None }.align(self.end);
                state.set(&key.entity, &key.metric, Latest { reading: run.reading.clone(), at: read });
            }
        }
        Ok(state)
    }

    fn strips(&self, series: &[SeriesKey], window: Window, buckets: usize) -> Result<Vec<Strip>, HistoryError> {
        Ok(series
            .iter()
            .map(|key| Strip {
                key: key.clone(),
                window,
                buckets: self.columns.get(key).map_or_else(
                    || vec![Bucket::default(); buckets],
                    |column| {
                        let counter = key.metric.metric().filter(|metric| metric.is_counter());
                        column.buckets(window, buckets, counter.map(|metric| metric.wrap()))
                    },
                ),
            })
            .collect())
    }

    fn events(&self, window: Window, most: usize) -> Result<Vec<Event>, HistoryError> {
        let mut found: Vec<Event> =
            self.events.iter().filter(|event| window.holds(event.at.axis_ns())).cloned().collect();
        found.sort_by_key(|event| event.at.axis_ns());
        let surplus = found.len().saturating_sub(most);
        Ok(found.split_off(surplus))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = NS_PER_S;

    fn column(samples: &[(u64, u64)]) -> Column {
        let mut column = Column::default();
        for (at, total) in samples {
            column.push(at * S, &Reading::from(*total), 3 * S);
        }
        column
    }

    #[test]
    fn the_same_again_and_no_sample_differ() {
        let column = column(&[(1, 5), (2, 5), (3, 5), (20, 5)]);
        assert_eq!(column.runs.len(), 2);
        assert!(column.at(4 * S, 3 * S).is_some());
        assert!(column.at(10 * S, 3 * S).is_none());
        assert!(column.at(0, 3 * S).is_none());
    }

    #[test]
    fn rates_survive_a_reset() {
        let column = column(&[(1, 1_000), (2, 1_100), (3, 20), (4, 120)]);
        assert_eq!(column.counted(Window { from: 0, to: 10 * S }, None), Some(220));
        let rates = column.buckets(Window { from: S, to: 5 * S }, 4, Some(None));
        assert_eq!(
            rates.iter().map(|bucket| bucket.last).collect::<Vec<_>>(),
            [None, Some(100.0), Some(20.0), Some(100.0)]
        );
    }

    #[test]
    fn one_total_says_nothing_of_what_was_counted_and_a_confirmed_one_says_nothing_happened() {
        let window = Window { from: 0, to: 10 * S };
        assert_eq!(column(&[(1, 7)]).counted(window, None), None);
        assert_eq!(column(&[(1, 7), (2, 7)]).counted(window, None), Some(0));
    }

    #[test]
    fn buckets_keep_extremes_and_the_worst_quality() {
        let mut column = Column::default();
        for (at, reading) in [(0, Reading::from(1.0)), (1, 9.0.into()), (2, Reading::Lost), (3, 4.0.into())] {
            column.push(at * S, &reading, 3 * S);
        }
        let bucket = &column.buckets(Window { from: 0, to: 4 * S }, 1, None)[0];
        assert_eq!((bucket.least, bucket.most, bucket.last), (Some(1.0), Some(9.0), Some(4.0)));
        assert_eq!(bucket.worst, Some(Quality::Lost));
    }

    proptest! {
        #[test]
        fn a_column_answers_any_question_about_any_samples(
            samples in prop::collection::vec((any::<u32>(), any::<u64>()), 0..60),
            from in any::<u64>(), to in any::<u64>(), count in 0usize..50,
        ) {
            let mut column = Column::default();
            for (at, total) in samples {
                column.push(u64::from(at), &Reading::from(total), 100);
            }
            let window = Window { from, to };
            prop_assert_eq!(column.buckets(window, count, Some(Some(32))).len(), count);
            let _ = (column.counted(window, None), column.at(from, to));
            let firsts: Vec<u64> = column.runs.iter().map(|run| run.first).collect();
            prop_assert!(firsts.is_sorted());
        }
    }
}
