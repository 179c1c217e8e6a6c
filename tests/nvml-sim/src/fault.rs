//! What goes wrong, on which cards, from when, for how long.

use serde::Deserialize;

/// One fault of a scenario.
#[derive(Debug, Clone)]
pub struct Fault {
    /// When it begins, seconds.
    pub at: f64,
    /// How long it lasts, seconds; none: to the end.
    pub lasts: Option<f64>,
    /// The cards it touches; none: every card, and the calls that name no card.
    pub gpus: Option<Vec<usize>>,
    /// What it is.
    pub kind: FaultKind,
}

/// One value or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// Just this.
    One(T),
    /// These.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values.
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(value) => std::slice::from_ref(value),
            OneOrMany::Many(values) => values,
        }
    }
}

/// Names of NVML functions; see [`Calls::match_call`].
pub type Calls = OneOrMany<String>;

/// What a fault does. Rates are per second; counts that grew stay after the fault has ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FaultKind {
    /// An NVML event "critical Xid" with this code.
    Xid {
        /// The Xid number.
        code: u64,
    },
    /// Any NVML event.
    Event {
        /// `nvmlEventType*` bits.
        bits: u64,
        /// `eventData`.
        #[serde(default)]
        data: u64,
    },
    /// Every call on the card answers `GPU_IS_LOST`.
    GpuLost {},
    /// Matching calls do not return while the fault lasts.
    Hang {
        /// Which calls.
        #[serde(default = "every_call")]
        call: Calls,
    },
    /// A matching call aborts the process.
    Crash {
        /// Which calls.
        #[serde(default = "every_call")]
        call: Calls,
    },
    /// Matching calls take longer.
    Slow {
        /// Which calls.
        #[serde(default = "every_call")]
        call: Calls,
        /// By how much, milliseconds.
        ms: u64,
    },
    /// Matching calls answer `FUNCTION_NOT_FOUND`.
    MissingSymbol {
        /// Which calls.
        call: Calls,
    },
    /// Matching calls, or field ids, answer `NOT_SUPPORTED`.
    NotSupported {
        /// Which calls.
        #[serde(default = "no_call")]
        call: Calls,
        /// Which field ids of `nvmlDeviceGetFieldValues`.
        #[serde(default = "no_field")]
        field: OneOrMany<u32>,
    },
    /// Matching calls answer `NO_PERMISSION`.
    NoPermission {
        /// Which calls.
        #[serde(default = "every_call")]
        call: Calls,
    },
    /// Matching calls answer this code.
    Return {
        /// Which calls.
        #[serde(default = "every_call")]
        call: Calls,
        /// `nvmlReturn_t`.
        code: u32,
    },
    /// ECC errors, counted in the volatile and the aggregate counters.
    Ecc {
        /// Corrected at once.
        #[serde(default)]
        corrected: u64,
        /// Uncorrected at once.
        #[serde(default)]
        uncorrected: u64,
        /// Corrected per second.
        #[serde(default)]
        corrected_rate: f64,
        /// Uncorrected per second.
        #[serde(default)]
        uncorrected_rate: f64,
        /// Where.
        #[serde(default)]
        location: EccLocation,
    },
    /// Remapped rows.
    Remap {
        /// Rows remapped for correctable errors.
        #[serde(default)]
        correctable: u32,
        /// Rows remapped for uncorrectable errors.
        #[serde(default)]
        uncorrectable: u32,
        /// A remapping waits for a reset (while the fault lasts).
        #[serde(default)]
        pending: bool,
        /// A remapping failed (while the fault lasts).
        #[serde(default)]
        failure: bool,
    },
    /// Clocks are held down for these reasons.
    Throttle {
        /// Why.
        reason: OneOrMany<ThrottleReason>,
        /// The clock as a share of the highest; absent: what the reason usually does.
        clock: Option<f64>,
    },
    /// The card is hotter than its load explains.
    Temperature {
        /// GPU, °C.
        #[serde(default)]
        offset: f64,
        /// Memory, °C, on top of the GPU's.
        #[serde(default)]
        memory_offset: f64,
    },
    /// Links that are down.
    NvlinkDown {
        /// Which; absent: all.
        link: Option<OneOrMany<u32>>,
    },
    /// Link errors.
    NvlinkErrors {
        /// Which; absent: all.
        link: Option<OneOrMany<u32>>,
        /// Replays per second.
        #[serde(default)]
        replay: f64,
        /// Recoveries per second.
        #[serde(default)]
        recovery: f64,
        /// CRC errors per second.
        #[serde(default)]
        crc: f64,
    },
    /// The PCIe link trained at fewer lanes.
    PcieWidth {
        /// Lanes.
        width: u32,
    },
    /// The PCIe link trained at a lower generation.
    PcieGen {
        /// Generation.
        r#gen: u32,
    },
    /// PCIe replays (and the correctable errors that cause them).
    PcieReplay {
        /// Per second.
        rate: f64,
    },
    /// The driver's recovery verdict (field 230).
    RecoveryAction {
        /// The verdict.
        action: RecoveryAction,
    },
    /// No driver: `nvmlInit` answers `DRIVER_NOT_LOADED`; who was initialised must initialise anew.
    DriverGone {},
}

fn every_call() -> Calls {
    OneOrMany::One("*".to_owned())
}

