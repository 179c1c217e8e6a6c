//! A torn, flipped or stale recording: opens, loses only what lies behind the damage, and never tells a wrong value.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use common::{Dice, frames, named, read, write};
use model::Draft;
use recorder::{OpenError, Recording};

/// A small recording: its bytes, its Frames, and where each Frame's record ends.
fn small(count: u64) -> (Vec<u8>, Vec<Draft>, Vec<usize>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("small.gdk");
    let frames = frames(count, 7);
    write(&path, &frames);
    let recording = Recording::open(&path).unwrap();
    let mut reading = recording.frames();
    let mut ends = Vec::new();
    while reading.next().is_some() {
        ends.push(usize::try_from(reading.position().1).unwrap());
    }
    (fs::read(&path).unwrap(), named(&frames), ends)
}

/// How many Frames a damaged file gives; all of them must be those of the original.
fn intact(bytes: &[u8], original: &[Draft]) -> Option<usize> {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = directory.path().join("damaged.gdk");
    fs::write(&path, bytes).unwrap();
    if let Err(error) = Recording::open(&path) {
        assert!(matches!(error, OpenError::TornHeader { .. } | OpenError::NotOurs { .. } | OpenError::Empty { .. }));
        return None;
    }
    let (found, _) = read(&path);
    assert!(found.len() <= original.len(), "more Frames than were written");
    assert!(found == original[..found.len()], "a Frame differs from what was written");
    Some(found.len())
}

#[test]
fn a_recording_cut_at_any_byte_keeps_every_frame_before_the_cut() {
    let (bytes, original, ends) = small(40);
    let header_end = 36 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize + 4;
    for cut in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count().min(original.len());
        match intact(&bytes[..cut], &original) {
            Some(found) => assert_eq!(found, whole, "cut at {cut}"),
            None => assert!(cut < header_end, "a cut at {cut} behind the header did not open"),
        }
    }
}

#[test]
fn a_flipped_bit_never_gives_a_wrong_frame() {
    let (bytes, original, ends) = small(60);
    let mut dice = Dice(99);
    for _ in 0..4000 {
        let bit = dice.roll(bytes.len() as u64 * 8) as usize;
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Some(found) = intact(&flipped, &original) {
            let before = ends.iter().filter(|end| **end <= bit / 8).count().min(original.len());
            assert_eq!(found, before, "bit {bit}: exactly what lies before the damage is kept");
        }
    }
}

#[test]
fn stale_zeroed_and_random_tails_are_refused() {
    let (bytes, original, ends) = small(60);
    let mut dice = Dice(5);
    for trial in 0..400 {
        let keep = dice.roll(50) as usize;
        let cut = if trial % 4 == 0 { ends[keep] } else { ends[keep] + dice.roll(40) as usize };
        let mut torn = bytes[..cut].to_vec();
        match trial % 3 {
            0 => {
                // Blocks of the same file that a power cut brought back: whole records with good checksums of their own.
                let from = dice.roll(50) as usize;
                torn.extend(&bytes[ends[from]..]);
                if from == keep && cut == ends[keep] {
                    continue;
                }
            }
            1 => torn.extend(vec![0; dice.roll(5000) as usize]),
            _ => torn.extend((0..dice.roll(5000)).map(|_| dice.roll(256) as u8).collect::<Vec<_>>()),
        }
        let found = intact(&torn, &original).unwrap();
        let before = ends.iter().filter(|end| **end <= cut).count().min(original.len());
        // Bytes behind the cut may happen to be those that were there; they are right then.
        assert!(found >= before, "trial {trial}");
    }
}

#[test]
fn records_of_another_recording_do_not_continue_this_one() {
    let (bytes, original, ends) = small(30);
    let (other, ..) = small(30);
    let mut mixed = bytes[..ends[9]].to_vec();
    mixed.extend(&other[ends[9]..]);
    assert_eq!(intact(&mixed, &original), Some(10));
}

#[test]
fn damage_says_where_and_how_much() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    let (mut bytes, original, ends) = small(30);
    bytes[ends[4] + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (found, damage) = read(&path);
    assert_eq!(found.len(), 5);
    assert_eq!(damage[0].offset, ends[4] as u64);
    assert_eq!(damage[0].bytes_lost, (bytes.len() - ends[4]) as u64);
    assert!(damage[0].to_string().contains("checksum"), "{}", damage[0]);

    let saved = directory.path().join("saved.gdk");
    let recovered = recorder::recover(&path, &saved).unwrap();
    assert_eq!((recovered.frames, recovered.lost.len()), (5, 1));
    assert_eq!(recovered.bytes_lost, damage[0].bytes_lost);
    assert_eq!(read(&saved), (original[..5].to_vec(), Vec::new()));
    let info = recorder::info(&saved).unwrap();
    assert!(info.closed && info.damage.is_empty());
}

