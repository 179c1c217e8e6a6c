//! What a recording holds: `gpudeck info`. Reads it once from end to end and keeps nothing but counts.

use std::collections::BTreeMap;
use std::path::Path;

use model::Stamp;
use serde::Serialize;

use crate::header::{Facts, SegmentId};
use crate::open::{Damage, OpenError, Recording};
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
    /// Its length.
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
    /// Its segments in the order of writing.
    pub segments: Vec<SegmentInfo>,
    /// What cannot be read.
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
    let mut frames = recording.frames();
    let mut tally = Tally { segments: recording.segments().iter().map(describe).collect(), ..Tally::default() };
    tally.damage.extend(recording.unopened().iter().cloned());
    while let Some(next) = frames.next() {
        match next {
            Ok(frame) => tally.take(frames.position().0, &frame),
            Err(damage) => tally.damage.push(damage),
        }
    }
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
        boots: tally.boots,
        first: tally.first.unwrap_or_default().into(),
        last: tally.last.into(),
        frames: tally.frames,
        frames_by_probe: tally.by_probe,
        samples: tally.samples,
        series: frames.dictionary().len(),
        gaps: tally.events.get(model::event::GAP).copied().unwrap_or(0),
        events_by_kind: tally.events,
        bytes,
        bytes_per_sample: (tally.samples > 0)
            .then(|| model::reading::count_as_f64(bytes) / model::reading::count_as_f64(tally.samples)),
        closed,
        live: tally.segments.iter().any(|segment| segment.live),
        segments: tally.segments,
        damage: tally.damage,
        unknown_records: frames.oddities().unknown_records,
        unreadable_frames: frames.oddities().unreadable_frames,
    }
}

fn describe(segment: &Segment) -> SegmentInfo {
    SegmentInfo {
        path: segment.path.display().to_string(),
        id: segment.id,
        ordinal: segment.header.ordinal,
        boot: segment.header.boot.0.clone(),
        bytes: segment.bytes(),
        frames: 0,
        first: Moment::default(),
        last: Moment::default(),
        closed: false,
        live: segment.is_live(),
        lost: None,
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
