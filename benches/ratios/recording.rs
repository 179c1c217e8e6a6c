//! Writing a recording, reading it, and asking for the past, beside a file with one JSON object a Frame.

#![allow(clippy::print_stdout, reason = "sizes are results too")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use criterion::Criterion;
use model::{Dictionary, Frame, History, NodeState};
use recorder::{Appended, RecordedHistory, Recording, Sync, Writer};
use tempfile::TempDir;

use crate::ratio::{Against, Measured, Ratio};
use crate::recorded::{Fixture, count};

/// How often the fixture is told for the questions about the past: about ten minutes.
const TIMES: u64 = 16;

/// A directory in memory if there is one: the disk is not what is measured.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

/// Writes a recording anew.
fn record(path: &Path, fixture: &Fixture, frames: &[Frame]) {
    // At first it is not there.
    let _absent = fs::remove_file(path);
    let mut writer = Writer::create(path, &fixture.header, Sync::Off).expect("the directory takes it");
    for frame in frames {
        assert_eq!(writer.append(frame), Appended::Written);
    }
}

/// Writes the same as JSON, one `write(2)` a Frame as well.
fn write_json(path: &Path, frames: &[Frame]) {
    let mut file = File::create(path).expect("the directory takes it");
    for frame in frames {
        let mut line = serde_json::to_vec(frame).expect("a Frame is JSON too");
        line.push(b'\n');
        file.write_all(&line).expect("the directory takes it");
    }
}

fn read(path: &Path) -> usize {
    let recording = Recording::open(path).expect("just written");
    recording.frames().map(|frame| frame.expect("whole").samples.len()).sum()
}

fn read_json(path: &Path) -> usize {
    let lines = BufReader::new(File::open(path).expect("just written")).lines();
    let frames = lines.map(|line| serde_json::from_str::<Frame>(&line.expect("whole")).expect("a Frame"));
    frames.map(|frame| frame.samples.len()).sum()
}

/// The state at an instant without an index: everything up to it is read and applied.
fn state_from_the_start(recording: &Recording, at: u64) -> NodeState {
    let (mut state, mut dictionary) = (NodeState::default(), Dictionary::default());
    for frame in recording.frames().flatten().take_while(|frame| frame.at.axis_ns() <= at) {
        for def in &frame.declares {
            dictionary.declare(def);
        }
        state.apply(&frame, &dictionary);
    }
    state
}

/// Instants all over a recording, the same ones in every run.
struct Instants {
    seed: u64,
    first: u64,
    length: u64,
}

impl Instants {
    fn over(history: &RecordedHistory) -> Self {
        let (first, last) = history.span().expect("it is whole").expect("it holds Frames");
        Self { seed: 1, first: first.axis_ns(), length: last.axis_ns() - first.axis_ns() }
    }

    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.first + (self.seed >> 11) % self.length
    }
}

pub(crate) fn measure(criterion: &mut Criterion, fixture: &Fixture) -> Vec<Ratio> {
    let directory = directory();
    let file = |name: &str| -> PathBuf { directory.path().join(name) };
    let (short, short_json, long) = (file("short.gdk"), file("short.jsonl"), file("long.gdk"));
    let frames = &fixture.frames;
    let again = fixture.again(TIMES);
    record(&short, fixture, frames);
    write_json(&short_json, frames);
    record(&long, fixture, &again);
    assert_eq!((read(&short), read_json(&short_json)), (fixture.samples(), fixture.samples()));
    sizes(fixture, &[(&short, 1), (&long, TIMES)], &short_json);

    let mut group = criterion.benchmark_group("recording");
    let (writing, writing_json) = (file("writing.gdk"), file("writing.jsonl"));
    group.bench_function("append", |bencher| bencher.iter(|| record(&writing, fixture, black_box(frames))));
    group.bench_function("append json", |bencher| bencher.iter(|| write_json(&writing_json, black_box(frames))));
    group.bench_function("read", |bencher| bencher.iter(|| read(black_box(&short))));
    group.bench_function("read json", |bencher| bencher.iter(|| read_json(black_box(&short_json))));
    group.bench_function("load", |bencher| bencher.iter(|| RecordedHistory::load(black_box(&long)).expect("whole")));
    let history = RecordedHistory::load(&long).expect("just written");
    let mut instants = Instants::over(&history);
    group.bench_function("state", |bencher| bencher.iter(|| history.state_at(instants.next()).expect("whole")));
    let mut instants = Instants::over(&history);
    group.sample_size(10).bench_function("state from the start", |bencher| {
        bencher.iter(|| state_from_the_start(history.recording(), instants.next()));
    });
    group.finish();

    let of = |id, what, units| Measured { id, what, units };
    let each = count(frames.len());
    let ratio = |unit, ours, beside| Ratio { unit, ours, against: Against::Measured(beside) };
    vec![
        ratio(
            "Frame",
            of("recording/append", "append to a recording", each),
            of("recording/append json", "a line of JSON, one write each", each),
        ),
        ratio(
            "Frame",
            of("recording/read", "read a recording", each),
            of("recording/read json", "read the lines of JSON", each),
        ),
        ratio(
            "state",
            of("recording/state", "the node at any instant of ten minutes", 1.0),
            of("recording/state from the start", "reading from the start up to there", 1.0),
        ),
        Ratio {
            unit: "Frame",
            ours: of("recording/load", "open and index ten minutes", count(again.len())),
            against: Against::RealTime(seconds(fixture.length_ns() * TIMES)),
        },
    ]
}

/// Prints what a sample takes on disk.
fn sizes(fixture: &Fixture, recordings: &[(&Path, u64)], json: &Path) {
    let bytes = |path: &Path| fs::metadata(path).expect("just written").len();
    let samples = u64::try_from(fixture.samples()).unwrap_or(u64::MAX);
    let tenths = |bytes: u64, samples: u64| {
        let tenths = bytes * 10 / samples;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    println!("recording: {samples} samples in {} Frames", fixture.frames.len());
    for (path, times) in recordings {
        let told = tenths(bytes(path), samples * times);
        println!("recording: told {times} times: {} bytes, {told} bytes a sample", bytes(path));
    }
    println!("recording: as JSON: {} bytes, {} bytes a sample", bytes(json), tenths(bytes(json), samples));
}

#[allow(clippy::cast_precision_loss, reason = "a benchmark is short")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
