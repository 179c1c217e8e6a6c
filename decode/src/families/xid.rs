//! NVIDIA Xid lines. Formats: open-gpu-kernel-modules `kernel_rc.c` (krcReportXid), `kern_gpu_error_cont_ga100.c`, and
//! what older and newer drivers print in the field:
//!
//! ```text
//! NVRM: Xid (PCI:0000:01:00[.0][ GPU-I:05[ GPU-CI:00]]): CODE[,] [pid=P, name=N, ]MESSAGE[ caused by previous Xid C]
//! ```

use model::{Action, Field, Severity, Verdict};

use super::{Context, Decoded};
use crate::knowledge;
use crate::scan::Scan;

pub(super) fn read(text: &str, context: Context) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    scan.take("NVRM: Xid (")?;
    scan.maybe("PCI:");
    let pci = scan.pci()?;
    let partition = |scan: &mut Scan<'_>, label| {
        let before = *scan;
        let number = scan.take(label).and_then(|()| scan.digits());
        if number.is_none() {
            *scan = before;
        }
        number.map(str::to_owned)
    };
    let gi = partition(&mut scan, " GPU-I:");
    let ci = partition(&mut scan, " GPU-CI:");
    scan.take("):")?;
    scan.spaces();
    let code: u32 = scan.digits()?.parse().ok()?;
    if !(scan.is_done() || scan.rest().starts_with([',', ' '])) {
        return None;
    }
    scan.maybe(",");
    scan.spaces();
    let decoded = Decoded::new("xid").at_gpu(pci).with("code", code).with_some("gi", gi).with_some("ci", ci);
    let (decoded, message) = process(decoded, scan);
    let decoded = particulars(decoded.with("message", message), code, message);
    let verdict = verdict(&decoded, code, context);
    Some(decoded.verdict(verdict))
}

/// Takes `pid=…` and `name=…`, which say `<unknown>`, quoted or not, where the driver does not know.
fn process<'a>(mut decoded: Decoded, mut scan: Scan<'a>) -> (Decoded, &'a str) {
    let before = scan;
    if scan.maybe("pid=") {
        let value = scan.run(|c| c != ',' && !c.is_whitespace());
        let pid = match value.trim_matches('\'') {
            "<unknown>" => Some(Field::Null(())),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<i64>().ok().map(Field::Int),
            _ => None,
        };
        let Some(pid) = pid else { return (decoded, before.rest().trim()) };
        decoded = decoded.with("pid", pid);
        scan.maybe(",");
        scan.spaces();
    }
    if scan.maybe("name=") {
        // Task names hold spaces, brackets and dots; the comma is all that ends one.
        let name = scan.run(|c| c != ',').trim();
        decoded = match name.trim_matches('\'') {
            "<unknown>" => decoded.with("name", Field::Null(())),
            _ => decoded.with("name", name),
        };
        scan.maybe(",");
    }
    (decoded, scan.rest().trim())
}

fn particulars(decoded: Decoded, code: u32, message: &str) -> Decoded {
    let decoded = caused_by(decoded, message);
    match code {
        13 => sm(decoded, message),
        94 | 95 => containment(decoded, message),
        74 | 136 => nvlink4(decoded, message),
        144..=150 => nvlink5(decoded, message),
        154 => recovery(decoded, message),
        _ => decoded,
    }
}

fn caused_by(decoded: Decoded, message: &str) -> Decoded {
    let root = message.rsplit_once("caused by previous Xid ").and_then(|(_, code)| code.trim().parse::<u32>().ok());
    decoded.with_some("caused_by", root)
}

/// `(GPC 7, TPC 7, SM 0)`: the place in the silicon; the same place again across jobs is what tells hardware from code.
fn sm(decoded: Decoded, message: &str) -> Decoded {
    let place = || {
        let mut scan = Scan::new(message);
        scan.until("(GPC ")?;
        let gpc = scan.int()?;
        scan.take(", TPC ")?;
        let tpc = scan.int()?;
        scan.take(", SM ")?;
        Some((gpc, tpc, scan.int()?))
    };
    match place() {
        Some((gpc, tpc, sm)) => decoded.with("gpc", gpc).with("tpc", tpc).with("sm", sm),
        None => decoded,
    }
}

