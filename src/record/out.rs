//! Where a recording goes: one file, or a directory of segments.

use std::sync::Arc;
use std::time::Duration;

use ::recorder::{CreateError, Header, Health, Segments, Sync, Unfinished, Writer};
use model::{Frame, Stamp};

use crate::cli::{RecordArgs, SyncPolicy};
use crate::exit::{Code, Failure};

/// Where the recording goes.
#[derive(Debug)]
pub(crate) enum Out {
    /// One file.
    File(Box<Writer>),
    /// A directory of segments.
    Directory(Box<Segments>),
}

impl Out {
    /// A name that ends in `.gdk` is one file; anything else a directory of segments.
    pub(crate) fn create(args: &RecordArgs, header: &Header) -> Result<Self, Failure> {
        let (path, sync) = (args.out.as_path(), sync(args.sync));
        let file = path.extension().is_some_and(|extension| extension == ::recorder::open::EXTENSION) && !path.is_dir();
        let created = if file {
            Writer::create(path, header, sync).map(|writer| Self::File(Box::new(writer)))
        } else {
            Segments::create(path, header, sync).map(|segments| Self::Directory(Box::new(segments)))
        };
        created.map_err(|error| {
            let code = match error {
                CreateError::Denied { .. } => Code::Permission,
                CreateError::NoDirectory { .. } => Code::NoInput,
                CreateError::Exists { .. } => Code::Usage,
                _ => Code::Io,
            };
            Failure::new(code, error)
        })
    }

    /// Takes a Frame.
    pub(crate) fn append(&mut self, frame: &Arc<Frame>) {
        // What the disk did not take is told by `health`, and kept.
        let _told_by_health = match self {
            Self::File(writer) => writer.append(frame),
            Self::Directory(segments) => segments.append(frame),
        };
    }

    /// Keeps what is around this instant in full.
    pub(crate) fn trigger(&mut self, at: Stamp, why: &str) {
        tracing::info!(at = at.axis_ns(), why, "a trigger");
    }

    /// Begins a new segment with the next Frame; one file stays one file.
    pub(crate) fn rotate(&mut self, at: Stamp) {
        if let Self::Directory(segments) = self {
            segments.rotate(at);
        }
    }

    /// Whether it is a directory of segments.
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }

    /// How it goes.
    pub(crate) fn health(&self) -> Health {
        match self {
            Self::File(writer) => writer.health(),
            Self::Directory(segments) => segments.health(),
        }
    }

    /// Writes what waits and closes the recording.
    pub(crate) fn finish(self) -> Result<Health, Unfinished> {
        match self {
            Self::File(writer) => writer.finish(),
            Self::Directory(segments) => segments.finish(),
        }
    }
}

fn sync(policy: SyncPolicy) -> Sync {
    match policy {
        SyncPolicy::Tick => Sync::Tick,
        SyncPolicy::FiveSeconds => Sync::Every(Duration::from_secs(5)),
        SyncPolicy::Off => Sync::Off,
    }
}
