//! Block devices, file systems, NFS. Formats: Linux `block/blk-core.c`, `fs/buffer.c`, `drivers/nvme/host/pci.c`,
//! `fs/ext4/super.c`, `fs/xfs/xfs_message.c`, `fs/btrfs/super.c`, `net/sunrpc/clnt.c`.

use super::{Context, Decoded, holds_any};
use crate::scan::Scan;

const LINES: &[fn(&str) -> Option<Decoded>] = &[nfs, nvme, path, raid, beyond, block, file_system];

pub(super) fn read(text: &str, _: Context) -> Option<Decoded> {
    LINES.iter().find_map(|line| line(text))
}

/// `nfs: server 10.0.0.5 not responding, timed out`, `nfs: server 10.0.0.5 OK`
fn nfs(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    if !(scan.maybe("nfs: server ") || scan.maybe("lockd: server ")) {
        return None;
    }
    let server = scan.word()?;
    scan.take(" ")?;
    let state = ["not responding", "OK"].into_iter().find(|state| scan.rest().starts_with(state))?;
    Some(Decoded::new("nfs").judged(state).with("server", server).with("state", state))
}

const NVME_TROUBLE: &[&str] = &[
    "timeout, ",
    "Disabling device",
    "frozen state error detected",
    "controller is down",
    "Device not ready; aborting",
    "Device shutdown incomplete",
    "Removing after probe failure",
    "Abort status",
    "failed to set APST",
    "Identify Controller failed",
    "I/O Cmd(",
];

/// `nvme nvme4: I/O tag 22 (2016) opcode 0x2 (Admin Cmd) QID 0 timeout, reset controller`
fn nvme(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    if !scan.maybe("nvme ") {
        return None;
    }
    let name = scan.some(|c| !c.is_whitespace() && c != ':')?;
    scan.take(": ")?;
    holds_any(scan.rest(), NVME_TROUBLE).then(|| Decoded::new("storage").with("device", name))
}

/// `block nvme0n1: no available path - failing I/O`
fn path(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    scan.take("block ")?;
    let name = scan.some(|c| !c.is_whitespace() && c != ':')?;
    scan.take(": no ")?;
    holds_any(scan.rest(), &["available path", "usable path"]).then(|| Decoded::new("storage").with("device", name))
}

/// `md/raid0md0: Disk failure on nvme0n1p1 detected, failing array.`
fn raid(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    scan.take("md/raid")?;
    scan.until(": Disk failure on ")?;
    let name = scan.some(|c| !c.is_whitespace() && c != ',')?;
    Some(Decoded::new("storage").with("device", name))
}

/// `kworker/u203:1: attempt to access beyond end of device`; the device comes in the line behind.
fn beyond(text: &str) -> Option<Decoded> {
    let said = text.strip_suffix("attempt to access beyond end of device")?;
    // Before 5.10 the line has no task in front.
    (said.is_empty() || (said.ends_with(": ") && said.len() <= 24)).then(|| Decoded::new("storage"))
}

const BLOCK_HEADS: &[&str] = &["end_request: ", "blk_update_request: ", "print_req_error: ", ""];
const BLOCK_ERRORS: &[&str] = &[
    "I/O error, dev ",
    "critical medium error, dev ",
    "critical target error, dev ",
    "critical space allocation error, dev ",
    "critical nexus error, dev ",
    "recoverable transport error, dev ",
    "timeout error, dev ",
    "protection error, dev ",
    "operation not supported error, dev ",
    "device offline error, dev ",
];

/// `blk_update_request: I/O error, dev nvme1n1, sector 1234567 op …`, `Buffer I/O error on dev sda1, logical block 5`
fn block(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    if scan.maybe("Buffer I/O error on dev") {
        scan.maybe("ice");
        scan.take(" ")?;
    } else {
        let _head = BLOCK_HEADS.iter().find(|head| scan.maybe(head));
        BLOCK_ERRORS.iter().find(|error| scan.maybe(error))?;
    }
    let name = scan.some(|c| !c.is_whitespace() && c != ',')?;
    Some(Decoded::new("storage").with("device", name))
}

const FILE_SYSTEMS: &[&str] = &["EXT4-fs", "EXT3-fs", "EXT2-fs", "XFS", "BTRFS", "F2FS-fs", "Aborting journal", "JBD2"];
const FILE_SYSTEM_TROUBLE: &[&str] = &[
    "I/O error",
    "IO error",
    "I/O failure",
    "Remounting filesystem read-only",
    "orruption",
    "Shutting down filesystem",
    "has been shut down",
    "shutting down filesystem",
    "metadata I/O",
    "Aborting journal",
    "Detected aborted journal",
    "forced readonly",
    "nmount and run xfs_repair",
    "failed to write",
];

/// `EXT4-fs (dm-0): I/O error while …`, `EXT4-fs error (device sda1): …`, `XFS (nvme0n1p1): Remounting filesystem read-only`
fn file_system(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    FILE_SYSTEMS.iter().find(|name| scan.maybe(name))?;
    let grave = [" error (device ", " critical (device ", ": error (device ", ": critical (device "]
        .iter()
        .any(|grave| scan.rest().starts_with(grave));
    if !grave && !holds_any(text, FILE_SYSTEM_TROUBLE) {
        return None;
    }
    let name = scan.until("(").and_then(|_| {
        scan.maybe("device ");
        scan.some(|c| !c.is_whitespace() && !matches!(c, ')' | ':'))
    });
    Some(Decoded::new("storage").with_some("device", name))
}
