//! Where a recording goes: one file, or a directory of segments.

use std::sync::Arc;
use std::time::Duration;

use ::recorder::live::Options;
use ::recorder::retention::Retention;
use ::recorder::{CreateError, Header, Health, Recorder, Sync, Unfinished};
use model::{Frame, Stamp};

use crate::cli::{RecordArgs, SyncPolicy};
use crate::exit::{Code, Failure};

/// Where the recording goes.
#[derive(Debug)]
pub(crate) struct Out {
    recorder: Recorder,
    directory: bool,
}

impl Out {
    /// A name that ends in `.gdk` is one file; anything else a directory of segments.
    pub(crate) fn create(args: &RecordArgs, header: &Header) -> Result<Self, Failure> {
        let path = args.out.as_path();
        let directory = path.is_dir() || path.extension().is_none_or(|found| found != ::recorder::open::EXTENSION);
        let retention = Retention {
            max_bytes: Some(args.max_bytes),
            max_age_ns: u64::try_from(args.max_age.as_nanos()).ok(),
            min_free: args.min_free,
        };
        let options = Options { sync: sync(args.sync), retention, ..Options::default() };
        let created = Recorder::start(path, header, options).map(|recorder| Self { recorder, directory });
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

    /// Takes a Frame. One that could not be kept is told by [`Self::health`].
    pub(crate) fn append(&mut self, frame: &Arc<Frame>) {
        self.recorder.append(Arc::clone(frame));
    }

    /// Keeps what is around this instant in full.
    pub(crate) fn trigger(&mut self, at: Stamp, why: &str) {
        self.recorder.trigger(at, why, "gpudeck");
    }

    /// Begins a new segment with the next Frame; one file stays one file.
    pub(crate) fn rotate(&mut self, _at: Stamp) {
        self.recorder.rotate();
    }

    /// Whether it is a directory of segments.
    pub(crate) fn is_directory(&self) -> bool {
        self.directory
    }

    /// How it goes.
    pub(crate) fn health(&self) -> Health {
        self.recorder.health()
    }

    /// Writes what waits and closes the recording.
    pub(crate) fn finish(self) -> Result<Health, Unfinished> {
        self.recorder.finish()
    }
}

fn sync(policy: SyncPolicy) -> Sync {
    match policy {
        SyncPolicy::Tick => Sync::Tick,
        SyncPolicy::FiveSeconds => Sync::Every(Duration::from_secs(5)),
        SyncPolicy::Off => Sync::Off,
    }
}
