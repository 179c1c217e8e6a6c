//! JuiceFS' statistics: the file `.stats` in the root of a mount (`.jfs.stats` with `--prefix-internal`), lines of
//! `name value` without labels. Facts: JuiceFS 1.4 `pkg/vfs/internal.go`, and the file of a real mount.

use model::counter::{Step, step};
use model::reading::count_as_f64;

/// The names under which the file is found.
pub const FILES: &[&str] = &[".stats", ".jfs.stats"];

/// FUSE requests that one round of our own questions makes (statfs, lookup, open, getattr, reads, flush, release), with
/// room to spare: an advance of no more than this is no sign of life.
const OWN_REQUESTS: u64 = 24;

/// What a cache tells of itself: totals since its daemon started. `None`: it does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheStats {
    /// Reads of a block served from the cache.
    pub hits: Option<u64>,
    /// Reads of a block that went to the object store.
    pub misses: Option<u64>,
    /// Bytes served from the cache.
    pub hit_bytes: Option<u64>,
    /// Bytes fetched from the object store.
    pub miss_bytes: Option<u64>,
    /// Blocks thrown out.
    pub evicts: Option<u64>,
    /// Bytes in the cache now.
    pub bytes: Option<u64>,
    /// Requests to the object store that failed.
    pub remote_errors: Option<u64>,
    /// Seconds since the daemon started.
    pub uptime: Option<f64>,
    written: Option<u64>,
    fetched: Option<u64>,
    stored: Option<u64>,
    requests: Option<u64>,
}

type Slot = fn(&mut CacheStats) -> &mut Option<u64>;

const COUNTS: &[(&str, Slot)] = &[
    ("juicefs_blockcache_hits", |stats| &mut stats.hits),
    ("juicefs_blockcache_miss", |stats| &mut stats.misses),
    ("juicefs_blockcache_hit_bytes", |stats| &mut stats.hit_bytes),
    ("juicefs_blockcache_miss_bytes", |stats| &mut stats.miss_bytes),
    ("juicefs_blockcache_evicts", |stats| &mut stats.evicts),
    ("juicefs_blockcache_bytes", |stats| &mut stats.bytes),
    ("juicefs_object_request_errors", |stats| &mut stats.remote_errors),
    ("juicefs_fuse_written_size_bytes_sum", |stats| &mut stats.written),
    ("juicefs_object_request_data_bytes_GET", |stats| &mut stats.fetched),
    ("juicefs_object_request_data_bytes_PUT", |stats| &mut stats.stored),
    ("juicefs_fuse_ops_durations_histogram_seconds_total", |stats| &mut stats.requests),
];

/// Reads the file. `None`: it is not of this form (it lacks the cache's byte or block counts).
pub fn parse(text: &[u8]) -> Option<CacheStats> {
    let mut stats = CacheStats::default();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
        if name == "juicefs_uptime" {
            stats.uptime = value.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
        } else if let Some((_, slot)) = COUNTS.iter().find(|(known, _)| *known == name) {
            *slot(&mut stats) = count(value);
        }
    }
    (stats.hits.or(stats.hit_bytes).is_some() && stats.misses.or(stats.miss_bytes).is_some()).then_some(stats)
}

/// Counters are floating-point numbers in the daemon; large ones come rounded, never with an exponent.
fn count(value: &str) -> Option<u64> {
    if let Ok(whole) = value.parse() {
        return Some(whole);
    }
    let number: f64 = value.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked; saturates above 2^64")]
    Some(number as u64)
}

impl CacheStats {
    /// Whether the file system has done anything for anybody but us since `before`.
    pub fn moved_since(&self, before: &Self) -> bool {
        let data = |stats: &Self| {
            [stats.hits, stats.misses, stats.hit_bytes, stats.miss_bytes, stats.written, stats.fetched, stats.stored]
        };
        let requests = self.requests.unwrap_or(0).abs_diff(before.requests.unwrap_or(0));
        data(self) != data(before) || requests > OWN_REQUESTS
    }
}

/// The share of bytes served from the cache, over the last interval in which any were read.
#[derive(Debug, Default)]
pub struct HitRatio {
    before: Option<CacheStats>,
    percent: Option<f64>,
}

impl HitRatio {
    /// Takes in new totals; tells the share in per cent, `None` while no interval with traffic has been seen.
    pub fn take(&mut self, now: &CacheStats) -> Option<f64> {
        if let Some(before) = self.before.replace(now.clone())
            && let Some((hit, missed)) = served(&before, now)
            && hit.saturating_add(missed) > 0
        {
            self.percent = Some(100.0 * count_as_f64(hit) / (count_as_f64(hit) + count_as_f64(missed)));
        }
        self.percent
    }
}

