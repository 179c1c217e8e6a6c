//! Interned series: one small integer per (entity, metric), so that nothing on the hot path looks up a string.
//!
//! A stream carries its own dictionary: a Frame declares each series before the first sample of it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::catalogue::MetricName;
use crate::entity::Entity;
use crate::frame::Frame;

/// A series within one stream (one worker's pipe, one recording, one running session).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeriesId(pub u32);

/// What a series is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Which entity.
    pub entity: Entity,
    /// Which of its metrics.
    pub metric: MetricName,
}

impl SeriesKey {
    /// The series of one metric of one entity.
    pub fn new(entity: Entity, metric: impl Into<MetricName>) -> Self {
        Self { entity, metric: metric.into() }
    }
}

/// The declaration of a series in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesDef {
    /// Its number from here on.
    pub id: SeriesId,
    /// What it is about.
    #[serde(flatten)]
    pub key: SeriesKey,
}

/// The live series of a stream, both ways round.
///
/// A series ends when its entity is gone (`Frame::gone`). Its id is never given to another one; an entity that comes
/// back is declared anew.
#[derive(Clone, Debug)]
pub struct Dictionary {
    most: usize,
    by_key: HashMap<SeriesKey, SeriesId>,
    by_id: HashMap<SeriesId, SeriesKey>,
    by_entity: HashMap<Entity, Vec<SeriesId>>,
    next: u32,
}

impl Default for Dictionary {
    fn default() -> Self {
        let (by_key, by_id, by_entity) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { most: Self::MOST, by_key, by_id, by_entity, next: 0 }
    }
}

impl Dictionary {
    /// The most series that may live in one stream at once; a hostile recording stops here instead of in swap.
    pub const MOST: usize = 1 << 20;

    /// A dictionary for fewer series than [`Self::MOST`].
    pub fn of_at_most(most: usize) -> Self {
        Self { most: most.min(Self::MOST), ..Self::default() }
    }

    /// The id of a series, and its declaration if it is new to this stream. `None` while as many as it may
    /// hold are alive, or once all ids are used up.
    pub fn intern(&mut self, key: &SeriesKey) -> Option<(SeriesId, Option<SeriesDef>)> {
        if let Some(id) = self.by_key.get(key) {
            return Some((*id, None));
        }
        if self.next == u32::MAX {
            return None;
        }
        let def = SeriesDef { id: SeriesId(self.next), key: key.clone() };
        self.declare(&def).then_some((def.id, Some(def)))
    }

    /// Takes in a declaration of the stream being read; what the key or the id stood for before ends. False if the
    /// dictionary is full.
    pub fn declare(&mut self, def: &SeriesDef) -> bool {
        if self.by_id.get(&def.id) == Some(&def.key) {
            return true;
        }
        let before = self.by_key.get(&def.key).copied();
        let replaces = before.is_some() || self.by_id.contains_key(&def.id);
        if self.by_id.len() >= self.most && !replaces {
            return false;
        }
        self.end(def.id);
        if let Some(before) = before {
            self.end(before);
        }
        self.next = self.next.max(def.id.0.saturating_add(1));
        self.by_key.insert(def.key.clone(), def.id);
        self.by_id.insert(def.id, def.key.clone());
        self.by_entity.entry(def.key.entity.clone()).or_default().push(def.id);
        true
    }

    /// Takes in what a Frame of the stream being read ends and declares, in this order. False if the dictionary is full.
    pub fn follow(&mut self, frame: &Frame) -> bool {
        for entity in &frame.gone {
            self.release(entity);
        }
        let mut fits = true;
        for def in &frame.declares {
            fits &= self.declare(def);
        }
        fits
    }

    /// Ends every series of an entity that is gone; their ids.
    pub fn release(&mut self, entity: &Entity) -> Vec<SeriesId> {
        let ids = self.by_entity.remove(entity).unwrap_or_default();
        for id in &ids {
            self.end(*id);
        }
        ids
    }

    fn end(&mut self, id: SeriesId) {
        let Some(key) = self.by_id.remove(&id) else { return };
        self.by_key.remove(&key);
        if let Some(ids) = self.by_entity.get_mut(&key.entity) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_entity.remove(&key.entity);
            }
        }
    }

    /// The ids of an entity's series.
    pub fn ids_of(&self, entity: &Entity) -> &[SeriesId] {
        self.by_entity.get(entity).map_or(&[], Vec::as_slice)
    }

    /// What a series is about.
    pub fn key(&self, id: SeriesId) -> Option<&SeriesKey> {
        self.by_id.get(&id)
    }

    /// The id of a series already declared.
    pub fn id(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.by_key.get(key).copied()
    }

    /// All live series, in the order of their ids.
    pub fn defs(&self) -> Vec<SeriesDef> {
        let mut defs: Vec<_> = self.by_id.iter().map(|(id, key)| SeriesDef { id: *id, key: key.clone() }).collect();
        defs.sort_by_key(|def| def.id);
        defs
    }

    /// How many series are alive.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{PROCESS_CPU, PROCESS_RSS};
    use crate::frame::Draft;
    use crate::time::Stamp;

    fn process(pid: u32) -> Entity {
        Entity::Process(pid, 1)
    }

    #[test]
    fn processes_that_come_and_go_leave_nothing_behind() {
        let (mut ours, mut theirs) = (Dictionary::default(), Dictionary::default());
        for pid in 0..1_000u32 {
            let mut draft = Draft::new("process", Stamp::default());
            draft.gone.extend(pid.checked_sub(1).map(process));
            draft.read(&Entity::Node, PROCESS_CPU, 1u64);
            draft.read(&process(pid), PROCESS_CPU, 1u64);
            draft.read(&process(pid), PROCESS_RSS, 1u64);
            let frame = draft.seal(&mut ours);
            assert!(theirs.follow(&frame));
            assert_eq!((frame.samples.len(), ours.len(), theirs.len()), (3, 3, 3));
        }
        assert_eq!((ours.by_entity.len(), theirs.by_key.len()), (2, 3));
    }

    #[test]
    fn an_entity_that_comes_back_has_a_new_id_and_a_new_declaration() {
        let mut dictionary = Dictionary::default();
        let key = SeriesKey::new(process(7), PROCESS_CPU);
        let (first, _) = dictionary.intern(&key).unwrap();
        assert_eq!(dictionary.release(&process(7)), [first]);
        assert_eq!((dictionary.key(first), dictionary.id(&key)), (None, None));
        let (second, declared) = dictionary.intern(&key).unwrap();
        assert_ne!(first, second);
        assert_eq!(declared.map(|def| def.key), Some(key));
    }

    #[test]
    fn a_series_declared_again_under_another_id_is_counted_once() {
        let mut dictionary = Dictionary::default();
        let key = SeriesKey::new(process(7), PROCESS_CPU);
        for id in [3, 9, 9] {
            assert!(dictionary.declare(&SeriesDef { id: SeriesId(id), key: key.clone() }));
        }
        assert_eq!((dictionary.len(), dictionary.id(&key), dictionary.key(SeriesId(3))), (1, Some(SeriesId(9)), None));
        assert_eq!(dictionary.ids_of(&process(7)), [SeriesId(9)]);
    }

    #[test]
    fn ids_end_before_they_are_given_twice() {
        let mut dictionary = Dictionary::default();
        let key = |pid| SeriesKey::new(process(pid), PROCESS_CPU);
        assert!(dictionary.declare(&SeriesDef { id: SeriesId(u32::MAX), key: key(1) }));
        assert_eq!(dictionary.intern(&key(2)), None);
        assert!(dictionary.intern(&key(1)).is_some());
    }
}
