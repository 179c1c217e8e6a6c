//! Everything beside the GPUs: RDMA ports, PCIe errors, mounts, the host and the processes.

use crate::layout::{GPUS, MOUNTS};
use crate::load::{LOST_GPU, Load};
use crate::meter::Meter;
use crate::noise::WIDTH;

pub(crate) fn begin_ports(meter: &mut Meter, first: usize) {
    for port in 0..GPUS {
        meter.set(first + 40 * port + 2, 400);
        for place in 5..16 {
            let start = 77_000_111 * i64::try_from(place + port).unwrap_or(0);
            meter.set(first + 40 * port + place, start);
        }
    }
}

/// RDMA ports: data is counted in units of four bytes.
pub(crate) fn ports(meter: &mut Meter, first: usize, load: Load) {
    let rate = match (load.busy(), load.checkpoint) {
        (true, _) => load.compute * 1_700_000 + load.exchange * 5_200_000,
        (_, true) => 290_000_000,
        _ => 0,
    };
    let rate = rate + meter.hidden(rate / 64 * WIDTH);
    for port in 0..GPUS {
        let at = |place: usize| first + 40 * port + place;
        for direction in 0..2 {
            if rate > 0 {
                meter.count(at(5 + direction), rate, rate / 250 * WIDTH);
                meter.count(at(7 + direction), rate / 1_024, rate / 1_024 / 250 * WIDTH);
            } else {
                meter.count(at(5 + direction), 1_610, 120 * WIDTH);
                meter.count(at(7 + direction), 43, 6 * WIDTH);
            }
            meter.set(at(3 + direction), meter.get(at(5 + direction)) * 4);
            meter.set(at(9 + direction), meter.get(at(7 + direction)) - 4_410);
        }
        if load.busy() {
            for (place, mean) in [(11, 51_000), (12, 22_000), (13, 9_100), (14, 9_400), (15, 8_800), (30, 30_500)] {
                meter.count(at(place), mean, 170 * WIDTH);
            }
        }
        if meter.happens(5) {
            meter.count(at(16), 1, 0);
        }
        // Errors that nobody must lose: seldom, and each one counts.
        for (place, seldom) in [(34, 9_000), (37, 20_000), (24, 400_000), (38, 60_000)] {
            if load.busy() && meter.happens(seldom) {
                meter.count(at(place), 1, 0);
            }
        }
    }
}

/// AER counters of the GPUs and of the network adapters.
pub(crate) fn functions(meter: &mut Meter, first: usize, load: Load) {
    for function in 0..2 * GPUS {
        let at = first + 4 * function;
        if load.busy() && meter.happens(30_000) {
            meter.count(at, 1, 0);
            meter.count(at + 3, 1, 0);
        }
        if load.storm && function == LOST_GPU {
            meter.count(at, 38, 5 * WIDTH);
            if meter.happens(30) {
                meter.count(at + 2, 1, 0);
            }
        }
    }
}

/// Mounts: the cache serves most of what training reads; a checkpoint is not read.
pub(crate) fn mounts(meter: &mut Meter, first: usize, load: Load) {
    for mount in 0..MOUNTS {
        let at = |place: usize| first + 8 * mount + place;
        if load.busy() {
            let share = 3 - i64::try_from(mount).unwrap_or(0);
            meter.count(at(0), 410 * share, 30 * WIDTH);
            meter.count(at(1), 21 * share, 6 * WIDTH);
            meter.count(at(2), 13_100 * share, 2_600 * WIDTH);
            let before = meter.get(at(3));
            meter.count(at(3), 700 * share, 190 * WIDTH);
            meter.set(at(4), 52_000_000 + (meter.get(at(4)) + meter.get(at(3)) - before) % 4_000_000);
            meter.gauge(at(5), 3 * WIDTH, WIDTH);
            meter.gauge(at(6), 310 * WIDTH, 40 * WIDTH);
        } else {
            meter.gauge(at(5), 0, 0);
            meter.gauge(at(6), 190 * WIDTH, 4 * WIDTH);
        }
        if load.busy() && meter.happens(7_200) {
            meter.count(at(7), 1, 0);
        }
    }
}

/// The host. `uptime` in seconds.
pub(crate) fn host(meter: &mut Meter, first: usize, load: Load, uptime: i64) {
    let at = |place: usize| first + place;
    let or = |working: i64, stirring: i64, idle: i64| match (load.busy() || load.checkpoint, load.stirring) {
        (true, _) => working,
        (_, true) => stirring,
        _ => idle,
    };
    meter.gauge(at(0), or(214, 16, 6) * WIDTH, or(9, 6, 1) * WIDTH);
    meter.gauge(at(1), if load.checkpoint { 61 } else { 3 } * WIDTH, or(3 * WIDTH, WIDTH, WIDTH / 4));
    let (load1, target) = (meter.get(at(2)), or(2_310, 45, 8));
    meter.gauge(at(2), (load1 + (target - load1) / 60) * WIDTH, or(13, 3, 1) * WIDTH);
    meter.wander(at(3), or(1_391_000_000, 1_972_000_000, 1_980_000_000), or(2_800, 900, 24) * WIDTH);
    meter.set(at(4), 1_000 - meter.get(at(3)) / 2_113_000);
    meter.gauge(at(6), or(410, 12, 0) * WIDTH, or(20 * WIDTH, 3 * WIDTH, 0));
    meter.gauge(at(8), if load.checkpoint { 1_800 } else { or(96, 5, 0) } * WIDTH, or(8 * WIDTH, WIDTH, 0));
    meter.gauge(at(9), if load.checkpoint { 900 } else { or(40, 2, 0) } * WIDTH, or(5 * WIDTH, WIDTH / 2, 0));
    if load.busy() && meter.happens(120) {
        meter.wander(at(10), 1_700_000, 8_000 * WIDTH);
    }
    meter.count(at(11), or(41_000, 180, 31), or(400, 24, 4) * WIDTH);
    if load.busy() {
        meter.count(at(12), 4, WIDTH);
    }
    meter.gauge(at(13), 0, or(WIDTH / 3, 0, 0));
    meter.set(at(15), uptime);
}

/// One process on each GPU; its memory there follows the GPU's, whose series begin at `gpu_first`.
pub(crate) fn processes(meter: &mut Meter, first: usize, gpu_first: &[usize], load: Load) {
    for (rank, gpu_first) in gpu_first.iter().enumerate().take(GPUS) {
        let at = |place: usize| first + 4 * rank + place;
        if load.busy() || load.checkpoint {
            meter.wander(at(0), 9_700_000, 190 * WIDTH);
            meter.gauge(at(1), if load.checkpoint { 1_020 } else { 1_340 } * WIDTH, 36 * WIDTH);
        } else {
            meter.gauge(at(1), 2 * WIDTH, WIDTH / 2);
        }
        meter.set(at(2), (meter.get(gpu_first + 2) - 512).max(0));
        meter.set(at(3), i64::from(!load.busy()));
    }
}
