//! What is rounded before recorder and rules see it, so that live and replay judge the same values, and by how much.
//!
//! | what | to | why |
//! |---|---|---|
//! | a gauge | the nearest multiple of its metric's quantum | the last bits of a power or of a memory in use are noise |
//! | a counter | the multiple of its metric's quantum below; as it is while below one | what moves by gigabytes a second has random low bits |
//! | the monotonic clock of a Frame | the microsecond below | nothing is ordered by less |
//! | its wall clock | the monotonic one and an offset that is held ([`WallClock`]) | the two are read some nanoseconds apart, which differs each time |
//! | how long it took | three significant binary digits | it says whether a source is slow, not when |
//!
//! Rounding a counter's total down, rather than what was added, never adds up: between any two totals the amount counted
//! is off by less than one quantum, however many lie between them.

use model::{Kind, Metric, Reading, Stamp, Value};

/// So far the wall clock of a Frame may lie from the one that was read, before the held offset follows.
pub const MOST_DRIFT_NS: i128 = 1_000_000;

const NS_PER_US: u64 = 1_000;

/// Rounds a reading to the quantum that the catalogue gives its metric.
pub(crate) fn reading(metric: &Metric, reading: &mut Reading) {
    if metric.quantum <= 0.0 {
        return;
    }
    let (Reading::Good(value) | Reading::Stale(value, _)) = reading else { return };
    match (metric.kind, value) {
        (Kind::Counter { .. }, Value::Count(total)) => *total = total_below(*total, metric.whole_quantum()),
        (Kind::Gauge | Kind::Info, Value::Count(count)) => *count = nearest(*count, metric.whole_quantum()),
        (Kind::Gauge | Kind::Info, Value::Number(number)) => *number = nearest_step(*number, metric.quantum),
        _ => {}
    }
}

/// A total below one quantum stays: whether anything was ever counted is a question that rules ask.
fn total_below(total: u64, quantum: u64) -> u64 {
    if total < quantum { total } else { total - total % quantum }
}

fn nearest(count: u64, quantum: u64) -> u64 {
    let above = count % quantum;
    let below = count - above;
    if above < quantum - above { below } else { below.checked_add(quantum).unwrap_or(below) }
}

fn nearest_step(number: f64, quantum: f64) -> f64 {
    if quantum >= 1.0 {
        return (number / quantum).round() * quantum;
    }
    // Dividing by the inverse keeps 0.1 steps at their shortest decimal form: 312.4, not 312.40000000000003.
    let steps_per_unit = (1.0 / quantum).round();
    (number * steps_per_unit).round() / steps_per_unit
}

/// How long something took, to three significant binary digits: off by an eighth at most.
pub(crate) fn took(us: u64) -> u64 {
    let dropped = us.checked_ilog2().unwrap_or(0).saturating_sub(2);
    nearest(us, 1 << dropped)
}

/// The offset of the wall clock against the monotonic one, held until the true one has drifted from it.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    held: Option<i128>,
}

