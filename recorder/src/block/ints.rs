//! Lists of whole numbers as bytes: small ones cheap, noise at its price, and everything that a few lines of numpy undo.
//!
//! A number is zigzagged (0, -1, 1, -2 … as 0, 1, 2, 3 …). As *tokens* its magnitude becomes one byte, which zstd's
//! entropy coder packs well, and its low bits, which are noise, stand in a bit stream as they are. As *planes* its first,
//! second, … bytes stand together, which is smaller where large numbers repeat.

use std::cell::Cell;

use super::BadBlock;

/// Tokens and a bit stream.
pub(super) const TOKENS: u8 = 1;
/// Byte planes.
pub(super) const PLANES: u8 = 2;

/// The first zigzagged number whose token does not say all of it.
const WHOLE: u64 = 16;
/// Zeros are skipped so many at a time.
const RUN: usize = 32;
/// The most bytes that a decoder keeps from one block to the next.
const MOST_KEPT: usize = 1 << 20;
/// A bit is looked up in the eight bytes around it, wherever in the stream.
const PADDING: usize = 16;
const LEVEL: i32 = 3;

/// Small magnitudes of either sign as small numbers.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

/// Floor of the binary logarithm; of 1 for 0.
fn magnitude(value: u64) -> u32 {
    63 - (value | 1).leading_zeros()
}

