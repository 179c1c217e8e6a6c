//! A kernel log file as Frames: one for each line, at the line's own time.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::{Dictionary, Draft, Event, Frame, Stamp};

use crate::exit::Failure;

/// The most bytes of a log that are read: a gigabyte of kernel log is months of a sick node.
const MOST_BYTES: u64 = 1 << 30;

/// The most bytes of one line of a stream.
const MOST_LINE: u64 = 64 << 10;

/// A log: its bytes, and the year that its stamps leave out.
#[derive(Debug)]
pub(crate) struct Log {
    bytes: Vec<u8>,
    year: Option<i16>,
}

impl Log {
    /// Reads a file, or standard input for `-`. Syslog stamps have no year; it is that of the file's last change, or
    /// this one.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::io(format!("cannot read {}", path.display()), &error);
        let mut bytes = Vec::new();
        let mut written = engine::clock::now().real_ns;
        if path == Path::new("-") {
            io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes).map_err(cannot)?;
        } else {
            let file = File::open(path).map_err(cannot)?;
            let changed = file.metadata().map_err(cannot)?.mtime();
            written = changed.checked_mul(1_000_000_000).or(written);
            file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(cannot)?;
        }
        let year = written.and_then(|ns| jiff::Timestamp::from_nanosecond(i128::from(ns)).ok());
        Ok(Self { bytes, year: year.map(|at| jiff::tz::Offset::UTC.to_datetime(at).year()) })
    }

    /// Whether it is not text: NUL bytes do not occur in a log, and do in nearly everything that is not one.
    pub(crate) fn is_binary(&self) -> bool {
        self.bytes.iter().take(8_192).any(|byte| *byte == 0)
    }

    /// Its lines as events of kind `kernel_line`.
    pub(crate) fn events(&self) -> impl Iterator<Item = Event> {
        ::decode::Lines::new(&self.bytes).year(self.year)
    }

    /// Its lines as Frames.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Frame> {
        frames(self.events())
    }
}

/// Lines as they come, each as an event of kind `kernel_line`, from input that may never end. A line by itself does not
/// tell its year.
pub(crate) fn stream(mut input: impl BufRead) -> impl Iterator<Item = Event> {
    let mut number = 0;
    std::iter::from_fn(move || {
        loop {
            let mut line = Vec::new();
            // A line longer than any kernel writes is taken in pieces.
            let read = (&mut input).take(MOST_LINE).read_until(b'\n', &mut line).unwrap_or(0);
            if read == 0 {
                return None;
            }
            number += 1;
            if let Some(event) = ::decode::parse_line(&line, number) {
                return Some(event);
            }
        }
    })
}

/// Each line as a Frame of the kernel log probe. A line without a time of its own gets the one before it, so that order
/// stands.
fn frames(events: impl Iterator<Item = Event>) -> impl Iterator<Item = Frame> {
    let mut dictionary = Dictionary::default();
    let mut last = Stamp::default();
    let mut seq = 0;
    events.map(move |mut event| {
        if event.at == Stamp::default() {
            event.at = last;
        }
        last = event.at;
        let mut draft = Draft::new("kernel_log", event.at);
        draft.events.push(event);
        let mut frame = draft.seal(&mut dictionary);
        seq += 1;
        frame.seq = seq;
        frame
    })
}
