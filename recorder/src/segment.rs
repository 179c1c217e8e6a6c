//! One segment file, opened: its header checked, its records yet to be read.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;

use crate::format::{self, BadPrefix};
use crate::header::{Header, SegmentId};
use crate::layout::Layout;
use crate::open::OpenError;
use crate::schemas::{self, Series};

/// The length of a file of sections, what was found then, and its series.
type Found = (u64, Option<Arc<Layout>>, Option<Arc<Series>>);

/// One segment of a recording.
#[derive(Debug)]
pub struct Segment {
    /// Where it lies.
    pub path: PathBuf,
    /// Its identity.
    pub id: SegmentId,
    /// Major and minor version of its format.
    pub version: (u16, u16),
    /// What it says about itself.
    pub header: Header,
    pub(crate) first_record: u64,
    pub(crate) chain: u32,
    /// `None`: opened by name each time.
    file: Option<Arc<File>>,
    /// What was found out about its sections, and the length it had then.
    found: Mutex<Found>,
    /// Shared by the segments of a recording.
    schemas: Arc<schemas::Cache>,
}

impl Segment {
    /// Its length now; a segment that is being written grows.
    pub fn bytes(&self) -> u64 {
        self.file().and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len())
    }

    /// Whether a recorder is writing it at this moment (it holds a lock while it does).
    pub fn is_live(&self) -> bool {
        let Ok(file) = self.file() else { return false };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => true,
            Ok(()) => {
                // A lock that could not be given back ends with the file.
                drop(file.unlock());
                false
            }
            // A file system without locks cannot tell.
            Err(TryLockError::Error(_)) => false,
        }
    }

    pub(crate) fn open(path: &Path, follow_links: bool) -> Result<Self, OpenError> {
        let (file, metadata) = open_file(path, follow_links)?;
        if !metadata.is_file() {
            return Err(OpenError::NotAFile { path: path.to_owned() });
        }
        let unreadable = |source| OpenError::Unreadable { path: path.to_owned(), source };
        let start = read_up_to(&file, 0, format::PREFIX_BYTES.max(512)).map_err(unreadable)?;
        if start.is_empty() {
            return Err(OpenError::Empty { path: path.to_owned() });
        }
        let torn = |why: String| OpenError::TornHeader { path: path.to_owned(), why };
        let prefix = format::prefix(&start).map_err(|bad| match bad {
            BadPrefix::NotOurs => not_ours(path, &start),
            BadPrefix::Version(major, minor) => OpenError::Newer { path: path.to_owned(), found: (major, minor) },
            BadPrefix::Torn(why) => torn(why),
        })?;
        let whole = format::PREFIX_BYTES + prefix.header_bytes;
        let bytes = read_up_to(&file, 0, whole + 4).map_err(unreadable)?;
        let told = bytes.get(whole..whole + 4).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
        let Some(told) = told else {
            return Err(torn(format!("{} of its {} bytes are there", bytes.len(), whole + 4)));
        };
        let sealed = bytes.get(..whole).unwrap_or_default();
        let found = format::header_checksum(sealed);
        if found != told {
            return Err(torn(format!("it has checksum {found:08x}, {told:08x} was written")));
        }
        let map = sealed.get(format::PREFIX_BYTES..).unwrap_or_default();
        let header = Header::from_bytes(map).map_err(|error| torn(format!("it cannot be understood: {error}")))?;
        Ok(Self {
            path: path.to_owned(),
            id: SegmentId(prefix.id),
            version: prefix.version,
            header,
            first_record: u64::try_from(whole + 4).unwrap_or(u64::MAX),
            chain: told,
            file: Some(Arc::new(file)),
            found: Mutex::default(),
            schemas: Arc::default(),
        })
    }

    /// The open file.
    pub(crate) fn file(&self) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let again = Self::open(&self.path, false).map_err(io::Error::other)?;
        match again.file {
            Some(file) if again.id == self.id && again.chain == self.chain => Ok(file),
            _ => Err(io::Error::other("another segment has taken its name")),
        }
    }

    /// Whether it consists of sections; otherwise of records.
    pub(crate) fn has_sections(&self) -> bool {
        self.version.0 == format::SECTIONS_MAJOR
    }

    /// Its sections; found again when it has grown.
    pub(crate) fn layout(&self) -> io::Result<Arc<Layout>> {
        let file = self.file()?;
        let length = file.metadata()?.len();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let (at, Some(layout), _) = &*found
            && *at == length
        {
            return Ok(Arc::clone(layout));
        }
        let layout = Arc::new(Layout::read(self, &file));
        found.0 = length;
        found.1 = Some(Arc::clone(&layout));
        Ok(layout)
    }

    /// The series of its sections.
    pub(crate) fn series(&self, file: &File, layout: &Layout) -> Arc<Series> {
        let before = self.found.lock().unwrap_or_else(PoisonError::into_inner).2.clone();
        let series = schemas::read(self, file, layout, before, &self.schemas);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).2 = Some(Arc::clone(&series));
        series
    }

    /// Shares what is read of schemas with other segments.
    pub(crate) fn share(&mut self, schemas: &Arc<schemas::Cache>) {
        self.schemas = Arc::clone(schemas);
    }

    /// Keeps no file open between readings.
    pub(crate) fn let_go(&mut self) {
        self.file = None;
    }
}

