//! What a block is asked: its Frames, its series, their state at an instant.

use model::{Entity, EntityInfo, Event, Frame, ProbeFault, Reading, SeriesId, Stamp, Value};
use serde::Deserialize;

use super::Block;
use super::decode::Decoded;
use crate::block::BadBlock;
use crate::block::cells::{OTHER, TEXT};
use crate::block::index::EXTRAS;
use crate::block::scan::Column;

/// Maps in lists in events: deeper than any probe writes, shallower than the stack.
const MOST_DEPTH: usize = 64;

/// A Frame without what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead<'a> {
    /// Which probe.
    pub probe: &'a str,
    /// The order in which the sequencer admitted it.
    pub seq: u64,
    /// When the probe began to read.
    pub at: Stamp,
    /// How long reading took, microseconds.
    pub took_us: u64,
    /// How many samples it has.
    pub samples: usize,
    /// Whether it was read faster than the 1 Hz view.
    pub burst: bool,
}

/// What a Frame has besides samples.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Extras {
    /// Which Frame, as a place in [`Block::heads`].
    pub frame: usize,
    /// Entities that are new or have changed.
    #[serde(default)]
    pub entities: Vec<EntityInfo>,
    /// Entities that are gone.
    #[serde(default)]
    pub gone: Vec<Entity>,
    /// What happened.
    #[serde(default)]
    pub events: Vec<Event>,
    /// What could not be done.
    #[serde(default)]
    pub faults: Vec<ProbeFault>,
}

/// What one series did in a block, known without decoding its numbers.
///
/// Values are those of the column's own kind, good or stale; not counted are the rare ones of another kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Which series.
    pub id: SeriesId,
    /// How many readings.
    pub rows: usize,
    /// How many of them are not good.
    pub not_good: usize,
    /// The first value; `None` if it has none at all.
    pub first: Option<Value>,
    /// The last value.
    pub last: Option<Value>,
    /// The least value; of texts, none.
    pub least: Option<Value>,
    /// The greatest value; of texts, none.
    pub most: Option<Value>,
    /// The last reading.
    pub reading: Reading,
    /// The instant of the last reading.
    pub at: Stamp,
    /// The instant of the first reading.
    pub since: Stamp,
}

