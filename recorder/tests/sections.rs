//! Segments of sections: read as one stream with their journals, and damaged in every way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod common;

use std::fs;

use common::sealed::{Sealer, journal_path, sealed, write_segments};
use common::{Dice, frames, header, named, read};
use model::Draft;
use recorder::Recording;
use recorder::format::{INCOMPATIBLE, section};
use recorder::sections::Entry;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[test]
fn a_closed_segment_reads_as_it_was_written() {
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let frames = frames(200, 7);
    fs::write(&path, sealed(&frames, 30)).unwrap();
    assert_eq!(read(&path), (named(&frames), Vec::new()));
    let recording = Recording::open(&path).unwrap();
    let mut reading = recording.frames();
    let seqs: Vec<u64> = reading.by_ref().map(|frame| frame.unwrap().seq).collect();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
    let end = reading.ends()[0].end.clone().unwrap();
    assert_eq!((end.frames, end.lost), (200, 0));
}

#[test]
fn a_section_of_a_newer_gpudeck_is_passed_by_and_one_that_must_not_be_is_told() {
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let frames = frames(60, 7);
    for (flags, told) in [(0, 0), (INCOMPATIBLE, 1)] {
        let mut sealer = Sealer::new(&header(), 9);
        sealer.block(&frames[..30]);
        sealer.flagged(Entry { kind: 99, ..Entry::default() }, flags, b"what nobody knows yet", 4);
        sealer.block(&frames[30..]);
        sealer.close();
        fs::write(&path, &sealer.bytes).unwrap();
        let (found, damage) = read(&path);
        assert_eq!((found, damage.len()), (named(&frames), told));
        assert!(damage.iter().all(|damage| damage.why.contains("newer gpudeck")), "{damage:?}");
    }
}

#[test]
fn segments_that_follow_each_other_are_one_stream_and_one_alone_begins_with_its_context() {
    let directory = scratch();
    let frames = frames(300, 7);
    write_segments(directory.path(), &frames, 20, 3);
    assert_eq!(read(directory.path()), (named(&frames), Vec::new()));
    let (alone, damage) = read(&directory.path().join("seg-0003.gdk"));
    assert!(damage.is_empty());
    let own = named(&frames)[180..240].to_vec();
    let context = &alone[..alone.len() - own.len()];
    assert_eq!(alone[context.len()..], own);
    assert_eq!(context[0].probe, "recorder");
    assert!(context[0].entities.len() > 3 && context.iter().any(|frame| frame.probe == "nvml"));
}

#[test]
fn what_is_not_sealed_yet_comes_from_the_journals() {
    for packed in [false, true] {
        let directory = scratch();
        let path = directory.path().join("x.gdk");
        let frames = frames(120, 7);
        let mut sealer = Sealer::new(&header(), 7);
        sealer.block(&frames[..40]);
        sealer.block(&frames[40..80]);
        fs::write(&path, &sealer.bytes).unwrap();
        // The journal of the second block is still there.
        fs::write(journal_path(&path, 1), sealer.journal(1, &frames[40..80], packed, true)).unwrap();
        fs::write(journal_path(&path, 2), sealer.journal(2, &frames[80..100], packed, true)).unwrap();
        fs::write(journal_path(&path, 3), sealer.journal(3, &frames[100..], packed, false)).unwrap();
        assert_eq!(read(&path), (named(&frames), Vec::new()));
    }
}

#[test]
fn a_damaged_block_is_taken_from_its_journal_while_that_is_there() {
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let frames = frames(120, 7);
    let mut sealer = Sealer::new(&header(), 7);
    sealer.block(&frames[..40]);
    sealer.block(&frames[40..80]);
    let place = sealer.bytes.len() - 9;
    sealer.bytes[place] ^= 1;
    sealer.block(&frames[80..]);
    fs::write(&path, &sealer.bytes).unwrap();
    let (without, damage) = read(&path);
    assert_eq!(without.len(), 80);
    assert!(damage[0].why.contains("seq 41 to 80"), "{}", damage[0]);
    fs::write(journal_path(&path, 1), sealer.journal(1, &frames[40..80], true, true)).unwrap();
    let (with, damage) = read(&path);
    assert_eq!(with, named(&frames));
    assert!(damage[0].why.contains("40 of them were found in a journal"), "{}", damage[0]);
}

#[test]
fn bursts_are_a_stream_of_their_own() {
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let mut frames = frames(120, 7);
    for frame in &mut frames[40..60] {
        frame.burst = true;
    }
    let mut sealer = Sealer::new(&header(), 7);
    sealer.block(&frames[..40]);
    sealer.columns(section::BURST, &frames[40..60]);
    sealer.block(&frames[60..]);
    sealer.close();
    fs::write(&path, &sealer.bytes).unwrap();
    let recording = Recording::open(&path).unwrap();
    assert_eq!(recording.frames().map(Result::unwrap).count(), 100);
    let bursts: Vec<_> = recording.bursts().map(Result::unwrap).collect();
    assert_eq!(bursts.len(), 20);
    assert!(bursts.iter().all(|frame| frame.burst));
    assert!(!bursts[0].declares.is_empty(), "it can be read alone");
}

