//! Saving what can be relied on of a damaged recording into a new, clean one, and saying exactly what is lost.
//!
//! Only Frames whose whole chain holds are taken: what lies behind a damaged record may be stale or foreign, and a wrong
//! value is worse than a missing one. Records of kinds that this gpudeck does not know are not carried over; they are
//! counted.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::header::Header;
use crate::open::{Damage, OpenError, Recording};
use crate::sync::Sync;
use crate::writer::{Appended, CreateError, Unfinished, Writer};

/// What was saved, and what is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// The new recording.
    pub path: PathBuf,
    /// Frames saved.
    pub frames: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes that could not be relied on.
    pub bytes_lost: u64,
    /// Where and why.
    pub lost: Vec<Damage>,
    /// Intact records that this gpudeck does not understand and did not carry over.
    pub not_understood: u64,
    /// The new recording could not be made safe against a power cut: what the system said.
    pub sync_error: Option<String>,
}

/// Why a recording could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The damaged one does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new one cannot be begun.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The new one could not be written.
    #[error("{0}; the damaged recording was not touched: give `--out` on a disk with space and try again")]
    Write(#[from] Unfinished),
}

/// Writes every Frame of `from` (a segment or a directory) that can be relied on into the new file `to`.
///
/// # Errors
/// The one does not open, or the other cannot be written. `from` is never changed.
pub fn recover(from: &Path, to: &Path) -> Result<Recovered, RecoverError> {
    let recording = Recording::open(from)?;
    let recovered_from = recording.segments().iter().map(|segment| segment.id.to_string()).collect();
    let header = Header { ordinal: 0, recovered_from, ..recording.header().clone() };
    let mut writer = Writer::create(to, &header, Sync::Off)?;
    let mut lost = recording.unopened().to_vec();
    let mut frames = recording.frames();
    let mut refused = 0;
    for next in frames.by_ref() {
        match next {
            Ok(frame) => match writer.append(&frame) {
                // What waits is written by a later attempt, the last of them at the end.
                Appended::Written | Appended::Waiting => {}
                Appended::Refused => refused += 1,
            },
            Err(damage) => lost.push(damage),
        }
    }
    let oddities = frames.oddities();
    let not_understood = oddities.unknown_records + oddities.unreadable_frames + refused;
    let health = writer.finish()?;
    if health.lost > 0 {
        let why = "the disk was full for a while".to_owned();
        return Err(Unfinished { path: to.to_owned(), why, lost: health.lost }.into());
    }
    let synced = std::fs::File::open(to).and_then(|file| file.sync_all());
    Ok(Recovered {
        path: to.to_owned(),
        frames: health.frames,
        bytes_read: recording.segments().iter().map(crate::Segment::bytes).sum(),
        bytes_lost: lost.iter().map(|damage| damage.bytes_lost).sum(),
        lost,
        not_understood,
        sync_error: synced.err().map(|error| error.to_string()),
    })
}
