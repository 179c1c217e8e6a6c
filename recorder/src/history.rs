//! The past of a recording: [`model::History`] over its segments.
//!
//! Segments of sections tell by their directories where what lies; nothing else is read when they are loaded. The state
//! at an instant is decoded from the block that holds it, a strip from the columns of its series, or over a long window
//! from what blocks say of their columns; events are read when they are first asked for.
//!
//! Segments of records are read once when they are loaded. What stays in memory is an index: at most 256 places with the
//! state of the node there (about 150 KB each for a node of 1,000 series), all events, and a few decoded stretches;
//! never the samples of a day. A question is answered by decoding from the nearest place on.
//!
//! Monotonic clocks begin anew at each boot, so one time axis holds one boot. A recording of several boots opens at its
//! last; [`RecordedHistory::choose_boot`] turns to another. Boots are in the order in which they were recorded.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use model::timeline::Pace;
use model::{
    BootId, Dictionary, Event, Frame, History, HistoryError, NodeState, SeriesId, SeriesKey, Stamp, Strip, Window,
};

use crate::format;
use crate::numbering::{Meanings, renumber};
use crate::open::{Damage, OpenError, Recording};
use crate::reader::{Buffered, Link, Place};
use crate::sections::Entry;

mod blocks;
mod cache;
mod in_force;
mod index;
mod strips;

use cache::Cache;

/// How many events are kept in memory; more are counted and left out, oldest first.
const MOST_EVENTS: usize = 1 << 20;

/// A stretch of one segment.
#[derive(Debug)]
struct Stretch {
    segment: usize,
    from: Place,
    /// The first byte behind it.
    until: u64,
    /// Its samples.
    samples: usize,
    /// The first and the last instant in it.
    first: u64,
    last: u64,
    /// The last instant in any stretch before it.
    reach: Option<u64>,
    /// The context at its start tells something that earlier segments did not.
    context: bool,
    /// The state of the node before it; `None`: to be made from an earlier stretch on.
    before: Option<Box<NodeState>>,
    /// The context that tells the state before it.
    starts_with: Option<Entry>,
    /// It is a block; else it lies from `from` to `until`.
    block: Option<Entry>,
    /// Its Frames, where no block holds them.
    memory: Option<Arc<Vec<Frame>>>,
}

impl Stretch {
    /// One behind all others of a boot.
    fn of(segment: usize, era: &Era, (first, last): (Stamp, Stamp)) -> Self {
        Self {
            segment,
            from: Place { offset: 0, chain: 0 },
            until: 0,
            samples: 0,
            first: first.axis_ns(),
            last: last.axis_ns(),
            reach: era.stretches.last().map(|last| last.reach.max(Some(last.last))).unwrap_or_default(),
            context: false,
            before: None,
            starts_with: None,
            block: None,
            memory: None,
        }
    }
}

/// What was recorded during one boot.
#[derive(Debug, Default)]
struct Era {
    boot: BootId,
    stretches: Vec<Stretch>,
    paces: HashMap<SeriesId, Pace>,
    /// In the order of the time axis.
    events: Vec<Event>,
    first: Option<Stamp>,
    last: Option<Stamp>,
    frames: u64,
    /// With those of blocks.
    all_events: OnceLock<Vec<Event>>,
}

impl Era {
    fn has_sections(&self) -> bool {
        self.stretches.iter().any(|stretch| stretch.block.is_some() || stretch.memory.is_some())
    }

    fn add(&mut self, stretch: Stretch, (first, last): (Stamp, Stamp)) {
        self.first = self.first.filter(|before| before.axis_ns() <= first.axis_ns()).or(Some(first));
        self.last = self.last.filter(|before| before.axis_ns() > last.axis_ns()).or(Some(last));
        self.stretches.push(stretch);
    }
}

/// One boot of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Which.
    pub boot: BootId,
    /// The first instant.
    pub first: Stamp,
    /// The last.
    pub last: Stamp,
    /// Its Frames.
    pub frames: u64,
}

/// A recording that can be asked about its past.
#[derive(Debug)]
pub struct RecordedHistory {
    recording: Recording,
    eras: Vec<Era>,
    chosen: usize,
    meanings: Vec<Arc<Meanings>>,
    dictionary: Dictionary,
    damage: Vec<Damage>,
    gaps: u64,
    events_left_out: u64,
    cache: Cache,
    kept: blocks::Kept,
}

impl RecordedHistory {
    /// Opens a recording and indexes it.
    ///
    /// # Errors
    /// As [`Recording::open`]; damage behind a header is told by [`Self::damage`] instead.
    pub fn load(path: &Path) -> Result<Self, OpenError> {
        Ok(Self::of(Recording::open(path)?))
    }

    /// Indexes an open recording.
    pub fn of(recording: Recording) -> Self {
        Self::indexed_by(recording, index::STRETCH_SAMPLES)
    }

    /// Indexes with a state kept every so many samples instead of the usual.
    pub fn indexed_by(recording: Recording, stretch_samples: usize) -> Self {
        index::read(recording, stretch_samples)
    }

