//! Which GPU a device file belongs to, and which CPUs are near it.
//!
//! Facts: `/proc/driver/nvidia/gpus/ADDRESS/information` of the NVIDIA driver (`Device Minor: N` is the N of
//! `/dev/nvidiaN`), `/sys/class/drm/renderDN/device` (Linux `Documentation/gpu/drm-uapi.rst`), `local_cpulist` of
//! `Documentation/ABI/testing/sysfs-bus-pci`.

use std::collections::{BTreeMap, BTreeSet};

use model::PciAddress;

use super::parse;
use crate::Node;
use crate::pcie::parse as pci;
use crate::tree::Directory;

const NVIDIA_GPUS: &str = "/proc/driver/nvidia/gpus";
/// The most GPUs looked at.
const MOST_GPUS: usize = 256;

/// A file below `/dev` through which a process reaches a GPU or its driver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceFile {
    /// `/dev/nvidiaN`: a GPU by its minor number.
    Nvidia(u32),
    /// `/dev/dri/renderDN`: a GPU of any driver by its render node.
    Render(u32),
    /// `/dev/nvidiactl`, `/dev/kfd`: the driver, no GPU in particular.
    Driver,
}

/// The device file that a link below `/proc/PID/fd` names. Files that were deleted since (a driver reloaded, a
/// container's `/dev` gone) are still held.
pub fn device_file(target: &str) -> Option<DeviceFile> {
    let target = target.strip_suffix(" (deleted)").unwrap_or(target);
    let name = target.strip_prefix("/dev/")?;
    if matches!(name, "nvidiactl" | "kfd") {
        return Some(DeviceFile::Driver);
    }
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match name.strip_prefix("nvidia") {
        Some(minor) => number(minor).map(DeviceFile::Nvidia),
        None => name.strip_prefix("dri/renderD").and_then(number).map(DeviceFile::Render),
    }
}

/// `Device Minor` of a GPU's `information`.
pub fn device_minor(information: &str) -> Option<u32> {
    let line = information.lines().find_map(|line| line.strip_prefix("Device Minor:"))?;
    line.trim().parse().ok()
}

/// The GPUs of the node by their minor number.
#[derive(Debug, Default)]
pub(super) struct Gpus {
    by_minor: BTreeMap<u32, PciAddress>,
}

impl Gpus {
    /// Asks the NVIDIA driver's procfs; nothing there is no GPUs.
    pub(super) fn find(node: &Node) -> Self {
        let Ok(gpus) = Directory::open(node, NVIDIA_GPUS) else { return Self::default() };
        let names = gpus.names().unwrap_or_default();
        let minor = |name: &String| {
            let address: PciAddress = name.parse().ok()?;
            let information = gpus.enter(node, name).ok()?.text("information").ok()?;
            Some((device_minor(&information)?, address))
        };
        Self { by_minor: names.iter().take(MOST_GPUS).filter_map(minor).collect() }
    }

    /// The CPUs near the GPUs behind these device files, all together. `None`: no GPU among them, or one of which the
    /// firmware does not tell where it is.
    pub(super) fn near_cpus(&self, node: &Node, files: &BTreeSet<DeviceFile>) -> Option<BTreeSet<u32>> {
        let mut near: Option<BTreeSet<u32>> = None;
        for file in files {
            let gpu = match file {
                DeviceFile::Driver => continue,
                DeviceFile::Nvidia(minor) => {
                    let address = self.by_minor.get(minor)?;
                    Directory::open(node, format!("/sys/bus/pci/devices/{address}")).ok()?
                }
                DeviceFile::Render(number) => {
                    Directory::open(node, format!("/sys/class/drm/renderD{number}/device")).ok()?
                }
            };
            pci::numa_node(&gpu.text("numa_node").ok()?)?;
            let cpus = parse::cpu_list(&gpu.text("local_cpulist").ok()?).filter(|cpus| !cpus.is_empty())?;
            near.get_or_insert_default().extend(cpus);
        }
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn device_files_of_gpus_are_told_from_others() {
        for (target, file) in [
            ("/dev/nvidia0", Some(DeviceFile::Nvidia(0))),
            ("/dev/nvidia15", Some(DeviceFile::Nvidia(15))),
            ("/dev/nvidia3 (deleted)", Some(DeviceFile::Nvidia(3))),
            ("/dev/nvidiactl", Some(DeviceFile::Driver)),
            ("/dev/kfd", Some(DeviceFile::Driver)),
            ("/dev/dri/renderD128", Some(DeviceFile::Render(128))),
            ("/dev/nvidia-uvm", None),
            ("/dev/nvidia", None),
            ("/dev/nvidia+1", None),
            ("/dev/nvidia-caps/nvidia-cap2", None),
            ("/dev/dri/card0", None),
            ("/home/x/dev/nvidia0", None),
            ("socket:[123]", None),
            ("/dev/nvidia99999999999", None),
        ] {
            assert_eq!(device_file(target), file, "{target}");
        }
    }

    #[test]
    fn the_minor_number_stands_in_the_drivers_information() {
        let information = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 425\nGPU UUID: \t GPU-1\n\
                           Bus Location: \t 0000:4f:00.0\nDevice Minor: \t 2\nGPU Excluded:\t No\n";
        assert_eq!(device_minor(information), Some(2));
        assert_eq!(device_minor("Model: x\n"), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_link_holds_panics(text in any::<String>()) {
            let _ = (device_file(&text), device_file(&format!("/dev/{text}")), device_minor(&text));
        }
    }
}
