//! The same telemetry in what others use: Parquet as one would export it, MCAP as its library writes it by default, and
//! `below`'s shape, a named map for each tick, compressed by itself.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcap::records::MessageHeader;
use model::{Frame, Reading, SeriesDef, SeriesId, Value};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::bytes_in;
use crate::sizes::Sink;

/// Rows of a row group: what exporters take.
const GROUP_ROWS: usize = 3_600;

/// The name that a series has in a map or a table.
fn name(def: &SeriesDef) -> String {
    format!("{} {}", def.key.entity, def.key.metric)
}

/// Names by id.
#[derive(Default)]
struct Names(HashMap<SeriesId, String>);

impl Names {
    fn learn(&mut self, frame: &Frame) {
        self.0.extend(frame.declares.iter().map(|def| (def.id, name(def))));
    }
}

/// Frames as one map from names to values; what cannot be read is null.
struct Named<'a>(&'a [Frame], &'a Names);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let samples = self.0.iter().map(|frame| frame.samples.len()).sum::<usize>();
        let mut map = serializer.serialize_map(Some(samples + 2 * self.0.len()))?;
        for frame in self.0 {
            map.serialize_entry("at", &frame.at.mono_ns)?;
            map.serialize_entry("took_us", &frame.took_us)?;
            for (id, reading) in &frame.samples {
                let name = self.1.0.get(id).map_or("", String::as_str);
                match reading {
                    Reading::Good(Value::Count(count)) => map.serialize_entry(name, count)?,
                    Reading::Good(Value::Number(number)) => map.serialize_entry(name, number)?,
                    Reading::Good(Value::Text(text)) => map.serialize_entry(name, text.raw())?,
                    _ => map.serialize_entry(name, &())?,
                }
            }
        }
        map.end()
    }
}

/// `below`'s store: a map of names for each tick, zstd by itself, with an entry of 32 bytes in an index.
pub(crate) struct PerTick {
    names: Names,
    file: BufWriter<File>,
    path: PathBuf,
    ticks: u64,
}

impl PerTick {
    pub(crate) fn create(directory: &Path) -> Self {
        let path = directory.join("per-tick");
        let file = BufWriter::new(File::create(&path).expect("the disk takes it"));
        Self { names: Names::default(), file, path, ticks: 0 }
    }
}

impl Sink for PerTick {
    fn name(&self) -> &'static str {
        "below's shape: a named map a tick, zstd each"
    }

    fn tick(&mut self, tick: &[Frame]) {
        tick.iter().for_each(|frame| self.names.learn(frame));
        let map = rmp_serde::to_vec(&Named(tick, &self.names)).expect("a map of values");
        let packed = zstd::bulk::compress(&map, 0).expect("in memory");
        self.file.write_all(&packed).expect("the disk takes it");
        self.ticks += 1;
    }

    fn finish(mut self: Box<Self>) -> u64 {
        self.file.flush().expect("the disk takes it");
        bytes_in(&self.path) + 32 * self.ticks
    }
}

/// MCAP: a channel for each probe, a named map for each Frame, chunks and compression by default.
pub(crate) struct Mcap {
    names: Names,
    writer: mcap::Writer<BufWriter<File>>,
    channels: HashMap<String, u16>,
    path: PathBuf,
}

impl Mcap {
    pub(crate) fn create(directory: &Path) -> Self {
        let path = directory.join("frames.mcap");
        let file = BufWriter::new(File::create(&path).expect("the disk takes it"));
        let writer = mcap::Writer::new(file).expect("the disk takes it");
        Self { names: Names::default(), writer, channels: HashMap::new(), path }
    }
}

impl Sink for Mcap {
    fn name(&self) -> &'static str {
        "MCAP: named MessagePack, default chunks"
    }

    fn tick(&mut self, tick: &[Frame]) {
        for frame in tick {
            self.names.learn(frame);
            let known = self.channels.get(&frame.probe).copied();
            let channel_id = known.unwrap_or_else(|| {
                let added = self.writer.add_channel(0, &frame.probe, "msgpack", &std::collections::BTreeMap::new());
                let id = added.expect("few channels");
                self.channels.insert(frame.probe.clone(), id);
                id
            });
            let body = rmp_serde::to_vec(&Named(std::slice::from_ref(frame), &self.names)).expect("a map of values");
            let time = frame.at.real_ns.map_or(0, i64::cast_unsigned);
            let sequence = u32::try_from(frame.seq).unwrap_or(0);
            let header = MessageHeader { channel_id, sequence, log_time: time, publish_time: time };
            self.writer.write_to_known_channel(&header, &body).expect("the disk takes it");
        }
    }

    fn finish(mut self: Box<Self>) -> u64 {
        self.writer.finish().expect("the disk takes it");
        self.writer.into_inner().flush().expect("the disk takes it");
        bytes_in(&self.path)
    }
}

