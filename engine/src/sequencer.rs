//! The order of Frames, and what rules and recorder both see.
//!
//! The sequencer admits Frames in the order in which they arrive, gives them their number and the session's own series,
//! rounds values and instants (so that live and replay judge the same; see [`crate::rounding`]), and notes what a reader
//! of the recording must know: a Frame that came too late, a wall clock that stepped.
//!
//! A [`burst`](Frame::burst) Frame has its number and its boot; its values stay as they were read. Since most readers leave
//! it out, it declares no series and is no measure of lateness or of a step.

use std::collections::{HashMap, HashSet};

use model::event::{CLOCK_STEP, GAP};
use model::{BootId, Dictionary, Entity, Event, Field, Frame, ProbeFault, SeriesDef, SeriesId};

use crate::rounding::{self, WallClock};

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
    /// The newest instant whose two clocks were compared, and how far they lay apart.
    real_minus_mono: Option<(u64, i128)>,
    wall: WallClock,
    lossless: bool,
    session: Dictionary,
    streams: HashMap<StreamId, Stream>,
}

/// The live series of one worker.
#[derive(Debug, Default)]
struct Stream {
    theirs: Dictionary,
    /// What they are called in the session. One may lack its name: another worker said that its entity is gone, and this
    /// one goes on about it.
    names: HashMap<SeriesId, SeriesId>,
}

impl Sequencer {
    /// A sequencer for one boot.
    pub fn new(boot: BootId) -> Self {
        Self {
            boot,
            seq: 0,
            newest_ns: 0,
            real_minus_mono: None,
            wall: WallClock::default(),
            lossless: false,
            session: Dictionary::default(),
            streams: HashMap::new(),
        }
    }

    /// One that rounds nothing: every value and instant stays as it was read.
    #[must_use]
    pub fn lossless(self, lossless: bool) -> Self {
        Self { lossless, ..self }
    }

