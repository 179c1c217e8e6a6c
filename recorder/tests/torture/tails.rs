//! The files that a killed recorder leaves, damaged: cut off, with stale, zero and random tails, with flipped bits.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use model::Draft;
use recorder::format::section::{SCHEMA, SECTION_BYTES, Section, section};
use recorder::live::{Options, Recorder};
use recorder::{OpenError, Sync};

use crate::common::{Dice, S, frames, header};
use crate::{check_but, options, originals, rounds, scratch};

type Files = BTreeMap<String, Vec<u8>>;
const SEGMENT: &str = "x.gdk";
const FRAMES: u64 = 330;

/// What a recorder leaves that is killed after 110 s: blocks of 20 s, the journals of the last minute, the open one.
fn killed() -> (Files, BTreeMap<u64, Draft>) {
    let directory = scratch();
    let options = Options { block_ns: 20 * S, ..options(Sync::Off) };
    let recorder = Recorder::start(&directory.path().join(SEGMENT), &header(), options).unwrap();
    let frames = frames(FRAMES, 11);
    for frame in &frames {
        assert!(recorder.append(Arc::new(frame.clone())));
        recorder.flush();
    }
    // What was to be sealed by then is.
    std::thread::sleep(Duration::from_millis(1500));
    let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    let files: Files = fs::read_dir(directory.path()).unwrap().map(|entry| read(entry.unwrap())).collect();
    std::mem::forget(recorder);
    assert!(files.len() > 3 && !files.contains_key("x.gdk.j000000"), "{:?}", files.keys());
    (files, originals(&frames))
}

/// The numbers of the Frames that damaged files give, all of them right.
fn found(files: &Files, originals: &BTreeMap<u64, Draft>) -> Result<Vec<u64>, OpenError> {
    found_but(files, originals, false)
}

fn found_but(files: &Files, originals: &BTreeMap<u64, Draft>, nameless: bool) -> Result<Vec<u64>, OpenError> {
    let directory = scratch();
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    check_but(&directory.path().join(SEGMENT), originals, nameless).map(|(seqs, _)| seqs)
}

fn is_clear(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::TornHeader { .. } | OpenError::NotOurs { .. } | OpenError::Empty { .. } | OpenError::Newer { .. }
    )
}

/// Where the first section stands, and all of them.
fn sections(bytes: &[u8]) -> (usize, Vec<(usize, Section)>) {
    let first = 36 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize + 4;
    let checksum = u32::from_le_bytes(bytes[first - 4..first].try_into().unwrap());
    let (mut at, mut all) = (first, Vec::new());
    while let Some(head) = bytes.get(at..at + SECTION_BYTES) {
        let told = section(checksum, at as u64, head.try_into().unwrap()).unwrap();
        all.push((at, told));
        at += SECTION_BYTES + told.length;
    }
    assert_eq!(at, bytes.len());
    (first, all)
}

fn missing(seqs: &[u64]) -> Vec<u64> {
    (1..=FRAMES).filter(|seq| seqs.binary_search(seq).is_err()).collect()
}

#[test]
fn whatever_stands_behind_a_cut_of_the_journal_exactly_what_stood_before_it_is_read() {
    let (files, originals) = killed();
    let (last, journal) = files.iter().next_back().map(|(name, bytes)| (name.clone(), bytes.clone())).unwrap();
    let (_, sections) = sections(&files[SEGMENT]);
    let sealed = sections.iter().map(|(_, section)| section.seqs.1).max().unwrap();
    let with = |bytes: Vec<u8>| {
        let mut files = files.clone();
        files.insert(last.clone(), bytes);
        let seqs = found(&files, &originals).unwrap();
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "Frames are missing in between");
        seqs.len() as u64
    };
    let mut dice = Dice(77);
    let most = rounds(250, u64::MAX).min(journal.len() as u64) as usize;
    let (mut before, mut ends, mut cuts, mut tails) = (FRAMES, Vec::new(), 0, 0);
    for cut in (journal.len() - most..=journal.len()).rev() {
        let whole = with(journal[..cut].to_vec());
        assert!(whole == before || whole + 1 == before, "cut at {cut}: {whole} Frames, {before} a byte later");
        if whole + 1 == before {
            ends.push(cut + 1);
        }
        before = whole;
        cuts += 1;
        if cut % rounds(5, 1) as usize != 0 || cut == journal.len() {
            continue;
        }
        let from = ends[dice.roll(ends.len() as u64) as usize];
        let behind = match cut % 4 {
            0 => vec![0; dice.roll(300) as usize],
            1 => (0..dice.roll(300)).map(|_| dice.roll(256) as u8).collect(),
            // Its own records from elsewhere, whole: pages that a power cut brought back.
            2 => journal[from.min(journal.len() - 1)..].to_vec(),
            _ => journal[dice.roll(cut as u64 + 1) as usize..cut].to_vec(),
        };
        let torn = [&journal[..cut], &behind].concat();
        // Where the tail happens to go on as the journal did, more of it is right.
        let same = torn.iter().zip(&journal).take_while(|(one, two)| one == two).count();
        let more = ends.iter().filter(|end| **end > cut && **end <= same).count() as u64;
        assert_eq!(with(torn), whole + more, "a tail of kind {} behind {cut}", cut % 4);
        tails += 1;
    }
    if most == journal.len() {
        assert_eq!(before, sealed, "without its journal a recording ends with its last block");
    }
    println!("{cuts} cuts of a journal of {} bytes, {tails} with something behind them", journal.len());
}

