//! The exported functions, one module for each family of calls, and what they share: the codes, the gate that every
//! call passes (initialised? lost? hung?), and the checked writes to the caller's memory.
//!
//! Facts: signatures, structures and codes are those of `nvml-wrapper-sys` (NVML 13.0); behaviour is that of the
//! comments in `nvml.h`.
#![allow(unsafe_code)] // This is a C ABI: callers hand in raw pointers.

mod admin;
mod clocks;
mod ecc;
pub(crate) mod events;
mod fields;
mod identity;
mod memory;
mod mig;
mod nvlink;
mod pcie;
mod power;
mod processes;
mod samples;
mod stubs;
mod system;
mod topology;

use std::ffi::{CStr, c_char, c_uint};
use std::mem::size_of;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::fault::FaultKind;
use crate::gpu::{Gpu, Totals};
use crate::library::{Library, loaded};

pub(crate) const SUCCESS: nvmlReturn_t = 0;
pub(crate) const UNINITIALIZED: nvmlReturn_t = 1;
pub(crate) const INVALID_ARGUMENT: nvmlReturn_t = 2;
pub(crate) const NOT_SUPPORTED: nvmlReturn_t = 3;
pub(crate) const NO_PERMISSION: nvmlReturn_t = 4;
pub(crate) const NOT_FOUND: nvmlReturn_t = 6;
pub(crate) const INSUFFICIENT_SIZE: nvmlReturn_t = 7;
pub(crate) const DRIVER_NOT_LOADED: nvmlReturn_t = 9;
pub(crate) const TIMEOUT: nvmlReturn_t = 10;
pub(crate) const FUNCTION_NOT_FOUND: nvmlReturn_t = 13;
pub(crate) const GPU_IS_LOST: nvmlReturn_t = 15;
pub(crate) const IN_USE: nvmlReturn_t = 19;
pub(crate) const ARGUMENT_VERSION_MISMATCH: nvmlReturn_t = 25;
pub(crate) const UNKNOWN: nvmlReturn_t = 999;

/// What a call answers: nothing more than its code, the rest went out by pointer.
pub(crate) type Answer<T = ()> = Result<T, nvmlReturn_t>;

/// The code of an answer.
pub(crate) fn code(answer: Answer) -> nvmlReturn_t {
    answer.err().unwrap_or(SUCCESS)
}

/// Defines exported functions.
///
/// `device fn nvmlX(d; out: *mut T) { … }` has `nvmlDevice_t` as its first parameter and passes the gate with it: `d`
/// is the [`Device`]. `node fn nvmlX(node; …) { … }` names no card: `node` is the [`Node`]. Bodies answer [`Answer`].
macro_rules! export {
    ($(device fn $name:ident($d:ident $(; $($arg:ident: $ty:ty),*)?) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(unused_unsafe)] // Some bodies only refuse.
        pub(crate) unsafe extern "C" fn $name(
            device: nvml_wrapper_sys::bindings::nvmlDevice_t $($(, $arg: $ty)*)?
        ) -> nvml_wrapper_sys::bindings::nvmlReturn_t {
            // SAFETY: by NVML's contract a caller's pointers are null or point to memory of the size the call
            // documents; bodies touch them by the null-checking functions of this module only.
            $crate::abi::code($crate::abi::device(stringify!($name), device).and_then(|$d| unsafe { $body }))
        }
    )*};
    ($(node fn $name:ident($node:ident $(; $($arg:ident: $ty:ty),*)?) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(unused_unsafe)] // Some bodies only refuse.
        pub(crate) unsafe extern "C" fn $name($($($arg: $ty),*)?) -> nvml_wrapper_sys::bindings::nvmlReturn_t {
            // SAFETY: as for the calls on a device.
            $crate::abi::code($crate::abi::node(stringify!($name)).and_then(|$node| unsafe { $body }))
        }
    )*};
}
pub(crate) use export;

/// A call that names no card, past the gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) library: &'static Library,
    pub(crate) call: &'static str,
    /// Scenario time, seconds.
    pub(crate) t: f64,
}

/// A call on a card, past the gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Device {
    pub(crate) library: &'static Library,
    pub(crate) gpu: &'static Gpu,
    pub(crate) call: &'static str,
    /// Scenario time, seconds.
    pub(crate) t: f64,
}

impl Device {
    /// Totals and temperatures now.
    pub(crate) fn totals(&self) -> Totals {
        self.gpu.totals(self.t)
    }

    /// What the card does now, with its totals.
    pub(crate) fn now(&self) -> (crate::gpu::Moment, Totals) {
        let totals = self.totals();
        (self.gpu.moment(self.t, totals.temperature), totals)
    }

