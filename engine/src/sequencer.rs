//! The order of Frames, and what rules and recorder both see.
//!
//! The sequencer admits Frames in the order in which they arrive, gives them their number and the session's own series,
//! rounds gauges to their recording quantum (so that live and replay judge the same values), and notes what a reader of
//! the recording must know: a Frame that came too late, a wall clock that stepped.

use std::collections::HashMap;

use model::event::{CLOCK_STEP, GAP};
use model::{BootId, Dictionary, Entity, Event, Field, Frame, Kind, Reading, SeriesDef, SeriesId, SeriesKey, Value};

/// A Frame that lies this far behind the newest one comes too late for the rules: its samples are left out, its events
/// kept.
pub const LATENESS_NS: u64 = 2_000_000_000;

/// The wall clock is held to have stepped when it moved by this much against the monotonic one between two Frames.
pub const STEP_NS: i128 = 500_000_000;

/// Which pipe a Frame came from; each worker process has a dictionary of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u64);

/// Gives Frames their order. Pure: no clock, no I/O.
#[derive(Debug)]
pub struct Sequencer {
    boot: BootId,
    seq: u64,
    newest_ns: u64,
    real_minus_mono: Option<i128>,
    session: Dictionary,
    streams: HashMap<StreamId, HashMap<SeriesId, SeriesId>>,
}

impl Sequencer {
    /// A sequencer for one boot.
    pub fn new(boot: BootId) -> Self {
        Self {
            boot,
            seq: 0,
            newest_ns: 0,
            real_minus_mono: None,
            session: Dictionary::default(),
            streams: HashMap::new(),
        }
    }

    /// The session's dictionary: every series declared by the Frames admitted so far.
    pub fn dictionary(&self) -> &Dictionary {
        &self.session
    }

