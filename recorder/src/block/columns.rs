//! What a block says of its columns besides their numbers.

use model::{Reading, SeriesId, Untrusted, Value};

use super::cells::{
    COUNT, DECIMAL, DENIED, DOUBLE, FLAG, LOST, OTHER, OTHER_STALE, Run, STALE, STUCK, TEXT, UNSUPPORTED, ordered,
};
use super::table::{Numbers, Table, place};
use super::transform::{CONSTANT, LIKE};
use super::{BadBlock, decimal, order};
use crate::schema::Schema;

/// One column: its series and how its numbers are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Described {
    pub(super) id: SeriesId,
    pub(super) kind: u8,
    pub(super) transform: u8,
    pub(super) scale: u8,
    pub(super) step: i64,
    pub(super) center: i64,
    /// In the numbers of the kind.
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) most: i64,
    pub(super) least: i64,
    /// Its part of the runs.
    pub(super) runs: (u32, u32),
}

impl Described {
    /// Whether its numbers stand in a chunk.
    pub(super) fn coded(&self) -> bool {
        !matches!(self.transform, CONSTANT | LIKE)
    }

    /// The column that it moves like, and whether against it.
    pub(super) fn like(&self, number: u32) -> Option<(u32, bool)> {
        if self.transform != LIKE {
            return None;
        }
        let back = u32::try_from(self.center >> 1).ok()?;
        Some((number.checked_sub(back)?, self.center & 1 == 1))
    }
}

/// All columns of a block.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) all: Vec<Described>,
    pub(super) runs: Vec<Run>,
    pub(super) values: Vec<Value>,
}

impl Columns {
    /// The places of the columns in the schema.
    pub(super) fn places(columns: &[i64]) -> Result<Vec<u32>, BadBlock> {
        let mut last = 0i64;
        let places = columns.get(..columns.len() / 5).unwrap_or_default();
        let place = |delta: &i64| {
            last = last.wrapping_add(*delta);
            u32::try_from(last).map_err(|_| BadBlock(format!("a column of series {last}")))
        };
        places.iter().map(place).collect()
    }

    /// Puts the descriptions, the summary and the values together.
    pub(super) fn new(
        (columns, summary, values): (&[i64], &[i64], Vec<Value>),
        places: &[u32],
        schema: &Schema,
    ) -> Result<Self, BadBlock> {
        let count = places.len();
        let (mut lists, mut sums) = (Numbers(columns), Numbers(summary));
        lists.take(count)?;
        let (codes, scales) = (lists.take(count)?, lists.take(count)?);
        let (steps, centers) = (lists.take(count)?, lists.take(count)?);
        let (firsts, lasts) = (sums.take(count)?, sums.take(count)?);
        let (mosts, leasts) = (sums.take(count)?, sums.take(count)?);
        let mut all = Vec::<Described>::with_capacity(count);
        let (mut step, mut first) = (0i64, 0i64);
        for number in 0..count {
            let series = places.get(number).and_then(|place| schema.defs().get(*place as usize));
            let series = series.ok_or_else(|| BadBlock("a column of a series that the schema does not have".into()))?;
            let code = place(codes[number], 7 << 3)?;
            let (kind, transform) = (code.to_le_bytes()[0] & 7, (code >> 3).to_le_bytes()[0]);
            let scale = place(scales[number], 64)?.to_le_bytes()[0];
            if kind > TEXT || !decimal::known(scale) {
                return Err(BadBlock(format!("a column of kind {kind} and scale {scale}")));
            }
            step = step.wrapping_add(steps[number]);
            first = first.wrapping_add(firsts[number]);
            let value = |steps: i64| first.wrapping_add(step.wrapping_mul(steps));
            let last_step = lasts[number];
            let upside = order(kind, value(last_step)) > order(kind, first);
            let (higher, lower) = if upside { (last_step, 0) } else { (0, last_step) };
            let described = Described {
                id: series.id,
                kind,
                transform,
                scale,
                step,
                center: centers[number],
                first,
                last: value(last_step),
                most: value(higher.wrapping_add(mosts[number])),
                least: value(lower.wrapping_sub(leasts[number])),
                runs: (0, 0),
            };
            if transform == LIKE {
                let like = described.like(u32::try_from(number).unwrap_or(u32::MAX));
                let like = like.and_then(|(like, _)| all.get(like as usize));
                if !like.is_some_and(Described::coded) {
                    return Err(BadBlock("a column that is like none before it".into()));
                }
            }
            all.push(described);
        }
        Ok(Self { all, runs: Vec::new(), values })
    }

