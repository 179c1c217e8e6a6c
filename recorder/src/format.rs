//! The bytes of a segment: pure functions between bytes and data. `docs/format.md` describes the same in words.
//!
//! Every record's CRC32C continues the checksum of everything before it, beginning with the header and its random
//! segment id. A stale, zeroed or foreign tail can therefore never pass for a continuation, which a checksum per record
//! alone does not give.

use model::frame::MOST_BYTES;

pub mod section;

/// The first eight bytes of every segment.
pub const MAGIC: [u8; 8] = *b"GPUDECK\n";
/// The first eight bytes of every journal beside a segment of sections.
pub const JOURNAL_MAGIC: [u8; 8] = *b"GPUDECKJ";
/// The major version of segments that are a chain of records.
pub const MAJOR: u16 = 1;
/// The major version of segments that consist of sections ([`section`]). A reader refuses any third.
pub const SECTIONS_MAJOR: u16 = 2;
/// A reader reads every minor version: what it does not know is skipped, or marked [`INCOMPATIBLE`].
pub const MINOR: u16 = 0;
/// Magic, version, header length, segment id and their checksum. This part is the same in every version.
pub const PREFIX_BYTES: usize = 36;
/// The most bytes a header map may have.
pub const MOST_HEADER_BYTES: usize = 1 << 20;
/// Kind, flags, reserved, length, checksum.
pub const RECORD_BYTES: usize = 12;
/// The most bytes a record's payload may have.
pub const MOST_RECORD_BYTES: usize = MOST_BYTES;

/// Flag of a record: a reader that does not know the record as it stands must stop here instead of skipping it.
pub const INCOMPATIBLE: u8 = 0x80;

/// One Frame in its wire form.
pub const FRAME: u8 = 1;
/// A Frame in its wire form that repeats what earlier segments told: the entities known when this segment began.
pub const CONTEXT: u8 = 2;
/// The segment was closed on purpose: [`crate::header::End`].
pub const END: u8 = 3;
/// In a journal: a flushed stretch of its one zstd stream, holding Frames in their wire form one after the other.
pub const FRAMES_Z: u8 = 4;
/// Reserved: several minutes in sealed columns.
pub const BLOCK: u8 = 16;
/// Reserved: where the blocks lie.
pub const DIRECTORY: u8 = 17;
/// Reserved: the series that blocks behind it have as columns.
pub const SCHEMA: u8 = 18;

/// The random identity of one segment.
pub type Id = [u8; 16];

/// The fixed part at the start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Major and minor version of the format.
    pub version: (u16, u16),
    /// Length of the header map that follows.
    pub header_bytes: usize,
    /// The segment's id.
    pub id: Id,
}

/// Why the first bytes of a file are not those of a segment that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPrefix {
    /// Not even the magic: some other file.
    NotOurs,
    /// It begins like a segment and ends too early, or its checksum does not fit.
    Torn(String),
    /// A format version that this reader does not know.
    Version(u16, u16),
}

/// The header of a segment: prefix, header map, checksum; and the value with which the chain begins.
pub fn seal_header(id: Id, map: &[u8]) -> (Vec<u8>, u32) {
    seal_header_of(MAGIC, MAJOR, id, map)
}

/// The header of a file of this kind ([`MAGIC`] or [`JOURNAL_MAGIC`]) and major version.
pub fn seal_header_of(magic: [u8; 8], major: u16, id: Id, map: &[u8]) -> (Vec<u8>, u32) {
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + map.len() + 4);
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&major.to_le_bytes());
    bytes.extend_from_slice(&MINOR.to_le_bytes());
    bytes.extend_from_slice(&length_field(map).to_le_bytes());
    bytes.extend_from_slice(&id);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes.extend_from_slice(map);
    let chain = header_checksum(&bytes);
    bytes.extend_from_slice(&chain.to_le_bytes());
    (bytes, chain)
}

/// The checksum of prefix and header map, with which the chain begins. It leaves the prefix's own checksum out: a CRC
/// over data followed by their CRC is the same for all data, and the chain would not depend on the segment's id.
pub fn header_checksum(prefix_and_map: &[u8]) -> u32 {
    let start = crc32c::crc32c(prefix_and_map.get(..32).unwrap_or_default());
    crc32c::crc32c_append(start, prefix_and_map.get(PREFIX_BYTES..).unwrap_or_default())
}

/// Reads the fixed part from the first bytes of a file.
///
/// # Errors
/// What the bytes are instead.
pub fn prefix(bytes: &[u8]) -> Result<Prefix, BadPrefix> {
    prefix_of(MAGIC, bytes)
}

