//! The recorder at work: in a process of its own, a second of Frames at a time.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use generator::{Activity, Day, Policy};
use model::Frame;
use recorder::live::Options;
use recorder::{Header, Recorder};

use crate::machine::{cpu_s, percentile, pss_mib, written_bytes};
use crate::table::{Reach, Table, digits};
use crate::{Extent, bytes_in, whole};

/// The word with which this program starts itself as a recorder; behind it a directory, seconds and a pace.
pub(crate) const CHILD: &str = "--record-alone";

/// How long real time is kept: a stretch of one journal.
const REAL_S: usize = 60;
/// A second of the faster run.
const FAST: Duration = Duration::from_millis(5);

/// A recorder, and the first second of what it is to record.
pub(crate) fn started(out: &Path, day: &mut Day) -> (Recorder, Vec<Frame>) {
    let first = day.next().expect("a day has seconds");
    let (boot, at) = first.first().map(|frame| (frame.boot.clone(), frame.at)).expect("a second has Frames");
    let header = Header::new(boot, at, 1_000_000_000);
    (Recorder::start(out, &header, Options::default()).expect("the disk takes it"), first)
}

pub(crate) fn measure(extent: Extent, scratch: &Path, table: &mut Table) {
    eprintln!("recorder");
    let real = spawn(&scratch.join("real"), REAL_S, Duration::from_secs(1));
    let day = scratch.join("day");
    let sealed = whole::write(extent, &day, table);
    let told = numbers(spawn(&scratch.join("fast"), 3_602, FAST));
    if let [mean, high, worst, cpu, before, most, _, _] = told.as_slice() {
        let beside = format!("99th percentile {}; 3,600 ticks, one each 5 ms", digits(*high));
        table.put("hand-off on the sampling thread a tick: mean", Reach::Stated, *mean, "µs", beside);
        table.put("hand-off on the sampling thread a tick: worst", Reach::Stated, *worst, "µs", "");
        let beside = "all threads but the sampling one; one hour of training, sealing included";
        table.put("the recorder's own CPU a tick, journal included", Reach::Stated, *cpu, "µs", beside);
        let beside = format!("the generator alone is {} of it", digits(*before));
        table.put("recorder alone, resident (PSS), at its most", Reach::Stated, *most, "MiB", beside);
    }
    whole::read(extent, &day, table);
    let told = numbers(real);
    if let [mean, _, worst, cpu, _, most, written, journals] = told.as_slice() {
        let beside = format!(
            "mean; worst {} µs; its own CPU {} µs a tick; PSS at most {} MiB",
            digits(*worst),
            digits(*cpu),
            digits(*most)
        );
        table.put(format!("the same for {REAL_S} s in real time: hand-off"), Reach::Stated, *mean, "µs", beside);
        let a_day = |bytes: f64, seconds: usize| bytes / seconds as f64 * 86_400.0 / 1e6;
        let beside = format!(
            "journals {}, extrapolated from {REAL_S} s of training at 1 Hz, and segments {}; journals in files {}",
            digits(a_day(*written, REAL_S)),
            digits(sealed / 1e6),
            digits(a_day(*journals, REAL_S - 6)),
        );
        let written = a_day(*written, REAL_S) + sealed / 1e6;
        table.put("written to the device a day, sync each 5 s", Reach::Stated, written, "MB", beside);
    }
}

fn spawn(out: &Path, seconds: usize, pace: Duration) -> Child {
    let program = std::env::current_exe().expect("this program runs");
    let mut command = Command::new(program);
    command.arg(CHILD).arg(out).arg(seconds.to_string()).arg(pace.as_millis().to_string());
    command.stdout(Stdio::piped()).spawn().expect("it starts")
}

fn numbers(child: Child) -> Vec<f64> {
    let told = child.wait_with_output().expect("it was started");
    assert!(told.status.success(), "the recorder alone failed");
    String::from_utf8_lossy(&told.stdout).split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Records training at a pace, and prints: hand-off of a tick (mean, 99th percentile, worst, µs), CPU of the other threads
/// (µs a tick), the process's memory before and at its most (MiB), bytes written to the device, and bytes in files
/// six seconds before the end.
pub(crate) fn child(words: &[String]) {
    let [out, seconds, pace] = words else { return };
    let out = Path::new(out);
    let seconds: usize = seconds.parse().expect("a number");
    let pace = Duration::from_millis(pace.parse().expect("a number"));
    let mut day = Day::of(crate::SEED, Policy::Quantised, &[(3_700, Activity::Training)]);
    day.by_ref().take(2).for_each(drop);
    day.skip_to(2);
    let before = pss_mib();
    let (recorder, first) = started(out, &mut day);
    let (mut handed, mut most, mut journals) = (Vec::with_capacity(seconds), 0.0_f64, 0);
    let (cpu, written, begun) = (cpu_s(), written_bytes(), Instant::now());
    let mut due = begun;
    for (second, tick) in (1..).zip(std::iter::once(first).chain(day).take(seconds)) {
        let frames: Vec<Arc<Frame>> = tick.into_iter().map(Arc::new).collect();
        let began = Instant::now();
        for frame in frames {
            recorder.append(frame);
        }
        handed.push(began.elapsed().as_secs_f64() * 1e6);
        if second % 10 == 9 {
            most = most.max(pss_mib());
        }
        due += pace;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if second + 6 == seconds {
            journals = bytes_in(out);
        }
        if second % 60 == 0 && pace >= Duration::from_secs(1) {
            let (now, files) = (written_bytes() - written, bytes_in(out));
            eprintln!("  real time: {second} s, {now} bytes to the device, {files} in files");
        }
    }
    recorder.flush();
    let (after, written) = (cpu_s(), written_bytes() - written);
    let own = ((after.0 - cpu.0) - (after.1 - cpu.1)) * 1e6 / seconds as f64;
    let health = recorder.finish().expect("the disk takes it");
    assert_eq!(health.lost, 0, "the queue was never full");
    let late = begun.elapsed().saturating_sub(pace * u32::try_from(seconds).unwrap_or(u32::MAX));
    eprintln!("  {seconds} ticks each {pace:?}; at the end {late:?} late; {} syncs", health.syncs);
    let mean = handed.iter().sum::<f64>() / handed.len() as f64;
    let (high, worst) = (percentile(&handed, 99.0), percentile(&handed, 100.0));
    println!("{mean} {high} {worst} {own} {before} {most} {written} {journals}");
}