impl WallClock {
    /// Rounds an instant. `follow`: the held offset may follow what this one tells; one that was read before an instant
    /// already seen, or that rules do not see, must not move it.
    pub(crate) fn stamp(&mut self, at: Stamp, follow: bool) -> Stamp {
        let Some(mono) = at.mono_ns else { return at };
        let floored = mono - mono % NS_PER_US;
        let Some(real) = at.real_ns else { return Stamp { mono_ns: Some(floored), ..at } };
        let offset = i128::from(real) - i128::from(mono);
        let whole = offset - offset.rem_euclid(i128::from(NS_PER_US));
        let held = self.held.filter(|held| (offset - held).abs() <= MOST_DRIFT_NS);
        if follow && held.is_none() {
            self.held = Some(whole);
        }
        let real = i128::from(floored) + held.unwrap_or(whole);
        Stamp { mono_ns: Some(floored), real_ns: i64::try_from(real).ok().or(at.real_ns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::catalogue;
    use proptest::prelude::*;

    fn rounded(metric: &Metric, value: impl Into<Reading>) -> Reading {
        let mut value = value.into();
        reading(metric, &mut value);
        value
    }

    #[test]
    fn gauges_go_to_the_nearest_step_and_counters_to_the_one_below() {
        const MIB: u64 = 1 << 20;
        assert_eq!(rounded(catalogue::GPU_POWER, 312.449), Reading::from(312.4));
        assert_eq!(rounded(catalogue::GPU_MEM_USED, 1.5 * 1_048_576.0), Reading::from(2.0 * 1_048_576.0));
        assert_eq!(rounded(catalogue::PROCESS_RSS, 5 * MIB - 1), Reading::from(5 * MIB));
        assert_eq!(rounded(catalogue::NVLINK_TX, 5 * MIB - 1), Reading::from(4 * MIB));
        assert_eq!(rounded(catalogue::GPU_ENERGY, 123_999u64), Reading::from(123_000u64));
        assert_eq!(rounded(catalogue::NVLINK_CRC_FLIT, 5 * MIB - 1), Reading::from(5 * MIB - 1));
    }

    #[test]
    fn a_counter_that_has_counted_anything_is_never_rounded_to_nothing() {
        assert_eq!(rounded(catalogue::RDMA_RX, 4_096u64), Reading::from(4_096u64));
        assert_eq!(rounded(catalogue::RDMA_RX, 0u64), Reading::from(0u64));
    }

    #[test]
    fn a_stale_value_is_rounded_and_what_is_no_value_stays() {
        let stale = rounded(catalogue::GPU_POWER, Reading::Stale(Value::Number(99.96), 5));
        assert_eq!(stale, Reading::Stale(Value::Number(100.0), 5));
        assert_eq!(rounded(catalogue::GPU_POWER, Reading::Lost), Reading::Lost);
    }

    #[test]
    fn the_wall_clock_of_steady_frames_is_the_monotonic_one_and_one_offset() {
        let mut clock = WallClock::default();
        let mut offsets = Vec::new();
        for (mono, noise) in
            [(1_000_000_123, 0), (2_000_000_777, 431), (3_000_000_001, -977_000), (4_000_000_000, 999_000)]
        {
            let at = clock.stamp(Stamp::new(mono, i64::try_from(mono).unwrap() + 5_000_000_000 + noise), true);
            assert_eq!(at.mono_ns.unwrap() % 1_000, 0);
            offsets.push(at.real_ns.unwrap() - i64::try_from(at.mono_ns.unwrap()).unwrap());
        }
        assert_eq!(offsets, [5_000_000_000; 4]);
        let drifted = clock.stamp(Stamp::new(5_000_000_000, 10_001_500_000), true);
        assert_eq!(drifted.real_ns, Some(10_001_500_000), "followed");
    }

    #[test]
    fn an_instant_read_before_a_step_keeps_its_wall_clock_and_moves_nothing() {
        let mut clock = WallClock::default();
        clock.stamp(Stamp::new(2_000_000_000, 62_000_000_000), true);
        assert_eq!(clock.stamp(Stamp::new(1_900_000_000, 1_900_000_000), false).real_ns, Some(1_900_000_000));
        assert_eq!(clock.stamp(Stamp::new(3_000_000_000, 63_000_000_300), true).real_ns, Some(63_000_000_000));
    }

    #[test]
    fn one_clock_alone_is_taken_as_it_is() {
        let mut clock = WallClock::default();
        let (mono, real) =
            (Stamp { mono_ns: Some(1_999), real_ns: None }, Stamp { mono_ns: None, real_ns: Some(1_999) });
        assert_eq!(clock.stamp(mono, true), Stamp { mono_ns: Some(1_000), real_ns: None });
        assert_eq!(clock.stamp(real, true), real);
    }

    proptest! {
        #[test]
        fn totals_of_a_rounded_counter_never_drift(
            start in 0u64..1 << 40,
            adds in prop::collection::vec(0u64..1 << 34, 1..60),
            metric in prop::sample::select(vec![catalogue::NVLINK_TX, catalogue::GPU_ENERGY, catalogue::GPU_PCIE_RX]),
        ) {
            let quantum = metric.whole_quantum();
            let first = total_below(start, quantum);
            let (mut total, mut before, mut counted) = (start, first, 0);
            for add in adds {
                total += add;
                let after = total_below(total, quantum);
                counted += model::counter::step(before, after, metric.wrap()).amount();
                before = after;
                prop_assert!(after <= total && total - after < quantum);
                prop_assert!(counted.abs_diff(total - start) < quantum);
            }
        }

        #[test]
        fn a_wrap_stays_a_wrap(start in 0u32.., adds in prop::collection::vec(0u64..1 << 29, 1..60), bits in 0u32..20) {
            let (quantum, range) = (1u64 << bits, 1u64 << 32);
            let mut total = u64::from(start);
            let first = total_below(total, quantum);
            let (mut before, mut counted, mut true_count) = (first, 0u64, 0u64);
            for add in adds {
                total = (total + add) % range;
                true_count += add;
                let after = total_below(total, quantum);
                prop_assert!(after < range);
                counted += model::counter::step(before, after, Some(32)).amount();
                before = after;
                prop_assert!(counted.abs_diff(true_count) <= quantum, "{counted} {true_count}");
            }
        }

        #[test]
        fn how_long_it_took_is_off_by_an_eighth_at_most(us in any::<u64>()) {
            let rounded = took(us);
            prop_assert!(rounded.abs_diff(us) <= us / 8 || us > u64::MAX / 8 * 7);
            prop_assert!(us < 8 || rounded.count_ones() <= 3);
        }

        #[test]
        fn a_rounded_instant_lies_within_the_drift(monos in prop::collection::vec((any::<u32>(), -3_000_000i64..3_000_000), 1..40)) {
            let mut clock = WallClock::default();
            let mut mono = 0u64;
            for (add, noise) in monos {
                mono += u64::from(add);
                let real = i64::try_from(mono).unwrap() + 1_700_000_000_000_000_000 + noise;
                let at = clock.stamp(Stamp::new(mono, real), true);
                prop_assert!(mono - at.mono_ns.unwrap() < 1_000);
                prop_assert!((real - at.real_ns.unwrap()).abs() <= 1_000_000 + 2_000);
            }
        }

        #[test]
        fn rounding_twice_is_rounding_once(power in 0.0..2000.0f64) {
            let once = rounded(catalogue::GPU_POWER, power);
            prop_assert_eq!(&once, &rounded(catalogue::GPU_POWER, once.clone()));
            let number = once.value().and_then(Value::as_f64).unwrap();
            prop_assert!((number - power).abs() <= 0.050_000_1);
        }

        #[test]
        fn any_value_is_rounded_without_a_panic(count in any::<u64>(), number in any::<f64>()) {
            for metric in catalogue::all() {
                let _ = (rounded(metric, count), rounded(metric, number));
            }
        }
    }
}
