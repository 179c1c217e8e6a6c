//! One simulated card: who it is, what it does at an instant, and what it has counted so far.
//!
//! Instantaneous values are pure functions of scenario time. What accumulates (energy, bytes, throttled time) and what
//! lags (temperature) is integrated on a fixed grid from time zero, so that it does not depend on who asked when.

mod damage;
mod identity;

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Mutex, PoisonError};

use crate::card::{Card, MOST_LINKS};
use crate::fault::{Fault, FaultKind, ThrottleReason};
use crate::load::{Activity, Profile, Worker, mix, noise};
use crate::scenario::{LoadSpan, Process, Scenario};

pub(crate) use identity::PciAddress;
use identity::uuid;

/// Where the eight cards of an HGX board sit, usually; a second board comes in the next domain.
const HGX_BUSES: [u32; 8] = [0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf];

/// What calls can change.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) persistence: AtomicBool,
    pub(crate) compute_mode: AtomicU32,
    pub(crate) mig: AtomicBool,
    pub(crate) draining: AtomicBool,
    pub(crate) removed: AtomicBool,
}

/// One card.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub(crate) index: usize,
    pub(crate) card: &'static Card,
    pub(crate) uuid: String,
    pub(crate) serial: String,
    pub(crate) pci: PciAddress,
    pub(crate) numa: u32,
    pub(crate) ecc: bool,
    pub(crate) settings: Settings,
    load: Profile,
    loads: Vec<LoadSpan>,
    worker: Worker,
    processes: Vec<Process>,
    faults: Vec<Fault>,
    totals: Mutex<Totals>,
}

/// What the card is doing at an instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) activity: Activity,
    pub(crate) power_w: f64,
    pub(crate) sm_mhz: u32,
    pub(crate) memory_mhz: u32,
    pub(crate) video_mhz: u32,
    pub(crate) pstate: u32,
    /// `nvmlClocksEventReason*` bits.
    pub(crate) reasons: u64,
    /// Bytes per second over PCIe, from the card and to it.
    pub(crate) pcie: (f64, f64),
    /// Bytes per second over one link that is up, from the card and to it.
    pub(crate) link: (f64, f64),
    links_up: u32,
    target: f64,
    memory_rise: f64,
}

/// Why clocks were held down, in the order of [`Totals::throttled`], with the bit of each.
pub(crate) const THROTTLES: [u64; 5] = [0x04, 0x10, 0x20, 0x40, 0x80];

/// What has been counted since time zero.
#[derive(Debug, Clone)]
pub(crate) struct Totals {
    steps: u64,
    /// mJ.
    pub(crate) energy: f64,
    /// Bytes from the card and to it.
    pub(crate) pcie: (f64, f64),
    /// Bytes from the card and to it, by link.
    pub(crate) links: [(f64, f64); MOST_LINKS],
    /// Seconds, by [`THROTTLES`].
    pub(crate) throttled: [f64; THROTTLES.len()],
    /// °C.
    pub(crate) temperature: f64,
    /// °C.
    pub(crate) memory_temperature: f64,
}

/// Seconds of one integration step.
const STEP: f64 = 0.1;
/// Inlet air, °C.
const INLET: f64 = 27.0;
/// Time constants of the GPU's and the memory's temperature, seconds.
const THERMAL_LAG: (f64, f64) = (6.0, 14.0);
/// Useful bytes per second of a PCIe lane, first generation (each generation doubles it).
const LANE: f64 = 0.2e9;

