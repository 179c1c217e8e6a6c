//! Clocks, performance state, why clocks are held down.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::nvmlViolationTime_t;

use super::{Answer, Device, INVALID_ARGUMENT, NOT_SUPPORTED, export, put, put_list, whole};
use crate::clock::Clock;

/// Every reason that the cards can report.
const SUPPORTED_REASONS: c_ulonglong = 0x1ff;

export! {
    device fn nvmlDeviceGetClockInfo(d; clock: c_uint, mhz: *mut c_uint) {
        put(mhz, current(&d, clock)?)
    }
    device fn nvmlDeviceGetMaxClockInfo(d; clock: c_uint, mhz: *mut c_uint) {
        put(mhz, highest(&d, clock)?)
    }
    device fn nvmlDeviceGetMaxCustomerBoostClock(d; clock: c_uint, mhz: *mut c_uint) {
        put(mhz, highest(&d, clock)?)
    }
    device fn nvmlDeviceGetApplicationsClock(d; clock: c_uint, mhz: *mut c_uint) {
        put(mhz, highest(&d, clock)?)
    }
    device fn nvmlDeviceGetDefaultApplicationsClock(d; clock: c_uint, mhz: *mut c_uint) {
        put(mhz, highest(&d, clock)?)
    }
    device fn nvmlDeviceGetClock(d; clock: c_uint, which: c_uint, mhz: *mut c_uint) {
        let value = match which {
            0 => current(&d, clock)?,
            1..=3 => highest(&d, clock)?,
            _ => return Err(INVALID_ARGUMENT),
        };
        put(mhz, value)
    }
    device fn nvmlDeviceGetSupportedMemoryClocks(d; count: *mut c_uint, mhz: *mut c_uint) {
        let (idle, working) = d.gpu.card.memory_mhz;
        if idle == working { put_list(count, mhz, &[working]) } else { put_list(count, mhz, &[working, idle]) }
    }
    device fn nvmlDeviceGetSupportedGraphicsClocks(d; memory: c_uint, count: *mut c_uint, mhz: *mut c_uint) {
        let (idle, working) = d.gpu.card.memory_mhz;
        if memory != idle && memory != working {
            return Err(super::NOT_FOUND);
        }
        let (least, most) = d.gpu.card.sm_mhz;
        let all: Vec<c_uint> = (least..=most).rev().step_by(15).collect();
        put_list(count, mhz, &all)
    }
    device fn nvmlDeviceGetPerformanceState(d; state: *mut c_uint) {
        put(state, d.now().0.pstate)
    }
    device fn nvmlDeviceGetPowerState(d; state: *mut c_uint) {
        put(state, d.now().0.pstate)
    }
    device fn nvmlDeviceGetCurrentClocksThrottleReasons(d; reasons: *mut c_ulonglong) {
        put(reasons, d.now().0.reasons)
    }
    device fn nvmlDeviceGetCurrentClocksEventReasons(d; reasons: *mut c_ulonglong) {
        put(reasons, d.now().0.reasons)
    }
    device fn nvmlDeviceGetSupportedClocksThrottleReasons(_d; reasons: *mut c_ulonglong) {
        put(reasons, SUPPORTED_REASONS)
    }
    device fn nvmlDeviceGetSupportedClocksEventReasons(_d; reasons: *mut c_ulonglong) {
        put(reasons, SUPPORTED_REASONS)
    }
    device fn nvmlDeviceGetViolationStatus(d; policy: c_uint, time: *mut nvmlViolationTime_t) {
        let [power, sync, software, hardware, brake] = d.totals().throttled;
        let seconds = match policy {
            0 => power,
            1 => software + hardware,
            2 => sync,
            // Board limit, reliability; the totals of application and base clocks: everything that holds clocks down.
            3 => brake,
            4 | 5 => 0.0,
            10 | 11 => power + sync + software + hardware + brake,
            _ => return Err(INVALID_ARGUMENT),
        };
        put(time, nvmlViolationTime_t { referenceTime: Clock::wall_us(), violationTime: whole(seconds * 1e9) })
    }
}

/// `nvmlClockType_t`: graphics, SM, memory, video.
fn current(d: &Device, clock: c_uint) -> Answer<c_uint> {
    let moment = d.now().0;
    match clock {
        0 | 1 => Ok(moment.sm_mhz),
        2 => Ok(moment.memory_mhz),
        3 => Ok(moment.video_mhz),
        _ => Err(INVALID_ARGUMENT),
    }
}

fn highest(d: &Device, clock: c_uint) -> Answer<c_uint> {
    match clock {
        0 | 1 => Ok(d.gpu.card.sm_mhz.1),
        2 => Ok(d.gpu.card.memory_mhz.1),
        3 if d.call.contains("Applications") => Err(NOT_SUPPORTED),
        3 => Ok(d.gpu.card.video_mhz),
        _ => Err(INVALID_ARGUMENT),
    }
}