impl Block {
    /// Its Frames without what was read, in the order in which they were taken in.
    pub fn heads(&self) -> impl ExactSizeIterator<Item = FrameHead<'_>> {
        self.table.rows.iter().map(|row| FrameHead {
            probe: self.info.probes.get(row.probe as usize).map_or("", String::as_str),
            seq: row.seq,
            at: row.at,
            took_us: row.took_us,
            samples: self.table.shape(row.shape).len(),
            burst: row.burst,
        })
    }

    /// The series of which it has readings.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = SeriesId> {
        self.columns.all.iter().map(|column| column.id)
    }

    /// What its Frames have besides samples; Frames with nothing else are left out.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn extras(&self) -> Result<Vec<Extras>, BadBlock> {
        let bytes = self.bytes(EXTRAS, self.table.rows.len())?;
        let mut decoder = rmp_serde::Deserializer::from_read_ref(&bytes);
        decoder.set_max_depth(MOST_DEPTH + 2);
        let extras = Vec::<Extras>::deserialize(&mut decoder).map_err(|error| BadBlock(format!("extras: {error}")))?;
        let ordered = extras.windows(2).all(|pair| pair[0].frame < pair[1].frame);
        if !ordered || extras.last().is_some_and(|extra| extra.frame >= self.table.rows.len()) {
            return Err(BadBlock("extras of Frames that are not there".into()));
        }
        Ok(extras)
    }

    /// Hands out every column, decoded.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn scan(&self, sink: &mut dyn FnMut(Column<'_>)) -> Result<(), BadBlock> {
        let decoded = self.decode()?;
        (0..self.columns.all.len()).filter_map(|number| self.column(number, decoded.get(number))).for_each(sink);
        Ok(())
    }

    /// Hands out the column of one series, if the block has it.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn scan_one<T>(&self, id: SeriesId, sink: impl FnOnce(Column<'_>) -> T) -> Result<Option<T>, BadBlock> {
        let Some(number) = self.columns.all.iter().position(|column| column.id == id) else { return Ok(None) };
        let numbers = self.decode_one(number)?;
        Ok(self.column(number, &numbers).map(sink))
    }

    /// Every reading of one series with its Frame's stamp.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn series(&self, id: SeriesId) -> Result<Vec<(Stamp, Reading)>, BadBlock> {
        self.scan_one(id, |column| column.readings().collect())?.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Of each series the last reading, in order of admission, that was made at `axis_ns` ([`Stamp::axis_ns`]) or before.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn state_at(&self, axis_ns: u64, sink: &mut dyn FnMut(SeriesId, Reading, Stamp)) -> Result<(), BadBlock> {
        let until = |frames: &Vec<u32>| frames.iter().rposition(|frame| self.table.at(*frame).axis_ns() <= axis_ns);
        let rows: Vec<_> = self.table.presences().iter().map(until).collect();
        let row_of = |number: usize| {
            let presence = self.table.presence(u32::try_from(number).unwrap_or(u32::MAX));
            rows.get(presence as usize).copied().flatten()
        };
        let ends = |number: usize, row: usize| row == 0 || row + 1 == self.rows(number).len();
        let known = (0..self.columns.all.len()).all(|number| row_of(number).is_none_or(|row| ends(number, row)));
        let decoded = if known { Decoded::default() } else { self.decode()? };
        for (number, described) in self.columns.all.iter().enumerate() {
            let Some(row) = row_of(number) else { continue };
            let end = [if row == 0 { described.first } else { described.last }];
            let whole = decoded.get(number);
            let cell = if known { &end[..] } else { whole };
            if let Some(column) = self.column(number, cell) {
                sink(described.id, column.reading(row)?, column.at(row));
            }
        }
        Ok(())
    }

    /// The last reading of each series. Decodes no numbers.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn last(&self, sink: &mut dyn FnMut(SeriesId, Reading, Stamp)) -> Result<(), BadBlock> {
        for (number, described) in self.columns.all.iter().enumerate() {
            let last = [described.last];
            let Some(column) = self.column(number, &last).filter(|column| column.rows() > 0) else { continue };
            let row = column.rows() - 1;
            sink(described.id, column.reading(row)?, column.at(row));
        }
        Ok(())
    }

    /// What each series did. Decodes no numbers.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn summaries(&self) -> Result<Vec<Summary>, BadBlock> {
        let mut all = Vec::with_capacity(self.columns.all.len());
        for (number, described) in self.columns.all.iter().enumerate() {
            let last = [described.last];
            let Some(column) = self.column(number, &last).filter(|column| column.rows() > 0) else { continue };
            let row = column.rows() - 1;
            let value = |number| column.value(number);
            let ranked = |number| if described.kind == TEXT { None } else { column.value(number) };
            let not_good = self.columns.runs(described).iter().filter(|run| run.code != OTHER);
            all.push(Summary {
                id: described.id,
                rows: column.rows(),
                not_good: not_good.map(|run| run.rows as usize).sum(),
                first: value(described.first),
                last: value(described.last),
                least: ranked(described.least),
                most: ranked(described.most),
                reading: column.reading(row)?,
                at: column.at(row),
                since: column.at(0),
            });
        }
        Ok(all)
    }

    /// All its Frames, in the order in which they were taken in. Their declarations are the schema's matter.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn frames(&self) -> Result<Vec<Frame>, BadBlock> {
        let mut frames = Vec::with_capacity(self.table.rows.len());
        self.each_frame(&mut |frame| frames.push(frame))?;
        Ok(frames)
    }

    /// Hands out all its Frames, one after the other.
    ///
    /// # Errors
    /// What was found and expected; Frames before that have been handed out.
    pub fn each_frame(&self, sink: &mut dyn FnMut(Frame)) -> Result<(), BadBlock> {
        let decoded = self.decode()?;
        let mut extras = self.extras()?.into_iter().peekable();
        // Per column: the next row, and the next run of those that are not good.
        let mut next = vec![(0usize, 0usize); self.columns.all.len()];
        for (number, row) in self.table.rows.iter().enumerate() {
            let shape = self.table.shape(row.shape);
            let mut samples = Vec::with_capacity(shape.len());
            for column in shape {
                let column = *column as usize;
                let described = &self.columns.all[column];
                let (row, run) = &mut next[column];
                let numbers = decoded.get(column);
                let cell = numbers.get(if numbers.len() == 1 { 0 } else { *row }).copied().unwrap_or(0);
                let runs = self.columns.runs(described);
                while runs.get(*run).is_some_and(|run| (run.row + run.rows) as usize <= *row) {
                    *run += 1;
                }
                let found = runs.get(*run).filter(|run| run.row as usize <= *row);
                samples.push((described.id, self.columns.reading(described, cell, found)?));
                *row += 1;
            }
            let extra = extras.next_if(|extra| extra.frame == number).unwrap_or_default();
            sink(Frame {
                probe: self.info.probes.get(row.probe as usize).cloned().unwrap_or_default(),
                boot: self.info.boots.get(row.boot as usize).cloned().unwrap_or_default(),
                seq: row.seq,
                at: row.at,
                took_us: row.took_us,
                declares: Vec::new(),
                entities: extra.entities,
                gone: extra.gone,
                samples,
                events: extra.events,
                faults: extra.faults,
                burst: row.burst,
            });
        }
        Ok(())
    }
}
