//! MCAP (mcap.dev/spec), which Foxglove and PlotJuggler open: a channel for each entity, a message for each Frame that
//! tells of it, as JSON with a schema or as MessagePack maps by name.
//!
//! A message has the metrics by name with `_` for `.` (a dot separates fields in the message paths of both programs), null
//! where there is no value, and `quality` with the reason for each that is not good. Event messages lie in `/events`.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use ::mcap::records::{MessageHeader, Metadata};
use ::mcap::write::NoSeek;
use ::mcap::{Compression, McapError, WriteOptions, Writer};
use model::catalogue::{EntityKind, Kind, Metric, all};
use model::{Dictionary, Entity, Event, Frame, Stamp, Value};
use serde_json::{Map, Value as Json, json};

use super::row::{happened, injected, told};
use super::{Exported, walk};
use crate::header::Facts;
use crate::open::Recording;

/// Channels are numbered with 16 bits; entities beyond this many share one channel for each kind (processes come and go).
const MOST_CHANNELS: usize = 60_000;

/// How messages are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON with a JSON schema: Foxglove and PlotJuggler.
    #[default]
    Json,
    /// MessagePack maps by name, without a schema: smaller; PlotJuggler.
    MessagePack,
}

/// Writes a whole recording, in the order of recording. `out` need not seek.
///
/// # Errors
/// The output takes nothing.
pub fn mcap(recording: &Recording, out: impl Write, encoding: Encoding) -> io::Result<Exported> {
    let options = WriteOptions::new()
        .compression(Some(Compression::Zstd))
        .compression_threads(0)
        .library(concat!("gpudeck ", env!("CARGO_PKG_VERSION")))
        .disable_seeking(true);
    let writer = options.create(NoSeek::new(out)).map_err(refused)?;
    let mut file = File { writer, encoding, channels: HashMap::new(), shared: HashMap::new() };
    file.metadata("gpudeck", facts(recording))?;
    let mut exported = Exported::default();
    exported.damage = walk(recording, |frame, dictionary| {
        exported.samples += file.samples(frame, dictionary)?;
        for event in &frame.events {
            file.event(event, frame)?;
            exported.events += 1;
        }
        Ok(())
    })?;
    for found in &exported.damage {
        let numbers = [("offset", found.offset.to_string()), ("bytes_lost", found.bytes_lost.to_string())];
        let texts = [("segment", found.segment.clone()), ("why", found.why.clone())];
        file.metadata("damage", numbers.into_iter().chain(texts).map(|(key, told)| (key.to_owned(), told)).collect())?;
    }
    file.writer.finish().map_err(refused)?;
    file.writer.into_inner().into_inner().flush()?;
    Ok(exported)
}

/// What a Frame tells of one entity, by metric.
#[derive(Default)]
struct Told {
    values: Map<String, Json>,
    qualities: Map<String, Json>,
}

struct File<W: Write> {
    writer: Writer<NoSeek<W>>,
    encoding: Encoding,
    channels: HashMap<Entity, u16>,
    shared: HashMap<String, u16>,
}

impl<W: Write> File<W> {
    fn metadata(&mut self, name: &str, metadata: BTreeMap<String, String>) -> io::Result<()> {
        self.writer.write_metadata(&Metadata { name: name.to_owned(), metadata }).map_err(refused)
    }

    /// A message for each entity that the Frame tells of; how many samples they hold.
    fn samples(&mut self, frame: &Frame, dictionary: &Dictionary) -> io::Result<u64> {
        let mut messages: BTreeMap<&Entity, Told> = BTreeMap::new();
        let mut samples = 0;
        for (id, reading) in &frame.samples {
            let Some(key) = dictionary.key(*id) else { continue };
            let Told { values, qualities } = messages.entry(&key.entity).or_default();
            let (name, told) = (field(key.metric.as_str()), told(reading));
            let value = told.value.map_or(Json::Null, value);
            if value.is_null() && told.value.is_some() {
                qualities.insert(name.clone(), json!({ "is": "not finite" }));
            } else if told.quality != "good" {
                let mut why = json!({ "is": told.quality });
                for (name, number) in [("age_ns", told.age_ns), ("since_mono_ns", told.since_mono_ns)] {
                    if let Some(number) = number {
                        why[name] = json!(number);
                    }
                }
                if let Some(call) = told.call {
                    why["call"] = json!(call);
                }
                qualities.insert(name.clone(), why);
            }
            values.insert(name, value);
            samples += 1;
        }
        for (entity, Told { values, qualities }) in messages {
            let channel = self.channel_of(entity)?;
            let mut message = start(frame);
            message.insert("entity".to_owned(), json!(entity));
            message.insert("quality".to_owned(), Json::Object(qualities));
            message.extend(values);
            self.write(channel, frame.seq, frame.at, frame.at, &Json::Object(message))?;
        }
        Ok(samples)
    }

    fn event(&mut self, event: &Event, frame: &Frame) -> io::Result<()> {
        let at = happened(event, frame);
        let mut message = start(frame);
        message.insert("event".to_owned(), json!(event.kind));
        message.insert("entity".to_owned(), json!(event.entity));
        message.insert("at".to_owned(), json!(at.rfc3339()));
        message.insert("backlog".to_owned(), json!(event.backlog));
        message.insert("fields".to_owned(), json!(event.fields));
        if let Some(record) = &event.record {
            message.insert("injected".to_owned(), json!(injected(record)));
            message.insert("text".to_owned(), json!(String::from_utf8_lossy(&record.text)));
        }
        let channel = self.channel("/events", || json!({ "title": "gpudeck event", "type": "object" }))?;
        self.write(channel, frame.seq, frame.at, at, &Json::Object(message))
    }

