//! Starting, stopping, versions, finding the cards, error texts.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use super::{
    Answer, DRIVER_NOT_LOADED, INVALID_ARGUMENT, NOT_FOUND, Node, UNINITIALIZED, UNKNOWN, code, export, get_text,
    handle, length, open, present, put, put_text, suffer_node,
};
use crate::gpu::{Gpu, PciAddress};
use crate::library::{load, loaded};

fn start(call: &'static str) -> Answer {
    let library = load().map_err(|why| {
        eprintln!("nvml-sim: {why}");
        UNKNOWN
    })?;
    let t = library.clock.now();
    library.trace(t, call, None);
    suffer_node(library, call)?;
    let t = library.clock.now();
    if library.driver_gone(t) {
        return Err(DRIVER_NOT_LOADED);
    }
    library.enter(t);
    Ok(())
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    code(start("nvmlInit_v2"))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlInit() -> nvmlReturn_t {
    code(start("nvmlInit"))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    code(start("nvmlInitWithFlags"))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    let stop = || {
        let library = loaded().ok_or(UNINITIALIZED)?;
        library.trace(library.clock.now(), "nvmlShutdown", None);
        suffer_node(library, "nvmlShutdown")?;
        if library.leave() { Ok(()) } else { Err(UNINITIALIZED) }
    };
    code(stop())
}

/// The texts of `nvmlErrorString`, in our words where NVIDIA's do not matter; the codes are NVML's.
static ERROR_TEXTS: &[(nvmlReturn_t, &std::ffi::CStr)] = &[
    (0, c"Success"),
    (1, c"Uninitialized"),
    (2, c"Invalid Argument"),
    (3, c"Not Supported"),
    (4, c"Insufficient Permissions"),
    (5, c"Already Initialized"),
    (6, c"Not Found"),
    (7, c"Insufficient Size"),
    (8, c"Insufficient External Power"),
    (9, c"Driver Not Loaded"),
    (10, c"Timeout"),
    (11, c"Interrupt Request Issue"),
    (12, c"NVML Shared Library Not Found"),
    (13, c"Function Not Found"),
    (14, c"Corrupted infoROM"),
    (15, c"GPU is lost"),
    (16, c"GPU requires reset"),
    (17, c"GPU access blocked by the operating system"),
    (18, c"Driver/library version mismatch"),
    (19, c"In use by another client"),
    (20, c"Insufficient Memory"),
    (21, c"No data"),
    (22, c"Operation not supported with ECC enabled"),
    (23, c"Insufficient resources"),
    (24, c"Frequency not supported"),
    (25, c"Argument version mismatch"),
    (26, c"Deprecated"),
    (27, c"Not ready"),
    (28, c"No GPUs were found"),
    (29, c"Invalid state"),
    (30, c"Reset type not supported"),
];

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    let known = ERROR_TEXTS.iter().find(|(code, _)| *code == result);
    known.map_or(c"Unknown Error", |(_, text)| text).as_ptr()
}

export! {
    node fn nvmlSystemGetDriverVersion(node; version: *mut c_char, length: c_uint) {
        put_text(version, length, &node.library.scenario.driver_version)
    }
    node fn nvmlSystemGetNVMLVersion(node; version: *mut c_char, length: c_uint) {
        put_text(version, length, &node.library.scenario.nvml_version)
    }
    node fn nvmlSystemGetCudaDriverVersion(node; version: *mut c_int) {
        put(version, node.library.scenario.cuda_version)
    }
    node fn nvmlSystemGetCudaDriverVersion_v2(node; version: *mut c_int) {
        put(version, node.library.scenario.cuda_version)
    }
    node fn nvmlSystemGetProcessName(_node; pid: c_uint, name: *mut c_char, length: c_uint) {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).map_err(|_| NOT_FOUND)?;
        let first = command.split(|byte| *byte == 0).next().unwrap_or_default();
        let room = (length as usize).saturating_sub(1);
        let shown: String = String::from_utf8_lossy(first).chars().filter(char::is_ascii).take(room).collect();
        put_text(name, length, &shown)
    }
    node fn nvmlDeviceGetCount_v2(node; count: *mut c_uint) {
        put(count, length(present(node.library).count()))
    }
    node fn nvmlDeviceGetCount(node; count: *mut c_uint) {
        put(count, length(present(node.library).count()))
    }
    node fn nvmlUnitGetCount(_node; count: *mut c_uint) {
        put(count, 0)
    }
    node fn nvmlGetExcludedDeviceCount(_node; count: *mut c_uint) {
        put(count, 0)
    }
    node fn nvmlDeviceGetHandleByIndex_v2(node; index: c_uint, device: *mut nvmlDevice_t) {
        put(device, found(node, present(node.library).nth(index as usize).ok_or(INVALID_ARGUMENT))?)
    }
    node fn nvmlDeviceGetHandleByIndex(node; index: c_uint, device: *mut nvmlDevice_t) {
        put(device, found(node, present(node.library).nth(index as usize).ok_or(INVALID_ARGUMENT))?)
    }
    node fn nvmlDeviceGetHandleByUUID(node; uuid: *const c_char, device: *mut nvmlDevice_t) {
        let uuid = get_text(uuid)?;
        put(device, found(node, search(node, |gpu| gpu.uuid == uuid))?)
    }
    node fn nvmlDeviceGetHandleBySerial(node; serial: *const c_char, device: *mut nvmlDevice_t) {
        let serial = get_text(serial)?;
        put(device, found(node, search(node, |gpu| gpu.serial == serial))?)
    }
    node fn nvmlDeviceGetHandleByPciBusId_v2(node; address: *const c_char, device: *mut nvmlDevice_t) {
        let address = PciAddress::parse(&get_text(address)?).ok_or(INVALID_ARGUMENT)?;
        put(device, found(node, search(node, |gpu| gpu.pci == address))?)
    }
    node fn nvmlDeviceGetHandleByPciBusId(node; address: *const c_char, device: *mut nvmlDevice_t) {
        let address = PciAddress::parse(&get_text(address)?).ok_or(INVALID_ARGUMENT)?;
        put(device, found(node, search(node, |gpu| gpu.pci == address))?)
    }
}

fn search(node: Node, is_it: impl Fn(&Gpu) -> bool) -> Answer<&'static Gpu> {
    present(node.library).find(|gpu| is_it(gpu)).ok_or(NOT_FOUND)
}

/// The handle of a card that was found, once the card's own faults let it out.
fn found(node: Node, gpu: Answer<&'static Gpu>) -> Answer<nvmlDevice_t> {
    let gpu = gpu?;
    open(node.library, node.call, gpu)?;
    Ok(handle(gpu))
}
