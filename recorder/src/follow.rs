//! Reading a recording that grows: each poll gives the Frames that have become complete since the last.
//!
//! Nothing here waits or reads a clock: the caller decides when to look again.

use std::path::{Path, PathBuf};

use model::{Dictionary, Frame, Stamp};

use crate::growing::Growing;
use crate::open::{Damage, OpenError, Recording, segment_paths};
use crate::reader::{Buffered, Link, Oddities, Place, Stream, Told};
use crate::sealed::Step;
use crate::segment::Segment;

/// Follows a segment, or a directory from its first segment to whatever comes next.
#[derive(Debug)]
pub struct Follow {
    /// Where the next segments appear, if they do.
    directory: Option<PathBuf>,
    /// Segments already there and not yet read, the next one last.
    ahead: Vec<Segment>,
    segment: Segment,
    place: Place,
    buffered: Buffered,
    stream: Stream,
    /// The current segment, if it consists of sections.
    growing: Option<Growing>,
    /// The current segment goes on where one ended that was read whole.
    goes_on: bool,
    /// Damage to be told at the next poll.
    pending: Option<Damage>,
    /// The current segment had no damage so far.
    whole: bool,
    /// Nothing more is to be expected of the current segment.
    over: bool,
}

impl Follow {
    /// Starts at the beginning of a recording.
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let directory = path.is_dir().then(|| path.to_owned());
        let mut ahead = Recording::open(path)?.into_segments();
        ahead.reverse();
        let segment = ahead.pop().expect("a recording that opened has a segment");
        let place = Place::first_of(&segment);
        let (buffered, stream) = (Buffered::default(), Stream::default());
        let growing = growing(&segment);
        let (goes_on, whole, over) = (false, true, false);
        Ok(Self { directory, ahead, segment, place, buffered, stream, growing, goes_on, pending: None, whole, over })
    }

    /// Starts with the segment of a directory in which an instant lies; what was in force at its start comes first. Where the
    /// instant or a segment's beginning has no wall clock, at the beginning of the recording.
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub fn open_since(path: &Path, since: Stamp) -> Result<Self, OpenError> {
        let mut follow = Self::open(path)?;
        let is_before = |next: &Segment| matches!((next.header.created.real_ns, since.real_ns), (Some(one), Some(other)) if one <= other);
        while follow.ahead.last().is_some_and(is_before)
            && let Some(next) = follow.ahead.pop()
        {
            follow.place = Place::first_of(&next);
            follow.segment = next;
        }
        Ok(follow)
    }

    /// The series of the stream so far.
    pub fn dictionary(&self) -> &Dictionary {
        self.stream.numbering.dictionary()
    }

    /// What was met beside Frames so far.
    pub fn oddities(&self) -> &Oddities {
        &self.stream.oddities
    }

    /// The segment being read.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Whether everything was read and no recorder is writing: what comes later is another recording.
    pub fn is_over(&self) -> bool {
        self.ahead.is_empty() && (self.over || !self.segment.is_live())
    }

    /// The next Frames, at most so many; none: nothing new is complete.
    ///
    /// # Errors
    /// The current segment cannot be read any further. Reported once; the segments behind it follow.
    pub fn poll(&mut self, most: usize) -> Result<Vec<Frame>, Damage> {
        if let Some(damage) = self.pending.take() {
            return Err(damage);
        }
        let mut frames = Vec::new();
        while frames.len() < most {
            if self.over && !self.next_segment() {
                break;
            }
            if self.growing.is_some() {
                match self.section() {
                    Some(Ok(frame)) => frames.push(frame),
                    // What was read before the damage comes first.
                    Some(Err(damage)) if frames.is_empty() => return Err(damage),
                    Some(Err(damage)) => {
                        self.pending = Some(damage);
                        return Ok(frames);
                    }
                    None if self.over => {}
                    // A recorder that was killed closes nothing; its successor begins another segment.
                    None if self.segment.is_live() || !self.next_segment() => break,
                    None => {}
                }
                continue;
            }
            match self.buffered.link(&self.segment, self.place) {
                Link::Record { kind, flags, payload, next } => match self.stream.take(kind, flags, &payload) {
                    Ok(told) => {
                        self.place = next;
                        match told {
                            // What a context repeats does no harm, and what was missed before it is made good.
                            Told::Frame(frame) | Told::Context(frame) => frames.push(frame),
                            Told::End(_) => self.over = true,
                            Told::Nothing => {}
                        }
                    }
                    Err(why) => return self.damaged(frames, why),
                },
                Link::Nothing | Link::Partial { .. } => {
                    // A recorder that was killed writes no end; its successor begins another segment.
                    if self.segment.is_live() || !self.next_segment() {
                        break;
                    }
                }
                Link::Broken { why } => return self.damaged(frames, why),
            }
        }
        Ok(frames)
    }

    /// What comes next in a segment of sections; `None`: nothing at present.
    fn section(&mut self) -> Option<Result<Frame, Damage>> {
        let live = self.segment.is_live();
        loop {
            let growing = self.growing.as_mut()?;
            let step = growing.step(&self.segment, live)?;
            self.stream.numbering.ahead(&growing.series.schema);
            let taken = match step {
                Step::Frame(frame) => self.stream.sealed(frame).map(Some),
                // What a context repeats is known to whoever read all before it.
                Step::Context(_) if self.goes_on => Ok(None),
                Step::Context(frame) => self.stream.sealed(frame).map(Some),
                Step::Declares(declares) => self.stream.declares(declares).map(|()| None),
                Step::Damage(damage) => {
                    self.whole = false;
                    return Some(Err(damage));
                }
                Step::Unknown => Ok(None),
                Step::Over(_) => {
                    self.over = true;
                    return None;
                }
            };
            match taken {
                Ok(None) => {}
                Ok(Some(frame)) => return Some(Ok(frame)),
                Err(why) => {
                    (self.over, self.whole) = (true, false);
                    let (segment, offset) = (self.segment.path.display().to_string(), self.segment.first_record);
                    return Some(Err(Damage { segment, offset, why, bytes_lost: self.segment.bytes() - offset }));
                }
            }
        }
    }

    /// What was read before the damage comes first, the damage at the next poll.
    fn damaged(&mut self, frames: Vec<Frame>, why: String) -> Result<Vec<Frame>, Damage> {
        if !frames.is_empty() {
            return Ok(frames);
        }
        self.over = true;
        self.whole = false;
        let bytes_lost = self.segment.bytes().saturating_sub(self.place.offset);
        Err(Damage { segment: self.segment.path.display().to_string(), offset: self.place.offset, why, bytes_lost })
    }

    /// Goes on to the segment behind the current one, if there is one.
    fn next_segment(&mut self) -> bool {
        if self.ahead.is_empty()
            && let Some(paths) = self.directory.as_deref().and_then(|directory| segment_paths(directory).ok())
        {
            let behind = self.segment.header.ordinal;
            self.ahead = paths.iter().filter_map(|path| Segment::open(path, false).ok()).collect();
            self.ahead.retain(|segment| segment.header.ordinal > behind);
            self.ahead.sort_by_key(|segment| std::cmp::Reverse(segment.header.ordinal));
        }
        let Some(next) = self.ahead.pop() else { return false };
        self.place = Place::first_of(&next);
        self.goes_on = self.over && self.whole && self.segment.header.ordinal + 1 == next.header.ordinal;
        self.whole = true;
        self.growing = growing(&next);
        self.segment = next;
        self.buffered = Buffered::default();
        drop(self.stream.numbering.next_source());
        self.over = false;
        true
    }
}

/// For following a segment of sections; one that cannot be opened again has nothing to follow.
fn growing(segment: &Segment) -> Option<Growing> {
    if segment.has_sections() { Growing::of(segment).ok() } else { None }
}
