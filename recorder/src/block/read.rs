//! A sealed block, opened.

use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Entity, EntityInfo, Event, Frame, ProbeFault, Reading, SeriesId, Stamp, Value};
use serde::Deserialize;

use super::cells::TEXT;
use super::columns::{Columns, Described};
use super::index::{
    self, CHUNK, COLUMNS, EXTRAS, FRAMES, Info, PACKED, PLAIN, QUALITY, SHAPES, SUMMARY, Stream, VALUES,
};
use super::ints::Decoder;
use super::scan::Column;
use super::source::Source;
use super::table::{self, Table};
use super::transform::Shared;
use super::{BadBlock, MOST_FRAMES, MOST_SAMPLES};
use crate::schema::Schema;

/// Maps in lists in events: deeper than any probe writes, shallower than the stack.
const MOST_DEPTH: usize = 64;
/// The most texts and odd values; they are few.
const MOST_VALUES: usize = 1 << 22;
/// The most bytes of values, or of extras: more than a Frame longer than where a builder is full.
const MOST_BYTES: usize = 64 << 20;

/// A block, opened: its Frames' heads and what it says of its columns are decoded, numbers only when asked for.
#[derive(Debug)]
pub struct Block {
    source: Box<dyn Source>,
    info: Info,
    streams: Vec<Stream>,
    table: Table,
    columns: Columns,
    /// Per column: the stream of its chunk.
    chunk_of: Vec<u32>,
    /// Series and their columns, by series.
    by_id: Vec<(SeriesId, u32)>,
    read: AtomicUsize,
}

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

/// All columns, decoded: their numbers one after the other, and where each begins and ends.
#[derive(Default)]
struct Decoded {
    numbers: Vec<i64>,
    of: Vec<(usize, usize)>,
}

impl Decoded {
    fn get(&self, column: usize) -> &[i64] {
        let (from, to) = self.of.get(column).copied().unwrap_or_default();
        self.numbers.get(from..to).unwrap_or_default()
    }
}

