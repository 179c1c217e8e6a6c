//! The scenario language: a TOML document turned into checked data. See the crate's `README.md`.

mod document;

use serde::Deserialize;

use crate::card::Card;
use crate::fault::{Fault, FaultKind, OneOrMany, ThrottleReason};
use crate::load::Profile;
use document::{Document, FaultWhen, PidEntry, ProcessEntry, gpus};

/// The most cards that a scenario may have.
const MOST_GPUS: usize = 16;

/// A node and what happens on it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scenario {
    /// Varies every noise and the identities.
    pub seed: u64,
    /// As `nvmlSystemGetDriverVersion` answers; decides the numbering of fields 251 to 273.
    pub driver_version: String,
    /// CUDA version as NVML encodes it: 1000 × major + 10 × minor.
    pub cuda_version: i32,
    /// As `nvmlSystemGetNVMLVersion` answers.
    pub nvml_version: String,
    /// Width of the PCIe byte counters (fields 197, 198): 32 wraps, 64 does not.
    pub pcie_counter_bits: u32,
    /// The cards, in index order.
    pub gpus: Vec<GpuSetup>,
    /// Loads by time, on top of each card's own.
    pub loads: Vec<LoadSpan>,
    /// Processes.
    pub processes: Vec<Process>,
    /// Faults.
    pub faults: Vec<Fault>,
}

/// One card of the node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GpuSetup {
    /// Its model.
    pub card: &'static Card,
    /// What it does when no load span says otherwise.
    pub load: Profile,
    /// How many times longer it takes to compute.
    pub slowdown: f64,
    /// Its UUID, where the scenario names one.
    pub uuid: Option<String>,
    /// Its PCI address (`0000:1b:00.0`), where the scenario names one.
    pub pci: Option<String>,
    /// Its serial number, where the scenario names one.
    pub serial: Option<String>,
    /// Its NUMA node, where the scenario names one.
    pub numa: Option<u32>,
    /// Whether persistence mode is on.
    pub persistence: bool,
    /// Whether ECC is on.
    pub ecc: bool,
    /// Whether MIG mode is on.
    pub mig: bool,
}

/// A load on some cards for some time.
#[derive(Debug, Clone)]
pub struct LoadSpan {
    /// The cards; none: all.
    pub gpus: Option<Vec<usize>>,
    /// What they do.
    pub profile: Profile,
    /// From when, seconds.
    pub from: f64,
    /// Until when, seconds; none: to the end.
    pub to: Option<f64>,
}

/// Whose process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pid {
    /// The process that loaded the library.
    Itself,
    /// Its parent.
    Parent,
    /// This one.
    Number(u32),
}

/// How a process uses a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProcessType {
    /// Listed by the compute call.
    Compute,
    /// Listed by the graphics call.
    Graphics,
    /// Listed by the MPS call.
    Mps,
}

/// A process on some cards for some time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Process {
    /// The cards; none: all.
    pub gpus: Option<Vec<usize>>,
    /// Who.
    pub pid: Pid,
    /// Device memory it holds, MiB; none: `NVML_VALUE_NOT_AVAILABLE`.
    pub memory_mib: Option<u64>,
    /// How.
    pub kind: ProcessType,
    /// From when, seconds.
    pub from: f64,
    /// Until when, seconds; none: to the end.
    pub to: Option<f64>,
}

/// Why a text is not a scenario.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// Not TOML, or not of the right shape.
    #[error("{place}: {source}")]
    Toml {
        /// Which part of the document.
        place: String,
        /// What TOML says.
        source: toml::de::Error,
    },
    /// A model nobody knows.
    #[error("gpu {index}: no card model `{model}`; known: {known}")]
    UnknownModel {
        /// Which card.
        index: usize,
        /// What the scenario said.
        model: String,
        /// What it could have said.
        known: String,
    },
    /// No cards, or too many.
    #[error("{count} cards; a scenario has 1 to {MOST_GPUS}")]
    CardCount {
        /// How many.
        count: usize,
    },
    /// A card that is not there.
    #[error("{place}: gpu {gpu} does not exist, the scenario has {count} (0 to {last})", last = count - 1)]
    NoSuchGpu {
        /// Who names it.
        place: String,
        /// The card.
        gpu: usize,
        /// How many there are.
        count: usize,
    },
    /// A value out of its range.
    #[error("{place}: {value} is not {expected}")]
    Value {
        /// Where.
        place: String,
        /// What it said.
        value: String,
        /// What it may say.
        expected: &'static str,
    },
}

