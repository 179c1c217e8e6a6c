//! Records along their chain, as they stand in a file.
//!
//! Every byte is looked at once, in order, with positioned reads: a file that grows or is torn while we read is the
//! normal case. What lies behind the first link that does not fit is not used.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::format::{RECORD_BYTES, RecordHead};
use crate::segment::{Segment, read_up_to};

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// Where reading of a segment stands: the next record's offset, and the checksum of the record before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) chain: u32,
}

impl Place {
    pub(crate) fn first_of(segment: &Segment) -> Self {
        Self { offset: segment.first_record, chain: segment.chain }
    }
}

/// What stands at a place.
#[derive(Debug)]
pub(crate) enum Link {
    /// A record that fits the chain.
    Record { kind: u8, flags: u8, payload: Vec<u8>, next: Place },
    /// The file ends here, between two records.
    Nothing,
    /// The file ends in the middle of a record: torn, or still being written.
    Partial { why: String },
    /// What stands here does not continue the chain.
    Broken { why: String },
}

/// A file with the bytes last read from it.
#[derive(Debug, Default)]
pub(crate) struct Buffered {
    file: Option<Arc<File>>,
    bytes: Vec<u8>,
    start: u64,
}

impl Buffered {
    /// The link at a place.
    pub(crate) fn link(&mut self, segment: &Segment, place: Place) -> Link {
        let file = match self.file.take().map_or_else(|| segment.file(), Ok) {
            Ok(file) => file,
            Err(error) => return Link::Broken { why: format!("it cannot be read: {error}") },
        };
        let link = self.link_in(&file, place);
        self.file = Some(file);
        link
    }

    pub(crate) fn link_in(&mut self, file: &File, place: Place) -> Link {
        let link = self.link_as_read(file, place);
        if matches!(link, Link::Record { .. } | Link::Nothing) {
            return link;
        }
        // A writer may have cut off and rewritten what we read a moment ago.
        self.bytes.clear();
        self.link_as_read(file, place)
    }

    fn link_as_read(&mut self, file: &File, place: Place) -> Link {
        let unreadable = |error: io::Error| Link::Broken { why: format!("it cannot be read: {error}") };
        let head = match self.bytes(file, place.offset, RECORD_BYTES) {
            Ok([]) => return Link::Nothing,
            Ok(bytes) => match bytes.first_chunk::<RECORD_BYTES>() {
                Some(head) => *head,
                None => {
                    return Link::Partial { why: format!("{} of a record's first {RECORD_BYTES} bytes", bytes.len()) };
                }
            },
            Err(error) => return unreadable(error),
        };
        let head = match RecordHead::parse(head) {
            Ok(head) => head,
            Err(told) => {
                return Link::Broken { why: format!("a record of {told} bytes is announced, more than any has") };
            }
        };
        let payload = match self.bytes(file, place.offset + RECORD_BYTES as u64, head.length) {
            Ok(payload) if payload.len() < head.length => {
                let why = format!("{} of a record's {} bytes", payload.len(), head.length);
                return Link::Partial { why };
            }
            Ok(payload) => payload,
            Err(error) => return unreadable(error),
        };
        let expected = head.expected(place.chain, payload);
        if expected != head.checksum {
            let why = format!("checksum {:08x} was found, {expected:08x} would continue the chain", head.checksum);
            return Link::Broken { why };
        }
        let next = Place { offset: place.offset + (RECORD_BYTES + head.length) as u64, chain: head.checksum };
        Link::Record { kind: head.kind, flags: head.flags, payload: payload.to_vec(), next }
    }

    /// Up to `count` bytes from an offset on; fewer where the file ends.
    fn bytes(&mut self, file: &File, offset: u64, count: usize) -> io::Result<&[u8]> {
        let within = |start: u64, length: usize| {
            let skip = usize::try_from(offset.checked_sub(start)?).ok()?;
            (skip.checked_add(count)? <= length).then_some(skip)
        };
        let skip = match within(self.start, self.bytes.len()) {
            Some(skip) => skip,
            None => {
                self.bytes = read_up_to(file, offset, count.max(READ_BYTES))?;
                self.start = offset;
                0
            }
        };
        let end = (skip + count).min(self.bytes.len());
        Ok(self.bytes.get(skip..end).unwrap_or_default())
    }
}
