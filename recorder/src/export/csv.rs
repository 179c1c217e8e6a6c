//! One long table of samples, and one of events, as RFC 4180 has it: fields with a comma, a quote or a line break are
//! quoted, lines end in CR LF.
//!
//! CSV is opened in spreadsheets and printed on terminals. So text from outside has its control and reordering characters
//! made visible, and where it begins as a formula would (`=`, `+`, `-`, `@`) an apostrophe goes before it (OWASP, "CSV
//! injection"). Whoever wants the bytes takes `jsonl` or `parquet`.

use std::borrow::Cow;
use std::io::{self, Write};

use model::text::{clean, clean_json};
use model::{Event, Frame, Reading, SeriesKey, Stamp, Value};

use super::row::{PerSeries, happened, injected, kind, told};
use super::{Exported, walk};
use crate::open::Recording;

const SAMPLES: &str = "time,mono_ns,boot,seq,probe,entity_kind,entity,metric,kind,unit,value,text,quality,age_ns,\
                       since_mono_ns,call\r\n";

const EVENTS: &str = "time,mono_ns,boot,seq,probe,recorded,event,entity_kind,entity,backlog,injected,priority,facility,\
                      sequence,text,fields\r\n";

/// No text from outside is longer than this in a cell, in graphemes; a kernel line has at most a few thousand bytes.
const MOST_GRAPHEMES: usize = 32_000;

/// Writes the samples of a whole recording, in the order of recording, and its events if there is a place for them
/// (else they are counted as left out).
///
/// # Errors
/// An output takes nothing.
pub fn csv(recording: &Recording, mut out: impl Write, mut events: Option<&mut dyn Write>) -> io::Result<Exported> {
    let mut exported = Exported::default();
    out.write_all(SAMPLES.as_bytes())?;
    if let Some(events) = &mut events {
        events.write_all(EVENTS.as_bytes())?;
    }
    let mut about = PerSeries::default();
    exported.damage = walk(recording, |frame, dictionary| {
        let start = start(frame, frame.at);
        for (id, reading) in &frame.samples {
            let Some(key) = dictionary.key(*id) else { continue };
            let about = about.of(*id, || series(key));
            writeln_crlf(&mut out, &[&start, about, &reading_cells(reading)])?;
            exported.samples += 1;
        }
        for event in &frame.events {
            match &mut events {
                Some(events) => {
                    let start = self::start(frame, happened(event, frame));
                    writeln_crlf(events, &[&start, &event_cells(event, frame)])?;
                    exported.events += 1;
                }
                None => exported.left_out += 1,
            }
        }
        Ok(())
    })?;
    out.flush()?;
    if let Some(events) = &mut events {
        events.flush()?;
    }
    Ok(exported)
}

/// Groups of cells that are joined already.
fn writeln_crlf(out: &mut impl Write, groups: &[&str]) -> io::Result<()> {
    for (place, group) in groups.iter().enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        out.write_all(group.as_bytes())?;
    }
    out.write_all(b"\r\n")
}

fn start(frame: &Frame, at: Stamp) -> String {
    let mono = number(at.mono_ns);
    join(&[&time(at), &mono, &outside(&frame.boot.0), &frame.seq.to_string(), &outside(&frame.probe)])
}

fn series(key: &SeriesKey) -> String {
    let metric = key.metric.metric();
    join(&[
        key.entity.kind().word(),
        &outside(&key.entity.to_string()),
        &outside(key.metric.as_str()),
        kind(metric),
        metric.map_or("", |metric| metric.unit.symbol()),
    ])
}

fn reading_cells(reading: &Reading) -> String {
    let told = told(reading);
    let (value, text) = match told.value {
        Some(Value::Count(count)) => (count.to_string(), Cow::default()),
        // The shortest digits that read back as the same number.
        Some(Value::Number(number)) => (number.to_string(), Cow::default()),
        Some(Value::Flag(flag)) => (u8::from(*flag).to_string(), Cow::default()),
        Some(Value::Text(text)) => (String::new(), outside(text.raw())),
        None => (String::new(), Cow::default()),
    };
    let call = told.call.map(outside).unwrap_or_default();
    join(&[&value, &text, told.quality, &number(told.age_ns), &number(told.since_mono_ns), &call])
}

fn event_cells(event: &Event, frame: &Frame) -> String {
    let entity = event.entity.as_ref();
    let record = event.record.as_ref();
    let flag = |flag: Option<bool>| flag.map_or("", |flag| if flag { "1" } else { "0" });
    let text = record.map(|record| String::from_utf8_lossy(&record.text)).unwrap_or_default();
    let fields = serde_json::to_string(&event.fields).unwrap_or_default();
    join(&[
        &time(frame.at),
        &outside(&event.kind),
        entity.map_or("", |entity| entity.kind().word()),
        &outside(&entity.map(ToString::to_string).unwrap_or_default()),
        flag(Some(event.backlog)),
        flag(record.and_then(injected)),
        &number(record.and_then(|record| record.priority)),
        &number(record.and_then(|record| record.facility)),
        &number(record.and_then(|record| record.sequence)),
        &outside(&text),
        &quoted(&clean_json(&fields)),
    ])
}

fn join(cells: &[&str]) -> String {
    cells.join(",")
}

fn number(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// RFC 3339 UTC with microseconds; empty where only the monotonic clock is known.
fn time(at: Stamp) -> String {
    let real =
        at.real_ns.and_then(|ns| jiff::Timestamp::from_nanosecond(i128::from(ns).div_euclid(1_000) * 1_000).ok());
    real.map(|real| format!("{real:.6}")).unwrap_or_default()
}

/// A cell of text from outside.
fn outside(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'/' | b' ');
    let formula = text.starts_with(['=', '+', '-', '@']);
    if !formula && text.bytes().all(|byte| plain(byte) || byte == b'-') {
        return Cow::Borrowed(text);
    }
    let shown = clean(text, MOST_GRAPHEMES);
    Cow::Owned(quoted(&if formula { format!("'{shown}") } else { shown }).into_owned())
}

fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\r', '\n']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_one_cell_and_no_formula() {
        assert_eq!(outside("plain text-1"), "plain text-1");
        assert_eq!(outside("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(outside("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(outside("-1+cmd"), "'-1+cmd");
        assert_eq!(outside("one\r\ntwo\x1b[31m"), "one␍␊two␛[31m");
    }

    #[test]
    fn what_is_missing_is_an_empty_cell_with_its_reason() {
        assert_eq!(reading_cells(&Reading::from(0u64)), "0,,good,,,");
        assert_eq!(reading_cells(&Reading::Lost), ",,lost,,,");
        assert_eq!(reading_cells(&Reading::Stuck(7, "statfs".to_owned())), ",,stuck,,7,statfs");
        assert_eq!(reading_cells(&Reading::Stale(Value::Flag(true), 9)), "1,,stale,9,,");
        assert_eq!(reading_cells(&Reading::from(0.1 + 0.2)), "0.30000000000000004,,good,,,");
        assert_eq!(reading_cells(&Reading::from(u64::MAX)), "18446744073709551615,,good,,,");
    }

    #[test]
    fn times_have_microseconds() {
        let at = Stamp { mono_ns: None, real_ns: Some(1_795_451_640_123_456_789) };
        assert_eq!(time(at), "2026-11-23T16:34:00.123456Z");
        assert_eq!(time(Stamp::default()), "");
    }
}
