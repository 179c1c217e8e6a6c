//! Power, energy, temperature.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{nvmlMarginTemperature_t, nvmlTemperature_t};

use super::{Device, INVALID_ARGUMENT, NOT_SUPPORTED, export, get, put, versioned, whole, word};

/// The architecture from which on margins to the limits are reported.
const HOPPER: c_uint = 9;

export! {
    device fn nvmlDeviceGetPowerUsage(d; power: *mut c_uint) {
        put(power, average_milliwatts(&d))
    }
    device fn nvmlDeviceGetTotalEnergyConsumption(d; energy: *mut c_ulonglong) {
        put(energy, whole(d.totals().energy))
    }
    device fn nvmlDeviceGetPowerManagementMode(_d; mode: *mut c_uint) {
        put(mode, 1)
    }
    device fn nvmlDeviceGetPowerManagementLimit(d; limit: *mut c_uint) {
        put(limit, d.gpu.card.power_w.2 * 1000)
    }
    device fn nvmlDeviceGetEnforcedPowerLimit(d; limit: *mut c_uint) {
        put(limit, d.gpu.card.power_w.2 * 1000)
    }
    device fn nvmlDeviceGetPowerManagementDefaultLimit(d; limit: *mut c_uint) {
        put(limit, d.gpu.card.power_w.2 * 1000)
    }
    device fn nvmlDeviceGetPowerManagementLimitConstraints(d; least: *mut c_uint, most: *mut c_uint) {
        put(least, d.gpu.card.power_w.1 * 1000)?;
        put(most, d.gpu.card.power_w.2 * 1000)
    }
    device fn nvmlDeviceGetTemperature(d; sensor: c_uint, temperature: *mut c_uint) {
        if sensor != 0 {
            return Err(INVALID_ARGUMENT);
        }
        put(temperature, word(d.totals().temperature.round()))
    }
    device fn nvmlDeviceGetTemperatureV(d; temperature: *mut nvmlTemperature_t) {
        let mut asked = get(temperature)?;
        versioned::<nvmlTemperature_t>(asked.version, 1)?;
        if asked.sensorType != 0 {
            return Err(INVALID_ARGUMENT);
        }
        asked.temperature = degrees(d.totals().temperature);
        put(temperature, asked)
    }
    device fn nvmlDeviceGetTemperatureThreshold(d; threshold: c_uint, temperature: *mut c_uint) {
        let (operating, slowdown, shutdown, memory) = d.gpu.card.temperatures;
        let degrees = match threshold {
            0 => shutdown,
            1 => slowdown,
            2 => memory,
            3 => operating,
            4..=7 => return Err(NOT_SUPPORTED),
            _ => return Err(INVALID_ARGUMENT),
        };
        put(temperature, degrees.unsigned_abs())
    }
    device fn nvmlDeviceGetMarginTemperature(d; margin: *mut nvmlMarginTemperature_t) {
        let mut asked = get(margin)?;
        versioned::<nvmlMarginTemperature_t>(asked.version, 1)?;
        if d.gpu.card.architecture < HOPPER {
            return Err(NOT_SUPPORTED);
        }
        asked.marginTemperature = d.gpu.card.temperatures.0 - degrees(d.totals().temperature);
        put(margin, asked)
    }
}

/// Power over the last second, mW.
pub(crate) fn average_milliwatts(d: &Device) -> c_uint {
    word(d.gpu.average_power(d.t, d.totals().temperature) * 1e3)
}

/// A temperature as NVML reports it.
pub(crate) fn degrees(celsius: f64) -> c_int {
    // Temperatures of cards: far inside the range; `as` saturates.
    #[allow(clippy::cast_possible_truncation)]
    let degrees = celsius.round() as c_int;
    degrees
}
