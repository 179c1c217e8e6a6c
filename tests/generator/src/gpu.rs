//! A GPU and its NVLinks.

use crate::layout::{GPU_SCALARS, GPUS, LINKS};
use crate::load::Load;
use crate::meter::Meter;
use crate::noise::WIDTH;

/// Milliwatts of the node's GPUs above or below what their load says, and their temperatures.
#[derive(Clone, Debug)]
pub(crate) struct Gpus {
    /// Thousandths of a degree.
    heat: [i64; GPUS],
    /// Whether it answers.
    pub(crate) lost: [bool; GPUS],
}

/// NVLink KiB a second of one direction of one link while gradients are exchanged and while they are computed.
const EXCHANGE_KIB: i64 = 9_400_000;
const COMPUTE_KIB: i64 = 6_300_000;
const MEMORY_MIB: i64 = 81_559;

impl Default for Gpus {
    fn default() -> Self {
        Self { heat: [31_000; GPUS], lost: [false; GPUS] }
    }
}

impl Gpus {
    /// What never changes, and where everything begins.
    pub(crate) fn begin(meter: &mut Meter, gpu: usize, first: usize) {
        let start = i64::try_from(gpu).unwrap_or(0);
        for (place, value) in [
            (2, 512),
            (4, 623),
            (5, 1),
            (7, 81_300_441 + start * 3_111_333),
            (10, 1_980),
            (11, 2_619),
            (15, 1_204_000_113),
            (25, 5),
            (26, 16),
        ] {
            meter.set(first + place, value);
        }
        for direction in 0..2 * LINKS {
            let place = first + GPU_SCALARS.len() + direction;
            meter.set(place, 40_011_222_333 + start * 991_001 + i64::try_from(direction).unwrap_or(0) * 7_013);
        }
    }

    pub(crate) fn second(&mut self, meter: &mut Meter, gpu: usize, first: usize, load: Load, common_mw: i64) {
        let own = i64::try_from(gpu).unwrap_or(0);
        let (busy, at) = (load.busy(), |place: usize| first + place);
        let by_share = |compute: i64, exchange: i64| (load.compute * compute + load.exchange * exchange) / 1_000;
        let or = |working: i64, otherwise: i64| if busy { working } else { otherwise };

        meter.gauge(at(0), by_share(92, 86) * WIDTH, or(2 * WIDTH, 0));
        meter.gauge(at(1), by_share(48, 31) * WIDTH, or(2 * WIDTH, 0));
        if meter.happens(or(40, 4_000).unsigned_abs()) {
            meter.wander(at(2), or(69_120, if load.checkpoint { 69_120 } else { 512 }), 24 * WIDTH);
        } else if busy && meter.get(at(2)) < 8_000 {
            meter.set(at(2), 69_120 + own * 2);
        }
        meter.set(at(3), MEMORY_MIB - meter.get(at(2)));

        // Power in mW, energy in mJ.
        let watts = match (busy, load.checkpoint) {
            (true, _) => by_share(672, 488) * 1_000 + common_mw,
            (_, true) => 186_000 + common_mw / 2,
            _ => 71_400 + common_mw / 64,
        };
        let mean = watts + own * 2_530;
        meter.gauge(at(6), mean * WIDTH, or(9_000, if load.checkpoint { 6_000 } else { 300 }) * WIDTH);
        let drawn = meter.get(at(6));
        meter.count(at(7), drawn, or(3_000, if load.checkpoint { 2_000 } else { 160 }) * WIDTH);

        let target = 24_000 + drawn / 15 + own * 400;
        let Some(heat) = self.heat.get_mut(gpu) else { return };
        *heat += (target - *heat) / 48 + meter.hidden(30 * WIDTH);
        meter.gauge(at(8), *heat * WIDTH / 1_000, WIDTH / 5);
        meter.gauge(at(9), (*heat + 9_000) * WIDTH / 1_000, WIDTH / 5);

        // Clocks move in steps of 15 MHz; the bit says which limit moves them.
        let below = (drawn - 560_000).max(0) / 9_000;
        let steps = {
            meter.gauge(at(10), below * WIDTH, or(WIDTH * 4 / 5, 0));
            meter.get(at(10))
        };
        meter.set(at(10), if busy || load.checkpoint { 1_980 - 15 * steps } else { 345 });
        meter.set(at(12), meter.get(at(10)) - or(210, if load.checkpoint { 210 } else { 0 }));
        meter.set(at(13), if busy || load.checkpoint { 0 } else { 8 });
        meter.set(at(14), if busy { 4 * i64::from(steps > 0) } else { 1 });

        let (rate, width) = match (busy, load.checkpoint) {
            (true, _) => (by_share(1_700_000, 2_900_000), by_share(470_000, 760_000)),
            (_, true) => (5_200_000, 1_300_000),
            _ => (140, 24),
        };
        meter.gauge(at(17), rate * WIDTH, width * WIDTH);
        meter.gauge(at(18), rate * WIDTH * 3 / 4, width * WIDTH * 3 / 4);
        for (place, compute, exchange, width) in [
            (27, 9_100, 7_600, 60),
            (28, 4_200, 2_900, 60),
            (29, 5_900, 1_200, 110),
            (30, 4_700, 2_400, 90),
            (31, 6_100, 1_900, 90),
        ] {
            meter.gauge(at(place), by_share(compute, exchange) * WIDTH, or(width * WIDTH, 0));
        }
        meter.set(at(32), i64::from(meter.get(at(2)) > 8_000));

        let rate = by_share(COMPUTE_KIB, EXCHANGE_KIB);
        let rate = rate + meter.hidden(rate * WIDTH / 50);
        for direction in 0..2 * LINKS {
            // Two directions of eighteen links: 0.2 % of their rate is what a millisecond's delay of the reading makes.
            meter.count(first + GPU_SCALARS.len() + direction, rate, rate * WIDTH / 500);
        }
    }

    /// The GPU comes back from a reset: its counters begin anew.
    pub(crate) fn come_back(meter: &mut Meter, first: usize) {
        for place in [7, 15, 16].into_iter().chain(GPU_SCALARS.len()..GPU_SCALARS.len() + 2 * LINKS) {
            meter.set(first + place, 0);
        }
    }
}
