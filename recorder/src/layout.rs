//! Which sections a segment has and where: told by its directory, or found by walking from head to head.
//!
//! A directory is a shortcut and never believed on its word: every head is checked where it stands, before anything of
//! its section is used. Without one, or where it contradicts itself, the heads tell. Behind a head that does not fit, the
//! next one that does is looked for, so that damage costs the sections it lies in.

use std::fs::File;

use crate::format::INCOMPATIBLE;
use crate::format::section::{self, BLOCK, BURST, DIRECTORY, SECTION_BYTES, SECTION_MAGIC, Section, TAIL_BYTES};
use crate::open::Damage;
use crate::sections::{Directory, Entry};
use crate::segment::{Segment, read_up_to};

/// The most bytes the payload of a directory may have.
const MOST_DIRECTORY_BYTES: usize = 4 << 20;
/// How much is read at once when a head is looked for.
const SCAN_BYTES: usize = 256 << 10;
const HEAD: u64 = SECTION_BYTES as u64;

/// A stretch of a segment.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A section, as its head or the directory has it. Without a directory, only what a head tells is filled in.
    Section(Entry),
    /// Bytes that are no section.
    Damaged(Damage),
}

/// The sections of a segment, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) pieces: Vec<Piece>,
    /// The segment was closed on purpose.
    pub(crate) directory: Option<Directory>,
    /// The entries tell the instants and counts of their sections.
    pub(crate) told: bool,
    /// The file ends in the middle of a section.
    pub(crate) torn: Option<Damage>,
    /// The first byte that is not yet accounted for: a segment that is being written goes on here.
    pub(crate) end: u64,
}

impl Layout {
    /// Of a segment as it is at this moment.
    pub(crate) fn read(segment: &Segment, file: &File) -> Self {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let refused = match by_directory(segment, file, length) {
            Ok(layout) => return layout,
            Err(refused) => refused,
        };
        let mut layout = Self { end: segment.first_record, ..Self::default() };
        layout.walk(segment, file, length);
        // A directory that was not believed is told by the walk if its bytes are damaged, and here if it lies.
        let told = layout.pieces.iter().any(|piece| matches!(piece, Piece::Damaged(_)));
        if let Some((offset, why)) = refused
            && !told
        {
            let bytes_lost = length.saturating_sub(offset);
            layout.pieces.push(Piece::Damaged(damage(segment, offset, why, bytes_lost)));
        }
        layout
    }

    /// Goes on from head to head up to `length`.
    pub(crate) fn walk(&mut self, segment: &Segment, file: &File, length: u64) {
        self.torn = None;
        while self.end < length && self.directory.is_none() {
            let offset = self.end;
            let head = match head_at(segment, file, offset) {
                Ok(Some(head)) => head,
                Ok(None) => {
                    let why = format!("{} of a section's first {SECTION_BYTES} bytes are there", length - offset);
                    self.torn = Some(damage(segment, offset, why, length - offset));
                    return;
                }
                Err(why) => {
                    let Some(next) = next_head(segment, file, offset + 1, length) else {
                        self.torn = Some(damage(segment, offset, why, length - offset));
                        return;
                    };
                    self.pieces.push(Piece::Damaged(damage(segment, offset, why, next - offset)));
                    self.end = next;
                    continue;
                }
            };
            let entry = entry(offset, &head);
            let behind = offset + HEAD + entry.length;
            if behind > length {
                let why = format!(
                    "the file ends in the middle of a section: {} of its {} bytes are there{}",
                    length - offset,
                    HEAD + entry.length,
                    seqs(&entry),
                );
                // A head that fits may have been kept while bytes in the middle of the file went missing.
                if let Some(next) = next_head(segment, file, offset + HEAD, length) {
                    self.pieces.push(Piece::Damaged(damage(segment, offset, why, next - offset)));
                    self.end = next;
                    continue;
                }
                self.torn = Some(damage(segment, offset, why, length - offset));
                return;
            }
            self.end = behind;
            if head.kind != DIRECTORY {
                self.pieces.push(Piece::Section(entry));
                continue;
            }
            match directory_at(segment, file, offset) {
                Ok((directory, _)) => {
                    let tail = read_up_to(file, behind, TAIL_BYTES + 1).unwrap_or_default();
                    let fits =
                        tail.as_slice().try_into().is_ok_and(|tail| section::tail(segment.chain, tail).is_some());
                    if !fits && !tail.is_empty() {
                        let why = "what closes a segment is damaged; no Frame is lost by that".to_owned();
                        let found = damage(segment, behind, why, length.saturating_sub(behind));
                        self.pieces.push(Piece::Damaged(found));
                    }
                    self.end = length;
                    // Of a directory whose entries were not believed only the counts are used.
                    self.directory = Some(directory);
                }
                Err(why) => {
                    let why = format!("{why}; the sections were found one by one, no Frame is lost by that");
                    self.pieces.push(Piece::Damaged(damage(segment, offset, why, length - offset)));
                    self.end = length;
                    return;
                }
            }
        }
    }

