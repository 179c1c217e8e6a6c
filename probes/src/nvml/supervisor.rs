//! The library's life: opened, its GPUs counted and polled, opened again when the driver has been away.
//!
//! What belongs to one opening is a *generation*: handles of an older one are never used in a newer one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Scope};
use std::time::Duration;

use model::catalogue::{DRIVER_CUDA_VERSION, DRIVER_STATE, DRIVER_VERSION};
use model::{Entity, PciAddress};
use nvml_raw::{Driver, DriverError};

use super::answer::{self, Meaning};
use super::holders::Holders;
use super::poller;
use super::tick::Faults;
use super::watch::{DriverState, Role, Watch, Watches, lock};
use crate::worker::STOP_POLL;
use crate::{Node, Outlet};

/// How long to wait before the library is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often the GPUs are counted again.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// How long an ending generation's threads have to let go before the library is opened again beside them.
const LET_GO: Duration = Duration::from_secs(3);
/// More GPUs than any node has.
const MOST_GPUS: u32 = 128;

/// What the probe's threads share. None of its locks is held over a driver call.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub(super) node: &'a Node,
    pub(super) outlet: &'a Outlet,
    pub(super) watches: Watches,
    pub(super) board: Mutex<DriverState>,
    pub(super) holders: Mutex<Holders>,
    /// The GPUs by the address of their first function.
    pub(super) gpus_at: Mutex<HashMap<PciAddress, Entity>>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(node: &'a Node, outlet: &'a Outlet) -> Self {
        Self {
            node,
            outlet,
            watches: Watches::default(),
            board: Mutex::default(),
            holders: Mutex::default(),
            gpus_at: Mutex::default(),
        }
    }
}

/// One opening of the library.
#[derive(Debug)]
pub(super) struct Generation {
    /// How many GPUs the driver counted.
    pub(super) gpus: u32,
    /// Its threads should end.
    pub(super) over: AtomicBool,
    /// The driver is gone.
    pub(super) gone: AtomicBool,
    /// The GPUs must be counted and found anew.
    pub(super) renew: AtomicBool,
}

impl Generation {
    /// Ends it because the driver is gone.
    pub(super) fn end_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Keeps the library open while there is a driver, and looks for one while there is none, until asked to stop.
pub(super) fn supervise<'scope>(scope: &'scope Scope<'scope, '_>, shared: &'scope Shared<'scope>) {
    let watch = shared.watches.add(Role::Supervisor, shared.outlet, Entity::Probe("nvml".to_owned()), None);
    let mut faults = Faults::default();
    if !shared.node.live() && shared.node.nvml_lib.is_none() {
        let why = "a captured tree has no driver; name the simulated or captured library with --nvml-lib PATH";
        no_driver(shared, &DriverError::NoLibrary(why.to_owned()));
        while !shared.outlet.stopping() {
            thread::sleep(STOP_POLL);
        }
        return;
    }
    let mut retry = RETRY.0;
    while !shared.outlet.stopping() {
        let library = shared.node.nvml_lib.as_deref().map(OsStr::new);
        match watch.long_call("nvmlInit_v2", || Driver::open(library)) {
            Ok(driver) => {
                if serve(scope, shared, &watch, &mut faults, driver) {
                    // The driver answered for a while: look for it closely again, and tell again what fails.
                    retry = RETRY.0;
                    faults = Faults::default();
                }
            }
            Err(error) => no_driver(shared, &error),
        }
        rest(shared.outlet, retry, || false);
        retry = (retry * 2).min(RETRY.1);
    }
}

/// Says that there is no driver to talk to, and what a person can do: now, and by the watchdog from here on.
fn no_driver(shared: &Shared, error: &DriverError) {
    let state = answer::driver_state(error);
    let fault = answer::fault("nvmlInit_v2", Some(Entity::Node), error);
    let mut draft = shared.outlet.draft();
    draft.read(&Entity::Node, DRIVER_STATE, state);
    draft.faults.push(fault.clone());
    shared.outlet.send(draft);
    *lock(&shared.board) = DriverState { state, fault: Some(fault) };
}

