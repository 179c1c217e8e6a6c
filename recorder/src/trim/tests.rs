//! A piece replays from its first instant, and says what it was cut from.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use model::{BootId, Dictionary, Draft, Entity, EntityInfo, Event, NodeState, catalogue};

use super::*;

const S: u64 = 1_000_000_000;

fn stamp(second: u64) -> Stamp {
    Stamp::new(second * S, i64::try_from((1_000 + second) * S).unwrap())
}

fn wall(second: i64) -> Stamp {
    Stamp { mono_ns: None, real_ns: Some((1_000 + second) * 1_000_000_000) }
}

/// 100 s: the name once at the start, power every second, a process from 10 s to 20 s, a mark every 10 s.
fn recording(directory: &Path) -> Recording {
    let path = directory.join("whole.gdk");
    let header = Header::new(BootId("boot".to_owned()), stamp(0), S);
    let mut writer = Writer::create(&path, &header, Sync::Off).unwrap();
    let mut dictionary = Dictionary::default();
    let gpu = Entity::gpu("GPU-1");
    for second in 0..100 {
        let mut draft = Draft::new("nvml", stamp(second));
        draft.boot = BootId("boot".to_owned());
        if second == 0 {
            draft.entities.push(EntityInfo::new(gpu.clone(), "GPU 0"));
            draft.read(&gpu, catalogue::GPU_NAME, "H100");
        }
        let process = Entity::Process(77, 1);
        match second {
            10 => {
                draft.entities.push(EntityInfo::new(process.clone(), "python"));
                draft.read(&process, catalogue::PROCESS_COMMAND, "python");
            }
            20 => draft.gone.push(process),
            _ => {}
        }
        draft.read(&gpu, catalogue::GPU_POWER, f64::from(u32::try_from(second).unwrap()));
        if second % 10 == 0 {
            draft.events.push(Event::new(stamp(second), model::event::MARK).with("text", "x"));
        }
        let mut frame = draft.seal(&mut dictionary);
        frame.seq = second + 1;
        assert_ne!(writer.append(&frame), Appended::Refused);
    }
    writer.finish().unwrap();
    Recording::open(&path).unwrap()
}

fn frames(path: &Path) -> Vec<Frame> {
    Recording::open(path).unwrap().frames().map(Result::unwrap).collect()
}

#[test]
fn a_piece_begins_with_what_was_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("piece.gdk");
    let whole = recording(directory.path());
    let trimmed = bundle(&whole, wall(15), wall(30), &out).unwrap();
    assert_eq!((trimmed.frames, trimmed.first, trimmed.last), (16, stamp(15), stamp(30)));
    let frames = frames(&out);
    let context: Vec<&Frame> = frames.iter().take_while(|frame| frame.at < stamp(15)).collect();
    // The name, the process, and the last power; nothing that happened before.
    assert_eq!(context.iter().map(|frame| frame.at).collect::<Vec<_>>(), [stamp(0), stamp(10), stamp(14)]);
    assert!(context.iter().all(|frame| frame.events.is_empty()));
    assert_eq!(context.iter().map(|frame| frame.samples.len()).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(Recording::open(&out).unwrap().header().trimmed_from, [whole.segments()[0].id.to_string()]);
}

#[test]
fn the_state_at_any_instant_of_a_piece_is_that_of_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("piece.gdk");
    let whole = recording(directory.path());
    bundle(&whole, wall(15), wall(30), &out).unwrap();
    let state = |recording: &Recording, until: Stamp| {
        let (mut state, mut dictionary) = (NodeState::default(), Dictionary::default());
        for frame in recording.frames().map(Result::unwrap).filter(|frame| frame.at <= until) {
            dictionary.follow(&frame);
            state.apply(&frame, &dictionary);
        }
        let told = |entity: &Entity| -> Vec<String> {
            state.metrics(entity).map(|(metric, latest)| format!("{entity} {metric:?} {latest:?}")).collect()
        };
        state.entities().flat_map(told).collect::<Vec<_>>()
    };
    let piece = Recording::open(&out).unwrap();
    for second in [15, 19, 20, 30] {
        assert_eq!(state(&piece, stamp(second)), state(&whole, stamp(second)), "{second}");
    }
}

#[test]
fn without_ends_it_is_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("piece.gdk");
    let whole = recording(directory.path());
    let trimmed = trim(&whole, Cut::default(), None, &out).unwrap();
    assert_eq!((trimmed.frames, trimmed.context), (100, 0));
    assert_eq!(frames(&out), whole.frames().map(Result::unwrap).collect::<Vec<_>>());
}

#[test]
fn an_empty_window_says_what_the_recording_holds_and_makes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("piece.gdk");
    let whole = recording(directory.path());
    let error = bundle(&whole, wall(200), wall(300), &out).unwrap_err().to_string();
    assert!(error.contains("1970-01-01T00:16:40.000Z") && error.contains("1970-01-01T00:18:19.000Z"), "{error}");
    assert!(matches!(bundle(&whole, wall(30), wall(20), &out), Err(TrimError::Reversed { .. })));
    assert!(!out.exists());
    std::fs::write(&out, b"mine").unwrap();
    assert!(matches!(bundle(&whole, wall(1), wall(20), &out), Err(TrimError::Create(CreateError::Exists { .. }))));
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
}

#[test]
fn what_another_boot_told_is_not_in_force() {
    let mut context = Context::default();
    let mut dictionary = Dictionary::default();
    for boot in ["one", "two"] {
        let mut draft = Draft::new("host", stamp(1));
        draft.boot = BootId(boot.to_owned());
        draft.entities.push(EntityInfo::new(Entity::Node, boot));
        draft.read(&Entity::Node, catalogue::HOST_NAME, boot);
        let mut frame = draft.seal(&mut dictionary);
        frame.declares = dictionary.defs();
        context.follow(frame);
    }
    let frames = context.take();
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].boot.0.as_str(), frames[0].samples.len()), ("two", 1));
}