enum Column {
    Counts(Vec<i64>),
    Numbers(Vec<f64>),
    Texts(Vec<ByteArray>),
}

impl Column {
    fn rows(&self) -> usize {
        match self {
            Self::Counts(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}

/// Parquet: a row a tick, a column a series; whole numbers as differences, everything zstd.
pub(crate) struct Wide {
    path: PathBuf,
    writer: Option<SerializedFileWriter<File>>,
    stamps: Vec<i64>,
    columns: Vec<(Column, Vec<i16>)>,
}

impl Wide {
    pub(crate) fn create(directory: &Path) -> Self {
        Self { path: directory.join("wide.parquet"), writer: None, stamps: Vec::new(), columns: Vec::new() }
    }

    fn begin(&mut self, tick: &[Frame]) {
        let mut schema = String::from("message wide { required int64 at; ");
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("a level of zstd")))
            .set_statistics_enabled(parquet::file::properties::EnabledStatistics::Chunk);
        let mut rising = |column: &str| {
            let path = ColumnPath::from(column);
            let next = std::mem::take(&mut properties).set_column_dictionary_enabled(path.clone(), false);
            properties = next.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        };
        rising("at");
        for (place, (_, reading)) in tick.iter().flat_map(|frame| &frame.samples).enumerate() {
            let (kind, column) = match reading.value() {
                Some(Value::Count(_)) => ("int64", Column::Counts(Vec::new())),
                Some(Value::Text(_)) => ("binary", Column::Texts(Vec::new())),
                _ => ("double", Column::Numbers(Vec::new())),
            };
            if matches!(column, Column::Counts(_)) {
                rising(&format!("s{place}"));
            }
            schema.push_str(&format!("optional {kind} s{place}; "));
            self.columns.push((column, Vec::new()));
        }
        schema.push('}');
        let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
        let file = File::create(&self.path).expect("the disk takes it");
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build()));
        self.writer = Some(writer.expect("the disk takes it"));
    }

    fn group(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        let mut group = writer.next_row_group().expect("the disk takes it");
        let mut stamps = group.next_column().expect("the disk takes it").expect("the first column");
        stamps.typed::<Int64Type>().write_batch(&self.stamps, None, None).expect("the disk takes it");
        stamps.close().expect("the disk takes it");
        self.stamps.clear();
        for (column, levels) in &mut self.columns {
            let mut open = group.next_column().expect("the disk takes it").expect("as many columns as series");
            let levels_of = Some(levels.as_slice());
            match column {
                Column::Counts(values) => {
                    open.typed::<Int64Type>().write_batch(values, levels_of, None).map(|_| values.clear())
                }
                Column::Numbers(values) => {
                    open.typed::<DoubleType>().write_batch(values, levels_of, None).map(|_| values.clear())
                }
                Column::Texts(values) => {
                    open.typed::<ByteArrayType>().write_batch(values, levels_of, None).map(|_| values.clear())
                }
            }
            .expect("the disk takes it");
            levels.clear();
            open.close().expect("the disk takes it");
        }
        group.close().expect("the disk takes it");
    }
}

impl Sink for Wide {
    fn name(&self) -> &'static str {
        "Parquet: a column a series, zstd, groups of 3,600"
    }

    fn tick(&mut self, tick: &[Frame]) {
        if self.writer.is_none() {
            self.begin(tick);
        }
        let at = tick.first().and_then(|frame| frame.at.mono_ns).unwrap_or(0);
        self.stamps.push(i64::try_from(at).unwrap_or(0));
        for ((_, reading), (column, levels)) in tick.iter().flat_map(|frame| &frame.samples).zip(&mut self.columns) {
            let before = column.rows();
            match (&mut *column, reading.value()) {
                (Column::Counts(values), Some(Value::Count(count))) => values.push(count.cast_signed()),
                (Column::Numbers(values), Some(Value::Number(number))) => values.push(*number),
                (Column::Texts(values), Some(Value::Text(text))) => values.push(ByteArray::from(text.raw())),
                _ => {}
            }
            levels.push(i16::from(column.rows() > before));
        }
        if self.stamps.len() == GROUP_ROWS {
            self.group();
        }
    }

    fn finish(mut self: Box<Self>) -> u64 {
        if !self.stamps.is_empty() {
            self.group();
        }
        if let Some(writer) = self.writer.take() {
            writer.close().expect("the disk takes it");
        }
        bytes_in(&self.path)
    }
}
