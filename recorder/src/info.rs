//! What a recording holds: `gpudeck info`. Keeps nothing but counts: those of the directories, and of segments that have
//! none, of one reading from end to end.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use model::{Dictionary, Stamp};
use serde::Serialize;

use crate::format::section::{BLOCK, BURST};
use crate::header::{Facts, SegmentId};
use crate::journals;
use crate::layout::{self, Piece};
use crate::open::{Damage, OpenError, Recording};
use crate::schemas::Series;
use crate::sections::{Directory, Entry};
use crate::segment::Segment;

/// An instant for scripts: RFC 3339 UTC or null, with the monotonic clock beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// RFC 3339 UTC, or null where the wall clock is not known.
    pub at: Option<String>,
    /// Nanoseconds since boot.
    pub mono_ns: Option<u64>,
}

impl From<Stamp> for Moment {
    fn from(stamp: Stamp) -> Self {
        Self { at: stamp.rfc3339(), mono_ns: stamp.mono_ns }
    }
}

/// What one segment holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegmentInfo {
    /// Which file.
    pub path: String,
    /// Its identity.
    pub id: SegmentId,
    /// Its place in the order of reading; 0 for a file that stands alone.
    pub ordinal: u64,
    /// The boot during which it was begun.
    pub boot: String,
    /// Its length, and that of its journals.
    pub bytes: u64,
    /// Its Frames.
    pub frames: u64,
    /// The first Frame.
    pub first: Moment,
    /// The last one.
    pub last: Moment,
    /// It was closed on purpose.
    pub closed: bool,
    /// A recorder is writing it now.
    pub live: bool,
    /// Frames that its recorder had to drop because the disk took nothing; null if it was not closed.
    pub lost: Option<u64>,
    /// Version of its format.
    pub format: String,
    /// Journals beside it: Frames that are in no block yet.
    pub journals: u64,
    /// Blocks of Frames; of a segment of records, none.
    pub blocks: u64,
    /// Stretches in which some probes were read faster, around triggers.
    pub bursts: u64,
}

/// What a recording holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Info {
    /// Where it was opened.
    pub path: String,
    /// Version of the format, of the first segment.
    pub format: String,
    /// The version of gpudeck that began it.
    pub gpudeck: String,
    /// About the node.
    pub host: Facts,
    /// About the driver.
    pub driver: Facts,
    /// When it was begun.
    pub created: Moment,
    /// The sampling interval, nanoseconds.
    pub interval_ns: u64,
    /// The sync policy it was written with.
    pub sync: String,
    /// The segments that it was cut out of, by their ids; of a whole recording, none.
    pub trimmed_from: Vec<String>,
    /// What was replaced and left out before it was shared; null if it is not redacted.
    pub redaction: Option<BTreeMap<String, String>>,
    /// The boots it spans, in order.
    pub boots: Vec<String>,
    /// The first Frame.
    pub first: Moment,
    /// The last one.
    pub last: Moment,
    /// How many Frames.
    pub frames: u64,
    /// How many of each probe.
    pub frames_by_probe: BTreeMap<String, u64>,
    /// How many samples.
    pub samples: u64,
    /// How many series.
    pub series: usize,
    /// How many events of each kind.
    pub events_by_kind: BTreeMap<String, u64>,
    /// Gaps that the recorder or the engine noted.
    pub gaps: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes over samples; null without samples.
    pub bytes_per_sample: Option<f64>,
    /// Every segment was closed on purpose.
    pub closed: bool,
    /// A recorder is writing it now.
    pub live: bool,
    /// Journals of all segments.
    pub journals: u64,
    /// Blocks of all segments.
    pub blocks: u64,
    /// Bursts of all segments.
    pub bursts: u64,
    /// Its segments in the order of writing.
    pub segments: Vec<SegmentInfo>,
    /// What cannot be read. The columns of closed blocks are not looked at for this: reading and recovering them is.
    pub damage: Vec<Damage>,
    /// Records of kinds that this gpudeck does not know, skipped.
    pub unknown_records: u64,
    /// Intact Frames that this gpudeck does not understand, skipped.
    pub unreadable_frames: u64,
}

