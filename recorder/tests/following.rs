//! Following a segment of sections while it grows: no Frame is lost or told twice, whatever is deleted meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod common;

use std::fs;

use common::sealed::{Sealer, journal_path};
use common::{frames, header, named};
use model::Draft;
use recorder::{Follow, Header};

fn poll(follow: &mut Follow) -> Vec<Draft> {
    let mut found = Vec::new();
    loop {
        let frames = follow.poll(7).unwrap();
        if frames.is_empty() {
            return found;
        }
        // The dictionary has every series of what was given out so far.
        found.extend(frames.iter().map(|frame| frame.named(follow.dictionary())));
    }
}

/// A recorder by hand: a segment that is locked while it is written.
struct Written {
    directory: tempfile::TempDir,
    sealer: Sealer,
    file: fs::File,
    path: std::path::PathBuf,
}

fn begin() -> Written {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seg-1.gdk");
    let sealer = Sealer::new(&Header { ordinal: 1, ..header() }, 1);
    fs::write(&path, &sealer.bytes).unwrap();
    let file = fs::File::open(&path).unwrap();
    file.lock().unwrap();
    Written { directory, sealer, file, path }
}

impl Written {
    fn flush(&self) {
        use std::io::Write;
        let there = usize::try_from(fs::metadata(&self.path).unwrap().len()).unwrap();
        fs::OpenOptions::new().append(true).open(&self.path).unwrap().write_all(&self.sealer.bytes[there..]).unwrap();
    }

    fn journal(&mut self, number: u32, frames: &[model::Frame], end: bool) {
        let bytes = self.sealer.journal(number, frames, true, end);
        // In place, as a recorder appends: whoever holds it open sees it grow.
        use std::os::unix::fs::FileExt;
        let path = journal_path(&self.path, number);
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    }
}

#[test]
fn frames_come_from_the_journal_as_they_are_written_and_from_blocks_where_it_is_gone() {
    let mut written = begin();
    let frames = frames(240, 7);
    let original = named(&frames);
    let mut follow = Follow::open(written.directory.path()).unwrap();
    assert!(poll(&mut follow).is_empty() && !follow.is_over());
    let mut found = Vec::new();
    written.journal(0, &frames[..10], false);
    found.extend(poll(&mut follow));
    assert_eq!(found.len(), 10);
    written.journal(0, &frames[..40], true);
    written.journal(1, &frames[40..45], false);
    found.extend(poll(&mut follow));
    assert_eq!(found.len(), 45);
    // Minutes pass: three journals come and go, and what is held open has grown before it was deleted.
    written.journal(1, &frames[40..80], true);
    for (number, block) in (0u32..).zip(frames[..200].chunks(40)) {
        written.sealer.block(block);
        drop(fs::remove_file(journal_path(&written.path, number)));
    }
    written.flush();
    written.journal(5, &frames[200..220], false);
    found.extend(poll(&mut follow));
    assert_eq!(found.len(), 220);
    written.journal(5, &frames[200..], true);
    written.sealer.block(&frames[200..]);
    written.sealer.close();
    written.flush();
    fs::remove_file(journal_path(&written.path, 5)).unwrap();
    found.extend(poll(&mut follow));
    assert!(found == original);
    written.file.unlock().unwrap();
    assert!(poll(&mut follow).is_empty() && follow.is_over());
}

#[test]
fn the_next_segment_follows_and_what_its_context_repeats_is_left_out() {
    let mut written = begin();
    let frames = frames(120, 7);
    let mut follow = Follow::open(written.directory.path()).unwrap();
    written.journal(0, &frames[..60], true);
    assert_eq!(poll(&mut follow).len(), 60);
    written.sealer.block(&frames[..60]);
    written.sealer.close();
    written.flush();
    written.file.unlock().unwrap();
    let mut next = written.sealer.next(&Header { ordinal: 2, ..header() }, 2);
    next.context(&frames[..60], &header().boot);
    next.block(&frames[60..]);
    next.close();
    fs::write(written.directory.path().join("seg-2.gdk"), &next.bytes).unwrap();
    assert!(poll(&mut follow) == named(&frames)[60..]);
    assert!(follow.is_over());
}
