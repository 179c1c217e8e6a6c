//! Event sets: Xids and other events, delivered to who registered before they happened.
//!
//! As documented in `nvml.h`: of several Xids since the last call the most recent one is reported for all; a lost card
//! is told once by `GPU_IS_LOST`.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::collections::HashSet;
use std::ffi::{c_uint, c_ulonglong};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nvml_wrapper_sys::bindings::{nvmlEventData_t, nvmlEventSet_t};

use super::{Answer, GPU_IS_LOST, INVALID_ARGUMENT, NOT_SUPPORTED, Node, TIMEOUT, export, handle, put};
use crate::fault::FaultKind;
use crate::library::Library;

/// `nvmlEventTypeXidCriticalError`.
const XID: c_ulonglong = 8;
/// Corrected and uncorrected ECC, performance state, Xid, power source, MIG configuration; and from 570 on what is
/// above: storms and retirements, poison, unavailability, recovery action.
const SUPPORTED: c_ulonglong = 0xff9f;
/// What Xid events carry when no instance is meant.
const NO_INSTANCE: c_uint = c_uint::MAX;
/// How often a waiting call looks for events.
const WAIT_POLL: Duration = Duration::from_millis(10);

/// One event set.
#[derive(Debug, Default)]
pub(crate) struct EventSet {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    registrations: Vec<Registration>,
    /// Faults whose event, or whose loss, has been told, by card and place in the scenario.
    told: HashSet<(usize, usize)>,
}

#[derive(Debug, Clone, Copy)]
struct Registration {
    gpu: usize,
    types: c_ulonglong,
    /// Scenario time, seconds.
    since: f64,
}

/// Handles of sets, never used twice.
static NEXT_SET: AtomicUsize = AtomicUsize::new(0x6a00_0000);

export! {
    node fn nvmlEventSetCreate(node; set: *mut nvmlEventSet_t) {
        let id = NEXT_SET.fetch_add(0x10, Ordering::SeqCst);
        put(set, id as nvmlEventSet_t)?;
        sets(node.library).insert(id, Arc::new(EventSet::default()));
        Ok(())
    }
    node fn nvmlEventSetFree(node; set: nvmlEventSet_t) {
        sets(node.library).remove(&(set as usize)).map(drop).ok_or(INVALID_ARGUMENT)
    }
    node fn nvmlEventSetWait_v2(node; set: nvmlEventSet_t, data: *mut nvmlEventData_t, timeout_ms: c_uint) {
        put(data, wait(node, set, timeout_ms)?)
    }
    node fn nvmlEventSetWait(node; set: nvmlEventSet_t, data: *mut nvmlEventData_t, timeout_ms: c_uint) {
        put(data, wait(node, set, timeout_ms)?)
    }
}

export! {
    device fn nvmlDeviceGetSupportedEventTypes(_d; types: *mut c_ulonglong) {
        put(types, SUPPORTED)
    }
    device fn nvmlDeviceRegisterEvents(d; types: c_ulonglong, set: nvmlEventSet_t) {
        let set = find(d.library, set)?;
        if types & !SUPPORTED != 0 {
            return Err(NOT_SUPPORTED);
        }
        let registration = Registration { gpu: d.gpu.index, types, since: d.t };
        set.state.lock().unwrap_or_else(PoisonError::into_inner).registrations.push(registration);
        Ok(())
    }
}

fn sets(library: &Library) -> std::sync::MutexGuard<'_, std::collections::HashMap<usize, Arc<EventSet>>> {
    library.event_sets.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(library: &Library, set: nvmlEventSet_t) -> Answer<Arc<EventSet>> {
    sets(library).get(&(set as usize)).cloned().ok_or(INVALID_ARGUMENT)
}

fn wait(node: Node, set: nvmlEventSet_t, timeout_ms: c_uint) -> Answer<nvmlEventData_t> {
    let set = find(node.library, set)?;
    let until = node.t + f64::from(timeout_ms) / 1e3;
    loop {
        let t = node.library.clock.now();
        if let Some(told) = set.next(node.library, t) {
            return told;
        }
        if t >= until {
            return Err(TIMEOUT);
        }
        std::thread::sleep(WAIT_POLL);
    }
}

impl EventSet {
    /// What there is to tell at `t`.
    fn next(&self, library: &Library, t: f64) -> Option<Answer<nvmlEventData_t>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { registrations, told } = &mut *state;
        for registration in registrations.iter() {
            let gpu = library.gpus.get(registration.gpu)?;
            for (place, fault) in library.scenario.faults.iter().enumerate() {
                let new = fault.at > registration.since && fault.begun(t) && fault.touches(registration.gpu);
                let bits = match fault.kind {
                    FaultKind::Xid { .. } => XID,
                    FaultKind::Event { bits, .. } => bits,
                    _ => continue,
                };
                if !new || bits & registration.types == 0 || !told.insert((registration.gpu, place)) {
                    continue;
                }
                let data = match fault.kind {
                    FaultKind::Event { data, .. } => data,
                    _ => latest_xid(library, registration.gpu, t),
                };
                return Some(Ok(nvmlEventData_t {
                    device: handle(gpu),
                    eventType: bits,
                    eventData: data,
                    gpuInstanceId: NO_INSTANCE,
                    computeInstanceId: NO_INSTANCE,
                }));
            }
        }
        for registration in registrations.iter() {
            for (place, fault) in library.scenario.faults.iter().enumerate() {
                let lost = matches!(fault.kind, FaultKind::GpuLost {}) && fault.active(t);
                if lost && fault.touches(registration.gpu) && told.insert((registration.gpu, place)) {
                    return Some(Err(GPU_IS_LOST));
                }
            }
        }
        None
    }
}

fn latest_xid(library: &Library, gpu: usize, t: f64) -> u64 {
    let xids = library.scenario.faults.iter().filter_map(|fault| match fault.kind {
        FaultKind::Xid { code } if fault.begun(t) && fault.touches(gpu) => Some((fault.at, code)),
        _ => None,
    });
    xids.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, code)| code)
}
