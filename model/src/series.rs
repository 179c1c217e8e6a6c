//! Interned series: one small integer per (entity, metric), so that nothing on the hot path looks up a string.
//!
//! A stream carries its own dictionary: a Frame declares each series before the first sample of it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::catalogue::MetricName;
use crate::entity::Entity;

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

/// The series of a stream, both ways round.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    by_key: HashMap<SeriesKey, SeriesId>,
    by_id: HashMap<SeriesId, SeriesKey>,
    next: u32,
}

impl Dictionary {
    /// The most series one stream may declare; a hostile recording stops here instead of in swap.
    pub const MOST: usize = 1 << 20;

    /// The id of a series, and its declaration if it is new to this stream. `None` once [`Self::MOST`] is reached.
    pub fn intern(&mut self, key: &SeriesKey) -> Option<(SeriesId, Option<SeriesDef>)> {
        if let Some(id) = self.by_key.get(key) {
            return Some((*id, None));
        }
        let def = SeriesDef { id: SeriesId(self.next), key: key.clone() };
        self.declare(&def).then_some((def.id, Some(def)))
    }

    /// Takes in a declaration of the stream being read. False if the dictionary is full.
    pub fn declare(&mut self, def: &SeriesDef) -> bool {
        if self.by_id.len() >= Self::MOST {
            return false;
        }
        self.next = self.next.max(def.id.0.saturating_add(1));
        self.by_key.insert(def.key.clone(), def.id);
        self.by_id.insert(def.id, def.key.clone());
        true
    }

    /// What a series is about.
    pub fn key(&self, id: SeriesId) -> Option<&SeriesKey> {
        self.by_id.get(&id)
    }

    /// The id of a series already declared.
    pub fn id(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.by_key.get(key).copied()
    }

    /// All series, in the order of their ids.
    pub fn defs(&self) -> Vec<SeriesDef> {
        let mut defs: Vec<_> = self.by_id.iter().map(|(id, key)| SeriesDef { id: *id, key: key.clone() }).collect();
        defs.sort_by_key(|def| def.id);
        defs
    }

    /// How many series.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