impl Block {
    /// Opens the payload of a section whose checked part has been verified.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn open(payload: Vec<u8>, checked: usize, schema: &Schema) -> Result<Self, BadBlock> {
        let head = payload.get(..checked).ok_or_else(|| BadBlock("an index that ends early".into()))?.to_vec();
        let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        Self::lazy(&head, length, Box::new(payload), schema)
    }

    /// Opens a payload of `length` bytes of which the checked part is read and verified; streams are read when they are
    /// needed.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn lazy(checked: &[u8], length: u64, source: Box<dyn Source>, schema: &Schema) -> Result<Self, BadBlock> {
        let (info, streams) = index::open(checked, length)?;
        let mut block = Self {
            source,
            info,
            streams,
            table: Table::default(),
            columns: Columns::default(),
            chunk_of: Vec::new(),
            by_id: Vec::new(),
            read: AtomicUsize::new(0),
        };
        let mut decoder = Decoder::new()?;
        let frames = block.numbers(&mut decoder, FRAMES, 8 * MOST_FRAMES)?;
        let shapes = block.numbers(&mut decoder, SHAPES, MOST_FRAMES + MOST_SAMPLES + 1)?;
        let columns = block.numbers(&mut decoder, COLUMNS, 5 * schema.len())?;
        let summary = block.numbers(&mut decoder, SUMMARY, 4 * schema.len())?;
        let quality = block.numbers(&mut decoder, QUALITY, 6 * MOST_SAMPLES)?;
        let values = block.bytes(VALUES, MOST_VALUES)?;
        let values: Vec<Value> =
            rmp_serde::from_slice(&values).map_err(|error| BadBlock(format!("values: {error}")))?;
        let rows = table::rows(&frames, block.info.probes.len(), block.info.boots.len())?;
        let places = Columns::places(&columns)?;
        block.table = Table::new(rows, &shapes, &places)?;
        block.columns = Columns::new((&columns, &summary, values), &places, schema)?;
        block.columns.quality(&quality, &block.table)?;
        block.find_chunks()?;
        block.by_id = block.columns.all.iter().map(|column| column.id).zip(0..).collect();
        block.by_id.sort_unstable();
        Ok(block)
    }

    fn find_chunks(&mut self) -> Result<(), BadBlock> {
        self.chunk_of = vec![u32::MAX; self.columns.all.len()];
        let mut end = 0;
        for (number, stream) in (0..).zip(&self.streams).filter(|(_, stream)| stream.kind == CHUNK) {
            let range = stream.first as usize..(stream.first as usize).saturating_add(stream.columns as usize);
            let columns = if stream.first < end { None } else { self.chunk_of.get_mut(range.clone()) };
            columns.ok_or_else(|| BadBlock(format!("a chunk of columns {range:?}")))?.fill(number);
            end = stream.first + stream.columns;
        }
        Ok(())
    }

    fn stream(&self, kind: u8) -> Result<Stream, BadBlock> {
        let stream = self.streams.iter().find(|stream| stream.kind == kind);
        stream.copied().ok_or_else(|| BadBlock(format!("no stream of kind {kind}")))
    }

    /// The bytes of a stream, verified.
    fn load(&self, stream: &Stream) -> Result<Vec<u8>, BadBlock> {
        let length = stream.length as usize;
        let bytes = self.source.read(stream.offset, length).map_err(|error| BadBlock(error.to_string()))?;
        self.read.fetch_add(length, Ordering::Relaxed);
        let found = crc32c::crc32c(&bytes);
        if found == stream.checksum && bytes.len() == length {
            return Ok(bytes);
        }
        let (offset, told) = (stream.offset, stream.checksum);
        Err(BadBlock(format!("the stream at {offset} has checksum {found:08x}, {told:08x} was written")))
    }

    fn numbers(&self, decoder: &mut Decoder, kind: u8, most: usize) -> Result<Vec<i64>, BadBlock> {
        let stream = self.stream(kind)?;
        let count = stream.decoded as usize;
        if count > most {
            return Err(BadBlock(format!("{count} numbers in a stream of at most {most}")));
        }
        let mut numbers = Vec::new();
        decoder.decode(stream.encoding, self.load(&stream)?, (count, count), &mut numbers)?;
        Ok(numbers)
    }

    /// The MessagePack of an array of at most so many.
    fn bytes(&self, kind: u8, most: usize) -> Result<Vec<u8>, BadBlock> {
        let stream = self.stream(kind)?;
        if stream.decoded as usize > MOST_BYTES {
            return Err(BadBlock(format!("{} bytes in a stream of at most {MOST_BYTES}", stream.decoded)));
        }
        let mut bytes = self.load(&stream)?;
        match stream.encoding {
            PLAIN => {}
            PACKED => {
                let unpacked = zstd::bulk::decompress(&bytes, stream.decoded as usize);
                bytes = unpacked.map_err(|error| BadBlock(error.to_string()))?;
            }
            other => return Err(BadBlock(format!("bytes in an encoding that is not known: {other}"))),
        }
        let count = match bytes.as_slice() {
            [short @ 0x90..=0x9f, ..] => u32::from(short & 0xf),
            [0xdc, a, b, ..] => u32::from_be_bytes([0, 0, *a, *b]),
            [0xdd, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
            _ => return Err(BadBlock("no array where one was announced".into())),
        };
        if count as usize > most {
            return Err(BadBlock(format!("an array of {count}, at most {most} may be there")));
        }
        Ok(bytes)
    }

    /// What it holds, from its index alone.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// How many bytes of streams were read of it so far.
    pub fn bytes_read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

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

    fn rows(&self, column: usize) -> &[u32] {
        self.table.frames(u32::try_from(column).unwrap_or(u32::MAX))
    }

    /// Decodes the coded columns of a chunk behind what is in `numbers`, the last wanted being `until`.
    fn chunk(
        &self,
        decoder: &mut Decoder,
        chunk: u32,
        until: usize,
        numbers: &mut Vec<i64>,
        mut found: impl FnMut(usize, (usize, usize)),
    ) -> Result<(), BadBlock> {
        let stream = self.streams.get(chunk as usize).ok_or_else(|| BadBlock("a column without a chunk".into()))?;
        let range = stream.first as usize..stream.first as usize + stream.columns as usize;
        let columns = self.columns.all.get(range.clone()).unwrap_or_default();
        let coded = || range.clone().zip(columns).filter(|(_, column)| column.coded());
        let rows = coded().next().map_or(0, |(number, _)| self.rows(number).len());
        let fits = rows > 0 && coded().all(|(number, _)| self.rows(number).len() == rows);
        let count = coded().count().checked_mul(rows.saturating_sub(1));
        if !fits || count != Some(stream.decoded as usize) {
            return Err(BadBlock(format!("a chunk of {} numbers for columns of {rows} rows", stream.decoded)));
        }
        let mut written = Vec::new();
        let enough = coded().take_while(|(number, _)| *number <= until).count().saturating_mul(rows - 1);
        let counts = (stream.decoded as usize, enough);
        decoder.decode(stream.encoding, self.load(stream)?, counts, &mut written)?;
        let mut shared = Shared::default();
        shared.reset(rows);
        for ((number, column), written) in coded().zip(written.chunks_exact((rows - 1).max(1))) {
            let from = numbers.len();
            if !shared.undo(column.transform, column.center, written, numbers) {
                return Err(BadBlock(format!("a column with transform {}", column.transform)));
            }
            for step in numbers.iter_mut().skip(from) {
                *step = column.first.wrapping_add(column.step.wrapping_mul(*step));
            }
            found(number, (from, numbers.len()));
            if number >= until {
                break;
            }
        }
        Ok(())
    }

    /// The numbers of a column that is like another one.
    fn follow(&self, column: &Described, (other, against): (u32, bool), numbers: &mut Vec<i64>, of: (usize, usize)) {
        let first = self.columns.all.get(other as usize).map_or(0, |other| other.first);
        numbers.reserve(of.1 - of.0);
        for at in of.0..of.1 {
            let away = numbers[at].wrapping_sub(first);
            let away = if against { away.wrapping_neg() } else { away };
            numbers.push(column.first.wrapping_add(away));
        }
    }

    fn decode(&self) -> Result<Decoded, BadBlock> {
        let mut decoder = Decoder::new()?;
        let count = self.columns.all.len();
        let mut decoded = Decoded { numbers: Vec::new(), of: vec![(0, 0); count] };
        let Decoded { numbers, of } = &mut decoded;
        for (number, column) in (0u32..).zip(&self.columns.all) {
            let at = number as usize;
            if let Some(like) = column.like(number) {
                let other = of[like.0 as usize];
                if other.1 - other.0 != self.rows(at).len() {
                    return Err(BadBlock("a column that is like one with other rows".into()));
                }
                let from = numbers.len();
                self.follow(column, like, numbers, other);
                of[at] = (from, numbers.len());
            } else if !column.coded() {
                of[at] = (numbers.len(), numbers.len() + 1);
                numbers.push(column.first);
            } else if of[at] == (0, 0) {
                let chunk = self.chunk_of[at];
                self.chunk(&mut decoder, chunk, usize::MAX, numbers, |number, found| of[number] = found)?;
            }
        }
        Ok(decoded)
    }

    /// The numbers of one column, decoding only its chunk.
    fn decode_one(&self, column: usize) -> Result<Vec<i64>, BadBlock> {
        let number = u32::try_from(column).unwrap_or(u32::MAX);
        let described = self.columns.all.get(column).ok_or_else(|| BadBlock("no such column".into()))?;
        let like = described.like(number);
        if like.is_none() && !described.coded() {
            return Ok(vec![described.first]);
        }
        let wanted = like.map_or(column, |(other, _)| other as usize);
        let (mut numbers, mut of) = (Vec::new(), (0, 0));
        let chunk = self.chunk_of.get(wanted).copied().unwrap_or(u32::MAX);
        let mut decoder = Decoder::new()?;
        self.chunk(&mut decoder, chunk, wanted, &mut numbers, |_, found| of = found)?;
        if let Some(like) = like {
            self.follow(described, like, &mut numbers, of);
            of = (of.1, numbers.len());
        }
        if of.1 - of.0 != self.rows(column).len() {
            return Err(BadBlock("a column that is like one with other rows".into()));
        }
        numbers.truncate(of.1);
        Ok(numbers.split_off(of.0))
    }

    fn column<'a>(&'a self, number: usize, numbers: &'a [i64]) -> Option<Column<'a>> {
        let described = self.columns.all.get(number)?;
        let (columns, table) = (&self.columns, &self.table);
        Some(Column { described, columns, table, numbers, frames: self.rows(number) })
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
        let Ok(found) = self.by_id.binary_search_by_key(&id, |(id, _)| *id) else { return Ok(None) };
        let number = self.by_id[found].1 as usize;
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
            let other_kind = super::cells::OTHER;
            let not_good = self.columns.runs(described).iter().filter(|run| run.code != other_kind);
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
