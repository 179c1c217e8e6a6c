//! What a card does at an instant: load profiles as pure functions of seed, card and scenario time.
//!
//! The training profile is a data-parallel job: every iteration computes, waits for the slowest card, exchanges
//! gradients over NVLink, and steps; now and then all cards pause for a checkpoint. Waiting in a collective keeps the
//! card at full utilization and low power, as NCCL's spinning kernels do, so that a straggler shows in power and in
//! iteration time and not in utilization.

use serde::Deserialize;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Profile {
    /// Nothing runs.
    Idle,
    /// Iterations with gradient exchange, and checkpoints.
    Training,
    /// The same at every instant.
    Steady,
    /// Bursts of requests.
    Inference,
}

/// How hard each part of a card works, each as a share of its best, but for utilization (0 to 1 of the time).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Activity {
    pub(crate) sm: f64,
    pub(crate) memory: f64,
    pub(crate) power: f64,
    pub(crate) nvlink: f64,
    pub(crate) pcie_tx: f64,
    pub(crate) pcie_rx: f64,
    /// Share of the frame buffer in use when no process list says otherwise.
    pub(crate) resident: f64,
}

/// Seconds of one training iteration when no card is slow.
pub(crate) const ITERATION: f64 = 3.7;
/// Seconds from one checkpoint to the next, and how long each lasts.
pub(crate) const CHECKPOINT_EVERY: f64 = 300.0;
const CHECKPOINT_LASTS: f64 = 11.0;

// Shares of an iteration: computing (stretched by a slow card), exchanging; the rest is the optimizer step.
const COMPUTE: f64 = 0.80;
const EXCHANGE: f64 = 0.16;

/// Who is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worker {
    pub(crate) seed: u64,
    pub(crate) gpu: usize,
    /// How many times longer this card takes to compute.
    pub(crate) slowdown: f64,
    /// The same of the slowest card of the job.
    pub(crate) slowest: f64,
}

impl Profile {
    /// The card's activity at `t` seconds.
    pub(crate) fn activity(self, worker: Worker, t: f64) -> Activity {
        let base = match self {
            Profile::Idle => return Activity::default(),
            Profile::Training => training(worker, t),
            Profile::Steady => Activity {
                sm: 0.96,
                memory: 0.55,
                power: 0.80,
                nvlink: 0.10,
                pcie_tx: 0.01,
                pcie_rx: 0.02,
                resident: 0.62,
            },
            Profile::Inference => inference(worker, t),
        };
        let wobble = |channel: u64, depth: f64| 1.0 + depth * noise(worker.seed, worker.gpu, channel, t, 1.7);
        Activity {
            sm: (base.sm * wobble(1, 0.01)).clamp(0.0, 1.0),
            memory: (base.memory * wobble(2, 0.06)).clamp(0.0, 1.0),
            power: (base.power * wobble(3, 0.02)).clamp(0.0, 1.0),
            nvlink: (base.nvlink * wobble(4, 0.05)).clamp(0.0, 1.0),
            pcie_tx: (base.pcie_tx * wobble(5, 0.10)).clamp(0.0, 1.0),
            pcie_rx: (base.pcie_rx * wobble(6, 0.10)).clamp(0.0, 1.0),
            resident: base.resident,
        }
    }
}