    /// The link, if the card has it.
    pub(crate) fn link(&self, link: c_uint) -> Answer<c_uint> {
        match self.gpu.card.nvlink.0 {
            0 => Err(NOT_SUPPORTED),
            count if link < count => Ok(link),
            _ => Err(INVALID_ARGUMENT),
        }
    }
}

/// Passes the gate for a call that names no card.
///
/// # Errors
/// `UNINITIALIZED`, or what a fault answers.
pub(crate) fn node(call: &'static str) -> Answer<Node> {
    let library = loaded().ok_or(UNINITIALIZED)?;
    let t = library.clock.now();
    library.trace(t, call, None);
    if !library.initialised(t) {
        return Err(UNINITIALIZED);
    }
    suffer_node(library, call)?;
    Ok(Node { library, call, t: library.clock.now() })
}

/// Passes the gate for a call on a card.
///
/// # Errors
/// `UNINITIALIZED`, `INVALID_ARGUMENT` for what is no handle, or what a fault answers.
pub(crate) fn device(call: &'static str, handle: nvmlDevice_t) -> Answer<Device> {
    let library = loaded().ok_or(UNINITIALIZED)?;
    let t = library.clock.now();
    let gpu = gpu_of(library, handle);
    library.trace(t, call, gpu.map(|gpu| gpu.index));
    if !library.initialised(t) {
        return Err(UNINITIALIZED);
    }
    open(library, call, gpu.ok_or(INVALID_ARGUMENT)?)
}

/// Passes the gate with a card found otherwise than by its handle.
///
/// # Errors
/// What a fault answers.
pub(crate) fn open(library: &'static Library, call: &'static str, gpu: &'static Gpu) -> Answer<Device> {
    suffer(library, call, |t| gpu.faults(t).collect())?;
    if gpu.settings.removed.load(Ordering::SeqCst) {
        return Err(GPU_IS_LOST);
    }
    Ok(Device { library, gpu, call, t: library.clock.now() })
}

/// Undergoes the faults on calls that name no card.
pub(crate) fn suffer_node(library: &'static Library, call: &'static str) -> Answer {
    suffer(library, call, |t| {
        let faults = library.scenario.faults.iter().filter(|fault| fault.touches_node() && fault.active(t));
        faults.map(|fault| &fault.kind).filter(|kind| !matches!(kind, FaultKind::GpuLost {})).collect()
    })
}

/// How often a hung call looks whether it may go on.
const HANG_POLL: Duration = Duration::from_millis(20);

fn suffer(library: &'static Library, call: &'static str, faults: impl Fn(f64) -> Vec<&'static FaultKind>) -> Answer {
    let here = |kind: &FaultKind| match kind {
        FaultKind::Hang { call: calls } => calls.match_call(call),
        _ => false,
    };
    for kind in faults(library.clock.now()) {
        match kind {
            FaultKind::Slow { call: calls, ms } if calls.match_call(call) => {
                std::thread::sleep(Duration::from_millis(*ms));
            }
            FaultKind::Crash { call: calls } if calls.match_call(call) => std::process::abort(),
            _ => {}
        }
    }
    while faults(library.clock.now()).into_iter().any(here) {
        std::thread::sleep(HANG_POLL);
    }
    for kind in faults(library.clock.now()) {
        match kind {
            FaultKind::MissingSymbol { call: calls } if calls.match_call(call) => return Err(FUNCTION_NOT_FOUND),
            FaultKind::GpuLost {} => return Err(GPU_IS_LOST),
            FaultKind::NotSupported { call: calls, .. } if calls.match_call(call) => return Err(NOT_SUPPORTED),
            FaultKind::NoPermission { call: calls } if calls.match_call(call) => return Err(NO_PERMISSION),
            FaultKind::Return { call: calls, code } if calls.match_call(call) && *code != SUCCESS => return Err(*code),
            _ => {}
        }
    }
    Ok(())
}

// Handles are numbers that no pointer has; they are never dereferenced.
const FIRST_HANDLE: usize = 0x6700_0000;
const HANDLE_STRIDE: usize = 0x100;

/// The handle of a card.
pub(crate) fn handle(gpu: &Gpu) -> nvmlDevice_t {
    (FIRST_HANDLE + gpu.index * HANDLE_STRIDE) as nvmlDevice_t
}