impl Gpu {
    /// The card at `index` of a scenario.
    pub(crate) fn new(scenario: &Scenario, index: usize) -> Option<Gpu> {
        let setup = scenario.gpus.get(index)?;
        let mine = |gpus: &Option<Vec<usize>>| gpus.as_ref().is_none_or(|gpus| gpus.contains(&index));
        let bus = HGX_BUSES.get(index % HGX_BUSES.len()).copied().unwrap_or(0);
        let domain = u32::try_from(index / HGX_BUSES.len()).unwrap_or(0);
        let pci = setup.pci.as_deref().and_then(PciAddress::parse);
        let slowest = scenario.gpus.iter().map(|gpu| gpu.slowdown).fold(1.0, f64::max);
        let mut gpu = Gpu {
            index,
            card: setup.card,
            uuid: setup.uuid.clone().unwrap_or_else(|| uuid(scenario.seed, index)),
            serial: setup
                .serial
                .clone()
                .unwrap_or_else(|| format!("{}", 1_650_523_000_000 + mix(scenario.seed) % 900_000 + index as u64)),
            pci: pci.unwrap_or(PciAddress { domain, bus, device: 0 }),
            numa: setup.numa.unwrap_or_else(|| u32::from(index % HGX_BUSES.len() >= HGX_BUSES.len() / 2)),
            ecc: setup.ecc,
            settings: Settings {
                persistence: AtomicBool::new(setup.persistence),
                compute_mode: AtomicU32::new(0),
                mig: AtomicBool::new(setup.mig),
                draining: AtomicBool::new(false),
                removed: AtomicBool::new(false),
            },
            load: setup.load,
            loads: scenario.loads.iter().filter(|span| mine(&span.gpus)).cloned().collect(),
            worker: Worker { seed: scenario.seed, gpu: index, slowdown: setup.slowdown, slowest },
            processes: scenario.processes.iter().filter(|process| mine(&process.gpus)).cloned().collect(),
            faults: scenario.faults.iter().filter(|fault| fault.touches(index)).cloned().collect(),
            totals: Mutex::new(Totals::zero()),
        };
        // The card starts as warm as its load keeps it.
        let start = gpu.moment(0.0, 0.0);
        let totals = gpu.totals.get_mut().unwrap_or_else(PoisonError::into_inner);
        totals.temperature = start.target;
        totals.memory_temperature = start.target + start.memory_rise;
        Some(gpu)
    }

