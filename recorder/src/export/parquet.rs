//! Parquet, partitioned as Hive does it: `dt=YYYY-MM-DD/node=NAME/part-N.parquet` with one long table of samples, and the
//! same below `events/`. Dictionaries and zstd make a column of names almost nothing, so that the long form costs little.
//!
//! Text is as it came: what prints it must clean it.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::data_type::ByteArray;
use model::{Event, Frame, Reading, SeriesKey, Stamp, Value};
use rustix::fs::OFlags;

use super::row::{PerSeries, happened, injected, kind, real_us, told};
use super::{Exported, walk};
use crate::open::Recording;

mod columns;
use columns::{Cell, Part, Table};

const SAMPLES: &str = "message sample {
    optional int64 time (TIMESTAMP(MICROS,true));
    optional int64 mono_ns (INTEGER(64,false));
    required binary boot (STRING);
    required int64 seq (INTEGER(64,false));
    required binary probe (STRING);
    required binary entity_kind (STRING);
    required binary entity (STRING);
    required binary metric (STRING);
    required binary unit (STRING);
    required binary kind (STRING);
    optional double value;
    optional int64 count (INTEGER(64,false));
    optional binary text (STRING);
    required binary quality (STRING);
    optional int64 age_ns (INTEGER(64,false));
    optional int64 since_mono_ns (INTEGER(64,false));
    optional binary call (STRING);
}";

const EVENTS: &str = "message event {
    optional int64 time (TIMESTAMP(MICROS,true));
    optional int64 mono_ns (INTEGER(64,false));
    required binary boot (STRING);
    required int64 seq (INTEGER(64,false));
    required binary probe (STRING);
    optional int64 recorded (TIMESTAMP(MICROS,true));
    required binary event (STRING);
    optional binary entity_kind (STRING);
    optional binary entity (STRING);
    required boolean backlog;
    optional boolean injected;
    optional int64 priority;
    optional int64 facility;
    optional int64 sequence (INTEGER(64,false));
    optional binary text (STRING);
    optional binary raw;
    required binary fields (JSON);
}";

/// Frames of several probes interleave around midnight, so that two days are written at once.
const MOST_OPEN: usize = 2;

/// Writes the samples and the events of a whole recording below a directory that this makes.
///
/// # Errors
/// The directory exists already, or the disk takes nothing.
pub fn parquet(recording: &Recording, directory: &Path) -> io::Result<Exported> {
    DirBuilder::new().mode(0o700).create(directory)?;
    let node = recording.header().host.get("hostname").map_or("", model::Untrusted::raw);
    let mut samples = Partitions::new(directory.to_owned(), node, SAMPLES)?;
    let mut events = Partitions::new(directory.join("events"), node, EVENTS)?;
    let mut about = PerSeries::default();
    let mut exported = Exported::default();
    exported.damage = walk(recording, |frame, dictionary| {
        if !frame.samples.is_empty() {
            let start = start(frame, frame.at);
            let part = samples.of(frame.at)?;
            for (id, reading) in &frame.samples {
                let Some(key) = dictionary.key(*id) else { continue };
                let about = about.of(*id, || series(key));
                part.push(start.iter().chain(about).cloned().chain(reading_cells(reading)))?;
                exported.samples += 1;
            }
        }
        for event in &frame.events {
            let at = happened(event, frame);
            events.of(at)?.push(start(frame, at).into_iter().chain(event_cells(event, frame)))?;
            exported.events += 1;
        }
        Ok(())
    })?;
    samples.finish()?;
    events.finish()?;
    Ok(exported)
}

fn start(frame: &Frame, at: Stamp) -> [Cell; 5] {
    [
        Cell::Int(real_us(at)),
        Cell::count(at.mono_ns),
        Cell::text(&frame.boot.0),
        Cell::count(Some(frame.seq)),
        Cell::text(&frame.probe),
    ]
}

fn series(key: &SeriesKey) -> [Cell; 5] {
    let metric = key.metric.metric();
    [
        Cell::text(key.entity.kind().word()),
        Cell::text(&key.entity.to_string()),
        Cell::text(key.metric.as_str()),
        Cell::text(metric.map_or("", |metric| metric.unit.symbol())),
        Cell::text(kind(metric)),
    ]
}

