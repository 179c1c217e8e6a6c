//! Single calls about one device.
//!
//! Facts: nvml.h of CUDA 13.0.
#![allow(unsafe_code)] // Calls C: plain numbers and structures that the driver fills in.

use std::mem::size_of;

use nvml_wrapper::Device;
use nvml_wrapper_sys::bindings::{
    nvmlIntNvLinkDeviceType_enum_NVML_NVLINK_DEVICE_TYPE_GPU as FAR_GPU,
    nvmlIntNvLinkDeviceType_enum_NVML_NVLINK_DEVICE_TYPE_SWITCH as FAR_SWITCH, nvmlMemory_t, nvmlMemory_v2_t,
    nvmlRowRemapperHistogramValues_t,
};

use crate::error::DriverError;
use crate::field::no_symbol;

/// Memory banks by how many of their spare rows are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowHistogram {
    /// All spare rows are left.
    pub max: u32,
    /// Most.
    pub high: u32,
    /// Some.
    pub partial: u32,
    /// Few.
    pub low: u32,
    /// None: the next bad row of such a bank cannot be remapped.
    pub none: u32,
}

/// Device memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Installed; the older call includes what the driver reserves.
    pub total: u64,
    /// In use; the older call includes what the driver reserves.
    pub used: u64,
    /// What driver and firmware keep for themselves; the older call does not tell.
    pub reserved: Option<u64>,
}

/// What an NVLink leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    /// Another GPU.
    Gpu,
    /// An NVSwitch.
    Switch,
    /// Something else, by the header's number.
    Other(u32),
}

/// The row remapper histogram (`nvmlDeviceGetRowRemapperHistogram`; Ampere and newer).
///
/// # Errors
/// What the driver answers.
pub fn row_histogram(device: &Device) -> Result<RowHistogram, DriverError> {
    let lib = device.nvml().lib();
    let call = lib.nvmlDeviceGetRowRemapperHistogram.as_ref().map_err(no_symbol)?;
    let mut banks = nvmlRowRemapperHistogramValues_t { max: 0, high: 0, partial: 0, low: 0, none: 0 };
    // SAFETY: the handle is one that the driver gave out; it writes one structure to `banks`.
    DriverError::check(unsafe { call(device.handle(), &raw mut banks) })?;
    Ok(RowHistogram { max: banks.max, high: banks.high, partial: banks.partial, low: banks.low, none: banks.none })
}

/// Device memory: by `nvmlDeviceGetMemoryInfo_v2`, or by the older call where the library lacks it.
///
/// # Errors
/// What the driver answers.
pub fn memory(device: &Device) -> Result<Memory, DriverError> {
    let lib = device.nvml().lib();
    let Ok(call) = lib.nvmlDeviceGetMemoryInfo_v2.as_ref() else {
        let call = lib.nvmlDeviceGetMemoryInfo.as_ref().map_err(no_symbol)?;
        let mut memory = nvmlMemory_t { total: 0, free: 0, used: 0 };
        // SAFETY: the handle is one that the driver gave out; it writes one structure to `memory`.
        DriverError::check(unsafe { call(device.handle(), &raw mut memory) })?;
        return Ok(Memory { total: memory.total, used: memory.used, reserved: None });
    };
    let size = u32::try_from(size_of::<nvmlMemory_v2_t>()).expect("the structure has 40 bytes");
    let mut memory = nvmlMemory_v2_t { version: size | 2 << 24, total: 0, reserved: 0, free: 0, used: 0 };
    // SAFETY: the handle is one that the driver gave out; it writes one structure of the version that `memory` names.
    DriverError::check(unsafe { call(device.handle(), &raw mut memory) })?;
    Ok(Memory { total: memory.total, used: memory.used, reserved: Some(memory.reserved) })
}

/// The bits of why clocks are held down now, all that the driver sends.
///
/// # Errors
/// What the driver answers.
pub fn clocks_event_reasons(device: &Device) -> Result<u64, DriverError> {
    let lib = device.nvml().lib();
    // The same call under the name that it has had since CUDA 12.2, and before.
    let call = lib.nvmlDeviceGetCurrentClocksEventReasons.as_ref();
    let call = call.or(lib.nvmlDeviceGetCurrentClocksThrottleReasons.as_ref());
    let call = call.map_err(no_symbol)?;
    let mut bits = 0;
    // SAFETY: the handle is one that the driver gave out; it writes one number to `bits`.
    DriverError::check(unsafe { call(device.handle(), &raw mut bits) })?;
    Ok(bits)
}

/// What one of the device's NVLinks leads to.
///
/// # Errors
/// What the driver answers.
pub fn nvlink_far_end(device: &Device, link: u32) -> Result<Far, DriverError> {
    let lib = device.nvml().lib();
    let call = lib.nvmlDeviceGetNvLinkRemoteDeviceType.as_ref().map_err(no_symbol)?;
    let mut kind = 0;
    // SAFETY: the handle is one that the driver gave out; it writes one number to `kind`.
    DriverError::check(unsafe { call(device.handle(), link, &raw mut kind) })?;
    Ok(match kind {
        FAR_GPU => Far::Gpu,
        FAR_SWITCH => Far::Switch,
        other => Far::Other(other),
    })
}
