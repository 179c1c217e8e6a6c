//! A node's worth of series whose noise is known: how near the blocks come to the least that any code could take.
#![allow(clippy::disallowed_methods)] // What it costs is measured, and asserted nowhere.

use std::time::Instant;

use model::{BootId, Entity, Frame, Reading, SeriesDef, SeriesId, SeriesKey, Stamp, Value};

use super::*;
use crate::schema::Schema;

/// Seconds in a block.
const TICKS: u64 = 300;

/// Pseudo-random numbers and the entropy of what was drawn, in bits.
struct Noise {
    state: u64,
    bits: f64,
}

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / 9_007_199_254_740_992.0
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (self.uniform() * std::f64::consts::TAU).cos()
    }

    /// A reading of `mean` with noise, in steps of `step`.
    fn read(&mut self, mean: f64, sigma: f64, step: f64) -> f64 {
        let units = sigma / step;
        self.bits += if units > 0.6 {
            (units * units * std::f64::consts::TAU * std::f64::consts::E).log2() / 2.0
        } else {
            let density = |at: f64| (-at * at / (2.0 * units * units)).exp();
            let all: Vec<f64> = (-4..=4).map(|at| density(f64::from(at))).collect();
            let sum: f64 = all.iter().sum();
            all.iter().map(|one| one / sum).filter(|one| *one > 0.0).map(|one| -one * one.log2()).sum()
        };
        ((mean + self.normal() * sigma) / step).round() * step
    }
}

/// A node that trains or idles, read exactly or in quanta.
struct Node {
    noise: Noise,
    schema: Schema,
    totals: Vec<f64>,
    quanta: bool,
    busy: f64,
    /// The series of the Frame in the making.
    next: u32,
    samples: Vec<(SeriesId, Reading)>,
    seq: u64,
}

impl Node {
    fn new(quanta: bool, busy: bool) -> Self {
        let noise = Noise { state: 7, bits: 0.0 };
        let busy = if busy { 1.0 } else { 0.0 };
        Self {
            noise,
            schema: Schema::default(),
            totals: Vec::new(),
            quanta,
            busy,
            next: 0,
            samples: Vec::new(),
            seq: 0,
        }
    }

    fn put(&mut self, entity: &str, metric: &str, value: Value) {
        let id = SeriesId(self.next);
        self.next += 1;
        if self.schema.len() < self.next as usize {
            let key = SeriesKey { entity: Entity::gpu(entity), metric: model::MetricName::raw(metric) };
            self.schema.add(SeriesDef { id, key });
            self.totals.push(1e9 * self.noise.uniform());
        }
        self.samples.push((id, Reading::Good(value)));
    }

    fn still(&mut self, entity: &str, metric: &str, value: u64) {
        self.put(entity, metric, Value::Count(value));
    }

    fn level(&mut self, entity: &str, metric: &str, (mean, sigma): (f64, f64), (step, quantum): (f64, f64)) {
        let step = if self.quanta { quantum } else { step };
        let units = (self.noise.read(mean, sigma * self.busy.max(0.05), step) / step).max(0.0);
        // As a driver's thousandths are turned into the unit.
        let value = if step < 1.0 { units.round() / (1.0 / step).round() } else { units.round() * step };
        self.put(entity, metric, Value::Number(value));
    }

    fn total(&mut self, entity: &str, metric: &str, (rate, sigma): (f64, f64), quantum: f64) -> f64 {
        let at = self.next as usize;
        let before = self.totals.get(at).copied().unwrap_or(1e9);
        let step = if self.quanta { quantum } else { 1.0 };
        let added = if self.busy > 0.0 { self.noise.read(rate, sigma, 1.0).max(0.0) } else { 0.0 };
        if self.busy > 0.0 && step > 1.0 {
            // A quantised total says less: the entropy of its own steps.
            let full = (sigma.max(0.3).powi(2) * std::f64::consts::TAU * std::f64::consts::E).log2() / 2.0;
            self.noise.bits -= full;
            self.noise.read(rate, sigma.max(step * 0.3), step);
        }
        let total = before + added;
        self.put(entity, metric, Value::Count((total / step).floor() as u64 * step as u64));
        if let Some(kept) = self.totals.get_mut(at) {
            *kept = total;
        }
        total
    }

