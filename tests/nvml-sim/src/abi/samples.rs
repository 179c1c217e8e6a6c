//! The driver's own buffer of recent samples.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{nvmlSample_t, nvmlValue_t, nvmlValueType_t};

use super::memory::whole_card;
use super::{INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, export, length, percent, put, put_list, word};
use crate::clock::Clock;

/// Samples are this far apart, µs, and the buffer holds so many.
const APART: u64 = 100_000;
const KEPT: u64 = 120;

export! {
    device fn nvmlDeviceGetSamples(
        d; kind: c_uint, last_seen: c_ulonglong, value_type: *mut nvmlValueType_t, count: *mut c_uint,
        samples: *mut nvmlSample_t
    ) {
        match kind {
            0..=2 | 5 | 6 => whole_card(&d)?,
            3 | 4 | 7..=9 => return Err(NOT_SUPPORTED),
            _ => return Err(INVALID_ARGUMENT),
        }
        // An unsigned int.
        put(value_type, 1)?;
        if samples.is_null() {
            return put(count, length(usize::try_from(KEPT).unwrap_or(0)));
        }
        let temperature = d.totals().temperature;
        let now = Clock::wall_us();
        let newest = now / APART * APART;
        let mut found = Vec::new();
        for n in (0..KEPT).rev() {
            let stamp = newest - n * APART;
            let t = d.t - (now - stamp) as f64 / 1e6;
            if stamp <= last_seen || t < 0.0 {
                continue;
            }
            let moment = d.gpu.moment(t, temperature);
            let value = match kind {
                0 => word(moment.power_w * 1e3),
                1 => percent(moment.activity.sm),
                2 => percent(moment.activity.memory),
                5 => moment.sm_mhz,
                _ => moment.memory_mhz,
            };
            found.push(nvmlSample_t { timeStamp: stamp, sampleValue: nvmlValue_t { ullVal: u64::from(value) } });
        }
        if found.is_empty() {
            return Err(NOT_FOUND);
        }
        put_list(count, samples, &found)
    }
}
