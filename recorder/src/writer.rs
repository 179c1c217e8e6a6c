//! Writing Frames: one `write(2)` per Frame, so that a killed process loses nothing that was acknowledged.
//!
//! A disk that takes nothing (full, broken, read-only) never stops the recorder: the newest Frames wait in memory, each
//! later Frame tries again, and if some had to be dropped meanwhile, the recording says so where they are missing.

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use model::{Dictionary, Draft, Event, Frame, Inventory, SeriesDef, SeriesId, Stamp, event};
use serde::Serialize;

use crate::format;
use crate::header::{End, Header, SegmentId};
use crate::journal::Journal;
use crate::numbering::Numbering;
use crate::sync::Sync;

/// The name under which the recorder itself speaks in a recording.
pub const RECORDER: &str = "recorder";
/// How many bytes of Frames wait in memory while the disk takes nothing: some minutes of an eight-GPU node.
pub const WAITING_BYTES: usize = 16 << 20;

/// Why a recording could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is something of this name.
    #[error("`{}` exists; a recording is never overwritten: choose another name, or give a directory", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// We may not write there.
    #[error("no permission to write `{}`; choose a directory that you own, or run with sudo", path.display())]
    Denied {
        /// Which file.
        path: PathBuf,
    },
    /// The directory is not there.
    #[error("there is no directory for `{}`; create it first", path.display())]
    NoDirectory {
        /// Which file.
        path: PathBuf,
    },
    /// Another recorder writes into the directory.
    #[error("another gpudeck is recording into `{}`; stop it or choose another directory", path.display())]
    Busy {
        /// Which directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot write `{}`: {source}", path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl CreateError {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::AlreadyExists => Self::Exists { path },
            ErrorKind::PermissionDenied => Self::Denied { path },
            ErrorKind::NotFound => Self::NoDirectory { path },
            _ => Self::Refused { path, source },
        }
    }
}

/// What became of a Frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the file: a kill of this process does not lose it.
    Written,
    /// The disk takes nothing at present; it waits in memory. [`Writer::health`] says why.
    Waiting,
    /// It is larger than a Frame may be, or cannot be encoded, and is left out.
    Refused,
}

/// How recording goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Why the disk takes nothing at present; `None`: all is well.
    pub stalled: Option<String>,
    /// The instant of the first Frame that the disk did not take.
    pub since: Option<Stamp>,
    /// Frames that wait in memory.
    pub waiting: u64,
    /// Frames that were dropped because too many waited.
    pub lost: u64,
    /// How often the disk took nothing for a while.
    pub outages: u64,
    /// Frames written.
    pub frames: u64,
    /// Bytes written to the current segment.
    pub bytes: u64,
    /// Frames left out because they were too large.
    pub refused: u64,
    /// Samples left out because their series was never declared.
    pub undeclared: u64,
    /// How often the file was made safe against a power cut.
    pub syncs: u64,
    /// What went wrong with that the last time.
    pub sync_error: Option<String>,
    /// Windows around triggers that were kept in full.
    pub bursts: u64,
    /// Triggers that made an open window longer.
    pub triggers_merged: u64,
    /// Triggers beyond what is kept within an hour.
    pub triggers_left_out: u64,
}

/// A recording that could not be finished: the disk took nothing to the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording `{}` ends early: {why}; {lost} frames could not be written", path.display())]
pub struct Unfinished {
    /// Which file.
    pub path: PathBuf,
    /// What the system said.
    pub why: String,
    /// Frames that are in no segment.
    pub lost: u64,
}

/// Writes one segment.
#[derive(Debug)]
pub struct Writer {
    journal: Journal,
    numbering: Numbering,
    declared: HashSet<SeriesId>,
    inventory: Inventory,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    most_waiting: usize,
    gap: Option<Gap>,
    health: Health,
    end: End,
}

/// A record to be written, in our own series ids.
#[derive(Debug)]
struct Waiting {
    kind: u8,
    frame: Frame,
    bytes: usize,
}

/// Frames that were dropped and not yet accounted for in the recording.
#[derive(Debug)]
struct Gap {
    first: Stamp,
    last: Stamp,
    frames: u64,
    why: String,
    boot: model::BootId,
}

