//! The slow tier: what a GPU is, its limits, and what wears out.
//!
//! Calls and field ids: nvml.h of CUDA 13.0.

use model::catalogue::{
    GPU_ARCHITECTURE, GPU_CLOCK_MEM_MAX, GPU_CLOCK_SM_MAX, GPU_COMPUTE_MODE, GPU_GSP_FIRMWARE, GPU_INDEX, GPU_MINOR,
    GPU_NAME, GPU_PCIE_GEN_MAX, GPU_PCIE_WIDTH_MAX, GPU_PERSISTENCE, GPU_POWER_DEFAULT_LIMIT, GPU_REMAP_BANKS_FULL,
    GPU_RETIRED_PAGES, GPU_RETIRED_PENDING, GPU_SERIAL, GPU_TEMP_MAX_OPERATING, GPU_TEMP_MEMORY_MAX, GPU_TEMP_SHUTDOWN,
    GPU_TEMP_SLOWDOWN, GPU_VBIOS,
};
use nvml_raw::{Device, Field};
use nvml_wrapper::enum_wrappers::device::{Clock, ComputeMode, TemperatureThreshold};

use super::batch::Scale;
use super::tick::{Tick, whole};

const THRESHOLD_CALL: &str = "nvmlDeviceGetTemperatureThreshold";

/// Reads the tier, but for the links. `index` is the driver's number for the GPU now.
pub(super) fn read(tick: &mut Tick, device: &Device, index: u32) {
    tick.put(GPU_INDEX, index);
    tick.read(GPU_NAME, "nvmlDeviceGetName", || device.name());
    tick.read(GPU_SERIAL, "nvmlDeviceGetSerial", || device.serial());
    tick.read(GPU_VBIOS, "nvmlDeviceGetVbiosVersion", || device.vbios_version());
    tick.read(GPU_MINOR, "nvmlDeviceGetMinorNumber", || device.minor_number());
    tick.read(GPU_ARCHITECTURE, "nvmlDeviceGetArchitecture", || {
        device.architecture().map(|architecture| architecture.to_string())
    });
    tick.read(GPU_GSP_FIRMWARE, "nvmlDeviceGetGspFirmwareVersion", || device.gsp_firmware_version());
    tick.read(GPU_POWER_DEFAULT_LIMIT, "nvmlDeviceGetPowerManagementDefaultLimit", || {
        device.power_management_limit_default().map(|milliwatts| f64::from(milliwatts) / 1_000.0)
    });
    for (metric, threshold) in [
        (GPU_TEMP_SHUTDOWN, TemperatureThreshold::Shutdown),
        (GPU_TEMP_SLOWDOWN, TemperatureThreshold::Slowdown),
        (GPU_TEMP_MEMORY_MAX, TemperatureThreshold::MemoryMax),
        (GPU_TEMP_MAX_OPERATING, TemperatureThreshold::GpuMax),
    ] {
        tick.count(metric, THRESHOLD_CALL, || device.temperature_threshold(threshold));
    }
    tick.count(GPU_CLOCK_SM_MAX, "nvmlDeviceGetMaxClockInfo", || device.max_clock_info(Clock::SM));
    tick.count(GPU_CLOCK_MEM_MAX, "nvmlDeviceGetMaxClockInfo", || device.max_clock_info(Clock::Memory));
    tick.count(GPU_PCIE_GEN_MAX, "nvmlDeviceGetMaxPcieLinkGeneration", || device.max_pcie_link_gen());
    tick.count(GPU_PCIE_WIDTH_MAX, "nvmlDeviceGetMaxPcieLinkWidth", || device.max_pcie_link_width());
    tick.read(GPU_PERSISTENCE, "nvmlDeviceGetPersistenceMode", || device.is_in_persistent_mode());
    tick.read(GPU_COMPUTE_MODE, "nvmlDeviceGetComputeMode", || device.compute_mode().map(compute_mode));
    if let Some(banks) = tick.attempt("nvmlDeviceGetRowRemapperHistogram", || nvml_raw::device::row_histogram(device)) {
        let gpu = tick.gpu().clone();
        let full = banks.map(|banks| whole(GPU_REMAP_BANKS_FULL, u64::from(banks.none)));
        tick.take(&gpu, GPU_REMAP_BANKS_FULL, full);
    }
    retired_pages(tick, device);
}

/// Retired because of corrected errors [29], of an uncorrected one [30], and whether a page waits for it [31].
fn retired_pages(tick: &mut Tick, device: &Device) {
    let replies = tick.fields(device, &[Field::new(29), Field::new(30), Field::new(31)]);
    let [corrected, uncorrected, pending] = replies.as_slice() else { return };
    let count = |reply: &nvml_raw::FieldReply| reply.value.as_u64().unwrap_or(0);
    let pages = match (corrected, uncorrected) {
        (Ok(corrected), Ok(uncorrected)) => Ok(count(corrected).saturating_add(count(uncorrected)).into()),
        (Err(meaning), _) | (_, Err(meaning)) => Err(*meaning),
    };
    let pending = pending.map(|reply| Scale::Flag.value(GPU_RETIRED_PENDING, reply.value));
    let gpu = tick.gpu().clone();
    tick.take(&gpu, GPU_RETIRED_PAGES, pages);
    tick.take(&gpu, GPU_RETIRED_PENDING, pending.and_then(|flag| flag.ok_or(super::answer::Meaning::Failed)));
}

fn compute_mode(mode: ComputeMode) -> &'static str {
    match mode {
        ComputeMode::Default => "default",
        ComputeMode::ExclusiveThread => "exclusive_thread",
        ComputeMode::Prohibited => "prohibited",
        ComputeMode::ExclusiveProcess => "exclusive_process",
    }
}
