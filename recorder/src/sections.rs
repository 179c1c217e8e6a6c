//! What the sections of a segment say, apart from blocks: schema, context, directory; and what a journal says about
//! itself. MessagePack maps by field name with defaults, so that an old reader skips new fields and a new reader
//! defaults old ones. Pure functions between data and bytes.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};

use model::{BootId, Frame, Kind, Metric, SeriesDef, Stamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::format::section::Section;

/// The most bytes that a schema, a context or a directory may take once it is decompressed.
pub const MOST_UNPACKED_BYTES: u64 = 64 << 20;
/// How hard zstd tries: what a segment begins with is written once an hour.
const LEVEL: i32 = 6;

/// A schema section: series that no schema section before it in the segment has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchemaSection {
    /// The place of the first of them among the series of the segment; without it they follow those told before. A
    /// section may tell again what an earlier one told, so that a damaged one costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// In the order of declaration: blocks name a series by its place.
    #[serde(default)]
    pub series: Vec<SeriesDef>,
    /// What the metrics of these series are, by name; none for a metric that the writer's catalogue does not have.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricFacts>,
}

/// What somebody without the catalogue must know of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricFacts {
    /// As printed; empty for a bare number.
    #[serde(default)]
    pub unit: String,
    /// `gauge`, `counter`, `state` or `info`.
    #[serde(default)]
    pub kind: String,
    /// The width of a counter that wraps, bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrap: Option<u8>,
    /// The step to which values are rounded before they are recorded; 0: as read.
    #[serde(default)]
    pub quantum: f64,
}

impl SchemaSection {
    /// The section for these series.
    pub fn new(series: Vec<SeriesDef>) -> Self {
        let names = series.iter().map(|def| def.key.metric.as_str());
        let facts = |name: &str| Some((name.to_owned(), MetricFacts::of(Metric::find(name)?)));
        let metrics = names.filter_map(facts).collect();
        Self { first: None, series, metrics }
    }
}

impl MetricFacts {
    fn of(metric: &Metric) -> Self {
        let kind = match metric.kind {
            Kind::Gauge => "gauge",
            Kind::Counter { .. } => "counter",
            Kind::State => "state",
            Kind::Info => "info",
        };
        let (unit, kind) = (metric.unit.symbol().to_owned(), kind.to_owned());
        Self { unit, kind, wrap: metric.wrap(), quantum: metric.quantum }
    }
}

/// The directory of a closed segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// All sections before it, in their order.
    #[serde(default)]
    pub sections: Vec<Entry>,
    /// Frames in the blocks.
    #[serde(default)]
    pub frames: u64,
    /// Samples in them.
    #[serde(default)]
    pub samples: u64,
    /// Events in them.
    #[serde(default)]
    pub events: u64,
    /// Frames that were handed over and are in no segment.
    #[serde(default)]
    pub lost: u64,
    /// The first Frame's instant.
    #[serde(default)]
    pub first: Stamp,
    /// The last Frame's.
    #[serde(default)]
    pub last: Stamp,
    /// Frames in the blocks by probe.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub frames_by_probe: BTreeMap<String, u64>,
    /// Events in the blocks by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub events_by_kind: BTreeMap<String, u64>,
}

/// What the directory says of one section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`crate::format::section::BLOCK`], ….
    pub kind: u8,
    /// Where its head stands.
    pub offset: u64,
    /// Length of its payload.
    pub length: u64,
    /// Sequence number of the first Frame in it.
    #[serde(default)]
    pub first_seq: u64,
    /// Sequence number of the last Frame in it.
    #[serde(default)]
    pub last_seq: u64,
    /// The earliest instant of its Frames.
    #[serde(default)]
    pub first: Stamp,
    /// The latest.
    #[serde(default)]
    pub last: Stamp,
    /// Frames in it.
    #[serde(default)]
    pub frames: u64,
    /// Samples in it.
    #[serde(default)]
    pub samples: u64,
    /// Events in it.
    #[serde(default)]
    pub events: u64,
    /// The boot of its Frames, where that is not the header's: all Frames of a block are of one boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootId>,
}

impl Entry {
    /// The head of the section, as far as the entry knows it.
    pub fn section(&self, number: u32, checked: usize) -> Section {
        let seqs = (self.first_seq, self.last_seq);
        Section { kind: self.kind, number, checked, seqs, ..Section::default() }
    }

    /// Counts a Frame of the section.
    pub fn count(&mut self, frame: &Frame) {
        // The admission order is not quite that of the instants.
        let at = frame.at.axis_ns();
        if self.frames == 0 {
            self.first_seq = frame.seq;
        }
        if self.frames == 0 || at < self.first.axis_ns() {
            self.first = frame.at;
        }
        if self.frames == 0 || at > self.last.axis_ns() {
            self.last = frame.at;
        }
        self.last_seq = self.last_seq.max(frame.seq);
        self.frames += 1;
        self.samples += u64::try_from(frame.samples.len()).unwrap_or(u64::MAX);
        self.events += u64::try_from(frame.events.len()).unwrap_or(u64::MAX);
    }
}

/// What a journal says about itself at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHeader {
    /// The id of the segment that it belongs to, hexadecimal.
    #[serde(default)]
    pub segment: String,
    /// Its place among the journals of the segment, from 0.
    #[serde(default)]
    pub number: u32,
    /// The boot during which it was begun.
    #[serde(default)]
    pub boot: BootId,
    /// When it was begun.
    #[serde(default)]
    pub created: Stamp,
}

/// The payload of a schema or context section: MessagePack, compressed.
///
/// # Errors
/// It cannot be encoded.
pub fn pack<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let bytes = rmp_serde::to_vec_named(value).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    zstd::bulk::compress(&bytes, LEVEL)
}

/// Reads the payload of a schema or context section, never more than [`MOST_UNPACKED_BYTES`] of it.
///
/// # Errors
/// What was found and expected.
pub fn unpack<T: DeserializeOwned>(payload: &[u8]) -> io::Result<T> {
    let mut bytes = Vec::new();
    zstd::Decoder::new(payload)?.take(MOST_UNPACKED_BYTES).read_to_end(&mut bytes)?;
    let mut decoder = rmp_serde::Deserializer::from_read_ref(&bytes);
    decoder.set_max_depth(64);
    T::deserialize(&mut decoder).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use model::{Entity, SeriesId, SeriesKey, catalogue};

    use super::*;

    #[test]
    fn a_schema_reads_back_and_tells_what_its_metrics_are() {
        let key = SeriesKey::new(Entity::gpu("GPU-1"), catalogue::GPU_POWER);
        let schema = SchemaSection::new(vec![SeriesDef { id: SeriesId(7), key }]);
        assert_eq!(unpack::<SchemaSection>(&pack(&schema).unwrap()).unwrap(), schema);
        let facts = &schema.metrics[catalogue::GPU_POWER.name];
        assert_eq!((facts.unit.as_str(), facts.kind.as_str()), ("W", "gauge"));
    }

    #[test]
    fn a_directory_of_a_newer_writer_is_read() {
        let newer = BTreeMap::from([("frames", 3u64), ("invented_later", 4)]);
        let read: Directory = rmp_serde::from_slice(&rmp_serde::to_vec_named(&newer).unwrap()).unwrap();
        assert_eq!((read.frames, read.sections.len()), (3, 0));
    }
}
