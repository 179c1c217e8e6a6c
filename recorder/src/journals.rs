//! Reading the journals beside a segment: what its recorder has not sealed yet.
//!
//! A journal is a chain of records and is read up to the first link that does not fit. It is read through the file once
//! opened: one that is deleted meanwhile is read to its end.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Frame;
use serde::Deserialize;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::format::{self, CONTEXT, END, FRAME, FRAMES_Z, PREFIX_BYTES};
use crate::header::SegmentId;
use crate::reader::{Buffered, Link, Place};
use crate::sections::JournalHeader;
use crate::segment::{open_file, read_up_to};
use crate::writer::RECORDER;

/// The most bytes that one record may unpack to.
const MOST_UNPACKED: usize = 64 << 20;
/// The largest window that a journal's stream may ask for, as a power of two.
const WINDOW_LOG: u32 = 20;
const MOST_DEPTH: usize = 64;

/// Which Frames of journals are news: those behind what was read before. What the recorder says itself carries the number
/// of the Frame before it, and so is news right behind one that came from a journal, too.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    /// The Frame read last.
    pub(crate) last_seq: u64,
    journaled: bool,
}

impl News {
    /// Frames up to this one were read from sections.
    pub(crate) fn sealed(&mut self, last_seq: u64) {
        if last_seq > self.last_seq {
            *self = Self { last_seq, journaled: false };
        }
    }

    /// Whether a Frame of a journal is news; it is none a second time.
    pub(crate) fn take(&mut self, frame: &Frame) -> bool {
        let own = self.journaled && frame.probe == RECORDER && frame.seq == self.last_seq;
        let news = own || frame.seq > self.last_seq;
        if news {
            *self = Self { last_seq: frame.seq, journaled: true };
        }
        news
    }
}

/// The journals of a segment by number, the first first.
pub(crate) fn list(segment: &Path) -> Vec<(u32, PathBuf)> {
    let Some(name) = segment.file_name().map(|name| name.to_string_lossy().into_owned()) else { return Vec::new() };
    let directory = segment.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let number = |path: &PathBuf| {
        let file = path.file_name()?.to_str()?;
        let digits = file.strip_prefix(&name)?.strip_prefix(".j")?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<(u32, PathBuf)> = entries.filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    found
}

/// What a journal tells next.
#[derive(Debug)]
pub(crate) enum Told {
    Frame(Frame),
    /// What was in force when the journal began.
    Context(Frame),
    /// It was closed: the next journal or segment follows.
    End,
    /// Nothing more is complete at present; `torn`: the file ends in the middle of a record.
    Nothing {
        torn: Option<String>,
    },
    /// It cannot be read any further.
    Broken(String),
}

/// A journal being read.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) path: PathBuf,
    pub(crate) number: u32,
    file: Arc<File>,
    buffered: Buffered,
    place: Place,
    unpacker: Unpacker,
    unpacked: VecDeque<Frame>,
    /// Why nothing behind the unpacked Frames can be read.
    broken: Option<String>,
    over: bool,
}

