//! A day of an eight-GPU node, a second at a time: 1,016 series in the Frames that the probes of such a node would make,
//! with the noise of real counters and gauges.
//!
//! The same seed gives the same Frames on every machine. Each draw of an observation is also added up as the entropy of
//! its distribution, given everything that is hidden behind it ([`Day::floor_bits`]): no lossless code can on average
//! take fewer bits for what was drawn, so a codec is judged by how close it comes, not by how kind the data is.
//!
//! The day: two hours idle, twelve of training (iterations of 3.7 s, a checkpoint of 75 s each half hour), one in which
//! little happens, nine of training in which a GPU falls off the bus for three minutes. Shape and widths of the noise
//! are assumptions, not calibrated on hardware: 9 W of power, a quarter of PCIe throughput, 0.2 % of an NVLink's rate on
//! top of 2 % that all links of a GPU share, 0.4 % of an RDMA port's.

mod entropy;
mod gpu;
mod layout;
mod load;
mod log;
mod meter;
mod noise;
mod rest;

use model::catalogue::GPU_STATE;
use model::{BootId, Frame, Reading, SeriesDef, SeriesId, SeriesKey, Stamp, Value};

use gpu::Gpus;
use layout::{GPUS, Part};
pub use load::Activity;
use load::{Iterations, LOST_GPU};
use meter::Meter;
use noise::WIDTH;

/// What becomes of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Kept as read.
    Lossless,
    /// Counters down to, gauges to the nearest multiple of their quantum: the catalogue's where it has one. How long a
    /// Frame took, to three binary digits. Stamps stay.
    Quantised,
}

/// Frames of one second, numbered in one sequence over the day.
pub type Tick = Vec<Frame>;

/// Seconds after boot at which the telemetry begins.
const UPTIME_S: u64 = 5_000;
/// What to add to the monotonic clock's nanoseconds for the wall clock: in November 2026.
const REAL_MINUS_MONO_NS: i64 = 1_795_341_287_123_456_789;
const BOOT: &str = "6f1d2c0a-93b7-4e58-8a41-0c5be7d94f12";

/// Seconds of telemetry, in order.
#[derive(Clone, Debug)]
pub struct Day {
    policy: Policy,
    plan: Vec<(u64, Activity)>,
    parts: Vec<Part>,
    meter: Meter,
    gpus: Gpus,
    iterations: Iterations,
    /// The second to come.
    second: u64,
    seq: u64,
    kernel_sequence: u64,
    declared: bool,
}

impl Day {
    /// The whole day: 86,400 seconds.
    pub fn new(seed: u64, policy: Policy) -> Self {
        let hours = [(2, Activity::Idle), (12, Activity::Training), (1, Activity::NearIdle), (9, Activity::Storm)];
        Self::of(seed, policy, &hours.map(|(hours, activity)| (hours * 3_600, activity)))
    }

    /// Hours of one activity.
    pub fn hours(seed: u64, policy: Policy, activity: Activity, hours: u64) -> Self {
        Self::of(seed, policy, &[(hours * 3_600, activity)])
    }

    /// Seconds of activities, one after the other.
    pub fn of(seed: u64, policy: Policy, plan: &[(u64, Activity)]) -> Self {
        let parts = layout::parts(policy);
        let steps = parts.iter().flat_map(|part| &part.series).map(|series| series.step).collect();
        let mut meter = Meter::new(seed, steps);
        for (gpu, part) in parts.iter().take(GPUS).enumerate() {
            Gpus::begin(&mut meter, gpu, part.first);
        }
        for part in parts.iter().filter(|part| part.probe == "rdma") {
            rest::begin_ports(&mut meter, part.first);
        }
        for part in parts.iter().filter(|part| part.probe == "host") {
            meter.set(part.first + 2, 8);
            meter.set(part.first + 3, 1_980_000_000);
        }
        for part in parts.iter().filter(|part| part.probe == "process") {
            for rank in 0..GPUS {
                meter.set(part.first + 4 * rank, 9_700_000);
            }
        }
        Self {
            policy,
            plan: plan.to_vec(),
            parts,
            meter,
            gpus: Gpus::default(),
            iterations: Iterations::default(),
            second: 0,
            seq: 0,
            kernel_sequence: 3_000,
            declared: false,
        }
    }

    /// How many series the node has; their ids count from 0.
    pub fn series(&self) -> usize {
        self.meter.raw.len()
    }

    /// The series, as the first Frames declare them.
    pub fn defs(&self) -> Vec<SeriesDef> {
        self.parts.iter().flat_map(defs).collect()
    }

    /// How many seconds there are in all.
    pub fn seconds(&self) -> u64 {
        self.plan.iter().map(|(seconds, _)| seconds).sum()
    }

    /// The entropy of everything drawn so far, bits.
    pub fn floor_bits(&self) -> f64 {
        self.meter.floor
    }

    /// Goes on at this second; the Frames before it are made and dropped. The next ones declare everything again.
    pub fn skip_to(&mut self, second: u64) {
        while self.second < second && self.next().is_some() {}
        self.declared = false;
    }

