//! ECC counters, retired pages, remapped rows.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlEccErrorCounts_t, nvmlEccSramErrorStatus_t, nvmlRepairStatus_t, nvmlRowRemapperHistogramValues_t,
};

use super::{Answer, Device, INVALID_ARGUMENT, NOT_SUPPORTED, export, get, privileged, put, versioned};
use crate::fault::EccLocation;

/// Banks that can remap rows.
const BANKS: c_uint = 2_560;
/// Aggregate uncorrected SRAM errors above which the card asks to be replaced.
const SRAM_THRESHOLD: u64 = 4;
const AMPERE: c_uint = 7;

export! {
    device fn nvmlDeviceGetEccMode(d; current: *mut c_uint, pending: *mut c_uint) {
        put(current, c_uint::from(d.gpu.ecc))?;
        put(pending, c_uint::from(d.gpu.ecc))
    }
    device fn nvmlDeviceGetDefaultEccMode(_d; mode: *mut c_uint) {
        put(mode, 1)
    }
    device fn nvmlDeviceGetTotalEccErrors(d; kind: c_uint, _counter: c_uint, count: *mut c_ulonglong) {
        put(count, errors(&d, kind, None)?)
    }
    device fn nvmlDeviceGetMemoryErrorCounter(
        d; kind: c_uint, _counter: c_uint, location: c_uint, count: *mut c_ulonglong
    ) {
        let at = match location {
            2 => EccLocation::Dram,
            7 => EccLocation::Sram,
            0..=6 => return Err(NOT_SUPPORTED),
            _ => return Err(INVALID_ARGUMENT),
        };
        put(count, errors(&d, kind, Some(at))?)
    }
    device fn nvmlDeviceGetDetailedEccErrors(d; kind: c_uint, _counter: c_uint, counts: *mut nvmlEccErrorCounts_t) {
        let dram = errors(&d, kind, Some(EccLocation::Dram))?;
        let sram = errors(&d, kind, Some(EccLocation::Sram))?;
        put(counts, nvmlEccErrorCounts_t { l1Cache: 0, l2Cache: sram, deviceMemory: dram, registerFile: 0 })
    }
    device fn nvmlDeviceGetSramEccErrorStatus(d; status: *mut nvmlEccSramErrorStatus_t) {
        let version = get(status)?.version;
        versioned::<nvmlEccSramErrorStatus_t>(version, 1)?;
        privileged()?;
        let corrected = errors(&d, 0, Some(EccLocation::Sram))?;
        let uncorrected = errors(&d, 1, Some(EccLocation::Sram))?;
        put(status, nvmlEccSramErrorStatus_t {
            version,
            aggregateUncParity: 0,
            aggregateUncSecDed: uncorrected,
            aggregateCor: corrected,
            volatileUncParity: 0,
            volatileUncSecDed: uncorrected,
            volatileCor: corrected,
            aggregateUncBucketL2: uncorrected,
            aggregateUncBucketSm: 0,
            aggregateUncBucketPcie: 0,
            aggregateUncBucketMcu: 0,
            aggregateUncBucketOther: 0,
            bThresholdExceeded: c_uint::from(uncorrected > SRAM_THRESHOLD),
        })
    }
    // Pages are retired on cards before Ampere; these remap rows.
    device fn nvmlDeviceGetRetiredPages(_d; _cause: c_uint, _count: *mut c_uint, _addresses: *mut c_ulonglong) {
        Err(NOT_SUPPORTED)
    }
    device fn nvmlDeviceGetRetiredPages_v2(
        _d; _cause: c_uint, _count: *mut c_uint, _addresses: *mut c_ulonglong, _times: *mut c_ulonglong
    ) {
        Err(NOT_SUPPORTED)
    }
    device fn nvmlDeviceGetRetiredPagesPendingStatus(_d; _pending: *mut c_uint) {
        Err(NOT_SUPPORTED)
    }
    device fn nvmlDeviceGetRemappedRows(
        d; corrected: *mut c_uint, uncorrected: *mut c_uint, pending: *mut c_uint, failure: *mut c_uint
    ) {
        remaps(&d)?;
        let rows = d.gpu.remapped(d.t);
        put(corrected, rows.correctable)?;
        put(uncorrected, rows.uncorrectable)?;
        put(pending, c_uint::from(rows.pending))?;
        put(failure, c_uint::from(rows.failure))
    }
    device fn nvmlDeviceGetRowRemapperHistogram(d; histogram: *mut nvmlRowRemapperHistogramValues_t) {
        remaps(&d)?;
        // Each remapped row takes a spare of a bank of its own; a failed remapping is a bank with none left.
        let rows = d.gpu.remapped(d.t);
        let none = c_uint::from(rows.failure);
        let high = rows.correctable.saturating_add(rows.uncorrectable).min(BANKS - none);
        put(histogram, nvmlRowRemapperHistogramValues_t { max: BANKS - high - none, high, partial: 0, low: 0, none })
    }
    device fn nvmlDeviceGetRepairStatus(d; status: *mut nvmlRepairStatus_t) {
        let version = get(status)?.version;
        versioned::<nvmlRepairStatus_t>(version, 1)?;
        remaps(&d)?;
        put(status, nvmlRepairStatus_t { version, bChannelRepairPending: 0, bTpcRepairPending: 0 })
    }
    device fn nvmlDeviceClearEccErrorCounts(_d; _counter: c_uint) {
        privileged()?;
        Err(NOT_SUPPORTED)
    }
}

/// Corrected (0) or uncorrected (1) errors. A scenario starts with clean cards: volatile and aggregate agree.
pub(crate) fn errors(d: &Device, kind: c_uint, at: Option<EccLocation>) -> Answer<u64> {
    if !d.gpu.ecc {
        return Err(NOT_SUPPORTED);
    }
    let (corrected, uncorrected) = d.gpu.ecc_errors(at, d.t);
    match kind {
        0 => Ok(corrected),
        1 => Ok(uncorrected),
        _ => Err(INVALID_ARGUMENT),
    }
}

fn remaps(d: &Device) -> Answer {
    if d.gpu.card.architecture >= AMPERE && d.gpu.ecc { Ok(()) } else { Err(NOT_SUPPORTED) }
}
