//! The series of one segment, in the order of their declaration. Blocks name a series by its place in this order.

use std::collections::HashMap;

use model::{SeriesDef, SeriesId};

/// The series of one segment. It only grows.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    defs: Vec<SeriesDef>,
    places: HashMap<SeriesId, u32>,
}

impl Schema {
    /// Adds a series; false if its id is there already, as the same or another one, or if there are too many.
    pub fn add(&mut self, def: SeriesDef) -> bool {
        let Ok(place) = u32::try_from(self.defs.len()) else { return false };
        if self.places.contains_key(&def.id) || self.defs.len() >= model::Dictionary::MOST {
            return false;
        }
        self.places.insert(def.id, place);
        self.defs.push(def);
        true
    }

    /// The series in the order of their declaration.
    pub fn defs(&self) -> &[SeriesDef] {
        &self.defs
    }

    /// The place of a series.
    pub fn place(&self, id: SeriesId) -> Option<u32> {
        self.places.get(&id).copied()
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.defs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.defs.is_empty()
    }
}