    /// What the node does in a second, and for how long it has.
    fn activity(&self, second: u64) -> Option<(Activity, u64)> {
        let mut into = second;
        for (seconds, activity) in &self.plan {
            if into < *seconds {
                return Some((*activity, into));
            }
            into -= seconds;
        }
        None
    }

    /// A few microseconds that only an exact duration tells.
    fn short(&mut self, width_us: i64) -> i64 {
        match self.policy {
            Policy::Lossless => self.meter.time(width_us),
            Policy::Quantised => self.meter.hidden(width_us * WIDTH),
        }
    }

    fn frame(&mut self, part: usize, at_us: u64, took_us: u64) -> Option<Frame> {
        let part = self.parts.get(part)?;
        self.seq += 1;
        let lost = self.gpus.lost.get(LOST_GPU).copied().unwrap_or(false)
            && self.parts.get(LOST_GPU).is_some_and(|lost| lost.first == part.first);
        let reading = |place: usize, series: &layout::Series| match (lost, series.metric.as_str() == GPU_STATE.name) {
            (true, true) => Reading::Good(Value::from("lost")),
            (true, false) => Reading::Lost,
            _ => series.reading(self.meter.get(place)),
        };
        let samples = part.series.iter().zip(part.first..).map(|(series, place)| (id(place), reading(place, series)));
        Some(Frame {
            samples: samples.collect(),
            declares: if self.declared { Vec::new() } else { defs(part) },
            entities: if self.declared { Vec::new() } else { part.entities.clone() },
            ..bare(part.probe, self.seq, at_us, took_us)
        })
    }
}

/// A duration to three binary digits, as the engine rounds it.
fn three_digits(us: u64) -> u64 {
    let step = 1u64 << us.checked_ilog2().unwrap_or(0).saturating_sub(2);
    (us + step / 2) / step * step
}

fn bare(probe: &str, seq: u64, at_us: u64, took_us: u64) -> Frame {
    let mut frame = model::Draft::new(probe, stamp(at_us)).seal(&mut model::Dictionary::default());
    (frame.boot, frame.seq, frame.took_us) = (BootId(BOOT.to_owned()), seq, took_us);
    frame
}

fn id(place: usize) -> SeriesId {
    SeriesId(u32::try_from(place).unwrap_or(u32::MAX))
}

fn defs(part: &Part) -> Vec<SeriesDef> {
    let def = |(series, place): (&layout::Series, usize)| SeriesDef {
        id: id(place),
        key: SeriesKey::new(series.entity.clone(), series.metric.clone()),
    };
    part.series.iter().zip(part.first..).map(def).collect()
}

fn stamp(us: u64) -> Stamp {
    let mono = us * 1_000;
    Stamp::new(mono, REAL_MINUS_MONO_NS + i64::try_from(mono).unwrap_or(0))
}

impl Iterator for Day {
    type Item = Tick;

