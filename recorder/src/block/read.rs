//! A sealed block, opened.

use std::sync::atomic::{AtomicUsize, Ordering};

use model::Value;

use super::columns::Columns;
use super::index::{self, CHUNK, COLUMNS, FRAMES, Info, PACKED, PLAIN, QUALITY, SHAPES, SUMMARY, Stream, VALUES};
use super::ints::Decoder;
use super::scan::Column;
use super::source::Source;
use super::table::{self, Table};
use super::{BadBlock, MOST_FRAMES, MOST_SAMPLES};
use crate::schema::Schema;

mod decode;
mod questions;

pub use questions::{Extras, FrameHead, Summary};

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
    read: AtomicUsize,
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
            read: AtomicUsize::new(0),
        };
        Decoder::lend(|decoder| block.heading(decoder, schema))?;
        Ok(block)
    }

    /// Decodes what is said of Frames and columns.
    fn heading(&mut self, decoder: &mut Decoder, schema: &Schema) -> Result<(), BadBlock> {
        let frames = self.numbers(decoder, FRAMES, 8 * MOST_FRAMES)?;
        let shapes = self.numbers(decoder, SHAPES, MOST_FRAMES + MOST_SAMPLES + 1)?;
        let columns = self.numbers(decoder, COLUMNS, 5 * schema.len())?;
        let summary = self.numbers(decoder, SUMMARY, 4 * schema.len())?;
        let quality = self.numbers(decoder, QUALITY, 6 * MOST_SAMPLES)?;
        let values = self.bytes(VALUES, MOST_VALUES)?;
        let values: Vec<Value> =
            rmp_serde::from_slice(&values).map_err(|error| BadBlock(format!("values: {error}")))?;
        let rows = table::rows(&frames, self.info.probes.len(), self.info.boots.len())?;
        let places = Columns::places(&columns)?;
        self.table = Table::new(rows, &shapes, &places, schema.len())?;
        self.columns = Columns::new((&columns, &summary, values), &places, schema)?;
        self.columns.quality(&quality, &self.table)?;
        self.find_chunks()
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

    fn rows(&self, column: usize) -> &[u32] {
        self.table.frames(u32::try_from(column).unwrap_or(u32::MAX))
    }

    fn column<'a>(&'a self, number: usize, numbers: &'a [i64]) -> Option<Column<'a>> {
        let described = self.columns.all.get(number)?;
        let (columns, table) = (&self.columns, &self.table);
        Some(Column { described, columns, table, numbers, frames: self.rows(number) })
    }
}
