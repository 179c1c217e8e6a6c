//! The past of segments of sections: answered from their directories, contexts and blocks, without reading them once.
//!
//! The state at an instant is what the segment's context says, then the last readings of the blocks before that instant,
//! then so much of the block that holds it. What stood at the start of a block is kept, so that the next question near by
//! decodes one block.

use std::sync::{Arc, Mutex, PoisonError};

use model::{Event, Frame, Stamp, event};

use super::in_force::{InForce, Known};
use super::{Era, RecordedHistory, Stretch, placed};
use crate::block::Block;
use crate::format::section::{BLOCK, CONTEXT};
use crate::layout::{Layout, Piece};
use crate::numbering::{Meanings, renumber};
use crate::open::Recording;
use crate::schemas::{Series, is_lost};
use crate::sealed::{self, Sealed, Step, Wanted};
use crate::sections::Entry;
use crate::segment::Segment;
use crate::writer::RECORDER;

/// How many readings of states at the start of blocks are kept: some 30 MB.
const MOST_KEPT: usize = 1 << 19;
/// How many opened blocks are kept.
const MOST_BLOCKS: usize = 8;

/// Which block or state: the boot's number and the stretch's.
type Which = (usize, usize);

/// What was found lately.
#[derive(Debug, Default)]
pub(super) struct Kept {
    states: Mutex<Vec<(Which, Arc<InForce>)>>,
    blocks: Mutex<Vec<(Which, Arc<Block>)>>,
}

/// Adds the segments of sections to a history of those of records.
pub(super) fn add(history: &mut RecordedHistory) {
    let mut before: Option<(Arc<Series>, Arc<Meanings>)> = None;
    let recording = &history.recording;
    let mut eras = std::mem::take(&mut history.eras);
    let mut gaps = 0;
    for (number, segment) in recording.segments().iter().enumerate().filter(|(_, segment)| segment.has_sections()) {
        let read = segment.file().and_then(|file| Ok((segment.layout()?, file)));
        let Ok((layout, file)) = read else { continue };
        let series = segment.series(&file, &layout);
        history.damage.extend(series.damage.iter().cloned());
        let same = before.take().filter(|(of, _)| Arc::ptr_eq(&of.schema, &series.schema));
        let meanings = match same {
            Some((_, meanings)) => meanings,
            None => {
                let mut meanings = Meanings::default();
                for def in series.schema.defs().iter().filter(|def| !is_lost(&def.key)) {
                    if let Some((own, _)) = history.dictionary.intern(&def.key) {
                        meanings.insert(def.id, own);
                    }
                }
                Arc::new(meanings)
            }
        };
        before = Some((Arc::clone(&series), Arc::clone(&meanings)));
        let mut adding = Adding { eras: &mut eras, number, segment, context: context(&layout) };
        gaps += layout.directory.as_ref().and_then(|all| all.events_by_kind.get(event::GAP)).copied().unwrap_or(0);
        for piece in &layout.pieces {
            match piece {
                Piece::Damaged(damage) => history.damage.push(damage.clone()),
                Piece::Section(entry) if entry.kind == BLOCK => {
                    // One that stands alone may be put together from several boots.
                    if layout.told && (segment.header.ordinal > 0 || entry.boot.is_some()) {
                        adding.block(entry.clone(), entry.boot.clone().unwrap_or_else(|| segment.header.boot.clone()));
                        continue;
                    }
                    match sealed::lazy(segment, &file, entry, &series) {
                        Ok(block) if block.info().boots.len() == 1 => {
                            let boot = block.info().boots.first().cloned().unwrap_or_default();
                            adding.block(described(entry, &block), boot);
                        }
                        Ok(block) => match block.frames() {
                            Ok(frames) => adding.frames(frames, &meanings),
                            Err(bad) => history.damage.push(sealed::section_damage(segment, entry, &bad.to_string())),
                        },
                        Err(why) => history.damage.push(sealed::section_damage(segment, entry, &why)),
                    }
                }
                Piece::Section(_) => {}
            }
        }
        let mut meanings = meanings;
        if layout.directory.is_none()
            && let Ok(mut tail) = Sealed::of(segment, Wanted::Blocks)
        {
            tail.only_journals();
            let mut frames = Vec::new();
            loop {
                let declares = match tail.step(segment) {
                    Step::Frame(frame) => {
                        let declares = frame.declares.clone();
                        frames.push(frame);
                        declares
                    }
                    Step::Declares(declares) => declares,
                    Step::Damage(damage) => {
                        history.damage.push(damage);
                        continue;
                    }
                    Step::Over(_) => break,
                    Step::Context(_) | Step::Unknown => continue,
                };
                for def in declares {
                    if !meanings.contains_key(&def.id)
                        && let Some((own, _)) = history.dictionary.intern(&def.key)
                    {
                        Arc::make_mut(&mut meanings).insert(def.id, own);
                    }
                }
            }
            adding.frames(frames, &meanings);
        }
        if history.meanings.len() <= number {
            history.meanings.resize(number + 1, Arc::default());
        }
        if let Some(slot) = history.meanings.get_mut(number) {
            *slot = meanings;
        }
    }
    history.gaps += gaps;
    history.chosen = eras.len().saturating_sub(1);
    history.eras = eras;
}

