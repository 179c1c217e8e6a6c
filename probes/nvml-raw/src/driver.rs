//! The driver library, opened and initialised.
#![allow(unsafe_code)] // Takes the wrapper's handle out on drop, or leaves it.

use std::ffi::OsStr;
use std::mem::ManuallyDrop;
use std::ops::Deref;

use nvml_wrapper::Nvml;

use crate::error::DriverError;

/// The driver library, opened and initialised; shut down on drop. Shutting down is a driver call like any other and can
/// hang.
#[derive(Debug)]
pub struct Driver {
    nvml: ManuallyDrop<Nvml>,
}

impl Driver {
    /// Opens and initialises the library at `path`, or the system's `libnvidia-ml.so.1`.
    ///
    /// # Errors
    /// [`DriverError::NoLibrary`] where there is none, else what `nvmlInit_v2` answers.
    pub fn open(path: Option<&OsStr>) -> Result<Self, DriverError> {
        let nvml = match path {
            Some(path) => Nvml::builder().lib_path(path).init(),
            None => Nvml::init(),
        };
        Ok(Self { nvml: ManuallyDrop::new(nvml?) })
    }
}

impl Deref for Driver {
    type Target = Nvml;

    fn deref(&self) -> &Nvml {
        &self.nvml
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // `Nvml`'s own drop panics where the library has no `nvmlShutdown`; such a library stays open instead.
        if self.nvml.lib().nvmlShutdown.is_ok() {
            // SAFETY: `nvml` is not used after this: `self` is being dropped, and nothing else takes it.
            unsafe { ManuallyDrop::drop(&mut self.nvml) };
        }
    }
}
