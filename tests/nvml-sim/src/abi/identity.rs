//! Who a card is: names, numbers, firmware.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_char, c_int, c_uint};
use std::sync::atomic::Ordering;

use nvml_wrapper_sys::bindings::{nvmlPciInfo_t, nvmlPciInfoExt_t};

use super::{Device, NOT_SUPPORTED, export, field_text, get, length, present, put, put_text, versioned};

/// Room that NVML documents for the GSP firmware version.
const GSP_VERSION_ROOM: c_uint = 0x40;

export! {
    device fn nvmlDeviceGetName(d; name: *mut c_char, length: c_uint) {
        put_text(name, length, d.gpu.card.name)
    }
    device fn nvmlDeviceGetUUID(d; uuid: *mut c_char, length: c_uint) {
        put_text(uuid, length, &d.gpu.uuid)
    }
    device fn nvmlDeviceGetSerial(d; serial: *mut c_char, length: c_uint) {
        put_text(serial, length, &d.gpu.serial)
    }
    device fn nvmlDeviceGetIndex(d; index: *mut c_uint) {
        let place = present(d.library).position(|gpu| gpu.index == d.gpu.index);
        put(index, length(place.unwrap_or(d.gpu.index)))
    }
    device fn nvmlDeviceGetMinorNumber(d; minor: *mut c_uint) {
        put(minor, length(d.gpu.index))
    }
    device fn nvmlDeviceGetModuleId(d; module: *mut c_uint) {
        put(module, length(d.gpu.index + 1))
    }
    device fn nvmlDeviceGetBoardId(d; board: *mut c_uint) {
        put(board, d.gpu.pci.domain << 16 | d.gpu.pci.bus << 8)
    }
    device fn nvmlDeviceGetMultiGpuBoard(_d; multi: *mut c_uint) {
        put(multi, 0)
    }
    device fn nvmlDeviceGetBoardPartNumber(d; number: *mut c_char, length: c_uint) {
        put_text(number, length, d.gpu.card.firmware.2)
    }
    device fn nvmlDeviceGetVbiosVersion(d; version: *mut c_char, length: c_uint) {
        put_text(version, length, d.gpu.card.firmware.0)
    }
    device fn nvmlDeviceGetInforomImageVersion(d; version: *mut c_char, length: c_uint) {
        put_text(version, length, d.gpu.card.firmware.1)
    }
    device fn nvmlDeviceGetInforomVersion(d; object: c_uint, version: *mut c_char, length: c_uint) {
        // OEM, ECC; the power object is not there on these cards.
        let text = match object {
            0 => "2.1",
            1 if d.gpu.card.architecture >= 9 => "7.16",
            1 => "6.16",
            _ => return Err(NOT_SUPPORTED),
        };
        put_text(version, length, text)
    }
    device fn nvmlDeviceGetBrand(_d; brand: *mut c_uint) {
        put(brand, nvml_wrapper_sys::bindings::nvmlBrandType_enum_NVML_BRAND_NVIDIA)
    }
    device fn nvmlDeviceGetArchitecture(d; architecture: *mut c_uint) {
        put(architecture, d.gpu.card.architecture)
    }
    device fn nvmlDeviceGetCudaComputeCapability(d; major: *mut c_int, minor: *mut c_int) {
        put(major, d.gpu.card.compute_capability.0)?;
        put(minor, d.gpu.card.compute_capability.1)
    }
    device fn nvmlDeviceGetNumGpuCores(d; cores: *mut c_uint) {
        put(cores, d.gpu.card.cores)
    }
    device fn nvmlDeviceGetIrqNum(d; irq: *mut c_uint) {
        put(irq, 180 + length(d.gpu.index) * 4)
    }
    device fn nvmlDeviceGetGspFirmwareVersion(d; version: *mut c_char) {
        put_text(version, GSP_VERSION_ROOM, &d.library.scenario.driver_version)
    }
    device fn nvmlDeviceGetGspFirmwareMode(_d; enabled: *mut c_uint, default_mode: *mut c_uint) {
        put(enabled, 1)?;
        put(default_mode, 1)
    }
    device fn nvmlDeviceGetPciInfo_v3(d; pci: *mut nvmlPciInfo_t) {
        put(pci, pci_info(&d))
    }
    device fn nvmlDeviceGetPciInfo_v2(d; pci: *mut nvmlPciInfo_t) {
        put(pci, pci_info(&d))
    }
    device fn nvmlDeviceGetPciInfo(d; pci: *mut nvmlPciInfo_t) {
        put(pci, pci_info(&d))
    }
    device fn nvmlDeviceGetPciInfoExt(d; pci: *mut nvmlPciInfoExt_t) {
        let version = get(pci)?.version;
        versioned::<nvmlPciInfoExt_t>(version, 1)?;
        let at = d.gpu.pci;
        put(pci, nvmlPciInfoExt_t {
            version,
            domain: at.domain,
            bus: at.bus,
            device: at.device,
            pciDeviceId: d.gpu.card.pci_ids.0,
            pciSubSystemId: d.gpu.card.pci_ids.1,
            baseClass: 3,
            subClass: 2,
            busId: field_text(&at.long()),
        })
    }
    device fn nvmlDeviceGetDisplayMode(_d; mode: *mut c_uint) {
        put(mode, 0)
    }
    device fn nvmlDeviceGetDisplayActive(_d; active: *mut c_uint) {
        put(active, 0)
    }
    device fn nvmlDeviceGetPersistenceMode(d; mode: *mut c_uint) {
        put(mode, c_uint::from(d.gpu.settings.persistence.load(Ordering::SeqCst)))
    }
    device fn nvmlDeviceGetComputeMode(d; mode: *mut c_uint) {
        put(mode, d.gpu.settings.compute_mode.load(Ordering::SeqCst))
    }
    // Fans and driver models are for cards that have them; these have neither.
    device fn nvmlDeviceGetFanSpeed(_d; _speed: *mut c_uint) {
        Err(NOT_SUPPORTED)
    }
    device fn nvmlDeviceGetFanSpeed_v2(_d; _fan: c_uint, _speed: *mut c_uint) {
        Err(NOT_SUPPORTED)
    }
    device fn nvmlDeviceGetNumFans(_d; fans: *mut c_uint) {
        put(fans, 0)
    }
    device fn nvmlDeviceGetDriverModel(_d; _current: *mut c_uint, _pending: *mut c_uint) {
        Err(NOT_SUPPORTED)
    }
    device fn nvmlDeviceGetDriverModel_v2(_d; _current: *mut c_uint, _pending: *mut c_uint) {
        Err(NOT_SUPPORTED)
    }
}

fn pci_info(d: &Device) -> nvmlPciInfo_t {
    let at = d.gpu.pci;
    nvmlPciInfo_t {
        busIdLegacy: field_text(&at.short()),
        domain: at.domain,
        bus: at.bus,
        device: at.device,
        pciDeviceId: d.gpu.card.pci_ids.0,
        pciSubSystemId: d.gpu.card.pci_ids.1,
        busId: field_text(&at.long()),
    }
}
