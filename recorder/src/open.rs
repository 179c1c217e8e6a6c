//! Opening a recording: one segment, or a directory of them in the order in which they were written.
//!
//! A file that is torn or still being written opens; a file that is something else says what it looks like.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Stamp;
use serde::Serialize;

use crate::format::{MAJOR, SECTIONS_MAJOR};
use crate::header::Header;
use crate::reader::Frames;
use crate::sealed::Wanted;
use crate::segment::{Segment, open_file};

/// With more segments than this, a file is opened when it is read: a month of hourly segments is more than a process
/// may have open.
const MOST_OPEN: usize = 128;

/// The file name extension of a segment.
pub const EXTENSION: &str = "gdk";

/// Why a recording could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing there.
    #[error("there is no `{}`; `gpudeck record --out PATH` makes a recording", path.display())]
    Missing {
        /// Where we looked.
        path: PathBuf,
    },
    /// We may not read it.
    #[error(
        "no permission to read `{}`: recordings are readable by their owner only; run as that user or with sudo",
        path.display()
    )]
    Denied {
        /// Which file.
        path: PathBuf,
    },
    /// A device, a socket, a pipe.
    #[error("`{}` is neither a file nor a directory; copy the recording to a file first", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// A file without a byte.
    #[error(
        "`{}` is empty: its recorder ended, or its disk was full, before the header was written; nothing was recorded in it",
        path.display()
    )]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// Some other file.
    #[error("`{}` is not a gpudeck recording: {looks}; {advice}", path.display())]
    NotOurs {
        /// Which file.
        path: PathBuf,
        /// What it looks like.
        looks: &'static str,
        /// What to do with it.
        advice: &'static str,
    },
    /// A later version of the format.
    #[error(
        "`{}` has format version {}.{}; this gpudeck reads {MAJOR}.x and {SECTIONS_MAJOR}.x: open it with a newer gpudeck",
        path.display(), found.0, found.1
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Major and minor version found.
        found: (u16, u16),
    },
    /// It begins like a segment, and its header is damaged or ends too early.
    #[error(
        "the header of `{}` is damaged: {why}; nothing can be read without it, the other segments of its directory are \
         not affected",
        path.display()
    )]
    TornHeader {
        /// Which file.
        path: PathBuf,
        /// What was found and expected.
        why: String,
    },
    /// A directory without segments.
    #[error("there is no recording in the directory `{}` (no *.gdk file)", path.display())]
    NoSegments {
        /// Which directory.
        path: PathBuf,
    },
    /// The system could not read it.
    #[error("cannot read `{}`: {source}; copy what can be read to another disk and run `gpudeck recover`", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A stretch of a recording that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Which file.
    pub segment: String,
    /// The first byte that cannot be relied on.
    pub offset: u64,
    /// What was found and expected.
    pub why: String,
    /// How many bytes from there on are lost: to the end of the file, or of the section.
    pub bytes_lost: u64,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { segment, offset, why, bytes_lost } = self;
        write!(f, "{segment}: damaged from byte {offset}: {why}; {bytes_lost} bytes behind it cannot be relied on")
    }
}

/// A recording: its segments in the order of writing.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    segments: Vec<Segment>,
    unopened: Vec<Damage>,
}

impl Recording {
    /// Opens a segment, or a directory of segments. A segment of a directory that cannot be opened is damage
    /// ([`Recording::unopened`]), as long as there is another one.
    ///
    /// # Errors
    /// What is wrong and what to do next.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (file, metadata) = open_file(path, true)?;
        drop(file);
        if !metadata.is_dir() {
            let segments = vec![Segment::open(path, true)?];
            return Ok(Self { path: path.to_owned(), segments, unopened: Vec::new() });
        }
        let schemas = Arc::default();
        let mut segments = Vec::new();
        let mut refused = Vec::new();
        for path in segment_paths(path)? {
            match Segment::open(&path, false) {
                Ok(mut segment) => {
                    segment.share(&schemas);
                    if segments.len() >= MOST_OPEN {
                        segment.let_go();
                    }
                    segments.push(segment);
                }
                Err(error) => refused.push((path, error)),
            }
        }
        if segments.is_empty() {
            let nothing = OpenError::NoSegments { path: path.to_owned() };
            return Err(refused.into_iter().next().map_or(nothing, |(_, error)| error));
        }
        segments.sort_by_key(|segment| (segment.header.ordinal, segment.header.created.real_ns, segment.path.clone()));
        let unopened = refused
            .into_iter()
            .map(|(path, error)| Damage {
                segment: path.display().to_string(),
                offset: 0,
                why: error.to_string(),
                bytes_lost: std::fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len()),
            })
            .collect();
        Ok(Self { path: path.to_owned(), segments, unopened })
    }

    /// Without the segments in front of the one in which an instant lies, by the wall clocks at which they were begun; what
    /// was in force at the start of that one is in it. Where a wall clock is not known, all of it.
    pub fn since(mut self, at: Stamp) -> Self {
        let is_before = |segment: &&Segment| matches!((segment.header.created.real_ns, at.real_ns), (Some(begun), Some(at)) if begun <= at);
        let before = self.segments.iter().take_while(is_before).count();
        drop(self.segments.drain(..before.saturating_sub(1)));
        self
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header of its first segment.
    pub fn header(&self) -> &Header {
        &self.segments.first().expect("a recording that opened has a segment").header
    }

    /// Its segments in the order of writing; at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn into_segments(self) -> Vec<Segment> {
        self.segments
    }

    /// The segments of its directory that could not be opened, and why.
    pub fn unopened(&self) -> &[Damage] {
        &self.unopened
    }

    /// All its Frames as one stream, but for [`Self::bursts`].
    pub fn frames(&self) -> Frames<'_> {
        Frames::new(&self.segments, Wanted::Blocks)
    }

    /// The Frames that were read faster than the others, around triggers, as a stream of their own.
    pub fn bursts(&self) -> Frames<'_> {
        Frames::new(&self.segments, Wanted::Bursts)
    }
}

/// The segments of a directory, by name. Links are not followed and nothing below is entered.
pub(crate) fn segment_paths(directory: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let unreadable = |source| OpenError::Unreadable { path: directory.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
