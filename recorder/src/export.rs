//! A recording in forms that other tools read; `docs/export.md` describes them.
//!
//! Every one streams: what is held is bounded by the number of series and a few megabytes of buffers, never by the length
//! of the recording.

mod csv;
mod jsonl;
mod mcap;
mod openmetrics;
mod parquet;
mod row;

pub use csv::csv;
pub use jsonl::jsonl;
pub use mcap::{Encoding, mcap};
pub use openmetrics::openmetrics;
pub use parquet::parquet;

use std::io;

use model::{Dictionary, Frame};

use crate::open::{Damage, Recording};

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Samples written.
    pub samples: u64,
    /// Events written.
    pub events: u64,
    /// Samples and events that the format cannot hold; the format's own page says which.
    pub left_out: u64,
    /// Stretches of the recording that could not be read.
    pub damage: Vec<Damage>,
}

/// Hands every Frame on in the order of recording; what could not be read.
fn walk(recording: &Recording, mut take: impl FnMut(&Frame, &Dictionary) -> io::Result<()>) -> io::Result<Vec<Damage>> {
    let mut damage = recording.unopened().to_vec();
    let mut frames = recording.frames();
    while let Some(next) = frames.next() {
        match next {
            Ok(frame) => take(&frame, frames.dictionary())?,
            Err(found) => damage.push(found),
        }
    }
    Ok(damage)
}
