//! Playing a scenario in a test: one at a time, since the environment belongs to the process.
#![allow(dead_code, unreachable_pub)] // Each test program uses its part.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper_sys::bindings::nvmlFieldValue_t;
use rustix::time::{ClockId, clock_gettime};

/// The built library: `cargo test` leaves it beside the test programs, `cargo build` one folder up.
pub fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let beside = program.parent().unwrap();
    let library = beside.join("libnvml_sim.so");
    if library.exists() {
        return library;
    }
    let library = beside.parent().unwrap().join("libnvml_sim.so");
    if !library.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "-p", "nvml-sim"]).status().unwrap();
        assert!(built.success(), "cargo build -p nvml-sim failed");
    }
    library
}

/// A shipped scenario.
pub fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name)
}

/// The epoch of a scenario that is `t` seconds old.
pub fn epoch(t: f64) -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let now = now.tv_sec as f64 + now.tv_nsec as f64 / 1e9;
    assert!(now > t, "this machine started less than {t} s ago");
    ((now - t) * 1e9) as u64
}

/// A scenario being played by the loaded library.
pub struct Played {
    pub nvml: Nvml,
    // Dropped after the library's session.
    pub file: Option<tempfile::NamedTempFile>,
    pub alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

/// Since when a scenario is played.
pub enum Since {
    /// So many seconds.
    Age(f64),
    /// This epoch.
    Epoch(u64),
    /// The first `nvmlInit`.
    Init,
}

impl Played {
    /// A shipped scenario, `t` seconds old.
    pub fn file(name: &str, t: f64) -> Played {
        Played::open(&scenario(name), Since::Age(t), None).unwrap()
    }

    /// A scenario of this text, `t` seconds old.
    pub fn text(text: &str, t: f64) -> Played {
        Played::written(text, Since::Age(t), None)
    }

    /// A scenario of this text.
    pub fn written(text: &str, since: Since, trace: Option<&Path>) -> Played {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut played = Played::open(file.path(), since, trace).unwrap();
        played.file = Some(file);
        played
    }

    /// Ends the session and begins another, all else the same.
    pub fn reopened(self) -> Played {
        let Played { nvml, file, alone } = self;
        nvml.shutdown().unwrap();
        let nvml = Nvml::builder().lib_path(library().as_os_str()).init().unwrap();
        Played { nvml, file, alone }
    }

    /// The scenario at `path`, with a trace or without.
    pub fn open(path: &Path, since: Since, trace: Option<&Path>) -> Result<Played, NvmlError> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // An age counts from here, not from before the wait for the lock.
        let epoch = match since {
            Since::Age(t) => epoch(t).to_string(),
            Since::Epoch(epoch) => epoch.to_string(),
            Since::Init => String::new(),
        };
        // SAFETY: tests that touch the environment hold the lock; nothing else in these programs reads it meanwhile.
        unsafe {
            std::env::set_var("GPUDECK_NVML_SIM", path);
            std::env::set_var("GPUDECK_NVML_SIM_EPOCH", epoch);
            std::env::set_var("GPUDECK_NVML_SIM_TRACE", trace.unwrap_or_else(|| Path::new("")));
        }
        let nvml = Nvml::builder().lib_path(library().as_os_str()).init()?;
        Ok(Played { nvml, file: None, alone })
    }

    /// Fields by number and scope.
    pub fn fields(&self, gpu: u32, asked: &[(u32, u32)]) -> Vec<nvmlFieldValue_t> {
        let device = self.nvml.device_by_index(gpu).unwrap();
        let get = self.nvml.lib().nvmlDeviceGetFieldValues.as_ref().unwrap();
        let blank = |(id, scope): &(u32, u32)| {
            // SAFETY: zeros are a valid value of this plain structure.
            let mut field: nvmlFieldValue_t = unsafe { std::mem::zeroed() };
            (field.fieldId, field.scopeId) = (*id, *scope);
            field
        };
        let mut values: Vec<nvmlFieldValue_t> = asked.iter().map(blank).collect();
        // SAFETY: the handle is the library's, the array as long as said.
        let code = unsafe { get(device.handle(), values.len() as i32, values.as_mut_ptr()) };
        assert_eq!(code, 0);
        values
    }
}
