//! The middle tier: what changes when something is wrong, and who uses the GPU.
//!
//! Field ids: `NVML_FI_*` in nvml.h of CUDA 13.0.

use model::catalogue::{
    GPU_BAR1_USED, GPU_DECODER_UTIL, GPU_ECC_CORRECTED, GPU_ECC_CORRECTED_LIFE, GPU_ECC_MODE, GPU_ECC_UNCORRECTED,
    GPU_ECC_UNCORRECTED_LIFE, GPU_ENCODER_UTIL, GPU_FAN, GPU_PCIE_GEN, GPU_PCIE_WIDTH, GPU_POWER_LIMIT,
    GPU_REMAP_CORRECTED, GPU_REMAP_FAILED, GPU_REMAP_PENDING, GPU_REMAP_UNCORRECTED,
};
use model::reading::count_as_f64;
use nvml_raw::{Device, Field};
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError};

use super::batch::{self, Entry, Other, Scale};
use super::tick::{Tick, whole};

const ECC_CALL: &str = "nvmlDeviceGetTotalEccErrors";

static FIELDS: &[Entry] = &[
    Entry {
        metric: GPU_ECC_MODE,
        field: Field::new(1),
        scale: Scale::Flag,
        other: Some(Other {
            name: "nvmlDeviceGetEccMode",
            call: |device| device.is_ecc_enabled().map(|mode| u64::from(mode.currently_enabled)),
        }),
    },
    Entry {
        metric: GPU_ECC_CORRECTED,
        field: Field::new(3),
        scale: Scale::As,
        other: Some(Other {
            name: ECC_CALL,
            call: |device| device.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile),
        }),
    },
    Entry {
        metric: GPU_ECC_UNCORRECTED,
        field: Field::new(4),
        scale: Scale::As,
        other: Some(Other {
            name: ECC_CALL,
            call: |device| device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile),
        }),
    },
    Entry {
        metric: GPU_ECC_CORRECTED_LIFE,
        field: Field::new(5),
        scale: Scale::As,
        other: Some(Other {
            name: ECC_CALL,
            call: |device| device.total_ecc_errors(MemoryError::Corrected, EccCounter::Aggregate),
        }),
    },
    Entry {
        metric: GPU_ECC_UNCORRECTED_LIFE,
        field: Field::new(6),
        scale: Scale::As,
        other: Some(Other {
            name: ECC_CALL,
            call: |device| device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Aggregate),
        }),
    },
    Entry { metric: GPU_REMAP_CORRECTED, field: Field::new(142), scale: Scale::As, other: None },
    Entry { metric: GPU_REMAP_UNCORRECTED, field: Field::new(143), scale: Scale::As, other: None },
    Entry { metric: GPU_REMAP_PENDING, field: Field::new(144), scale: Scale::Flag, other: None },
    Entry { metric: GPU_REMAP_FAILED, field: Field::new(145), scale: Scale::Flag, other: None },
];

/// Reads the tier, but for links, instances and processes.
pub(super) fn read(tick: &mut Tick, device: &Device) {
    batch::read(tick, device, FIELDS);
    tick.read(GPU_POWER_LIMIT, "nvmlDeviceGetEnforcedPowerLimit", || {
        device.enforced_power_limit().map(|milliwatts| f64::from(milliwatts) / 1_000.0)
    });
    tick.count(GPU_PCIE_GEN, "nvmlDeviceGetCurrPcieLinkGeneration", || device.current_pcie_link_gen());
    tick.count(GPU_PCIE_WIDTH, "nvmlDeviceGetCurrPcieLinkWidth", || device.current_pcie_link_width());
    tick.read(GPU_BAR1_USED, "nvmlDeviceGetBAR1MemoryInfo", || {
        device.bar1_memory_info().map(|window| count_as_f64(window.used))
    });
    tick.count(GPU_FAN, "nvmlDeviceGetFanSpeed_v2", || device.fan_speed(0));
    tick.read(GPU_ENCODER_UTIL, "nvmlDeviceGetEncoderUtilization", || {
        device.encoder_utilization().map(|share| whole(GPU_ENCODER_UTIL, u64::from(share.utilization)))
    });
    tick.read(GPU_DECODER_UTIL, "nvmlDeviceGetDecoderUtilization", || {
        device.decoder_utilization().map(|share| whole(GPU_DECODER_UTIL, u64::from(share.utilization)))
    });
}