    fn frame(&mut self, probe: &str, tick: u64) -> Frame {
        self.seq += 1;
        let jitter = (self.noise.uniform() * 200_000.0) as u64;
        let at = tick * 1_000_000_000 + jitter;
        Frame {
            probe: probe.to_owned(),
            boot: BootId("b".to_owned()),
            seq: self.seq,
            at: Stamp::new(at, 1_790_000_000_000_000_000 + at as i64),
            took_us: 900 + (self.noise.uniform() * 60.0) as u64,
            declares: Vec::new(),
            entities: Vec::new(),
            gone: Vec::new(),
            samples: std::mem::take(&mut self.samples),
            events: Vec::new(),
            faults: Vec::new(),
            burst: false,
        }
    }

    fn tick(&mut self, tick: u64) -> Vec<Frame> {
        self.next = 0;
        let mut frames = Vec::new();
        let phase = (tick as f64 / 3.7 * std::f64::consts::TAU).sin();
        let common = 1.0 + 0.03 * phase + 0.02 * self.noise.normal();
        for gpu in 0..8u32 {
            let name = &format!("GPU-{gpu}");
            let own = common * (1.0 + f64::from(gpu) * 0.003);
            self.level(name, "power", (620.0 * own, 9.0), (0.001, 0.1));
            self.total(name, "energy", (620_000.0 * own, 400.0), 1000.0);
            for (metric, mean, sigma) in [("util", 96.0, 1.5), ("util_mem", 60.0, 3.0)] {
                let value = self.noise.read(mean, sigma * self.busy, 1.0).clamp(0.0, 100.0);
                self.put(name, metric, Value::Count(value as u64));
            }
            let used = 60_000_000_000 + (tick / 70) * 4096 * 777;
            self.still(name, "mem_used", used);
            self.still(name, "mem_free", 80_000_000_000 - used);
            for metric in ["temp", "temp_mem"] {
                self.still(name, metric, 60 + u64::from(gpu % 3) + (tick / 41 + u64::from(gpu)) % 4);
            }
            let clock = (self.noise.read(118.0, 0.8 * self.busy, 1.0) * 15.0) as u64;
            self.still(name, "clock_sm", clock);
            self.still(name, "clock_graphics", clock);
            self.still(name, "clock_mem", 2619);
            self.still(name, "clock_video", 1500);
            self.still(name, "throttle", if tick % 37 == u64::from(gpu) { 4 } else { 0 });
            for metric in ["pcie_tx", "pcie_rx"] {
                self.level(name, metric, (400_000.0, 110_000.0), (1.0, 64.0));
            }
            for metric in 0..11 {
                self.still(name, &format!("ecc_{metric}"), u64::from(gpu == 3) * metric);
            }
            for metric in 0..8 {
                let mean = 50.0 + 4.0 * f64::from(metric);
                self.level(name, &format!("gpm_{metric}"), (mean * common, 0.7), (0.01, 0.1));
            }
            for link in 0..18 {
                let name = &format!("GPU-{gpu}/link{link}");
                for metric in ["link_tx", "link_rx"] {
                    let rate = 6_500_000.0 * common;
                    self.total(name, metric, (rate, rate * 0.002), 1024.0);
                }
            }
        }
        frames.push(self.frame("nvml", tick));
        for port in 0..8 {
            let name = &format!("port{port}");
            for (metric, rate) in [("xmit_data", 1e9), ("rcv_data", 1e9)] {
                self.total(name, metric, (rate * common, rate * 0.004), 262_144.0);
            }
            for (metric, rate) in [("xmit_packets", 3e6), ("rcv_packets", 3e6), ("np_cnp", 3e4), ("rp_cnp", 3e4)] {
                let at = self.next as usize;
                let before = self.totals.get(at).copied();
                self.total(name, metric, (rate * common, rate * 0.004), 256.0);
                if rate > 1e6 {
                    let _ = before;
                    let twin = self.samples.last().and_then(|(_, reading)| reading.good()?.as_count()).unwrap_or(0);
                    self.still(name, &format!("{metric}_unicast"), twin + 5);
                }
            }
            for metric in 0..32 {
                self.still(name, &format!("rdma_{metric}"), 0);
            }
        }
        frames.push(self.frame("rdma", tick));
        for device in 0..64 {
            self.still(&format!("dev{device}"), "aer", 0);
        }
        frames.push(self.frame("pcie", tick));
        for mount in 0..4 {
            let name = &format!("mount{mount}");
            self.total(name, "fuse_read", (2e6, 2e5), 65536.0);
            for metric in 0..5 {
                self.still(name, &format!("fuse_{metric}"), 12);
            }
        }
        frames.push(self.frame("fuse", tick));
        for metric in 0..16 {
            self.level("node", &format!("host_{metric}"), (30.0, if metric < 8 { 0.5 } else { 0.0 }), (0.01, 0.1));
        }
        frames.push(self.frame("host", tick));
        for process in 0..8 {
            for metric in 0..4 {
                self.still(&format!("pid{process}"), &format!("process_{metric}"), 7 + metric);
            }
        }
        frames.push(self.frame("process", tick));
        frames
    }
}

