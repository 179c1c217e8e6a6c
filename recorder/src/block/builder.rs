//! Frames into columns, one at a time and without keeping any.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use model::{BootId, Entity, EntityInfo, Event, Frame, ProbeFault, Reading, SeriesId, Stamp};
use serde::Serialize;

use super::cells::{Cells, Values};
use super::{BYTES_FULL, FRAMES_FULL, SAMPLES_FULL, Sealed, seal};
use crate::schema::Schema;

/// What a Frame is besides its samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) probe: u32,
    pub(super) boot: u32,
    pub(super) shape: u32,
    pub(super) seq: u64,
    pub(super) at: Stamp,
    pub(super) took_us: u64,
    pub(super) burst: bool,
}

/// Which series a Frame has, in its order.
#[derive(Debug, Default)]
pub(super) struct Shape {
    ids: Vec<SeriesId>,
    pub(super) columns: Vec<u32>,
}

/// What a Frame has besides samples.
#[derive(Serialize)]
struct Extra<'a> {
    frame: usize,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entities: &'a [EntityInfo],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    gone: &'a [Entity],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    events: &'a [Event],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    faults: &'a [ProbeFault],
}

/// Collects Frames of one segment's stream: about eight bytes a sample, and nothing for series that stay the same.
#[derive(Debug, Default)]
pub struct Builder {
    pub(super) ids: Vec<SeriesId>,
    pub(super) columns: Vec<Cells>,
    places: HashMap<SeriesId, u32>,
    pub(super) shapes: Vec<Shape>,
    shapes_by_hash: HashMap<u64, Vec<u32>>,
    pub(super) rows: Vec<Row>,
    pub(super) probes: Vec<String>,
    /// Per probe: the shape of its last Frame, which is that of the next one as a rule.
    recent: Vec<u32>,
    pub(super) boots: Vec<BootId>,
    pub(super) values: Values,
    /// MessagePack of Frames' extras, and how many there are.
    pub(super) extras: (Vec<u8>, u32),
    pub(super) events: u64,
    samples: u64,
}

fn place<T>(list: &[T], mut is: impl FnMut(&T) -> bool) -> Option<u32> {
    // What was used last is looked for first.
    list.iter().rposition(&mut is).and_then(|place| u32::try_from(place).ok())
}

fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

impl Builder {
    /// Takes in a Frame. Its declarations are the schema's matter and are not kept.
    pub fn push(&mut self, frame: &Frame) {
        let probe = place(&self.probes, |probe| *probe == frame.probe).unwrap_or_else(|| {
            self.probes.push(frame.probe.clone());
            self.recent.push(u32::MAX);
            count(&self.probes) - 1
        });
        let boot = place(&self.boots, |boot| *boot == frame.boot).unwrap_or_else(|| {
            self.boots.push(frame.boot.clone());
            count(&self.boots) - 1
        });
        let shape = self.shape(probe, &frame.samples);
        if let Some(shape) = self.shapes.get(shape as usize) {
            for (column, (_, reading)) in shape.columns.iter().zip(&frame.samples) {
                if let Some(column) = self.columns.get_mut(*column as usize) {
                    column.push(reading, &mut self.values);
                }
            }
        }
        self.extra(frame);
        self.samples += u64::from(count(&frame.samples));
        self.events += u64::from(count(&frame.events));
        let (seq, at, took_us) = (frame.seq, frame.at, frame.took_us);
        self.rows.push(Row { probe, boot, shape, seq, at, took_us, burst: frame.burst });
    }

    fn extra(&mut self, frame: &Frame) {
        let Frame { entities, gone, events, faults, .. } = frame;
        if entities.is_empty() && gone.is_empty() && events.is_empty() && faults.is_empty() {
            return;
        }
        let extra = Extra { frame: self.rows.len(), entities, gone, events, faults };
        let before = self.extras.0.len();
        let written = extra.serialize(&mut rmp_serde::Serializer::new(&mut self.extras.0).with_struct_map());
        match written {
            Ok(()) => self.extras.1 += 1,
            Err(_) => self.extras.0.truncate(before),
        }
    }

    /// The shape of these samples.
    fn shape(&mut self, probe: u32, samples: &[(SeriesId, Reading)]) -> u32 {
        let recent = self.recent.get(probe as usize).copied().unwrap_or(u32::MAX);
        let fits = |shape: &Shape| {
            shape.ids.len() == samples.len() && shape.ids.iter().zip(samples).all(|(id, sample)| *id == sample.0)
        };
        if self.shapes.get(recent as usize).is_some_and(fits) {
            return recent;
        }
        let mut hasher = DefaultHasher::new();
        samples.iter().for_each(|(id, _)| id.hash(&mut hasher));
        let candidates = self.shapes_by_hash.entry(hasher.finish()).or_default();
        let known = candidates.iter().copied().find(|shape| self.shapes.get(*shape as usize).is_some_and(fits));
        let shape = known.unwrap_or_else(|| {
            candidates.push(count(&self.shapes));
            let ids: Vec<_> = samples.iter().map(|(id, _)| *id).collect();
            let column = |id: &SeriesId| {
                *self.places.entry(*id).or_insert_with(|| {
                    self.ids.push(*id);
                    self.columns.push(Cells::default());
                    count(&self.ids) - 1
                })
            };
            self.shapes.push(Shape { columns: ids.iter().map(column).collect(), ids });
            count(&self.shapes) - 1
        });
        if let Some(recent) = self.recent.get_mut(probe as usize) {
            *recent = shape;
        }
        shape
    }

    /// How many Frames it holds.
    pub fn frames(&self) -> usize {
        self.rows.len()
    }

    /// How many samples it holds.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Whether it is time to seal whatever the clock says: readers refuse blocks of far more.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= FRAMES_FULL
            || self.samples >= SAMPLES_FULL
            || self.values.bytes.max(self.extras.0.len()) >= BYTES_FULL
    }

    /// Encodes. Samples of series that the schema does not have are left out.
    pub fn seal(self, schema: &Schema) -> Sealed {
        seal::seal(self, schema)
    }
}