impl Journal {
    /// Opens a journal of this segment.
    pub(crate) fn open(path: &Path, segment: SegmentId) -> Result<Self, String> {
        let (file, metadata) = open_file(path, false).map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err("it is not a file".to_owned());
        }
        let start = read_up_to(&file, 0, PREFIX_BYTES).map_err(|error| error.to_string())?;
        let torn = "its header is damaged";
        let prefix = format::prefix_of(format::JOURNAL_MAGIC, &start).map_err(|_| torn)?;
        let whole = PREFIX_BYTES + prefix.header_bytes;
        let bytes = read_up_to(&file, 0, whole + 4).map_err(|error| error.to_string())?;
        let sealed = bytes.get(..whole).ok_or(torn)?;
        let told = bytes.get(whole..).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes).ok_or(torn)?;
        if format::header_checksum(sealed) != told {
            return Err(torn.to_owned());
        }
        let header: JournalHeader =
            rmp_serde::from_slice(sealed.get(PREFIX_BYTES..).unwrap_or_default()).map_err(|_| torn)?;
        if header.segment != segment.to_string() {
            return Err("it belongs to another segment".to_owned());
        }
        Ok(Self {
            path: path.to_owned(),
            number: header.number,
            file: Arc::new(file),
            buffered: Buffered::default(),
            place: Place { offset: u64::try_from(whole + 4).unwrap_or(u64::MAX), chain: told },
            unpacker: Unpacker::new().map_err(|error| error.to_string())?,
            unpacked: VecDeque::new(),
            broken: None,
            over: false,
        })
    }

    /// Where the next record begins.
    pub(crate) fn offset(&self) -> u64 {
        self.place.offset
    }

    /// Bytes from there to the end of the file.
    pub(crate) fn rest(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len()).saturating_sub(self.place.offset)
    }

    /// What comes next.
    pub(crate) fn next(&mut self) -> Told {
        loop {
            if let Some(frame) = self.unpacked.pop_front() {
                return if frame.seq == 0 { Told::Context(frame) } else { Told::Frame(frame) };
            }
            if let Some(why) = &self.broken {
                return Told::Broken(why.clone());
            }
            if self.over {
                return Told::End;
            }
            match self.buffered.link_in(&self.file, self.place) {
                Link::Record { kind, flags, payload, next } => {
                    let told = self.take(kind, flags, &payload);
                    if self.broken.is_none() {
                        self.place = next;
                    }
                    if let Some(told) = told {
                        return told;
                    }
                }
                Link::Nothing => return Told::Nothing { torn: None },
                Link::Partial { why } => return Told::Nothing { torn: Some(why) },
                Link::Broken { why } => self.broken = Some(why),
            }
        }
    }

    fn take(&mut self, kind: u8, flags: u8, payload: &[u8]) -> Option<Told> {
        if flags & format::INCOMPATIBLE != 0 {
            self.broken = Some(format!("a record (kind {kind}) that only a newer gpudeck can read"));
            return None;
        }
        let one = |payload| Frame::from_wire(payload).map_err(|error| format!("a Frame cannot be understood: {error}"));
        match kind {
            FRAME => one(payload).map(Told::Frame).map_err(|why| self.broken = Some(why)).ok(),
            CONTEXT => one(payload).map(Told::Context).map_err(|why| self.broken = Some(why)).ok(),
            END => {
                self.over = true;
                Some(Told::End)
            }
            FRAMES_Z => {
                if let Err(why) = self.unpack(payload) {
                    self.broken = Some(why);
                }
                None
            }
            _ => None,
        }
    }

    fn unpack(&mut self, payload: &[u8]) -> Result<(), String> {
        let bytes = self.unpacker.unpack(payload)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let mut bounded = rest.get(..rest.len().min(model::frame::MOST_BYTES)).unwrap_or_default();
            let before = bounded.len();
            let mut decoder = rmp_serde::Deserializer::new(&mut bounded);
            decoder.set_max_depth(MOST_DEPTH);
            let frame = Frame::deserialize(&mut decoder).map_err(|error| format!("a Frame cannot be read: {error}"))?;
            self.unpacked.push_back(frame);
            let taken = before - bounded.len();
            rest = rest.get(taken..).filter(|_| taken > 0).unwrap_or_default();
        }
        Ok(())
    }
}

/// The one zstd stream of a journal.
struct Unpacker(Decoder<'static>);

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacker")
    }
}

impl Unpacker {
    fn new() -> std::io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self(decoder))
    }

    /// What a flushed stretch of the stream holds.
    fn unpack(&mut self, packed: &[u8]) -> Result<Vec<u8>, String> {
        let (mut input, mut bytes) = (InBuffer::around(packed), Vec::new());
        let mut space = vec![0; 128 << 10];
        loop {
            let mut output = OutBuffer::around(space.as_mut_slice());
            self.0.run(&mut input, &mut output).map_err(|error| format!("it cannot be unpacked: {error}"))?;
            let written = output.pos();
            bytes.extend_from_slice(output.as_slice());
            if bytes.len() > MOST_UNPACKED {
                return Err(format!("a record unpacks to more than {MOST_UNPACKED} bytes"));
            }
            if input.pos() >= packed.len() && written < space.len() {
                return Ok(bytes);
            }
        }
    }
}
