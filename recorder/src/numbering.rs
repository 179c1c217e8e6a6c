//! Series ids of one stream translated into those of another.
//!
//! Ids mean something only within one stream: one worker's pipe, one segment, one session. The writer translates what
//! it is handed into its own, the reader translates each segment's into those of one continuous stream.
//!
//! In the stream of a session a series ends when its entity is gone, and one that comes back is declared anew under
//! another id. In a segment each series has one id, declared once. So the writer lets go of ids that have ended, and the
//! reader declares a series again, under its one id, when something is read of it after its entity was gone or after a
//! boot: whoever follows its Frames has forgotten it by then.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use model::{BootId, Dictionary, Entity, Frame, SeriesDef, SeriesId, SeriesKey};

use crate::schema::Schema;
use crate::schemas::is_lost;

/// Of so many entities that left last, the writer still knows the series: Frames that wait for the disk name them.
const MOST_AWAY: usize = 1 << 14;

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
    /// Ids of the source that a reader of our stream has forgotten and that may be used again.
    asleep: Meanings,
    /// What ids of the source mean that it has told of ahead of their first use.
    ahead: Arc<Schema>,
    ahead_beside: HashMap<SeriesId, SeriesKey>,
    /// Our series that a reader of our stream has forgotten.
    forgotten: HashSet<SeriesId>,
    boot: BootId,
    /// Entities that are gone, the first to leave first; and which of them are not back.
    left: VecDeque<Entity>,
    away: HashSet<Entity>,
}

impl Numbering {
    /// Our own stream's dictionary.
    pub(crate) fn dictionary(&self) -> &Dictionary {
        &self.own
    }

