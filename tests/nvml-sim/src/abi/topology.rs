//! Where cards sit towards CPUs and each other.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_uint, c_ulong};

use nvml_wrapper_sys::bindings::nvmlDevice_t;

use super::{Answer, Device, INSUFFICIENT_SIZE, INVALID_ARGUMENT, export, gpu_of, handle, present, put, put_list};
use crate::gpu::Gpu;

/// CPUs of one NUMA node of the simulated machine.
const CPUS: u32 = 56;
const NODE_LEVEL: c_uint = 40;
const SYSTEM_LEVEL: c_uint = 50;

export! {
    device fn nvmlDeviceGetNumaNodeId(d; node: *mut c_uint) {
        put(node, d.gpu.numa)
    }
    device fn nvmlDeviceGetMemoryAffinity(d; size: c_uint, set: *mut c_ulong, _scope: c_uint) {
        put_bits(set, size, d.gpu.numa, 1)
    }
    device fn nvmlDeviceGetCpuAffinity(d; size: c_uint, set: *mut c_ulong) {
        put_bits(set, size, d.gpu.numa * CPUS, CPUS)
    }
    device fn nvmlDeviceGetCpuAffinityWithinScope(d; size: c_uint, set: *mut c_ulong, _scope: c_uint) {
        put_bits(set, size, d.gpu.numa * CPUS, CPUS)
    }
    device fn nvmlDeviceGetTopologyCommonAncestor(d; other: nvmlDevice_t, level: *mut c_uint) {
        put(level, common(&d, other)?)
    }
    device fn nvmlDeviceGetTopologyNearestGpus(
        d; level: c_uint, count: *mut c_uint, devices: *mut nvmlDevice_t
    ) {
        let near = |gpu: &&Gpu| gpu.index != d.gpu.index && distance(d.gpu, gpu) <= level;
        let near: Vec<nvmlDevice_t> = present(d.library).filter(near).map(handle).collect();
        put_list(count, devices, &near)
    }
    device fn nvmlDeviceGetP2PStatus(d; other: nvmlDevice_t, index: c_uint, status: *mut c_uint) {
        let other = gpu_of(d.library, other).ok_or(INVALID_ARGUMENT)?;
        // Read, write, NVLink, atomics, PCI: over NVLink all but PCI, else none.
        let linked = d.gpu.card.nvlink.0 > 0 && other.card.nvlink.0 > 0 && other.index != d.gpu.index;
        let not_supported = nvml_wrapper_sys::bindings::nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_NOT_SUPPORTED;
        match index {
            0..=3 if linked => put(status, 0),
            0..=4 => put(status, not_supported),
            _ => Err(INVALID_ARGUMENT),
        }
    }
    device fn nvmlDeviceOnSameBoard(d; other: nvmlDevice_t, same: *mut std::ffi::c_int) {
        put(same, i32::from(gpu_of(d.library, other).is_some_and(|other| other.index == d.gpu.index)))
    }
}

fn common(d: &Device, other: nvmlDevice_t) -> Answer<c_uint> {
    gpu_of(d.library, other).map(|other| distance(d.gpu, other)).ok_or(INVALID_ARGUMENT)
}

/// `nvmlGpuTopologyLevel_t`: each card hangs on a root port of its own.
fn distance(a: &Gpu, b: &Gpu) -> c_uint {
    match (a.index == b.index, a.numa == b.numa) {
        (true, _) => 0,
        (false, true) => NODE_LEVEL,
        (false, false) => SYSTEM_LEVEL,
    }
}

/// Writes a bit set with `count` bits from `first` on into `size` words.
unsafe fn put_bits(set: *mut c_ulong, size: c_uint, first: u32, count: u32) -> Answer {
    if set.is_null() || size == 0 {
        return Err(INVALID_ARGUMENT);
    }
    if first + count > size * c_ulong::BITS {
        return Err(INSUFFICIENT_SIZE);
    }
    for word in 0..size {
        let bits = (0..c_ulong::BITS).filter(|bit| (first..first + count).contains(&(word * c_ulong::BITS + bit)));
        // SAFETY: `word` is below the size that the caller gave.
        unsafe { put(set.add(word as usize), bits.fold(0, |set, bit| set | 1 << bit))? };
    }
    Ok(())
}
