//! A kernel log in a plain file: what is there is history, what is appended later is new. The file may be cut short or
//! replaced under the same name (log rotation); both begin it anew.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::{Event, Stamp};
use rustix::fs::{Mode, OFlags};

use super::batch::Batch;
use crate::Outlet;

/// A line longer than this is cut; the kernel's own limit is 8 KiB.
const MOST_LINE: usize = 16 << 10;
/// How much is read at a time.
const CHUNK: usize = 64 << 10;
/// How often the file is looked at once its end is reached, nanoseconds.
const LOOK_NS: u64 = 200_000_000;

/// What the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Records as `/dev/kmsg` gives them: a line each, continuation lines begin with a space.
    Records,
    /// Lines of `dmesg`, or a syslog daemon's file of the kernel's lines alone.
    Text,
    /// A syslog daemon's file of everybody's lines: only those tagged `kernel:` are the kernel's.
    Mixed,
}

/// Lines of a file that may grow. Pure: it is fed with bytes.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
    whole: VecDeque<Vec<u8>>,
    joins: bool,
}

impl Lines {
    /// Takes in bytes; whole lines become items, and with `joins` a line that begins with a space belongs to the one
    /// before it.
    fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            let room = MOST_LINE.saturating_sub(self.partial.len());
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.partial.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
            if ends {
                self.end_line();
            }
        }
    }

    /// A last line without newline is one, too.
    fn end(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.partial);
        match self.whole.back_mut() {
            Some(before) if self.joins && line.first() == Some(&b' ') => {
                if before.len() < MOST_LINE {
                    before.push(b'\n');
                    before.extend_from_slice(&line);
                }
            }
            _ => self.whole.push_back(line),
        }
    }
}

/// The file, and how far it has been read.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: File,
    form: Form,
    /// The instant of boot on both clocks, where the tree tells it.
    anchor: Option<Stamp>,
    lines: Lines,
    /// How much there was at the start.
    history: u64,
    read: u64,
    /// Number of the last line, where it was counted from the first.
    line: Option<u64>,
}

impl Tail {
    /// Opens a plain file.
    ///
    /// # Errors
    /// The system's; [`ErrorKind::NotFound`] for what is no plain file.
    pub fn open(path: &Path, form: Form, anchor: Option<Stamp>) -> io::Result<Self> {
        let file = open(path)?;
        let lines = Lines { joins: form == Form::Records, ..Lines::default() };
        let history = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, form, anchor, lines, history, read: 0, line: Some(0) })
    }

    /// Leaves out all but the last `most` bytes of history.
    pub fn skip_to_last(&mut self, most: u64) {
        let skipped = self.history.saturating_sub(most);
        if skipped > 0 && self.file.seek(SeekFrom::Start(skipped)).is_ok() {
            // It begins somewhere inside a line, and nobody counted those before it.
            (self.read, self.line) = (skipped, None);
        }
    }

    /// Hands every line on, and waits for more. False once nobody listens any more; true when the file is gone.
    pub fn follow(&mut self, outlet: &Outlet, batch: &mut Batch<'_>) -> bool {
        loop {
            let backlog = self.read < self.history;
            match self.read_chunk() {
                Ok(0) => {
                    if !self.rest(outlet, batch) {
                        return false;
                    }
                    if self.was_replaced() {
                        match Self::open(&self.path, self.form, self.anchor) {
                            // Whatever is in the new file was written after we began.
                            Ok(anew) => *self = Self { history: 0, ..anew },
                            Err(_) => return true,
                        }
                    }
                }
                Ok(_) => {
                    // The last record may still get continuation lines, but none that were there at the start.
                    let keep = usize::from(self.read != self.history);
                    if !self.hand_on(keep, backlog, outlet, batch) {
                        return false;
                    }
                }
                Err(error) => {
                    batch.mention("read the kernel log file", &error.to_string());
                    return batch.idle_until(now(outlet).saturating_add(super::TRY_AGAIN_NS));
                }
            }
        }
    }

    /// The end of the file was reached: waits a little.
    fn rest(&mut self, outlet: &Outlet, batch: &mut Batch<'_>) -> bool {
        let untouched = self.read <= self.history;
        if untouched {
            // A captured file may lack the newline behind its last line.
            self.lines.end();
        }
        self.hand_on(0, untouched, outlet, batch) && batch.idle_until(now(outlet).saturating_add(LOOK_NS))
    }

    fn read_chunk(&mut self) -> io::Result<usize> {
        let mut bytes = [0; CHUNK];
        // History and news never come in one piece, so that each line is told as what it is.
        let left = self.history.checked_sub(self.read).filter(|left| *left > 0);
        let most = left.and_then(|left| usize::try_from(left).ok()).map_or(CHUNK, |left| left.min(CHUNK));
        let room = bytes.get_mut(..most).unwrap_or_default();
        let length = loop {
            match self.file.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(length) => break length,
            }
        };
        self.read = self.read.saturating_add(length as u64);
        self.lines.feed(room.get(..length).unwrap_or_default());
        Ok(length)
    }

    fn hand_on(&mut self, keep: usize, backlog: bool, outlet: &Outlet, batch: &mut Batch<'_>) -> bool {
        while self.lines.whole.len() > keep {
            let Some(line) = self.lines.whole.pop_front() else { break };
            let number = self.line.map(|before| before.saturating_add(1));
            self.line = number.map(|number| number.saturating_add(continuations(&line)));
            let Some(mut event) = self.event(&line, number) else { continue };
            if event.at == Stamp::default() && !backlog {
                // A stamp without a year tells no time, but it was written just now.
                event.at = outlet.now();
            }
            if !batch.push(Event { backlog, ..event }) {
                return false;
            }
        }
        !outlet.stopping()
    }

    /// The line as a raw event; `None` for a line that is not the kernel's.
    fn event(&self, line: &[u8], number: Option<u64>) -> Option<Event> {
        let mut event = match self.form {
            Form::Mixed if !is_kernels(line) => return None,
            // A continuation line without its record, or something else: not a record.
            Form::Records => decode::parse_kmsg(line).ok()?,
            Form::Text | Form::Mixed => decode::parse_line(line, 0)?,
        };
        if let Some(anchor) = self.anchor {
            event.at = event.at.align(anchor);
        }
        if let Some(record) = &mut event.record {
            record.line = number;
        }
        Some(event)
    }

    /// Whether the file was cut short, or its name leads to another one.
    fn was_replaced(&self) -> bool {
        let same = |here: &Metadata, there: &Metadata| (here.dev(), here.ino()) == (there.dev(), there.ino());
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(here), Ok(there)) => here.len() < self.read || !same(&here, &there),
            // Between two files of a rotation: look again.
            _ => false,
        }
    }
}