fn no_call() -> Calls {
    OneOrMany::Many(Vec::new())
}

fn no_field() -> OneOrMany<u32> {
    OneOrMany::Many(Vec::new())
}

/// The memory that an ECC error struck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EccLocation {
    /// Device memory.
    #[default]
    Dram,
    /// On-chip memories.
    Sram,
}

/// Why clocks are held down: the bits of `nvmlClocksEventReason*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ThrottleReason {
    /// 0x4: the power limit.
    SwPowerCap,
    /// 0x8: hardware, whatever the cause.
    HwSlowdown,
    /// 0x10: another card of the sync boost group.
    SyncBoost,
    /// 0x20: the driver's temperature limit.
    SwThermal,
    /// 0x40: the hardware's temperature limit.
    HwThermal,
    /// 0x80: an external power brake.
    HwPowerBrake,
}

impl ThrottleReason {
    /// The reported bits: the two specific hardware reasons raise "hardware slowdown" too.
    pub(crate) fn bits(self) -> u64 {
        match self {
            ThrottleReason::SwPowerCap => 0x04,
            ThrottleReason::HwSlowdown => 0x08,
            ThrottleReason::SyncBoost => 0x10,
            ThrottleReason::SwThermal => 0x20,
            ThrottleReason::HwThermal => 0x40 | 0x08,
            ThrottleReason::HwPowerBrake => 0x80 | 0x08,
        }
    }

    /// What remains of the clock, usually.
    pub(crate) fn clock(self) -> f64 {
        match self {
            ThrottleReason::SwPowerCap => 0.85,
            ThrottleReason::SyncBoost => 0.90,
            ThrottleReason::SwThermal => 0.70,
            ThrottleReason::HwSlowdown | ThrottleReason::HwThermal => 0.50,
            ThrottleReason::HwPowerBrake => 0.25,
        }
    }
}

/// The values of field 230, `NVML_FI_DEV_GET_GPU_RECOVERY_ACTION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecoveryAction {
    /// 0.
    None = 0,
    /// 1.
    GpuReset = 1,
    /// 2.
    NodeReboot = 2,
    /// 3.
    DrainP2p = 3,
    /// 4.
    DrainAndReset = 4,
}

impl Fault {
    /// Whether it touches this card.
    pub(crate) fn touches(&self, gpu: usize) -> bool {
        self.gpus.as_ref().is_none_or(|gpus| gpus.contains(&gpu))
    }

    /// Whether it touches calls that name no card.
    pub(crate) fn touches_node(&self) -> bool {
        self.gpus.is_none()
    }

    /// Whether it is on at `t`.
    pub(crate) fn active(&self, t: f64) -> bool {
        t >= self.at && self.lasts.is_none_or(|lasts| t < self.at + lasts)
    }

    /// Whether it has begun by `t`.
    pub(crate) fn begun(&self, t: f64) -> bool {
        t >= self.at
    }

    /// How much of it has passed by `t`, seconds.
    fn passed(&self, t: f64) -> f64 {
        (t - self.at).clamp(0.0, self.lasts.unwrap_or(f64::INFINITY))
    }

    /// What a rate has counted by `t`.
    pub(crate) fn counted(&self, rate: f64, t: f64) -> u64 {
        // Rates are checked to be finite and not negative; `as` saturates.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let counted = (rate * self.passed(t)) as u64;
        counted
    }
}

impl Calls {
    /// Whether `call` is meant: by its full name, by its name without the version (`nvmlDeviceGetMemoryInfo` means
    /// `nvmlDeviceGetMemoryInfo_v2` too), or by a beginning that ends in `*`.
    pub fn match_call(&self, call: &str) -> bool {
        self.as_slice().iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => call.starts_with(beginning),
            None => {
                call == pattern
                    || call.strip_prefix(pattern.as_str()).is_some_and(|rest| {
                        rest.strip_prefix("_v").is_some_and(|version| version.parse::<u8>().is_ok())
                    })
            }
        })
    }
}

impl OneOrMany<u32> {
    /// Whether the list, or its absence (all), means `link`.
    pub(crate) fn covers(links: Option<&OneOrMany<u32>>, link: u32) -> bool {
        links.is_none_or(|links| links.as_slice().contains(&link))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_matched_by_name_by_unversioned_name_and_by_beginning() {
        let plain = OneOrMany::One("nvmlDeviceGetMemoryInfo".to_owned());
        assert!(plain.match_call("nvmlDeviceGetMemoryInfo"));
        assert!(plain.match_call("nvmlDeviceGetMemoryInfo_v2"));
        assert!(!plain.match_call("nvmlDeviceGetMemoryInfoX"));
        assert!(OneOrMany::One("nvmlDeviceGet*".to_owned()).match_call("nvmlDeviceGetName"));
        assert!(every_call().match_call("nvmlInit_v2"));
        assert!(!no_call().match_call("nvmlInit_v2"));
    }

    #[test]
    fn a_count_stops_growing_when_its_fault_ends() {
        let fault = Fault { at: 10.0, lasts: Some(5.0), gpus: None, kind: FaultKind::PcieReplay { rate: 4.0 } };
        assert_eq!(fault.counted(4.0, 9.0), 0);
        assert_eq!(fault.counted(4.0, 12.0), 8);
        assert_eq!(fault.counted(4.0, 100.0), 20);
    }
}
