//! The state of a node at one instant: what each series last said. Built from Frames, live or replayed.

use std::collections::BTreeMap;

use crate::catalogue::{EntityKind, MetricName};
use crate::entity::{Entity, Inventory};
use crate::frame::Frame;
use crate::reading::Reading;
use crate::series::{Dictionary, SeriesKey};
use crate::time::Stamp;

/// What a series last said, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    /// The reading.
    pub reading: Reading,
    /// When it was read.
    pub at: Stamp,
}

/// What a probe last did.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeState {
    /// Its last Frame.
    pub at: Stamp,
    /// How long that took, microseconds.
    pub took_us: u64,
    /// What it could not do in its last Frame.
    pub faults: Vec<crate::frame::ProbeFault>,
}

/// The state of a node: entities, the last reading of every series, the last word of every probe.
#[derive(Clone, Debug, Default)]
pub struct NodeState {
    /// The last Frame's instant.
    pub at: Stamp,
    /// What is known of the entities.
    pub inventory: Inventory,
    /// The probes by name.
    pub probes: BTreeMap<String, ProbeState>,
    latest: BTreeMap<Entity, BTreeMap<MetricName, Latest>>,
}

impl NodeState {
    /// Takes in a Frame of the stream that `dictionary` belongs to; the dictionary has already taken in its
    /// declarations.
    pub fn apply(&mut self, frame: &Frame, dictionary: &Dictionary) {
        self.observe(frame);
        for (id, reading) in &frame.samples {
            if let Some(SeriesKey { entity, metric }) = dictionary.key(*id) {
                self.set(entity, metric, Latest { reading: reading.clone(), at: frame.at });
            }
        }
    }

    fn observe(&mut self, frame: &Frame) {
        if frame.at.axis_ns() >= self.at.axis_ns() {
            self.at = frame.at;
        }
        for info in &frame.entities {
            self.inventory.learn(info);
        }
        for entity in &frame.gone {
            self.inventory.forget(entity);
            self.latest.remove(entity);
        }
        let probe = ProbeState { at: frame.at, took_us: frame.took_us, faults: frame.faults.clone() };
        self.probes.insert(frame.probe.clone(), probe);
    }

    /// Sets what a series last said.
    pub fn set(&mut self, entity: &Entity, metric: &MetricName, latest: Latest) {
        match self.latest.get_mut(entity) {
            Some(metrics) => {
                metrics.insert(metric.clone(), latest);
            }
            None => {
                self.latest.insert(entity.clone(), BTreeMap::from([(metric.clone(), latest)]));
            }
        }
    }

    /// What a series last said, and when.
    pub fn latest(&self, entity: &Entity, metric: impl Into<MetricName>) -> Option<&Latest> {
        self.latest.get(entity)?.get(&metric.into())
    }

    /// What a series last said.
    pub fn reading(&self, entity: &Entity, metric: impl Into<MetricName>) -> Option<&Reading> {
        self.latest(entity, metric).map(|latest| &latest.reading)
    }

    /// The last number that was read well.
    pub fn number(&self, entity: &Entity, metric: impl Into<MetricName>) -> Option<f64> {
        self.reading(entity, metric)?.good()?.as_f64()
    }

    /// The last text that was read well, for comparing.
    pub fn text(&self, entity: &Entity, metric: impl Into<MetricName>) -> Option<&str> {
        Some(self.reading(entity, metric)?.good()?.as_text()?.raw())
    }

    /// Every metric of an entity.
    pub fn metrics(&self, entity: &Entity) -> impl Iterator<Item = (&MetricName, &Latest)> {
        self.latest.get(entity).into_iter().flatten()
    }

    /// Every entity that has samples.
    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.latest.keys()
    }

    /// Every entity of a kind that is known or has samples, in order.
    pub fn of_kind(&self, kind: EntityKind) -> Vec<Entity> {
        let mut found: Vec<Entity> = self.inventory.of_kind(kind).map(|info| info.entity.clone()).collect();
        found.extend(self.latest.keys().filter(|entity| entity.kind() == kind).cloned());
        found.sort();
        found.dedup();
        found
    }
}
