//! Field values with their scope: many data in one driver call.
//!
//! Facts: `nvmlFieldValue_t` and `NVML_FI_*` in nvml.h of CUDA 13.0. The header renumbered ids 251 to 273 in CUDA 13.0
//! update 1 (driver 580.82). Here, an id is always the older one; answers are matched by position, since the driver
//! may fill in the id that it knows.
#![allow(unsafe_code)] // Calls C: an array of structures is handed to the driver, and it fills in a union.

use std::ffi::c_int;

use nvml_wrapper::{Device, FieldIdScheme};
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlFieldValue_t, nvmlValue_t, nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE as DOUBLE,
    nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT as SIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG as SIGNED_LONG_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT as UNSIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG as UNSIGNED_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG as UNSIGNED_LONG_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_SHORT as UNSIGNED_SHORT,
};

use crate::error::DriverError;

/// The scope of an NVLink field that means all links together.
pub const ALL_LINKS: u32 = u32::MAX;
/// The most fields in one call: the driver's own array is no longer.
const MOST_FIELDS: usize = 512;

/// A field to read: its id as numbered before driver 580.82, and its scope (a link, a power domain; 0 where there is
/// none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// `NVML_FI_…` as numbered before driver 580.82.
    pub id: u32,
    /// Which link, lane or power domain.
    pub scope: u32,
}

impl Field {
    /// A field without a scope.
    pub const fn new(id: u32) -> Self {
        Self { id, scope: 0 }
    }

    /// A field of one link, lane or domain.
    pub const fn of(id: u32, scope: u32) -> Self {
        Self { id, scope }
    }
}

/// A field's value in the type that the driver gave it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue {
    /// Unsigned int, long, long long or short.
    Unsigned(u64),
    /// Signed int or long long.
    Signed(i64),
    /// Double.
    Double(f64),
}

impl FieldValue {
    /// The value as a whole number that is not negative.
    pub fn as_u64(self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => u64::try_from(value).ok(),
            Self::Double(_) => None,
        }
    }

    /// The value as a number, rounded to the nearest above 2^53.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(value) => value as f64,
            Self::Signed(value) => value as f64,
            Self::Double(value) => value,
        }
    }
}

/// A field as the driver read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldReply {
    /// The value.
    pub value: FieldValue,
    /// How long the driver took for it, microseconds; shared out among the fields of one inner call.
    pub latency_us: i64,
}

/// Reads these fields in one call. The answers stand in the order of the questions.
///
/// # Errors
/// When the call as a whole fails; a single field that fails is an error in its place.
pub fn read(device: &Device, fields: &[Field]) -> Result<Vec<Result<FieldReply, DriverError>>, DriverError> {
    let nvml = device.nvml();
    let call = nvml.lib().nvmlDeviceGetFieldValues.as_ref().map_err(no_symbol)?;
    let scheme = nvml.field_id_scheme();
    let mut asked: Vec<nvmlFieldValue_t> =
        fields.iter().take(MOST_FIELDS).map(|field| question(scheme, *field)).collect();
    let count = c_int::try_from(asked.len()).expect("at most MOST_FIELDS");
    // SAFETY: the handle is one that the driver gave out, and `asked` has room for `count` structures that the driver
    // reads and writes while the call lasts.
    let code = unsafe {
        let handle: nvmlDevice_t = device.handle();
        call(handle, count, asked.as_mut_ptr())
    };
    DriverError::check(code)?;
    Ok(asked.iter().map(answer).collect())
}

/// The number by which the driver knows a field.
pub fn translate(scheme: FieldIdScheme, id: u32) -> u32 {
    match (scheme, id) {
        (FieldIdScheme::V12, id) => id,
        (FieldIdScheme::V13Update1, 251..=255) => id + 18,
        (FieldIdScheme::V13Update1, 256..=273) => id - 5,
        (FieldIdScheme::V13Update1, id) => id,
    }
}

pub(crate) fn no_symbol(missing: &libloading::Error) -> DriverError {
    DriverError::NoSymbol(missing.to_string())
}

