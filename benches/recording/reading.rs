//! Asking the past: a day of sealed blocks in a file, whose places are known as a directory tells them.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use generator::Policy;
use model::{Reading, SeriesId};
use recorder::block::{Block, Builder, Source};
use recorder::schema::Schema;

use crate::blocks::BLOCK_S;
use crate::machine::{forget, percentile};
use crate::table::{Reach, Table, digits};
use crate::{Extent, SEED};

/// How many instants are asked for.
const INSTANTS: u64 = 400;

/// Where a block lies, and what it covers on the monotonic clock.
struct Place {
    offset: u64,
    length: u64,
    checked: usize,
    first: u64,
}

/// A part of a file.
struct Part {
    file: Arc<File>,
    offset: u64,
}

impl Source for Part {
    fn read(&self, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, self.offset + offset)?;
        Ok(bytes)
    }
}

struct Blocks {
    file: Arc<File>,
    schema: Schema,
    places: Vec<Place>,
    last: u64,
    samples: usize,
}

impl Blocks {
    fn write(extent: Extent, path: &Path) -> Self {
        let mut file =
            File::options().create(true).truncate(true).write(true).read(true).open(path).expect("the disk takes it");
        let (mut schema, mut builder, mut places) = (Schema::default(), Builder::default(), Vec::new());
        let (mut offset, mut first, mut last, mut samples, mut seconds) = (0, None, 0, 0, 0);
        let mut seal = |builder: Builder, schema: &Schema, first: u64| {
            let sealed = builder.seal(schema);
            file.write_all(&sealed.bytes).expect("the disk takes it");
            let length = u64::try_from(sealed.bytes.len()).unwrap_or(u64::MAX);
            places.push(Place { offset, length, checked: sealed.checked, first });
            offset += length;
        };
        for tick in extent.day(Policy::Quantised) {
            for frame in &tick {
                frame.declares.iter().for_each(|def| assert!(schema.add(def.clone()), "declared once"));
                samples += frame.samples.len();
                last = frame.at.axis_ns().max(last);
                first.get_or_insert_with(|| frame.at.axis_ns());
                builder.push(frame);
            }
            seconds += 1;
            if seconds == BLOCK_S {
                seal(std::mem::take(&mut builder), &schema, first.take().unwrap_or(0));
                seconds = 0;
            }
        }
        if seconds > 0 {
            seal(builder, &schema, first.unwrap_or(last));
        }
        Self { file: Arc::new(file), schema, places, last, samples }
    }

    fn open(&self, place: &Place) -> Block {
        let mut checked = vec![0; place.checked];
        self.file.read_exact_at(&mut checked, place.offset).expect("just written");
        let source = Box::new(Part { file: self.file.clone(), offset: place.offset });
        Block::lazy(&checked, place.length, source, &self.schema).expect("just written")
    }

    /// How many series have a value at an instant.
    fn state(&self, at: u64) -> usize {
        let place = self.places.partition_point(|place| place.first <= at).saturating_sub(1);
        let mut found: Vec<(SeriesId, Reading)> = Vec::with_capacity(1_100);
        let block = self.places.get(place).map(|place| self.open(place));
        block
            .map(|block| block.state_at(at, &mut |id, reading, _| found.push((id, reading))))
            .transpose()
            .expect("whole");
        black_box(&found).len()
    }

    fn series(&self, id: SeriesId) -> usize {
        let mut rows = 0;
        for place in &self.places {
            let sum = self.open(place).scan_one(id, |column| {
                rows += column.rows();
                column.numbers().iter().fold(0i64, |sum, number| sum.wrapping_add(*number))
            });
            black_box(sum.expect("whole"));
        }
        rows
    }

    fn scan(&self) -> usize {
        let mut rows = 0;
        for place in &self.places {
            let sum = |column: recorder::block::Column<'_>| {
                rows += column.rows();
                black_box(column.numbers().iter().fold(0i64, |sum, number| sum.wrapping_add(*number)));
            };
            let mut sum = sum;
            self.open(place).scan(&mut sum).expect("whole");
        }
        rows
    }
}

pub(crate) fn measure(extent: Extent, scratch: &Path, table: &mut Table) {
    eprintln!("reading");
    let path = scratch.join("blocks");
    let blocks = Blocks::write(extent, &path);
    let from = blocks.places.first().map_or(0, |place| place.first);
    let mut seed = SEED;
    let mut instant = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from + 1_000_000_000 + (seed >> 11) % (blocks.last - from - 1_000_000_000)
    };
    let worst_cpu = std::cell::Cell::new(0.0_f64);
    let mut states = |cold: bool, times: u64| -> Vec<f64> {
        let one = |at: u64| {
            if cold {
                forget(&path);
            }
            let before = crate::machine::cpu_s().1;
            let (found, ms) = timed(|| blocks.state(at));
            worst_cpu.set(worst_cpu.get().max((crate::machine::cpu_s().1 - before) * 1e3));
            assert!(found >= 1_000, "{found} series at {at}");
            ms
        };
        (0..times).map(|_| one(instant())).collect()
    };
    states(false, 20);
    worst_cpu.set(0.0);
    let warm = states(false, INSTANTS);
    let worst_cpu_warm = worst_cpu.get();
    let cold = states(true, 40);
    let (cold_median, cold_worst) = (percentile(&cold, 50.0), percentile(&cold, 100.0));
    let beside = format!("{INSTANTS} instants; cold {} median, {} worst", digits(cold_median), digits(cold_worst));
    table.put("whole state at a random instant, warm: median", Reach::Most(1.4), percentile(&warm, 50.0), "ms", beside);
    let beside =
        format!("99th percentile {}; worst in CPU time {}", digits(percentile(&warm, 99.0)), digits(worst_cpu_warm));
    table.put("whole state at a random instant, warm: worst", Reach::Most(5.0), percentile(&warm, 100.0), "ms", beside);

    let ids: Vec<SeriesId> = blocks.schema.defs().iter().map(|def| def.id).step_by(67).collect();
    let each: Vec<f64> = ids.iter().map(|id| timed(|| blocks.series(*id)).1).collect();
    let beside = format!("median of {} series; worst {}", each.len(), digits(percentile(&each, 100.0)));
    table.put(format!("one series over {}", extent.words()), Reach::Most(15.0), percentile(&each, 50.0), "ms", beside);

    let scans: Vec<f64> = (0..5).map(|_| timed(|| assert_eq!(blocks.scan(), blocks.samples)).1 / 1e3).collect();
    let beside = format!("median of 5; {} to {}", digits(percentile(&scans, 0.0)), digits(percentile(&scans, 100.0)));
    table.put(
        format!("scan {}, everything, one core", extent.words()),
        Reach::Most(0.35),
        percentile(&scans, 50.0),
        "s",
        beside,
    );
    table.note(
        "State, series and scan read sealed blocks by their places in a file, as a directory tells them; what the history \
         of a whole recording adds to that is not in them. Cold: the file is dropped from the page cache before each \
         instant (posix_fadvise); the disk may keep it in a cache of its own.",
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begun = Instant::now();
    let made = work();
    (made, begun.elapsed().as_secs_f64() * 1e3)
}