/// Reads the fixed part from the first bytes of a file of this kind ([`MAGIC`] or [`JOURNAL_MAGIC`]).
///
/// # Errors
/// What the bytes are instead.
pub fn prefix_of(magic: [u8; 8], bytes: &[u8]) -> Result<Prefix, BadPrefix> {
    let shared = bytes.len().min(magic.len());
    if bytes.get(..shared) != magic.get(..shared) || shared == 0 {
        return Err(BadPrefix::NotOurs);
    }
    let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else {
        return Err(BadPrefix::Torn(format!("{} of the first {PREFIX_BYTES} bytes are there", bytes.len())));
    };
    let (told, found) = (u32_at(prefix, 32), crc32c::crc32c(prefix.get(..32).unwrap_or_default()));
    if told != found {
        return Err(BadPrefix::Torn(format!("the first bytes have checksum {found:08x}, {told:08x} was written")));
    }
    let version = (u16_at(prefix, 8), u16_at(prefix, 10));
    if !matches!(version.0, MAJOR | SECTIONS_MAJOR) {
        return Err(BadPrefix::Version(version.0, version.1));
    }
    let header_bytes = usize::try_from(u32_at(prefix, 12)).unwrap_or(usize::MAX);
    if header_bytes > MOST_HEADER_BYTES {
        return Err(BadPrefix::Torn(format!(
            "a header of {header_bytes} bytes; at most {MOST_HEADER_BYTES} are taken"
        )));
    }
    let mut id = Id::default();
    id.copy_from_slice(prefix.get(16..32).unwrap_or(&[0; 16]));
    Ok(Prefix { version, header_bytes, id })
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// [`FRAME`], [`END`], ….
    pub kind: u8,
    /// [`INCOMPATIBLE`]; the others are free.
    pub flags: u8,
    /// Length of the payload, as told: not yet verified, but within [`MOST_RECORD_BYTES`].
    pub length: usize,
    /// The chained checksum, as told.
    pub checksum: u32,
    linked: [u8; 8],
}

impl RecordHead {
    /// Reads the fixed part of a record.
    ///
    /// # Errors
    /// The length that it announces, if that is more than a record may have.
    pub fn parse(bytes: [u8; RECORD_BYTES]) -> Result<Self, u32> {
        let [linked @ .., _, _, _, _] = bytes;
        let told = u32_at(&bytes, 4);
        match usize::try_from(told) {
            Ok(length) if length <= MOST_RECORD_BYTES => {
                Ok(Self { kind: bytes[0], flags: bytes[1], length, checksum: u32_at(&bytes, 8), linked })
            }
            _ => Err(told),
        }
    }

    /// The checksum that the record ought to have behind one with the checksum `chain`.
    pub fn expected(&self, chain: u32, payload: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(chain, &self.linked), payload)
    }
}

/// A record in its bytes, and the value with which the chain goes on. `None` if it is longer than a record may be.
pub fn seal_record(kind: u8, flags: u8, payload: &[u8], chain: u32) -> Option<(Vec<u8>, u32)> {
    if payload.len() > MOST_RECORD_BYTES {
        return None;
    }
    let mut bytes = Vec::with_capacity(RECORD_BYTES + payload.len());
    bytes.extend_from_slice(&[kind, flags, 0, 0]);
    bytes.extend_from_slice(&length_field(payload).to_le_bytes());
    let chain = crc32c::crc32c_append(crc32c::crc32c_append(chain, &bytes), payload);
    bytes.extend_from_slice(&chain.to_le_bytes());
    bytes.extend_from_slice(payload);
    Some((bytes, chain))
}

/// Whether a record of this kind and flags is one that this reader knows as it stands.
pub fn is_known(kind: u8, flags: u8) -> bool {
    flags & INCOMPATIBLE == 0 && matches!(kind, FRAME | CONTEXT | END)
}

fn length_field(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_reads_back_and_a_newer_version_is_told_from_damage() {
        let (mut bytes, _) = seal_header([7; 16], b"map");
        assert_eq!(prefix(&bytes).unwrap(), Prefix { version: (MAJOR, MINOR), header_bytes: 3, id: [7; 16] });
        bytes[8] = 9;
        assert!(matches!(prefix(&bytes), Err(BadPrefix::Torn(_))), "a flipped version is damage");
        let sum = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(prefix(&bytes), Err(BadPrefix::Version(9, MINOR)));
    }

    #[test]
    fn the_chain_begins_differently_in_every_segment() {
        assert_ne!(seal_header([7; 16], b"map").1, seal_header([8; 16], b"map").1);
        assert_ne!(seal_header([7; 16], b"map").1, seal_header([7; 16], b"mop").1);
    }

    #[test]
    fn a_copy_of_a_record_does_not_continue_the_chain() {
        let (first, chain) = seal_record(FRAME, 0, b"one", 17).unwrap();
        let head = RecordHead::parse(*first.first_chunk().unwrap()).unwrap();
        assert_eq!(head.expected(17, b"one"), head.checksum);
        assert_ne!(head.expected(chain, b"one"), head.checksum);
    }

    #[test]
    fn a_length_that_lies_is_refused_before_it_is_believed() {
        let mut bytes = [0; RECORD_BYTES];
        bytes[4..8].fill(0xff);
        assert_eq!(RecordHead::parse(bytes), Err(u32::MAX));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(prefix(&bytes));
            let mut ours = MAGIC.to_vec();
            ours.extend(&bytes);
            drop(prefix(&ours));
        }
    }
}
