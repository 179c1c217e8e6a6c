//! A recording in a directory: segments of bounded size and age, each of which can be read alone.
//!
//! A segment carries its place in the order of reading in its header: wall clocks step, and file names follow them. One
//! recorder at a time writes into a directory (it holds a lock on it).

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use model::time::NS_PER_S;
use model::{Dictionary, Frame, Stamp};

use crate::header::Header;
use crate::open::{EXTENSION, segment_paths};
use crate::segment::Segment;
use crate::sync::Sync;
use crate::writer::{Appended, CreateError, Health, Unfinished, Writer};

/// A segment is closed when it has this many bytes.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// A segment is closed when it spans this long, nanoseconds.
pub const SEGMENT_NS: u64 = 3600 * NS_PER_S;

/// Writes segments into a directory.
#[derive(Debug)]
pub struct Segments {
    directory: PathBuf,
    header: Header,
    sync: Sync,
    writer: Writer,
    began: Stamp,
    most_bytes: u64,
    most_ns: u64,
    rotation_error: Option<String>,
    /// Held while we live: one recorder per directory.
    _lock: File,
}

impl Segments {
    /// Begins a segment in a directory, which is created (mode 0750) if it is missing.
    ///
    /// # Errors
    /// Another recorder writes there, or the system refuses.
    pub fn create(directory: &Path, header: &Header, sync: Sync) -> Result<Self, CreateError> {
        let failed = |source: io::Error| CreateError::new(directory, source);
        if !directory.is_dir() {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new().mode(0o750).create(directory).map_err(failed)?;
        }
        let lock = File::open(directory).map_err(failed)?;
        match lock.try_lock() {
            // A file system without locks: the segments still never overwrite each other.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Err(CreateError::Busy { path: directory.to_owned() }),
        }
        let paths = segment_paths(directory).map_err(|error| failed(io::Error::other(error)))?;
        let ordinals = paths.iter().filter_map(|path| Some(Segment::open(path, false).ok()?.header.ordinal));
        let header = Header { ordinal: ordinals.max().unwrap_or(0).saturating_add(1), ..header.clone() };
        let writer = begin(directory, header.created, |path| Writer::create(path, &header, sync))?;
        Ok(Self {
            directory: directory.to_owned(),
            began: header.created,
            header,
            sync,
            writer,
            most_bytes: SEGMENT_BYTES,
            most_ns: SEGMENT_NS,
            rotation_error: None,
            _lock: lock,
        })
    }

    /// Closes segments at this size or age (nanoseconds) instead of the usual.
    pub fn rotating_at(self, bytes: u64, ns: u64) -> Self {
        Self { most_bytes: bytes, most_ns: ns, ..self }
    }

    /// Takes in series that were declared before this recording began.
    pub fn knows(&mut self, dictionary: &Dictionary) {
        self.writer.knows(dictionary);
    }

    /// Writes a Frame, or keeps it until the disk takes it; begins a new segment first if it is time.
    pub fn append(&mut self, frame: &Frame) -> Appended {
        let aged = frame.at.axis_ns().saturating_sub(self.began.axis_ns()) >= self.most_ns;
        let health = self.writer.health();
        if (aged || health.bytes >= self.most_bytes) && health.stalled.is_none() {
            self.rotate(frame.at);
        }
        self.writer.append(frame)
    }

    /// A new segment; if the system refuses, the old one goes on and the next Frame tries again.
    pub fn rotate(&mut self, at: Stamp) {
        let header = Header { ordinal: self.header.ordinal + 1, created: at, ..self.header.clone() };
        let Self { writer, directory, sync, .. } = self;
        match begin(directory, at, |path| writer.rotate(path, &header, *sync, at)) {
            Ok(()) => {
                self.began = at;
                self.header = header;
                self.rotation_error = None;
            }
            Err(error) => self.rotation_error = Some(error.to_string()),
        }
    }

    /// The segment being written.
    pub fn path(&self) -> &Path {
        self.writer.path()
    }

    /// How it goes; a new segment that could not be begun counts as stalled.
    pub fn health(&self) -> Health {
        let health = self.writer.health();
        Health { stalled: health.stalled.or_else(|| self.rotation_error.clone()), ..health }
    }

    /// Writes what waits and closes the last segment. Blocks until the disk has answered.
    ///
    /// # Errors
    /// The disk takes nothing: what is missing.
    pub fn finish(self) -> Result<Health, Unfinished> {
        self.writer.finish()
    }
}

/// Begins a segment under a name that is free: `seg-<UTC>.gdk`, with a number behind it within the same second.
fn begin<T>(
    directory: &Path,
    at: Stamp,
    mut create: impl FnMut(&Path) -> Result<T, CreateError>,
) -> Result<T, CreateError> {
    let stem = format!("seg-{}", basic_time(at));
    let mut last = create(&directory.join(format!("{stem}.{EXTENSION}")));
    for number in 2..1000 {
        match last {
            Err(CreateError::Exists { .. }) => {
                last = create(&directory.join(format!("{stem}-{number:03}.{EXTENSION}")))
            }
            done => return done,
        }
    }
    last
}

/// `20261123T163400Z`; the seconds since boot where the wall clock is not known.
pub(crate) fn basic_time(at: Stamp) -> String {
    let real = at.real_ns.and_then(|ns| jiff::Timestamp::from_nanosecond(i128::from(ns)).ok());
    real.map_or_else(
        || format!("boot+{}s", at.axis_ns() / NS_PER_S),
        |real| real.strftime("%Y%m%dT%H%M%SZ").to_string(),
    )
}
