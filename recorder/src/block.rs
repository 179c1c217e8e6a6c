//! Several minutes of Frames as columns, and back: pure functions between Frames and bytes.

use model::{Frame, Reading, SeriesId, Stamp};

use crate::schema::Schema;

/// Why the bytes of a block cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBlock(pub String);

/// Collects Frames of one segment's stream.
#[derive(Debug, Default)]
pub struct Builder {
    frames: Vec<Frame>,
    samples: u64,
}

/// An encoded block: the payload of a section.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The payload.
    pub bytes: Vec<u8>,
    /// How much of it, from its start, the section's checksum covers. What is behind carries its own.
    pub checked: usize,
}

impl Builder {
    /// Takes in a Frame. Its declarations are the schema's matter and are not kept.
    pub fn push(&mut self, frame: &Frame) {
        self.samples += u64::try_from(frame.samples.len()).unwrap_or(u64::MAX);
        self.frames.push(Frame { declares: Vec::new(), ..frame.clone() });
    }

    /// How many Frames it holds.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// How many samples it holds.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Encodes. Samples of series that the schema does not have are left out.
    pub fn seal(self, _schema: &Schema) -> Sealed {
        let bytes = rmp_serde::to_vec_named(&self.frames).unwrap_or_default();
        let bytes = zstd::bulk::compress(&bytes, 3).unwrap_or_default();
        Sealed { checked: bytes.len(), bytes }
    }
}

/// A block, opened.
#[derive(Debug)]
pub struct Block {
    frames: Vec<Frame>,
}

impl Block {
    /// Opens the payload of a section whose checked part has been verified.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn open(payload: Vec<u8>, checked: usize, schema: &Schema) -> Result<Self, BadBlock> {
        let _ = (checked, schema);
        let bytes = zstd::bulk::decompress(&payload, 256 << 20).map_err(|error| BadBlock(error.to_string()))?;
        let frames = rmp_serde::from_slice(&bytes).map_err(|error| BadBlock(error.to_string()))?;
        Ok(Self { frames })
    }

    /// All its Frames, in the order in which they were taken in.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn frames(&self) -> Result<Vec<Frame>, BadBlock> {
        Ok(self.frames.clone())
    }

    /// Every reading of one series with its Frame's stamp.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn series(&self, id: SeriesId) -> Result<Vec<(Stamp, Reading)>, BadBlock> {
        let of = |frame: &Frame| {
            let at = frame.at;
            let found: Vec<_> =
                frame.samples.iter().filter(|(of, _)| *of == id).map(|(_, reading)| (at, reading.clone())).collect();
            found
        };
        Ok(self.frames.iter().flat_map(of).collect())
    }
}
