//! What the recorder costs and gains: every number of its table, measured in one run on a generated day of an eight-GPU
//! node (`tests/generator`) whose entropy is known, beside Parquet, plain MCAP and the shape of `below`'s store.
//!
//! ```text
//! cargo bench --bench recording                      a day; all sections
//! cargo bench --bench recording -- --quick           two hours instead
//! cargo bench --bench recording -- sizes reading     these sections only: sizes, recorder, reading
//! ```

#![allow(missing_docs, reason = "a benchmark is read, not used")]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark looks at the clock and starts itself again to be measured alone"
)]
#![allow(clippy::print_stdout, reason = "the table is what the benchmark is for")]
#![allow(clippy::cast_precision_loss, reason = "what is printed has three digits")]

use std::path::{Path, PathBuf};

use generator::{Activity, Day, Policy};

mod beside;
mod blocks;
mod live;
mod machine;
mod reading;
mod sizes;
mod table;
mod whole;

use table::Table;

/// How much is generated.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    quick: bool,
}

impl Extent {
    /// The day, or two hours of which it has an idle quarter.
    pub(crate) fn day(self, policy: Policy) -> Day {
        if self.quick {
            Day::of(SEED, policy, &[(600, Activity::Idle), (6_600, Activity::Training)])
        } else {
            Day::new(SEED, policy)
        }
    }

    /// An hour, or ten minutes, of one activity.
    pub(crate) fn stretch(self, policy: Policy, activity: Activity) -> Day {
        Day::of(SEED, policy, &[(if self.quick { 600 } else { 3_600 }, activity)])
    }

    /// Where a figure for a day comes from.
    pub(crate) fn of_the_day(self) -> &'static str {
        if self.quick { "extrapolated from the 2 h above" } else { "the day above, 21 h of it training" }
    }

    pub(crate) fn words(self) -> &'static str {
        if self.quick { "2 h" } else { "24 h" }
    }
}

pub(crate) const SEED: u64 = 20_261_123;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((word, rest)) = words.split_first()
        && word == live::CHILD
    {
        return live::child(rest);
    }
    // `cargo test --benches` runs benches too, and only `cargo bench` says so: a trial run is no measurement.
    if !words.iter().any(|word| word == "--bench") {
        return;
    }
    let sections: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with("--")).collect();
    let asked = |section: &str| sections.is_empty() || sections.contains(&section);
    let extent = Extent { quick: words.iter().any(|word| word == "--quick") };
    let scratch = scratch();
    let noise = machine::Noise::begin();
    let mut table = Table::default();
    if asked("sizes") {
        sizes::measure(extent, scratch.path(), &mut table);
    }
    if asked("recorder") {
        live::measure(extent, scratch.path(), &mut table);
    }
    if asked("reading") {
        reading::measure(extent, scratch.path(), &mut table);
    }
    println!("\nThe recorder, on {} of {} series at 1 Hz (seed {SEED}).", extent.words(), 1_016);
    println!("{}", noise.end());
    table.print();
}

/// A directory on the disk that the build lies on: in memory nothing would ever be written to a device.
fn scratch() -> tempfile::TempDir {
    let on_disk = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let made = std::fs::create_dir_all(&on_disk).and_then(|()| tempfile::tempdir_in(&on_disk));
    made.expect("the build directory takes files")
}

/// Bytes of a file, or of the files in a directory.
pub(crate) fn bytes_in(path: &Path) -> u64 {
    let of = |path: &Path| std::fs::metadata(path).map_or(0, |facts| facts.len());
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| of(&entry.path())).sum(),
        Err(_) => of(path),
    }
}
