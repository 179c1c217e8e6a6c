//! MIG: the mode can be read and set; instances cannot be made.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::c_uint;
use std::sync::atomic::Ordering;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlGpmSupport_t, nvmlReturn_t};

use super::{
    ARGUMENT_VERSION_MISMATCH, IN_USE, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, SUCCESS, export, get, privileged,
    put,
};

/// Instances of the smallest profile.
const MOST_INSTANCES: c_uint = 7;

export! {
    device fn nvmlDeviceGetMigMode(d; current: *mut c_uint, pending: *mut c_uint) {
        if !d.gpu.card.mig {
            return Err(NOT_SUPPORTED);
        }
        let on = c_uint::from(d.gpu.settings.mig.load(Ordering::SeqCst));
        put(current, on)?;
        put(pending, on)
    }
    device fn nvmlDeviceSetMigMode(d; mode: c_uint, status: *mut nvmlReturn_t) {
        if !d.gpu.card.mig {
            return Err(NOT_SUPPORTED);
        }
        privileged()?;
        if mode > 1 {
            return Err(INVALID_ARGUMENT);
        }
        if d.gpu.processes(d.t).next().is_some() {
            put(status, IN_USE)?;
            return Err(IN_USE);
        }
        d.gpu.settings.mig.store(mode == 1, Ordering::SeqCst);
        put(status, SUCCESS)
    }
    device fn nvmlDeviceGetMaxMigDeviceCount(d; count: *mut c_uint) {
        put(count, if d.gpu.card.mig { MOST_INSTANCES } else { 0 })
    }
    device fn nvmlDeviceGetMigDeviceHandleByIndex(d; index: c_uint, _mig: *mut nvmlDevice_t) {
        if !d.gpu.settings.mig.load(Ordering::SeqCst) {
            return Err(NOT_SUPPORTED);
        }
        Err(if index < MOST_INSTANCES { NOT_FOUND } else { INVALID_ARGUMENT })
    }
    device fn nvmlDeviceIsMigDeviceHandle(_d; is_mig: *mut c_uint) {
        put(is_mig, 0)
    }
    device fn nvmlGpmQueryDeviceSupport(_d; support: *mut nvmlGpmSupport_t) {
        let mut asked = get(support)?;
        // GPM structures carry a plain 1.
        if asked.version != 1 {
            return Err(ARGUMENT_VERSION_MISMATCH);
        }
        asked.isSupportedDevice = 0;
        put(support, asked)
    }
}
