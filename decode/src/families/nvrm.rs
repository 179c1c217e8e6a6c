//! What the NVIDIA driver and its companions print beside Xids: GPUs named, lost or not initialised; NVLink setup; peer
//! memory; the fabric manager's log. Formats: open-gpu-kernel-modules `nv.c`, `nv-pci.c`; Fabric Manager guide DU-09883.

use model::Entity;

use super::{Context, Decoded, holds_any};
use crate::scan::Scan;

pub(super) fn read(text: &str, _: Context) -> Option<Decoded> {
    if let Some(said) = text.strip_prefix("NVRM: ") {
        return uuid(said).or_else(|| fallen_off(said)).or_else(|| nvlink(said)).or_else(|| trouble(said));
    }
    peermem(text).or_else(|| fabric_manager(text))
}

/// `GPU at PCI:0000:01:00: GPU-8a47…`
fn uuid(said: &str) -> Option<Decoded> {
    let mut scan = Scan::new(said);
    scan.take("GPU at ")?;
    scan.maybe("PCI:");
    let pci = scan.pci()?;
    scan.take(": ")?;
    let uuid = scan.word().filter(|word| word.starts_with("GPU-"))?;
    Some(Decoded::new("nvrm_uuid").at_gpu(pci).with("uuid", uuid))
}

/// One line, or the three lines of a failed probe: `The NVIDIA GPU 0000:b3:00.0` / `(PCI ID: 10de:26b5) installed in this
/// system has` / `fallen off the bus and is not responding to commands.`
fn fallen_off(said: &str) -> Option<Decoded> {
    let lost = said.contains("fallen off the bus");
    let mut scan = Scan::new(said);
    if scan.maybe("The NVIDIA GPU ") {
        let pci = scan.pci()?;
        // The driver's other complaints about a device go on behind the address.
        let named = scan.rest().trim().is_empty();
        return (lost || named).then(|| Decoded::new("nvrm_fallen_off").at_gpu(pci));
    }
    if scan.maybe("GPU ") {
        let pci = scan.pci()?;
        return lost.then(|| Decoded::new("nvrm_fallen_off").at_gpu(pci));
    }
    let goes_on =
        said.starts_with("fallen off the bus") || (said.starts_with("(PCI ID: ") && said.ends_with("system has"));
    goes_on.then(|| Decoded::new("nvrm_fallen_off").with("continuation", true))
}

/// `knvlinkDiscoverPostRxDetLinks_GH100: …`, behind `GPU0 ` in newer drivers.
fn nvlink(said: &str) -> Option<Decoded> {
    let function = function(said)?;
    function.starts_with("knvlink").then(|| Decoded::new("nvrm_nvlink"))
}

fn function(said: &str) -> Option<&str> {
    let mut scan = Scan::new(said);
    let mut ahead = scan;
    if ahead.maybe("GPU") && ahead.digits().is_some() && ahead.maybe(" ") {
        scan = ahead;
    }
    let name = scan.some(|c| c.is_ascii_alphanumeric() || c == '_')?;
    scan.rest().starts_with(':').then_some(name)
}

/// Words by which the driver's own reports of failure are told from its news at start.
const TROUBLE: &[&str] = &[
    "failed",
    "Failed",
    "Failure",
    "failure",
    "error",
    "Error",
    "ERROR",
    "Assertion",
    "NV_ERR_",
    "crash dump",
    "RPC event",
    "RPC history",
    "TRACE",
    "imed out",
    "imeout",
    "nable to",
    "ould not",
    "annot",
    "an't",
    "bailing out",
    "not responding",
    "Reset required",
];

fn trouble(said: &str) -> Option<Decoded> {
    if said.starts_with("Xid") || !holds_any(said, TROUBLE) {
        return None;
    }
    let decoded = Decoded::new("nvrm_other");
    let decoded = if holds_any(said, &["RmInitAdapter failed", "rm_init_adapter failed", "RmInitAdapter: "]) {
        decoded.judged("init_failed")
    } else if holds_any(said, &["NV_ERR_RESET_REQUIRED", "Reset required"]) {
        decoded.judged("reset_required")
    } else {
        decoded
    };
    let mut scan = Scan::new(said);
    let pci = scan.take("GPU ").and_then(|()| scan.pci());
    Some(match pci {
        Some(pci) => decoded.at_gpu(pci),
        None => decoded,
    })
}

/// `nvidia-peermem nv_get_p2p_free_callback:127 ERROR detected invalid context, skipping further processing`
fn peermem(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    if !(scan.maybe("nvidia-peermem") || scan.maybe("nvidia_peermem")) {
        return None;
    }
    scan.maybe(":");
    scan.spaces();
    let function = scan.some(|c| c.is_ascii_alphanumeric() || c == '_')?;
    scan.take(":")?;
    scan.digits()?;
    if !function.starts_with("nv_") {
        return None;
    }
    let invalid = scan.rest().contains("invalid context");
    let decoded = Decoded::new("peermem").with("invalid_context", invalid);
    Some(if invalid { decoded.judged("invalid_context") } else { decoded })
}

/// `[ERROR] [tid 12727] text` of the fabric manager's own log, or `nv-fabricmanager[1929729]: text` of the journal.
fn fabric_manager(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    let by_tag = scan.maybe("nv-fabricmanager");
    if by_tag {
        scan.until(": ")?;
    }
    let level = ["[ERROR]", "[FATAL]", "[CRITICAL]", "[WARNING]", "[INFO]"].into_iter().find(|level| scan.maybe(level));
    scan.spaces();
    let by_thread = scan.maybe("[tid ");
    if by_thread {
        scan.until("]")?;
        scan.spaces();
    }
    let said = scan.rest();
    if said.starts_with("detected number of NVSwitches don't match") {
        return Some(Decoded::new("fabric_manager").event("topology_mismatch"));
    }
    if let Some(decoded) = nvswitch_error(scan) {
        return Some(decoded);
    }
    let grave = matches!(level, Some("[ERROR]" | "[FATAL]" | "[CRITICAL]"));
    (grave && (by_tag || by_thread)).then(|| Decoded::new("fabric_manager").event("error").with("message", said.trim()))
}

/// `detected NVSwitch non-fatal error 12028 on fid 0 on NVSwitch pci bus id 00000000:86:00.0 physical id 3 port 61`
fn nvswitch_error(mut scan: Scan<'_>) -> Option<Decoded> {
    scan.take("detected NVSwitch ")?;
    let severity = scan.some(|c| c.is_ascii_alphabetic() || c == '-')?;
    scan.take(" error ")?;
    let code = scan.int()?;
    let pci = scan.until("pci bus id ").and_then(|_| scan.pci());
    let port = scan.until(" port ").and_then(|_| scan.int());
    let decoded = Decoded::new("fabric_manager").event("nvswitch_error").with("severity", severity).with("code", code);
    let decoded = if severity == "fatal" { decoded.judged("nvswitch_fatal") } else { decoded };
    let decoded = decoded.with_some("port", port);
    Some(match pci {
        Some(pci) => decoded.placed(pci, Entity::NvSwitch),
        None => decoded,
    })
}
