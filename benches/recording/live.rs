//! The recorder at work: in a process of its own, a second of Frames at a time.

use std::process::Command;

use generator::{Activity, Policy};

use crate::sizes::Sink;
use crate::table::{Reach, Table, digits};
use crate::{Extent, blocks, machine};

/// The word with which this program starts itself as a recorder.
pub(crate) const CHILD: &str = "--record-alone";

pub(crate) fn measure(_extent: Extent, table: &mut Table) {
    eprintln!("recorder");
    for what in [
        "hand-off on the sampling thread a tick: mean",
        "hand-off on the sampling thread a tick: worst",
        "the writer's own CPU a tick, journal included",
        "recorder alone, resident (PSS)",
        "written to the device a day, default sync",
    ] {
        table.without(what, "this benchmark does not drive the recorder's writer thread yet");
    }
    let program = std::env::current_exe().expect("this program runs");
    let told = Command::new(program).arg(CHILD).output().expect("it starts");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let numbers: Vec<f64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if let [before, most] = numbers.as_slice() {
        let beside = format!("the generator alone is {} of it", digits(*before));
        table.put("  of that, a process that only seals blocks (PSS)", Reach::Stated, *most, "MiB", beside);
    }
}

/// Seals twenty minutes of training as blocks, and prints the process's memory before and at its most.
pub(crate) fn child() {
    let mut day = Extent { quick: false }.stretch(Policy::Quantised, Activity::Training);
    let mut sink = Box::<blocks::Blocks>::default();
    day.by_ref().take(2).for_each(drop);
    day.skip_to(2);
    let (before, mut most) = (machine::pss_mib(), 0.0_f64);
    for (second, tick) in (0..).zip(day.take(1_200)) {
        sink.tick(&tick);
        if second % 10 == 9 {
            most = most.max(machine::pss_mib());
        }
    }
    println!("{before} {most}");
    assert!(sink.finish() > 0, "blocks have bytes");
}