#[test]
fn what_is_no_recording_says_what_it_looks_like_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    for (bytes, said) in [
        (&b""[..], "is empty"),
        (b"[  12.3] NVRM: Xid (PCI:0000:4f:00): 79", "`gpudeck decode FILE`"),
        (b"Nov 23 10:00:00 node7 kernel: Linux version 6.8", "kernel log"),
        (b"hello", "plain text"),
        (b"\x1f\x8b\x08\0", "gunzip"),
        (b"{\"at\":", "JSON"),
        (&[0; 4096], "zeros"),
        (b"\x01\x02\x03\xff", "not those of a segment"),
        (b"GPUDECK\n\x01\0\0\0", "damaged: 12 of the first 36 bytes"),
        (b"GPU", "3 of the first 36 bytes"),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = Recording::open(&path).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let missing = Recording::open(&directory.path().join("nowhere")).unwrap_err().to_string();
    assert!(missing.contains("there is no") && missing.contains("gpudeck record"), "{missing}");
    let empty = Recording::open(directory.path()).unwrap_err().to_string();
    assert!(empty.contains("no *.gdk file"), "{empty}");
    assert!(matches!(Recording::open("/dev/null".as_ref()), Err(OpenError::NotAFile { .. })));
}

#[test]
fn a_newer_version_is_named_and_not_taken_for_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    let (mut bytes, ..) = small(3);
    bytes[8..12].copy_from_slice(&[3, 0, 7, 0]);
    let sum = crc32c::crc32c(&bytes[..32]).to_le_bytes();
    bytes[32..36].copy_from_slice(&sum);
    fs::write(&path, &bytes).unwrap();
    let error = Recording::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: (3, 7), .. }));
    assert!(error.to_string().contains("newer gpudeck"), "{error}");
}

#[test]
fn a_recording_is_readable_by_its_owner_only_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gdk");
    write(&path, &frames(3, 1));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = recorder::Writer::create(&path, &common::header(), recorder::Sync::Off).unwrap_err();
    assert!(again.to_string().contains("never overwritten"), "{again}");

    let link = directory.path().join("link.gdk");
    std::os::unix::fs::symlink(directory.path().join("target"), &link).unwrap();
    recorder::Writer::create(&link, &common::header(), recorder::Sync::Off).unwrap_err();
    assert!(!directory.path().join("target").exists(), "a link was followed");
}

/// Opens the recording that it is pointed at, as somebody who may not.
#[test]
#[ignore = "the child of the next test"]
fn the_reader_without_permission() {
    let Some(path) = std::env::var_os("GPUDECK_TEST_RECORDING") else { return };
    let error = Recording::open(path.as_ref()).unwrap_err();
    assert!(matches!(error, OpenError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("sudo"), "{error}");
}

#[test]
fn a_recording_of_somebody_else_says_so() {
    if !rustix::process::getuid().is_root() {
        println!("SKIPPED: only root can become somebody else");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (path, program) = (directory.path().join("x.gdk"), directory.path().join("reader"));
    write(&path, &frames(3, 1));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let child = std::process::Command::new(&program)
        .args(["--exact", "the_reader_without_permission", "--ignored"])
        .env("GPUDECK_TEST_RECORDING", &path)
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn deeply_nested_fields_do_not_exhaust_the_stack() {
    // A Frame whose event has one field: lists in lists, as deep as 60 KB allow.
    let mut payload = vec![0x83, 0xa5];
    payload.extend(b"probe");
    payload.extend([0xa1, b'x', 0xa2, b'a', b't', 0x80, 0xa6]);
    payload.extend(b"events");
    payload.extend([0x91, 0x83, 0xa2, b'a', b't', 0x80, 0xa4]);
    payload.extend(b"kind");
    payload.extend([0xa1, b'k', 0xa6]);
    payload.extend(b"fields");
    payload.extend([0x81, 0xa1, b'f']);
    payload.extend(vec![0x91; 60_000]);
    payload.push(1);
    model::Frame::from_wire(&payload).unwrap_err();
}