    /// Forgets a stream whose worker is gone.
    pub fn forget(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// Admits a Frame.
    pub fn admit(&mut self, stream: StreamId, mut frame: Frame) -> Frame {
        let declares = self.translate(stream, &mut frame);
        frame.declares = declares;
        frame.boot = self.boot.clone();
        self.note_lateness(&mut frame);
        self.note_clock_step(&mut frame);
        for (id, reading) in &mut frame.samples {
            if let Some(key) = self.session.key(*id) {
                quantise(key, reading);
            }
        }
        self.seq += 1;
        frame.seq = self.seq;
        frame
    }

    /// Renames the worker's series to the session's; returns the declarations that are new to the session.
    fn translate(&mut self, stream: StreamId, frame: &mut Frame) -> Vec<SeriesDef> {
        let names = self.streams.entry(stream).or_default();
        let mut new = Vec::new();
        for def in &frame.declares {
            if let Some((id, declared)) = self.session.intern(&def.key) {
                names.insert(def.id, id);
                new.extend(declared);
            }
        }
        frame.samples.retain_mut(|(id, _)| match names.get(id) {
            Some(known) => {
                *id = *known;
                true
            }
            None => false,
        });
        new
    }

    fn note_lateness(&mut self, frame: &mut Frame) {
        let at = frame.at.axis_ns();
        let behind = self.newest_ns.saturating_sub(at);
        self.newest_ns = self.newest_ns.max(at);
        if behind > LATENESS_NS {
            frame.samples.clear();
            frame.events.push(
                Event::new(frame.at, GAP)
                    .about(Entity::Probe(frame.probe.clone()))
                    .with("probe", frame.probe.as_str())
                    .with("why", "late")
                    .with("missing_ns", Field::Int(i64::try_from(behind).unwrap_or(i64::MAX))),
            );
        }
    }

    fn note_clock_step(&mut self, frame: &mut Frame) {
        let (Some(mono), Some(real)) = (frame.at.mono_ns, frame.at.real_ns) else { return };
        let offset = i128::from(real) - i128::from(mono);
        let step = self.real_minus_mono.map_or(0, |before| offset - before);
        // Slow adjustment (NTP slewing) moves the offset too; follow it so that it never adds up to a step.
        self.real_minus_mono = Some(offset);
        if step.abs() >= STEP_NS {
            let step = i64::try_from(step).unwrap_or(i64::MAX);
            frame.events.push(Event::new(frame.at, CLOCK_STEP).about(Entity::Node).with("step_ns", step));
        }
    }
}

/// Rounds a gauge to the quantum that the catalogue gives its metric.
fn quantise(key: &SeriesKey, reading: &mut Reading) {
    let Some(metric) = key.metric.metric() else { return };
    if metric.quantum <= 0.0 || !matches!(metric.kind, Kind::Gauge | Kind::Info) {
        return;
    }
    if let Reading::Good(Value::Number(number)) | Reading::Stale(Value::Number(number), _) = reading {
        // Dividing by the inverse keeps 0.1 steps at their shortest decimal form: 312.4, not 312.40000000000003.
        let steps_per_unit = (1.0 / metric.quantum).round().max(1.0);
        *number = (*number * steps_per_unit).round() / steps_per_unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Draft, Stamp, catalogue};
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn frame(dictionary: &mut Dictionary, at_s: u64, power: f64) -> Frame {
        let mut draft = Draft::new("nvml", Stamp::new(at_s * S, i64::try_from(at_s * S).unwrap() + 77));
        draft.read(&Entity::gpu("GPU-1"), catalogue::GPU_POWER, power);
        draft.seal(dictionary)
    }

    #[test]
    fn two_workers_share_the_sessions_series() {
        let mut sequencer = Sequencer::new(BootId("b".into()));
        let (mut first, mut second) = (Dictionary::default(), Dictionary::default());
        second.intern(&SeriesKey::new(Entity::Node, catalogue::HOST_CPU)).unwrap();
        let one = sequencer.admit(StreamId(1), frame(&mut first, 1, 100.04));
        let two = sequencer.admit(StreamId(2), frame(&mut second, 2, 100.06));
        assert_eq!((one.declares.len(), two.declares.len()), (1, 0));
        assert_eq!(one.samples[0].0, two.samples[0].0);
        assert_eq!((one.seq, two.seq), (1, 2));
        assert_eq!(two.samples[0].1, Reading::from(100.1));
    }

    #[test]
    fn a_late_frame_keeps_its_events_and_says_so() {
        let mut sequencer = Sequencer::new(BootId::default());
        let mut dictionary = Dictionary::default();
        sequencer.admit(StreamId(1), frame(&mut dictionary, 10, 1.0));
        let late = sequencer.admit(StreamId(1), frame(&mut dictionary, 5, 1.0));
        assert!(late.samples.is_empty());
        assert_eq!(late.events[0].kind, GAP);
        let in_time = sequencer.admit(StreamId(1), frame(&mut dictionary, 9, 1.0));
        assert_eq!((in_time.samples.len(), in_time.events.len()), (1, 0));
    }

    #[test]
    fn a_stepped_wall_clock_is_an_event() {
        let mut sequencer = Sequencer::new(BootId::default());
        let mut dictionary = Dictionary::default();
        sequencer.admit(StreamId(1), frame(&mut dictionary, 1, 1.0));
        let mut stepped = frame(&mut dictionary, 2, 1.0);
        stepped.at.real_ns = stepped.at.real_ns.map(|real| real - 3_600_000_000_000);
        let stepped = sequencer.admit(StreamId(1), stepped);
        assert_eq!(stepped.events[0].kind, CLOCK_STEP);
        assert_eq!(stepped.events[0].field("step_ns").and_then(Field::as_int), Some(-3_600_000_000_000));
    }

    #[test]
    fn samples_of_undeclared_series_are_left_out() {
        let mut sequencer = Sequencer::new(BootId::default());
        let mut frame = frame(&mut Dictionary::default(), 1, 1.0);
        frame.declares.clear();
        assert!(sequencer.admit(StreamId(1), frame).samples.is_empty());
    }

    proptest! {
        #[test]
        fn rounding_twice_is_rounding_once(power in 0.0..2000.0f64) {
            let key = SeriesKey::new(Entity::gpu("GPU-1"), catalogue::GPU_POWER);
            let mut once = Reading::from(power);
            quantise(&key, &mut once);
            let mut twice = once.clone();
            quantise(&key, &mut twice);
            prop_assert_eq!(&once, &twice);
            let rounded = once.value().and_then(Value::as_f64).unwrap();
            prop_assert!((rounded - power).abs() <= 0.0500001);
        }
    }
}
