//! The beginning of a block: what it holds and where its streams lie.

use model::{BootId, Stamp};
use serde::{Deserialize, Serialize};

use super::{BadBlock, MOST_DECODED};

/// Per Frame: probe, boot, shape, flags, seq, clocks, duration.
pub(super) const FRAMES: u8 = 1;
/// Which series a Frame has.
pub(super) const SHAPES: u8 = 2;
/// Per column: series, kind, transform, scale, step, centre.
pub(super) const COLUMNS: u8 = 3;
/// Per column: first, last, most, least.
pub(super) const SUMMARY: u8 = 4;
/// Readings that are not good.
pub(super) const QUALITY: u8 = 5;
/// Texts and odd values.
pub(super) const VALUES: u8 = 6;
/// Entities, events and faults of Frames.
pub(super) const EXTRAS: u8 = 7;
/// The numbers of some columns.
pub(super) const CHUNK: u8 = 8;

/// Bytes, packed by zstd.
pub(super) const PACKED: u8 = 3;
/// Bytes as they are.
pub(super) const PLAIN: u8 = 4;

const STREAM_BYTES: usize = 24;

/// What a block holds, from its index alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// How many Frames.
    #[serde(default)]
    pub frames: u64,
    /// How many samples.
    #[serde(default)]
    pub samples: u64,
    /// How many events.
    #[serde(default)]
    pub events: u64,
    /// The stamp of the first Frame.
    #[serde(default)]
    pub first: Stamp,
    /// The stamp of the last Frame.
    #[serde(default)]
    pub last: Stamp,
    /// The sequence number of the first Frame.
    #[serde(default)]
    pub first_seq: u64,
    /// The sequence number of the last Frame.
    #[serde(default)]
    pub last_seq: u64,
    /// How many series the segment's schema had when the block was sealed.
    #[serde(default)]
    pub schema: u64,
    /// The probes whose Frames it holds.
    #[serde(default)]
    pub probes: Vec<String>,
    /// The boots from which they are.
    #[serde(default)]
    pub boots: Vec<BootId>,
}

#[derive(Serialize, Deserialize)]
struct Index {
    #[serde(flatten)]
    info: Info,
    #[serde(with = "serde_bytes")]
    streams: Vec<u8>,
}

/// One line of the table of streams.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream {
    pub(super) kind: u8,
    pub(super) encoding: u8,
    /// Of a chunk: its first column, and how many columns it is about.
    pub(super) first: u32,
    pub(super) columns: u32,
    /// How many numbers or bytes it decodes to.
    pub(super) decoded: u32,
    pub(super) length: u32,
    pub(super) checksum: u32,
    /// Where it begins in the payload; not written.
    pub(super) offset: u64,
}

/// The checked part of a payload.
pub(super) fn seal(info: &Info, streams: &[Stream]) -> Vec<u8> {
    let mut table = Vec::with_capacity(streams.len() * STREAM_BYTES);
    for stream in streams {
        table.extend([stream.kind, stream.encoding, 0, 0]);
        for number in [stream.first, stream.columns, stream.decoded, stream.length, stream.checksum] {
            table.extend(number.to_le_bytes());
        }
    }
    let mut bytes = vec![0; 4];
    let index = Index { info: info.clone(), streams: table };
    // Writing to memory fails for nothing that is in an index; if it did, readers would refuse the block.
    if index.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map()).is_err() {
        bytes.truncate(4);
    }
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// The index of a payload, `payload` bytes long in all, from its checked part.
pub(super) fn open(checked: &[u8], payload: u64) -> Result<(Info, Vec<Stream>), BadBlock> {
    let ends_early = || BadBlock("an index that ends early".into());
    let length = checked.first_chunk::<4>().map(|length| u32::from_le_bytes(*length)).ok_or_else(ends_early)?;
    let index = usize::try_from(length).ok().and_then(|length| checked.get(4..4usize.checked_add(length)?));
    let mut decoder = rmp_serde::Deserializer::from_read_ref(index.ok_or_else(ends_early)?);
    decoder.set_max_depth(16);
    let index = Index::deserialize(&mut decoder).map_err(|error| BadBlock(format!("index: {error}")))?;
    let mut streams = Vec::with_capacity(index.streams.len() / STREAM_BYTES);
    let mut offset = 4 + u64::from(length);
    let mut decoded = 0u64;
    for line in index.streams.chunks_exact(STREAM_BYTES) {
        let number =
            |at: usize| line.get(at..).and_then(|line| line.first_chunk()).map_or(0, |n| u32::from_le_bytes(*n));
        let stream = Stream {
            kind: line[0],
            encoding: line[1],
            first: number(4),
            columns: number(8),
            decoded: number(12),
            length: number(16),
            checksum: number(20),
            offset,
        };
        offset += u64::from(stream.length);
        let is_bytes = matches!(stream.kind, VALUES | EXTRAS);
        decoded += u64::from(stream.decoded) * if is_bytes { 1 } else { 8 };
        streams.push(stream);
    }
    if offset > payload {
        return Err(BadBlock(format!("streams of {offset} bytes in a block of {payload}")));
    }
    if decoded > MOST_DECODED {
        return Err(BadBlock(format!("streams that decode to {decoded}, more than any block holds")));
    }
    Ok((index.info, streams))
}