fn context(layout: &Layout) -> Option<Entry> {
    layout.sections().find(|entry| entry.kind == CONTEXT).cloned()
}

/// What the directory would say of a block.
fn described(entry: &Entry, block: &Block) -> Entry {
    let mut entry = entry.clone();
    for head in block.heads() {
        if entry.frames == 0 || head.at.axis_ns() < entry.first.axis_ns() {
            entry.first = head.at;
        }
        if entry.frames == 0 || head.at.axis_ns() >= entry.last.axis_ns() {
            entry.last = head.at;
        }
        entry.frames += 1;
    }
    (entry.samples, entry.events) = (block.info().samples, block.info().events);
    entry
}

/// The stretches of one segment, being added to their boots.
struct Adding<'a> {
    eras: &'a mut Vec<Era>,
    number: usize,
    segment: &'a Segment,
    context: Option<Entry>,
}

impl Adding<'_> {
    fn era(&mut self, boot: model::BootId) -> Option<&mut Era> {
        if self.eras.last().is_none_or(|era| era.boot != boot) {
            self.eras.push(Era { boot, ..Era::default() });
        }
        self.eras.last_mut()
    }

    fn block(&mut self, entry: Entry, boot: model::BootId) {
        let (segment, context) = (self.number, self.context.clone());
        let Some(era) = self.era(boot) else { return };
        era.frames += entry.frames;
        let first_here = era.stretches.last().is_none_or(|stretch| stretch.segment != segment);
        let (first, last) = (entry.first, entry.last);
        let mut stretch = Stretch::of(segment, era, (first, last));
        // Only at the segment's start.
        stretch.starts_with = context.filter(|context| first_here && context.offset < entry.offset);
        stretch.block = Some(entry);
        era.add(stretch, (first, last));
    }

    fn frames(&mut self, frames: Vec<Frame>, meanings: &Meanings) {
        let (number, context) = (self.number, self.context.clone());
        debug_assert!(self.segment.has_sections());
        let mut rest = frames.into_iter().peekable();
        while let Some(first) = rest.next() {
            let boot = first.boot.clone();
            let mut run = vec![first];
            while let Some(next) = rest.next_if(|next| next.boot == boot) {
                run.push(next);
            }
            let run: Vec<Frame> = run.into_iter().map(|frame| renumber(frame, meanings)).collect();
            let Some(era) = self.era(boot) else { return };
            era.frames += u64::try_from(run.len()).unwrap_or(u64::MAX);
            let first = run.iter().map(|frame| frame.at).min_by_key(|at| at.axis_ns()).unwrap_or_default();
            let last = run.iter().map(|frame| frame.at).max_by_key(|at| at.axis_ns()).unwrap_or_default();
            let first_here = era.stretches.last().is_none_or(|stretch| stretch.segment != number);
            let mut stretch = Stretch::of(number, era, (first, last));
            stretch.starts_with = context.clone().filter(|_| first_here);
            stretch.memory = Some(Arc::new(run));
            era.add(stretch, (first, last));
        }
    }
}

impl RecordedHistory {
    /// The state at an instant, if that is in a segment of sections or behind one.
    pub(super) fn in_force(&self, at: u64) -> Result<InForce, model::HistoryError> {
        let Some(era) = self.era() else { return Ok(InForce::default()) };
        let candidates = era.stretches.iter().enumerate().rev().filter(|(_, stretch)| stretch.reach <= Some(at));
        let mut found = Arc::new(InForce::default());
        let mut start = 0;
        for (index, stretch) in candidates {
            if let Some(before) = self.before(index, stretch) {
                (start, found) = (index, before);
                break;
            }
        }
        let mut found = InForce::clone(&found);
        let mut all_before = true;
        for (index, stretch) in era.stretches.iter().enumerate().skip(start) {
            // Frames may lie a little out of order: what is kept for a place must not depend on the instant asked for.
            if all_before && index > start && stretch.block.is_some() && stretch.reach <= Some(at) {
                self.keep((self.chosen, index), &found);
            }
            if stretch.first > at {
                continue;
            }
            all_before &= stretch.last <= at;
            self.take(&mut found, index, stretch, at)?;
        }
        Ok(found)
    }