pub(crate) fn open_file(path: &Path, follow_links: bool) -> Result<(File, Metadata), OpenError> {
    // NONBLOCK: opening a pipe would wait for its writer.
    let flags = if follow_links { OFlags::NONBLOCK } else { OFlags::NONBLOCK | OFlags::NOFOLLOW };
    let opened = OpenOptions::new().read(true).custom_flags(flags_of(flags)).open(path);
    let opened = opened.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    opened.map_err(|source| match source.kind() {
        ErrorKind::NotFound => OpenError::Missing { path: path.to_owned() },
        ErrorKind::PermissionDenied => OpenError::Denied { path: path.to_owned() },
        _ if source.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            OpenError::NotAFile { path: path.to_owned() }
        }
        _ if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            OpenError::NotAFile { path: path.to_owned() }
        }
        _ => OpenError::Unreadable { path: path.to_owned(), source },
    })
}

/// Flags as the standard library takes them.
#[allow(clippy::cast_possible_wrap, reason = "open(2) takes an int; its flags lie in the low 31 bits")]
pub(crate) fn flags_of(flags: OFlags) -> i32 {
    flags.bits() as i32
}

/// Up to `most` bytes from `offset` on; fewer at the end of the file.
pub(crate) fn read_up_to(file: &File, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let there = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; most.min(usize::try_from(there).unwrap_or(usize::MAX))];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + u64::try_from(filled).unwrap_or(u64::MAX)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// First bytes, what they mean, what to do.
const OTHER_FILES: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "it is compressed with gzip", "unpack it with gunzip first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", "unpack it with `zstd -d` first"),
    (b"\xfd7zXZ\0", "it is compressed with xz", "unpack it with unxz first"),
    (b"GPUDECKJ", "it is the journal of a segment that was not closed", "give the .gdk file beside it"),
    (b"PK\x03\x04", "it is a zip archive", "unpack it first"),
    (b"\x89MCAP0\r\n", "it is an MCAP file", "gpudeck writes MCAP (`export --to mcap`) but does not read it"),
    (b"PAR1", "it is a Parquet file", "gpudeck writes Parquet (`export --to parquet`) but does not read it"),
    (b"SQLite format 3\0", "it is an SQLite database", "give a .gdk file or a directory of them"),
    (b"\x7fELF", "it is a program", "give a .gdk file or a directory of them"),
    (b"{", "it looks like JSON", "an export cannot be read back; give the .gdk file it was made from"),
];

/// What a kernel log in plain text begins with or holds in its first lines.
const LOG_WORDS: &[&str] = &["kernel:", "NVRM:", "Linux version", "] pci", "] nvidia"];

fn not_ours(path: &Path, start: &[u8]) -> OpenError {
    let text = String::from_utf8_lossy(start);
    let printable = !start.iter().any(|byte| *byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t' | 0x1b));
    let bracket = text.trim_start().starts_with(['[', '<']);
    let (looks, advice) = match OTHER_FILES.iter().find(|(magic, ..)| start.starts_with(magic)) {
        Some((_, looks, advice)) => (*looks, *advice),
        None if printable && (bracket || LOG_WORDS.iter().any(|word| text.contains(word))) => {
            ("it looks like a kernel log in plain text", "use `gpudeck diagnose FILE` or `gpudeck decode FILE`")
        }
        None if printable => {
            ("it is plain text", "give a .gdk file or a directory of them (a kernel log: `gpudeck decode FILE`)")
        }
        None if start.iter().all(|byte| *byte == 0) => (
            "it begins with zeros, as a file does that a power cut caught before its data was on the disk",
            "nothing of it can be read; look for other segments beside it",
        ),
        None => ("its first bytes are not those of a segment", "give a .gdk file or a directory of them"),
    };
    OpenError::NotOurs { path: path.to_owned(), looks, advice }
}