fn question(scheme: FieldIdScheme, field: Field) -> nvmlFieldValue_t {
    nvmlFieldValue_t {
        fieldId: translate(scheme, field.id),
        scopeId: field.scope,
        timestamp: 0,
        latencyUsec: 0,
        valueType: UNSIGNED_LONG_LONG,
        // What the driver does not fill in must not look like an answer.
        nvmlReturn: nvml_wrapper_sys::bindings::nvmlReturn_enum_NVML_ERROR_UNKNOWN,
        value: nvmlValue_t { ullVal: 0 },
    }
}

fn answer(filled: &nvmlFieldValue_t) -> Result<FieldReply, DriverError> {
    DriverError::check(filled.nvmlReturn)?;
    let value = filled.value;
    // SAFETY: every member of the union is a plain number, all bits of the union were set by `question`, and the
    // driver says which one it wrote.
    let value = unsafe {
        match filled.valueType {
            DOUBLE => FieldValue::Double(value.dVal),
            UNSIGNED_INT => FieldValue::Unsigned(u64::from(value.uiVal)),
            UNSIGNED_LONG => FieldValue::Unsigned(value.ulVal),
            UNSIGNED_LONG_LONG => FieldValue::Unsigned(value.ullVal),
            SIGNED_LONG_LONG => FieldValue::Signed(value.sllVal),
            SIGNED_INT => FieldValue::Signed(i64::from(value.siVal)),
            UNSIGNED_SHORT => FieldValue::Unsigned(u64::from(value.usVal)),
            other => return Err(DriverError::Garbled(format!("field {}: value type {other}", filled.fieldId))),
        }
    };
    Ok(FieldReply { value, latency_us: filled.latencyUsec })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(kind: u32, value: nvmlValue_t) -> nvmlFieldValue_t {
        nvmlFieldValue_t { valueType: kind, nvmlReturn: 0, value, ..question(FieldIdScheme::V12, Field::new(1)) }
    }

    #[test]
    fn every_value_type_is_read() {
        let value = |kind, value| answer(&filled(kind, value)).map(|reply| reply.value);
        assert_eq!(value(0, nvmlValue_t { dVal: 1.5 }), Ok(FieldValue::Double(1.5)));
        assert_eq!(value(1, nvmlValue_t { uiVal: 7 }), Ok(FieldValue::Unsigned(7)));
        assert_eq!(value(2, nvmlValue_t { ulVal: 1 << 40 }), Ok(FieldValue::Unsigned(1 << 40)));
        assert_eq!(value(3, nvmlValue_t { ullVal: u64::MAX }), Ok(FieldValue::Unsigned(u64::MAX)));
        assert_eq!(value(4, nvmlValue_t { sllVal: -9 }), Ok(FieldValue::Signed(-9)));
        assert_eq!(value(5, nvmlValue_t { siVal: -40 }), Ok(FieldValue::Signed(-40)));
        assert_eq!(value(6, nvmlValue_t { usVal: 65535 }), Ok(FieldValue::Unsigned(65535)));
        assert!(matches!(value(7, nvmlValue_t { ullVal: 0 }), Err(DriverError::Garbled(_))));
    }

    #[test]
    fn what_the_driver_does_not_fill_in_is_no_answer() {
        assert_eq!(answer(&question(FieldIdScheme::V12, Field::new(186))), Err(DriverError::Code(999)));
    }

    #[test]
    fn ids_move_with_the_driver() {
        let new = FieldIdScheme::V13Update1;
        assert_eq!([251, 255, 256, 273].map(|id| translate(new, id)), [269, 273, 251, 268]);
        assert_eq!([250, 274].map(|id| translate(new, id)), [250, 274]);
        assert_eq!(translate(FieldIdScheme::V12, 251), 251);
    }

    #[test]
    fn a_negative_value_is_no_count() {
        assert_eq!(FieldValue::Signed(-1).as_u64(), None);
        assert_eq!(FieldValue::Signed(3).as_u64(), Some(3));
    }
}
