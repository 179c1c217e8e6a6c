//! The files of a PCI device in sysfs: pure functions from what they hold to what it means.
//!
//! Facts: Linux `Documentation/ABI/testing/sysfs-bus-pci` and `-devices-aer_stats`, `drivers/pci/pci-sysfs.c`,
//! `drivers/pci/pcie/aer.c`, and the PCI-to-PCI Bridge Architecture Specification for the configuration header.

use std::path::Path;

use model::PciAddress;

/// The most lines of one AER file; kernels have up to 33 kinds of error.
const MOST_KINDS: usize = 64;
/// The most bytes of the name of a kind.
const MOST_NAME: usize = 40;

/// `current_link_speed`, `max_link_speed`: `16.0 GT/s PCIe`, older kernels `8 GT/s`. `None`: `Unknown`.
pub fn speed(text: &str) -> Option<f64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    (unit.starts_with("GT/s") && number > 0.0 && number <= 1024.0).then_some(number)
}

/// `current_link_width`, `max_link_width`. `None`: 255, which stands for unknown, or no number.
pub fn width(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|lanes| *lanes <= 32)
}

/// The errors of one severity that a device has reported since it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aer {
    /// All of them.
    pub total: u64,
    /// By kind, in the kernel's order and by the kernel's short names.
    pub kinds: Vec<(String, u64)>,
}

/// The names of the ABI document, which some kernels print, and the short names that the others print.
const SPELLINGS: &[(&str, &str)] = &[
    ("Receiver Error", "RxErr"),
    ("Bad TLP", "BadTLP"),
    ("Bad DLLP", "BadDLLP"),
    ("RELAY_NUM Rollover", "Rollover"),
    ("Replay Timer Timeout", "Timeout"),
    ("Advisory Non-Fatal", "NonFatalErr"),
    ("Corrected Internal Error", "CorrIntErr"),
    ("Header Log Overflow", "HeaderOF"),
    ("Data Link Protocol", "DLP"),
    ("Surprise Down Error", "SDES"),
    ("Poisoned TLP", "TLP"),
    ("Flow Control Protocol", "FCP"),
    ("Completion Timeout", "CmpltTO"),
    ("Completer Abort", "CmpltAbrt"),
    ("Unexpected Completion", "UnxCmplt"),
    ("Receiver Overflow", "RxOF"),
    ("Malformed TLP", "MalfTLP"),
    ("Unsupported Request", "UnsupReq"),
    ("ACS Violation", "ACSViol"),
    ("Uncorrectable Internal Error", "UncorrIntErr"),
    ("MC Blocked TLP", "BlockedTLP"),
    ("AtomicOp Egress Blocked", "AtomicOpBlocked"),
    ("TLP Prefix Blocked Error", "TLPBlockedErr"),
];

/// `aer_dev_correctable`, `aer_dev_nonfatal`, `aer_dev_fatal`: lines `Name count`, where a name may hold spaces, and
/// last `TOTAL_ERR_… count`. `None`: no such line.
pub fn aer(text: &str) -> Option<Aer> {
    let mut kinds = Vec::new();
    let mut total = None;
    for line in text.lines().take(MOST_KINDS) {
        let Some((name, count)) = line.trim_end().rsplit_once(' ') else { continue };
        let Ok(count) = count.parse::<u64>() else { continue };
        let name = name.trim();
        if name.starts_with("TOTAL_ERR") {
            total = Some(count);
        } else if name.len() <= MOST_NAME {
            kinds.push((kind_name(name), count));
        }
    }
    let sum = || kinds.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
    let total = total.or_else(|| (!kinds.is_empty()).then(sum))?;
    Some(Aer { total, kinds })
}

fn kind_name(name: &str) -> String {
    match SPELLINGS.iter().find(|(long, _)| *long == name) {
        Some((_, short)) => (*short).to_owned(),
        None => name.replace(' ', "_"),
    }
}

/// A number as sysfs writes ids: `0x10de`.
pub fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// `numa_node`: -1 stands for unknown.
pub fn numa_node(text: &str) -> Option<u32> {
    text.trim().parse().ok()
}

/// `uevent`: the value of a `KEY=value` line.
pub fn uevent<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// The name of a directory of a PCI function, spelt exactly as sysfs does.
pub fn address(name: &str) -> Option<PciAddress> {
    name.parse::<PciAddress>().ok().filter(|address| address.to_string() == name)
}