/// `Contained: SM (0x1). RST: No, D-RST: No`; the parenthesis may be missing or hold a space.
fn containment(decoded: Decoded, message: &str) -> Decoded {
    let mut scan = Scan::new(message);
    let Some(word) = ["Contained", "Uncontained"].into_iter().find(|word| scan.maybe(word)) else { return decoded };
    if scan.take(": ").is_none() {
        return decoded;
    }
    let Some(unit) = scan.until(". RST: ") else { return decoded };
    let unit = unit.split_once('(').map_or(unit, |(unit, _)| unit).trim();
    let yes = |scan: &mut Scan<'_>| match scan.some(|c| c.is_ascii_alphabetic()) {
        Some("Yes") => Some(true),
        Some("No") => Some(false),
        _ => None,
    };
    let reset = yes(&mut scan);
    let drain = scan.take(", D-RST: ").and_then(|()| yes(&mut scan));
    decoded.with("containment", word).with("unit", unit).with_some("rst", reset).with_some("drst", drain)
}

/// `… link 14(0x0, 0x0, 0x10000, …)`; 136 also `for links 0x<mask>(…)`.
fn nvlink4(decoded: Decoded, message: &str) -> Decoded {
    let mut scan = Scan::new(message);
    let decoded = if scan.until(" link ").is_some() {
        match scan.int() {
            Some(link) => decoded.with("link", link),
            None => return decoded,
        }
    } else if scan.until(" links ").is_some() {
        match scan.some(|c| c.is_ascii_alphanumeric()) {
            Some(mask) => decoded.with("links", mask),
            None => return decoded,
        }
    } else {
        return decoded;
    };
    let registers =
        scan.take("(").and_then(|()| scan.until(")")).map(|inside| hex_words(inside, ',')).unwrap_or_default();
    if registers.is_empty() { decoded } else { decoded.with("registers", Field::List(registers)) }
}

fn hex_words(inside: &str, between: char) -> Vec<Field> {
    let words = inside.split(between).map(str::trim).filter(|word| !word.is_empty());
    words.take_while(|word| word.starts_with("0x")).take(32).map(Field::from).collect()
}

/// `UNIT Fatal|Nonfatal XCn iN Link L (intrInfo errorStatus …)`: one or two spaces between; fewer words, or no
/// parenthesis, in some drivers.
fn nvlink5(decoded: Decoded, message: &str) -> Decoded {
    let mut words = message.split_whitespace();
    let (Some(unit), Some(severity), Some(crossed), Some(injected)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return decoded;
    };
    let is_unit = unit.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'/'));
    let numbered = |word: &str, label| word.strip_prefix(label).is_some_and(|n: &str| n.parse::<u8>().is_ok());
    if !is_unit
        || !matches!(severity, "Fatal" | "Nonfatal" | "Non-fatal")
        || !numbered(crossed, "XC")
        || !numbered(injected, "i")
    {
        return decoded;
    }
    let decoded = decoded.with("unit", unit).with("severity", severity).with("xc", crossed);
    let link = (words.next() == Some("Link")).then(|| words.next()?.split('(').next()?.parse::<i64>().ok()).flatten();
    let inside = message.split_once('(').map_or("", |(_, inside)| inside.trim_end_matches(')'));
    let mut hex = hex_words(inside, ' ').into_iter();
    let decoded = decoded.with_some("link", link);
    match (hex.next(), hex.next()) {
        (Some(info), Some(status)) => decoded.with("intr_info", info).with("error_status", status),
        _ => decoded,
    }
}