    /// The processes on the card at `t`.
    pub(crate) fn processes(&self, t: f64) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(move |process| t >= process.from && process.to.is_none_or(|to| t < to))
    }

    /// Device memory in use by work at `t`, bytes.
    pub(crate) fn used(&self, t: f64) -> u64 {
        let room = (self.card.memory_mib - self.card.reserved_mib) << 20;
        if self.processes.is_empty() {
            let resident = self.profile(t).activity(self.worker, t).resident;
            // A share of the memory: not negative, and below the total.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let used = (room as f64 * resident) as u64;
            used.min(room)
        } else {
            let held = self.processes(t).filter_map(|process| process.memory_mib);
            held.fold(0u64, |sum, mib| sum.saturating_add(mib.saturating_mul(1 << 20))).min(room)
        }
    }

    /// Faults that are on at `t`.
    pub(crate) fn faults(&self, t: f64) -> impl Iterator<Item = &FaultKind> {
        self.faults.iter().filter(move |fault| fault.active(t)).map(|fault| &fault.kind)
    }

    /// Faults that have begun by `t`, whether or not they still last.
    pub(crate) fn past_faults(&self, t: f64) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| fault.begun(t))
    }

    fn profile(&self, t: f64) -> Profile {
        let span = self.loads.iter().rev().find(|span| t >= span.from && span.to.is_none_or(|to| t < to));
        span.map_or(self.load, |span| span.profile)
    }

    /// What the card does at `t` when its temperature is `temperature`.
    pub(crate) fn moment(&self, t: f64, temperature: f64) -> Moment {
        let card = self.card;
        let (mut reasons, mut clock, mut offset, mut memory_rise) = (0u64, 1.0f64, 0.0, 0.0);
        for kind in self.faults(t) {
            match kind {
                FaultKind::Throttle { reason, clock: share } => {
                    reasons |= reason.bits();
                    clock = clock.min(share.unwrap_or_else(|| reason.clock()));
                }
                FaultKind::Temperature { offset: degrees, memory_offset } => {
                    offset += degrees;
                    memory_rise += memory_offset;
                }
                _ => {}
            }
        }
        // The card protects itself, whatever made it hot.
        let (operating, slowdown, _, _) = card.temperatures;
        if temperature >= f64::from(slowdown) {
            reasons |= ThrottleReason::HwThermal.bits();
            clock = clock.min(ThrottleReason::HwThermal.clock());
        } else if temperature >= f64::from(operating) {
            reasons |= ThrottleReason::SwThermal.bits();
            clock = clock.min(ThrottleReason::SwThermal.clock());
        }
        let activity = self.profile(t).activity(self.worker, t);
        let working = activity.sm > 0.0;
        let (idle_w, _, limit_w) = card.power_w;
        let head = f64::from(limit_w - idle_w);
        let idle_noise = 1.0 + 0.01 * noise(self.worker.seed, self.index, 7, t, 2.3);
        let power_w = f64::from(idle_w) * idle_noise + head * activity.power * clock.powf(1.5);
        let jitter = 12.0 * noise(self.worker.seed, self.index, 8, t, 0.9);
        let (idle_mhz, most_mhz) = card.sm_mhz;
        // Boost gives way a little as power rises.
        let boost = f64::from(most_mhz) * clock * (1.0 - 0.08 * activity.power) + jitter;
        // Between the idle and the highest clock, both small.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let boost = boost.clamp(f64::from(idle_mhz.min(most_mhz / 10)), f64::from(most_mhz)) as u32;
        // Clocks move in steps of 15 MHz.
        let sm_mhz = if working { boost / 15 * 15 } else { idle_mhz };
        if !working {
            reasons |= 1;
        }
        let (generation, width) = self.pcie_link(t);
        let pcie = LANE * f64::from(width) * f64::from(1u32 << generation.min(8));
        let link = f64::from(card.nvlink.2) * 1e6 * activity.nvlink * clock;
        let links_up = (0..card.nvlink.0).filter(|link| self.link_up(*link, t)).fold(0u32, |up, link| up | 1 << link);
        let spread = 1.5 * noise(self.worker.seed, self.index, 9, 0.0, 1.0);
        Moment {
            activity,
            power_w: power_w.min(f64::from(limit_w)),
            sm_mhz,
            memory_mhz: if working { card.memory_mhz.1 } else { card.memory_mhz.0 },
            video_mhz: if working { card.video_mhz * (sm_mhz + 1) / (most_mhz + 1) } else { card.video_mhz / 2 },
            pstate: if working { 0 } else { card.idle_pstate },
            reasons,
            pcie: (pcie * activity.pcie_tx, pcie * activity.pcie_rx),
            link: (link, link * 0.997),
            links_up,
            target: INLET + spread + card.rise * power_w / f64::from(limit_w) + offset,
            memory_rise: 4.0 + 8.0 * activity.memory + memory_rise,
        }
    }

    /// Totals and temperatures at `t`.
    pub(crate) fn totals(&self, t: f64) -> Totals {
        let mut grid = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        // A card that fell behind (nobody asked) catches up; a step costs well under a microsecond.
        while (grid.steps + 1) as f64 * STEP <= t {
            grid.advance(self, STEP);
            grid.steps += 1;
        }
        let mut now = grid.clone();
        drop(grid);
        let rest = t - now.steps as f64 * STEP;
        // Another thread may have gone a step further than this call's time: its grid value is the answer then.
        if rest > 0.0 {
            now.advance(self, rest);
        }
        now
    }

    /// Power averaged over the last second, W: what `nvmlDeviceGetPowerUsage` answers on newer cards.
    pub(crate) fn average_power(&self, t: f64, temperature: f64) -> f64 {
        let instants = [0.0, 0.2, 0.4, 0.6, 0.8];
        let sum: f64 = instants.iter().map(|ago| self.moment((t - ago).max(0.0), temperature).power_w).sum();
        sum / instants.len() as f64
    }
}

impl Totals {
    fn zero() -> Totals {
        Totals {
            steps: 0,
            energy: 0.0,
            pcie: (0.0, 0.0),
            links: [(0.0, 0.0); MOST_LINKS],
            throttled: [0.0; THROTTLES.len()],
            temperature: 0.0,
            memory_temperature: 0.0,
        }
    }

