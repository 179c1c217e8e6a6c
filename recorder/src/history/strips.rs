//! Series over a window.

use std::collections::HashMap;

use model::timeline::{LONGEST_STAND_NS, Pace, StripBuilder};
use model::{HistoryError, Reading, SeriesId, SeriesKey, Strip, Window};

use super::{RecordedHistory, Stretch};
use crate::block::{Block, Summary};
use crate::sections::Entry;

/// One series being drawn.
struct Drawn {
    builder: StripBuilder,
    counter: bool,
    taken: Option<u64>,
}

impl Drawn {
    fn take(&mut self, at: u64, reading: &Reading) {
        self.builder.take(at, at, reading);
        self.taken = self.taken.max(Some(at));
    }

    /// What a block says of the series: a gauge's extremes lie somewhere in the block, which lies in one bucket.
    fn summary(&mut self, summary: &Summary) -> bool {
        let (Some(first), Some(last), Some(least), Some(most)) =
            (&summary.first, &summary.last, &summary.least, &summary.most)
        else {
            return false;
        };
        if self.counter || summary.not_good > 0 {
            return false;
        }
        let (since, until) = (summary.since.axis_ns(), summary.at.axis_ns());
        for (at, value) in [(since, first), (since, least), (since, most), (until, last)] {
            self.take(at, &Reading::Good(value.clone()));
        }
        true
    }
}

impl RecordedHistory {
    pub(super) fn strips_of(
        &self,
        series: &[SeriesKey],
        window: Window,
        buckets: usize,
    ) -> Result<Vec<Strip>, HistoryError> {
        let (from, to) = (window.from.saturating_sub(2 * LONGEST_STAND_NS), window.to.saturating_add(LONGEST_STAND_NS));
        let stretches = self.era().map(|era| era.stretches.as_slice()).unwrap_or_default();
        let touching = stretches.iter().enumerate().filter(|(_, stretch)| stretch.first <= to && stretch.last >= from);
        let touching: Vec<(usize, &Stretch)> = touching.filter(|_| buckets > 0).collect();
        let ids: Vec<SeriesId> = series.iter().filter_map(|key| self.dictionary.id(key)).collect();
        let paces = self.paces(&ids, &touching);
        let pace = |id: SeriesId| paces.get(&id).copied().unwrap_or_default();
        let drawn = |key: &SeriesKey| {
            let counter = key.metric.metric().filter(|metric| metric.is_counter());
            let pace = self.dictionary.id(key).map(pace).unwrap_or_default();
            let builder = StripBuilder::new(window, buckets, counter.map(|metric| metric.wrap()), pace);
            Drawn { builder, counter: counter.is_some(), taken: None }
        };
        let mut wanted: HashMap<SeriesId, Drawn> =
            series.iter().filter_map(|key| Some((self.dictionary.id(key)?, drawn(key)))).collect();
        if !wanted.is_empty() {
            for (index, stretch) in &touching {
                self.draw(*index, stretch, (window, buckets), &mut wanted)?;
            }
        }
        let behind = touching.last().map_or(usize::MAX, |(index, _)| index + 1);
        Ok(series
            .iter()
            .map(|key| {
                let id = self.dictionary.id(key);
                let found = id.and_then(|id| wanted.get(&id));
                let taken = found.and_then(|drawn| drawn.taken);
                let strip = found.map_or_else(|| drawn(key).builder, |drawn| drawn.builder.clone());
                let later = id.is_some_and(|id| pace(id).last() > taken || self.is_read_in(behind, id));
                Strip { key: key.clone(), window, buckets: strip.finish(later) }
            })
            .collect())
    }

