//! The driver's events of one GPU: told of, and a reason to read the GPU at once.
//!
//! Facts: `nvmlEventSetWait_v2` in nvml.h of CUDA 13.0. Of several Xids since the last call it reports the most recent one
//! for all, so this is a wake-up; the log is the kernel's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::thread;

use model::{Entity, Event, event};
use nvml_raw::{Driver, DriverError, DriverEvent, EventSet, event as bits};

use super::answer::{Meaning, meaning};
use super::supervisor::{Generation, Shared};
use super::watch::{Role, Watch};
use crate::worker::STOP_POLL;

/// How long one call waits for an event; below the deadline of calls.
const WAIT_MS: u32 = 1_000;

/// Listens until the driver's generation ends. A GPU or library without events has no listener.
pub(super) fn listen(
    shared: &Shared,
    driver: Arc<Driver>,
    generation: &Generation,
    index: u32,
    gpu: Entity,
    wake: &Sender<()>,
) {
    let watch = shared.watches.add(Role::Listener, shared.outlet, gpu.clone(), Some(index));
    if let Ok(set) = open(&watch, &driver, index) {
        while !generation.over.load(Ordering::Relaxed) && !shared.outlet.stopping() {
            match watch.call("nvmlEventSetWait_v2", || set.wait(WAIT_MS)) {
                Ok(None) => {}
                Ok(Some(found)) => {
                    tell(shared, &gpu, found);
                    // The poller has ended: so does the generation.
                    if wake.send(()).is_err() {
                        break;
                    }
                }
                Err(error) => match meaning(&error) {
                    Meaning::Gone | Meaning::Absent => break,
                    // The poller sees for itself; a call that fails at once must not be repeated without a rest.
                    _ => {
                        if wake.send(()).is_err() {
                            break;
                        }
                        rest(shared, generation);
                    }
                },
            }
        }
        watch.long_call("nvmlEventSetFree", || drop(set));
    }
    watch.long_call("nvmlShutdown", || drop(driver));
}

fn open<'d>(watch: &Watch, driver: &'d Driver, index: u32) -> Result<EventSet<'d>, DriverError> {
    let device = watch.call("nvmlDeviceGetHandleByIndex_v2", || driver.device_by_index(index))?;
    let set = watch.call("nvmlEventSetCreate", || EventSet::new(driver))?;
    watch.call("nvmlDeviceRegisterEvents", || set.register(&device, bits::FAULTS))?;
    Ok(set)
}

fn tell(shared: &Shared, gpu: &Entity, found: DriverEvent) {
    let mut draft = shared.outlet.draft();
    let int = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut event = Event::new(draft.at, event::DRIVER_EVENT).about(gpu.clone()).with("bits", int(found.bits));
    event = match found.xid() {
        Some(code) => event.with("code", int(code)),
        None => event.with("data", int(found.data)),
    };
    if let Some(instance) = found.gpu_instance {
        event = event.with("gpu_instance", instance);
    }
    if let Some(instance) = found.compute_instance {
        event = event.with("compute_instance", instance);
    }
    draft.events.push(event);
    shared.outlet.send(draft);
}

fn rest(shared: &Shared, generation: &Generation) {
    for _ in 0..10 {
        if generation.over.load(Ordering::Relaxed) || shared.outlet.stopping() {
            return;
        }
        thread::sleep(STOP_POLL);
    }
}