    fn next(&mut self) -> Option<Tick> {
        let (activity, into) = self.activity(self.second)?;
        let drift = self.meter.hidden(4_000 * WIDTH);
        let load = self.iterations.second(activity, into, drift);
        let base_us = (UPTIME_S + self.second) * 1_000_000;
        let common_mw = self.meter.hidden(4_000 * WIDTH);
        let was_lost = std::mem::replace(&mut self.gpus.lost[LOST_GPU], load.storm);
        let firsts: Vec<usize> = self.parts.iter().map(|part| part.first).collect();
        let (lost, back) = (load.storm && !was_lost, was_lost && !load.storm);

        let mut tick = Vec::with_capacity(self.parts.len() + 1);
        let after = |base: u64, us: i64| base.saturating_add_signed(us.max(1));
        // One worker reads all GPUs, one behind the other; the other workers wake by themselves.
        let mut gpu_us = after(base_us, 1_000 + self.meter.time(200));
        for part in 0..self.parts.len() {
            let first = firsts.get(part).copied().unwrap_or(0);
            let (at_us, took) = if part < GPUS {
                if back && part == LOST_GPU {
                    Gpus::come_back(&mut self.meter, first);
                }
                if !(load.storm && part == LOST_GPU) {
                    self.gpus.second(&mut self.meter, part, first, load, common_mw);
                }
                // Of a rounded duration the next GPU's stamp still tells what it was.
                let told = self.policy == Policy::Lossless || part + 1 < GPUS;
                let took = (910 + if told { self.meter.time(8) } else { self.meter.hidden(8 * WIDTH) }).max(1);
                let at_us = gpu_us;
                gpu_us = after(gpu_us, took + 3 + self.short(1));
                (at_us, took)
            } else {
                let own = i64::try_from(part - GPUS).unwrap_or(0);
                match self.parts.get(part).map(|part| part.probe) {
                    Some("rdma") => rest::ports(&mut self.meter, first, load),
                    Some("pcie") => rest::functions(&mut self.meter, first, load),
                    Some("fuse") => rest::mounts(&mut self.meter, first, load),
                    Some("host") => {
                        let uptime = i64::try_from(UPTIME_S + self.second).unwrap_or(0);
                        rest::host(&mut self.meter, first, load, uptime);
                    }
                    _ => rest::processes(&mut self.meter, first, &firsts, load),
                }
                let at_us = after(base_us, 9_000 + own * 700 + self.meter.time(30));
                (at_us, (700 - own * 90 + self.short(4)).max(1))
            };
            let took = match self.policy {
                Policy::Lossless => took.unsigned_abs(),
                Policy::Quantised => three_digits(took.unsigned_abs()),
            };
            tick.extend(self.frame(part, at_us, took));
        }
        let lines = log::lines(&mut self.meter, load, lost, &mut self.kernel_sequence);
        if !lines.is_empty() {
            self.seq += 1;
            let mut frame = bare("kernel_log", self.seq, base_us + 990_000, 0);
            frame.events = lines.into_iter().map(|(us, record)| log::event(stamp(base_us + us), record)).collect();
            tick.push(frame);
        }
        self.declared = true;
        self.second += 1;
        Some(tick)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// FNV-1a over the wire form of a minute.
    fn hash(day: Day) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in day.take(60).flatten().flat_map(|frame| frame.to_wire().unwrap()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash
    }

    fn bytes_a_sample(mut day: Day) -> f64 {
        let (series, seconds) = (day.series(), day.seconds());
        day.skip_to(u64::MAX);
        day.floor_bits()
            / 8.0
            / (model::reading::count_as_f64(seconds) * model::reading::count_as_f64(u64::try_from(series).unwrap()))
    }

    #[test]
    fn the_floors_are_those_of_a_busy_and_an_idle_node() {
        for (policy, idle, training) in [(Policy::Lossless, 0.08, 0.84), (Policy::Quantised, 0.02, 0.39)] {
            let of = |activity| bytes_a_sample(Day::of(1, policy, &[(1_800, activity)]));
            let found = (of(Activity::Idle), of(Activity::Training));
            assert!((found.0 - idle).abs() < 0.01 && (found.1 - training).abs() < 0.04, "{policy:?}: {found:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_everywhere() {
        assert_eq!(
            hash(Day::of(1, Policy::Lossless, &[(30, Activity::Training), (30, Activity::Idle)])),
            16_127_233_418_564_216_325
        );
    }

    #[test]
    fn there_are_1016_series_in_thirteen_frames_each_second() {
        let mut day = Day::new(7, Policy::Quantised);
        let (defs, first) = (day.defs(), day.next().unwrap());
        assert_eq!((day.series(), defs.len(), day.seconds()), (1_016, 1_016, 86_400));
        let declared: Vec<_> = first.iter().flat_map(|frame| frame.declares.clone()).collect();
        assert_eq!(declared, defs);
        let second = day.next().unwrap();
        let samples = second.iter().map(|frame| frame.samples.len()).sum::<usize>();
        assert_eq!((samples, second.iter().filter(|frame| !frame.samples.is_empty()).count()), (1_016, 13));
        assert!(second.iter().all(|frame| frame.declares.is_empty() && frame.entities.is_empty()));
        let seqs: Vec<u64> = first.iter().chain(&second).map(|frame| frame.seq).collect();
        assert!(seqs.iter().zip(1..).all(|(seq, expected)| *seq == expected), "{seqs:?}");
    }

    #[test]
    fn what_is_skipped_is_what_would_have_come() {
        let plan = [(5, Activity::Idle), (20, Activity::Training)];
        let mut skipped = Day::of(3, Policy::Lossless, &plan);
        skipped.skip_to(12);
        let all: Vec<Tick> = Day::of(3, Policy::Lossless, &plan).collect();
        assert_eq!(skipped.defs().len(), 1_016);
        let next = skipped.next().unwrap();
        assert!(next.iter().zip(&all[12]).all(|(one, other)| one.samples == other.samples && one.seq == other.seq));
        assert_eq!(skipped.next().as_ref(), all.get(13));
    }

    #[test]
    fn a_gpu_is_lost_for_three_minutes_and_the_kernel_says_so() {
        let mut day = Day::of(1, Policy::Quantised, &[(14_700, Activity::Storm)]);
        day.skip_to(14_399);
        let lost = |tick: &Tick| {
            tick.iter().flat_map(|frame| &frame.samples).filter(|(_, reading)| *reading == Reading::Lost).count()
        };
        let ticks: Vec<Tick> = day.by_ref().take(183).collect();
        assert_eq!(ticks.iter().map(lost).filter(|lost| *lost == 69).count(), 180);
        assert_eq!((lost(&ticks[0]), lost(&ticks[181])), (0, 0));
        let said = |tick: &Tick| {
            tick.iter().flat_map(|frame| &frame.events).filter(|event| event.text().raw().contains(": 79,")).count()
        };
        assert_eq!(ticks.iter().map(said).collect::<Vec<_>>()[..3], [0, 1, 0]);
    }
}