    /// Every section.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &Entry> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Section(entry) => Some(entry),
            Piece::Damaged(_) => None,
        })
    }

    /// The last sequence number in a block.
    pub(crate) fn last_seq(&self) -> u64 {
        self.sections().filter(|entry| entry.kind == BLOCK).map(|entry| entry.last_seq).max().unwrap_or(0)
    }
}

/// Damage of so many bytes.
pub(crate) fn damage(segment: &Segment, offset: u64, why: String, bytes_lost: u64) -> Damage {
    Damage { segment: segment.path.display().to_string(), offset, why, bytes_lost }
}

/// Which Frames a section holds, as the end of a sentence.
pub(crate) fn seqs(entry: &Entry) -> String {
    match (entry.kind, entry.first_seq, entry.last_seq) {
        (BLOCK | BURST, first, last) if last > 0 => {
            let when = match (entry.first.rfc3339(), entry.last.rfc3339()) {
                (Some(first), Some(last)) => format!(" ({first} to {last})"),
                _ => String::new(),
            };
            let what = if entry.kind == BURST { "burst Frames" } else { "Frames" };
            format!("; {what} with seq {first} to {last} are in it{when}")
        }
        _ => String::new(),
    }
}

/// The payload of a section, its checked part verified; and how long that part is.
pub(crate) fn payload(segment: &Segment, file: &File, entry: &Entry) -> Result<(Vec<u8>, usize), String> {
    let head = head_of(segment, file, entry)?;
    let payload = bytes_of(file, entry, head.length)?;
    verify(segment, entry, &head, payload.get(..head.checked).unwrap_or_default())?;
    Ok((payload, head.checked))
}

/// The checked part of a section's payload.
pub(crate) fn checked(segment: &Segment, file: &File, entry: &Entry) -> Result<Vec<u8>, String> {
    let head = head_of(segment, file, entry)?;
    let checked = bytes_of(file, entry, head.checked)?;
    verify(segment, entry, &head, &checked)?;
    Ok(checked)
}

/// The head of a section, if it is the one that the entry tells of.
fn head_of(segment: &Segment, file: &File, entry: &Entry) -> Result<Section, String> {
    let head = head_at(segment, file, entry.offset)?;
    let head = head.ok_or_else(|| format!("a section's first {SECTION_BYTES} bytes are not there"))?;
    if head.flags & INCOMPATIBLE != 0 {
        let (kind, flags) = (head.kind, head.flags);
        return Err(format!("a section (kind {kind}, flags {flags:#04x}) that only a newer gpudeck can read"));
    }
    let length = u64::try_from(head.length).unwrap_or(u64::MAX);
    if (head.kind, length, head.seqs) != (entry.kind, entry.length, (entry.first_seq, entry.last_seq)) {
        return Err("the directory tells of another section than the one that stands there".to_owned());
    }
    Ok(head)
}

/// The first bytes of a section's payload.
fn bytes_of(file: &File, entry: &Entry, length: usize) -> Result<Vec<u8>, String> {
    let bytes = read_up_to(file, entry.offset.saturating_add(HEAD), length);
    let bytes = bytes.map_err(|error| format!("it cannot be read: {error}"))?;
    if bytes.len() < length {
        return Err(format!("{} of a section's {length} bytes are there", bytes.len()));
    }
    Ok(bytes)
}