    fn draw(
        &self,
        index: usize,
        stretch: &Stretch,
        (window, buckets): (Window, usize),
        wanted: &mut HashMap<SeriesId, Drawn>,
    ) -> Result<(), HistoryError> {
        let Some(entry) = &stretch.block else {
            for frame in self.decode(index, stretch)?.iter() {
                let at = frame.at.axis_ns();
                for (id, reading) in &frame.samples {
                    if let Some(drawn) = wanted.get_mut(id) {
                        drawn.take(at, reading);
                    }
                }
            }
            return Ok(());
        };
        // A damaged block is a hole in the strip.
        let Ok(block) = self.block(index, stretch, entry) else { return Ok(()) };
        let of_segment = self.ids_in(stretch, &block, wanted);
        let bucket = |at: u64| {
            let count = u128::try_from(buckets).ok()?;
            (u128::from(at - window.from) * count).checked_div(u128::from(window.length()))
        };
        let inside = window.holds(stretch.first) && window.holds(stretch.last);
        let long = inside && bucket(stretch.first) == bucket(stretch.last);
        let summaries = if long { block.summaries().unwrap_or_default() } else { Vec::new() };
        let summaries: HashMap<SeriesId, Summary> =
            summaries.into_iter().map(|summary| (summary.id, summary)).collect();
        for (id, own) in of_segment {
            let Some(drawn) = wanted.get_mut(&own) else { continue };
            if summaries.get(&id).is_some_and(|summary| drawn.summary(summary)) {
                continue;
            }
            for (at, reading) in block.series(id).unwrap_or_default() {
                drawn.take(at.axis_ns(), &reading);
            }
        }
        Ok(())
    }

    /// Which of the wanted series a block has: the segment's id and ours.
    fn ids_in<T>(&self, stretch: &Stretch, block: &Block, wanted: &HashMap<SeriesId, T>) -> Vec<(SeriesId, SeriesId)> {
        let Some(meanings) = self.meanings.get(stretch.segment) else { return Vec::new() };
        let ours = block.ids().filter_map(|id| Some((id, *meanings.get(&id)?)));
        ours.filter(|(_, own)| wanted.contains_key(own)).collect()
    }

    /// Whether a stretch has readings of a series, as far as that can be told without decoding it.
    fn is_read_in(&self, index: usize, id: SeriesId) -> bool {
        let Some((stretch, entry)) = self.block_at(index) else { return false };
        let wanted = HashMap::from([(id, ())]);
        self.block(index, stretch, entry).is_ok_and(|block| !self.ids_in(stretch, &block, &wanted).is_empty())
    }

    fn block_at(&self, index: usize) -> Option<(&Stretch, &Entry)> {
        let stretch = self.era()?.stretches.get(index)?;
        Some((stretch, stretch.block.as_ref()?))
    }

    /// How often the series are read: as learnt when records were read, else from the first blocks that have them.
    fn paces(&self, ids: &[SeriesId], touching: &[(usize, &Stretch)]) -> HashMap<SeriesId, Pace> {
        let known = |id: &SeriesId| Some((*id, *self.era()?.paces.get(id)?));
        let mut paces: HashMap<SeriesId, Pace> = ids.iter().filter_map(known).collect();
        let mut unknown: HashMap<SeriesId, ()> =
            ids.iter().filter(|id| !paces.contains_key(id)).map(|id| (*id, ())).collect();
        for (index, stretch) in touching {
            if unknown.is_empty() {
                break;
            }
            let Some(entry) = &stretch.block else {
                for frame in self.decode(*index, stretch).iter().flat_map(|frames| frames.iter()) {
                    let at = frame.at.axis_ns();
                    for (id, _) in frame.samples.iter().filter(|(id, _)| unknown.contains_key(id)) {
                        paces.entry(*id).or_default().saw(at);
                    }
                }
                continue;
            };
            let Ok(block) = self.block(*index, stretch, entry) else { continue };
            let of_segment: HashMap<SeriesId, SeriesId> = self.ids_in(stretch, &block, &unknown).into_iter().collect();
            for summary in block.summaries().unwrap_or_default() {
                let Some(own) = of_segment.get(&summary.id) else { continue };
                let steps = u64::try_from(summary.rows).unwrap_or(u64::MAX).saturating_sub(1);
                let (since, until) = (summary.since.axis_ns(), summary.at.axis_ns());
                if let Some(step) = until.saturating_sub(since).checked_div(steps).filter(|step| *step > 0) {
                    let pace = paces.entry(*own).or_default();
                    pace.saw(since);
                    pace.saw(since.saturating_add(step));
                    unknown.remove(own);
                }
            }
        }
        paces
    }
}
