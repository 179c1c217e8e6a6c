//! One segment file being written: its bytes, its chain, its lock. Knows nothing of Frames.
//!
//! A record is written with one `pwrite(2)` at the known end. What a full disk left of a record is cut off again; should
//! even that fail, the chain makes the remains harmless and the next record overwrites them.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::format;
use crate::header::{Header, SegmentId};
use crate::segment::flags_of;
use crate::sync::{Needed, Sync, Syncer};
use crate::writer::CreateError;

#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    pub(crate) path: PathBuf,
    pub(crate) id: SegmentId,
    /// Good bytes: up to here the chain is whole.
    pub(crate) length: u64,
    chain: u32,
    /// Bytes behind `length` could not be cut off.
    remains: bool,
    pub(crate) syncer: Syncer,
}

impl Journal {
    /// A new segment with its header. Never opens a file that is there, nor one behind a link.
    pub(crate) fn create(path: &Path, header: &Header, sync: Sync) -> Result<Self, CreateError> {
        let failed = |source: io::Error| CreateError::new(path, source);
        let map = header.to_bytes().map_err(|error| failed(io::Error::new(ErrorKind::InvalidInput, error)))?;
        if map.len() > format::MOST_HEADER_BYTES {
            let why =
                format!("its header would have {} bytes; at most {} are taken", map.len(), format::MOST_HEADER_BYTES);
            return Err(failed(io::Error::new(ErrorKind::InvalidInput, why)));
        }
        let id = SegmentId::random().map_err(failed)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(flags_of(OFlags::NOFOLLOW))
            .open(path)
            .map_err(failed)?;
        // Readers tell by the lock that the segment is being written; they hold it for an instant themselves when they
        // look. Without it everything else still works.
        let _held = (0..100).any(|_| file.try_lock().map_err(|_| std::thread::yield_now()).is_ok());
        let (bytes, chain) = format::seal_header(id.0, &map);
        let started = write_all_at(&file, &bytes, 0).and_then(|()| {
            let directory = path.parent().and_then(|parent| {
                File::open(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }).ok()
            });
            let needed = directory.map(|directory| Box::new(move || directory.sync_all()) as Needed);
            Syncer::start(sync, std::sync::Arc::new(file.try_clone()?), needed)
        });
        let syncer = started.map_err(|source| {
            // Better no file than one without a header; if it cannot be removed, it is reported as empty when read.
            drop(std::fs::remove_file(path));
            failed(source)
        })?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Self { file, path: path.to_owned(), id, length, chain, remains: false, syncer })
    }

    /// Appends a record. Once this returns, a kill of this process does not lose it.
    pub(crate) fn put(&mut self, kind: u8, payload: &[u8], event: bool) -> io::Result<()> {
        let (bytes, chain) = format::seal_record(kind, 0, payload, self.chain)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "longer than a record may be"))?;
        if self.remains {
            self.file.set_len(self.length)?;
            self.remains = false;
        }
        if let Err(error) = write_all_at(&self.file, &bytes, self.length) {
            self.remains = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.chain = chain;
        self.syncer.wrote(event);
        Ok(())
    }

    /// Syncs once more and waits for that; what went wrong with it.
    pub(crate) fn finish(self) -> Option<String> {
        let Self { file, syncer, .. } = self;
        let error = syncer.finish();
        drop(file);
        error
    }
}

fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset + u64::try_from(written).unwrap_or(u64::MAX)) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
