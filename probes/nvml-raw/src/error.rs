//! What the driver answers instead of data. Codes and meanings: `nvmlReturn_t` in nvml.h of CUDA 13.0.

use nvml_wrapper::error::NvmlError;
use nvml_wrapper_sys::bindings::nvmlReturn_t;

/// Why a driver call gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The library cannot be opened.
    #[error("the driver library cannot be loaded: {0}")]
    NoLibrary(String),
    /// The library is older than this call.
    #[error("the driver library does not have this call: {0}")]
    NoSymbol(String),
    /// The driver answered with a return code.
    #[error("{} ({}): {}", name(*.0), .0, meaning(*.0))]
    Code(u32),
    /// The answer cannot be read.
    #[error("the driver's answer cannot be read: {0}")]
    Garbled(String),
}

impl DriverError {
    /// The return code, if the driver gave one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Code(code) => Some(*code),
            _ => None,
        }
    }

    /// The return code as a result: 0 is success.
    ///
    /// # Errors
    /// [`DriverError::Code`] for every other code.
    pub fn check(code: nvmlReturn_t) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self::Code(code)) }
    }
}

impl From<NvmlError> for DriverError {
    fn from(error: NvmlError) -> Self {
        match error {
            NvmlError::LibloadingError(error) => Self::NoLibrary(error.to_string()),
            NvmlError::FailedToLoadSymbol(symbol) => Self::NoSymbol(symbol),
            NvmlError::Utf8Error(_)
            | NvmlError::NulError(_)
            | NvmlError::StringTooLong { .. }
            | NvmlError::IncorrectBits(_)
            | NvmlError::SetReleaseFailed
            | NvmlError::GetPciInfoFailed
            | NvmlError::PciInfoToCFailed => Self::Garbled(error.to_string()),
            // The wrapper uses this one both for return codes without a name and for values of other enumerations
            // without one. The header's codes end at 30; above that it is a value, unless it is 999, which has a name.
            NvmlError::UnexpectedVariant(code) if !(23..=30).contains(&code) => {
                Self::Garbled(format!("a value that the header does not list: {code}"))
            }
            named => Self::Code(nvmlReturn_t::from(named)),
        }
    }
}

/// Return code, its name in nvml.h without `NVML_ERROR_`, and what it means.
const CODES: &[(u32, &str, &str)] = &[
    (0, "SUCCESS", "no error"),
    (1, "UNINITIALIZED", "the library is not initialised, or the driver has gone since"),
    (2, "INVALID_ARGUMENT", "the driver does not know what was asked for"),
    (3, "NOT_SUPPORTED", "this device does not have it"),
    (4, "NO_PERMISSION", "this user may not ask for it"),
    (5, "ALREADY_INITIALIZED", "already initialised"),
    (6, "NOT_FOUND", "there is no such object"),
    (7, "INSUFFICIENT_SIZE", "the answer did not fit"),
    (8, "INSUFFICIENT_POWER", "the board's power cables are not properly attached"),
    (9, "DRIVER_NOT_LOADED", "the kernel module is not loaded"),
    (10, "TIMEOUT", "nothing came in time"),
    (11, "IRQ_ISSUE", "the kernel has a problem with the device's interrupts"),
    (12, "LIBRARY_NOT_FOUND", "a library that the driver needs is missing"),
    (13, "FUNCTION_NOT_FOUND", "the driver does not have this call"),
    (14, "CORRUPTED_INFOROM", "the board's InfoROM is corrupted"),
    (15, "GPU_IS_LOST", "the GPU has fallen off the bus or is otherwise inaccessible"),
    (16, "RESET_REQUIRED", "the GPU must be reset before it can be used again"),
    (17, "OPERATING_SYSTEM", "the operating system or a control group blocks the device"),
    (18, "LIB_RM_VERSION_MISMATCH", "library and kernel module are of different versions"),
    (19, "IN_USE", "the GPU is in use"),
    (20, "MEMORY", "out of memory"),
    (21, "NO_DATA", "no data"),
    (22, "VGPU_ECC_NOT_SUPPORTED", "not available on a virtual GPU while ECC is on"),
    (23, "INSUFFICIENT_RESOURCES", "out of a resource other than memory"),
    (24, "FREQ_NOT_SUPPORTED", "the frequency is not supported"),
    (25, "ARGUMENT_VERSION_MISMATCH", "the driver does not know this version of the call's structure"),
    (26, "DEPRECATED", "the driver no longer has this call"),
    (27, "NOT_READY", "the device is not ready yet"),
    (28, "GPU_NOT_FOUND", "no GPUs were found"),
    (29, "INVALID_STATE", "the device is not in a state that allows this"),
    (30, "RESET_TYPE_NOT_SUPPORTED", "this type of reset is not supported"),
    (999, "UNKNOWN", "an internal driver error"),
];

/// The name of a return code in nvml.h, without its prefix.
pub fn name(code: u32) -> &'static str {
    CODES.iter().find(|known| known.0 == code).map_or("a code that the header does not list", |known| known.1)
}

/// What a return code means.
pub fn meaning(code: u32) -> &'static str {
    CODES.iter().find(|known| known.0 == code).map_or("the driver is newer than this program", |known| known.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_23_to_30_have_names() {
        for code in 23..=30 {
            let error = DriverError::from(NvmlError::from(code));
            assert_eq!(error, DriverError::Code(code));
            assert!(!error.to_string().contains("does not list"), "{error}");
        }
        let stranger = DriverError::Code(77).to_string();
        assert!(stranger.contains("77") && stranger.contains("does not list"), "{stranger}");
    }

    #[test]
    fn a_value_without_a_name_is_no_return_code() {
        assert!(matches!(DriverError::from(NvmlError::UnexpectedVariant(2)), DriverError::Garbled(_)));
        assert_eq!(DriverError::from(NvmlError::GpuLost), DriverError::Code(15));
        assert_eq!(DriverError::from(NvmlError::Unknown).code(), Some(999));
    }
}
