//! One series in the making: nothing for what stays the same, eight bytes for what changes.

use std::collections::HashMap;

use model::{Reading, Value};

/// Nothing was ever read.
pub(super) const NONE: u8 = 0;
/// Whole numbers.
pub(super) const COUNT: u8 = 1;
/// Numbers as whole numbers of a decimal unit.
pub(super) const DECIMAL: u8 = 2;
/// Numbers as the bits of a double, in an order in which greater numbers are greater.
pub(super) const DOUBLE: u8 = 3;
/// Yes or no.
pub(super) const FLAG: u8 = 4;
/// Places in the table of values.
pub(super) const TEXT: u8 = 5;

/// Why a row is not a good value of its column's kind.
pub(super) const STALE: u8 = 1;
pub(super) const UNSUPPORTED: u8 = 2;
pub(super) const DENIED: u8 = 3;
pub(super) const STUCK: u8 = 4;
pub(super) const LOST: u8 = 5;
/// A good value of another kind than the column's.
pub(super) const OTHER: u8 = 6;
/// A stale value of another kind than the column's.
pub(super) const OTHER_STALE: u8 = 7;

/// Rows in a row that are not good in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first of them.
    pub(super) row: u32,
    /// How many.
    pub(super) rows: u32,
    pub(super) code: u8,
    /// The age of a stale value, or since when a call is stuck.
    pub(super) arg: u64,
    /// Which call, or which value, in the table of values.
    pub(super) place: u32,
}

/// Texts, and values that are not of their column's kind, each once.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) all: Vec<Value>,
    /// About how many bytes they take.
    pub(super) bytes: usize,
    texts: HashMap<String, u32>,
}

impl Values {
    pub(super) fn text(&mut self, text: &str) -> u32 {
        if let Some(place) = self.texts.get(text) {
            return *place;
        }
        let place = self.push(Value::Text(text.into()));
        self.texts.insert(text.to_owned(), place);
        place
    }

    fn push(&mut self, value: Value) -> u32 {
        let place = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.bytes += 9 + value.as_text().map_or(0, |text| text.raw().len());
        self.all.push(value);
        place
    }

    fn value(&mut self, value: &Value) -> u32 {
        match value {
            Value::Text(text) => self.text(text.raw()),
            other => self.push(other.clone()),
        }
    }
}

/// A double's bits so that greater numbers are greater; its own inverse.
pub(super) fn ordered(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// The readings of one series so far.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// [`DECIMAL`] is for the sealer to find: numbers are [`DOUBLE`] here.
    pub(super) kind: u8,
    pub(super) rows: u32,
    /// The value of every row while `many` is empty.
    pub(super) one: i64,
    pub(super) many: Vec<i64>,
    pub(super) runs: Vec<Run>,
}

impl Cells {
    /// Takes in the next row.
    pub(super) fn push(&mut self, reading: &Reading, values: &mut Values) {
        match reading {
            Reading::Good(Value::Count(count)) if self.kind == COUNT => self.cell(count.cast_signed()),
            Reading::Good(Value::Number(number)) if self.kind == DOUBLE => {
                self.cell(ordered(number.to_bits().cast_signed()));
            }
            Reading::Good(Value::Flag(flag)) if self.kind == FLAG => self.cell(i64::from(*flag)),
            Reading::Good(value) => self.value(value, OTHER, 0, values),
            Reading::Stale(value, age) => self.value(value, OTHER_STALE, *age, values),
            Reading::Unsupported => self.none(UNSUPPORTED, 0, 0),
            Reading::Denied => self.none(DENIED, 0, 0),
            Reading::Stuck(since, call) => self.none(STUCK, *since, values.text(call)),
            Reading::Lost => self.none(LOST, 0, 0),
        }
    }

    fn value(&mut self, value: &Value, other: u8, age: u64, values: &mut Values) {
        let (kind, cell) = match value {
            Value::Count(count) => (COUNT, count.cast_signed()),
            Value::Number(number) => (DOUBLE, ordered(number.to_bits().cast_signed())),
            Value::Flag(flag) => (FLAG, i64::from(*flag)),
            Value::Text(text) => (TEXT, i64::from(values.text(text.raw()))),
        };
        if self.kind == NONE {
            // The rows before had none: they hold the first one, at no cost.
            (self.kind, self.one) = (kind, cell);
        }
        if self.kind != kind {
            let place = values.value(value);
            return self.none(other, age, place);
        }
        if other == OTHER_STALE {
            self.run(STALE, age, 0);
        }
        self.cell(cell);
    }

    /// A row without a value of its own: it holds the one before.
    fn none(&mut self, code: u8, arg: u64, place: u32) {
        self.run(code, arg, place);
        self.cell(self.many.last().copied().unwrap_or(self.one));
    }

    fn run(&mut self, code: u8, arg: u64, place: u32) {
        if let Some(last) = self.runs.last_mut()
            && (last.code, last.arg, last.place) == (code, arg, place)
            && last.row + last.rows == self.rows
        {
            last.rows += 1;
            return;
        }
        self.runs.push(Run { row: self.rows, rows: 1, code, arg, place });
    }

    fn cell(&mut self, cell: i64) {
        let rows = self.rows as usize;
        if self.many.is_empty() {
            if rows == 0 {
                self.one = cell;
            } else if cell != self.one {
                self.many.reserve_exact(rows + 64);
                self.many.resize(rows, self.one);
                self.many.push(cell);
            }
        } else {
            if self.many.len() == self.many.capacity() {
                self.many.reserve_exact(rows / 8 + 64);
            }
            self.many.push(cell);
        }
        self.rows += 1;
    }
}