impl Writer {
    /// Begins a recording in a new file, readable and writable by its owner only.
    ///
    /// # Errors
    /// There is something of this name, or the system refuses.
    pub fn create(path: &Path, header: &Header, sync: Sync) -> Result<Self, CreateError> {
        let header = Header { sync: sync.to_string(), ..header.clone() };
        Ok(Self {
            journal: Journal::create(path, &header, sync)?,
            numbering: Numbering::default(),
            declared: HashSet::new(),
            inventory: Inventory::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            most_waiting: WAITING_BYTES,
            gap: None,
            health: Health::default(),
            end: End::default(),
        })
    }

    /// Lets at most so many bytes of Frames wait in memory while the disk takes nothing.
    pub fn waiting_at_most(self, bytes: usize) -> Self {
        Self { most_waiting: bytes, ..self }
    }

    /// Takes in series that were declared before this recording began.
    pub fn knows(&mut self, dictionary: &Dictionary) {
        for def in dictionary.defs() {
            self.numbering.declare(&def);
        }
    }

    /// Where it writes.
    pub fn path(&self) -> &Path {
        &self.journal.path
    }

    /// The segment's identity.
    pub fn id(&self) -> SegmentId {
        self.journal.id
    }

    /// How it goes.
    pub fn health(&self) -> Health {
        let (syncs, sync_error) = self.journal.syncer.report();
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        Health { waiting, bytes: self.journal.length, syncs, sync_error, ..self.health.clone() }
    }

    /// Writes a Frame, or keeps it until the disk takes it.
    pub fn append(&mut self, frame: &Frame) -> Appended {
        for info in &frame.entities {
            self.inventory.learn(info);
        }
        for entity in &frame.gone {
            self.inventory.forget(entity);
        }
        // Declarations are made again where a segment needs them, so that a dropped Frame takes none with it.
        let explicit: Vec<SeriesDef> = frame.declares.clone();
        let (mut frame, undeclared) = self.numbering.translate(frame.clone());
        self.health.undeclared += undeclared;
        frame.declares = explicit
            .iter()
            .filter_map(|def| self.numbering.dictionary().id(&def.key).map(|id| SeriesDef { id, key: def.key.clone() }))
            .collect();
        self.offer(format::FRAME, frame)
    }