/// The card of a handle.
pub(crate) fn gpu_of(library: &'static Library, handle: nvmlDevice_t) -> Option<&'static Gpu> {
    let offset = (handle as usize).checked_sub(FIRST_HANDLE)?;
    if offset.is_multiple_of(HANDLE_STRIDE) { library.gpus.get(offset / HANDLE_STRIDE) } else { None }
}

/// The cards that are there (not removed), in index order.
pub(crate) fn present(library: &'static Library) -> impl Iterator<Item = &'static Gpu> {
    library.gpus.iter().filter(|gpu| !gpu.settings.removed.load(Ordering::SeqCst))
}

/// Writes `value` to the caller.
///
/// # Errors
/// `INVALID_ARGUMENT` for a null pointer.
///
/// # Safety
/// `to` is null or valid for a write of `T`.
pub(crate) unsafe fn put<T>(to: *mut T, value: T) -> Answer {
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, and valid by this function's contract. Callers' structures need not be aligned by us.
    unsafe { to.write_unaligned(value) };
    Ok(())
}

/// Reads what the caller filled in.
///
/// # Errors
/// `INVALID_ARGUMENT` for a null pointer.
///
/// # Safety
/// `from` is null or valid for a read of `T`.
pub(crate) unsafe fn get<T: Copy>(from: *const T) -> Answer<T> {
    if from.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, and valid by this function's contract.
    Ok(unsafe { from.read_unaligned() })
}

/// Writes a text and its NUL to the caller's buffer.
///
/// # Errors
/// `INVALID_ARGUMENT` for a null pointer, `INSUFFICIENT_SIZE` when `length` cannot hold the text and its NUL.
///
/// # Safety
/// `to` is null or valid for writes of `length` bytes.
pub(crate) unsafe fn put_text(to: *mut c_char, length: c_uint, text: &str) -> Answer {
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    if text.len() >= length as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    for (n, byte) in text.bytes().chain([0]).enumerate() {
        // SAFETY: `n` is at most the text's length, which is below `length`.
        unsafe { to.add(n).write(byte.cast_signed()) };
    }
    Ok(())
}

/// A text in a fixed field of a structure, cut to fit with its NUL.
pub(crate) fn field_text<const N: usize>(text: &str) -> [c_char; N] {
    let mut field = [0; N];
    for (to, byte) in field.iter_mut().take(N.saturating_sub(1)).zip(text.bytes()) {
        *to = byte.cast_signed();
    }
    field
}

/// Reads a caller's text.
///
/// # Errors
/// `INVALID_ARGUMENT` for a null pointer or what is not UTF-8.
///
/// # Safety
/// `from` is null or a NUL-terminated string.
pub(crate) unsafe fn get_text(from: *const c_char) -> Answer<String> {
    if from.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, and NUL-terminated by this function's contract.
    let text = unsafe { CStr::from_ptr(from) };
    text.to_str().map(str::to_owned).map_err(|_| INVALID_ARGUMENT)
}

/// Answers a list by NVML's two-call protocol: the caller says how many it has room for and learns how many there are.
///
/// # Errors
/// `INVALID_ARGUMENT` without a count, or without a list where there is room for one; `INSUFFICIENT_SIZE` when the list
/// does not fit (asking with room for none, while there are some, is the usual first call).
///
/// # Safety
/// `count` is null or valid, `list` is null or valid for `*count` writes.
pub(crate) unsafe fn put_list<T: Copy>(count: *mut c_uint, list: *mut T, items: &[T]) -> Answer {
    // SAFETY: handed on.
    let room = unsafe { get(count)? } as usize;
    // SAFETY: handed on.
    unsafe { put(count, length(items.len()))? };
    if items.is_empty() {
        return Ok(());
    }
    if room < items.len() {
        return Err(INSUFFICIENT_SIZE);
    }
    if list.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    for (n, item) in items.iter().enumerate() {
        // SAFETY: `n` is below the room that the caller says it has.
        unsafe { list.add(n).write_unaligned(*item) };
    }
    Ok(())
}

/// A count as NVML has it.
pub(crate) fn length(count: usize) -> c_uint {
    c_uint::try_from(count).unwrap_or(c_uint::MAX)
}

/// Checks the version that a caller wrote into a structure: its size and a number.
///
/// # Errors
/// `ARGUMENT_VERSION_MISMATCH`.
pub(crate) fn versioned<T>(version: c_uint, number: usize) -> Answer {
    if version as usize == size_of::<T>() | number << 24 { Ok(()) } else { Err(ARGUMENT_VERSION_MISMATCH) }
}

/// Only root may.
///
/// # Errors
/// `NO_PERMISSION`.
pub(crate) fn privileged() -> Answer {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(NO_PERMISSION) }
}

/// A measured value as a counter reports it; counters are never negative.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and takes the fraction off.
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}

/// A measured value that fits a word.
pub(crate) fn word(value: f64) -> c_uint {
    c_uint::try_from(whole(value)).unwrap_or(c_uint::MAX)
}

/// A share of one as a percentage.
pub(crate) fn percent(share: f64) -> c_uint {
    word((share * 100.0).round().clamp(0.0, 100.0))
}
