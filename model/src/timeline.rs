//! The past of a session in memory: one column of runs per series.
//!
//! A run is a reading with the instant it was first seen and the one it was last confirmed, so that "the same again"
//! and "no sample" differ: between two runs that do not touch nothing was recorded.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::catalogue::Kind;
use crate::counter;
use crate::entity::{Entity, Inventory};
use crate::event::Event;
use crate::frame::Frame;
use crate::history::{Bucket, History, HistoryError, Strip};
use crate::reading::Reading;
use crate::series::{Dictionary, SeriesKey};
use crate::state::{Latest, NodeState};
use crate::time::{NS_PER_S, Stamp, Window};

mod pace;
mod row;

pub use pace::{LONGEST_STAND_NS, Pace};
pub use row::StripBuilder;

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
    pace: Pace,
}

impl Column {
    /// Adds a reading. One that lies before the last is left out: time on this axis does not go back.
    pub fn push(&mut self, at: u64, reading: &Reading, gap: u64) {
        self.pace.saw(at);
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

    /// A window in `count` buckets: extremes of a gauge, or the rate per second of a counter (see [`StripBuilder`]).
    pub fn buckets(&self, window: Window, count: usize, rate_of: Option<Option<u8>>) -> Vec<Bucket> {
        let mut strip = StripBuilder::new(window, count, rate_of, self.pace);
        // Two runs before the window: one may still stand in it, and a rate needs the one before that. The first run
        // behind the window tells the rate at its end.
        let from = self.runs.partition_point(|run| run.last < window.from).saturating_sub(2);
        let behind = self.runs.partition_point(|run| run.first < window.to).saturating_add(1).max(from);
        for run in self.runs.iter().take(behind).skip(from) {
            strip.take(run.first, run.last, &run.reading);
        }
        strip.finish(behind < self.runs.len())
    }

    fn forget_before(&mut self, at: u64, least: usize) {
        while self.runs.len() > least && self.runs.front().is_some_and(|run| run.last < at) {
            self.runs.pop_front();
        }
    }
}

/// How often what is too old is looked for, on the time axis.
const FORGET_EVERY_NS: u64 = NS_PER_S;

/// The past of a running session, bounded in time and in events. What is gone stays for as long as its samples do.
#[derive(Clone, Debug)]
pub struct Timeline {
    columns: BTreeMap<SeriesKey, Column>,
    inventory: Inventory,
    /// Entities that are gone, and since when.
    gone: HashMap<Entity, u64>,
    events: VecDeque<Event>,
    end: Stamp,
    forgot: u64,
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
            gone: HashMap::new(),
            events: VecDeque::new(),
            end: Stamp::default(),
            forgot: 0,
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
            self.seen(&info.entity, at);
        }
        for entity in &frame.gone {
            let since = self.gone.entry(entity.clone()).or_insert(at);
            *since = at.max(*since);
        }
        for (id, reading) in &frame.samples {
            if let Some(key) = dictionary.key(*id) {
                self.seen(&key.entity, at);
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
        // On any Frame: the probe that would tell the time may be the one that is stuck.
        if self.end.axis_ns().saturating_sub(self.forgot) >= FORGET_EVERY_NS {
            self.forget();
        }
    }

    /// Something was told of an entity: unless that is older than its end, it is there again.
    fn seen(&mut self, entity: &Entity, at: u64) {
        if !self.gone.is_empty() && self.gone.get(entity).is_some_and(|since| *since <= at) {
            self.gone.remove(entity);
        }
    }

    fn forget(&mut self) {
        self.forgot = self.end.axis_ns();
        let oldest = self.forgot.saturating_sub(self.keep_ns);
        let Self { columns, inventory, gone, .. } = self;
        columns.retain(|key, column| {
            let info = key.metric.metric().is_some_and(|metric| metric.kind == Kind::Info);
            // Information stands until it is read again, and no longer than its entity.
            let stands = info && gone.get(&key.entity).is_none_or(|since| *since >= oldest);
            column.forget_before(oldest, usize::from(stands));
            !column.runs.is_empty()
        });
        gone.retain(|entity, since| {
            let kept = *since >= oldest;
            if !kept {
                inventory.forget(entity);
            }
            kept
        });
    }

    /// Whether an entity had gone by then.
    fn gone_by(&self, entity: &Entity, at: u64) -> bool {
        self.gone.get(entity).is_some_and(|since| *since <= at)
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
        for (entity, _) in self.gone.iter().filter(|(_, since)| **since <= at) {
            state.inventory.forget(entity);
        }
        for (key, column) in self.columns.iter().filter(|(key, _)| !self.gone_by(&key.entity, at)) {
            // Information such as a name is read once and stands until it is read again.
            let info = key.metric.metric().is_some_and(|metric| metric.kind == Kind::Info);
            let gap = if info { u64::MAX } else { self.gap_ns.max(LONGEST_STAND_NS) };
            if let Some(run) = column.at(at, gap) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Quality;
    use crate::time::NS_PER_S;
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
    fn a_series_that_is_read_once_a_minute_shows_in_every_bucket_between() {
        let column = column(&[(0, 7), (60, 8), (120, 9)]);
        let lasts = |from: u64, to: u64, count| -> Vec<Option<f64>> {
            let window = Window { from: from * S, to: to * S };
            column.buckets(window, count, None).iter().map(|bucket| bucket.last).collect()
        };
        assert_eq!(lasts(0, 180, 6), [Some(7.0), Some(7.0), Some(8.0), Some(8.0), Some(9.0), Some(9.0)]);
        assert_eq!(lasts(70, 80, 2), [Some(8.0); 2], "a window without a reading of its own");
        assert_eq!(lasts(300, 310, 2), [None; 2], "nothing was read for two minutes");
        let rates = column.buckets(Window { from: 0, to: 180 * S }, 6, Some(None));
        assert_eq!(rates[1].last, Some(1.0 / 60.0));
        assert_eq!(rates[3].last, Some(1.0 / 60.0));
        let between = column.buckets(Window { from: 70 * S, to: 80 * S }, 2, Some(None));
        assert_eq!(between[0].last, Some(1.0 / 60.0));
    }

    #[test]
    fn a_missed_reading_of_a_fast_series_stays_a_hole() {
        let column = column(&[(0, 1), (1, 2), (2, 3), (3, 4), (5, 5), (6, 6)]);
        let buckets = column.buckets(Window { from: 0, to: 7 * S }, 7, None);
        let holes: Vec<bool> = buckets.iter().map(|bucket| bucket.worst.is_none()).collect();
        assert_eq!(holes, [false, false, false, false, true, false, false]);
        let finer = column.buckets(Window { from: 0, to: 2 * S }, 4, None);
        assert_eq!(finer[1].last, Some(1.0), "between two readings the earlier one stands");
    }

    #[test]
    fn a_counter_that_stands_still_has_a_rate_of_zero() {
        let column = column(&[(0, 100), (1, 200), (2, 200), (3, 200)]);
        let rates = column.buckets(Window { from: 0, to: 4 * S }, 4, Some(None));
        assert_eq!(
            rates.iter().map(|bucket| bucket.last).collect::<Vec<_>>(),
            [None, Some(100.0), Some(0.0), Some(0.0)]
        );
    }

    #[test]
    fn a_slow_tier_and_what_was_read_once_stand_in_the_state() {
        use crate::catalogue::{GPU_MEM_TOTAL, GPU_TEMP, GPU_UTIL};
        use crate::entity::Entity;
        use crate::frame::Draft;

        let (mut timeline, mut dictionary) = (Timeline::new(600 * S, 3 * S, 10), Dictionary::default());
        let gpu = Entity::gpu("GPU-1");
        for second in 0..=900 {
            let mut draft = Draft::new("host", Stamp::new(second * S, 0));
            if second == 0 {
                draft.read(&gpu, GPU_MEM_TOTAL, 80u64);
            }
            if second % 60 == 0 {
                draft.read(&gpu, GPU_TEMP, second);
            }
            draft.read(&gpu, GPU_UTIL, second);
            let frame = draft.seal(&mut dictionary);
            timeline.apply(&frame, &dictionary);
        }
        let state = timeline.state_at(899 * S).unwrap();
        assert_eq!(state.number(&gpu, GPU_MEM_TOTAL), Some(80.0));
        assert_eq!(state.number(&gpu, GPU_TEMP), Some(840.0));
        assert_eq!(state.number(&gpu, GPU_UTIL), Some(899.0));
    }

    fn process(pid: u32) -> Entity {
        Entity::Process(pid, 1)
    }

    #[test]
    fn a_process_that_is_gone_stays_in_the_past_until_that_is_forgotten() {
        use crate::catalogue::{PROCESS_COMMAND, PROCESS_CPU};
        use crate::entity::EntityInfo;
        use crate::frame::Draft;

        let (mut timeline, mut dictionary) = (Timeline::new(60 * S, 3 * S, 10), Dictionary::default());
        let mut second = |second: u64, fill: &mut dyn FnMut(&mut Draft)| {
            let mut draft = Draft::new("process", Stamp::new(second * S, 0));
            fill(&mut draft);
            timeline.apply(&draft.seal(&mut dictionary), &dictionary);
            timeline.clone()
        };
        second(0, &mut |draft| {
            draft.entities.push(EntityInfo::new(process(7), "python"));
            draft.read(&process(7), PROCESS_COMMAND, "python");
        });
        for at in 1..10 {
            second(at, &mut |draft| draft.read(&process(7), PROCESS_CPU, at));
        }
        second(10, &mut |draft| draft.gone.push(process(7)));
        let kept = second(65, &mut |_| {});
        let before = kept.state_at(9 * S).unwrap();
        assert_eq!(before.number(&process(7), PROCESS_CPU), Some(9.0));
        assert_eq!(before.text(&process(7), PROCESS_COMMAND), Some("python"));
        assert!(before.inventory.get(&process(7)).is_some());
        let after = kept.state_at(10 * S).unwrap();
        assert_eq!((after.entities().count(), after.inventory.iter().count()), (0, 0));
        let forgotten = second(75, &mut |_| {});
        let left = (forgotten.columns.len(), forgotten.inventory.iter().count(), forgotten.gone.len());
        assert_eq!(left, (0, 0, 0));
    }

    #[test]
    fn what_is_back_is_not_forgotten_and_a_late_word_brings_nothing_back() {
        use crate::catalogue::PROCESS_COMMAND;
        use crate::frame::Draft;

        let (mut timeline, mut dictionary) = (Timeline::new(60 * S, 3 * S, 10), Dictionary::default());
        let mut second = |second: u64, gone: &[u32], there: &[u32]| {
            let mut draft = Draft::new("process", Stamp::new(second * S, 0));
            draft.gone.extend(gone.iter().copied().map(process));
            there.iter().for_each(|pid| draft.read(&process(*pid), PROCESS_COMMAND, "python"));
            timeline.apply(&draft.seal(&mut dictionary), &dictionary);
            timeline.columns.keys().map(|key| key.entity.clone()).collect::<Vec<_>>()
        };
        second(5, &[], &[7, 8]);
        second(10, &[7, 8], &[]);
        second(9, &[], &[8]);
        second(12, &[], &[7]);
        assert_eq!(second(100, &[], &[]), [process(7)]);
    }

    #[test]
    fn old_samples_are_forgotten_whichever_probe_still_speaks() {
        use crate::catalogue::GPU_UTIL;
        use crate::frame::Draft;

        let (mut timeline, mut dictionary) = (Timeline::new(60 * S, 3 * S, 10), Dictionary::default());
        for second in 0..1_000u64 {
            let mut draft = Draft::new("nvml", Stamp::new(second * S, 0));
            draft.read(&Entity::gpu("GPU-1"), GPU_UTIL, second);
            timeline.apply(&draft.seal(&mut dictionary), &dictionary);
            assert!(timeline.columns.values().all(|column| column.runs.len() <= 63));
        }
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
