//! What root may change: persistence, compute mode, draining and removing a card. Kept by this process, not in a file.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::c_uint;
use std::sync::atomic::Ordering;

use nvml_wrapper_sys::bindings::nvmlPciInfo_t;

use super::{Answer, IN_USE, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, Node, export, get, open, privileged, put};
use crate::gpu::{Gpu, PciAddress};

export! {
    device fn nvmlDeviceSetPersistenceMode(d; mode: c_uint) {
        privileged()?;
        if mode > 1 {
            return Err(INVALID_ARGUMENT);
        }
        d.gpu.settings.persistence.store(mode == 1, Ordering::SeqCst);
        Ok(())
    }
    device fn nvmlDeviceSetComputeMode(d; mode: c_uint) {
        privileged()?;
        // Default, exclusive thread (no longer supported), prohibited, exclusive process.
        match mode {
            0 | 2 | 3 => d.gpu.settings.compute_mode.store(mode, Ordering::SeqCst),
            1 => return Err(NOT_SUPPORTED),
            _ => return Err(INVALID_ARGUMENT),
        }
        Ok(())
    }
}

export! {
    node fn nvmlDeviceModifyDrainState(node; pci: *mut nvmlPciInfo_t, state: c_uint) {
        privileged()?;
        if state > 1 {
            return Err(INVALID_ARGUMENT);
        }
        addressed(node, &get(pci)?)?.settings.draining.store(state == 1, Ordering::SeqCst);
        Ok(())
    }
    node fn nvmlDeviceQueryDrainState(node; pci: *mut nvmlPciInfo_t, state: *mut c_uint) {
        put(state, c_uint::from(addressed(node, &get(pci)?)?.settings.draining.load(Ordering::SeqCst)))
    }
    node fn nvmlDeviceRemoveGpu_v2(node; pci: *mut nvmlPciInfo_t, _gpu: c_uint, _link: c_uint) {
        remove(node, &get(pci)?)
    }
    node fn nvmlDeviceRemoveGpu(node; pci: *mut nvmlPciInfo_t) {
        remove(node, &get(pci)?)
    }
    node fn nvmlDeviceDiscoverGpus(node; pci: *mut nvmlPciInfo_t) {
        privileged()?;
        let gpu = addressed(node, &get(pci)?)?;
        gpu.settings.removed.store(false, Ordering::SeqCst);
        gpu.settings.draining.store(false, Ordering::SeqCst);
        Ok(())
    }
}

fn addressed(node: Node, pci: &nvmlPciInfo_t) -> Answer<&'static Gpu> {
    let at = PciAddress { domain: pci.domain, bus: pci.bus, device: pci.device };
    node.library.gpus.iter().find(|gpu| gpu.pci == at).ok_or(NOT_FOUND)
}

/// Takes a card away: only an idle one, as the driver refuses one with clients.
fn remove(node: Node, pci: &nvmlPciInfo_t) -> Answer {
    privileged()?;
    let gpu = addressed(node, pci)?;
    open(node.library, node.call, gpu)?;
    if gpu.processes(node.t).next().is_some() {
        return Err(IN_USE);
    }
    gpu.settings.removed.store(true, Ordering::SeqCst);
    Ok(())
}