fn low(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// The token of a zigzagged number and how many low bits follow it.
fn token(value: u64) -> (u8, u32) {
    if value < WHOLE {
        return (low(value), 0);
    }
    let magnitude = magnitude(value);
    let two = low(value >> (magnitude - 2)) & 3;
    // At most 16 + 59 * 4 + 3 = 255.
    (low(16 + u64::from(magnitude - 4) * 4) | two, magnitude - 2)
}

/// Per token: how many bits follow it, and what the number is without them.
#[allow(clippy::cast_possible_truncation)] // No number here is above 255.
const fn token_table() -> ([u8; 256], [u64; 256]) {
    let (mut widths, mut bases) = ([0u8; 256], [0u64; 256]);
    let mut token = 0u64;
    while token < 256 {
        if token < WHOLE {
            bases[token as usize] = token;
        } else {
            let magnitude = (token - 16) / 4 + 4;
            bases[token as usize] = (1 << magnitude) | ((token & 3) << (magnitude - 2));
            widths[token as usize] = (magnitude - 2) as u8;
        }
        token += 1;
    }
    (widths, bases)
}

const WIDTHS: [u8; 256] = token_table().0;
const BASES: [u64; 256] = token_table().1;

/// Roughly what a number costs, in quarters of a bit.
pub(super) fn cost(value: i64) -> u64 {
    let value = zigzag(value).saturating_add(1);
    let magnitude = magnitude(value);
    let quarter = ((value << (63 - magnitude)) >> 61) & 3;
    u64::from(magnitude) * 4 + quarter
}

/// Encodes lists of numbers.
pub(super) struct Coder {
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Coder {
    pub(super) fn new() -> Self {
        Self { zstd: zstd::bulk::Compressor::new(LEVEL).ok() }
    }

    /// Bytes packed, if that makes them fewer.
    pub(super) fn pack(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let packed = self.zstd.as_mut()?.compress(bytes).ok()?;
        (packed.len() < bytes.len()).then_some(packed)
    }

    /// The shorter of the encodings, and which it is.
    pub(super) fn encode(&mut self, values: &[i64]) -> (u8, Vec<u8>) {
        let tokens = self.tokens(values);
        let planes = self.planes(values, tokens.len());
        planes.map_or((TOKENS, tokens), |planes| (PLANES, planes))
    }

    fn tokens(&mut self, values: &[i64]) -> Vec<u8> {
        let (mut tokens, mut bits) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
        let (mut waiting, mut count) = (0u128, 0u32);
        for value in values {
            let value = zigzag(*value);
            let (token, width) = token(value);
            tokens.push(token);
            waiting |= u128::from(value & ((1 << width) - 1)) << count;
            count += width;
            if count >= 64 {
                bits.extend_from_slice(waiting.to_le_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
                waiting >>= 64;
                count -= 64;
            }
        }
        bits.extend(waiting.to_le_bytes().iter().take(count.div_ceil(8) as usize));
        let packed = self.pack(&tokens).unwrap_or(tokens);
        let mut stream = Vec::with_capacity(4 + packed.len() + bits.len());
        stream.extend(length_bytes(packed.len()));
        stream.extend(packed);
        stream.extend(bits);
        stream
    }

    /// `None` if that is not shorter than `most`.
    fn planes(&mut self, values: &[i64], most: usize) -> Option<Vec<u8>> {
        let all = values.iter().fold(0, |all, value| all | zigzag(*value));
        let planes = (64 - all.leading_zeros()).div_ceil(8);
        let mut stream = vec![low(u64::from(planes))];
        for plane in 0..planes {
            let bytes: Vec<u8> = values.iter().map(|value| low(zigzag(*value) >> (plane * 8))).collect();
            let packed = self.pack(&bytes).unwrap_or(bytes);
            stream.extend(length_bytes(packed.len()));
            stream.extend(packed);
            if stream.len() >= most {
                return None;
            }
        }
        (stream.len() < most).then_some(stream)
    }
}

fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

thread_local! {
    /// Making one costs as much as decoding some thousand numbers.
    static SPARE: Cell<Option<Decoder>> = const { Cell::new(None) };
}

/// Decodes what [`Coder`] made.
pub(super) struct Decoder {
    zstd: zstd::bulk::Decompressor<'static>,
    tokens: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Result<Self, BadBlock> {
        let zstd = zstd::bulk::Decompressor::new().map_err(|error| BadBlock(error.to_string()))?;
        Ok(Self { zstd, tokens: Vec::new() })
    }

    /// Lends this thread's decoder.
    pub(super) fn lend<T>(work: impl FnOnce(&mut Self) -> Result<T, BadBlock>) -> Result<T, BadBlock> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let mut decoder = spare.map_or_else(Self::new, Ok)?;
        let done = work(&mut decoder);
        if decoder.tokens.capacity() <= MOST_KEPT {
            // A thread that is ending has no place for it any more.
            let _ending = SPARE.try_with(|spare| spare.set(Some(decoder)));
        }
        done
    }

    /// The numbers, of which there are exactly `count`, behind those in `values`; it may stop once it has `enough`. The
    /// caller has bounded `count`.
    pub(super) fn decode(
        &mut self,
        encoding: u8,
        stream: Vec<u8>,
        (count, enough): (usize, usize),
        values: &mut Vec<i64>,
    ) -> Result<(), BadBlock> {
        match encoding {
            TOKENS => self.untoken(stream, (count, enough), values),
            PLANES => self.unplane(&stream, count, values),
            other => Err(BadBlock(format!("numbers in an encoding that is not known: {other}"))),
        }
    }

    /// `packed` as `count` bytes in `self.tokens`.
    fn unpack(&mut self, packed: &[u8], count: usize) -> Result<(), BadBlock> {
        self.tokens.clear();
        if packed.len() == count {
            self.tokens.extend_from_slice(packed);
            return Ok(());
        }
        self.tokens.resize(count, 0);
        let found = self.zstd.decompress_to_buffer(packed, self.tokens.as_mut_slice());
        match found {
            Ok(found) if found == count => Ok(()),
            Ok(found) => Err(BadBlock(format!("{found} bytes where {count} were announced"))),
            Err(error) => Err(BadBlock(error.to_string())),
        }
    }

    fn untoken(
        &mut self,
        mut stream: Vec<u8>,
        (count, enough): (usize, usize),
        values: &mut Vec<i64>,
    ) -> Result<(), BadBlock> {
        let (packed, bits_at) = piece(&stream, 0).ok_or_else(|| BadBlock("a stream that ends early".into()))?;
        self.unpack(packed, count)?;
        let needed: u64 = self.tokens.iter().map(|token| u64::from(WIDTHS[usize::from(*token)])).sum();
        if needed.div_ceil(8) != u64::try_from(stream.len() - bits_at).unwrap_or(u64::MAX) {
            return Err(BadBlock(format!("{} bytes where {needed} bits were announced", stream.len() - bits_at)));
        }
        stream.extend([0; PADDING]);
        let bits = stream.get(bits_at..).unwrap_or_default();
        let mut at = 0;
        let enough = enough.min(count);
        values.reserve_exact(enough);
        values.extend(self.tokens.iter().take(enough).map(|token| {
            let width = WIDTHS[usize::from(*token)];
            let value = BASES[usize::from(*token)] | (window(bits, at, width) & ((1 << width) - 1));
            at += usize::from(width);
            unzigzag(value)
        }));
        Ok(())
    }

    fn unplane(&mut self, stream: &[u8], count: usize, values: &mut Vec<i64>) -> Result<(), BadBlock> {
        let planes = stream.first().copied().unwrap_or(u8::MAX);
        if planes > 8 {
            return Err(BadBlock(format!("numbers of {planes} bytes")));
        }
        let (mut at, from) = (1, values.len());
        values.resize(from + count, 0);
        for plane in 0..planes {
            let (packed, next) = piece(stream, at).ok_or_else(|| BadBlock("a stream that ends early".into()))?;
            at = next;
            self.unpack(packed, count)?;
            let values = values.get_mut(from..).unwrap_or_default();
            for (values, bytes) in values.chunks_mut(RUN).zip(self.tokens.chunks(RUN)) {
                // Most bytes of the higher planes.
                if bytes.iter().fold(0, |all, byte| all | byte) == 0 {
                    continue;
                }
                for (value, byte) in values.iter_mut().zip(bytes) {
                    *value |= (u64::from(*byte) << (plane * 8)).cast_signed();
                }
            }
        }
        for value in values.iter_mut().skip(from) {
            *value = unzigzag(value.cast_unsigned());
        }
        Ok(())
    }
}

/// The bits from `at` on, at least `width` of them.
fn window(bits: &[u8], at: usize, width: u8) -> u64 {
    let eight = |from: usize| {
        let bytes = bits.get(from..).and_then(|bytes| bytes.first_chunk::<8>());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let (byte, shift) = (at >> 3, at & 7);
    let window = eight(byte) >> shift;
    if width > 57 && shift > 0 { window | (eight(byte + 8) << (64 - shift)) } else { window }
}

/// The bytes behind a length at `at`, and where they end.
fn piece(stream: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = stream.get(at..)?.first_chunk::<4>()?;
    let from = at + 4;
    let to = from.checked_add(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((stream.get(from..to)?, to))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i64]) {
        let (mut coder, mut decoder) = (Coder::new(), Decoder::new().unwrap());
        let tokens = coder.tokens(values);
        let mut found = vec![7];
        decoder.decode(TOKENS, tokens, (values.len(), values.len()), &mut found).unwrap();
        assert_eq!(found.split_off(1), values);
        let planes = coder.planes(values, usize::MAX).unwrap();
        decoder.decode(PLANES, planes, (values.len(), values.len()), &mut found).unwrap();
        assert_eq!(found.split_off(1), values);
    }

    #[test]
    fn every_magnitude_comes_back() {
        let edges: Vec<_> =
            (0..64).map(|bit| 1i64 << bit).flat_map(|v| [v, v.wrapping_sub(1), v.wrapping_neg()]).collect();
        round_trip(&edges);
        round_trip(&[]);
        round_trip(&[0; 5000]);
    }

    proptest! {
        #[test]
        fn numbers_come_back(values: Vec<i64>, small in proptest::collection::vec(-40..40i64, 0..900)) {
            round_trip(&values);
            round_trip(&small);
        }

        #[test]
        fn no_bytes_are_too_bad(encoding in 0..4u8, bytes: Vec<u8>, count in 0..900usize) {
            let mut found = Vec::new();
            if Decoder::new().unwrap().decode(encoding, bytes, (count, count), &mut found).is_ok() {
                prop_assert_eq!(found.len(), count);
            }
        }
    }
}