    /// Writes what waits, and then this.
    fn offer(&mut self, kind: u8, mut frame: Frame) -> Appended {
        match self.drain() {
            Ok(()) => match self.write(kind, &mut frame) {
                Ok(()) => Appended::Written,
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    self.health.refused += 1;
                    Appended::Refused
                }
                Err(error) => self.keep(kind, frame, &error),
            },
            Err(error) => self.keep(kind, frame, &error),
        }
    }

    /// Tries to write what waits.
    fn drain(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() && self.gap.is_none() {
            return Ok(());
        }
        if let Some(gap) = self.gap.take()
            && let Err(error) = self.write(format::FRAME, &mut gap.frame())
        {
            self.gap = Some(gap);
            return Err(error);
        }
        while let Some(mut first) = self.waiting.pop_front() {
            match self.write(first.kind, &mut first.frame) {
                Ok(()) => self.waiting_bytes -= first.bytes,
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    self.waiting_bytes -= first.bytes;
                    self.health.refused += 1;
                }
                Err(error) => {
                    self.waiting.push_front(first);
                    return Err(error);
                }
            }
        }
        self.health.stalled = None;
        self.health.since = None;
        Ok(())
    }

    /// Writes a record, declaring what this segment has not declared yet.
    fn write(&mut self, kind: u8, frame: &mut Frame) -> io::Result<()> {
        let used = frame.declares.iter().map(|def| def.id).chain(frame.samples.iter().map(|(id, _)| *id));
        let mut seen = HashSet::new();
        let new: Vec<SeriesId> = used.filter(|id| !self.declared.contains(id) && seen.insert(*id)).collect();
        let dictionary = self.numbering.dictionary();
        frame.declares =
            new.iter().filter_map(|id| Some(SeriesDef { id: *id, key: dictionary.key(*id)?.clone() })).collect();
        let payload = frame.to_wire().map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        self.journal.put(kind, &payload, !frame.events.is_empty())?;
        self.declared.extend(new);
        if kind == format::FRAME {
            self.health.frames += 1;
            self.end.count(frame);
        }
        Ok(())
    }

    /// Keeps a record that the disk did not take, and drops the oldest if too much waits.
    fn keep(&mut self, kind: u8, frame: Frame, error: &io::Error) -> Appended {
        if self.health.stalled.is_none() {
            self.health.outages += 1;
            self.health.since = Some(frame.at);
        }
        self.health.stalled = Some(error.to_string());
        let bytes = frame.to_wire().map_or(0, |wire| wire.len());
        self.waiting_bytes += bytes;
        self.waiting.push_back(Waiting { kind, frame, bytes });
        while self.waiting_bytes > self.most_waiting && self.waiting.len() > 1 {
            let Some(dropped) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= dropped.bytes;
            if dropped.kind != format::FRAME {
                continue;
            }
            self.health.lost += 1;
            self.end.lost += 1;
            match &mut self.gap {
                Some(gap) => {
                    gap.last = dropped.frame.at;
                    gap.frames += 1;
                }
                None => {
                    self.gap = Some(Gap {
                        first: dropped.frame.at,
                        last: dropped.frame.at,
                        frames: 1,
                        why: error.to_string(),
                        boot: dropped.frame.boot,
                    });
                }
            }
        }
        Appended::Waiting
    }

    /// Goes on in a new segment, which begins with everything that a reader of it alone must know.
    pub(crate) fn rotate(&mut self, path: &Path, header: &Header, sync: Sync, at: Stamp) -> Result<(), CreateError> {
        let header = Header { sync: sync.to_string(), ..header.clone() };
        let next = Journal::create(path, &header, sync)?;
        // The old segment is complete either way; without its end it reads as one whose recorder was killed.
        if self.put_end().is_err() {
            self.health.outages += 1;
        }
        // Dropping it lets its thread sync once more and end; nobody waits for that here.
        self.journal = next;
        self.declared.clear();
        self.end = End::default();
        let mut context = Draft::new(RECORDER, at);
        context.boot = header.boot.clone();
        context.entities = self.inventory.iter().cloned().collect();
        self.offer(format::CONTEXT, context.seal(&mut Dictionary::default()));
        Ok(())
    }

    fn put_end(&mut self) -> io::Result<()> {
        let end = rmp_serde::to_vec_named(&self.end).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.journal.put(format::END, &end, true)
    }

    /// Writes what waits, closes the segment and makes it safe against a power cut. Blocks until the disk has answered.
    ///
    /// # Errors
    /// The disk takes nothing: what is missing. What was written before stays readable.
    pub fn finish(mut self) -> Result<Health, Unfinished> {
        let path = self.journal.path.clone();
        if let Err(error) = self.drain().and_then(|()| self.put_end()) {
            let waiting = self.waiting.iter().filter(|waiting| waiting.kind == format::FRAME).count();
            let lost = self.health.lost + u64::try_from(waiting).unwrap_or(u64::MAX);
            return Err(Unfinished { path, why: error.to_string(), lost });
        }
        let mut health = self.health();
        health.sync_error = self.journal.finish();
        Ok(health)
    }
}

impl Gap {
    /// The Frame that stands in the recording for those that were dropped.
    fn frame(&self) -> Frame {
        let missing = self.last.axis_ns().saturating_sub(self.first.axis_ns());
        let gap = Event::new(self.first, event::GAP)
            .with("probe", RECORDER)
            .with("missing_ns", i64::try_from(missing).unwrap_or(i64::MAX))
            .with("frames", i64::try_from(self.frames).unwrap_or(i64::MAX))
            .with("why", self.why.as_str());
        let mut draft = Draft::new(RECORDER, self.last);
        draft.boot = self.boot.clone();
        draft.events.push(gap);
        draft.seal(&mut Dictionary::default())
    }
}

impl End {
    fn count(&mut self, frame: &Frame) {
        if self.frames == 0 {
            self.first = frame.at;
        }
        self.frames += 1;
        self.samples += u64::try_from(frame.samples.len()).unwrap_or(u64::MAX);
        self.events += u64::try_from(frame.events.len()).unwrap_or(u64::MAX);
        self.last = frame.at;
    }
}