    /// A series that an id is declared as although it already means another one in the present source.
    pub(crate) fn contradiction<'a>(&self, frame: &'a Frame) -> Option<&'a SeriesDef> {
        let meaning = |id: &SeriesId| self.of_source.get(id).or_else(|| self.asleep.get(id));
        let means = |def: &SeriesDef| self.own.key(*meaning(&def.id)?);
        frame.declares.iter().find(|def| means(def).is_some_and(|key| *key != def.key))
    }

    /// What follows comes from another source: its ids have yet to be declared. What those of the last one meant.
    pub(crate) fn next_source(&mut self) -> Meanings {
        let mut meanings = std::mem::take(&mut self.asleep);
        self.ahead = Arc::default();
        self.ahead_beside.clear();
        meanings.extend(self.of_source.drain());
        meanings
    }

    /// Takes in the series of a source that tells them all at once; each is declared when it is first read.
    pub(crate) fn ahead(&mut self, schema: &Arc<Schema>) {
        self.ahead = Arc::clone(schema);
    }

    /// Takes in more such series. `Err`: one of which the source told something else.
    pub(crate) fn ahead_beside(&mut self, declares: Vec<SeriesDef>) -> Result<(), SeriesDef> {
        for def in declares {
            let meaning = self.of_source.get(&def.id).or_else(|| self.asleep.get(&def.id));
            let meaning = meaning.and_then(|own| self.own.key(*own));
            let told = self.told_ahead(def.id).filter(|key| !is_lost(key));
            if [meaning, told].into_iter().flatten().any(|key| *key != def.key) {
                return Err(def);
            }
            if told.is_none() && self.ahead_beside.len() < Dictionary::MOST {
                self.ahead_beside.insert(def.id, def.key);
            }
        }
        Ok(())
    }

    fn told_ahead(&self, id: SeriesId) -> Option<&SeriesKey> {
        let place = self.ahead.place(id).and_then(|place| usize::try_from(place).ok());
        let of_schema = place.and_then(|place| self.ahead.defs().get(place)).map(|def| &def.key);
        of_schema.filter(|key| !is_lost(key)).or_else(|| self.ahead_beside.get(&id))
    }

    /// A series of which the source told ahead is read for the first time.
    fn first_use(&mut self, id: SeriesId, declares: &mut Vec<SeriesDef>) -> Option<SeriesId> {
        let key = self.told_ahead(id)?.clone();
        declares.extend(self.declare(&SeriesDef { id, key }));
        self.of_source.get(&id).copied()
    }

    /// Takes in a declaration of the source; ours, if the series is new to a reader of our own stream.
    pub(crate) fn declare(&mut self, def: &SeriesDef) -> Option<SeriesDef> {
        self.away.remove(&def.key.entity);
        self.asleep.remove(&def.id);
        let Some((own, new)) = self.own.intern(&def.key) else {
            // The dictionary is full: what the id meant before must not be taken for what it means now.
            self.of_source.remove(&def.id);
            return None;
        };
        if self.of_source.len() + self.asleep.len() < Dictionary::MOST || self.of_source.contains_key(&def.id) {
            self.of_source.insert(def.id, own);
        }
        let again = self.forgotten.remove(&own);
        new.or_else(|| again.then(|| SeriesDef { id: own, key: def.key.clone() }))
    }

    /// For writing: the Frame in our own ids, declaring what is new in our own stream; and how many samples of undeclared
    /// series were left out. The source never uses the ids of what is gone again.
    pub(crate) fn translate(&mut self, mut frame: Frame) -> (Frame, u64) {
        let ended: HashSet<SeriesId> = frame.gone.iter().flat_map(|entity| self.own.ids_of(entity)).copied().collect();
        if !ended.is_empty() {
            self.of_source.retain(|_, own| !ended.contains(own));
            self.let_go(&frame.gone);
        }
        let declares = frame.declares.iter().filter_map(|def| self.declare(def)).collect();
        let before = frame.samples.len();
        frame = renumber(frame, &self.of_source);
        let left_out = before - frame.samples.len();
        (Frame { declares, ..frame }, u64::try_from(left_out).unwrap_or(u64::MAX))
    }

    /// Ends our own series of those that left long ago.
    fn let_go(&mut self, gone: &[Entity]) {
        self.left.extend(gone.iter().cloned());
        self.away.extend(gone.iter().cloned());
        while self.left.len() > MOST_AWAY {
            let Some(entity) = self.left.pop_front() else { break };
            if self.away.remove(&entity) {
                self.own.release(&entity);
            }
        }
    }

    /// For reading: the Frame in our own ids, declaring what its reader does not know, or not any more; and how many
    /// samples of undeclared series were left out.
    pub(crate) fn read(&mut self, mut frame: Frame) -> (Frame, u64) {
        self.forget(&frame);
        let mut declares: Vec<SeriesDef> = frame.declares.iter().filter_map(|def| self.declare(def)).collect();
        let mut left_out = 0;
        frame.samples.retain_mut(|(id, _)| {
            let known = self.of_source.get(id).copied().or_else(|| self.wake(*id, &mut declares));
            let Some(own) = known.or_else(|| self.first_use(*id, &mut declares)) else {
                left_out += 1;
                return false;
            };
            *id = own;
            true
        });
        (Frame { declares, ..frame }, left_out)
    }

    /// Whoever follows our Frames forgets what is gone, and at another boot everything.
    fn forget(&mut self, frame: &Frame) {
        if frame.boot != self.boot && !frame.boot.0.is_empty() {
            self.boot = frame.boot.clone();
            self.forgotten.extend(self.own.defs().iter().map(|def| def.id));
            self.asleep.extend(self.of_source.drain());
        }
        let ended: HashSet<SeriesId> = frame.gone.iter().flat_map(|entity| self.own.ids_of(entity)).copied().collect();
        if !ended.is_empty() {
            self.asleep.extend(self.of_source.extract_if(|_, own| ended.contains(own)));
            self.forgotten.extend(ended);
        }
    }

    /// The source goes on with a series that was forgotten: it is declared again.
    fn wake(&mut self, id: SeriesId, declares: &mut Vec<SeriesDef>) -> Option<SeriesId> {
        let own = self.asleep.remove(&id)?;
        self.of_source.insert(id, own);
        if self.forgotten.remove(&own) {
            declares.extend(self.own.key(own).map(|key| SeriesDef { id: own, key: key.clone() }));
        }
        Some(own)
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
    fn leaving(entities: &[&str]) -> Draft {
        let mut draft = Draft::new("nvml", Stamp::new(1, 1));
        draft.gone.extend(entities.iter().map(|entity| Entity::gpu(*entity)));
        draft
    }

    #[test]
    fn a_writer_keeps_no_ids_of_what_is_gone_and_one_that_is_back_keeps_its_own() {
        let (mut numbering, mut source) = (Numbering::default(), Dictionary::default());
        for _ in 0..100 {
            let (there, left_out) = numbering.translate(draft(&["A", "B"]).seal(&mut source));
            assert_eq!((there.samples[0].0, there.samples[1].0, left_out), (SeriesId(0), SeriesId(1), 0));
            numbering.translate(leaving(&["A"]).seal(&mut source));
            assert_eq!(numbering.of_source.len(), 1);
        }
    }

    #[test]
    fn a_writer_lets_go_of_what_left_long_ago() {
        let (mut numbering, mut source) = (Numbering::default(), Dictionary::default());
        for number in 0..2 * MOST_AWAY {
            let name = number.to_string();
            numbering.translate(draft(&[&name, "stays", "returns"]).seal(&mut source));
            numbering.translate(leaving(&[&name]).seal(&mut source));
            if number == 0 {
                numbering.translate(leaving(&["returns"]).seal(&mut source));
            }
        }
        assert_eq!(numbering.own.len(), MOST_AWAY + 2);
        assert!(numbering.away.len() <= MOST_AWAY);
    }

    #[test]
    fn what_is_read_of_a_series_after_its_entity_was_gone_is_declared_again() {
        let (mut numbering, mut follower) = (Numbering::default(), Dictionary::default());
        let mut source = Dictionary::default();
        let mut read = |frame: Frame| {
            let (frame, left_out) = numbering.read(frame);
            assert!(follower.follow(&frame));
            assert_eq!((left_out, frame.named(&follower).samples.len()), (0, frame.samples.len()));
            (frame.declares.len(), frame.samples.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
        };
        assert_eq!(read(draft(&["A", "B"]).seal(&mut source)), (2, vec![0, 1]));
        // A recorder that declares a series once in a segment, whatever its entity does.
        let mut gone = Draft::new("nvml", Stamp::new(1, 1)).seal(&mut source);
        gone.gone.push(Entity::gpu("A"));
        assert_eq!(read(gone), (0, vec![]));
        assert_eq!(read(draft(&["A", "B"]).seal(&mut source)), (1, vec![0, 1]));
        assert_eq!(read(draft(&["A", "B"]).seal(&mut source)), (0, vec![0, 1]));
        // One that declares it anew.
        assert_eq!(read(leaving(&["B"]).seal(&mut source)), (0, vec![]));
        assert_eq!(read(draft(&["A", "B"]).seal(&mut source)), (1, vec![0, 1]));
        assert_eq!(numbering.next_source().len(), 3);
    }

    #[test]
    fn another_boot_declares_everything_again() {
        let (mut numbering, mut source) = (Numbering::default(), Dictionary::default());
        let mut declared = |boot: &str| {
            let mut frame = draft(&["A", "B"]).seal(&mut source);
            frame.boot = BootId(boot.into());
            let (frame, left_out) = numbering.read(frame);
            (frame.declares.len(), frame.samples.len(), left_out)
        };
        assert_eq!(declared("one"), (2, 2, 0));
        assert_eq!(declared("one"), (0, 2, 0));
        assert_eq!(declared("two"), (2, 2, 0));
        assert_eq!(declared("two"), (0, 2, 0));
    }
}
