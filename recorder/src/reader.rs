//! Frames out of the segments of a recording: of records along their chain, and of sections.

use model::{Dictionary, Frame, SeriesDef, SeriesId};

use crate::format;
use crate::header::End;
use crate::numbering::{Meanings, Numbering};
use crate::open::Damage;
use crate::sealed::{self, Sealed, Step, Wanted};
use crate::segment::Segment;

mod links;

pub(crate) use links::{Buffered, Link, Place};

/// What was met beside Frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Records of kinds that this reader does not know, skipped.
    pub unknown_records: u64,
    /// Intact records whose Frame could not be understood, skipped: a newer writer's.
    pub unreadable_frames: u64,
    /// What was wrong with the last of those.
    pub why: Option<String>,
    /// Samples of series that were not declared, left out.
    pub undeclared_samples: u64,
}

/// What a record told.
#[derive(Debug)]
pub(crate) enum Told {
    Frame(Frame),
    Context(Frame),
    End(End),
    Nothing,
}

/// Records turned into one continuous stream of Frames, whatever segments they come from.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) numbering: Numbering,
    pub(crate) oddities: Oddities,
}

impl Stream {
    /// Takes in a record. `Err`: a reader must not go on behind it.
    pub(crate) fn take(&mut self, kind: u8, flags: u8, payload: &[u8]) -> Result<Told, String> {
        if !format::is_known(kind, flags) {
            if flags & format::INCOMPATIBLE != 0 {
                return Err(format!("a record (kind {kind}, flags {flags:#04x}) that only a newer gpudeck can read"));
            }
            self.oddities.unknown_records += 1;
            return Ok(Told::Nothing);
        }
        if kind == format::END {
            return Ok(rmp_serde::from_slice(payload).map_or(Told::Nothing, Told::End));
        }
        match Frame::from_wire(payload) {
            Ok(frame) => {
                if let Some(def) = self.numbering.contradiction(&frame) {
                    return Err(twice(def.id));
                }
                let frame = self.read(frame);
                Ok(if kind == format::CONTEXT { Told::Context(frame) } else { Told::Frame(frame) })
            }
            Err(error) => {
                self.oddities.unreadable_frames += 1;
                self.oddities.why = Some(error.to_string());
                Ok(Told::Nothing)
            }
        }
    }
}

impl Stream {
    fn read(&mut self, frame: Frame) -> Frame {
        let (frame, left_out) = self.numbering.read(frame);
        self.oddities.undeclared_samples += left_out;
        frame
    }

    /// Takes in series that are declared when they are first read.
    pub(crate) fn declares(&mut self, declares: Vec<SeriesDef>) -> Result<(), String> {
        self.numbering.ahead_beside(declares).map_err(|def| twice(def.id))
    }

    /// Takes in a Frame of a segment of sections or of its journals.
    pub(crate) fn sealed(&mut self, mut frame: Frame) -> Result<Frame, String> {
        self.declares(std::mem::take(&mut frame.declares))?;
        Ok(self.read(frame))
    }
}

fn twice(id: SeriesId) -> String {
    format!("series {} is declared a second time, as another one", id.0)
}

/// How one segment ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentEnd {
    /// What it said when it was closed on purpose; `None`: it was not, or not yet.
    pub end: Option<End>,
    /// What cannot be read of it.
    pub damage: Option<Damage>,
}

/// The Frames of a recording as one stream: ids run through all segments, and each series has one. It is declared when it
/// is first read, and again when it is read after its entity was gone or in another boot.
///
/// A damaged segment of records yields its Frames up to the damage, then the damage, then the next segment follows. One of
/// sections goes on behind the section that is damaged.
#[derive(Debug)]
pub struct Frames<'a> {
    segments: &'a [Segment],
    current: usize,
    wanted: Wanted,
    place: Place,
    buffered: Buffered,
    /// The current segment, if it consists of sections.
    sealed: Option<Sealed>,
    /// The first damage of the current segment.
    damage: Option<Damage>,
    /// What Frames declared that were left out.
    carried: Vec<SeriesDef>,
    /// Segments of sections are left out.
    records_only: bool,
    /// Segments of sections of which only the end is wanted.
    without: Vec<usize>,
    stream: Stream,
    ends: Vec<SegmentEnd>,
    end: Option<End>,
    origin: Option<Origin>,
    meanings: Vec<Meanings>,
}

