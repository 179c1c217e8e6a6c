//! What gpudeck's inner loops cost, each beside something everybody knows, measured in one run: a ratio holds on any
//! machine, a time only on this one. Run by `make bench`; `docs/performance.md` tells what was found.
//!
//! The input is the recorded fixture `replay-fixtures/xid79-fell-off`: eight simulated GPUs, of which one falls off the bus.

#![allow(missing_docs, reason = "a benchmark is read, not used")]

use std::time::Duration;

use criterion::Criterion;

mod deck;
mod decode;
mod ratio;
mod recorded;
mod recording;
mod rules;
mod wire;

fn main() {
    let results = tempfile::tempdir().expect("a temporary directory");
    let mut criterion = Criterion::default()
        .output_directory(results.path())
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let fixture = recorded::Fixture::load("xid79-fell-off");
    let mut ratios = decode::measure(&mut criterion);
    ratios.extend(wire::measure(&mut criterion, &fixture));
    ratios.extend(recording::measure(&mut criterion, &fixture));
    ratios.extend(rules::measure(&mut criterion, &fixture));
    ratios.extend(deck::measure(&mut criterion, &fixture));
    criterion.final_summary();
    ratio::print(&ratios, results.path());
}
