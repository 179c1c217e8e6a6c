//! The machine: how quiet it is, and what it says of a process.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

/// The noise of the machine while something was measured.
pub(crate) struct Noise {
    before: Vec<f64>,
    load: String,
}

impl Noise {
    pub(crate) fn begin() -> Self {
        Self { before: loops(), load: load() }
    }

    /// What to say of the run.
    pub(crate) fn end(self) -> String {
        let after = loops();
        let middle = |times: &[f64]| percentile(times, 50.0);
        let all: Vec<f64> = self.before.iter().chain(&after).copied().collect();
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            processor.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1).map(str::to_owned));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        format!(
            "Machine: {} × {}; load average {} before, {} after. A fixed loop of arithmetic took {:.2} ms before and \
             {:.2} ms after (medians of 200); over all, its 5th to 99th percentile is {:.2} to {:.2} ms and its worst {:.2} ms.",
            cores,
            model.as_deref().unwrap_or("an unknown processor"),
            self.load,
            load(),
            middle(&self.before),
            middle(&after),
            percentile(&all, 5.0),
            percentile(&all, 99.0),
            percentile(&all, 100.0),
        )
    }
}

/// The time of two hundred equal loops, ms each.
fn loops() -> Vec<f64> {
    let one = || {
        let begun = Instant::now();
        let mut value = 1u64;
        for turn in 0..1_000_000u64 {
            value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(turn));
        }
        begun.elapsed().as_secs_f64() * 1e3
    };
    (0..200).map(|_| one()).collect()
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// The value below which so many per cent lie.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = ((sorted.len().saturating_sub(1)) as f64 * percent / 100.0).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// Proportional set size of this process, MiB.
pub(crate) fn pss_mib() -> f64 {
    number_in("/proc/self/smaps_rollup", "Pss:") / 1024.0
}

/// Bytes that this process has sent towards the device, as the kernel counts pages made dirty.
pub(crate) fn written_bytes() -> f64 {
    number_in("/proc/self/io", "write_bytes:")
}

fn number_in(path: &str, name: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    found.unwrap_or(f64::NAN)
}

/// CPU time of this process and of the calling thread, seconds.
pub(crate) fn cpu_s() -> (f64, f64) {
    let of = |clock| {
        let time = rustix::time::clock_gettime(clock);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    (of(rustix::time::ClockId::ProcessCPUTime), of(rustix::time::ClockId::ThreadCPUTime))
}

/// Drops the files of a directory from the page cache.
pub(crate) fn forget(path: &Path) {
    let files: Vec<_> = match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![path.to_owned()],
    };
    for file in files.iter().filter_map(|path| File::open(path).ok()) {
        // Only clean pages can be dropped; where that fails, the figure is too good and not too bad to notice.
        let _synced = file.sync_all();
        let _forgotten = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
}
