//! The past of a recording is what replaying its Frames would give.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use common::{S, frames, stamp, write};
use model::timeline::Column;
use model::{BootId, Dictionary, Draft, Entity, Frame, History, NodeState, SeriesKey, Stamp, Window, catalogue};
use proptest::prelude::*;
use recorder::{RecordedHistory, Recording, Segments, Sync};

/// Everything a state holds, comparable.
fn told(state: &NodeState) -> String {
    let metrics: Vec<_> = state.entities().map(|entity| (entity, state.metrics(entity).collect::<Vec<_>>())).collect();
    format!("{:?}\n{:?}\n{:?}\n{metrics:?}", state.at, state.inventory, state.probes)
}

fn replayed(frames: &[Frame], at: u64) -> NodeState {
    let (mut state, mut dictionary) = (NodeState::default(), Dictionary::default());
    for frame in frames {
        frame.declares.iter().for_each(|def| assert!(dictionary.declare(def)));
        if frame.at.axis_ns() <= at {
            state.apply(frame, &dictionary);
        }
    }
    state
}

fn recorded(frames: &[Frame], stretch: usize) -> (RecordedHistory, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    write(&path, frames);
    (RecordedHistory::indexed_by(Recording::open(&path).unwrap(), stretch), directory)
}

/// Frames whose order is not that of their instants, as a sequencer with some lateness admits them.
fn shuffled(mut frames: Vec<Frame>, seed: u64) -> Vec<Frame> {
    let mut dice = common::Dice(seed | 1);
    for frame in &mut frames {
        let late = dice.roll(2 * S);
        frame.at = stamp(frame.at.axis_ns().saturating_sub(late));
    }
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_state_at_any_instant_is_that_of_a_replay(
        seed in any::<u64>(), count in 1u64..300, stretch in 1usize..200, instants in prop::collection::vec(0u64..110, 1..8),
    ) {
        let frames = shuffled(frames(count, seed), seed);
        let (history, _directory) = recorded(&frames, stretch);
        for at in instants {
            let at = at * S + seed % S;
            prop_assert_eq!(told(&history.state_at(at).unwrap()), told(&replayed(&frames, at)));
        }
        prop_assert_eq!(history.frames(), count);
    }

    #[test]
    fn strips_are_those_of_all_samples_together(
        seed in any::<u64>(), count in 1u64..600, stretch in 1usize..400, from in 0u64..250, length in 1u64..250,
        buckets in 0usize..40,
    ) {
        let frames = frames(count, seed);
        let (history, _directory) = recorded(&frames, stretch);
        let (mut columns, mut dictionary) = (BTreeMap::<SeriesKey, Column>::new(), Dictionary::default());
        for frame in &frames {
            frame.declares.iter().for_each(|def| assert!(dictionary.declare(def)));
            for (id, reading) in &frame.samples {
                let column = columns.entry(dictionary.key(*id).unwrap().clone()).or_default();
                column.push(frame.at.axis_ns(), reading, 0);
            }
        }
        let keys: Vec<SeriesKey> = columns.keys().cloned().collect();
        let window = Window { from: from * S, to: (from + length) * S };
        let strips = history.strips(&keys, window, buckets).unwrap();
        for (strip, (key, column)) in strips.iter().zip(&columns) {
            let counter = key.metric.metric().filter(|metric| metric.is_counter());
            let expected = column.buckets(window, buckets, counter.map(|metric| metric.wrap()));
            prop_assert_eq!(&strip.buckets, &expected, "{:?}", key);
        }
    }
}

/// The same in segments of sections: blocks of so many Frames, and the last ones in a journal.
fn in_sections(frames: &[Frame], each: usize, blocks: usize, unsealed: usize) -> (RecordedHistory, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    common::sealed::write_recording(directory.path(), frames, each, blocks, unsealed);
    (RecordedHistory::load(directory.path()).unwrap(), directory)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_state_at_any_instant_is_that_of_a_replay_of_sections_and_journals(
        seed in any::<u64>(), count in 1u64..300, each in 1usize..60, blocks in 1usize..5, unsealed in 0usize..80,
        instants in prop::collection::vec(0u64..110, 1..8),
    ) {
        let frames = shuffled(frames(count, seed), seed);
        let (history, _directory) = in_sections(&frames, each, blocks, unsealed);
        for at in instants {
            let at = at * S + seed % S;
            prop_assert_eq!(told(&history.state_at(at).unwrap()), told(&replayed(&frames, at)), "at {}", at);
        }
        prop_assert_eq!(history.frames(), count);
        let events = frames.iter().map(|frame| frame.events.len()).sum::<usize>();
        prop_assert_eq!(history.events(Window { from: 0, to: u64::MAX }, 10_000).unwrap().len(), events);
    }
}

