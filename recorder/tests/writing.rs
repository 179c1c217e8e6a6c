//! What is written is what is read: alone, rotated, while it grows, after a kill, on a full disk.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::tmpfs::Tmpfs;
use common::{Dice, S, frames, header, named, read, stamp, write};
use model::{BootId, Dictionary, Draft, Entity, EntityInfo, Event, Frame, Reading, Value, catalogue, event};
use proptest::prelude::*;
use recorder::{Appended, Follow, Recording, Segments, Sync, Writer, info};

fn readings() -> impl Strategy<Value = Reading> {
    let values = prop_oneof![
        any::<u64>().prop_map(Value::Count),
        prop::num::f64::NORMAL.prop_map(Value::Number),
        any::<bool>().prop_map(Value::Flag),
        any::<String>().prop_map(|text| Value::Text(text.into())),
    ];
    (values, any::<u64>(), any::<String>(), 0..6u8).prop_map(|(value, n, call, which)| match which {
        0 => Reading::Good(value),
        1 => Reading::Stale(value, n),
        2 => Reading::Unsupported,
        3 => Reading::Denied,
        4 => Reading::Stuck(n, call),
        _ => Reading::Lost,
    })
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let samples = prop::collection::vec((0u32..6, any::<bool>(), readings()), 0..8);
    let draft = (any::<String>(), any::<(u64, i64)>(), samples, any::<Option<String>>(), any::<bool>());
    let draft = draft.prop_map(|(probe, (mono, real), samples, text, gone)| {
        let mut draft = Draft::new(probe, model::Stamp::new(mono, real));
        draft.boot = BootId("b".to_owned());
        for (gpu, power, reading) in samples {
            let metric = if power { catalogue::GPU_POWER } else { catalogue::GPU_TEMP };
            draft.read(&Entity::gpu(format!("GPU-{gpu}")), metric, reading);
        }
        if let Some(text) = text {
            draft.entities.push(EntityInfo::new(Entity::gpu("GPU-0"), text.clone()));
            draft.events.push(Event::new(draft.at, event::MARK).with("text", text));
        }
        if gone {
            draft.gone.push(Entity::gpu("GPU-1"));
        }
        draft
    });
    prop::collection::vec(draft, 0..30)
}

