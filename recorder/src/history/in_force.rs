//! What is in force at an instant, put together from contexts, blocks and Frames.

use std::collections::{BTreeMap, HashMap};

use model::state::{Latest, ProbeState};
use model::{Dictionary, Frame, Inventory, NodeState, Reading, SeriesId, SeriesKey, Stamp};

use crate::block::Block;
use crate::numbering::Meanings;

/// What is in force at an instant, in the ids of the history's dictionary.
#[derive(Clone, Debug, Default)]
pub(super) struct InForce {
    at: Stamp,
    pub(super) latest: HashMap<SeriesId, (Reading, Stamp)>,
    inventory: Inventory,
    pub(super) probes: BTreeMap<String, ProbeState>,
}

impl InForce {
    /// The same as [`NodeState`].
    pub(super) fn state(&self, dictionary: &Dictionary) -> NodeState {
        let mut state = NodeState::default();
        state.at = self.at;
        state.inventory = self.inventory.clone();
        state.probes = self.probes.clone();
        for (id, (reading, at)) in &self.latest {
            if let Some(SeriesKey { entity, metric }) = dictionary.key(*id) {
                state.set(entity, metric, Latest { reading: reading.clone(), at: *at });
            }
        }
        state
    }

    pub(super) fn of(state: &NodeState, dictionary: &Dictionary) -> Self {
        let mut latest = HashMap::new();
        for entity in state.entities() {
            for (metric, last) in state.metrics(entity) {
                let key = SeriesKey { entity: entity.clone(), metric: metric.clone() };
                if let Some(id) = dictionary.id(&key) {
                    latest.insert(id, (last.reading.clone(), last.at));
                }
            }
        }
        Self { at: state.at, latest, inventory: state.inventory.clone(), probes: state.probes.clone() }
    }

    fn seen(&mut self, at: Stamp) {
        if at.axis_ns() >= self.at.axis_ns() {
            self.at = at;
        }
    }

    /// Takes in a Frame in the ids of the dictionary.
    pub(super) fn apply(&mut self, frame: &Frame, dictionary: &Dictionary) {
        self.seen(frame.at);
        for info in &frame.entities {
            self.inventory.learn(info);
        }
        for entity in &frame.gone {
            self.inventory.forget(entity);
            for id in dictionary.ids_of(entity) {
                self.latest.remove(id);
            }
        }
        let probe = ProbeState { at: frame.at, took_us: frame.took_us, faults: frame.faults.clone() };
        self.probes.insert(frame.probe.clone(), probe);
        for (id, reading) in &frame.samples {
            self.latest.insert(*id, (reading.clone(), frame.at));
        }
    }

    /// Takes in what a block says up to an instant; `None`: all of it.
    pub(super) fn take(&mut self, block: &Block, until: Option<u64>, known: &Known<'_>) -> Result<(), String> {
        let within = |at: Stamp| until.is_none_or(|until| at.axis_ns() <= until);
        let (mut gone, mut faults) = (HashMap::new(), HashMap::new());
        let heads: Vec<_> = block.heads().collect();
        for extras in block.extras().map_err(|bad| bad.to_string())? {
            if !heads.get(extras.frame).is_some_and(|head| within(head.at)) {
                continue;
            }
            for info in &extras.entities {
                self.inventory.learn(info);
            }
            for entity in &extras.gone {
                self.inventory.forget(entity);
                for id in known.dictionary.ids_of(entity) {
                    self.latest.remove(id);
                    gone.insert(*id, extras.frame);
                }
            }
            if !extras.faults.is_empty() {
                faults.insert(extras.frame, extras.faults);
            }
        }
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (number, head) in heads.iter().enumerate().filter(|(_, head)| within(head.at)) {
            self.seen(head.at);
            last.insert(head.probe, number);
        }
        for (probe, number) in last {
            let Some(head) = heads.get(number) else { continue };
            let faults = faults.remove(&number).unwrap_or_default();
            self.probes.insert(probe.to_owned(), ProbeState { at: head.at, took_us: head.took_us, faults });
        }
        let mut after_gone = Vec::new();
        let mut sink = |id: SeriesId, reading: Reading, at: Stamp| {
            let Some(own) = known.meanings.get(&id) else { return };
            match gone.get(own) {
                None => drop(self.latest.insert(*own, (reading, at))),
                Some(since) => after_gone.push((id, *own, *since)),
            }
        };
        match until {
            Some(until) => block.state_at(until, &mut sink),
            None => block.last(&mut sink),
        }
        .map_err(|bad| bad.to_string())?;
        for (id, own, since) in after_gone {
            // What was read of it before it was gone is gone with it.
            let found = block.scan_one(id, |column| {
                let rows = (0..column.rows()).rev().zip(column.frames().iter().rev());
                let mut rows = rows.filter(|(row, _)| within(column.at(*row)));
                let row = rows.next().filter(|(_, frame)| usize::try_from(**frame).is_ok_and(|frame| frame >= since));
                row.map(|(row, _)| column.reading(row).map(|reading| (reading, column.at(row)))).transpose()
            });
            let found = found.map_err(|bad| bad.to_string())?.transpose().map_err(|bad| bad.to_string())?;
            self.latest.extend(found.flatten().map(|latest| (own, latest)));
        }
        Ok(())
    }
}

/// What the ids of a segment mean.
pub(super) struct Known<'a> {
    pub(super) meanings: &'a Meanings,
    pub(super) dictionary: &'a Dictionary,
}
