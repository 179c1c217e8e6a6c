//! One JSON object a line, for `jq` and scripts; the lines are described in `docs/format.md`.
//!
//! Text from outside is passed on as it is, with JSON's escapes and nothing else: a script wants the bytes, and what
//! prints them must clean them.

use std::io::{self, Write};

use model::{Dictionary, Event, Frame, Quality, Reading, Value};
use serde_json::{Map, Value as Json, json};

use super::row::{happened, injected};
use super::{Exported, walk};
use crate::open::Recording;

/// Writes a whole recording, in the order in which it was recorded. What could not be read has a line each at the end.
///
/// # Errors
/// The output takes nothing.
pub fn jsonl(recording: &Recording, out: impl Write) -> io::Result<Exported> {
    let mut out = Lines { out };
    let mut exported = Exported::default();
    out.line(&header(recording))?;
    exported.damage = walk(recording, |frame, dictionary| {
        exported.samples += out.frame(frame, dictionary)?;
        exported.events += frame.events.len() as u64;
        Ok(())
    })?;
    for found in &exported.damage {
        out.line(&json!({ "damage": found }))?;
    }
    out.out.flush()?;
    Ok(exported)
}

struct Lines<W> {
    out: W,
}

impl<W: Write> Lines<W> {
    fn line(&mut self, line: &Json) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }

    /// A Frame's lines; how many samples they hold.
    fn frame(&mut self, frame: &Frame, dictionary: &Dictionary) -> io::Result<u64> {
        let start = start(frame);
        let mut samples = 0;
        for info in &frame.entities {
            self.line(&with(&start, json!({ "known": info })))?;
        }
        for entity in &frame.gone {
            self.line(&with(&start, json!({ "gone": entity })))?;
        }
        for (id, reading) in &frame.samples {
            let Some(key) = dictionary.key(*id) else { continue };
            let unit = key.metric.metric().map_or("", |metric| metric.unit.symbol());
            let mut line = with(&start, json!({ "entity": key.entity, "metric": key.metric, "unit": unit }));
            merge(&mut line, told(reading));
            self.line(&line)?;
            samples += 1;
        }
        for event in &frame.events {
            self.line(&with(&start, about(event, frame)))?;
        }
        for fault in &frame.faults {
            self.line(&with(&start, json!({ "fault": fault })))?;
        }
        Ok(samples)
    }
}

fn header(recording: &Recording) -> Json {
    let header = recording.header();
    json!({ "recording": {
        "gpudeck": header.gpudeck,
        "boot": header.boot,
        "at": header.created.rfc3339(),
        "mono_ns": header.created.mono_ns,
        "interval_ns": header.interval_ns,
        "host": header.host,
        "driver": header.driver,
        "segments": recording.segments().iter().map(|segment| segment.id).collect::<Vec<_>>(),
    } })
}

/// What every line of a Frame begins with.
fn start(frame: &Frame) -> Json {
    json!({ "at": frame.at.rfc3339(), "mono_ns": frame.at.mono_ns, "probe": frame.probe, "seq": frame.seq })
}

/// The value, or why there is none.
fn told(reading: &Reading) -> Json {
    match (reading, reading.quality()) {
        (Reading::Stale(value, age), _) => json!({ "value": number(value), "quality": "stale", "age_ns": age }),
        (_, Quality::Stuck { since, call }) => json!({ "quality": "stuck", "since_mono_ns": since, "call": call }),
        (Reading::Good(value), _) => json!({ "value": number(value) }),
        (_, quality) => json!({ "quality": quality }),
    }
}

/// JSON has no infinities; they are written as text.
fn number(value: &Value) -> Json {
    match value {
        Value::Number(number) if !number.is_finite() => json!(number.to_string()),
        value => json!(value),
    }
}

/// An event; its own instant (`event_at`) may differ from that of the Frame that carries it. A clock that its source
/// does not know is filled in from the Frame's two.
fn about(event: &Event, frame: &Frame) -> Json {
    let at = happened(event, frame);
    let mut line = json!({
        "event": event.kind,
        "event_at": at.rfc3339(),
        "event_mono_ns": at.mono_ns,
        "entity": event.entity,
        "fields": event.fields,
        "backlog": event.backlog,
    });
    if let Some(record) = &event.record {
        merge(
            &mut line,
            json!({ "injected": injected(record), "record": {
                "text": String::from_utf8_lossy(&record.text),
                "sequence": record.sequence,
                "priority": record.priority,
                "facility": record.facility,
                "dictionary": record.dictionary,
                "line": record.line,
            } }),
        );
        if let (Err(_), Some(Json::Object(record_line))) = (std::str::from_utf8(&record.text), line.get_mut("record")) {
            let hex: String = record.text.iter().map(|byte| format!("{byte:02x}")).collect();
            record_line.insert("text_hex".to_owned(), json!(hex));
        }
    }
    line
}

fn with(start: &Json, more: Json) -> Json {
    let mut line = start.clone();
    merge(&mut line, more);
    line
}

fn merge(line: &mut Json, more: Json) {
    if let (Json::Object(line), Json::Object(more)) = (line, more) {
        let more: Map<String, Json> = more;
        line.extend(more);
    }
}