    fn channel_of(&mut self, entity: &Entity) -> io::Result<u16> {
        if let Some(channel) = self.channels.get(entity) {
            return Ok(*channel);
        }
        let kind = entity.kind();
        if self.channels.len() >= MOST_CHANNELS {
            return self.channel(&format!("/{}", kind.word()), || schema(kind));
        }
        let channel = self.add(&topic(entity), schema(kind))?;
        self.channels.insert(entity.clone(), channel);
        Ok(channel)
    }

    fn channel(&mut self, topic: &str, schema: impl FnOnce() -> Json) -> io::Result<u16> {
        if let Some(channel) = self.shared.get(topic) {
            return Ok(*channel);
        }
        let channel = self.add(topic, schema())?;
        self.shared.insert(topic.to_owned(), channel);
        Ok(channel)
    }

    fn add(&mut self, topic: &str, schema: Json) -> io::Result<u16> {
        let (schema, encoding) = match self.encoding {
            Encoding::Json => {
                let name = schema["title"].as_str().unwrap_or("gpudeck").to_owned();
                let schema = serde_json::to_vec(&schema)?;
                (self.writer.add_schema(&name, "jsonschema", &schema).map_err(refused)?, "json")
            }
            Encoding::MessagePack => (0, "msgpack"),
        };
        self.writer.add_channel(schema, topic, encoding, &BTreeMap::new()).map_err(refused)
    }

    /// `recorded` is the Frame's instant, `happened` that of what it tells.
    fn write(&mut self, channel_id: u16, seq: u64, recorded: Stamp, happened: Stamp, message: &Json) -> io::Result<()> {
        let bytes = match self.encoding {
            Encoding::Json => serde_json::to_vec(message)?,
            Encoding::MessagePack => rmp_serde::to_vec_named(message).map_err(io::Error::other)?,
        };
        // 0: not numbered, as the specification has it.
        let sequence = u32::try_from(seq).unwrap_or(0);
        let header = MessageHeader {
            channel_id,
            sequence,
            log_time: nanoseconds(recorded),
            publish_time: nanoseconds(happened),
        };
        self.writer.write_to_known_channel(&header, &bytes).map_err(refused)
    }
}

/// The wall clock where it is known, else the monotonic one.
fn nanoseconds(at: Stamp) -> u64 {
    at.real_ns.and_then(|real| u64::try_from(real).ok()).or(at.mono_ns).unwrap_or(0)
}

fn start(frame: &Frame) -> Map<String, Json> {
    let mut start = Map::new();
    start.insert("mono_ns".to_owned(), json!(frame.at.mono_ns));
    start.insert("seq".to_owned(), json!(frame.seq));
    start.insert("probe".to_owned(), json!(frame.probe));
    start
}

fn value(value: &Value) -> Json {
    match value {
        Value::Count(count) => json!(count),
        // Null where it is infinite: JSON has no word for it.
        Value::Number(number) => json!(number),
        Value::Flag(flag) => json!(flag),
        Value::Text(text) => json!(text.raw()),
    }
}

fn field(metric: &str) -> String {
    metric.replace('.', "_")
}

/// `gpu:GPU-12` is `/gpu/GPU-12`, `mount:/data` is `/mount/data`.
fn topic(entity: &Entity) -> String {
    let target = entity.to_string();
    match target.split_once(':') {
        Some((kind, name)) => format!("/{kind}/{}", name.trim_start_matches('/')),
        None => format!("/{target}"),
    }
}

/// The schema of a kind of entity: every metric that the catalogue gives it. Others may come.
fn schema(kind: EntityKind) -> Json {
    let mut properties = Map::new();
    for name in ["mono_ns", "seq"] {
        properties.insert(name.to_owned(), json!({ "type": "integer" }));
    }
    for name in ["probe", "entity"] {
        properties.insert(name.to_owned(), json!({ "type": "string" }));
    }
    properties.insert("quality".to_owned(), json!({ "type": "object" }));
    for metric in all().filter(|metric| metric.entity == kind) {
        properties.insert(field(metric.name), property(metric));
    }
    json!({ "title": format!("gpudeck {}", kind.word()), "type": "object", "properties": properties })
}

fn property(metric: &Metric) -> Json {
    let types = match metric.kind {
        Kind::Counter { .. } => json!(["integer", "null"]),
        Kind::Gauge => json!(["number", "null"]),
        Kind::State | Kind::Info => json!(["number", "boolean", "string", "null"]),
    };
    let unit = match metric.unit.symbol() {
        "" => String::new(),
        symbol => format!(", {symbol}"),
    };
    json!({ "type": types, "description": format!("{}{unit}: {}", metric.name, metric.meaning) })
}

/// The header's facts.
fn facts(recording: &Recording) -> BTreeMap<String, String> {
    let header = recording.header();
    let own = [
        ("gpudeck", header.gpudeck.clone()),
        ("boot", header.boot.0.clone()),
        ("created", header.created.rfc3339().unwrap_or_default()),
        ("interval_ns", header.interval_ns.to_string()),
    ];
    let told = |section: &'static str, facts: &Facts| -> Vec<(String, String)> {
        facts.iter().map(|(name, fact)| (format!("{section}.{name}"), fact.raw().to_owned())).collect()
    };
    let mut facts: BTreeMap<String, String> = own.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect();
    facts.extend(told("host", &header.host));
    facts.extend(told("driver", &header.driver));
    facts
}

fn refused(error: McapError) -> io::Error {
    match error {
        McapError::Io(error) => error,
        other => io::Error::other(other),
    }
}