    /// The recording.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Its boots, in the order in which they were recorded.
    pub fn boots(&self) -> Vec<Boot> {
        let told = |era: &Era| Some((era.first?, era.last?));
        let boot =
            |era: &Era| told(era).map(|(first, last)| Boot { boot: era.boot.clone(), first, last, frames: era.frames });
        self.eras.iter().filter_map(boot).collect()
    }

    /// Turns to a boot; false if it is not in the recording. At first it is the last one.
    pub fn choose_boot(&mut self, boot: &BootId) -> bool {
        let found = self.eras.iter().rposition(|era| era.boot == *boot);
        self.chosen = found.unwrap_or(self.chosen);
        found.is_some()
    }

    /// How many Frames the chosen boot has.
    pub fn frames(&self) -> u64 {
        self.era().map_or(0, |era| era.frames)
    }

    /// How many gaps the recording notes, over all boots.
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// How many events are not in memory because there are too many.
    pub fn events_left_out(&self) -> u64 {
        self.events_left_out
    }

    /// What cannot be read.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Every series of the recording.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    fn era(&self) -> Option<&Era> {
        self.eras.get(self.chosen)
    }

    /// The Frames of a stretch that is no block, decoded or from memory.
    fn decode(&self, index: usize, stretch: &Stretch) -> Result<Arc<Vec<Frame>>, HistoryError> {
        if let Some(frames) = &stretch.memory {
            return Ok(Arc::clone(frames));
        }
        self.cache.get((self.chosen, index), || self.read(stretch))
    }

    fn read(&self, stretch: &Stretch) -> Result<Vec<Frame>, HistoryError> {
        let segment = &self.recording.segments()[stretch.segment];
        let none = Meanings::default();
        let meanings = self.meanings.get(stretch.segment).map_or(&none, |meanings| &**meanings);
        let (mut buffered, mut place, mut frames) = (Buffered::default(), stretch.from, Vec::new());
        while place.offset < stretch.until {
            let damaged = |why| HistoryError::Damaged { offset: place.offset, why };
            match buffered.link(segment, place) {
                Link::Record { kind, flags, payload, next } => {
                    let taken = kind == format::FRAME || kind == format::CONTEXT && stretch.context;
                    // What could not be understood was counted when the index was made.
                    if taken && format::is_known(kind, flags) {
                        frames.extend(Frame::from_wire(&payload).ok().map(|frame| renumber(frame, meanings)));
                    }
                    place = next;
                }
                Link::Nothing => return Err(damaged("the file has become shorter since it was opened".to_owned())),
                Link::Partial { why } | Link::Broken { why } => return Err(damaged(why)),
            }
        }
        Ok(frames)
    }
}

impl History for RecordedHistory {
    fn span(&self) -> Result<Option<(Stamp, Stamp)>, HistoryError> {
        Ok(self.era().and_then(|era| Some((era.first?, era.last?))))
    }

    /// What every Frame up to this instant told, applied in the order of recording.
    fn state_at(&self, at: u64) -> Result<NodeState, HistoryError> {
        let Some(era) = self.era() else { return Ok(NodeState::default()) };
        if era.has_sections() {
            return Ok(self.in_force(at)?.state(&self.dictionary));
        }
        // Frames of different probes may lie a little out of order: begin where nothing before lies later than `at`, and
        // read on while something may lie earlier.
        let stretches = era.stretches.iter().enumerate().rev().filter(|(_, stretch)| stretch.reach <= Some(at));
        let start = stretches.filter_map(|(index, stretch)| Some((index, stretch.before.as_ref()?))).next();
        let Some((start, before)) = start else { return Ok(NodeState::default()) };
        let mut state = NodeState::clone(before);
        for (index, stretch) in era.stretches.iter().enumerate().skip(start).filter(|(_, stretch)| stretch.first <= at)
        {
            for frame in self.decode(index, stretch)?.iter().filter(|frame| frame.at.axis_ns() <= at) {
                state.apply(frame, &self.dictionary);
            }
        }
        Ok(state)
    }

    fn strips(&self, series: &[SeriesKey], window: Window, buckets: usize) -> Result<Vec<Strip>, HistoryError> {
        self.strips_of(series, window, buckets)
    }

    fn events(&self, window: Window, most: usize) -> Result<Vec<Event>, HistoryError> {
        let events = self.era().map(|era| self.events_of(era)).unwrap_or_default();
        let from = events.partition_point(|event| event.at.axis_ns() < window.from);
        let to = events.partition_point(|event| event.at.axis_ns() < window.to).max(from);
        Ok(events[from.max(to.saturating_sub(most))..to].to_vec())
    }
}

/// An event's instant on the axis of the Frame that carries it.
fn placed(event: &Event, frame: Stamp) -> Event {
    let aligned = event.at.align(frame);
    Event { at: if aligned == Stamp::default() { frame } else { aligned }, ..event.clone() }
}