/// Reads a recording and says what it holds.
///
/// # Errors
/// As [`Recording::open`]; damage behind the header is part of the answer instead.
pub fn info(path: &Path) -> Result<Info, OpenError> {
    Ok(of(&Recording::open(path)?))
}

/// What an open recording holds.
pub fn of(recording: &Recording) -> Info {
    let mut told = Told::default();
    for (number, segment) in recording.segments().iter().enumerate() {
        told.add(number, segment);
    }
    let mut frames = recording.frames().without(told.whole.clone());
    let mut tally = Tally { segments: recording.segments().iter().map(describe).collect(), ..Tally::default() };
    tally.damage.extend(recording.unopened().iter().cloned());
    while let Some(next) = frames.next() {
        match next {
            Ok(frame) => tally.take(frames.position().0, &frame),
            Err(damage) => tally.damage.push(damage),
        }
    }
    let series = told.series(frames.dictionary());
    tally.merge(told);
    for (segment, end) in tally.segments.iter_mut().zip(frames.ends()) {
        segment.closed = end.end.is_some() && end.damage.is_none();
        segment.lost = end.end.as_ref().map(|end| end.lost);
    }
    let header = recording.header();
    let version = recording.segments().first().map_or((0, 0), |segment| segment.version);
    let bytes = tally.segments.iter().map(|segment| segment.bytes).sum();
    let closed = tally.damage.is_empty() && tally.segments.iter().all(|segment| segment.closed);
    Info {
        path: recording.path().display().to_string(),
        format: format!("{}.{}", version.0, version.1),
        gpudeck: header.gpudeck.clone(),
        host: header.host.clone(),
        driver: header.driver.clone(),
        created: header.created.into(),
        interval_ns: header.interval_ns,
        sync: header.sync.clone(),
        trimmed_from: header.trimmed_from.clone(),
        redaction: header.redaction.clone(),
        boots: tally.boots,
        first: tally.first.unwrap_or_default().into(),
        last: tally.last.into(),
        frames: tally.frames,
        frames_by_probe: tally.by_probe,
        samples: tally.samples,
        series,
        gaps: tally.events.get(model::event::GAP).copied().unwrap_or(0),
        events_by_kind: tally.events,
        bytes,
        bytes_per_sample: (tally.samples > 0)
            .then(|| model::reading::count_as_f64(bytes) / model::reading::count_as_f64(tally.samples)),
        closed,
        live: tally.segments.iter().any(|segment| segment.live),
        journals: tally.segments.iter().map(|segment| segment.journals).sum(),
        blocks: tally.segments.iter().map(|segment| segment.blocks).sum(),
        bursts: tally.segments.iter().map(|segment| segment.bursts).sum(),
        segments: tally.segments,
        damage: tally.damage,
        unknown_records: frames.oddities().unknown_records,
        unreadable_frames: frames.oddities().unreadable_frames,
    }
}

fn describe(segment: &Segment) -> SegmentInfo {
    let layout = if segment.has_sections() { segment.layout().ok() } else { None };
    let count = |kind| {
        let sections = layout.iter().flat_map(|layout| layout.sections());
        u64::try_from(sections.filter(|entry| entry.kind == kind).count()).unwrap_or(u64::MAX)
    };
    let journals = if segment.has_sections() { journals::list(&segment.path) } else { Vec::new() };
    let journaled: u64 =
        journals.iter().filter_map(|(_, path)| Some(std::fs::symlink_metadata(path).ok()?.len())).sum();
    SegmentInfo {
        format: format!("{}.{}", segment.version.0, segment.version.1),
        journals: u64::try_from(journals.len()).unwrap_or(u64::MAX),
        blocks: count(BLOCK),
        bursts: count(BURST),
        path: segment.path.display().to_string(),
        id: segment.id,
        ordinal: segment.header.ordinal,
        boot: segment.header.boot.0.clone(),
        bytes: segment.bytes().saturating_add(journaled),
        frames: 0,
        first: Moment::default(),
        last: Moment::default(),
        closed: false,
        live: segment.is_live(),
        lost: None,
    }
}

