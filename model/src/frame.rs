//! The Frame: one probe's samples and events at one instant. The one kind of thing that flows through every room.
//!
//! A probe fills a [`Draft`] with named series; a [`Dictionary`] turns it into a [`Frame`] with interned ones. On the
//! wire a Frame is a MessagePack map by field name, so that old readers skip new fields and new readers default old ones.

use serde::{Deserialize, Serialize};

use crate::catalogue::MetricName;
use crate::entity::{Entity, EntityInfo};
use crate::event::Event;
use crate::reading::Reading;
use crate::series::{Dictionary, SeriesDef, SeriesId, SeriesKey};
use crate::text::Untrusted;
use crate::time::{BootId, Stamp};

/// The most bytes one Frame may take on a pipe or in a recording.
pub const MOST_BYTES: usize = 16 << 20;

/// The deepest nesting of maps and lists that one may hold. Decoding recurses, and untagged fields recurse through several
/// calls a level: deeper than this, a hostile Frame would end in a stack overflow, which nothing can catch.
const MOST_DEPTH: usize = 64;

/// One sample: a series and what was read.
pub type Sample = (SeriesId, Reading);

/// Something a probe could not do: what it tried, and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFault {
    /// The call or file.
    pub call: String,
    /// To whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// What came back.
    pub why: Untrusted,
    /// What a person can do about it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl ProbeFault {
    /// So many samples were left out because their series no longer fit the dictionary.
    pub fn left_out(samples: u64) -> Self {
        Self {
            call: "intern".to_owned(),
            entity: None,
            why: format!("{samples} samples left out: more than {} series", Dictionary::MOST).into(),
            advice: None,
        }
    }
}

/// One probe's samples and events at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Which probe: `nvml`, `kernel_log`, `pcie`, `rdma`, `fuse`, `host`, `process`, or `engine` itself.
    pub probe: String,
    /// Which boot the monotonic time belongs to.
    #[serde(default)]
    pub boot: BootId,
    /// The order in which the sequencer admitted it, counted from 1 in a session; 0 before that.
    #[serde(default)]
    pub seq: u64,
    /// When the probe began to read; when it ended, if that took longer than a second.
    pub at: Stamp,
    /// How long reading took, microseconds.
    #[serde(default)]
    pub took_us: u64,
    /// Read faster than the 1 Hz view, which carries the extremes of what was read so; recorded only around what went
    /// wrong. Rules and deck never see it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub burst: bool,
    /// Series used here for the first time in this stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declares: Vec<SeriesDef>,
    /// Entities that are new or have changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<EntityInfo>,
    /// Entities that are gone, and their series with them; what the Frame declares and samples of one comes after that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Entity>,
    /// What was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// What could not be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<ProbeFault>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Frame {
    /// The wire form: a MessagePack map by field name.
    ///
    /// # Errors
    /// Never for a Frame made by this crate; the encoder's error otherwise.
    pub fn to_wire(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        rmp_serde::to_vec_named(self)
    }

    /// Reads the wire form. The caller has already bounded the length by [`MOST_BYTES`].
    ///
    /// # Errors
    /// What the decoder found and expected.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
        decoder.set_max_depth(MOST_DEPTH);
        Self::deserialize(&mut decoder)
    }

    /// The Frame as a Draft with named series; samples of undeclared series are left out.
    pub fn named(&self, dictionary: &Dictionary) -> Draft {
        Draft {
            probe: self.probe.clone(),
            boot: self.boot.clone(),
            at: self.at,
            took_us: self.took_us,
            burst: self.burst,
            entities: self.entities.clone(),
            gone: self.gone.clone(),
            samples: self
                .samples
                .iter()
                .filter_map(|(id, reading)| Some((dictionary.key(*id)?.clone(), reading.clone())))
                .collect(),
            events: self.events.clone(),
            faults: self.faults.clone(),
        }
    }
}

/// A Frame in the making: what a probe fills, with series by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// Which probe.
    pub probe: String,
    /// Which boot.
    pub boot: BootId,
    /// When the probe began to read; when it ended, if that took longer than a second.
    pub at: Stamp,
    /// How long reading took, microseconds.
    pub took_us: u64,
    /// Read faster than the 1 Hz view: see [`Frame::burst`].
    pub burst: bool,
    /// Entities that are new or have changed.
    pub entities: Vec<EntityInfo>,
    /// Entities that are gone.
    pub gone: Vec<Entity>,
    /// What was read.
    pub samples: Vec<(SeriesKey, Reading)>,
    /// What happened.
    pub events: Vec<Event>,
    /// What could not be done.
    pub faults: Vec<ProbeFault>,
}

