//! The host's own troubles: machine checks, memory controllers, temperature, stuck and dead tasks. Formats: Linux
//! `arch/x86/kernel/cpu/mce`, `drivers/firmware/efi/cper.c`, `drivers/edac/edac_mc.c`, `mm/memory-failure.c`,
//! `kernel/hung_task.c`, `kernel/watchdog.c`, `kernel/panic.c`, `arch/x86/mm/fault.c`.

use super::{Context, Decoded};
use crate::scan::Scan;

/// The lines of this family; each begins in a way that no other does.
const LINES: &[fn(&str) -> Option<Decoded>] =
    &[thermal, machine_check, edac, memory_failure, panic, hung_task, soft_lockup, segfault];

pub(super) fn read(text: &str, _: Context) -> Option<Decoded> {
    LINES.iter().find_map(|line| line(text))
}

/// `CPU1: Core temperature above threshold, cpu clock throttled (total events = 1)`
fn thermal(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    if scan.maybe("thermal ") {
        let zone = scan.until(": ")?;
        let reached = scan.rest().starts_with("critical temperature reached");
        return reached.then(|| Decoded::new("thermal").event("critical_shutdown").with("zone", zone));
    }
    scan.maybe("mce: ");
    scan.take("CPU")?;
    let cpu = scan.int()?;
    scan.take(": ")?;
    if !(scan.maybe("Core") || scan.maybe("Package")) {
        return None;
    }
    let event = match scan.rest() {
        said if said.starts_with(" temperature above threshold") => "throttled",
        said if said.starts_with(" temperature/speed normal") => "normal",
        _ => return None,
    };
    Some(Decoded::new("thermal").event(event).with("cpu", cpu))
}

/// `[mce: ][{359}][Hardware Error]: …`, and the counts that amdgpu and mce print for host blocks.
fn machine_check(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    let by_mce = scan.maybe("mce: ");
    let mut ahead = scan;
    if ahead.maybe("{") && ahead.digits().is_some() && ahead.maybe("}") {
        scan = ahead;
    }
    if !scan.maybe("[Hardware Error]:") {
        let said = scan.rest();
        let ours = by_mce && (said.contains("hardware errors detected") || said.starts_with("CPUs not responding"));
        return ours
            .then(|| Decoded::new("mce").judged(if said.contains("uncorrect") { "recoverable" } else { "corrected" }));
    }
    scan.spaces();
    let decoded = Decoded::new("mce");
    if scan.maybe("event severity:") {
        scan.spaces();
        let severity = scan.some(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))?;
        return Some(decoded.judged(severity).with("severity", severity));
    }
    if scan.maybe("device_id: ") {
        return Some(match scan.pci() {
            Some(pci) => decoded.at_pci(pci),
            None => decoded,
        });
    }
    let said = scan.rest();
    Some(if said.starts_with("System Fatal error") || said.contains("|UE|") {
        decoded.judged("fatal")
    } else {
        decoded
    })
}

/// `EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0 (…)`
fn edac(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    scan.take("EDAC ")?;
    let controller = scan.some(|c| c.is_ascii_alphanumeric()).filter(|name| name.starts_with("MC"))?;
    scan.take(": ")?;
    let count = scan.int();
    scan.spaces();
    let kind = ["CE", "UE"].into_iter().find(|kind| scan.maybe(kind))?;
    scan.take(" ")?;
    let decoded = Decoded::new("edac").judged(kind).with("mc", controller).with_some("count", count).with("type", kind);
    Some(match scan.until(" on ") {
        Some(operation) => {
            let dimm = scan.rest().split(" (").next().unwrap_or("").trim();
            decoded.with("op", operation).with("dimm", dimm)
        }
        None => decoded,
    })
}

/// `Memory failure: 0x104000: recovery action for huge page: Recovered`
fn memory_failure(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    scan.take("Memory failure: ")?;
    let pfn = scan.until(":").filter(|pfn| pfn.starts_with("0x"))?;
    let message = scan.rest().trim();
    let decoded = Decoded::new("memory_failure").with("pfn", pfn).with("message", message);
    Some(if message.ends_with(": Recovered") { decoded.judged("recovered") } else { decoded })
}

/// `Kernel panic - not syncing: reason`, printed again between brackets when the panic ends.
fn panic(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    scan.maybe("---[ end ");
    scan.take("Kernel panic - not syncing: ")?;
    let reason = scan.rest();
    let reason = reason.strip_suffix("]---").unwrap_or(reason).trim();
    Some(Decoded::new("panic").with("reason", reason))
}

/// `INFO: task kworker/u8:2:123 blocked for more than 120 seconds.`
fn hung_task(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    scan.maybe("INFO: ");
    scan.take("task ")?;
    let (task, pid) = scan.until(" blocked ")?.rsplit_once(':')?;
    let pid: i64 = pid.parse().ok()?;
    // 6.16 and later say what on: `blocked in I/O wait for more than`.
    if !scan.maybe("for more than ") {
        scan.until(" for more than ")?;
    }
    let seconds = scan.int()?;
    scan.take(" seconds")?;
    Some(Decoded::new("hung_task").with("task", task).with("pid", pid).with("seconds", seconds))
}

/// `watchdog: BUG: soft lockup - CPU#18 stuck for 27s! [python3:2254956]`
fn soft_lockup(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    scan.maybe("NMI ");
    scan.maybe("watchdog: ");
    scan.take("BUG: soft lockup - CPU#")?;
    let cpu = scan.int()?;
    scan.take(" stuck for ")?;
    let seconds = scan.int()?;
    scan.take("s!")?;
    let task = scan.until("[").map(|_| scan.rest().trim_end_matches(']'));
    Some(Decoded::new("soft_lockup").with("cpu", cpu).with("seconds", seconds).with_some("task", task))
}

/// `name[pid]: segfault at 0 ip … error 4 in libc.so.6[7f53…]`
fn segfault(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    let mut ahead = scan;
    let process = ahead.until(": segfault at ").and_then(|process| {
        let (name, pid) = process.strip_suffix(']')?.rsplit_once('[')?;
        Some((name, pid.parse::<i64>().ok()?))
    });
    if process.is_some() {
        scan = ahead;
    } else {
        scan.take("segfault at ")?;
    }
    scan.some(|c| c.is_ascii_alphanumeric())?;
    let object = scan.rest().rsplit_once(" in ").map(|(_, object)| object.split('[').next().unwrap_or("").trim());
    let kind = if object.is_some_and(|object| object.starts_with("libnccl")) { "nccl_segfault" } else { "segfault" };
    let decoded = Decoded::new(kind).with_some("object", object);
    Some(match process {
        Some((name, pid)) => decoded.with("name", name).with("pid", pid),
        None => decoded,
    })
}
