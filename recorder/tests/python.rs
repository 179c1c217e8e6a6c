//! The reader in Python (`recorder/python/`), which shares no code with this crate, reads what it writes.
//! `tests/peers/readers.sh` makes the environment that it runs in, or says why it cannot be had.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::sealed::{Sealer, journal_path, sealed, write_recording};
use common::{Dice, EPOCH, S, frames, header, stamp};
use model::{Dictionary, Draft, Entity, Frame, MetricName, Reading, Stamp, Value, catalogue};
use recorder::format::section;
use recorder::{Recording, export};

/// A metric that no catalogue has.
fn x(name: &str) -> MetricName {
    MetricName::raw(format!("x.{name}"))
}

/// Series that make a block use each of its kinds of column and each of its transforms.
fn varied(count: u64) -> Vec<Frame> {
    let (mut dice, mut dictionary, mut load) = (Dice(11), Dictionary::default(), 3000i64);
    let mut walk = [0i64; 8];
    let frame = |number: u64| {
        load = (load + i64::try_from(dice.roll(201)).unwrap() - 100).clamp(0, 9000);
        let mut draft = Draft::new("nvml", stamp(number * S));
        draft.boot = header().boot;
        draft.took_us = dice.roll(5000);
        draft.at = match number % 50 {
            7 => Stamp { mono_ns: None, ..draft.at },
            8 => Stamp { real_ns: None, ..draft.at },
            // The wall clock was set back.
            _ if number > 70 => Stamp::new(number * S, EPOCH - 1_000_000_000_000),
            _ => draft.at,
        };
        let extremes = [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1];
        let doubles = [-0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300, -1e300, std::f64::consts::PI];
        for gpu in 0..8u32 {
            let entity = Entity::gpu(format!("GPU-{gpu}"));
            let at = usize::try_from(gpu).unwrap();
            walk[at] += i64::try_from(dice.roll(7)).unwrap() - 3;
            let near = load + walk[at];
            draft.read(&entity, catalogue::GPU_POWER, near as f64 / 10.0);
            // What is one number minus the other, and the other again.
            draft.read(&entity, x("free"), 10_000u64 - load.unsigned_abs());
            draft.read(&entity, x("used"), load.unsigned_abs());
            draft.read(&entity, x("mean"), near as f64 * 0.1);
            draft.read(&entity, catalogue::GPU_ENERGY, number * 1_000_000 + load.unsigned_abs() * number / 7);
            draft.read(&entity, x("smooth"), number * number * 1000 + dice.roll(3) + u64::from(gpu));
            draft.read(&entity, x("noise"), dice.roll(1 << 40));
            draft.read(&entity, x("constant"), 42u64);
            draft.read(&entity, x("extremes"), extremes[usize::try_from(dice.roll(6)).unwrap()]);
            draft.read(&entity, x("doubles"), doubles[usize::try_from(dice.roll(7)).unwrap()]);
            draft.read(&entity, x("flag"), dice.roll(9) == 0);
            draft.read(&entity, x("text"), ["P0", "P8", "=P2, \"quoted\"", ""][usize::try_from(dice.roll(4)).unwrap()]);
            draft.read(&entity, x("denied"), Reading::Denied);
            draft.read(&entity, x("stale"), Reading::Stale(Value::Number(load as f64 / 4.0), number * S));
            draft.read(&entity, x("mixed"), common::reading(&mut dice));
        }
        // Twice in one Frame.
        draft.read(&Entity::gpu("GPU-0"), x("used"), 1u64);
        let mut frame = draft.seal(&mut dictionary);
        frame.seq = number + 1;
        frame
    };
    (0..count).map(frame).collect()
}

/// The export that the reader is held against.
fn exported(directory: &Path, name: &str) {
    let (file, folder) = (directory.join(format!("{name}.gdk")), directory.join(name));
    let recording = Recording::open(if file.exists() { &file } else { &folder }).unwrap();
    let mut out = fs::File::create(directory.join(format!("{name}.csv"))).unwrap();
    let told = export::csv(&recording, &mut out, None).unwrap();
    assert!(told.samples > 0 && told.damage.is_empty() != name.starts_with("damaged"), "{name}: {told:?}");
}

/// What the journals beside an open segment hold, on top of a block.
fn unsealed(directory: &Path, frames: &[Frame]) {
    let path = directory.join("unsealed.gdk");
    let mut sealer = Sealer::new(&header(), 7);
    sealer.block(&frames[..40]);
    sealer.block(&frames[40..80]);
    fs::write(&path, &sealer.bytes).unwrap();
    fs::write(journal_path(&path, 1), sealer.journal(1, &frames[40..80], false, true)).unwrap();
    fs::write(journal_path(&path, 2), sealer.journal(2, &frames[80..100], true, true)).unwrap();
    fs::write(journal_path(&path, 3), sealer.journal(3, &frames[100..], true, false)).unwrap();
    exported(directory, "unsealed");
    // A bit flipped in the second block: its journal is still there. And one in the last journal.
    let (mut bytes, mut last) = (sealer.bytes, fs::read(journal_path(&path, 3)).unwrap());
    let (place, middle) = (bytes.len() - 9, last.len() - 30);
    bytes[place] ^= 1;
    last[middle] ^= 1;
    let damaged = directory.join("damaged.gdk");
    fs::write(&damaged, bytes).unwrap();
    for number in 1..3 {
        fs::copy(journal_path(&path, number), journal_path(&damaged, number)).unwrap();
    }
    fs::write(journal_path(&damaged, 3), last).unwrap();
    exported(directory, "damaged");
}

#[test]
fn the_reader_in_python_reads_the_same_samples() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));

    fs::copy(root.join("tests/golden/v1.0.gdk"), directory.join("v1.gdk")).unwrap();
    exported(directory, "v1");
    fs::write(directory.join("varied.gdk"), sealed(&varied(130), 60)).unwrap();
    exported(directory, "varied");
    common::write(&directory.join("written.gdk"), &varied(20));
    exported(directory, "written");
    let some = frames(300, 7);
    fs::create_dir(directory.join("segments")).unwrap();
    write_recording(&directory.join("segments"), &some, 20, 3, 30);
    exported(directory, "segments");
    // One of them alone begins with its context.
    fs::copy(directory.join("segments/seg-0002.gdk"), directory.join("alone.gdk")).unwrap();
    exported(directory, "alone");
    unsealed(directory, &some[..120]);
    // A flipped bit costs one block.
    let mut bytes = sealed(&some, 30);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(directory.join("damaged-middle.gdk"), bytes).unwrap();
    exported(directory, "damaged-middle");
    let mut fast = varied(60);
    fast[20..40].iter_mut().for_each(|frame| frame.burst = true);
    let mut sealer = Sealer::new(&header(), 7);
    sealer.block(&fast[..20]);
    sealer.columns(section::BURST, &fast[20..40]);
    sealer.block(&fast[40..]);
    sealer.close();
    fs::write(directory.join("bursts.gdk"), sealer.bytes).unwrap();
    exported(directory, "bursts");

    // Below the build directory, as for the exports.
    let readers = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("readers");
    let peers = root.join("../tests/peers");
    let output = Command::new(peers.join("readers.sh"))
        .args([&readers, &peers.join("recording.py"), &root.join("python"), directory])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(77) {
        let _nobody_reads = writeln!(std::io::stderr(), "{why}");
        return;
    }
    assert!(output.status.success() && said.contains("agreed: "), "{said}\n{why}");
}