impl Draft {
    /// An empty Draft of this probe at this instant.
    pub fn new(probe: impl Into<String>, at: Stamp) -> Self {
        Self { probe: probe.into(), at, ..Self::default() }
    }

    /// Adds one reading.
    pub fn read(&mut self, entity: &Entity, metric: impl Into<MetricName>, reading: impl Into<Reading>) {
        self.samples.push((SeriesKey { entity: entity.clone(), metric: metric.into() }, reading.into()));
    }

    /// Adds what could not be done.
    pub fn fault(&mut self, call: impl Into<String>, entity: Option<Entity>, why: impl Into<Untrusted>) {
        self.faults.push(ProbeFault { call: call.into(), entity, why: why.into(), advice: None });
    }

    /// Ends the series of what is gone and interns those of the samples. Samples beyond the dictionary's bound are left
    /// out and reported as a fault.
    pub fn seal(self, dictionary: &mut Dictionary) -> Frame {
        for entity in &self.gone {
            dictionary.release(entity);
        }
        let mut frame = Frame {
            probe: self.probe,
            boot: self.boot,
            seq: 0,
            at: self.at,
            took_us: self.took_us,
            burst: self.burst,
            declares: Vec::new(),
            entities: self.entities,
            gone: self.gone,
            samples: Vec::with_capacity(self.samples.len()),
            events: self.events,
            faults: self.faults,
        };
        let mut refused = 0u64;
        for (key, reading) in self.samples {
            match dictionary.intern(&key) {
                Some((id, def)) => {
                    frame.declares.extend(def);
                    frame.samples.push((id, reading));
                }
                None => refused += 1,
            }
        }
        frame.faults.extend((refused > 0).then(|| ProbeFault::left_out(refused)));
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    fn draft() -> Draft {
        let mut draft = Draft::new("nvml", Stamp::new(5, 7));
        draft.entities.push(EntityInfo::new(Entity::gpu("GPU-1"), "GPU 0"));
        draft.read(&Entity::gpu("GPU-1"), catalogue::GPU_POWER, 312.4);
        draft.read(&Entity::gpu("GPU-1"), catalogue::GPU_ENERGY, Reading::Denied);
        draft.events.push(Event::new(Stamp::default(), crate::event::MARK).with("text", "hello"));
        draft
    }

    #[test]
    fn a_frame_survives_the_wire_and_names_its_series_again() {
        let mut dictionary = Dictionary::default();
        let frame = draft().seal(&mut dictionary);
        assert_eq!(frame.declares.len(), 2);
        let again = Frame::from_wire(&frame.to_wire().unwrap()).unwrap();
        assert_eq!(again, frame);
        assert_eq!(again.named(&dictionary), draft());
        assert!(draft().seal(&mut dictionary).declares.is_empty());
    }

    #[test]
    fn lists_in_lists_in_lists_are_refused_before_the_stack_ends() {
        let mut nested = crate::event::Field::Int(1);
        for _ in 0..1000 {
            nested = crate::event::Field::List(vec![nested]);
        }
        let mut frame = Draft::new("host", Stamp::default()).seal(&mut Dictionary::default());
        frame.events.push(Event::new(Stamp::default(), "deep").with("field", nested));
        let wire = frame.to_wire().unwrap();
        assert!(Frame::from_wire(&wire).unwrap_err().to_string().contains("depth"));
    }

    #[test]
    fn a_reader_skips_what_it_does_not_know_and_defaults_what_is_missing() {
        #[derive(Serialize)]
        struct Newer {
            probe: &'static str,
            at: Stamp,
            invented_later: [u8; 3],
        }
        let newer = Newer { probe: "host", at: Stamp::default(), invented_later: [1, 2, 3] };
        let frame = Frame::from_wire(&rmp_serde::to_vec_named(&newer).unwrap()).unwrap();
        assert_eq!((frame.probe.as_str(), frame.samples.len()), ("host", 0));
    }
}