    /// Moves on by `dt` from the grid point, at the rates of the middle of the step.
    fn advance(&mut self, gpu: &Gpu, dt: f64) {
        let moment = gpu.moment(self.steps as f64 * STEP + STEP / 2.0, self.temperature);
        self.energy += moment.power_w * dt * 1e3;
        self.pcie.0 += moment.pcie.0 * dt;
        self.pcie.1 += moment.pcie.1 * dt;
        for (link, bytes) in self.links.iter_mut().enumerate() {
            if moment.links_up >> link & 1 == 1 {
                bytes.0 += moment.link.0 * dt;
                bytes.1 += moment.link.1 * dt;
            }
        }
        for (time, bit) in self.throttled.iter_mut().zip(THROTTLES) {
            if moment.reasons & bit != 0 {
                *time += dt;
            }
        }
        self.temperature += (moment.target - self.temperature) * (1.0 - (-dt / THERMAL_LAG.0).exp());
        let memory_target = self.temperature + moment.memory_rise;
        self.memory_temperature += (memory_target - self.memory_temperature) * (1.0 - (-dt / THERMAL_LAG.1).exp());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gpu(text: &str, index: usize) -> Gpu {
        Gpu::new(&Scenario::parse(text).unwrap(), index).unwrap()
    }

    #[test]
    fn totals_do_not_depend_on_who_asked_when() {
        let text = "[gpus]\ncount = 2\nload = \"training\"\n";
        let (often, once) = (gpu(text, 1), gpu(text, 1));
        let mut last = 0.0;
        for n in 1..700 {
            let energy = often.totals(f64::from(n) * 0.073).energy;
            assert!(energy > last, "energy fell at step {n}");
            last = energy;
        }
        let (a, b) = (often.totals(60.0), once.totals(60.0));
        assert_eq!((a.energy.to_bits(), a.temperature.to_bits()), (b.energy.to_bits(), b.temperature.to_bits()));
        assert_eq!(a.links, b.links);
    }

    #[test]
    fn a_training_h100_is_warm_busy_and_below_its_limits() {
        let gpu = gpu("[gpus]\ncount = 1\nload = \"training\"\n", 0);
        let totals = gpu.totals(120.0);
        assert!((45.0..75.0).contains(&totals.temperature), "{}", totals.temperature);
        let mean = totals.energy / 1e3 / 120.0;
        assert!((450.0..690.0).contains(&mean), "{mean} W");
        assert_eq!(gpu.moment(120.0, totals.temperature).reasons, 0);
    }

    #[test]
    fn an_idle_card_is_cool_and_says_so() {
        let gpu = gpu("[gpus]\ncount = 1\n", 0);
        let moment = gpu.moment(30.0, 30.0);
        assert_eq!((moment.reasons, moment.sm_mhz), (1, 345));
        assert!(moment.power_w < 75.0);
        assert_eq!(gpu.used(30.0), 0);
    }

    #[test]
    fn a_card_that_gets_too_hot_slows_itself_down() {
        let text = "[gpus]\ncount = 1\nload = \"steady\"\n[[fault]]\nat = 10\nkind = \"temperature\"\noffset = 45\n";
        let gpu = gpu(text, 0);
        let before = gpu.totals(9.0);
        let after = gpu.totals(90.0);
        assert!(before.temperature < 70.0 && after.temperature > 84.0, "{before:?} {after:?}");
        assert!(after.throttled[2] + after.throttled[3] > 10.0, "{:?}", after.throttled);
    }

    #[test]
    fn a_link_that_is_down_stops_counting_and_the_others_go_on() {
        let text = "[gpus]\ncount = 1\nload = \"training\"\n[[fault]]\nat = 5\nkind = \"nvlink_down\"\nlink = 4\n";
        let gpu = gpu(text, 0);
        let (before, after) = (gpu.totals(5.0), gpu.totals(50.0));
        assert_eq!(before.links[4], after.links[4]);
        assert!(after.links[5].0 > before.links[5].0);
        assert!(gpu.link_up(4, 4.9) && !gpu.link_up(4, 5.1) && gpu.link_up(5, 5.1));
    }
}
