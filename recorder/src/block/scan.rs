//! A column, decoded: numbers, and what they stand for.

use model::{Reading, SeriesId, Stamp, Value};

use super::cells::{COUNT, DECIMAL, DOUBLE, FLAG, OTHER, OTHER_STALE, Run, TEXT};
use super::columns::{Columns, Described};
use super::table::Table;
use super::{BadBlock, decimal};

/// What the numbers of a column stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Nothing: no row has a value.
    None,
    /// `u64`, wrapped into `i64`.
    Count,
    /// Whole numbers of units; see [`Column::number`].
    Decimal,
    /// Doubles in an order of their own; see [`Column::number`].
    Double,
    /// 0 and 1.
    Flag,
    /// Places in a table of texts.
    Text,
}

/// One series of a block, decoded.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    pub(super) described: &'a Described,
    pub(super) columns: &'a Columns,
    pub(super) table: &'a Table,
    /// One per row, or one for all rows.
    pub(super) numbers: &'a [i64],
    pub(super) frames: &'a [u32],
}

impl<'a> Column<'a> {
    /// Which series.
    pub fn id(&self) -> SeriesId {
        self.described.id
    }

    /// What the numbers stand for.
    pub fn kind(&self) -> Kind {
        match self.described.kind {
            COUNT => Kind::Count,
            DECIMAL => Kind::Decimal,
            DOUBLE => Kind::Double,
            FLAG => Kind::Flag,
            TEXT => Kind::Text,
            _ => Kind::None,
        }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.frames.len()
    }

    /// Which Frame of the block each row is from, as places in [`super::Block::heads`].
    pub fn frames(&self) -> &'a [u32] {
        self.frames
    }

    /// The numbers, one per row, or a single one that all rows have. A row without a value has that of the row before.
    pub fn numbers(&self) -> &'a [i64] {
        self.numbers
    }

    /// Whether every row has the same number.
    pub fn is_constant(&self) -> bool {
        self.numbers.len() == 1
    }

    /// Whether every row is a good reading of the column's own kind.
    pub fn is_good(&self) -> bool {
        self.described.runs.0 == self.described.runs.1
    }

    /// A number as the value that it stands for, for plots and thresholds; `None` for texts.
    #[inline]
    pub fn number(&self, number: i64) -> Option<f64> {
        match self.described.kind {
            COUNT => Some(model::reading::count_as_f64(number.cast_unsigned())),
            DECIMAL => Some(decimal::number(number, self.described.scale)),
            DOUBLE | FLAG => self.columns.value(self.described, number)?.as_f64(),
            _ => None,
        }
    }

    /// A number as the value that it stands for.
    pub fn value(&self, number: i64) -> Option<Value> {
        self.columns.value(self.described, number)
    }

    /// The instant of a row.
    pub fn at(&self, row: usize) -> Stamp {
        self.frames.get(row).map(|frame| self.table.at(*frame)).unwrap_or_default()
    }

    /// The rows that are not good readings of the column's own kind: first row, how many, and whether they are values
    /// of another kind, which only [`Column::reading`] knows.
    pub fn exceptions(&self) -> impl Iterator<Item = (usize, usize, bool)> + 'a {
        let runs = self.columns.runs(self.described).iter();
        runs.map(|run| (run.row as usize, run.rows as usize, matches!(run.code, OTHER | OTHER_STALE)))
    }

    fn cell(&self, row: usize) -> i64 {
        let number = if self.is_constant() { self.numbers.first() } else { self.numbers.get(row) };
        number.copied().unwrap_or(0)
    }

    fn run(&self, row: usize) -> Option<&'a Run> {
        let runs = self.columns.runs(self.described);
        let behind = runs.partition_point(|run| run.row as usize <= row);
        runs.get(behind.checked_sub(1)?).filter(|run| row < (run.row + run.rows) as usize)
    }

    /// What was read in a row.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn reading(&self, row: usize) -> Result<Reading, BadBlock> {
        self.columns.reading(self.described, self.cell(row), self.run(row))
    }

    /// Every row, in order.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn readings(&self) -> impl Iterator<Item = Result<(Stamp, Reading), BadBlock>> + 'a {
        let column = *self;
        (0..self.rows()).map(move |row| Ok((column.at(row), column.reading(row)?)))
    }
}
