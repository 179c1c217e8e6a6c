//! The loaded library: which scenario is played, since when, and what callers have set up.
//!
//! No lock is held while a call waits or hangs; a library once opened lives until the process ends, so that a hung call
//! never looks at freed memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::abi::events::EventSet;
use crate::clock::Clock;
use crate::fault::FaultKind;
use crate::gpu::Gpu;
use crate::scenario::Scenario;

/// A scenario being played.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) scenario: Scenario,
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) clock: Clock,
    /// Living event sets by handle.
    pub(crate) event_sets: Mutex<HashMap<usize, Arc<EventSet>>>,
    source: Source,
    trace: Option<Mutex<File>>,
    /// Open `nvmlInit`s.
    users: AtomicU32,
    /// Scenario time of the last `nvmlInit`, as bits of an `f64`.
    initialised_at: AtomicU64,
}

/// What the environment asks for; a change makes the next `nvmlInit` read anew.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    scenario: Option<String>,
    epoch: Option<String>,
    trace: Option<String>,
}

impl Source {
    fn from_environment() -> Source {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Source {
            scenario: variable("GPUDECK_NVML_SIM"),
            epoch: variable("GPUDECK_NVML_SIM_EPOCH"),
            trace: variable("GPUDECK_NVML_SIM_TRACE"),
        }
    }
}

static LOADED: RwLock<Option<&'static Library>> = RwLock::new(None);

/// The library, whether or not anyone has it initialised.
pub(crate) fn loaded() -> Option<&'static Library> {
    *LOADED.read().unwrap_or_else(PoisonError::into_inner)
}

/// The library that the environment asks for, for `nvmlInit`: the loaded one, or a new one when the environment
/// changed or nobody uses the old.
///
/// # Errors
/// What is wrong with the environment or the scenario file, for a person.
pub(crate) fn load() -> Result<&'static Library, String> {
    let source = Source::from_environment();
    let mut slot = LOADED.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = *slot
        && (library.source == source || library.users.load(Ordering::SeqCst) > 0)
    {
        return Ok(library);
    }
    let library: &'static Library = Box::leak(Box::new(Library::open(source)?));
    *slot = Some(library);
    Ok(library)
}

impl Library {
    fn open(source: Source) -> Result<Library, String> {
        let scenario = match &source.scenario {
            None => Scenario::healthy(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read the scenario {path} (GPUDECK_NVML_SIM): {error}"))?;
                Scenario::parse(&text).map_err(|error| format!("{path} is not a scenario: {error}"))?
            }
        };
        let epoch =
            match &source.epoch {
                None => None,
                Some(text) => Some(text.parse::<u64>().map_err(|_| {
                    format!("GPUDECK_NVML_SIM_EPOCH is {text:?}; it must be CLOCK_MONOTONIC nanoseconds")
                })?),
            };
        let trace = match &source.trace {
            None => None,
            Some(path) => {
                let file = File::options().create(true).append(true).open(path);
                Some(Mutex::new(file.map_err(|error| format!("cannot write the trace {path}: {error}"))?))
            }
        };
        let gpus = (0..scenario.gpus.len()).filter_map(|index| Gpu::new(&scenario, index)).collect();
        Ok(Library {
            gpus,
            clock: Clock::new(epoch),
            event_sets: Mutex::new(HashMap::new()),
            source,
            trace,
            users: AtomicU32::new(0),
            initialised_at: AtomicU64::new(0),
            scenario,
        })
    }

    /// One more user, since `t`.
    pub(crate) fn enter(&self, t: f64) {
        self.initialised_at.store(t.to_bits(), Ordering::SeqCst);
        self.users.fetch_add(1, Ordering::SeqCst);
    }

    /// One user less; false when there was none.
    pub(crate) fn leave(&self) -> bool {
        self.users.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |users| users.checked_sub(1)).is_ok()
    }

    /// Whether calls may be made at `t`: someone has initialised, and the driver has not gone since.
    pub(crate) fn initialised(&self, t: f64) -> bool {
        let since = f64::from_bits(self.initialised_at.load(Ordering::SeqCst));
        let went = |at: f64| t >= at && at > since;
        self.users.load(Ordering::SeqCst) > 0
            && !self.driver_gone(t)
            && !self.node_faults().any(|(at, kind)| matches!(kind, FaultKind::DriverGone {}) && went(at))
    }

    /// Whether the driver is gone at `t`.
    pub(crate) fn driver_gone(&self, t: f64) -> bool {
        self.scenario.faults.iter().any(|fault| matches!(fault.kind, FaultKind::DriverGone {}) && fault.active(t))
    }

    fn node_faults(&self) -> impl Iterator<Item = (f64, &FaultKind)> {
        self.scenario.faults.iter().map(|fault| (fault.at, &fault.kind))
    }

    /// One line into the trace, if there is one.
    pub(crate) fn trace(&self, t: f64, call: &str, gpu: Option<usize>) {
        let Some(file) = &self.trace else { return };
        let line = match gpu {
            Some(gpu) => format!("{t:.6} {} {call} gpu={gpu}\n", std::process::id()),
            None => format!("{t:.6} {} {call}\n", std::process::id()),
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A trace that cannot be written must not change what the caller sees.
        #[allow(clippy::let_underscore_must_use)]
        let _ = file.write_all(line.as_bytes());
    }
}
