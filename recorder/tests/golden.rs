//! Recordings of every released version of the format stay readable, and read the same.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;

use recorder::live::{Options, Recorder};
use recorder::retention::Retention;
use recorder::{Recording, export};

/// The recordings in `golden/`, each with what it exported as when it was made. Never made anew: a new version of the
/// format adds a file.
const VERSIONS: &[&str] = &["v1.0", "v2.0"];

#[test]
fn every_version_reads_as_it_was_written() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for version in VERSIONS {
        let recording = Recording::open(&golden.join(format!("{version}.gdk"))).unwrap();
        let mut out = Vec::new();
        let exported = export::jsonl(&recording, &mut out).unwrap();
        assert!(exported.damage.is_empty(), "{version}: {:?}", exported.damage);
        let expected = std::fs::read_to_string(golden.join(format!("{version}.jsonl"))).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{version}");
    }
}

/// Makes the pair for the present version: `cargo test -p recorder --test golden -- --ignored`, once per version.
#[test]
#[ignore = "makes a golden file that is not there yet"]
fn make_the_golden_file_of_this_version() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let name = format!("v{}.0", recorder::format::SECTIONS_MAJOR);
    let path = golden.join(format!("{name}.gdk"));
    if path.exists() {
        return;
    }
    let retention = Retention { min_free: Some(0), ..Retention::default() };
    let options = Options { block_ns: 5 * common::S, retention, ..Options::default() };
    let recorder = Recorder::start(&path, &common::header(), options).unwrap();
    for frame in common::frames(36, 7) {
        recorder.append(Arc::new(frame));
        recorder.flush();
    }
    recorder.finish().unwrap();
    let mut out = Vec::new();
    export::jsonl(&Recording::open(&path).unwrap(), &mut out).unwrap();
    std::fs::write(golden.join(format!("{name}.jsonl")), out).unwrap();
}
