//! `nvmlDeviceGetFieldValues`: numbered values with a scope, a type, a code and a time each.
//!
//! The numbers 251 to 273 moved in driver 580.82 (CUDA 13.0 Update 1); the scenario's `driver_version` decides which
//! numbering this library speaks.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_int, c_longlong, c_uint};

use nvml_wrapper_sys::bindings::{nvmlFieldValue_t, nvmlReturn_t, nvmlValue_t, nvmlValueType_t};

use super::memory::whole_card;
use super::power::{average_milliwatts, degrees};
use super::{Answer, Device, INVALID_ARGUMENT, NOT_SUPPORTED, SUCCESS, ecc, export, get, length, put, whole, word};
use crate::clock::Clock;
use crate::fault::{EccLocation, FaultKind};

/// A field's value with its NVML type.
#[derive(Debug, Clone, Copy)]
enum Value {
    Word(u32),
    Signed(i32),
    Long(u64),
}

impl Value {
    /// `nvmlValueType_t` and the union.
    fn encode(self) -> (nvmlValueType_t, nvmlValue_t) {
        // The widest member clears the rest of the union.
        let mut union = nvmlValue_t { ullVal: 0 };
        let kind = match self {
            Value::Word(value) => {
                union.uiVal = value;
                1
            }
            Value::Long(value) => {
                union.ullVal = value;
                3
            }
            Value::Signed(value) => {
                union.siVal = value;
                5
            }
        };
        (kind, union)
    }
}

/// More fields in one call than any caller asks for.
const MOST_FIELDS: c_int = 4_096;
/// The scope that means all links together.
const ALL_LINKS: c_uint = c_uint::MAX;
/// Above this, no driver knows a field.
const LAST_FIELD: c_uint = 299;
const HOPPER: c_uint = 9;
const BLACKWELL: c_uint = 10;

export! {
    device fn nvmlDeviceGetFieldValues(d; count: c_int, values: *mut nvmlFieldValue_t) {
        if values.is_null() || !(1..=MOST_FIELDS).contains(&count) {
            return Err(INVALID_ARGUMENT);
        }
        for n in 0..usize::try_from(count).unwrap_or(0) {
            let at = values.add(n);
            let mut field = get(at)?;
            field.timestamp = c_longlong::try_from(Clock::wall_us()).unwrap_or(0);
            field.latencyUsec = 3;
            let value = value(&d, field.fieldId, field.scopeId);
            field.nvmlReturn = value.err().unwrap_or(SUCCESS);
            (field.valueType, field.value) = value.unwrap_or(Value::Word(0)).encode();
            put(at, field)?;
        }
        Ok(())
    }
    device fn nvmlDeviceClearFieldValues(_d; _count: c_int, _values: *mut nvmlFieldValue_t) {
        Err(NOT_SUPPORTED)
    }
}

/// The field as drivers from 580.82 on number it.
fn as_new(driver: &str, field: c_uint) -> c_uint {
    if new_numbering(driver) {
        return field;
    }
    match field {
        251..=255 => field + 18,
        256..=273 => field - 5,
        _ => field,
    }
}

fn new_numbering(driver: &str) -> bool {
    let mut numbers = driver.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (580, 82)
}

fn value(d: &Device, field: c_uint, scope: c_uint) -> Answer<Value> {
    let refused = d.gpu.faults(d.t).any(|kind| match kind {
        FaultKind::NotSupported { field: fields, .. } => fields.as_slice().contains(&field),
        _ => false,
    });
    if refused {
        return Err(NOT_SUPPORTED);
    }
    match as_new(&d.library.scenario.driver_version, field) {
        field @ (1..=28 | 142..=145) => memory(d, field),
        field @ (74..=76 | 80 | 81 | 269..=271) => throttled(d, field),
        field @ (82 | 83 | 185..=196) => power(d, field, scope),
        field @ (84..=91 | 132..=141 | 146 | 147 | 161..=167 | 201..=204 | 206..=222) => link(d, field, scope),
        field @ (94 | 95 | 169 | 173..=182 | 197 | 198) => pcie(d, field),
        183 if scope < d.gpu.card.pcie.1 => Ok(Value::Word(0)),
        170 => Ok(Value::Word(0)),
        199 => Ok(Value::Word(u32::from(d.gpu.card.mig))),
        230 => Ok(Value::Word(d.gpu.recovery_action(d.t))),
        0 => Err(INVALID_ARGUMENT),
        field if field > LAST_FIELD => Err(INVALID_ARGUMENT),
        _ => Err(NOT_SUPPORTED),
    }
}

fn memory(d: &Device, field: c_uint) -> Answer<Value> {
    let rows = d.gpu.remapped(d.t);
    let errors = |kind, at| ecc::errors(d, kind, at).map(Value::Long);
    match field {
        1 | 2 => Ok(Value::Word(u32::from(d.gpu.ecc))),
        // Odd: corrected, even: uncorrected; volatile, then aggregate.
        3 | 5 => errors(0, None),
        4 | 6 => errors(1, None),
        9 | 20 => errors(0, Some(EccLocation::Sram)),
        10 | 21 => errors(1, Some(EccLocation::Sram)),
        11 | 22 => errors(0, Some(EccLocation::Dram)),
        12 | 23 => errors(1, Some(EccLocation::Dram)),
        142 => Ok(Value::Word(rows.correctable)),
        143 => Ok(Value::Word(rows.uncorrectable)),
        144 => Ok(Value::Word(u32::from(rows.pending))),
        145 => Ok(Value::Word(u32::from(rows.failure))),
        _ => Err(NOT_SUPPORTED),
    }
}

