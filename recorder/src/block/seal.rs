//! Columns into the payload of a section.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use model::MetricName;

use super::builder::Builder;
use super::cells::{Cells, DECIMAL, DOUBLE, ordered};
use super::index::{
    self, CHUNK, COLUMNS, EXTRAS, FRAMES, Info, PACKED, PLAIN, QUALITY, SHAPES, SUMMARY, Stream, VALUES,
};
use super::ints::Coder;
use super::transform::{CONSTANT, LIKE, Shared};
use super::{CHUNK_VALUES, Sealed, decimal, order};
use crate::schema::Schema;

/// A column on its way into the block.
struct Column<'a> {
    cells: &'a Cells,
    place: u32,
    metric: usize,
    presence: u32,
    kind: u8,
    scale: u8,
}

/// What the columns and the summary say of each column.
#[derive(Default)]
struct Described {
    /// Places, kinds and transforms, scales, steps, centres.
    columns: [Vec<i64>; 5],
    /// Firsts, lasts, mosts, leasts.
    summary: [Vec<i64>; 4],
}

/// Streams, written.
struct Written {
    coder: Coder,
    table: Vec<Stream>,
    bytes: Vec<u8>,
}

fn int(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

impl Written {
    fn put(&mut self, stream: Stream, bytes: &[u8]) {
        let checksum = crc32c::crc32c(bytes);
        self.table.push(Stream { length: count(bytes), checksum, ..stream });
        self.bytes.extend_from_slice(bytes);
    }

    fn numbers(&mut self, kind: u8, (first, columns): (u32, u32), values: &[i64]) {
        let (encoding, bytes) = self.coder.encode(values);
        self.put(Stream { kind, encoding, first, columns, decoded: count(values), ..Stream::default() }, &bytes);
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        let decoded = count(bytes);
        let packed = self.coder.pack(bytes);
        let encoding = if packed.is_some() { PACKED } else { PLAIN };
        self.put(Stream { kind, encoding, decoded, ..Stream::default() }, packed.as_deref().unwrap_or(bytes));
    }
}

pub(super) fn seal(builder: Builder, schema: &Schema) -> Sealed {
    let places: Vec<_> = builder.ids.iter().map(|id| schema.place(*id)).collect();
    let place = |column: &u32| places.get(*column as usize).copied().flatten();
    let columns = columns(&builder, &places, schema);
    let mut out = Written { coder: Coder::new(), table: Vec::new(), bytes: Vec::new() };

    out.numbers(FRAMES, (0, 0), &frames(&builder));
    let (mut lengths, mut deltas) = (vec![int(builder.shapes.len())], Vec::new());
    let mut samples_of = Vec::with_capacity(builder.shapes.len());
    for shape in &builder.shapes {
        let (before, mut last) = (deltas.len(), -1);
        for place in shape.columns.iter().filter_map(place) {
            deltas.push(int(place) - last);
            last = int(place);
        }
        samples_of.push(deltas.len() - before);
        lengths.push(int(deltas.len() - before));
    }
    lengths.extend(deltas);
    out.numbers(SHAPES, (0, 0), &lengths);

    let chunks_from = out.table.len();
    let described = chunks(&columns, &mut out);
    // What a reader needs first comes first.
    let mut chunks = Written { coder: Coder::new(), table: out.table.split_off(chunks_from), bytes: Vec::new() };
    let head: usize = out.table.iter().map(|stream| stream.length as usize).sum();
    chunks.bytes = out.bytes.split_off(head);
    out.numbers(COLUMNS, (0, count(&columns)), &described.columns.concat());
    out.numbers(SUMMARY, (0, count(&columns)), &described.summary.concat());
    out.numbers(QUALITY, (0, 0), &quality(&columns));
    out.bytes(VALUES, &rmp_serde::to_vec(&builder.values.all).unwrap_or_default());
    let mut extras = vec![0xdd];
    extras.extend(builder.extras.1.to_be_bytes());
    extras.extend(&builder.extras.0);
    out.bytes(EXTRAS, &extras);
    out.table.append(&mut chunks.table);
    out.bytes.append(&mut chunks.bytes);

    let (first, last) = (builder.rows.first(), builder.rows.last());
    let in_frame = |shape: u32| samples_of.get(shape as usize).copied().unwrap_or(0);
    let info = Info {
        frames: u64::from(count(&builder.rows)),
        samples: builder.rows.iter().map(|row| in_frame(row.shape)).sum::<usize>().try_into().unwrap_or(u64::MAX),
        events: builder.events,
        first: first.map(|row| row.at).unwrap_or_default(),
        last: last.map(|row| row.at).unwrap_or_default(),
        first_seq: first.map_or(0, |row| row.seq),
        last_seq: last.map_or(0, |row| row.seq),
        schema: u64::from(count(schema.defs())),
        probes: builder.probes,
        boots: builder.boots,
    };
    let mut bytes = index::seal(&info, &out.table);
    let checked = bytes.len();
    bytes.append(&mut out.bytes);
    Sealed { bytes, checked }
}

/// Eight numbers a Frame, each kind together.
fn frames(builder: &Builder) -> Vec<i64> {
    let mut columns: [Vec<i64>; 8] = Default::default();
    let (mut seq, mut mono, mut apart) = (0u64, 0u64, 0i64);
    for row in &builder.rows {
        let before = (seq, mono, apart);
        seq = row.seq;
        mono = row.at.mono_ns.unwrap_or(mono);
        apart = row.at.real_ns.map_or(apart, |real| real.wrapping_sub(mono.cast_signed()));
        let flags =
            u8::from(row.at.mono_ns.is_some()) | u8::from(row.at.real_ns.is_some()) << 1 | u8::from(row.burst) << 2;
        let numbers = [
            int(row.probe),
            int(row.boot),
            int(row.shape),
            int(flags),
            seq.wrapping_sub(before.0).wrapping_sub(1).cast_signed(),
            mono.wrapping_sub(before.1).cast_signed(),
            apart.wrapping_sub(before.2),
            row.took_us.cast_signed(),
        ];
        for (column, number) in columns.iter_mut().zip(numbers) {
            column.push(number);
        }
    }
    columns.concat()
}

/// The columns in their order: those of one metric together, and of these those that were read together.
fn columns<'a>(builder: &'a Builder, places: &[Option<u32>], schema: &Schema) -> Vec<Column<'a>> {
    let mut shapes_of: Vec<Vec<u32>> = vec![Vec::new(); builder.columns.len()];
    for (number, shape) in (0..).zip(&builder.shapes) {
        for column in &shape.columns {
            if let Some(shapes) = shapes_of.get_mut(*column as usize) {
                shapes.push(number);
            }
        }
    }
    let (mut presences, mut metrics) = (HashMap::new(), HashMap::<&MetricName, usize>::new());
    let mut columns = Vec::with_capacity(builder.columns.len());
    for ((cells, place), shapes) in builder.columns.iter().zip(places).zip(shapes_of) {
        let Some(place) = *place else { continue };
        let Some(def) = schema.defs().get(place as usize) else { continue };
        let next = presences.len();
        let presence = u32::try_from(*presences.entry(shapes).or_insert(next)).unwrap_or(u32::MAX);
        columns.push((&def.key.metric, Column { cells, place, metric: 0, presence, kind: cells.kind, scale: 0 }));
    }
    columns.sort_unstable_by_key(|(_, column)| column.place);
    for (metric, column) in &mut columns {
        let next = metrics.len();
        column.metric = *metrics.entry(metric).or_insert(next);
    }
    let mut columns: Vec<_> = columns.into_iter().map(|(_, column)| column).collect();
    columns.sort_by_key(|column| (column.metric, column.presence, column.place));
    scales(&mut columns);
    columns
}

