//! Rows gathered into columns, and columns written as row groups.

use std::fs::File;
use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, Type};

use super::refused;

/// Rows gathered before they are written: what readers take as one piece of work, and some 40 MB here.
const GROUP_ROWS: usize = 122_880;

/// Row groups in one file; its directory of them is held until it is closed.
const MOST_GROUPS: usize = 128;

/// A place in a row.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Int(Option<i64>),
    Double(Option<f64>),
    Flag(Option<bool>),
    Text(Option<ByteArray>),
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(Some(ByteArray::from(text)))
    }

    /// A count: the same 64 bits, which the schema says are unsigned.
    pub(super) fn count(count: Option<u64>) -> Self {
        Self::Int(count.map(u64::cast_signed))
    }
}

/// What the parts of a table have in common.
#[derive(Debug)]
pub(super) struct Table {
    schema: Arc<Type>,
    properties: Arc<WriterProperties>,
}

impl Table {
    pub(super) fn new(schema: &str) -> io::Result<Self> {
        let schema = Arc::new(parse_message_type(schema).map_err(refused)?);
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("gpudeck ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(refused)?));
        // Times and numbers that rise by a little: no dictionary gains anything.
        for rising in ["time", "mono_ns", "seq"] {
            let column = ColumnPath::from(rising);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
        Ok(Self { schema, properties: Arc::new(properties.build()) })
    }
}

/// A column of the row group being gathered; `levels` tell which rows have a value, where one may lack it.
#[derive(Debug)]
struct Column {
    values: Values,
    levels: Option<Vec<i16>>,
}

#[derive(Debug)]
enum Values {
    Int(Vec<i64>),
    Double(Vec<f64>),
    Flag(Vec<bool>),
    Text(Vec<ByteArray>),
}

impl Column {
    fn of(field: &Type) -> Self {
        let optional = field.get_basic_info().repetition() == Repetition::OPTIONAL;
        let values = match field.get_physical_type() {
            Physical::INT64 => Values::Int(Vec::new()),
            Physical::DOUBLE => Values::Double(Vec::new()),
            Physical::BOOLEAN => Values::Flag(Vec::new()),
            _ => Values::Text(Vec::new()),
        };
        Self { values, levels: optional.then(Vec::new) }
    }

    fn push(&mut self, cell: Cell) {
        let there = match (&mut self.values, cell) {
            (Values::Int(values), Cell::Int(cell)) => keep(values, cell),
            (Values::Double(values), Cell::Double(cell)) => keep(values, cell),
            (Values::Flag(values), Cell::Flag(cell)) => keep(values, cell),
            (Values::Text(values), Cell::Text(cell)) => keep(values, cell),
            // The rows are made next to the schema: this does not happen, and would be a missing value.
            _ => false,
        };
        if let Some(levels) = &mut self.levels {
            levels.push(i16::from(there));
        }
    }

    /// Writes what was gathered and begins anew.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), parquet::errors::ParquetError> {
        let levels = self.levels.as_deref();
        match &mut self.values {
            Values::Int(values) => {
                writer.typed::<Int64Type>().write_batch(values, levels, None).map(|_| values.clear())
            }
            Values::Double(values) => {
                writer.typed::<DoubleType>().write_batch(values, levels, None).map(|_| values.clear())
            }
            Values::Flag(values) => {
                writer.typed::<BoolType>().write_batch(values, levels, None).map(|_| values.clear())
            }
            Values::Text(values) => {
                writer.typed::<ByteArrayType>().write_batch(values, levels, None).map(|_| values.clear())
            }
        }?;
        if let Some(levels) = &mut self.levels {
            levels.clear();
        }
        Ok(())
    }
}

fn keep<T>(values: &mut Vec<T>, cell: Option<T>) -> bool {
    let there = cell.is_some();
    values.extend(cell);
    there
}

/// One file of a table.
pub(super) struct Part {
    writer: SerializedFileWriter<File>,
    columns: Vec<Column>,
    rows: usize,
    groups: usize,
}

impl Part {
    pub(super) fn new(file: File, table: &Table) -> io::Result<Self> {
        let writer = SerializedFileWriter::new(file, Arc::clone(&table.schema), Arc::clone(&table.properties));
        let columns = table.schema.get_fields().iter().map(|field| Column::of(field)).collect();
        Ok(Self { writer: writer.map_err(refused)?, columns, rows: 0, groups: 0 })
    }

    pub(super) fn push(&mut self, row: impl IntoIterator<Item = Cell>) -> io::Result<()> {
        for (column, cell) in self.columns.iter_mut().zip(row) {
            column.push(cell);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    /// Whether the next row goes into another file.
    pub(super) fn is_full(&self) -> bool {
        self.groups >= MOST_GROUPS
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(refused)?;
        for column in &mut self.columns {
            if let Some(mut writer) = group.next_column().map_err(refused)? {
                column.write(&mut writer).map_err(refused)?;
                writer.close().map_err(refused)?;
            }
        }
        group.close().map_err(refused)?;
        (self.rows, self.groups) = (0, self.groups + 1);
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.writer.close().map_err(refused)?;
        Ok(())
    }
}
