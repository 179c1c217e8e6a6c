//! What the writer thread puts into the journal, and what a journal or a segment must be told first.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use model::{Dictionary, Draft, Frame, SeriesDef, SeriesId, Stamp};

use super::held;
use super::writer::{Source, WriterThread};
use crate::journal_file::JournalFile;
use crate::sections::JournalHeader;
use crate::segment_file::beside;
use crate::sync::{Needed, Syncer};
use crate::writer::RECORDER;

impl WriterThread {
    /// What is in force: the inventory, and the last reading of every series under its own probe and instant.
    pub(super) fn context(&self, at: Stamp) -> Vec<Frame> {
        let mut own = Draft::new(RECORDER, at);
        own.boot = self.boot.clone();
        own.entities = self.inventory.iter().cloned().collect();
        let mut frames = vec![own.seal(&mut Dictionary::default())];
        let mut read: HashMap<Source, Vec<model::frame::Sample>> = HashMap::new();
        let mut ids: Vec<_> = self.latest.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some((source, reading)) = self.latest.get(&id) {
                read.entry(Arc::clone(source)).or_default().push((id, reading.clone()));
            }
        }
        let mut read: Vec<_> = read.into_iter().collect();
        read.sort_by(|(one, _), (two, _)| (one.2.axis_ns(), &one.0).cmp(&(two.2.axis_ns(), &two.0)));
        for (source, samples) in read {
            let mut draft = Draft::new(source.0.clone(), source.2);
            draft.boot = source.1.clone();
            frames.push(Frame { samples, ..draft.seal(&mut Dictionary::default()) });
        }
        frames
    }

    /// Writes Frames into the journal, or keeps them in the open block only.
    pub(super) fn journal_all(&mut self, batch: &mut Vec<Frame>) {
        let frames = std::mem::take(batch);
        if frames.is_empty() {
            return;
        }
        let count = u64::try_from(frames.len()).unwrap_or(u64::MAX);
        let event = frames.iter().any(|frame| !frame.events.is_empty());
        match self.journal_these(frames, event) {
            Ok(()) => {
                if self.unprotected > 0 {
                    // What no journal took while the disk took nothing is in the open block.
                    self.seal();
                }
                let mut health = held(&self.store.shared.health);
                health.frames += count;
                (health.stalled, health.waiting) = (None, 0);
                if let Some(syncer) = &self.syncer {
                    (health.syncs, health.sync_error) = syncer.report();
                }
            }
            Err(error) => {
                self.journal = None;
                self.unprotected += count;
                self.stalled(&error);
            }
        }
    }

    pub(super) fn journal_these(&mut self, frames: Vec<Frame>, event: bool) -> io::Result<()> {
        let invalid = |error| io::Error::new(ErrorKind::InvalidInput, error);
        if self.segment.as_ref().is_some_and(|segment| !segment.on_disk.is_named().unwrap_or(true)) {
            // Somebody deleted the recording: what follows goes into another segment, in a directory made anew.
            self.store.disk.create_dir(&self.store.directory)?;
            self.journal = None;
            let at = frames.first().map_or(self.began, |frame| frame.at);
            self.begin_segment(at)?;
        }
        if self.journal.is_none() {
            self.begin_journal(&frames)?;
        }
        let mut wires = Vec::with_capacity(frames.len());
        for mut frame in frames {
            let used = frame.declares.iter().map(|def| def.id).chain(frame.samples.iter().map(|(id, _)| *id));
            let new: Vec<SeriesId> = used.filter(|id| self.declared.insert(*id)).collect();
            let key = |id: SeriesId| Some(SeriesDef { id, key: self.numbering.dictionary().key(id)?.clone() });
            frame.declares = new.into_iter().filter_map(key).collect();
            wires.push(frame.to_wire().map_err(invalid)?);
        }
        let bytes: usize = wires.iter().map(Vec::len).sum();
        self.store.room(u64::try_from(bytes).unwrap_or(u64::MAX))?;
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.append(&wires)?;
        if let Some(syncer) = &self.syncer {
            syncer.wrote(event);
        }
        Ok(())
    }

    pub(super) fn begin_journal(&mut self, frames: &[Frame]) -> io::Result<()> {
        let Some(segment) = &self.segment else { return Err(io::Error::other("there is no segment")) };
        let (path, id) = (segment.path.clone(), segment.id);
        let at = frames.first().map_or(self.began, |frame| frame.at);
        let (number, boot) = (self.number, self.boot.clone());
        let header = JournalHeader { segment: id.to_string(), number, boot: boot.clone(), created: at };
        let mut draft = Draft::new(RECORDER, at);
        draft.boot = boot;
        draft.entities = self.inventory.iter().cloned().collect();
        let mut context = draft.seal(&mut Dictionary::default());
        context.declares = self.numbering.dictionary().defs();
        self.store.room(1 << 16)?;
        let journal =
            JournalFile::create(&self.store.disk, &beside(&path, &format!("j{number:06}")), &header, &[context])?;
        self.number += 1;
        self.declared = self.numbering.dictionary().defs().iter().map(|def| def.id).collect();
        // A journal means nothing without the header of its segment.
        let (disk, directory, header) =
            (Arc::clone(&self.store.disk), self.store.directory.clone(), Arc::clone(&segment.on_disk));
        let needed: Needed = Box::new(move || header.sync().and_then(|()| disk.sync_dir(&directory)));
        self.syncer = Some(Syncer::start(self.options.sync, Arc::clone(&journal.file), Some(needed))?);
        self.journals.push(journal.path.clone());
        self.journal = Some(journal);
        Ok(())
    }

    pub(super) fn pin(&self, why: &str) {
        let Some(segment) = &self.segment else { return };
        let path = beside(&segment.path, "pin");
        // One that is pinned already stays so.
        if let Ok(file) = self.store.disk.create(&path) {
            drop(file.put_at(why.as_bytes(), 0));
        }
    }
}
