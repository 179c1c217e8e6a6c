//! Reading a recording once, from end to end, into the index of [`RecordedHistory`].

use std::sync::Arc;

use model::{Dictionary, Frame, NodeState, event};

use super::blocks;
use super::cache::Cache;
use super::{Era, MOST_EVENTS, RecordedHistory, Stretch, placed};
use crate::open::Recording;
use crate::reader::Origin;

/// A state is kept every so many samples: two minutes of an eight-GPU node.
pub(super) const STRETCH_SAMPLES: usize = 1 << 17;
/// With more states than this, every second one is let go.
const MOST_STATES: usize = 256;

pub(super) fn read(recording: Recording, stretch_samples: usize) -> RecordedHistory {
    let mut index = Index { stretch_samples: stretch_samples.max(1), ..Index::default() };
    let mut damage = recording.unopened().to_vec();
    let mut frames = recording.frames().records_only();
    while let Some(next) = frames.next() {
        match (next, frames.origin()) {
            (Ok(frame), Some(origin)) => index.take(&frame, origin, frames.dictionary()),
            (Ok(_), None) => {}
            (Err(found), _) => damage.push(found),
        }
    }
    let dictionary = frames.dictionary().clone();
    let meanings = frames.meanings().into_iter().map(Arc::new).collect();
    index.finish();
    let mut history = RecordedHistory {
        chosen: index.eras.len().saturating_sub(1),
        eras: index.eras,
        meanings,
        dictionary,
        damage,
        gaps: index.gaps,
        events_left_out: index.events_left_out,
        cache: Cache::default(),
        kept: blocks::Kept::default(),
        recording,
    };
    blocks::add(&mut history);
    history
}

#[derive(Default)]
struct Index {
    eras: Vec<Era>,
    state: NodeState,
    stretch_samples: usize,
    /// States kept.
    states: usize,
    /// States that were left when they were last thinned out.
    kept: usize,
    /// Samples since the last of them.
    unstated: usize,
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
        // A state holds every series: the more there are, the longer the stretches, so that the states never outweigh the
        // recording.
        let enough = self.stretch_samples.max(dictionary.len().saturating_mul(self.stretch_samples) / 1024);
        let at = frame.at.axis_ns();
        if era.stretches.last().is_none_or(|last| last.segment != segment || last.samples >= enough) {
            // The first of a boot always has a state, if an empty one.
            let before = (era.stretches.is_empty() || self.unstated >= enough).then(|| Box::new(self.state.clone()));
            if before.is_some() {
                (self.unstated, self.states) = (0, self.states + 1);
            }
            let reach = era.stretches.last().map(|last| last.reach.max(Some(last.last))).unwrap_or_default();
            let (samples, first, last) = (0, at, at);
            let (starts_with, block, memory) = (None, None, None);
            era.stretches.push(Stretch {
                segment,
                from,
                until,
                samples,
                first,
                last,
                reach,
                context,
                before,
                starts_with,
                block,
                memory,
            });
        }
        self.unstated += 1 + frame.samples.len();
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
        era.events.extend(frame.events.iter().map(|event| placed(event, frame.at)));
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
        // The first state of each boot always stays: with very many boots there is nothing to thin out.
        if self.states > MOST_STATES.max(2 * self.kept) {
            self.thin_out();
        }
    }

    /// Lets every second state go, and makes later stretches twice as long.
    fn thin_out(&mut self) {
        self.stretch_samples = self.stretch_samples.saturating_mul(2);
        self.states = 0;
        for era in &mut self.eras {
            for (number, stretch) in era.stretches.iter_mut().filter(|stretch| stretch.before.is_some()).enumerate() {
                if number % 2 == 1 {
                    stretch.before = None;
                } else {
                    self.states += 1;
                }
            }
        }
        self.kept = self.states;
    }

    fn finish(&mut self) {
        for era in &mut self.eras {
            era.events.sort_by_key(|event| event.at.axis_ns());
        }
    }
}