#[test]
fn a_segment_cut_anywhere_behind_its_header_opens_and_loses_nothing_in_front_of_the_cut() {
    let (files, originals) = killed();
    let segment = files[SEGMENT].clone();
    let (first, sections) = sections(&segment);
    let step = rounds(segment.len() as u64 / 120, 1) as usize;
    let mut cuts = 0;
    for cut in (0..=segment.len()).step_by(step) {
        let mut files = files.clone();
        files.insert(SEGMENT.to_owned(), segment[..cut].to_vec());
        let whole = sections.iter().filter(|(at, section)| at + SECTION_BYTES + section.length <= cut);
        let sealed = whole.map(|(_, section)| section.seqs.1).max().unwrap_or(0);
        match found(&files, &originals) {
            Ok(seqs) => {
                assert!(cut >= first, "a cut at {cut} within the header opened");
                assert!(missing(&seqs).iter().all(|seq| *seq > sealed), "cut at {cut}: a Frame in front of it is lost");
                assert_eq!(seqs.last(), Some(&FRAMES), "cut at {cut}: the journals are not read");
            }
            Err(error) => assert!(cut < first && is_clear(&error), "cut at {cut}: {error}"),
        }
        cuts += 1;
    }
    println!("{cuts} cuts of a segment of {} bytes", segment.len());
}

#[test]
fn a_flipped_bit_loses_one_section_at_most_and_never_tells_a_wrong_frame() {
    let (files, originals) = killed();
    let (first, sections) = sections(&files[SEGMENT]);
    let sealed = sections.iter().map(|(_, section)| section.seqs.1).max().unwrap();
    let total: usize = files.values().map(Vec::len).sum();
    let mut dice = Dice(4242);
    let (mut refused, mut losing, mut schema) = (0, 0, 0);
    let rounds = rounds(300, 10_000);
    for _ in 0..rounds {
        let mut bit = dice.roll(total as u64 * 8) as usize;
        let mut files = files.clone();
        let hit = files.iter().find(|(_, bytes)| {
            let here = bit < bytes.len() * 8;
            bit -= if here { 0 } else { bytes.len() * 8 };
            here
        });
        let name = hit.unwrap().0.clone();
        files.get_mut(&name).unwrap()[bit / 8] ^= 1 << (bit % 8);
        let section = sections.iter().rev().find(|(at, _)| *at <= bit / 8).map(|(_, section)| section);
        let section = section.filter(|_| name == SEGMENT);
        let is_schema = section.is_some_and(|section| section.kind == SCHEMA);
        schema += usize::from(is_schema);
        let seqs = match found_but(&files, &originals, is_schema) {
            Ok(seqs) => seqs,
            Err(error) => {
                assert!(name == SEGMENT && bit / 8 < first && is_clear(&error), "{name}, bit {bit}: {error}");
                refused += 1;
                continue;
            }
        };
        let missing = missing(&seqs);
        losing += usize::from(!missing.is_empty());
        let told = format!("{name}, bit {bit}: {missing:?} are lost");
        if name == SEGMENT {
            let section = section.unwrap_or_else(|| panic!("a flip in the header opened; {told}"));
            assert!(missing.iter().all(|seq| (section.seqs.0..=section.seqs.1).contains(seq)), "{told}");
        } else {
            // Only the open journal holds what no block does.
            assert!(missing.iter().all(|seq| *seq > sealed), "{told}");
        }
    }
    println!("{rounds} flips: {refused} refused (header), {schema} in a schema, {losing} lose Frames");
}