/// Where the Frame given out last stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) segment: usize,
    pub(crate) from: Place,
    pub(crate) until: u64,
    /// It came from a context.
    pub(crate) context: bool,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(segments: &'a [Segment], wanted: Wanted) -> Self {
        let place = segments.first().map_or(Place { offset: 0, chain: 0 }, Place::first_of);
        let (buffered, stream) = (Buffered::default(), Stream::default());
        let (ends, meanings) = (Vec::new(), Vec::new());
        Self {
            segments,
            current: 0,
            wanted,
            place,
            buffered,
            sealed: None,
            damage: None,
            carried: Vec::new(),
            records_only: false,
            without: Vec::new(),
            stream,
            ends,
            end: None,
            origin: None,
            meanings,
        }
    }

    /// Without the Frames of these closed segments of sections.
    pub(crate) fn without(self, without: Vec<usize>) -> Self {
        Self { without, ..self }
    }

    /// Without segments of sections.
    pub(crate) fn records_only(self) -> Self {
        Self { records_only: true, ..self }
    }

    /// The series of the stream so far.
    pub fn dictionary(&self) -> &Dictionary {
        self.stream.numbering.dictionary()
    }

    /// What was met beside Frames so far.
    pub fn oddities(&self) -> &Oddities {
        &self.stream.oddities
    }

    /// How the segments read so far ended, in their order.
    pub fn ends(&self) -> &[SegmentEnd] {
        &self.ends
    }

    /// Which segment the next Frame comes from, counted from 0, and at which byte the next record begins.
    pub fn position(&self) -> (usize, u64) {
        (self.current, self.sealed.as_ref().map_or(self.place.offset, |sealed| sealed.offset))
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// What the ids of each segment read to its end mean in this stream.
    pub(crate) fn meanings(self) -> Vec<Meanings> {
        self.meanings
    }

    /// Closes the current segment; the damage that ended it, if any.
    fn close(&mut self, segment: &Segment, why: Option<String>) -> Option<Damage> {
        let damage = why.map(|why| Damage {
            segment: segment.path.display().to_string(),
            offset: self.place.offset,
            why,
            bytes_lost: segment.bytes().saturating_sub(self.place.offset),
        });
        let first = self.damage.take().or_else(|| damage.clone());
        self.ends.push(SegmentEnd { end: self.end.take(), damage: first });
        self.sealed = None;
        self.current += 1;
        if let Some(next) = self.segments.get(self.current) {
            self.place = Place::first_of(next);
        }
        self.buffered = Buffered::default();
        self.meanings.push(self.stream.numbering.next_source());
        damage
    }

    /// What comes next in a segment of sections; `None`: something that is no Frame.
    fn section(&mut self, segment: &Segment) -> Option<Result<Frame, Damage>> {
        if self.records_only || !segment.has_sections() {
            return self.close(segment, None).map(Err);
        }
        if self.without.contains(&self.current) {
            self.end = segment.layout().ok().and_then(|layout| sealed::end(&layout));
            return self.close(segment, None).map(Err);
        }
        let Some(sealed) = &mut self.sealed else {
            match Sealed::of(segment, self.wanted) {
                Ok(sealed) => {
                    self.stream.numbering.ahead(&sealed.series.schema);
                    self.sealed = Some(sealed);
                    return None;
                }
                Err(error) => return self.close(segment, Some(format!("it cannot be read: {error}"))).map(Err),
            }
        };
        let (offset, step) = (sealed.offset, sealed.step(segment));
        match step {
            Step::Frame(frame) => match self.stream.sealed(frame) {
                Ok(frame) => Some(Ok(frame)),
                Err(why) => self.contradicted(segment, offset, why),
            },
            Step::Context(frame) if self.context_is_news() => self.stream.sealed(frame).ok().map(Ok),
            Step::Context(_) => None,
            Step::Declares(declares) => {
                let taken = self.stream.declares(declares);
                taken.err().and_then(|why| self.contradicted(segment, offset, why))
            }
            Step::Damage(damage) => {
                self.damage.get_or_insert_with(|| damage.clone());
                Some(Err(damage))
            }
            Step::Unknown => {
                self.stream.oddities.unknown_records += 1;
                None
            }
            Step::Over(end) => {
                self.end = end;
                self.close(segment, None).map(Err)
            }
        }
    }

    /// Nothing behind a contradiction can be relied on.
    fn contradicted(&mut self, segment: &Segment, offset: u64, why: String) -> Option<Result<Frame, Damage>> {
        self.place.offset = offset;
        self.close(segment, Some(why)).map(Err)
    }

    /// Whether the context at the start of the current segment tells what the stream has not told already.
    fn context_is_news(&self) -> bool {
        let before = self.current.checked_sub(1).and_then(|index| Some((&self.segments[index], self.ends.get(index)?)));
        before.is_none_or(|(segment, end)| {
            let ordinal = self.segments.get(self.current).map_or(0, |segment| segment.header.ordinal);
            end.end.is_none() || end.damage.is_some() || segment.header.ordinal + 1 != ordinal
        })
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let segment = self.segments.get(self.current)?;
            if segment.has_sections() || self.wanted == Wanted::Bursts {
                match self.section(segment) {
                    Some(next) => return Some(next),
                    None => continue,
                }
            }
            let why = match self.buffered.link(segment, self.place) {
                Link::Record { kind, flags, payload, next } => match self.stream.take(kind, flags, &payload) {
                    Ok(told) => {
                        let (segment, from, until) = (self.current, self.place, next.offset);
                        let context = matches!(told, Told::Context(_));
                        self.origin = Some(Origin { segment, from, until, context });
                        self.place = next;
                        match told {
                            Told::Frame(frame) if frame.burst => self.carried.extend(frame.declares),
                            Told::Frame(mut frame) => {
                                frame.declares.splice(0..0, self.carried.drain(..));
                                return Some(Ok(frame));
                            }
                            Told::Context(frame) if self.context_is_news() => return Some(Ok(frame)),
                            Told::End(end) => self.end = Some(end),
                            Told::Context(_) | Told::Nothing => {}
                        }
                        continue;
                    }
                    Err(why) => Some(why),
                },
                Link::Nothing => None,
                // A segment that is being written ends in the middle of a record now and then.
                Link::Partial { .. } if segment.is_live() => None,
                Link::Partial { why } => Some(format!("the file ends in the middle of a record: {why} are there")),
                Link::Broken { why } => Some(why),
            };
            if let Some(damage) = self.close(segment, why) {
                return Some(Err(damage));
            }
        }
    }
}