/// Finds decimals: the same for all columns of a metric where they allow it, so that they can be compared.
fn scales(columns: &mut [Column<'_>]) {
    for class in columns.chunk_by_mut(|one, other| one.metric == other.metric) {
        let mut most = 0;
        for again in [false, true] {
            for column in class.iter_mut().filter(|column| matches!(column.kind, DOUBLE | DECIMAL)) {
                if again && column.kind == DECIMAL && column.scale == most {
                    continue;
                }
                let one = std::slice::from_ref(&column.cells.one);
                let cells = if column.cells.many.is_empty() { one } else { &column.cells.many };
                let values = cells.iter().map(|cell| double(*cell));
                if let Some(scale) = decimal::scale(values, most) {
                    (column.kind, column.scale) = (DECIMAL, scale);
                    if scale < 32 {
                        most = most.max(scale);
                    }
                } else if let Some(scale) = decimal::scale(values_of(cells), 0) {
                    (column.kind, column.scale) = (DECIMAL, scale);
                }
            }
        }
    }
}

fn double(cell: i64) -> f64 {
    f64::from_bits(ordered(cell).cast_unsigned())
}

fn values_of(cells: &[i64]) -> impl Iterator<Item = f64> + Clone + '_ {
    cells.iter().map(|cell| double(*cell))
}