/// Every Frame that is read is one of those that were written, and they come in their order.
fn intact(found: &[Draft], original: &[Draft]) -> bool {
    let mut rest = original.iter();
    found.iter().all(|frame| rest.any(|written| written == frame))
}

#[test]
fn a_segment_cut_at_any_byte_keeps_every_block_before_the_cut() {
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let frames = frames(30, 7);
    let original = named(&frames);
    let mut sealer = Sealer::new(&header(), 7);
    let head = sealer.bytes.len();
    let mut ends = Vec::new();
    for block in frames.chunks(6) {
        sealer.block(block);
        ends.push(sealer.bytes.len());
    }
    sealer.close();
    for cut in head..sealer.bytes.len() {
        fs::write(&path, &sealer.bytes[..cut]).unwrap();
        let (found, damage) = read(&path);
        let whole = ends.iter().filter(|end| **end <= cut).count() * 6;
        assert!(found == original[..whole], "cut at {cut}: {} Frames instead of {whole}", found.len());
        assert!(damage.len() <= 1, "cut at {cut}: {damage:?}");
        assert!(
            !damage.is_empty() || ends.contains(&cut) || cut == head || whole < 30 || cut >= ends[4],
            "cut at {cut}"
        );
    }
}

#[test]
fn a_flipped_bit_costs_one_section_and_never_gives_a_wrong_frame() {
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let frames = frames(96, 7);
    let original = named(&frames);
    let mut sealer = Sealer::new(&header(), 7);
    let head = sealer.bytes.len();
    for block in frames.chunks(12) {
        sealer.block(block);
    }
    sealer.close();
    let schemas: Vec<_> = sealer.directory.sections.iter().filter(|entry| entry.kind == section::SCHEMA).collect();
    let mut dice = Dice(99);
    for _ in 0..500 {
        let bit = (head * 8) as u64 + dice.roll(((sealer.bytes.len() - head) * 8) as u64);
        let mut flipped = sealer.bytes.clone();
        flipped[bit as usize / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        let (found, damage) = read(&path);
        let byte = bit / 8;
        assert!(!damage.is_empty(), "bit {bit} goes unnoticed");
        if schemas.iter().any(|entry| (entry.offset..entry.offset + 44 + entry.length).contains(&byte)) {
            // What only it declares is left out; nothing is told of another series.
            for frame in &found {
                let written = original.iter().find(|written| (written.at, &written.probe) == (frame.at, &frame.probe));
                let written = written.unwrap();
                assert!(frame.samples.iter().all(|sample| written.samples.contains(sample)), "bit {bit}");
            }
            continue;
        }
        assert!(intact(&found, &original), "bit {bit}: a Frame differs");
        assert!(found.len() >= 84, "bit {bit}: {} Frames are left; {damage:?}", found.len());
    }
}

/// A small segment whose directory is changed before it is sealed.
fn lying(frames: &[model::Frame], lie: impl Fn(&mut recorder::sections::Directory)) -> Vec<u8> {
    let mut sealer = Sealer::new(&header(), 7);
    for block in frames.chunks(30) {
        sealer.block(block);
    }
    lie(&mut sealer.directory);
    sealer.close();
    sealer.bytes
}

#[test]
fn a_directory_that_lies_is_not_believed() {
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let frames = frames(120, 7);
    let lies: [fn(&mut recorder::sections::Directory); 6] = [
        |all| all.sections[2].offset = u64::MAX - 3,
        |all| all.sections[2].length = u64::MAX - 3,
        |all| all.sections[2].offset = all.sections[1].offset,
        |all| drop(all.sections.remove(2)),
        |all| all.sections.swap(0, 2),
        |all| all.sections.extend(all.sections.clone()),
    ];
    for lie in lies {
        fs::write(&path, lying(&frames, lie)).unwrap();
        let (found, damage) = read(&path);
        assert!(found == named(&frames), "{damage:?}");
        assert!(damage[0].why.contains("directory"), "{}", damage[0]);
    }
    // One that tells of other Frames than a section has.
    fs::write(&path, lying(&frames, |all| all.sections[1].last_seq = 7)).unwrap();
    let (found, damage) = read(&path);
    assert!(intact(&found, &named(&frames)) && found.len() >= 90);
    assert!(damage[0].why.contains("directory"), "{}", damage[0]);
}

#[test]
fn bombs_are_told_and_cost_what_they_are_in() {
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let frames = frames(60, 7);
    let bomb = zstd::bulk::compress(&vec![0; 512 << 20], 1).unwrap();
    for kind in [section::SCHEMA, section::CONTEXT, section::BLOCK, section::BURST] {
        let mut sealer = Sealer::new(&header(), 7);
        sealer.block(&frames[..30]);
        let entry = recorder::sections::Entry { kind, ..Default::default() };
        sealer.section(entry, &bomb, bomb.len());
        sealer.block(&frames[30..]);
        sealer.close();
        fs::write(&path, &sealer.bytes).unwrap();
        let (found, damage) = read(&path);
        assert_eq!(found.len(), 60, "kind {kind}: {damage:?}");
        assert_eq!(damage.len(), usize::from(kind != section::BURST), "kind {kind}: {damage:?}");
        assert_eq!(Recording::open(&path).unwrap().bursts().count(), usize::from(kind == section::BURST));
    }
    // In a journal.
    let mut sealer = Sealer::new(&header(), 7);
    sealer.block(&frames[..30]);
    fs::write(&path, &sealer.bytes).unwrap();
    let mut journal = sealer.journal(0, &frames[30..], false, false);
    let chain = {
        let mut place = 36 + u32::from_le_bytes(journal[12..16].try_into().unwrap()) as usize + 4;
        let mut chain = 0;
        while place < journal.len() {
            let length = u32::from_le_bytes(journal[place + 4..place + 8].try_into().unwrap()) as usize;
            chain = u32::from_le_bytes(journal[place + 8..place + 12].try_into().unwrap());
            place += 12 + length;
        }
        chain
    };
    journal.extend(recorder::format::seal_record(recorder::format::FRAMES_Z, 0, &bomb, chain).unwrap().0);
    fs::write(journal_path(&path, 0), &journal).unwrap();
    let (found, damage) = read(&path);
    assert_eq!(found.len(), 60);
    assert!(damage[0].why.contains("unpack"), "{}", damage[0]);
}

#[test]
fn a_schema_of_a_million_series_is_bounded() {
    use model::{Entity, MetricName, SeriesDef, SeriesId, SeriesKey};
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let frames = frames(60, 7);
    let mut sealer = Sealer::new(&header(), 7);
    sealer.block(&frames);
    let key = |number: u32| SeriesKey { entity: Entity::Node, metric: MetricName::raw(format!("m{number}")) };
    for part in 1..5u32 {
        let defs = (0..300_000).map(|number| SeriesDef { id: SeriesId(part * 1_000_000 + number), key: key(number) });
        let payload = recorder::sections::pack(&recorder::sections::SchemaSection::new(defs.collect())).unwrap();
        let entry = recorder::sections::Entry { kind: section::SCHEMA, ..Default::default() };
        sealer.section(entry, &payload, payload.len());
    }
    sealer.close();
    fs::write(&path, &sealer.bytes).unwrap();
    assert_eq!(read(&path), (named(&frames), Vec::new()));
}

#[test]
fn a_head_whose_length_lies_costs_its_section() {
    let directory = scratch();
    let path = directory.path().join("x.gdk");
    let frames = frames(90, 7);
    let mut sealer = Sealer::new(&header(), 7);
    sealer.block(&frames[..30]);
    let place = sealer.bytes.len();
    sealer.block(&frames[30..60]);
    sealer.block(&frames[60..]);
    sealer.bytes[place + 12..place + 16].fill(0xff);
    fs::write(&path, &sealer.bytes).unwrap();
    let (found, damage) = read(&path);
    assert!(found.len() >= 60 && !damage.is_empty(), "{damage:?}");
}

#[test]
fn info_tells_of_sections_what_it_tells_of_records_and_recovery_keeps_what_can_be_read() {
    let directory = scratch();
    let frames = frames(240, 7);
    write_segments(directory.path(), &frames, 20, 3);
    let records = scratch();
    common::write(&records.path().join("x.gdk"), &frames);
    let (one, two) =
        (recorder::info(&records.path().join("x.gdk")).unwrap(), recorder::info(directory.path()).unwrap());
    assert_eq!((one.frames, one.samples, one.series), (two.frames, two.samples, two.series));
    assert_eq!((&one.frames_by_probe, &one.events_by_kind), (&two.frames_by_probe, &two.events_by_kind));
    assert_eq!((&one.first, &one.boots), (&two.first, &two.boots));
    assert_eq!((two.blocks, two.journals, two.bursts, two.closed), (12, 0, 0, true));
    assert_eq!((two.segments[1].frames, two.format.as_str()), (60, "2.0"));

    let path = directory.path().join("seg-0001.gdk");
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (found, damage) = read(directory.path());
    let recovered = recorder::recover(directory.path(), &records.path().join("saved.gdk")).unwrap();
    assert_eq!((recovered.lost.len(), damage.len()), (1, 1));
    assert!(recovered.frames >= 220 && recovered.bytes_lost < 20_000);
    assert_eq!(recovered.frames, found.len() as u64);
    assert!(recovered.lost[0].why.contains("with seq"), "{}", recovered.lost[0]);
}
