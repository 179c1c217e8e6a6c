//! NVLink: state, peers, errors; the fabric.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_uint, c_ulonglong};
use std::mem::size_of;

use nvml_wrapper_sys::bindings::{
    nvmlGpuFabricInfo_t, nvmlGpuFabricInfo_v2_t, nvmlGpuFabricInfo_v3_t, nvmlGpuFabricInfoV_t, nvmlPciInfo_t,
};

use super::{
    ARGUMENT_VERSION_MISMATCH, Answer, Device, INVALID_ARGUMENT, NOT_SUPPORTED, SUCCESS, export, field_text, get, put,
};
use crate::gpu::PciAddress;

/// NVSwitches of an HGX board; links are spread over them.
const SWITCHES: u32 = 4;
/// PCI device ids of the third generation NVSwitch.
const SWITCH_IDS: (u32, u32) = (0x22a3_10de, 0x1796_10de);
/// `NVML_GPU_FABRIC_STATE_COMPLETED`.
const COMPLETED: u8 = 3;
/// Each two-bit health question answered "no", no incorrect configuration.
const HEALTH_MASK: c_uint = 2 | 2 << 2 | 2 << 4 | 2 << 6 | 1 << 8;
/// `NVML_GPU_FABRIC_HEALTH_SUMMARY_HEALTHY`.
const HEALTHY: u8 = 1;
/// `NVML_GPU_FABRIC_HEALTH_SUMMARY_LIMITED_CAPACITY`.
const LIMITED: u8 = 3;

export! {
    device fn nvmlDeviceGetNvLinkState(d; link: c_uint, active: *mut c_uint) {
        let link = d.link(link)?;
        put(active, c_uint::from(d.gpu.link_up(link, d.t)))
    }
    device fn nvmlDeviceGetNvLinkVersion(d; link: c_uint, version: *mut c_uint) {
        d.link(link)?;
        put(version, d.gpu.card.nvlink.1)
    }
    device fn nvmlDeviceGetNvLinkCapability(d; link: c_uint, capability: c_uint, result: *mut c_uint) {
        d.link(link)?;
        // P2P, system memory, P2P atomics, system atomics; no SLI bridge; valid.
        let has = match capability {
            0..=3 | 5 => 1,
            4 => 0,
            _ => return Err(INVALID_ARGUMENT),
        };
        put(result, has)
    }
    device fn nvmlDeviceGetNvLinkRemotePciInfo_v2(d; link: c_uint, pci: *mut nvmlPciInfo_t) {
        put(pci, switch(d.link(link)?))
    }
    device fn nvmlDeviceGetNvLinkRemotePciInfo(d; link: c_uint, pci: *mut nvmlPciInfo_t) {
        put(pci, switch(d.link(link)?))
    }
    device fn nvmlDeviceGetNvLinkRemoteDeviceType(d; link: c_uint, kind: *mut c_uint) {
        d.link(link)?;
        put(kind, nvml_wrapper_sys::bindings::nvmlIntNvLinkDeviceType_enum_NVML_NVLINK_DEVICE_TYPE_SWITCH)
    }
    device fn nvmlDeviceGetNvLinkErrorCounter(d; link: c_uint, counter: c_uint, value: *mut c_ulonglong) {
        let errors = d.gpu.link_errors(d.link(link)?, d.t);
        // Replay, recovery, CRC of flits, CRC of data, ECC.
        let count = match counter {
            0 => errors.replay,
            1 => errors.recovery,
            2 => errors.crc,
            3 | 4 => 0,
            _ => return Err(INVALID_ARGUMENT),
        };
        put(value, count)
    }
    device fn nvmlDeviceGetGpuFabricInfo(d; info: *mut nvmlGpuFabricInfo_t) {
        fabric(&d)?;
        put(info, nvmlGpuFabricInfo_t { clusterUuid: [0; 16], status: SUCCESS, cliqueId: 0, state: COMPLETED })
    }
    device fn nvmlDeviceGetGpuFabricInfoV(d; info: *mut nvmlGpuFabricInfoV_t) {
        fabric(&d)?;
        // Callers may hold the shorter second version: the version is read and written alone.
        let version: c_uint = get(info.cast())?;
        let up = (0..d.gpu.card.nvlink.0).all(|link| d.gpu.link_up(link, d.t));
        let mask = if up { HEALTH_MASK } else { HEALTH_MASK & !3 | 1 };
        let full = nvmlGpuFabricInfo_v3_t {
            version,
            clusterUuid: [0; 16],
            status: SUCCESS,
            cliqueId: 0,
            state: COMPLETED,
            healthMask: mask,
            healthSummary: if up { HEALTHY } else { LIMITED },
        };
        if version as usize == size_of::<nvmlGpuFabricInfo_v3_t>() | 3 << 24 {
            return put(info, full);
        }
        if version as usize == size_of::<nvmlGpuFabricInfo_v2_t>() | 2 << 24 {
            return put(info.cast(), nvmlGpuFabricInfo_v2_t {
                version,
                clusterUuid: full.clusterUuid,
                status: full.status,
                cliqueId: full.cliqueId,
                state: full.state,
                healthMask: mask,
            });
        }
        Err(ARGUMENT_VERSION_MISMATCH)
    }
}

fn fabric(d: &Device) -> Answer {
    if d.gpu.card.fabric { Ok(()) } else { Err(NOT_SUPPORTED) }
}

fn switch(link: c_uint) -> nvmlPciInfo_t {
    let at = PciAddress { domain: 0, bus: 5 + link % SWITCHES, device: 0 };
    nvmlPciInfo_t {
        busIdLegacy: field_text(&at.short()),
        domain: at.domain,
        bus: at.bus,
        device: at.device,
        pciDeviceId: SWITCH_IDS.0,
        pciSubSystemId: SWITCH_IDS.1,
        busId: field_text(&at.long()),
    }
}