fn gcd(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// The numbers of a column that changes, in its unit.
fn numbers(column: &Column<'_>, into: &mut Vec<i64>) {
    into.clear();
    let unit = |cell: &i64| {
        if column.kind == DECIMAL { decimal::units(double(*cell), column.scale).unwrap_or(0) } else { *cell }
    };
    if column.cells.many.is_empty() {
        into.push(unit(&column.cells.one));
    } else {
        into.extend(column.cells.many.iter().map(unit));
    }
}

/// How a column moves, whichever way it began to.
fn movement(steps: &[i64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut against = None;
    for pair in steps.windows(2) {
        let delta = pair[1].wrapping_sub(pair[0]);
        if delta != 0 {
            let against = *against.get_or_insert(delta < 0);
            (if against { delta.wrapping_neg() } else { delta }).hash(&mut hasher);
        } else {
            0.hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Writes the chunks, and says of each column what a reader has to know.
fn chunks(columns: &[Column<'_>], out: &mut Written) -> Described {
    let mut described = Described::default();
    let mut movements: HashMap<(u32, u64), usize> = HashMap::new();
    let (mut values, mut other) = (Vec::new(), Vec::new());
    let mut state = Chunk::default();
    let mut before = (None, 0, 0, 0);
    for (number, column) in columns.iter().enumerate() {
        let chunk = (column.metric, column.presence);
        if before.0 != Some(chunk) || state.written.len() + column.cells.rows as usize > CHUNK_VALUES {
            state.close(number, out);
            state.open(number, column.cells.rows as usize);
            state.step = step(columns.get(number..).unwrap_or_default(), &mut values);
        }
        numbers(column, &mut values);
        let first = values.first().copied().unwrap_or(0);
        let step = if column.cells.many.is_empty() { 1 } else { state.step };
        let sign = column.kind;
        let (mut most, mut least) = (first, first);
        for value in values.iter().filter(|value| sign != DOUBLE || !double(**value).is_nan()) {
            // Where the first is not a number, what is one is both.
            let none = sign == DOUBLE && double(first).is_nan();
            if order(sign, *value) > order(sign, most) || (none && double(most).is_nan()) {
                most = *value;
            }
            if order(sign, *value) < order(sign, least) || (none && double(least).is_nan()) {
                least = *value;
            }
        }
        let last = values.last().copied().unwrap_or(0);
        let steps_from_first = |value: i64| value.wrapping_sub(first).wrapping_div(step);
        let (higher, lower) = if order(sign, last) > order(sign, first) { (last, first) } else { (first, last) };
        let (transform, center) = if column.cells.many.is_empty() {
            (CONSTANT, 0)
        } else {
            let moves = movement(&values);
            let alike = movements.get(&(column.presence, moves)).copied();
            let alike = alike.and_then(|earlier| {
                numbers(columns.get(earlier)?, &mut other);
                Some((earlier, like(&values, &other)?))
            });
            if let Some((earlier, against)) = alike {
                (LIKE, (int(number - earlier) << 1) | i64::from(against))
            } else {
                movements.insert((column.presence, moves), number);
                values.iter_mut().for_each(|value| *value = value.wrapping_sub(first).wrapping_div(step));
                state.shared.choose(&values, &mut state.written)
            }
        };
        let code = i64::from(column.kind) | i64::from(transform) << 3;
        for (list, number) in described.columns.iter_mut().zip([
            int(column.place) - before.1,
            code,
            i64::from(column.scale),
            step.wrapping_sub(before.2),
            center,
        ]) {
            list.push(number);
        }
        for (list, number) in described.summary.iter_mut().zip([
            first.wrapping_sub(before.3),
            steps_from_first(last),
            steps_from_first(most).wrapping_sub(steps_from_first(higher)),
            steps_from_first(lower).wrapping_sub(steps_from_first(least)),
        ]) {
            list.push(number);
        }
        before = (Some(chunk), int(column.place), step, first);
    }
    state.close(columns.len(), out);
    described
}

/// Whether `values` moves as `other` does (`false`) or against it (`true`).
fn like(values: &[i64], other: &[i64]) -> Option<bool> {
    let (first, of) = (values.first()?, other.first()?);
    let alike = |against: bool| {
        values.len() == other.len()
            && values.iter().zip(other).all(|(value, other)| {
                let (one, two) = (value.wrapping_sub(*first), other.wrapping_sub(*of));
                one == if against { two.wrapping_neg() } else { two }
            })
    };
    [false, true].into_iter().find(|against| alike(*against))
}

/// The greatest step in which all numbers of the chunk's columns move.
fn step(columns: &[Column<'_>], values: &mut Vec<i64>) -> i64 {
    let mut step = 0;
    let Some(head) = columns.first() else { return 1 };
    for column in columns.iter().take_while(|one| (one.metric, one.presence) == (head.metric, head.presence)) {
        numbers(column, values);
        let first = values.first().copied().unwrap_or(0);
        for value in values.iter() {
            let away = value.wrapping_sub(first).unsigned_abs();
            if away != 0 && (step == 0 || away % step != 0) {
                step = gcd(step, away);
            }
            if step == 1 {
                return 1;
            }
        }
    }
    i64::try_from(step).unwrap_or(1).max(1)
}

#[derive(Default)]
struct Chunk {
    first: usize,
    step: i64,
    shared: Shared,
    written: Vec<i64>,
}

impl Chunk {
    fn open(&mut self, first: usize, rows: usize) {
        self.first = first;
        self.shared.reset(rows);
    }

    fn close(&mut self, end: usize, out: &mut Written) {
        if !self.written.is_empty() {
            let about = u32::try_from(self.first).unwrap_or(u32::MAX);
            let columns = u32::try_from(end - self.first).unwrap_or(u32::MAX);
            out.numbers(CHUNK, (about, columns), &self.written);
            self.written.clear();
        }
    }
}

/// Six numbers a run, each kind together.
fn quality(columns: &[Column<'_>]) -> Vec<i64> {
    let mut lists: [Vec<i64>; 6] = Default::default();
    let (mut column_before, mut arg_before) = (0, 0);
    for (number, column) in columns.iter().enumerate().filter(|(_, column)| !column.cells.runs.is_empty()) {
        let mut row = 0;
        for run in &column.cells.runs {
            let numbers = [
                int(number) - column_before,
                int(run.row) - row,
                int(run.rows) - 1,
                int(run.code),
                run.arg.wrapping_sub(arg_before).cast_signed(),
                int(run.place),
            ];
            for (list, number) in lists.iter_mut().zip(numbers) {
                list.push(number);
            }
            column_before = int(number);
            row = int(run.row + run.rows);
            arg_before = run.arg;
        }
    }
    lists.concat()
}
