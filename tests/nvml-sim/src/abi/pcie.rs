//! The PCIe link.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::c_uint;
use std::time::Duration;

use super::{INVALID_ARGUMENT, export, put, word};

/// The driver counts bytes over this long before it answers.
const THROUGHPUT_WINDOW: Duration = Duration::from_millis(20);

export! {
    device fn nvmlDeviceGetMaxPcieLinkGeneration(d; generation: *mut c_uint) {
        put(generation, d.gpu.card.pcie.0)
    }
    device fn nvmlDeviceGetGpuMaxPcieLinkGeneration(d; generation: *mut c_uint) {
        put(generation, d.gpu.card.pcie.0)
    }
    device fn nvmlDeviceGetMaxPcieLinkWidth(d; width: *mut c_uint) {
        put(width, d.gpu.card.pcie.1)
    }
    device fn nvmlDeviceGetCurrPcieLinkGeneration(d; generation: *mut c_uint) {
        put(generation, d.gpu.pcie_link(d.t).0)
    }
    device fn nvmlDeviceGetCurrPcieLinkWidth(d; width: *mut c_uint) {
        put(width, d.gpu.pcie_link(d.t).1)
    }
    device fn nvmlDeviceGetPcieLinkMaxSpeed(d; code: *mut c_uint) {
        // NVML_PCIE_LINK_MAX_SPEED_*: 1 is 2500 MB/s, one more for each generation.
        put(code, d.gpu.card.pcie.0)
    }
    device fn nvmlDeviceGetPcieSpeed(d; mbps: *mut c_uint) {
        let speed = match d.gpu.pcie_link(d.t).0 {
            0 | 1 => 2_500,
            2 => 5_000,
            3 => 8_000,
            4 => 16_000,
            5 => 32_000,
            _ => 64_000,
        };
        put(mbps, speed)
    }
    device fn nvmlDeviceGetPcieThroughput(d; counter: c_uint, kib_per_s: *mut c_uint) {
        std::thread::sleep(THROUGHPUT_WINDOW);
        let (sent, received) = d.now().0.pcie;
        let bytes = match counter {
            0 => sent,
            1 => received,
            _ => return Err(INVALID_ARGUMENT),
        };
        put(kib_per_s, word(bytes / 1024.0))
    }
    device fn nvmlDeviceGetPcieReplayCounter(d; count: *mut c_uint) {
        put(count, c_uint::try_from(d.gpu.pcie_replays(d.t)).unwrap_or(c_uint::MAX))
    }
    device fn nvmlDeviceGetBusType(_d; kind: *mut c_uint) {
        // NVML_BUS_TYPE_PCIE.
        put(kind, 2)
    }
}