/// The first word that ends in a colon is the tag of a syslog line; no stamp and no host does.
fn is_kernels(line: &[u8]) -> bool {
    line.split(|byte| *byte == b' ').find(|word| word.ends_with(b":")) == Some(b"kernel:".as_slice())
}

fn continuations(line: &[u8]) -> u64 {
    line.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn open(path: &Path) -> io::Result<File> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::NotFound, "not a plain file"));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

fn now(outlet: &Outlet) -> u64 {
    outlet.now().mono_ns.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(joins: bool, pieces: &[&str]) -> Vec<String> {
        let mut lines = Lines { joins, ..Lines::default() };
        for piece in pieces {
            lines.feed(piece.as_bytes());
        }
        lines.end();
        lines.whole.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn continuation_lines_belong_to_their_record() {
        let pieces = ["5,0,0,-;one\n SUBSYS", "TEM=pci\n DEVICE=x\n6,1,0,-;two\n"];
        assert_eq!(lines(true, &pieces), ["5,0,0,-;one\n SUBSYSTEM=pci\n DEVICE=x", "6,1,0,-;two"]);
        assert_eq!(lines(false, &[" a\n", " b"]), [" a", " b"]);
    }

    #[test]
    fn a_tag_in_the_text_does_not_make_a_line_the_kernels() {
        assert!(is_kernels(b"Nov 23 16:34:00 gpu-7 kernel: [ 12.5] NVRM: Xid"));
        assert!(is_kernels(b"2026-11-23T16:34:00.123+00:00 gpu-7 kernel: NVRM: Xid"));
        assert!(!is_kernels(b"Nov 23 16:34:00 gpu-7 app[77]: kernel: NVRM: Xid"));
        assert!(!is_kernels(b"no tag"));
    }

    #[test]
    fn a_line_without_end_takes_no_more_than_a_lines_memory() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.feed(&[b'x'; CHUNK]);
        }
        assert_eq!(lines.partial.len(), MOST_LINE);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_reads_end(text in "[a ;\n]{0,60}", cut in 0usize..60) {
            let (head, rest) = text.split_at(cut.min(text.len()));
            prop_assert_eq!(lines(true, &[head, rest]), lines(true, &[&text]));
        }
    }
}