fn seal(drafts: &[Draft]) -> Vec<Frame> {
    let mut dictionary = Dictionary::default();
    drafts.iter().map(|draft| draft.clone().seal(&mut dictionary)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_written_is_what_is_read(drafts in drafts(), all_stay in any::<bool>()) {
        let mut drafts = drafts;
        if all_stay {
            drafts.iter_mut().for_each(|draft| draft.gone.clear());
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.gdk");
        let frames = seal(&drafts);
        write(&path, &frames);
        let (found, damage) = read(&path);
        prop_assert_eq!(&found, &drafts);
        prop_assert!(damage.is_empty());
        let exact: Vec<Frame> = Recording::open(&path).unwrap().frames().map(Result::unwrap).collect();
        prop_assert_eq!(named(&exact), drafts, "whoever follows the stream, and what it ends, knows every series");
        if all_stay {
            prop_assert_eq!(exact, frames, "even the ids are those of the stream that was handed over");
        }
    }

    #[test]
    fn however_a_directory_is_cut_into_segments_it_reads_as_one_stream(drafts in drafts(), bytes in 300u64..5_000) {
        let directory = tempfile::tempdir().unwrap();
        let frames = seal(&drafts);
        let mut segments = Segments::create(directory.path(), &header(), Sync::Off).unwrap().rotating_at(bytes, u64::MAX);
        for frame in &frames {
            prop_assert_eq!(segments.append(frame), Appended::Written);
        }
        segments.finish().unwrap();
        prop_assert_eq!(read(directory.path()), (drafts, Vec::new()));
    }
}

#[test]
fn every_segment_can_be_read_alone() {
    let directory = tempfile::tempdir().unwrap();
    let frames = frames(400, 3);
    let mut segments = Segments::create(directory.path(), &header(), Sync::Off).unwrap().rotating_at(u64::MAX, 10 * S);
    for frame in &frames {
        segments.append(frame);
    }
    segments.finish().unwrap();
    let recording = Recording::open(directory.path()).unwrap();
    assert!(recording.segments().len() >= 10, "{}", recording.segments().len());
    assert_eq!(recording.segments().iter().map(|segment| segment.header.ordinal).collect::<Vec<_>>()[..3], [1, 2, 3]);
    let last = &recording.segments().last().unwrap().path;
    let (alone, _) = read(last);
    let gpus = alone[0].entities.iter().filter(|info| matches!(info.entity, Entity::Gpu(_))).count();
    assert_eq!((alone[0].probe.as_str(), gpus), ("recorder", 4), "it begins with the entities known so far");
    let all = named(&frames);
    assert_eq!(alone[1..], all[all.len() + 1 - alone.len()..], "and its series are declared again");

    let told = info(directory.path()).unwrap();
    assert_eq!((told.frames, told.closed, told.live), (400, true, false));
    assert_eq!(told.frames_by_probe["nvml"], 134);
    assert!(told.bytes_per_sample.unwrap() > 1.0);
    serde_json::to_string(&told).unwrap();
}

#[test]
fn more_segments_than_files_may_be_open_read_as_one_recording() {
    let directory = tempfile::tempdir().unwrap();
    let frames = frames(1_400, 3);
    let mut segments = Segments::create(directory.path(), &header(), Sync::Off).unwrap().rotating_at(1, u64::MAX);
    for frame in &frames {
        segments.append(frame);
    }
    segments.finish().unwrap();
    let recording = Recording::open(directory.path()).unwrap();
    assert_eq!(recording.segments().len(), 1_401);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 700, "{open} files are open");
    assert_eq!(read(directory.path()), (named(&frames), Vec::new()));
    let mut follow = Follow::open(directory.path()).unwrap();
    assert_eq!(follow.poll(100_000).unwrap().last().unwrap().seq, 1_400);
}

#[test]
fn one_recorder_at_a_time_writes_into_a_directory_and_the_next_goes_on_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = Segments::create(directory.path(), &header(), Sync::Off).unwrap();
    let second = Segments::create(directory.path(), &header(), Sync::Off).unwrap_err();
    assert!(second.to_string().contains("another gpudeck is recording"), "{second}");
    drop(first);
    let mut again = Segments::create(directory.path(), &header(), Sync::Off).unwrap();
    for frame in frames(3, 1) {
        again.append(&frame);
    }
    again.finish().unwrap();
    let recording = Recording::open(directory.path()).unwrap();
    assert_eq!(recording.segments()[1].header.ordinal, 2);
    assert_eq!(read(directory.path()), (named(&frames(3, 1)), Vec::new()));
}

#[test]
fn a_reader_follows_a_growing_file_through_torn_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (whole, growing) = (directory.path().join("whole.gdk"), directory.path().join("growing.gdk"));
    let frames = frames(200, 9);
    write(&whole, &frames);
    let bytes = std::fs::read(&whole).unwrap();
    let mut file = std::fs::File::create(&growing).unwrap();
    file.write_all(&bytes[..700]).unwrap();
    file.lock().unwrap();
    let (mut follow, mut found, mut written, mut dice) = (Follow::open(&growing).unwrap(), Vec::new(), 700, Dice(4));
    while written < bytes.len() {
        let more = usize::try_from(dice.roll(900)).unwrap().min(bytes.len() - written);
        file.write_all(&bytes[written..written + more]).unwrap();
        written += more;
        assert!(!follow.is_over() || written == bytes.len());
        found.extend(follow.poll(7).unwrap().iter().map(|frame| frame.named(follow.dictionary())));
        assert!(found.len() <= frames.len());
    }
    drop(file);
    loop {
        let more = follow.poll(50).unwrap();
        if more.is_empty() {
            break;
        }
        found.extend(more.iter().map(|frame| frame.named(follow.dictionary())));
    }
    assert!(follow.is_over());
    assert_eq!(found, named(&frames));
}

