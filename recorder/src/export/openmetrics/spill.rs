//! Points set aside on disk, series by series: what is held in memory is a few buffers, whatever the recording's length.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use zstd::bulk::{Compressor, decompress};

/// Points held before all of them are written.
const MOST_HELD: usize = 32 << 20;

/// Bytes of a point: time, sort, value.
const POINT_BYTES: usize = 17;

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
    pub(super) value: PointValue,
}

/// What a series was then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PointValue {
    Count(u64),
    Number(f64),
    /// Which of the series' texts.
    State(usize),
}

impl Point {
    pub(super) fn count(at_ms: i64, count: u64) -> Self {
        Self { at_ms, value: PointValue::Count(count) }
    }

    pub(super) fn number(at_ms: i64, number: f64) -> Self {
        Self { at_ms, value: PointValue::Number(number) }
    }

    pub(super) fn state(at_ms: i64, state: usize) -> Self {
        Self { at_ms, value: PointValue::State(state) }
    }

    fn to_bytes(self) -> [u8; POINT_BYTES] {
        let (sort, bits) = match self.value {
            PointValue::Count(count) => (0, count),
            PointValue::Number(number) => (1, number.to_bits()),
            PointValue::State(state) => (2, state as u64),
        };
        let mut bytes = [0; POINT_BYTES];
        bytes[..8].copy_from_slice(&self.at_ms.to_le_bytes());
        bytes[8] = sort;
        bytes[9..].copy_from_slice(&bits.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; POINT_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, sort, value @ ..] = *bytes;
        let bits = u64::from_le_bytes(value);
        let value = match sort {
            0 => PointValue::Count(bits),
            1 => PointValue::Number(f64::from_bits(bits)),
            _ => PointValue::State(usize::try_from(bits).unwrap_or(usize::MAX)),
        };
        Self { at_ms: i64::from_le_bytes([a, b, c, d, e, f, g, h]), value }
    }
}

/// A stretch of a series in the file.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    offset: u64,
    compressed: usize,
    raw: usize,
}

#[derive(Debug, Default)]
struct Series {
    buffer: Vec<u8>,
    stretches: Vec<Stretch>,
}

/// The file and what points to it.
pub(super) struct Spill {
    file: File,
    end: u64,
    held: usize,
    series: Vec<Series>,
    compressor: Compressor<'static>,
}

impl Spill {
    pub(super) fn new(file: File) -> io::Result<Self> {
        Ok(Self { file, end: 0, held: 0, series: Vec::new(), compressor: Compressor::new(1)? })
    }

    /// Adds a point to a series.
    pub(super) fn push(&mut self, place: usize, point: Point) -> io::Result<()> {
        if place >= self.series.len() {
            self.series.resize_with(place + 1, Series::default);
        }
        if let Some(series) = self.series.get_mut(place) {
            series.buffer.extend_from_slice(&point.to_bytes());
            self.held += POINT_BYTES;
        }
        if self.held >= MOST_HELD { self.settle() } else { Ok(()) }
    }

    /// Writes what is held.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        for series in self.series.iter_mut().filter(|series| !series.buffer.is_empty()) {
            let buffer = std::mem::take(&mut series.buffer);
            let bytes = self.compressor.compress(&buffer)?;
            self.file.write_all_at(&bytes, self.end)?;
            series.stretches.push(Stretch { offset: self.end, compressed: bytes.len(), raw: buffer.len() });
            self.end += bytes.len() as u64;
        }
        self.held = 0;
        Ok(())
    }

    /// The points of a series in the order in which they came; what is held still is not among them.
    pub(super) fn points(&self, place: usize, mut take: impl FnMut(Point) -> io::Result<()>) -> io::Result<()> {
        for stretch in self.series.get(place).into_iter().flat_map(|series| &series.stretches) {
            let mut bytes = vec![0; stretch.compressed];
            self.file.read_exact_at(&mut bytes, stretch.offset)?;
            for point in decompress(&bytes, stretch.raw)?.as_chunks::<POINT_BYTES>().0 {
                take(Point::from_bytes(point))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_by_series_in_their_order() {
        let mut spill = Spill::new(tempfile::tempfile().unwrap()).unwrap();
        let point = |n: i64| [Point::count(n, u64::MAX), Point::number(n, -0.5), Point::state(n, 3)];
        for n in 0..100 {
            for (place, point) in point(n).into_iter().enumerate() {
                spill.push(place, point).unwrap();
            }
            if n % 7 == 0 {
                spill.settle().unwrap();
            }
        }
        spill.settle().unwrap();
        for place in 0..3 {
            let mut read = Vec::new();
            spill
                .points(place, |point| {
                    read.push(point);
                    Ok(())
                })
                .unwrap();
            assert_eq!(read, (0..100).map(|n| point(n)[place]).collect::<Vec<_>>());
        }
    }
}