fn throttled(d: &Device, field: c_uint) -> Answer<Value> {
    let [power, sync, software, hardware, brake] = d.totals().throttled;
    let seconds = match field {
        74 => power,
        75 => software + hardware,
        76 => sync,
        80 | 81 => power + sync + software + hardware + brake,
        269 => software,
        270 => hardware,
        _ => brake,
    };
    Ok(Value::Long(whole(seconds * 1e9)))
}

fn power(d: &Device, field: c_uint, scope: c_uint) -> Answer<Value> {
    let (_, least, most) = d.gpu.card.power_w;
    let (operating, slowdown, shutdown, _) = d.gpu.card.temperatures;
    // Only modules with a CPU have a second power scope.
    if (185..=192).contains(&field) && scope != 0 {
        return Err(NOT_SUPPORTED);
    }
    if (193..=196).contains(&field) && d.gpu.card.architecture < HOPPER {
        return Err(NOT_SUPPORTED);
    }
    Ok(match field {
        82 => Value::Word(degrees(d.totals().memory_temperature).unsigned_abs()),
        83 | 191 => Value::Long(whole(d.totals().energy)),
        185 => Value::Word(average_milliwatts(d)),
        186 => Value::Word(word(d.now().0.power_w * 1e3)),
        187 => Value::Word(least * 1000),
        188..=190 | 192 => Value::Word(most * 1000),
        // Limits as distances from the operating limit.
        193 => Value::Signed(operating - shutdown),
        194 => Value::Signed(operating - slowdown),
        195 | 196 => Value::Signed(0),
        _ => return Err(NOT_SUPPORTED),
    })
}

fn pcie(d: &Device, field: c_uint) -> Answer<Value> {
    let replays = d.gpu.pcie_replays(d.t);
    // A 32 bit counter wraps.
    let wrapped = |bytes: f64| match d.library.scenario.pcie_counter_bits {
        32 => whole(bytes) & u64::from(u32::MAX),
        _ => whole(bytes),
    };
    Ok(match field {
        94 | 173 | 177 | 182 => Value::Word(u32::try_from(replays).unwrap_or(u32::MAX)),
        197 => Value::Long(wrapped(d.totals().pcie.0)),
        198 => Value::Long(wrapped(d.totals().pcie.1)),
        _ => Value::Word(0),
    })
}

fn link(d: &Device, field: c_uint, scope: c_uint) -> Answer<Value> {
    let (count, version, speed) = d.gpu.card.nvlink;
    if count == 0 {
        return if field == 91 { Ok(Value::Word(0)) } else { Err(NOT_SUPPORTED) };
    }
    match field {
        90 => return Ok(Value::Word(speed)),
        91 => return Ok(Value::Word(count)),
        147 => return Ok(Value::Word(length((0..count).filter(|link| d.gpu.link_up(*link, d.t)).count()))),
        84..=89 => return Ok(Value::Word(speed)),
        132..=137 => return Ok(Value::Word(speed)),
        _ => {}
    }
    // What newer links count, older ones do not.
    if (201..=222).contains(&field) && d.gpu.card.architecture < BLACKWELL {
        return Err(NOT_SUPPORTED);
    }
    if (138..=141).contains(&field) {
        whole_card(d)?;
    }
    let links = match scope {
        ALL_LINKS => 0..count,
        link => d.link(link).map(|link| link..link + 1)?,
    };
    let up = links.clone().all(|link| d.gpu.link_up(link, d.t));
    let state = |value: u32| Ok(Value::Word(value));
    match field {
        164 => return state(if up { speed } else { 0 }),
        165 => return state(u32::from(up)),
        166 => return state(version),
        167 => return state(0),
        146 => return state(scope % count),
        _ => {}
    }
    let totals = d.totals();
    let counted = links.map(|link| {
        let (sent, received) = totals.links.get(link as usize).copied().unwrap_or_default();
        let errors = d.gpu.link_errors(link, d.t);
        match field {
            // Data in KiB; raw adds the protocol.
            138 => whole(sent / 1024.0),
            139 => whole(received / 1024.0),
            140 => whole(sent * 1.125 / 1024.0),
            141 => whole(received * 1.125 / 1024.0),
            161 => errors.replay,
            162 | 213 | 215 => errors.recovery,
            163 | 208 | 219 | 221 => errors.crc,
            201 => whole(sent / 256.0),
            202 => whole(sent),
            203 => whole(received / 256.0),
            204 => whole(received),
            _ => 0,
        }
    });
    Ok(Value::Long(counted.fold(0, u64::saturating_add)))
}

/// Kept where the union is: a caller's structure is as large as ours.
const _: () = assert!(size_of::<nvmlFieldValue_t>() == 40 && size_of::<nvmlReturn_t>() == 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_moved_are_read_by_the_drivers_version() {
        assert_eq!(as_new("570.124.06", 251), 269);
        assert_eq!(as_new("570.124.06", 256), 251);
        assert_eq!(as_new("580.82.07", 251), 251);
        assert_eq!(as_new("580.65.06", 253), 271);
        assert_eq!(as_new("590.1", 269), 269);
        assert_eq!(as_new("570.124.06", 186), 186);
    }
}
