//! A whole recording: a day as the recorder leaves it, asked as the deck and the command line ask it.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use generator::Policy;
use model::{History, SeriesKey, Window};
use recorder::RecordedHistory;

use crate::machine::{forget, percentile};
use crate::table::{Reach, Table, digits};
use crate::{Extent, SEED, bytes_in, live};

/// So many seconds are handed over before the recorder is waited for: far fewer Frames than its queue takes.
const AHEAD: u64 = 100;

/// Records the day as fast as it goes: blocks and segments go by the Frames' instants. Bytes of a day in files.
pub(crate) fn write(extent: Extent, out: &Path, table: &mut Table) -> f64 {
    let mut day = extent.day(Policy::Quantised);
    let begun = Instant::now();
    let (recorder, first) = live::started(out, &mut day);
    let (mut seconds, mut samples) = (0, 0);
    for tick in std::iter::once(first).chain(day) {
        for frame in tick {
            samples += frame.samples.len();
            recorder.append(Arc::new(frame));
        }
        seconds += 1;
        if seconds % AHEAD == 0 {
            recorder.flush();
        }
    }
    let health = recorder.finish().expect("the disk takes it");
    assert_eq!(health.lost, 0, "the queue was never full");
    let bytes = bytes_in(out) as f64;
    let files = std::fs::read_dir(out).expect("just written").count();
    let beside = format!(
        "{} B a sample, {files} files, written in {} s with the generator",
        digits(bytes / samples as f64),
        digits(begun.elapsed().as_secs_f64())
    );
    table.put(format!("{} as closed segments, with quanta", extent.words()), Reach::Stated, bytes / 1e6, "MB", beside);
    bytes / seconds as f64 * 86_400.0
}

/// Opens it and asks it.
pub(crate) fn read(extent: Extent, path: &Path, table: &mut Table) {
    let load = || timed(|| RecordedHistory::load(path).expect("just written"));
    let opened = |cold: bool| -> Vec<f64> {
        let one = || {
            if cold {
                forget(path);
            }
            load().1
        };
        (0..9).map(|_| one()).collect()
    };
    opened(false);
    let (warm, cold) = (opened(false), opened(true));
    let words = extent.words();
    let beside = format!(
        "worst of 9 {}; cold {} median, {} worst",
        digits(percentile(&warm, 100.0)),
        digits(percentile(&cold, 50.0)),
        digits(percentile(&cold, 100.0))
    );
    table.put(format!("open {words}, warm: median"), Reach::Stated, percentile(&warm, 50.0), "ms", beside);

    let history = load().0;
    let (first, last) = history.span().expect("whole").expect("it has Frames");
    let (first, last) = (first.axis_ns(), last.axis_ns());
    let mut seed = SEED;
    let mut states = |times: u64, cold: bool| -> Vec<f64> {
        let mut one = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = first + 1_000_000_000 + (seed >> 11) % (last - first - 1_000_000_000);
            if cold {
                forget(path);
                let fresh = load().0;
                return timed(|| black_box(fresh.state_at(at)).expect("whole")).1;
            }
            timed(|| black_box(history.state_at(at)).expect("whole")).1
        };
        (0..times).map(|_| one()).collect()
    };
    states(20, false);
    let (warm, cold) = (states(400, false), states(20, true));
    let beside = format!(
        "400 instants; 99th percentile {}, worst {}; cold and opened anew each time {} median, {} worst",
        digits(percentile(&warm, 99.0)),
        digits(percentile(&warm, 100.0)),
        digits(percentile(&cold, 50.0)),
        digits(percentile(&cold, 100.0))
    );
    let what = "the history of it: whole state at a random instant, warm: median";
    table.put(what, Reach::Stated, percentile(&warm, 50.0), "ms", beside);

    let keys: Vec<SeriesKey> = history.dictionary().defs().iter().map(|def| def.key.clone()).step_by(67).collect();
    let window = Window { from: first, to: last + 1 };
    let strip = |history: &RecordedHistory, key: &SeriesKey| {
        timed(|| black_box(history.strips(std::slice::from_ref(key), window, 240)).expect("whole")).1
    };
    let firsts: Vec<f64> = keys.iter().map(|key| strip(&load().0, key)).collect();
    let again: Vec<f64> = keys.iter().map(|key| strip(&history, key)).collect();
    let beside = format!(
        "median of {} series in 240 buckets, each asked of a recording just opened; worst {}; of one in use {}",
        firsts.len(),
        digits(percentile(&firsts, 100.0)),
        digits(percentile(&again, 50.0))
    );
    let what = format!("the history of it: one series over {words}");
    table.put(what, Reach::Stated, percentile(&firsts, 50.0), "ms", beside);
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begun = Instant::now();
    let made = work();
    (made, begun.elapsed().as_secs_f64() * 1e3)
}