fn reading_cells(reading: &Reading) -> [Cell; 7] {
    let told = told(reading);
    [
        Cell::Double(told.value.and_then(Value::as_f64)),
        Cell::count(told.value.and_then(Value::as_count)),
        Cell::Text(told.value.and_then(Value::as_text).map(|text| ByteArray::from(text.raw()))),
        Cell::text(told.quality),
        Cell::count(told.age_ns),
        Cell::count(told.since_mono_ns),
        Cell::Text(told.call.map(ByteArray::from)),
    ]
}

fn event_cells(event: &Event, frame: &Frame) -> [Cell; 12] {
    let record = event.record.as_ref();
    let raw = record.filter(|record| std::str::from_utf8(&record.text).is_err());
    let entity = event.entity.as_ref();
    [
        Cell::Int(real_us(frame.at)),
        Cell::text(&event.kind),
        Cell::Text(entity.map(|entity| ByteArray::from(entity.kind().word()))),
        Cell::Text(entity.map(|entity| ByteArray::from(entity.to_string().into_bytes()))),
        Cell::Flag(Some(event.backlog)),
        Cell::Flag(record.and_then(injected)),
        Cell::Int(record.and_then(|record| record.priority).map(i64::from)),
        Cell::Int(record.and_then(|record| record.facility).map(i64::from)),
        Cell::count(record.and_then(|record| record.sequence)),
        Cell::Text(record.map(|record| ByteArray::from(&*String::from_utf8_lossy(&record.text)))),
        Cell::Text(raw.map(|record| ByteArray::from(record.text.as_slice()))),
        Cell::text(&serde_json::to_string(&event.fields).unwrap_or_default()),
    ]
}

/// One table, a file for each day and then some.
struct Partitions {
    directory: PathBuf,
    node: String,
    table: Arc<Table>,
    /// The days being written, the one used last at the end.
    open: Vec<(String, Part)>,
    /// How many parts each day has.
    parts: BTreeMap<String, u32>,
}

impl Partitions {
    fn new(directory: PathBuf, node: &str, schema: &str) -> io::Result<Self> {
        let node = if node.is_empty() { "unknown".to_owned() } else { escaped(node) };
        let table = Arc::new(Table::new(schema)?);
        Ok(Self { directory, node, table, open: Vec::new(), parts: BTreeMap::new() })
    }

    /// Where a row of this instant goes.
    fn of(&mut self, at: Stamp) -> io::Result<&mut Part> {
        let day = day(at);
        let found = self.open.iter().position(|(open, part)| *open == day && !part.is_full());
        let part = match found {
            Some(place) => self.open.remove(place),
            None => {
                if let Some(full) = self.open.iter().position(|(open, _)| *open == day) {
                    self.open.remove(full).1.finish()?;
                }
                if self.open.len() >= MOST_OPEN {
                    self.open.remove(0).1.finish()?;
                }
                let file = self.create(&day)?;
                (day, Part::new(file, &self.table)?)
            }
        };
        self.open.push(part);
        Ok(&mut self.open.last_mut().expect("one was pushed").1)
    }

    fn create(&mut self, day: &str) -> io::Result<File> {
        let directory = self.directory.join(format!("dt={day}")).join(format!("node={}", self.node));
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let part = self.parts.entry(day.to_owned()).or_default();
        let path = directory.join(format!("part-{part}.parquet"));
        *part += 1;
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)
    }

    fn finish(self) -> io::Result<()> {
        self.open.into_iter().try_for_each(|(_, part)| part.finish())
    }
}

/// The day by the wall clock, UTC.
fn day(at: Stamp) -> String {
    let real = at.real_ns.and_then(|ns| jiff::Timestamp::from_nanosecond(i128::from(ns)).ok());
    real.map_or_else(|| "unknown".to_owned(), |real| real.strftime("%Y-%m-%d").to_string())
}

/// A node's name as one component of a path, as Hive escapes it.
fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes().take(200) {
        match byte {
            b'.' | b'-' | b'_' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn refused(error: ::parquet::errors::ParquetError) -> io::Error {
    match error {
        ::parquet::errors::ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_name_stays_one_component_of_a_path() {
        assert_eq!(escaped("gpu-07.cluster"), "gpu-07.cluster");
        assert_eq!(escaped("../x=y"), "..%2Fx%3Dy");
    }

    #[test]
    fn a_row_without_a_wall_clock_has_a_place_too() {
        assert_eq!(day(Stamp { mono_ns: Some(1), real_ns: None }), "unknown");
        assert_eq!(day(Stamp::new(1, 1_795_451_640_123_000_000)), "2026-11-23");
    }
}
