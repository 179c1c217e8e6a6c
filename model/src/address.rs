//! PCI addresses: `dddd:bb:dd.f`, as `lspci -D` and sysfs write them (Linux `Documentation/PCI/sysfs-pci.rst`).
//!
//! The driver's kernel lines leave the function out (`0000:4f:00`) and some tools write an 8-digit domain; both parse,
//! and all three spellings of one device are equal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A PCI function: domain, bus, device, function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// PCI domain (segment); VMD and some Arm hosts use more than 16 bits.
    pub domain: u32,
    /// Bus number.
    pub bus: u8,
    /// Device number, 0..=31.
    pub device: u8,
    /// Function number, 0..=7.
    pub function: u8,
}

/// Why a text is not a PCI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a PCI address; expected dddd:bb:dd.f, e.g. 0000:4f:00.0")]
pub struct NotAnAddress {
    /// The text as found.
    pub found: String,
}

impl PciAddress {
    /// The same device with another function number (`0000:09:00.0` → `.3`).
    pub fn with_function(self, function: u8) -> Self {
        Self { function, ..self }
    }

    /// Whether both are functions of the same physical device.
    pub fn same_device(self, other: Self) -> bool {
        (self.domain, self.bus, self.device) == (other.domain, other.bus, other.device)
    }
}

impl FromStr for PciAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        parse(text).ok_or_else(|| NotAnAddress { found: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<PciAddress> {
    let mut parts = text.split(':');
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    let (domain, bus, rest) = match third {
        Some(rest) => (hex(first, 8)?, second, rest),
        None => (0, first, second),
    };
    let (device, function) = match rest.split_once('.') {
        Some((device, function)) => (device, u8::try_from(hex(function, 1)?).ok()?),
        None => (rest, 0),
    };
    let bus = u8::try_from(hex(bus, 2)?).ok()?;
    let device = u8::try_from(hex(device, 2)?).ok()?;
    (device < 32 && function < 8).then_some(PciAddress { domain, bus, device, function })
}

fn hex(digits: &str, most: usize) -> Option<u32> {
    let fits = !digits.is_empty() && digits.len() <= most && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

impl Serialize for PciAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PciAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_one_device_are_equal() {
        let full: PciAddress = "0000:4f:00.0".parse().unwrap();
        for spelling in ["0000:4f:00", "00000000:4F:00.0", "4f:00.0", "4f:00"] {
            assert_eq!(spelling.parse::<PciAddress>().unwrap(), full, "{spelling}");
        }
        assert_eq!(full.to_string(), "0000:4f:00.0");
    }

    #[test]
    fn what_is_not_an_address_says_so() {
        for text in ["", ":", "4f", "0000:4f:00.8", "0000:4f:20.0", "zz:00.0", "0:0:0:0", "0000:4f:00.00", "+1:00.0"] {
            assert!(text.parse::<PciAddress>().is_err(), "{text}");
        }
    }
}
