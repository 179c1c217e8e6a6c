//! Cutting a piece out of a recording, to share it or to keep it with an incident.
//!
//! The piece begins with what was in force at its first instant: the inventory and the last reading of every live series,
//! as the Frames that told them, with their own stamps, and without the events of that time. It ends where it was told
//! to. Times are asked for by the wall clock; what lies between the first and the last Frame inside is taken in the order
//! in which it was recorded, so that a step of the clock tears nothing apart.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use model::{Frame, Stamp};
use serde::Serialize;

use crate::header::Header;
use crate::open::{Damage, Recording};
use crate::redact::{Redaction, Redactor};
use crate::sync::Sync;
use crate::writer::{Appended, CreateError, Unfinished, Writer};

mod context;
use context::Context;

/// From when to when; where an end is not given, to that end of the recording. Both ends are inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The first instant.
    pub from: Option<Stamp>,
    /// The last.
    pub to: Option<Stamp>,
}

/// What was cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trimmed {
    /// The piece.
    pub path: PathBuf,
    /// Frames in it, without those that tell what was in force at its start.
    pub frames: u64,
    /// Frames that tell what was in force at its start.
    pub context: u64,
    /// The first Frame's instant.
    pub first: Stamp,
    /// The last Frame's.
    pub last: Stamp,
    /// Its bytes.
    pub bytes: u64,
    /// Stretches of the recording that could not be read.
    pub damage: Vec<Damage>,
    /// What was replaced and left out.
    pub redaction: Option<BTreeMap<String, String>>,
    /// Kernel lines, notes and the like of which only the length is in the piece.
    pub left_out: u64,
    /// The piece could not be made safe against a power cut: what the system said.
    pub sync_error: Option<String>,
}