/// Polls the driver's GPUs until it is gone or they must be found anew. Whether it answered at all.
fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared<'scope>,
    watch: &Watch,
    faults: &mut Faults,
    driver: Driver,
) -> bool {
    let driver = Arc::new(driver);
    let gpus = match watch.call("nvmlDeviceGetCount_v2", || driver.device_count()) {
        Ok(gpus) => gpus.min(MOST_GPUS),
        Err(error) => {
            no_driver(shared, &error);
            watch.long_call("nvmlShutdown", || drop(driver));
            return false;
        }
    };
    *lock(&shared.board) = DriverState { state: "ok", fault: None };
    tell_versions(shared, watch, &driver);
    let flag = || AtomicBool::new(false);
    let generation = Arc::new(Generation { gpus, over: flag(), gone: flag(), renew: flag() });
    for index in 0..gpus {
        let (driver, generation) = (Arc::clone(&driver), Arc::clone(&generation));
        scope.spawn(move || poller::poll(scope, shared, driver, &generation, index));
    }
    attend(shared, watch, faults, &driver, &generation);
    generation.over.store(true, Ordering::Relaxed);
    // Only with the last user does the library shut down, and only then does opening it begin anew. Who is stuck in a
    // call keeps it; waiting for that would blind all the others.
    rest(shared.outlet, LET_GO, || Arc::strong_count(&driver) == 1);
    watch.long_call("nvmlShutdown", || drop(driver));
    true
}

/// Counts the GPUs now and then, and notices when the generation is over.
fn attend(shared: &Shared, watch: &Watch, faults: &mut Faults, driver: &Driver, generation: &Generation) {
    let over = || [&generation.gone, &generation.renew].iter().any(|flag| flag.load(Ordering::Relaxed));
    loop {
        rest(shared.outlet, COUNT_EVERY, over);
        if over() || shared.outlet.stopping() {
            return;
        }
        match watch.call("nvmlDeviceGetCount_v2", || driver.device_count()) {
            Ok(gpus) if gpus.min(MOST_GPUS) != generation.gpus => return,
            Ok(_) => {}
            Err(error) if answer::meaning(&error) == Meaning::Gone => return generation.end_gone(),
            Err(error) => {
                let mut draft = shared.outlet.draft();
                faults.tell(&mut draft, "nvmlDeviceGetCount_v2", Some(Entity::Node), &error);
                if !draft.faults.is_empty() {
                    shared.outlet.send(draft);
                }
            }
        }
    }
}

fn tell_versions(shared: &Shared, watch: &Watch, driver: &Driver) {
    let mut draft = shared.outlet.draft();
    draft.read(&Entity::Node, DRIVER_STATE, "ok");
    if let Ok(version) = watch.call("nvmlSystemGetDriverVersion", || driver.sys_driver_version()) {
        draft.read(&Entity::Node, DRIVER_VERSION, version);
    }
    if let Ok(version) = watch.call("nvmlSystemGetCudaDriverVersion_v2", || driver.sys_cuda_driver_version()) {
        let (major, minor) = (version / 1_000, version % 1_000 / 10);
        draft.read(&Entity::Node, DRIVER_CUDA_VERSION, format!("{major}.{minor}"));
    }
    shared.outlet.send(draft);
}

/// Sleeps for so long, unless asked to stop or `enough`.
fn rest(outlet: &Outlet, length: Duration, enough: impl Fn() -> bool) {
    let until_ns = |stamp: model::Stamp| stamp.mono_ns.unwrap_or(0);
    let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let end_ns = until_ns(outlet.now()).saturating_add(length_ns);
    while !outlet.stopping() && !enough() {
        let left = end_ns.saturating_sub(until_ns(outlet.now()));
        if left == 0 {
            return;
        }
        thread::sleep(Duration::from_nanos(left).min(STOP_POLL));
    }
}
