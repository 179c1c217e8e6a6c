//! What tells cards apart: PCI addresses and UUIDs.

use crate::load::mix;

/// A PCI address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PciAddress {
    pub(crate) domain: u32,
    pub(crate) bus: u32,
    pub(crate) device: u32,
}

impl PciAddress {
    /// Reads `[domain:]bus:device[.function]`, all hexadecimal.
    pub(crate) fn parse(text: &str) -> Option<PciAddress> {
        let text = text.split_once('.').map_or(text, |(address, _)| address);
        let parts: Vec<u32> = text.split(':').map(|part| u32::from_str_radix(part, 16).ok()).collect::<Option<_>>()?;
        let (domain, bus, device) = match parts.as_slice() {
            [bus, device] => (0, *bus, *device),
            [domain, bus, device] => (*domain, *bus, *device),
            _ => return None,
        };
        (bus < 256 && device < 32).then_some(PciAddress { domain, bus, device })
    }

    /// As `busId` has it.
    pub(crate) fn long(self) -> String {
        format!("{:08X}:{:02X}:{:02X}.0", self.domain, self.bus, self.device)
    }

    /// As `busIdLegacy` has it.
    pub(crate) fn short(self) -> String {
        format!("{:04X}:{:02X}:{:02X}.0", self.domain, self.bus, self.device)
    }
}

/// A UUID that depends on the seed and the card alone, with the version and variant bits of a random one.
pub(crate) fn uuid(seed: u64, index: usize) -> String {
    let high = mix(seed ^ mix(index as u64 + 1));
    let low = mix(high);
    format!(
        "GPU-{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_both_forms_and_refused_otherwise() {
        let expected = PciAddress { domain: 0, bus: 0x81, device: 0 };
        assert_eq!(PciAddress::parse("0000:81:00.0"), Some(expected));
        assert_eq!(PciAddress::parse("00000000:81:00.0"), Some(expected));
        assert_eq!(PciAddress::parse("81:00.0"), Some(expected));
        assert_eq!(PciAddress::parse("nonsense"), None);
        assert_eq!(expected.long(), "00000000:81:00.0");
    }
}
