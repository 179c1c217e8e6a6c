//! A segment of sections being written: its header, its sections, its directory and its manifest.
//!
//! A section stands whole or is cut off again; what a failed write left behind the last whole section is overwritten.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Frame, SeriesDef};
use sha2::{Digest, Sha256};

use crate::block::Builder;
use crate::disk::{Disk, DiskFile};
use crate::format::{self, section};
use crate::header::{Header, SegmentId};
use crate::schema::Schema;
use crate::sections::{Directory, Entry, SchemaSection, pack};

/// A section, encoded and not yet on the disk.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) entry: Entry,
    pub(crate) bytes: Vec<u8>,
    pub(crate) checked: usize,
    /// How many series the schema must have told before it.
    pub(crate) series: usize,
}

/// A segment of sections being written.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    disk: Arc<dyn Disk>,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) id: SegmentId,
    pub(crate) length: u64,
    /// The same for those who do not hold its lock.
    pub(crate) grown: Arc<AtomicU64>,
    checksum: u32,
    hash: Sha256,
    schema: Schema,
    told: usize,
    /// Whether the schemas told are safe against a power cut.
    is_safe: bool,
    pub(crate) directory: Directory,
}

fn long(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl SegmentFile {
    /// A new segment with its header.
    pub(crate) fn create(disk: &Arc<dyn Disk>, path: &Path, header: &Header) -> io::Result<Self> {
        let invalid = |error| io::Error::new(ErrorKind::InvalidInput, error);
        let map = header.to_bytes().map_err(invalid)?;
        if map.len() > format::MOST_HEADER_BYTES {
            return Err(io::Error::new(ErrorKind::InvalidInput, "its header is longer than one may be"));
        }
        let id = SegmentId::random()?;
        let file = disk.create(path)?;
        let (bytes, checksum) = format::seal_header_of(format::MAGIC, format::SECTIONS_MAJOR, id.0, &map);
        if let Err(error) = file.put_at(&bytes, 0) {
            // Better no file than one without a header; one that cannot be removed is reported as empty when read.
            drop(disk.remove(path));
            return Err(error);
        }
        Ok(Self {
            disk: Arc::clone(disk),
            file,
            path: path.to_owned(),
            id,
            length: long(bytes.len()),
            grown: Arc::new(AtomicU64::new(long(bytes.len()))),
            checksum,
            hash: Sha256::new_with_prefix(&bytes),
            schema: Schema::default(),
            told: 0,
            is_safe: true,
            directory: Directory::default(),
        })
    }

    /// Takes in series that the next sections have.
    pub(crate) fn declare(&mut self, defs: impl IntoIterator<Item = SeriesDef>) {
        for def in defs {
            self.schema.add(def);
        }
    }

    /// Encodes a block or burst of Frames whose series were declared.
    pub(crate) fn encode(&self, entry: Entry, builder: Builder) -> Encoded {
        let sealed = builder.seal(&self.schema);
        Encoded { entry, bytes: sealed.bytes, checked: sealed.checked, series: self.schema.len() }
    }

    /// Writes what was in force before this segment.
    pub(crate) fn context(&mut self, frames: &[Frame]) -> io::Result<()> {
        let bytes = pack(&frames)?;
        let entry = Entry { kind: section::CONTEXT, ..Entry::default() };
        self.write(&Encoded { entry, checked: bytes.len(), bytes, series: self.schema.len() })
    }

    /// Writes a section, and the series that it needs before it.
    pub(crate) fn write(&mut self, encoded: &Encoded) -> io::Result<()> {
        if encoded.series > self.told {
            let new = self.schema.defs().get(self.told..).unwrap_or_default().to_vec();
            let bytes = pack(&SchemaSection { first: u32::try_from(self.told).ok(), ..SchemaSection::new(new) })?;
            self.put(&Entry { kind: section::SCHEMA, ..Entry::default() }, &bytes, bytes.len())?;
            self.told = self.schema.len();
            self.is_safe = false;
        }
        // After a power cut a block must not be there without its schema: it would hide the same Frames in a journal, whose
        // series have names.
        if !self.is_safe && matches!(encoded.entry.kind, section::BLOCK | section::BURST) {
            self.file.sync()?;
            self.is_safe = true;
        }
        self.put(&encoded.entry, &encoded.bytes, encoded.checked)
    }

    fn put(&mut self, entry: &Entry, payload: &[u8], checked: usize) -> io::Result<()> {
        let number = u32::try_from(self.directory.sections.len()).unwrap_or(u32::MAX);
        let head = section::seal_section(self.checksum, self.length, entry.section(number, checked), payload)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "longer than a section may be"))?;
        let bytes = [&head, payload].concat();
        self.append(&bytes)?;
        let offset = self.length - long(bytes.len());
        self.directory.sections.push(Entry { offset, length: long(payload.len()), ..entry.clone() });
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.put_at(bytes, self.length) {
            // What cannot be cut off is overwritten by the next section.
            drop(self.file.cut(self.length));
            return Err(error);
        }
        self.hash.update(bytes);
        self.length += long(bytes.len());
        self.grown.store(self.length, Ordering::Relaxed);
        Ok(())
    }

    /// Writes a section and makes it safe against a power cut; or nothing of it stands, and it can be tried again.
    pub(crate) fn write_and_sync(&mut self, encoded: &Encoded) -> io::Result<()> {
        self.or_rewind(|file| file.write(encoded).and_then(|()| file.file.sync()))
    }

    /// What could not be made safe is written anew when it is tried again: the system may have dropped it.
    fn or_rewind(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        let (length, hash, told, sections) = (self.length, self.hash.clone(), self.told, self.directory.sections.len());
        let done = work(self);
        if done.is_err() {
            (self.length, self.hash, self.told, self.is_safe) = (length, hash, told, false);
            self.directory.sections.truncate(sections);
            self.grown.store(length, Ordering::Relaxed);
            // What cannot be cut off is overwritten by the next section.
            drop(self.file.cut(length));
        }
        done
    }

    /// Writes directory, tail and manifest, and syncs.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.or_rewind(Self::write_end)
    }

    fn write_end(&mut self) -> io::Result<()> {
        let invalid = |error| io::Error::new(ErrorKind::InvalidInput, error);
        let bytes = rmp_serde::to_vec_named(&self.directory).map_err(invalid)?;
        let at = self.length;
        self.put(&Entry { kind: section::DIRECTORY, ..Entry::default() }, &bytes, bytes.len())?;
        self.append(&section::seal_tail(self.checksum, at))?;
        self.file.sync()?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digest = self.hash.clone().finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = beside(&self.path, "sha256");
        let manifest = self.disk.create(&path)?;
        let done = manifest.put_at(format!("{hex}  {name}\n").as_bytes(), 0).and_then(|()| manifest.sync());
        if done.is_err() {
            // So that it can be created when this is tried again.
            drop(self.disk.remove(&path));
        }
        done
    }
}

/// The file of this kind beside a segment.
pub(crate) fn beside(segment: &Path, kind: &str) -> PathBuf {
    let mut name = segment.as_os_str().to_owned();
    name.push(".");
    name.push(kind);
    PathBuf::from(name)
}
