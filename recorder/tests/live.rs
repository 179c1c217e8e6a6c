//! What is handed to a live recorder is what is read: closed, killed, rotated, around triggers, on a full disk.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::tmpfs::Tmpfs;
use common::{S, frames, header, named, read, stamp};
use model::{Dictionary, Draft, Entity, Frame, MetricName};
use recorder::live::{Options, Recorder};
use recorder::retention::Retention;
use recorder::{Recording, Sync};

fn options() -> Options {
    let retention = Retention { min_free: Some(0), ..Retention::default() };
    Options { sync: Sync::Off, block_ns: 20 * S, retention, ..Options::default() }
}

fn hand(recorder: &Recorder, frames: &[Frame]) {
    for frame in frames {
        assert!(recorder.append(Arc::new(frame.clone())));
    }
    recorder.flush();
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn of_probes(drafts: Vec<Draft>) -> Vec<Draft> {
    drafts.into_iter().filter(|draft| draft.probe != "recorder").collect()
}

#[test]
fn a_closed_recording_is_one_file_with_its_manifest_and_reads_as_it_was_handed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    let recorder = Recorder::start(&path, &header(), options()).unwrap();
    let frames = frames(300, 7);
    hand(&recorder, &frames);
    let health = recorder.finish().unwrap();
    assert_eq!((health.frames, health.lost, health.outages), (300, 0, 0));
    assert_eq!(names(directory.path()), ["x.gdk", "x.gdk.sha256"]);
    assert_eq!(read(&path), (named(&frames), Vec::new()));
}

#[test]
fn a_recorder_that_was_not_finished_leaves_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    let frames = frames(200, 7);
    let recorder = Recorder::start(&path, &header(), options()).unwrap();
    hand(&recorder, &frames);
    std::mem::forget(recorder);
    assert_eq!(read(&path), (named(&frames), Vec::new()));
}

#[test]
fn what_the_recorder_says_itself_is_read_from_its_journal_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    let frames = frames(60, 7);
    let recorder = Recorder::start(&path, &header(), options()).unwrap();
    hand(&recorder, &frames[..30]);
    recorder.trigger(frames[29].at, "an Xid", "a test");
    recorder.flush();
    hand(&recorder, &frames[30..]);
    std::mem::forget(recorder);
    let (found, damage) = read(&path);
    let said = found.iter().flat_map(|draft| &draft.events).filter(|event| event.kind == recorder::live::TRIGGER);
    assert_eq!((said.count(), damage), (1, Vec::new()));
    assert_eq!(of_probes(found), named(&frames));
}

#[test]
fn segments_of_a_directory_read_as_one_stream() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_ns: 30 * S, ..options() };
    let recorder = Recorder::start(directory.path(), &header(), options).unwrap();
    let frames = frames(400, 3);
    hand(&recorder, &frames);
    recorder.finish().unwrap();
    assert!(Recording::open(directory.path()).unwrap().segments().len() >= 3);
    let (found, damage) = read(directory.path());
    assert_eq!((of_probes(found), damage), (named(&frames), Vec::new()));
}

#[test]
fn the_byte_budget_holds_after_every_frame() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { max_bytes: Some(150_000), min_free: Some(0), ..Retention::default() };
    let recorder = Recorder::start(directory.path(), &header(), Options { retention, ..options() }).unwrap();
    for chunk in frames(3_000, 5).chunks(10) {
        hand(&recorder, chunk);
        let sizes = std::fs::read_dir(directory.path()).unwrap().filter_map(|entry| entry.ok()?.metadata().ok());
        let used: u64 = sizes.map(|facts| facts.len()).sum();
        assert!(used <= 150_000, "{used}");
    }
    recorder.finish().unwrap();
    let (found, damage) = read(directory.path());
    assert!(damage.is_empty());
    assert_eq!(found.last().unwrap(), named(&frames(3_000, 5)).last().unwrap());
}