    /// The session's dictionary: the series that the Frames admitted so far have declared and not ended.
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
        let newest = self.note_clock_step(&mut frame);
        if !self.lossless {
            self.round(&mut frame, newest);
        }
        self.seq += 1;
        frame.seq = self.seq;
        frame
    }

    fn round(&mut self, frame: &mut Frame, newest: bool) {
        let read_at = frame.at;
        frame.at = self.wall.stamp(read_at, newest);
        for event in frame.events.iter_mut().filter(|event| event.at == read_at) {
            event.at = frame.at;
        }
        frame.took_us = rounding::took(frame.took_us);
        if frame.burst {
            return;
        }
        for (id, reading) in &mut frame.samples {
            if let Some(metric) = self.session.key(*id).and_then(|key| key.metric.metric()) {
                rounding::reading(metric, reading);
            }
        }
    }

    /// Renames the worker's series to the session's; returns the declarations that are new to the session.
    fn translate(&mut self, stream: StreamId, frame: &mut Frame) -> Vec<SeriesDef> {
        self.release(stream, &frame.gone);
        let Stream { theirs, names } = self.streams.entry(stream).or_default();
        let (session, mut new, mut refused) = (&mut self.session, Vec::new(), 0u64);
        for def in &frame.declares {
            names.remove(&def.id);
            refused += u64::from(!theirs.declare(def));
        }
        // A series is declared when its first sample comes, whichever Frame of the worker's declared it.
        frame.samples.retain_mut(|(id, _)| {
            if let Some(known) = names.get(id) {
                *id = *known;
                return true;
            }
            let Some(key) = theirs.key(*id) else { return false };
            if frame.burst {
                return session.id(key).is_some_and(|own| {
                    *id = own;
                    true
                });
            }
            let Some((own, declared)) = session.intern(key) else {
                refused += 1;
                return false;
            };
            new.extend(declared);
            names.insert(*id, own);
            *id = own;
            true
        });
        frame.faults.extend((refused > 0).then(|| ProbeFault::left_out(refused)));
        new
    }

    /// Ends the series of what is gone, whichever workers told of it.
    fn release(&mut self, stream: StreamId, gone: &[Entity]) {
        if gone.is_empty() {
            return;
        }
        let Stream { theirs, names } = self.streams.entry(stream).or_default();
        for id in gone.iter().flat_map(|entity| theirs.release(entity)) {
            names.remove(&id);
        }
        let session = &mut self.session;
        let ended: HashSet<SeriesId> = gone.iter().flat_map(|entity| session.release(entity)).collect();
        if !ended.is_empty() {
            for stream in self.streams.values_mut() {
                stream.names.retain(|_, own| !ended.contains(own));
            }
        }
    }

    fn note_lateness(&mut self, frame: &mut Frame) {
        if frame.burst {
            return;
        }
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

    /// Whether both clocks were compared: the Frame is the newest that rules see.
    fn note_clock_step(&mut self, frame: &mut Frame) -> bool {
        let (Some(mono), Some(real)) = (frame.at.mono_ns, frame.at.real_ns) else { return false };
        // Read before one that is already here: behind a step, it would tell of a step back.
        if frame.burst || self.real_minus_mono.is_some_and(|(newest, _)| mono < newest) {
            return false;
        }
        let offset = i128::from(real) - i128::from(mono);
        let step = self.real_minus_mono.map_or(0, |(_, before)| offset - before);
        // Slow adjustment (NTP slewing) moves the offset too; follow it so that it never adds up to a step.
        self.real_minus_mono = Some((mono, offset));
        if step.abs() >= STEP_NS {
            let step = i64::try_from(step).unwrap_or(i64::MAX);
            frame.events.push(Event::new(frame.at, CLOCK_STEP).about(Entity::Node).with("step_ns", step));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Draft, Reading, SeriesKey, Stamp, catalogue};

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
    fn frames_in_flight_around_a_step_tell_of_one_step() {
        let mut sequencer = Sequencer::new(BootId::default());
        let (mut first, mut second) = (Dictionary::default(), Dictionary::default());
        let mut admit = |stream: u64, at_ms: u64, step_s: i64| {
            let dictionary = if stream == 1 { &mut first } else { &mut second };
            let mut frame = frame(dictionary, 0, 1.0);
            let real = i64::try_from(at_ms).unwrap() * 1_000_000 + step_s * 1_000_000_000;
            frame.at = Stamp::new(at_ms * 1_000_000, real);
            sequencer.admit(StreamId(stream), frame).events.len()
        };
        let steps =
            [admit(1, 1_000, 0), admit(1, 2_000, 60), admit(2, 1_900, 0), admit(1, 3_000, 60), admit(2, 2_900, 60)];
        assert_eq!(steps, [0, 1, 0, 0, 0]);
        assert_eq!(admit(2, 4_000, 0), 1, "and it steps back");
    }

    fn processes(dictionary: &mut Dictionary, at_s: u64, gone: &[u32], there: &[u32]) -> Frame {
        let mut draft = Draft::new("process", Stamp::new(at_s * S, 0));
        draft.gone.extend(gone.iter().map(|pid| Entity::Process(*pid, 1)));
        for pid in there {
            draft.read(&Entity::Process(*pid, 1), catalogue::PROCESS_RSS, 1u64);
        }
        draft.seal(dictionary)
    }

    #[test]
    fn processes_that_come_and_go_leave_no_series_behind() {
        let mut sequencer = Sequencer::new(BootId::default());
        let (mut theirs, mut reader) = (Dictionary::default(), Dictionary::default());
        for pid in 1..1_000 {
            let frame = sequencer.admit(StreamId(1), processes(&mut theirs, u64::from(pid), &[pid - 1], &[pid]));
            assert!(reader.follow(&frame));
            assert!(frame.samples.iter().all(|(id, _)| reader.key(*id).is_some()));
            assert_eq!((frame.samples.len(), sequencer.dictionary().len(), reader.len()), (1, 1, 1));
        }
        let stream = &sequencer.streams[&StreamId(1)];
        assert_eq!((stream.names.len(), stream.theirs.len()), (1, 1));
    }

    #[test]
    fn a_worker_that_still_sees_what_is_gone_for_another_one_is_heard() {
        let mut sequencer = Sequencer::new(BootId::default());
        let (mut first, mut second, mut reader) = (Dictionary::default(), Dictionary::default(), Dictionary::default());
        let mut ids = Vec::new();
        let mut admit = |stream, frame| {
            let frame = sequencer.admit(StreamId(stream), frame);
            assert!(reader.follow(&frame));
            ids.extend(frame.samples.iter().map(|(id, _)| *id));
            frame.named(&reader).samples.len()
        };
        assert_eq!(admit(1, processes(&mut first, 1, &[], &[7])), 1);
        assert_eq!(admit(2, processes(&mut second, 2, &[], &[7])), 1);
        assert_eq!(admit(1, processes(&mut first, 3, &[7], &[])), 0);
        assert_eq!(admit(2, processes(&mut second, 4, &[], &[7])), 1);
        assert_eq!(admit(1, processes(&mut first, 5, &[], &[7])), 1);
        assert_eq!(ids[0], ids[1]);
        assert_ne!(ids[1], ids[2], "an id is never given again");
        assert_eq!(ids[2], ids[3]);
    }

    #[test]
    fn what_no_longer_fits_is_told_and_fits_again_when_something_is_gone() {
        let mut sequencer = Sequencer::new(BootId::default());
        sequencer.session = Dictionary::of_at_most(1);
        sequencer.session.intern(&SeriesKey::new(Entity::Process(9, 1), catalogue::PROCESS_CPU)).unwrap();
        let mut theirs = Dictionary::default();
        let full = sequencer.admit(StreamId(1), processes(&mut theirs, 1, &[], &[7, 8]));
        assert_eq!((full.samples.len(), full.faults.len()), (0, 1));
        assert!(full.faults[0].why.raw().starts_with("2 samples left out"), "{:?}", full.faults);
        let room = sequencer.admit(StreamId(1), processes(&mut theirs, 2, &[9], &[7]));
        assert_eq!((room.samples.len(), room.declares.len(), room.faults.len()), (1, 1, 0));
    }

    #[test]
    fn samples_of_undeclared_series_are_left_out() {
        let mut sequencer = Sequencer::new(BootId::default());
        let mut frame = frame(&mut Dictionary::default(), 1, 1.0);
        frame.declares.clear();
        assert!(sequencer.admit(StreamId(1), frame).samples.is_empty());
    }

    fn burst(dictionary: &mut Dictionary, at_s: u64, power: f64) -> Frame {
        Frame { burst: true, ..frame(dictionary, at_s, power) }
    }

    #[test]
    fn a_burst_frame_is_numbered_and_stays_as_it_was_read() {
        let mut sequencer = Sequencer::new(BootId("b".into()));
        let mut dictionary = Dictionary::default();
        let seen = sequencer.admit(StreamId(1), frame(&mut dictionary, 1, 100.04));
        let fast = sequencer.admit(StreamId(1), burst(&mut dictionary, 2, 100.04));
        assert_eq!((fast.seq, fast.boot.0.as_str(), fast.burst), (2, "b", true));
        assert_eq!(fast.samples[0], (seen.samples[0].0, Reading::from(100.04)));
        assert_eq!(seen.samples[0].1, Reading::from(100.0));
    }

    #[test]
    fn a_reader_that_leaves_bursts_out_misses_nothing() {
        let mut sequencer = Sequencer::new(BootId::default());
        let mut dictionary = Dictionary::default();
        let fast = sequencer.admit(StreamId(1), burst(&mut dictionary, 30, 1.0));
        assert_eq!((fast.declares.len(), fast.samples.len()), (0, 0), "the series is not known yet");
        let seen = sequencer.admit(StreamId(1), frame(&mut dictionary, 1, 1.0));
        assert_eq!((seen.declares.len(), seen.samples.len(), seen.events.len()), (1, 1, 0), "and it is not late");
        let mut stepped = burst(&mut dictionary, 2, 1.0);
        stepped.at.real_ns = Some(0);
        assert!(sequencer.admit(StreamId(1), stepped).events.is_empty());
        assert!(sequencer.admit(StreamId(1), frame(&mut dictionary, 3, 1.0)).events.is_empty());
    }

    #[test]
    fn what_happened_at_a_frames_instant_still_does_when_that_is_rounded() {
        let mut sequencer = Sequencer::new(BootId::default());
        let mut draft = Draft::new("engine", Stamp::new(1_000_000_777, 5_000_000_999));
        draft.took_us = 1_234;
        draft.events.push(Event::new(draft.at, model::event::MARK));
        draft.events.push(Event::new(Stamp::new(999_999_999, 4_999_999_999), model::event::MARK));
        let frame = sequencer.admit(StreamId(0), draft.seal(&mut Dictionary::default()));
        assert_eq!((frame.at.mono_ns, frame.took_us), (Some(1_000_000_000), 1_280));
        assert_eq!(frame.events[0].at, frame.at);
        assert_eq!(frame.events[1].at.mono_ns, Some(999_999_999), "an instant of its own");
    }

    #[test]
    fn lossless_means_as_it_was_read() {
        let mut sequencer = Sequencer::new(BootId::default()).lossless(true);
        let mut dictionary = Dictionary::default();
        let mut read = frame(&mut dictionary, 1, 100.04);
        (read.at, read.took_us) = (Stamp::new(1_000_000_777, 5_000_000_999), 1_234);
        let admitted = sequencer.admit(StreamId(1), read.clone());
        assert_eq!((&admitted.samples, admitted.at, admitted.took_us), (&read.samples, read.at, read.took_us));
    }
}