/// `GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)`. The labels differ between drivers; the
/// numbers do not.
fn recovery(decoded: Decoded, message: &str) -> Decoded {
    let side = |text: &str| -> Option<(i64, String)> {
        let mut scan = Scan::new(text.trim());
        scan.maybe("0x");
        let number = i64::from_str_radix(scan.some(|c| c.is_ascii_hexdigit())?, 16).ok()?;
        scan.spaces();
        let label = scan.take("(").map(|()| scan.rest().trim().trim_end_matches('.').trim_end_matches(')'));
        Some((number, label.unwrap_or("").to_owned()))
    };
    let sides = message.split_once("changed from ").and_then(|(_, sides)| sides.split_once(" to "));
    match sides.and_then(|(from, to)| Some((side(from)?, side(to)?))) {
        Some(((from, _), (to, label))) => {
            decoded.with("recovery_from", from).with("recovery_to", to).with("recovery_label", label)
        }
        None => decoded,
    }
}

/// What the number after `to` in Xid 154 asks for (driver `gpu.c`; also NVML's recovery action).
const RECOVERY: &[(i64, Severity, Action, &str)] = &[
    (0, Severity::Info, Action::Ignore, "GPU needs no recovery any more"),
    (1, Severity::Fatal, Action::ResetGpu, "Driver asks for a GPU reset"),
    (2, Severity::Fatal, Action::RebootNode, "Driver asks for a node reboot"),
    (3, Severity::Critical, Action::DrainP2p, "Driver asks to drain peer-to-peer traffic"),
    (4, Severity::Critical, Action::DrainReset, "Driver asks to drain, then reset the GPU"),
    (5, Severity::Critical, Action::RecoverImex, "Driver asks to recover the IMEX domain"),
];

fn verdict(decoded: &Decoded, code: u32, context: Context) -> Verdict {
    let Some(entry) = knowledge::xid(code, context.driver) else {
        let title = Some(format!("Unknown Xid {code}"));
        return Verdict { level: Severity::Warning, action: Action::ContactSupport, title };
    };
    let base = entry.verdict();
    let field = |name| decoded.fields.get(name);
    let flag = |name| matches!(field(name), Some(Field::Flag(true)));
    let word = |name| field(name).and_then(Field::as_text);
    match code {
        45 if field("caused_by").is_some() => Verdict { level: Severity::Info, action: Action::Ignore, ..base },
        94 | 95 if flag("drst") => Verdict { action: Action::DrainReset, ..base },
        94 if flag("rst") => Verdict { action: Action::ResetGpu, ..base },
        74 => match field("registers").and_then(|list| knowledge::nvlink4(&registers(list))) {
            Some(row) => {
                Verdict { level: row.severity, action: row.action, title: Some(format!("NVLink error: {}", row.why)) }
            }
            None => base,
        },
        144..=150 => match (word("severity"), word("xc")) {
            // The error crossed to another client, whose channel is torn down: the application is gone either way.
            (Some("Nonfatal" | "Non-fatal"), Some("XC1")) => {
                Verdict { level: Severity::Warning, action: Action::RestartApp, ..base }
            }
            (Some("Nonfatal" | "Non-fatal"), _) => {
                Verdict { level: Severity::Warning, action: Action::Monitor, ..base }
            }
            (Some("Fatal"), _) => Verdict { level: Severity::Critical, action: Action::ResetGpu, ..base },
            _ => base,
        },
        154 => match field("recovery_to").and_then(Field::as_int) {
            Some(to) => RECOVERY.iter().find(|row| row.0 == to).map_or_else(
                || Verdict { level: Severity::Warning, action: Action::ContactSupport, ..base.clone() },
                |row| Verdict { level: row.1, action: row.2, title: Some(row.3.to_owned()) },
            ),
            None => base,
        },
        _ => base,
    }
}

fn registers(list: &Field) -> Vec<u32> {
    let Field::List(list) = list else { return Vec::new() };
    let hex = |field: &Field| u32::from_str_radix(field.as_text()?.strip_prefix("0x")?, 16).ok();
    // A register that cannot be read must not pass for a clean one: all bits set leaves the judgement to the code.
    list.iter().map(|field| hex(field).unwrap_or(u32::MAX)).collect()
}