#[test]
fn a_directory_that_is_deleted_is_made_again_and_recording_goes_on() {
    let above = tempfile::tempdir().unwrap();
    let directory = above.path().join("rec");
    let recorder = Recorder::start(&directory, &header(), options()).unwrap();
    let frames = frames(200, 3);
    hand(&recorder, &frames[..100]);
    std::fs::remove_dir_all(&directory).unwrap();
    hand(&recorder, &frames[100..]);
    recorder.finish().unwrap();
    let (found, damage) = read(&directory);
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(found.last().unwrap(), named(&frames).last().unwrap());
}

#[test]
fn frames_read_faster_are_kept_around_a_trigger_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    let recorder = Recorder::start(&path, &header(), options()).unwrap();
    for number in 0..300u64 {
        let mut draft = Draft::new("nvml", stamp(number * S));
        draft.boot = header().boot;
        let mut frame = draft.seal(&mut model::Dictionary::default());
        (frame.seq, frame.burst) = (number + 1, number % 2 == 1);
        hand(&recorder, &[frame]);
        if number == 150 {
            recorder.trigger(stamp(150 * S), "xid 79", "rule");
        }
    }
    recorder.finish().unwrap();
    let recording = Recording::open(&path).unwrap();
    let bursts: Vec<u64> = recording.bursts().map(|frame| frame.unwrap().at.axis_ns() / S).collect();
    assert_eq!((bursts.first(), bursts.last(), bursts.len()), (Some(&91), Some(&209), 60));
    let (found, _) = read(&path);
    assert_eq!(of_probes(found.clone()).len(), 150);
    assert_eq!(found.len(), 151, "and the trigger is told");
}

#[test]
fn a_small_budget_holds_minutes_of_a_node_of_many_series() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { max_bytes: Some(1 << 20), min_free: Some(0), ..Retention::default() };
    let recorder = Recorder::start(directory.path(), &header(), Options { retention, ..options() }).unwrap();
    let mut dictionary = Dictionary::default();
    for second in 1..=300 {
        let mut draft = Draft::new("rdma", stamp(second * S));
        draft.boot = header().boot;
        for number in 0..2_000 {
            let metric = MetricName::raw(format!("rdma.hw.counter_with_a_long_name_{number}"));
            draft.read(&Entity::RdmaPort("mlx5_0".into(), 1), metric, number % 7 * second);
        }
        let mut frame = draft.seal(&mut dictionary);
        frame.seq = second;
        hand(&recorder, &[frame]);
    }
    recorder.finish().unwrap();
    let (found, damage) = read(directory.path());
    let frames = found.iter().filter(|draft| draft.probe == "rdma").count();
    assert!(frames >= 200 && damage.is_empty(), "{frames} of 300 seconds: {damage:?}");
}

#[test]
fn a_full_disk_stops_nothing_and_nothing_is_missing_when_there_is_room_again() {
    let disk = match Tmpfs::mount("512k") {
        Ok(disk) => disk,
        Err(why) => {
            println!("SKIPPED: cannot mount a tmpfs (needs root): {why}");
            return;
        }
    };
    let (path, hog) = (disk.path().join("x.gdk"), disk.path().join("hog"));
    let frames = frames(900, 17);
    let recorder = Recorder::start(&path, &header(), options()).unwrap();
    hand(&recorder, &frames[..100]);
    drop(std::fs::write(&hog, vec![1; 1 << 20]));
    for chunk in frames[100..600].chunks(20) {
        hand(&recorder, chunk);
    }
    let health = recorder.health();
    assert!(health.stalled.as_deref().unwrap().contains("No space left"), "{health:?}");
    assert!(health.waiting > 0 && health.outages > 0, "{health:?}");
    let (before, damage) = read(&path);
    assert_eq!((&before[..], damage), (&named(&frames)[..before.len()], Vec::new()), "whole while the disk is full");
    assert!(before.len() >= 100);
    std::fs::remove_file(&hog).unwrap();
    for chunk in frames[600..].chunks(20) {
        hand(&recorder, chunk);
    }
    assert_eq!(recorder.health().stalled, None, "it goes on by itself");
    let health = recorder.finish().unwrap();
    assert_eq!(health.lost, 0);
    assert_eq!(read(&path), (named(&frames), Vec::new()), "what waited in memory is in blocks");
    assert_eq!(names(disk.path()), ["x.gdk", "x.gdk.sha256"]);
}