#[test]
fn strips_of_sections_are_those_of_records() {
    let (mut dictionary, mut frames) = (Dictionary::default(), Vec::new());
    for second in 0..900u64 {
        let mut draft = Draft::new("host", stamp(second * S));
        draft.boot = common::header().boot;
        draft.read(&Entity::Node, catalogue::GPU_TEMP, 40 + second * 7 % 31);
        draft.read(&Entity::Node, catalogue::GPU_ENERGY, second * 100);
        frames.push(draft.seal(&mut dictionary));
        frames.last_mut().unwrap().seq = second + 1;
    }
    let (records, _one) = recorded(&frames, 500);
    let (sections, _two) = in_sections(&frames, 60, 5, 30);
    let keys = [catalogue::GPU_TEMP, catalogue::GPU_ENERGY].map(|metric| SeriesKey::new(Entity::Node, metric));
    for (from, to, buckets) in [(0, 900, 3), (0, 900, 90), (100, 200, 100), (250, 700, 4), (880, 1200, 20)] {
        let window = Window { from: from * S, to: to * S };
        let (one, two) = (records.strips(&keys, window, buckets), sections.strips(&keys, window, buckets));
        for (one, two) in one.unwrap().iter().zip(two.unwrap()) {
            assert_eq!(one.buckets, two.buckets, "{from} to {to} in {buckets}");
        }
    }
}

#[test]
fn a_series_that_is_read_once_a_minute_shows_between_its_readings() {
    let (mut dictionary, mut frames) = (Dictionary::default(), Vec::new());
    for second in 0..300 {
        let mut draft = Draft::new("host", stamp(second * S));
        if second % 60 == 0 {
            draft.read(&Entity::Node, catalogue::GPU_UTIL, second);
        }
        draft.read(&Entity::Node, catalogue::GPU_TEMP, second);
        frames.push(draft.seal(&mut dictionary));
    }
    let (history, _directory) = recorded(&frames, 20);
    let state = history.state_at(119 * S).unwrap();
    assert_eq!(state.number(&Entity::Node, catalogue::GPU_UTIL), Some(60.0));
    assert_eq!(state.number(&Entity::Node, catalogue::GPU_TEMP), Some(119.0));
    let key = SeriesKey::new(Entity::Node, catalogue::GPU_UTIL);
    let window = Window { from: 70 * S, to: 100 * S };
    let strip = &history.strips(&[key], window, 30).unwrap()[0];
    assert!(strip.buckets.iter().all(|bucket| bucket.last == Some(60.0)), "{strip:?}");
}

#[test]
fn events_are_found_by_their_own_instant_and_the_newest_are_kept() {
    let frames = frames(300, 3);
    let (history, _directory) = recorded(&frames, 50);
    let all = history.events(Window { from: 0, to: u64::MAX }, 1000).unwrap();
    assert_eq!(all.len(), frames.iter().map(|frame| frame.events.len()).sum::<usize>());
    assert!(all.iter().all(|event| event.at.real_ns.is_some()), "the missing clock is filled from the Frame");
    let window = Window { from: all[3].at.axis_ns(), to: all[9].at.axis_ns() };
    assert_eq!(history.events(window, 1000).unwrap(), all[3..9]);
    assert_eq!(history.events(window, 2).unwrap(), all[7..9]);
    assert!(history.events(Window { from: 9, to: 3 }, 5).unwrap().is_empty());
}

#[test]
fn a_recording_of_two_boots_opens_at_the_last_and_turns_to_the_first() {
    let directory = tempfile::tempdir().unwrap();
    for (boot, gpus) in [("one", 3u64), ("two", 5)] {
        let header = recorder::Header::new(BootId(boot.to_owned()), stamp(0), S);
        let mut segments = Segments::create(directory.path(), &header, Sync::Off).unwrap();
        let mut dictionary = Dictionary::default();
        for second in 0..gpus {
            let mut draft = Draft::new("nvml", Stamp::new(second * S, 0));
            draft.boot = BootId(boot.to_owned());
            draft.read(&Entity::gpu(boot), catalogue::GPU_TEMP, second);
            segments.append(&draft.seal(&mut dictionary));
        }
        segments.finish().unwrap();
    }
    let mut history = RecordedHistory::load(directory.path()).unwrap();
    assert_eq!(
        history.boots().iter().map(|boot| (boot.boot.0.as_str(), boot.frames)).collect::<Vec<_>>(),
        [("one", 3), ("two", 5)]
    );
    assert_eq!(history.span().unwrap().unwrap().1.mono_ns, Some(4 * S));
    assert!(history.state_at(9 * S).unwrap().reading(&Entity::gpu("one"), catalogue::GPU_TEMP).is_none());
    assert!(history.choose_boot(&BootId("one".to_owned())));
    assert_eq!(history.state_at(9 * S).unwrap().number(&Entity::gpu("one"), catalogue::GPU_TEMP), Some(2.0));
    assert!(!history.choose_boot(&BootId("three".to_owned())));
}

#[test]
fn a_thinned_out_index_answers_the_same() {
    let frames = frames(3000, 11);
    let (history, _directory) = recorded(&frames, 1);
    for at in [0, 17 * S, 500 * S, 999 * S, u64::MAX] {
        assert_eq!(told(&history.state_at(at).unwrap()), told(&replayed(&frames, at)));
    }
}

#[test]
fn damage_is_told_and_what_lies_before_it_answers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    let frames = frames(100, 5);
    write(&path, &frames);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let history = RecordedHistory::load(&path).unwrap();
    assert_eq!(history.damage().len(), 1);
    let kept = usize::try_from(history.frames()).unwrap();
    assert!((1..100).contains(&kept));
    assert_eq!(told(&history.state_at(u64::MAX).unwrap()), told(&replayed(&frames[..kept], u64::MAX)));
}