/// Bytes from the cache and from the remote between two totals. A daemon that restarted counts from 0: what it has
/// counted since is the interval's traffic.
fn served(before: &CacheStats, now: &CacheStats) -> Option<(u64, u64)> {
    let (hit, missed) = (now.hit_bytes?, now.miss_bytes?);
    let steps = (step(before.hit_bytes?, hit, None), step(before.miss_bytes?, missed, None));
    let restarted = now.uptime.zip(before.uptime).is_some_and(|(now, before)| now < before);
    match steps {
        (Step::Forward(hit), Step::Forward(missed)) if !restarted => Some((hit, missed)),
        _ => Some((hit, missed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines of the `.stats` of a real JuiceFS 1.4.2 after a cold read of 64 MiB.
    const REAL: &[u8] = b"juicefs_blockcache_blocks 36\njuicefs_blockcache_bytes 68567040\njuicefs_blockcache_drops 0\n\
        juicefs_blockcache_evicts 0\njuicefs_blockcache_hit_bytes 0\njuicefs_blockcache_hits 0\njuicefs_blockcache_miss 17\n\
        juicefs_blockcache_miss_bytes 67108864\njuicefs_blockcache_write_hist_seconds_sum 0.057230837000000014\n\
        juicefs_fuse_ops_durations_histogram_seconds_total 1230\njuicefs_go_memstats_gomemlimit_bytes 9223372036854776000\n\
        juicefs_fuse_written_size_bytes_sum 68419584\njuicefs_object_request_errors 0\njuicefs_uptime 1.287099746\n";

    fn stats(hit: u64, missed: u64) -> CacheStats {
        CacheStats { hit_bytes: Some(hit), miss_bytes: Some(missed), ..CacheStats::default() }
    }

    #[test]
    fn the_file_of_a_real_mount_reads() {
        let stats = parse(REAL).unwrap();
        assert_eq!((stats.hits, stats.misses, stats.hit_bytes), (Some(0), Some(17), Some(0)));
        assert_eq!((stats.miss_bytes, stats.bytes), (Some(67_108_864), Some(68_567_040)));
        assert_eq!((stats.remote_errors, stats.uptime, stats.evicts), (Some(0), Some(1.287_099_746), Some(0)));
    }

    #[test]
    fn another_file_of_that_name_is_not_taken_for_it() {
        assert_eq!(parse(b"reads 17\nwrites 3\n"), None);
        assert_eq!(parse(b"juicefs_uptime 3\n"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn large_counts_come_as_rounded_floats() {
        assert_eq!(count("9223372036854776000"), Some(9_223_372_036_854_776_000));
        assert_eq!(count("67108864.5"), Some(67_108_864));
        assert_eq!((count("-1"), count("NaN"), count("x")), (None, None, None));
    }

    #[test]
    fn the_ratio_is_that_of_the_last_interval_with_traffic() {
        let mut ratio = HitRatio::default();
        assert_eq!(ratio.take(&stats(500, 500)), None, "one reading is no interval");
        assert_eq!(ratio.take(&stats(500, 500)), None, "no traffic yet");
        assert_eq!(ratio.take(&stats(800, 600)), Some(75.0));
        assert_eq!(ratio.take(&stats(800, 600)), Some(75.0), "idle: the last one stands");
        assert_eq!(ratio.take(&stats(800, 700)), Some(0.0));
    }

    #[test]
    fn a_daemon_that_restarted_counts_from_zero() {
        let mut ratio = HitRatio::default();
        ratio.take(&stats(1_000, 10));
        assert_eq!(ratio.take(&stats(30, 90)), Some(25.0), "hit bytes went back, so both began anew");
        let grown = CacheStats { uptime: Some(9.0), ..stats(60, 180) };
        ratio.take(&grown);
        let restarted = CacheStats { uptime: Some(1.0), ..stats(80, 240) };
        assert_eq!(ratio.take(&restarted), Some(25.0), "the uptime tells although both totals grew");
    }

    #[test]
    fn our_own_questions_are_no_sign_of_life() {
        let at = |requests| CacheStats { requests: Some(requests), ..stats(1, 1) };
        assert!(!at(108).moved_since(&at(100)));
        assert!(at(200).moved_since(&at(100)));
        assert!(stats(2, 1).moved_since(&stats(1, 1)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), value in "[-0-9.eE+]{0,12}") {
            let _ = (parse(&bytes), count(&value));
        }
    }
}