/// The best of several runs, in milliseconds.
fn best<T>(mut run: impl FnMut() -> T) -> f64 {
    let one = |_| {
        let begun = Instant::now();
        std::hint::black_box(run());
        begun.elapsed().as_secs_f64() * 1e3
    };
    (0..5).map(one).fold(f64::INFINITY, f64::min)
}

/// Bytes of a block over the entropy of its noise, and what it costs, printed.
fn measure(name: &str, quanta: bool, busy: bool) -> f64 {
    let mut node = Node::new(quanta, busy);
    let frames: Vec<_> = (0..TICKS).flat_map(|tick| node.tick(tick + 100)).collect();
    let mut builder = Builder::default();
    let begun = Instant::now();
    frames.iter().for_each(|frame| builder.push(frame));
    let push = begun.elapsed().as_secs_f64() * 1e9 / builder.samples() as f64;
    let samples = builder.samples() as f64;
    let begun = Instant::now();
    let sealed = builder.seal(&node.schema);
    let seal = begun.elapsed().as_secs_f64() * 1e3;
    let floor = node.noise.bits / 8.0;
    let ratio = sealed.bytes.len() as f64 / floor;
    let open = || Block::open(sealed.bytes.clone(), sealed.checked, &node.schema).unwrap();
    let block = open();
    assert_eq!(block.frames().unwrap(), frames);
    let scan = best(|| {
        block.scan(&mut |column| {
            std::hint::black_box(column.numbers());
        })
    });
    let half = frames[frames.len() / 2].at.axis_ns();
    let state = best(|| {
        block.state_at(half, &mut |id, reading, _| {
            std::hint::black_box((id, reading));
        })
    });
    let link = node.schema.defs().iter().filter(|def| def.key.metric.as_str() == "link_rx").nth(80).unwrap().id;
    let one = best(|| block.scan_one(link, |column| column.rows()).unwrap());
    println!(
        "{name}: {} series, {} bytes, index {}, {:.3} B/sample, floor {:.3}, ratio {ratio:.3}; push {push:.1} ns, seal \
         {seal:.1} ms, open {:.3} ms, scan {scan:.2} ms = {:.1} ns/sample, state {state:.2} ms, one series {one:.3} ms, \
         last {:.3} ms, summaries {:.3} ms, frames {:.2} ms",
        node.schema.len(),
        sealed.bytes.len(),
        sealed.checked,
        sealed.bytes.len() as f64 / samples,
        floor / samples,
        best(open),
        scan * 1e6 / samples,
        best(|| block.last(&mut |id, reading, _| {
            std::hint::black_box((id, reading));
        })),
        best(|| block.summaries()),
        best(|| block.frames()),
    );
    if std::env::var_os("STREAMS").is_some() {
        for stream in index::open(&sealed.bytes[..sealed.checked], sealed.bytes.len() as u64).unwrap().1 {
            println!("  {stream:?}");
        }
    }
    ratio
}

#[test]
fn a_block_is_little_larger_than_its_noise() {
    let exact = measure("exact", false, true);
    let quanta = measure("quanta", true, true);
    let idle = measure("idle", false, false);
    assert!(exact < 1.18 && quanta < 1.45, "{exact} {quanta} {idle}");
}
