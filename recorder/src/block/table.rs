//! What a block says of its Frames, and which rows of a column belong to which Frame.

use model::Stamp;

use super::builder::Row;
use super::{BadBlock, MOST_FRAMES, MOST_SAMPLES};

/// The numbers of a stream, taken one after the other.
pub(super) struct Numbers<'a>(pub(super) &'a [i64]);

impl<'a> Numbers<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [i64], BadBlock> {
        let ends_early = || BadBlock("a list of numbers that ends early".into());
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// A number as a place in a list of so many.
pub(super) fn place(number: i64, of: usize) -> Result<u32, BadBlock> {
    let place = u32::try_from(number).ok().filter(|place| (*place as usize) < of);
    place.ok_or_else(|| BadBlock(format!("place {number} in a list of {of}")))
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Frames by their rows, and shapes.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// The columns of all shapes, and where each shape's end.
    columns: Vec<u32>,
    ends: Vec<usize>,
    /// Per column: which presence.
    presence_of: Vec<u32>,
    /// Per presence: the Frame of each row.
    presences: Vec<Vec<u32>>,
}

/// In which shapes columns occur: paths in a tree, so that columns that occur in the same ones end at the same node.
struct Paths {
    /// The node before, and the shape that leads on from there. The first is where all begin.
    nodes: Vec<(u32, u32)>,
    /// Per node: the last shape that led on from it, and where to.
    next: Vec<(u32, u32)>,
    /// Per column: its node.
    of: Vec<u32>,
}

impl Paths {
    fn new(columns: usize) -> Self {
        Self { nodes: vec![(0, 0)], next: vec![(u32::MAX, 0)], of: vec![0; columns] }
    }

    /// A column occurs in a shape; shapes come in order.
    fn step(&mut self, column: u32, shape: u32) {
        let Some(node) = self.of.get_mut(column as usize) else { return };
        let Some(next) = self.next.get_mut(*node as usize) else { return };
        if next.0 == shape {
            *node = next.1;
            return;
        }
        *next = (shape, narrow(self.nodes.len()));
        let to = next.1;
        self.nodes.push((*node, shape));
        self.next.push((u32::MAX, 0));
        *node = to;
    }
}

/// The rows of Frames.
pub(super) fn rows(numbers: &[i64], probes: usize, boots: usize) -> Result<Vec<Row>, BadBlock> {
    let frames = numbers.len() / 8;
    if frames > MOST_FRAMES {
        return Err(BadBlock(format!("{frames} Frames, more than any block holds")));
    }
    let mut lists = Numbers(numbers);
    let mut list = || lists.take(frames);
    let (probe, boot, shape, flags) = (list()?, list()?, list()?, list()?);
    let (seqs, monos, aparts, tooks) = (list()?, list()?, list()?, list()?);
    let (mut seq, mut mono, mut apart) = (0u64, 0u64, 0i64);
    let row = |row: usize| {
        seq = seq.wrapping_add(1).wrapping_add(seqs[row].cast_unsigned());
        mono = mono.wrapping_add(monos[row].cast_unsigned());
        apart = apart.wrapping_add(aparts[row]);
        let at = Stamp {
            mono_ns: (flags[row] & 1 != 0).then_some(mono),
            real_ns: (flags[row] & 2 != 0).then_some(mono.cast_signed().wrapping_add(apart)),
        };
        Ok(Row {
            probe: place(probe[row], probes)?,
            boot: place(boot[row], boots)?,
            shape: place(shape[row], MOST_FRAMES)?,
            seq,
            at,
            took_us: tooks[row].cast_unsigned(),
            burst: flags[row] & 4 != 0,
        })
    };
    (0..frames).map(row).collect()
}

impl Table {
    /// Puts Frames, shapes and the places of columns together.
    pub(super) fn new(rows: Vec<Row>, shapes: &[i64], places: &[u32], series: usize) -> Result<Self, BadBlock> {
        let mut table = Self { rows, ..Self::default() };
        let mut shapes = Numbers(shapes);
        let count = place(shapes.take(1)?[0], MOST_FRAMES + 1)? as usize;
        let lengths = shapes.take(count)?;
        let mut column_of = vec![u32::MAX; series];
        for (place, column) in places.iter().zip(0..) {
            let none = || BadBlock(format!("a column of series {place}"));
            *column_of.get_mut(*place as usize).ok_or_else(none)? = column;
        }
        let mut paths = Paths::new(places.len());
        for (number, length) in (0..).zip(lengths) {
            let mut last = -1i64;
            for delta in shapes.take(usize::try_from(*length).map_err(|_| BadBlock("a negative length".into()))?)? {
                last = last.wrapping_add(*delta);
                let column = usize::try_from(last).ok().and_then(|place| column_of.get(place));
                let column = column.filter(|column| **column != u32::MAX);
                let column = *column.ok_or_else(|| BadBlock(format!("a Frame with series {last} and no column")))?;
                table.columns.push(column);
                paths.step(column, number);
            }
            table.ends.push(table.columns.len());
        }
        let mut frames_of: Vec<Vec<u32>> = vec![Vec::new(); count];
        let mut samples = 0;
        for (number, row) in (0..).zip(&table.rows) {
            let none = || BadBlock(format!("Frame of shape {}, there are {count}", row.shape));
            frames_of.get_mut(row.shape as usize).ok_or_else(none)?.push(number);
            samples += table.shape(row.shape).len();
            if samples > MOST_SAMPLES {
                return Err(BadBlock(format!("more than {MOST_SAMPLES} samples")));
            }
        }
        let mut known = vec![u32::MAX; paths.nodes.len()];
        for node in paths.of {
            let presence = &mut known[node as usize];
            if *presence == u32::MAX {
                *presence = narrow(table.presences.len());
                let mut frames: Vec<u32> = Vec::new();
                let mut next = node;
                while next != 0 {
                    let (before, shape) = paths.nodes[next as usize];
                    frames.extend(&frames_of[shape as usize]);
                    next = before;
                }
                if paths.nodes[node as usize].0 != 0 {
                    frames.sort_unstable();
                }
                table.presences.push(frames);
            }
            table.presence_of.push(*presence);
        }
        Ok(table)
    }

    /// The columns of a shape, in the order of its samples.
    pub(super) fn shape(&self, shape: u32) -> &[u32] {
        let end = |shape: usize| self.ends.get(shape).copied().unwrap_or(0);
        let shape = shape as usize;
        let from = shape.checked_sub(1).map_or(0, end);
        self.columns.get(from..end(shape)).unwrap_or_default()
    }

    /// Which columns were always read in the same Frames: a number that they share.
    pub(super) fn presence(&self, column: u32) -> u32 {
        self.presence_of.get(column as usize).copied().unwrap_or(u32::MAX)
    }

    /// The Frame of each row of a presence.
    pub(super) fn frames_of(&self, presence: u32) -> &[u32] {
        self.presences.get(presence as usize).map_or(&[], Vec::as_slice)
    }

    /// The Frame of each row of a column.
    pub(super) fn frames(&self, column: u32) -> &[u32] {
        self.frames_of(self.presence(column))
    }

    pub(super) fn presences(&self) -> &[Vec<u32>] {
        &self.presences
    }

    /// The instant of a Frame.
    pub(super) fn at(&self, frame: u32) -> Stamp {
        self.rows.get(frame as usize).map(|row| row.at).unwrap_or_default()
    }
}
