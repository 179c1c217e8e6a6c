//! PCIe: error reports (AER), containment (DPC), devices that leave the bus. Formats: Linux `drivers/pci/pcie/aer.c`,
//! `err.c`, `dpc.c`, `drivers/pci/hotplug/pciehp_*.c` from 3.x (`id=00e5`) to 6.12 (`Correctable error message received`).

use super::{Context, Decoded, Device, device, holds_any};
use crate::scan::Scan;

pub(super) fn read(text: &str, _: Context) -> Option<Decoded> {
    let Some(device) = device(text) else {
        // A report whose device was lost on the way.
        return bus_error(Decoded::new("aer"), text);
    };
    if let Some(said) = device.text.strip_prefix("DPC:") {
        return containment(device, said.trim());
    }
    let (said, named) = match device.text.strip_prefix("AER:") {
        Some(said) => (said.trim(), true),
        None => (device.text.trim(), false),
    };
    let decoded = Decoded::new("aer").at_pci(device.pci).with("reporter", device.driver);
    bus_error(decoded.clone(), said)
        .or_else(|| status(decoded.clone(), said))
        .or_else(|| bit(decoded.clone(), said))
        .or_else(|| received(decoded.clone(), said))
        .or_else(|| recovery(decoded.clone(), said))
        .or_else(|| (named && !holds_any(said, NEWS)).then_some(decoded.clone()))
        .or_else(|| ["TLP Header:", "aer_"].iter().any(|detail| said.starts_with(detail)).then_some(decoded))
        .or_else(|| departure(device))
}

/// What the AER driver says while starting.
const NEWS: &[&str] = &["enabled with IRQ", "using IRQ", "request AER IRQ", "alloc", "AER is disabled"];

/// `severity=Corrected, type=Physical Layer, id=00e5(Receiver ID)`
fn bus_error(decoded: Decoded, said: &str) -> Option<Decoded> {
    let mut scan = Scan::new(said);
    scan.take("PCIe Bus Error: severity=")?;
    let severity = scan.until(", type=")?;
    let layer = scan.run(|c| c != ',').trim();
    let agent = scan.until("(").and_then(|_| scan.until(")"));
    Some(weighed(decoded, severity).with("layer", layer).with_some("agent", agent))
}

fn weighed(decoded: Decoded, severity: &str) -> Decoded {
    let decoded = decoded.with("severity", severity);
    if severity.contains("Non-Fatal") {
        decoded.judged("nonfatal")
    } else if severity.contains("Fatal") {
        decoded.judged("fatal")
    } else if severity.starts_with("Correct") {
        decoded.judged("corrected")
    } else {
        decoded.judged("nonfatal")
    }
}

/// `device [1022:1453] error status/mask=00001000/00006000`
fn status(decoded: Decoded, said: &str) -> Option<Decoded> {
    let mut scan = Scan::new(said);
    scan.take("device [")?;
    let id = scan.until("]")?;
    scan.take(" error status/mask=")?;
    let status = scan.some(|c| c.is_ascii_hexdigit())?;
    scan.take("/")?;
    let mask = scan.some(|c| c.is_ascii_hexdigit())?;
    Some(decoded.with("device", id).with("status", status).with("mask", mask))
}

/// `[14] CmpltTO                (First)`
fn bit(decoded: Decoded, said: &str) -> Option<Decoded> {
    let mut scan = Scan::new(said);
    scan.take("[")?;
    let number = scan.until("]").filter(|number| number.len() == 2)?.trim().parse::<i64>().ok()?;
    let name = scan.rest().trim();
    let (name, first) = match name.strip_suffix("(First)") {
        Some(name) => (name.trim(), true),
        None => (name, false),
    };
    (!name.is_empty() && (0..32).contains(&number))
        .then(|| decoded.with("bit", number).with("bit_name", name).with("first", first))
}

/// `Multiple Corrected error received: id=00e5`, `Correctable error message received from 0000:00:00.0`
fn received(decoded: Decoded, said: &str) -> Option<Decoded> {
    let mut scan = Scan::new(said);
    let multiple = scan.maybe("Multiple ");
    let severity = scan.until(" error ")?;
    if !holds_any(severity, &["orrected", "orrectable"]) || severity.len() > 40 {
        return None;
    }
    scan.maybe("message ");
    scan.take("received")?;
    let _punctuation = scan.maybe(":") || scan.maybe(" from");
    scan.spaces();
    scan.maybe("id=");
    let source =
        scan.some(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.')).map(|id| id.trim_end_matches([':', '.']));
    Some(weighed(decoded, severity).with("multiple", multiple).with_some("source_id", source))
}

fn recovery(decoded: Decoded, said: &str) -> Option<Decoded> {
    if said.starts_with("can't recover (no error_detected callback)") {
        return Some(decoded.judged("not_recovered").with("recovery", "no_callback"));
    }
    let mut scan = Scan::new(said);
    if !(scan.maybe("device recovery ") || scan.maybe("Device recovery ")) {
        return said.starts_with("broadcast ").then_some(decoded).filter(|_| said.ends_with(" message"));
    }
    let outcome = scan.some(|c| c.is_ascii_alphabetic())?;
    let event = if outcome.starts_with("success") { "recovered" } else { "not_recovered" };
    Some(decoded.judged(event).with("recovery", outcome))
}

/// `DPC: containment event, status:0x1f01 source:0x0000`
fn containment(device: Device<'_>, said: &str) -> Option<Decoded> {
    if said.starts_with("error containment capabilities") {
        return None;
    }
    let hex = |label: &str| {
        let mut scan = Scan::new(said);
        scan.until(label)?;
        scan.some(|c| c.is_ascii_alphanumeric())
    };
    let decoded = Decoded::new("dpc").at_pci(device.pci);
    Some(decoded.with_some("status", hex("status:")).with_some("source_id", hex("source:")))
}

/// What drivers say of a device that no longer answers.
const GONE: &[&str] = &[
    "HC died",
    "Refused to change power state",
    "nable to change power state from D3cold",
    "can't change power state from D3cold",
    "not responding; assume dead",
    "device inaccessible",
    "config space inaccessible",
];

fn departure(device: Device<'_>) -> Option<Decoded> {
    let slot =
        device.text.strip_prefix("pciehp:").is_some_and(|said| holds_any(said, &["Link Down", "Card not present"]));
    (slot || holds_any(device.text, GONE))
        .then(|| Decoded::new("pci_hotplug").at_pci(device.pci).with("message", device.text))
}
