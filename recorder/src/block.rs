//! Several minutes of Frames as columns, and back: pure functions between Frames and bytes.
//!
//! Every series is a column; the columns of one metric stand together, since they move together. `docs/format-blocks.md`
//! is the page for somebody who writes a reader.
//!
//! ```text
//! Frames ──► Builder (cells per series) ──► seal: transform ──► integers ──► streams + index
//!    ▲                                                                             │
//!    └──────── frames, series, state_at, last, summaries, scan ◄──── Block ◄───────┘
//! ```

mod builder;
mod cells;
mod columns;
mod decimal;
mod index;
mod ints;
mod read;
mod scan;
mod seal;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod transform;

pub use builder::Builder;
pub use index::Info;
pub use read::{Block, Extras, FrameHead, Summary};
pub use scan::{Column, Kind};
pub use source::Source;

/// The most Frames that a block may hold.
pub const MOST_FRAMES: usize = 1 << 20;
/// The most samples that a block may hold.
pub const MOST_SAMPLES: usize = 1 << 24;
/// The most bytes to which the streams of a block may decode.
const MOST_DECODED: u64 = 256 << 20;
/// At so many it is time to seal: one more Frame is still far below the most.
const FRAMES_FULL: usize = 1 << 18;
const SAMPLES_FULL: u64 = 1 << 22;
const BYTES_FULL: usize = 8 << 20;
/// The most numbers in one chunk: one series costs the decoding of one chunk.
const CHUNK_VALUES: usize = 1 << 14;

/// Why the bytes of a block cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBlock(pub String);

/// An encoded block: the payload of a section.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The payload.
    pub bytes: Vec<u8>,
    /// How much of it, from its start, the section's checksum covers. What is behind carries its own.
    pub checked: usize,
}

/// A number of a column as one that compares as what it stands for: counts have no sign.
fn order(kind: u8, number: i64) -> i64 {
    if kind == cells::COUNT { number ^ i64::MIN } else { number }
}
