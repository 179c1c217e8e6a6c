//! The columns of a block, decoded chunk by chunk.

use super::Block;
use crate::block::BadBlock;
use crate::block::columns::Described;
use crate::block::ints::Decoder;
use crate::block::transform::Shared;

/// All columns, decoded: their numbers one after the other, and where each begins and ends.
#[derive(Default)]
pub(super) struct Decoded {
    numbers: Vec<i64>,
    of: Vec<(usize, usize)>,
}

impl Decoded {
    pub(super) fn get(&self, column: usize) -> &[i64] {
        let (from, to) = self.of.get(column).copied().unwrap_or_default();
        self.numbers.get(from..to).unwrap_or_default()
    }
}

impl Block {
    /// Decodes the coded columns of a chunk behind what is in `numbers`, the last wanted being `until`.
    fn chunk(
        &self,
        decoder: &mut Decoder,
        chunk: u32,
        until: usize,
        numbers: &mut Vec<i64>,
        mut found: impl FnMut(usize, (usize, usize)),
    ) -> Result<(), BadBlock> {
        let stream = self.streams.get(chunk as usize).ok_or_else(|| BadBlock("a column without a chunk".into()))?;
        let range = stream.first as usize..stream.first as usize + stream.columns as usize;
        let columns = self.columns.all.get(range.clone()).unwrap_or_default();
        let coded = || range.clone().zip(columns).filter(|(_, column)| column.coded());
        let rows = coded().next().map_or(0, |(number, _)| self.rows(number).len());
        let fits = rows > 0 && coded().all(|(number, _)| self.rows(number).len() == rows);
        let count = coded().count().checked_mul(rows.saturating_sub(1));
        if !fits || count != Some(stream.decoded as usize) {
            return Err(BadBlock(format!("a chunk of {} numbers for columns of {rows} rows", stream.decoded)));
        }
        let mut written = Vec::new();
        let enough = coded().take_while(|(number, _)| *number <= until).count().saturating_mul(rows - 1);
        let counts = (stream.decoded as usize, enough);
        decoder.decode(stream.encoding, self.load(stream)?, counts, &mut written)?;
        let mut shared = Shared::default();
        shared.reset(rows);
        for ((number, column), written) in coded().zip(written.chunks_exact((rows - 1).max(1))) {
            let from = numbers.len();
            if !shared.undo(column.transform, column.center, written, numbers) {
                return Err(BadBlock(format!("a column with transform {}", column.transform)));
            }
            for step in numbers.iter_mut().skip(from) {
                *step = column.first.wrapping_add(column.step.wrapping_mul(*step));
            }
            found(number, (from, numbers.len()));
            if number >= until {
                break;
            }
        }
        Ok(())
    }

    /// The numbers of a column that is like another one.
    fn follow(&self, column: &Described, (other, against): (u32, bool), numbers: &mut Vec<i64>, of: (usize, usize)) {
        let first = self.columns.all.get(other as usize).map_or(0, |other| other.first);
        numbers.reserve(of.1 - of.0);
        for at in of.0..of.1 {
            let away = numbers[at].wrapping_sub(first);
            let away = if against { away.wrapping_neg() } else { away };
            numbers.push(column.first.wrapping_add(away));
        }
    }

    pub(super) fn decode(&self) -> Result<Decoded, BadBlock> {
        Decoder::lend(|decoder| self.decode_all(decoder))
    }

    fn decode_all(&self, decoder: &mut Decoder) -> Result<Decoded, BadBlock> {
        let count = self.columns.all.len();
        let mut decoded = Decoded { numbers: Vec::new(), of: vec![(0, 0); count] };
        let Decoded { numbers, of } = &mut decoded;
        for (number, column) in (0u32..).zip(&self.columns.all) {
            let at = number as usize;
            if let Some(like) = column.like(number) {
                let other = of[like.0 as usize];
                if other.1 - other.0 != self.rows(at).len() {
                    return Err(BadBlock("a column that is like one with other rows".into()));
                }
                let from = numbers.len();
                self.follow(column, like, numbers, other);
                of[at] = (from, numbers.len());
            } else if !column.coded() {
                of[at] = (numbers.len(), numbers.len() + 1);
                numbers.push(column.first);
            } else if of[at] == (0, 0) {
                let chunk = self.chunk_of[at];
                self.chunk(decoder, chunk, usize::MAX, numbers, |number, found| of[number] = found)?;
            }
        }
        Ok(decoded)
    }

    /// The numbers of one column, decoding only its chunk.
    pub(super) fn decode_one(&self, column: usize) -> Result<Vec<i64>, BadBlock> {
        let number = u32::try_from(column).unwrap_or(u32::MAX);
        let described = self.columns.all.get(column).ok_or_else(|| BadBlock("no such column".into()))?;
        let like = described.like(number);
        if like.is_none() && !described.coded() {
            return Ok(vec![described.first]);
        }
        let wanted = like.map_or(column, |(other, _)| other as usize);
        let (mut numbers, mut of) = (Vec::new(), (0, 0));
        let chunk = self.chunk_of.get(wanted).copied().unwrap_or(u32::MAX);
        Decoder::lend(|decoder| self.chunk(decoder, chunk, wanted, &mut numbers, |_, found| of = found))?;
        if let Some(like) = like {
            self.follow(described, like, &mut numbers, of);
            of = (of.1, numbers.len());
        }
        if of.1 - of.0 != self.rows(column).len() {
            return Err(BadBlock("a column that is like one with other rows".into()));
        }
        numbers.truncate(of.1);
        Ok(numbers.split_off(of.0))
    }
}