    /// Adds the readings that are not good.
    pub(super) fn quality(&mut self, numbers: &[i64], table: &Table) -> Result<(), BadBlock> {
        let count = numbers.len() / 6;
        let mut lists = Numbers(numbers);
        let mut list = || lists.take(count);
        let (columns, gaps, lengths, codes, args, places) = (list()?, list()?, list()?, list()?, list()?, list()?);
        let (mut column, mut row, mut arg) = (0i64, 0i64, 0u64);
        for run in 0..count {
            if columns[run] < 0 || gaps[run] < 0 || lengths[run] < 0 {
                return Err(BadBlock("qualities that go back".into()));
            }
            column = column.wrapping_add(columns[run]);
            let number = place(column, self.all.len())?;
            let rows = table.frames(number).len();
            row = gaps[run].wrapping_add(if columns[run] == 0 { row } else { 0 });
            let (first, length) = (place(row, rows)?, place(lengths[run], rows)?.wrapping_add(1));
            row = row.wrapping_add(i64::from(length));
            arg = arg.wrapping_add(args[run].cast_unsigned());
            let code = place(codes[run], usize::from(OTHER_STALE) + 1)?.to_le_bytes()[0];
            let of = match code {
                STUCK | OTHER | OTHER_STALE => self.values.len(),
                _ => 1,
            };
            let run = Run { row: first, rows: length, code, arg, place: place(places[run], of)? };
            if code == 0 || u64::from(first) + u64::from(length) > u64::try_from(rows).unwrap_or(0) {
                return Err(BadBlock("a quality of no row".into()));
            }
            let end = u32::try_from(self.runs.len()).unwrap_or(u32::MAX);
            let runs = &mut self.all[number as usize].runs;
            *runs = (if runs.1 == 0 { end } else { runs.0 }, end + 1);
            self.runs.push(run);
        }
        Ok(())
    }

    /// The runs of a column.
    pub(super) fn runs(&self, column: &Described) -> &[Run] {
        self.runs.get(column.runs.0 as usize..column.runs.1 as usize).unwrap_or_default()
    }

    /// A value of a column from its number. `None` if its column holds none, or for a text that is not there.
    pub(super) fn value(&self, column: &Described, number: i64) -> Option<Value> {
        match column.kind {
            COUNT => Some(Value::Count(number.cast_unsigned())),
            DECIMAL => Some(Value::Number(decimal::number(number, column.scale))),
            DOUBLE => Some(Value::Number(f64::from_bits(ordered(number).cast_unsigned()))),
            FLAG => Some(Value::Flag(number != 0)),
            TEXT => Some(Value::Text(self.text(number)?.clone())),
            _ => None,
        }
    }

    fn text(&self, number: i64) -> Option<&Untrusted> {
        self.values.get(usize::try_from(number).ok()?)?.as_text()
    }

    /// A reading of a column from its number and from what else is said of its row.
    pub(super) fn reading(&self, column: &Described, number: i64, run: Option<&Run>) -> Result<Reading, BadBlock> {
        let no_value = || BadBlock(format!("a reading without a value, of series {}", column.id.0));
        let value = || self.value(column, number).ok_or_else(no_value);
        let Some(run) = run else { return Ok(Reading::Good(value()?)) };
        let other = || self.values.get(run.place as usize).cloned().ok_or_else(no_value);
        Ok(match run.code {
            STALE => Reading::Stale(value()?, run.arg),
            UNSUPPORTED => Reading::Unsupported,
            DENIED => Reading::Denied,
            STUCK => {
                let call = self.text(i64::from(run.place)).ok_or_else(no_value)?;
                Reading::Stuck(run.arg, call.raw().to_owned())
            }
            LOST => Reading::Lost,
            OTHER => Reading::Good(other()?),
            _ => Reading::Stale(other()?, run.arg),
        })
    }
}
