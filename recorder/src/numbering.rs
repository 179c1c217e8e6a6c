//! Series ids of one stream translated into those of another.
//!
//! Ids mean something only within one stream: one worker's pipe, one segment, one session. The writer translates what
//! it is handed into its own, the reader translates each segment's into those of one continuous stream.

use std::collections::HashMap;

use model::{Dictionary, Frame, SeriesDef, SeriesId};

/// What the ids of one source mean in our own stream.
pub(crate) type Meanings = HashMap<SeriesId, SeriesId>;

/// A Frame of a source whose ids are all known.
pub(crate) fn renumber(mut frame: Frame, meanings: &Meanings) -> Frame {
    frame.declares.clear();
    frame.samples.retain_mut(|(id, _)| {
        meanings.get(id).is_some_and(|own| {
            *id = *own;
            true
        })
    });
    frame
}

/// A stream of our own, and what the ids of the present source mean in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbering {
    own: Dictionary,
    of_source: Meanings,
}

impl Numbering {
    /// Our own stream's dictionary.
    pub(crate) fn dictionary(&self) -> &Dictionary {
        &self.own
    }

    /// A series that an id is declared as although it already means another one in the present source.
    pub(crate) fn contradiction<'a>(&self, frame: &'a Frame) -> Option<&'a SeriesDef> {
        let means = |def: &SeriesDef| self.own.key(*self.of_source.get(&def.id)?);
        frame.declares.iter().find(|def| means(def).is_some_and(|key| *key != def.key))
    }

    /// What follows comes from another source: its ids have yet to be declared. What those of the last one meant.
    pub(crate) fn next_source(&mut self) -> Meanings {
        std::mem::take(&mut self.of_source)
    }

    /// Takes in a declaration of the source; ours, if the series is new to our own stream.
    pub(crate) fn declare(&mut self, def: &SeriesDef) -> Option<SeriesDef> {
        let Some((own, new)) = self.own.intern(&def.key) else {
            // The dictionary is full: what the id meant before must not be taken for what it means now.
            self.of_source.remove(&def.id);
            return None;
        };
        if self.of_source.len() < Dictionary::MOST || self.of_source.contains_key(&def.id) {
            self.of_source.insert(def.id, own);
        }
        new
    }

    /// The Frame in our own ids, declaring what is new in our own stream; and how many samples of undeclared series
    /// were left out.
    pub(crate) fn translate(&mut self, mut frame: Frame) -> (Frame, u64) {
        let declares = frame.declares.iter().filter_map(|def| self.declare(def)).collect();
        let before = frame.samples.len();
        frame = renumber(frame, &self.of_source);
        let left_out = before - frame.samples.len();
        (Frame { declares, ..frame }, u64::try_from(left_out).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use model::{Draft, Entity, Stamp, catalogue};

    use super::*;

    fn draft(entities: &[&str]) -> Draft {
        let mut draft = Draft::new("nvml", Stamp::new(1, 1));
        for entity in entities {
            draft.read(&Entity::gpu(*entity), catalogue::GPU_TEMP, 40u64);
        }
        draft
    }

    #[test]
    fn two_sources_with_clashing_ids_become_one_stream() {
        let mut numbering = Numbering::default();
        let (first, _) = numbering.translate(draft(&["A", "B"]).seal(&mut Dictionary::default()));
        numbering.next_source();
        let (second, left_out) = numbering.translate(draft(&["C", "A"]).seal(&mut Dictionary::default()));
        assert_eq!((first.declares.len(), second.declares.len(), left_out), (2, 1, 0));
        assert_eq!(second.named(numbering.dictionary()).samples, draft(&["C", "A"]).samples);
    }

    #[test]
    fn a_sample_of_an_undeclared_series_is_left_out_and_counted() {
        let mut numbering = Numbering::default();
        let mut frame = draft(&["A"]).seal(&mut Dictionary::default());
        frame.declares.clear();
        let (frame, left_out) = numbering.translate(frame);
        assert_eq!((frame.samples.len(), left_out), (0, 1));
    }
}