    /// What is in force before a stretch, if that can be told without what lies before it.
    fn before(&self, index: usize, stretch: &Stretch) -> Option<Arc<InForce>> {
        let which = (self.chosen, index);
        {
            let mut kept = self.kept.states.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = kept.iter().position(|(of, _)| *of == which) {
                let hit = kept.remove(place);
                kept.push(hit.clone());
                return Some(hit.1);
            }
        }
        if let Some(state) = &stretch.before {
            return Some(Arc::new(InForce::of(state, &self.dictionary)));
        }
        let entry = stretch.starts_with.as_ref()?;
        let segment = self.recording.segments().get(stretch.segment)?;
        let file = segment.file().ok()?;
        let frames = sealed::context(segment, &file, entry).ok()?;
        let meanings = self.meanings.get(stretch.segment)?;
        let mut found = InForce::default();
        for frame in frames {
            found.apply(&renumber(frame, meanings), &self.dictionary);
            // It repeats, and is no word of a probe of its own.
            found.probes.remove(RECORDER);
        }
        self.keep(which, &found);
        Some(Arc::new(found))
    }

    fn keep(&self, which: Which, state: &InForce) {
        let mut kept = self.kept.states.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().any(|(of, _)| *of == which) {
            return;
        }
        kept.push((which, Arc::new(state.clone())));
        let mut weight: usize = kept.iter().map(|(_, state)| 64 + state.latest.len()).sum();
        while weight > MOST_KEPT && kept.len() > 1 {
            weight -= 64 + kept.remove(0).1.latest.len();
        }
    }

    /// Takes in what a stretch says up to an instant.
    fn take(&self, found: &mut InForce, index: usize, stretch: &Stretch, at: u64) -> Result<(), model::HistoryError> {
        let Some(entry) = &stretch.block else {
            for frame in self.decode(index, stretch)?.iter().filter(|frame| frame.at.axis_ns() <= at) {
                found.apply(frame, &self.dictionary);
            }
            return Ok(());
        };
        let none = Meanings::default();
        let meanings = self.meanings.get(stretch.segment).map_or(&none, |meanings| &**meanings);
        let known = Known { meanings, dictionary: &self.dictionary };
        let whole = stretch.last <= at;
        let taken = self.block(index, stretch, entry).and_then(|block| {
            let mut next = found.clone();
            next.take(&block, (!whole).then_some(at), &known).map(|()| next)
        });
        match taken {
            Ok(next) => *found = next,
            // What lies behind a damaged block can still be told.
            Err(_) if whole => {}
            Err(why) => return Err(model::HistoryError::Damaged { offset: entry.offset, why }),
        }
        Ok(())
    }

    pub(super) fn block(&self, index: usize, stretch: &Stretch, entry: &Entry) -> Result<Arc<Block>, String> {
        let which = (self.chosen, index);
        {
            let mut kept = self.kept.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = kept.iter().position(|(of, _)| *of == which) {
                let hit = kept.remove(place);
                kept.push(hit.clone());
                return Ok(hit.1);
            }
        }
        let block = Arc::new(open(&self.recording, stretch, entry)?);
        let mut kept = self.kept.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((which, Arc::clone(&block)));
        if kept.len() > MOST_BLOCKS {
            kept.remove(0);
        }
        Ok(block)
    }

    /// The events of a boot in the order of the time axis.
    pub(super) fn events_of<'a>(&'a self, era: &'a Era) -> &'a [Event] {
        if !era.has_sections() {
            return &era.events;
        }
        era.all_events.get_or_init(|| {
            let mut events = era.events.clone();
            for stretch in &era.stretches {
                if let Some(frames) = &stretch.memory {
                    events.extend(frames.iter().flat_map(|frame| {
                        frame.events.iter().map(|event| placed(event, frame.at)).collect::<Vec<_>>()
                    }));
                }
                let Some(entry) = stretch.block.as_ref().filter(|entry| entry.events > 0) else { continue };
                let Ok(block) = open(&self.recording, stretch, entry) else { continue };
                let heads: Vec<Stamp> = block.heads().map(|head| head.at).collect();
                for extras in block.extras().unwrap_or_default() {
                    let at = heads.get(extras.frame).copied().unwrap_or_default();
                    events.extend(extras.events.iter().map(|event| placed(event, at)));
                }
            }
            events.sort_by_key(|event| event.at.axis_ns());
            let surplus = events.len().saturating_sub(super::MOST_EVENTS);
            events.drain(..surplus);
            events
        })
    }
}

fn open(recording: &Recording, stretch: &Stretch, entry: &Entry) -> Result<Block, String> {
    let segment = recording.segments().get(stretch.segment).ok_or("it is not there")?;
    let file = segment.file().map_err(|error| error.to_string())?;
    let layout = segment.layout().map_err(|error| error.to_string())?;
    sealed::lazy(segment, &file, entry, &segment.series(&file, &layout))
}
