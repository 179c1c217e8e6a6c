//! What is in force at an instant, as the Frames that told it.

use std::collections::{BTreeMap, HashMap};

use model::{BootId, Entity, EntityInfo, Frame, Reading, SeriesDef, SeriesId};

/// What the Frames so far have told and nothing has ended since.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// Frames so far.
    number: u64,
    boot: BootId,
    /// Frames without their contents, by number.
    heads: BTreeMap<u64, Frame>,
    /// How many of the below stand in each.
    held: HashMap<u64, usize>,
    entities: BTreeMap<Entity, (u64, EntityInfo)>,
    series: BTreeMap<SeriesId, (u64, SeriesDef, Option<Reading>)>,
    /// The last Frame of each probe: it says what the probe could not do.
    latest: HashMap<String, u64>,
}

impl Context {
    /// Takes in the next Frame of the recording.
    pub(super) fn follow(&mut self, mut frame: Frame) {
        if frame.boot != self.boot && !frame.boot.0.is_empty() {
            // What was read in another boot says nothing of this one.
            *self = Self { boot: frame.boot.clone(), number: self.number, ..Self::default() };
        }
        let number = self.number;
        self.number += 1;
        for entity in std::mem::take(&mut frame.gone) {
            self.forget(&entity);
        }
        for info in std::mem::take(&mut frame.entities) {
            self.hold(number);
            if let Some((before, _)) = self.entities.insert(info.entity.clone(), (number, info)) {
                self.release(before);
            }
        }
        for def in std::mem::take(&mut frame.declares) {
            self.hold(number);
            if let Some((before, ..)) = self.series.insert(def.id, (number, def, None)) {
                self.release(before);
            }
        }
        for (id, reading) in std::mem::take(&mut frame.samples) {
            if let Some((told, _, last)) = self.series.get_mut(&id) {
                let before = std::mem::replace(told, number);
                *last = Some(reading);
                self.hold(number);
                self.release(before);
            }
        }
        frame.events.clear();
        self.hold(number);
        if let Some(before) = self.latest.insert(frame.probe.clone(), number) {
            if let Some(head) = self.heads.get_mut(&before) {
                head.faults.clear();
            }
            self.release(before);
        }
        self.heads.insert(number, frame);
    }

    fn forget(&mut self, entity: &Entity) {
        let ended: Vec<SeriesId> =
            self.series.iter().filter(|(_, (_, def, _))| def.key.entity == *entity).map(|(id, _)| *id).collect();
        for id in ended {
            if let Some((told, ..)) = self.series.remove(&id) {
                self.release(told);
            }
        }
        if let Some((told, _)) = self.entities.remove(entity) {
            self.release(told);
        }
    }

    fn hold(&mut self, number: u64) {
        *self.held.entry(number).or_default() += 1;
    }

    /// A Frame of which nothing is in force any more is let go.
    fn release(&mut self, number: u64) {
        let Some(held) = self.held.get_mut(&number) else { return };
        *held = held.saturating_sub(1);
        if *held == 0 {
            self.held.remove(&number);
            self.heads.remove(&number);
        }
    }

    /// The Frames in their order, each with what of it is in force. Each declares the series that it samples.
    pub(super) fn take(&mut self) -> Vec<Frame> {
        let Self { mut heads, entities, series, .. } = std::mem::take(self);
        for (number, info) in entities.into_values() {
            if let Some(head) = heads.get_mut(&number) {
                head.entities.push(info);
            }
        }
        for (id, (number, def, reading)) in series {
            if let Some(head) = heads.get_mut(&number) {
                head.declares.push(def);
                head.samples.extend(reading.map(|reading| (id, reading)));
            }
        }
        heads.into_values().collect()
    }
}
