//! Reading a recording once, from end to end, into the index of [`RecordedHistory`].

use model::{Dictionary, Frame, NodeState, event};

use super::cache::Cache;
use super::{Era, MOST_EVENTS, RecordedHistory, Stretch, placed};
use crate::open::Recording;
use crate::reader::Origin;

/// A state is kept every so many samples: two minutes of an eight-GPU node.
pub(super) const STRETCH_SAMPLES: usize = 1 << 17;
/// With more stretches than this, neighbours are joined and later ones are longer.
const MOST_STRETCHES: usize = 256;

pub(super) fn read(recording: Recording, stretch_samples: usize) -> RecordedHistory {
    let mut index = Index { stretch_samples: stretch_samples.max(1), ..Index::default() };
    let mut damage = recording.unopened().to_vec();
    let mut frames = recording.frames();
    while let Some(next) = frames.next() {
        match (next, frames.origin()) {
            (Ok(frame), Some(origin)) => index.take(&frame, origin, frames.dictionary()),
            (Ok(_), None) => {}
            (Err(found), _) => damage.push(found),
        }
    }
    let dictionary = frames.dictionary().clone();
    let meanings = frames.meanings();
    index.finish();
    RecordedHistory {
        chosen: index.eras.len().saturating_sub(1),
        eras: index.eras,
        meanings,
        dictionary,
        damage,
        gaps: index.gaps,
        events_left_out: index.events_left_out,
        cache: Cache::default(),
        recording,
    }
}

#[derive(Default)]
struct Index {
    eras: Vec<Era>,
    state: NodeState,
    stretch_samples: usize,
    gaps: u64,
    events_left_out: u64,
}

impl Index {
    fn take(&mut self, frame: &Frame, origin: Origin, dictionary: &Dictionary) {
        let Origin { segment, from, until, context } = origin;
        if self.eras.last().is_none_or(|era| era.boot != frame.boot) {
            self.eras.push(Era { boot: frame.boot.clone(), ..Era::default() });
            self.state = NodeState::default();
        }
        let Some(era) = self.eras.last_mut() else { return };
        let full =
            era.stretches.last().is_none_or(|last| last.segment != segment || last.samples >= self.stretch_samples);
        let at = frame.at.axis_ns();
        if full {
            let before = self.state.clone();
            era.stretches.push(Stretch { segment, from, until, samples: 0, first: at, last: at, context, before });
        }
        if let Some(stretch) = era.stretches.last_mut() {
            stretch.until = until;
            stretch.samples += 1 + frame.samples.len();
            stretch.first = stretch.first.min(at);
            stretch.last = stretch.last.max(at);
        }
        self.state.apply(frame, dictionary);
        for (id, _) in &frame.samples {
            era.paces.entry(*id).or_default().saw(at);
        }
        self.gaps += u64::try_from(frame.events.iter().filter(|event| event.kind == event::GAP).count()).unwrap_or(0);
        era.events.extend(frame.events.iter().map(|event| placed(event, frame)));
        if era.events.len() > MOST_EVENTS {
            let surplus = era.events.len() - MOST_EVENTS / 2;
            era.events.drain(..surplus);
            self.events_left_out += u64::try_from(surplus).unwrap_or(u64::MAX);
        }
        if !context {
            era.frames += 1;
            era.first = era.first.filter(|first| first.axis_ns() <= at).or(Some(frame.at));
            era.last = era.last.filter(|last| last.axis_ns() > at).or(Some(frame.at));
        }
        if self.eras.iter().map(|era| era.stretches.len()).sum::<usize>() > MOST_STRETCHES {
            self.join();
        }
    }

    /// Joins neighbours of one segment, which halves the states that are kept.
    fn join(&mut self) {
        self.stretch_samples = self.stretch_samples.saturating_mul(2);
        for era in &mut self.eras {
            let mut joined: Vec<Stretch> = Vec::with_capacity(era.stretches.len());
            for next in era.stretches.drain(..) {
                match joined.last_mut() {
                    Some(last)
                        if last.segment == next.segment && last.samples + next.samples <= self.stretch_samples =>
                    {
                        last.until = next.until;
                        last.samples += next.samples;
                        last.first = last.first.min(next.first);
                        last.last = last.last.max(next.last);
                    }
                    _ => joined.push(next),
                }
            }
            era.stretches = joined;
        }
    }

    fn finish(&mut self) {
        for era in &mut self.eras {
            era.events.sort_by_key(|event| event.at.axis_ns());
        }
    }
}
