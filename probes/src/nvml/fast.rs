//! The fast tier: what a screen shows moving, in one call for fields and a handful of others.
//!
//! Field ids: `NVML_FI_*` in nvml.h of CUDA 13.0, as numbered before driver 580.82. Byte counters of the PCIe link are
//! read as fields, since `nvmlDeviceGetPcieThroughput` waits for 20 ms each.

use model::Metric;
use model::catalogue::{
    GPU_CLOCK_MEM, GPU_CLOCK_SM, GPU_ENERGY, GPU_MEM_RESERVED, GPU_MEM_TOTAL, GPU_MEM_USED, GPU_MEM_UTIL,
    GPU_NVLINK_RX, GPU_NVLINK_TX, GPU_PCIE_REPLAY, GPU_PCIE_RX, GPU_PCIE_TX, GPU_POWER, GPU_PSTATE,
    GPU_RECOVERY_ACTION, GPU_TEMP, GPU_TEMP_MEMORY, GPU_THROTTLE, GPU_THROTTLE_BRAKE_TIME,
    GPU_THROTTLE_HW_THERMAL_TIME, GPU_THROTTLE_POWER_TIME, GPU_THROTTLE_THERMAL_TIME, GPU_UTIL,
};
use nvml_raw::field::ALL_LINKS;
use nvml_raw::{Device, Field};
use nvml_wrapper::enum_wrappers::device::{Clock, PerformancePolicy, TemperatureSensor};

use super::answer::Meaning;
use super::batch::{self, Entry, Other, Scale};
use super::tick::{Tick, whole};

/// Fields that count NVLink data do so in KiB.
const KIB: u64 = 1024;

/// The fields of the tier.
pub(super) static FIELDS: &[Entry] = &[
    Entry {
        metric: GPU_POWER,
        field: Field::new(186),
        scale: Scale::Milli,
        other: Some(Other { name: "nvmlDeviceGetPowerUsage", call: |device| device.power_usage().map(u64::from) }),
    },
    Entry {
        metric: GPU_ENERGY,
        field: Field::new(83),
        scale: Scale::As,
        other: Some(Other {
            name: "nvmlDeviceGetTotalEnergyConsumption",
            call: |device| device.total_energy_consumption(),
        }),
    },
    Entry { metric: GPU_TEMP_MEMORY, field: Field::new(82), scale: Scale::As, other: None },
    Entry {
        metric: GPU_THROTTLE_POWER_TIME,
        field: Field::new(74),
        scale: Scale::As,
        other: Some(Other {
            name: "nvmlDeviceGetViolationStatus",
            call: |device| device.violation_status(PerformancePolicy::Power).map(|time| time.violation_time),
        }),
    },
    Entry {
        metric: GPU_THROTTLE_THERMAL_TIME,
        field: Field::new(75),
        scale: Scale::As,
        other: Some(Other {
            name: "nvmlDeviceGetViolationStatus",
            call: |device| device.violation_status(PerformancePolicy::Thermal).map(|time| time.violation_time),
        }),
    },
    Entry { metric: GPU_THROTTLE_HW_THERMAL_TIME, field: Field::new(252), scale: Scale::As, other: None },
    Entry { metric: GPU_THROTTLE_BRAKE_TIME, field: Field::new(253), scale: Scale::As, other: None },
    Entry { metric: GPU_PCIE_TX, field: Field::new(197), scale: Scale::As, other: None },
    Entry { metric: GPU_PCIE_RX, field: Field::new(198), scale: Scale::As, other: None },
    Entry {
        metric: GPU_PCIE_REPLAY,
        field: Field::new(94),
        scale: Scale::As,
        other: Some(Other {
            name: "nvmlDeviceGetPcieReplayCounter",
            call: |device| device.pcie_replay_counter().map(u64::from),
        }),
    },
    Entry { metric: GPU_NVLINK_TX, field: Field::of(138, ALL_LINKS), scale: Scale::Times(KIB), other: None },
    Entry { metric: GPU_NVLINK_RX, field: Field::of(139, ALL_LINKS), scale: Scale::Times(KIB), other: None },
    Entry { metric: GPU_RECOVERY_ACTION, field: Field::new(230), scale: Scale::As, other: None },
];

