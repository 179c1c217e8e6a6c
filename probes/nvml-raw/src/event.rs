//! The driver's events, with every bit that it sends.
//!
//! Facts: `nvmlEventType*` in nvml.h of CUDA 13.0. Of several Xids since the last call the driver reports the most recent
//! one for all: events are a wake-up, not a log.
#![allow(unsafe_code)] // Calls C: an opaque set and a structure that the driver fills in.

use std::ptr;

use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{nvmlEventData_t, nvmlEventSet_t};

use crate::error::DriverError;
use crate::field::no_symbol;

/// A critical Xid; its number is the event's data.
pub const XID: u64 = 0x8;
/// Corrected and uncorrected ECC errors, Xids, MIG configuration, ECC storms, DRAM retirement and its failure, poison,
/// unavailability, recovery action. Left out is what happens all the time: performance state, clocks, power source.
pub const FAULTS: u64 = 0x1 | 0x2 | XID | 0x100 | 0x200 | 0x400 | 0x800 | 0x1000 | 0x2000 | 0x4000 | 0x8000;
/// `NVML_ERROR_TIMEOUT`.
const TIMEOUT: u32 = 10;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverEvent {
    /// The type's bit, known to the header or not.
    pub bits: u64,
    /// The Xid's number, else what the type says.
    pub data: u64,
    /// The MIG instance that it is about.
    pub gpu_instance: Option<u32>,
    /// The compute instance that it is about.
    pub compute_instance: Option<u32>,
}

impl DriverEvent {
    /// The Xid's number, if it is one; 999 where the driver does not know it.
    pub fn xid(&self) -> Option<u64> {
        (self.bits & XID != 0).then_some(self.data)
    }
}

/// A set of event registrations. To be used from one thread at a time.
#[derive(Debug)]
pub struct EventSet<'nvml> {
    nvml: &'nvml Nvml,
    set: nvmlEventSet_t,
}

impl<'nvml> EventSet<'nvml> {
    /// An empty set.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn new(nvml: &'nvml Nvml) -> Result<Self, DriverError> {
        let call = nvml.lib().nvmlEventSetCreate.as_ref().map_err(no_symbol)?;
        let mut set: nvmlEventSet_t = ptr::null_mut();
        // SAFETY: the driver writes one handle to `set`.
        DriverError::check(unsafe { call(&raw mut set) })?;
        Ok(Self { nvml, set })
    }

    /// Registers those of `bits` that the device supports; which ones these are. The set stays usable whatever comes
    /// back.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn register(&self, device: &Device, bits: u64) -> Result<u64, DriverError> {
        let lib = self.nvml.lib();
        let supported = lib.nvmlDeviceGetSupportedEventTypes.as_ref().map_err(no_symbol)?;
        let register = lib.nvmlDeviceRegisterEvents.as_ref().map_err(no_symbol)?;
        let mut mask = 0;
        // SAFETY: the handle is one that the driver gave out; it writes one number to `mask`.
        DriverError::check(unsafe { supported(device.handle(), &raw mut mask) })?;
        let bits = bits & mask;
        // SAFETY: handle and set are ones that the driver gave out.
        DriverError::check(unsafe { register(device.handle(), bits, self.set) })?;
        Ok(bits)
    }

    /// Waits for one event for at most so many milliseconds.
    ///
    /// # Errors
    /// What the driver answers: among others that a GPU of the set is lost.
    pub fn wait(&self, timeout_ms: u32) -> Result<Option<DriverEvent>, DriverError> {
        let call = self.nvml.lib().nvmlEventSetWait_v2.as_ref().map_err(no_symbol)?;
        let mut data = nvmlEventData_t {
            device: ptr::null_mut(),
            eventType: 0,
            eventData: 0,
            gpuInstanceId: u32::MAX,
            computeInstanceId: u32::MAX,
        };
        // SAFETY: the set is one that the driver gave out; it writes one structure to `data`.
        let code = unsafe { call(self.set, &raw mut data, timeout_ms) };
        if code == TIMEOUT {
            return Ok(None);
        }
        DriverError::check(code)?;
        let instance = |id: u32| (id != u32::MAX).then_some(id);
        Ok(Some(DriverEvent {
            bits: data.eventType,
            data: data.eventData,
            gpu_instance: instance(data.gpuInstanceId),
            compute_instance: instance(data.computeInstanceId),
        }))
    }
}

impl Drop for EventSet<'_> {
    fn drop(&mut self) {
        if let Ok(free) = self.nvml.lib().nvmlEventSetFree.as_ref() {
            // SAFETY: the set is one that the driver gave out, and it is not used after this. The answer changes nothing.
            unsafe { free(self.set) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_xid_event_carries_an_xid() {
        let event = DriverEvent { bits: XID, data: 79, gpu_instance: None, compute_instance: None };
        assert_eq!(event.xid(), Some(79));
        assert_eq!(DriverEvent { bits: 0x8000, ..event }.xid(), None);
    }
}
