//! Frames to incidents: the one way, for a recording, a log file and a live node.

use std::sync::Arc;

use ::decode::Decoder;
use ::rules::{Evaluator, Rulebook};
use model::{Coverage, Dictionary, Frame, Incident, Inventory, Severity, Stamp};

/// What a recording, a log or a node came to.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// Ordered by importance.
    pub incidents: Vec<Incident>,
    /// What could not be judged.
    pub coverage: Coverage,
    /// What the things are called that the incidents are about.
    pub inventory: Inventory,
}

/// Judges Frames as they are recorded: kernel lines raw. What is read faster than once a second is left out.
#[derive(Debug)]
pub(crate) struct Judge {
    decoder: Decoder,
    dictionary: Dictionary,
    inventory: Inventory,
    evaluator: Evaluator,
    last: Stamp,
}

impl Judge {
    /// A judge by this rulebook. The driver's version, where known, decides what an Xid means.
    pub(crate) fn new(rulebook: Arc<Rulebook>, driver: Option<&str>) -> Self {
        let mut decoder = Decoder::new();
        if let Some(version) = driver {
            decoder.set_driver(version);
        }
        Self {
            decoder,
            dictionary: Dictionary::default(),
            inventory: Inventory::default(),
            evaluator: Evaluator::new(rulebook),
            last: Stamp::default(),
        }
    }

    /// Takes in a Frame whose kernel lines are raw.
    pub(crate) fn raw(&mut self, mut frame: Frame) {
        if frame.burst {
            return;
        }
        self.dictionary.follow(&frame);
        if let Some(version) = engine::session::driver_version(&frame, &self.dictionary) {
            self.decoder.set_driver(version);
        }
        self.decoder.frame(&mut frame);
        self.decoded(&frame);
    }

    /// Takes in a Frame whose kernel lines are decoded.
    pub(crate) fn decoded(&mut self, frame: &Frame) {
        if frame.burst {
            return;
        }
        if frame.at.axis_ns() >= self.last.axis_ns() {
            self.last = frame.at;
        }
        for info in &frame.entities {
            self.inventory.learn(info);
        }
        self.evaluator.frame(frame);
    }

    /// A number that changes when the incidents do.
    pub(crate) fn revision(&self) -> u64 {
        self.evaluator.revision()
    }

    /// What it comes to so far.
    pub(crate) fn judgement(&self) -> Judgement {
        Judgement {
            incidents: self.evaluator.incidents(),
            coverage: self.evaluator.coverage(),
            inventory: self.inventory.clone(),
        }
    }

    /// What it comes to at the end of the input.
    pub(crate) fn finish(mut self) -> Judgement {
        self.evaluator.advance(self.last);
        self.judgement()
    }
}

/// The health of a node in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Nothing stands that is worse than worth knowing.
    Ok,
    /// Something is degraded.
    Warning,
    /// Work is lost, or a device is unusable.
    Critical,
    /// Nothing could be judged.
    Unknown,
}

impl Health {
    /// The health that a judgement comes to: by the worst open incident; without one, ok only if the GPUs could be
    /// judged. A node whose driver does not answer is never green.
    pub(crate) fn of(judgement: &Judgement) -> Self {
        let worst =
            judgement.incidents.iter().filter(|incident| incident.open()).map(|incident| incident.severity).max();
        match worst {
            Some(Severity::Critical | Severity::Fatal) => Self::Critical,
            Some(Severity::Warning) => Self::Warning,
            _ if !judgement.coverage.seen.iter().any(|source| source == "nvml") => Self::Unknown,
            _ => Self::Ok,
        }
    }

    /// The word that scripts see.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }

    /// The exit code of `gpudeck check`.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Live, the engine decodes behind the sequencer; at replay, the judge does. Both must come to the same, byte for
    /// byte.
    #[test]
    fn the_live_way_and_the_replayed_way_come_to_the_same_incidents() {
        for fixture in ["xid79-fell-off", "rdma-link-down", "driver-call-hangs"] {
            let path =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("replay-fixtures").join(fixture).join("recording.gdk");
            let recording = ::recorder::Recording::open(&path).expect("the fixture opens");
            let rulebook = Arc::new(Rulebook::builtin());
            let mut replayed = Judge::new(Arc::clone(&rulebook), None);
            let mut live = Judge::new(rulebook, None);
            let (mut decoder, mut dictionary) = (Decoder::new(), Dictionary::default());
            for frame in recording.frames().map_while(Result::ok) {
                dictionary.follow(&frame);
                if let Some(version) = engine::session::driver_version(&frame, &dictionary) {
                    decoder.set_driver(version);
                }
                live.decoded(&engine::session::decoded(&Arc::new(frame.clone()), &mut decoder));
                replayed.raw(frame);
            }
            let (live, replayed) = (live.finish(), replayed.finish());
            assert!(!live.incidents.is_empty(), "{fixture}");
            let json = |judgement: &Judgement| serde_json::to_string(&judgement.incidents).expect("serialises");
            assert_eq!(json(&live), json(&replayed), "{fixture}");
            assert_eq!(live.coverage, replayed.coverage, "{fixture}");
        }
    }
}