#[test]
fn a_reader_follows_a_directory_from_segment_to_segment() {
    let directory = tempfile::tempdir().unwrap();
    let frames = frames(120, 2);
    let mut segments = Segments::create(directory.path(), &header(), Sync::Off).unwrap().rotating_at(4_000, u64::MAX);
    let mut follow = Follow::open(directory.path()).unwrap();
    let mut found = Vec::new();
    for frame in &frames {
        segments.append(frame);
        found.extend(follow.poll(100).unwrap().iter().map(|frame| frame.named(follow.dictionary())));
        assert!(!follow.is_over(), "the recorder is still writing");
        assert_eq!(found.last().unwrap().at, frame.at, "a Frame is there as soon as it is acknowledged");
    }
    let told = info(directory.path()).unwrap();
    assert!(told.live && !told.closed && told.damage.is_empty());
    segments.finish().unwrap();
    assert!(follow.poll(10).unwrap().is_empty() && follow.is_over());
    found.retain(|draft| draft.probe != "recorder");
    assert_eq!(found, named(&frames));
}

/// Writes until it is killed, telling each Frame once it is acknowledged.
#[test]
#[ignore = "the child of the next test"]
fn the_writer_that_is_killed() {
    let Some(path) = std::env::var_os("GPUDECK_TEST_RECORDING") else { return };
    let mut writer = Writer::create(Path::new(&path), &header(), Sync::default()).unwrap();
    let mut out = std::io::stdout();
    for frame in frames(20_000, 21) {
        assert_eq!(writer.append(&frame), Appended::Written);
        writeln!(out, "acknowledged {}", frame.seq).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_recorder_loses_no_acknowledged_frame() {
    let directory = tempfile::tempdir().unwrap();
    let expected = named(&frames(3_000, 21));
    for round in 0..20u64 {
        let path = directory.path().join(format!("{round}.gdk"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_writer_that_is_killed", "--ignored", "--nocapture"])
            .env("GPUDECK_TEST_RECORDING", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = 1 + Dice(round + 1).roll(1_000) % 500;
        let told = |line: &str| line.rsplit_once("acknowledged ").and_then(|(_, seq)| seq.parse::<u64>().ok());
        let reached = lines.by_ref().find_map(|line| told(&line.unwrap()).filter(|seq| *seq >= enough)).unwrap();
        child.kill().unwrap();
        // What it said between our reading and its death counts as well.
        let acknowledged = lines.filter_map(|line| told(&line.ok()?)).last().unwrap_or(reached);
        child.wait().unwrap();

        let recording = Recording::open(&path).unwrap();
        assert!(!recording.segments()[0].is_live());
        let (found, _) = read(&path);
        let acknowledged = usize::try_from(acknowledged).unwrap();
        assert!(found.len() >= acknowledged, "round {round}: {} of {acknowledged}", found.len());
        let compared = found.len().min(expected.len());
        assert_eq!(found[..compared], expected[..compared]);
    }
}

#[test]
fn a_full_disk_stops_nothing_and_the_gap_is_recorded() {
    let disk = match Tmpfs::mount("256k") {
        Ok(disk) => disk,
        Err(why) => {
            println!("SKIPPED: cannot mount a tmpfs (needs root): {why}");
            return;
        }
    };
    let path = disk.path().join("x.gdk");
    let hog = disk.path().join("hog");
    let frames = frames(2_000, 17);
    let mut writer = Writer::create(&path, &header(), Sync::Off).unwrap().waiting_at_most(20_000);
    let mut acknowledged = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        match number {
            100 => drop(std::fs::write(&hog, vec![1; 1 << 20])),
            600 => {
                let health = writer.health();
                assert!(health.stalled.as_deref().unwrap().contains("No space left"), "{health:?}");
                assert!(health.waiting > 0 && health.lost > 0 && health.outages == 1, "{health:?}");
                let (before, damage) = read(&path);
                assert!(!before.is_empty() && damage.is_empty(), "the file is whole while the disk is full");
                std::fs::remove_file(&hog).unwrap();
            }
            _ => {}
        }
        if writer.append(frame) == Appended::Written {
            acknowledged.push(number);
        }
        if number == 601 {
            assert_eq!(writer.health().stalled, None, "it goes on by itself");
            break;
        }
    }
    let lost = writer.health().lost;
    writer.finish().unwrap();
    let (found, damage) = read(&path);
    assert!(damage.is_empty());
    let all = named(&frames);
    let gap = found.iter().position(|draft| draft.probe == "recorder").expect("a gap was recorded");
    let event = &found[gap].events[0];
    assert_eq!((event.kind.as_ref(), event.field("frames").unwrap().as_int()), (event::GAP, i64::try_from(lost).ok()));
    let (before, after) = (&found[..gap], &found[gap + 1..]);
    assert_eq!(before, &all[..gap], "all before the gap");
    assert_eq!(after, &all[602 - after.len()..602], "and the newest behind it, to the last");
    assert_eq!(u64::try_from(before.len() + after.len()).unwrap() + lost, 602, "nothing is missing but what is told");
    assert!(acknowledged.len() < 602 && info(&path).unwrap().gaps == 1);
}

#[test]
fn an_export_has_one_object_a_line_and_tells_zero_from_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    let mut draft = Draft::new("nvml", stamp(S));
    let gpu = Entity::gpu("GPU-1");
    draft.read(&gpu, catalogue::GPU_TEMP, 0u64);
    draft.read(&gpu, catalogue::GPU_POWER, Reading::Lost);
    draft.read(&gpu, catalogue::GPU_UTIL, Reading::Stuck(7, "nvmlDeviceGetUtilizationRates".to_owned()));
    draft.read(&gpu, catalogue::GPU_ENERGY, f64::INFINITY);
    draft.events.push(Event::new(stamp(S), event::MARK).with("text", "a\u{1b}[31m\"\n"));
    write(&path, &seal(&[draft]));
    let mut out = Vec::new();
    let exported = recorder::export::jsonl(&Recording::open(&path).unwrap(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains('\u{1b}'), "control characters are escaped");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), exported.samples, exported.events), (6, 4, 1));
    assert_eq!(lines[0]["recording"]["host"]["hostname"], "node7");
    assert_eq!(
        (&lines[1]["metric"], &lines[1]["value"], &lines[1]["unit"]),
        (&"gpu.temp".into(), &0.into(), &"°C".into())
    );
    assert!(lines[1].get("quality").is_none() && lines[2].get("value").is_none());
    assert_eq!((&lines[2]["quality"], &lines[3]["call"]), (&"lost".into(), &"nvmlDeviceGetUtilizationRates".into()));
    assert_eq!((&lines[4]["value"], &lines[5]["event"]), (&"inf".into(), &"mark".into()));
    assert_eq!(lines[5]["at"], "2026-11-18T11:06:41.000Z");
}

#[test]
fn a_frame_that_is_too_large_is_refused_and_the_next_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    let mut writer = Writer::create(&path, &header(), Sync::Tick).unwrap();
    let mut huge = frames(1, 1).remove(0);
    huge.probe = "x".repeat(17 << 20);
    assert_eq!(writer.append(&huge), Appended::Refused);
    assert_eq!(writer.append(&frames(1, 1)[0]), Appended::Written);
    let health = writer.finish().unwrap();
    assert_eq!((health.refused, health.frames, health.sync_error), (1, 1, None));
    assert_eq!(read(&path).0, named(&frames(1, 1)));
}