/// What directories tell.
#[derive(Default)]
struct Told {
    /// Segments of which nothing else need be read.
    whole: Vec<usize>,
    directories: Vec<(usize, String, Directory)>,
    schemas: Vec<Arc<Series>>,
}

impl Told {
    fn add(&mut self, number: usize, segment: &Segment) {
        if !segment.has_sections() {
            return;
        }
        let read = segment.file().and_then(|file| Ok((segment.layout()?, file)));
        let Ok((layout, file)) = read else { return };
        let damaged = layout.pieces.iter().any(|piece| matches!(piece, Piece::Damaged(_)));
        let Some(directory) = layout.directory.as_ref().filter(|_| !damaged && layout.told) else { return };
        let series = segment.series(&file, &layout);
        // A file that stands alone may be put together from several boots.
        let counted = directory.frames == 0 || !directory.frames_by_probe.is_empty();
        let intact = |entry: &Entry| layout::checked(segment, &file, entry).is_ok();
        if !series.damage.is_empty() || !counted || segment.header.ordinal == 0 || !layout.sections().all(intact) {
            return;
        }
        self.whole.push(number);
        self.directories.push((number, segment.header.boot.0.clone(), directory.clone()));
        if !self.schemas.iter().any(|known| Arc::ptr_eq(&known.schema, &series.schema)) {
            self.schemas.push(series);
        }
    }

    /// How many series there are, with those of what was read.
    fn series(&self, read: &Dictionary) -> usize {
        let mut keys: HashSet<_> = read.defs().into_iter().map(|def| def.key).collect();
        keys.extend(self.schemas.iter().flat_map(|series| series.schema.defs()).map(|def| def.key.clone()));
        keys.len()
    }
}

#[derive(Default)]
struct Tally {
    segments: Vec<SegmentInfo>,
    damage: Vec<Damage>,
    boots: Vec<String>,
    first: Option<Stamp>,
    last: Stamp,
    frames: u64,
    by_probe: BTreeMap<String, u64>,
    samples: u64,
    events: BTreeMap<String, u64>,
}

impl Tally {
    fn merge(&mut self, told: Told) {
        for (number, boot, directory) in told.directories {
            if directory.frames > 0 {
                if !self.boots.contains(&boot) {
                    self.boots.push(boot);
                }
                // Of several boots, the wall clock tells which came first.
                let before = |one: Stamp, other: Stamp| (one.real_ns, one.mono_ns) < (other.real_ns, other.mono_ns);
                self.first = self.first.filter(|first| before(*first, directory.first)).or(Some(directory.first));
                if self.frames == 0 || before(self.last, directory.last) {
                    self.last = directory.last;
                }
            }
            self.frames += directory.frames;
            self.samples += directory.samples;
            for (probe, frames) in directory.frames_by_probe {
                *self.by_probe.entry(probe).or_default() += frames;
            }
            for (kind, events) in directory.events_by_kind {
                *self.events.entry(kind).or_default() += events;
            }
            if let Some(segment) = self.segments.get_mut(number) {
                segment.frames = directory.frames;
                if directory.frames > 0 {
                    (segment.first, segment.last) = (directory.first.into(), directory.last.into());
                }
            }
        }
    }

    fn take(&mut self, segment: usize, frame: &model::Frame) {
        if self.boots.last() != Some(&frame.boot.0) && !self.boots.contains(&frame.boot.0) {
            self.boots.push(frame.boot.0.clone());
        }
        self.first.get_or_insert(frame.at);
        self.last = frame.at;
        self.frames += 1;
        self.samples += u64::try_from(frame.samples.len()).unwrap_or(u64::MAX);
        *self.by_probe.entry(frame.probe.clone()).or_default() += 1;
        for event in &frame.events {
            *self.events.entry(event.kind.clone().into_owned()).or_default() += 1;
        }
        if let Some(segment) = self.segments.get_mut(segment) {
            if segment.frames == 0 {
                segment.first = frame.at.into();
            }
            segment.frames += 1;
            segment.last = frame.at.into();
        }
    }
}
