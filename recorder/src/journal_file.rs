//! A journal being written: the Frames of the open block, on the disk as soon as they are acknowledged.
//!
//! One zstd stream runs through a journal and is flushed after each record, so that a Frame costs what is new in it. A
//! journal whose disk refused a record is given up: its stream has gone on without those bytes.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Frame;
use zstd::stream::write::Encoder;

use crate::disk::{Disk, DiskFile};
use crate::format;
use crate::header::SegmentId;
use crate::sections::JournalHeader;

const LEVEL: i32 = 1;
const WINDOW_LOG: u32 = 20;

/// A journal being written.
pub(crate) struct JournalFile {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
    /// Its length when it began, with its context.
    began: u64,
    chain: u32,
    stream: Encoder<'static, Vec<u8>>,
}

impl std::fmt::Debug for JournalFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalFile").field("path", &self.path).field("length", &self.length).finish_non_exhaustive()
    }
}

impl JournalFile {
    /// A new journal that can be read alone: it begins with this context.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        path: &Path,
        header: &JournalHeader,
        context: &[Frame],
    ) -> io::Result<Self> {
        let invalid = |error| io::Error::new(ErrorKind::InvalidInput, error);
        let map = rmp_serde::to_vec_named(header).map_err(invalid)?;
        let mut stream = Encoder::new(Vec::new(), LEVEL)?;
        stream.window_log(WINDOW_LOG)?;
        let id = SegmentId::random()?.0;
        let (mut bytes, mut chain) = format::seal_header_of(format::JOURNAL_MAGIC, format::SECTIONS_MAJOR, id, &map);
        for frame in context {
            stream.write_all(&frame.to_wire().map_err(invalid)?)?;
        }
        // Thousands of series by name: a tenth of the bytes, and the stream has learnt their names.
        stream.flush()?;
        let packed = std::mem::take(stream.get_mut());
        let (record, next) = format::seal_record(format::FRAMES_Z, 0, &packed, chain).ok_or_else(too_long)?;
        bytes.extend(record);
        chain = next;
        let file = disk.create(path)?;
        if let Err(error) = file.put_at(&bytes, 0) {
            drop(disk.remove(path));
            return Err(error);
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Self { file, path: path.to_owned(), length, began: length, chain, stream })
    }

    /// Writes Frames as one record. Once this returns, a kill of this process does not lose them. After an error the
    /// journal must not be written any more.
    pub(crate) fn append(&mut self, wires: &[Vec<u8>]) -> io::Result<u64> {
        for wire in wires {
            self.stream.write_all(wire)?;
        }
        self.stream.flush()?;
        let chunk = std::mem::take(self.stream.get_mut());
        self.put(format::FRAMES_Z, &chunk)
    }

    /// Bytes of Frames in it: what it had to repeat at its start is not counted.
    pub(crate) fn grown(&self) -> u64 {
        self.length - self.began
    }

    /// Says that the next journal or segment follows.
    pub(crate) fn end(&mut self) -> io::Result<u64> {
        self.put(format::END, &[0x80])
    }

    fn put(&mut self, kind: u8, payload: &[u8]) -> io::Result<u64> {
        let (record, chain) = format::seal_record(kind, 0, payload, self.chain).ok_or_else(too_long)?;
        if let Err(error) = self.file.put_at(&record, self.length) {
            // The chain makes what cannot be cut off harmless.
            drop(self.file.cut(self.length));
            return Err(error);
        }
        let bytes = u64::try_from(record.len()).unwrap_or(u64::MAX);
        (self.length, self.chain) = (self.length + bytes, chain);
        Ok(bytes)
    }
}

fn too_long() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "longer than a record may be")
}
