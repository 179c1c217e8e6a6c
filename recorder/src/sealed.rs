//! Reading a segment of sections from its start to its end: its blocks, then what its journals hold beyond them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use model::{Frame, SeriesDef};
use serde::Deserialize;
use serde::de::{SeqAccess, Visitor};

use crate::block::{Block, Source};
use crate::format::section::{BLOCK, BURST, CONTEXT, DIRECTORY, SCHEMA, SECTION_BYTES};
use crate::header::End;
use crate::journals::{self, Journal, News, Told};
use crate::layout::{self, Layout, Piece, damage, seqs};
use crate::open::Damage;
use crate::schemas::Series;
use crate::sections::{self, Entry};
use crate::segment::Segment;

/// The most Frames a context may have: one for each probe and instant that something still in force was read at.
const MOST_CONTEXT_FRAMES: usize = 1 << 17;

/// Which Frames are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those of blocks.
    Blocks,
    /// Those that were read faster, around a trigger.
    Bursts,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A Frame in the ids of the segment.
    Frame(Frame),
    /// Series that Frames behind it may have.
    Declares(Vec<SeriesDef>),
    /// One of those that repeat what earlier segments told.
    Context(Frame),
    Damage(Damage),
    /// A section of a kind that this reader does not know.
    Unknown,
    /// The segment ends.
    Over(Option<End>),
}

/// One segment being read.
#[derive(Debug)]
pub(crate) struct Sealed {
    file: Arc<File>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) series: Arc<Series>,
    wanted: Wanted,
    next: usize,
    /// Where the piece read last stands.
    pub(crate) offset: u64,
    queue: VecDeque<Step>,
    news: News,
    /// Those yet to be read, the next one last; `None`: blocks come first.
    journals: Option<Vec<(u32, PathBuf)>>,
    journal: Option<Journal>,
}

impl Sealed {
    pub(crate) fn of(segment: &Segment, wanted: Wanted) -> std::io::Result<Self> {
        let (file, layout) = (segment.file()?, segment.layout()?);
        let series = segment.series(&file, &layout);
        Ok(Self {
            file,
            layout,
            series,
            wanted,
            next: 0,
            offset: segment.first_record,
            queue: VecDeque::new(),
            news: News::default(),
            journals: None,
            journal: None,
        })
    }

    /// Leaves out everything but what the journals hold beyond the blocks.
    pub(crate) fn only_journals(&mut self) {
        self.next = self.layout.pieces.len();
        self.news.sealed(self.layout.last_seq());
    }

    /// What comes next. Behind [`Step::Over`] nothing does.
    pub(crate) fn step(&mut self, segment: &Segment) -> Step {
        loop {
            if let Some(step) = self.queue.pop_front() {
                return step;
            }
            if self.journals.is_some() {
                return self.tail(segment);
            }
            let layout = Arc::clone(&self.layout);
            match layout.pieces.get(self.next) {
                Some(Piece::Damaged(damage)) => {
                    self.next += 1;
                    self.offset = damage.offset;
                    if self.wanted == Wanted::Blocks {
                        return Step::Damage(damage.clone());
                    }
                }
                Some(Piece::Section(entry)) => {
                    self.next += 1;
                    self.offset = entry.offset;
                    self.section(segment, entry);
                }
                None => self.begin_journals(segment),
            }
        }
    }

    fn section(&mut self, segment: &Segment, entry: &Entry) {
        match (entry.kind, self.wanted) {
            (BLOCK, Wanted::Blocks) | (BURST, Wanted::Bursts) => {
                self.news.sealed(entry.last_seq);
                match frames(segment, &self.file, entry, &self.series) {
                    Ok(frames) => self.queue.extend(frames.into_iter().map(Step::Frame)),
                    Err(why) => self.lost(segment, entry, why),
                }
            }
            (CONTEXT, Wanted::Blocks) => match context(segment, &self.file, entry) {
                Ok(frames) => self.queue.extend(frames.into_iter().map(Step::Context)),
                Err(why) => self.queue.push_back(Step::Damage(section_damage(segment, entry, &why))),
            },
            (SCHEMA, Wanted::Blocks) => {
                let found = self.series.damage.iter().find(|damage| damage.offset == entry.offset).cloned();
                self.queue.extend(found.map(Step::Damage));
            }
            (BLOCK | BURST | CONTEXT | SCHEMA | DIRECTORY, _) => {}
            // One that tells something no other section tells is marked so, and is then missing.
            (_, Wanted::Blocks) => self.queue.push_back(match layout::checked(segment, &self.file, entry) {
                Ok(_) => Step::Unknown,
                Err(why) => Step::Damage(section_damage(segment, entry, &why)),
            }),
            (_, Wanted::Bursts) => {}
        }
    }

    /// A block that cannot be read, and what a journal still holds of it.
    fn lost(&mut self, segment: &Segment, entry: &Entry, why: String) {
        let mut found = section_damage(segment, entry, &why);
        let range = entry.first_seq..=entry.last_seq;
        let mut saved = Vec::new();
        if entry.last_seq > 0 {
            for (_, path) in journals::list(&segment.path) {
                let Ok(mut journal) = Journal::open(&path, segment.id) else { continue };
                while let told @ (Told::Frame(_) | Told::Context(_)) = journal.next() {
                    if let Told::Frame(frame) = told
                        && range.contains(&frame.seq)
                        && frame.burst == (self.wanted == Wanted::Bursts)
                    {
                        saved.push(frame);
                    }
                }
            }
        }
        if !saved.is_empty() {
            found.why = format!("{}; {} of them were found in a journal", found.why, saved.len());
        }
        self.queue.push_back(Step::Damage(found));
        self.queue.extend(saved.into_iter().map(Step::Frame));
    }