fn training(worker: Worker, t: f64) -> Activity {
    let resident = 0.87;
    let in_cycle = t.rem_euclid(CHECKPOINT_EVERY);
    if in_cycle > CHECKPOINT_EVERY - CHECKPOINT_LASTS {
        return Activity { sm: 0.03, memory: 0.02, power: 0.06, pcie_tx: 0.35, pcie_rx: 0.01, nvlink: 0.0, resident };
    }
    let all_computed = ITERATION * COMPUTE * worker.slowest;
    let exchanged = all_computed + ITERATION * EXCHANGE;
    let iteration = exchanged + ITERATION * (1.0 - COMPUTE - EXCHANGE);
    let at = in_cycle.rem_euclid(iteration);
    if at < ITERATION * COMPUTE * worker.slowdown {
        // A slow card does the same work in more time.
        let pace = 1.0 / worker.slowdown;
        Activity {
            sm: 0.99,
            memory: 0.62 * pace,
            power: 0.92 * pace,
            nvlink: 0.12 * pace,
            pcie_tx: 0.01,
            pcie_rx: 0.06,
            resident,
        }
    } else if at < all_computed {
        Activity { sm: 1.0, memory: 0.05, power: 0.40, nvlink: 0.01, pcie_tx: 0.005, pcie_rx: 0.01, resident }
    } else if at < exchanged {
        Activity { sm: 1.0, memory: 0.30, power: 0.62, nvlink: 0.85, pcie_tx: 0.01, pcie_rx: 0.02, resident }
    } else {
        Activity { sm: 0.55, memory: 0.25, power: 0.38, nvlink: 0.02, pcie_tx: 0.02, pcie_rx: 0.03, resident }
    }
}

fn inference(worker: Worker, t: f64) -> Activity {
    let slow = noise(worker.seed, worker.gpu, 10, t, 23.0);
    let burst = noise(worker.seed, worker.gpu, 11, t, 1.1);
    let busy = (0.45 + 0.25 * slow + 0.20 * burst).clamp(0.05, 0.95);
    Activity {
        sm: busy,
        memory: busy * 0.7,
        power: 0.10 + busy * 0.55,
        nvlink: busy * 0.15,
        pcie_tx: busy * 0.01,
        pcie_rx: busy * 0.02,
        resident: 0.80,
    }
}

/// Smooth noise in −1..1: a hashed value every `width` seconds, eased between.
pub(crate) fn noise(seed: u64, gpu: usize, channel: u64, t: f64, width: f64) -> f64 {
    let place = t / width;
    let cell = place.floor();
    let within = place - cell;
    let eased = within * within * (3.0 - 2.0 * within);
    // Scenario time is never negative and cells are seconds wide: the cast keeps every cell.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let cell = cell.max(0.0) as u64;
    let value = |cell: u64| unit(mix(seed ^ mix(gpu as u64 ^ mix(channel ^ mix(cell))))) * 2.0 - 1.0;
    let (left, right) = (value(cell), value(cell + 1));
    left + (right - left) * eased
}

/// A number in 0..1 from hashed bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// The finalizer of SplitMix64: every input bit reaches every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(slowdown: f64, slowest: f64) -> Worker {
        Worker { seed: 1, gpu: 0, slowdown, slowest }
    }

    #[test]
    fn noise_is_bounded_smooth_and_repeatable() {
        let mut last = noise(3, 2, 1, 0.0, 1.7);
        for step in 1..2_000 {
            let t = f64::from(step) * 0.01;
            let value = noise(3, 2, 1, t, 1.7);
            assert!((-1.0..=1.0).contains(&value));
            assert!((value - last).abs() < 0.05, "a jump at {t}");
            assert_eq!(value.to_bits(), noise(3, 2, 1, t, 1.7).to_bits());
            last = value;
        }
    }

    #[test]
    fn a_card_that_waits_for_a_straggler_is_busy_and_cool() {
        let t = ITERATION * 0.9;
        let waiting = Profile::Training.activity(worker(1.0, 1.4), t);
        let slow = Profile::Training.activity(worker(1.4, 1.4), t);
        assert!(waiting.sm > 0.95 && slow.sm > 0.95);
        assert!(waiting.power < slow.power * 0.75, "{waiting:?} {slow:?}");
    }

    #[test]
    fn a_checkpoint_stops_the_work_and_writes_to_the_host() {
        let paused = Profile::Training.activity(worker(1.0, 1.0), CHECKPOINT_EVERY - 3.0);
        assert!(paused.sm < 0.1 && paused.pcie_tx > 0.2);
    }
}