impl Scenario {
    /// What is played when nobody names a file: eight healthy H100 in training, used by the loader's parent.
    pub fn healthy() -> Scenario {
        let text = "[gpus]\ncount = 8\nload = \"training\"\n[[process]]\npid = \"parent\"\nmemory_mib = 70144\n";
        Scenario::parse(text).expect("the built-in scenario is well formed; a test parses it")
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// The first thing that is not as the language wants it, with its place.
    pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        let document: Document = toml::from_str(text).map_err(at("scenario"))?;
        let gpus = gpus(document.gpus)?;
        let count = gpus.len();
        let cuda_version = cuda_version(&document.cuda_version)?;
        if !matches!(document.pcie_counter_bits, 32 | 64) {
            return Err(value("pcie_counter_bits", document.pcie_counter_bits, "32 or 64"));
        }
        let mut loads = Vec::new();
        for (n, entry) in document.load.into_iter().enumerate() {
            let place = format!("load {}", n + 1);
            let gpus = selected(&place, entry.gpu, count)?;
            let (from, to) = (time(&place, entry.from)?, optional_time(&place, entry.to)?);
            loads.push(LoadSpan { gpus, profile: entry.profile, from, to });
        }
        let mut processes = Vec::new();
        for (n, entry) in document.process.into_iter().enumerate() {
            processes.push(process(&format!("process {}", n + 1), entry, count)?);
        }
        let mut faults = Vec::new();
        for (n, entry) in document.fault.into_iter().enumerate() {
            faults.push(fault(&format!("fault {}", n + 1), entry, count)?);
        }
        let nvml_version = match document.nvml_version {
            Some(version) => version,
            None => format!("{}.{}", cuda_version / 1000, document.driver_version),
        };
        Ok(Scenario {
            seed: document.seed,
            driver_version: document.driver_version,
            cuda_version,
            nvml_version,
            pcie_counter_bits: document.pcie_counter_bits,
            gpus,
            loads,
            processes,
            faults,
        })
    }
}

fn at(place: &str) -> impl FnOnce(toml::de::Error) -> ScenarioError {
    let place = place.to_owned();
    move |source| ScenarioError::Toml { place, source }
}

fn value(place: &str, value: impl ToString, expected: &'static str) -> ScenarioError {
    ScenarioError::Value { place: place.to_owned(), value: value.to_string(), expected }
}

fn cuda_version(text: &str) -> Result<i32, ScenarioError> {
    let parsed = text.split_once('.').and_then(|(major, minor)| {
        let (major, minor) = (major.parse::<u16>().ok()?, minor.parse::<u16>().ok()?);
        (minor < 100).then(|| i32::from(major) * 1000 + i32::from(minor) * 10)
    });
    parsed.ok_or_else(|| value("cuda_version", text, "a version such as 12.8"))
}

fn process(place: &str, entry: ProcessEntry, count: usize) -> Result<Process, ScenarioError> {
    let pid = match entry.pid {
        PidEntry::Number(number) => Pid::Number(number),
        PidEntry::Name(name) => match name.as_str() {
            "self" => Pid::Itself,
            "parent" => Pid::Parent,
            _ => return Err(value(place, name, "a process number, `self` or `parent`")),
        },
    };
    Ok(Process {
        gpus: selected(place, entry.gpu, count)?,
        pid,
        memory_mib: entry.memory_mib,
        kind: entry.r#type.unwrap_or(ProcessType::Compute),
        from: time(place, entry.from)?,
        to: optional_time(place, entry.to)?,
    })
}