    /// The blocks are read: what do the journals hold beyond them?
    fn begin_journals(&mut self, segment: &Segment) {
        let closed = self.layout.directory.is_some();
        let mut paths = if closed { Vec::new() } else { journals::list(&segment.path) };
        if let Some(torn) = self.layout.torn.clone()
            && self.wanted == Wanted::Blocks
            && !segment.is_live()
        {
            // A recorder that was killed while it sealed a block: the journals still hold all of it.
            let first = paths.first().and_then(|(_, path)| Journal::open(path, segment.id).ok()).and_then(first_seq);
            if first.is_none_or(|first| first > self.news.last_seq.saturating_add(1)) {
                self.queue.push_back(Step::Damage(torn));
            }
        }
        paths.reverse();
        self.journals = Some(paths);
    }

    fn tail(&mut self, segment: &Segment) -> Step {
        loop {
            let Some(journal) = &mut self.journal else {
                let Some((_, path)) = self.journals.as_mut().and_then(Vec::pop) else {
                    return Step::Over(end(&self.layout));
                };
                match Journal::open(&path, segment.id) {
                    Ok(journal) => self.journal = Some(journal),
                    Err(_) if !path.exists() || self.wanted == Wanted::Bursts || segment.is_live() => {}
                    Err(why) => {
                        let bytes_lost = path.metadata().map_or(0, |metadata| metadata.len());
                        let segment = path.display().to_string();
                        return Step::Damage(Damage { segment, offset: 0, why, bytes_lost });
                    }
                }
                continue;
            };
            let why = match journal.next() {
                Told::Frame(frame) if frame.burst == (self.wanted == Wanted::Bursts) && self.news.take(&frame) => {
                    return Step::Frame(frame);
                }
                // Series that Frames behind it have.
                Told::Frame(frame) | Told::Context(frame) if !frame.declares.is_empty() => {
                    return Step::Declares(frame.declares);
                }
                Told::Frame(_) | Told::Context(_) => continue,
                Told::End | Told::Nothing { torn: None } => None,
                Told::Nothing { torn: Some(_) } if segment.is_live() => None,
                Told::Nothing { torn: Some(why) } => {
                    Some(format!("the file ends in the middle of a record: {why} are there"))
                }
                Told::Broken(why) => Some(why),
            };
            let Some(journal) = self.journal.take() else { continue };
            if let Some(why) = why.filter(|_| self.wanted == Wanted::Blocks) {
                let segment = journal.path.display().to_string();
                return Step::Damage(Damage { segment, offset: journal.offset(), why, bytes_lost: journal.rest() });
            }
        }
    }
}

fn first_seq(mut journal: Journal) -> Option<u64> {
    loop {
        match journal.next() {
            Told::Frame(frame) => return Some(frame.seq),
            Told::Context(_) => {}
            _ => return None,
        }
    }
}

pub(crate) fn end(layout: &Layout) -> Option<End> {
    let directory = layout.directory.as_ref()?;
    Some(End {
        frames: directory.frames,
        samples: directory.samples,
        events: directory.events,
        lost: directory.lost,
        first: directory.first,
        last: directory.last,
    })
}

/// The damage of a section that cannot be read.
pub(crate) fn section_damage(segment: &Segment, entry: &Entry, why: &str) -> Damage {
    let bytes = entry.length.saturating_add(SECTION_BYTES as u64);
    damage(segment, entry.offset, format!("{why}{}", seqs(entry)), bytes)
}

/// The Frames of a block or burst.
pub(crate) fn frames(segment: &Segment, file: &File, entry: &Entry, series: &Series) -> Result<Vec<Frame>, String> {
    block(segment, file, entry, series)?.frames().map_err(|bad| bad.to_string())
}

/// A block or burst.
pub(crate) fn block(segment: &Segment, file: &File, entry: &Entry, series: &Series) -> Result<Block, String> {
    let (payload, checked) = layout::payload(segment, file, entry)?;
    Block::open(payload, checked, &series.schema).map_err(|bad| bad.to_string())
}

/// A block of which only what is asked for is read.
pub(crate) fn lazy(segment: &Segment, file: &Arc<File>, entry: &Entry, series: &Series) -> Result<Block, String> {
    let checked = layout::checked(segment, file, entry)?;
    let from = entry.offset.saturating_add(SECTION_BYTES as u64);
    let part = Part { file: Arc::clone(file), from, length: entry.length };
    Block::lazy(&checked, entry.length, Box::new(part), &series.schema).map_err(|bad| bad.to_string())
}

/// A payload in its file.
struct Part {
    file: Arc<File>,
    from: u64,
    length: u64,
}

impl Source for Part {
    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let end = offset.checked_add(u64::try_from(length).unwrap_or(u64::MAX));
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, self.from.saturating_add(offset))?;
        Ok(bytes)
    }
}

/// The Frames of a context.
pub(crate) fn context(segment: &Segment, file: &File, entry: &Entry) -> Result<Vec<Frame>, String> {
    let (payload, _) = layout::payload(segment, file, entry)?;
    let Few(frames) = sections::unpack(&payload).map_err(|error| format!("its context is damaged: {error}"))?;
    Ok(frames)
}

/// A list of Frames of bounded length.
struct Few(Vec<Frame>);

impl<'de> Deserialize<'de> for Few {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Frames;
        impl<'de> Visitor<'de> for Frames {
            type Value = Few;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of Frames")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few, A::Error> {
                let mut frames = Vec::new();
                while let Some(frame) = list.next_element()? {
                    if frames.len() >= MOST_CONTEXT_FRAMES {
                        return Err(serde::de::Error::custom("more Frames than a context has"));
                    }
                    frames.push(frame);
                }
                Ok(Few(frames))
            }
        }
        deserializer.deserialize_seq(Frames)
    }
}
