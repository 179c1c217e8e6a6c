//! What the evaluator remembers of one series: its last reading, a few before it, and the windows that rules ask for.
//!
//! Memory is bounded: a window is kept in at most [`BUCKETS`] + 1 buckets, whatever the rate of samples.

use std::collections::VecDeque;

use model::reading::count_as_f64;
use model::time::NS_PER_S;
use model::{Entity, Kind, Metric, Reading, Stamp, Value, counter};

use crate::lang::eval::Val;
use crate::lang::expr::{MetricIx, Over};

/// A reading that was not confirmed for so long says nothing any more. Above the slowest tier of any probe.
pub(super) const STALE_AFTER: u64 = 180 * NS_PER_S;
const BUCKETS: u64 = 128;
/// Readings kept as evidence.
const RECENT: usize = 4;

/// One series.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) entity: Entity,
    pub(super) metric: MetricIx,
    pub(super) reading: Option<Reading>,
    /// The last sample of any quality.
    pub(super) at: u64,
    pub(super) recent: VecDeque<(Stamp, Reading)>,
    /// How many ids mean it.
    pub(super) names: u32,
    windows: Vec<Sliding>,
    counter: Option<Option<u8>>,
    /// The counter's total when it was last read well: what was counted while nothing could be read is counted.
    last_count: Option<u64>,
    total: u64,
    lasting: bool,
}

impl Series {
    pub(super) fn new(entity: Entity, metric: MetricIx, name: &str, windows: &[u64]) -> Self {
        let known = Metric::find(name);
        Self {
            entity,
            metric,
            reading: None,
            at: 0,
            recent: VecDeque::new(),
            names: 0,
            windows: windows.iter().map(|length| Sliding::new(*length)).collect(),
            counter: known.filter(|metric| metric.is_counter()).map(Metric::wrap),
            last_count: None,
            total: 0,
            lasting: known.is_some_and(|metric| metric.kind == Kind::Info),
        }
    }

    /// Takes in a sample. True if a rule that reads the series could answer differently now.
    pub(super) fn push(&mut self, at: Stamp, reading: &Reading) -> bool {
        let axis = at.axis_ns();
        if axis < self.at {
            return false;
        }
        let was_stale = self.reading.is_some() && !self.fresh(axis);
        let same = self.reading.as_ref() == Some(reading);
        let mut changed = was_stale || !same;
        if let Some(value) = reading.good().and_then(|value| self.take_number(value)) {
            for window in &mut self.windows {
                changed |= window.push(axis, value);
            }
        }
        if !same {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((at, reading.clone()));
            self.reading = Some(reading.clone());
        }
        self.at = axis;
        changed
    }

    /// A gauge's value, or what a counter has counted since we watch: wraps and resets taken out.
    fn take_number(&mut self, value: &Value) -> Option<f64> {
        let Some(wrap) = self.counter else { return value.as_f64() };
        let now = value.as_count()?;
        if let Some(before) = self.last_count.replace(now) {
            self.total = self.total.saturating_add(counter::step(before, now, wrap).amount());
        }
        Some(count_as_f64(self.total))
    }

    fn fresh(&self, now: u64) -> bool {
        self.lasting || now.saturating_sub(self.at) <= STALE_AFTER
    }

    /// The last reading, while it says something.
    pub(super) fn current(&self, now: u64) -> Option<&Reading> {
        self.reading.as_ref().filter(|_| self.fresh(now))
    }

    pub(super) fn value(&self, now: u64) -> Val<'_> {
        match self.current(now).and_then(Reading::good) {
            Some(Value::Text(text)) => Val::Text(text.raw()),
            Some(Value::Flag(flag)) => Val::Bool(*flag),
            Some(number) => number.as_f64().map_or(Val::Unknown, Val::Num),
            None => Val::Unknown,
        }
    }

    pub(super) fn over(&self, over: Over, length: u64, now: u64) -> Val<'_> {
        if self.current(now).and_then(Reading::good).is_none() {
            return Val::Unknown;
        }
        let window = self.windows.iter().find(|window| window.length == length);
        window.and_then(|window| window.answer(over, now)).map_or(Val::Unknown, Val::Num)
    }
}

/// A window that moves with time, in buckets.
#[derive(Clone, Debug)]
struct Sliding {
    length: u64,
    buckets: VecDeque<Bucket>,
}

#[derive(Clone, Debug)]
struct Bucket {
    from: u64,
    to: u64,
    first: f64,
    last: f64,
    least: f64,
    most: f64,
    sum: f64,
    samples: f64,
}

impl Sliding {
    fn new(length: u64) -> Self {
        Self { length: length.max(1), buckets: VecDeque::new() }
    }

    /// True if an answer about the window may have changed.
    fn push(&mut self, at: u64, value: f64) -> bool {
        let half_before = self.covers_half();
        let mut changed = self.buckets.back().is_none_or(|bucket| bucket.last != value);
        while self.buckets.front().is_some_and(|bucket| bucket.to < at.saturating_sub(self.length)) {
            changed |= !self.constant();
            self.buckets.pop_front();
        }
        match self.buckets.back_mut() {
            Some(bucket) if at - bucket.from < self.length / BUCKETS => {
                bucket.to = at;
                bucket.last = value;
                bucket.least = bucket.least.min(value);
                bucket.most = bucket.most.max(value);
                bucket.sum += value;
                bucket.samples += 1.0;
            }
            _ => self.buckets.push_back(Bucket {
                from: at,
                to: at,
                first: value,
                last: value,
                least: value,
                most: value,
                sum: value,
                samples: 1.0,
            }),
        }
        changed || half_before != self.covers_half()
    }