/// Why nothing was cut.
#[derive(Debug, thiserror::Error)]
pub enum TrimError {
    /// The end lies before the start.
    #[error("{} is after {}: --from must come before --to", told(*from), told(*to))]
    Reversed {
        /// The start asked for.
        from: Stamp,
        /// The end asked for.
        to: Stamp,
    },
    /// Nothing was recorded between the two.
    #[error("nothing was recorded in that time; the recording goes from {} to {}", told(*first), told(*last))]
    Empty {
        /// Its first Frame's instant.
        first: Stamp,
        /// Its last Frame's.
        last: Stamp,
    },
    /// There is not one Frame in it.
    #[error("the recording holds nothing")]
    Nothing,
    /// The piece cannot be begun.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// It could not be written, and is removed.
    #[error("{0}; the recording was not touched: give `--out` on a disk with space and try again")]
    Write(#[from] Unfinished),
}

fn told(at: Stamp) -> String {
    at.rfc3339().unwrap_or_else(|| at.clock())
}

/// Cuts `[from, to]` out of a recording into a new file, as it is: the bundle of an incident.
///
/// # Errors
/// Nothing was recorded in that time, or the piece cannot be written.
pub fn bundle(recording: &Recording, from: Stamp, to: Stamp, out: &Path) -> Result<Trimmed, TrimError> {
    trim(recording, Cut { from: Some(from), to: Some(to) }, None, out)
}

/// Cuts a piece out of a recording into a new file, redacted if asked. The recording is never changed.
///
/// # Errors
/// Nothing was recorded in that time, or the piece cannot be written: it is removed then.
pub fn trim(
    recording: &Recording,
    cut: Cut,
    redaction: Option<&Redaction<'_>>,
    out: &Path,
) -> Result<Trimmed, TrimError> {
    if let (Some(from), Some(to)) = (cut.from, cut.to)
        && compare(from, to).is_gt()
    {
        return Err(TrimError::Reversed { from, to });
    }
    let mut redactor = redaction.map(Redactor::new);
    let place = survey(recording, cut, redactor.as_mut())?;
    let header = header(recording.header(), recording, redactor.as_ref());
    let mut writer = Writer::create(out, &header, Sync::Off)?;
    let mut trimmed = Trimmed { path: out.to_owned(), redaction: header.redaction.clone(), ..Trimmed::default() };
    copy(recording, &place, redactor.as_ref(), &mut writer, &mut trimmed);
    let health = writer.finish().and_then(|health| match health.lost {
        0 => Ok(health),
        lost => Err(Unfinished { path: out.to_owned(), why: "the disk was full for a while".to_owned(), lost }),
    });
    let health = match health {
        Ok(health) => health,
        Err(error) => {
            // Half a piece would be taken for a whole one.
            let _kept = std::fs::remove_file(out);
            return Err(error.into());
        }
    };
    trimmed.sync_error = synced(out).err().or(health.sync_error);
    trimmed.bytes = std::fs::metadata(out).map_or(health.bytes, |metadata| metadata.len());
    trimmed.left_out = redactor.map_or(0, |redactor| redactor.left_out());
    Ok(trimmed)
}

fn synced(path: &Path) -> Result<(), String> {
    let sync = || -> io::Result<()> { std::fs::File::open(path)?.sync_all() };
    sync().map_err(|error| error.to_string())
}

fn header(of: &Header, recording: &Recording, redactor: Option<&Redactor<'_>>) -> Header {
    let trimmed_from = recording.segments().iter().map(|segment| segment.id.to_string()).collect();
    let header = Header { ordinal: 0, trimmed_from, ..of.clone() };
    redactor.map_or_else(|| header.clone(), |redactor| redactor.header(&header))
}

/// Which Frames are inside, counted from 0 over the recording.
#[derive(Debug)]
struct Place {
    first: u64,
    last: u64,
}

/// Reads the whole recording once: where the piece lies, and every name that it may hold.
fn survey(recording: &Recording, cut: Cut, mut redactor: Option<&mut Redactor<'_>>) -> Result<Place, TrimError> {
    if let Some(redactor) = redactor.as_deref_mut() {
        recording.segments().iter().for_each(|segment| redactor.learn_header(&segment.header));
    }
    let mut frames = recording.frames();
    let (mut number, mut first, mut last) = (0, None, None);
    let mut span: Option<(Stamp, Stamp)> = None;
    while let Some(next) = frames.next() {
        let Ok(frame) = next else { continue };
        if let Some(redactor) = redactor.as_deref_mut() {
            redactor.learn(&frame, frames.dictionary());
        }
        span = Some((span.map_or(frame.at, |(first, _)| first), frame.at));
        if first.is_none() && cut.from.is_none_or(|from| compare(frame.at, from).is_ge()) {
            first = Some(number);
        }
        if cut.to.is_none_or(|to| compare(frame.at, to).is_le()) {
            last = Some(number);
        }
        number += 1;
    }
    if let Some(redactor) = redactor {
        redactor.complete();
    }
    let (begin, end) = span.ok_or(TrimError::Nothing)?;
    match (first, last) {
        (Some(first), Some(last)) if first <= last => Ok(Place { first, last }),
        _ => Err(TrimError::Empty { first: begin, last: end }),
    }
}

/// By the wall clock where both have it, else since boot.
fn compare(one: Stamp, other: Stamp) -> std::cmp::Ordering {
    match (one.real_ns, other.real_ns) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.axis_ns().cmp(&other.axis_ns()),
    }
}

/// Writes what is inside, and before it what was in force.
fn copy(
    recording: &Recording,
    place: &Place,
    redactor: Option<&Redactor<'_>>,
    writer: &mut Writer,
    trimmed: &mut Trimmed,
) {
    trimmed.damage.extend_from_slice(recording.unopened());
    let mut frames = recording.frames();
    let (mut context, mut number) = (Context::default(), 0);
    while let Some(next) = frames.next() {
        let frame = match next {
            Ok(frame) => frame,
            Err(damage) => {
                trimmed.damage.push(damage);
                continue;
            }
        };
        if number > place.last {
            break;
        }
        if number < place.first {
            context.follow(frame);
        } else {
            if number == place.first {
                trimmed.first = frame.at;
                for frame in context.take() {
                    let key_of = |id| frame.declares.iter().find(|def| def.id == id).map(|def| &def.key);
                    let frame =
                        redactor.map_or_else(|| frame.clone(), |redactor| redactor.frame(frame.clone(), key_of));
                    trimmed.context += u64::from(append(writer, &frame));
                }
            }
            trimmed.last = frame.at;
            let key_of = |id| frames.dictionary().key(id);
            let frame = redactor.map_or_else(|| frame.clone(), |redactor| redactor.frame(frame.clone(), key_of));
            trimmed.frames += u64::from(append(writer, &frame));
        }
        number += 1;
    }
}

/// What waits is written by a later attempt, the last of them at the end.
fn append(writer: &mut Writer, frame: &Frame) -> bool {
    writer.append(frame) != Appended::Refused
}

#[cfg(test)]
mod tests;
