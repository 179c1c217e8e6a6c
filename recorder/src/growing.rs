//! Following one segment of sections while it is written: its journals as they grow, and its blocks where a journal was
//! deleted before it was read.
//!
//! A journal is deleted only when its Frames stand in a block. So the next journal is opened first and the blocks are
//! looked at afterwards: what lies before that journal is in them by then. Sequence numbers tell what is known already.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use crate::format::section::{BLOCK, CONTEXT, SCHEMA};
use crate::journals::{self, Journal, News, Told};
use crate::layout::{Layout, Piece};
use crate::open::Damage;
use crate::schemas::{self, Series};
use crate::sealed::{self, Step};
use crate::sections::Entry;
use crate::segment::Segment;

/// One segment, followed.
#[derive(Debug)]
pub(crate) struct Growing {
    file: Arc<File>,
    layout: Layout,
    next: usize,
    pub(crate) series: Arc<Series>,
    schemas: schemas::Cache,
    queue: VecDeque<Step>,
    news: News,
    journal: Option<Journal>,
    /// The journal read last; none up to it is read again.
    finished: Option<u32>,
    torn_told: bool,
}

impl Growing {
    pub(crate) fn of(segment: &Segment) -> std::io::Result<Self> {
        Ok(Self {
            file: segment.file()?,
            layout: Layout { end: segment.first_record, ..Layout::default() },
            next: 0,
            series: Arc::default(),
            schemas: schemas::Cache::default(),
            queue: VecDeque::new(),
            news: News::default(),
            journal: None,
            finished: None,
            torn_told: false,
        })
    }

    /// What has become complete since the last time; `None`: nothing.
    pub(crate) fn step(&mut self, segment: &Segment, live: bool) -> Option<Step> {
        loop {
            if let Some(step) = self.queue.pop_front() {
                return Some(step);
            }
            let Some(journal) = &mut self.journal else {
                self.journal = self.next_journal(segment);
                self.sections(segment);
                if !self.queue.is_empty() || self.journal.is_some() {
                    continue;
                }
                if self.layout.directory.is_some() {
                    return Some(Step::Over(sealed::end(&self.layout)));
                }
                let torn = self.layout.torn.clone().filter(|_| !live && !self.torn_told && self.finished.is_none());
                self.torn_told |= torn.is_some();
                return torn.map(Step::Damage);
            };
            match journal.next() {
                Told::Frame(frame) if !frame.burst && self.news.take(&frame) => {
                    return Some(Step::Frame(frame));
                }
                Told::Frame(frame) | Told::Context(frame) if !frame.declares.is_empty() => {
                    return Some(Step::Declares(frame.declares));
                }
                Told::Frame(_) | Told::Context(_) => {}
                Told::End => self.finish(),
                Told::Nothing { .. } => {
                    if live && !self.has_successor(segment) {
                        return None;
                    }
                    self.read_out();
                }
                Told::Broken(why) => {
                    let (offset, bytes_lost) = (journal.offset(), journal.rest());
                    let segment = journal.path.display().to_string();
                    self.queue.push_back(Step::Damage(Damage { segment, offset, why, bytes_lost }));
                    self.finish();
                }
            }
        }
    }

    fn finish(&mut self) {
        self.finished = self.journal.take().map(|journal| journal.number).max(self.finished);
    }

    fn has_successor(&self, segment: &Segment) -> bool {
        let this = self.journal.as_ref().map(|journal| journal.number);
        journals::list(&segment.path).last().map(|(number, _)| *number) > this
    }

    /// A journal without an end whose recorder has gone on or is gone: what came between our last look and its successor.
    fn read_out(&mut self) {
        let Some(mut journal) = self.journal.take() else { return };
        self.finished = Some(journal.number).max(self.finished);
        while let told @ (Told::Frame(_) | Told::Context(_)) = journal.next() {
            match told {
                Told::Frame(frame) if !frame.burst && self.news.take(&frame) => {
                    self.queue.push_back(Step::Frame(frame));
                }
                Told::Frame(frame) | Told::Context(frame) => self.queue.push_back(Step::Declares(frame.declares)),
                _ => {}
            }
        }
    }

    /// The first journal behind the one read last. One that was deleted meanwhile is in a block.
    fn next_journal(&self, segment: &Segment) -> Option<Journal> {
        let ahead = journals::list(&segment.path).into_iter().filter(|(number, _)| Some(*number) > self.finished);
        ahead.filter_map(|(_, path)| Journal::open(&path, segment.id).ok()).next()
    }

    /// What the sections say that have become complete.
    fn sections(&mut self, segment: &Segment) {
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        let known = self.layout.pieces.len();
        self.layout.walk(segment, &self.file, length);
        if self.layout.pieces.len() > known {
            let before = Some(Arc::clone(&self.series));
            self.series = schemas::read(segment, &self.file, &self.layout, before, &self.schemas);
        }
        while let Some(piece) = self.layout.pieces.get(self.next).cloned() {
            self.next += 1;
            match piece {
                Piece::Damaged(damage) => self.queue.push_back(Step::Damage(damage)),
                Piece::Section(entry) => self.section(segment, &entry),
            }
        }
    }

    fn section(&mut self, segment: &Segment, entry: &Entry) {
        let damaged = |why: String| Step::Damage(sealed::section_damage(segment, entry, &why));
        match entry.kind {
            // Of blocks whose Frames have no numbers all are taken.
            BLOCK if entry.last_seq > self.news.last_seq || entry.last_seq == 0 => {
                match sealed::frames(segment, &self.file, entry, &self.series) {
                    Ok(frames) => {
                        let last = self.news.last_seq;
                        let new = frames.into_iter().filter(|frame| frame.seq > last || frame.seq == 0);
                        self.queue.extend(new.map(Step::Frame));
                    }
                    Err(why) => self.queue.push_back(damaged(why)),
                }
                self.news.sealed(entry.last_seq);
            }
            CONTEXT => match sealed::context(segment, &self.file, entry) {
                Ok(frames) => self.queue.extend(frames.into_iter().map(Step::Context)),
                Err(why) => self.queue.push_back(damaged(why)),
            },
            SCHEMA => {
                let found = self.series.damage.iter().find(|damage| damage.offset == entry.offset).cloned();
                self.queue.extend(found.map(Step::Damage));
            }
            _ => {}
        }
    }
}
