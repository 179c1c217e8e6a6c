//! What a PCI function is called, and which kind of thing it is.
//!
//! Names: the PCI ID repository, compiled in (`pci-ids`). Class codes: PCI Code and ID Assignment Specification, and
//! what the vendors of accelerators use.

use pci_ids::{Device, FromId, Vendor};

/// Vendors whose display controllers are service processors' or hypervisors': ASPEED, Matrox, QEMU's standard VGA,
/// virtio, Cirrus, VMware, Hyper-V, Red Hat QXL, Huawei's and Nuvoton's BMC. They are no GPUs to anybody here.
const NO_GPU_VENDORS: &[u16] = &[0x1a03, 0x102b, 0x1234, 0x1af4, 0x1013, 0x15ad, 0x1414, 0x1b36, 0x19e5, 0x1050];

/// Base class and subclass → the word for it.
const CLASSES: &[(u16, &str)] = &[
    (0x0300, "gpu"),
    (0x0302, "gpu"),
    (0x0380, "gpu"),
    (0x1200, "accelerator"),
    (0x0b40, "accelerator"),
    (0x0207, "infiniband"),
    (0x0200, "ethernet"),
    (0x0108, "nvme"),
    (0x0604, "bridge"),
];

const NVIDIA: u16 = 0x10de;

/// The word for a class code (24 bits: base class, subclass, programming interface).
pub fn class_word(class: u32, vendor: u16) -> &'static str {
    // Masked to 16 bits, so it always fits.
    let code = u16::try_from((class >> 8) & 0xffff).unwrap_or(0);
    if code == 0x0680 && vendor == NVIDIA {
        return "nvswitch";
    }
    match CLASSES.iter().find(|(known, _)| *known == code) {
        Some((_, "gpu")) if NO_GPU_VENDORS.contains(&vendor) => "other",
        Some((_, word)) => word,
        None => "other",
    }
}

/// Vendor and device by name; what the repository does not know, by number.
pub fn full_name(vendor: u16, device: u16) -> String {
    match (vendor_name(vendor), Device::from_vid_pid(vendor, device)) {
        (Some(vendor), Some(device)) => format!("{vendor} {}", device.name()),
        (Some(vendor), None) => format!("{vendor} {device:04x}"),
        (None, _) => format!("{vendor:04x}:{device:04x}"),
    }
}

/// What a person calls it: the product name, which the repository puts in brackets behind the chip's
/// (`GH100 [H100 SXM5 80GB]`), else the device's name.
pub fn short_name(vendor: u16, device: u16) -> String {
    let Some(known) = Device::from_vid_pid(vendor, device) else { return full_name(vendor, device) };
    let product = known.name().rsplit_once('[').and_then(|(_, product)| product.strip_suffix(']'));
    product.unwrap_or_else(|| known.name()).to_owned()
}

fn vendor_name(vendor: u16) -> Option<&'static str> {
    Vendor::from_id(vendor).map(Vendor::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gpu_node_is_made_of_is_told_apart() {
        for (class, vendor, word) in [
            (0x0003_0200, 0x10de, "gpu"),
            (0x0003_0000, 0x1002, "gpu"),
            (0x0003_8000, 0x1002, "gpu"),
            (0x0003_0000, 0x1a03, "other"),
            (0x0012_0000, 0x1e36, "accelerator"),
            (0x0006_8000, 0x10de, "nvswitch"),
            (0x0006_8000, 0x8086, "other"),
            (0x0006_0400, 0x10b5, "bridge"),
            (0x0002_0700, 0x15b3, "infiniband"),
            (0x0002_0000, 0x15b3, "ethernet"),
            (0x0001_0802, 0x144d, "nvme"),
            (0x0004_0300, 0x10de, "other"),
        ] {
            assert_eq!(class_word(class, vendor), word, "{class:06x} of {vendor:04x}");
        }
    }

    #[test]
    fn names_are_short_where_a_product_has_one() {
        assert_eq!(short_name(0x10de, 0x2330), "H100 SXM5 80GB");
        assert_eq!(full_name(0x10de, 0x2330), "NVIDIA Corporation GH100 [H100 SXM5 80GB]");
        assert_eq!(short_name(0x15b3, 0x1021), "ConnectX-7");
        assert_eq!(short_name(0x8086, 0x10d3), "82574L Gigabit Network Connection");
        assert_eq!(short_name(0x10de, 0xffff), "NVIDIA Corporation ffff");
        assert_eq!(short_name(0xfff3, 0x0001), "fff3:0001");
    }
}