fn verify(segment: &Segment, entry: &Entry, head: &Section, checked: &[u8]) -> Result<(), String> {
    let found = section::payload_checksum(segment.chain, entry.offset, checked);
    if found != head.checksum {
        return Err(format!("the section has checksum {found:08x}, {:08x} was written", head.checksum));
    }
    Ok(())
}

/// The layout as the directory has it. `Err`: there is none, or where it stands and why it is not believed.
fn by_directory(segment: &Segment, file: &File, length: u64) -> Result<Layout, Option<(u64, String)>> {
    let at = length.checked_sub(TAIL_BYTES as u64).ok_or(None)?;
    let tail = read_up_to(file, at, TAIL_BYTES).map_err(|_| None)?;
    let tail = tail.as_slice().try_into().map_err(|_| None)?;
    let offset = section::tail(segment.chain, tail).ok_or(None)?;
    // Damaged: the walk tells.
    let (directory, behind) = directory_at(segment, file, offset).map_err(|_| None)?;
    let refused = |why: &str| Some((offset, format!("the directory {why}; the sections were found one by one")));
    if behind != at {
        return Err(refused("is not the last section"));
    }
    let mut from = segment.first_record;
    for entry in &directory.sections {
        let end = entry.offset.checked_add(HEAD).and_then(|start| start.checked_add(entry.length));
        match end {
            // In the order of the file and without a hole, nothing can be told twice or left out.
            Some(end) if entry.offset == from && end <= offset => from = end,
            _ => return Err(refused("tells of sections that overlap, leave bytes out or lie outside the file")),
        }
    }
    if from != offset {
        return Err(refused("leaves sections out"));
    }
    let pieces = directory.sections.iter().cloned().map(Piece::Section).collect();
    Ok(Layout { pieces, directory: Some(directory), told: true, torn: None, end: length })
}

fn directory_at(segment: &Segment, file: &File, offset: u64) -> Result<(Directory, u64), String> {
    let head = head_at(segment, file, offset)?.ok_or("the directory is not there")?;
    if head.kind != DIRECTORY || head.length > MOST_DIRECTORY_BYTES {
        return Err("what should be the directory is something else".to_owned());
    }
    let entry = entry(offset, &head);
    let (payload, _) = payload(segment, file, &entry)?;
    let directory = rmp_serde::from_slice(&payload).map_err(|error| format!("the directory is damaged: {error}"))?;
    Ok((directory, offset + HEAD + entry.length))
}

fn entry(offset: u64, head: &Section) -> Entry {
    Entry {
        kind: head.kind,
        offset,
        length: u64::try_from(head.length).unwrap_or(u64::MAX),
        first_seq: head.seqs.0,
        last_seq: head.seqs.1,
        ..Entry::default()
    }
}

/// The head at an offset; `None` if the file ends before it does.
fn head_at(segment: &Segment, file: &File, offset: u64) -> Result<Option<Section>, String> {
    let bytes = read_up_to(file, offset, SECTION_BYTES).map_err(|error| format!("it cannot be read: {error}"))?;
    let Some(head) = bytes.first_chunk::<SECTION_BYTES>() else { return Ok(None) };
    section::section(segment.chain, offset, head).map(Some).map_err(|bad| bad.to_string())
}

/// The next offset from `from` on at which a head of this segment stands.
fn next_head(segment: &Segment, file: &File, mut from: u64, length: u64) -> Option<u64> {
    while from + HEAD <= length {
        let bytes = read_up_to(file, from, SCAN_BYTES).ok()?;
        let candidates = bytes.windows(SECTION_BYTES).enumerate().filter(|(_, head)| head.starts_with(&SECTION_MAGIC));
        for (place, head) in candidates {
            let offset = from + u64::try_from(place).ok()?;
            let head = head.first_chunk::<SECTION_BYTES>()?;
            if section::section(segment.chain, offset, head).is_ok() {
                return Some(offset);
            }
        }
        if bytes.len() < SECTION_BYTES {
            return None;
        }
        from += u64::try_from(bytes.len() - SECTION_BYTES + 1).ok()?;
    }
    None
}