fn fault(place: &str, mut table: toml::Table, count: usize) -> Result<Fault, ScenarioError> {
    let when: toml::Table =
        ["at", "for", "gpu"].iter().filter_map(|key| table.remove(*key).map(|v| ((*key).to_owned(), v))).collect();
    let when = FaultWhen::deserialize(when).map_err(at(place))?;
    let kind = FaultKind::deserialize(table).map_err(at(place))?;
    check_kind(place, &kind)?;
    Ok(Fault {
        at: time(place, when.at)?,
        lasts: optional_time(place, when.r#for)?,
        gpus: selected(place, when.gpu, count)?,
        kind,
    })
}

fn check_kind(place: &str, kind: &FaultKind) -> Result<(), ScenarioError> {
    let rates: &[f64] = match kind {
        FaultKind::Ecc { corrected_rate, uncorrected_rate, .. } => &[*corrected_rate, *uncorrected_rate],
        FaultKind::NvlinkErrors { replay, recovery, crc, .. } => &[*replay, *recovery, *crc],
        FaultKind::PcieReplay { rate } => &[*rate],
        _ => &[],
    };
    if let Some(rate) = rates.iter().find(|rate| !rate.is_finite() || **rate < 0.0) {
        return Err(value(place, rate, "a rate (finite, not negative)"));
    }
    match kind {
        FaultKind::Throttle { clock: Some(share), .. } if !(0.05..=1.0).contains(share) => {
            Err(value(place, share, "a share of the clock between 0.05 and 1"))
        }
        FaultKind::Temperature { offset, memory_offset }
            if !(-250.0..250.0).contains(offset) || !(-250.0..250.0).contains(memory_offset) =>
        {
            Err(value(place, offset, "an offset within 250 degrees (nor, perhaps, `memory_offset`)"))
        }
        FaultKind::Throttle { reason, .. } if reason.as_slice().is_empty() => {
            Err(value(place, "no reason", "a throttle reason"))
        }
        _ => Ok(()),
    }
}

fn time(place: &str, seconds: f64) -> Result<f64, ScenarioError> {
    if seconds.is_finite() && seconds >= 0.0 { Ok(seconds) } else { Err(value(place, seconds, "a time in seconds")) }
}

fn optional_time(place: &str, seconds: Option<f64>) -> Result<Option<f64>, ScenarioError> {
    seconds.map(|seconds| time(place, seconds)).transpose()
}

fn selected(place: &str, gpus: Option<OneOrMany<usize>>, count: usize) -> Result<Option<Vec<usize>>, ScenarioError> {
    let Some(gpus) = gpus else { return Ok(None) };
    if let Some(gpu) = gpus.as_slice().iter().copied().find(|gpu| *gpu >= count) {
        return Err(ScenarioError::NoSuchGpu { place: place.to_owned(), gpu, count });
    }
    Ok(Some(gpus.as_slice().to_vec()))
}

impl OneOrMany<ThrottleReason> {
    /// All bits together.
    pub(crate) fn bits(&self) -> u64 {
        self.as_slice().iter().fold(0, |bits, reason| bits | reason.bits())
    }

    /// The lowest clock that any of them leaves.
    pub(crate) fn clock(&self) -> f64 {
        self.as_slice().iter().map(|reason| reason.clock()).fold(1.0, f64::min)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_built_in_scenario_is_eight_healthy_h100() {
        let scenario = Scenario::healthy();
        assert_eq!(scenario.gpus.len(), 8);
        assert!(scenario.faults.is_empty());
        assert!(scenario.gpus.iter().all(|gpu| gpu.card.model == "H100 SXM5 80GB"));
        assert_eq!(scenario.nvml_version, "12.570.124.06");
    }

    #[test]
    fn one_card_of_a_group_can_differ() {
        let text =
            "[gpus]\ncount = 4\nmodel = \"A100\"\nload = \"training\"\n[[gpus.each]]\nindex = 2\nslowdown = 1.5\n";
        let scenario = Scenario::parse(text).unwrap();
        let slow: Vec<f64> = scenario.gpus.iter().map(|gpu| gpu.slowdown).collect();
        assert_eq!(slow, [1.0, 1.0, 1.5, 1.0]);
        assert!(scenario.gpus.iter().all(|gpu| gpu.card.model == "A100 SXM4 80GB" && gpu.load == Profile::Training));
    }

    #[test]
    fn cards_can_be_listed() {
        let text = "[[gpus]]\nmodel = \"H200\"\n[[gpus]]\nmodel = \"L40S\"\npci = \"0000:81:00.0\"\n";
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.gpus.len(), 2);
        assert_eq!(scenario.gpus[1].pci.as_deref(), Some("0000:81:00.0"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("[gpus]\ncount = 99", "99 cards; a scenario has 1 to 16"),
            ("[gpus]\ncount = 2\nmodel = \"H300\"", "gpu 0: no card model `H300`; known: H100 SXM5 80GB, "),
            ("[[fault]]\nat = 1\ngpu = 9\nkind = \"gpu_lost\"", "fault 1: gpu 9 does not exist, the scenario has 8"),
            ("[[fault]]\nat = 1\nkind = \"xid\"\ncod = 79", "fault 1: unknown field `cod`"),
            ("[[fault]]\nat = 1\nkind = \"melts\"", "fault 1: unknown variant `melts`"),
            ("[[fault]]\nkind = \"gpu_lost\"", "fault 1: missing field `at`"),
            ("[[fault]]\nat = -1\nkind = \"gpu_lost\"", "fault 1: -1 is not a time in seconds"),
            ("[[fault]]\nat = 1\nkind = \"pcie_replay\"\nrate = nan", "fault 1: NaN is not a rate"),
            ("[[process]]\npid = \"me\"", "process 1: me is not a process number, `self` or `parent`"),
            ("cuda_version = \"twelve\"", "cuda_version: twelve is not a version"),
            ("[[gpus]]\npci = \"x\"", "gpu 0: x is not a PCI address"),
        ];
        for (text, expected) in cases {
            let message = Scenario::parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message:?} for {text:?}");
        }
    }
}
