//! The text of a kernel log in any of its forms → raw `kernel_line` events.
//!
//! Forms: `/dev/kmsg` records (`Documentation/ABI/testing/dev-kmsg`), `dmesg` with any `--time-format`, `-x`, `-r`,
//! `journalctl -k` with any `-o short…` and `-o json`, syslog files (RFC 3164, RFC 5424, ISO stamps), pstore, serial and
//! Talos consoles, and bare text. They may be mixed: each line is read by itself, but for two things: continuation lines
//! of a `/dev/kmsg` record belong to the record, and a delta (`[  +0.000008]`) counts from the line before.

mod date;
mod journal;
mod kmsg;
mod prefix;

use model::event::KERNEL_LINE;
use model::{Event, KernelRecord, Stamp};

pub use kmsg::{KmsgError, parse_kmsg};

/// The longest line that is read; what is beyond is cut. `/dev/kmsg` records and syslog lines are at most 8 KiB, a
/// `journalctl -o json` line is a few.
pub const MOST_LINE: usize = 64 << 10;

/// The lines of a kernel log in order, one event each; empty lines give none.
///
/// A stamp without an offset from UTC (`dmesg -T`, syslog) is taken for UTC: the offset is not in the log, and order and
/// distances are right all the same. A stamp without a year (syslog) needs [`Lines::year`], else it tells no time.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: Option<&'a [u8]>,
    number: u64,
    year: Option<i16>,
    last: Stamp,
}

impl<'a> Lines<'a> {
    /// The lines of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: Some(bytes), number: 0, year: None, last: Stamp::default() }
    }

    /// The year of stamps that do not tell theirs.
    pub fn year(self, year: Option<i16>) -> Self {
        Self { year, ..self }
    }

    fn next_line(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut parts = rest.splitn(2, |byte| *byte == b'\n');
        let line = parts.next().unwrap_or_default();
        self.rest = parts.next();
        self.number += 1;
        Some(line)
    }

    fn continuations(&mut self, record: &mut KernelRecord) {
        while let Some(line) = self.rest.and_then(|rest| rest.split(|byte| *byte == b'\n').next()) {
            let Some(pair) = kmsg::continuation(line) else { break };
            self.next_line();
            if record.dictionary.len() < kmsg::MOST_PAIRS {
                record.dictionary.push(pair);
            }
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            let line = self.next_line()?;
            let Some(Read { mut event, delta_ns }) = read(line, self.number, self.year) else { continue };
            if let Some(record) = event.record.as_mut().filter(|record| record.sequence.is_some()) {
                self.continuations(record);
            }
            if let Some(delta) = delta_ns {
                event.at = later(self.last, delta);
            }
            if event.at != Stamp::default() {
                self.last = event.at;
            }
            return Some(event);
        }
    }
}

fn later(last: Stamp, delta_ns: u64) -> Stamp {
    Stamp {
        mono_ns: last.mono_ns.and_then(|mono| mono.checked_add(delta_ns)),
        real_ns: last.real_ns.and_then(|real| real.checked_add(i64::try_from(delta_ns).ok()?)),
    }
}

/// One line by itself; `number` is its number in its file, from 1. `None` for an empty one.
pub fn parse_line(line: &[u8], number: u64) -> Option<Event> {
    read(line, number, None).map(|read| read.event)
}

struct Read {
    event: Event,
    delta_ns: Option<u64>,
}

fn read(line: &[u8], number: u64, year: Option<i16>) -> Option<Read> {
    let line = line.get(..MOST_LINE).unwrap_or(line).trim_ascii_end();
    if line.is_empty() {
        return None;
    }
    let structured = kmsg::parse_kmsg(line).ok().or_else(|| journal::read(line));
    let mut read = match structured {
        Some(event) => Read { event, delta_ns: None },
        None => plain(line, year),
    };
    if let Some(record) = &mut read.event.record {
        record.line = Some(number);
    }
    Some(read)
}

fn plain(line: &[u8], year: Option<i16>) -> Read {
    let prefix = prefix::strip(line, year);
    let record = KernelRecord {
        text: prefix.text.to_vec(),
        sequence: None,
        priority: prefix.priority,
        facility: prefix.facility,
        dictionary: Vec::new(),
        line: None,
    };
    Read { event: raw(prefix.at, record), delta_ns: prefix.delta_ns }
}

fn raw(at: Stamp, record: KernelRecord) -> Event {
    let mut event = Event::new(at, KERNEL_LINE);
    event.record = Some(record);
    event
}

#[cfg(test)]
mod tests;