/// What the tier reads beside the fields.
static OTHERS: &[&Metric] =
    &[GPU_UTIL, GPU_MEM_UTIL, GPU_MEM_USED, GPU_TEMP, GPU_CLOCK_SM, GPU_CLOCK_MEM, GPU_PSTATE, GPU_THROTTLE];

/// The series of the fast tier.
pub(super) fn metrics() -> impl Iterator<Item = &'static Metric> {
    FIELDS.iter().map(|entry| entry.metric).chain(OTHERS.iter().copied())
}

/// Reads the tier.
pub(super) fn read(tick: &mut Tick, device: &Device) {
    batch::read(tick, device, FIELDS);
    utilization(tick, device);
    if tick.over() {
        return;
    }
    match tick.attempt("nvmlDeviceGetMemoryInfo_v2", || nvml_raw::device::memory(device)) {
        Some(Ok(memory)) => {
            tick.put(GPU_MEM_USED, whole(GPU_MEM_USED, memory.used));
            tick.put(GPU_MEM_TOTAL, whole(GPU_MEM_TOTAL, memory.total));
            match memory.reserved {
                Some(reserved) => tick.put(GPU_MEM_RESERVED, whole(GPU_MEM_RESERVED, reserved)),
                None => tick.without(GPU_MEM_RESERVED, Meaning::Absent),
            }
        }
        Some(Err(meaning)) => without(tick, &[GPU_MEM_USED, GPU_MEM_TOTAL, GPU_MEM_RESERVED], meaning),
        None => return,
    }
    tick.count(GPU_TEMP, "nvmlDeviceGetTemperature", || device.temperature(TemperatureSensor::Gpu));
    clock_sm(tick, device);
    tick.count(GPU_CLOCK_MEM, "nvmlDeviceGetClockInfo", || device.clock_info(Clock::Memory));
    tick.count(GPU_PSTATE, "nvmlDeviceGetPerformanceState", || device.performance_state().map(|state| state.as_c()));
    throttle(tick, device);
}

/// Reads how busy the GPU is.
pub(super) fn utilization(tick: &mut Tick, device: &Device) {
    match tick.attempt("nvmlDeviceGetUtilizationRates", || device.utilization_rates()) {
        Some(Ok(rates)) => {
            tick.put(GPU_UTIL, whole(GPU_UTIL, u64::from(rates.gpu)));
            tick.put(GPU_MEM_UTIL, whole(GPU_MEM_UTIL, u64::from(rates.memory)));
        }
        Some(Err(meaning)) => without(tick, &[GPU_UTIL, GPU_MEM_UTIL], meaning),
        None => {}
    }
}

/// Reads the clock of the multiprocessors.
pub(super) fn clock_sm(tick: &mut Tick, device: &Device) {
    tick.count(GPU_CLOCK_SM, "nvmlDeviceGetClockInfo", || device.clock_info(Clock::SM));
}

/// Reads what holds the clocks down.
pub(super) fn throttle(tick: &mut Tick, device: &Device) {
    if let Some(bits) =
        tick.attempt("nvmlDeviceGetCurrentClocksEventReasons", || nvml_raw::device::clocks_event_reasons(device))
    {
        let gpu = tick.gpu().clone();
        tick.take(&gpu, GPU_THROTTLE, bits.map(Into::into));
    }
}

/// Says of several series why there is no value.
pub(super) fn without(tick: &mut Tick, metrics: &[&'static Metric], meaning: Meaning) {
    for metric in metrics {
        tick.without(metric, meaning);
    }
}