/// The device above, by where it stands below `/sys/devices`: the nearest directory that is a PCI function. Between a
/// VMD controller and its root ports stands a domain of its own (`0000:97:00.5/pci10000:00/10000:00:01.0`).
pub fn parent(place: &Path) -> Option<PciAddress> {
    place.ancestors().skip(1).find_map(|above| address(above.file_name()?.to_str()?))
}

/// Whether the header of the configuration space reads all ones: the device does not answer. The ids alone do not tell,
/// since those of a virtual function always read so. `None`: too short to tell.
pub fn config_gone(header: &[u8]) -> Option<bool> {
    (header.len() >= 64).then(|| header.iter().all(|byte| *byte == 0xff))
}

/// The bus below a bridge, from the header of its configuration space. `None`: not a bridge.
pub fn bus_below(header: &[u8]) -> Option<u8> {
    let header_type = header.get(0x0e)?;
    let bus = header.get(0x19)?;
    (header_type & 0x7f == 1 && *bus != 0 && *bus != 0xff).then_some(*bus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn speeds_and_widths_of_old_and_new_kernels() {
        for (text, found) in [
            ("16.0 GT/s PCIe\n", Some(16.0)),
            ("2.5 GT/s\n", Some(2.5)),
            ("8 GT/s\n", Some(8.0)),
            ("64.0 GT/s PCIe\n", Some(64.0)),
            ("Unknown\n", None),
            ("Unknown speed\n", None),
            ("", None),
            ("inf GT/s", None),
            ("-1 GT/s", None),
        ] {
            assert_eq!(speed(text), found, "{text:?}");
        }
        for (text, found) in [("16\n", Some(16)), ("0\n", Some(0)), ("255\n", None), ("x16", None), ("-1", None)] {
            assert_eq!(width(text), found, "{text:?}");
        }
    }

    #[test]
    fn both_spellings_of_an_error_are_one_kind() {
        let short = aer("RxErr 2\nBadTLP 0\nNonFatalErr 1\nTOTAL_ERR_COR 3\n").unwrap();
        let long = aer("Receiver Error 2\nBad TLP 0\nAdvisory Non-Fatal 1\nTOTAL_ERR_COR 3\n").unwrap();
        assert_eq!(short, long);
        assert_eq!(short.total, 3);
        assert_eq!(short.kinds.first(), Some(&("RxErr".to_owned(), 2)));
    }

    #[test]
    fn a_file_without_its_total_is_summed_and_an_empty_one_tells_nothing() {
        assert_eq!(aer("DLP 1\nSome New Error 2\n").unwrap().total, 3);
        assert_eq!(aer("DLP 1\nSome New Error 2\n").unwrap().kinds[1].0, "Some_New_Error");
        assert_eq!(aer(""), None);
        assert_eq!(aer("garbage\n"), None);
    }

    #[test]
    fn the_parent_is_the_nearest_function_above() {
        let of = |place: &str| parent(Path::new(place)).map(|address| address.to_string());
        let below = "/sys/devices/pci0000:00/0000:00:03.0/0000:03:00.0";
        assert_eq!(of(below).as_deref(), Some("0000:00:03.0"));
        assert_eq!(of("/sys/devices/pci0000:00/0000:00:03.0"), None);
        let vmd = "/sys/devices/pci0000:97/0000:97:00.5/pci10000:00/10000:00:01.0";
        assert_eq!(of(vmd).as_deref(), Some("0000:97:00.5"));
        assert_eq!(of("/sys/bus/pci/devices/0000:03:00.0"), None);
    }

    #[test]
    fn a_virtual_functions_ids_do_not_make_it_gone() {
        let mut header = [0xff; 64];
        assert_eq!(config_gone(&header), Some(true));
        header[0x0e] = 0;
        assert_eq!(config_gone(&header), Some(false));
        assert_eq!(config_gone(&[0xff; 4]), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_file_holds_panics(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (speed(&text), width(&text), aer(&text), hexadecimal(&text), numa_node(&text), address(&text));
            let _ = (uevent(&text, "DRIVER"), parent(Path::new(&text)), config_gone(&bytes), bus_below(&bytes));
        }
    }
}
