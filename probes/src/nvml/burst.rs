//! The burst tier: the few values that tell a slow GPU from one that is held down, ten times a second while recording.
//!
//! Its Drafts are marked as [`Draft::burst`] and hold good values alone: what fails, and why, is the fast tier's to tell.
//! The fast tier's Draft carries the extremes of what was read since the last one: that is what rules see of it.

use std::collections::HashSet;

use model::catalogue::{
    GPU_CLOCK_SM, GPU_CLOCK_SM_HIGHEST, GPU_CLOCK_SM_LOWEST, GPU_MEM_UTIL, GPU_NVLINK_RX, GPU_NVLINK_TX, GPU_PCIE_RX,
    GPU_PCIE_TX, GPU_POWER, GPU_POWER_HIGHEST, GPU_POWER_LOWEST, GPU_THROTTLE, GPU_THROTTLE_SEEN, GPU_UTIL,
};
use model::{Draft, Metric, Reading, Value};
use nvml_raw::Device;

use super::batch::{self, Entry};
use super::fast;
use super::tick::Tick;

/// What the tier reads; the fields among it in one call.
static METRICS: &[&Metric] = &[
    GPU_POWER,
    GPU_PCIE_TX,
    GPU_PCIE_RX,
    GPU_NVLINK_TX,
    GPU_NVLINK_RX,
    GPU_CLOCK_SM,
    GPU_THROTTLE,
    GPU_UTIL,
    GPU_MEM_UTIL,
];

/// The tier of one GPU, for one opening of the driver.
#[derive(Debug, Default)]
pub(super) struct Burst {
    /// What the GPU does not have: not asked for again ten times a second.
    absent: HashSet<&'static str>,
    extremes: Extremes,
}

impl Burst {
    /// Reads the tier.
    pub(super) fn read(&self, tick: &mut Tick, device: &Device) {
        let fields: Vec<Entry> = fast::FIELDS.iter().filter(|entry| self.reads(entry.metric)).copied().collect();
        if !fields.is_empty() {
            batch::read(tick, device, &fields);
        }
        if self.reads(GPU_CLOCK_SM) {
            fast::clock_sm(tick, device);
        }
        if self.reads(GPU_THROTTLE) {
            fast::throttle(tick, device);
        }
        if self.reads(GPU_UTIL) {
            fast::utilization(tick, device);
        }
    }

    fn reads(&self, metric: &'static Metric) -> bool {
        METRICS.contains(&metric) && !self.absent.contains(metric.name)
    }

    /// Takes in what was read, and leaves the good values in the Draft.
    pub(super) fn keep(&mut self, draft: &mut Draft) {
        for metric in METRICS {
            let is_absent = |reading: &Reading| matches!(reading, Reading::Unsupported | Reading::Denied);
            if draft.samples.iter().any(|(key, reading)| key.metric.as_str() == metric.name && is_absent(reading)) {
                self.absent.insert(metric.name);
            }
        }
        draft.samples.retain(|(_, reading)| reading.good().is_some());
        self.extremes.take(draft);
    }

    /// Adds the extremes since the last call to a pass of the fast tier, with what that has read itself.
    pub(super) fn tell_extremes(&mut self, tick: &mut Tick) {
        self.extremes.take(&tick.draft);
        let Extremes { power, clock, throttle } = std::mem::take(&mut self.extremes);
        if let Some((lowest, highest)) = power {
            tick.put(GPU_POWER_LOWEST, lowest);
            tick.put(GPU_POWER_HIGHEST, highest);
        }
        if let Some((lowest, highest)) = clock {
            tick.put(GPU_CLOCK_SM_LOWEST, lowest);
            tick.put(GPU_CLOCK_SM_HIGHEST, highest);
        }
        if let Some(bits) = throttle {
            tick.put(GPU_THROTTLE_SEEN, bits);
        }
    }

    /// What a pass of the fast tier has read of this tier: the tenth reading of the second costs no call.
    pub(super) fn of_the_fast_tier(draft: &Draft) -> Draft {
        let of_this = |name: &str| METRICS.iter().any(|metric| metric.name == name);
        let samples =
            draft.samples.iter().filter(|(key, reading)| reading.good().is_some() && of_this(key.metric.as_str()));
        Draft { burst: true, samples: samples.cloned().collect(), ..Draft::new(draft.probe.clone(), draft.at) }
    }
}

/// The lowest and the highest, and all bits that were seen.
#[derive(Debug, Default, PartialEq)]
struct Extremes {
    power: Option<(f64, f64)>,
    clock: Option<(f64, f64)>,
    throttle: Option<u64>,
}

impl Extremes {
    fn take(&mut self, draft: &Draft) {
        for (key, reading) in &draft.samples {
            match (key.metric.as_str(), reading.good()) {
                (name, Some(Value::Number(number))) if name == GPU_POWER.name => widen(&mut self.power, *number),
                (name, Some(Value::Number(number))) if name == GPU_CLOCK_SM.name => widen(&mut self.clock, *number),
                (name, Some(Value::Count(bits))) if name == GPU_THROTTLE.name => {
                    self.throttle = Some(self.throttle.unwrap_or(0) | bits);
                }
                _ => {}
            }
        }
    }
}

fn widen(range: &mut Option<(f64, f64)>, number: f64) {
    let (lowest, highest) = range.unwrap_or((number, number));
    *range = Some((lowest.min(number), highest.max(number)));
}

#[cfg(test)]
mod tests {
    use model::{Entity, Stamp};

    use super::*;

    fn draft(readings: &[(&'static Metric, Reading)]) -> Draft {
        let mut draft = Draft::new("nvml", Stamp::default());
        readings.iter().for_each(|(metric, reading)| draft.read(&Entity::gpu("GPU-1"), *metric, reading.clone()));
        draft
    }

    #[test]
    fn a_dip_between_two_seconds_is_in_the_extremes() {
        let mut burst = Burst::default();
        for (power, clock, bits) in [(700.0, 1980.0, 0u64), (120.0, 345.0, 8), (690.0, 1980.0, 4)] {
            burst.keep(&mut draft(&[
                (GPU_POWER, power.into()),
                (GPU_CLOCK_SM, clock.into()),
                (GPU_THROTTLE, bits.into()),
            ]));
        }
        let expected = Extremes { power: Some((120.0, 700.0)), clock: Some((345.0, 1980.0)), throttle: Some(12) };
        assert_eq!(burst.extremes, expected);
    }

    #[test]
    fn what_a_gpu_does_not_have_is_not_asked_for_again_and_nothing_but_good_values_is_kept() {
        let mut burst = Burst::default();
        let stale = Reading::Stale(Value::Number(99.0), 5);
        let mut read =
            draft(&[(GPU_POWER, stale), (GPU_NVLINK_TX, Reading::Unsupported), (GPU_CLOCK_SM, 345.0.into())]);
        burst.keep(&mut read);
        assert_eq!(read.samples.len(), 1);
        assert!(burst.reads(GPU_POWER) && !burst.reads(GPU_NVLINK_TX));
        assert_eq!(burst.extremes.power, None);
    }
}
