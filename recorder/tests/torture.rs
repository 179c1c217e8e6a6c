//! A recorder that is killed, damaged and cut off from power, many times: what was promised is there, nothing is wrong.
//!
//! A few rounds of each in `cargo test`; `GPUDECK_TEST_LONG=1` runs as many as docs/reliability.md tells.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods
)]

mod common;
#[path = "torture/kill.rs"]
mod kill;
#[path = "torture/power.rs"]
mod power;
#[path = "torture/tails.rs"]
mod tails;

use std::collections::BTreeMap;
use std::path::Path;

use common::S;
use model::{Dictionary, Draft, Frame};
use recorder::live::Options;
use recorder::retention::Retention;
use recorder::{Damage, OpenError, Recording, Sync};

/// Few rounds in CI, many if asked.
fn rounds(few: u64, many: u64) -> u64 {
    if std::env::var_os("GPUDECK_TEST_LONG").is_some() { many } else { few }
}

/// Blocks of two seconds: one is sealed, or a journal deleted, at nearly every moment.
fn options(sync: Sync) -> Options {
    let retention = Retention { min_free: Some(0), ..Retention::default() };
    Options { sync, block_ns: 2 * S, retention, ..Options::default() }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The Frames handed over, by number, with named series.
fn originals(frames: &[Frame]) -> BTreeMap<u64, Draft> {
    let mut dictionary = Dictionary::default();
    let named = frames.iter().map(|frame| {
        dictionary.follow(frame);
        (frame.seq, frame.named(&dictionary))
    });
    named.collect()
}

/// The numbers of the Frames that a recording gives, each found to be exactly what was handed over, none twice, in
/// order; and the damage that it tells. What the recorder says itself (context, gaps) is left out.
fn check(path: &Path, originals: &BTreeMap<u64, Draft>) -> Result<(Vec<u64>, Vec<Damage>), OpenError> {
    check_but(path, originals, false)
}

/// The same; if `nameless`, samples may be missing whose series no schema declares any more, if damage says so.
fn check_but(
    path: &Path,
    originals: &BTreeMap<u64, Draft>,
    nameless: bool,
) -> Result<(Vec<u64>, Vec<Damage>), OpenError> {
    let recording = Recording::open(path)?;
    let mut reading = recording.frames();
    let (mut seqs, mut damage, mut fewer) = (Vec::new(), Vec::new(), false);
    while let Some(next) = reading.next() {
        match next {
            Ok(frame) if frame.seq == 0 || frame.probe == "recorder" => {}
            Ok(frame) => {
                let mut found = frame.named(reading.dictionary());
                if let Some(original) = originals.get(&frame.seq).filter(|_| nameless)
                    && found.samples.len() < original.samples.len()
                    && found.samples.iter().all(|sample| original.samples.contains(sample))
                {
                    found.samples.clone_from(&original.samples);
                    fewer = true;
                }
                assert_eq!(Some(&found), originals.get(&frame.seq), "Frame {} is not what was handed over", frame.seq);
                assert!(seqs.last().is_none_or(|last| *last < frame.seq), "{} after {:?}", frame.seq, seqs.last());
                seqs.push(frame.seq);
            }
            Err(found) => damage.push(found),
        }
    }
    assert!(!fewer || !damage.is_empty(), "samples are missing and nothing says so");
    Ok((seqs, damage))
}
