//! The sections of a sealed segment: pure functions between bytes and data.
//!
//! Journals chain their records; a sealed segment does not, so that a flipped bit costs one section and not everything
//! behind it. Instead each checksum continues from the segment's own (its random id and header) and from the section's
//! offset: a stale, copied or foreign section can never pass for one that belongs here.

use super::{u32_at, u64_at};

/// The first four bytes of every section.
pub const SECTION_MAGIC: [u8; 4] = *b"GDKs";
/// The length of a section's head.
pub const SECTION_BYTES: usize = 44;
/// The most bytes a section's payload may have.
pub const MOST_SECTION_BYTES: usize = 64 << 20;
/// The last bytes of a closed segment: where its directory lies.
pub const TAIL_BYTES: usize = 16;
const TAIL_MAGIC: [u8; 4] = *b"GDKt";

/// Series that blocks behind it have as columns: those of earlier schema sections stay.
pub const SCHEMA: u8 = 1;
/// What is still in force of Frames before this segment.
pub const CONTEXT: u8 = 2;
/// Several minutes of Frames in columns.
pub const BLOCK: u8 = 3;
/// Frames that were read faster than the others, around a trigger, in columns.
pub const BURST: u8 = 4;
/// What the segment holds and where; the last section of a closed segment.
pub const DIRECTORY: u8 = 5;

/// The head of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// [`BLOCK`], [`SCHEMA`], ….
    pub kind: u8,
    /// [`super::INCOMPATIBLE`]; the others are free.
    pub flags: u8,
    /// Counted from 0 within the segment.
    pub number: u32,
    /// Length of the payload.
    pub length: usize,
    /// How much of the payload, from its start, the payload's checksum covers: all but for blocks, whose streams
    /// carry their own.
    pub checked: usize,
    /// The sequence numbers of the first and the last Frame in it; 0 where it holds none.
    pub seqs: (u64, u64),
    /// The checksum of the checked part of the payload, as told.
    pub checksum: u32,
}

/// Why bytes are not the head of a section of this segment at this offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSection {
    /// Something else.
    #[error("no section begins here")]
    Magic,
    /// Its checksum does not fit.
    #[error("the section's head has checksum {found:08x}, {told:08x} was written")]
    Checksum {
        /// As computed.
        found: u32,
        /// As written.
        told: u32,
    },
    /// A length that no section has.
    #[error("a section of {0} bytes is announced, more than any has")]
    Length(u32),
}

/// With what the checksums of a section begin: `segment` is the header's checksum.
fn seed(segment: u32, offset: u64) -> u32 {
    crc32c::crc32c_append(segment, &offset.to_le_bytes())
}

/// The checksum of the checked part of a payload.
pub fn payload_checksum(segment: u32, offset: u64, checked: &[u8]) -> u32 {
    crc32c::crc32c_append(seed(segment, offset), checked)
}

/// The head of a section that will stand at `offset`. Its `length` and `checksum` are taken from the payload.
/// `None` if the payload is longer than one may be, or shorter than its checked part.
pub fn seal_section(segment: u32, offset: u64, section: Section, payload: &[u8]) -> Option<[u8; SECTION_BYTES]> {
    if payload.len() > MOST_SECTION_BYTES {
        return None;
    }
    let checked = payload.get(..section.checked)?;
    let mut head = [0; SECTION_BYTES];
    head[..4].copy_from_slice(&SECTION_MAGIC);
    head[4] = section.kind;
    head[5] = section.flags;
    head[8..12].copy_from_slice(&section.number.to_le_bytes());
    head[12..16].copy_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
    head[16..20].copy_from_slice(&u32::try_from(section.checked).ok()?.to_le_bytes());
    head[20..28].copy_from_slice(&section.seqs.0.to_le_bytes());
    head[28..36].copy_from_slice(&section.seqs.1.to_le_bytes());
    head[36..40].copy_from_slice(&payload_checksum(segment, offset, checked).to_le_bytes());
    let sum = crc32c::crc32c_append(seed(segment, offset), head.get(..40)?);
    head[40..].copy_from_slice(&sum.to_le_bytes());
    Some(head)
}

/// Reads the head of a section.
///
/// # Errors
/// What the bytes are instead.
pub fn section(segment: u32, offset: u64, head: &[u8; SECTION_BYTES]) -> Result<Section, BadSection> {
    if !head.starts_with(&SECTION_MAGIC) {
        return Err(BadSection::Magic);
    }
    let (told, covered) = (u32_at(head, 40), head.get(..40).unwrap_or_default());
    let found = crc32c::crc32c_append(seed(segment, offset), covered);
    if found != told {
        return Err(BadSection::Checksum { found, told });
    }
    let length = |at| {
        let told = u32_at(head, at);
        usize::try_from(told).ok().filter(|length| *length <= MOST_SECTION_BYTES).ok_or(BadSection::Length(told))
    };
    let (whole, checked) = (length(12)?, length(16)?);
    Ok(Section {
        kind: head[4],
        flags: head[5],
        number: u32_at(head, 8),
        length: whole,
        checked: checked.min(whole),
        seqs: (u64_at(head, 20), u64_at(head, 28)),
        checksum: u32_at(head, 36),
    })
}

/// The last bytes of a closed segment whose directory section stands at `offset`.
pub fn seal_tail(segment: u32, offset: u64) -> [u8; TAIL_BYTES] {
    let mut tail = [0; TAIL_BYTES];
    tail[..4].copy_from_slice(&TAIL_MAGIC);
    tail[4..12].copy_from_slice(&offset.to_le_bytes());
    let sum = crc32c::crc32c_append(segment, tail.get(..12).unwrap_or_default());
    tail[12..].copy_from_slice(&sum.to_le_bytes());
    tail
}

/// Where the directory section stands, if these are the last bytes of a closed segment.
pub fn tail(segment: u32, tail: &[u8; TAIL_BYTES]) -> Option<u64> {
    let sum = crc32c::crc32c_append(segment, tail.get(..12)?);
    (tail.starts_with(&TAIL_MAGIC) && sum == u32_at(tail, 12)).then(|| u64_at(tail, 4))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn block() -> Section {
        Section { kind: BLOCK, number: 3, checked: 4, seqs: (7, 9), ..Section::default() }
    }

    #[test]
    fn a_section_reads_back_where_it_was_written_and_nowhere_else() {
        let head = seal_section(17, 100, block(), b"index and streams").unwrap();
        let read = section(17, 100, &head).unwrap();
        assert_eq!((read.kind, read.number, read.length, read.checked, read.seqs), (BLOCK, 3, 17, 4, (7, 9)));
        assert_eq!(read.checksum, payload_checksum(17, 100, b"inde"));
        assert!(matches!(section(17, 101, &head), Err(BadSection::Checksum { .. })));
        assert!(matches!(section(18, 100, &head), Err(BadSection::Checksum { .. })));
        assert_eq!(section(17, 100, &[0; SECTION_BYTES]), Err(BadSection::Magic));
    }

    #[test]
    fn the_tail_belongs_to_its_segment() {
        assert_eq!(tail(17, &seal_tail(17, 4_000)), Some(4_000));
        assert_eq!(tail(18, &seal_tail(17, 4_000)), None);
    }
}
