//! Frame buffer, BAR1, utilization.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::c_uint;
use std::sync::atomic::Ordering;

use nvml_wrapper_sys::bindings::{nvmlBAR1Memory_t, nvmlMemory_t, nvmlMemory_v2_t, nvmlUtilization_t};

use super::{Answer, Device, NOT_SUPPORTED, export, get, percent, put, versioned};

const MIB: u64 = 1 << 20;
/// How long the driver samples utilization, µs.
const SAMPLING: c_uint = 167_000;

export! {
    device fn nvmlDeviceGetMemoryInfo(d; memory: *mut nvmlMemory_t) {
        // The first version counts what the driver keeps as used.
        let total = d.gpu.card.memory_mib * MIB;
        let used = d.gpu.used(d.t) + d.gpu.card.reserved_mib * MIB;
        put(memory, nvmlMemory_t { total, used, free: total - used })
    }
    device fn nvmlDeviceGetMemoryInfo_v2(d; memory: *mut nvmlMemory_v2_t) {
        let version = get(memory)?.version;
        versioned::<nvmlMemory_v2_t>(version, 2)?;
        let total = d.gpu.card.memory_mib * MIB;
        let (used, reserved) = (d.gpu.used(d.t), d.gpu.card.reserved_mib * MIB);
        put(memory, nvmlMemory_v2_t { version, total, reserved, used, free: total - used - reserved })
    }
    device fn nvmlDeviceGetBAR1MemoryInfo(d; memory: *mut nvmlBAR1Memory_t) {
        let total = d.gpu.card.bar1_mib * MIB;
        let used = 2 * MIB + 2 * MIB * d.gpu.processes(d.t).count() as u64;
        put(memory, nvmlBAR1Memory_t { bar1Total: total, bar1Used: used, bar1Free: total - used })
    }
    device fn nvmlDeviceGetMemoryBusWidth(d; width: *mut c_uint) {
        put(width, d.gpu.card.bus_width)
    }
    device fn nvmlDeviceGetUtilizationRates(d; utilization: *mut nvmlUtilization_t) {
        whole_card(&d)?;
        let activity = d.now().0.activity;
        put(utilization, nvmlUtilization_t { gpu: percent(activity.sm), memory: percent(activity.memory) })
    }
    device fn nvmlDeviceGetEncoderUtilization(d; utilization: *mut c_uint, period: *mut c_uint) {
        whole_card(&d)?;
        put(utilization, 0)?;
        put(period, SAMPLING)
    }
    device fn nvmlDeviceGetDecoderUtilization(d; utilization: *mut c_uint, period: *mut c_uint) {
        whole_card(&d)?;
        put(utilization, 0)?;
        put(period, SAMPLING)
    }
    device fn nvmlDeviceGetJpgUtilization(d; utilization: *mut c_uint, period: *mut c_uint) {
        whole_card(&d)?;
        put(utilization, 0)?;
        put(period, SAMPLING)
    }
    device fn nvmlDeviceGetOfaUtilization(d; utilization: *mut c_uint, period: *mut c_uint) {
        whole_card(&d)?;
        put(utilization, 0)?;
        put(period, SAMPLING)
    }
}

/// Utilization of the whole card is not reported while it is split.
pub(crate) fn whole_card(d: &Device) -> Answer {
    if d.gpu.settings.mig.load(Ordering::SeqCst) { Err(NOT_SUPPORTED) } else { Ok(()) }
}