    fn constant(&self) -> bool {
        let first = self.buckets.front().map(|bucket| bucket.first);
        self.buckets.iter().all(|bucket| Some(bucket.least) == first && Some(bucket.most) == first)
    }

    fn covers_half(&self) -> bool {
        match (self.buckets.front(), self.buckets.back()) {
            (Some(first), Some(last)) => last.to - first.from >= self.length / 2,
            _ => false,
        }
    }

    fn answer(&self, over: Over, now: u64) -> Option<f64> {
        let since = now.saturating_sub(self.length);
        let inside = || self.buckets.iter().filter(move |bucket| bucket.to >= since);
        let first = inside().next()?;
        let last = self.buckets.back()?;
        if matches!(over, Over::Rate | Over::Delta) {
            if last.to == first.from {
                return None;
            }
            let delta = last.last - first.first;
            // Over the whole window even while it fills: the least that can be said of the rate.
            let seconds = count_as_f64(self.length) / count_as_f64(NS_PER_S);
            return Some(if over == Over::Rate { delta / seconds } else { delta });
        }
        if !self.covers_half() {
            return None;
        }
        match over {
            Over::Min => inside().map(|bucket| bucket.least).reduce(f64::min),
            Over::Max => inside().map(|bucket| bucket.most).reduce(f64::max),
            _ => {
                let (sum, samples) =
                    inside().fold((0.0, 0.0), |(sum, samples), bucket| (sum + bucket.sum, samples + bucket.samples));
                Some(sum / samples)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = NS_PER_S;

    fn series(metric: &'static Metric, window: u64) -> Series {
        Series::new(Entity::gpu("a"), MetricIx(0), metric.name, &[window * S])
    }

    fn at(s: u64) -> Stamp {
        Stamp { mono_ns: Some(s * S), real_ns: None }
    }

    #[test]
    fn a_counter_survives_wrap_and_reset_and_forgets_what_left_the_window() {
        let mut series = series(model::catalogue::GPU_PCIE_REPLAY, 10);
        for (s, total) in [(0, 1_000u64), (1, 1_005), (2, 3), (3, 4)] {
            series.push(at(s), &Reading::from(total));
        }
        assert_eq!(series.over(Over::Delta, 10 * S, 3 * S), Val::Num(9.0));
        assert_eq!(series.over(Over::Rate, 10 * S, 3 * S), Val::Num(0.9));
        for s in 4..30 {
            series.push(at(s), &Reading::from(4u64));
        }
        assert_eq!(series.over(Over::Delta, 10 * S, 29 * S), Val::Num(0.0));
    }

    #[test]
    fn what_was_counted_while_nothing_could_be_read_is_counted() {
        let mut series = series(model::catalogue::GPU_PCIE_REPLAY, 60);
        series.push(at(0), &Reading::from(1_000u64));
        series.push(at(1), &Reading::from(1_005u64));
        for s in 2..20 {
            let failed = if s % 2 == 0 { Reading::Lost } else { Reading::Denied };
            series.push(at(s), &failed);
            assert_eq!(series.over(Over::Delta, 60 * S, s * S), Val::Unknown);
        }
        series.push(at(20), &Reading::from(1_105u64));
        assert_eq!(series.over(Over::Delta, 60 * S, 20 * S), Val::Num(105.0));
        for s in 21..30 {
            series.push(at(s), &if s % 2 == 0 { Reading::Lost } else { Reading::Denied });
        }
        series.push(at(30), &Reading::from(3u64));
        assert_eq!(series.over(Over::Delta, 60 * S, 30 * S), Val::Num(108.0), "a reset meanwhile");
    }

    #[test]
    fn one_sample_is_no_rate_and_a_short_past_no_average() {
        let mut power = series(model::catalogue::GPU_POWER, 10);
        power.push(at(0), &Reading::from(100.0));
        assert_eq!(power.over(Over::Delta, 10 * S, 0), Val::Unknown);
        power.push(at(2), &Reading::from(300.0));
        assert_eq!(power.over(Over::Avg, 10 * S, 2 * S), Val::Unknown);
        power.push(at(6), &Reading::from(200.0));
        assert_eq!(power.over(Over::Avg, 10 * S, 6 * S), Val::Num(200.0));
        assert_eq!(power.over(Over::Max, 10 * S, 6 * S), Val::Num(300.0));
    }

    #[test]
    fn old_news_is_no_news_but_a_fact_stays_one() {
        let mut temp = series(model::catalogue::GPU_TEMP, 10);
        temp.push(at(0), &Reading::from(50.0));
        assert_eq!(temp.value(STALE_AFTER), Val::Num(50.0));
        assert_eq!(temp.value(STALE_AFTER + 1), Val::Unknown);
        let mut limit = series(model::catalogue::GPU_TEMP_SLOWDOWN, 10);
        limit.push(at(0), &Reading::from(90.0));
        assert_eq!(limit.value(86_400 * S), Val::Num(90.0));
    }

    #[test]
    fn a_window_takes_bounded_memory() {
        let mut power = series(model::catalogue::GPU_POWER, 3_600);
        for s in 0..20_000u32 {
            power.push(at(u64::from(s)), &Reading::from(f64::from(s % 7)));
        }
        assert!(power.windows[0].buckets.len() <= 130);
    }
}
